"""docs/webhooks.yaml: a template that CloudFormation takes, and that sends Slack nothing that a device chose."""

import json
import re
from pathlib import Path
from typing import Any

from cfnlint.api import lint_file
from testkit import template
from tools.event_schemas import promises, schema_of

FILE = Path(__file__).parents[2] / "docs" / "webhooks.yaml"
RESOURCES: dict[str, Any] = template.read(FILE.read_text())["Resources"]
# What the stack, a certificate's hash or our code chose.
OURS = {
    "$.detail-type",
    "$.detail.metadata.stack",
    "$.detail.data.certificate_id",
    "$.detail.data.reason",
}


def test_cloudformation_takes_it() -> None:
    assert lint_file(FILE) == []


def test_slack_gets_nothing_that_a_device_chose() -> None:
    """A name could be a link there, or call everybody in the channel, or end the text that it stands in."""
    (target,) = RESOURCES["SlackRule"]["Properties"]["Targets"]
    transformer = target["InputTransformer"]
    assert set(transformer["InputPathsMap"].values()) == OURS
    used = set(re.findall(r"<(\w+)>", transformer["InputTemplate"]))
    assert used == set(transformer["InputPathsMap"])
    assert json.loads(re.sub(r"<\w+>", "x", transformer["InputTemplate"])).keys() == {"text"}
    for detail_type in RESOURCES["SlackRule"]["Properties"]["EventPattern"]["detail-type"]:
        there = {f"$.{each}" for each in promises(schema_of(detail_type))}
        assert there >= OURS


def test_what_is_not_delivered_is_kept() -> None:
    for rule in ("SlackRule", "WebhookRule"):
        (target,) = RESOURCES[rule]["Properties"]["Targets"]
        assert target["DeadLetterConfig"] == {"Arn": {"Fn::GetAtt": "NotDelivered.Arn"}}
