"""What `jitr status` sees that nobody would look for: other topic rules, CAs that no rule names, denied devices."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from testkit.cli.command_line import REGION, Run
from testkit.cli.operating import RULES, hold
from testkit.cli.stack import TOPIC_RULE
from testkit.knocks import CA_ID, NOW, allow, decided, knock
from testkit.knocks import rules as made_rules

from jitr.aws.dynamodb.table import Table
from jitr.reasons import Verdict
from jitr.records.event import RegistrationEvent
from jitr.records.knock import facts_json
from jitr.records.record import APPLIED
from jitr.records.transitions import recorded
from jitr.rules.model import Grant
from jitr_operations.deployment import Choice
from jitr_operations.devices import denied
from jitr_operations.devices.by_hand import Hand
from jitr_operations.rules.topic_rules import takes_events

OTHER_CA = "0b" * 32


def status(run: Run) -> dict[str, Any]:
    result = run("status", "--json")
    assert result.exit_code == 0, result.stderr
    document: dict[str, Any] = json.loads(result.stdout)
    return document


# --- other topic rules


def topic_rule(name: str, *, sql: str, actions: list[dict[str, Any]], disabled: bool = False) -> None:
    payload: Any = {"sql": sql, "actions": actions, "ruleDisabled": disabled}
    boto3.client("iot", region_name=REGION).create_topic_rule(ruleName=name, topicRulePayload=payload)


def sqs(url: str) -> list[dict[str, Any]]:
    return [{"sqs": {"roleArn": "arn:aws:iam::123456789012:role/r", "queueUrl": url}}]


REGISTERED = "SELECT * FROM '$aws/events/certificates/registered/#'"
ELSEWHERE = "https://sqs.eu-central-1.amazonaws.com/123456789012/lax-RegistrationQueue"


def test_a_second_stack_s_topic_rule_on_registration_events_is_seen_and_what_it_means(ready: Table, run: Run) -> None:
    """Of two stacks in one account the laxer one admits: each says so, and so does publishing."""
    topic_rule("archive", sql=REGISTERED, actions=[{"s3": {"roleArn": "a", "bucketName": "b", "key": "c"}}])
    topic_rule("asleep", sql=REGISTERED, actions=sqs(ELSEWHERE), disabled=True)
    topic_rule("telemetry", sql="SELECT * FROM 'devices/+/hello'", actions=sqs(ELSEWHERE))
    assert status(run)["other_topic_rules"] == []
    topic_rule("lax", sql=REGISTERED, actions=sqs(ELSEWHERE))
    (found,) = status(run)["other_topic_rules"]
    assert (found["topic_rule"], found["leads_to"]) == ("lax", ["sqs lax-RegistrationQueue"])
    (told,) = [each for each in status(run)["attention"] if "topic rule lax" in each]
    assert "may make devices ACTIVE that these rules hold or deny" in told
    assert "`aws iot disable-topic-rule --rule-name lax`" in told
    Path("admission.yaml").write_text(RULES + "default: reject\n")
    published = run("rules", "publish", "admission.yaml", "--yes")
    assert (published.exit_code, "warning: topic rule lax takes registration events" in published.stderr) == (0, True)
    rolled_back = run("rules", "rollback", "--yes")
    assert (rolled_back.exit_code, "topic rule lax" in rolled_back.stderr) == (0, True)


OF_ANOTHER_STACK = {
    "Resources": {"RegistrationQueue": {"Type": "AWS::SQS::Queue"}},
    "Outputs": {"RegistrationQueueUrl": {"Value": {"Ref": "RegistrationQueue"}}},
}


def test_a_second_stack_is_named_with_what_to_do_about_it(ready: Table, run: Run, aws: Any) -> None:
    """A topic rule that feeds the RegistrationQueue of another stack is that stack's: either of the two has to go.

    Who may not look at other stacks is told of the topic rule alone.
    """
    cloudformation = boto3.client("cloudformation", region_name=REGION)
    cloudformation.create_stack(StackName="jitr-dev", TemplateBody=json.dumps(OF_ANOTHER_STACK))
    (stack,) = cloudformation.describe_stacks(StackName="jitr-dev")["Stacks"]
    topic_rule("Dev_RegistrationTopicRule", sql=REGISTERED, actions=sqs(stack["Outputs"][0]["OutputValue"]))
    (found,) = status(run)["other_topic_rules"]
    assert found["stack"] == "jitr-dev"
    assert "each of the two stacks decides every device, and the laxer one admits it" in found["meaning"]
    assert "`sam delete --stack-name jitr-dev`" in found["meaning"]
    assert "`aws iot disable-topic-rule --rule-name Dev_RegistrationTopicRule`" in found["meaning"]

    def refuse_all_but_ours(parameters: Any) -> Any:
        if not parameters.get("StackName"):
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "DescribeStacks")
        return aws.real(cloudformation, "DescribeStacks", parameters)

    aws.overrides["DescribeStacks"] = refuse_all_but_ours
    (found,) = status(run)["other_topic_rules"]
    assert (found["stack"], found["topic_rule"]) == (None, "Dev_RegistrationTopicRule")


def test_a_stack_that_gets_no_events_is_told_of_that_and_of_what_to_do(ready: Table, run: Run) -> None:
    """A topic rule that is disabled or gone raises no alarm: it looks like a day without new devices."""
    iot = boto3.client("iot", region_name=REGION)
    assert status(run)["topic_rule"] == {"topic_rule": TOPIC_RULE, "enabled": True, "meaning": None}
    iot.disable_topic_rule(ruleName=TOPIC_RULE)
    found = status(run)
    assert found["topic_rule"]["enabled"] is False
    assert f"`aws iot enable-topic-rule --rule-name {TOPIC_RULE}`" in found["attention"][0]
    refused = run("verify", "--endpoint", "127.0.0.1:1", "--yes")
    assert (refused.exit_code, f"topic rule {TOPIC_RULE} of this stack is disabled" in refused.stderr) == (2, True)
    iot.delete_topic_rule(ruleName=TOPIC_RULE)
    found = status(run)
    assert found["topic_rule"]["topic_rule"] is None
    assert "no topic rule gives registration events to this stack" in found["attention"][0]


def test_a_topic_rule_that_cannot_be_looked_into_may_be_the_stack_s_own(ready: Table, run: Run, aws: Any) -> None:
    def refuse(_: Any) -> Any:
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "GetTopicRule")

    aws.overrides["GetTopicRule"] = refuse
    assert status(run)["topic_rule"]["meaning"] is None


def test_who_may_not_look_at_topic_rules_is_told_and_gets_the_rest(ready: Table, run: Run, aws: Any) -> None:
    def refuse(_: Any) -> Any:
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "ListTopicRules")

    aws.overrides["ListTopicRules"] = refuse
    result = run("status", "--json")
    assert (result.exit_code, json.loads(result.stdout)["other_topic_rules"]) == (0, None)
    assert "Whether other topic rules take registration events is not known" in result.stderr


@pytest.mark.parametrize(
    ("pattern", "takes"),
    [
        ("$aws/events/certificates/registered/#", True),
        ("$aws/events/certificates/registered/+", True),
        (f"$aws/events/certificates/registered/{CA_ID}", True),
        ("$aws/events/certificates/registered/+/#", True),
        ("$aws/events/#", True),
        ("$aws/+/certificates/+/+", True),
        ("$aws/#", True),
        ("#", False),
        ("+/events/certificates/registered/+", False),
        ("$aws/events/certificates/registered", False),
        ("$aws/events/certificates/registered/+/+", False),
        ("$aws/events/presence/connected/+", False),
        ("devices/+/hello", False),
        ("", False),
    ],
)
def test_which_topic_filters_take_registration_events(pattern: str, takes: bool) -> None:
    """MQTT 3.1.1 sections 4.7.1 and 4.7.2."""
    assert takes_events(pattern) is takes


# --- CAs and rules


def test_cas_that_rules_name_in_vain_and_cas_that_no_rule_names_are_told(ready: Table, run: Run, aws: Any) -> None:
    told = status(run)
    assert told["unregistered_cas"] == [{"alias": "factory-a", "ca_certificate_id": CA_ID}]
    assert (
        "not registered here, though the rules name them: CA factory-a (cacacacacaca); `jitr ca register`"
        in (told["attention"])
    )
    ids = [CA_ID, OTHER_CA]
    aws.overrides["ListCACertificates"] = lambda _: {"certificates": [{"certificateId": each} for each in ids]}
    aws.overrides["DescribeCACertificate"] = lambda given: {
        "certificateDescription": {
            "certificateId": given["certificateId"],
            "certificateArn": "arn",
            "certificatePem": "",
            "status": "ACTIVE",
            "autoRegistrationStatus": "ENABLE",
        }
    }
    told = status(run)
    assert told["unregistered_cas"] == []
    assert {each["ca_certificate_id"]: each["named"] for each in told["cas"]} == {CA_ID: True, OTHER_CA: False}
    told_of_it = "registered, and named by no allow rule, so that no device of it gets in: CA 0b0b0b0b0b0b"
    assert f"{told_of_it}; `jitr rules publish`" in told["attention"]


# --- denied, and in


def admit(table: Table, number: int, name: str = "") -> str:
    """An admitted device's record, and its certificate in AWS IoT, ACTIVE; its certificateId."""
    at = NOW + timedelta(minutes=number)
    device = knock(
        subject=(("common_name", name or f"adm-{number}"),),
        certificate_sha256=f"{number:064x}",
        public_key_sha256=f"{number + 1:064x}",
    )
    grant = Grant(iot_policies=("Sensor",), thing="{common_name}")
    decision = decided(device, made_rules(allow("all", grant=grant, ca="factory-a")), now=at)
    assert decision.verdict is Verdict.ADMIT
    event, facts, heads = RegistrationEvent(f"{number:064x}", CA_ID, at), facts_json(device), table.heads()
    table.put_record(recorded(decision, event=event, heads=heads, facts=facts, state=APPLIED, now=at, previous=None))
    return f"{number:064x}"


@pytest.fixture
def statuses(aws: Any) -> dict[str, str]:
    """What AWS IoT holds each certificate as; ACTIVE without."""
    found: dict[str, str] = {}

    def describe(given: dict[str, Any]) -> Any:
        certificate_id = given["certificateId"]
        return {
            "certificateDescription": {
                "certificateId": certificate_id,
                "certificateArn": f"arn:aws:iot:{REGION}:123456789012:cert/{certificate_id}",
                "certificatePem": "",
                "status": found.get(certificate_id, "ACTIVE"),
            }
        }

    aws.overrides["DescribeCertificate"] = describe
    return found


DENYING = f"""\
format: 1
cas:
  factory-a: {{ids: ["{CA_ID}"]}}
deny:
  - {{name: recalled, list: recall-17}}
allow:
  - name: all
    ca: factory-a
    grant: {{thing: "{{common_name}}", iot_policies: [Sensor]}}
"""


def test_devices_that_are_denied_and_active_are_counted(ready: Table, run: Run, statuses: dict[str, str]) -> None:
    """Of the newest admitted ones, and none that was cut off by us or another hand, or overruled with a reason."""
    ids = [admit(ready, number) for number in range(6)]
    for number in range(5):
        assert run("lists", "add", "recall-17", f"common_name=adm-{number}").exit_code == 0
    Path("denying.yaml").write_text(DENYING)
    assert run("rules", "publish", "denying.yaml", "--yes").exit_code == 0
    hand = Hand(Choice(region=REGION).deployment(), ready)
    hand.did(ids[0], "INACTIVE", "ACTIVE")
    hand.did(ids[1], "ACTIVE", "INACTIVE", "radio replaced", ["deny.rule"])
    statuses[ids[2]] = "INACTIVE"  # in the console
    told = status(run)
    assert told["denied"] == {
        "looked_at": 6,
        "active": 2,
        "unknown": 0,
        "overruled": 1,
        "certificate_ids": [ids[4], ids[3]],
    }
    (line,) = [each for each in told["attention"] if "denied by the rules in force" in each]
    assert line.startswith("2 devices are ACTIVE and denied by the rules in force, of the newest 6 that were admitted")


def test_counting_denied_devices_is_bounded(
    ready: Table, run: Run, statuses: dict[str, str], aws: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jitr_operations.status.newest.MOST", 5)
    monkeypatch.setattr(denied, "ASKED", 2)
    for number in range(8):
        admit(ready, number, "same")
    assert run("lists", "add", "recall-17", "common_name=same").exit_code == 0
    Path("denying.yaml").write_text(DENYING)
    assert run("rules", "publish", "denying.yaml", "--yes", "--no-replay").exit_code == 0
    aws.calls.clear()
    told = status(run)
    assert (told["denied"]["looked_at"], told["denied"]["active"], told["denied"]["unknown"]) == (5, 2, 3)
    assert aws.operations.count("DescribeCertificate") == 2
    assert any(each.startswith("at least 2 devices are ACTIVE and denied") for each in told["attention"])


def test_without_rules_nobody_is_denied(table: Table, run: Run) -> None:
    assert status(run)["denied"] is None


# --- reasons


def test_reasons_of_rules_no_longer_in_force_say_which_version_they_are_of(ready: Table, run: Run) -> None:
    """A device that an edit does not let in keeps its record, and the reasons in it."""

    def said(command: str) -> str:
        return run(*command.split()).stdout

    hold(ready, 1)
    (fresh,) = json.loads(said("held ls --json"))
    assert fresh["reasons_are"] is None
    assert run("lists", "add", "other", "common_name=x").exit_code == 0
    (fresh,) = json.loads(said("held ls --json"))
    assert fresh["reasons_are"] is None
    Path("admission.yaml").write_text(RULES.replace("list: line-a\n", 'common_name: "x-*"\n').split("tests:")[0])
    assert run("rules", "publish", "admission.yaml", "--yes").exit_code == 0
    (old,) = json.loads(said("held ls --json"))
    assert old["reasons_are"] == "of version 1 of the rules, no longer in force"
    assert "(of version 1 of the rules, no longer in force)" in said("held ls")
    shown = said(f"decisions show {1:064x}")
    assert "of version 1 of the rules, no longer in force; `jitr explain` has today's" in shown
    assert "of version 1 of the rules, no longer in force" in said(f"device show {1:064x}")


# --- events that keep coming back


def test_events_that_keep_coming_back_are_told_with_why_and_since_when(ready: Table, run: Run) -> None:
    """SQS leaves a message that was received three times out of the age of its oldest: our own metric has it."""
    at = datetime.now(UTC)
    put = boto3.client("cloudwatch", region_name=REGION).put_metric_data

    def came_back(reason: str, age: float, minutes_ago: float, service: str = "jitr") -> None:
        dimensions = [{"Name": "service", "Value": service}, {"Name": "reason", "Value": reason}]
        point: Any = {"MetricName": "RetryAge", "Dimensions": dimensions, "Value": age, "Unit": "Seconds"}
        put(Namespace="jitr", MetricData=[point | {"Timestamp": at - timedelta(minutes=minutes_ago)}])

    came_back("unreachable", 6900, 7)
    came_back("unreachable", 7200, 3)
    came_back("conflict", 2, 2)
    came_back("denied", 90_000, 40)  # long done with
    came_back("denied", 90_000, 2, service="another")
    told = status(run)
    assert told["coming_back"] == [
        {"reason": "unreachable", "oldest_seconds": 7200},
        {"reason": "conflict", "oldest_seconds": 2},
    ]
    assert [each for each in told["attention"] if "comes back" in each or "coming back" in each] == [
        "a registration event keeps coming back (unreachable), for 120 minutes: its device is kept out"
    ]
    assert "put back of late (unreachable): the oldest is 2 h old" in run("status").stdout
