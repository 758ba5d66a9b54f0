"""A deployed stack in process, as far as commands look at it: its outputs, its table and its queues."""

import json
from typing import Any

import boto3

from jitr.aws.dynamodb.table import Table
from testkit.cli.command_line import ACCOUNT, REGION

KEYS = ("pk", "sk", "state_shard", "state_at", "due_shard", "due_at")
INDEXES = (("by_state", "state_shard", "state_at"), ("by_due", "due_shard", "due_at"))
QUEUES = ("RegistrationQueue", "RegistrationFailures", "RuleFailures", "NotifyFailures")

TEMPLATE = {
    "Resources": {
        "Table": {
            "Type": "AWS::DynamoDB::Table",
            "Properties": {
                "BillingMode": "PAY_PER_REQUEST",
                "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in KEYS],
                "KeySchema": [
                    {"AttributeName": "pk", "KeyType": "HASH"},
                    {"AttributeName": "sk", "KeyType": "RANGE"},
                ],
                "GlobalSecondaryIndexes": [
                    {
                        "IndexName": name,
                        "KeySchema": [
                            {"AttributeName": partition, "KeyType": "HASH"},
                            {"AttributeName": sort, "KeyType": "RANGE"},
                        ],
                        "Projection": {"ProjectionType": "KEYS_ONLY"},
                    }
                    for name, partition, sort in INDEXES
                ],
            },
        },
        **{name: {"Type": "AWS::SQS::Queue"} for name in QUEUES},
    },
    "Outputs": {
        "TableName": {"Value": {"Ref": "Table"}},
        "DevicePolicyName": {"Value": "Sensor"},
        "RegisterFunctionName": {"Value": "register"},
        "EventBusName": {"Value": "default"},
        **{f"{name}Url": {"Value": {"Ref": name}} for name in QUEUES},
    },
}

# What a local stack says of itself, in its .local/stack.json.
LOCAL_STATE = {
    "endpoint_url": "http://127.0.0.1:4566",
    "region": "us-east-1",
    "account_id": "000000000000",
    "stack_name": "jitr",
    "access_key_id": "local",
    "secret_access_key": "secret",
    "mqtt_host": "localhost",
    "mqtt_port": 8883,
    "broker_ca": "/x/broker-ca.pem",
}

TOPIC_RULE = "jitr_RegistrationTopicRule"


def deploy() -> Table:
    """Make the stack ``jitr`` in the account of the environment, with an IoT policy, a thing type and a group."""
    cloudformation = boto3.client("cloudformation", region_name="eu-central-1")
    cloudformation.create_stack(StackName="jitr", TemplateBody=json.dumps(TEMPLATE))
    outputs = cloudformation.describe_stacks(StackName="jitr")["Stacks"][0]["Outputs"]
    values = {each["OutputKey"]: each["OutputValue"] for each in outputs}
    name = values["TableName"]
    iot = boto3.client("iot", region_name="eu-central-1")
    iot.create_topic_rule(ruleName=TOPIC_RULE, topicRulePayload=topic_rule(values["RegistrationQueueUrl"]))
    make_policies(iot, "Sensor")
    iot.create_thing_type(thingTypeName="Sensor")
    iot.create_thing_group(thingGroupName="line-a")
    return Table(boto3.client("dynamodb", region_name="eu-central-1"), name)


def topic_rule(queue_url: str) -> Any:
    """What puts registration events on a queue; moto's CloudFormation makes no topic rule."""
    action = {"sqs": {"roleArn": "arn:aws:iam::123456789012:role/r", "queueUrl": queue_url}}
    return {"sql": "SELECT * FROM '$aws/events/certificates/registered/#'", "actions": [action], "ruleDisabled": False}


def make_policies(iot: Any, *names: str) -> None:
    """IoT policies of these names, but for those that are there."""
    there = {each["policyName"] for each in iot.list_policies()["policies"]}
    for name in names:
        if name not in there:
            iot.create_policy(policyName=name, policyDocument="{}")


class Queues:
    """The two queues of a deployed stack."""

    def __init__(self) -> None:
        outputs = boto3.client("cloudformation", region_name="eu-central-1").describe_stacks(StackName="jitr")
        self.urls = {each["OutputKey"]: each["OutputValue"] for each in outputs["Stacks"][0]["Outputs"]}
        self.sqs = boto3.client("sqs", region_name="eu-central-1")

    def fail(self, body: str, reason: str | None) -> None:
        """Put a message where failed ones lie."""
        attributes: Any = (
            {}
            if reason is None
            else {
                "reason": {"DataType": "String", "StringValue": reason},
                "message": {"DataType": "String", "StringValue": f"because of {reason}"},
            }
        )
        self.sqs.send_message(
            QueueUrl=self.urls["RegistrationFailuresUrl"], MessageBody=body, MessageAttributes=attributes
        )

    def count(self, name: str) -> int:
        """How many messages can be received from a queue."""
        answer = self.sqs.get_queue_attributes(
            QueueUrl=self.urls[f"{name}Url"], AttributeNames=["ApproximateNumberOfMessages"]
        )
        return int(answer["Attributes"]["ApproximateNumberOfMessages"])

    def bodies(self, name: str) -> set[str]:
        """The bodies in a queue, also of messages that are in flight; they are visible afterwards."""
        from moto.sqs.models import sqs_backends

        queue = sqs_backends[ACCOUNT][REGION].queues[self.urls[f"{name}Url"].rpartition("/")[2]]
        return {each.body for each in queue._messages if each.id not in queue.deleted_messages}
