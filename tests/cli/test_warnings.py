"""No warning of Python's is ever on a user's screen: none is raised, and one that were would not be shown."""

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from testkit.cli.cas import sound, write_ca
from testkit.cli.command_line import Run

from jitr_cli.main import jitr


def commands(group: click.Command, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every command, by the words that call it."""
    if not isinstance(group, click.Group):
        return [path]
    context = click.Context(group)
    found = [(each, group.get_command(context, each)) for each in group.list_commands(context)]
    return [words for name, command in found if command for words in commands(command, (*path, name))]


def jitr_with(*options: str) -> list[str]:
    return [sys.executable, *options, "-c", "from jitr_cli.main import run; run()"]


def test_no_command_warns_while_it_is_imported_and_asked_for_its_help() -> None:
    """All of them in one process, which Python ends at the first warning."""
    words = [[*each, "--help"] for each in commands(jitr)]
    assert len(words) > 50
    code = (
        "import click, sys\n"
        "from jitr_cli.main import jitr\n"
        f"for each in {words!r}:\n"
        "    jitr.main(each, prog_name='jitr', standalone_mode=False)\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "words",
    [
        ("ca", "create", "another", "--parent", "ca.pem", "--parent-key", "ca.key"),
        ("device", "issue", "snr-1", "--ca", "ca.pem", "--ca-key", "ca.key", "--with-csr", "--chain"),
        ("device", "issue", "--csr", "snr-0.csr", "--ca", "ca.pem", "--ca-key", "ca.key", "--force"),
        ("events", "make", "snr-0.pem", "--account", "0" * 12, "--ca", "ca.pem"),
        ("device", "diagnose", "--endpoint", "127.0.0.1:9", "--no-account", "--wait", "0", "--certificate",
         "snr-0.pem", "--key", "snr-0.key"),
        ("ca", "register", "ca.pem", "--key", "ca.key", "--endpoint-url", "http://127.0.0.1:9"),
        ("device", "register", "snr-0.pem", "--endpoint-url", "http://127.0.0.1:9"),
        ("device", "show", "snr-0.pem", "--endpoint-url", "http://127.0.0.1:9"),
    ],
    ids=lambda words: " ".join(words[:2]),
)  # fmt: skip
def test_a_country_of_three_letters_makes_no_command_warn(run: Run, workdir: Path, words: tuple[str, ...]) -> None:
    """As processes of their own, where every warning is an error: what was imported before hides nothing."""
    name = (("C", "DEU", "PrintableString"), ("CN", "Factory A"))
    write_ca(sound().subject(*name).issuer(*name))
    issued = run("device", "issue", "snr-0", "--ca", "ca.pem", "--ca-key", "ca.key", "--with-csr")
    assert issued.exit_code == 0, issued.stderr
    nowhere = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "eu-central-1"}
    environment = {**os.environ, **nowhere, "AWS_MAX_ATTEMPTS": "1", "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(
        [*jitr_with("-W", "error"), *words], capture_output=True, text=True, check=False, env=environment
    )
    assert "Warning" not in done.stdout + done.stderr
    assert "a bug in jitr" not in done.stderr
    assert done.returncode in (0, 1, 3), done.stderr


def test_a_warning_of_a_library_is_not_shown_unless_it_is_asked_for() -> None:
    code = "import click, warnings; from jitr_cli import main; main.jitr.main = lambda **_: warnings.warn('x') or {}; "
    for options, shown in (((), False), (("-W", "default"), True)):
        words = [sys.executable, *options, "-c", code + "main.run()"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert ("UserWarning: x" in done.stderr) == shown
