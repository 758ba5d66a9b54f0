"""`jitr ca rollover`: who has come from one CA to its successor, how fast, who is missing, and the end of it."""

import csv
import errno
import json
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from testkit import pki
from testkit.aws.world import World
from testkit.cli.command_line import Aws, Run
from testkit.cli.fleet import GRANT, Fleet, leaf
from testkit.cli.operating import FACTORY, OTHER, register_ca
from testkit.cli.rolling import both, came_before, comes, moves, rolling_fleet, takes_devices
from testkit.knocks import allow, deny

from jitr.devicelists.rows import ListRow
from jitr.rules.model import Ca, Rules
from jitr.services.lists.device_lists import DeviceLists
from jitr_operations.cas.overview import registered_cas
from jitr_operations.cas.succession import candidates
from jitr_operations.fleet.matching import CaCertificate, DeviceKind, Matching, Side
from jitr_operations.fleet.rollover import pace_from
from jitr_operations.table import now

TODAY = date(2026, 3, 29)
ABSENT = "ab" * 32


@pytest.fixture
def fleet(world: World, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    return rolling_fleet(world, aws, monkeypatch)


def told(run: Run, *options: object) -> Any:
    result = run("ca", "rollover", "factory-a", "factory-b", "--json", *options)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def kinds(document: Any) -> tuple[int, ...]:
    return tuple(document["devices"][each] for each in ("old_only", "both", "new_only", "neither"))


def names(document: Any) -> list[str]:
    return sorted(each["common_name"] for each in document["stragglers"])


@pytest.mark.parametrize("of_file", [False, True])
def test_a_full_disk_is_told_in_one_line(
    run: Run, fleet: Fleet, monkeypatch: pytest.MonkeyPatch, of_file: bool
) -> None:
    """By SQLite, or by a temporary file that has no name to be told by."""

    def connect(*given: Any, **more: Any) -> sqlite3.Connection:
        if of_file:
            raise OSError(errno.ENOSPC, "No space left on device")
        made: sqlite3.Connection = opened(*given, **more)
        made.execute("PRAGMA max_page_count = 1")
        return made

    opened = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", connect)
    result = run("ca", "rollover", "factory-a", "factory-b")
    assert (result.exit_code, "no room left on the disk" in result.stderr, "bug" in result.stderr) == (2, True, False)


# --- who has come


def test_devices_are_counted_by_the_cas_that_they_are_in_with_and_matched_by_key_and_by_thing(
    run: Run, fleet: Fleet
) -> None:
    """Replaced, beside the old certificate, new from the start, rejected, and taken out: each is counted once.

    A certificate of the same key is replaced by nothing: both are ACTIVE.
    """
    fleet.let_in("a", "b", "same-key", "other-key", "beside", "off")
    moves(fleet, "same-key")
    moves(fleet, "other-key", owner="another key")
    fleet.world.publish(both("coexist"))
    moves(fleet, "beside", owner="a key beside")
    moves(fleet, "newborn")
    assert run("device", "deactivate", "off", "--yes").exit_code == 0
    fleet.world.publish(both("coexist", deny("bad", common_name="bad")))
    moves(fleet, "bad")
    document = told(run)
    assert kinds(document) == (2, 2, 2, 2)
    assert document["came"] == {"devices": 3, "by_key": 1, "by_thing": 2}
    assert names(document) == ["a", "b"]
    assert (document["old"]["aliases"], document["new"]["ca_certificate_id"]) == (["factory-a"], OTHER.id)


def test_a_name_that_no_rule_granted_matches_nobody(run: Run, fleet: Fleet) -> None:
    """Any CA may write a common name. A certificate that was held got no thing, and is not the device's."""
    fleet.let_in("a")
    fleet.world.publish(both("hold"))
    stranger = moves(fleet, "a", owner="somebody")
    assert fleet.world.codes(stranger) == ["grant.thing-claimed"]
    document = told(run)
    assert (kinds(document), document["held"], names(document)) == ((1, 0, 0, 1), 1, ["a"])
    assert f"1 device of factory-b ({OTHER.id[:12]}) on hold" in run("ca", "rollover", FACTORY.id, OTHER.id).stderr


def test_a_device_is_in_as_aws_iot_says_now(run: Run, fleet: Fleet) -> None:
    """Not as it was decided: cut off by another hand, deleted, expired, or registered by hand."""
    ended = FACTORY.usual_device("ended").valid(not_after=now() - timedelta(minutes=1)).issue()
    devices = fleet.let_in("a", "off", "gone") | {"ended": comes(fleet, ended, FACTORY)}
    assert fleet.world.status(ended) == "ACTIVE"
    fleet.set_status(devices["off"], "INACTIVE")
    fleet.delete(devices["gone"])
    for device in (leaf("stranger"), leaf("by-hand", OTHER)):
        fleet.register(device)
    document = told(run)
    assert (kinds(document), names(document)) == ((1, 0, 0, 3), ["a"])
    assert document["not_on_record"] == {"old": 1, "new": 1}
    shown = run("ca", "rollover", "factory-a", "factory-b").stderr
    assert f"`jitr fleet check --ca {FACTORY.id[:12]} --only unknown`" in shown


def test_devices_of_other_cas_are_none_of_it(run: Run, fleet: Fleet) -> None:
    third = pki.ca("Factory C")
    register_ca(fleet.world.iot, third)
    fleet.let_in("a")
    document = json.loads(run("ca", "rollover", third.id, OTHER.id, "--json").stdout)
    assert kinds(document) == (0, 0, 0, 0)
    assert (document["done_on"], document["in_time"]) == (f"{now():%Y-%m-%d}", True)


def test_certificates_that_a_third_joins_are_one_device() -> None:
    """Whatever the order in which they are read: the same key under two things, the same thing under two keys."""

    def certificate(number: int, side: Side, key: str, thing: str | None) -> CaCertificate:
        return CaCertificate(f"{number:064x}", side, True, True, False, "2026-03-01T00:00:00Z", None, key, thing, "")

    made = [
        certificate(1, Side.OLD, "aa", "one"),
        certificate(2, Side.OLD, "bb", "two"),
        certificate(3, Side.NEW, "cc", "two"),
        certificate(4, Side.NEW, "aa", "three"),
        certificate(5, Side.OLD, "dd", "three"),
        certificate(6, Side.OLD, "bb", "one"),
        certificate(7, Side.OLD, "ee", None),
    ]
    for start in range(len(made)):
        matching = Matching()
        for each in made[start:] + made[:start]:
            matching.add(each)
        matching.settle()
        counts = matching.count()
        assert (counts.old_only, counts.both, counts.came, counts.came_by_key) == (1, 1, 1, 1), start
        assert [each.certificate_id for each in matching.certificates_of(DeviceKind.OLD_ONLY)] == [f"{7:064x}"]
        matching.close()


# --- the pace


def days(*ago: int) -> dict[date, int]:
    return {TODAY - timedelta(days=each): 2 for each in sorted(ago, reverse=True)}


@pytest.mark.parametrize(
    ("came", "missing", "per_week", "done"),
    [
        (days(*range(28)), 20, 14.0, TODAY + timedelta(days=10)),
        (days(3), 3, 3.5, TODAY + timedelta(days=6)),
        (days(0), 3, None, None),
        (days(0, 1), 3, None, None),
        (days(0), 0, None, TODAY),
        (days(40, 27), 1, 0.5, TODAY + timedelta(days=14)),
        (days(40), 5, 0.0, None),
        ({}, 5, 0.0, None),
        (days(40), 0, 0.0, TODAY),
        (days(27), 10**9, 0.5, None),
    ],
    ids=[
        "steady",
        "once",
        "only today",
        "since yesterday",
        "all today",
        "one in four weeks",
        "none of late",
        "nobody",
        "all",
        "never",
    ],
)
def test_the_last_one_comes_at_the_pace_of_four_weeks_or_since_the_first_came(
    came: dict[date, int], missing: int, per_week: float | None, done: date | None
) -> None:
    """And at none before a whole day is behind the first: seconds, or the minutes around midnight, are no rate."""
    pace = pace_from(came, missing, TODAY)
    assert (pace.per_week, pace.done_on) == (per_week, done)


def test_each_of_the_last_eight_weeks_has_its_count() -> None:
    weeks = pace_from(days(0, 6, 7, 55, 56), 1, TODAY).weeks
    assert list(weeks.values()) == [2, 0, 0, 0, 0, 0, 2, 4]
    assert list(weeks)[-1] == TODAY - timedelta(days=6)


@pytest.fixture
def clock(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command's day is that of the fleet, which lives an hour before the others: also right after midnight."""
    monkeypatch.setattr("jitr_cli.commands.ca.rollover.now", lambda: fleet.world.now)


@pytest.mark.usefixtures("clock")
def test_when_the_last_one_comes_is_held_against_the_end_of_the_old_ca(run: Run, fleet: Fleet) -> None:
    fleet.let_in("a", "b")
    assert "Nobody came in the last four weeks" in run("ca", "rollover", "factory-a", "factory-b").stdout
    came_before(fleet, 6, "a")
    document = told(run)
    assert (document["per_week"], document["in_time"]) == (1.0, True)
    assert sum(document["weeks"].values()) == 1
    shown = run("ca", "rollover", "factory-a", "factory-b").stdout
    assert f"At 1.0 a week the last one comes on {document['done_on']}, before the old CA ends" in shown
    moves(fleet, "b")
    assert "Every device has come." in run("ca", "rollover", "factory-a", "factory-b").stdout


def test_devices_that_came_within_seconds_have_no_pace(run: Run, fleet: Fleet) -> None:
    fleet.let_in("a", "b")
    moves(fleet, "a")
    document = told(run)
    assert [document[each] for each in ("per_week", "done_on", "in_time")] == [None, None, None]
    assert sum(document["weeks"].values()) == 1
    shown = run("ca", "rollover", "factory-a", "factory-b").stdout
    assert "Devices have only begun to come" in shown
    assert "a week" not in shown


@pytest.mark.usefixtures("clock")
def test_a_roll_over_that_is_finished_has_no_forecast(run: Run, fleet: Fleet) -> None:
    """Nobody waits for those who did not come."""
    fleet.let_in("a", "b")
    came_before(fleet, 6, "a")
    assert run("ca", "rollover", "factory-a", "factory-b", "--finish", "--yes").exit_code == 0
    document = told(run)
    assert [document[each] for each in ("per_week", "done_on", "in_time")] == [1.0, None, None]
    shown = run("ca", "rollover", "factory-a", "factory-b").stdout
    assert "The roll-over is finished: the old CA is INACTIVE. 1 device has not come." in shown
    assert "the last one comes" not in shown


# --- who has not come


def test_who_has_not_come_is_a_list_of_their_old_certificates_which_imports(run: Run, fleet: Fleet) -> None:
    """Whatever a device calls itself. A certificate that it comes with later is not on the list."""
    hostile = ["=1+1", "ring\u202e", "a\nb", "N/A", "\ufffd", "x" * 64, '"quoted"', "\u00c3\u00a4"]
    bare = replace(GRANT, thing=None, thing_type=None, attributes={}, thing_groups=(), not_in_policies=("common_name",))
    fleet.world.publish(replace(both("replace"), allow=(allow("any", ca="factory-a", grant=bare),)))
    ids = {each.sha256 for each in fleet.let_in(*hostile).values()}
    fleet.world.publish(both("replace"))
    plain = fleet.let_in("plain", "moved")["plain"]
    moves(fleet, "moved")
    document = told(run, "--export", "not-yet.csv")
    rows = list(csv.DictReader(Path("not-yet.csv").read_text("utf-8-sig").splitlines()))
    assert document["exported"]["rows"] == document["devices"]["old_only"] == len(hostile) + 1
    assert {each["certificate_sha256"] for each in rows} == ids | {plain.sha256}
    assert not any(cell.startswith(("=", "+", "-", "@")) for each in rows for cell in each.values())
    imported = run("lists", "import", "not-yet", "not-yet.csv", "--json", "--yes")
    assert imported.exit_code == 0, imported.output
    lists = DeviceLists(fleet.world.table)
    listed = list(lists.rows("not-yet", lists.all()["not-yet"].head.generation))
    (row,) = [each for each in listed if each.certificate_sha256 == plain.sha256]
    assert row.note is not None
    assert row == ListRow(certificate_sha256=plain.sha256, thing_name="plain", note=row.note)
    assert row.note.startswith("not yet come: plain, certificate ends ")
    again = run("ca", "rollover", "factory-a", "factory-b", "--export", "not-yet.csv")
    assert (again.exit_code, "--force" in again.stderr) == (2, True)


def test_a_file_that_cannot_be_written_is_told_as_it_was_named(run: Run, fleet: Fleet) -> None:
    """Not as the one under cover that is written first."""
    result = run("ca", "rollover", "factory-a", "factory-b", "--export", "/proc/not-yet.csv")
    assert (result.exit_code, "error: /proc/not-yet.csv: " in result.stderr) == (2, True), result.stderr


def test_the_devices_of_each_kind_are_exported_by_the_certificates_that_stand_for_them(run: Run, fleet: Fleet) -> None:
    """Of devices that have come it is the old certificate, which nobody needs any more: never the one that they use."""
    devices = fleet.let_in("a", "off", "beside")
    fleet.world.publish(both("coexist"))
    moves(fleet, "beside", owner="a key beside")
    newborn = moves(fleet, "newborn")
    assert run("device", "deactivate", "off", "--yes").exit_code == 0
    expected = {"old-only": devices["a"], "both": devices["beside"], "new-only": newborn, "neither": devices["off"]}
    for kind, device in expected.items():
        told(run, "--export", f"{kind}.csv", "--of", kind)
        (row,) = csv.DictReader(Path(f"{kind}.csv").read_text("utf-8-sig").splitlines())
        assert row["certificate_sha256"] == device.sha256, kind
        assert run("lists", "import", kind, f"{kind}.csv", "--yes").exit_code == 0


# --- the end


def test_the_end_is_asked_for_written_into_the_history_and_undone(run: Run, fleet: Fleet, aws: Aws) -> None:
    device = fleet.let_in("a")["a"]
    words = ("ca", "rollover", "factory-a", "factory-b")
    asked = run(*words, "--finish")
    assert "1 device has not come to its successor. Make the CA" in asked.stderr
    assert asked.exit_code == 2
    assert "UpdateCACertificate" not in aws.operations
    done = run(*words, "--finish", "--yes", "--json", "--message", "the last truck is back")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["finished"] == {
        "ca_certificate_id": FACTORY.id,
        "status": "INACTIVE",
        "status_before": "ACTIVE",
    }
    assert "no new device under it is registered" in done.stderr
    assert (ca_status(fleet), fleet.world.status(device)) == ("INACTIVE", "ACTIVE")
    (entry,) = json.loads(run("history", "--json").stdout)
    assert entry["command"] == f"ca rollover {FACTORY.id[:12]} {OTHER.id[:12]} --finish"
    assert entry["why"] == "the last truck is back"
    assert (entry["before"]["status"], entry["after"], entry["outcome"]) == ("ACTIVE", {"status": "INACTIVE"}, "done")
    again = run(*words, "--finish")
    assert ": was INACTIVE already, nothing changed" in again.stdout
    assert (again.exit_code, len(json.loads(run("history", "--json").stdout))) == (0, 1), again.output
    assert run("ca", "activate", FACTORY.id).exit_code == 0
    assert ca_status(fleet) == "ACTIVE"


def ca_status(fleet: Fleet) -> str:
    return fleet.world.iot.describe_ca_certificate(certificateId=FACTORY.id)["certificateDescription"]["status"]


def test_without_finish_nothing_is_changed(run: Run, fleet: Fleet, aws: Aws) -> None:
    fleet.let_in("a")
    aws.calls.clear()
    told(run)
    reads = ("Get", "Describe", "List", "BatchGet", "Query")
    assert [each for each in aws.operations if not each.startswith(reads)] == []


@pytest.mark.parametrize("lacks", ["INACTIVE", "without auto-registration"])
def test_the_old_ca_is_not_ended_while_the_new_one_takes_no_devices(
    run: Run, fleet: Fleet, aws: Aws, lacks: str
) -> None:
    fleet.let_in("a")
    if lacks == "INACTIVE":
        fleet.world.iot.update_ca_certificate(certificateId=OTHER.id, newStatus="INACTIVE")
    else:
        takes_devices(aws, fleet.world, on=False)
    assert "no device can come" in run("ca", "rollover", "factory-a", "factory-b").stderr
    result = run("ca", "rollover", "factory-a", "factory-b", "--finish", "--yes")
    assert (result.exit_code, f"is {lacks}, and with" in result.stderr) == (2, True), result.stderr
    mend = f"`jitr ca activate {OTHER.id[:12]}` makes it ACTIVE" if lacks == "INACTIVE" else "`jitr ca register` with"
    assert mend in result.stderr
    assert ca_status(fleet) == "ACTIVE"


@pytest.mark.parametrize(
    ("changed", "told"), [(OTHER, "is INACTIVE, and with"), (FACTORY, "is INACTIVE by now")], ids=["new", "old"]
)
def test_a_ca_that_others_change_while_its_devices_are_counted_is_seen_before_the_old_one_is_ended(
    run: Run, fleet: Fleet, aws: Aws, changed: pki.CA, told: str
) -> None:
    """To count a million devices takes an hour, and to answer a question as long as it likes."""
    fleet.let_in("a")
    listing = aws.overrides["ListCertificatesByCA"]

    def meanwhile(given: Any) -> Any:
        fleet.world.iot.update_ca_certificate(certificateId=changed.id, newStatus="INACTIVE")
        return listing(given)

    aws.overrides["ListCertificatesByCA"] = meanwhile
    result = run("ca", "rollover", "factory-a", "factory-b", "--finish", "--yes")
    assert (result.exit_code, told in result.stderr) == (2, True), result.stderr
    assert ca_status(fleet) == ("ACTIVE" if changed is OTHER else "INACTIVE")
    assert json.loads(run("history", "--json").stdout) == []


# --- who can succeed


def test_the_ca_that_rules_renew_from_the_old_one_is_proposed_first(run: Run, fleet: Fleet) -> None:
    """Then those that take devices, the newest first; never itself, one that is older, or one that cannot be read."""

    def made(name: str, begins: int, ends: int, *, active: bool = True) -> pki.CA:
        start, end = FACTORY.draft.not_before + timedelta(days=begins), FACTORY.draft.not_after + timedelta(days=ends)
        draft = pki.ca_draft(name).valid(not_before=start, not_after=end).basic_constraints(ca=True)
        ca = pki.make(draft.key_usage("keyCertSign").identifiers())
        register_ca(fleet.world.iot, ca, active=active)
        return ca

    newest, newer, off = made("D", 9, 9), made("E", 5, 5), made("F", 10, 10, active=False)
    older = made("G", -5, -5)
    registered = {each.id: each for each in registered_cas(fleet.world.iot)}
    found = candidates(both("replace"), registered[FACTORY.id], registered.values())
    assert [each.ca.ca.id for each in found] == [OTHER.id, newest.id, newer.id, off.id]
    assert [each.renews for each in found] == [("line-b",), (), (), ()]
    assert [each.ca.ca.id for each in candidates(Rules(""), registered[older.id], registered.values())][-1] == off.id
    unreadable = replace(registered[newest.id], pem="x")
    assert newest.id not in {
        each.ca.ca.id for each in candidates(Rules(""), registered[FACTORY.id], [unreadable, registered[newer.id]])
    }


# --- bad input


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("factory-a", "factory-a"), "factory-a and factory-a are the same CA"),
        (("factory-a", FACTORY.id[:10]), f"are the same CA, {FACTORY.id[:12]}: name its successor"),
        (("factory-c", "factory-b"), "and no CA alias of the rules in force: did you mean factory-"),
        ((ABSENT, "factory-b"), f"no CA {ABSENT} is registered"),
        (("two", "factory-b"), "two stands for 2 CAs in the rules in force: name one by its id"),
        (("gone", "factory-b"), f"no CA {ABSENT} is registered"),
    ],
    ids=["twice", "twice in other words", "unknown word", "unknown id", "several", "an alias of none"],
)
def test_what_cannot_be_a_roll_over_is_told_in_a_line(run: Run, fleet: Fleet, words: Sequence[str], says: str) -> None:
    made = both("replace")
    more = {"two": Ca("two", (FACTORY.id, OTHER.id), 5), "gone": Ca("gone", (ABSENT,), 6)}
    fleet.world.publish(replace(made, cas={**made.cas, **more}))
    result = run("ca", "rollover", *words)
    assert (result.exit_code, says in result.stderr) == (2, True), result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("words", [("rollover", "snr.pem", "factory-b"), ("show", "snr.pem")], ids=["rollover", "show"])
def test_a_device_s_certificate_is_called_that_where_a_ca_is_wanted(
    run: Run, fleet: Fleet, words: Sequence[str]
) -> None:
    device = fleet.let_in("a")["a"]
    Path("snr.pem").write_bytes(device.pem)
    result = run("ca", *words)
    assert (result.exit_code, "snr.pem: it is the certificate of a device" in result.stderr) == (2, True), result.output
    assert "name the CA that signed it" in result.stderr


def test_the_older_ca_comes_first_and_a_newer_one_that_ends_sooner_is_warned_of(run: Run, fleet: Fleet) -> None:
    short = pki.ca_draft("Factory D")
    for days_later, code in ((0, 2), (1, 0)):
        begins = FACTORY.draft.not_before + timedelta(days=days_later)
        draft = short.valid(not_before=begins, not_after=FACTORY.draft.not_after - timedelta(days=30))
        ca = pki.make(draft.basic_constraints(ca=True).key_usage("keyCertSign").identifiers())
        register_ca(fleet.world.iot, ca)
        result = run("ca", "rollover", "factory-a", ca.id)
        assert result.exit_code == code, result.output
        assert f"{ca.id[:12]} ends" in result.stderr
        assert ("name the CA that is left first" in result.stderr) == (code == 2)


def test_cas_that_end_on_one_day_are_told_apart_by_the_time(run: Run, fleet: Fleet) -> None:
    end = FACTORY.draft.not_after.replace(hour=0, minute=0, second=0, microsecond=0)
    made = []
    for name, hours in (("Factory D", 2), ("Factory E", 1)):
        draft = pki.ca_draft(name).valid(not_before=FACTORY.draft.not_before, not_after=end + timedelta(hours=hours))
        made.append(pki.make(draft.basic_constraints(ca=True).key_usage("keyCertSign").identifiers()))
        register_ca(fleet.world.iot, made[-1])
    told = run("ca", "rollover", made[0].id, made[1].id).stderr
    assert (
        f"{made[1].id[:12]} ends {end:%Y-%m-%d}T01:00:00Z, before {made[0].id[:12]}, {end:%Y-%m-%d}T02:00:00Z" in told
    )
