"""Who follows in a thing's name and who takes a place: across CAs, lists and rules that are renamed."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from testkit import pki
from testkit.aws.admission import DEVICE, FACTORY, FULL, OTHER, rules, same_name
from testkit.aws.world import PENDING, World
from testkit.knocks import allow

from jitr.aws.iot import Iot
from jitr.devicelists.rows import ListRow
from jitr.errors import InputError
from jitr.reasons import Verdict
from jitr.rules.conditions import CaCondition
from jitr.rules.model import AllowRule, Ca, Grant, Rules
from jitr.services.registration.reservations import Reservations


@pytest.fixture
def ready(world: World) -> World:
    """Both CAs are registered, and a device of factory A has connected."""
    world.register_ca(FACTORY)
    world.register_ca(OTHER)
    world.connect(DEVICE)
    return world


@cache
def key(number: int) -> pki.Issued:
    """A device with the name of DEVICE and a key of its own."""
    return FACTORY.usual_device("snr-0001").key("P-256", f"key {number}").issue()


def knocks(world: World, device: pki.Issued, ca: pki.CA = FACTORY) -> tuple[str, list[str]]:
    """What becomes of a device that connects: its status and the reasons."""
    world.connect(device)
    world.knock(device, ca)
    return world.status(device), world.codes(device)


def told(world: World, device: pki.Issued) -> str:
    record = world.record(device)
    assert record is not None
    return str(record.reasons[0]["message"])


def taken(world: World, rule: str = "line-a") -> int:
    item = next(iter(world.table.get([{"pk": f"PLACES#{rule}", "sk": "PLACES"}])), {"taken": 0})
    return int(item["taken"])


def each_ca(renewal: str, **given: Any) -> Rules:
    """Two rules, one for each CA, that give the same thing name."""
    grant = replace(FULL, renewal=renewal)
    return rules(allow(grant=grant), allow("line-b", ca="factory-b", grant=replace(grant, **given)))


HELD = (PENDING, ["grant.thing-claimed"])


# --- across CAs


@pytest.mark.parametrize("renewal", ["replace", "coexist"])
def test_a_name_passes_to_another_key_under_the_same_ca_only(ready: World, renewal: str) -> None:
    ready.publish(each_ca(renewal))
    ready.knock(DEVICE, FACTORY)
    stranger = same_name(OTHER)
    assert knocks(ready, stranger, OTHER) == HELD
    assert told(ready, stranger) == (
        f"the thing name snr-0001 is reserved by certificate {DEVICE.sha256} of CA factory-a; another key follows "
        "under the same CA, or where `renewal_from` in its grant names the other"
    )
    assert (ready.status(DEVICE), ready.policies(stranger)) == ("ACTIVE", set())
    principals = ready.iot.list_thing_principals(thingName="snr-0001")["principals"]
    assert [each.rpartition("/")[2] for each in principals] == [DEVICE.sha256]
    assert knocks(ready, key(1)) == ("ACTIVE", ["allow.rule"])
    assert ready.status(DEVICE) == ("INACTIVE" if renewal == "replace" else "ACTIVE")


@pytest.mark.parametrize("renewal", ["replace", "coexist"])
def test_one_rule_for_two_cas_does_not_let_them_take_each_other_s_names(ready: World, renewal: str) -> None:
    rule = allow(grant=replace(FULL, renewal=renewal))
    ready.publish(rules(replace(rule, conditions=(CaCondition(("factory-a", "factory-b")),))))
    ready.knock(DEVICE, FACTORY)
    assert knocks(ready, same_name(OTHER), OTHER) == HELD


def test_a_grant_says_in_so_many_words_whose_devices_it_may_follow(ready: World) -> None:
    """As for a CA that takes over from an older one. The other way round nothing is said, and nothing follows."""
    ready.publish(each_ca("replace", renewal_from=("factory-a",)))
    ready.knock(DEVICE, FACTORY)
    successor = same_name(OTHER)
    assert knocks(ready, successor, OTHER) == ("ACTIVE", ["allow.rule"])
    assert ready.status(DEVICE) == "INACTIVE"
    assert knocks(ready, key(1)) == HELD
    assert ready.status(successor) == "ACTIVE"


def test_two_ids_of_one_alias_are_two_cas_unless_a_grant_names_the_alias(ready: World) -> None:
    def both_ids(**given: Any) -> Rules:
        made = rules(allow(grant=replace(FULL, renewal="replace", **given)))
        return replace(made, cas={"factory-a": Ca("factory-a", (FACTORY.id, OTHER.id), 3)})

    ready.publish(both_ids())
    ready.knock(DEVICE, FACTORY)
    second = same_name(OTHER)
    assert knocks(ready, second, OTHER) == HELD
    ready.publish(both_ids(renewal_from=("factory-a",)))
    ready.knock(second, OTHER)
    assert ready.status(second) == "ACTIVE"


def test_a_thing_name_in_a_list_row_gives_no_more_than_a_rule(ready: World) -> None:
    """Who may only write a list names another CA's thing."""
    grant = replace(FULL, renewal="replace")
    ready.publish(rules(allow(grant=grant), allow("line-b", ca="factory-b", lists=("line-b",), grant=grant)))
    ready.knock(DEVICE, FACTORY)
    ready.put_on("line-b", ListRow(common_name="intruder", thing_name="snr-0001"))
    assert knocks(ready, OTHER.usual_device("intruder").key("P-256", "intruder").issue(), OTHER) == HELD
    assert ready.status(DEVICE) == "ACTIVE"


def test_the_grants_of_all_who_hold_a_name_must_let_another_key_follow(ready: World) -> None:
    """Not the one that came last alone."""
    first = allow("first", serial_number=(0x1, 0x1FFF), grant=replace(FULL, renewal="coexist"))
    second = allow("second", serial_number=(0x2000, 0x2FFF), grant=replace(FULL, renewal="coexist"))
    ready.publish(rules(first, second))
    held = FACTORY.usual_device("snr-0001").key("P-256", "key 1").serial(0x1001).issue()
    last = FACTORY.usual_device("snr-0001").key("P-256", "key 2").serial(0x2001).issue()
    assert knocks(ready, held)[0] == knocks(ready, last)[0] == "ACTIVE"
    ready.publish(rules(replace(first, grant=FULL), second))
    newcomer = FACTORY.usual_device("snr-0001").key("P-256", "key 3").serial(0x2002).issue()
    assert knocks(ready, newcomer) == HELD


def test_a_key_that_has_the_name_may_renew_its_certificate_beside_one_of_another_ca(ready: World) -> None:
    ready.publish(each_ca("coexist", renewal_from=("factory-a",)))
    ready.knock(DEVICE, FACTORY)
    assert knocks(ready, same_name(OTHER), OTHER)[0] == "ACTIVE"
    renewed = FACTORY.usual_device("snr-0001").serial(0x2002).issue()
    assert knocks(ready, renewed) == ("ACTIVE", ["allow.rule"])


def test_a_holder_whose_ca_is_not_on_record_is_followed_by_nobody(ready: World) -> None:
    """Records and reservations are written together; should one be lost all the same, nobody profits."""
    ready.publish(rules(allow(grant=replace(FULL, renewal="replace"))))
    ready.knock(DEVICE, FACTORY)
    at = {"pk": {"S": f"CERTIFICATE#{DEVICE.sha256}"}, "sk": {"S": "DECISION"}}
    ready.dynamodb.delete_item(TableName="jitr", Key=at)
    assert knocks(ready, key(1)) == HELD
    assert "whose CA is not on record" in told(ready, key(1))


def test_a_thing_that_a_device_left_stays_with_its_ca_until_it_is_deleted(ready: World) -> None:
    """Its shadow and groups are there still. A device of the same CA may have it."""
    ready.publish(each_ca("hold"))
    ready.knock(DEVICE, FACTORY)
    record = ready.record(DEVICE)
    assert record is not None
    arn = ready.iot.describe_certificate(certificateId=DEVICE.sha256)["certificateDescription"]["certificateArn"]
    ready.iot.detach_thing_principal(thingName="snr-0001", principal=arn)
    Reservations(ready.table, Iot(ready.iot)).close(record)
    stranger = same_name(OTHER)
    assert knocks(ready, stranger, OTHER) == HELD
    assert "still there from a device of CA factory-a" in told(ready, stranger)
    heir = key(1)
    assert knocks(ready, heir)[0] == "ACTIVE"
    record = ready.record(heir)
    assert record is not None
    arn = ready.iot.describe_certificate(certificateId=heir.sha256)["certificateDescription"]["certificateArn"]
    ready.iot.detach_thing_principal(thingName="snr-0001", principal=arn)
    ready.iot.delete_thing(thingName="snr-0001")
    Reservations(ready.table, Iot(ready.iot)).close(record)
    ready.later(hours=2)
    ready.knock(stranger, OTHER)
    assert ready.status(stranger) == "ACTIVE"


# --- places


def test_every_key_that_coexists_takes_a_place(ready: World) -> None:
    ready.publish(rules(allow(grant=replace(FULL, renewal="coexist"), max_devices=2)))
    ready.knock(DEVICE, FACTORY)
    assert knocks(ready, key(1))[0] == "ACTIVE"
    full = [knocks(ready, key(number)) for number in (2, 3, 4)]
    assert full == [(PENDING, ["grant.max-devices"])] * 3
    assert taken(ready) == 2
    for each in (DEVICE, key(1)):
        record = ready.record(each)
        assert record is not None
        Reservations(ready.table, Iot(ready.iot)).close(record)
    assert taken(ready) == 0


def test_a_successor_takes_its_predecessor_s_place(ready: World) -> None:
    """All along: also where every place is taken, and where the function died between the two."""
    ready.publish(rules(allow(grant=replace(FULL, renewal="replace"), max_devices=1)))
    ready.knock(DEVICE, FACTORY)
    successor = key(1)
    ready.connect(successor)
    with ready.killed_at_the_status(after=False):
        ready.knock(successor, FACTORY)
    assert (ready.status(DEVICE), ready.status(successor), taken(ready)) == ("ACTIVE", PENDING, 1)
    ready.knock(successor, FACTORY)
    assert (ready.status(DEVICE), ready.status(successor), taken(ready)) == ("INACTIVE", "ACTIVE", 1)
    assert knocks(ready, FACTORY.usual_device("snr-0002").key("P-256", "x").issue())[1] == ["grant.max-devices"]


def test_a_successor_under_another_rule_takes_a_place_of_that_rule(ready: World) -> None:
    given = each_ca("replace", renewal_from=("factory-a",))
    ready.publish(replace(given, allow=tuple(replace(each, max_devices=1) for each in given.allow)))
    ready.knock(DEVICE, FACTORY)
    assert knocks(ready, OTHER.usual_device("snr-0009").key("P-256", "x").issue(), OTHER)[0] == "ACTIVE"
    assert knocks(ready, same_name(OTHER), OTHER) == (PENDING, ["grant.max-devices"])
    assert (ready.status(DEVICE), taken(ready), taken(ready, "line-b")) == ("ACTIVE", 1, 1)


# --- renamed rules


def named(name: str, *, formerly: str | None = None, most: int | None = 1, renewal: str = "hold") -> AllowRule:
    return replace(allow(name, grant=replace(FULL, renewal=renewal), max_devices=most), formerly=formerly)


def test_a_rule_keeps_its_count_when_it_is_renamed(ready: World) -> None:
    ready.publish(rules(named("line-a")))
    ready.knock(DEVICE, FACTORY)
    second = FACTORY.usual_device("snr-0002", kind="P-384").issue()
    for name in ("line-x", "line-y"):
        ready.publish(rules(named(name, formerly="line-a")))
        ready.later(hours=2)
        assert (knocks if name == "line-x" else again)(ready, second)[1] == ["grant.max-devices"]
    ready.publish(rules(named("line-y", formerly="line-a", most=2)))
    assert again(ready, second)[0] == "ACTIVE"
    assert (taken(ready), taken(ready, "line-x"), taken(ready, "line-y")) == (2, 0, 0)


def again(world: World, device: pki.Issued) -> tuple[str, list[str]]:
    world.knock(device, FACTORY)
    return world.status(device), world.codes(device)


@pytest.mark.parametrize(
    "renamed",
    [lambda: named("line-x"), lambda: named("line-y", formerly="line-x")],
    ids=["without a word", "with another name than the first"],
)
def test_a_count_does_not_begin_anew_because_a_rule_has_another_name(
    ready: World, renamed: Callable[[], AllowRule]
) -> None:
    ready.publish(rules(named("line-a")))
    ready.knock(DEVICE, FACTORY)
    before = ready.table.heads()
    with pytest.raises(InputError) as caught:
        ready.publish(rules(renamed()))
    assert str(caught.value) == (
        f"admission.yaml:10: rule {renamed().name} is new and has max_devices, and these rules are gone: line-a (1 "
        "place taken). If it is one of them under another name, say so in it, as `formerly: line-a`, and its "
        "count goes on. If it is another rule, leave line-a in the file for now, and take it out with the next version"
    )
    assert ready.table.heads() == before


def test_a_rule_that_is_another_comes_first_and_the_old_one_goes_later(ready: World) -> None:
    ready.publish(rules(named("line-a")))
    ready.knock(DEVICE, FACTORY)
    ready.publish(rules(named("line-a"), named("line-x")))
    ready.publish(rules(named("line-x")))
    assert (taken(ready), taken(ready, "line-x")) == (1, 0)


def test_rules_come_and_go_freely_where_no_place_is_taken_or_none_is_counted(ready: World) -> None:
    ready.publish(rules(named("line-a")))
    ready.publish(rules(named("line-x")))
    ready.knock(DEVICE, FACTORY)
    ready.publish(rules(named("line-y", most=None)))
    assert (ready.status(DEVICE), taken(ready, "line-x"), taken(ready, "line-y")) == ("ACTIVE", 1, 0)


def test_a_rule_that_is_renamed_without_its_limit_still_has_its_count_once_the_limit_is_back(ready: World) -> None:
    ready.publish(rules(named("line-a")))
    ready.knock(DEVICE, FACTORY)
    for most in (None, 1):
        ready.publish(rules(named("line-x", formerly="line-a", most=most)))
    second = FACTORY.usual_device("snr-0002", kind="P-384").issue()
    assert knocks(ready, second) == (PENDING, ["grant.max-devices"])


def test_a_limit_counts_the_devices_that_get_in_while_the_rule_has_one(ready: World) -> None:
    """Those that came before are not counted: docs/rules.md says so, and SECURITY.md promises no more."""
    ready.publish(rules(named("line-a", most=None)))
    ready.knock(DEVICE, FACTORY)
    ready.publish(rules(named("line-a", most=1)))
    second, third = (FACTORY.usual_device(f"snr-000{each}", kind="P-384").issue() for each in (2, 3))
    assert knocks(ready, second)[0] == "ACTIVE"
    assert knocks(ready, third) == (PENDING, ["grant.max-devices"])


def test_a_renamed_rule_says_still_what_its_devices_renewals_are(ready: World) -> None:
    """And an operator's word for it goes on."""
    ready.publish(rules(named("line-a", most=None)))
    ready.knock(DEVICE, FACTORY)
    ready.publish(rules(named("line-x", formerly="line-a", most=None, renewal="replace")))
    assert knocks(ready, key(1))[0] == "ACTIVE"
    assert rules(named("line-x", formerly="line-a")).allow_by_name["line-a"].name == "line-x"


def test_the_guards_tell_beforehand_what_a_claim_would_meet(ready: World) -> None:
    """What `jitr explain` and devices that are due ask, which changes nothing."""
    ready.publish(rules(allow(grant=replace(FULL, renewal="coexist"), max_devices=1)))
    ready.knock(DEVICE, FACTORY)
    assert knocks(ready, key(1))[1] == ["grant.max-devices"]
    ready.later(hours=2)
    ready.calls.made.clear()
    ready.knock(key(1), FACTORY)
    assert (ready.codes(key(1)), "DescribeCertificate" in ready.calls.of("iot")) == (["grant.max-devices"], False)
    ready.publish(each_ca("coexist"))
    stranger = same_name(OTHER)
    assert knocks(ready, stranger, OTHER) == HELD
    ready.later(hours=2)
    ready.calls.made.clear()
    ready.knock(stranger, OTHER)
    assert (ready.codes(stranger), "DescribeCertificate" in ready.calls.of("iot")) == (["grant.thing-claimed"], False)


def test_rules_without_the_new_keys_are_compiled_as_before() -> None:
    plain = rules(allow(grant=Grant(iot_policies=("Sensor",))))
    assert b"formerly" not in plain.compiled
    assert b"renewal_from" not in plain.compiled
    assert plain.default is Verdict.HOLD
