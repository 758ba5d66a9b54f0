"""``jitr rules init``, ``check`` and ``schema``: rules files without AWS."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from jitr.decision.selftest import TestFailure, run
from jitr.errors import InputError
from jitr.rules.file.problems import Problem, RulesError
from jitr.rules.file.rules_file import RulesFile
from jitr.rules.file.schema import json_schema
from jitr.text import counted
from jitr_cli.console.options import FILE, stack_options
from jitr_cli.console.output import emit, json_option, note
from jitr_operations.deployment import Choice
from jitr_operations.rules.files import read_file
from jitr_operations.rules.starting import SCHEMA_FILE, STARTER, starting_text

# --- the commands


@click.command("init")
@click.argument("file", type=FILE, default="admission.yaml")
@click.option(
    "--from-stack", is_flag=True, help="Name the CAs and the IoT policy that are there, instead of made-up ones."
)
@stack_options
@json_option
def init(file: Path, from_stack: bool, choice: Choice, as_json: bool) -> None:
    """Write a first rules file, with comments and tests, to start from.

    The schema for editors is written beside it. Nothing is overwritten. With --from-stack, AWS is asked, and the file
    can be published as it is.

    \b
    Examples:
      jitr rules init admission.yaml
      jitr rules init admission.yaml --from-stack --local
    """
    schema_file = file.with_name(SCHEMA_FILE)
    text = starting_text(choice.deployment()) if from_stack else STARTER
    if not _create(file, text):
        raise InputError(f"{file} exists, and was left as it is: name another file")
    made = [file, schema_file] if _create(schema_file, _schema_text() + "\n") else [file]
    document = {"files": [str(each) for each in made]}
    emit(as_json, document, f"Wrote {' and '.join(map(str, made))}. Go on: jitr rules check {shlex.quote(str(file))}")


@click.command("check")
@click.argument("file", type=FILE)
@json_option
@click.pass_context
def check(context: click.Context, file: Path, as_json: bool) -> None:
    """Check a rules file and run the tests in it, from the file alone, without AWS.

    Exit code 0 means in order, 1 that a test in the file fails, 2 that the file has errors.

    \b
    Example:
      jitr rules check admission.yaml
    """
    try:
        rules_file, _ = read_file(file)
    except RulesError as error:
        if as_json:
            emit(as_json, _report(file, problems=error.problems), "")
        raise
    failures = run(rules_file)
    _tell_warnings(rules_file.warnings)
    for failure in failures:
        note(str(failure))
    emit(as_json, _report(file, rules_file, rules_file.warnings, failures), _summary(rules_file, failures))
    if failures:
        context.exit(1)


@click.command("schema")
@json_option
def schema(as_json: bool) -> None:  # noqa: ARG001 - it is JSON anyway
    """Print the JSON Schema of rules files, for editors.

    \b
    Example:
      jitr rules schema > admission.schema.json
    and as the first line of the rules file:
      # yaml-language-server: $schema=admission.schema.json
    """
    click.echo(_schema_text())


def _create(path: Path, text: str) -> bool:
    """Write a file that is not there yet; False where it is."""
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError:
        return False
    return True


def _schema_text() -> str:
    return json.dumps(json_schema(), indent=2)


def _tell_warnings(warnings: Sequence[Problem]) -> None:
    for each in warnings:
        note(str(each))


def _summary(rules_file: RulesFile, failures: Sequence[TestFailure]) -> str:
    rules, tests = rules_file.rules, len(rules_file.tests)
    count = counted(len(rules.deny) + len(rules.allow), "rule")
    outcome = f"{len(failures)} of {counted(tests, 'test')} failed" if failures else f"{counted(tests, 'test')} passed"
    if not tests:
        outcome = "no tests in it"
    return f"{rules_file.source}: {count}, {outcome}\ndigest: {rules.digest}"


def _report(
    file: Path,
    rules_file: RulesFile | None = None,
    problems: Sequence[Problem] = (),
    failures: Sequence[TestFailure] = (),
) -> dict[str, Any]:
    """Return what ``check --json`` prints; without rules the file has errors."""
    told: dict[str, Any] = {
        "file": str(file),
        "ok": rules_file is not None and not failures,
        "digest": None,
        "rules": None,
        "tests": None,
    }
    if rules_file is not None:
        rules = rules_file.rules
        told["digest"] = rules.digest
        told["rules"] = {"deny": len(rules.deny), "allow": len(rules.allow)}
        told["tests"] = {"passed": len(rules_file.tests) - len(failures), "failed": len(failures)}
    by_severity = {name: [each.to_json() for each in problems if each.severity == name] for name in _SEVERITIES}
    return told | {
        "errors": by_severity["error"],
        "warnings": by_severity["warning"],
        "failures": [each.to_json() for each in failures],
    }


_SEVERITIES = ("error", "warning")
