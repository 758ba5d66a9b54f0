"""`jitr fleet check`: what it finds, that it changes nothing, and what it does when told; on AWS in process."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from click.testing import Result
from testkit import crls, ocsp
from testkit import pki as drafts
from testkit.aws.world import World
from testkit.cli.command_line import REGION, Aws, Run
from testkit.cli.fleet import GRANT, Fleet, fleet_in, in_force, leaf
from testkit.cli.operating import FACTORY, OTHER
from testkit.knocks import allow, deny
from testkit.page import Page

from jitr.aws.dynamodb.by_hand import acts_of
from jitr.aws.dynamodb.table import by_hand_key
from jitr.aws.quotas import Quotas
from jitr.aws.web import Web, WebAnswer, WebRequest
from jitr.devicelists.rows import ListRow
from jitr.records.record import APPLYING
from jitr.rules.model import Ca, Crl, Grant, Ocsp
from jitr.x509.ocsp import RESPONSE_TYPE
from jitr_operations.fleet import check as checking
from jitr_operations.fleet.notebook import Notebook
from jitr_operations.fleet.pace import quotas_in
from jitr_operations.table import now


@pytest.fixture
def fleet(world: World, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    return fleet_in(world, aws, monkeypatch)


def found(result: Result) -> dict[str, set[str]]:
    """The common names (or ids) that were found, by kind; the exit code says whether there are any."""
    document = json.loads(result.stdout)
    kinds: dict[str, set[str]] = {}
    for each in document["findings"]:
        kinds.setdefault(each["finding"], set()).add(each["common_name"])
    assert document["counts"] == {kind: len(kinds.get(kind, ())) for kind in document["counts"]}
    return kinds


def check(run: Run, *options: object) -> dict[str, set[str]]:
    result = run("fleet", "check", "--json", *options)
    kinds = found(result)
    assert result.exit_code == (1 if kinds else 0), result.stderr
    return kinds


def writes(aws: Aws) -> list[str]:
    """What was asked of AWS that may change something."""
    reads = ("Get", "Describe", "List", "Batch", "Query")
    return [each for each in aws.operations if not each.startswith(reads) or each == "BatchWriteItem"]


def mixed(fleet: Fleet) -> dict[str, drafts.Issued]:
    """One device of each kind, and several that are in order."""
    devices = fleet.let_in("fine", "recalled", "unlisted", "gone", "off", "pending", "policy", "extra", "grouped")
    world = fleet.world
    fleet.delete(devices["gone"])
    fleet.set_status(devices["off"], "INACTIVE")
    world.iot.detach_policy(policyName="Sensor", target=fleet.arn(devices["policy"]))
    world.iot.attach_policy(policyName="Other", target=fleet.arn(devices["extra"]))
    world.iot.remove_thing_from_thing_group(thingGroupName="line-a", thingName="grouped")
    devices["stranger"] = leaf("stranger")
    fleet.register(devices["stranger"])
    devices["held"] = leaf("held")
    world.put_on("recall-17", ListRow(common_name="recalled"))
    world.publish(
        in_force(
            deny("recall", lists=("recall-17",), reason="bad radio"),
            *[
                allow(name, grant=GRANT, common_name=name)
                for name in ("fine", "recalled", "gone", "off", "pending", "policy", "extra", "grouped")
            ],
        )
    )
    world.connect(devices["held"])
    world.knock(devices["held"], FACTORY)
    fleet.set_status(devices["held"], "ACTIVE")
    return devices


EXPECTED = {
    "reject": {"recalled"},
    "hold": {"unlisted", "held"},
    "unknown": {"stranger"},
    "gone": {"gone"},
    "changed": {"off", "held"},
    "drift": {"policy", "extra", "grouped"},
}


def test_every_kind_is_found_exactly_and_a_check_changes_nothing(run: Run, fleet: Fleet, aws: Aws) -> None:
    mixed(fleet)
    aws.calls.clear()
    assert check(run, "--attachments") == EXPECTED
    assert writes(aws) == []
    client = boto3.client("iot", region_name=REGION)
    assert {each for each in aws.operations if each in client.meta.service_model.operation_names} == {
        "DescribeCACertificate",
        "DescribeCertificate",
        "ListCACertificates",
        "ListCertificatesByCA",
        "ListPolicies",
        "ListPrincipalThings",
        "ListTargetsForPolicy",
        "ListThings",
        "ListThingsInThingGroup",
    }


def test_a_fleet_in_order_is_exit_code_0(run: Run, fleet: Fleet) -> None:
    fleet.let_in("a", "b")
    result = run("fleet", "check")
    assert (result.exit_code, "2 admitted certificates checked" in result.stdout) == (0, True), result.output
    assert "Nothing was found." in result.stdout


def test_each_finding_says_why_by_which_rule_and_what_differs(run: Run, fleet: Fleet) -> None:
    mixed(fleet)
    result = run("fleet", "check", "--json")
    of = {(each["finding"], each["common_name"]): each for each in json.loads(result.stdout)["findings"]}
    recalled = of["reject", "recalled"]
    assert (recalled["rule"], recalled["status"], recalled["today"]["rule"]) == ("line-a", "ACTIVE", "recall")
    assert [each["code"] for each in recalled["today"]["reasons"]] == ["deny.rule"]
    assert [each["message"] for each in of["drift", "extra"]["drift"]] == ["IoT policy Other is beyond the grant"]
    assert (of["changed", "off"]["was"], of["changed", "off"]["status"]) == ("admitted", "INACTIVE")
    for line in (
        "In, and would be rejected today:",
        "deny.rule: rule recall (admission.yaml:5) matches: bad radio",
        "thing group line-a is missing",
        "admitted, and another hand made it INACTIVE",
        "nobody knows who registered it",
    ):
        assert line in result.stderr


def test_a_check_looks_at_the_devices_that_are_meant(run: Run, fleet: Fleet) -> None:
    mixed(fleet)
    for options, expected in (
        (("--only", "reject"), {"reject"}),
        (("--only", "gone", "--only", "changed"), {"gone", "changed"}),
        (("--rule", "line-a"), set(EXPECTED) - {"unknown"}),
        (("--ca", "factory-a"), set(EXPECTED)),
        (("--ca", FACTORY.id[:9]), set(EXPECTED)),
        (("--ca", "0123456789"), set()),
        (("--since", "30m"), {"unknown"}),
        (("--since", "2h"), set(EXPECTED)),
    ):
        assert set(check(run, *options)) == expected, options


def test_a_ca_that_nobody_knows_is_bad_input(run: Run, fleet: Fleet) -> None:
    result = run("fleet", "check", "--ca", "factory-x")
    assert (result.exit_code, "factory-a" in result.stderr) == (2, True)


def test_a_rule_that_neither_is_in_force_nor_admitted_anybody_is_bad_input(run: Run, fleet: Fleet) -> None:
    """A name that is mistyped would otherwise be a fleet in order."""
    mixed(fleet)
    result = run("fleet", "check", "--rule", "gruped")
    message = "no allow rule 'gruped' is in force, and none admitted a device: did you mean grouped?"
    assert (result.exit_code, message in result.stderr) == (2, True)


def test_without_rules_in_force_nobody_is_judged(run: Run, world: World) -> None:
    result = run("fleet", "check")
    assert (result.exit_code, "no rules are published yet" in result.stderr) == (3, True)


def test_a_check_that_never_began_leaves_no_notebook(run: Run, world: World) -> None:
    result = run("fleet", "check", "--resume", "book")
    assert (result.exit_code, "How far it came" in result.stderr, Path("book").exists()) == (3, False, False)


def test_a_window_is_compared_with_when_the_device_knocked(run: Run, fleet: Fleet) -> None:
    """A rule for one season does not put out who came in it."""
    from jitr.rules.conditions import Window

    fleet.let_in("a")
    day = fleet.world.now.date()
    season = Window(day, day)
    fleet.world.publish(in_force(allow("line-a", grant=GRANT, ca="factory-a", window=season)))
    assert check(run) == {}


def test_a_certificate_that_expired_since_would_be_rejected(run: Run, fleet: Fleet) -> None:
    device = FACTORY.usual_device("old").key("P-256", "old").valid(not_after=now() - timedelta(minutes=5)).issue()
    fleet.world.connect(device)
    fleet.world.knock(device, FACTORY)
    assert check(run, "--only", "reject") == {"reject": {"old"}}


def test_devices_of_a_ca_that_is_no_longer_active_would_be_held(run: Run, fleet: Fleet) -> None:
    fleet.let_in("a", "b")
    fleet.world.iot.update_ca_certificate(certificateId=FACTORY.id, newStatus="INACTIVE")
    result = run("fleet", "check", "--json")
    assert found(result) == {"hold": {"a", "b"}}
    codes = {each["today"]["reasons"][0]["code"] for each in json.loads(result.stdout)["findings"]}
    assert codes == {"chain.ca-inactive"}


def test_devices_of_a_ca_that_was_deleted_are_found_one_by_one_or_in_the_listing_of_all(
    run: Run, fleet: Fleet, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices = fleet.let_in("a", "b", "c")
    fleet.delete(devices["c"])
    aws.overrides["ListCACertificates"] = lambda _: {"certificates": []}
    aws.overrides["DescribeCACertificate"] = missing("DescribeCACertificate")
    expected = {"hold": {"a", "b"}, "gone": {"c"}}
    assert check(run) == expected
    monkeypatch.setattr(checking, "FEW", 1)
    aws.calls.clear()
    assert check(run) == expected
    assert ("ListCertificates" in aws.operations, "DescribeCertificate" in aws.operations) == (True, False)


def missing(operation: str) -> Callable[[Any], Any]:
    def refuse(_given: Any) -> Any:
        raise ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": "gone"}}, operation)

    return refuse


def test_certificates_of_others_that_a_listing_of_all_shows_are_no_matter_of_ours(
    run: Run, fleet: Fleet, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.let_in("a", "b")
    fleet.register(leaf("theirs", OTHER))
    aws.overrides["ListCACertificates"] = lambda _: {"certificates": []}
    monkeypatch.setattr(checking, "FEW", 1)
    assert check(run) == {}


# --- what operators did by hand


def test_what_operators_did_by_our_commands_is_not_another_hand_s(run: Run, fleet: Fleet) -> None:
    devices = fleet.let_in("a", "b", "c")
    assert run("device", "deactivate", "a", "--yes").exit_code == 0
    assert run("device", "revoke", "b", "--yes").exit_code == 0
    assert run("device", "deactivate", "c", "--yes").exit_code == 0
    assert run("device", "activate", "c").exit_code == 0
    Path("hand.pem").write_bytes(leaf("hand").pem)
    done = run("device", "register", "hand.pem", "--iot-policy", "Sensor", "--activate")
    assert done.exit_code == 0, done.output
    assert check(run) == {}
    fleet.set_status(devices["a"], "ACTIVE")
    fleet.set_status(devices["c"], "INACTIVE")
    assert check(run) == {"changed": {"c"}}


def test_what_another_hand_changed_is_found_no_more_once_an_operator_says_that_it_is_to_be_so(
    run: Run, fleet: Fleet
) -> None:
    """By `deactivate`, which writes down once who says so, or by `activate`."""
    devices = fleet.let_in("a", "b")
    for device in devices.values():
        fleet.set_status(device, "INACTIVE")
    assert check(run) == {"changed": {"a", "b"}}
    for _ in range(2):
        assert run("device", "deactivate", "a", "--yes").exit_code == 0
    assert run("device", "activate", "b").exit_code == 0
    assert check(run) == {}
    (act,) = acts_of(fleet.world.table, [devices["a"].sha256])[devices["a"].sha256]
    assert (act.status, act.status_before) == ("INACTIVE", "INACTIVE")
    fleet.set_status(devices["b"], "INACTIVE")
    assert check(run) == {"changed": {"b"}}
    assert run("device", "deactivate", "b", "--yes").exit_code == 0
    assert check(run) == {}


def test_a_certificate_that_is_gone_is_shown_by_the_id_that_forgets_it(run: Run, fleet: Fleet) -> None:
    device = fleet.let_in("a")["a"]
    fleet.delete(device)
    assert f"  {device.sha256}  a  " in run("fleet", "check").stderr
    assert run("device", "delete", device.sha256, "--yes").exit_code == 0
    assert check(run) == {}


def test_who_was_let_in_by_hand_is_told_once_the_rules_deny_it_unless_that_was_overruled(
    run: Run, fleet: Fleet
) -> None:
    fleet.let_in("a", "b")
    Path("hand.pem").write_bytes(leaf("hand").pem)
    assert run("device", "register", "hand.pem", "--iot-policy", "Sensor", "--activate").exit_code == 0
    fleet.recall("a", "b", "hand")
    assert run("device", "deactivate", "a", "--yes").exit_code == 0
    assert run("device", "activate", "a", "--overrule", "radio replaced").exit_code == 0
    assert check(run) == {"reject": {"b", "hand"}}


def test_a_predecessor_that_was_replaced_is_inactive_as_it_should_be(run: Run, fleet: Fleet) -> None:
    grant = replace(GRANT, renewal="replace")
    fleet.world.publish(in_force(allow("line-a", grant=grant, ca="factory-a")))
    fleet.let_in("a")
    heir = leaf("a", owner="another key")
    fleet.world.connect(heir)
    fleet.world.knock(heir, FACTORY)
    assert fleet.world.status(heir) == "ACTIVE"
    assert check(run) == {}


def test_a_thing_that_two_certificates_share_follows_the_later_grant(run: Run, fleet: Fleet) -> None:
    grant = replace(GRANT, renewal="coexist")
    fleet.world.publish(in_force(allow("line-a", grant=grant, ca="factory-a")))
    fleet.let_in("a")
    later = Grant(iot_policies=("Sensor",), thing="{common_name}", attributes={"line": "b"}, renewal="coexist")
    fleet.world.later(minutes=5)
    fleet.world.publish(in_force(allow("line-a", grant=later, ca="factory-a")))
    second = leaf("a", owner="another key")
    fleet.world.connect(second)
    fleet.world.knock(second, FACTORY)
    assert fleet.world.status(second) == "ACTIVE", fleet.world.codes(second)
    assert check(run) == {}


def test_a_thing_that_two_certificates_share_follows_the_earlier_grant_once_the_later_one_is_out(
    run: Run, fleet: Fleet
) -> None:
    grant = replace(GRANT, renewal="coexist")
    fleet.world.publish(in_force(allow("line-a", grant=grant, ca="factory-a")))
    fleet.let_in("a")
    fleet.world.later(minutes=5)
    second = leaf("a", owner="another key")
    fleet.world.connect(second)
    fleet.world.knock(second, FACTORY)
    fleet.world.iot.update_thing(thingName="a", attributePayload={"attributes": {"line": "z"}, "merge": True})
    assert run("device", "deactivate", second.sha256, "--yes").exit_code == 0
    assert check(run) == {"drift": {"a"}}
    assert run("fleet", "check", "--reattach", "--yes").exit_code == 0
    assert fleet.world.iot.describe_thing(thingName="a")["attributes"] == {"line": "a"}
    assert check(run) == {}


def test_a_certificate_that_was_detached_from_its_thing_is_told_where_each_device_is_asked_about(
    run: Run, fleet: Fleet
) -> None:
    devices = fleet.let_in("a", "b")
    fleet.world.iot.detach_thing_principal(thingName="a", principal=fleet.arn(devices["a"]))
    assert check(run) == {}
    assert check(run, "--attachments") == {"drift": {"a"}}
    assert "--attachments asks of each device" in run("fleet", "check").stderr


# --- while devices are being admitted


def test_a_device_that_is_being_admitted_is_left_alone(run: Run, fleet: Fleet) -> None:
    devices = fleet.let_in("a", "b")
    record = fleet.world.record(devices["a"])
    assert record is not None
    fleet.world.table.put_record(replace(record, state=APPLYING))
    fleet.recall("a", "b")
    assert json.loads(run("fleet", "check", "--json").stdout)["left_alone"] == 1
    assert check(run) == {"reject": {"b"}}
    assert run("fleet", "check", "--deactivate", "--yes").exit_code == 0
    assert [fleet.world.status(devices[each]) for each in "ab"] == ["ACTIVE", "INACTIVE"]


def test_a_device_that_is_admitted_after_the_listing_is_not_taken_for_an_unknown_or_changed_one(
    run: Run, fleet: Fleet, aws: Aws
) -> None:
    fleet.let_in("a")
    late = leaf("late")
    fleet.world.connect(late)
    listed = aws.overrides["ListCertificatesByCA"]

    def and_then_admitted(given: dict[str, Any]) -> Any:
        answer = listed(given)
        if fleet.world.status(late) != "ACTIVE":
            fleet.world.now = now()
            fleet.world.knock(late, FACTORY)
        return answer

    aws.overrides["ListCertificatesByCA"] = and_then_admitted
    assert check(run) == {}
    assert fleet.world.status(late) == "ACTIVE"


# --- deactivate


def test_what_was_shown_is_taken_out_after_asking_with_who_and_why_and_only_once(
    run: Run, fleet: Fleet, aws: Aws
) -> None:
    devices = mixed(fleet)
    refused = run("fleet", "check", "--deactivate")
    assert refused.exit_code == 2
    assert "Make 4 devices INACTIVE?" in refused.stderr
    assert fleet.world.status(devices["recalled"]) == "ACTIVE"
    done = run("fleet", "check", "--only", "reject", "--deactivate", "--yes", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["deactivated"]["certificate_ids"] == [devices["recalled"].sha256]
    (act,) = acts_of(fleet.world.table, [devices["recalled"].sha256])[devices["recalled"].sha256]
    assert (act.status, act.status_before) == ("INACTIVE", "ACTIVE")
    assert act.message == "fleet check: would be rejected today: deny.rule (rule recall)"
    assert act.by.startswith("arn:aws:sts::")
    aws.calls.clear()
    assert run("fleet", "check", "--only", "reject", "--deactivate", "--yes").exit_code == 0
    assert writes(aws) == ["GetCallerIdentity"] or writes(aws) == []
    assert run("fleet", "check", "--deactivate", "--yes").exit_code == 1  # gone, changed and drift are left
    assert {name for name, each in devices.items() if name != "gone" and fleet.world.status(each) == "ACTIVE"} == {
        "fine",
        "pending",
        "policy",
        "extra",
        "grouped",
    }


def test_who_stands_otherwise_by_then_is_left_alone(run: Run, fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """The question stands for minutes; meanwhile somebody mends the list."""
    from jitr_cli.console import output

    devices = fleet.let_in("a", "b")
    fleet.recall("a", "b")

    def mended(_question: str, _yes: bool) -> None:
        fleet.world.publish(in_force(deny("recalled", common_name="b"), allow("line-a", grant=GRANT, ca="factory-a")))

    monkeypatch.setattr(output, "confirm", mended)
    result = run("fleet", "check", "--deactivate")
    assert "1 device stood otherwise by then" in result.stderr
    assert [fleet.world.status(devices[each]) for each in "ab"] == ["ACTIVE", "INACTIVE"]


def test_a_deactivation_that_is_cut_off_carries_on_with_the_same_command(run: Run, fleet: Fleet, aws: Aws) -> None:
    devices = fleet.let_in("a", "b", "c")
    fleet.recall("a", "b", "c")
    asked: list[str] = []

    def once(given: dict[str, Any]) -> Any:
        asked.append(given["certificateId"])
        if len(asked) > 1:
            raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "slow"}}, "UpdateCertificate")
        return aws.real(fleet.world.iot, "UpdateCertificate", given)

    aws.overrides["UpdateCertificate"] = once
    assert run("fleet", "check", "--deactivate", "--yes").exit_code == 3
    del aws.overrides["UpdateCertificate"]
    left = check(run)["reject"]
    assert len(left) == 2
    assert run("fleet", "check", "--deactivate", "--yes").exit_code == 0
    acts = acts_of(fleet.world.table, [each.sha256 for each in devices.values()])
    assert {len(each) for each in acts.values()} == {1}
    assert check(run) == {}


def test_who_interrupts_a_deactivation_leaves_no_device_off_without_who_and_why(
    run: Run, fleet: Fleet, aws: Aws
) -> None:
    """At every call that changes something: what is off is written down, and the same command does the rest, once."""
    for number, (operation, moment) in enumerate(
        (each, moment) for each in ("UpdateCertificate", "UpdateItem") for moment in ("before", "after")
    ):
        devices = fleet.let_in(f"a{number}", f"b{number}")
        fleet.recall(*devices)

        def interrupt(given: dict[str, Any], operation: str = operation, moment: str = moment) -> Any:
            client = fleet.world.iot if operation == "UpdateCertificate" else fleet.world.dynamodb
            del aws.overrides[operation]
            if moment == "after":
                aws.real(client, operation, given)
            raise KeyboardInterrupt

        aws.overrides[operation] = interrupt
        assert run("fleet", "check", "--deactivate", "--yes").exit_code == 130
        acts = acts_of(fleet.world.table, [each.sha256 for each in devices.values()])
        off = {each.sha256 for each in devices.values() if fleet.world.status(each) == "INACTIVE"}
        assert {each: len(done) for each, done in acts.items()} == dict.fromkeys(off, 1), (operation, moment)
        run("fleet", "check", "--deactivate", "--yes")
        assert {fleet.world.status(each) for each in devices.values()} == {"INACTIVE"}
    assert check(run) == {}


@pytest.mark.parametrize("point", [None, "http://crl.example.com/1"], ids=["not to be had", "no partition of it"])
def test_nobody_is_taken_out_because_a_revocation_list_cannot_be_read(
    run: Run, fleet: Fleet, point: str | None
) -> None:
    """They would be held today, and it says nothing of them."""
    device = fleet.let_in("a")["a"]
    ca = Ca("factory-a", (FACTORY.id,), 3, crls=(Crl("s3://lists/factory-a.crl", point=point),))
    fleet.world.publish(in_force(allow("line-a", grant=GRANT, ca="factory-a"), ca=ca))
    assert check(run) == {"hold": {"a"}}
    result = run("fleet", "check", "--deactivate", "--yes")
    assert (result.exit_code, fleet.world.status(device)) == (1, "ACTIVE")


def test_who_was_revoked_since_is_found_by_delta_list_and_responder(
    run: Run, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are asked as the function asks them; the responder is not, where nobody wants it to be."""
    devices = {each: FACTORY.usual_device(each).serial(serial).key("P-256", each).issue()
               for serial, each in enumerate(("a", "b", "c"), 0x21)}  # fmt: skip
    for each in devices.values():
        fleet.world.connect(each)
        fleet.world.knock(each, FACTORY)
    times: dict[str, Any] = {"this_update": now() - timedelta(minutes=1), "next_update": now() + timedelta(days=1)}
    s3 = boto3.client("s3", region_name="us-east-1")
    s3.create_bucket(Bucket="lists")
    s3.put_object(Bucket="lists", Key="a", Body=crls.crl(FACTORY, **times))
    s3.put_object(Bucket="lists", Key="d", Body=crls.delta(FACTORY, [crls.entry(0x22)], since=1, number=2, **times))
    asked: list[bytes] = []

    def ask(_web: object, request: WebRequest) -> WebAnswer:
        asked.append(request.body or b"")
        status = ocsp.revoked(1) if b"\x02\x01\x23" in (request.body or b"") else ocsp.GOOD
        answer = ocsp.responder(FACTORY, status=status, produced_at=now(), this_update=now(), next_update=None)
        return WebAnswer(200, answer(request.body or b""), content_type=RESPONSE_TYPE)

    monkeypatch.setattr(Web, "ask", ask)
    listed = (Crl("s3://lists/a", delta="s3://lists/d"),)
    ca = Ca("factory-a", (FACTORY.id,), 3, listed, Ocsp("http://ocsp.example.com/"))
    fleet.world.publish(in_force(allow("line-a", grant=GRANT, ca="factory-a"), ca=ca))
    assert check(run, "--without-ocsp") == {"reject": {"b"}}
    assert asked == []
    assert check(run) == {"reject": {"b", "c"}}
    assert len(asked) == 2, "nobody asks about a device that its list names"


# --- reattach


def test_what_was_granted_is_given_again_and_nothing_is_taken_away(run: Run, fleet: Fleet) -> None:
    devices = fleet.let_in("a", "b", "c")
    iot = fleet.world.iot
    iot.detach_policy(policyName="Sensor", target=fleet.arn(devices["a"]))
    iot.attach_policy(policyName="Other", target=fleet.arn(devices["a"]))
    iot.detach_thing_principal(thingName="b", principal=fleet.arn(devices["b"]))
    iot.delete_thing(thingName="b")
    assert check(run) == {"drift": {"a", "b"}}
    asked = run("fleet", "check", "--reattach")
    assert (asked.exit_code, "Give 2 devices again what was granted?" in asked.stderr) == (2, True)
    assert run("fleet", "check", "--reattach", "--yes").exit_code == 0
    assert fleet.world.policies(devices["a"]) == {"Sensor", "Other"}
    assert iot.list_thing_principals(thingName="b")["principals"] == [fleet.arn(devices["b"])]
    assert iot.describe_thing(thingName="b")["attributes"] == {"line": "a"}
    (act,) = acts_of(fleet.world.table, [devices["a"].sha256])[devices["a"].sha256]
    assert act.message == "what was granted is given again: IoT policy Sensor is missing"
    result = run("fleet", "check", "--json")
    assert [each["message"] for each in json.loads(result.stdout)["findings"][0]["drift"]] == [
        "IoT policy Other is beyond the grant"
    ]
    assert (
        json.loads(run("fleet", "check", "--reattach", "--yes", "--json").stdout)["reattached"]["certificate_ids"] == []
    )


def test_what_is_beyond_a_grant_is_told_as_left_with_what_takes_it_off(run: Run, fleet: Fleet) -> None:
    devices = fleet.let_in("a", "b")
    fleet.world.iot.detach_policy(policyName="Sensor", target=fleet.arn(devices["a"]))
    fleet.world.iot.attach_policy(policyName="Other", target=fleet.arn(devices["b"]))
    done = run("fleet", "check", "--only", "drift", "--reattach", "--yes")
    assert (done.exit_code, "Gave 1 device again what was granted" in done.stdout) == (1, True)
    assert (
        "1 device keeps what is beyond the grant (Other): nothing is taken away. `aws iot detach-policy" in done.stderr
    )


def test_the_page_of_a_device_that_drifted_has_the_commands_that_mend_it(run: Run, fleet: Fleet) -> None:
    device = fleet.let_in("a")["a"]
    page, path = Page().enter(), f"/devices/{device.sha256}"
    mends = "fleet check --only drift --attachments --reattach --ca " + FACTORY.id
    assert mends not in page.text(path)
    fleet.world.iot.attach_policy(policyName="Other", target=fleet.arn(device))
    assert f"aws iot detach-policy --policy-name Other --target {fleet.arn(device)}" in page.text(path)
    assert mends not in page.text(path)
    fleet.world.iot.detach_policy(policyName="Sensor", target=fleet.arn(device))
    assert mends in page.text(path)
    words = ("fleet", "check", "--only", "drift", "--attachments", "--reattach", "--ca", FACTORY.id)
    assert run(*words, "--yes").exit_code == 0
    assert fleet.world.policies(device) == {"Sensor", "Other"}


@pytest.mark.parametrize("earlier", [{"by": "somebody else"}, {"at": "2026-01-01T00:00:00Z"}], ids=["by", "at"])
def test_who_gives_a_device_the_same_again_later_is_written_down_too(
    run: Run, fleet: Fleet, earlier: dict[str, str]
) -> None:
    """Only what the same operator began within a day is taken for a run that was cut off."""
    device = fleet.let_in("a")["a"]
    table, key = fleet.world.table, by_hand_key(device.sha256)
    for _ in range(2):
        fleet.world.iot.detach_policy(policyName="Sensor", target=fleet.arn(device))
        assert run("fleet", "check", "--reattach", "--yes").exit_code == 0
        (item,) = table.get([key])
        table.put(item | {"acts": [item["acts"][0] | earlier, *item["acts"][1:]]})
    first, second = acts_of(table, [device.sha256])[device.sha256]
    assert first.message == second.message
    assert (first.by, first.at) != (second.by, second.at)


def test_a_device_that_ought_not_to_be_in_is_given_nothing(run: Run, fleet: Fleet) -> None:
    device = fleet.let_in("a")["a"]
    fleet.world.iot.detach_policy(policyName="Sensor", target=fleet.arn(device))
    fleet.recall("a")
    result = run("fleet", "check", "--only", "drift", "--reattach", "--yes")
    assert (result.exit_code, fleet.world.policies(device)) == (1, set())


# --- resuming


def test_a_check_that_is_cut_off_goes_on_where_it_stopped(run: Run, fleet: Fleet, aws: Aws) -> None:
    mixed(fleet)

    def down(_given: Any) -> Any:
        raise ClientError({"Error": {"Code": "ServiceUnavailableException", "Message": "down"}}, "ListThings")

    aws.overrides["ListThings"] = down
    cut = run("fleet", "check", "--resume", "check.notebook", "--json")
    assert (cut.exit_code, cut.stdout) == (3, "")
    assert "How far it came is in check.notebook" in cut.stderr
    assert Path("check.notebook").stat().st_mode & 0o077 == 0
    del aws.overrides["ListThings"]
    aws.calls.clear()
    result = run("fleet", "check", "--resume", "check.notebook", "--json")
    assert (found(result), json.loads(result.stdout)["resumed"]) == (EXPECTED, True)
    assert "ListCertificatesByCA" not in aws.operations
    assert not Path("check.notebook").exists()


def test_a_notebook_of_before_an_edit_or_of_another_check_begins_anew(run: Run, fleet: Fleet, aws: Aws) -> None:
    fleet.let_in("a", "b")
    aws.overrides["ListThings"] = missing("ListThings")
    assert run("fleet", "check", "--resume", "check.notebook").exit_code == 3
    del aws.overrides["ListThings"]
    fleet.recall("a")
    again = run("fleet", "check", "--resume", "check.notebook", "--json")
    assert "before rules or lists were edited: it begins anew" in again.stderr
    assert (found(again), json.loads(again.stdout)["resumed"]) == ({"reject": {"a"}}, False)


def test_a_file_that_is_no_notebook_is_left_as_it_is(run: Run, fleet: Fleet) -> None:
    Path("admission.yaml").write_text("format: 1\n")
    nowhere = run("fleet", "check", "--resume", "nowhere/notebook").stderr
    assert "nowhere/notebook: no notebook of a check can be kept there: No such file or directory\n" in nowhere
    result = run("fleet", "check", "--resume", "admission.yaml")
    assert (result.exit_code, "admission.yaml: no notebook of a check" in result.stderr) == (2, True)
    assert Path("admission.yaml").read_text() == "format: 1\n"


def test_two_checks_never_share_a_notebook(run: Run, fleet: Fleet) -> None:
    """Each would count what the other has counted already."""
    fleet.let_in("a")
    first = Notebook(Path("check.notebook"))
    first.begin({"where": "elsewhere"})
    second = run("fleet", "check", "--resume", "check.notebook")
    assert (second.exit_code, "another check is under way with it" in second.stderr) == (2, True)
    assert first.about() == {"where": "elsewhere"}
    first.close(finished=True)
    assert run("fleet", "check", "--resume", "check.notebook").exit_code == 0


def test_a_damaged_notebook_is_told_of_and_kept(run: Run, fleet: Fleet) -> None:
    fleet.let_in("a")
    book = Notebook(Path("check.notebook"))
    book.begin({"where": "elsewhere"})
    book.close(finished=False)
    whole = Path("check.notebook").read_bytes()
    damaged = whole[:4096] + b"\x5a" * (len(whole) - 4096)  # the first page says what it is
    Path("check.notebook").write_bytes(damaged)
    result = run("fleet", "check", "--resume", "check.notebook")
    assert (result.exit_code, Path("check.notebook").read_bytes()) == (2, damaged)
    assert result.stderr.endswith("check.notebook: this notebook is damaged: delete it, and the check begins anew\n")


def test_a_mark_that_aws_iot_no_longer_knows_begins_that_listing_anew(run: Run, fleet: Fleet, aws: Aws) -> None:
    fleet.let_in("a", "b", "c", "d")
    listed = aws.overrides["ListCertificatesByCA"]

    def forgets(given: dict[str, Any]) -> Any:
        if "marker" in given and not asked:
            asked.append(given)
            raise ClientError({"Error": {"Code": "InvalidRequestException", "Message": "mark"}}, "ListCertificatesByCA")
        return listed(given)

    asked: list[Any] = []
    aws.overrides["ListCertificatesByCA"] = forgets
    assert check(run) == {}
    assert len(asked) == 1


# --- the pace


def test_a_check_takes_half_of_what_the_stack_allows_registration() -> None:
    """What a stack's parameters do not say is as in an account that never asked for more."""
    quotas = quotas_in({"CertificateQuota": "100", "QuotaShare": "50", "PolicyQuota": "none"})
    assert quotas.rate("ListCertificatesByCA") == quotas.rate("UpdateCertificate") == 25
    assert quotas.rate("AttachPolicy") == 15 * 0.5 / 2
    assert quotas_in({}).rate("DescribeCertificate") == Quotas().rate("DescribeCertificate") / 2
