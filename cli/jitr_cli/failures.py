"""``jitr failures``: messages that could never be handled, and what to do with them."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from jitr.reasons import CODES
from jitr.times import from_epoch_ms
from jitr_cli.deployment import Choice, stack_options
from jitr_cli.output import confirm, emit, json_option, note, progress, safe, table

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

# While a command looks at a message nobody else sees it; it lets go of each when it is done.
_VISIBILITY = 300  # seconds
_EXHAUSTED = "event.bug"  # came here by the queue's own redrive policy, with no reason attached


@click.group("failures", no_args_is_help=True)
def failures() -> None:
    """Registration events that could not be handled."""


@failures.command("ls")
@click.option("--reason", metavar="CODE", help="Only those with this reason code.")
@stack_options
@json_option
def ls(reason: str | None, choice: Choice, as_json: bool) -> None:
    """Show what lies in RegistrationFailures: which certificate, why, since when."""
    deployment = choice.deployment()
    sqs, url = deployment.client("sqs"), deployment.output("RegistrationFailuresUrl")
    found = []
    taken = []
    try:
        for message in _messages(sqs, url):
            taken.append(message)
            document = _document(message)
            if reason is None or document["reason"] == reason:
                found.append(document)
    finally:
        _let_go(sqs, url, taken)
    emit(as_json, found, lambda: _show(found))


@failures.command("redrive")
@click.option("--reason", metavar="CODE", help="Only those with this reason code.")
@click.option(
    "--pace", default=5.0, show_default=True, type=click.FloatRange(0.1, 1000), help="At most so many a second."
)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@stack_options
@json_option
def redrive(reason: str | None, pace: float, yes: bool, choice: Choice, as_json: bool) -> None:
    """Put failed messages back on the registration queue, after what they failed for was mended.

    A message is taken off the failures only once the queue has it.

    \b
    Example:
      jitr failures redrive --reason event.bug
    """
    deployment = choice.deployment()
    sqs, url = deployment.client("sqs"), deployment.output("RegistrationFailuresUrl")
    deployment.announce("sqs")
    confirm(f"Put back {'all failed messages' if reason is None else f'those with {reason}'}?", yes)
    target = deployment.output("RegistrationQueueUrl")
    left = []
    count = 0
    try:
        with progress("Putting back", None) as advance:
            for message in _messages(sqs, url):
                if reason is not None and _reason(message) != reason:
                    left.append(message)
                    continue
                sqs.send_message(QueueUrl=target, MessageBody=message["Body"])
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                count += 1
                advance(1)
                time.sleep(1 / pace)
    finally:
        _let_go(sqs, url, left)
    emit(as_json, {"put_back": count}, f"Put back {count} messages")


def _messages(sqs: "SQSClient", url: str) -> Iterator["MessageTypeDef"]:
    """Every message of a queue, once: each stays out of sight until it is let go of."""
    seen: set[str] = set()
    while True:
        answer = sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=10,
            VisibilityTimeout=_VISIBILITY,
            WaitTimeSeconds=1,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["SentTimestamp"],
        )
        fresh = [each for each in answer.get("Messages", []) if each["MessageId"] not in seen]
        if not fresh:
            return
        seen.update(each["MessageId"] for each in fresh)
        yield from fresh


def _let_go(sqs: "SQSClient", url: str, messages: list["MessageTypeDef"]) -> None:
    from botocore.exceptions import ClientError

    for each in messages:
        # One that was held for longer than _VISIBILITY is back already, and its handle is void.
        with suppress(ClientError):
            sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=each["ReceiptHandle"], VisibilityTimeout=0)


def _reason(message: "MessageTypeDef") -> str:
    return _attribute(message, "reason", _EXHAUSTED)


def _attribute(message: "MessageTypeDef", name: str, default: str) -> str:
    attributes = message.get("MessageAttributes", {})
    return attributes[name].get("StringValue", default) if name in attributes else default


def _document(message: "MessageTypeDef") -> dict[str, Any]:
    return {
        "reason": _reason(message),
        "message": _attribute(message, "message", "it was received too often"),
        "certificate_id": _certificate_id(message["Body"]),
        "since": _since(message),
        "body": message["Body"],
    }


def _certificate_id(body: str) -> str | None:
    try:
        found = json.loads(body)["certificateId"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if isinstance(found, str) else None


def _since(message: "MessageTypeDef") -> datetime:
    return from_epoch_ms(int(message["Attributes"]["SentTimestamp"]))


def _show(found: list[dict[str, Any]]) -> None:
    if not found:
        note("Nothing failed.")
        return
    rows = [(each["since"], each["reason"], (each["certificate_id"] or "")[:12], each["message"]) for each in found]
    table(("since", "reason", "certificate", "why"), rows)
    click.echo()
    for reason, count in Counter(each["reason"] for each in found).most_common():
        remedy = CODES[reason].remedy if reason in CODES else ""
        click.echo(f"{count} x {safe(reason)}: {remedy}")
