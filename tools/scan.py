"""`make lint`: has checkov and parliament look at the stack as CloudFormation makes it, with and without its options.

A finding stands only with an exception in tools/scan_exceptions.toml that says why; an exception that no finding needs
any more is a fault as well. Both tools run in .venv-lint and need no network.
"""

import fnmatch
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testkit.transformed import deployed
from tools.deployer import policy
from tools.physical import physical

ROOT = Path(__file__).resolve().parent.parent
EXCEPTIONS = ROOT / "tools" / "scan_exceptions.toml"
BARE, OPTIONS = "without-options", "with-options"
STACKS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "default": (BARE, {}),
    "dev": (BARE, {"DataDeletionPolicy": "Delete"}),
    "options": (
        OPTIONS,
        {
            "KmsKeyArn": "arn:aws:kms:eu-central-1:123456789012:key/0a1b2c3d",
            "PermissionsBoundaryArn": "arn:aws:iam::123456789012:policy/boundary",
            "AccessLogsBucket": "logs-of-ours",
            "Tracing": "Active",
            "CrlObjectArns": "arn:aws:s3:::example-crls/*",
        },
    ),
}


_REAL = {
    "STACK": "jitr",
    "REGION": "eu-central-1",
    "ACCOUNT": "123456789012",
    "ARTIFACTS": "artifacts",
    "KEY": STACKS["options"][1]["KmsKeyArn"],
    "BOUNDARY": STACKS["options"][1]["PermissionsBoundaryArn"],
}


class NotScanned(Exception):
    """A tool did not do its work; the message says what it said."""


@dataclass(frozen=True, order=True)
class Objection:
    """What a tool says about one resource of one of the stacks."""

    stack: str
    tool: str
    check: str
    resource: str
    text: str


def policies(resources: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each IAM policy of a stack with the resource that carries it."""
    for name, each in resources.items():
        if each["Type"] in {"AWS::IAM::Role", "AWS::IAM::Policy"}:
            for policy in each["Properties"].get("Policies", [each["Properties"]]):
                if "PolicyDocument" in policy:
                    yield name, policy["PolicyDocument"]


def scan(folder: Path) -> Iterator[Objection]:
    """Yield what both tools find. Raises NotScanned."""
    templates = []
    for stack, (_, parameters) in STACKS.items():
        resources = physical(deployed(**parameters))
        templates.append(folder / f"{stack}.json")
        templates[-1].write_text(json.dumps({"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources}))
        for name, document in policies(resources):
            (folder / "policies" / stack).mkdir(parents=True, exist_ok=True)
            (folder / "policies" / stack / f"{name}.json").write_text(json.dumps(document))
    (folder / "policies" / "default").mkdir(parents=True, exist_ok=True)
    for name in ("deploy", "data", "roles", "roles-within-boundary", "key"):
        (folder / "policies" / "default" / f"deployer-{name}.json").write_text(policy(name, **_REAL))
    yield from _by_checkov(templates)
    yield from _by_parliament(folder / "policies")


def _by_checkov(templates: Iterable[Path]) -> Iterator[Objection]:
    files = [part for each in templates for part in ("--file", str(each))]
    said = _run("checkov", *files, "--framework", "cloudformation", "--skip-download", "--output", "json")
    results = json.loads(said)["results"]
    if results["parsing_errors"]:
        raise NotScanned(f"checkov could not read {', '.join(results['parsing_errors'])}")
    for each in results["failed_checks"]:
        stack = Path(each["file_path"]).stem
        yield Objection(stack, "checkov", each["check_id"], each["resource"].split(".")[-1], each["check_name"])


def _by_parliament(folder: Path) -> Iterator[Objection]:
    for line in _run("parliament", "--directory", str(folder), "--json").splitlines():
        each = json.loads(line)
        file = Path(each["location"]["filepath"])
        for check, text in _told(each):
            yield Objection(file.parent.name, "parliament", check, file.stem, text)


def _told(finding: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield a finding's check and text; one that is about several actions, for each of them."""
    if finding["issue"] == "RESOURCE_MISMATCH":
        for each in finding["detail"]:
            wanted = each["required_format"]
            yield (
                f"{finding['issue']} {each['action']}",
                f"is authorised on {wanted}, and no resource of the statement is",
            )
    else:
        yield finding["issue"], str(finding["detail"] or finding["title"]).strip()


def _run(tool: str, *arguments: str) -> str:
    # Both exit with 1 where they find something. parliament warns of a module that it imports.
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    command = [str(ROOT / ".venv-lint/bin" / tool), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)  # noqa: S603
    if done.returncode not in {0, 1} or done.stderr.strip():
        raise NotScanned(f"{tool} failed: {done.stderr.strip()[-500:] or done.returncode}")
    return done.stdout


def judge(findings: Iterable[Objection], exceptions: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return a line for each finding without an exception, and for each exception without a finding.

    Exceptions are by section (every-stack, without-options, with-options) and then `TOOL CHECK RESOURCE`, where * and ?
    may stand in the resource.
    """
    needed: set[tuple[str, str]] = set()
    told: dict[str, list[str]] = {}
    for finding in sorted(findings):
        standing = {
            (section, pattern)
            for section in ("every-stack", STACKS[finding.stack][0])
            for pattern in exceptions.get(section, {})
            if fnmatch.fnmatchcase(f"{finding.tool} {finding.check} {finding.resource}", pattern)
        }
        needed |= standing
        if not standing:
            line = f"{finding.resource}: {finding.tool} {finding.check}: {finding.text}"
            told.setdefault(line, []).append(finding.stack)
    lines = [f"{line} (in {', '.join(stacks)})" for line, stacks in told.items()]
    given = {(section, pattern) for section, patterns in exceptions.items() for pattern in patterns}
    lines += [
        f"{EXCEPTIONS.name}: [{section}] {pattern!r} is not needed any more"
        for section, pattern in sorted(given - needed)
    ]
    return lines


def main() -> int:
    """Say what is wrong, a line each; the exit code."""
    exceptions = tomllib.loads(EXCEPTIONS.read_text())
    with tempfile.TemporaryDirectory() as folder:
        try:
            lines = judge(scan(Path(folder)), exceptions)
        except NotScanned as problem:
            print(problem, file=sys.stderr)
            return 3
    print("\n".join(lines) or f"checkov and parliament: clean, with {sum(map(len, exceptions.values()))} exceptions")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
