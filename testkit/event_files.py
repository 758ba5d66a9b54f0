"""The files in events/, the table in its README, and what came of a batch in the table's words."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jitr.reasons import Verdict
from jitr.records.record import Record

EVENTS = Path(__file__).parents[1] / "events"
FILES = sorted(path.name for path in EVENTS.glob("*.json"))

ACCOUNT = "000000000000"  # in the files
# Each id in the files is two characters, 32 times.
CA, OTHER_CA = "ca", "cb"
UNKNOWN, ALLOWED, UNMATCHED, DENIED, ACTIVE, REVOKED = "d0", "d1", "d2", "d3", "d4", "d5"

_ROW = re.compile(r"^\| \[([^\]]+)\]\(([^)]+)\) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
_TIMES = re.compile(r"(\d+) x (.*)")

# A certificate's status and its decision on record.
Look = Callable[[str], tuple[str, Record | None]]


def table() -> dict[str, tuple[str, ...]]:
    """What the README says comes out: for each file a word for each message in it."""
    rows = _ROW.findall((EVENTS / "README.md").read_text("utf-8"))
    assert all(name == target for name, target, _, _ in rows)
    return {name: tuple(word for part in told.split("; ") for word in _repeated(part)) for name, _, _, told in rows}


def _repeated(part: str) -> list[str]:
    found = _TIMES.fullmatch(part)
    return [found[2]] * int(found[1]) if found else [part]


def text(name: str, *, account: str = ACCOUNT, ids: Mapping[str, str] | None = None) -> str:
    """A file's text, with real ids in place of the made-up ones."""
    found = (EVENTS / name).read_text("utf-8").replace(ACCOUNT, account)
    for made_up, real in (ids or {}).items():
        found = found.replace(made_up * 32, real)
    return found


def records(content: str) -> list[dict[str, Any]]:
    """The messages in the batch."""
    found: list[dict[str, Any]] = json.loads(content)["Records"]
    return found


def outcomes(
    batch: Sequence[Mapping[str, Any]], answer: Mapping[str, Any], poison: Mapping[str, str], look: Look
) -> tuple[str, ...]:
    """What came of each message, in the words of the table. ``poison`` has the reason by body."""
    failed = {each["itemIdentifier"] for each in answer["batchItemFailures"]}
    assert failed <= {each["messageId"] for each in batch}
    return tuple(_outcome(each, failed, poison, look) for each in batch)


def _outcome(message: Mapping[str, Any], failed: set[str], poison: Mapping[str, str], look: Look) -> str:
    if message["messageId"] in failed:
        return "back to the queue"
    if message["body"] in poison:
        return f"poison `{poison[message['body']]}`"
    status, record = look(json.loads(message["body"])["certificateId"])
    if record is None:
        return f"nothing, `{status}`"
    reason = "" if record.decision is Verdict.ADMIT else f" `{record.reasons[0]['code']}`"
    return f"{record.decision.value}{reason}, `{status}`"
