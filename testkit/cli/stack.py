"""A deployed stack in process, as far as commands look at it: its outputs, its table and its queues."""

import json

import boto3

from jitr.aws.dynamodb.table import Table

KEYS = ("pk", "sk", "state_shard", "state_at", "due_shard", "due_at")
INDEXES = (("by_state", "state_shard", "state_at"), ("by_due", "due_shard", "due_at"))

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
        **{name: {"Type": "AWS::SQS::Queue"} for name in ("RegistrationQueue", "RegistrationFailures", "RuleFailures")},
    },
    "Outputs": {
        "TableName": {"Value": {"Ref": "Table"}},
        "DevicePolicyName": {"Value": "Sensor"},
        "RegisterFunctionName": {"Value": "register"},
        **{
            f"{name}Url": {"Value": {"Ref": name}}
            for name in ("RegistrationQueue", "RegistrationFailures", "RuleFailures")
        },
    },
}


def deploy() -> Table:
    """Make the stack ``jitr`` in the account of the environment, with an IoT policy, a thing type and a group."""
    cloudformation = boto3.client("cloudformation", region_name="eu-central-1")
    cloudformation.create_stack(StackName="jitr", TemplateBody=json.dumps(TEMPLATE))
    outputs = cloudformation.describe_stacks(StackName="jitr")["Stacks"][0]["Outputs"]
    name = next(each["OutputValue"] for each in outputs if each["OutputKey"] == "TableName")
    iot = boto3.client("iot", region_name="eu-central-1")
    iot.create_policy(policyName="Sensor", policyDocument="{}")
    iot.create_thing_type(thingTypeName="Sensor")
    iot.create_thing_group(thingGroupName="line-a")
    return Table(boto3.client("dynamodb", region_name="eu-central-1"), name)
