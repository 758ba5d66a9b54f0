"""Running the tests in a rules file: the deciding code that the functions run, on made-up devices.

A test needs nothing outside the file. Its device has a certificate that is in order unless the test says otherwise, of
a CA that is in order; lists that the test does not give are empty; revocation lists have nobody on them.
"""

import hashlib
from collections import ChainMap
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from jitr.decision.decide import Decision, decide
from jitr.decision.revocation import without_revocation
from jitr.devicelists.rows import Membership, membership_in, rows_by_key
from jitr.errors import InputError
from jitr.facts import Attribute, CaFacts, CertificateFacts, ChainFacts, Knock, SignatureFacts
from jitr.reasons import Verdict
from jitr.rules.file.rules_file import RulesFile, RuleTest, RuleTestDevice
from jitr.rules.model import Rules
from jitr.text import counted
from jitr.values import dataclass

_UNNAMED_CA = hashlib.sha256(b"a CA that the rules do not name").hexdigest()
_ISSUER = (Attribute("common_name", "made-up CA"),)
_EARLIEST, _LATEST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_DAY, _YEAR = timedelta(days=1), timedelta(days=365)


@dataclass(frozen=True, slots=True)
class TestFailure:
    """A test whose decision is not the expected one. ``str`` tells it in one line, ``file:line`` first."""

    __test__ = False  # not a test of this project, whatever pytest thinks of the name

    source: str
    line: int
    name: str
    expected: str
    got: str

    def __str__(self) -> str:
        return f'{self.source}:{self.line}: test "{self.name}" expected {self.expected}, got {self.got}'

    def to_json(self) -> dict[str, str | int]:
        """Return it as in ``jitr rules check --json``."""
        return {
            "file": self.source,
            "line": self.line,
            "test": self.name,
            "expected": self.expected,
            "got": self.got,
        }


class FailedTests(InputError):
    """A rules file is in order, but tests in it fail, so it is not used."""

    def __init__(self, failures: Sequence[TestFailure]) -> None:
        super().__init__("\n".join([f"{counted(len(failures), 'test')} in the file failed:", *map(str, failures)]))
        self.failures = tuple(failures)


def run(rules_file: RulesFile) -> tuple[TestFailure, ...]:
    """Return every test of a rules file that fails, in the file's order."""
    rules = without_revocation(rules_file.rules)
    empty: dict[str, Membership | None] = dict.fromkeys(rules.lists)
    failures = (_failure(test, decide_test(test, rules, empty), rules_file.source) for test in rules_file.tests)
    return tuple(each for each in failures if each is not None)


def decide_test(test: RuleTest, rules: Rules, empty: dict[str, Membership | None]) -> Decision:
    """Decide a test's device; ``empty`` has None for every list."""
    knock = knock_of(test, rules)
    given: dict[str, Membership | None] = {
        name: membership_in(knock, rows_by_key(rows), test.at) for name, rows in test.lists.items()
    }
    return decide(knock, rules, ChainMap(given, empty), test.at, test.knocked_at)


def knock_of(test: RuleTest, rules: Rules) -> Knock:
    """Make the knock of a test's device. The same device has the same certificate each time."""
    device = test.device
    ca_id = _UNNAMED_CA if device.ca is None else rules.cas[device.ca].ids[0]
    return Knock(
        certificate=_certificate(device, test),
        ca_certificate_id=ca_id,
        ca=CaFacts(
            ca_certificate_id=ca_id,
            status="ACTIVE",
            not_before=_shifted(min(test.at, test.knocked_at), -_YEAR),
            not_after=_shifted(max(test.at, test.knocked_at), 10 * _YEAR),
            is_ca=True,
            may_sign=True,
            name_constraints=False,
            subject=_ISSUER,
        ),
        chain=ChainFacts(signature_valid=True, names_equal=True, key_identifiers_agree=True),
        aliases=rules.aliases_of(ca_id),
    )


def _certificate(device: RuleTestDevice, test: RuleTest) -> CertificateFacts:
    made_up = repr((device.ca, device.subject, device.serial_number, device.key)).encode("utf-8", "backslashreplace")
    not_before = device.not_before or _shifted(min(test.at, test.knocked_at), -_DAY)
    return CertificateFacts(
        certificate_sha256=device.certificate_sha256 or hashlib.sha256(b"certificate" + made_up).hexdigest(),
        public_key_sha256=device.public_key_sha256 or hashlib.sha256(b"key" + made_up).hexdigest(),
        version=3,
        serial_number=device.serial_number or f"{int(hashlib.sha256(b'serial' + made_up).hexdigest()[:32], 16):x}",
        subject=device.subject,
        issuer=_ISSUER,
        not_before=not_before,
        not_after=device.not_after or max(_shifted(test.at, _YEAR), not_before),
        key=device.key,
        signature=SignatureFacts("ECDSA", device.signature_hash),
        extended_key_usage=("clientAuth",),
    )


def _shifted(moment: datetime, by: timedelta) -> datetime:
    """Return a moment earlier or later, within the years there are."""
    if by > timedelta(0):
        return moment + by if moment <= _LATEST - by else _LATEST
    return moment + by if moment >= _EARLIEST - by else _EARLIEST


def _failure(test: RuleTest, decision: Decision, source: str) -> TestFailure | None:
    expect = test.expect
    thing = decision.grant.thing if decision.grant else None
    codes = {each.code for each in decision.reasons}
    as_expected = (
        decision.verdict is expect.decision
        and expect.rule in (None, decision.rule)
        and expect.thing in (None, thing)
        and codes.issuperset(expect.reasons)
    )
    if as_expected:
        return None
    return TestFailure(source, test.line, test.name, _expected(test), _got(decision, thing, test))


def _expected(test: RuleTest) -> str:
    expect = test.expect
    told = _verdict(expect.decision, expect.rule)
    if expect.thing is not None:
        told += f" as thing {expect.thing}"
    if expect.reasons:
        told += f" with {', '.join(expect.reasons)}"
    return told


def _got(decision: Decision, thing: str | None, test: RuleTest) -> str:
    told = _verdict(decision.verdict, decision.rule)
    if decision.verdict is Verdict.ADMIT:
        return f"{told} as thing {thing}" if thing is not None and test.expect.thing is not None else told
    return f"{told}: " + "; ".join(f"{each.code} ({each.message})" for each in decision.reasons)


def _verdict(verdict: Verdict, rule: str | None) -> str:
    return f"{verdict.value} by {rule}" if rule is not None else verdict.value
