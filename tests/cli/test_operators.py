"""What operators do: publish rules, edit lists, look at held devices and at the whole."""

import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from testkit import lists as list_edits
from testkit.cli.command_line import REGION, Run
from testkit.cli.operating import RULES, hold
from testkit.knocks import CA_ID, NOW, decided, deny, knock
from testkit.knocks import rules as made_rules

from jitr.aws.dynamodb.table import Table
from jitr.devicelists.rows import ListRow, RowKey
from jitr.reasons import Verdict
from jitr.records.event import RegistrationEvent
from jitr.records.knock import facts_json
from jitr.records.record import APPLIED
from jitr.records.transitions import recorded
from jitr.services.lists.device_lists import DeviceLists
from jitr.times import rfc3339
from jitr_cli.commands.status.screen import show
from jitr_cli.console import output
from jitr_operations.records import count_at_most
from jitr_operations.status.attention import attention


def rows(table: Table, name: str = "line-a") -> set[str]:
    """The common names on a list, as its readers find them."""
    device_lists = DeviceLists(table)
    return {row.common_name or "" for row in device_lists.rows(name, device_lists.all()[name].head.generation)}


# --- rules publish


def test_publishing_puts_rules_in_force_and_keeps_who_when_and_why(ready: Table, run: Run) -> None:
    Path("admission.yaml").write_text(RULES.replace("name: line-a", "name: line-a-sensors"))
    result = run("rules", "publish", "admission.yaml", "--yes", "--message", "a better name", "--json")
    told = json.loads(result.stdout)
    assert result.exit_code == 0
    assert (told["version"], told["message"], told["changed"]) == (2, "a better name", True)
    assert told["published_by"]
    assert ready.heads().digest == told["digest"]


def test_publishing_what_is_in_force_changes_nothing(ready: Table, run: Run) -> None:
    result = run("rules", "publish", "admission.yaml", "--yes", "--json")
    assert (result.exit_code, json.loads(result.stdout)["changed"]) == (0, False)
    assert ready.heads().version == 1


@pytest.mark.parametrize(
    ("old", "new", "code", "told"),
    [
        ("decision: admit", "decision: reject", 1, "a listed one gets in"),
        ("ca: factory-a\n", "ca: factory-x\n", 2, "admission.yaml:6:9"),
        ("iot_policies: [Sensor]", "iot_policies: [Sensors]", 2, "Sensor"),
        ("list: line-a\n", "list: line-b\n", 2, "line-a"),
    ],
)
def test_a_file_that_is_not_in_order_leaves_what_is_in_force(
    ready: Table, run: Run, old: str, new: str, code: int, told: str
) -> None:
    before = ready.heads()
    Path("admission.yaml").write_text(RULES.replace(old, new, 1))
    result = run("rules", "publish", "admission.yaml", "--yes")
    assert (result.exit_code, told in result.stderr) == (code, True), result.stderr
    assert ready.heads() == before


def test_publishing_asks_and_without_a_terminal_wants_yes(ready: Table, run: Run) -> None:
    Path("admission.yaml").write_text(RULES + "# another\n" + "default: reject\n")
    result = run("rules", "publish", "admission.yaml")
    assert (result.exit_code, "--yes" in result.stderr) == (2, True)
    assert ready.heads().version == 1


def test_a_changing_command_says_account_region_and_endpoint(ready: Table, run: Run) -> None:
    result = run("lists", "add", "line-a", "common_name=snr-3")
    assert "123456789012" in result.stderr
    assert "eu-central-1" in result.stderr
    assert "https://dynamodb" in result.stderr


def test_a_stack_that_is_not_there_is_exit_2_and_says_where_it_looked(aws: Any, run: Run, workdir: Path) -> None:
    result = run("status", "--stack", "elsewhere")
    assert result.exit_code == 2
    assert "elsewhere" in result.stderr
    assert "eu-central-1" in result.stderr


# --- lists


def test_an_import_with_an_error_in_any_row_writes_nothing(table: Table, run: Run) -> None:
    Path("bad.csv").write_text("common_name,thing_name\nsnr-1,\nsnr-2,not a name\n")
    result = run("lists", "import", "line-a", "bad.csv")
    assert result.exit_code == 2
    assert "bad.csv:3:2" in result.stderr
    assert DeviceLists(table).all() == {}


def test_a_merge_adds_rows_and_replaces_those_with_the_same_key(ready: Table, run: Run) -> None:
    Path("more.csv").write_text("common_name,attr.batch\nsnr-2,9\nsnr-3,9\n")
    assert run("lists", "import", "line-a", "more.csv").exit_code == 0
    assert rows(ready) == {"snr-1", "snr-2", "snr-3"}
    info = DeviceLists(ready).all()["line-a"]
    found = DeviceLists(ready).find("line-a", info.head.generation, RowKey("common_name", "snr-2"))
    assert found is not None
    assert (found.attributes, info.rows) == ({"batch": "9"}, 3)


def test_a_row_that_gets_another_key_is_no_longer_found_by_the_old_one(ready: Table, run: Run) -> None:
    old, new = "aa" * 32, "bb" * 32
    for key in (old, new):
        assert run("lists", "add", "line-a", "common_name=snr-9", f"public_key_sha256={key}").exit_code == 0
    device_lists = DeviceLists(ready)
    generation = device_lists.all()["line-a"].head.generation
    assert device_lists.find("line-a", generation, RowKey("public_key_sha256", old)) is None
    assert device_lists.find("line-a", generation, RowKey("public_key_sha256", new)) is not None
    assert device_lists.all()["line-a"].rows == 3


def test_a_replace_takes_effect_at_once_and_the_rows_before_the_last_go_an_hour_later(ready: Table, run: Run) -> None:
    """Those that it replaces are kept for a week, to be had back."""
    before = [DeviceLists(ready).all()["line-a"].head.generation]
    for rows_ in ("snr-7\nsnr-8\n", "snr-9\n"):
        Path("new.csv").write_text("common_name\n" + rows_)
        assert run("lists", "import", "line-a", "new.csv", "--replace", "--yes").exit_code == 0
        before.append(DeviceLists(ready).all()["line-a"].head.generation)
    assert rows(ready) == {"snr-9"}

    def items(generation: str) -> list[Any]:
        return [item for n in range(16) for item in ready.query(f"LIST#line-a#{generation}#{n:02d}")]

    assert [len(items(each)) for each in before] == [2, 2, 1]
    assert [all("expires_at" in item for item in items(each)) for each in before] == [True, False, False]


def test_a_replace_says_what_it_did_and_how_to_have_it_back(ready: Table, run: Run) -> None:
    Path("new.csv").write_text("common_name,attr.batch\nsnr-2,9\nsnr-3,9\n")
    result = run("lists", "import", "line-a", "new.csv", "--replace")
    assert ": 1 added, 1 changed, 0 unchanged, 1 removed\n  removed: snr-1" in result.stdout
    assert "jitr lists restore line-a" in result.stderr
    Path("none.csv").write_text("common_name\n")
    told = json.loads(run("lists", "import", "line-a", "none.csv", "--replace", "--yes", "--json").stdout)
    assert {name: told[name] for name in ("added", "changed", "unchanged", "removed")} == {
        "added": 0,
        "changed": 0,
        "unchanged": 0,
        "removed": 2,
    }
    assert sorted(each["common_name"] for each in told["removed_rows"]) == ["snr-2", "snr-3"]


def test_a_list_is_had_back_as_it_was(ready: Table, run: Run) -> None:
    assert run("lists", "delete", "line-a", "--yes").exit_code == 0
    told = json.loads(run("lists", "restore", "line-a", "--yes", "--json").stdout)
    assert (told["list"], told["rows"]) == ("line-a", 2)
    assert rows(ready) == {"snr-1", "snr-2"}
    result = run("lists", "restore", "line-a", "--yes")
    assert (result.exit_code, "nothing is kept of list line-a" in result.stderr) == (2, True)


def test_a_replace_that_shrinks_a_list_by_more_than_half_asks(ready: Table, run: Run) -> None:
    Path("many.csv").write_text("common_name\n" + "".join(f"snr-{n}\n" for n in range(10)))
    Path("few.csv").write_text("common_name\nsnr-1\n")
    assert run("lists", "import", "line-a", "many.csv", "--yes").exit_code == 0
    assert run("lists", "import", "line-a", "few.csv", "--replace").exit_code == 2
    assert len(rows(ready)) == 10
    assert run("lists", "import", "line-a", "few.csv", "--replace", "--yes").exit_code == 0
    assert rows(ready) == {"snr-1"}


@pytest.mark.parametrize(
    "others", ["common_name\nsnr-7\nsnr-8\n", "common_name,expires\nsnr-1,2020-01-01\nsnr-2,2020-01-01\n"]
)
def test_a_replace_that_takes_off_most_of_the_rows_asks_whatever_it_adds(ready: Table, run: Run, others: str) -> None:
    """Counted are the rows that go, or expire, not how many there are before and after."""
    Path("others.csv").write_text(others)
    asked = run("lists", "import", "line-a", "others.csv", "--replace")
    assert (asked.exit_code, "This takes 2 of 2 rows off list line-a" in asked.stderr) == (2, True)
    assert [row.expires for row in _rows_of(ready)] == [None, None]
    assert rows(ready) == {"snr-1", "snr-2"}
    assert run("lists", "import", "line-a", "others.csv", "--replace", "--yes").exit_code == 0
    assert len(rows(ready)) == 2


def _rows_of(table: Table) -> list[ListRow]:
    lists = DeviceLists(table)
    return list(lists.rows("line-a", lists.all()["line-a"].head.generation))


@pytest.mark.parametrize(
    "command",
    [("delete", "line-a"), ("restore", "line-a"), ("import", "line-a", "others.csv", "--replace")],
    ids=["delete", "restore", "replace"],
)
def test_an_edit_made_while_a_question_is_asked_is_not_written_over(
    ready: Table, run: Run, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    """What was shown is what is answered: an edit since then is a conflict."""
    Path("same.csv").write_text("common_name\nsnr-1\nsnr-2\n")
    Path("others.csv").write_text("common_name\nsnr-7\nsnr-8\n")
    assert run("lists", "import", "line-a", "same.csv", "--replace", "--yes").exit_code == 0
    asked: list[str] = []

    def confirm(question: str, _yes: bool) -> None:
        asked.append(question)
        DeviceLists(ready).add("line-a", ListRow(common_name="late"), at="2026-03-01T12:00:00Z", new_generation="g")

    for module in ("jitr_cli.commands.lists.files", "jitr_cli.console.output"):
        monkeypatch.setattr(f"{module}.confirm", confirm)
    done = run("lists", *command)
    assert len(asked) == 1
    assert (done.exit_code, "list line-a was edited meanwhile: look, and say it again" in done.stderr) == (2, True)
    assert rows(ready) == {"snr-1", "snr-2", "late"}


def test_a_question_is_asked_on_a_screen_without_progress_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar is drawn over and over where it stands, and so over the question."""
    for stream in (sys.stdin, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    drawn: list[bool] = []

    def asked(*_: object, **__: object) -> bool:
        drawn.append(any(bar.live.is_started for bar in output._bars))
        return True

    monkeypatch.setattr("click.confirm", asked)
    with output.progress("Importing", 2) as advance:
        advance(1)
        assert [bar.live.is_started for bar in output._bars] == [True]
        output.confirm("Go on?", False)
        assert [bar.live.is_started for bar in output._bars] == [True]
    assert drawn == [False]
    assert output._bars == []


def test_a_dry_run_checks_and_writes_nothing(ready: Table, run: Run) -> None:
    Path("more.csv").write_text("common_name\nsnr-3\n")
    assert run("lists", "import", "line-a", "more.csv", "--dry-run").exit_code == 0
    assert rows(ready) == {"snr-1", "snr-2"}


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("common_name\n", "This shrinks list line-a from 2 rows to 0."),
        ("common_name\nsnr-7\nsnr-8\n", "This takes 2 of 2 rows off list line-a."),
        ("common_name,expires\nsnr-1,2020-01-01\nsnr-2,2020-01-01\n", "may take up to 2 of 2 rows off list line-a."),
    ],
)
def test_a_dry_run_says_what_would_be_asked(ready: Table, run: Run, text: str, question: str) -> None:
    Path("new.csv").write_text(text)
    done = run("lists", "import", "line-a", "new.csv", "--replace", "--dry-run", "--json")
    (asked,) = json.loads(done.stdout)["questions"]
    assert question in asked
    assert f"It would be asked: {asked}" in done.stderr
    assert rows(ready) == {"snr-1", "snr-2"}
    Path("same.csv").write_text("common_name\nsnr-1\nsnr-2\n")
    same = run("lists", "import", "line-a", "same.csv", "--replace", "--dry-run", "--json")
    assert json.loads(same.stdout)["questions"] == []


def test_every_edit_raises_the_edition_that_held_devices_are_compared_with(ready: Table, run: Run) -> None:
    editions = [ready.heads().edition("line-a")]
    for arguments in (
        ("add", "line-a", "common_name=snr-3"),
        ("remove", "line-a", "common_name=snr-3"),
        ("import", "line-a", "line-a.csv"),
        ("import", "line-a", "line-a.csv", "--replace"),
        ("delete", "line-a", "--yes"),
    ):
        assert run("lists", *arguments).exit_code == 0
        editions.append(ready.heads().edition("line-a"))
    assert len(set(editions)) == len(editions)


def test_removing_what_is_not_on_the_list_is_exit_1(ready: Table, run: Run) -> None:
    assert run("lists", "remove", "line-a", "common_name=snr-1").exit_code == 0
    assert run("lists", "remove", "line-a", "common_name=snr-1").exit_code == 1
    unknown = run("lists", "remove", "line-aa", "common_name=snr-1")
    assert (unknown.exit_code, "there is no list line-aa: did you mean line-a?" in unknown.stderr) == (2, True)
    assert rows(ready) == {"snr-2"}


def test_an_export_imports_back_to_the_same_list(ready: Table, run: Run) -> None:
    device_lists = DeviceLists(ready)
    hard = [
        ListRow(common_name="=cmd()", note='a "quoted", note'),
        ListRow(serial_number="1f03", ca="factory-a", attributes={"batch": "ü"}, thing_name="pump-1"),
        ListRow(common_name="snr-9", public_key_sha256="ab" * 32, expires=NOW),
    ]
    list_edits.merge(ready, "hard", *hard)
    assert run("lists", "export", "hard", "hard.csv").exit_code == 0
    assert "\n=cmd()" not in Path("hard.csv").read_text("utf-8-sig")
    assert run("lists", "import", "again", "hard.csv").exit_code == 0
    generation = device_lists.all()["again"].head.generation
    assert sorted(map(str, device_lists.rows("again", generation))) == sorted(map(str, hard))


def test_an_export_does_not_replace_a_file_unless_told(ready: Table, run: Run) -> None:
    Path("out.csv").write_text("mine")
    assert run("lists", "export", "line-a", "out.csv").exit_code == 2
    assert Path("out.csv").read_text() == "mine"
    assert run("lists", "export", "line-a", "out.csv", "--force").exit_code == 0


@pytest.mark.parametrize("command", ["show", "export", "delete"])
def test_a_list_that_is_not_there_is_exit_2_with_what_was_meant(ready: Table, run: Run, command: str) -> None:
    more = ["x.csv"] if command == "export" else []
    result = run("lists", command, "line-b", *more)
    assert (result.exit_code, "line-a" in result.stderr) == (2, True)


@pytest.mark.parametrize("name", ["", "../x", "a#b", "-x", "a" * 65, "x\x1b[0m"])
def test_a_list_name_from_outside_is_checked(table: Table, run: Run, name: str) -> None:
    result = run("lists", "add", "--", name, "common_name=x")
    assert result.exit_code == 2
    assert "\x1b" not in result.stderr


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (("snr-1",), "COLUMN=VALUE"),
        (("common_name=a", "common_name=b"), "given twice"),
        (("comon_name=a",), "common_name"),
        (("serial_number=1f",), "ca"),
        (("serial_number=12", "ca=factory-a"), "serial_number:dec"),
        (("thing_name=a",), "public_key_sha256"),
        (("common_name=a", "expires=soon"), "expires"),
    ],
)
def test_a_row_that_is_none_is_exit_2_and_says_why(table: Table, run: Run, values: tuple[str, ...], told: str) -> None:
    result = run("lists", "add", "line-a", *values)
    assert (result.exit_code, told in result.stderr) == (2, True), result.stderr
    assert DeviceLists(table).all() == {}


def test_an_edit_that_another_hand_overtook_says_so_and_changes_nothing(
    ready: Table, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = DeviceLists.find

    def overtaken(self: DeviceLists, name: str, generation: str, key: RowKey) -> ListRow | None:
        found = find(self, name, generation, key)
        monkeypatch.setattr(DeviceLists, "find", find)
        list_edits.replace(ready, name, ListRow(common_name="snr-1"))
        return found

    monkeypatch.setattr(DeviceLists, "find", overtaken)
    result = run("lists", "remove", "line-a", "common_name=snr-1")
    assert (result.exit_code, "meanwhile" in result.stderr) == (2, True)
    assert rows(ready) == {"snr-1"}


# --- held devices, and the whole


def test_held_devices_are_listed_the_newest_first_with_why(ready: Table, run: Run) -> None:
    for number in range(3):
        hold(ready, number)
    told = json.loads(run("held", "ls", "--json").stdout)
    assert [each["certificate_id"][-1] for each in told] == ["2", "1", "0"]
    assert told[0]["reasons"][0]["code"] == "allow.unmatched"
    assert {"since", "due", "knocks", "common_name"} <= set(told[0])


def test_held_devices_are_told_with_about_how_often_they_knock(ready: Table, run: Run) -> None:
    """From the device's own knocks: a count alone says nothing where one has waited an hour and another a year."""
    for number in range(3):
        hold(ready, number)
    for number, minutes in ((1, 1), (2, 30)):
        record = ready.record_and_heads(f"{number:064x}")[0]
        assert record is not None
        for knocks in range(1, 5):
            ready.count_knock(record, rfc3339(record.decided_at + timedelta(minutes=minutes * knocks)))
    told = json.loads(run("held", "ls", "--json").stdout)
    assert [each["knocks_every_seconds"] for each in told] == [1800, 60, None]
    shown = run("held", "ls").stdout.splitlines()[1:]
    for line, often in zip(shown, ("every 30 min", "every minute or more often", "at least once"), strict=True):
        assert often in line


def test_a_count_of_knocks_is_told_as_the_least_that_it_was(ready: Table, run: Run) -> None:
    """One minute counts once, however often a device knocks in it: nobody is told "once" of six knocks."""
    hold(ready, 1)
    shown = run("decisions", "show", f"{1:064x}").stdout
    assert "at least once, last " in shown
    assert "(counted at most once a minute)" in shown


def test_held_devices_are_filtered_and_limited(ready: Table, run: Run) -> None:
    for number in range(3):
        hold(ready, number)
    assert len(json.loads(run("held", "ls", "--limit", 2, "--json").stdout)) == 2
    assert json.loads(run("held", "ls", "--reason", "chain.ca-missing", "--json").stdout) == []
    for ca in (CA_ID[:10], "factory-a"):
        assert len(json.loads(run("held", "ls", "--ca", ca, "--json").stdout)) == 3
    assert json.loads(run("held", "ls", "--ca", "00", "--json").stdout) == []
    assert len(json.loads(run("held", "ls", "--since", "2026-03-01T12:01:00Z", "--json").stdout)) == 2
    assert json.loads(run("held", "ls", "--rule", "line-a", "--json").stdout) == []


@pytest.mark.parametrize("command", [("held", "ls"), ("decisions", "ls")])
def test_a_filter_that_can_mean_nothing_is_told(ready: Table, run: Run, command: tuple[str, str]) -> None:
    """An empty answer would be taken for good news."""
    result = run(*command, "--reason", "allow.unmached")
    assert (result.exit_code, "did you mean allow.unmatched?" in result.stderr) == (2, True)
    result = run(*command, "--ca", "factory-z")
    assert (result.exit_code, "did you mean factory-a?" in result.stderr) == (2, True)


def test_decisions_of_all_kinds_are_told_the_newest_first(ready: Table, run: Run) -> None:
    """However many of one kind there are, they hide none of another that is newer."""
    for number in range(4):
        hold(ready, number)
    device = knock(certificate_sha256="d" * 64)
    event = RegistrationEvent("d" * 64, CA_ID, NOW)
    at = NOW + timedelta(minutes=2, seconds=30)
    facts, heads = facts_json(device), ready.heads()
    decision = decided(device, made_rules(deny(ca="factory-a")), now=at)
    ready.put_record(recorded(decision, event=event, heads=heads, facts=facts, state=APPLIED, now=at, previous=None))
    told = json.loads(run("decisions", "ls", "--limit", 3, "--json").stdout)
    assert [each["decision"] for each in told] == ["hold", "reject", "hold"]
    until = json.loads(run("decisions", "ls", "--until", "2026-03-01T12:01:00Z", "--json").stdout)
    assert len(until) == 2


def test_names_of_devices_do_not_steer_the_terminal(ready: Table, run: Run) -> None:
    hold(ready, 1)
    assert "\x1b" not in run("held", "ls").stdout


def test_status_says_what_is_deployed_and_what_needs_attention(ready: Table, run: Run) -> None:
    hold(ready, 1)
    told = json.loads(run("status", "--json").stdout)
    assert told["deployment"]["stack"] == "jitr"
    assert told["rules"]["version"] == 1
    assert told["decisions"] == {"admit": 0, "hold": 1, "reject": 0}
    assert told["queues"]["RegistrationQueue"] == {"waiting": 0, "in_flight": 0, "oldest_seconds": None}
    assert [each for each in told["attention"] if "1 device is held" in each]
    assert told["reasons"] == {"hold": {"allow.unmatched": 1}, "reject": {}}
    text = run("status").stdout
    assert "admission.yaml, version 1" in text
    assert "line-a" in text


def test_status_names_a_ca_whose_provisioning_template_bypasses_the_rules(ready: Table, run: Run, aws: Any) -> None:
    ca = {"certificateId": CA_ID, "certificateArn": "arn", "certificatePem": "", "status": "ACTIVE"}
    aws.overrides["ListCACertificates"] = lambda _: {"certificates": [ca]}
    aws.overrides["DescribeCACertificate"] = lambda _: {
        "certificateDescription": ca,
        "registrationConfig": {"templateName": "t"},
    }
    told = json.loads(run("status", "--json").stdout)
    assert any("bypasses the rules" in each for each in told["attention"])
    assert any("auto-registration off" in each for each in told["attention"])


def document(**changes: Any) -> dict[str, Any]:
    """What status finds where all is well."""
    queue = {"waiting": 0, "in_flight": 0, "oldest_seconds": None}
    ca = {"ca_certificate_id": CA_ID, "subject": "CN=F", "status": "ACTIVE", "auto_registration": True}
    return {
        "deployment": {"stack": "jitr", "account": "123456789012", "region": REGION, "endpoint": None},
        "rules": {
            "source": "admission.yaml",
            "version": 1,
            "published_at": "2026-03-01T00:00:00Z",
            "published_by": "a",
        },
        "cas": [ca | {"days_left": 400, "provisioning_template": None, "named": True}],
        "unregistered_cas": [],
        "topic_rule": None,
        "other_topic_rules": [],
        "denied": {"looked_at": 1, "active": 0, "unknown": 0, "overruled": 0, "certificate_ids": []},
        "deny_lists": [],
        "no_longer_denied": [],
        "lists": [],
        "imports": [],
        "decisions": {"admit": 0, "hold": 0, "reject": 0},
        "at_least": [],
        "reasons": {"hold": {}, "reject": {}},
        "reasons_of_newest": 1000,
        "queues": dict.fromkeys(("RegistrationQueue", "RegistrationFailures", "RuleFailures"), queue),
        "coming_back": [],
        "alarms": [],
        "quotas": None,
    } | changes


def test_status_tells_the_most_pressing_first() -> None:
    ca = document()["cas"][0]
    queue = document()["queues"]["RuleFailures"]
    told = attention(
        document(
            alarms=[{"alarm": "a", "name": "RuleFailures", "state": "ALARM", "description": "They lie there."}],
            rules=document()["rules"] | {"unusable": "the rules cannot be read"},
            queues=document()["queues"]
            | {"RuleFailures": queue | {"waiting": 2}, "RegistrationQueue": queue | {"oldest_seconds": 1200}},
            coming_back=[
                {"reason": "unreachable", "oldest_seconds": 7200},
                {"reason": "conflict", "oldest_seconds": 30},
            ],
            cas=[ca | {"days_left": -1}, ca | {"days_left": 20}],
            imports=[{"list": "line-a", "mode": "merge", "by": "somebody", "at": "x"}],
            decisions={"admit": 1, "hold": 50_000, "reject": 0},
            at_least=["hold"],
        )
    )
    assert [each.split(":")[0] for each in told] == [
        "alarm RuleFailures is raised",
        "nobody is admitted",
        "2 messages are in RuleFailures",
        "a registration event has waited for 20 minutes",
        "a registration event keeps coming back (unreachable), for 120 minutes",
        "CA cacacacacaca (CN=F) has expired",
        "CA cacacacacaca (CN=F) expires in 20 days",
        "an import (merge) into list line-a by somebody is not finished",
        "more than 50,000 devices are held",
    ]
    assert attention(document()) == []


def test_status_names_the_command_for_what_one_mends() -> None:
    """The page makes it a link to the place where that is done."""
    ca = document()["cas"][0]
    told = attention(
        document(
            deny_lists=[{"list": "recall", "rule": "recalled", "why": "is empty"}],
            cas=[ca | {"days_left": -1}, ca | {"named": False}],
            imports=[{"list": "line-a", "mode": "merge", "by": "somebody", "at": "x"}],
        )
    )
    assert [each.rpartition("; ")[2] for each in told] == [
        "`jitr lists import recall FILE`",
        "`jitr ca rollover`",
        "`jitr rules publish`",
        "`jitr lists import line-a FILE`",
    ]


def test_status_fits_one_screen_however_much_there_is(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    many = [{"list": f"list-{n}", "rows": n, "changed_at": f"2026-03-{n:02d}"} for n in range(1, 29)]
    reasons = {"hold": {f"reason.{n}": 1 for n in range(20)}, "reject": {}}
    counts = {"admit": 1_000_000, "hold": 2_000, "reject": 0}
    show(document(lists=many, cas=document()["cas"] * 40, reasons=reasons, decisions=counts, attention=["one thing"]))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert "         and 24 more: `jitr lists ls`" in lines


def test_status_counts_no_more_than_it_needs_to(ready: Table) -> None:
    for number in range(5):
        hold(ready, number)
    assert count_at_most(ready, Verdict.HOLD, 100) == (5, False)
    assert count_at_most(ready, Verdict.HOLD, 3) == (3, True)


def test_without_rules_status_says_that_nobody_is_admitted(table: Table, run: Run) -> None:
    told = json.loads(run("status", "--json").stdout)
    assert any("nobody is admitted" in each for each in told["attention"])


def test_denied_devices_are_not_among_the_held(ready: Table, run: Run) -> None:
    device = knock()
    decision = decided(device, made_rules(deny(ca="factory-a")))
    event = RegistrationEvent("ab" * 32, CA_ID, NOW)
    ready.put_record(
        recorded(
            decision, event=event, heads=ready.heads(), facts=facts_json(device), state=APPLIED, now=NOW, previous=None
        )
    )
    assert json.loads(run("held", "ls", "--json").stdout) == []
