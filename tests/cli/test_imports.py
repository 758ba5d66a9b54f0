"""A command imports what it uses: what it would not use, people wait for each time they run it."""

import json
import subprocess
import sys

import pytest

_HEAVY = ("aws_lambda_powertools", "boto3", "cryptography", "flask", "multiprocessing", "rich", "tarfile", "yaml")
_PROBE = """
import importlib, json, sys
importlib.import_module("jitr_cli.main")
for each in sys.argv[1:]:
    importlib.import_module(each)
print(json.dumps(sorted(sys.modules)))
"""

# The command's module, at most so many modules of ours, and what it needs of what takes long to import.
BUDGETS = {
    "held.listing": (72, set[str]()),
    "lists.rows": (91, set[str]()),
    "decisions.group": (94, {"cryptography"}),
    "explain.command": (50, set[str]()),
    "status.command": (123, {"cryptography"}),
}


def _imported(*modules: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", _PROBE, *modules], capture_output=True, text=True, check=True)
    return list(json.loads(done.stdout))


@pytest.mark.parametrize("command", BUDGETS)
def test_a_command_imports_what_it_uses(command: str) -> None:
    most, needed = BUDGETS[command]
    found = _imported(f"jitr_cli.commands.{command}")
    assert {each for each in _HEAVY if each in found} <= needed
    assert sum(each.startswith("jitr") for each in found) <= most


def test_a_completion_of_commands_imports_none() -> None:
    """Neither the commands, nor AWS's SDK: a person waits at each Tab."""
    code = (
        "import sys; from jitr_cli.main import run\n"
        "try: run()\n"
        "except SystemExit: print('loaded', [each for each in sys.modules"
        " if each.startswith('jitr_cli.commands.held.') or each in ('botocore', 'cryptography')])"
    )
    words = {"_JITR_COMPLETE": "bash_complete", "COMP_WORDS": "jitr held ", "COMP_CWORD": "2"}
    done = subprocess.run([sys.executable, "-c", code], env=words, capture_output=True, text=True, check=True)
    told = done.stdout.splitlines()
    assert told[:-1] == ["plain,ls", "plain,admit", "plain,reject", "plain,recheck"]
    assert told[-1] == "loaded []"


def test_what_decides_from_facts_reads_no_certificates() -> None:
    """The recheck function starts sooner by it, and so does each command."""
    assert "cryptography" not in _imported("jitr.aws.dynamodb.table", "jitr.services.recheck.recheck")
