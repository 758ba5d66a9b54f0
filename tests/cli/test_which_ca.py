"""Every command that takes a CA takes its alias in the rules in force, its id, the beginning of one, and its file."""

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from testkit.aws.world import World
from testkit.cli.cas import refusing
from testkit.cli.command_line import Aws, Run
from testkit.cli.fleet import Fleet, leaf
from testkit.cli.operating import FACTORY
from testkit.cli.rolling import rolling_fleet

from jitr_cli.console import completion
from jitr_cli.main import jitr

# Part of what each says, whatever the CA is called. The rules name no revocation list for it.
TAKING = {
    "ca show {ca}": FACTORY.id,
    "ca activate {ca}": f"{FACTORY.id} (",
    "ca delete {ca}": f"the CA {FACTORY.id} is ACTIVE",
    "ca rollover {ca} factory-b": "factory-a",
    "ca rollover factory-b {ca}": "factory-a",
    "ca revocation {ca}": "give factory-a neither",
    "device ls --ca {ca}": "snr-1",
    "device register --ca {ca} other.pem": FACTORY.id,
    "device deactivate --crl {ca}": "give factory-a no revocation list",
    "decisions ls --ca {ca}": "snr-1",
    "held ls --ca {ca}": "No device",
    "fleet check --ca {ca}": "1 admitted certificate checked",
    "fleet export --ca {ca} fleet.csv --force": "Wrote 1 certificate",
    "failures sweep --ca {ca} --dry-run": FACTORY.id[:12],
    "ca deactivate {ca} --yes": f"{FACTORY.id} (",
}


@pytest.fixture
def fleet(world: World, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    fleet = rolling_fleet(world, aws, monkeypatch)
    fleet.let_in("snr-1")
    Path("factory.pem").write_bytes(FACTORY.pem)
    Path("other.pem").write_bytes(leaf("other").pem)
    return fleet


def amiss(run: Run, called: str, *commands: str) -> dict[str, str]:
    """What commands say that do not find the CA by what it is called."""
    said = {each: run(*each.format(ca=called).split()).output for each in commands}
    return {each: text for each, text in said.items() if TAKING[each] not in text}


def test_every_command_takes_a_ca_by_its_alias(run: Run, fleet: Fleet) -> None:
    assert amiss(run, "factory-a", *TAKING) == {}


@pytest.mark.parametrize("called", [FACTORY.id, FACTORY.id[:8].upper(), "factory.pem"], ids=["id", "beginning", "file"])
def test_a_ca_is_called_by_its_id_by_the_beginning_of_it_or_by_its_file_as_well(
    run: Run, fleet: Fleet, called: str
) -> None:
    """One command for each way in which they look for it."""
    assert amiss(run, called, "ca show {ca}", "ca revocation {ca}", "decisions ls --ca {ca}") == {}


@pytest.mark.parametrize("command", ["ca show", "ca revocation", "decisions ls --ca"])
def test_whoever_mistypes_a_ca_is_told_what_it_may_be_called_and_the_nearest_alias(
    run: Run, fleet: Fleet, command: str
) -> None:
    done = run(*command.split(), "factory-aa")
    assert (done.exit_code, "did you mean factory-a?" in done.stderr) == (2, True)
    assert "'factory-aa' is no file, no caCertificateId" in done.stderr


def test_who_may_not_read_the_rules_finds_a_ca_by_the_beginning_of_its_id(run: Run, fleet: Fleet) -> None:
    """Only an alias needs the rules."""
    fleet.aws.overrides["BatchGetItem"] = refusing("AccessDeniedException", "BatchGetItem")
    assert FACTORY.id in run("ca", "show", FACTORY.id[:8]).stdout
    assert run("ca", "activate", "factory-a").exit_code == 3


def test_every_command_that_completes_aliases_of_cas_is_in_the_table() -> None:
    assert {each for each in _taking_a_ca(jitr, ()) if not any(there.startswith(each) for there in TAKING)} == set()


def _taking_a_ca(command: click.Command, words: tuple[str, ...]) -> Iterator[str]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None:
                yield from _taking_a_ca(found, (*words, name))
        return
    for each in command.params:
        if each._custom_shell_complete is completion.ca_aliases:
            yield " ".join((*words, each.opts[0] if isinstance(each, click.Option) else ""))
