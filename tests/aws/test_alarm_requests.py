"""Each alarm of the template is a request that CloudWatch's API model takes; no account has been asked for them yet.

CloudFormation makes an alarm by PutMetricAlarm. botocore checks what it is given against AWS's model but for lengths,
values and patterns, which are checked here; ``make lint`` has cfn-lint check the template against the resource schema.
"""

import re
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ParamValidationError
from moto import mock_aws
from testkit.aws.world import REGION
from testkit.transformed import deployed

TOPIC = f"arn:aws:sns:{REGION}:123456789012:alarms"
HOUR, DAY, WEEK = 3600, 86400, 604800


def alarms(**parameters: Any) -> dict[str, Any]:
    """The alarms of a stack in an account as requests, by logical id: what they refer to is called after it."""
    resources = deployed(**parameters)
    return {
        name: _named(each["Properties"]) | {"AlarmName": f"jitr-{name}"}
        for name, each in resources.items()
        if each["Type"] == "AWS::CloudWatch::Alarm"
    }


def _named(node: Any) -> Any:
    if isinstance(node, list):
        return [_named(each) for each in node]
    if not isinstance(node, dict):
        return node
    if "Ref" in node:
        return f"jitr-{node['Ref']}"
    if "Fn::GetAtt" in node:
        target = node["Fn::GetAtt"]
        name, attribute = target.split(".") if isinstance(target, str) else target
        assert attribute == "QueueName", "nothing else is a name"
        return f"jitr-{name}"
    if "Fn::Sub" in node:
        return re.sub(r"\$\{(?:AWS::)?(\w+)\}", r"jitr-\1", node["Fn::Sub"])
    return {key: _named(each) for key, each in node.items()}


ALARMS = alarms(AlarmTopicArn=TOPIC)
QUERIES = {name: each for name, each in ALARMS.items() if "Metrics" in each}


def misfits(shape: Any, value: Any, where: str) -> Iterator[str]:
    """What of a value is longer than the model has it, none of its values, or not in its pattern."""
    limits = shape.metadata
    if shape.type_name == "structure":
        for name, each in value.items():
            yield from misfits(shape.members[name], each, f"{where}.{name}")
        return
    if shape.type_name == "list":
        for each in value:
            yield from misfits(shape.member, each, where)
    size = value if shape.type_name in {"integer", "double"} else len(value) if hasattr(value, "__len__") else 0
    if not limits.get("min", size) <= size <= limits.get("max", size):
        yield f"{where}: {size} is not between {limits.get('min')} and {limits.get('max')}"
    if getattr(shape, "enum", None) and value not in shape.enum:
        yield f"{where}: {value} is none of {shape.enum}"
    if "pattern" in limits and re.fullmatch(limits["pattern"], value) is None:
        yield f"{where}: {value} is not of {limits['pattern']}"


def test_there_are_alarms_and_queries_among_them() -> None:
    assert len(ALARMS) >= 25
    assert QUERIES.keys() == {"RuleActionFailuresAlarm", "RuleErrorActionFailuresAlarm"}


def refusals(cloudwatch: Any, request: dict[str, Any]) -> list[str]:
    """Why CloudWatch would not take a request for an alarm; moto keeps one that it takes."""
    try:
        cloudwatch.put_metric_alarm(**request)
    except ParamValidationError as problem:
        return [str(problem)]
    shape = cloudwatch.meta.service_model.operation_model("PutMetricAlarm").input_shape
    return list(misfits(shape, request, request["AlarmName"]))


@pytest.fixture
def cloudwatch() -> Iterator[Any]:
    with mock_aws():
        yield boto3.client("cloudwatch", region_name=REGION)


def test_cloudwatch_takes_each_alarm_as_it_is(cloudwatch: Any) -> None:
    """With a topic, and without: then nobody is told."""
    silent = alarms()
    for each in (*ALARMS.values(), *silent.values()):
        assert refusals(cloudwatch, each) == []
    kept = {each["AlarmName"] for each in cloudwatch.describe_alarms()["MetricAlarms"]}
    assert kept == {each["AlarmName"] for each in ALARMS.values()}
    assert {(*each["AlarmActions"], *each["OKActions"]) for each in ALARMS.values()} == {(TOPIC, TOPIC)}
    assert not [name for name, each in silent.items() if "AlarmActions" in each or "OKActions" in each]


@pytest.mark.parametrize(
    "wrong", [{"Period": "often"}, {"ComparisonOperator": "Above"}, {"AlarmDescription": "!" * 1025}, {"Color": "red"}]
)
def test_what_cloudwatch_does_not_take_is_seen(cloudwatch: Any, wrong: dict[str, Any]) -> None:
    assert refusals(cloudwatch, ALARMS["BugsAlarm"] | wrong)


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_looks_at_periods_and_spans_that_there_are(name: str) -> None:
    """Multiples of a minute, in a day at most, or hours in a week: CloudWatch API Reference, PutMetricAlarm, Period.

    A query sees the latest three hours.
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-limits.html
    """
    alarm = ALARMS[name]
    period = alarm["Metrics"][0]["Period"] if name in QUERIES else alarm["Period"]
    span = period * alarm["EvaluationPeriods"]
    assert period % 60 == 0
    assert span <= (3 * HOUR if name in QUERIES else DAY if period < HOUR else WEEK)
    assert 1 <= alarm.get("DatapointsToAlarm", alarm["EvaluationPeriods"]) <= alarm["EvaluationPeriods"]


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_is_on_one_metric_or_on_one_query(name: str) -> None:
    """CloudWatch API Reference, PutMetricAlarm, Metrics: with it, none of the others; one that returns data."""
    alarm = ALARMS[name]
    of_a_metric = {"MetricName", "Namespace", "Dimensions", "Period", "Statistic"}
    if name not in QUERIES:
        assert of_a_metric <= alarm.keys()
        return
    assert not {*of_a_metric, "Unit", "ExtendedStatistic"} & alarm.keys()
    (query,) = alarm["Metrics"]
    assert query["ReturnData"] is True
    assert re.fullmatch(r'SELECT SUM\(\w+\) FROM "AWS/IoT" WHERE RuleName = \'jitr-\w+\'', query["Expression"])


def test_no_metric_has_more_dimensions_than_the_functions_give_it() -> None:
    """An alarm on dimensions that no data has stays silent for ever: those of ours have a service, some a reason."""
    ours = [each for each in ALARMS.values() if each.get("Namespace") == "jitr"]
    assert ours
    for each in ours:
        names = {dimension["Name"]: dimension["Value"] for dimension in each["Dimensions"]}
        assert names["service"] == "jitr"
        assert names.keys() <= {"service", "reason"}
