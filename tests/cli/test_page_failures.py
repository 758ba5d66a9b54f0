"""Failed messages on the page: as many as one view looks at, chosen ones put back."""

import json
import re
from typing import Any

import pytest
from testkit.cli.command_line import Aws, Run
from testkit.cli.stack import Queues
from testkit.page import Page

from jitr.aws.dynamodb.table import Table


@pytest.fixture
def queues(ready: Table) -> Queues:
    """The queues of a stack where three messages failed."""
    made = Queues()
    for body, reason in (("one", "event.bug"), ("two", "event.bug"), ("three", "event.not-json")):
        made.fail(body, reason)
    return made


@pytest.fixture
def page(queues: Queues, monkeypatch: pytest.MonkeyPatch) -> Page:
    """The page of that stack, opened, in no hurry to spare the queue."""
    monkeypatch.setattr("jitr_page.rooms.failures._PACE", 1000.0)
    return Page().enter()


def shown(page: Page, path: str = "/failures") -> list[str]:
    """The ids of the messages that can be chosen."""
    return re.findall(r'name="message" value="([^"]+)"', page.text(path))


def test_chosen_messages_alone_go_back_and_what_came_of_each_is_told(page: Page, queues: Queues) -> None:
    chosen = shown(page, "/failures?reason=event.bug")
    assert len(chosen) == 2
    text = page.finish(page.post("/failures/redrive", which="chosen", message=[*chosen, "gone"]))
    assert "2 messages went back" in text
    assert "message gone: it lies there no more" in text
    assert (queues.bodies("RegistrationQueue"), queues.bodies("RegistrationFailures")) == ({"one", "two"}, {"three"})


def test_a_message_that_the_queue_refuses_is_told_and_the_others_go_back(page: Page, queues: Queues, aws: Aws) -> None:
    chosen, real = shown(page), aws.real

    def refuse_one(given: Any) -> Any:
        if given["MessageBody"] == "two":
            told: Any = {"Error": {"Code": "InvalidParameterValue", "Message": "it is too long"}}
            raise queues.sqs.exceptions.ClientError(told, "SendMessage")
        return real(queues.sqs, "SendMessage", given)

    aws.overrides["SendMessage"] = refuse_one
    text = page.finish(page.post("/failures/redrive", which="chosen", message=chosen))
    assert ("2 messages went back" in text, "it is too long" in text) == (True, True)
    assert queues.bodies("RegistrationFailures") == {"two"}


def test_all_that_a_filter_leaves_goes_back_and_nothing_else(page: Page, queues: Queues) -> None:
    """Also of one queue: what the button names is what goes."""
    assert "Put all of RuleFailures back" not in page.text("/failures?queue=RuleFailures")  # it is empty
    assert "Put all of RegistrationFailures back" in page.text("/failures?queue=RegistrationFailures")
    page.finish(page.post("/failures/redrive", which="all", reason="", queue="RuleFailures"))
    assert queues.bodies("RegistrationQueue") == set()
    page.finish(page.post("/failures/redrive", which="all", reason="event.not-json", queue=""))
    assert queues.bodies("RegistrationQueue") == {"three"}


@pytest.mark.parametrize("form", [{}, {"which": "chosen"}, {"which": "others"}, {"which": "all", "queue": "x"}])
def test_a_form_that_says_not_which_puts_none_back(page: Page, queues: Queues, form: dict[str, str]) -> None:
    assert page.post("/failures/redrive", **form).status_code == 400
    assert queues.bodies("RegistrationQueue") == set()


def waits(aws: Aws) -> list[int]:
    """The seconds that each request to a queue was ready to wait for a message."""
    return [given["WaitTimeSeconds"] for name, given in aws.calls if name == "ReceiveMessage"]


def test_a_view_waits_for_no_queue_that_has_no_more_messages_by_its_count(
    page: Page, queues: Queues, run: Run, aws: Aws
) -> None:
    """A command, which has to know that there are none, does."""
    aws.calls.clear()
    assert len(shown(page)) == 3
    assert waits(aws) == [1, 0, 0]  # the three messages are there at once; that there are no more; the other queue
    aws.calls.clear()
    assert run("failures", "ls").exit_code == 0
    assert waits(aws) == [1, 1, 1]


def test_a_message_that_the_queue_does_not_count_yet_is_shown_and_one_that_it_did_not_give_is_told(
    page: Page, queues: Queues, aws: Aws
) -> None:
    """A queue's count may be a minute old, and a request that does not wait may miss what is there."""
    late = {"ApproximateNumberOfMessages": "0", "ApproximateNumberOfMessagesNotVisible": "0"}
    aws.overrides["GetQueueAttributes"] = lambda _given: {"Attributes": late}
    assert len(shown(page)) == 3
    del aws.overrides["GetQueueAttributes"]
    aws.overrides["ReceiveMessage"] = lambda _given: {}
    text = page.text("/failures")
    assert ("there are about 3" in text, "Nothing failed" in text) == (True, False)


def test_a_view_that_looked_at_not_all_says_so_and_takes_nothing_out_of_sight(
    page: Page, queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jitr_page.rooms.failures.REQUESTS", 1)
    for number in range(20):
        queues.fail(str(number), "event.bug")
    assert len(shown(page)) == 10
    assert "10 messages shown; about 13 more were not looked at" in page.text("/failures")
    assert "None of the messages that were looked at fits" in page.text("/failures?reason=event.forged")
    assert queues.count("RegistrationFailures") == 23


def test_a_failure_links_to_a_device_only_where_its_certificate_is_an_id(page: Page, queues: Queues) -> None:
    """What a message says is anybody's word."""
    whole = f"{1:064x}"
    for each in ("abc", "../rules", whole):
        queues.fail(json.dumps({"certificateId": each}), "event.bug")
    text = page.text("/failures")
    assert re.findall(r'href="[^"]*/devices/([^"?]+)"', text) == [whole]
    assert '<span class="id">abc</span>' in text
