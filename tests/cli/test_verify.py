"""`jitr verify` refuses what it could not end with before it makes anything."""

import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from testkit.cli.command_line import ACCOUNT, REGION, Aws, Run
from testkit.cli.stack import TOPIC_RULE

from jitr.aws.dynamodb.table import Table
from jitr_operations.verify.assumptions import ASSUMPTIONS, Report, Seen
from jitr_operations.verify.package import package_at
from jitr_operations.verify.usage import NOT_COUNTED
from jitr_operations.verify.verification import first_decision

CHECKOUT = Path(__file__).parents[2]
REGISTERED = "SELECT * FROM '$aws/events/certificates/registered/#'"
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
    payload = {"sql": REGISTERED, "actions": [action]}
    iot.create_topic_rule(ruleName="lax", topicRulePayload=payload)
    result = run("verify", *WHERE)
    assert (result.exit_code, "topic rule lax takes registration events" in result.stderr) == (2, True), result.stderr
    assert "RegisterCACertificate" not in aws.operations


def test_the_page_of_what_was_seen_has_a_line_for_each_assumption_and_what_the_run_used() -> None:
    page = (CHECKOUT / "docs/verified.md").read_text()
    rows = re.findall(r"^\| (.*?) \| (confirmed|otherwise|not tried) \|", page, re.MULTILINE)
    assert [text for text, _ in rows] == [each.text for each in ASSUMPTIONS]
    assert " ".join(page.split()).endswith(NOT_COUNTED)


@pytest.mark.parametrize(("needed", "knocked"), [(0, False), (1, True)])
def test_an_event_that_was_lost_is_looked_for_once_more(needed: int, knocked: bool) -> None:
    """The role of a stack that was made a minute ago may not be known to AWS IoT when the first device knocks."""
    knocks: list[None] = []
    record: Any = object()
    found = first_decision(lambda: record if len(knocks) >= needed else None, lambda: knocks.append(None), within=0)
    assert (found, len(knocks)) == ((record, knocked), needed)


def test_what_was_not_looked_at_is_told_with_why() -> None:
    """Also what a run that found something otherwise had no more use for."""
    report = Report("here", "2026-03-01T12:00:00Z", "0a1b2c3d")
    report.see("first.pending", True, "PENDING_ACTIVATION")
    report.see("first.chain", False, "hung up")
    assert {seen.value: report.count(seen) for seen in Seen} == {
        "confirmed": 1,
        "otherwise": 1,
        "not tried": len(ASSUMPTIONS) - 2,
    }
    untried = {each["code"]: each["detail"] for each in report.to_json()["assumptions"] if each["seen"] == "not tried"}
    assert untried["alarm.failures"] == "only with --alarm"
    assert untried["event.again"] == "something before it was otherwise"
    assert all(untried.values())


# --- a stack of its own


@pytest.fixture
def built(workdir: Path) -> Path:
    """A template with code beside it: a folder as `sam build` leaves it, an archive as in a release."""
    folder = Path("built")
    (folder / "RegisterFunction").mkdir(parents=True)
    (folder / "RegisterFunction/app.py").write_text("import jitr\n")
    with zipfile.ZipFile(folder / "jitr.zip", "w") as archive:
        archive.writestr("python/jitr.py", "")
    text = "Resources:\n  RegisterFunction:\n    CodeUri: RegisterFunction\n  JitrLayer:\n    ContentUri: jitr.zip\n"
    (folder / "template.yaml").write_text(text)
    return folder / "template.yaml"


EMPTY = json.dumps({"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}})


def left_in(region: str = REGION) -> set[str]:
    """Stacks and buckets that there are."""
    stacks = boto3.client("cloudformation", region_name=region).describe_stacks()["Stacks"]
    buckets = boto3.client("s3", region_name=region).list_buckets()["Buckets"]
    return {each["StackName"] for each in stacks} | {each["Name"] for each in buckets}


def refuse(_parameters: Any) -> Any:
    raise ClientError({"Error": {"Code": "ValidationError", "Message": "no such transform"}}, "CreateStack")


def test_the_template_of_an_own_stack_is_deployed_with_its_code_beside_it(built: Path) -> None:
    package = package_at(built)
    text = package.at(lambda name: f"s3://code/{name}")
    assert "    CodeUri: s3://code/RegisterFunction\n" in text
    assert "    ContentUri: s3://code/jitr.zip\n" in text
    for name, inside in (("RegisterFunction", "app.py"), ("jitr.zip", "python/jitr.py")):
        file = io.BytesIO()
        package.write(name, file)
        assert zipfile.ZipFile(file).namelist() == [inside]


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (("--own-stack",), 2, "there is no .aws-sam/build/template.yaml"),
        (("--own-stack", "--template", CHECKOUT / "template.yaml"), 2, "template.yaml is not built"),
        (("--own-stack", "--template", CHECKOUT / "README.md"), 2, "names no code of functions"),
        (("--own-stack", "--template", "built"), 2, "built"),
        (("--template", "built/template.yaml"), 2, "--own-stack"),
        (("--own-stack", "--stack", "jitr"), 2, "exclude each other"),
    ],
    ids=["none", "sources", "no template", "a folder", "for nothing", "two stacks"],
)
def test_an_own_stack_that_cannot_be_deployed_is_told_before_anything_is_made(
    built: Path, aws: Aws, run: Run, options: tuple[object, ...], code: int, told: str
) -> None:
    result = run("verify", *WHERE, *options)
    assert (result.exit_code, told in result.stderr) == (code, True), result.stderr
    assert "CreateBucket" not in aws.operations


def test_beside_a_stack_that_takes_events_no_other_is_made(built: Path, ready: Table, aws: Aws, run: Run) -> None:
    """Its devices would be decided by both, and the first's rules be those that count."""
    result = run("verify", *WHERE, "--own-stack", "--template", built)
    assert (result.exit_code, f"topic rule {TOPIC_RULE} of stack jitr" in result.stderr) == (2, True), result.stderr
    assert "`jitr verify --stack jitr`" in result.stderr
    assert "CreateBucket" not in aws.operations


def press(_parameters: Any) -> Any:
    raise KeyboardInterrupt


@pytest.mark.parametrize(("fails", "code"), [(refuse, 3), (press, 130)], ids=["refused", "Ctrl-C"])
def test_whatever_ends_a_deployment_takes_away_what_it_had_made(
    built: Path, aws: Aws, run: Run, fails: Callable[[Any], Any], code: int
) -> None:
    before = left_in()
    aws.overrides["CreateStack"] = fails
    result = run("verify", *WHERE, "--own-stack", "--template", built)
    assert result.exit_code == code, result.stderr
    assert "PutObject" in aws.operations
    assert left_in() == before


def test_a_stack_that_does_not_stand_is_told_with_the_first_failure_and_deleted(
    built: Path, aws: Aws, run: Run
) -> None:
    """CloudFormation tells the latest first; what failed because something else had is no reason."""
    events = [
        {"LogicalResourceId": "Table", "ResourceStatus": "CREATE_FAILED", "ResourceStatusReason": "cancelled"},
        {"LogicalResourceId": "JitrLayer", "ResourceStatus": "CREATE_FAILED", "ResourceStatusReason": "too large"},
        {"LogicalResourceId": "Table", "ResourceStatus": "CREATE_IN_PROGRESS"},
    ]
    whole: Any = [{"EventId": "e", "StackId": "s", "StackName": "s", "Timestamp": 0} | each for each in events]
    aws.overrides["DescribeStackEvents"] = lambda _: {"StackEvents": whole}
    aws.overrides["CreateStack"] = lambda given: aws.real(
        boto3.client("cloudformation", region_name=REGION),
        "CreateStack",
        {"StackName": given["StackName"], "TemplateBody": EMPTY, "Tags": given["Tags"]},
    )
    described: list[str] = []

    def rolled_back(given: Any) -> Any:
        answer = aws.real(boto3.client("cloudformation", region_name=REGION), "DescribeStacks", given)
        for each in answer["Stacks"]:
            if each["StackStatus"] == "CREATE_COMPLETE":
                each["StackStatus"] = "ROLLBACK_COMPLETE" if described else "ROLLBACK_IN_PROGRESS"
                described.append(each["StackName"])
        return answer

    aws.overrides["DescribeStacks"] = rolled_back
    result = run("verify", *WHERE, "--own-stack", "--template", built)
    assert result.exit_code == 3
    assert "ROLLBACK_COMPLETE: JitrLayer: too large" in result.stderr
    assert left_in() == set()


def test_what_a_run_that_was_killed_left_is_found_by_name_and_tag_and_nothing_else_goes(aws: Aws, run: Run) -> None:
    """Also where no stack of this software is deployed."""
    cloudformation, s3 = boto3.client("cloudformation", region_name=REGION), boto3.client("s3", region_name=REGION)
    where: Any = {"LocationConstraint": REGION}
    for name, tag in {"jitr-verify-0a1b2c3d": "0a1b2c3d", "jitr-verify-11111111": None, "production": "x"}.items():
        tags: Any = [] if tag is None else [{"Key": "jitr-verify", "Value": tag}]
        cloudformation.create_stack(StackName=name, TemplateBody=EMPTY, Tags=tags)
    ours, others = f"jitr-verify-0a1b2c3d-{ACCOUNT}-{REGION}", f"jitr-verify-mine-{ACCOUNT}-{REGION}"
    for bucket in (ours, others):
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration=where)
        s3.put_object(Bucket=bucket, Key="0.zip", Body=b"")
    result = run("verify", "--clean")
    assert (result.exit_code, result.stdout) == (0, "Nothing of a verification is left.\n"), result.stderr
    assert left_in() == {"jitr-verify-11111111", "production", others}
