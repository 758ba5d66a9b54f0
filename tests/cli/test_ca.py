"""`jitr ca ls`, `show`, `activate`, `deactivate` and `delete`."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from testkit import pki as drafts
from testkit.cli.cas import LONG, TODAY, described, of_one_subject, refusing, sound, write_ca
from testkit.cli.command_line import Aws, Run
from testkit.cli.stack import deploy

from jitr.aws.dynamodb.table import Table
from jitr.rules.file.reader import read_rules
from jitr.services.publishing.publication import publish

pytestmark = pytest.mark.usefixtures("workdir")


@pytest.fixture
def registered(run: Run, aws: Aws, workdir: Path) -> drafts.CA:
    """A registered CA, ca.pem."""
    ca = write_ca(sound())
    assert run("ca", "register", "ca.pem", "--key", "ca.key").exit_code == 0
    aws.calls.clear()
    return ca


RULES = """\
format: 1
cas:
  factory: {{ids: ["{ca}"]}}
  old-name: {{ids: ["{ca}", "{other}"]}}
  other: {{ids: ["{other}"]}}
deny:
  - name: recalled
    ca: old-name
    common_name: "bad-*"
  - name: stolen
    list: stolen
allow:
  - name: sensors
    ca: [other, factory]
    common_name: "snr-*"
    grant: {{iot_policies: [Sensor]}}
  - name: elsewhere
    ca: other
    common_name: "else-*"
    grant: {{iot_policies: [Sensor]}}
"""


def devices(*pages: list[str]) -> Callable[[dict[str, Any]], Any]:
    """AWS IoT's answers about a CA's devices: the status of each, on so many pages."""

    def page(given: dict[str, Any]) -> Any:
        number = int(given.get("marker", 0))
        more = {"nextMarker": str(number + 1)} if number + 1 < len(pages) else {}
        return {"certificates": [{"status": each} for each in pages[number]]} | more

    return page


@pytest.fixture
def in_force(registered: drafts.CA) -> Table:
    """A deployed stack, whose rules name the registered CA."""
    table = deploy()
    rules = read_rules(RULES.format(ca=registered.id, other="0" * 64).encode(), source="admission.yaml").rules
    publish(table, rules, b"", table.heads(), at="2026-03-01T12:00:00Z", by="tests")
    return table


# --- ls and show


def test_ls_lists_every_page(run: Run, aws: Aws) -> None:
    of_one_subject(aws, 10)
    result = run("ca", "ls", "--json")
    assert len(json.loads(result.stdout)["cas"]) == 10
    assert len(run("ca", "ls").stdout.splitlines()) == 11


def test_ls_of_nothing_says_so(run: Run, aws: Aws) -> None:
    result = run("ca", "ls")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "No CA is registered here" in result.stderr
    assert json.loads(run("ca", "ls", "--json").stdout) == {"cas": []}


def test_ls_tells_of_a_provisioning_template(run: Run, aws: Aws) -> None:
    ca = drafts.ca()
    aws.overrides["ListCACertificates"] = lambda _: {"certificates": [{"certificateId": ca.id}]}
    aws.overrides["DescribeCACertificate"] = described(ca, registrationConfig={"templateName": "fleet"})
    assert "the rules never see them" in run("ca", "ls").stderr


def test_devices_are_counted_by_status_on_every_page(run: Run, aws: Aws, registered: drafts.CA) -> None:
    aws.overrides["ListCertificatesByCA"] = devices(["ACTIVE", "INACTIVE"], ["ACTIVE"], [])
    document = json.loads(run("ca", "show", "ca.pem", "--json").stdout)
    assert document["devices"] == {"ACTIVE": 2, "INACTIVE": 1}
    assert run("ca", "show", registered.id[:10]).exit_code == 0
    assert "devices ACTIVE         2\n" in run("ca", "show", registered.id.upper()).stdout
    assert "2 ACTIVE, 1 INACTIVE" in run("ca", "ls").stdout
    assert json.loads(run("ca", "ls", "--json").stdout)["cas"][0]["devices"] == document["devices"]


def test_ls_does_not_count_devices_if_told_not_to(run: Run, aws: Aws, registered: drafts.CA) -> None:
    listed = json.loads(run("ca", "ls", "--no-count", "--json").stdout)["cas"]
    assert [each["devices"] for each in listed] == [None]
    assert "devices" not in run("ca", "ls", "--no-count").stdout
    assert "ListCertificatesByCA" not in aws.operations


@pytest.mark.parametrize(
    ("start", "end", "days", "words"),
    [
        (-LONG, timedelta(days=30, hours=1), 30, "30 days"),
        (-LONG, timedelta(days=1, hours=1), 1, "1 day"),
        (-LONG, timedelta(hours=1), 0, "0 days"),
        (-LONG, -timedelta(hours=1), -1, "expired"),
        (timedelta(days=1), timedelta(days=30, hours=1), 30, "not valid before"),
    ],
)
def test_the_validity_left_is_told(run: Run, aws: Aws, start: timedelta, end: timedelta, days: int, words: str) -> None:
    ca = write_ca(sound().valid(TODAY + start, TODAY + end))
    aws.overrides["ListCACertificates"] = lambda _: {"certificates": [{"certificateId": ca.id}]}
    aws.overrides["DescribeCACertificate"] = described(ca)
    assert json.loads(run("ca", "show", ca.id, "--json").stdout)["days_left"] == days
    assert words in run("ca", "show", ca.id).stdout
    assert words in run("ca", "ls").stdout


@pytest.mark.usefixtures("in_force")
def test_the_aliases_of_a_ca_and_the_rules_that_name_it_are_told(run: Run) -> None:
    """Rules without `ca` are for every CA: they name none."""
    shown = json.loads(run("ca", "show", "ca.pem", "--json").stdout)
    assert shown["aliases"] == ["factory", "old-name"]
    assert shown["rules"] == [
        {"effect": "deny", "rule": "recalled", "at": "admission.yaml:7"},
        {"effect": "allow", "rule": "sensors", "at": "admission.yaml:13"},
    ]
    told = run("ca", "show", "ca.pem").stdout
    assert "factory, old-name\n" in told
    assert "allow sensors (admission.yaml:13)\n" in told
    listed = run("ca", "ls").stdout
    assert "factory, old-name" in listed
    assert "recalled, sensors" in listed


def test_a_ca_that_no_rule_names_is_told_as_such(run: Run, in_force: Table) -> None:
    ca = write_ca(drafts.ca_draft("New").basic_constraints(ca=True), "new")
    assert run("ca", "register", "new.pem", "--key", "new.key").exit_code == 0
    shown = json.loads(run("ca", "show", ca.id, "--json").stdout)
    assert (shown["aliases"], shown["rules"]) == ([], [])
    assert "no rule in force" in run("ca", "show", ca.id).stdout


def test_before_rules_are_published_no_rule_names_a_ca(run: Run, aws: Aws, registered: drafts.CA) -> None:
    deploy()
    shown = json.loads(run("ca", "show", "ca.pem", "--json").stdout)
    assert (shown["aliases"], shown["rules"]) == ([], [])


@pytest.mark.parametrize("command", [("ls",), ("show", "ca.pem")])
def test_without_a_stack_aliases_and_rules_are_left_out(
    run: Run, aws: Aws, registered: drafts.CA, command: tuple[str, ...]
) -> None:
    result = run("ca", *command, "--json")
    assert result.exit_code == 0
    assert "Aliases and rules are left out: there is no stack jitr" in result.stderr
    document = json.loads(result.stdout)
    shown = document["cas"][0] if command == ("ls",) else document
    assert (shown["aliases"], shown["rules"]) == (None, None)
    plain = run("ca", *command).stdout
    assert registered.id in plain
    assert "alias" not in plain
    assert "rule" not in plain


def test_a_stack_that_the_command_line_names_must_be_there(run: Run, aws: Aws, registered: drafts.CA) -> None:
    result = run("ca", "ls", "--stack", "nowhere")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "there is no stack nowhere" in result.stderr


@pytest.mark.parametrize("operation", ["DescribeStacks", "BatchGetItem"])
def test_who_may_not_read_the_rules_still_sees_the_cas(
    run: Run, aws: Aws, in_force: Table, registered: drafts.CA, operation: str
) -> None:
    aws.overrides[operation] = refusing("AccessDeniedException", operation)
    result = run("ca", "ls")
    assert result.exit_code == 0
    assert "Aliases and rules are left out: " in result.stderr
    assert registered.id in result.stdout


def test_what_is_wrong_with_the_account_is_told(run: Run, aws: Aws) -> None:
    aws.overrides["GetCallerIdentity"] = refusing("ExpiredToken", "GetCallerIdentity")
    result = run("ca", "ls")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "Sign in again" in result.stderr


# --- activate, deactivate and delete


@pytest.mark.parametrize(
    ("command", "which"),
    [
        ("show", "abc"),
        ("show", "not-an-id"),
        ("show", "0" * 8),
        ("show", "0" * 64),
        ("activate", "0" * 64),
        ("deactivate", "0" * 64),
        ("delete", "0" * 64),
    ],
)
def test_a_ca_that_is_not_there_is_named(run: Run, aws: Aws, command: str, which: str) -> None:
    result = run("ca", command, which)
    assert (result.exit_code, result.stdout) == (2, "")
    assert which in result.stderr


def test_a_ca_is_deactivated_activated_and_deleted(run: Run, aws: Aws, registered: drafts.CA) -> None:
    assert run("ca", "deactivate", "ca.pem", "--yes").exit_code == 0
    assert _status(run) == "INACTIVE"
    assert run("ca", "activate", registered.id).exit_code == 0
    assert _status(run) == "ACTIVE"
    deleted = run("ca", "delete", "ca.pem", "--yes", "--deactivate", "--json")
    assert json.loads(deleted.stdout) == {"ca_certificate_id": registered.id, "status": "deleted", "devices": {}}
    assert json.loads(run("ca", "ls", "--json").stdout) == {"cas": []}


@pytest.mark.parametrize("command", [("deactivate",), ("delete", "--deactivate")])
@pytest.mark.parametrize("yes", [(), ("--yes",)], ids=["asked", "yes"])
def test_what_follows_is_told_before_a_ca_is_taken_away(
    run: Run, aws: Aws, registered: drafts.CA, command: tuple[str, ...], yes: tuple[str, ...]
) -> None:
    """New devices are not registered; those that are stay and work. Without assent nothing changes."""
    aws.overrides["ListCertificatesByCA"] = devices(["ACTIVE", "ACTIVE", "PENDING_ACTIVATION"])
    result = run("ca", command[0], "ca.pem", *command[1:], *yes)
    assert "no new device under it is registered" in result.stderr
    assert "those that are ACTIVE connect and work as before" in result.stderr
    assert "`jitr device deactivate`" in result.stderr
    assert ("2 ACTIVE, 1 PENDING_ACTIVATION" in result.stderr) == (command[0] == "delete")
    assert result.exit_code == (0 if yes else 2)
    assert ("UpdateCACertificate" in aws.operations) == bool(yes)
    assert "UpdateCertificate" not in aws.operations


def test_deactivating_an_inactive_ca_changes_nothing(run: Run, aws: Aws, registered: drafts.CA) -> None:
    assert run("ca", "deactivate", "ca.pem", "--yes").exit_code == 0
    aws.calls.clear()
    assert run("ca", "deactivate", "ca.pem").exit_code == 0
    assert "UpdateCACertificate" not in aws.operations


@pytest.mark.parametrize("yes", [(), ("--yes",)], ids=["asked", "yes"])
def test_an_active_ca_is_deleted_only_if_it_may_be_deactivated(
    run: Run, aws: Aws, registered: drafts.CA, yes: tuple[str, ...]
) -> None:
    refused = run("ca", "delete", "ca.pem", *yes)
    assert refused.exit_code == 2
    assert "add --deactivate" in refused.stderr
    assert {"UpdateCACertificate", "DeleteCACertificate"}.isdisjoint(aws.operations)


@pytest.mark.parametrize(("answer", "exit_code", "left"), [(True, 0, []), (False, 1, ["ACTIVE"])])
def test_on_a_terminal_delete_asks_whether_it_may_deactivate_the_ca(
    run: Run, aws: Aws, registered: drafts.CA, monkeypatch: pytest.MonkeyPatch, answer: bool, exit_code: int, left: Any
) -> None:
    asked = []
    monkeypatch.setattr("jitr_cli.commands.ca.manage.on_terminal", lambda: True)

    def confirm(question: str, yes: bool) -> None:
        asked.append(question)
        if not answer:
            raise click.exceptions.Exit(1)

    monkeypatch.setattr("jitr_cli.console.output.confirm", confirm)
    assert run("ca", "delete", "ca.pem").exit_code == exit_code
    assert asked == [f"Deactivate and delete the CA {registered.id} (CN=Factory A,O=OKIDA,C=TR)?"]
    assert [each["status"] for each in json.loads(run("ca", "ls", "--json").stdout)["cas"]] == left


def test_a_delete_that_stopped_half_way_is_finished_by_the_next(run: Run, aws: Aws, registered: drafts.CA) -> None:
    """Deactivated, and then AWS IoT would not delete it: it is INACTIVE, the command says so, and run again ends it."""
    aws.overrides["DeleteCACertificate"] = refusing("ThrottlingException", "DeleteCACertificate")
    stopped = run("ca", "delete", "ca.pem", "--yes", "--deactivate")
    assert stopped.exit_code == 3
    assert "It is INACTIVE now." in stopped.stderr
    del aws.overrides["DeleteCACertificate"]
    assert run("ca", "delete", "ca.pem", "--yes").exit_code == 0
    assert json.loads(run("ca", "ls", "--json").stdout) == {"cas": []}


def _status(run: Run) -> str:
    return str(json.loads(run("ca", "show", "ca.pem", "--json").stdout)["status"])


def test_a_ca_with_a_provisioning_template_is_not_activated(run: Run, aws: Aws) -> None:
    aws.overrides["DescribeCACertificate"] = described(
        write_ca(sound()), status="INACTIVE", registrationConfig={"templateName": "fleet"}
    )
    result = run("ca", "activate", "ca.pem")
    assert result.exit_code == 2
    assert "UpdateCACertificate" not in aws.operations


def test_names_from_certificates_cannot_steer_the_terminal(run: Run, aws: Aws) -> None:
    write_ca(sound().subject(("O", "ev\x1b[2Jil\u202e")).issuer(("O", "ev\x1b[2Jil\u202e")))
    result = run("ca", "register", "ca.pem", "--key", "ca.key")
    assert result.exit_code == 0, result.stderr
    listed = run("ca", "ls").stdout
    assert "ev\\1b[2Jil\\u202e" in result.stdout
    assert "ev\\1b[2Jil\\u202e" in listed
    assert "\x1b" not in result.stdout + result.stderr + listed
