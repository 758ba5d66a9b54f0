"""template.yaml: least privilege, nothing lost, nothing that binds it to one partition, account or stack name."""

import json
import re
from collections.abc import Iterator
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from testkit.template import PARAMETERS, RESOURCES, TEMPLATE, of_type
from testkit.transformed import deployed

from jitr.aws import environment
from jitr.aws.quotas import OCSP, QUOTA_OF, Quotas
from jitr.records.upload import UploadedObject

ROOT = Path(__file__).parents[2]

LOGICAL_IDS = {
    "BugsAlarm": "AWS::CloudWatch::Alarm",
    "Cleanup": "Custom::Cleanup",
    "CleanupFunction": "AWS::Serverless::Function",
    "CleanupLogGroup": "AWS::Logs::LogGroup",
    "Dashboard": "AWS::CloudWatch::Dashboard",
    "ConfigurationBucket": "AWS::S3::Bucket",
    "CrlFailuresAlarm": "AWS::CloudWatch::Alarm",
    "OcspFailuresAlarm": "AWS::CloudWatch::Alarm",
    "DeniedAlarm": "AWS::CloudWatch::Alarm",
    "DropsRefusedAlarm": "AWS::CloudWatch::Alarm",
    "FunctionErrorsAlarm": "AWS::CloudWatch::Alarm",
    "FunctionThrottlesAlarm": "AWS::CloudWatch::Alarm",
    "JitrLayer": "AWS::Serverless::LayerVersion",
    "NewerFormatAlarm": "AWS::CloudWatch::Alarm",
    "PublishFunction": "AWS::Serverless::Function",
    "PublishLogGroup": "AWS::Logs::LogGroup",
    "RefusalsTopic": "AWS::SNS::Topic",
    "RegisterFunction": "AWS::Serverless::Function",
    "RegisterLogGroup": "AWS::Logs::LogGroup",
    "RegistrationAgeAlarm": "AWS::CloudWatch::Alarm",
    "RegistrationRetryAgeAlarm": "AWS::CloudWatch::Alarm",
    "RegistrationFailures": "AWS::SQS::Queue",
    "RegistrationFailuresAgeAlarm": "AWS::CloudWatch::Alarm",
    "RegistrationFailuresAlarm": "AWS::CloudWatch::Alarm",
    "RegistrationQueue": "AWS::SQS::Queue",
    "RegistrationTopicRule": "AWS::IoT::TopicRule",
    "RuleFailures": "AWS::SQS::Queue",
    "RuleFailuresAgeAlarm": "AWS::CloudWatch::Alarm",
    "RuleFailuresAlarm": "AWS::CloudWatch::Alarm",
    "PublishErrorsAlarm": "AWS::CloudWatch::Alarm",
    "PublishThrottlesAlarm": "AWS::CloudWatch::Alarm",
    "RecheckScheduleAlarm": "AWS::CloudWatch::Alarm",
    "RuleActionFailuresAlarm": "AWS::CloudWatch::Alarm",
    "RuleErrorActionFailuresAlarm": "AWS::CloudWatch::Alarm",
    "RuleThrottledAlarm": "AWS::CloudWatch::Alarm",
    "RulesUnavailableAlarm": "AWS::CloudWatch::Alarm",
    "SensorPolicy": "AWS::IoT::Policy",
    "Table": "AWS::DynamoDB::Table",
    "ThrottledAlarm": "AWS::CloudWatch::Alarm",
}
OUTPUTS = {
    "FleetFunctionName",
    "PublishFunctionName",
    "RefusalsTopicArn",
    "ConfigurationBucketName",
    "CrlFailuresAlarmName",
    "OcspFailuresAlarmName",
    "DevicePolicyName",
    "RegisterFunctionName",
    "RegistrationFailuresUrl",
    "RegistrationQueueUrl",
    "RuleFailuresUrl",
    "TableName",
}

# Each statement that names every resource, and why it may.
EVERY_RESOURCE = {
    (
        "CleanupRole",
        "OnlyOnTheLocalStack",
    ): "it is in no AWS account: MiniStack authorises on other ARNs",
    (
        "RegisterRole",
        "OnlyOnTheLocalStack",
    ): "it is in no AWS account: MiniStack authorises on other ARNs",
    ("PublishRole", "OnlyOnTheLocalStack"): "the same",
    ("RecheckRole", "FindTheStream"): "the action knows no resource, and Lambda asks for it",
    ("PublishRole", "SeeWhatRulesMayName"): "AWS authorises these lists on no resource",
    ("RegisterRole", "SendTraces"): "AWS authorises traces on no resource",
    ("RecheckRole", "SendTraces"): "the same",
    ("NotifyRole", "FindTheStream"): "the action knows no resource, and Lambda asks for it",
    ("NotifyRole", "SendTraces"): "the same",
    ("FleetRole", "ListTheFleet"): "AWS authorises these lists on no resource",
    ("FleetRole", "OnlyOnTheLocalStack"): "it is in no AWS account: MiniStack authorises on other ARNs",
    ("FleetRole", "SendTraces"): "the same",
    ("PublishRole", "SendTraces"): "the same",
    ("CleanupRole", "SendTraces"): "the same",
}
# In no account of AWS: test_transformed.py holds that.
NOT_ON_THE_LOCAL_STACK = {
    "Fn::If": ["OnTheLocalStack", {"aws:PrincipalAccount": {"Ref": "AWS::AccountId"}}, {"Ref": "AWS::NoValue"}]
}

# The longest values that AWS has or may have, for sizes.
SAMPLE = {"AWS::Partition": "aws-us-gov", "AWS::Region": "ap-southeast-99", "AWS::AccountId": "1" * 12}


def strings(node: Any) -> Iterator[str]:
    """Every string value, keys of mappings left out."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for each in node.values():
            yield from strings(each)
    elif isinstance(node, list):
        for each in node:
            yield from strings(each)


def references(node: Any) -> set[str]:
    """The logical ids and parameters that a part of the template refers to."""
    found: set[str] = set()
    if isinstance(node, dict):
        for key, each in node.items():
            if key == "Ref":
                found.add(each)
            elif key == "Fn::GetAtt":
                found.add(each.split(".")[0])
            elif key == "Fn::Sub":
                found |= set(re.findall(r"\$\{([\w:]+)", each))
            else:
                found |= references(each)
    elif isinstance(node, list):
        for each in node:
            found |= references(each)
    return found


def aslist(node: Any) -> list[Any]:
    return node if isinstance(node, list) else [node]


def substituted(node: Any) -> Any:
    """A part of the template with each Fn::Sub of pseudo parameters carried out."""
    if isinstance(node, dict):
        if "Fn::Sub" in node:
            text = re.sub(r"\$\{(AWS::\w+)\}", lambda found: SAMPLE[found[1]], node["Fn::Sub"])
            return text.replace("${!", "${")
        return {key: substituted(each) for key, each in node.items()}
    if isinstance(node, list):
        return [substituted(each) for each in node]
    return node


def role_statements() -> list[tuple[str, dict[str, Any]]]:
    """Each statement of each role's own policies, with the role, and of policies that stand apart from theirs."""
    within = [(name, policy) for name, role in of_type("AWS::IAM::Role").items() for policy in role.get("Policies", ())]
    return [
        (name, statement)
        for name, policy in (*within, *of_type("AWS::IAM::Policy").items())
        for each in policy["PolicyDocument"]["Statement"]
        for statement in ([each["Fn::If"][1]] if "Fn::If" in each else [each])
    ]


ROLE_STATEMENTS = [
    pytest.param(role, statement, id=f"{role}-{statement.get('Sid', at)}")
    for at, (role, statement) in enumerate(role_statements())
]


# --- The shape that other parts of the project rely on


@pytest.mark.parametrize(("logical_id", "kind"), LOGICAL_IDS.items())
def test_resource_keeps_its_logical_id(logical_id: str, kind: str) -> None:
    assert RESOURCES[logical_id]["Type"] == kind


def test_outputs_are_there_for_the_command_line() -> None:
    assert TEMPLATE["Outputs"].keys() >= OUTPUTS


def test_every_reference_leads_somewhere() -> None:
    known = {"AWS::Partition", "AWS::Region", "AWS::AccountId", "AWS::StackName", "AWS::StackId", "AWS::NoValue"}
    assert references(TEMPLATE) <= RESOURCES.keys() | PARAMETERS.keys() | known


# --- Parameters


def test_every_parameter_is_described_labelled_and_in_one_group_in_the_order_of_questions() -> None:
    """`sam deploy --guided` asks in the order of Parameters, by names alone; the console shows groups and labels."""
    interface = TEMPLATE["Metadata"]["AWS::CloudFormation::Interface"]
    grouped = [name for group in interface["ParameterGroups"] for name in group["Parameters"]]
    assert grouped == list(PARAMETERS) == list(interface["ParameterLabels"])
    assert all(len(each["Description"]) > 20 for each in PARAMETERS.values())


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_says_what_is_allowed_and_defaults_to_it(name: str) -> None:
    parameter = PARAMETERS[name]
    default = parameter["Default"]
    if "AllowedValues" in parameter:
        assert default in parameter["AllowedValues"]
    elif parameter["Type"] == "Number":
        assert parameter["MinValue"] <= default <= parameter["MaxValue"]
    else:
        assert re.fullmatch(parameter["AllowedPattern"], default)
        assert parameter["ConstraintDescription"]


@pytest.mark.parametrize(
    ("arn", "taken"),
    [
        ("arn:aws:sns:eu-central-1:123456789012:alarms", True),
        ("arn:aws-cn:sns:cn-north-1:123456789012:alarms", True),
        ("arn:aws-us-gov:sns:us-gov-west-1:123456789012:alarms", True),
        ("alarms", False),
        ("arn:aws:sqs:eu-central-1:123456789012:alarms", False),
        ("arn:aws:sns:eu-central-1:123456789012:alarms.fifo", False),
    ],
)
def test_alarm_topic_is_a_standard_topic_of_any_partition(arn: str, taken: bool) -> None:
    assert bool(re.fullmatch(PARAMETERS["AlarmTopicArn"]["AllowedPattern"], arn)) is taken


# --- Any partition, any account, any number of stacks


def test_arns_are_right_in_every_partition() -> None:
    parameters = set(strings(PARAMETERS))
    arns = [text for text in strings(TEMPLATE) if "arn:" in text and text not in parameters]
    assert arns
    assert [text for text in arns if not text.startswith("arn:${AWS::Partition}:")] == []


def test_no_account_region_or_url_is_written_out() -> None:
    for text in strings(RESOURCES):
        assert not re.search(r"\d{12}", text.replace("000000000000", "")), text
        assert not re.search(r"\b[a-z]{2}-[a-z]+-\d\b", text), text
        assert "://" not in text


# --- Least privilege


@pytest.mark.parametrize(("role", "statement"), ROLE_STATEMENTS)
def test_role_allows_single_actions(role: str, statement: dict[str, Any]) -> None:
    assert statement["Effect"] == "Allow"
    assert [action for action in aslist(statement["Action"]) if "*" in action] == []


@pytest.mark.parametrize(("role", "statement"), ROLE_STATEMENTS)
def test_every_resource_is_named_only_with_a_reason(role: str, statement: dict[str, Any]) -> None:
    if "*" in aslist(statement["Resource"]):
        assert EVERY_RESOURCE[role, statement["Sid"]]
        reference = _authorization_reference()
        actions = [each.partition(":") for each in aslist(statement["Action"])]
        if any(reference[service]["Actions"][name.lower()].get("Resources") for service, _, name in actions):
            assert statement["Sid"] == "OnlyOnTheLocalStack"


def test_no_reason_is_given_for_a_statement_that_is_gone() -> None:
    assert EVERY_RESOURCE.keys() <= {(role, statement.get("Sid")) for role, statement in role_statements()}


# AWS's references disagree on whether these are authorised on the certificate or the thing: a role has both.
ALSO_ON = {"AttachThingPrincipal": {"thing"}, "DetachThingPrincipal": {"thing"}}


@pytest.mark.parametrize("action", sorted(ALSO_ON))
def test_where_references_disagree_both_resource_types_are_allowed(action: str) -> None:
    allowed = [each for _, each in role_statements() if f"iot:{action}" in aslist(each["Action"])]
    given = [resource for each in allowed for resource in aslist(each["Resource"]) if resource != "*"]
    assert {kind for each in given for kind in _types_of(each, "iot")} == {"cert", "thing"}


@pytest.mark.parametrize(
    ("role", "statement"), [each for each in ROLE_STATEMENTS if "OnlyOnTheLocalStack" not in str(each.id)]
)
def test_actions_are_authorised_on_the_resources_they_are_given(role: str, statement: dict[str, Any]) -> None:
    """Every resource type of a statement suits every action in it, by AWS's service authorization reference.

    https://docs.aws.amazon.com/service-authorization/latest/reference/, as cfn-lint carries it.
    """
    reference = _authorization_reference()
    for action in aslist(statement["Action"]):
        service, _, name = action.partition(":")
        types = set(reference[service]["Actions"][name.lower()].get("Resources") or ["*"]) | ALSO_ON.get(name, set())
        for resource in aslist(statement["Resource"]):
            assert types & _types_of(resource, service), f"{action} is not authorised on {resource}"


@cache
def _authorization_reference() -> dict[str, Any]:
    text = (resources.files("cfnlint.data.AdditionalSpecs") / "Policies.json").read_text()
    reference: dict[str, Any] = json.loads(text)
    return reference


def _types_of(resource: dict[str, str] | str, service: str) -> set[str]:
    if isinstance(resource, str):
        return {resource}
    for part, kind in (
        ("${ConfigurationBucket.Arn}/", "object"),
        ("/index/", "index"),
        (".Arn}:live", "function alias"),
    ):
        if part in resource.get("Fn::Sub", ""):
            return {kind}
    if resource.get("Fn::GetAtt", "").endswith(".StreamArn"):
        return {"stream"}
    if resource == {"Ref": "AWS::StackId"}:
        return {"stack"}
    if "Fn::Sub" in resource:
        in_bucket = re.fullmatch(r"\$\{(\w+)\.Arn\}/.+", resource["Fn::Sub"])
        if in_bucket:
            return {"object"} if RESOURCES[in_bucket[1]]["Type"] == "AWS::S3::Bucket" else set()
        return {re.split("[:/]", resource["Fn::Sub"].split("}:")[-1])[0]}
    by_pattern = {
        "CrlObjectArns": "object",
        "KmsKeyArn": "key",
        "NotificationsTopicArn": "topic",
    }  # their patterns take nothing else
    if resource.get("Ref") in by_pattern:
        return {by_pattern[resource["Ref"]]}
    target = RESOURCES[resource.get("Ref") or resource["Fn::GetAtt"].split(".")[0]]["Type"]
    return {
        "AWS::S3::Bucket": {"bucket"},
        "AWS::SNS::Topic": {"topic"},
        "AWS::Serverless::Function": {"function"},
        "AWS::DynamoDB::Table": {"table"},
        "AWS::IoT::Policy": {"policy"},
        "AWS::Logs::LogGroup": {"log-group", "log-stream"},  # its Arn ends in :*
        "AWS::SQS::Queue": {"queue"},
    }[target]


def test_no_role_carries_a_managed_policy() -> None:
    assert [name for name, role in of_type("AWS::IAM::Role").items() if "ManagedPolicyArns" in role] == []
    for function in of_type("AWS::Serverless::Function").values():
        assert "Policies" not in function
        assert RESOURCES[function["Role"]["Fn::GetAtt"].split(".")[0]]["Type"] == "AWS::IAM::Role"


def test_each_function_has_a_role_of_its_own() -> None:
    roles = [function["Role"]["Fn::GetAtt"] for function in of_type("AWS::Serverless::Function").values()]
    assert len(roles) == len(set(roles))


# Services that are let in without a condition, and why they may be.
NO_CONDITION = {
    "lambda.amazonaws.com": "it takes roles of the function's own account only: iam:PassRole does not reach across "
    "accounts; AWS documents no aws:SourceArn there, and one that is not sent would lock the function out",
}


@pytest.mark.parametrize("name", of_type("AWS::IAM::Role"))
def test_each_service_is_let_in_for_this_account_only(name: str) -> None:
    """No service is a confused deputy: it takes a role only for what is of this account, in this Region.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/confused-deputy.html
    """
    (trust,) = RESOURCES[name]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert (trust["Effect"], trust["Action"]) == ("Allow", "sts:AssumeRole")
    (service,) = trust["Principal"].values()
    if service in NO_CONDITION:
        assert "Condition" not in trust
        return
    assert trust["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    arns = {
        key: value
        for operator in ("ArnLike", "ArnEquals")
        for key, value in trust["Condition"].get(operator, {}).items()
    }
    source = substituted(arns)["aws:SourceArn"]
    assert (
        source
        in {
            # https://docs.aws.amazon.com/iot/latest/developerguide/cross-service-confused-deputy-prevention.html
            "iot.amazonaws.com": "arn:aws-us-gov:iot:ap-southeast-99:111111111111:rule/*",
            # https://docs.aws.amazon.com/scheduler/latest/UserGuide/cross-service-confused-deputy-prevention.html
            "scheduler.amazonaws.com": "arn:aws-us-gov:scheduler:ap-southeast-99:111111111111:schedule-group/default",
            # https://docs.aws.amazon.com/codedeploy/latest/userguide/security_confused_deputy_prevention.html
            "codedeploy.amazonaws.com": "arn:aws-us-gov:codedeploy:ap-southeast-99:111111111111:deploymentgroup:*",
        }[service]
    )


def test_the_schedule_is_in_the_group_that_its_role_trusts() -> None:
    """SAM puts it into `default` unless told otherwise."""
    schedules = [
        event["Properties"]
        for function in of_type("AWS::Serverless::Function").values()
        for event in function.get("Events", {}).values()
        if event["Type"] == "ScheduleV2"
    ]
    assert schedules
    assert [each for each in schedules if "GroupName" in each] == []


def test_no_policy_of_a_resource_lets_anybody_in() -> None:
    """Queues, bucket and topic: statements only deny, so who may is for this account's roles to say."""
    documents = [
        statement
        for kind in ("AWS::SQS::QueuePolicy", "AWS::S3::BucketPolicy", "AWS::SNS::TopicPolicy")
        for policy in of_type(kind).values()
        for statement in policy["PolicyDocument"]["Statement"]
    ]
    assert len(documents) == sum(len(of_type(f"AWS::{each}")) for each in ("SQS::Queue", "S3::Bucket", "SNS::Topic"))
    assert {each["Effect"] for each in documents} == {"Deny"}


# --- What an admitted device may do


def test_device_policy_fits_aws_iots_limit_of_2048_characters() -> None:
    document = substituted(RESOURCES["SensorPolicy"]["Properties"]["PolicyDocument"])
    assert len(json.dumps(document)) < 2048


def test_device_connects_only_as_the_thing_that_its_certificate_is_attached_to() -> None:
    connect = next(each for each in _device_statements() if each["Action"] == "iot:Connect")
    assert connect["Resource"].endswith(":client/${iot:Connection.Thing.ThingName}")
    assert connect["Condition"] == {"Bool": {"iot:Connection.Thing.IsAttached": "true"}}


def test_device_talks_on_its_own_topics_only() -> None:
    for statement in _device_statements():
        assert statement["Effect"] == "Allow"
        assert "${iot:Connection.Thing.ThingName}" in statement["Resource"]
        if statement["Action"] != "iot:Connect":
            assert re.search(
                r":(topic|topicfilter)/devices/\$\{iot:Connection\.Thing\.ThingName\}/\*$", statement["Resource"]
            )


# What AWS IoT takes for a thing's name.
THING_NAMES = st.from_regex(r"[a-zA-Z0-9:_-]{1,128}", fullmatch=True)
IN_ACCOUNT = "arn:aws-us-gov:iot:ap-southeast-99:111111111111"


def device_may(thing: str, action: str, resource: str) -> bool:
    """What the sample IoT policy says to the device of a thing, as AWS IoT reads it: only `*` and `?` are wildcards.

    https://docs.aws.amazon.com/iot/latest/developerguide/thing-policy-variables.html
    """
    patterns = [
        each["Resource"].replace("${iot:Connection.Thing.ThingName}", thing)
        for each in _device_statements()
        if action in aslist(each["Action"])
    ]
    wild = [re.escape(each).replace(r"\*", ".*").replace(r"\?", ".") for each in patterns]
    return any(re.fullmatch(each, f"{IN_ACCOUNT}:{resource}", re.DOTALL) for each in wild)


@given(THING_NAMES, THING_NAMES, st.sampled_from(["", "0", "-", ":"]))
def test_device_reaches_nothing_of_another_whatever_the_two_are_called(own: str, other: str, longer: str) -> None:
    """Also where the other's name begins with its own."""
    theirs = f"{own}{longer}" if longer else other
    assume(theirs != own)
    assert device_may(own, "iot:Connect", f"client/{own}")
    assert not device_may(own, "iot:Connect", f"client/{theirs}")
    shadows = [
        f"$aws/things/{name}/shadow/{verb}" for name in (own, theirs) for verb in ("get", "update", "name/a/get")
    ]
    topics = [f"devices/{theirs}/hello", f"devices/{theirs}/", f"devices/{theirs}", "devices", *shadows]
    filters = [*topics, f"devices/{theirs}/#", "devices/+/hello", "devices/+/#", "devices/#", "+/+/+", "#", "$aws/#"]
    for action in ("iot:Publish", "iot:Receive"):
        assert device_may(own, action, f"topic/devices/{own}/hello")
        assert [each for each in topics if device_may(own, action, f"topic/{each}")] == []
    assert device_may(own, "iot:Subscribe", f"topicfilter/devices/{own}/#")
    assert [each for each in filters if device_may(own, "iot:Subscribe", f"topicfilter/{each}")] == []


def _device_statements() -> list[dict[str, Any]]:
    statements: list[dict[str, Any]] = substituted(
        RESOURCES["SensorPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    )
    return statements


# --- Nothing is lost


def test_what_a_publisher_may_say_cannot_stand_in_for_what_the_topic_rule_knows_of_it() -> None:
    """`SELECT *` would let a message bring its own `principal`, or our mark for messages of our own."""
    sql = RESOURCES["RegistrationTopicRule"]["Properties"]["TopicRulePayload"]["Sql"]
    chosen = [each.strip() for each in sql.removeprefix("SELECT ").partition(" FROM ")[0].split(",")]
    assert "principal() AS principal" in chosen
    assert not {"*", "principal", "clientId", "decideAgain"} & set(chosen)
    assert {"certificateId", "caCertificateId", "timestamp", "awsAccountId"} <= set(chosen)


def test_every_registration_event_goes_to_the_queue_and_else_to_rule_failures() -> None:
    payload = RESOURCES["RegistrationTopicRule"]["Properties"]["TopicRulePayload"]
    assert payload["Sql"].endswith(" FROM '$aws/events/certificates/registered/#'")
    (action,) = payload["Actions"]
    roles = action["Sqs"]["RoleArn"]["Fn::GetAtt"], payload["ErrorAction"]["Sqs"]["RoleArn"]["Fn::GetAtt"]
    assert roles[0] != roles[1], "what keeps the one from the queue would keep the other from RuleFailures"
    assert action["Sqs"]["QueueUrl"] == {"Ref": "RegistrationQueue"}
    assert payload["ErrorAction"]["Sqs"]["QueueUrl"] == {"Ref": "RuleFailures"}
    assert action["Sqs"]["UseBase64"] is payload["ErrorAction"]["Sqs"]["UseBase64"] is False


@pytest.mark.parametrize("name", of_type("AWS::SQS::Queue"))
def test_queue_keeps_messages_for_14_days_encrypted(name: str) -> None:
    queue = RESOURCES[name]["Properties"]
    assert queue["MessageRetentionPeriod"] == 14 * 24 * 3600
    assert deployed()[name]["Properties"]["SqsManagedSseEnabled"] is True
    assert "FifoQueue" not in queue  # topic rules send to standard queues only


@pytest.mark.parametrize("name", of_type("AWS::SQS::Queue"))
def test_queue_is_used_over_tls_only_and_lets_nobody_in_by_itself(name: str) -> None:
    (policy,) = [each for each in of_type("AWS::SQS::QueuePolicy").values() if {"Ref": name} in each["Queues"]]
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "sqs:*")
    assert statement["Resource"] == {"Fn::GetAtt": f"{name}.Arn"}
    assert statement["Condition"] == {
        "Bool": {"aws:SecureTransport": "false"},
        "StringNotEquals": NOT_ON_THE_LOCAL_STACK,
    }


def test_throttling_for_half_a_day_loses_no_event() -> None:
    queue = RESOURCES["RegistrationQueue"]["Properties"]
    assert queue["RedrivePolicy"]["deadLetterTargetArn"] == {"Fn::GetAtt": "RegistrationFailures.Arn"}
    assert queue["RedrivePolicy"]["maxReceiveCount"] * queue["VisibilityTimeout"] >= 12 * 3600
    assert queue["RedrivePolicy"]["maxReceiveCount"] <= 1000


def test_table_can_be_restored_is_encrypted_and_forgets_what_expires() -> None:
    table = deployed()["Table"]["Properties"]
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["SSESpecification"] == {"SSEEnabled": True}
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}


# --- The bucket


@pytest.mark.parametrize("name", of_type("AWS::S3::Bucket"))
def test_bucket_is_versioned_encrypted_and_private(name: str) -> None:
    bucket = RESOURCES[name]["Properties"]
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}


@pytest.mark.parametrize("name", of_type("AWS::S3::Bucket"))
def test_bucket_forgets_versions_that_were_replaced_long_ago_but_not_the_last_ones(name: str) -> None:
    (rule,) = RESOURCES[name]["Properties"]["LifecycleConfiguration"]["Rules"]
    assert rule["Status"] == "Enabled"
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 365, "NewerNoncurrentVersions": 10}
    assert "Expiration" not in str(rule).replace("NoncurrentVersionExpiration", "")


@pytest.mark.parametrize("name", of_type("AWS::S3::Bucket"))
def test_bucket_is_used_over_tls_only_and_lets_nobody_in_by_itself(name: str) -> None:
    (policy,) = [each for each in of_type("AWS::S3::BucketPolicy").values() if each["Bucket"] == {"Ref": name}]
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:*")
    assert statement["Resource"] == [{"Fn::GetAtt": f"{name}.Arn"}, {"Fn::Sub": f"${{{name}.Arn}}/*"}]
    assert statement["Condition"] == {
        "Bool": {"aws:SecureTransport": "false"},
        "StringNotEquals": NOT_ON_THE_LOCAL_STACK,
    }


def test_refusals_topic_is_used_over_tls_only_and_can_be_told_of_alarms() -> None:
    """CloudWatch may not use the key alias/aws/sns: an alarm to a topic under it never arrives."""
    assert "KmsMasterKeyId" not in deployed()["RefusalsTopic"]["Properties"]
    assert "alias/aws/sns" in PARAMETERS["AlarmTopicArn"]["Description"]
    assert "alias/aws/" not in json.dumps(RESOURCES)
    (statement,) = RESOURCES["RefusalsTopicPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Condition"]["Bool"]) == ("Deny", {"aws:SecureTransport": "false"})
    assert RESOURCES["RefusalsSubscription"]["Condition"] == "HasRefusalsEmail"


def test_every_object_that_is_uploaded_gets_its_verdict_and_the_function_writes_nothing_but_verdicts() -> None:
    """None is left out by its name: S3's filters would leave out what is misspelt. It takes no notice of verdicts."""
    events = RESOURCES["PublishFunction"]["Properties"]["Events"]
    (uploads,) = (each["Properties"] for each in events.values() if each["Type"] == "S3")
    assert (uploads["Events"], "Filter" in uploads) == ("s3:ObjectCreated:*", False)
    (written,) = (
        statement["Resource"]
        for statement in RESOURCES["PublishPolicy"]["Properties"]["PolicyDocument"]["Statement"]
        if statement["Sid"] == "WriteVerdicts"
    )
    for resource in written:
        key = resource["Fn::Sub"].removeprefix("${ConfigurationBucket.Arn}/").replace("*", "lists/line-a")
        assert UploadedObject("bucket", key, None, "", "", "").left_alone


def test_what_the_function_cannot_judge_in_the_end_is_told_of_as_a_refusal_is() -> None:
    settings = RESOURCES["PublishFunction"]["Properties"]["EventInvokeConfig"]
    assert settings["DestinationConfig"]["OnFailure"] == {"Type": "SNS", "Destination": {"Ref": "RefusalsTopic"}}
    assert settings["MaximumRetryAttempts"] == 2


# --- The functions


@pytest.mark.parametrize("name", of_type("AWS::Serverless::Function"))
def test_function_logs_to_a_group_of_its_own_with_retention(name: str) -> None:
    group = RESOURCES[name]["Properties"]["LoggingConfig"]["LogGroup"]["Ref"]
    assert RESOURCES[group]["Properties"]["RetentionInDays"] == {"Ref": "LogRetentionDays"}
    others = [each["LoggingConfig"]["LogGroup"]["Ref"] for each in of_type("AWS::Serverless::Function").values()]
    assert others.count(group) == 1


@pytest.mark.parametrize("name", of_type("AWS::Serverless::Function"))
def test_function_on_a_queue_reports_partial_failures_and_is_given_time(name: str) -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html: six times the function's timeout."""
    function = RESOURCES[name]["Properties"]
    for event in function.get("Events", {}).values():
        if event["Type"] == "SQS":
            queue = RESOURCES[event["Properties"]["Queue"]["Fn::GetAtt"].split(".")[0]]["Properties"]
            assert queue["VisibilityTimeout"] >= 6 * function["Timeout"]
            assert event["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_maximum_concurrency_is_the_parameter_whose_default_is_written_out() -> None:
    scaling = RESOURCES["RegisterFunction"]["Properties"]["Events"]["Registrations"]["Properties"]["ScalingConfig"]
    condition, default, otherwise = scaling["MaximumConcurrency"]["Fn::If"]
    assert otherwise == {"Ref": "MaximumConcurrency"}
    assert default == PARAMETERS["MaximumConcurrency"]["Default"]
    assert TEMPLATE["Conditions"][condition] == {"Fn::Equals": [otherwise, default]}


def test_the_function_knows_the_quotas_and_with_how_many_it_shares_them() -> None:
    """`jitr.aws.quotas`: all parts together stay below the quotas if each environment has a call a second."""
    variables = RESOURCES["RegisterFunction"]["Properties"]["Environment"]["Variables"]
    for variable, parameter in {
        "JITR_CERTIFICATE_QUOTA": "CertificateQuota",
        "JITR_POLICY_QUOTA": "PolicyQuota",
        "JITR_THING_QUOTA": "ThingQuota",
        "JITR_OCSP_PER_SECOND": "OcspPerSecond",
        "JITR_QUOTA_SHARE": "QuotaShare",
        "JITR_MAXIMUM_CONCURRENCY": "MaximumConcurrency",
    }.items():
        assert variables[variable] == {"Ref": parameter}
    assert PARAMETERS["MaximumConcurrency"]["Default"] <= PARAMETERS["CertificateQuota"]["Default"]
    assert PARAMETERS["QuotaShare"]["MaxValue"] == 100


def test_a_function_that_is_told_no_quotas_takes_the_templates_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.environ", {})
    known = environment.quotas()
    quotas = {
        "CertificateQuota": known.certificates,
        "PolicyQuota": known.policies,
        "ThingQuota": known.things,
        "OcspPerSecond": known.ocsp,
        "QuotaShare": known.share * 100,
        "MaximumConcurrency": known.environments,
    }
    assert quotas == {name: PARAMETERS[name]["Default"] for name in quotas}


def test_the_contract_names_each_variable_of_the_functions_and_who_reads_it() -> None:
    table = (ROOT / "docs/contracts.md").read_text("utf-8").partition("| variable | read by |")[2].partition("\n\n")[0]
    everybody = {name for name in RESOURCES if _variables(name)}
    said: dict[str, set[str]] = {}
    for line in table.splitlines()[2:]:
        variables, functions, _ = line.strip("| ").split(" | ")
        who = everybody if functions == "all" else {f"{name}Function" for name in functions.split(", ")}
        said |= dict.fromkeys(re.findall(r"`(\w+)`", variables), who)
    assert said == {
        variable: {name for name in everybody if variable in _variables(name)}
        for variable in set().union(*map(_variables, everybody))
    }


def _variables(name: str) -> set[str]:
    """Our own variables in a function's environment."""
    environment = RESOURCES[name]["Properties"].get("Environment", {}) if "Properties" in RESOURCES[name] else {}
    return {variable for variable in environment.get("Variables", {}) if variable.startswith("JITR_")}


def test_the_contract_names_each_output() -> None:
    said = (ROOT / "docs/contracts.md").read_text("utf-8").partition("The stack's outputs name the rest:")[2]
    said = said.partition("\n\n")[0]
    by_kind = {name for name in TEMPLATE["Outputs"] if name.endswith(("AlarmName", "LogGroupName"))}
    assert set(re.findall(r"`(\w+)`", said)) == set(TEMPLATE["Outputs"]) - by_kind


def test_by_default_all_environments_together_leave_some_of_each_quota_to_others() -> None:
    default = {name: float(PARAMETERS[name]["Default"]) for name in PARAMETERS if name.endswith(("Quota", "Share"))}
    environments = int(PARAMETERS["MaximumConcurrency"]["Default"])
    certificates, policies, things = (default[f"{kind}Quota"] for kind in ("Certificate", "Policy", "Thing"))
    ours = Quotas(certificates, policies, things, share=default["QuotaShare"] / 100, environments=environments)
    for operation, kind in QUOTA_OF.items():
        if kind == OCSP:  # no quota of AWS IoT's
            assert ours.rate(operation) * environments == PARAMETERS["OcspPerSecond"]["Default"]
            continue
        assert ours.rate(operation) * environments < getattr(ours, kind)


def test_functions_and_layer_are_for_one_runtime_and_one_architecture() -> None:
    everywhere = TEMPLATE["Globals"]["Function"]
    layer = RESOURCES["JitrLayer"]
    assert layer["Properties"]["CompatibleRuntimes"] == [everywhere["Runtime"]]
    assert layer["Properties"]["CompatibleArchitectures"] == everywhere["Architectures"] == [{"Ref": "Architecture"}]
    assert layer["Metadata"] == {"BuildMethod": "makefile", "BuildArchitecture": {"Ref": "Architecture"}}
    version = everywhere["Runtime"].removeprefix("python")
    assert f"RUNTIME_PYTHON = {version}\n" in (ROOT / "layers/jitr/Makefile").read_text()


def test_an_endpoint_can_be_set_where_sam_runs_a_function_and_is_absent_where_it_is_deployed() -> None:
    """`sam local invoke --env-vars` sets only variables that the template names."""
    assert TEMPLATE["Globals"]["Function"]["Environment"]["Variables"] == {"AWS_ENDPOINT_URL": {"Ref": "AWS::NoValue"}}


# --- Alarms


@pytest.mark.parametrize("name", of_type("AWS::CloudWatch::Alarm"))
def test_alarm_is_silent_without_data_and_told_to_the_topic_if_there_is_one(name: str) -> None:
    alarm = RESOURCES[name]["Properties"]
    told = {"Fn::If": ["HasAlarmTopic", [{"Ref": "AlarmTopicArn"}], {"Ref": "AWS::NoValue"}]}
    assert alarm["AlarmActions"] == alarm["OKActions"] == told
    missing = alarm["TreatMissingData"]
    if isinstance(missing, dict):  # of what a parameter may switch off
        assert missing["Fn::If"][2] == "notBreaching"
        missing = missing["Fn::If"][1]
    assert missing == ("breaching" if name in HEARTBEATS else "notBreaching")
    assert alarm["AlarmDescription"]


HEARTBEATS = {"RecheckScheduleAlarm", "FleetCheckAlarm"}  # silence is what they are for


@pytest.mark.parametrize("queue", ["RegistrationFailures", "RuleFailures"])
def test_first_message_on_a_failure_queue_raises_its_alarm(queue: str) -> None:
    alarm = RESOURCES[f"{queue}Alarm"]["Properties"]
    assert (alarm["Namespace"], alarm["MetricName"]) == ("AWS/SQS", "ApproximateNumberOfMessagesVisible")
    assert alarm["Dimensions"] == [{"Name": "QueueName", "Value": {"Fn::GetAtt": f"{queue}.QueueName"}}]
    assert (alarm["ComparisonOperator"], alarm["Threshold"]) == ("GreaterThanThreshold", 0)


def test_alarm_on_missing_rules_watches_the_metric_that_the_function_writes() -> None:
    alarm = RESOURCES["RulesUnavailableAlarm"]["Properties"]
    variables = RESOURCES["RegisterFunction"]["Properties"]["Environment"]["Variables"]
    assert alarm["Namespace"] == variables["POWERTOOLS_METRICS_NAMESPACE"]
    assert alarm["Dimensions"] == [{"Name": "service", "Value": variables["POWERTOOLS_SERVICE_NAME"]}]
    assert alarm["MetricName"] == "RulesUnavailable"


def test_what_keeps_coming_back_has_an_alarm_on_its_age_as_what_waits_has() -> None:
    """SQS's own age leaves out what was received three times."""
    waits, back = (RESOURCES[f"Registration{each}Alarm"]["Properties"] for each in ("Age", "RetryAge"))
    assert (back["Namespace"], back["MetricName"], back["Statistic"]) == ("jitr", "RetryAge", "Maximum")
    assert back["Threshold"] == waits["Threshold"] == {"Ref": "OldestMessageAlarmSeconds"}


@pytest.mark.parametrize("name", of_type("AWS::CloudWatch::Alarm"))
def test_alarm_is_named_in_the_outputs_and_has_its_entry_in_the_runbook(name: str) -> None:
    """`jitr status` finds alarms by the outputs; whoever is woken finds what to do by the alarm's name."""
    assert TEMPLATE["Outputs"][f"{name}Name"]["Value"] == {"Ref": name}
    assert RUNBOOK.count(f"\n## {name}\n") == 1


RUNBOOK = (ROOT / "docs/runbook.md").read_text()


def test_each_entry_of_the_runbook_that_is_named_as_an_alarm_is_one() -> None:
    entries = set(re.findall(r"^## (\w+Alarm)$", RUNBOOK, re.MULTILINE))
    assert entries == set(of_type("AWS::CloudWatch::Alarm"))


def test_alarms_on_what_the_function_puts_back_watch_causes_that_it_gives() -> None:
    """And those that no alarm watches by itself are somebody's own haste, or tell by RegistrationRetryAgeAlarm."""
    watched = {
        each["Value"]
        for name in of_type("AWS::CloudWatch::Alarm")
        for each in aslist(RESOURCES[name]["Properties"]["Dimensions"])
        if each.get("Name") == "reason"
    }
    given = set(re.findall(r'Retry\(\s*"(\w+)"', "".join(each.read_text() for each in (ROOT / "layers").rglob("*.py"))))
    assert watched <= given
    quiet = "busy ca conflict deadline edited pace queue rules status unavailable unknown unreachable"
    assert given - watched <= set(quiet.split())
