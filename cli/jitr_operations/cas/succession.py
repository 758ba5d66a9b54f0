"""A CA and the one that succeeds it: which can, which of them the rules speak of, and when the old one may go."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from jitr.aws.dynamodb.rulebook import rules_in_force
from jitr.errors import InputError
from jitr.fleet.standing import ACTIVE
from jitr.rules.model import Rules
from jitr.times import rfc3339
from jitr_operations import telling
from jitr_operations.cas import status
from jitr_operations.cas.registry import RegisteredCa, require
from jitr_operations.cas.which import find
from jitr_operations.certificates import Certificate
from jitr_operations.deployment import Deployment
from jitr_operations.table import table_of

_TO_TAKE = "`jitr ca register` with its certificate makes it ACTIVE and turns that on"


@dataclass(frozen=True, slots=True)
class RolloverCa:
    """One of the two CAs, as AWS IoT holds it and as the rules in force call it."""

    ca: RegisteredCa
    aliases: tuple[str, ...]
    not_after: datetime

    @property
    def takes_devices(self) -> bool:
        """Whether new devices of it are registered when they connect."""
        return self.ca.status == ACTIVE and self.ca.auto_registration == "ENABLE"

    @property
    def words(self) -> str:
        """Its alias and the beginning of its id, for a person."""
        return f"{', '.join(self.aliases)} ({self.ca.id[:12]})" if self.aliases else self.ca.id[:12]

    def to_json(self) -> dict[str, Any]:
        """Return it as ``--json`` prints it."""
        return {
            "ca_certificate_id": self.ca.id,
            "aliases": list(self.aliases),
            "subject": self.ca.to_json()["subject"],
            "status": self.ca.status,
            "auto_registration": self.ca.auto_registration == "ENABLE",
            "not_after": rfc3339(self.not_after),
        }


@dataclass(frozen=True, slots=True)
class CaPair:
    """The CA that is left, and the one that succeeds it."""

    old: RolloverCa
    new: RolloverCa


@dataclass(frozen=True, slots=True)
class CaCandidate:
    """A CA that may succeed another. ``renews`` names the rules that let it take over the old CA's devices."""

    ca: RolloverCa
    renews: tuple[str, ...]


def pair_of(deployment: Deployment, old: str, new: str) -> CaPair:
    """Return the two CAs that are meant. Raises InputError as ``which.find`` and ``paired``."""
    rules = rules_in_force(table_of(deployment)) or Rules("")
    left, follows = (find(deployment, each, rules) for each in (old, new))
    if left.id == follows.id:
        raise InputError(f"{old} and {new} are the same CA, {left.id[:12]}: name its successor")
    return paired(rules, left, follows)


def paired(rules: Rules, old: RegisteredCa, new: RegisteredCa) -> CaPair:
    """Return two CAs as the one that is left and its successor; warn of a successor that ends first.

    Raises InputError for one that cannot be read, for the same CA twice, and where the one that is named as the
    successor is the older of the two.
    """
    if old.id == new.id:
        raise InputError(f"a CA does not succeed itself: choose another one than {old.id[:12]}")
    certificates = [_readable(each) for each in (old, new)]
    left, follows = (_as_named(rules, ca, found) for ca, found in zip((old, new), certificates, strict=True))
    if follows.not_after < left.not_after:
        told = _ends_first(left, follows)
        if _is_older(*certificates):
            raise InputError(f"{told}, and is not newer: name the CA that is left first, and then its successor")
        telling.warn(f"{told}: devices will have to be moved again")
    return CaPair(left, follows)


def candidates(rules: Rules, old: RegisteredCa, registered: Iterable[RegisteredCa]) -> list[CaCandidate]:
    """Return the CAs that can succeed another, the likeliest first.

    Those come first that rules let take over the old CA's devices (``renewal_from``), then those that take devices
    now, then the newest. One that cannot be read, or is the older of the two, succeeds nobody.
    """
    left, found = _readable(old), list[tuple[CaCandidate, datetime]]()
    for ca in registered:
        certificate = ca.certificate
        if ca.id != old.id and certificate is not None and not _is_older(left, certificate):
            named = _as_named(rules, ca, certificate)
            found.append((CaCandidate(named, renewing(rules, old.id, ca.id)), certificate.not_before))
    found.sort(key=lambda each: (bool(each[0].renews), each[0].ca.takes_devices, each[1]), reverse=True)
    return [candidate for candidate, _ in found]


def renewing(rules: Rules, old_id: str, new_id: str) -> tuple[str, ...]:
    """Return the names of the rules by which devices of one CA take over what they had under another."""
    old, new = rules.aliases_of(old_id), rules.aliases_of(new_id)
    return tuple(
        each.name
        for each in rules.allow
        if old.intersection(each.grant.renewal_from) and new.intersection(each.cas or ())
    )


def successors_in(rules: Rules, ca_id: str) -> dict[str, str]:
    """Return the CAs that rules let take over the devices of one: the alias of each by its id."""
    aliases = rules.aliases_of(ca_id)
    heirs = {alias for each in rules.allow if aliases.intersection(each.grant.renewal_from) for alias in each.cas or ()}
    return _by_id(rules, heirs, ca_id)


def predecessors_in(rules: Rules, ca_id: str) -> dict[str, str]:
    """Return the CAs whose devices rules let one take over: the alias of each by its id."""
    aliases = rules.aliases_of(ca_id)
    left = {alias for each in rules.allow if aliases.intersection(each.cas or ()) for alias in each.grant.renewal_from}
    return _by_id(rules, left, ca_id)


def _by_id(rules: Rules, aliases: Iterable[str], but: str) -> dict[str, str]:
    return {each: alias for alias in sorted(aliases) for each in rules.cas[alias].ids if each != but}


def _readable(ca: RegisteredCa) -> Certificate:
    certificate = ca.certificate
    if certificate is None:
        raise InputError(f"the CA {ca.id} cannot be read: {ca.problem}")
    return certificate


def _as_named(rules: Rules, ca: RegisteredCa, certificate: Certificate) -> RolloverCa:
    return RolloverCa(ca, tuple(sorted(rules.aliases_of(ca.id))), certificate.not_after)


def _is_older(old: Certificate, new: Certificate) -> bool:
    """Return whether the successor ends first, and was not made later either."""
    return new.not_after < old.not_after and new.not_before <= old.not_before


def _ends_first(left: RolloverCa, follows: RolloverCa) -> str:
    old, new = (f"{each.not_after:%Y-%m-%d}" for each in (left, follows))
    if old == new:
        old, new = rfc3339(left.not_after), rfc3339(follows.not_after)
    return f"{follows.words} ends {new}, before {left.words}, {old}"


def require_successor(pair: CaPair) -> None:
    """Raise InputError where the new CA takes no new devices: with the old one INACTIVE, none could come in."""
    if not pair.new.takes_devices:
        ca = pair.new.ca
        lacks = "INACTIVE" if ca.status != ACTIVE else "without auto-registration"
        mend = f"`jitr ca activate {ca.id[:12]}` makes it ACTIVE" if ca.auto_registration == "ENABLE" else _TO_TAKE
        raise InputError(
            f"the CA {pair.new.words} is {lacks}, and with {pair.old.words} INACTIVE no device could come in: {mend}"
        )


def finish(deployment: Deployment, pair: CaPair, why: str | None) -> None:
    """Make the old CA INACTIVE, so that no new device of it is registered, and write it into the history.

    One that is so stays as it is. Both CAs are looked at again, as it takes long to count their devices. Raises
    InputError where the old one's status has changed, and as ``require_successor``.
    """
    iot = deployment.client("iot")
    old, new = (replace(each, ca=require(iot, each.ca.id)) for each in (pair.old, pair.new))
    if old.ca.status != pair.old.ca.status:
        raise InputError(f"the CA {old.words} is {old.ca.status} by now: look at it, and choose again")
    require_successor(CaPair(old, new))
    words = ("ca", "rollover", old.ca.id[:12], new.ca.id[:12], "--finish")
    status.deactivate(deployment, old.ca, words, why)
