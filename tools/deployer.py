"""The least IAM policies for whoever deploys, worked out from the template: docs/deployer/, `make docs UPDATE=1`.

For each type of resource that the transformed template has, CloudFormation's own schema names the actions that making,
changing and deleting one takes, and AWS's service authorization reference what each is authorised on; cfn-lint carries
both. An action stays if that is something which the stack has, and is narrowed to what bears the stack's name.
In the files, STACK, REGION and ACCOUNT stand for the real ones, KEY and BOUNDARY for what parameters name.
"""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cache
from importlib import resources
from typing import Any

from cfnlint.schema import PROVIDER_SCHEMA_MANAGER
from testkit.transformed import deployed

# Everything that a parameter can add.
OPTIONS: Mapping[str, Any] = {
    "KmsKeyArn": "arn:aws:kms:eu-central-1:123456789012:key/0a1b2c3d",
    "PermissionsBoundaryArn": "arn:aws:iam::123456789012:policy/boundary",
    "AccessLogsBucket": "logs-of-ours",
    "AlarmTopicArn": "arn:aws:sns:eu-central-1:123456789012:alarms",
    "RefusalsEmail": "somebody@example.com",
    "NotificationsTopicArn": "arn:aws:sns:eu-central-1:123456789012:people",
    "DeploymentType": "Canary10Percent15Minutes",
    "ProvisionedConcurrency": 1,
}

# What of each kind belongs to the stack. CloudFormation names after the stack whatever the template does not.
_OWN = {
    "cloudwatch": {
        "alarm": ["arn:aws:cloudwatch:REGION:ACCOUNT:alarm:STACK-*"],
        "dashboard": ["arn:aws:cloudwatch::ACCOUNT:dashboard/STACK-*"],
    },
    "codedeploy": {
        "application": ["arn:aws:codedeploy:REGION:ACCOUNT:application:STACK-*"],
        "deploymentgroup": ["arn:aws:codedeploy:REGION:ACCOUNT:deploymentgroup:STACK-*"],
        "deploymentconfig": ["arn:aws:codedeploy:REGION:ACCOUNT:deploymentconfig:*"],
    },
    "dynamodb": {"table": ["arn:aws:dynamodb:REGION:ACCOUNT:table/STACK-*"]},
    "events": {"rule-on-default-event-bus": ["arn:aws:events:REGION:ACCOUNT:rule/STACK-*"]},
    "iam": {"role": ["arn:aws:iam::ACCOUNT:role/STACK-*"]},
    "iot": {
        "policy": ["arn:aws:iot:REGION:ACCOUNT:policy/STACK-*"],
        # A rule's name has no hyphens, so the stack's is not in it as it is.
        "rule": ["arn:aws:iot:REGION:ACCOUNT:rule/*RegistrationTopicRule*"],
    },
    "kms": {"key": ["KEY"]},
    "lambda": {
        "function": ["arn:aws:lambda:REGION:ACCOUNT:function:STACK-*"],
        "function alias": ["arn:aws:lambda:REGION:ACCOUNT:function:STACK-*"],
        "function version": ["arn:aws:lambda:REGION:ACCOUNT:function:STACK-*"],
        "layer": ["arn:aws:lambda:REGION:ACCOUNT:layer:STACK-*"],
        "layerVersion": ["arn:aws:lambda:REGION:ACCOUNT:layer:STACK-*"],
        # It has no name, and not every action on it can be bound to its function's.
        "eventSourceMapping": ["arn:aws:lambda:REGION:ACCOUNT:event-source-mapping:*"],
    },
    "logs": {"log-group": ["arn:aws:logs:REGION:ACCOUNT:log-group:STACK-*"]},
    "s3": {"bucket": ["arn:aws:s3:::STACK-*"]},
    "scheduler": {"schedule": ["arn:aws:scheduler:REGION:ACCOUNT:schedule/default/STACK-*"]},
    "sns": {"topic": ["arn:aws:sns:REGION:ACCOUNT:STACK-*"]},
    "sqs": {"queue": ["arn:aws:sqs:REGION:ACCOUNT:STACK-*"]},
}

# Actions that a schema names for what the template does not ask for, and why none is needed. * stands at the end only.
LEFT_OUT = {
    "codedeploy:ListDeployments": "instances of EC2",
    "codedeploy:RegisterOnPremisesInstance": "instances on premises",
    "dynamodb:AssociateTableReplica": "global tables",
    "dynamodb:CreateTableReplica": "global tables",
    "dynamodb:BatchWriteItem": "importing from S3: who deploys reads and writes no device",
    "dynamodb:DeleteItem": "the same",
    "dynamodb:GetItem": "the same",
    "dynamodb:ImportTable": "the same",
    "dynamodb:PutItem": "the same",
    "dynamodb:Query": "the same",
    "dynamodb:Scan": "the same",
    "dynamodb:UpdateItem": "the same",
    "dynamodb:DeleteResourcePolicy": "the table has no policy of its own",
    "dynamodb:PutResourcePolicy": "the table has no policy of its own",
    "dynamodb:DisableKinesisStreamingDestination": "Kinesis",
    "dynamodb:EnableKinesisStreamingDestination": "Kinesis",
    "dynamodb:UpdateKinesisStreamingDestination": "Kinesis",
    "dynamodb:UpdateContributorInsights": "Contributor Insights",
    "ec2:*": "no function is in a VPC",
    "iam:AttachRolePolicy": "no role has a managed policy",
    "iam:DetachRolePolicy": "no role has a managed policy",
    "iam:CreateServiceLinkedRole": "global tables and scaling",
    "kms:Encrypt": "environments of functions under a key of their own",
    "kms:ListAliases": "the key is named by its ARN",
    "lambda:AssociateRuntimeAlias": "no action of AWS",
    "lambda:*CodeSigningConfig": "code signing",
    "lambda:DeleteFunctionConcurrency": "reserved concurrency",
    "lambda:PutFunctionConcurrency": "reserved concurrency",
    "lambda:PutFunctionRecursionConfig": "the default is right",
    "lambda:PutFunctionScalingConfig": "capacity providers",
    "lambda:GetFunctionScalingConfig": "capacity providers",
    "lambda:PutRuntimeManagementConfig": "the default is right",
    "logs:CreateLogDelivery": "deliveries",
    "logs:CreateLogStream": "exports of DynamoDB's imports",
    "logs:PutLogEvents": "exports of DynamoDB's imports",
    "logs:*ResourcePolicy": "log groups have no policy",
    "logs:DescribeResourcePolicies": "log groups have no policy",
    "logs:*DataProtectionPolicy": "data protection",
    "logs:*IndexPolicy": "field indexes",
    "logs:DescribeIndexPolicies": "field indexes",
    "logs:PutBearerTokenAuthentication": "bearer tokens",
    "logs:PutLogGroupDeletionProtection": "deletion protection of logs",
    "s3:DeleteObject": "who deploys reads and writes no upload",
    "s3:PutObjectAcl": "the same",
    "s3:ListBucket": "the same",
    "s3:*BucketMetadata*": "metadata tables",
    "s3:*Accelerate*": "transfer acceleration",
    "s3:*Analytics*": "analytics",
    "s3:*BucketAbac": "attribute-based access",
    "s3:*BucketAcl": "no bucket has an ACL",
    "s3:*BucketCORS": "CORS",
    "s3:*BucketCors": "CORS",
    "s3:*BucketWebsite": "web sites",
    "s3:*IntelligentTiering*": "tiering",
    "s3:*Inventory*": "inventories",
    "s3:*Metrics*": "metrics of requests",
    "s3:*ObjectLock*": "object lock",
    "s3:*Replication*": "replication",
    "sns:PutDataProtectionPolicy": "data protection",
}
# What the schemas do not name.
_ADDED = {
    "lambda:InvokeFunction": "CloudFormation asks CleanupFunction, a custom resource, in the name of whoever deploys",
}
# Subscriptions: AWS's references disagree on whether they are authorised on the topic or on nothing.
_DISAGREED_ON = {"sns:GetSubscriptionAttributes", "sns:SetSubscriptionAttributes", "sns:Unsubscribe"}
# What SAM asks of CloudFormation about the stack, and operators about one that did not come up.
_OF_THE_STACK = [
    "ContinueUpdateRollback", "CreateChangeSet", "DeleteChangeSet", "DeleteStack", "DescribeChangeSet",
    "DescribeStackEvents", "DescribeStackResources", "DescribeStacks", "ExecuteChangeSet", "GetTemplate",
    "GetTemplateSummary", "ListStackResources", "UpdateTerminationProtection",
]  # fmt: skip
_PASSED_TO = ["codedeploy.amazonaws.com", "iot.amazonaws.com", "lambda.amazonaws.com", "scheduler.amazonaws.com"]


@cache
def _reference() -> dict[str, Any]:
    """Return what AWS authorises each action on, by service."""
    found: dict[str, Any] = json.loads((resources.files("cfnlint.data.AdditionalSpecs") / "Policies.json").read_text())
    return found


@cache
def named_by_aws() -> dict[str, set[str]]:
    """Return each action that AWS's schemas name for a type of the template, with those types."""
    found: dict[str, set[str]] = defaultdict(set)
    for kind in {each["Type"] for each in deployed(**OPTIONS).values() if not each["Type"].startswith("Custom::")}:
        handlers = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema["handlers"]
        for handler in ("create", "read", "update", "delete"):
            for action in handlers.get(handler, {}).get("permissions", ()):
                found[action].add(kind)
    return found


def kinds(action: str) -> list[str] | None:
    """Return AWS's words for what an action is authorised on, None where there is no such action."""
    service, _, name = action.partition(":")
    known = _reference().get(service, {}).get("Actions", {}).get(name.lower())
    return None if known is None else known.get("Resources") or []


def authorised_on(action: str) -> list[str] | None:
    """Return the ARNs of the stack that an action is authorised on; None where the stack has nothing of the kind."""
    wanted = kinds(action)
    if wanted is None:
        return None
    if action in _DISAGREED_ON:
        return ["*"]
    service = action.partition(":")[0]
    own = {arn for kind in wanted for arn in _OWN.get(service, {}).get(kind, ())}
    return sorted(own) or (None if wanted else ["*"])


def left_out(action: str) -> bool:
    """Return whether there is a reason not to allow an action that a schema names."""
    return any(fnmatchcase(action, pattern) for pattern in LEFT_OUT)


@cache
def allowed() -> dict[str, list[str]]:
    """Return each action that deploying takes, with the ARNs that it is narrowed to."""
    actions = [each for each in named_by_aws() if not left_out(each)]
    on = {action: authorised_on(action) for action in [*actions, *_ADDED]}
    return {action: arns for action, arns in sorted(on.items()) if arns is not None}


Statement = dict[str, Any]


def _statements(wanted: Callable[[str], bool]) -> Iterator[Statement]:
    """Yield what is allowed of the wanted services, a statement for each set of ARNs."""
    by_arns: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for action, on in allowed().items():
        if wanted(action.partition(":")[0]) and action not in {"lambda:CreateEventSourceMapping", *_OF_MAPPINGS}:
            by_arns[tuple(on)].append(action)
    for arns, actions in by_arns.items():
        yield _statement(actions, *arns)


def _statement(actions: list[str], *arns: str, **condition: dict[str, Any]) -> Statement:
    made = {"Effect": "Allow", "Action": actions, "Resource": arns[0] if len(arns) == 1 else list(arns)}
    return made | ({"Condition": condition} if condition else {})


# Mappings have no names; these take a condition on the function's.
_OF_MAPPINGS = ["lambda:DeleteEventSourceMapping", "lambda:UpdateEventSourceMapping"]


def _deploy() -> Iterator[Statement]:
    """Yield what SAM asks for itself, and what functions and their versions take."""
    stacks = "arn:aws:cloudformation:REGION:ACCOUNT:stack"
    yield _statement([f"cloudformation:{each}" for each in _OF_THE_STACK], f"{stacks}/STACK/*")
    yield _statement(["cloudformation:CreateChangeSet"], "arn:aws:cloudformation:REGION:aws:transform/*")
    # `sam deploy --resolve-s3` looks where its bucket is, `sam delete` for what SAM may have made beside this one.
    looked_at = [f"{stacks}/aws-sam-cli-managed-default/*", f"{stacks}/STACK-*/*"]
    yield _statement(["cloudformation:DescribeStacks"], *looked_at)
    objects = ["s3:DeleteObject", "s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"]
    yield _statement(objects, "arn:aws:s3:::ARTIFACTS/*")
    yield _statement(["s3:GetBucketLocation", "s3:ListBucket"], "arn:aws:s3:::ARTIFACTS")
    yield from _statements(lambda service: service in {"lambda", "codedeploy"})
    functions = {"lambda:FunctionArn": "arn:aws:lambda:REGION:ACCOUNT:function:STACK-*"}
    yield _statement(["lambda:CreateEventSourceMapping"], "*", ArnLike=functions)
    yield _statement(_OF_MAPPINGS, *_OWN["lambda"]["eventSourceMapping"], ArnLike=functions)


def _data() -> Iterator[Statement]:
    """Yield what everything else takes that holds or reports something."""
    yield from _statements(lambda service: service not in {"lambda", "codedeploy", "iam", "kms"})


def _roles(boundary: bool) -> Iterator[Statement]:
    """Yield what the roles take; within a boundary, none can be made or given anything without it."""
    bounded = ["iam:CreateRole", "iam:DeleteRolePolicy", "iam:PutRolePermissionsBoundary", "iam:PutRolePolicy"]
    actions = [each for each in allowed() if each.startswith("iam:") and each != "iam:PassRole"]
    if boundary:
        actions = [each for each in actions if each not in {*bounded, "iam:DeleteRolePermissionsBoundary"}]
        yield _statement(bounded, *_OWN["iam"]["role"], StringEquals={"iam:PermissionsBoundary": "BOUNDARY"})
    yield _statement(actions, *_OWN["iam"]["role"])
    yield _statement(["iam:PassRole"], *_OWN["iam"]["role"], StringEquals={"iam:PassedToService": _PASSED_TO})


def _key() -> Iterator[Statement]:
    """Yield what KmsKeyArn takes."""
    yield from _statements(lambda service: service == "kms")


def _document(statements: Iterator[Statement]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)}, indent=1) + "\n"


FILES: Mapping[str, Callable[[], str]] = {
    "deployer/deploy.json": lambda: _document(_deploy()),
    "deployer/data.json": lambda: _document(_data()),
    "deployer/roles.json": lambda: _document(_roles(boundary=False)),
    "deployer/roles-within-boundary.json": lambda: _document(_roles(boundary=True)),
    "deployer/key.json": lambda: _document(_key()),
}
"""The files in docs/, and what makes them."""


def policy(name: str, **real: str) -> str:
    """Return one of the files with the real words in place of STACK, REGION, ACCOUNT, ARTIFACTS, KEY and BOUNDARY."""
    text = FILES[f"deployer/{name}.json"]()
    for word, value in real.items():
        text = re.sub(rf"\b{word}\b", value, text)
    return text
