"""Messages that could never be handled: what, why, since when; and putting them back."""

import base64
import json
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from testkit.cli.command_line import Aws, Run
from testkit.cli.stack import Queues, deploy


@pytest.fixture
def queues(aws: Any, workdir: Path) -> Queues:
    """A deployed stack where three messages failed."""
    deploy()
    made = Queues()
    made.fail("not json", "event.not-json")
    made.fail(json.dumps({"certificateId": "ab" * 32}), "event.bug")
    made.fail(json.dumps({"certificateId": "cd" * 32}), None)
    return made


def test_failures_are_listed_with_what_why_and_since_when_and_stay_where_they_are(queues: Queues, run: Run) -> None:
    told = json.loads(run("failures", "ls", "--json").stdout)
    assert sorted(each["reason"] for each in told) == ["event.bug", "event.exhausted", "event.not-json"]
    assert {each["queue"] for each in told} == {"RegistrationFailures"}
    assert {each["certificate_id"] for each in told} == {None, "ab" * 32, "cd" * 32}
    assert all(each["since"] and each["message"] for each in told)
    assert queues.count("RegistrationFailures") == 3


def test_they_are_filtered_by_reason(queues: Queues, run: Run) -> None:
    told = json.loads(run("failures", "ls", "--reason", "event.not-json", "--json").stdout)
    assert [each["body"] for each in told] == ["not json"]


def test_for_people_each_reason_is_told_with_its_remedy(queues: Queues, run: Run) -> None:
    text = run("failures", "ls").stdout
    assert "1 x event.bug" in text
    assert "redrive" in text


def test_redrive_by_reason_puts_back_only_those(queues: Queues, run: Run) -> None:
    result = run("failures", "redrive", "--reason", "event.bug", "--pace", 1000, "--yes", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (
        0,
        {"put_back": 1, "failed_again": 0, "in_flight": 0, "left": []},
    )
    assert (queues.count("RegistrationQueue"), queues.count("RegistrationFailures")) == (1, 2)


def test_those_with_ids_are_put_back_alone_each_named_by_how_its_id_begins(queues: Queues, run: Run) -> None:
    ids = {each["body"]: each["id"] for each in json.loads(run("failures", "ls", "--json").stdout)}
    chosen = ids["not json"]
    assert chosen[:8] in run("failures", "ls").stdout
    result = run("failures", "redrive", chosen[:8], "--pace", 1000, "--yes", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (
        0,
        {"put_back": 1, "failed_again": 0, "in_flight": 0, "left": []},
    )
    assert queues.bodies("RegistrationQueue") == {"not json"}
    assert queues.count("RegistrationFailures") == 2


@pytest.mark.parametrize(
    ("given", "told"), [("xyz", "no failed message has an id that begins with 'xyz'"), ("", "give more")]
)
def test_an_id_that_means_no_message_or_several_puts_none_back(queues: Queues, run: Run, given: str, told: str) -> None:
    [first, *_] = json.loads(run("failures", "ls", "--json").stdout)
    refused = run("failures", "redrive", first["id"], given, "--yes")
    assert (refused.exit_code, told in refused.stderr) == (2, True)
    assert queues.count("RegistrationFailures") == 3


def test_a_chosen_message_that_the_queue_refuses_keeps_no_other_from_going_back(
    queues: Queues, run: Run, aws: Aws
) -> None:
    """And the command says which one stayed, why, and that only a part was done."""
    ids = {each["body"]: each["id"] for each in json.loads(run("failures", "ls", "--json").stdout)}
    real = aws.real

    def refuse_one(given: Any) -> Any:
        if given["MessageBody"] == "not json":
            told: Any = {"Error": {"Code": "InvalidParameterValue", "Message": "it is too long"}}
            raise queues.sqs.exceptions.ClientError(told, "SendMessage")
        return real(queues.sqs, "SendMessage", given)

    aws.overrides["SendMessage"] = refuse_one
    result = run("failures", "redrive", *ids.values(), "--pace", 1000, "--yes", "--json")
    left = [{"id": ids["not json"], "problem": "it is too long"}]
    assert (result.exit_code, json.loads(result.stdout)) == (
        3,
        {"put_back": 2, "failed_again": 0, "in_flight": 0, "left": left},
    )
    assert f"{ids['not json'][:8]} was not put back: it is too long" in result.stderr
    assert queues.bodies("RegistrationFailures") == {"not json"}


def test_messages_that_were_looked_at_are_let_go_of_ten_at_a_time(queues: Queues, run: Run, aws: Aws) -> None:
    for number in range(42):
        queues.fail(str(number), "event.bug")
    aws.calls.clear()
    assert run("failures", "ls").exit_code == 0
    assert Counter(aws.operations)["ChangeMessageVisibilityBatch"] == 5
    assert queues.count("RegistrationFailures") == 45


def test_redrive_asks(queues: Queues, run: Run) -> None:
    asked = run("failures", "redrive")
    assert (asked.exit_code, "Put back 3 failed messages?" in asked.stderr) == (2, True)
    assert queues.count("RegistrationFailures") == 3


def test_redrive_asks_nothing_where_nothing_failed(queues: Queues, run: Run) -> None:
    done = run("failures", "redrive", "--reason", "event.forged", "--json")
    assert (done.exit_code, json.loads(done.stdout)) == (
        0,
        {"put_back": 0, "failed_again": 0, "in_flight": 0, "left": []},
    )
    assert queues.count("RegistrationFailures") == 3


@pytest.mark.parametrize("command", [("ls",), ("redrive", "--yes")])
def test_a_reason_that_is_none_is_refused_and_not_taken_for_one_that_nothing_failed_for(
    queues: Queues, run: Run, command: tuple[str, ...]
) -> None:
    refused = run("failures", *command, "--reason", "event.not-jsno")
    assert (refused.exit_code, "did you mean event.not-json?" in refused.stderr) == (2, True)
    assert "No failed message fits this filter" in run("failures", "ls", "--reason", "event.forged").stderr


def test_a_message_that_cannot_be_put_back_stays(queues: Queues, run: Run, aws: Any) -> None:
    def refuse(_: Any) -> Any:
        gone: Any = {"Error": {"Code": "AWS.SimpleQueueService.NonExistentQueue", "Message": "gone"}}
        raise queues.sqs.exceptions.QueueDoesNotExist(gone, "SendMessage")

    aws.overrides["SendMessage"] = refuse
    assert run("failures", "redrive", "--yes").exit_code == 3
    aws.overrides.clear()
    answer = queues.sqs.get_queue_attributes(QueueUrl=queues.urls["RegistrationFailuresUrl"], AttributeNames=["All"])[
        "Attributes"
    ]
    total = int(answer["ApproximateNumberOfMessages"]) + int(answer["ApproximateNumberOfMessagesNotVisible"])
    assert total == 3


def test_nothing_failed(aws: Any, workdir: Path, run: Run) -> None:
    deploy()
    assert json.loads(run("failures", "ls", "--json").stdout) == []


# --- what the topic rule could not deliver


def of_rule(event: dict[str, Any] | None) -> str:
    """An error action's message. (AWS IoT Core Developer Guide, "Error handling (error action)")"""
    payload = b"garbled" if event is None else json.dumps(event).encode()
    return json.dumps(
        {
            "ruleName": "RegistrationTopicRule",
            "topic": "$aws/events/certificates/registered/ab",
            "clientId": "N/A",
            "base64OriginalPayload": base64.b64encode(payload).decode(),
            "failures": [{"failedAction": "SqsAction", "errorMessage": "User is not authorized to perform sqs"}],
        }
    )


def test_what_the_topic_rule_could_not_deliver_is_told_and_its_event_put_back(queues: Queues, run: Run) -> None:
    event = {"certificateId": "ef" * 32}
    queues.sqs.send_message(QueueUrl=queues.urls["RuleFailuresUrl"], MessageBody=of_rule(event))
    (told,) = json.loads(run("failures", "ls", "--queue", "RuleFailures", "--json").stdout)
    assert (told["certificate_id"], told["reason"]) == ("ef" * 32, "event.rule-failed")
    assert "not authorized" in told["message"]
    result = run("failures", "redrive", "--queue", "RuleFailures", "--pace", 1000, "--yes", "--json")
    assert json.loads(result.stdout) == {"put_back": 1, "failed_again": 0, "in_flight": 0, "left": []}
    (message,) = queues.sqs.receive_message(QueueUrl=queues.urls["RegistrationQueueUrl"])["Messages"]
    assert json.loads(message["Body"]) == event
    assert (queues.count("RuleFailures"), queues.count("RegistrationFailures")) == (0, 3)


@pytest.mark.parametrize("body", ["not json", "[]", '{"base64OriginalPayload": 7, "failures": 7}', of_rule(None)])
def test_what_cannot_be_read_is_still_listed(queues: Queues, run: Run, body: str) -> None:
    queues.sqs.send_message(QueueUrl=queues.urls["RuleFailuresUrl"], MessageBody=body)
    (told,) = json.loads(run("failures", "ls", "--queue", "RuleFailures", "--json").stdout)
    assert told["certificate_id"] is None


# --- redriving, when things go wrong


def test_what_fails_again_at_once_is_left_for_the_next_time(queues: Queues, run: Run, aws: Any) -> None:
    """Else the same poison would go round and round."""
    real, sent = aws.real, []

    def fails_again(given: Any) -> Any:
        if given["QueueUrl"] == queues.urls["RegistrationQueueUrl"]:
            sent.append(given["MessageBody"])
            time.sleep(1.1)  # it comes back later than this second, in which everything else was sent
            queues.fail(given["MessageBody"], "event.not-json")
            assert len(sent) < 10
            return {"MessageId": "x"}
        return real(queues.sqs, "SendMessage", given)

    aws.overrides["SendMessage"] = fails_again
    result = run("failures", "redrive", "--queue", "RegistrationFailures", "--pace", 1000, "--yes", "--json")
    assert json.loads(result.stdout) == {"put_back": 3, "failed_again": 0, "in_flight": 0, "left": []}
    assert sorted(sent) == sorted(["not json", *(json.dumps({"certificateId": each * 32}) for each in ("ab", "cd"))])
    aws.overrides.clear()
    assert queues.count("RegistrationFailures") == 3


@pytest.mark.parametrize("seconds_later", [0, 60])
def test_what_fails_again_goes_back_once_in_a_run_and_is_counted(
    queues: Queues, run: Run, aws: Aws, seconds_later: int
) -> None:
    """Also within the second in which the queue says that the run began: its clock knows no less."""
    real, now = aws.real, datetime.now(UTC).replace(microsecond=0)

    def fails_again(given: Any) -> Any:
        if given["QueueUrl"] == queues.urls["RegistrationQueueUrl"]:
            url = queues.urls["RegistrationFailuresUrl"]
            aws.real(queues.sqs, "SendMessage", given | {"QueueUrl": url})
            assert queues.count("RegistrationFailures") < 10
            return {"MessageId": "x"}
        return real(queues.sqs, "SendMessage", given)

    def dated(given: Any) -> Any:
        answer = real(queues.sqs, "ReceiveMessage", given)
        began = now + timedelta(seconds=60 - seconds_later)
        answer["ResponseMetadata"]["HTTPHeaders"]["date"] = format_datetime(began, usegmt=True)
        return answer

    aws.overrides |= {"SendMessage": fails_again, "ReceiveMessage": dated}
    done = run("failures", "redrive", "--pace", 1000, "--yes")
    assert "Put back 3 messages" in done.stdout
    assert "Of these, 3 failed again meanwhile and were left" in done.stderr
    assert queues.count("RegistrationFailures") == 3


@pytest.mark.parametrize("operation", ["SendMessage", "DeleteMessage"])
@pytest.mark.parametrize("after", [False, True])
def test_wherever_a_redrive_is_cut_short_no_message_is_lost(
    queues: Queues, run: Run, aws: Any, operation: str, after: bool
) -> None:
    """Each body is in one of the queues afterwards, in both at worst; the next redrive does the rest."""
    real, calls = aws.real, []

    def cut(given: Any) -> Any:
        calls.append(given)
        if len(calls) != 2:
            return real(queues.sqs, operation, given)
        if after:
            real(queues.sqs, operation, given)
        raise KeyboardInterrupt

    bodies = {"not json", *(json.dumps({"certificateId": each * 32}) for each in ("ab", "cd"))}
    aws.overrides[operation] = cut
    assert run("failures", "redrive", "--pace", 1000, "--yes").exit_code == 130
    aws.overrides.clear()
    assert bodies <= queues.bodies("RegistrationQueue") | queues.bodies("RegistrationFailures")
    assert run("failures", "redrive", "--pace", 1000, "--yes").exit_code == 0
    assert bodies <= queues.bodies("RegistrationQueue")
    assert queues.bodies("RegistrationFailures") == set()


def test_many_messages_are_gone_through_to_the_last_whatever_the_filter_leaves(queues: Queues, run: Run) -> None:
    for number in range(45):
        queues.fail(str(number), "event.not-json" if number % 2 else "event.bug")
    told = json.loads(run("failures", "ls", "--json").stdout)
    assert len(told) == 48
    result = run("failures", "redrive", "--reason", "event.bug", "--pace", 1000, "--yes", "--json")
    assert json.loads(result.stdout) == {"put_back": 24, "failed_again": 0, "in_flight": 0, "left": []}
    assert len(queues.bodies("RegistrationFailures")) == 24


def test_messages_that_a_command_which_was_cut_off_still_holds_are_told(queues: Queues, run: Run) -> None:
    """Else "Put back 0" would read as if there were none."""
    queues.sqs.receive_message(
        QueueUrl=queues.urls["RegistrationFailuresUrl"], MaxNumberOfMessages=2, VisibilityTimeout=300
    )
    first = run("failures", "redrive", "--queue", "RegistrationFailures", "--pace", 1000, "--yes", "--json")
    assert json.loads(first.stdout) == {"put_back": 1, "failed_again": 0, "in_flight": 2, "left": []}
    assert "About 2 more in RegistrationFailures cannot be seen" in first.stderr
    assert "run this again" in first.stderr
    again = run("failures", "redrive", "--pace", 1000, "--yes")
    assert "Put back 0 messages" in again.stdout
    assert "About 2 more" in again.stderr
    assert "About 2 more" in run("failures", "ls").stderr


def test_what_the_rule_failed_to_deliver_and_fails_again_in_the_function_is_counted_and_left(
    queues: Queues, run: Run, aws: Any
) -> None:
    queues.sqs.send_message(QueueUrl=queues.urls["RuleFailuresUrl"], MessageBody=of_rule({"certificateId": "ef" * 32}))
    real = aws.real

    def fails_again(given: Any) -> Any:
        """The function puts it aside, with the time at which it came first."""
        answer = real(queues.sqs, "SendMessage", given)
        if "ef" * 32 in given["MessageBody"] and given["QueueUrl"] == queues.urls["RegistrationQueueUrl"]:
            real(queues.sqs, "SendMessage", given | {"QueueUrl": queues.urls["RegistrationFailuresUrl"]})
        return answer

    aws.overrides["SendMessage"] = fails_again
    result = run("failures", "redrive", "--pace", 1000, "--yes", "--json")
    assert json.loads(result.stdout) == {"put_back": 4, "failed_again": 1, "in_flight": 0, "left": []}
    assert queues.count("RegistrationFailures") == 1


@pytest.mark.parametrize(
    "date",
    [
        "Thu, 01 Jan 2099 10:00:00 -0000",
        "Thu, 01 Jan 2099 10:00:00 GMT, Thu, 01 Jan 2099 10:00:01 GMT",
        "Thu, 01 Jan 2099 10:00:00 +0200",
        "Thu, 99 Foo 2099 10:00:00 GMT",
        "",
        "yesterday",
        None,
    ],
)
def test_whatever_a_server_says_of_the_time_messages_are_put_back(
    queues: Queues, run: Run, aws: Any, date: str | None
) -> None:
    real = aws.real

    def dated(given: Any) -> Any:
        answer = real(queues.sqs, "ReceiveMessage", given)
        answer["ResponseMetadata"]["HTTPHeaders"]["date"] = date
        return answer

    aws.overrides["ReceiveMessage"] = dated
    result = run("failures", "redrive", "--pace", 1000, "--yes", "--json")
    assert json.loads(result.stdout) == {"put_back": 3, "failed_again": 0, "in_flight": 0, "left": []}


def test_what_is_put_back_tells_when_it_came_first(queues: Queues, run: Run) -> None:
    """A device that knocked while its window was open is not too late because its message had to be put back."""
    first: Any = {"DataType": "String", "StringValue": "1770000000000"}
    queues.sqs.send_message(
        QueueUrl=queues.urls["RegistrationFailuresUrl"], MessageBody="moved", MessageAttributes={"sent_at": first}
    )
    assert run("failures", "redrive", "--pace", 1000, "--yes").exit_code == 0
    answer = queues.sqs.receive_message(
        QueueUrl=queues.urls["RegistrationQueueUrl"], MaxNumberOfMessages=10, MessageAttributeNames=["All"]
    )
    told = {each["Body"]: each["MessageAttributes"]["sent_at"]["StringValue"] for each in answer["Messages"]}
    assert told.pop("moved") == "1770000000000"
    assert all(abs(int(each) / 1000 - time.time()) < 3600 for each in told.values())


# --- events that the bus did not take


def put_aside(queues: Queues, body: str) -> None:
    queues.sqs.send_message(QueueUrl=queues.urls["NotifyFailuresUrl"], MessageBody=body)


EVENT = {"EventBusName": "earlier", "Source": "jitr", "DetailType": "Device Held", "Resources": [], "Detail": "{}"}


def test_events_that_were_put_aside_are_sent_to_the_bus_of_today_and_what_is_none_is_left(
    queues: Queues, run: Run, aws: Aws
) -> None:
    for body in (json.dumps(EVENT), json.dumps({"Keys": {}}), "not json"):
        put_aside(queues, body)
    result = run("failures", "resend", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, {"sent": 1, "others": 2})
    assert aws.parameters("PutEvents") == {"Entries": [EVENT | {"EventBusName": "default"}]}
    assert queues.count("NotifyFailures") == 2
    assert json.loads(run("history", "--json").stdout)[0]["command"] == "failures resend"


def test_an_event_that_the_bus_does_not_take_stays_where_it_is(queues: Queues, run: Run, aws: Aws) -> None:
    aws.overrides["PutEvents"] = lambda _: {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure"}]}
    put_aside(queues, json.dumps(EVENT))
    result = run("failures", "resend")
    assert result.exit_code == 3
    assert "the event bus default does not take them" in result.stderr
    assert queues.count("NotifyFailures") == 1
