"""The stack as CloudFormation makes it: template.yaml after SAM's transform, with its conditions resolved."""

import json
import re
from functools import cache
from importlib import resources
from typing import Any

import pytest
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER
from testkit.template import PARAMETERS, RESOURCES
from testkit.transformed import LOCAL_ACCOUNT, deployed, needs, refused

STACKS = {"keeps its data": deployed(), "leaves nothing": deployed(DataDeletionPolicy="Delete")}


EVERY = {name: each for stack in STACKS.values() for name, each in stack.items()}


@cache
def schema(kind: str) -> dict[str, Any]:
    """AWS's own schema of a type, as cfn-lint carries it."""
    found: dict[str, Any] = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema
    return found


def aslist(node: Any) -> list[Any]:
    return node if isinstance(node, list) else [node]


def names(kind: str) -> set[str]:
    """The properties that name a resource of a type: two of one name cannot be."""
    if kind.startswith("Custom::") or kind == "AWS::Lambda::Alias":  # an alias is one of its function's
        return set()
    found = schema(kind)
    fixed = {*found.get("primaryIdentifier", ()), *found.get("createOnlyProperties", ())}
    paths = {path.removeprefix("/properties/") for path in fixed}
    return {path for path in paths if path == "Name" or path.endswith("Name")} - {"FunctionName"}


# --- Any number of stacks


@pytest.mark.parametrize("name", EVERY)
def test_no_resource_has_a_name_that_another_stack_of_the_region_has_too(name: str) -> None:
    """Names are CloudFormation's to make, or begin with the stack's; SAM's transform adds none of its own.

    FunctionName names a function to which something belongs, in types whose names it is part of.
    """
    properties = EVERY[name]["Properties"]
    for key in names(EVERY[name]["Type"]) & properties.keys():
        named = properties[key]
        assert "${AWS::StackName}" in json.dumps(named) or isinstance(named, dict), f"{key} is {named} in every stack"


def test_the_iot_policy_of_two_stacks_is_named_after_each() -> None:
    """Rules files name it, so CloudFormation does not make its name up."""
    policy = deployed()["SensorPolicy"]["Properties"]
    assert policy["PolicyName"] == {"Fn::Sub": "${AWS::StackName}-device"}


# --- In an order that AWS can follow


@pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS)
def test_the_role_of_a_schedule_is_old_when_the_schedule_is_made(stack: dict[str, Any]) -> None:
    """EventBridge Scheduler refuses a role that it cannot assume yet, and a new role takes seconds to be known.

    So the role is made before the function that the schedule invokes, which waits for the table as well.
    """
    schedules = [each for each in stack.values() if each["Type"] == "AWS::Scheduler::Schedule"]
    assert schedules
    for schedule in schedules:
        target = schedule["Properties"]["Target"]
        role = target["RoleArn"]["Fn::GetAtt"].split(".")[0]
        assert needs(stack, role) == set()
        assert {role, "Table"} <= needs(stack, target["Arn"]["Fn::GetAtt"][0])


# --- A first deployment that fails leaves nothing in the way of the next


@pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS)
def test_what_a_failed_first_deployment_made_goes_when_it_is_rolled_back(stack: dict[str, Any]) -> None:
    """`Retain` would keep it, and the next deployment would fail on the IoT policy's name."""
    assert {each.get("DeletionPolicy", "Delete") for each in stack.values()} <= {"Delete", "RetainExceptOnCreate"}


def test_what_holds_data_is_kept_when_its_stack_is_deleted_and_when_it_is_replaced() -> None:
    kept = {name for name, each in deployed().items() if each.get("DeletionPolicy") == "RetainExceptOnCreate"}
    assert kept == {"Table", "ConfigurationBucket", "SensorPolicy"}
    for stack in STACKS.values():
        assert {stack[name]["UpdateReplacePolicy"] for name in kept} == {"Retain"}


@pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS)
def test_the_table_is_protected_after_all_that_could_fail_and_let_go_before_it_is_deleted(
    stack: dict[str, Any],
) -> None:
    """CloudFormation cannot roll back a protected table, so it is no property: a custom resource protects it."""
    assert "DeletionProtectionEnabled" not in stack["Table"]["Properties"]
    behind = needs(stack, "Protection")
    assert {
        "Table",
        "RegisterFunction",
        "RecheckFunction",
        "PublishFunction",
        "NotifyFunction",
        "FleetFunction",
        "RegistrationTopicRule",
    } <= behind
    assert {"CleanupFunction", "CleanupRole", "CleanupLogGroup"} <= behind


# --- What goes with the stack


@pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS)
def test_nobody_attaches_the_iot_policy_any_more_when_it_is_taken_away(stack: dict[str, Any]) -> None:
    """CloudFormation deletes what depends on a resource before it: events stop, then CleanupFunction is asked."""
    for name in ("RegistrationTopicRule", "RegisterFunction", "RegisterFunctionRegistrations"):
        assert "Cleanup" in needs(stack, name)
    assert {"SensorPolicy", "ConfigurationBucket", "Table", "CleanupRole", "CleanupLogGroup"} <= needs(stack, "Cleanup")


def test_only_where_data_is_deleted_a_function_may_delete_it() -> None:
    may = {
        name: {
            action
            for policy in stack["CleanupRole"]["Properties"]["Policies"]
            for statement in policy["PolicyDocument"]["Statement"]
            for action in aslist(statement["Action"])
            if re.search(r":(Delete|Detach)", action)
        }
        for name, stack in STACKS.items()
    }
    of_policies = {"iot:DeletePolicy", "iot:DeletePolicyVersion", "iot:DetachPolicy"}
    assert may["leaves nothing"] == {"s3:DeleteObject", "s3:DeleteObjectVersion"} | of_policies
    assert may["keeps its data"] == set()


# --- Nothing of the local stack in an account


@pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS)
def test_no_account_gets_what_only_the_local_stack_needs(stack: dict[str, Any]) -> None:
    assert "OnTheLocalStack" not in json.dumps(stack)
    assert LOCAL_ACCOUNT not in json.dumps(stack)
    assert "OnlyOnTheLocalStack" in json.dumps(deployed(LOCAL_ACCOUNT))


def test_in_an_account_policies_that_ask_for_tls_ask_for_nothing_else() -> None:
    denials = [
        statement
        for each in deployed().values()
        if each["Type"] in {"AWS::SQS::QueuePolicy", "AWS::S3::BucketPolicy", "AWS::SNS::TopicPolicy"}
        for statement in each["Properties"]["PolicyDocument"]["Statement"]
    ]
    assert denials
    for statement in denials:
        assert (statement["Effect"], statement["Principal"]) == ("Deny", "*")
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


@pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS)
def test_in_an_account_roles_may_do_only_what_aws_knows_of(stack: dict[str, Any]) -> None:
    """Each action is in AWS's service authorization reference, as cfn-lint carries it."""
    reference = json.loads((resources.files("cfnlint.data.AdditionalSpecs") / "Policies.json").read_text())
    documents = [
        policy["PolicyDocument"]
        for each in stack.values()
        if each["Type"] in {"AWS::IAM::Role", "AWS::IAM::Policy"}
        for policy in each["Properties"].get("Policies", [each["Properties"]])
        if "PolicyDocument" in policy
    ]
    assert documents
    for document in documents:
        for statement in document["Statement"]:
            for action in aslist(statement["Action"]):
                service, _, name = action.partition(":")
                assert name.lower() in reference[service]["Actions"], f"{action} is no action"


# --- What an organisation may ask for: absent, it changes nothing

KEY = "arn:aws:kms:eu-central-1:123456789012:key/0a1b2c3d"
BOUNDARY = "arn:aws:iam::123456789012:policy/boundary"


def statements(stack: dict[str, Any], role: str) -> dict[str, dict[str, Any]]:
    (policy,) = stack[role]["Properties"]["Policies"]
    return {each.get("Sid", ""): each for each in policy["PolicyDocument"]["Statement"]}


def test_a_permissions_boundary_bounds_every_role() -> None:
    roles = [name for name, each in EVERY.items() if each["Type"] == "AWS::IAM::Role"]
    assert roles
    bounded = deployed(PermissionsBoundaryArn=BOUNDARY)
    assert {bounded[name]["Properties"]["PermissionsBoundary"] for name in roles} == {BOUNDARY}
    assert not [name for name in roles if "PermissionsBoundary" in EVERY[name]["Properties"]]


def test_a_key_encrypts_all_that_holds_data_and_who_uses_that_may_use_the_key() -> None:
    properties = {name: each["Properties"] for name, each in deployed(KmsKeyArn=KEY).items()}
    types = {name: each["Type"] for name, each in EVERY.items()}
    of_table = {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": KEY}
    assert properties["Table"]["SSESpecification"] == of_table
    (rule,) = properties["ConfigurationBucket"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY}
    assert rule["BucketKeyEnabled"] is True
    for name, kind in types.items():
        if kind == "AWS::SQS::Queue":
            assert (properties[name]["KmsMasterKeyId"], properties[name]["SqsManagedSseEnabled"]) == (KEY, False)
        if kind == "AWS::SNS::Topic":
            assert properties[name]["KmsMasterKeyId"] == KEY
        if kind == "AWS::Logs::LogGroup":
            assert properties[name]["KmsKeyId"] == KEY
    for role in ("TopicRuleRole", "RegisterRole", "RecheckRole", "PublishRole", "NotifyRole", "FleetRole"):
        allowed = statements(deployed(KmsKeyArn=KEY), role)["UseTheKey"]
        assert (allowed["Action"], allowed["Resource"]) == (["kms:Decrypt", "kms:GenerateDataKey"], KEY)
        assert "UseTheKey" not in statements(deployed(), role)
    assert "kms" not in json.dumps(deployed()).lower()


def test_traces_are_sent_by_functions_whose_roles_may_where_they_are_asked_for() -> None:
    functions = {name: each for name, each in EVERY.items() if each["Type"] == "AWS::Lambda::Function"}
    traced = deployed(Tracing="Active")
    for name, each in functions.items():
        role = each["Properties"]["Role"]["Fn::GetAtt"].split(".")[0]
        assert traced[name]["Properties"]["TracingConfig"] == {"Mode": "Active"}
        assert each["Properties"]["TracingConfig"] == {"Mode": "PassThrough"}  # as Lambda has it by itself
        assert "SendTraces" in statements(traced, role)
        assert "SendTraces" not in statements(deployed(), role)


@pytest.mark.parametrize(
    ("level", "of_lambda"), [("DEBUG", "DEBUG"), ("INFO", "INFO"), ("WARNING", "INFO"), ("ERROR", "INFO")]
)
def test_lambda_logs_json_and_drops_no_metric_whatever_the_level_is(level: str, of_lambda: str) -> None:
    """A metric is a line without a level, which Lambda takes for INFO (Developer Guide, "Log-level filtering")."""
    for name, each in deployed(LogLevel=level, SystemLogLevel="WARN").items():
        if each["Type"] == "AWS::Lambda::Function":
            config = each["Properties"]["LoggingConfig"]
            group = EVERY[name]["Properties"]["LoggingConfig"]["LogGroup"]
            wanted = {
                "LogFormat": "JSON",
                "ApplicationLogLevel": of_lambda,
                "SystemLogLevel": "WARN",
                "LogGroup": group,
            }
            assert config == wanted


def test_access_to_the_bucket_is_logged_below_the_name_of_the_stack_where_a_bucket_is_given() -> None:
    bucket = deployed(AccessLogsBucket="logs-of-ours")["ConfigurationBucket"]["Properties"]
    prefix = {"Fn::Sub": "${AWS::StackName}/"}
    assert bucket["LoggingConfiguration"] == {"DestinationBucketName": "logs-of-ours", "LogFilePrefix": prefix}
    assert "LoggingConfiguration" not in deployed()["ConfigurationBucket"]["Properties"]


# What takes no tags on AWS, so that those of the stack do not reach it.
BEARS_NO_TAGS = {
    "AWS::IAM::Policy",
    "AWS::Lambda::Alias",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Lambda::LayerVersion",
    "AWS::Lambda::Permission",
    "AWS::Lambda::Version",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::QueuePolicy",
    "AWS::Scheduler::Schedule",
}


def test_the_tags_of_the_stack_reach_every_resource_that_can_bear_any() -> None:
    """CloudFormation hands them on: `sam deploy --tags`. The schemas say which types take them."""
    kinds = {each["Type"] for each in EVERY.values() if not each["Type"].startswith("Custom::")}
    assert {kind for kind in kinds if "Tags" not in schema(kind)["properties"]} == BEARS_NO_TAGS


# --- Versions of RegisterFunction, and how events come to the next one

GRADUAL = deployed(DeploymentType="Canary10Percent15Minutes")
ALIAS = "RegisterFunctionAliaslive"
ROLL_BACK = {"BugsAlarm", "FunctionErrorsAlarm", "RulesUnavailableAlarm", "DeniedAlarm", "NewerFormatAlarm"}
OTHER_VALUES = {"DevicePolicyName": "other", "CrlObjectArns": "arn:aws:s3:::crls/*", "KmsKeyArn": KEY}
OTHER_VALUES |= {
    "PermissionsBoundaryArn": BOUNDARY,
    "AccessLogsBucket": "logs-of-ours",
    "RefusalsEmail": "a@example.com",
}
OTHER_VALUES |= {"AlarmTopicArn": "arn:aws:sns:eu-central-1:123456789012:alarms"}
TOPIC = "arn:aws:sns:eu-central-1:123456789012:people"
OTHER_VALUES |= {"EventBus": "plant", "NotificationsTopicArn": TOPIC}


def other_value(name: str) -> Any:
    """A value of a parameter that is not its default."""
    parameter = PARAMETERS[name]
    if "AllowedValues" in parameter:
        return next(each for each in parameter["AllowedValues"] if each != parameter["Default"])
    return parameter["Default"] + 1 if parameter["Type"] == "Number" else OTHER_VALUES[name]


def version(stack: dict[str, Any]) -> tuple[str, str]:
    """The version that the alias is at: another is published for another logical id, and for another description."""
    name = stack[ALIAS]["Properties"]["FunctionVersion"]["Fn::GetAtt"][0]
    return name, stack[name]["Properties"]["Description"]


def test_events_are_given_to_the_alias_and_neither_queue_nor_mapping_is_made_anew() -> None:
    """A mapping that gets another function is updated in place; its queue is what may not change."""
    mapping = EVERY["RegisterFunctionRegistrations"]["Properties"]
    assert mapping["FunctionName"] == {"Ref": ALIAS}
    assert "/properties/FunctionName" not in schema("AWS::Lambda::EventSourceMapping")["createOnlyProperties"]
    assert "/properties/Description" in schema("AWS::Lambda::Version")["createOnlyProperties"]


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_parameter_that_changes_the_function_publishes_a_version_and_no_other_does(name: str) -> None:
    """SAM's transform takes no notice of the values of parameters: the alias would go on with the old ones for ever.

    And Lambda publishes no version of a function that has not changed; CloudFormation then fails.
    """
    before, after = deployed(), deployed(**{name: other_value(name)})
    changed = before["RegisterFunction"]["Properties"] != after["RegisterFunction"]["Properties"]
    assert (version(before) != version(after)) == changed


@pytest.mark.parametrize("name", ["RegisterFunction", "JitrLayer"])
def test_new_code_and_a_new_layer_publish_a_version(name: str) -> None:
    assert version(deployed(newer=name)) != version(deployed())
    assert version(deployed(newer="YamlLayer")) == version(deployed())


def test_the_description_of_a_version_is_as_short_as_lambda_takes_it() -> None:
    longest = {
        name: max(map(str, each.get("AllowedValues", [each.get("MaxValue", "")])), key=len)
        for name, each in PARAMETERS.items()
        if name in RESOURCES["RegisterFunction"]["Properties"]["VersionDescription"]["Fn::Sub"]
    }
    assert len(longest) == 11
    assert len(version(deployed(**longest))[1]) <= 256


def test_versions_are_deleted_when_the_alias_has_left_them() -> None:
    """SAM keeps each by itself: Lambda charges for the snapshot of each."""
    for name in (version(EVERY)[0], ALIAS):
        assert (EVERY[name]["DeletionPolicy"], EVERY[name]["UpdateReplacePolicy"]) == ("Delete", "Delete")


def test_by_default_a_stack_has_nothing_of_codedeploy() -> None:
    assert "codedeploy" not in json.dumps(deployed()).lower()
    assert "UpdatePolicy" not in deployed()[ALIAS]


def test_a_gradual_deployment_goes_back_when_an_alarm_is_raised() -> None:
    group = GRADUAL["RegisterFunctionDeploymentGroup"]["Properties"]
    assert {"DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM"} <= set(group["AutoRollbackConfiguration"]["Events"])
    watched = {each["Name"]["Ref"] for each in group["AlarmConfiguration"]["Alarms"]}
    assert group["AlarmConfiguration"]["Enabled"] is True
    assert watched == ROLL_BACK
    assert GRADUAL[ALIAS]["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]["DeploymentGroupName"] == {
        "Ref": "RegisterFunctionDeploymentGroup"
    }
    needed = needs(GRADUAL, "RegisterFunctionDeploymentGroup")
    assert watched <= needed
    assert ALIAS not in needed


def test_codedeploy_may_shift_this_function_and_nothing_else_within_the_permissions_boundary() -> None:
    roles = {name for name, each in GRADUAL.items() if each["Type"] == "AWS::IAM::Role"}
    assert roles - EVERY.keys() == {"DeploymentRole"}
    group = GRADUAL["RegisterFunctionDeploymentGroup"]["Properties"]
    assert group["ServiceRoleArn"] == {"Fn::GetAtt": "DeploymentRole.Arn"}
    bounded = deployed(DeploymentType="Canary10Percent15Minutes", PermissionsBoundaryArn=BOUNDARY)
    assert bounded["DeploymentRole"]["Properties"]["PermissionsBoundary"] == BOUNDARY
    of_lambda = [
        statement["Resource"]
        for statement in statements(GRADUAL, "DeploymentRole").values()
        if "lambda" in json.dumps(statement["Action"])
    ]
    assert of_lambda == [{"Fn::GetAtt": "RegisterFunction.Arn"}, {"Fn::Sub": "${RegisterFunction.Arn}:live"}]


def test_cold_starts_are_met_in_one_way_at_most_and_by_default_in_none_that_costs() -> None:
    assert EVERY["RegisterFunction"]["Properties"]["SnapStart"] == {"ApplyOn": "None"}
    assert "ProvisionedConcurrencyConfig" not in EVERY[ALIAS]["Properties"]
    snapshots = deployed(SnapStart="PublishedVersions")["RegisterFunction"]["Properties"]
    assert snapshots["SnapStart"] == {"ApplyOn": "PublishedVersions"}
    warm = deployed(ProvisionedConcurrency=2)[ALIAS]["Properties"]
    assert warm["ProvisionedConcurrencyConfig"] == {"ProvisionedConcurrentExecutions": 2}
    assert not refused(SnapStart="PublishedVersions") + refused(ProvisionedConcurrency=2) + refused()
    assert refused(SnapStart="PublishedVersions", ProvisionedConcurrency=2)


# --- Events


@pytest.mark.parametrize(
    ("bus", "topic", "enabled"),
    [("default", "", True), ("plant", TOPIC, True), ("off", TOPIC, True), ("off", "", False)],
)
def test_the_notify_function_hears_of_the_stream_if_it_has_anybody_to_tell(bus: str, topic: str, enabled: bool) -> None:
    stack = deployed(EventBus=bus, NotificationsTopicArn=topic)
    assert stack["NotifyFunctionWritten"]["Properties"]["Enabled"] is enabled
    assert stack["NotifyFunction"]["Properties"]["Environment"]["Variables"]["JITR_EVENT_BUS"] == bus


def test_without_a_topic_there_is_nothing_of_digests_and_with_one_only_what_they_need() -> None:
    """Neither a schedule that costs invocations, nor a right to the table."""

    def rights(stack: dict[str, Any]) -> dict[str, Any]:
        (policy,) = stack["NotifyRole"]["Properties"]["Policies"]
        return {each["Sid"]: each for each in policy["PolicyDocument"]["Statement"] if "Sid" in each}

    without, having = deployed(), deployed(NotificationsTopicArn=TOPIC)
    assert having.keys() - without.keys() == {"DigestSchedule", "DigestScheduleRole", "DigestSchedulePolicy"}
    assert rights(having).keys() - rights(without).keys() == {"KeepDigests", "SendDigests"}
    assert rights(having)["SendDigests"]["Resource"] == TOPIC
    keys = rights(having)["KeepDigests"]["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
    assert all(each.startswith("DIGEST") for each in keys)


def test_a_stream_has_no_more_readers_than_dynamodb_lets_it_have() -> None:
    """Two at most. Amazon DynamoDB Developer Guide, "DynamoDB Streams and AWS Lambda triggers"."""
    mappings = [each for each in deployed().values() if each["Type"] == "AWS::Lambda::EventSourceMapping"]
    assert len([each for each in mappings if "StreamArn" in str(each["Properties"]["EventSourceArn"])]) == 2


def test_the_fleet_function_may_read_aws_iot_and_write_its_own_items_alone() -> None:
    allowed = statements(deployed(), "FleetRole")
    actions = {
        each
        for one in allowed.values()
        for each in ([one["Action"]] if isinstance(one["Action"], str) else one["Action"])
    }
    assert [
        each for each in actions if each.startswith("iot:") and not each.startswith(("iot:Describe", "iot:List"))
    ] == []
    assert {each for each in actions if each.startswith("dynamodb:")} == {
        "dynamodb:BatchGetItem",
        "dynamodb:Query",
        "dynamodb:PutItem",
    }
    writes = allowed["NoteWhatWasFound"]
    assert writes["Condition"] == {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["FLEET", "FLEET#DRIFT"]}}


@pytest.mark.parametrize(
    ("every", "state", "missing"), [("off", "DISABLED", "notBreaching"), ("daily", "ENABLED", "breaching")]
)
def test_the_fleet_is_checked_and_its_heartbeat_watched_only_where_that_is_asked_for(
    every: str, state: str, missing: str
) -> None:
    stack = deployed(FleetCheck=every)
    assert stack["FleetFunctionEveryQuarter"]["Properties"]["State"] == state
    assert stack["FleetCheckAlarm"]["Properties"]["TreatMissingData"] == missing
