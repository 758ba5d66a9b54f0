"""How many rows of a list are devices, could be devices, or can be none: what a mistake in every row shows in.

A row with no device on record and with no chance under the rules protects nothing on a deny list and admits nobody
from an allow list. Pure and in flat memory: rows go by one at a time.
"""

from collections.abc import Iterable, Sequence
from dataclasses import field
from datetime import datetime

from jitr.devicelists.columns import shown
from jitr.devicelists.doubts import Doubt, Names
from jitr.devicelists.rows import ListRow, RowKey, device_keys
from jitr.facts import Knock
from jitr.rules.conditions import AttributeCondition, CaCondition, Condition, SerialCondition
from jitr.rules.model import DenyRule, Rule, Rules
from jitr.text import counted
from jitr.times import rfc3339
from jitr.unseen import quote
from jitr.values import dataclass

_SHOWN = 5
_CA_ID = 64  # characters of a caCertificateId
_FEW = 3  # serial numbers of a CA: from fewer, nobody can tell how long they are
_RANDOM = 12  # hex digits of a serial number: shorter ones are counted, and two CAs come to the same
_DIGESTS = {
    "certificate_sha256": "the certificate's id",
    "public_key_sha256": "the public key's digest",
}


@dataclass(slots=True)
class Devices:
    """The devices on record: their keys, and how long the serial numbers of each CA are. ``whole``: all of them."""

    count: int = 0
    whole: bool = True
    keys: set[int] = field(default_factory=set)  # hashes: 64 bits a key
    lengths: dict[str, list[int]] = field(default_factory=dict)
    digests: dict[int, str] = field(default_factory=dict)  # whose a digest is, by the hashes of their keys
    issuers: dict[str, str] = field(default_factory=dict)  # the CA of each serial number that only one CA gives

    def add(self, knock: Knock) -> None:
        """Note a device."""
        self.count += 1
        keys = device_keys(knock)
        self.keys.update(map(hash, keys))
        name = next(iter(knock.certificate.values("common_name")), knock.certificate.certificate_sha256[:12])
        self.digests.update({hash(each): name for each in keys if each.kind in _DIGESTS})
        if len(knock.certificate.serial_number) >= _RANDOM:
            self.issuers[knock.certificate.serial_number] = min(knock.aliases, default=knock.ca_certificate_id)
        digits = len(knock.certificate.serial_number.lstrip("-"))
        for ca in (knock.ca_certificate_id, *knock.aliases):
            self.lengths.setdefault(ca, []).append(digits)

    def has(self, keys: Iterable[RowKey]) -> bool:
        """Return whether one of the keys is a device's."""
        return any(hash(key) in self.keys for key in keys)

    def misplaced(self, row: ListRow) -> Doubt | None:
        """Return which value of a row is a device's, but not what its column says; None where none is."""
        return self._other_digest(row) or self._other_ca(row)

    def _other_digest(self, row: ListRow) -> Doubt | None:
        for column in ("public_key_sha256", "certificate_sha256", "common_name"):
            value = getattr(row, column)
            if value is None or len(value) != _CA_ID or hash(RowKey(column, value)) in self.keys:
                continue
            for other, what in _DIGESTS.items():
                name = self.digests.get(hash(RowKey(other, value))) if other != column else None
                if name is not None:
                    own = _DIGESTS.get(column, "a name")
                    meant = f"{shown(value)} is {what} of device {shown(name)} on record, not {own}: use column {other}"
                    return Doubt(column, meant)
        return None

    def _other_ca(self, row: ListRow) -> Doubt | None:
        """Doubt the CA of a long serial number that another CA's device has: such a number is random."""
        if row.serial_number is None or row.ca is None:
            return None
        issuer = self.issuers.get(row.serial_number)
        if issuer is None or hash(RowKey("serial_number", f"{row.ca}/{row.serial_number}")) in self.keys:
            return None
        told = f"a device of {issuer} on record has serial number {row.serial_number}, and none of {row.ca}: is the ca"
        return Doubt("ca", f"{told} right?")

    def has_length(self, ca: str, serial: str) -> bool:
        """Return whether a serial number is about as long as the CA's others; True where too few are known."""
        known = self.lengths.get(ca, ())
        return len(known) < _FEW or min(known) - 2 <= len(serial.lstrip("-")) <= max(known)


@dataclass(frozen=True, slots=True)
class Unmatched:
    """A row that can be no device: the line (None in the table), the most exact key, and why."""

    line: int | None
    key: str
    why: str

    def __str__(self) -> str:
        """Say it in a few words."""
        where = "" if self.line is None else f"line {self.line}, "
        return f"{where}{quote(self.key)}: {self.why}"


@dataclass(frozen=True, slots=True)
class Doubtful:
    """A value that is probably a slip: line and number of the column (None in the table), and what it looks like."""

    line: int | None
    number: int | None
    doubt: Doubt

    def __str__(self) -> str:
        """Say it in a few words."""
        place = f"line {self.line}, column {self.number}, " if self.line is not None and self.number else ""
        return f"{place}{self.doubt.column}: {self.doubt.message}"


class Fit:
    """Counts the rows of the list ``name``, which rules name or will name, by what they could match.

    Without ``devices`` only the rules are asked; with ``known_only`` a row that is no device on record matches nothing.
    A row that is expired ``at`` that time matches nothing; without it, expiry is not asked. ``doubtful`` are rows with
    a value that is probably a slip, whatever else they are counted as.
    """

    def __init__(
        self,
        name: str,
        rules: Rules | None,
        devices: Devices | None,
        *,
        at: datetime | None = None,
        known_only: bool = False,
    ) -> None:
        self.name = name
        self.rows = self.on_record = self.possible = self.doubtful = 0
        self.unmatched: list[Unmatched] = []  # the first of them
        self.doubts: list[Doubtful] = []  # the first of them
        self._names = Names()
        self._devices = devices or Devices()
        self._with_devices = devices is not None
        self._known_only = known_only
        self._at = at
        self._rules = rules
        every = () if rules is None else (*rules.deny, *rules.allow)
        self._naming = [each for each in every if name in each.lists]
        self._fitting = dict.fromkeys((each.name for each in self._naming), 0)
        self._anchored_naming = _Anchored(self._naming)
        self._anchored_allow = _Anchored(() if rules is None else rules.allow)
        self.denying = tuple(each.name for each in self._naming if isinstance(each, DenyRule))

    @property
    def nothing(self) -> int:
        """How many rows can match nothing."""
        return self.rows - self.on_record - self.possible

    def add(self, row: ListRow, line: int | None = None, columns: Sequence[str] = ()) -> None:
        """Count a row; ``line`` and ``columns`` are its place in a file."""
        self.rows += 1
        keys = row.found_by()
        naming = () if self._rules is None else self._anchored_naming.for_row(self._rules, row)
        fits = [each for each in naming if self._rules is not None and _fits(self._rules, each, row)]
        for rule in fits:
            self._fitting[rule.name] += 1
        expired = self._at is not None and row.expires is not None and row.expires <= self._at
        on_record = self._devices.has(keys)
        named = self._names.doubt(row)
        misplaced = self._misplaced(row)
        doubt = misplaced or (None if on_record else named)
        if doubt is not None and not expired:
            self._doubt(doubt, line, columns)
        if not expired and on_record:
            self.on_record += 1
            return
        why = f"it expired {rfc3339(row.expires)}" if expired and row.expires else self._why_not(row, fits)
        if why is None and misplaced is not None:
            why = misplaced.message
        if why is None:
            self.possible += 1
        elif len(self.unmatched) < _SHOWN:
            self.unmatched.append(Unmatched(line, keys[0].value, why))

    def _misplaced(self, row: ListRow) -> Doubt | None:
        if found := self._devices.misplaced(row):
            return found
        for ca in () if self._rules is None or row.certificate_sha256 is None else self._rules.cas.values():
            if row.certificate_sha256 in ca.ids:
                return Doubt(
                    "certificate_sha256", f"{row.certificate_sha256} is the id of CA {ca.alias}, not a device's"
                )
        return None

    def _doubt(self, doubt: Doubt, line: int | None, columns: Sequence[str]) -> None:
        self.doubtful += 1
        if len(self.doubts) < _SHOWN:
            number = columns.index(doubt.column) + 1 if doubt.column in columns else None
            self.doubts.append(Doubtful(line, number, doubt))

    def _why_not(self, row: ListRow, fits: list[Rule]) -> str | None:
        rules = self._rules
        if self._known_only:
            return "no device on record"
        if rules is None:
            return None
        if row.ca is not None and row.ca not in rules.cas and len(row.ca) != _CA_ID:
            return f"the rules have no CA {row.ca}"
        if self._naming and not fits:
            return f"it does not fit {_patterns(self._naming)}, which names this list"
        if row.ca and row.serial_number and not self._devices.has_length(row.ca, row.serial_number):
            return f"serial numbers of {row.ca} on record have another length"
        if rules.allow and not any(_fits(rules, rule, row) for rule in self._anchored_allow.for_row(rules, row)):
            return f"no allow rule lets such a device in ({_patterns(rules.allow)})"
        return None

    def sentence(self) -> str:
        """Say the counts in one line."""
        rows = counted(self.rows, "row")
        told = []
        if self._with_devices:
            count = self._devices.count
            newest = "" if self._devices.whole else "newest "
            told.append(f"{self.on_record:,} on record (of {newest}{counted(count, 'certificate')} there)")
        if not self._known_only:
            told.append(f"{self.possible:,} could be devices that come")
        return f"{rows}: {', '.join(told)}, {self.nothing:,} can match nothing"

    def remarks(self) -> tuple[str, ...]:
        """Say what is probably a mistake: a rule that names the list and that few rows fit, and the first such rows."""
        told = [
            f"{count:,} of {counted(self.rows, 'row')} fit {_patterns([rule])}, which names this list"
            for rule in self._naming
            if (count := self._fitting[rule.name]) < self.rows
        ]
        more = self.doubtful - len(self.doubts)
        rest = (f"and {counted(more, 'more doubtful row')}",) if more else ()
        return (*told, *map(str, self.unmatched), *map(str, self.doubts), *rest)

    def question(self) -> str | None:
        """Ask about rows of a deny list that can match nothing, or are doubtful; None where there is nothing to ask."""
        if not (self.denying and (self.nothing or self.doubtful)):
            return None
        named = f"Deny rule {self.denying[0]} names list {self.name}, and"
        if self.nothing:
            can = counted(self.nothing, "row can", "rows can")
            first = f" (first {self.unmatched[0]})" if self.unmatched else ""
            out = "it keeps" if self.nothing == 1 else "they keep"
            return f"{named} {can} match nothing{first}: {out} nobody out."
        rows = counted(self.doubtful, "row is", "rows are")
        out = "if so, it keeps" if self.doubtful == 1 else "if so, they keep"
        return f"{named} {rows} doubtful (first {self.doubts[0]}): {out} out no device that is meant."

    def to_json(self) -> dict[str, object]:
        """Return the counts, as in ``--json``."""
        return {
            "rows": self.rows,
            "on_record": self.on_record,
            "possible": self.possible,
            "nothing": self.nothing,
            "devices_on_record": self._devices.count,
            "rules": dict(self._fitting),
            "first_unmatched": [str(each) for each in self.unmatched],
            "doubtful": self.doubtful,
            "first_doubtful": [str(each) for each in self.doubts],
        }


class _Anchored:
    """Rules by their CAs and the literal beginnings of the names they take, so that a row is asked of few of them.

    What a row leaves out is no anchor: any other rule could take such a row.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules = tuple(rules)
        self._of_ca: dict[str | None, _OfCa] = {}

    def for_row(self, rules: Rules, row: ListRow) -> Iterable[Rule]:
        """Return the rules that a row could fit, all that it does fit among them, in no order."""
        # Files name CAs at will: those that rules know are few, and all others are one.
        ca = row.ca if row.ca is None or row.ca in rules.cas or rules.aliases_of(row.ca) else ""
        if ca not in self._of_ca:
            alone = ListRow(ca=row.ca)
            self._of_ca[ca] = _OfCa([each for each in self._rules if ca is None or _fits(rules, each, alone)])
        of_ca = self._of_ca[ca]
        return of_ca.rules if row.common_name is None else of_ca.taking(row.common_name)


class _OfCa:
    """The rules that are for one CA, by the literal beginnings of names."""

    def __init__(self, rules: list[Rule]) -> None:
        self.rules = rules
        self._rest: list[Rule] = []
        self._by_beginning: dict[str, dict[str, Rule]] = {}
        for rule in rules:
            beginnings = _beginnings(rule)
            if "" in beginnings:
                self._rest.append(rule)
                continue
            for each in beginnings:
                self._by_beginning.setdefault(each, {})[rule.name] = rule
        self._lengths = sorted({len(each) for each in self._by_beginning})

    def taking(self, name: str) -> Iterable[Rule]:
        found: dict[str, Rule] = {}
        for length in self._lengths:
            if length <= len(name):
                found |= self._by_beginning.get(name[:length], {})
        return (*self._rest, *found.values()) if found else self._rest


def _beginnings(rule: Rule) -> frozenset[str]:
    """Return what names that a rule takes begin with; "" if they may begin with anything."""
    for each in rule.conditions:
        if isinstance(each, AttributeCondition) and each.name == "common_name":
            return frozenset(pattern.literal_prefix for pattern in each.patterns)
    return frozenset({""})


def _fits(rules: Rules, rule: Rule, row: ListRow) -> bool:
    """Return whether a device with the keys of a row could meet a rule's conditions; other conditions are not asked."""
    return all(_could_hold(rules, each, row) for each in rule.conditions)


def _could_hold(rules: Rules, condition: Condition, row: ListRow) -> bool:
    if isinstance(condition, AttributeCondition):
        name = row.common_name if condition.name == "common_name" else None
        return name is None or any(each.matches(name) for each in condition.patterns)
    if isinstance(condition, SerialCondition) and row.serial_number is not None:
        number = int(row.serial_number, 16)
        return any(each.first <= number <= each.last for each in condition.ranges)
    if isinstance(condition, CaCondition) and row.ca is not None:
        named = (rules.cas[alias] for alias in condition.aliases if alias in rules.cas)
        return any(row.ca == ca.alias or row.ca in ca.ids for ca in named)
    return True


def _patterns(rules: Iterable[Rule]) -> str:
    """Describe the rules and what they ask of a name, in a few words."""
    return ", ".join(map(_asked, list(rules)[:_SHOWN]))


def _asked(rule: Rule) -> str:
    names = (each for each in rule.conditions if isinstance(each, AttributeCondition) and each.name == "common_name")
    patterns = [f"`{glob.pattern}`" for each in names for glob in each.patterns[:_SHOWN]]
    return f"{' or '.join(patterns)} of rule {rule.name}" if patterns else f"rule {rule.name}"
