"""`jitr failures sweep`: certificates stuck pending, their event lost; page by page, and going on where it stopped."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from click.testing import Result
from testkit.cli.command_line import ACCOUNT, Run
from testkit.cli.stack import deploy

from jitr.reasons import Verdict
from jitr.records.event import parse_event
from jitr.records.record import APPLIED, APPLYING, Record

FACTORY, OTHER = "fa" * 32, "0b" * 32
LONG_AGO = datetime.now(UTC) - timedelta(days=2)
PAGE = 3


def identifier(number: int, ca: str = FACTORY) -> str:
    """A certificateId."""
    return f"{number:04x}{ca[:4]}" * 8


@dataclass
class Registry:
    """AWS IoT's certificates by CA, in pages of three; and what the queue has been given."""

    aws: Any
    table: Any

    def __post_init__(self) -> None:
        self.certificates: dict[str, list[dict[str, Any]]] = {FACTORY: [], OTHER: []}
        self.asked: list[tuple[str, str | None]] = []
        outputs = boto3.client("cloudformation", region_name="eu-central-1").describe_stacks(StackName="jitr")
        self.url = next(
            each["OutputValue"]
            for each in outputs["Stacks"][0]["Outputs"]
            if each["OutputKey"] == "RegistrationQueueUrl"
        )
        self.aws.overrides["ListCACertificates"] = lambda _: {
            "certificates": [{"certificateId": each} for each in self.certificates]
        }
        self.aws.overrides["ListCertificatesByCA"] = self._page

    def _page(self, given: dict[str, Any]) -> Any:
        ca, marker = given["caCertificateId"], given.get("marker")
        self.asked.append((ca, marker))
        start = 0 if marker is None else int(marker)
        found = self.certificates[ca]
        more = {"nextMarker": str(start + PAGE)} if start + PAGE < len(found) else {}
        return {"certificates": found[start : start + PAGE]} | more

    def register(
        self, count: int, status: str = "PENDING_ACTIVATION", ca: str = FACTORY, at: datetime = LONG_AGO
    ) -> list[str]:
        """More certificates of a CA."""
        first = len(self.certificates[ca])
        ids = [identifier(number, ca) for number in range(first, first + count)]
        self.certificates[ca] += [{"certificateId": each, "status": status, "creationDate": at} for each in ids]
        return ids

    def decide(self, certificate_id: str, state: str = APPLIED, at: datetime = LONG_AGO) -> None:
        """A decision is on record."""
        verdict = Verdict.HOLD if state == APPLIED else Verdict.ADMIT
        self.table.put_record(Record(certificate_id, FACTORY, verdict, state, at, at, at))

    def sent(self) -> list[str]:
        """For which certificates the queue has an event, as the function reads them."""
        from moto.sqs.models import sqs_backends

        queue = sqs_backends[ACCOUNT]["eu-central-1"].queues[self.url.rpartition("/")[2]]
        now = datetime.now(UTC)
        events = [parse_event(each.body, account_id=ACCOUNT, sent_at=now) for each in queue._messages]
        assert all(each.ca_certificate_id in self.certificates for each in events)
        return sorted(each.certificate_id for each in events)


@pytest.fixture
def registry(aws: Any, workdir: Path) -> Registry:
    """A deployed stack, and an account without certificates."""
    return Registry(aws, deploy())


def swept(run: Run, *more: object) -> Any:
    """What a sweep says."""
    agreed = () if "--dry-run" in more else ("--yes",)
    result: Result = run("failures", "sweep", "--pace", 1000, "--json", *agreed, *more)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_every_pending_certificate_that_no_record_knows_gets_an_event_on_all_pages_of_all_cas(
    registry: Registry, run: Run
) -> None:
    stuck = registry.register(7)
    registry.register(2, status="ACTIVE")
    held = registry.register(1)
    registry.decide(held[0])
    theirs = registry.register(4, ca=OTHER)
    found = swept(run)
    assert registry.sent() == sorted([*stuck, *theirs])
    assert (found["stuck"], found["sent"]) == (11, 11)
    assert [(each["certificates"], each["pending"], each["sent"]) for each in found["cas"]] == [(10, 8, 7), (4, 4, 4)]


def test_a_decision_that_was_begun_long_ago_and_never_finished_is_stuck_one_of_just_now_is_not(
    registry: Registry, run: Run
) -> None:
    abandoned, under_way = registry.register(2)
    registry.decide(abandoned, APPLYING)
    registry.decide(under_way, APPLYING, datetime.now(UTC))
    swept(run)
    assert registry.sent() == [abandoned]


def test_a_certificate_whose_event_may_be_under_way_is_left_alone(registry: Registry, run: Run) -> None:
    registry.register(2, at=datetime.now(UTC) - timedelta(minutes=3))
    assert swept(run)["stuck"] == 0
    assert swept(run, "--older-than", 2)["sent"] == 2


def test_only_the_ca_that_was_named_is_swept(registry: Registry, run: Run) -> None:
    registry.register(2)
    theirs = registry.register(2, ca=OTHER)
    registry.aws.overrides["DescribeCACertificate"] = lambda given: {
        "certificateDescription": {
            "certificateId": given["certificateId"],
            "certificateArn": "arn",
            "certificatePem": "",
            "status": "ACTIVE",
        }
    }
    swept(run, "--ca", OTHER[:8])
    assert registry.sent() == sorted(theirs)


def test_a_dry_run_says_which_and_sends_nothing(registry: Registry, run: Run) -> None:
    stuck = registry.register(5)
    found = swept(run, "--dry-run")
    assert (found["dry_run"], sorted(found["certificate_ids"]), found["sent"]) == (True, sorted(stuck), 0)
    text = run("failures", "sweep", "--dry-run")
    assert set(stuck) <= set(text.stdout.split())
    assert registry.sent() == []


def test_a_sweep_asks_first(registry: Registry, run: Run) -> None:
    registry.register(1)
    assert run("failures", "sweep").exit_code == 2
    assert registry.sent() == []


@pytest.mark.parametrize("operation", ["ListCertificatesByCA", "BatchGetItem", "SendMessageBatch", "PutItem"])
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_wherever_it_is_cut_short_the_next_sweep_goes_on_and_nobody_is_left_out(
    registry: Registry, run: Run, operation: str, nth: int
) -> None:
    """A page may be swept twice, none is left out; what was done is not done again from the beginning."""
    stuck = registry.register(9)
    real, calls = registry.aws.overrides.get(operation), []

    def cut(given: Any) -> Any:
        calls.append(given)
        if len(calls) == nth:
            raise KeyboardInterrupt
        if real is not None:
            return real(given)
        client: Any = boto3.client("sqs" if operation == "SendMessageBatch" else "dynamodb", region_name="eu-central-1")
        return registry.aws.real(client, operation, given)

    registry.aws.overrides[operation] = cut
    result = run("failures", "sweep", "--pace", 1000, "--yes")
    assert result.exit_code == 130
    assert "goes on where this stopped" in result.stderr
    registry.aws.overrides.pop(operation)
    if real is not None:
        registry.aws.overrides[operation] = real
    before = len(registry.asked)
    swept(run)
    assert set(registry.sent()) == set(stuck)
    assert len(registry.sent()) <= len(stuck) + PAGE
    pages_before = nth - 1 if operation in ("ListCertificatesByCA", "SendMessageBatch", "PutItem") else None
    if pages_before:
        assert registry.asked[before] == (FACTORY, str(PAGE * pages_before))


def test_restart_begins_with_the_first_page_and_a_finished_sweep_does_so_by_itself(
    registry: Registry, run: Run
) -> None:
    registry.register(7)
    swept(run)
    registry.asked.clear()
    assert swept(run)["cas"][0]["resumed"] is False
    assert registry.asked[0] == (FACTORY, None)
    registry.table.put({"pk": f"SWEEP#{FACTORY}", "sk": "SWEEP", "format": 1, "at": rfc(0), "mark": "3"})
    assert swept(run)["cas"][0]["resumed"] is True
    registry.table.put({"pk": f"SWEEP#{FACTORY}", "sk": "SWEEP", "format": 1, "at": rfc(0), "mark": "3"})
    assert swept(run, "--restart")["cas"][0]["resumed"] is False


@pytest.mark.parametrize("mark", [{"at": "2020-01-01T00:00:00Z"}, {"format": 7}])
def test_a_mark_that_is_old_or_of_another_version_counts_for_nothing(
    registry: Registry, run: Run, mark: dict[str, Any]
) -> None:
    registry.register(4)
    item = {"pk": f"SWEEP#{FACTORY}", "sk": "SWEEP", "format": 1, "at": rfc(0), "mark": "3"}
    registry.table.put(item | mark)
    assert swept(run)["sent"] == 4


def test_a_mark_that_aws_no_longer_knows_means_from_the_beginning(registry: Registry, run: Run) -> None:
    from botocore.exceptions import ClientError

    stuck = registry.register(7)
    registry.table.put({"pk": f"SWEEP#{FACTORY}", "sk": "SWEEP", "format": 1, "at": rfc(0), "mark": "6"})
    page = registry.aws.overrides["ListCertificatesByCA"]

    def picky(given: Any) -> Any:
        if given.get("marker") == "6" and len(registry.asked) == 0:
            raise ClientError({"Error": {"Code": "InvalidRequestException", "Message": "marker"}}, "X")
        return page(given)

    registry.aws.overrides["ListCertificatesByCA"] = picky
    swept(run)
    assert registry.sent() == sorted(stuck)


def test_events_that_the_queue_refuses_end_the_sweep_which_goes_on_there(registry: Registry, run: Run) -> None:
    registry.register(2)
    registry.aws.overrides["SendMessageBatch"] = lambda given: {
        "Successful": [{"Id": "0"}],
        "Failed": [{"Id": "1", "SenderFault": False, "Code": "InternalError"}],
    }
    result = run("failures", "sweep", "--yes")
    assert result.exit_code == 3
    assert "refused 1" in result.stderr
    registry.aws.overrides.pop("SendMessageBatch")
    assert swept(run)["sent"] == 2


def rfc(days: int) -> str:
    """So many days ago."""
    return (datetime.now(UTC) - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_the_page_counts_stuck_certificates_before_it_sends_anything(registry: Registry) -> None:
    """By the same operation: a job that goes on without its tab."""
    from testkit.page import Page

    stuck = registry.register(2)
    page = Page().enter()
    assert "2 are stuck" in page.finish(page.post("/failures/sweep"))
    assert registry.sent() == []
    assert "2 were stuck, and their events are on" in page.finish(page.post("/failures/sweep", send="yes"))
    assert registry.sent() == sorted(stuck)
