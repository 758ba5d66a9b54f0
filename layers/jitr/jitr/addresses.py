"""Which network addresses a revocation list may be fetched from.

The address counts, and not the name that led to it: whoever may edit rules, or a name's records, would otherwise have
the function ask for them what only the function can reach.
"""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_network
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address

# Networks of one's own: RFC 1918 section 3, RFC 6598 section 7 (shared by a provider), RFC 4193 section 3.
_PRIVATE = [ip_network(each) for each in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")]

# Instance metadata and the other services of an AWS network's own that are not link-local (Amazon VPC User Guide,
# "CIDR block association restrictions"), and site-local addresses, which nobody should have (RFC 3879).
_NEVER = [ip_network(each) for each in ("fd00:ec2::/32", "fec0::/10")]

_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052 section 2.1: the last 32 bits are an IPv4 address


def off_limits(address: Address) -> bool:
    """Tell whether no list can be there, whatever the rules say: the machine itself, its link, what no host has."""
    reached = _reached(address)
    if any(reached in network for network in _NEVER):
        return True
    return (
        reached.is_loopback
        or reached.is_link_local
        or reached.is_multicast
        or reached.is_unspecified
        or reached.is_reserved
        or not (reached.is_global or _is_private(reached))
    )


def in_private_network(address: Address) -> bool:
    """Tell whether the address is one of a private network, which rules have to allow."""
    return _is_private(_reached(address))


def _is_private(address: Address) -> bool:
    return any(address in network for network in _PRIVATE)


def _reached(address: Address) -> Address:
    """Return the IPv4 address behind an IPv6 address that only carries one, or the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
