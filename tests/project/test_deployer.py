"""Whoever deploys has in docs/deployer/ what it takes, on what bears the stack's name, and nothing else."""

import json
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

import pytest
from testkit.transformed import ACCOUNT, PSEUDO, deployed, transformed
from tools import deployer
from tools.physical import physical

REAL = {
    "STACK": PSEUDO["AWS::StackName"],
    "REGION": PSEUDO["AWS::Region"],
    "ACCOUNT": ACCOUNT,
    "ARTIFACTS": "artifacts",
    "KEY": deployer.OPTIONS["KmsKeyArn"],
    "BOUNDARY": deployer.OPTIONS["PermissionsBoundaryArn"],
}
NAMES = ("deploy", "data", "roles", "key")
# What refers to a resource's ARN, and AWS's word for what it is when actions are authorised.
TYPES = {
    "AWS::CloudWatch::Alarm": ("Arn", "alarm"),
    "AWS::DynamoDB::Table": ("Arn", "table"),
    "AWS::Events::Rule": ("Arn", "rule-on-default-event-bus"),
    "AWS::IAM::Role": ("Arn", "role"),
    "AWS::IoT::Policy": ("Arn", "policy"),
    "AWS::IoT::TopicRule": ("Arn", "rule"),
    "AWS::Lambda::Function": ("Arn", "function"),
    "AWS::Lambda::LayerVersion": ("Ref", "layerVersion"),
    "AWS::Logs::LogGroup": ("Arn", "log-group"),
    "AWS::S3::Bucket": ("Arn", "bucket"),
    "AWS::SNS::Topic": ("Ref", "topic"),
    "AWS::SQS::Queue": ("Arn", "queue"),
    "AWS::Scheduler::Schedule": ("Arn", "schedule"),
}


def aslist(node: Any) -> list[Any]:
    return node if isinstance(node, list) else [node]


@cache
def statements(*names: str, stack: str = "jitr") -> list[dict[str, Any]]:
    real = REAL | {"STACK": stack}
    return [each for name in names for each in json.loads(deployer.policy(name, **real))["Statement"]]


def may(action: str, arn: str) -> bool:
    return any(
        action in each["Action"] and any(fnmatchcase(arn, pattern) for pattern in aslist(each["Resource"]))
        for each in statements(*NAMES)
    )


def resources() -> list[tuple[str, str]]:
    """Each resource that has an ARN, with its type."""
    stack = deployed(**deployer.OPTIONS)
    arns = {
        name: {"Ref": name} if TYPES[each["Type"]][0] == "Ref" else {"Fn::GetAtt": [name, "Arn"]}
        for name, each in stack.items()
        if each["Type"] in TYPES
    }
    asked = physical(stack | {"Asked": {"Type": "Custom::Asked", "Properties": arns}})["Asked"]["Properties"]
    return [(stack[name]["Type"], arn) for name, arn in asked.items()]


def test_what_aws_says_that_deploying_takes_is_allowed_on_every_resource_or_left_out_with_a_reason() -> None:
    tried = set()
    for action in deployer.named_by_aws():
        for kind, arn in resources():
            on = TYPES[kind][1] in (deployer.kinds(action) or []) and action.split(":")[0] == arn.split(":")[2]
            if on and not deployer.left_out(action):
                tried.add(kind)
                assert may(action, arn), f"{action} on {arn}"
    assert tried == TYPES.keys()


def test_every_type_of_the_template_is_known_to_have_an_arn_or_to_belong_to_one_that_has() -> None:
    belongs = {
        "AWS::CloudWatch::Dashboard",  # it has an ARN that CloudFormation does not tell
        "AWS::CodeDeploy::Application",
        "AWS::CodeDeploy::DeploymentGroup",
        "AWS::IAM::Policy",
        "AWS::Lambda::Alias",
        "AWS::Lambda::EventInvokeConfig",
        "AWS::Lambda::EventSourceMapping",
        "AWS::Lambda::Permission",
        "AWS::Lambda::Version",
        "AWS::S3::BucketPolicy",
        "AWS::SNS::Subscription",
        "AWS::SNS::TopicPolicy",
        "AWS::SQS::QueuePolicy",
    }
    kinds = {each["Type"] for each in deployed(**deployer.OPTIONS).values() if not each["Type"].startswith("Custom::")}
    assert kinds == TYPES.keys() | belongs


def test_no_parameter_adds_a_resource_that_the_policies_do_not_know_of() -> None:
    """With OPTIONS no condition leaves a resource out; those of CodeDeploy come from SAM, for DeploymentType alone."""
    assert deployed(**deployer.OPTIONS).keys() == transformed(**deployer.OPTIONS)["Resources"].keys()
    kinds = {each["Type"] for each in deployed(**deployer.OPTIONS).values()}
    assert {"AWS::CodeDeploy::Application", "AWS::CodeDeploy::DeploymentGroup"} <= kinds


def test_nothing_of_another_stack_is_theirs() -> None:
    """But for topic rules and mappings, whose names CloudFormation or AWS Lambda do not begin with the stack's."""
    for kind, arn in resources():
        if kind != "AWS::IoT::TopicRule":
            assert not [
                each
                for each in statements(*NAMES, stack="another")
                for pattern in aslist(each["Resource"])
                if pattern != "*" and fnmatchcase(arn, pattern)
            ], arn


def test_every_resource_is_meant_only_where_aws_authorises_on_none_or_a_condition_says_which() -> None:
    """Of subscriptions AWS's references say either."""
    everywhere = {
        action
        for each in statements(*NAMES)
        if "*" in aslist(each["Resource"]) and "Condition" not in each
        for action in each["Action"]
    }
    of_subscriptions = {"sns:GetSubscriptionAttributes", "sns:SetSubscriptionAttributes", "sns:Unsubscribe"}
    assert everywhere == {"codedeploy:StopDeployment", "logs:DescribeLogGroups"} | of_subscriptions


def test_whoever_deploys_reads_and_writes_no_device_no_rules_and_no_upload() -> None:
    table, bucket = (
        "arn:aws:dynamodb:eu-central-1:123456789012:table/jitr-Table-A1B2C3D4E5F6",
        "arn:aws:s3:::jitr-x/key",
    )
    for action in ("dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query", "dynamodb:Scan", "dynamodb:DeleteItem"):
        assert not may(action, table)
    assert not [action for action in ("s3:GetObject", "s3:PutObject", "s3:DeleteObject") if may(action, bucket)]


def test_no_action_is_a_pattern_and_each_reason_to_leave_some_out_is_still_one() -> None:
    assert not [
        action for each in statements(*NAMES, "roles-within-boundary") for action in each["Action"] if "*" in action
    ]
    named = deployer.named_by_aws()
    assert not [pattern for pattern in deployer.LEFT_OUT if not any(fnmatchcase(action, pattern) for action in named)]


def test_a_role_is_handed_only_to_the_services_that_the_template_hands_roles_to() -> None:
    (passing,) = [each for each in statements("roles") if "iam:PassRole" in each["Action"]]
    trusted = {
        each["Properties"]["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]["Service"]
        for each in deployed(**deployer.OPTIONS).values()
        if each["Type"] == "AWS::IAM::Role"
    }
    assert set(passing["Condition"]["StringEquals"]["iam:PassedToService"]) == trusted


def test_within_a_boundary_no_role_is_made_or_given_anything_without_it() -> None:
    for each in statements("roles-within-boundary"):
        giving = {"iam:CreateRole", "iam:PutRolePolicy", "iam:PutRolePermissionsBoundary"} & set(each["Action"])
        if giving:
            assert each["Condition"] == {"StringEquals": {"iam:PermissionsBoundary": REAL["BOUNDARY"]}}
        assert "iam:DeleteRolePermissionsBoundary" not in each["Action"]


@pytest.mark.parametrize("name", [*NAMES, "roles-within-boundary"])
def test_each_policy_is_as_short_as_iam_takes_it(name: str) -> None:
    """6,144 characters without white space (IAM User Guide, "IAM and AWS STS quotas")."""
    text = deployer.policy(name, **(REAL | {"STACK": "a-stack-of-rather-a-long-name", "REGION": "ap-southeast-99"}))
    assert len("".join(text.split())) <= 6144
