"""The history: every change that an operator makes leaves one entry: who, when, with what, why, and what changed."""

import csv
import hashlib
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from testkit import pki as drafts
from testkit.aws.world import World
from testkit.cli.command_line import Aws, Run
from testkit.cli.operating import FACTORY, OTHER, hold
from testkit.cli.stack import Queues
from testkit.knocks import allow, rules
from testkit.manifests import SIGNER
from testkit.page import Page

from jitr import __version__
from jitr.aws.dynamodb.history import entry_puts, newest, of_device
from jitr.aws.dynamodb.table import Table
from jitr.records.history import Author, HistoryEntry, HistoryKind, Outcome, entry
from jitr.records.notices import NoticeOrigin, notice_of
from jitr.rules.model import Ca, Grant
from jitr.times import parse_time

HOSTILE = "<script>alert(1)</script>\u202egnp.exe\x1b[2J\"'><img src=x>"
DEVICE = f"{1:064x}"


def history(table: Table) -> list[HistoryEntry]:
    return list(newest(table))


def only(table: Table, before: int = 0) -> HistoryEntry:
    """The one entry that came since there were so many."""
    found = history(table)
    assert len(found) == before + 1, [each.command for each in found]
    return found[0]


@pytest.fixture
def device(world: World) -> drafts.Issued:
    """A device that the rules let in."""
    grant = Grant(iot_policies=("Sensor",), thing="{common_name}")
    made_rules = rules(allow("line-a", grant=grant, ca="factory-a"))
    world.publish(replace(made_rules, cas={"factory-a": Ca("factory-a", (FACTORY.id,), 3)}))
    made = FACTORY.usual_device("snr-0001").key("P-256", "snr-0001").issue()
    world.connect(made)
    world.knock(made, FACTORY)
    assert world.status(made) == "ACTIVE", world.codes(made)
    return made


# --- every change, one entry


def test_rules_that_are_published_leave_an_entry_in_the_same_transaction(ready: Table, run: Run, aws: Aws) -> None:
    before = len(history(ready))
    Path("admission.yaml").write_text(Path("admission.yaml").read_text().replace("name: line-a", "name: line-x"))
    aws.calls.clear()
    assert run("rules", "publish", "admission.yaml", "--yes", "--message", "line X starts").exit_code == 0
    found = only(ready, before)
    assert (found.kind, found.command, found.why) == (
        HistoryKind.RULES,
        "rules publish admission.yaml",
        "line X starts",
    )
    assert (found.before["rules_version"], found.after["rules_version"]) == (1, 2)
    assert found.after["digest"] == ready.heads().digest
    assert (found.tool, found.version, found.outcome) == ("command line", __version__, Outcome.DONE)
    assert found.by.startswith("arn:aws:")
    assert aws.operations.count("TransactWriteItems") == 1
    assert run("rules", "rollback", "--yes").exit_code == 0
    assert only(ready, before + 1).command == "rules rollback 1"


def test_what_changes_nothing_leaves_no_entry(ready: Table, run: Run) -> None:
    before = len(history(ready))
    assert run("rules", "publish", "admission.yaml", "--yes").exit_code == 0  # in force already
    assert run("lists", "remove", "line-a", "common_name=nobody").exit_code == 1
    assert run("lists", "import", "line-a", "line-a.csv", "--dry-run").exit_code == 0
    assert run("lists", "delete", "line-a").exit_code == 2  # nobody there to ask
    assert len(history(ready)) == before


@pytest.mark.parametrize(
    ("words", "command", "before", "after"),
    [
        (
            ("lists", "add", "line-a", "common_name=snr-1", "note=swapped", "--yes"),
            "lists add line-a common_name=snr-1 note=swapped",
            {"common_name": "snr-1", "attr.batch": "7"},
            {"common_name": "snr-1", "note": "swapped"},
        ),
        (
            ("lists", "remove", "line-a", "common_name=snr-2"),
            "lists remove line-a common_name=snr-2",
            {"common_name": "snr-2", "attr.batch": "8"},
            {},
        ),
        (("lists", "delete", "line-a", "--yes"), "lists delete line-a", {"rows": 2, "edition": 1}, {}),
    ],
)
def test_an_edit_of_a_list_leaves_an_entry_with_what_was_and_what_is(
    ready: Table, run: Run, words: tuple[str, ...], command: str, before: dict[str, Any], after: dict[str, Any]
) -> None:
    count = len(history(ready))
    assert run(*words).exit_code == 0
    found = only(ready, count)
    assert (found.kind, found.subject, found.command) == (HistoryKind.LIST, "line-a", command)
    assert (dict(found.before), dict(found.after)) == (before, after)


def test_an_edit_that_takes_several_rows_says_so_however_many_columns_they_have(ready: Table, run: Run) -> None:
    """Entry and event keep the first values only: that more rows are gone must be among them."""
    many = [f"attr.a{number}=x" for number in range(25)]
    assert run("lists", "add", "line-a", "common_name=snr-3", *many).exit_code == 0
    assert run("lists", "add", "line-a", f"public_key_sha256={'ab' * 32}", *many).exit_code == 0
    count = len(history(ready))
    assert run("lists", "add", "line-a", "common_name=snr-3", f"public_key_sha256={'ab' * 32}", "--yes").exit_code == 0
    found = only(ready, count)
    assert found.before["more_rows"] == 1
    notice = notice_of({"pk": "HISTORY", "sk": found.id} | found.to_item(), NoticeOrigin("jitr", "aws", "r", "1"))
    assert notice is not None
    data: Any = notice.detail["data"]
    assert data["before"]["more_rows"] == 1


def test_an_import_and_a_restored_list_leave_an_entry_each(ready: Table, run: Run) -> None:
    count = len(history(ready))
    Path("other.csv").write_text("common_name\nsnr-3\nsnr-1\nsnr-4\n")
    assert run("lists", "import", "line-a", "other.csv", "--replace", "--yes").exit_code == 0
    found = only(ready, count)
    assert (found.command, found.outcome) == ("lists import line-a other.csv --replace", Outcome.DONE)
    assert (found.before["rows"], found.after["rows"], found.after["removed"]) == (2, 3, 1)
    assert run("lists", "restore", "line-a", "--yes").exit_code == 0
    assert only(ready, count + 1).after["rows"] == 2


def test_signers_that_are_kept_and_forgotten_leave_an_entry_each(ready: Table, run: Run) -> None:
    count = len(history(ready))
    Path("signer.crt").write_bytes(SIGNER.der)
    assert run("lists", "signers", "add", "signer.crt", "--any-date").exit_code == 0
    assert only(ready, count).after == {"name": "Lot Signer", "any_date": True}
    assert run("lists", "signers", "remove", SIGNER.sha256, "--yes").exit_code == 0
    found = only(ready, count + 1)
    assert (found.subject, found.before["name"]) == (SIGNER.sha256, "Lot Signer")


def test_a_word_on_a_held_device_leaves_an_entry_that_is_found_from_the_device(ready: Table, run: Run) -> None:
    hold(ready, 1)
    count = len(history(ready))
    words = ("held", "admit", DEVICE, "--rule", "line-a", "--yes")
    assert run(*words, "--message", "label misprinted").exit_code == 0
    found = only(ready, count)
    assert (found.command, found.why) == (f"held admit {DEVICE[:12]} --rule line-a", "label misprinted")
    assert (found.before["decision"], found.after["word"]) == ("hold", "admit")
    assert of_device(ready, DEVICE, 10) == [found]


def test_a_word_that_comes_too_late_leaves_none(ready: Table, run: Run, aws: Aws) -> None:
    hold(ready, 1)
    count = len(history(ready))
    reason = {"Error": {"Code": "TransactionCanceledException", "Message": ""}}
    reason["CancellationReasons"] = [{"Code": "ConditionalCheckFailed"}]  # type: ignore[assignment]

    def late(_given: Any) -> Any:
        raise ClientError(reason, "TransactWriteItems")  # type: ignore[arg-type]

    aws.overrides["TransactWriteItems"] = late
    assert run("held", "reject", DEVICE, "--yes").exit_code == 2
    assert len(history(ready)) == count


def test_held_devices_that_are_decided_again_leave_one_entry_for_all_of_them(ready: Table, run: Run) -> None:
    hold(ready, 1)
    hold(ready, 2)
    count = len(history(ready))
    assert run("held", "recheck", DEVICE, f"{2:064x}").exit_code == 0
    found = only(ready, count)
    assert (found.device_count, found.after) == (2, {"rechecked": 2})
    assert of_device(ready, f"{2:064x}", 10) == [found]
    assert run("held", "recheck", "--all").exit_code == 0
    assert only(ready, count + 1).command == "held recheck --all"


@pytest.mark.parametrize(
    ("words", "before", "after"),
    [
        (("deactivate", "{id}", "--yes"), {"ACTIVE": 1}, {"INACTIVE": 1}),
        (("revoke", "{id}", "--yes"), {"ACTIVE": 1}, {"REVOKED": 1}),
        (
            ("delete", "{id}", "--deactivate", "--yes"),
            {"status": "ACTIVE", "decision": "admit", "thing": "snr-0001"},
            {"status": "deleted", "things_deleted": 0},
        ),
    ],
)
def test_what_is_done_to_a_device_leaves_an_entry_that_outlives_the_device(
    world: World, run: Run, device: drafts.Issued, words: tuple[str, ...], before: dict[str, Any], after: dict[str, Any]
) -> None:
    asked = [each.replace("{id}", device.sha256) for each in words]
    assert run("device", *asked).exit_code == 0
    found = only(world.table)
    assert (found.kind, found.outcome, found.devices) == (HistoryKind.DEVICE, Outcome.DONE, (device.sha256,))
    assert (dict(found.before), dict(found.after)) == (before, after)
    told = run("history", "--device", device.sha256, "--json")
    assert [each["id"] for each in json.loads(told.stdout)] == [found.id]


def test_a_device_that_is_let_in_again_leaves_an_entry_with_what_was_overruled(
    world: World, run: Run, device: drafts.Issued
) -> None:
    assert run("device", "deactivate", device.sha256, "--yes").exit_code == 0
    assert run("device", "activate", device.sha256).exit_code == 0
    found = only(world.table, 1)
    assert (found.command, dict(found.before)) == (f"device activate {device.sha256[:12]}", {"INACTIVE": 1})
    assert found.after == {"ACTIVE": 1}


def test_devices_that_are_registered_together_leave_one_entry(iot: Any, table: Table, run: Run) -> None:
    for name in ("a", "b"):
        Path(f"{name}.pem").write_bytes(FACTORY.device(name).issue().pem)
    words = ("device", "register", "a.pem", "b.pem", "--activate", "--iot-policy", "Sensor")
    assert run(*words).exit_code == 0
    found = only(table)
    assert (found.command, found.device_count) == ("device register a.pem b.pem", 2)
    assert found.after == {"ACTIVE": 2}


def test_a_recall_leaves_one_entry_that_is_found_from_each_device(
    world: World, run: Run, device: drafts.Issued, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also from those that it does not name, because there are too many."""
    monkeypatch.setattr("jitr.records.history.MOST_DEVICES", 0)
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    Path("recall.csv").write_text("common_name\nsnr-0001\n")
    assert run("lists", "import", "recall", "recall.csv", "--yes").exit_code == 0
    assert run("device", "deactivate", "--list", "recall", "--yes").exit_code == 0
    found = only(world.table, 1)
    assert (found.command, found.devices, found.device_count) == ("device deactivate --list recall", (), 1)
    assert (found.why, found.after) == ("on list recall", {"INACTIVE": 1})
    assert of_device(world.table, device.sha256, 10) == [found]


def test_what_is_done_to_a_ca_leaves_an_entry_each(iot: Any, table: Table, run: Run) -> None:
    for what in (("deactivate", "--yes"), ("activate",), ("delete", "--deactivate", "--yes")):
        assert run("ca", what[0], FACTORY.id, *what[1:]).exit_code == 0
    found = history(table)
    assert [each.command.split()[1] for each in found] == ["delete", "activate", "deactivate"]
    assert [each.after["status"] for each in found] == ["deleted", "ACTIVE", "INACTIVE"]
    assert {(each.kind, each.subject) for each in found} == {(HistoryKind.CA, FACTORY.id)}


def test_why_something_is_done_to_a_ca_is_kept(iot: Any, table: Table, run: Run) -> None:
    for what in (("deactivate", "--yes"), ("activate",), ("delete", "--deactivate", "--yes")):
        assert run("ca", what[0], FACTORY.id, *what[1:], "--message", f"{what[0]} it").exit_code == 0
    assert [each.why for each in history(table)] == ["delete it", "activate it", "deactivate it"]


def test_a_ca_that_is_so_already_is_said_to_be_unchanged_and_leaves_no_entry(iot: Any, table: Table, run: Run) -> None:
    for what, is_now, was in (
        (("activate",), "ACTIVE", "ACTIVE"),
        (("deactivate", "--yes"), "INACTIVE", "ACTIVE"),
        (("deactivate", "--yes"), "INACTIVE", "INACTIVE"),
    ):
        entries = len(history(table))
        done = run("ca", what[0], FACTORY.id, *what[1:])
        assert ("was " + is_now + " already, nothing changed" in done.stdout) is (is_now == was)
        assert len(history(table)) - entries == (is_now != was)
    assert json.loads(run("ca", "deactivate", FACTORY.id, "--json").stdout) == {
        "ca_certificate_id": FACTORY.id,
        "status": "INACTIVE",
        "status_before": "INACTIVE",
    }


def test_a_ca_that_is_registered_leaves_an_entry_with_how(table: Table, run: Run) -> None:
    Path("ca.pem").write_bytes(OTHER.pem)
    assert run("ca", "register", "ca.pem", "--sni-only", "--tag", "plant=izmir").exit_code == 0
    found = only(table)
    assert (found.subject, found.before) == (OTHER.id, {})
    assert (found.after["mode"], found.after["tags"]) == ("SNI_ONLY", "plant=izmir")


def test_failed_messages_that_are_put_back_leave_an_entry_with_how_many(table: Table, run: Run) -> None:
    queues = Queues()
    queues.fail("not json", "event.bug")
    assert run("failures", "redrive", "--pace", 1000, "--yes").exit_code == 0
    assert (only(table).command, only(table).after) == ("failures redrive", {"put_back": 1})


def test_a_sweep_leaves_an_entry_and_a_dry_run_none(iot: Any, table: Table, run: Run) -> None:
    assert run("failures", "sweep", "--dry-run").exit_code == 0
    assert history(table) == []
    assert run("failures", "sweep", "--yes").exit_code == 0
    assert (only(table).command, only(table).after) == (f"failures sweep --ca {FACTORY.id[:12]}", {"sent": 0})


# --- cut off, failed, not to be written


def test_a_change_that_is_cut_off_is_told_as_begun_and_one_that_fails_as_failed(
    world: World, run: Run, device: drafts.Issued, aws: Aws
) -> None:
    """Whatever becomes of the command, who began it is written down before AWS IoT is asked."""

    def denied(_given: Any) -> Any:
        assert only(world.table).outcome is Outcome.BEGUN
        told = run("history").stdout
        assert "begun, and nobody wrote down how it ended" in told
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "UpdateCertificate")

    aws.overrides["UpdateCertificate"] = denied
    assert run("device", "revoke", device.sha256, "--yes").exit_code == 3
    found = only(world.table)
    assert found.outcome is Outcome.FAILED
    assert "AccessDeniedException" in (found.problem or "")


def test_nobody_is_let_in_where_it_cannot_be_written_down_and_anybody_is_shut_out(
    world: World, run: Run, device: drafts.Issued, aws: Aws
) -> None:
    def denied(_given: Any) -> Any:
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "TransactWriteItems")

    aws.overrides["TransactWriteItems"] = denied
    shut_out = run("device", "deactivate", device.sha256, "--yes")
    assert (shut_out.exit_code, world.status(device)) == (0, "INACTIVE")
    assert "It is not written into the history who does this" in shut_out.stderr
    assert run("device", "activate", device.sha256).exit_code == 3
    assert world.status(device) == "INACTIVE"


def test_without_a_stack_a_ca_is_looked_after_and_it_is_said_that_nobody_writes_it_down(iot: Any, run: Run) -> None:
    result = run("ca", "deactivate", FACTORY.id, "--yes")
    assert result.exit_code == 0
    assert "It is not written into the history who does this: there is no stack jitr" in result.stderr


# --- read


def put(table: Table, number: int, **rest: Any) -> HistoryEntry:
    """An entry of a day, by somebody."""
    made = entry(
        Author(rest.pop("by", "arn:aws:iam::1:user/deniz"), "command line"),
        parse_time(f"2026-03-{number:02d}T12:00:00Z"),
        f"{number}",
        rest.pop("kind", HistoryKind.LIST),
        f"lists delete list-{number}",
        **rest,
    )
    table.transact(entry_puts(table.name, made))
    return made


@pytest.mark.parametrize(
    ("words", "days"),
    [
        ((), [4, 3, 2, 1]),
        (("--since", "2026-03-02T12:00:00Z"), [4, 3, 2]),
        (("--until", "2026-03-02T12:00:00Z"), [2, 1]),
        (("--since", "2026-03-02", "--until", "2026-03-03T13:00:00Z"), [3, 2]),
        (("--by", "DENIZ"), [4, 2, 1]),
        (("--kind", "ca"), [2]),
        (("--limit", "2"), [4, 3]),
        (("--device", DEVICE), [4]),
        (("--device", DEVICE, "--since", "2026-03-05"), []),
    ],
)
def test_the_history_is_read_newest_first_and_filtered(
    table: Table, run: Run, words: tuple[str, ...], days: list[int]
) -> None:
    put(table, 1)
    put(table, 2, kind=HistoryKind.CA)
    put(table, 3, by="arn:aws:iam::1:user/aylin")
    put(table, 4, devices=[DEVICE])
    told = json.loads(run("history", *words, "--json").stdout)
    assert [each["at"][8:10] for each in told] == [f"{each:02d}" for each in days]


@pytest.mark.parametrize("command", ["history", "decisions ls"])
def test_a_span_that_ends_before_it_begins_is_bad_use_and_nothing_is_asked(
    table: Table, run: Run, aws: Aws, command: str
) -> None:
    aws.calls.clear()
    result = run(*command.split(), "--since", "1h", "--until", "2h")
    assert result.exit_code == 2
    assert "--until is the earlier one" in result.stderr
    assert "Query" not in aws.operations


@pytest.mark.parametrize("after", ["2026-03-01T12:00:00.000000Z#1", "2026-03-09T12:00:00.000000Z#9"])
def test_a_page_goes_on_from_a_place_outside_its_span(table: Table, aws: Aws, after: str) -> None:
    """``since`` moves on while one turns pages, and DynamoDB refuses to start outside of what is asked."""
    from jitr_operations.history.reading import HistoryFilter, page

    for number in range(1, 5):
        put(table, number)
    span = HistoryFilter(since=parse_time("2026-03-02"), until=parse_time("2026-03-04"))
    aws.calls.clear()
    found = page(table, span, after=after)
    assert [each.at[8:10] for each in found.entries] == ([] if "-01T" in after else ["03", "02"])
    assert not any("ExclusiveStartKey" in each for _, each in aws.calls)
    assert list(newest(table, since="2026-03-04", until="2026-03-02")) == []


def test_a_page_of_the_newest_is_one_query_however_much_there_is(table: Table, aws: Aws) -> None:
    from jitr_operations.history.reading import HistoryFilter, page

    for number in range(1, 29):
        put(table, number)
    aws.calls.clear()
    first = page(table, HistoryFilter(), size=10)
    assert aws.operations == ["Query"]
    second = page(table, HistoryFilter(), after=first.after, size=10)
    assert [each.at[8:10] for each in (*first.entries, *second.entries)] == [f"{day:02d}" for day in range(28, 8, -1)]
    bounded = page(table, HistoryFilter(by="nobody"), most=5)
    assert (bounded.entries, bounded.looked_at) == ((), 5)
    assert bounded.after is not None


@pytest.mark.parametrize("bad", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", 'x",=1'])
def test_csv_runs_no_cell_in_a_spreadsheet(table: Table, run: Run, bad: str) -> None:
    put(table, 1, why=bad, before={bad: bad}, subject=bad)
    (heading, row) = csv.reader(io.StringIO(run("history", "--csv").stdout.removeprefix("\ufeff")))
    assert heading[:5] == ["at", "ended_at", "by", "kind", "command"]
    assert not any(cell.lstrip("\t ").startswith(("=", "+", "-", "@")) for cell in row), row


def test_csv_and_json_exclude_each_other(table: Table, run: Run) -> None:
    assert run("history", "--csv", "--json").exit_code == 2


def test_notes_steer_no_terminal(table: Table, run: Run) -> None:
    put(table, 1, why=HOSTILE, by=HOSTILE, subject=HOSTILE, before={HOSTILE: HOSTILE})
    for words in ((), ("--csv",), ("--json",)):
        output = run("history", *words).output
        assert "\x1b" not in output
        assert "\u202e" not in output


def test_an_empty_history_says_so(table: Table, run: Run) -> None:
    result = run("history")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "Nothing is written in the history" in result.stderr


# --- on the page


@pytest.fixture
def page(ready: Table) -> Page:
    return Page().enter()


def test_the_page_shows_what_it_and_the_commands_changed_with_filters_in_the_address(page: Page, ready: Table) -> None:
    page.post("/lists/line-a/add", column="common_name", value="snr-9", sure="yes")
    found = history(ready)[0]
    assert (found.tool, found.command) == ("page", "lists add line-a common_name=snr-9")
    text = page.text("/history")
    assert "lists add line-a common_name=snr-9" in text
    assert "rules publish admission.yaml" in text
    assert "rules publish" not in page.text("/history?kind=list")
    assert "No change fits this filter" in page.text("/history?by=nobody")
    assert page.get("/history?kind=x").status_code == 400
    assert page.get("/history?since=x").status_code == 400
    assert page.get("/history?after=x").status_code == 400


def test_people_are_told_in_words_what_changed(page: Page, ready: Table, run: Run) -> None:
    """Values have the names there that they are stored under; the columns of lists keep theirs everywhere."""
    Path("more.csv").write_text("common_name,attr.hw_rev\nsnr-8,2\n")
    assert run("lists", "import", "line-a", "more.csv", "--yes").exit_code == 0
    assert run("lists", "add", "line-a", "common_name=snr-9", "attr.hw_rev=2").exit_code == 0
    digest = hashlib.sha256(Path("more.csv").read_bytes()).hexdigest()[:12]
    for text in (page.text("/history"), run("history").stdout):
        assert f"rows of the file: 1, SHA-256: {digest}, added: 1" in text
        assert "common_name: snr-9, attr.hw_rev: 2" in text
        assert "rules version: 1" in text
        assert "rows_of_the_file" not in text
    assert "rows_of_the_file 1" in page.text("/history/export")  # for programs nothing is called otherwise


def test_the_page_goes_by_keys_through_the_history(page: Page, ready: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    from jitr_operations.history.reading import HistoryFilter
    from jitr_operations.history.reading import page as page_of

    for number in range(1, 29):
        put(ready, number)
    first = page_of(ready, HistoryFilter(kind=HistoryKind.LIST, until=parse_time("2026-03-28T13:00:00Z")), size=10)
    from urllib.parse import quote

    text = page.text(f"/history?kind=list&after={quote(first.after or '')}")
    assert "lists delete list-18" in text
    assert "lists delete list-19" not in text


def test_the_page_exports_what_the_filter_shows(page: Page, ready: Table) -> None:
    put(ready, 1, why="=1+1")
    answer = page.get("/history/export?since=30d&kind=list")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="history.csv"'
    assert "lists import line-a line-a.csv" in answer.text
    assert "rules publish" not in answer.text
    assert "\"'=1+1" in (text := page.get("/history/export").text) or "'=1+1" in text


def test_a_device_s_page_shows_what_operators_did_to_it(page: Page, ready: Table) -> None:
    hold(ready, 1)
    page.post(f"/devices/{DEVICE}/reject", revision="1", message="stolen from the line")
    text = page.text(f"/devices/{DEVICE}")
    assert "What operators did" in text
    assert f"held reject {DEVICE[:12]}" in text
    assert "stolen from the line" in text


def test_no_note_in_the_history_can_deceive_or_steer_the_browser(page: Page, ready: Table) -> None:
    put(ready, 1, why=HOSTILE, by=HOSTILE, subject=HOSTILE, before={HOSTILE: HOSTILE}, devices=[DEVICE])
    hold(ready, 1)
    for path in ("/history", f"/devices/{DEVICE}", f"/history?by={HOSTILE}"):
        # A field has what was typed, as it is sent again; what stands in it reaches nothing around it.
        text = re.sub(r'value="[^"]*"', "", page.get(path).text)
        for bad in ("<script>alert", "<img src=x", "\u202e", "\x1b"):
            assert bad not in text, (path, bad)


def test_a_reason_that_is_given_on_the_page_is_kept_where_nothing_is_overruled(
    world: World, run: Run, device: drafts.Issued
) -> None:
    """The form says that the reason is kept."""
    assert run("device", "deactivate", device.sha256, "--yes").exit_code == 0
    page = Page().enter()
    answer = page.post(f"/devices/{device.sha256}/activate", status="INACTIVE", message="repaired")
    assert answer.status_code == 303, answer.text
    assert only(world.table, 1).why == "repaired"
    assert "repaired" in page.text(f"/devices/{device.sha256}")


def test_the_same_is_written_by_the_page_as_by_the_commands(page: Page, ready: Table, iot: Any) -> None:
    """Of CAs, failures and words: whatever does it, the history names it alike."""
    hold(ready, 1)
    before = len(history(ready))
    done: list[Callable[[], Any]] = [
        lambda: page.post(f"/cas/{FACTORY.id}/deactivate", status="ACTIVE", message="closed"),
        lambda: page.finish(page.post("/failures/redrive", which="all")),
        lambda: page.finish(page.post("/held/do", what="reject", message="no", device=f"{DEVICE}@1")),
    ]
    for each in done:
        each()
    found = history(ready)[: len(history(ready)) - before]
    assert [each.command for each in reversed(found)] == [
        f"ca deactivate {FACTORY.id[:12]}",
        "failures redrive",
        f"held reject {DEVICE[:12]}",
    ]
    assert {each.tool for each in found} == {"page"}
