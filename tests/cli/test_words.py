"""held admit, reject and recheck, decisions ls, show and reopen: what they write and what they put on the queue."""

import json
from pathlib import Path
from typing import Any

import pytest
from testkit.cli.command_line import Run
from testkit.cli.operating import RULES, hold
from testkit.cli.stack import Queues
from testkit.knocks import CA_ID, NOW, decided, deny, knock
from testkit.knocks import rules as made_rules

from jitr.aws.dynamodb.table import Table
from jitr.records.event import RegistrationEvent
from jitr.records.knock import facts_json
from jitr.records.record import APPLIED
from jitr.records.transitions import recorded

ID = f"{1:064x}"


def reject(table: Table, status: str) -> None:
    """A certificate that was rejected here, and its status in AWS IoT."""
    device = knock(certificate_sha256=ID)
    decision = decided(device, made_rules(deny(ca="factory-a", reason="Recall 17")))
    event = RegistrationEvent(ID, CA_ID, NOW)
    heads = table.heads()
    table.put_record(
        recorded(decision, event=event, heads=heads, facts=facts_json(device), state=APPLIED, now=NOW, previous=None)
    )


def sent(queues: Queues) -> list[dict[str, Any]]:
    """The events on the registration queue."""
    answer = queues.sqs.receive_message(QueueUrl=queues.urls["RegistrationQueueUrl"], MaxNumberOfMessages=10)
    return [json.loads(each["Body"]) for each in answer.get("Messages", [])]


def described(aws: Any, status: str) -> None:
    """What AWS IoT says of the certificate."""
    aws.overrides["DescribeCertificate"] = lambda _: {
        "certificateDescription": {
            "certificateId": ID,
            "certificateArn": f"arn:aws:iot:eu-central-1:123456789012:cert/{ID}",
            "certificatePem": "",
            "status": status,
        }
    }


@pytest.mark.parametrize("word", ["admit", "reject"])
def test_a_word_is_recorded_with_who_and_why_and_the_event_sent_again(ready: Table, run: Run, word: str) -> None:
    hold(ready, 1)
    more = ["--rule", "line-a"] if word == "admit" else []
    result = run("held", word, ID, *more, "--message", "label misprinted", "--yes", "--json")
    assert result.exit_code == 0, result.stderr
    record = ready.record_and_heads(ID)[0]
    assert record is not None
    assert record.word is not None
    assert (record.word["decision"], record.word["message"]) == (word, "label misprinted")
    assert record.word["by"]
    (event,) = sent(Queues())
    assert (event["certificateId"], event["caCertificateId"]) == (ID, CA_ID)
    assert event["awsAccountId"] == "123456789012"


def test_before_a_word_is_said_what_keeps_the_device_out_all_the_same_is_told(ready: Table, run: Run, aws: Any) -> None:
    """Certificate checks, deny rules and the certificate's status are no matching that a word stands in for."""
    hold(ready, 1)
    described(aws, "INACTIVE")
    asked = run("held", "admit", ID, "--rule", "line-a")
    assert (asked.exit_code, sent(Queues())) == (2, [])  # nobody is there to answer
    assert "your word does not let it in, it will be held again: chain.ca-missing" in asked.stderr
    assert "under rule line-a all the same?" in asked.stderr
    assert "AWS IoT holds the certificate as INACTIVE, and only one that is PENDING_ACTIVATION" in asked.stderr
    Path("denying.yaml").write_text(RULES.replace("allow:", "deny:\n  - {name: no-snr, list: line-a}\nallow:", 1))
    text = Path("denying.yaml").read_text()
    Path("denying.yaml").write_text(text[: text.index("tests:")])
    assert run("rules", "publish", "denying.yaml", "--yes").exit_code == 0
    name = json.loads(run("decisions", "show", ID, "--json").stdout)["facts"]["public_key_sha256"]
    assert run("lists", "add", "line-a", f"public_key_sha256={name}").exit_code == 0
    denied = run("held", "admit", ID, "--rule", "line-a")
    assert "it will be rejected: deny.rule: rule no-snr" in denied.stderr


def test_a_word_under_a_rule_that_is_not_there_is_exit_2_with_what_was_meant(ready: Table, run: Run) -> None:
    hold(ready, 1)
    result = run("held", "admit", ID, "--rule", "line-b", "--yes")
    assert (result.exit_code, "line-a" in result.stderr) == (2, True)
    assert sent(Queues()) == []


def test_a_word_asks(ready: Table, run: Run) -> None:
    hold(ready, 1)
    assert run("held", "reject", ID).exit_code == 2
    assert sent(Queues()) == []


def test_only_held_devices_are_spoken_for(ready: Table, run: Run) -> None:
    reject(ready, "INACTIVE")
    result = run("held", "admit", ID, "--rule", "line-a", "--yes")
    assert (result.exit_code, "not on hold" in result.stderr) == (2, True)


def test_recheck_makes_held_devices_due_and_sends_their_events(ready: Table, run: Run) -> None:
    for number in range(3):
        hold(ready, number)
    everyone = run("held", "recheck", "--all", "--reason", "allow.unmatched", "--json")
    assert json.loads(everyone.stdout) == {"rechecked": 3}
    assert len(sent(Queues())) == 3
    assert run("held", "recheck", ID).exit_code == 0
    assert run("held", "recheck").exit_code == 2
    assert run("held", "recheck", "--all", ID).exit_code == 2


def test_recheck_of_all_is_left_to_the_recheck_function(ready: Table, run: Run) -> None:
    hold(ready, 1)
    assert json.loads(run("held", "recheck", "--all", "--json").stdout) == {"rechecked": "all"}
    assert sent(Queues()) == []
    assert "held" in [each["kind"] for each in ready.query("CHANGES")]


def test_decisions_are_listed_and_filtered(ready: Table, run: Run) -> None:
    hold(ready, 2)
    reject(ready, "INACTIVE")
    everything = json.loads(run("decisions", "ls", "--json").stdout)
    assert {each["decision"] for each in everything} == {"hold", "reject"}
    for arguments, count in (
        (("--decision", "reject"), 1),
        (("--reason", "allow.unmatched"), 2),
        (("--rule", "recalled"), 1),
        (("--ca", "ff"), 0),
        (("--since", "2026-03-01T12:01:00Z"), 1),
        (("--limit", 1), 1),
    ):
        assert len(json.loads(run("decisions", "ls", *arguments, "--json").stdout)) == count, arguments


def test_a_decision_is_shown_with_rule_reasons_and_what_to_do(ready: Table, run: Run) -> None:
    reject(ready, "INACTIVE")
    text = run("decisions", "show", ID).stdout
    for part in ("REJECT", "recalled", "Recall 17", "reopen", ID):
        assert part in text
    assert json.loads(run("decisions", "show", ID, "--json").stdout)["certificate_id"] == ID


def test_a_device_that_never_knocked_is_exit_2(ready: Table, run: Run) -> None:
    result = run("decisions", "show", "ef" * 32)
    assert (result.exit_code, "has not knocked" in result.stderr) == (2, True)


def test_reopen_is_recorded_and_sent_only_for_what_was_made_inactive_here(ready: Table, run: Run, aws: Any) -> None:
    reject(ready, "INACTIVE")
    for status in ("REVOKED", "ACTIVE"):
        described(aws, status)
        assert run("decisions", "reopen", ID, "--yes").exit_code == 2
    assert sent(Queues()) == []
    described(aws, "INACTIVE")
    assert run("decisions", "reopen", ID, "--yes").exit_code == 0
    record = ready.record_and_heads(ID)[0]
    assert record is not None
    assert record.reopened is not None
    assert len(sent(Queues())) == 1


def test_held_devices_are_not_reopened(ready: Table, run: Run, aws: Any) -> None:
    hold(ready, 1)
    described(aws, "PENDING_ACTIVATION")
    result = run("decisions", "reopen", ID, "--yes")
    assert (result.exit_code, "was not rejected" in result.stderr) == (2, True)
