"""The way of one event, on AWS in process: what each decision does, and what a knock means afterwards."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from botocore.exceptions import ClientError
from testkit import pki
from testkit.aws.admission import DEVICE, FACTORY, FULL, OTHER, both, rules, same_name
from testkit.aws.world import ACCOUNT, PENDING, World
from testkit.knocks import allow, deny
from testkit.odd_certificates import compressed
from testkit.twins import twin_of, with_signature

from jitr.aws.dynamodb.table import Conflict, by_hand_key, certificate_key
from jitr.aws.errors import told_apart
from jitr.decision.decide import DUE_LATEST
from jitr.devicelists.rows import ListRow
from jitr.errors import Poison, Refused, Retry
from jitr.reasons import Verdict
from jitr.records.event import own_event, parse_event
from jitr.records.knock import recorded_knock
from jitr.records.record import APPLIED, APPLYING, Record, knock_interval
from jitr.rules.conditions import AttributeCondition, Glob
from jitr.rules.model import Ca, Floor, Grant, Rules
from jitr.times import rfc3339
from jitr.x509.certificate import read_certificate


@pytest.fixture
def ready(world: World) -> World:
    """Both CAs are registered, a device of factory A has connected, and every such device is admitted."""
    world.register_ca(FACTORY)
    world.register_ca(OTHER)
    world.connect(DEVICE)
    world.publish(rules(allow(grant=FULL)))
    world.calls.made.clear()
    return world


def fail(world: World, operation: str, code: str, *, service: str = "iot", times: int = 1) -> None:
    """Make the next calls of an operation fail with AWS's code."""
    left = [times]

    def refuse(**context: Any) -> Any:
        if left[0] <= 0:
            return None
        left[0] -= 1
        status = 500 if code == "InternalFailureException" else 400
        response = type("Response", (), {"status_code": status, "headers": {}})()
        return response, {
            "Error": {"Code": code, "Message": "made to fail"},
            "ResponseMetadata": {"HTTPStatusCode": status},
        }

    client = world.iot if service == "iot" else world.dynamodb
    client.meta.events.register_first(f"before-call.{service}.{operation}", refuse)


# --- the decisions, applied


def test_an_admitted_device_gets_all_of_its_grant_and_becomes_active_last(ready: World) -> None:
    ready.knock(DEVICE, FACTORY)
    assert ready.status(DEVICE) == "ACTIVE"
    assert ready.policies(DEVICE) == {"Sensor", "Other"}
    thing = ready.iot.describe_thing(thingName="snr-0001")
    assert (thing["thingTypeName"], thing["attributes"]) == ("Sensor", {"line": "a"})
    assert ready.iot.list_thing_groups_for_thing(thingName="snr-0001")["thingGroups"][0]["groupName"] == "line-a"
    principals = ready.iot.list_thing_principals(thingName="snr-0001")["principals"]
    assert [each.rpartition("/")[2] for each in principals] == [DEVICE.sha256]
    writing = [each for each in ready.calls.of("iot") if not each.startswith(("Describe", "List"))]
    assert writing[-1] == "UpdateCertificate"


def test_an_admission_is_recorded_with_its_rule_facts_and_rules(ready: World) -> None:
    ready.knock(DEVICE, FACTORY)
    record = ready.record(DEVICE)
    assert record is not None
    assert (record.decision, record.state, record.rule) == (Verdict.ADMIT, APPLIED, "line-a")
    assert record.digest == ready.table.heads().digest
    assert record.facts is not None
    assert record.facts["certificate_sha256"] == DEVICE.sha256
    assert record.grant is not None
    assert record.grant["iot_policies"] == ["Sensor", "Other"]


@pytest.mark.parametrize("kind", ["RSA-2048", "P-256"])
def test_an_admission_describes_the_certificate_once_and_updates_it_once(world: World, kind: str) -> None:
    """Also where the CA signs with ECDSA: what became of the certificate's other id is looked up in the table."""
    ca = pki.ca("Factory of a kind", kind=kind)
    device = ca.usual_device("snr-0001").issue()
    world.register_ca(ca)
    world.connect(device)
    world.publish(replace(rules(allow(grant=FULL)), cas={"factory-a": Ca("factory-a", (ca.id,), 3)}))
    world.knock(device, ca)
    made = world.calls.of("iot")
    assert (made.count("DescribeCertificate"), made.count("UpdateCertificate")) == (1, 1)


def test_a_held_device_changes_nothing_in_aws_iot(ready: World) -> None:
    ready.publish(rules(allow(lists=("line-a",))))
    ready.knock(DEVICE, FACTORY)
    assert ready.status(DEVICE) == PENDING
    assert ready.codes(DEVICE) == ["allow.unmatched"]
    assert all(each.startswith("Describe") for each in ready.calls.of("iot"))


def test_a_rejected_device_becomes_inactive_and_says_why(ready: World) -> None:
    ready.publish(rules(allow(), deny(common_name="snr-*", reason="Recall 17")))
    ready.knock(DEVICE, FACTORY)
    record = ready.record(DEVICE)
    assert ready.status(DEVICE) == "INACTIVE"
    assert record is not None
    assert (record.decision, record.rule, record.state) == (Verdict.REJECT, "recalled", APPLIED)
    assert "Recall 17" in record.reasons[0]["message"]


def test_a_certificate_is_revoked_only_where_a_deny_rule_says_revoke(ready: World) -> None:
    ready.publish(rules(allow(), deny(common_name="snr-*", revoke=True)))
    ready.knock(DEVICE, FACTORY)
    assert ready.status(DEVICE) == "REVOKED"


def test_a_device_of_a_ca_with_the_same_name_and_another_key_is_rejected(ready: World) -> None:
    impostor = pki.make(pki.ca_draft("Factory A", kind="P-384").basic_constraints(ca=True))
    device = impostor.usual_device("snr-0009").issue()
    ready.connect(device)
    ready.knock(device, FACTORY)
    assert ready.codes(device)[0] == "chain.bad-signature"
    assert ready.status(device) == "INACTIVE"


def test_a_ca_among_devices_is_rejected(ready: World) -> None:
    device = FACTORY.device("snr-0008").basic_constraints(ca=True).issue()
    ready.connect(device)
    ready.knock(device, FACTORY)
    assert ready.codes(device) == ["certificate.is-ca"]


def test_a_refused_inactive_leaves_the_rejection_standing_and_the_certificate_as_it_is(ready: World) -> None:
    """PENDING_ACTIVATION to INACTIVE is unconfirmed: aws-iot-facts.md, "Status"."""
    ready.publish(rules(deny(common_name="snr-*")))
    fail(ready, "UpdateCertificate", "CertificateStateException")
    ready.knock(DEVICE, FACTORY)
    record = ready.record(DEVICE)
    assert record is not None
    assert (record.decision, record.stays_pending, ready.status(DEVICE)) == (Verdict.REJECT, True, PENDING)
    ready.calls.made.clear()
    ready.later(hours=1)
    ready.knock(DEVICE, FACTORY)
    assert ready.calls.of("iot") == []


# --- what a knock means afterwards


def test_a_knock_of_a_settled_device_asks_aws_iot_nothing(ready: World) -> None:
    ready.knock(DEVICE, FACTORY)
    ready.calls.made.clear()
    ready.knock(DEVICE, FACTORY)
    assert ready.calls.made == ["dynamodb:BatchGetItem"]


def test_a_later_knock_of_a_settled_device_is_described_again_at_most_once_a_minute(ready: World) -> None:
    ready.knock(DEVICE, FACTORY)
    ready.later(minutes=5)
    ready.calls.made.clear()
    ready.knock(DEVICE, FACTORY)
    ready.knock(DEVICE, FACTORY)
    assert ready.calls.of("iot") == ["DescribeCertificate"]


def test_a_certificate_deleted_and_registered_anew_is_decided_anew(ready: World) -> None:
    ready.publish(rules(allow(grant=Grant(iot_policies=("Sensor",)), ca="factory-a")))
    ready.knock(DEVICE, FACTORY)
    arn = ready.iot.describe_certificate(certificateId=DEVICE.sha256)["certificateDescription"]["certificateArn"]
    ready.iot.update_certificate(certificateId=DEVICE.sha256, newStatus="INACTIVE")
    ready.iot.detach_policy(policyName="Sensor", target=arn)
    ready.iot.delete_certificate(certificateId=DEVICE.sha256)
    ready.connect(DEVICE)
    ready.later(minutes=5)
    ready.knock(DEVICE, FACTORY)
    assert ready.status(DEVICE) == "ACTIVE"


def test_a_knock_of_a_held_device_costs_one_read_and_at_most_one_write_a_minute(ready: World) -> None:
    ready.publish(rules(allow(lists=("line-a",))))
    ready.knock(DEVICE, FACTORY)
    ready.calls.made.clear()
    for _ in range(5):
        ready.later(seconds=5)
        ready.knock(DEVICE, FACTORY)
    assert ready.calls.made == ["dynamodb:BatchGetItem"] * 5
    ready.later(minutes=1)
    ready.knock(DEVICE, FACTORY)
    assert ready.calls.made[5:] == ["dynamodb:BatchGetItem", "dynamodb:UpdateItem"]
    record = ready.record(DEVICE)
    assert record is not None
    assert record.knocks == 2


def test_what_we_send_ourselves_has_a_device_decided_again_and_is_no_knock_of_its(ready: World) -> None:
    """However often operators and the recheck function ask: how often it knocks is told from its own knocks."""
    ready.publish(rules(allow(lists=("line-a",))))
    ready.knock(DEVICE, FACTORY)
    first = ready.now
    for hour in range(1, 4):
        ready.now = first + timedelta(hours=hour)
        ready.knock(DEVICE, FACTORY)
    own = own_event(DEVICE.sha256, FACTORY.id, ACCOUNT, ready.now)
    for minute in range(5):
        ready.later(minutes=2)
        ready.put_on("line-a", ListRow(common_name=f"other-{minute}"))
        for _ in range(2):  # decided again, then only looked at
            ready.registrar.handle(ready.message(own))
        ready.registrar.settle_known([replace(ready.message(own), id=f"{minute}")])
    record = ready.record(DEVICE)
    assert record is not None
    assert (record.knocks, record.first_knock_at, record.counted_at) == (4, first, first + timedelta(hours=3))
    assert knock_interval(record) == timedelta(hours=1)


def test_a_device_that_never_knocked_here_has_no_knocks(ready: World) -> None:
    """A sweep found it: nothing but our own message says that it is there."""
    ready.publish(rules(allow(lists=("line-a",))))
    ready.registrar.handle(ready.message(own_event(DEVICE.sha256, FACTORY.id, ACCOUNT, ready.now)))
    record = ready.record(DEVICE)
    assert record is not None
    assert (record.decision, record.knocks, record.counted_at) == (Verdict.HOLD, 0, None)
    assert knock_interval(record) is None


def test_a_held_device_gets_in_at_its_next_knock_after_its_list_was_edited(ready: World) -> None:
    ready.publish(rules(allow(lists=("line-a",), grant=FULL)))
    ready.knock(DEVICE, FACTORY)
    ready.put_on("line-a", ListRow(common_name="snr-0001"))
    ready.knock(DEVICE, FACTORY)
    assert ready.status(DEVICE) == "ACTIVE"


def test_an_edit_that_does_not_change_a_held_device_asks_aws_iot_nothing(ready: World) -> None:
    ready.publish(rules(allow(lists=("line-a",))))
    ready.knock(DEVICE, FACTORY)
    ready.put_on("line-a", ListRow(common_name="snr-0002"))
    ready.calls.made.clear()
    ready.knock(DEVICE, FACTORY)
    assert ready.calls.of("iot") == []
    ready.calls.made.clear()
    ready.knock(DEVICE, FACTORY)
    assert ready.calls.made == ["dynamodb:BatchGetItem"]


def test_an_edit_of_a_list_that_no_decision_rests_on_leaves_held_devices_alone(ready: World) -> None:
    ready.publish(rules(allow(lists=("line-a",))))
    ready.knock(DEVICE, FACTORY)
    ready.put_on("unrelated", ListRow(common_name="snr-0001"))
    ready.calls.made.clear()
    ready.knock(DEVICE, FACTORY)
    assert ready.calls.made == ["dynamodb:BatchGetItem"]


def test_a_device_held_for_its_ca_gets_in_when_due_after_the_ca_was_activated(ready: World) -> None:
    ready.iot.update_ca_certificate(certificateId=FACTORY.id, newStatus="INACTIVE")
    ready.knock(DEVICE, FACTORY)
    assert ready.codes(DEVICE) == ["chain.ca-inactive"]
    ready.iot.update_ca_certificate(certificateId=FACTORY.id, newStatus="ACTIVE")
    ready.later(minutes=30)
    ready.knock(DEVICE, FACTORY)
    assert ready.status(DEVICE) == PENDING
    ready.later(minutes=31)
    ready.knock(DEVICE, FACTORY)
    assert ready.status(DEVICE) == "ACTIVE"


def test_an_edit_between_a_miss_and_a_hold_is_not_lost(ready: World) -> None:
    """The hold is written, the heads are read again, and the message comes back."""
    ready.publish(rules(allow(lists=("line-a",), grant=FULL)))
    before = ready.table.rows

    def edited_meanwhile(*arguments: Any) -> Any:
        found = before(*arguments)
        ready.table.rows = before  # type: ignore[method-assign]
        ready.put_on("line-a", ListRow(common_name="snr-0001"))
        return found

    ready.table.rows = edited_meanwhile  # type: ignore[method-assign,assignment]
    with pytest.raises(Retry) as retry:
        ready.knock(DEVICE, FACTORY)
    assert retry.value.cause == "edited"
    ready.knock(DEVICE, FACTORY)
    assert ready.status(DEVICE) == "ACTIVE"


# --- only pending certificates are changed


@pytest.mark.parametrize("status", ["ACTIVE", "INACTIVE", "REVOKED"])
def test_a_certificate_that_is_not_pending_is_never_changed(ready: World, status: str) -> None:
    device = FACTORY.usual_device("snr-0007").issue()
    ready.connect(device, status)
    ready.knock(device, FACTORY)
    assert ready.status(device) == status
    assert ready.policies(device) == set()
    assert ready.record(device) is None


def test_a_held_device_whose_status_another_hand_changed_is_described_once_a_day_not_each_time_it_is_due(
    ready: World,
) -> None:
    """Its certificate knocks no more, but the record would be due every minute from then on."""
    ready.publish(rules(allow(lists=("line-a",), grant=FULL)))
    ready.knock(DEVICE, FACTORY)
    ready.iot.update_certificate(certificateId=DEVICE.sha256, newStatus="ACTIVE")
    ready.put_on("line-a", ListRow(common_name="snr-0001"))
    ready.later(days=1)
    ready.knock(DEVICE, FACTORY)
    record = ready.record(DEVICE)
    assert record is not None
    assert (record.decision, record.due) == (Verdict.HOLD, ready.now + DUE_LATEST)
    (item,) = ready.table.get([certificate_key(DEVICE.sha256)])
    assert item["due_at"] == rfc3339(ready.now + DUE_LATEST)
    ready.iot.update_certificate(certificateId=DEVICE.sha256, newStatus="INACTIVE")
    ready.iot.delete_certificate(certificateId=DEVICE.sha256)
    ready.connect(DEVICE)  # and when it is registered anew, its first knock is decided
    ready.later(minutes=2)
    ready.knock(DEVICE, FACTORY)
    assert ready.status(DEVICE) == "ACTIVE"


def test_a_status_changed_while_applying_takes_long_is_not_overwritten(ready: World) -> None:
    create = ready.iot.create_thing

    def slow(**arguments: Any) -> Any:
        ready.later(seconds=10)
        ready.iot.update_certificate(certificateId=DEVICE.sha256, newStatus="REVOKED")
        return create(**arguments)

    ready.iot.create_thing = slow  # type: ignore[method-assign]
    with pytest.raises(Retry) as retry:
        ready.knock(DEVICE, FACTORY)
    assert (retry.value.cause, ready.status(DEVICE)) == ("status", "REVOKED")


def test_a_crash_after_active_is_finished_by_the_next_delivery(ready: World) -> None:
    with ready.killed_at_the_status(after=True):
        ready.knock(DEVICE, FACTORY)
    record = ready.record(DEVICE)
    assert record is not None
    assert record.state == APPLYING
    ready.knock(DEVICE, FACTORY)
    record = ready.record(DEVICE)
    assert record is not None
    assert (record.state, ready.status(DEVICE)) == (APPLIED, "ACTIVE")


# --- poison and retries


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("", "event.not-json"),
        ("certificateId=1", "event.not-json"),
        ("[1]", "event.not-json"),
        ("[" * 100_000, "event.not-json"),
        (json.dumps({"certificateId": "x", "awsAccountId": ACCOUNT}), "event.certificate-id"),
        (json.dumps({"awsAccountId": ACCOUNT}), "event.certificate-id"),
        (json.dumps({"certificateId": "ab" * 32, "awsAccountId": ACCOUNT}), "event.certificate-id"),
        (
            json.dumps({"certificateId": "ab" * 32, "caCertificateId": "ab" * 32, "awsAccountId": "999999999999"}),
            "event.account",
        ),
        (json.dumps({"certificateId": "ab" * 32, "caCertificateId": "ab" * 32}), "event.account"),
        (
            json.dumps(
                {
                    "certificateId": "ab" * 32,
                    "caCertificateId": "cd" * 32,
                    "awsAccountId": ACCOUNT,
                    "principal": "EF" * 32,
                    "clientId": "snr-0001",
                }
            ),
            "event.forged",
        ),
    ],
)
def test_an_event_that_can_never_be_handled_is_poison_and_changes_nothing(ready: World, body: str, code: str) -> None:
    with pytest.raises(Poison) as poison:
        ready.registrar.handle(ready.message(body))
    assert poison.value.code == code
    assert ready.calls.made == []


@pytest.mark.parametrize(
    "principal",
    [None, "N/A", "", DEVICE.sha256, FACTORY.id, 7, ["x"]],
    ids=["none", "N-A", "empty", "the device", "its CA", "a number", "a list"],
)
def test_an_event_of_aws_iot_s_own_counts_whatever_the_topic_rule_says_published_it(
    ready: World, principal: Any
) -> None:
    """Only another device's certificate is certain not to be AWS IoT; AWS does not say what stands for itself."""
    ready.knock(DEVICE, FACTORY, principal=principal, clientId="N/A")
    assert ready.status(DEVICE) == "ACTIVE"


@pytest.mark.parametrize("days", [-40, -1, 1])
def test_a_time_that_is_not_near_the_message_s_own_counts_for_nothing(ready: World, days: int) -> None:
    """Or whoever makes an event up would choose the window; the queue's time is nobody's to choose."""
    told = ready.now + timedelta(days=days)
    event = parse_event(
        ready.event(DEVICE.sha256, FACTORY.id, timestamp=int(told.timestamp() * 1000)),
        account_id=ACCOUNT,
        sent_at=ready.now,
    )
    assert event.knocked_at == ready.now
    near = ready.now - timedelta(seconds=30)
    body = ready.event(DEVICE.sha256, FACTORY.id, timestamp=int(near.timestamp() * 1000))
    assert parse_event(body, account_id=ACCOUNT, sent_at=ready.now).knocked_at == near


def test_an_event_that_names_another_ca_than_aws_iot_does_is_poison(ready: World) -> None:
    describe = ready.iot.describe_certificate

    def with_ca(**arguments: Any) -> Any:
        # moto leaves caCertificateId out.
        answer = describe(**arguments)
        answer["certificateDescription"]["caCertificateId"] = FACTORY.id
        return answer

    ready.iot.describe_certificate = with_ca  # type: ignore[method-assign]
    with pytest.raises(Poison) as poison:
        ready.knock(DEVICE, OTHER)
    assert poison.value.code == "event.ca-mismatch"
    assert (ready.status(DEVICE), ready.record(DEVICE)) == (PENDING, None)


def test_what_no_ca_of_the_account_can_have_registered_costs_no_description(ready: World) -> None:
    """300 made-up events: AWS IoT is asked of one CA in ten seconds, of no certificate, and the newcomer is let in."""
    for number in range(300):
        body = ready.event(f"{number:064x}", f"{number + 1000:064x}")
        with pytest.raises(Retry):
            ready.registrar.handle(ready.message(body))
        with pytest.raises((Retry, Poison)):
            ready.registrar.handle(ready.message(body, deliveries=5))
    assert ready.calls.of("iot") == ["DescribeCACertificate"]
    ready.knock(DEVICE, FACTORY)
    assert ready.status(DEVICE) == "ACTIVE"


def poisons(world: World, body: str) -> str | None:
    """The code with which an event is put aside at once; None where it is not, or comes back."""
    try:
        world.registrar.handle(world.message(body))
    except Poison as poison:
        return poison.code
    except Retry:
        return None
    return None


def test_a_device_that_passes_its_own_certificate_off_as_the_ca_of_others_costs_no_description(ready: World) -> None:
    """Also where the other is on record, under its real CA: AWS IoT is asked of one such CA in ten seconds."""
    ready.knock(DEVICE, FACTORY)
    before = ready.record(DEVICE)
    ready.calls.made.clear()
    for number in range(20):
        forger = f"{number:064x}"
        assert poisons(ready, ready.event(DEVICE.sha256, forger, principal=forger)) is None
    assert ready.calls.of("iot") == ["DescribeCACertificate"]
    assert ready.record(DEVICE) == before


def test_a_device_that_names_another_ca_than_its_own_record_does_is_put_aside_without_a_call(ready: World) -> None:
    ready.knock(DEVICE, FACTORY)
    before = ready.record(DEVICE)
    ready.calls.made.clear()
    for ca in (OTHER.id, *(f"{number:064x}" for number in range(20))):
        assert poisons(ready, ready.event(DEVICE.sha256, ca, principal=DEVICE.sha256)) == "event.forged"
    assert ready.calls.of("iot") == []
    assert ready.record(DEVICE) == before


def test_a_device_that_was_registered_by_hand_costs_a_description_a_minute_whatever_it_publishes(ready: World) -> None:
    """It has no record that could remember; of each CA that it may name it is remembered for itself."""
    by_hand = FACTORY.usual_device("by-hand").issue()
    ready.connect(by_hand, "ACTIVE")
    ready.knock(DEVICE, FACTORY)
    for _ in range(2):
        ready.calls.made.clear()
        for _ in range(20):
            ready.knock(by_hand, FACTORY, principal=by_hand.sha256)
        assert [each for each in ready.calls.of("iot") if each != "DescribeCACertificate"] == ["DescribeCertificate"]
        ready.later(minutes=1)
    assert ready.record(by_hand) is None


def test_a_device_that_was_held_and_made_active_by_hand_costs_a_description_a_minute(ready: World) -> None:
    """Its hold is looked at again after an edit that would admit it; AWS IoT says that it is in already."""
    ready.publish(rules(allow(lists=("line-a",), grant=FULL)))
    ready.knock(DEVICE, FACTORY)
    ready.iot.update_certificate(certificateId=DEVICE.sha256, newStatus="ACTIVE")
    ready.put_on("line-a", ListRow(common_name="snr-0001"))
    ready.later(minutes=2)
    for _ in range(2):
        ready.calls.made.clear()
        for _ in range(20):
            ready.knock(DEVICE, FACTORY, principal=DEVICE.sha256)
        assert ready.calls.of("iot").count("DescribeCertificate") == 1
        ready.later(minutes=1)


def test_an_event_of_a_ca_that_the_account_does_not_hold_is_waited_for_and_poison_in_the_end(ready: World) -> None:
    """Each is looked up in its turn before it is put aside."""
    bodies = [ready.event("ab" * 32, each * 32) for each in ("cd", "ef")]
    codes = []
    for body in bodies:
        with pytest.raises(Retry):
            ready.registrar.handle(ready.message(body, deliveries=4))
        ready.later(seconds=10)
        with pytest.raises(Poison) as poison:
            ready.registrar.handle(ready.message(body, deliveries=5))
        codes.append(poison.value.code)
    assert codes == ["event.ca-unknown"] * 2
    assert ready.calls.of("iot") == ["DescribeCACertificate"] * 2


def test_an_unknown_certificate_is_waited_for_and_poison_in_the_end(ready: World) -> None:
    body = ready.event("ab" * 32, FACTORY.id)
    with pytest.raises(Retry):
        ready.registrar.handle(ready.message(body, deliveries=1))
    with pytest.raises(Poison) as poison:
        ready.registrar.handle(ready.message(body, deliveries=5))
    assert poison.value.code == "event.certificate-unknown"


def test_a_knock_of_a_certificate_that_is_gone_leaves_its_record_as_it_is(ready: World) -> None:
    """It is poison in the end; the device registers its certificate anew, and is decided anew then."""
    ready.publish(rules(allow(lists=("line-a",), grant=FULL)))
    ready.knock(DEVICE, FACTORY)
    before = ready.record(DEVICE)
    ready.iot.update_certificate(certificateId=DEVICE.sha256, newStatus="INACTIVE")
    ready.iot.delete_certificate(certificateId=DEVICE.sha256)
    ready.put_on("line-a", ListRow(common_name="snr-0001"))
    body = ready.event(DEVICE.sha256, FACTORY.id)
    with pytest.raises(Retry):
        ready.registrar.handle(ready.message(body))
    with pytest.raises(Poison, match=r"knows no certificate"):
        ready.registrar.handle(ready.message(body, deliveries=5))
    assert ready.record(DEVICE) == before
    ready.connect(DEVICE)
    ready.knock(DEVICE, FACTORY)
    assert ready.status(DEVICE) == "ACTIVE"


def test_without_rules_nobody_is_decided(world: World) -> None:
    world.register_ca(FACTORY)
    world.connect(DEVICE)
    with pytest.raises(Retry) as retry:
        world.knock(DEVICE, FACTORY)
    assert retry.value.cause == "rules"
    assert (world.status(DEVICE), world.record(DEVICE)) == (PENDING, None)


@pytest.mark.parametrize("damage", [b"", b"{}", b"not json", b'{"format": 1}'])
def test_unreadable_rules_decide_nobody(ready: World, damage: bytes) -> None:
    ready.table.put_blob(f"RULES#{ready.table.heads().digest}", damage)
    with pytest.raises(Retry) as retry:
        ready.knock(DEVICE, FACTORY)
    assert (retry.value.cause, ready.status(DEVICE)) == ("rules", PENDING)


@pytest.mark.parametrize(
    "operation", ["DescribeCertificate", "DescribeThing", "CreateThing", "AttachPolicy", "UpdateCertificate"]
)
@pytest.mark.parametrize("code", ["ThrottlingException", "InternalFailureException", "AccessDeniedException"])
def test_what_passes_is_waited_for_and_the_next_delivery_finishes(ready: World, operation: str, code: str) -> None:
    fail(ready, operation, code, times=1)
    try:
        ready.knock(DEVICE, FACTORY)
    except Retry:
        assert ready.status(DEVICE) == PENDING
        ready.knock(DEVICE, FACTORY)
    assert ready.status(DEVICE) == "ACTIVE"
    assert ready.policies(DEVICE) == {"Sensor", "Other"}


@pytest.mark.parametrize(
    ("operation", "code", "reason"),
    [
        ("AttachPolicy", "LimitExceededException", "apply.limit"),
        ("AttachPolicy", "ResourceNotFoundException", "apply.iot-policy-missing"),
        ("AddThingToThingGroup", "ResourceNotFoundException", "apply.resource-missing"),
        ("CreateThing", "InvalidRequestException", "apply.refused"),
        ("UpdateCertificate", "CertificateStateException", "apply.certificate-state"),
    ],
)
def test_what_aws_refuses_for_good_is_a_hold_with_its_own_code_that_gets_in_when_due(
    ready: World, operation: str, code: str, reason: str
) -> None:
    fail(ready, operation, code)
    ready.knock(DEVICE, FACTORY)
    assert (ready.codes(DEVICE), ready.status(DEVICE)) == ([reason], PENDING)
    ready.later(hours=2)
    ready.knock(DEVICE, FACTORY)
    assert ready.status(DEVICE) == "ACTIVE"


def test_a_certificate_that_cannot_be_read_is_held_under_its_code(ready: World) -> None:
    describe = ready.iot.describe_certificate

    def garbled(**arguments: Any) -> Any:
        answer = describe(**arguments)
        answer["certificateDescription"]["certificatePem"] = (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
        )
        return answer

    ready.iot.describe_certificate = garbled  # type: ignore[method-assign]
    ready.knock(DEVICE, FACTORY)
    assert ready.codes(DEVICE) == ["certificate.unreadable"]


def odd_ca(draft: pki.CertificateDraft) -> pki.CA:
    """A CA that is registered as Factory Z, and stands in the rules as factory-a."""
    return pki.make(draft.basic_constraints(ca=True))


def ready_for(world: World, ca: pki.CA, floor: Floor | None = None) -> pki.Issued:
    """Rules that admit every device of a CA, which is registered; one of them has connected."""
    device = ca.usual_device("snr-0001").issue()
    known = world.iot.describe_ca_certificate

    def described(**arguments: Any) -> Any:
        if arguments["certificateId"] != ca.id:
            return known(**arguments)
        described = {"certificateId": ca.id, "certificatePem": ca.pem.decode(), "status": "ACTIVE"}
        return {"certificateDescription": described}

    world.iot.describe_ca_certificate = described  # type: ignore[method-assign]
    world.connect(device)
    admitting = rules(allow(), floor=floor)
    world.publish(replace(admitting, cas={"factory-a": Ca("factory-a", (ca.id,), 3)}))
    return device


def test_a_ca_that_cannot_be_read_is_not_called_gone(ready: World) -> None:
    """AWS IoT holds it, so to register it again would help nobody."""
    ca = odd_ca(pki.ca_draft("Factory Z").extension("keyUsage", b"damaged"))
    device = ready_for(ready, ca)
    ready.knock(device, ca)
    record = ready.record(device)
    assert record is not None
    assert ready.codes(device) == ["chain.ca-unreadable"]
    assert "its keyUsage is damaged" in record.reasons[0]["message"]
    assert recorded_knock(record.facts or {}, rules()).ca_problem is not None


@pytest.mark.parametrize("number", [0, -0x1F])
def test_a_ca_whose_serial_number_is_not_positive_is_admitted_by_the_floor_alone(ready: World, number: int) -> None:
    """RFC 5280 section 4.1.2.2. Its devices are held under a code of its own, and get in once the owner says so."""
    ca = odd_ca(pki.ca_draft("Factory Z").serial(number))
    device = ready_for(ready, ca)
    ready.knock(device, ca)
    assert ready.codes(device) == ["chain.ca-serial-number"]
    ready_for(ready, ca, Floor(serial_numbers="any"))
    ready.knock(device, ca)
    assert (ready.codes(device), ready.status(device)) == (["allow.rule"], "ACTIVE")


@pytest.mark.filterwarnings("ignore:Parsed a serial number:UserWarning")  # moto reads it with what warns of it
@pytest.mark.parametrize(("number", "row"), [(0, "0"), (-0x1F, "-1f")])
def test_a_device_whose_serial_number_is_not_positive_is_found_on_lists(ready: World, number: int, row: str) -> None:
    device = FACTORY.usual_device("snr-0009").serial(number).issue()
    ready.connect(device)
    ready.publish(rules(allow(), deny(lists=("stolen",))))
    ready.knock(device, FACTORY)
    assert ready.codes(device) == ["certificate.serial-number"]
    ready.put_on("stolen", ListRow(serial_number=row, ca="factory-a"))
    ready.knock(device, FACTORY)
    assert ready.codes(device) == ["deny.rule", "certificate.serial-number"]


# --- reservations


def test_a_thing_name_that_another_key_has_reserved_holds(ready: World) -> None:
    ready.publish(both())
    ready.knock(DEVICE, FACTORY)
    second = same_name()
    ready.connect(second)
    ready.knock(second, OTHER)
    assert (ready.codes(second), ready.status(second)) == (["grant.thing-claimed"], PENDING)
    assert ready.policies(second) == set()


def test_a_renewed_certificate_of_the_same_key_has_the_same_thing(ready: World) -> None:
    renewed = FACTORY.usual_device("snr-0001").serial(0x2002).issue()
    ready.knock(DEVICE, FACTORY)
    ready.connect(renewed)
    ready.knock(renewed, FACTORY)
    assert ready.status(renewed) == "ACTIVE"


def test_renewal_coexist_admits_another_key_beside_the_first(ready: World) -> None:
    ready.publish(both(renewal="coexist", renewal_from=("factory-a",)))
    ready.knock(DEVICE, FACTORY)
    second = same_name()
    ready.connect(second)
    ready.knock(second, OTHER)
    assert (ready.status(DEVICE), ready.status(second)) == ("ACTIVE", "ACTIVE")


def test_renewal_replace_deactivates_the_predecessor_once_the_successor_is_active(ready: World) -> None:
    ready.publish(both(renewal="replace", renewal_from=("factory-a",)))
    ready.knock(DEVICE, FACTORY)
    second = same_name()
    ready.connect(second)
    ready.calls.made.clear()
    ready.knock(second, OTHER)
    assert (ready.status(DEVICE), ready.status(second)) == ("INACTIVE", "ACTIVE")


def test_a_replacement_that_crashed_after_active_still_deactivates_the_predecessor(ready: World) -> None:
    ready.publish(both(renewal="replace", renewal_from=("factory-a",)))
    ready.knock(DEVICE, FACTORY)
    second = same_name()
    ready.connect(second)
    with ready.killed_at_the_status(after=True):
        ready.knock(second, OTHER)
    ready.knock(second, OTHER)
    assert (ready.status(DEVICE), ready.status(second)) == ("INACTIVE", "ACTIVE")


def test_a_thing_that_was_not_made_here_holds(ready: World) -> None:
    ready.iot.create_thing(thingName="snr-0001")
    ready.knock(DEVICE, FACTORY)
    assert (ready.codes(DEVICE), ready.status(DEVICE)) == (["grant.thing-exists"], PENDING)


def test_existing_adopt_takes_a_thing_only_if_nothing_else_is_attached(ready: World) -> None:
    ready.publish(rules(allow(grant=replace(FULL, existing="adopt", thing_type=None))))
    ready.iot.create_thing(thingName="snr-0001")
    stranger = OTHER.usual_device("stranger").issue()
    ready.connect(stranger, "ACTIVE")
    arn = ready.iot.describe_certificate(certificateId=stranger.sha256)["certificateDescription"]["certificateArn"]
    ready.iot.attach_thing_principal(thingName="snr-0001", principal=arn)
    ready.knock(DEVICE, FACTORY)
    assert ready.codes(DEVICE) == ["grant.thing-exists"]
    ready.iot.detach_thing_principal(thingName="snr-0001", principal=arn)
    ready.later(hours=2)
    ready.knock(DEVICE, FACTORY)
    assert ready.status(DEVICE) == "ACTIVE"


def test_a_failed_attempt_to_adopt_a_thing_does_not_make_it_ours(ready: World) -> None:
    """A rule that adopts nothing holds it, as if nobody had tried. Adopted by an admission, it is ours."""
    adopts = replace(FULL, existing="adopt", thing_type=None)
    ready.iot.create_thing(thingName="snr-0001")
    for _ in range(2):  # an attempt after another one knows no more
        ready.publish(rules(allow(grant=replace(adopts, iot_policies=("Missing",)))))
        ready.later(hours=2)
        ready.knock(DEVICE, FACTORY)
        assert ready.codes(DEVICE) == ["apply.iot-policy-missing"]
        ready.publish(rules(allow(grant=replace(adopts, existing="hold"))))
        ready.knock(DEVICE, FACTORY)
        assert (ready.codes(DEVICE), ready.status(DEVICE)) == (["grant.thing-exists"], PENDING)
    ready.publish(rules(allow(grant=adopts)))
    ready.knock(DEVICE, FACTORY)
    assert ready.status(DEVICE) == "ACTIVE"
    item = next(iter(ready.table.get([{"pk": "THING#snr-0001", "sk": "RESERVATION"}])))
    assert (item["made"], item["making"], "elsewhere" in item) == (True, False, False)


def test_a_thing_that_a_failed_attempt_made_is_ours_under_another_rule_too(ready: World) -> None:
    """Also under a rule that would adopt: what was begun here is finished under one that would not."""
    for existing in ("hold", "adopt"):
        ready.publish(rules(allow(grant=replace(FULL, existing=existing, iot_policies=("Missing",)))))
        ready.later(hours=2)
        ready.knock(DEVICE, FACTORY)
        assert ready.codes(DEVICE) == ["apply.iot-policy-missing"]
    ready.publish(rules(allow(grant=FULL)))
    ready.knock(DEVICE, FACTORY)
    assert ready.status(DEVICE) == "ACTIVE"


def test_max_devices_holds_the_one_too_many_and_counts_renewals_once(ready: World) -> None:
    ready.publish(rules(allow(grant=FULL, max_devices=1)))
    ready.knock(DEVICE, FACTORY)
    second = FACTORY.usual_device("snr-0002", kind="P-384").issue()
    ready.connect(second)
    ready.knock(second, FACTORY)
    assert ready.codes(second) == ["grant.max-devices"]
    renewed = FACTORY.usual_device("snr-0001").serial(0x2002).issue()
    ready.connect(renewed)
    ready.knock(renewed, FACTORY)
    assert ready.status(renewed) == "ACTIVE"
    assert taken(ready) == 1


def test_a_device_that_a_guard_still_refuses_when_due_costs_no_call_for_certificates(ready: World) -> None:
    """Thousands of them come due every hour: they would leave nothing of 10 calls a second to those who can get in."""
    ready.publish(rules(allow(grant=FULL, max_devices=1)))
    ready.knock(DEVICE, FACTORY)
    second = FACTORY.usual_device("snr-0002", kind="P-384").issue()
    ready.connect(second)
    ready.knock(second, FACTORY)
    for _ in range(3):
        ready.later(hours=2)
        ready.calls.made.clear()
        ready.knock(second, FACTORY)
        assert set(ready.calls.of("iot")) <= {"DescribeThing", "DescribeCACertificate"}
        record = ready.record(second)
        assert record is not None
        assert record.due == ready.now + timedelta(hours=1)
    # Neither does an edit that changes what it would be granted, and nothing about the guard.
    ready.publish(rules(allow(grant=replace(FULL, attributes={"line": "b"}), max_devices=1)))
    ready.calls.made.clear()
    ready.knock(second, FACTORY)
    assert ready.codes(second) == ["grant.max-devices"]
    assert set(ready.calls.of("iot")) <= {"DescribeThing", "DescribeCACertificate"}  # the CA's, of all of them at once
    ready.publish(rules(allow(grant=FULL, max_devices=2)))
    ready.knock(second, FACTORY)
    assert (ready.status(second), taken(ready)) == ("ACTIVE", 2)


def test_a_hold_that_aws_brought_about_gives_its_place_and_name_back(ready: World) -> None:
    ready.publish(rules(allow(grant=FULL, max_devices=1)))
    fail(ready, "AttachPolicy", "LimitExceededException")
    ready.knock(DEVICE, FACTORY)
    assert taken(ready) == 0
    renamed = FACTORY.usual_device("snr-0001", kind="P-384").issue()
    ready.connect(renamed)
    ready.knock(renamed, FACTORY)
    assert ready.status(renamed) == "ACTIVE"


def test_max_devices_without_a_thing_counts_keys(ready: World) -> None:
    ready.publish(rules(allow(grant=Grant(iot_policies=("Sensor",)), max_devices=1, ca="factory-a")))
    ready.knock(DEVICE, FACTORY)
    second = FACTORY.usual_device("snr-0002", kind="P-384").issue()
    ready.connect(second)
    ready.knock(second, FACTORY)
    assert (ready.status(DEVICE), ready.codes(second)) == ("ACTIVE", ["grant.max-devices"])


def taken(world: World) -> int:
    """How many places of line-a are taken."""
    item = next(iter(world.table.get([{"pk": "PLACES#line-a", "sk": "PLACES"}])), {"taken": 0})
    return int(item["taken"])


# --- two deliveries at once


def test_of_two_writers_of_one_record_one_is_told_to_come_back(ready: World) -> None:
    ready.publish(rules(allow(lists=("line-a",))))
    ready.knock(DEVICE, FACTORY)
    record = ready.record(DEVICE)
    assert record is not None
    ready.table.put_record(record)
    with pytest.raises(Retry) as retry:
        ready.table.put_record(record)
    assert retry.value.cause == "conflict"


def test_a_delivery_that_comes_second_asks_aws_iot_nothing_about_the_thing(ready: World) -> None:
    """Both described the certificate; the name that the first reserved says that the other is late."""
    fail(ready, "CreateThing", "ThrottlingException")
    late = ready.fresh_registrar()
    ready.calls.made.clear()

    def first(**_event: Any) -> None:
        ready.iot.meta.events.unregister("after-call.iot.DescribeCertificate", first)
        with pytest.raises(Retry, match="Throttling"):
            ready.knock(DEVICE, FACTORY)

    ready.iot.meta.events.register("after-call.iot.DescribeCertificate", first)
    with pytest.raises(Conflict):
        late.handle(ready.message(ready.event(DEVICE.sha256, FACTORY.id)))
    asked = Counter(ready.calls.of("iot"))
    assert (asked["DescribeCertificate"], asked["DescribeThing"], asked["ListThingPrincipals"]) == (2, 1, 0)


@pytest.mark.parametrize("kind", ["RSA-2048", "P-256"])
def test_a_record_that_is_written_alone_is_not_written_in_a_transaction(world: World, kind: str) -> None:
    """DynamoDB charges a write in a transaction twice. (Developer Guide, "DynamoDB transactions: how it works")

    An admission begins in one, because what a device is searched by is written with its record.
    """
    ca = pki.ca(f"Factory {kind}", kind=kind)
    device = ca.usual_device("snr-0001").issue()
    world.register_ca(ca)
    given = rules(allow(grant=Grant(iot_policies=("Sensor",))))
    world.publish(replace(given, cas={"factory-a": Ca("factory-a", (ca.id,), 3)}))
    world.connect(device)
    world.calls.made.clear()
    world.knock(device, ca)
    assert world.status(device) == "ACTIVE"
    writes = [each for each in world.calls.of("dynamodb") if each not in ("BatchGetItem", "Query")]
    assert writes == ["TransactWriteItems", "PutItem"]


def test_a_record_reads_back_as_it_was_written(ready: World) -> None:
    ready.knock(DEVICE, FACTORY)
    record = ready.record(DEVICE)
    assert record is not None
    assert Record.from_json(json.loads(json.dumps(record.to_json()))) == record


# --- batches


def delivery(world: World, body: str, number: int = 1, deliveries: int = 1) -> dict[str, Any]:
    """A message as Lambda brings it."""
    world.sqs.send_message(QueueUrl=world.queue_url, MessageBody=body)
    received = world.sqs.receive_message(QueueUrl=world.queue_url)["Messages"][0]
    return {
        "messageId": f"m{number}",
        "receiptHandle": received["ReceiptHandle"],
        "body": body,
        "attributes": {
            "ApproximateReceiveCount": str(deliveries),
            "SentTimestamp": str(int(world.now.timestamp() * 1000)),
        },
    }


PLENTY: Callable[[], int] = lambda: 30_000  # noqa: E731


def failed(world: World, *records: dict[str, Any], remaining: Callable[[], int] = PLENTY) -> list[str]:
    """The messages of a batch that come back."""
    answer = world.batch().handle(records, remaining)
    return [each["itemIdentifier"] for each in answer["batchItemFailures"]]


def test_a_poisonous_message_does_not_fail_its_batch_and_goes_to_the_failure_queue_with_its_reason(
    ready: World,
) -> None:
    good = delivery(ready, ready.event(DEVICE.sha256, FACTORY.id), 1)
    assert failed(ready, delivery(ready, "not json", 0), good) == []
    assert ready.status(DEVICE) == "ACTIVE"
    (message,) = ready.failures()
    assert message["Body"] == "not json"
    assert message["MessageAttributes"]["reason"]["StringValue"] == "event.not-json"


def test_a_message_that_was_put_back_from_the_failures_keeps_the_time_when_it_came_first(ready: World) -> None:
    """So a device that knocked while its window was open is in it, however long mending the fault took."""
    knocked = ready.now
    body = ready.event(DEVICE.sha256, FACTORY.id)
    ready.iot.describe_certificate, describe = None, ready.iot.describe_certificate  # type: ignore[assignment,method-assign]
    assert failed(ready, delivery(ready, body, 1, deliveries=5)) == []
    sent_at = ready.failures()[0]["MessageAttributes"]["sent_at"]["StringValue"]
    ready.iot.describe_certificate = describe  # type: ignore[method-assign]
    ready.later(hours=30)
    again = delivery(ready, body, 2) | {"messageAttributes": {"sent_at": {"stringValue": sent_at}}}
    assert failed(ready, again) == []
    record = ready.record(DEVICE)
    assert record is not None
    assert record.knocked_at == knocked


@pytest.mark.parametrize("told", ["", "tomorrow", "-1", "٣", "9" * 40, "99999999999999"])
def test_no_attribute_makes_a_message_later_than_it_is(ready: World, told: str) -> None:
    body = ready.event(DEVICE.sha256, FACTORY.id)
    ready.later(hours=30)
    assert failed(ready, delivery(ready, body, 1) | {"messageAttributes": {"sent_at": {"stringValue": told}}}) == []
    record = ready.record(DEVICE)
    assert record is not None
    assert record.knocked_at == ready.now


def ages(world: World) -> list[tuple[str, float]]:
    """Record from now on what is told of the ages of messages that come back: the list of reason and seconds."""
    told: list[tuple[str, float]] = []

    def seconds(name: str, value: float, *, reason: str) -> None:
        assert name == "RetryAge"
        told.append((reason, value))

    world.telemetry.seconds = seconds  # type: ignore[method-assign]
    return told


def test_every_message_that_comes_back_tells_how_old_its_event_is_and_why_it_does(ready: World) -> None:
    """SQS's own age leaves it out from its third receive on. Put back from the failures, it is as old as it was."""
    told = ages(ready)
    body = ready.event(DEVICE.sha256, FACTORY.id)
    record = delivery(ready, body, 1, deliveries=40)
    ready.later(hours=2)
    fail(ready, "DescribeCertificate", "ServiceUnavailableException")
    assert failed(ready, record) == ["m1"]
    earlier = str(int((ready.now - timedelta(hours=30)).timestamp() * 1000))
    fail(ready, "DescribeCertificate", "ServiceUnavailableException")
    assert failed(ready, record | {"messageAttributes": {"sent_at": {"stringValue": earlier}}}) == ["m1"]
    assert told == [("unavailable", 7200.0), ("unavailable", 108_000.0)]


def test_a_message_that_comes_back_because_of_a_bug_or_of_the_failure_queue_tells_its_age_too(ready: World) -> None:
    told = ages(ready)
    record = delivery(ready, ready.event(DEVICE.sha256, FACTORY.id), 1)
    ready.later(minutes=10)
    ready.iot.describe_certificate, describe = None, ready.iot.describe_certificate  # type: ignore[assignment,method-assign]
    assert failed(ready, record) == ["m1"]
    ready.iot.describe_certificate = describe  # type: ignore[method-assign]
    ready.failures_url += "-gone"
    assert failed(ready, delivery(ready, "not JSON", 2)) == ["m2"]
    assert told == [("bug", 600.0), ("failures", 0.0)]


def test_a_throttled_message_comes_back_and_the_others_are_done(ready: World) -> None:
    second = FACTORY.usual_device("snr-0002", kind="P-384").issue()
    ready.connect(second)
    fail(ready, "DescribeCertificate", "ThrottlingException")
    records = [delivery(ready, ready.event(each.sha256, FACTORY.id), n) for n, each in enumerate((DEVICE, second))]
    assert failed(ready, *records) == ["m0"]
    assert (ready.status(DEVICE), ready.status(second)) == (PENDING, "ACTIVE")
    assert ready.failures() == []


def test_a_bug_is_tried_again_and_goes_to_the_failure_queue_after_five_deliveries(ready: World) -> None:
    ready.iot.describe_certificate = None  # type: ignore[assignment,method-assign]
    body = ready.event(DEVICE.sha256, FACTORY.id)
    assert failed(ready, delivery(ready, body, 1, deliveries=4)) == ["m1"]
    assert ready.failures() == []
    assert failed(ready, delivery(ready, body, 1, deliveries=5)) == []
    assert ready.failures()[0]["MessageAttributes"]["reason"]["StringValue"] == "event.bug"


def test_poison_that_cannot_be_moved_comes_back(ready: World) -> None:
    ready.failures_url = ready.failures_url + "-gone"
    assert failed(ready, delivery(ready, "not json")) == ["m1"]


def test_a_message_is_not_begun_when_time_is_short(ready: World) -> None:
    record = delivery(ready, ready.event(DEVICE.sha256, FACTORY.id))
    ready.calls.made.clear()
    assert failed(ready, record, remaining=lambda: 5_000) == ["m1"]
    assert ready.calls.made == ["sqs:ChangeMessageVisibility"]


def test_waiting_doubles_up_to_five_minutes(ready: World) -> None:
    batch = ready.batch()
    assert [batch._backoff(n) for n in (1, 2, 3, 8, 9, 400)] == [2, 4, 8, 256, 300, 300]


def test_six_hours_of_throttling_stay_below_the_receives_that_the_queue_allows(ready: World) -> None:
    """maxReceiveCount in template.yaml is 500; waits are at least half of what they are at most."""
    waits = [ready.batch()._backoff(n) / 2 for n in range(1, 501)]
    assert sum(waits) > timedelta(hours=6).total_seconds()


def test_aws_codes_are_told_apart() -> None:
    def raised(code: str, status: int = 400) -> type[BaseException]:
        response: Any = {"Error": {"Code": code, "Message": ""}, "ResponseMetadata": {"HTTPStatusCode": status}}
        error = ClientError(response, "X")
        with pytest.raises((Retry, Refused)) as caught, told_apart():
            raise error
        return caught.type

    assert raised("ThrottlingException") is Retry
    assert raised("Whatever", 503) is Retry
    assert raised("LimitExceededException") is Refused
    assert raised("InvalidRequestException") is Refused


# --- found by attack


def test_what_an_earlier_attempt_attached_and_the_grant_no_longer_gives_is_detached(ready: World) -> None:
    """The role must be allowed to: template.yaml, RegisterRole."""
    ready.publish(rules(allow(grant=replace(FULL, iot_policies=("Other", "Gone")))))
    ready.knock(DEVICE, FACTORY)
    assert ready.codes(DEVICE) == ["apply.iot-policy-missing"]
    ready.publish(rules(allow(grant=replace(FULL, iot_policies=("Sensor",)))))
    ready.knock(DEVICE, FACTORY)
    assert (ready.status(DEVICE), ready.policies(DEVICE)) == ("ACTIVE", {"Sensor"})


def test_a_name_claimed_under_renewal_hold_is_not_taken_by_a_rule_that_says_replace(ready: World) -> None:
    """Both grants must allow another key: that of the device which has the name, and the newcomer's."""
    taking = replace(FULL, renewal="replace")
    ready.publish(rules(allow(grant=FULL), allow("line-b", ca="factory-b", grant=taking)))
    ready.knock(DEVICE, FACTORY)
    second = same_name()
    ready.connect(second)
    ready.knock(second, OTHER)
    assert (ready.codes(second), ready.status(DEVICE)) == (["grant.thing-claimed"], "ACTIVE")


def test_a_thing_that_another_made_while_ours_was_throttled_is_not_taken_over(ready: World) -> None:
    fail(ready, "CreateThing", "ThrottlingException")
    with pytest.raises(Retry):
        ready.knock(DEVICE, FACTORY)
    stranger = OTHER.usual_device("stranger").issue()
    ready.connect(stranger, "ACTIVE")
    ready.iot.create_thing(thingName="snr-0001")
    arn = ready.iot.describe_certificate(certificateId=stranger.sha256)["certificateDescription"]["certificateArn"]
    ready.iot.attach_thing_principal(thingName="snr-0001", principal=arn)
    ready.knock(DEVICE, FACTORY)
    assert (ready.codes(DEVICE), ready.status(DEVICE)) == (["grant.thing-exists"], PENDING)


def test_a_name_that_is_too_long_for_a_key_is_on_no_list_and_is_decided(ready: World) -> None:
    """DynamoDB refuses sort keys of more than 1024 bytes; moto does not."""
    long = FACTORY.device("x" * 600).issue()
    ready.connect(long)
    ready.publish(rules(allow(lists=("line-a",))))
    ready.put_on("line-a", ListRow(common_name="snr-0002"))
    ready.calls.made.clear()
    ready.knock(long, FACTORY)
    assert ready.codes(long) == ["allow.unmatched"]


def test_rules_are_checked_by_the_digest_of_what_is_stored_not_of_what_this_version_would_write(
    ready: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later version may compile more keys; what earlier ones published stays in force."""
    compiled = Rules.to_json
    monkeypatch.setattr(Rules, "to_json", lambda self: compiled(self) | {"new_key": 1})
    ready.registrar = ready.fresh_registrar()
    ready.knock(DEVICE, FACTORY)
    assert ready.status(DEVICE) == "ACTIVE"


def test_a_record_stays_small_however_many_values_the_rules_and_the_certificate_have(ready: World) -> None:
    """A DynamoDB item holds at most 400 KB."""
    patterns = tuple(Glob(f"{'n' * 200}{number}") for number in range(1000))
    many = replace(allow(), conditions=(AttributeCondition("common_name", patterns),))
    ready.publish(rules(*(replace(many, name=f"rule-{number}") for number in range(5))))
    ready.knock(DEVICE, FACTORY)
    record = ready.record(DEVICE)
    assert record is not None
    assert len(json.dumps(record.to_json())) < 20_000


def test_an_ambiguous_match_of_a_revoking_deny_rule_rejects_but_does_not_revoke(ready: World) -> None:
    """REVOKED is final: a row that pins another key names another device."""
    ready.publish(rules(allow(grant=FULL), deny(lists=("stolen",), revoke=True)))
    ready.put_on("stolen", ListRow(common_name="snr-0001", public_key_sha256="ee" * 32))
    ready.knock(DEVICE, FACTORY)
    assert ready.status(DEVICE) == "INACTIVE"


@pytest.mark.parametrize("kind", ["P-256", "P-384", "P-521"])
def test_a_recall_by_certificate_also_finds_the_one_with_the_other_form_of_signature(world: World, kind: str) -> None:
    """(r, n - s) is as good an ECDSA signature as (r, s), and gives a certificate another SHA-256."""
    ca = pki.ca("Factory EC", kind=kind)
    device = ca.usual_device("snr-0001").issue()
    twin = twin_of(device, ca)
    world.register_ca(ca)
    world.publish(replace(rules(allow(), deny(lists=("stolen",))), cas={"factory-a": Ca("factory-a", (ca.id,), 3)}))
    world.put_on("stolen", ListRow(certificate_sha256=device.sha256))
    world.connect(twin)
    world.knock(twin, ca)
    assert twin.sha256 != device.sha256
    assert world.codes(twin) == ["deny.rule"]


def test_a_certificate_that_was_decided_does_not_get_in_again_under_its_other_id(ready: World) -> None:
    """Else a certificate that was REVOKED by hand would come back, its signature written differently."""
    ready.knock(DEVICE, FACTORY)
    ready.iot.update_certificate(certificateId=DEVICE.sha256, newStatus="REVOKED")
    twin = twin_of(DEVICE, FACTORY)
    ready.connect(twin)
    ready.knock(twin, FACTORY)
    assert (ready.codes(twin), ready.status(twin)) == (["certificate.twin"], PENDING)


def test_a_certificate_that_was_changed_by_hand_does_not_get_in_under_its_other_id(ready: World) -> None:
    """Also where AWS IoT holds that one no more; once it is held for it, without a call to AWS IoT."""
    twin = twin_of(DEVICE, FACTORY)
    ready.table.put(by_hand_key(twin.sha256) | {"format": 1, "revision": 1, "acts": []})
    ready.knock(DEVICE, FACTORY)
    assert (ready.codes(DEVICE), ready.status(DEVICE)) == (["certificate.twin"], PENDING)
    record = ready.record(DEVICE)
    assert record is not None
    assert (record.attached, record.reservation, ready.policies(DEVICE)) == ({}, None, set())
    ready.later(hours=2)
    ready.calls.made.clear()
    ready.knock(DEVICE, FACTORY)
    assert ready.codes(DEVICE) == ["certificate.twin"]
    assert "DescribeCertificate" not in ready.calls.of("iot")


@pytest.mark.parametrize("limit", [None, 1])
@pytest.mark.parametrize("thing", [None, "{common_name}"])
def test_of_two_ids_of_one_certificate_only_one_gets_in_when_both_knock_at_once(
    ready: World, thing: str | None, limit: int | None
) -> None:
    """Whether the grant reserves anything or not: each has looked for the other before either is on record."""
    ready.publish(rules(allow(grant=Grant(iot_policies=FULL.iot_policies, thing=thing), max_devices=limit)))
    twin = twin_of(DEVICE, FACTORY)
    ready.connect(twin)
    waiting = [twin]

    def the_other(**_context: Any) -> None:
        if waiting:
            knock = ready.event(waiting.pop().sha256, FACTORY.id)
            ready.fresh_registrar().handle(ready.message(knock))

    for write in ("TransactWriteItems", "PutItem"):
        ready.dynamodb.meta.events.register_first(f"before-call.dynamodb.{write}", the_other)
    with pytest.raises(Conflict):
        ready.knock(DEVICE, FACTORY)
    ready.knock(DEVICE, FACTORY)
    assert (ready.status(twin), ready.status(DEVICE)) == ("ACTIVE", PENDING)
    assert ready.codes(DEVICE) == ["certificate.twin"]


def test_an_rsa_signature_without_its_leading_zero_is_no_other_id_of_the_same_certificate(world: World) -> None:
    """RFC 8017 section 8.1.2: a signature has the octets of the modulus. Else a rejection by id would be undone."""
    ca = pki.ca("Factory PSS", kind="RSA-2048")
    leaves = (ca.usual_device().serial(each).signed_with("sha256", pss=True).issue() for each in count(1))
    device = next(each for each in leaves if read_certificate(each.der).signature[0] == 0)
    world.register_ca(ca)
    world.publish(replace(rules(allow()), cas={"factory-a": Ca("factory-a", (ca.id,), 3)}))
    other = with_signature(device, read_certificate(device.der).signature[1:])
    world.connect(other)
    world.knock(other, ca)
    assert (world.codes(other), world.status(other)) == (["chain.bad-signature"], "INACTIVE")


@pytest.mark.parametrize("listed", ["whole", "compressed"])
@pytest.mark.parametrize("shown", ["whole", "compressed"])
def test_a_recall_by_public_key_finds_the_key_however_row_and_certificate_write_it(
    ready: World, listed: str, shown: str
) -> None:
    """RFC 5480 section 2.2 lets a point be written in two ways, and who asks for a certificate chooses."""
    draft = FACTORY.usual_device("snr-0009").key("P-256", "recalled")
    forms = {"whole": draft, "compressed": compressed(draft)}
    infos = {name: each.public_key_info or pki.public_key(each.key_pair) for name, each in forms.items()}
    ready.publish(rules(allow(), deny(lists=("stolen",))))
    ready.put_on("stolen", ListRow(public_key_sha256=hashlib.sha256(infos[listed]).hexdigest()))
    device = forms[shown].issue()
    ready.connect(device)
    ready.knock(device, FACTORY)
    assert (ready.codes(device), ready.status(device)) == (["deny.rule"], "INACTIVE")


# --- many at once


def test_knocks_of_held_and_settled_devices_cost_a_batch_one_table_read_and_no_call(ready: World) -> None:
    ready.publish(rules(allow(common_name="snr-*")))
    devices = [DEVICE, *(FACTORY.usual_device(f"other-{each}").serial(each).issue() for each in (2, 3))]
    for device in devices:
        if device is not DEVICE:
            ready.connect(device)
        ready.knock(device, FACTORY)
    assert [ready.status(each) for each in devices] == ["ACTIVE", PENDING, PENDING]
    records = _records(*(ready.event(each.sha256, FACTORY.id) for each in (*devices, *devices, devices[1])))
    ready.calls.made.clear()
    assert ready.batch().handle(records, lambda: 30_000) == {"batchItemFailures": []}
    assert ready.calls.made == ["dynamodb:BatchGetItem"]
    ready.later(minutes=2)
    ready.calls.made.clear()
    assert ready.batch().handle(records, lambda: 30_000) == {"batchItemFailures": []}
    assert ready.calls.of("iot") == []
    assert ready.calls.of("dynamodb") == ["BatchGetItem", "UpdateItem", "UpdateItem"]  # a count for each held device


def test_a_newcomer_among_many_that_knock_is_admitted_by_the_same_batch(ready: World) -> None:
    ready.publish(rules(allow(common_name="snr-*")))
    held = FACTORY.usual_device("other").serial(9).issue()
    ready.connect(held)
    ready.knock(held, FACTORY)
    bodies = (ready.event(held.sha256, FACTORY.id), "no JSON", ready.event(DEVICE.sha256, FACTORY.id))
    assert ready.batch().handle(_records(*bodies), lambda: 30_000) == {"batchItemFailures": []}
    assert ready.status(DEVICE) == "ACTIVE"
    assert ready.status(held) == PENDING
    assert len(ready.failures()) == 1


def test_a_held_device_among_many_is_decided_again_where_the_rules_changed(ready: World) -> None:
    ready.publish(rules(allow(common_name="other-*")))
    ready.knock(DEVICE, FACTORY)
    assert ready.status(DEVICE) == PENDING
    ready.publish(rules(allow(common_name="snr-*")))
    records = _records(*[ready.event(DEVICE.sha256, FACTORY.id)] * 3)
    assert ready.batch().handle(records, lambda: 30_000) == {"batchItemFailures": []}
    assert ready.status(DEVICE) == "ACTIVE"


def test_a_table_that_is_throttled_at_the_first_look_does_not_stop_a_batch(ready: World) -> None:
    fail(ready, "BatchGetItem", "ThrottlingException", service="dynamodb", times=2)
    records = _records(*(ready.event(DEVICE.sha256, FACTORY.id) for _ in range(2)))
    answer = ready.batch().handle(records, lambda: 30_000)
    assert [each["itemIdentifier"] for each in answer["batchItemFailures"]] == ["m0"]  # it met the second refusal
    assert ready.status(DEVICE) == "ACTIVE"


def test_a_record_of_another_format_stops_its_own_message_only(ready: World) -> None:
    other = FACTORY.usual_device("snr-0002").serial(2).issue()
    ready.connect(other)
    ready.knock(DEVICE, FACTORY)
    key = {"pk": {"S": f"CERTIFICATE#{DEVICE.sha256}"}, "sk": {"S": "DECISION"}}
    ready.dynamodb.update_item(
        TableName="jitr",
        Key=key,
        UpdateExpression="SET #format = :other",
        ExpressionAttributeNames={"#format": "format"},
        ExpressionAttributeValues={":other": {"N": "99"}},
    )
    records = _records(*(ready.event(each.sha256, FACTORY.id) for each in (DEVICE, other)))
    answer = ready.batch().handle(records, lambda: 30_000)
    assert [each["itemIdentifier"] for each in answer["batchItemFailures"]] == ["m0"]
    assert ready.status(other) == "ACTIVE"


def _records(*bodies: str) -> list[dict[str, Any]]:
    """A batch as Lambda brings it."""
    attributes = {"ApproximateReceiveCount": "1", "SentTimestamp": str(int(pki.NOW.timestamp() * 1000))}
    return [
        {"messageId": f"m{number}", "receiptHandle": f"r{number}", "body": body, "attributes": attributes}
        for number, body in enumerate(bodies)
    ]
