"""Rules files: read with the CA certificates beside them, and tested."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from jitr.decision.selftest import FailedTests, TestFailure, run
from jitr.errors import InputError
from jitr.rules.file.ca_files import CaFiles
from jitr.rules.file.problems import Problem, RulesError
from jitr.rules.file.reader import RulesContext, read_rules
from jitr.rules.file.rules_file import RulesFile
from jitr.rules.file.source import MAX_BYTES
from jitr.rules.model import Rules
from jitr_operations import telling
from jitr_operations.files import read_bytes
from jitr_operations.rules.named_files import NamedFiles


def _ca_files(beside: Path) -> CaFiles:
    """Read the CA certificates in files beside a rules file."""

    def read(path: str) -> bytes:
        file = beside / path
        if file.exists() and not file.is_file():
            raise InputError(f"{path}: this is not a file")
        return read_bytes(file)

    return CaFiles(read)


def read_file(path: Path, known: RulesContext | None = None) -> tuple[RulesFile, bytes]:
    """Read a rules file with its tests and warnings, and its bytes.

    CA certificates that it names are read beside it. ``known`` is what exists in an account; what the rules name beyond
    it is an error.
    Raises RulesError with everything wrong in it, InputError where it cannot be read.
    """
    text = read_bytes(path, MAX_BYTES)
    files = _ca_files(path.parent)
    known = replace(known or RulesContext(), today=datetime.now(UTC).date(), ca_not_after=files.not_after)
    rules_file = read_rules(
        text, source=str(path), certificate_id=files.certificate_id, responder=files.responder, known=known
    )
    return rules_file, text


def read_rules_file(path: Path) -> Rules:
    """Return the rules in a file without running its tests. Raises as ``read_file``."""
    rules_file, _ = read_file(path)
    return rules_file.rules


def read_and_test(path: Path, known: RulesContext | None = None) -> tuple[Rules, bytes]:
    """Return the rules in a file whose tests all pass, and its bytes; report warnings.

    Raises as ``read_file``, and FailedTests.
    """
    rules_file, text = read_file(path, known)
    return _tested(rules_file), text


def test_text(text: bytes, source: str, known: RulesContext, named: NamedFiles) -> Rules:
    """Return the rules in a text whose tests all pass.

    Naming a file in it that is not among ``named`` is an error: there is no file beside it.
    Raises RulesError and FailedTests.
    """
    return _tested(_read_text(text, source, known, named))


def _read_text(text: bytes, source: str, known: RulesContext, named: NamedFiles) -> RulesFile:
    return read_rules(
        text,
        source=source,
        certificate_id=named.cas.__getitem__,
        responder=named.responders.__getitem__,
        known=replace(known, today=datetime.now(UTC).date()),
    )


@dataclass(frozen=True, slots=True)
class Looked:
    """What a text tells of itself: errors and warnings at their places, and tests in it that fail."""

    problems: tuple[Problem, ...] = ()
    failures: tuple[TestFailure, ...] = ()


def look_at(text: bytes, source: str, named: NamedFiles) -> Looked:
    """Return what is wrong with rules that are being written, from the text alone: no AWS is asked."""
    try:
        rules_file = _read_text(text, source, RulesContext(), named)
    except RulesError as error:
        return Looked(error.problems)
    return Looked(rules_file.warnings, run(rules_file))


def _tested(rules_file: RulesFile) -> Rules:
    for each in rules_file.warnings:
        telling.note(str(each))
    failures = run(rules_file)
    if failures:
        raise FailedTests(failures)
    return rules_file.rules
