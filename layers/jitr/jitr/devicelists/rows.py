"""Device lists: one row a device, and which row, if any, is a given device's.

A row is found by any one of its keys. For an allow rule the row's other keys must then fit as well: a row that pins
a public key is not a place for another key under the same name. For a deny rule any one key is enough.

A public key is compared in its canonical form (``jitr.x509.keys``). A row that has the SHA-256 of the key as the
device's certificate writes it is that device's, too; one that has that of the compressed point counts for deny rules
only.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import field
from datetime import datetime
from operator import attrgetter
from typing import Any

from jitr.facts import Knock
from jitr.times import parse_time, rfc3339
from jitr.values import dataclass

# What a list may be called: it is part of keys in the table and of file names.
LIST_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

MAX_COMMON_NAME = 512  # bytes of UTF-8; a DynamoDB sort key has at most 1024

# In the order of exactness: where two rows fit one device, the one found by the earlier kind counts.
KEY_KINDS = ("public_key_sha256", "certificate_sha256", "serial_number", "common_name")


@dataclass(frozen=True, slots=True)
class RowKey:
    """A key that finds a row. A serial number's ``value`` is ``<ca>/<hex>``, ca an alias or a caCertificateId."""

    kind: str
    value: str

    def __str__(self) -> str:
        return f"{self.kind}#{self.value}"


# A row's own columns, in their usual order.
COLUMNS = (
    "common_name",
    "serial_number",
    "ca",
    "certificate_sha256",
    "public_key_sha256",
    "thing_name",
    "expires",
    "note",
)
_own_values = attrgetter(*COLUMNS)


@dataclass(frozen=True, slots=True)
class ListRow:
    """One device on a list. Hex is lower case, serial numbers without leading zeros."""

    common_name: str | None = None
    serial_number: str | None = None
    ca: str | None = None  # goes with serial_number: serial numbers are unique within a CA only
    certificate_sha256: str | None = None
    public_key_sha256: str | None = None
    thing_name: str | None = None
    expires: datetime | None = None  # from then on the row counts as absent
    note: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)  # attr.NAME, without the prefix

    def found_by(self) -> tuple[RowKey, ...]:
        """Return every key the row is found by, the most exact first."""
        serial = None if self.serial_number is None else f"{self.ca}/{self.serial_number}"
        keys = []
        # Not in a loop over their names: an import asks this of a million rows.
        if self.public_key_sha256 is not None:
            keys.append(RowKey("public_key_sha256", self.public_key_sha256))
        if self.certificate_sha256 is not None:
            keys.append(RowKey("certificate_sha256", self.certificate_sha256))
        if serial is not None:
            keys.append(RowKey("serial_number", serial))
        if self.common_name is not None:
            keys.append(RowKey("common_name", self.common_name))
        return tuple(keys)

    def counts(self, at: datetime) -> bool:
        """Return whether the row is not expired at a time."""
        return self.expires is None or at < self.expires

    def to_json(self) -> dict[str, Any]:
        """Return the row's own columns, only those it has, attributes as ``attr.NAME``."""
        plain = {name: value for name, value in zip(COLUMNS, _own_values(self), strict=True) if value is not None}
        if self.expires is not None:
            plain["expires"] = rfc3339(self.expires)
        for name, value in self.attributes.items():
            plain[f"attr.{name}"] = value
        return plain

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "ListRow":
        """Read back what ``to_json`` wrote."""
        expires = data.get("expires")
        return cls(
            common_name=data.get("common_name"),
            serial_number=data.get("serial_number"),
            ca=data.get("ca"),
            certificate_sha256=data.get("certificate_sha256"),
            public_key_sha256=data.get("public_key_sha256"),
            thing_name=data.get("thing_name"),
            expires=None if expires is None else parse_time(expires),
            note=data.get("note"),
            attributes={name[5:]: value for name, value in data.items() if name.startswith("attr.")},
        )


@dataclass(frozen=True, slots=True)
class Membership:
    """A device's row on one list. ``ambiguous`` says why it counts for deny rules only; None: it counts for both."""

    row: ListRow
    ambiguous: str | None = None


def device_keys(knock: Knock) -> tuple[RowKey, ...]:
    """Return every key under which a list could have this device, the most exact first."""
    own, compressed = _own_keys(knock), _compressed(knock)
    return own if compressed is None else (*own, compressed)


def _compressed(knock: Knock) -> RowKey | None:
    compressed = knock.certificate.compressed_key_sha256
    return None if compressed is None else RowKey("public_key_sha256", compressed)


def _own_keys(knock: Knock) -> tuple[RowKey, ...]:
    """Return the keys that must include all of a row's for it to count for allow rules."""
    certificate = knock.certificate
    cas = (*sorted(knock.aliases), knock.ca_certificate_id)
    # One certificate has two ids, because an ECDSA signature has two forms: a row with either means this device.
    twin = None if knock.chain is None else knock.chain.twin_sha256
    written = certificate.written_key_sha256
    return (
        RowKey("public_key_sha256", certificate.public_key_sha256),
        *(() if written is None else (RowKey("public_key_sha256", written),)),
        RowKey("certificate_sha256", certificate.certificate_sha256),
        *(() if twin is None else (RowKey("certificate_sha256", twin),)),
        *(RowKey("serial_number", f"{ca}/{certificate.serial_number}") for ca in cas),
        *(
            RowKey("common_name", each)
            for each in dict.fromkeys(certificate.values("common_name"))
            if is_listable(each)
        ),
    )


def is_listable(common_name: str) -> bool:
    """Return whether a row could have the name: no longer one is read, and DynamoDB takes none as a key."""
    return len(common_name.encode(errors="surrogatepass")) <= MAX_COMMON_NAME


def membership(knock: Knock, found: Iterable[tuple[RowKey, ListRow]], at: datetime) -> Membership | None:
    """Return the device's place on a list, given the rows that its keys found there.

    The most exact key wins; a row that counts fully wins over one that is ambiguous; expired rows are absent.
    """
    order = {key: position for position, key in enumerate(device_keys(knock))}
    alive = [(key, row) for key, row in found if row.counts(at)]
    candidates = [
        Membership(row, _ambiguity(knock, key, row)) for key, row in sorted(alive, key=lambda each: order[each[0]])
    ]
    return next((each for each in candidates if each.ambiguous is None), candidates[0] if candidates else None)


def _ambiguity(knock: Knock, key: RowKey, row: ListRow) -> str | None:
    names = knock.certificate.values("common_name")
    if key.kind == "common_name" and len(names) > 1:
        return (
            f"on it by common_name, which the certificate has {len(names)} times: it does not count for an allow rule"
        )
    own, compressed = _own_keys(knock), _compressed(knock)
    for other in row.found_by():
        if other == compressed:
            return (
                f"on it by {key.kind}, and the row's public_key_sha256 is that of the key with its point compressed, "
                f"which does not count for an allow rule: give {knock.certificate.public_key_sha256}"
            )
        if other not in own:
            what = "serial number or its ca" if other.kind == "serial_number" else other.kind
            return f"on it by {key.kind}, but the row's {what} is another"
    return None


def rows_by_key(rows: Iterable[ListRow]) -> dict[RowKey, ListRow]:
    """Index the rows of a list held in memory by each of their keys."""
    return {key: row for row in rows for key in row.found_by()}


def membership_in(knock: Knock, rows: Mapping[RowKey, ListRow], at: datetime) -> Membership | None:
    """Return the device's place on a list held in memory."""
    return membership(knock, ((key, rows[key]) for key in device_keys(knock) if key in rows), at)
