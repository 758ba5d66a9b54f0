"""The template, transformed by SAM, in moto's CloudFormation: a second emulator beside the local stack.

moto knows no topic rule and runs functions in containers only. So tests put on the queue what the topic rule would, and
``EventSourceMapping`` stands in for Lambda: it does for the deployed mapping what Lambda does, in this process.
"""

import importlib.util
import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import boto3

from testkit.aws.world import REGION
from testkit.template import ROOT
from testkit.transformed import transformed

STACK = "jitr"
_CODE = "code"  # the bucket that transformed() names

# What moto makes nothing of, and says so in a warning.
NOT_MADE = {
    "AWS::CloudWatch::Alarm",
    "AWS::IoT::TopicRule",
    "AWS::Lambda::Alias",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::QueuePolicy",
    "AWS::Scheduler::Schedule",
}

Template = dict[str, Any]


def _without_dashboard(template: Template) -> None:
    """It names the alarms, which moto does not make."""
    del template["Resources"]["Dashboard"]
    del template["Outputs"]["DashboardUrl"]


def _without_protection(template: Template) -> None:
    """moto asks functions by what is no JSON where a property refers to a layer."""
    del template["Resources"]["Protection"]


def _without_cleanup(template: Template) -> None:
    """The same of the IoT policy."""
    del template["Resources"]["Cleanup"]
    for each in template["Resources"].values():
        needed = each.get("DependsOn", [])
        each["DependsOn"] = [name for name in ([needed] if isinstance(needed, str) else needed) if name != "Cleanup"]


def _without_the_stream_to_functions(template: Template) -> None:
    """moto puts what is written to the table into JSON for the functions, and rules in force are bytes."""
    del template["Resources"]["RecheckFunctionChanges"]
    del template["Resources"]["NotifyFunctionWritten"]


def _with_the_function_in_the_place_of_its_alias(template: Template) -> None:
    """moto makes no alias, and no mapping without a function."""
    template["Resources"]["RegisterFunctionRegistrations"]["Properties"]["FunctionName"] = {"Ref": "RegisterFunction"}


def _with_attributes_apart(template: Template) -> None:
    """moto reads Fn::GetAtt as in JSON, a list, and not as in YAML, where it may be one text."""

    def apart(node: Any) -> Any:
        if isinstance(node, list):
            return [apart(each) for each in node]
        if not isinstance(node, dict):
            return node
        return {
            key: each.split(".", 1) if key == "Fn::GetAtt" and isinstance(each, str) else apart(each)
            for key, each in node.items()
        }

    template.update(apart(template))


def _with_the_name_of_the_iot_policy(template: Template) -> None:
    """moto's Ref of an IoT policy is not its name."""
    name = template["Resources"]["SensorPolicy"]["Properties"]["PolicyName"]
    template["Outputs"]["DevicePolicyName"]["Value"] = name


LACKS: tuple[Callable[[Template], None], ...] = (
    _without_dashboard,
    _without_protection,
    _without_cleanup,
    _without_the_stream_to_functions,
    _with_the_function_in_the_place_of_its_alias,
    _with_attributes_apart,
    _with_the_name_of_the_iot_policy,
)


def template(but: Callable[[Template], None] | None = None) -> Template:
    """Return the transformed template as moto can deploy it; one of what it lacks may be left as it is."""
    made = transformed()
    for each in LACKS:
        if each is not but:
            each(made)
    return made


def deploy(made: Template) -> dict[str, str]:
    """Deploy it in the account of the environment, and return the outputs. Raises what moto raises."""
    s3: Any = boto3.client("s3", region_name=REGION)
    s3.create_bucket(Bucket=_CODE, CreateBucketConfiguration={"LocationConstraint": REGION})
    for name, each in made["Resources"].items():
        if each["Type"] in {"AWS::Lambda::Function", "AWS::Lambda::LayerVersion"}:
            s3.put_object(Bucket=_CODE, Key=name, Body=_archive(name))
    cloudformation = boto3.client("cloudformation", region_name=REGION)
    cloudformation.create_stack(StackName=STACK, TemplateBody=json.dumps(made), Capabilities=["CAPABILITY_IAM"])
    (stack,) = cloudformation.describe_stacks(StackName=STACK)["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    return {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}


def made_of(stack: str = STACK) -> dict[str, str]:
    """Return physical ids by logical id."""
    pages = boto3.client("cloudformation", region_name=REGION).get_paginator("list_stack_resources")
    return {
        each["LogicalResourceId"]: each["PhysicalResourceId"]
        for page in pages.paginate(StackName=stack)
        for each in page["StackResourceSummaries"]
    }


def _archive(name: str) -> bytes:
    """Return what is in the place of a function's or layer's code: moto looks at its bytes only."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("name", name)
    return file.getvalue()


@dataclass
class EventSourceMapping:
    """What Lambda does for a deployed mapping of a queue: batches to the function, what it does not report deleted.

    Function, environment and batch size are those deployed.
    """

    function: Mapping[str, Any]  # as GetFunctionConfiguration gives it
    mapping: Mapping[str, Any]  # as ListEventSourceMappings gives it
    queue_url: str

    def run(self) -> list[dict[str, Any]]:
        """Have everything that waits handled, and return what the function answered."""
        sqs = boto3.client("sqs", region_name=REGION)
        answers = []
        while messages := self._batch(sqs):
            with self._handler() as handler:
                answer = handler({"Records": [_record(each, self.mapping) for each in messages]}, _Context())
            answers.append(answer)
            failed = {each["itemIdentifier"] for each in answer["batchItemFailures"]}
            for each in messages:
                if each["MessageId"] not in failed:
                    sqs.delete_message(QueueUrl=self.queue_url, ReceiptHandle=each["ReceiptHandle"])
        return answers

    def _batch(self, sqs: Any) -> list[dict[str, Any]]:
        found = sqs.receive_message(
            QueueUrl=self.queue_url,
            MaxNumberOfMessages=self.mapping["BatchSize"],
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        return list(found.get("Messages", []))

    @classmethod
    def deployed(cls, name: str, queue_url: str) -> "EventSourceMapping":
        """Return the mapping that feeds a function, by the function's name; moto's own would run a container."""
        aws_lambda: Any = boto3.client("lambda", region_name=REGION)
        (mapping,) = aws_lambda.list_event_source_mappings(FunctionName=name)["EventSourceMappings"]
        aws_lambda.delete_event_source_mapping(UUID=mapping["UUID"])
        return cls(aws_lambda.get_function_configuration(FunctionName=name), mapping, queue_url)

    @contextmanager
    def _handler(self) -> Iterator[Callable[[Any, Any], Any]]:
        """Start the function as Lambda does, with nothing in its environment but what was deployed and Lambda adds."""
        variables = {name: str(each) for name, each in self.function["Environment"]["Variables"].items()}
        lambdas = {
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_LAMBDA_FUNCTION_NAME": self.function["FunctionName"],
        }
        module, _, name = self.function["Handler"].partition(".")
        path = ROOT / "functions/register" / f"{module}.py"
        with patch.dict("os.environ", lambdas | variables, clear=True):
            spec = importlib.util.spec_from_file_location("deployed_app", path)
            assert spec is not None
            assert spec.loader is not None
            app = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(app)
            yield getattr(app, name)


class _Context:
    function_name = "register"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn"
    aws_request_id = "id"

    def get_remaining_time_in_millis(self) -> int:
        return 30_000


def _record(message: Mapping[str, Any], mapping: Mapping[str, Any]) -> dict[str, Any]:
    """As Lambda hands a message of SQS to a function."""
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message["Attributes"],
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": mapping["EventSourceArn"],
        "awsRegion": REGION,
    }
