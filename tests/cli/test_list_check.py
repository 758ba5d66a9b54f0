"""What imports and `jitr lists check` tell of rows that fit no rule and no device, and what they ask."""

import json
from pathlib import Path
from typing import Any

import pytest
from testkit.cli.command_line import Run
from testkit.cli.stack import deploy
from testkit.knocks import CA_ID, NOW, decided, knock
from testkit.knocks import rules as made_rules

from jitr.aws.dynamodb.table import Table
from jitr.records.event import RegistrationEvent
from jitr.records.knock import facts_json
from jitr.records.record import APPLIED
from jitr.records.transitions import recorded
from jitr.services.lists.device_lists import DeviceLists

RULES = f"""\
format: 1
cas:
  factory-a: {{ids: ["{CA_ID}"]}}
deny:
  - name: recalled
    list: recall
allow:
  - name: line-a
    ca: factory-a
    common_name: "snr-*"
    list: sensors-2026
    grant: {{thing: "{{common_name}}", iot_policies: [Sensor]}}
tests:
  - name: a listed one gets in
    at: 2026-03-01
    device: {{ca: factory-a, common_name: snr-1}}
    lists: {{sensors-2026: [{{common_name: snr-1}}]}}
    expect: {{decision: admit}}
"""


@pytest.fixture
def table(aws: Any, workdir: Path, run: Run) -> Table:
    """A deployed stack with rules in force, one device on record, and an empty current directory."""
    made = deploy()
    Path("empty.csv").write_text("common_name\n")
    for name in ("recall", "sensors-2026"):
        assert run("lists", "import", name, "empty.csv").exit_code == 0
    Path("admission.yaml").write_text(RULES)
    done = run("rules", "publish", "admission.yaml", "--yes")
    assert done.exit_code == 0, done.stderr
    return made


def listed(*names: str) -> str:
    return "common_name\n" + "".join(f"{each}\n" for each in names)


def test_an_import_says_in_one_line_how_many_rows_could_match(table: Table, run: Run) -> None:
    Path("a.csv").write_text(listed("snr-1", "SNR-2"))
    done = run("lists", "import", "sensors-2026", "a.csv", "--json")
    assert (
        "2 rows: 0 on record (of 0 certificates there), 1 could be devices that come, 1 can match nothing."
        in done.stderr
    )
    assert "1 of 2 rows fit `snr-*` of rule line-a, which names this list" in done.stderr
    assert json.loads(done.stdout)["fit"]["nothing"] == 1


def test_an_import_into_a_deny_list_asks_about_rows_that_can_match_nothing(table: Table, run: Run) -> None:
    Path("r.csv").write_text(listed("snr-1", "SNR-2"))
    refused = run("lists", "import", "recall", "r.csv")
    assert refused.exit_code == 2
    assert "Deny rule recalled names list recall, and 1 row can match nothing (first line 3, 'SNR-2'" in refused.stderr
    assert "--yes answers it" in refused.stderr
    assert DeviceLists(table).all()["recall"].rows == 0
    assert run("lists", "import", "recall", "r.csv", "--yes").exit_code == 0


def test_a_row_that_is_added_to_a_deny_list_and_can_match_nothing_is_asked_about(table: Table, run: Run) -> None:
    assert run("lists", "add", "recall", "common_name=snr-l").exit_code == 0
    refused = run("lists", "add", "recall", "common_name=SNR-1")
    assert (refused.exit_code, "can match nothing" in refused.stderr) == (2, True)
    assert run("lists", "add", "recall", "common_name=SNR-1", "--yes").exit_code == 0


@pytest.mark.parametrize("command", [("import", "sensor-2026", "a.csv"), ("add", "sensor-2026", "common_name=snr-1")])
def test_a_list_whose_name_is_nearly_that_of_another_is_asked_about(
    table: Table, run: Run, command: tuple[str, ...]
) -> None:
    Path("a.csv").write_text(listed("snr-1"))
    refused = run("lists", *command)
    assert refused.exit_code == 2
    assert "There is no list sensor-2026, and no rule names it. Did you mean sensors-2026?" in refused.stderr
    assert sorted(DeviceLists(table).all()) == ["recall", "sensors-2026"]
    assert run("lists", *command, "--yes").exit_code == 0
    assert run("lists", *command).exit_code == 0, "it is there now"


def test_a_list_that_a_rule_names_is_not_asked_about(table: Table, run: Run) -> None:
    Path("a.csv").write_text(listed("snr-1"))
    assert run("lists", "import", "sensors-2026", "a.csv").exit_code == 0


def on_record(table: Table, name: str) -> None:
    device = knock(subject=(("common_name", name),))
    decision = decided(device, made_rules(), now=NOW)
    event = RegistrationEvent("c1" * 32, CA_ID, NOW)
    table.put_record(
        recorded(
            decision, event=event, heads=table.heads(), facts=facts_json(device), state=APPLIED, now=NOW, previous=None
        )
    )


@pytest.mark.parametrize(
    ("against", "counts"),
    [
        ("rules", (0, 2, 1)),
        ("records", (1, 0, 2)),
        ("factory-a", (1, 1, 1)),
        (CA_ID, (1, 1, 1)),
        (CA_ID[:8].upper(), (1, 1, 1)),
    ],
)
def test_a_list_is_checked_against_rules_records_or_a_ca(
    table: Table, run: Run, against: str, counts: tuple[int, int, int]
) -> None:
    on_record(table, "snr-1")
    Path("sensors-2026.csv").write_text(listed("snr-1", "snr-2", "SNR-3"))
    of_file = run("lists", "check", "sensors-2026.csv", "--against", against, "--json")
    assert run("lists", "import", "sensors-2026", "sensors-2026.csv").exit_code == 0
    of_list = run("lists", "check", "sensors-2026", "--against", against, "--json")
    for each in (of_file, of_list):
        told = json.loads(each.stdout)
        assert (told["on_record"], told["possible"], told["nothing"]) == counts
        assert (each.exit_code, len(told["first_unmatched"])) == (1, counts[2])
    assert "line " in json.loads(of_file.stdout)["first_unmatched"][0]


def test_a_list_all_of_whose_rows_match_is_exit_0(table: Table, run: Run) -> None:
    on_record(table, "snr-1")
    Path("recall.csv").write_text(listed("snr-1"))
    done = run("lists", "check", "recall.csv", "--against", "records")
    assert (done.exit_code, done.stdout) == (0, "1 row: 1 on record (of 1 certificate there), 0 can match nothing.\n")


@pytest.mark.parametrize(("what", "against"), [("recal", "rules"), ("recall.csv", "factory-z")])
def test_a_list_or_ca_that_is_not_there_is_exit_2(table: Table, run: Run, what: str, against: str) -> None:
    Path("recall.csv").write_text(listed("snr-1"))
    assert run("lists", "import", "recall", "recall.csv").exit_code == 0
    assert run("lists", "check", what, "--against", against).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("sensors-2026", "--against", "nonsense"), "no rules are in force that name a CA nonsense"),
        (("sensors-2026", "--for", "bad name"), "'bad name' is not a list's name"),
    ],
)
def test_a_check_against_what_nobody_knows_is_an_error_and_no_clean_bill(
    aws: Any, workdir: Path, run: Run, arguments: tuple[str, ...], why: str
) -> None:
    deploy()
    Path("a.csv").write_text(listed("snr-1"))
    assert run("lists", "import", "sensors-2026", "a.csv").exit_code == 0
    done = run("lists", "check", *arguments)
    assert (done.exit_code, why in done.stderr) == (2, True)


def test_a_pattern_in_a_list_is_told_with_its_place_and_asked_about_on_a_deny_list(table: Table, run: Run) -> None:
    Path("r.csv").write_text("note,common_name\nfell,snr-1\nall,snr-*\n")
    told = "line 3, column 2, common_name: 'snr-*' looks like a pattern: a list takes names as they are"
    refused = run("lists", "import", "recall", "r.csv")
    assert (refused.exit_code, told in refused.stderr) == (2, True)
    assert "1 row is doubtful" in refused.stderr
    assert DeviceLists(table).all()["recall"].rows == 0
    checked = run("lists", "check", "r.csv", "--for", "recall")
    assert (checked.exit_code, told in checked.stdout) == (1, True)
    assert run("lists", "import", "recall", "r.csv", "--yes").exit_code == 0
    in_table = run("lists", "check", "recall")
    assert (in_table.exit_code, "common_name: 'snr-*' looks like a pattern" in in_table.stdout) == (1, True)
    admitting = run("lists", "import", "sensors-2026", "r.csv")
    assert (admitting.exit_code, told in admitting.stderr) == (0, True)
    assert run("lists", "check", "r.csv", "--for", "sensors-2026").exit_code == 0


def test_a_doubtful_row_that_is_added_to_a_deny_list_is_asked_about(table: Table, run: Run) -> None:
    refused = run("lists", "add", "recall", "common_name=snr-1 snr-2")
    assert (refused.exit_code, "looks like several devices" in refused.stderr) == (2, True)
    assert run("lists", "add", "recall", "common_name=snr-1 snr-2", "--yes").exit_code == 0
