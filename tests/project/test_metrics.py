"""Every metric is documented, and every one that is watched is written: by the dashboard, and by the alarms."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
from testkit.template import RESOURCES, of_type

from jitr.aws.metrics import METRICS, NAMESPACE, RETRY_CAUSES, Unit

ROOT = Path(__file__).parents[2]
STACK = "a-stack"
UNITS = {"count": Unit.COUNT, "milliseconds": Unit.MILLISECONDS, "seconds": Unit.SECONDS}
BODY: str = RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]


def calls() -> list[tuple[str, str, bool]]:
    """Each metric that is written: the method, the metric's name, whether a reason is given."""
    found = []
    for file in (*(ROOT / "layers/jitr/jitr").rglob("*.py"), *(ROOT / "functions").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or not node.args:
                continue
            first = node.args[0]
            if node.func.attr in UNITS and isinstance(first, ast.Constant):
                by_reason = any(each.arg == "reason" for each in node.keywords)
                found.append((node.func.attr, str(first.value), by_reason))
    return [each for each in found if re.fullmatch(r"[A-Z]\w+", each[1])]


def test_every_metric_that_is_written_is_documented_and_no_other() -> None:
    assert {name for _, name, _ in calls()} == METRICS.keys(), "jitr/metrics.py lists them; then make the pages anew"


@pytest.mark.parametrize(("method", "name", "by_reason"), calls())
def test_a_metric_is_written_as_it_is_documented(method: str, name: str, by_reason: bool) -> None:
    assert METRICS[name].unit is UNITS[method]
    assert (METRICS[name].reasons is not None) == by_reason


# The dashboard


def dashboard() -> list[dict[str, Any]]:
    """Its widgets, with names in place of what CloudFormation puts in."""
    text = BODY.replace("${AWS::StackName}", STACK)
    text = re.sub(r"\$\{(?!!)([\w.:]+)\}", lambda found: found[1], text).replace("${!", "${")
    widgets: list[dict[str, Any]] = json.loads(text)["widgets"]
    return widgets


def shown() -> list[tuple[str, str, dict[str, str], dict[str, Any]]]:
    """Namespace, metric, dimensions and options of every line on it, searches included."""
    found = []
    for widget in dashboard():
        for line in widget["properties"].get("metrics", ()):
            options = {**widget["properties"], **(line[-1] if isinstance(line[-1], dict) else {})}
            if "expression" in options:
                found.append((*searched(options["expression"]), options))
                continue
            words = [each for each in line if isinstance(each, str)]
            found.append((words[0], words[1], dict(zip(words[2::2], words[3::2], strict=True)), options))
    return found


def searched(expression: str) -> tuple[str, str, dict[str, str]]:
    """https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/search-expression-syntax.html"""
    found = re.fullmatch(
        r"""SEARCH\('\{(\w+),(\w+),(\w+)\} MetricName="(\w+)" (\w+)="([\w-]+)"', '(?:Sum|Maximum)', 300\)""", expression
    )
    assert found, expression
    assert found[5] == found[2]
    return found[1], found[4], {found[2]: found[6], found[3]: "*"}


def test_the_dashboard_shows_metrics_as_they_are_written() -> None:
    for namespace, name, dimensions, _ in shown():
        if namespace == NAMESPACE:
            by_reason = METRICS[name].reasons is not None and "reason" in dimensions
            assert dimensions == {"service": STACK, **({"reason": "*"} if by_reason else {})}, name


def test_the_dashboard_shows_every_metric() -> None:
    told = {(name, "reason" in dimensions) for namespace, name, dimensions, _ in shown() if namespace == NAMESPACE}
    missing = METRICS.keys() - {name for name, _ in told} - {"RulesUnavailable"}  # has an alarm of its own on it
    assert not missing
    assert {name for name, by_reason in told if by_reason} == {name for name in METRICS if METRICS[name].reasons}


def test_the_dashboard_shows_half_and_nearly_all_of_the_times_to_admission() -> None:
    assert [options["stat"] for _, name, _, options in shown() if name == "TimeToAdmission"] == ["p50", "p99"]


def test_the_dashboard_shows_every_queue_function_and_table() -> None:
    named = {value for _, _, dimensions, _ in shown() for value in dimensions.values()}
    functions = {name for name in of_type("AWS::Serverless::Function") if name != "CleanupFunction"}
    assert named >= {f"{name}.QueueName" for name in of_type("AWS::SQS::Queue")} | functions | {"Table"}
    age = [line for line in shown() if line[1] == "ApproximateAgeOfOldestMessage"]
    assert [dimensions for _, _, dimensions, _ in age] == [{"QueueName": "RegistrationQueue.QueueName"}]


def test_what_comes_back_is_told_with_reasons_that_are_documented() -> None:
    """And so every reason for which the function puts back: `jitr status` asks for those."""
    given = {
        found
        for file in (ROOT / "layers/jitr/jitr").rglob("*.py")
        if "csv" not in file.parts  # for commands only
        for found in re.findall(r'(?:Retry|_come_back|super\(\).__init__)\(\s*"(\w+)"', file.read_text("utf-8"))
    }
    assert given == set(RETRY_CAUSES)


def test_the_dashboard_shows_every_alarm() -> None:
    (alarms,) = [each["properties"]["alarms"] for each in dashboard() if each["type"] == "alarm"]
    assert sorted(alarms) == sorted(f"{name}.Arn" for name in of_type("AWS::CloudWatch::Alarm"))


def test_alarms_watch_metrics_that_are_written() -> None:
    for alarm in of_type("AWS::CloudWatch::Alarm").values():
        if alarm.get("Namespace") == NAMESPACE:
            assert alarm["MetricName"] in METRICS
