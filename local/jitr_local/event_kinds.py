"""What each function takes: told from an event before the function runs; a wrong one is answered with a right one.

A function is known by the types of its events in the template. Nothing here is stricter than the function is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jitr_local.functions import Function

_OF_A_MESSAGE = {"messageId": str, "receiptHandle": str, "body": str, "attributes": dict}
_NUMBERS = ("ApproximateReceiveCount", "SentTimestamp")


@dataclass(frozen=True, slots=True)
class Kind:
    """The events that a function takes: in words, where example files are, and a check (None: nothing wrong)."""

    words: str
    folder: str  # under events/
    wrong: Callable[[Any], str | None]

    def files(self, events: Path) -> list[str]:
        """Files of this kind, as `make invoke` takes them."""
        return sorted(f"{events.name}/{each.relative_to(events)}" for each in (events / self.folder).glob("*.json"))


def kind_of(function: Function) -> Kind | None:
    """Return what a function takes; None for one that only CloudFormation calls."""
    if function.name in _OF_FUNCTIONS:
        return _OF_FUNCTIONS[function.name]
    return next((kind for source, kind in _KINDS.items() if source in function.takes), None)


# --- what is wrong


def _no_batch(event: Any) -> str | None:
    """Return why this is not a batch of messages as Lambda brings them from SQS."""
    if isinstance(event, dict) and "certificateId" in event:
        return "this is an event as AWS IoT publishes it, and not yet a message"
    return _in_records(event, _no_message)


def _no_changes(event: Any) -> str | None:
    """Return why this is neither what the table's stream brings nor what the schedule sends."""
    if isinstance(event, dict) and "recheck" in event:
        return None if event["recheck"] in ("due", "every") else 'recheck is neither "due" nor "every"'
    return _in_records(event, _no_stream_record) or _in_records(event, _told)


def _told(record: Mapping[str, Any]) -> str | None:
    return " is what NotifyFunction takes" if _tells(record) else None


def _nothing_to_tell(event: Any) -> str | None:
    """Return why this is neither what the table's stream brings of what others are told nor what the schedule sends."""
    if isinstance(event, dict) and "notify" in event:
        return None if event["notify"] == "digest" else 'notify is not "digest"'
    return _in_records(event, _no_stream_record) or _in_records(
        event, lambda record: None if _tells(record) else " is of an item that nobody is told of"
    )


def _tells(record: Mapping[str, Any]) -> bool:
    """Return whether a record of the stream is of an item that others are told of."""
    keys: Any = record["dynamodb"].get("Keys", {})
    pk, sk = (keys.get(each, {}).get("S") for each in ("pk", "sk"))
    return pk == "HISTORY" or sk in ("BY_HAND", "DECISION")


def _no_drop(event: Any) -> str | None:
    """Return why this is neither what S3 sends nor what the schedule sends."""
    if isinstance(event, dict) and (event.get("source") == "aws.events" or event.get("Event") == "s3:TestEvent"):
        return None
    return _in_records(event, _no_object)


def _in_records(event: Any, wrong: Callable[[Mapping[str, Any]], str | None]) -> str | None:
    if not isinstance(event, dict) or not isinstance(event.get("Records"), list):
        return "there is no list Records in it"
    for place, record in enumerate(event["Records"]):
        if not isinstance(record, dict):
            return f"Records[{place}] is not an object"
        if told := wrong(record):
            return f"Records[{place}]{told}"
    return None


def _no_message(record: Mapping[str, Any]) -> str | None:
    for key, kind in _OF_A_MESSAGE.items():
        if not isinstance(record.get(key), kind):
            return f" has no {key}, or it is not {'text' if kind is str else 'an object'}"
    for key in _NUMBERS:
        if not str(record["attributes"].get(key)).isdigit():
            return f".attributes has no {key}, or it is not a number"
    return None


def _no_stream_record(record: Mapping[str, Any]) -> str | None:
    if not isinstance(record.get("eventName"), str):
        return " has no eventName"
    return None if isinstance(record.get("dynamodb"), dict) else " has no dynamodb, or it is not an object"


def _no_object(record: Mapping[str, Any]) -> str | None:
    where: Any = record.get("s3")
    for outer, inner in (("bucket", "name"), ("object", "key")):
        found = where.get(outer) if isinstance(where, dict) else None
        if not isinstance(found, dict) or not isinstance(found.get(inner), str):
            return f" has no s3.{outer}.{inner}, or it is not text"
    return None


def _not_fleet(event: Any) -> str | None:
    """Return what is wrong with an event for the fleet function; None if nothing is."""
    if not isinstance(event, dict) or "fleet" not in event:
        return "no fleet in it"
    return None if event["fleet"] in ("due", "now") else 'fleet is neither "due" nor "now"'


# Two functions read the table's stream, and one is asked by its schedule alone.
_OF_FUNCTIONS = {
    "FleetFunction": Kind(
        '{"fleet": "due"} or {"fleet": "now"}, like those in events/fleet/',
        "fleet",
        _not_fleet,
    ),
    "NotifyFunction": Kind(
        'what the table\'s stream brings of decisions and changes, or {"notify": "digest"}, like those in '
        "events/notify/",
        "notify",
        _nothing_to_tell,
    ),
}
_KINDS = {
    "SQS": Kind(
        "a batch of messages from SQS, like those in events/; `jitr events make` writes one for a certificate",
        "",
        _no_batch,
    ),
    "DynamoDB": Kind(
        'what the table\'s stream brings, or {"recheck": "due"}, like those in events/recheck/', "recheck", _no_changes
    ),
    "S3": Kind(
        "what S3 sends about an object, or what the schedule sends, like those in events/publish/", "publish", _no_drop
    ),
}
