"""Items of the table by version: earlier ones are read, a later one is waited out and never guessed at.

``items_of_0_1_0.json`` is what an early 0.1.0 wrote, by its own code: heads, rules and list rows, devices that wait for
their list, one that was admitted, one that was rejected, and one whose admission was cut short before ACTIVE.
"""

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from testkit import lists as list_edits
from testkit import pki
from testkit.aws.admission import FACTORY, OTHER, rules
from testkit.aws.fakes import FakeDynamodb, FakeIot, fake_world
from testkit.aws.held import plenty, queued, recheck_of, stream_of
from testkit.aws.service import prepare
from testkit.aws.world import World
from testkit.knocks import allow

from jitr.aws.dynamodb.passes import Passes, PassKind
from jitr.aws.dynamodb.searching import search, without_keys
from jitr.aws.dynamodb.table import from_item, row_key, understood
from jitr.aws.iot import Iot
from jitr.devicelists.rows import ListRow
from jitr.errors import Retry
from jitr.reasons import Verdict
from jitr.records.record import APPLIED, APPLYING
from jitr.rules.model import Ca, Grant
from jitr.services.lists.device_lists import DeviceLists
from jitr.services.registration.reservations import Reservations
from jitr.times import rfc3339

EARLIER = json.loads((Path(__file__).parent / "items_of_0_1_0.json").read_text())


class Upgraded:
    """A world as the earlier version left it, in which today's code now runs."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.iot: Any = world.iot
        self.ids: dict[str, str] = {}
        assert isinstance(self.iot, FakeIot)
        assert isinstance(world.dynamodb, FakeDynamodb)
        self.ca: str = self.iot.register_ca_certificate(caCertificate=EARLIER["ca"], setAsActive=True)["certificateId"]
        for name, each in EARLIER["devices"].items():
            told = self.iot.register_certificate_without_ca(certificatePem=each["pem"], status=each["status"])
            self.ids[name] = told["certificateId"]
            certificate = self.iot.certificates[self.ids[name]]
            certificate.policies += EARLIER["attached"][name]["policies"]
            certificate.things += EARLIER["attached"][name]["things"]
        for name, each in EARLIER["things"].items():
            payload = {"attributes": each["attributes"]}
            self.iot.create_thing(thingName=name, thingTypeName=each["type"], attributePayload=payload)
            self.iot.things[name].groups += each["groups"]
        for item in EARLIER["items"]:
            plain = {key: _value(value) for key, value in item.items()}
            world.dynamodb.items[plain["pk"], plain["sk"]] = plain

    def knock(self, name: str) -> None:
        """One of the devices knocks."""
        self.world.registrar.handle(self.world.message(self.world.event(self.ids[name], self.ca)))

    def state(self, name: str) -> tuple[Verdict, str, str]:
        """What is on record of a device, and its status."""
        record, _ = self.world.table.record_and_heads(self.ids[name])
        assert record is not None
        return record.decision, record.state, self.iot.certificates[self.ids[name]].status


def _value(value: Any) -> Any:
    return base64.b64decode(value["base64"]) if isinstance(value, dict) and "base64" in value else value


@pytest.fixture
def upgraded() -> Iterator[Upgraded]:
    """The earlier version's world."""
    with fake_world() as made:
        made.later(minutes=10)
        yield Upgraded(made)


def test_what_an_earlier_version_wrote_is_read(upgraded: Upgraded) -> None:
    assert {name: upgraded.state(name) for name in EARLIER["devices"]} == {
        "held": (Verdict.HOLD, APPLIED, "PENDING_ACTIVATION"),
        "unlisted": (Verdict.HOLD, APPLIED, "PENDING_ACTIVATION"),
        "admitted": (Verdict.ADMIT, APPLIED, "ACTIVE"),
        "rejected": (Verdict.REJECT, APPLIED, "INACTIVE"),
        "cut short": (Verdict.ADMIT, APPLYING, "PENDING_ACTIVATION"),
    }


def test_a_knock_of_a_device_that_was_held_before_costs_no_call_of_aws_iot(upgraded: Upgraded) -> None:
    upgraded.world.calls.made.clear()
    upgraded.knock("held")
    assert upgraded.world.calls.of("iot") == []
    assert upgraded.state("held")[0] is Verdict.HOLD


def test_an_admission_that_the_earlier_version_began_is_finished(upgraded: Upgraded) -> None:
    upgraded.knock("cut short")
    assert upgraded.state("cut short") == (Verdict.ADMIT, APPLIED, "ACTIVE")
    assert set(upgraded.iot.certificates[upgraded.ids["cut short"]].policies) == {"Other", "Sensor"}


def test_a_device_that_was_held_before_gets_in_once_its_list_is_edited_now(upgraded: Upgraded) -> None:
    head = DeviceLists(upgraded.world.table).all()["line-a"].head
    upgraded.world.put_on("line-a", ListRow(common_name="snr-0001"))
    assert DeviceLists(upgraded.world.table).all()["line-a"].head.generation == head.generation
    upgraded.knock("held")
    upgraded.knock("unlisted")
    assert upgraded.state("held") == (Verdict.ADMIT, APPLIED, "ACTIVE")
    assert upgraded.state("unlisted")[0] is Verdict.HOLD
    places = upgraded.world.table.get([{"pk": "PLACES#line-a", "sk": "PLACES"}])
    assert [each["taken"] for each in places] == [3]


def test_a_merge_that_the_earlier_version_began_counts_its_rows_once(upgraded: Upgraded) -> None:
    """It marked rows that were new in an import, and counted them when it noted how far it was."""
    table = upgraded.world.table
    lists = DeviceLists(table)
    there = list(lists.rows("line-a", lists.all()["line-a"].head.generation))
    rows = [ListRow(common_name=f"late-{number}") for number in range(3)]
    generation = lists.all()["line-a"].head.generation
    imports = list_edits.imports_into(table)
    checked = imports.check("line-a", list_edits.csv_of(rows), advance=lambda _bytes: None)
    stored: Any = upgraded.world.dynamodb
    note = {"list": "line-a", "mode": "merge", "digest": checked.digest, "generation": generation, "done": 0}
    key = {"pk": "IMPORTS", "sk": f"line-a#merge#{checked.digest}", "format": 1}
    stored.items[key["pk"], key["sk"]] = key | note | {"by": "earlier", "at": "2026-03-01T00:00:00Z"}
    for row in rows[:2]:
        place = row_key("line-a", generation, row.found_by()[0])
        marked = {"row": row.to_json(), "new_in": f"{generation}/{checked.digest[:16]}", "format": 1}
        stored.items[place["pk"], place["sk"]] = place | marked
    imports.merge("line-a", checked, by="tests", advance=lambda _rows: None)
    found = list(lists.rows("line-a", generation))
    assert lists.all()["line-a"].rows == len(found) == len(there) + 3


def test_what_was_settled_before_stays_settled(upgraded: Upgraded) -> None:
    for name in ("admitted", "rejected"):
        before = upgraded.state(name)
        upgraded.knock(name)
        assert upgraded.state(name) == before


def earlier_names(world: World, *keys: str) -> None:
    """A name as versions before wrote it whose grants coexist: these keys share the one place of line-a."""
    items: Any = world.dynamodb
    item = items.items["THING#snr-0002", "RESERVATION"]
    assert "holders" not in item, "an earlier version knew of no holders"
    item |= {"renewal": "coexist", "keys": item["keys"] | {key: [key] for key in keys}}


def places(world: World) -> int:
    (item,) = world.table.get([{"pk": "PLACES#line-a", "sk": "PLACES"}])
    return int(item["taken"])


def test_a_name_that_keys_shared_before_keeps_its_one_place_until_the_last_of_them_lets_go(upgraded: Upgraded) -> None:
    """Counts are what they were, and equal to what reservations say, whoever goes first."""
    world = upgraded.world
    record, _ = world.table.record_and_heads(upgraded.ids["admitted"])
    assert record is not None
    assert record.reservation == "THING#snr-0002"
    earlier_names(world, "00" * 32, "ff" * 32)
    before = places(world)
    reservations = Reservations(world.table, Iot(world.iot))
    found = reservations.read("THING#snr-0002")
    assert found is not None
    assert (len(found.holders), found.places) == (3, {"line-a": 1})
    reservations.close(record)
    left = reservations.read("THING#snr-0002")
    assert left is not None
    assert (len(left.holders), left.places, places(world)) == (2, {"line-a": 1}, before)
    for number, certificate in enumerate(left.certificates, 1):
        stored = world.table.put_record(replace(record, certificate_id=certificate, revision=0))
        reservations.close(stored)
        assert places(world) == before - (number == 2)


def test_the_ca_of_a_device_that_came_before_is_in_its_record(upgraded: Upgraded) -> None:
    """A key of another CA does not follow it, unless that is said, and then it takes the place."""
    world = upgraded.world
    world.iot.register_ca_certificate(caCertificate=OTHER.pem.decode(), verificationCertificate="", setAsActive=True)
    stranger = OTHER.usual_device("snr-0002").key("P-256", "stranger").issue()
    world.connect(stranger)
    for renewal_from, codes in (((), ["grant.thing-claimed"]), (("own",), ["allow.rule"])):
        grant = Grant(iot_policies=("Sensor",), thing="snr-0002", renewal="replace", renewal_from=renewal_from)
        given = rules(allow(grant=grant, ca="own", max_devices=9), allow("line-b", grant=grant, ca="other"))
        cas = {"own": Ca("own", (upgraded.ca,), 3), "other": Ca("other", (OTHER.id,), 4)}
        world.publish(replace(given, cas=cas))
        world.knock(stranger, OTHER)
        assert world.codes(stranger) == codes
        assert upgraded.state("admitted")[2] == ("INACTIVE" if renewal_from else "ACTIVE")
    assert places(world) == 1


@pytest.mark.parametrize("kind", ["CERTIFICATE#", "RULES#", "LIST#line-a", "THING#", "HEADS"])
def test_an_item_of_a_later_version_makes_its_devices_wait_and_is_left_as_it_is(upgraded: Upgraded, kind: str) -> None:
    """Neither poison nor a bug: the message stays in the queue until the later version is deployed again."""
    items: Any = upgraded.world.dynamodb
    if kind == "LIST#line-a":
        upgraded.world.put_on("line-a", ListRow(common_name="snr-0001"))
    for item in items.items.values():
        if item["pk"].startswith(kind):
            item["format"] = 2
    before = {key: dict(each) for key, each in items.items.items()}
    with pytest.raises(Retry, match="format 2, this version reads 1: deploy the newer version") as caught:
        upgraded.knock("held" if kind == "LIST#line-a" else "cut short")
    assert caught.value.cause == "format"
    assert items.items == before


@pytest.mark.parametrize("value", [{"SS": ["a"]}, {"NS": ["1"]}, {"N": "0.5"}], ids=str)
def test_what_only_a_later_version_writes_does_not_hide_that_it_wrote_the_item(value: dict[str, Any]) -> None:
    item = from_item({"pk": {"S": "HEADS"}, "format": {"N": "2"}, "of_later": {"M": {"a": value}}})
    with pytest.raises(Retry, match="format 2"):
        understood(item)


def later_record(world: World, certificate_id: str) -> dict[str, Any]:
    """Make a record one of a later version; as it is then."""
    items: Any = world.dynamodb
    item: dict[str, Any] = items.items[f"CERTIFICATE#{certificate_id}", "DECISION"]
    item["format"] = 2
    return dict(item)


def rechecked(world: World, event: dict[str, Any]) -> set[str]:
    """Whom the recheck function puts on the queue."""
    recheck_of(world).handle(event, plenty)
    return {json.loads(each)["certificateId"] for each in queued(world)}


def test_an_edit_about_a_record_of_a_later_version_waits_in_the_queue_for_that_version(upgraded: Upgraded) -> None:
    """The change is told once: what is asked for here is still there when the later version is deployed again."""
    world, held = upgraded.world, upgraded.ids["held"]
    before = later_record(world, held)
    list_edits.replace(world.table, "line-a", ListRow(common_name="snr-0001"), at=rfc3339(world.now))
    assert held in rechecked(world, stream_of(world))
    assert later_record(world, held) == before


@pytest.mark.parametrize("why", ["due", "every"])
def test_a_record_of_a_later_version_is_not_written_because_it_is_due_or_all_are_asked_for(
    upgraded: Upgraded, why: str
) -> None:
    """When it is due its own version finds it; the others are asked for all the same."""
    world, held, unlisted = upgraded.world, upgraded.ids["held"], upgraded.ids["unlisted"]
    items: Any = world.dynamodb
    world.later(days=2)
    for each in (held, unlisted):  # the earlier version had no index by time
        place = {"due_shard": "due#1", "due_at": rfc3339(pki.NOW)}
        items.items[f"CERTIFICATE#{each}", "DECISION"] |= place
    before = later_record(world, held)
    asked = rechecked(world, {"recheck": why})
    assert asked & {held, unlisted} == ({unlisted} if why == "due" else {held, unlisted})
    assert later_record(world, held) == before


def test_passes_of_a_later_version_are_left_to_it(upgraded: Upgraded) -> None:
    """The change that calls for one comes again until that version is deployed."""
    world = upgraded.world
    Passes(world.table).want(PassKind.CHANGED)
    items: Any = world.dynamodb
    (place,) = (key for key in items.items if key[0] == "RECHECK")
    items.items[place] |= {"format": 2, "wanted": 7}
    world.publish(rules(allow()))
    with pytest.raises(Retry) as caught:
        rechecked(world, stream_of(world))
    assert caught.value.cause == "format"
    assert (items.items[place]["format"], items.items[place]["wanted"]) == (2, 7)


def test_messages_about_items_of_a_later_version_wait_for_six_hours_without_being_given_up() -> None:
    with fake_world() as world:
        service = prepare(world)
        world.publish(rules(allow()))
        items: Any = world.dynamodb
        heads = items.items["HEADS", "HEADS"]
        heads["format"] = 2
        device = FACTORY.usual_device("snr-0007").issue()
        world.connect(device)
        service.send(device)
        service.run(world.now + timedelta(hours=6))
        assert world.failures() == []
        heads["format"] = 1
        service.run(world.now + timedelta(minutes=10))
        assert world.status(device) == "ACTIVE"


def test_a_record_of_before_there_were_search_keys_is_found_once_it_is_written_again(upgraded: Upgraded) -> None:
    table = upgraded.world.table
    assert search(table, "snr-0001") == ([], False)
    upgraded.world.put_on("line-a", ListRow(common_name="snr-0001"))
    upgraded.knock("held")
    assert [each.certificate_id for each in search(table, "snr-0001")[0]] == [upgraded.ids["held"]]


def test_records_of_before_there_were_search_keys_are_told_from_those_that_have_them(upgraded: Upgraded) -> None:
    table = upgraded.world.table
    left = {each for some in without_keys(table) for each in some}
    assert left == set(upgraded.ids.values())
    for record in table.records(sorted(left)):
        table.put_record(record)
    assert {each for some in without_keys(table) for each in some} == set()
    assert upgraded.ids["admitted"] in {each.certificate_id for each in search(table, upgraded.ids["admitted"][:6])[0]}
    assert upgraded.state("cut short") == (Verdict.ADMIT, APPLYING, "PENDING_ACTIVATION")
