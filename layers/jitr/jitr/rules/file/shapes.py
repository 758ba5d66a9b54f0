"""How the values of a rules file are put together: lists, tables, records and what their keys need of each other.

The reader (``entries``), the schema and the tables of the documentation (``schema``) go by these.
"""

import re
from collections.abc import Iterable
from dataclasses import field

from jitr.rules.file.kinds import ROW_ATTRIBUTE, ScalarKind
from jitr.values import dataclass

MOST_VALUES = 1000  # of one condition; devices by the thousand belong on a device list


@dataclass(frozen=True, slots=True)
class OneOrMany:
    """One value, or a list of them, of which any may hold."""

    kind: ScalarKind
    most: int = MOST_VALUES
    hint: str | None = None  # for those who have more

    @property
    def told(self) -> str:
        """How tables name the kind."""
        return f"{self.kind.told}, or a list"


@dataclass(frozen=True, slots=True)
class Many:
    """A list of records."""

    record: "RecordShape"
    most: int
    told: str = "list"


@dataclass(frozen=True, slots=True)
class TableShape:
    """Names that the file makes up, each with a value. ``what`` is a key and its value, for messages."""

    key: ScalarKind
    value: "Kind"
    most: int
    what: str
    told: str = "mapping"


@dataclass(frozen=True, slots=True)
class AtLeastOne:
    """One of these keys must be there, or exactly one where ``only_one``."""

    keys: tuple[str, ...]
    message: str
    hint: str | None = None
    only_one: bool = False


@dataclass(frozen=True, slots=True)
class Needs:
    """A demand that ``needed`` be there if ``key`` is."""

    key: str
    needed: str
    message: str


@dataclass(frozen=True, slots=True)
class Field:
    """A key: its kind, what it means, whether it must be there, what counts without it, and an example of its value."""

    name: str
    kind: "Kind"
    doc: str
    example: str = ""
    required: bool = False
    default: str | None = None


@dataclass(frozen=True, slots=True)
class RecordShape:
    """A mapping with known keys. ``extra`` is a field for every key of the form ``attr.NAME``."""

    what: str  # with its article, for messages
    fields: tuple[Field, ...]
    constraints: tuple[AtLeastOne | Needs, ...] = ()
    extra: Field | None = None
    by_name: dict[str, Field] = field(init=False, repr=False, compare=False)
    told: str = "mapping"

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {each.name: each for each in self.fields})

    def field(self, name: str) -> Field | None:
        """Return the field of a key, or None for a key that the record does not know."""
        if self.extra is not None and re.fullmatch(ROW_ATTRIBUTE, name):
            return self.extra
        return self.by_name.get(name)


Kind = ScalarKind | OneOrMany | Many | TableShape | RecordShape


def records_in(kind: Kind) -> Iterable[RecordShape]:
    """Return a kind's records, outermost first."""
    if isinstance(kind, RecordShape):
        yield kind
        for each in kind.fields:
            yield from records_in(each.kind)
    elif isinstance(kind, Many):
        yield from records_in(kind.record)
    elif isinstance(kind, TableShape):
        yield from records_in(kind.value)
