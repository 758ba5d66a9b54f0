"""`jitr verify` refuses what it could not end with before it makes anything."""

from pathlib import Path
from typing import Any

import boto3
import pytest
from testkit.cli.command_line import REGION, Aws, Run

from jitr.aws.dynamodb.table import Table

WHERE = ("--endpoint", "127.0.0.1:1", "--yes")


@pytest.mark.parametrize(
    ("report", "told"),
    [("verified.json", "name the page"), ("a-file/verified.md", "a-file")],
    ids=["its own JSON", "below a file"],
)
def test_a_report_that_could_not_be_written_is_told_before_anything_is_made(
    ready: Table, aws: Aws, run: Run, report: str, told: str
) -> None:
    Path("a-file").write_text("")
    before = sorted(Path().rglob("*"))
    aws.calls.clear()
    result = run("verify", *WHERE, "--report", report)
    assert (result.exit_code, told in result.stderr) == (2, True), result.stderr
    assert "RegisterCACertificate" not in aws.operations
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize("endpoint", ["mqtts://host", "host:port", "host:70000", ""])
def test_an_endpoint_that_is_none_is_told(ready: Table, aws: Aws, run: Run, endpoint: str) -> None:
    result = run("verify", "--endpoint", endpoint, "--yes")
    assert (result.exit_code, "--endpoint" in result.stderr) == (2, True), result.stderr
    assert "RegisterCACertificate" not in aws.operations


def test_where_another_topic_rule_takes_the_events_nothing_is_made(ready: Table, aws: Aws, run: Run) -> None:
    """What is behind it might let the devices of a verification in."""
    iot: Any = boto3.client("iot", region_name=REGION)
    action = {"lambda": {"functionArn": "arn:aws:lambda:eu-central-1:123456789012:function:lax"}}
    payload = {"sql": "SELECT * FROM '$aws/events/certificates/registered/#'", "actions": [action]}
    iot.create_topic_rule(ruleName="lax", topicRulePayload=payload)
    result = run("verify", *WHERE)
    assert (result.exit_code, "topic rule lax takes registration events" in result.stderr) == (2, True), result.stderr
    assert "RegisterCACertificate" not in aws.operations
