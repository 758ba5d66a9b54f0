"""The scheduled check: what it finds, that it changes nothing but its own items, and that nothing stops it for good."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from testkit import pki as drafts
from testkit.aws.fleet_check import DAY, fleet_check_of, forget_checks, one_page, others, plenty
from testkit.aws.world import Silent, World, listening
from testkit.cli.command_line import Aws, Run
from testkit.cli.fleet import GRANT, Fleet, fleet_in, in_force, leaf
from testkit.cli.operating import FACTORY
from testkit.knocks import allow, deny

from jitr.aws.dynamodb.fleet_checks import LEASE, FleetChecks, FleetPlace
from jitr.devicelists.rows import ListRow
from jitr.fleet import set_difference
from jitr.fleet.acceptance import Acceptance, gauges, not_accepted
from jitr.fleet.set_difference import SetDifference
from jitr.fleet.tally import MOST_EXAMPLES, Example, Tally
from jitr.records.record import APPLYING, Record
from jitr.services.fleet import pages, scheduled
from jitr.services.fleet.pages import FleetPages
from jitr.times import rfc3339

DUE = {"fleet": "due"}
OF_A_DEVICE = {"DescribeCertificate", "DescribeThing"}  # calls that take one device each; AWS IoT answers ten a second


@pytest.fixture
def fleet(world: World, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    return fleet_in(world, aws, monkeypatch)


class Counted(Silent):
    """Keeps what was counted."""

    def __init__(self) -> None:
        super().__init__()
        self.counted: dict[str, int] = {}

    def count(self, name: str, number: int = 1, *, reason: str | None = None) -> None:
        self.counted[name] = self.counted.get(name, 0) + number


def run_once(world: World, remaining: Callable[[], int] = plenty, event: Any = DUE) -> dict[str, int]:
    """One invocation of a cold start, and what it counted."""
    world.telemetry = counted = Counted()
    fleet_check_of(world).handle(event, remaining)
    return counted.counted


def last(world: World) -> dict[str, Any]:
    found = FleetChecks(world.table).last()
    assert found is not None
    return found


def mixed(fleet: Fleet) -> dict[str, drafts.Issued]:
    """Devices of each kind that the scheduled check finds, and several that are in order; an hour goes by."""
    world = fleet.world
    ending = (
        FACTORY.usual_device("ending").key("P-256", "ending").valid(not_after=world.now + timedelta(days=9)).issue()
    )
    devices = fleet.let_in("fine", "recalled", "unlisted", "off", "extra", "renamed", "out")
    world.connect(ending)
    world.knock(ending, FACTORY)
    devices["ending"] = ending
    fleet.set_status(devices["off"], "INACTIVE")
    world.iot.attach_policy(policyName="Other", target=fleet.arn(devices["extra"]))
    world.iot.update_thing(thingName="renamed", attributePayload={"attributes": {"line": "z"}, "merge": True})
    devices["stranger"] = leaf("stranger")
    fleet.register(devices["stranger"])
    world.put_on("recall-17", ListRow(common_name="recalled"))
    names = ("fine", "recalled", "off", "extra", "renamed", "ending", "out")
    world.publish(
        in_force(
            deny("recall", lists=("recall-17",), reason="bad radio"),
            *[allow(name, grant=GRANT, common_name=name) for name in names],
        )
    )
    world.later(hours=1)
    return devices


COUNTS = {
    "reject": {"deny.rule": 1},
    "hold": {"allow.unmatched": 1},
    "changed": {"changed": 1},
    "drift": {"drift": 2},
    "unknown": {"unknown": 1},
    "expiring": {"expiring": 1},
}


def test_every_kind_is_counted_and_shown_and_nothing_but_the_checks_own_items_is_written(fleet: Fleet) -> None:
    mixed(fleet)
    before = others(fleet.world), _iot(fleet)
    told = run_once(fleet.world)
    found = last(fleet.world)
    assert found["counts"] == COUNTS
    assert (found["certificates"], found["looked_at"], found["left_alone"], found["failed"]) == (9, 7, 0, 0)
    names = {kind: {each["common_name"] for each in shown} for kind, shown in found["examples"].items()}
    assert names == {
        "reject": {"recalled"},
        "hold": {"unlisted"},
        "changed": {"off"},
        "drift": {"extra", "renamed"},
        "unknown": {""},
        "expiring": {"ending"},
    }
    assert {name: told[name] for name in ("NotAdmissibleToday", "Drifted", "Unknown", "FleetFindings")} == {
        "NotAdmissibleToday": 2,
        "Drifted": 3,
        "Unknown": 1,
        "FleetFindings": 6,
    }
    assert (told["ExpiringSoon"], told["FleetCheckRuns"]) == (1, 1)
    assert (others(fleet.world), _iot(fleet)) == before


def _iot(fleet: Fleet) -> Any:
    """What AWS IoT has, as far as a device's admission gives it."""
    iot = fleet.world.iot
    certificates = sorted((each["certificateId"], each["status"]) for each in iot.list_certificates()["certificates"])
    return certificates, [
        (each["thingName"], each["attributes"], iot.list_thing_principals(thingName=each["thingName"])["principals"])
        for each in iot.list_things()["things"]
    ]


def test_a_pass_of_one_page_an_invocation_finds_the_same_and_ends(fleet: Fleet) -> None:
    mixed(fleet)
    run_once(fleet.world)
    whole = last(fleet.world)
    forget_checks(fleet.world)
    invocations = 0
    while FleetChecks(fleet.world.table).last() is None:
        with one_page(fleet.world) as remaining:
            run_once(fleet.world, remaining)
        invocations += 1
        assert invocations < 20
    # A partition of the index each, of two IoT policies one that somebody has, all things, three pages of certificates,
    # a group, and the end.
    assert invocations == 8 + 2 + 1 + 3 + 1 + 1
    assert last(fleet.world) == whole


def test_of_two_invocations_at_once_one_runs_the_pass(fleet: Fleet) -> None:
    mixed(fleet)
    checks = FleetChecks(fleet.world.table)
    mine = checks.take(fleet.world.now, DAY, scheduled.FIRST)
    assert mine is not None
    run_once(fleet.world)
    assert checks.last() is None
    fleet.world.now += LEASE
    run_once(fleet.world)  # whoever had it is gone, or so it seems
    assert last(fleet.world)["counts"] == COUNTS
    assert not checks.move(replace(mine, place=FleetPlace("things", "*")), fleet.world.now)
    assert not checks.finish(mine, {"counts": {}}, fleet.world.now)
    assert last(fleet.world)["counts"] == COUNTS


def test_a_pass_begins_once_a_day_and_at_once_where_it_is_wanted(fleet: Fleet) -> None:
    fleet.let_in("a")
    fleet.world.later(minutes=1)
    begun = []
    for minutes in (0, 15, 23 * 60, 45):
        fleet.world.later(minutes=minutes)
        run_once(fleet.world)
        begun.append(last(fleet.world)["started_at"])
    assert [each == begun[0] for each in begun] == [True, True, True, False]
    fleet.world.later(minutes=15)
    run_once(fleet.world, event={"fleet": "now"})
    assert last(fleet.world)["started_at"] > begun[-1]


def test_of_all_checks_that_are_kept_only_the_newest_is_read_to_tell_of_it(world: World) -> None:
    checks, read = FleetChecks(world.table), list[Any]()
    for day in range(3):
        mine = checks.take(world.now, DAY, scheduled.FIRST)
        assert mine is not None
        assert checks.finish(mine, {"day": day}, world.now)
        world.later(days=1)
    with listening(world.dynamodb, "after-call", lambda parsed, **_call: read.extend(parsed["Items"])):
        assert checks.last() == {"day": 2}
    assert len(read) == 1


def test_a_device_that_is_being_decided_is_left_alone_and_counted(fleet: Fleet) -> None:
    devices = fleet.let_in("a", "b")
    record = fleet.world.record(devices["a"])
    assert record is not None
    fleet.world.table.put_record(replace(record, state=APPLYING))
    fleet.recall("a", "b")
    fleet.world.later(hours=1)
    run_once(fleet.world)
    assert (last(fleet.world)["left_alone"], last(fleet.world)["counts"]) == (1, {"reject": {"deny.rule": 1}})


def test_a_device_that_is_admitted_right_after_its_page_was_listed_is_not_told_of(fleet: Fleet, aws: Aws) -> None:
    late = leaf("late")
    fleet.world.connect(late)
    listed = aws.overrides["ListCertificatesByCA"]

    def and_then_admitted(given: dict[str, Any]) -> Any:
        answer = listed(given)
        if fleet.world.status(late) != "ACTIVE":
            fleet.world.knock(late, FACTORY)
        return answer

    aws.overrides["ListCertificatesByCA"] = and_then_admitted
    run_once(fleet.world)
    assert (last(fleet.world)["left_alone"], last(fleet.world)["counts"]) == (1, {})


def test_a_listing_whose_mark_aws_iot_no_longer_knows_is_gone_through_again_and_counted_once(
    fleet: Fleet, aws: Aws
) -> None:
    from botocore.exceptions import ClientError

    mixed(fleet)
    listed, forgotten = aws.overrides["ListCertificatesByCA"], iter([True])

    def forgets_once(given: dict[str, Any]) -> Any:
        if given.get("marker") == "6" and next(forgotten, False):
            raise ClientError({"Error": {"Code": "InvalidRequestException", "Message": "m"}}, "ListCertificatesByCA")
        return listed(given)

    aws.overrides["ListCertificatesByCA"] = forgets_once
    run_once(fleet.world)
    assert next(forgotten, None) is None
    assert last(fleet.world)["counts"] == COUNTS


def test_without_rules_in_force_nothing_is_checked_and_nothing_fails(world: World) -> None:
    assert run_once(world) == {"FleetCheckRuns": 1}
    assert FleetChecks(world.table).last() is None


def test_what_the_schedule_finds_jitr_fleet_check_finds_too(fleet: Fleet, run: Run) -> None:
    mixed(fleet)
    run_once(fleet.world)
    counts = {kind: sum(reasons.values()) for kind, reasons in last(fleet.world)["counts"].items()}
    result = run("fleet", "check", "--json")
    assert json.loads(result.stdout)["counts"] == {
        kind: counts.get(kind, 0) for kind in json.loads(result.stdout)["counts"]
    }


def _lose_policy(fleet: Fleet, _name: str, device: drafts.Issued) -> None:
    fleet.world.iot.detach_policy(policyName="Sensor", target=fleet.arn(device))


def _lose_thing(fleet: Fleet, name: str, device: drafts.Issued) -> None:
    fleet.world.iot.detach_thing_principal(thingName=name, principal=fleet.arn(device))
    fleet.world.iot.delete_thing(thingName=name)


def _leave_group(fleet: Fleet, name: str, _device: drafts.Issued) -> None:
    fleet.world.iot.remove_thing_from_thing_group(thingGroupName="line-a", thingName=name)


def test_what_is_missing_is_told_by_name_and_an_accepted_one_raises_no_alarm(fleet: Fleet, run: Run) -> None:
    devices = fleet.let_in("gone", "bare", "left", "fine")
    fleet.world.later(hours=1)
    fleet.delete(devices["gone"])
    _leave_group(fleet, "left", devices["left"])
    _lose_policy(fleet, "bare", devices["bare"])
    _lose_thing(fleet, "bare", devices["bare"])
    told = run_once(fleet.world)
    assert {name: told[name] for name in ("Drifted", "FleetFindings")} == {"Drifted": 3, "FleetFindings": 3}
    shown = run("fleet", "last")
    assert "admitted, and AWS IoT holds no such certificate" in shown.stderr
    assert "bare  thing bare is missing; IoT policy Sensor is missing" in shown.stderr
    assert "left  thing group line-a is missing" in shown.stderr
    assert run("fleet", "accept", "gone", "--until", "30d").exit_code == 0
    assert run_once(fleet.world)["Drifted"] == 2


def test_a_pass_that_finds_nothing_missing_asks_for_no_device(fleet: Fleet) -> None:
    fleet.let_in("a", "b", "c", "d")
    fleet.world.later(hours=1)
    fleet.aws.calls.clear()
    run_once(fleet.world)
    assert last(fleet.world)["counts"] == {}
    assert "ListCertificatesByCA" in fleet.aws.operations
    assert not OF_A_DEVICE & {*fleet.aws.operations}


def test_what_changes_while_a_pass_goes_on_is_not_told_to_be_missing(fleet: Fleet, aws: Aws, run: Run) -> None:
    """Deleted as jitr does it, after its record was seen; let in after that; and given again what it had lost."""
    devices = fleet.let_in("deleted", "again")
    fleet.world.later(hours=1)
    listed, late = aws.overrides["ListCertificatesByCA"], leaf("late")
    changed: list[int] = []
    _lose_policy(fleet, "again", devices["again"])

    def and_then_changed(given: dict[str, Any]) -> Any:
        if not changed:
            changed.append(run("device", "delete", devices["deleted"].sha256, "--deactivate", "--yes").exit_code)
            fleet.world.connect(late)
            fleet.world.knock(late, FACTORY)
            fleet.world.table.put_record(replace(_record(fleet, devices["again"]), decided_at=fleet.world.now))
        return listed(given)

    aws.overrides["ListCertificatesByCA"] = and_then_changed
    run_once(fleet.world)
    assert changed == [0]
    assert last(fleet.world)["counts"] == {}


def _record(fleet: Fleet, device: drafts.Issued) -> Record:
    found = fleet.world.record(device)
    assert found is not None
    return found


def test_more_missing_than_can_be_told_is_counted_and_the_command_is_named(
    fleet: Fleet, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices = fleet.let_in("a", "b", "c", "d", "fine")
    fleet.world.later(hours=1)
    for name in ("a", "b", "c"):
        _lose_policy(fleet, name, devices[name])
    fleet.delete(devices["d"])
    monkeypatch.setattr(SetDifference, "told", lambda _self: None)
    assert run_once(fleet.world)["FleetFindings"] == 4
    assert last(fleet.world)["counts"] == {"gone": {"gone": 1}, "drift": {"drift": 3}}
    assert "jitr fleet check finds them" in run("fleet", "last").stderr


def test_a_device_that_is_known_to_have_drifted_is_not_counted_again_where_too_much_is_missing(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their IoT policy was swapped: each has one beyond its grant, and lacks the one that was granted."""
    for name, device in fleet.let_in("a", "b", "c").items():
        _lose_policy(fleet, name, device)
        fleet.world.iot.attach_policy(policyName="Other", target=fleet.arn(device))
    fleet.world.later(hours=1)
    monkeypatch.setattr(SetDifference, "told", lambda _self: None)
    run_once(fleet.world)
    assert last(fleet.world)["counts"] == {"drift": {"drift": 3}}


@pytest.mark.parametrize("gone", [(), ("gone",)], ids=["more than can be told", "few"])
def test_of_devices_whose_ca_aws_iot_no_longer_holds_those_that_are_gone_or_lack_something_are_told(
    fleet: Fleet, run: Run, monkeypatch: pytest.MonkeyPatch, gone: tuple[str, ...]
) -> None:
    """They are described; where there are very many, the listing of all certificates shows them."""
    devices = fleet.let_in("a", "b", "bare", *gone)
    for name in gone:
        fleet.delete(devices[name])
    _lose_policy(fleet, "bare", devices["bare"])
    fleet.world.later(hours=1)
    fleet.world.iot.update_ca_certificate(certificateId=FACTORY.id, newStatus="INACTIVE")
    fleet.world.iot.delete_ca_certificate(certificateId=FACTORY.id)
    if not gone:  # six cells cannot tell eight differences, but they tell the one that is left
        monkeypatch.setattr(set_difference, "_CELLS_OF_A_PART", 2)
        monkeypatch.setattr(set_difference, "_CELLS", 6)
    run_once(fleet.world)
    summary = last(fleet.world)
    counts = {kind: sum(reasons.values()) for kind, reasons in summary["counts"].items()}
    assert counts == {"hold": 3, "drift": 1} | dict.fromkeys(gone, 1)
    assert not [each for each in summary["not_looked_for"] if "lack" in each]
    assert [each["message"] for each in summary["examples"]["drift"]] == ["IoT policy Sensor is missing"]
    found = json.loads(run("fleet", "check", "--json").stdout)["counts"]
    assert counts == {kind: count for kind, count in found.items() if count}


def test_devices_of_a_ca_that_is_deleted_in_the_middle_of_a_pass_are_counted_once(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its listing was gone through when an invocation was over; the next one does not find the CA any more."""
    fleet.let_in("a", "b", "c")
    fleet.world.later(hours=1)
    monkeypatch.setattr(SetDifference, "told", lambda _self: None)
    look = FleetPages._look_at_unlisted

    def later(pages: FleetPages, *given: Any) -> None:
        fleet.world.iot.update_ca_certificate(certificateId=FACTORY.id, newStatus="INACTIVE")
        fleet.world.iot.delete_ca_certificate(certificateId=FACTORY.id)
        pages._names.clear()
        look(pages, *given)

    monkeypatch.setattr(FleetPages, "_look_at_unlisted", later)
    run_once(fleet.world)
    assert last(fleet.world)["looked_at"] == 3


@pytest.mark.parametrize("marker", [None, "3"], ids=["before its listing", "between two of its pages"])
@pytest.mark.parametrize("told", [True, False], ids=["few are missing", "more than can be told"])
def test_devices_of_a_ca_that_is_deleted_before_its_listing_is_over_are_counted_once_and_not_as_gone(
    fleet: Fleet, aws: Aws, monkeypatch: pytest.MonkeyPatch, marker: str | None, told: bool
) -> None:
    """What AWS IoT still listed of it may not be all: they are looked at as devices of a CA that is gone.

    Whoever described the CA a moment before takes it as it was then.
    """
    fleet.let_in("a", "b", "c", "d")
    fleet.world.later(hours=1)
    if not told:
        monkeypatch.setattr(SetDifference, "told", lambda _self: None)
    listed, there = aws.overrides["ListCertificatesByCA"], iter([True])

    def lists_no_more(given: dict[str, Any]) -> Any:
        if given.get("marker") != marker or given["caCertificateId"] != FACTORY.id:
            return listed(given)
        if next(there, False):
            fleet.world.iot.update_ca_certificate(certificateId=FACTORY.id, newStatus="INACTIVE")
            fleet.world.iot.delete_ca_certificate(certificateId=FACTORY.id)
        return {"certificates": []}

    aws.overrides["ListCertificatesByCA"] = lists_no_more
    run_once(fleet.world)
    assert next(there, None) is None
    summary = last(fleet.world)
    was_described = marker is not None
    assert summary["counts"] == ({} if was_described else {"hold": {"chain.ca-missing": 4}})
    assert summary["looked_at"] == 4


def test_a_thing_that_another_certificate_took_over_is_not_missing(fleet: Fleet) -> None:
    """Under `renewal: replace` the first one is INACTIVE, and its name is its successor's."""
    world = fleet.world
    world.publish(in_force(allow("line-a", grant=replace(GRANT, renewal="replace"), ca="factory-a")))
    first, second = leaf("a", owner="old key"), leaf("a", owner="new key")
    for device in (first, second):
        world.connect(device)
        world.knock(device, FACTORY)
    assert world.status(first) == "INACTIVE"
    world.later(hours=1)
    fleet.aws.calls.clear()
    run_once(world)
    assert last(world)["counts"] == {}
    assert "ListCertificatesByCA" in fleet.aws.operations
    assert not OF_A_DEVICE & {*fleet.aws.operations}


def test_a_thing_that_two_certificates_share_is_in_the_groups_of_the_grant_given_last(fleet: Fleet) -> None:
    world = fleet.world
    world.iot.create_thing_group(thingGroupName="others")
    for group in ("line-a", "others"):
        grant = replace(GRANT, renewal="coexist", thing_groups=(group,))
        world.publish(in_force(allow("line-a", grant=grant, ca="factory-a")))
        device = leaf("a", owner=f"key of {group}")
        world.connect(device)
        world.knock(device, FACTORY)
        assert world.status(device) == "ACTIVE", world.codes(device)
        world.later(hours=1)
    assert [each["groupName"] for each in world.iot.list_thing_groups_for_thing(thingName="a")["thingGroups"]] == [
        "others"
    ]
    run_once(world)
    assert last(world)["counts"] == {}


def test_of_very_many_groups_some_are_gone_through_and_the_summary_says_so(
    fleet: Fleet, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (scheduled, pages):
        monkeypatch.setattr(module, "MOST_GROUPS", 1)
    fleet.world.iot.create_thing_group(thingGroupName="others")
    grant = replace(GRANT, thing_groups=("line-a", "others"))
    fleet.world.publish(in_force(allow("line-a", grant=grant, ca="factory-a")))
    fleet.let_in("left")
    fleet.world.later(hours=1)
    for group in grant.thing_groups:
        fleet.world.iot.remove_thing_from_thing_group(thingGroupName=group, thingName="left")
    run_once(fleet.world)
    assert "left  thing group line-a is missing\n" in run("fleet", "last").stderr
    assert "things that are not in their groups, but for 1 groups" in run("fleet", "last").stderr


def test_a_pass_that_an_earlier_version_began_begins_anew(fleet: Fleet) -> None:
    devices = fleet.let_in("a", "gone")
    fleet.delete(devices["gone"])
    fleet.world.later(hours=1)
    tally = json.dumps(Tally(certificates=9).to_json())
    place = {"step": "certificates", "of": FACTORY.id, "mark": "3"}
    counted = {"format": 1, "started_at": rfc3339(fleet.world.now), "turn": 7, "place": place}
    fleet.world.table.put({"pk": "FLEET", "sk": "PASS"} | counted | {"total": tally, "listing": tally})
    fleet.world.later(minutes=20)
    run_once(fleet.world)
    assert (last(fleet.world)["certificates"], last(fleet.world)["counts"]) == (1, {"gone": {"gone": 1}})
    assert last(fleet.world)["started_at"] == rfc3339(fleet.world.now)


FOLDER = Path(__file__).parents[2] / "events" / "fleet"
ROWS = re.findall(r"^\| \[(\S+)\]\(\1\) \| .* \| (.*) \|$", (FOLDER / "README.md").read_text(), re.MULTILINE)


@pytest.mark.docs
def test_each_event_in_events_begins_a_check_or_not_as_its_row_says(fleet: Fleet) -> None:
    assert {name for name, _ in ROWS} == {each.name for each in FOLDER.glob("*.json")}
    run_once(fleet.world)
    for name, told in ROWS:
        fleet.world.later(hours=1)
        before = last(fleet.world)["started_at"]
        run_once(fleet.world, event=json.loads((FOLDER / name).read_text()))
        assert ("is begun" if last(fleet.world)["started_at"] > before else "is not begun") == told


def test_an_event_that_asks_for_something_else_is_refused(world: World) -> None:
    with pytest.raises(ValueError, match="due"):
        run_once(world, event={"fleet": "yesterday"})


# --- what operators see, and accept


def test_a_fleet_that_no_check_has_looked_at_is_not_told_as_one_in_order(fleet: Fleet, run: Run) -> None:
    def told() -> tuple[bool, bool]:
        document = json.loads(run("fleet", "last", "--json").stdout)
        return document["checked"], document["metrics"] is None

    assert told() == (False, True)
    run_once(fleet.world)
    assert told() == (True, False)


def test_what_was_found_is_shown_and_raises_no_alarm_while_as_many_are_accepted(fleet: Fleet, run: Run) -> None:
    assert "No scheduled check has finished yet" in run("fleet", "last").stdout
    mixed(fleet)
    run_once(fleet.world)
    shown = run("fleet", "last")
    assert "1  in, and would be held today: allow.unmatched" in shown.stdout
    assert "IoT policy Other is beyond the grant" in shown.stderr
    done = run("fleet", "accept", "drift", "--until", "30d", "--note", "they keep it")
    assert (done.exit_code, "accepted for up to 2 devices" in done.stdout) == (0, True), done.output
    assert run_once(fleet.world)["Drifted"] == 1
    assert "Accepted: drift, up to 2 devices until" in run("fleet", "last").stdout
    entry = json.loads(run("history", "--json").stdout)[0]
    assert (entry["why"], entry["after"]["reason"], entry["after"]["most"]) == ("they keep it", "drift", 2)
    assert run("fleet", "accept", "drift", "--until", "1d", "--most", 1).exit_code == 0
    assert run_once(fleet.world)["Drifted"] == 2
    assert run("fleet", "accept", "drift", "--withdraw").exit_code == 0
    assert run_once(fleet.world)["Drifted"] == 3
    assert json.loads(run("history", "--json").stdout)[0]["command"] == "fleet accept drift --withdraw"
    assert json.loads(run("fleet", "last", "--json").stdout)["accepted"] == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("drif", "--until", "30d"), "the last check found nothing for 'drif': did you mean drift?"),
        (("drift", "--until", "2020-01-01"), "is past: nothing would be accepted"),
        (("drift", "--until", "soon"), "give days (30d, at most 9999d), a day (2026-12-31) or an RFC 3339 time"),
        (("drift",), "Give either --until"),
        (("drift", "--withdraw", "--note", "x"), "or --withdraw alone"),
        (("drift", "--withdraw"), "'drift' is not accepted"),
    ],
)
def test_what_cannot_be_accepted_is_bad_input(fleet: Fleet, run: Run, arguments: tuple[str, ...], told: str) -> None:
    devices = fleet.let_in("extra")
    fleet.world.iot.attach_policy(policyName="Other", target=fleet.arn(devices["extra"]))
    fleet.world.later(hours=1)
    run_once(fleet.world)
    result = run("fleet", "accept", *arguments)
    assert (result.exit_code, told in result.stderr) == (2, True), result.output


# --- counting, and what is accepted


def test_a_tally_keeps_the_newest_examples_and_survives_being_written() -> None:
    tally, other = Tally(), Tally()
    for number in range(30):
        (tally if number % 2 else other).find(
            "hold", Example(f"{number:064x}", "", f"2026-03-01T12:00:{number:02}Z", "x", "y")
        )
    tally.add(Tally.from_json(json.loads(json.dumps(other.to_json()))))
    assert tally.counts == {"hold": {"x": 30}}
    assert [each.at[-3:-1] for each in tally.examples["hold"]] == [str(29 - each) for each in range(MOST_EXAMPLES)]


@pytest.mark.parametrize(
    ("most", "hours", "left"),
    [(2, 1, 1), (3, 1, 0), (9, 1, 0), (3, 0, 3)],
    ids=["one more than accepted", "as many as accepted", "fewer", "run out"],
)
def test_an_acceptance_is_for_so_many_devices_until_its_day(world: World, most: int, hours: int, left: int) -> None:
    accepted = Acceptance("allow.unmatched", most, world.now + timedelta(hours=hours), "me", "2026-03-01T12:00:00Z")
    counts = {"hold": {"allow.unmatched": 3, "chain.ca-inactive": 1}, "unknown": {"unknown": 2}}
    assert not_accepted(counts, [accepted], world.now) == {"hold": left + 1, "unknown": 2}
    assert gauges({"hold": left + 1, "unknown": 2})["FleetFindings"] == left + 3


def test_a_certificate_that_another_replaced_is_not_told_to_end_soon(fleet: Fleet) -> None:
    world = fleet.world
    world.publish(in_force(allow("line-a", grant=replace(GRANT, renewal="replace"), ca="factory-a")))
    for owner in ("old key", "new key"):
        draft = FACTORY.usual_device("a").key("P-256", owner).valid(not_after=world.now + timedelta(days=9))
        device = draft.issue()
        world.connect(device)
        world.knock(device, FACTORY)
        assert world.status(device) == "ACTIVE"
    world.later(hours=1)
    assert run_once(world)["ExpiringSoon"] == 1
