"""What a rules file is when it has been read: the rules, and the tests that come with them."""

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime

from jitr.devicelists.rows import ListRow
from jitr.facts import Attribute, KeyFacts
from jitr.reasons import Verdict
from jitr.rules.file.problems import Problem
from jitr.rules.model import Rules
from jitr.values import dataclass


@dataclass(frozen=True, slots=True)
class RuleTestDevice:
    """The device of a test. What is None is made up."""

    ca: str | None = None  # an alias; None: of a CA that the rules do not name
    subject: tuple[Attribute, ...] = ()
    serial_number: str | None = None
    certificate_sha256: str | None = None
    public_key_sha256: str | None = None
    not_before: datetime | None = None
    not_after: datetime | None = None
    key: KeyFacts = field(default_factory=lambda: KeyFacts("EC", 256, "P-256"))
    signature_hash: str = "sha256"


@dataclass(frozen=True, slots=True)
class Expectation:
    """The decision that a test expects; None and empty are not compared."""

    decision: Verdict
    rule: str | None = None
    thing: str | None = None
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RuleTest:
    """One test of a rules file: a device, the rows of its lists, when it knocked and is decided on, what must come."""

    name: str
    line: int
    at: datetime
    knocked_at: datetime
    device: RuleTestDevice
    lists: Mapping[str, tuple[ListRow, ...]]
    expect: Expectation


@dataclass(frozen=True, slots=True)
class RulesFile:
    """One rules file. ``source`` is the file as it was named to us; ``rules.source`` only its last part."""

    source: str
    rules: Rules
    tests: tuple[RuleTest, ...] = ()
    warnings: tuple[Problem, ...] = ()
