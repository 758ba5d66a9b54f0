"""What is asked of every form of the page: a number of its own, and a stack that still is what it was."""

import html
import json
import re
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from testkit.cli.command_line import REGION, Aws, Run
from testkit.cli.operating import hold
from testkit.cli.stack import TEMPLATE
from testkit.page import Page

from jitr.aws.dynamodb.table import Table

ID = f"{1:064x}"
AS_ONE_TYPES = "rules.problems"  # a script asks it: it is no form, asks nothing of AWS and changes nothing
GONE = "there is no stack jitr in account 123456789012, Region eu-central-1"


@pytest.fixture
def page(ready: Table) -> Page:
    """The page of a stack with rules, a list and a held device, opened."""
    hold(ready, 1)
    return Page().enter()


def forms(page: Page) -> Iterator[str]:
    """The address of each form."""
    given = {"certificate_id": ID, "ca_id": ID, "what": "recheck", "name": "line-a", "number": 1}
    addresses = page.app.url_map.bind("127.0.0.1")
    for rule in page.app.url_map.iter_rules():
        if "POST" in (rule.methods or ()) and rule.endpoint != AS_ONE_TYPES:
            yield addresses.build(rule.endpoint, {each: given.get(each, "x") for each in rule.arguments}, method="POST")


def items(table: Table) -> Any:
    """All that the table holds."""
    return table.client.scan(TableName=table.name)["Items"]


def test_a_form_without_a_number_of_its_own_is_none_of_the_page_s(page: Page, ready: Table) -> None:
    """Nothing is done by it: what is sent twice could be done twice."""
    before = items(ready)
    for path in forms(page):
        answer = page.post(path, once="")
        assert (answer.status_code, "the form that was sent is not this page" in answer.text) == (400, True), path
    assert items(ready) == before
    assert page.post("/rules/problems", text="", once="").status_code == 200


def answer_of(aws: Aws, stack: str) -> None:
    """Have another stack, or none, in place of the page's, whose table stays: nothing fails by itself."""
    real, cloudformation = aws.real, boto3.client("cloudformation", region_name=REGION)

    def describe(given: dict[str, Any]) -> Any:
        return real(cloudformation, "DescribeStacks", {**given, "StackName": stack})

    aws.overrides["DescribeStacks"] = describe


def test_nothing_is_changed_in_a_stack_that_is_gone(page: Page, ready: Table, aws: Aws, run: Run) -> None:
    """Its data outlives it: a change would succeed, and be lost. The page refuses in the words of the command."""
    assert run("lists", "ls").exit_code == 0
    before = items(ready)
    answer_of(aws, "gone")
    for path in forms(page):
        aws.calls.clear()
        answer = page.post(path, column="common_name", value="snr-9", message="x", sure="yes")
        assert (answer.status_code, GONE in answer.text, aws.operations) == (400, True, ["DescribeStacks"]), path
        assert "The stack is gone" in answer.text
    assert GONE in run("lists", "add", "line-a", "common_name=snr-9", "--yes").stderr
    assert items(ready) == before


@pytest.mark.parametrize(
    ("answer", "code", "heading", "told"),
    [
        (
            ("AccessDenied", "not authorized to perform: cloudformation:DescribeStacks"),
            403,
            "You may not ask whether the stack still stands",
            "Ask whoever manages the account for this permission",
        ),
        (("Throttling", "Rate exceeded"), 503, "Not now", "Wait a moment, and load this page again"),
        (("InternalFailure", "oops"), 503, "Not now", "Wait a moment, and load this page again"),
        (("ExpiredToken", "expired"), 403, "You are signed out", "Sign in again"),
        (None, 502, "AWS could not be reached", "Check the network"),
    ],
    ids=("denied", "throttled", "fault", "signed out", "network"),
)
def test_nothing_is_changed_where_aws_does_not_say_whether_the_stack_stands(
    page: Page, ready: Table, aws: Aws, answer: tuple[str, str] | None, code: int, heading: str, told: str
) -> None:
    """Who may not ask, who gets no answer and who is signed out are told so, and that nothing was begun."""

    def describe(_given: Any) -> Any:
        if answer is None:
            raise EndpointConnectionError(endpoint_url="https://cloudformation.example")
        error: Any = {"Error": dict(zip(("Code", "Message"), answer, strict=True))}
        raise ClientError(error | {"ResponseMetadata": {"HTTPStatusCode": 500 * (code == 503)}}, "DescribeStacks")

    before = items(ready)
    aws.overrides["DescribeStacks"] = describe
    form = {"column": "common_name", "value": "snr-9", "once": "x1"}
    refused = page.post("/lists/line-a/add", **form)
    text = " ".join(html.unescape(re.sub("<[^>]+>", "", refused.text)).split())
    assert (refused.status_code, heading in text, told in text) == (code, True, True), text
    assert ("Nothing was changed by this" in text, "It may be done all the same" in text) == (True, False)
    assert items(ready) == before
    del aws.overrides["DescribeStacks"]
    assert page.post("/lists/line-a/add", **form).status_code == 303  # the same form, sent again


def test_nothing_is_changed_in_a_stack_that_is_being_deleted(page: Page, ready: Table, aws: Aws) -> None:
    before, real = items(ready), aws.real
    cloudformation = boto3.client("cloudformation", region_name=REGION)

    def describe(given: dict[str, Any]) -> Any:
        found = real(cloudformation, "DescribeStacks", given)
        return {**found, "Stacks": [{**found["Stacks"][0], "StackStatus": "DELETE_IN_PROGRESS"}]}

    aws.overrides["DescribeStacks"] = describe
    answer = page.post("/lists/line-a/add", column="common_name", value="snr-9")
    assert (answer.status_code, "is being deleted" in answer.text) == (400, True)
    assert items(ready) == before


def test_nothing_is_changed_in_a_stack_that_was_deployed_again(page: Page, ready: Table, aws: Aws) -> None:
    before = items(ready)
    cloudformation = boto3.client("cloudformation", region_name=REGION)
    cloudformation.create_stack(StackName="successor", TemplateBody=json.dumps(TEMPLATE))
    answer_of(aws, "successor")
    answer = page.post("/lists/line-a/add", column="common_name", value="snr-9")
    assert (answer.status_code, "deployed again since this page was opened" in answer.text) == (400, True)
    assert items(ready) == before


def test_a_form_asks_once_whether_the_stack_still_stands_and_a_view_does_not(page: Page, aws: Aws) -> None:
    aws.calls.clear()
    assert page.post("/lists/line-a/add", column="common_name", value="snr-9").status_code == 303
    assert aws.operations.count("DescribeStacks") == 1
    aws.calls.clear()
    page.text("/lists/line-a")
    page.post("/rules/problems", text="")
    assert "DescribeStacks" not in aws.operations


@pytest.mark.parametrize(
    ("method", "path", "operation"),
    [("GET", "/cas", "ListCACertificates"), ("GET", "/held", "Query"), ("POST", "/lists/line-a/add", "DescribeStacks")],
)
def test_a_local_stack_that_is_down_is_told_as_that_and_how_it_comes_up(
    page: Page, ready: Table, aws: Aws, monkeypatch: pytest.MonkeyPatch, method: str, path: str, operation: str
) -> None:
    """To wait helps nobody there, and of AWS itself nothing is said about a local stack."""

    def down(_given: Any) -> Any:
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1:4566")

    aws.overrides[operation] = down
    for local in (True, False):
        monkeypatch.setattr("jitr_page.site.NO_ACCOUNT", "123456789012" if local else "000000000000")
        form = {"data": {"column": "common_name", "value": "snr-9"}} if method == "POST" else {}
        answer = page.ask(method, path, **form)
        assert answer.status_code in (502, 503)
        assert ("The local stack does not answer" in answer.text) is local
        assert ("jitr local up" in answer.text, "start it again" in answer.text) == (local, local)


def test_a_job_under_way_tells_a_local_stack_that_went_down_as_pages_do(
    page: Page, ready: Table, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(_given: Any) -> Any:
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1:4566")

    aws.overrides["ListCACertificates"] = aws.overrides["ListCertificatesByCA"] = down
    for local in (True, False):
        monkeypatch.setattr("jitr_page.site.NO_ACCOUNT", "123456789012" if local else "000000000000")
        told = page.finish(page.post("/failures/sweep"))
        assert ("The local stack does not answer" in told, "jitr local up" in told) == (local, local)
