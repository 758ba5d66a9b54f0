"""Passes over all held devices: how many are wanted, how far the one that runs has come, and who runs it.

One item a kind of pass holds it all::

    wanted      raised by every change that calls for a pass; changes that come together call for one
    running     what ``wanted`` was when the pass began that is under way; absent between passes
    done        what ``wanted`` was when the last finished pass began; less than ``wanted``: another one is due
    place       the checkpoint: how far the pass has come
    turn        raised by whoever takes the pass on; every write of its is conditional on it
    lease_until until when nobody else takes it on

A change that comes while a pass runs raises ``wanted``; the pass goes on to its end, and another one follows, so that
no device is passed over and steady changes cannot keep a pass from ever ending. An invocation that dies leaves its
checkpoint; whoever takes the pass on after the lease goes on from there. Two that both think it is theirs cannot both
move it: the turn is raised by a conditional write.
"""

import json
from datetime import datetime, timedelta
from enum import Enum

from jitr.aws.dynamodb.held_devices import PassPlace
from jitr.aws.dynamodb.table import Item, Table
from jitr.errors import Retry
from jitr.times import parse_time, rfc3339
from jitr.values import dataclass

PARTITION = "RECHECK"
FORMAT = 1

# Longer than the function runs (functions/recheck, 60 s): whoever took a pass on before that is gone.
LEASE = timedelta(seconds=90)

_BEGINNING = json.dumps(PassPlace().to_json())


class PassKind(Enum):
    """The question that a pass asks about each held device."""

    CHANGED = "CHANGED"  # whether its decision would be another
    EVERY = "EVERY"  # nothing: it is decided again


@dataclass(frozen=True, slots=True)
class Pass:
    """A pass that this invocation runs."""

    kind: PassKind
    running: int
    wanted: int
    turn: int
    place: PassPlace
    started_at: datetime


class Passes:
    """The passes of one table. Every method raises Retry where DynamoDB could not answer now."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def want(self, kind: PassKind) -> None:
        """Call for a pass. Raises Retry where a later version keeps them in a format of its own."""
        done = self._table.update(
            _key(kind),
            "SET #format = :format ADD #wanted :one",
            {":format": FORMAT, ":one": 1},
            _names("format", "wanted"),
            "attribute_not_exists(#format) OR #format = :format",
        )
        if done is None:
            raise Retry("format", f"the passes have another format than {FORMAT}: deploy the newer version again")

    def take(self, kind: PassKind, now: datetime) -> Pass | None:
        """Take a pass on where one is due or was left unfinished; None where none is, or another invocation runs it."""
        item = self._table.one(_key(kind))
        if item is None or item.get("done", 0) >= item.get("wanted", 0):
            return None
        if "lease_until" in item and now < parse_time(item["lease_until"]):
            return None
        values: Item = {
            ":running": item.get("running", item["wanted"]),
            ":place": item.get("place", _BEGINNING),
            ":started_at": item.get("started_at", rfc3339(now)) if "running" in item else rfc3339(now),
            ":lease_until": rfc3339(now + LEASE),
            ":turn": item.get("turn", 0) + 1,
        }
        condition = "attribute_not_exists(#turn)"
        if "turn" in item:
            condition, values[":before"] = "#turn = :before", item["turn"]
        return self._written(
            kind,
            "SET #running = :running, #place = :place, #started_at = :started_at, #lease_until = :lease_until, "
            "#turn = :turn",
            values,
            condition,
        )

    def move(self, mine: Pass, place: PassPlace, now: datetime) -> Pass | None:
        """Write down how far a pass has come; None where it is no longer ours."""
        values = {":place": json.dumps(place.to_json()), ":lease_until": rfc3339(now + LEASE), ":turn": mine.turn}
        return self._written(mine.kind, "SET #place = :place, #lease_until = :lease_until", values, "#turn = :turn")

    def finish(self, mine: Pass) -> None:
        """Write down that a pass came to its end, and let go of it."""
        self._table.update(
            _key(mine.kind),
            "SET #done = :done REMOVE #running, #place, #started_at, #lease_until",
            {":done": mine.running, ":turn": mine.turn},
            _names("done", "running", "place", "started_at", "lease_until", "turn"),
            "#turn = :turn",
        )

    def let_go(self, mine: Pass) -> None:
        """Leave a pass where it is, for the next invocation."""
        names = _names("lease_until", "turn")
        self._table.update(_key(mine.kind), "REMOVE #lease_until", {":turn": mine.turn}, names, "#turn = :turn")

    def _written(self, kind: PassKind, update: str, values: Item, condition: str) -> Pass | None:
        used = [name for name in _ATTRIBUTES if f"#{name}" in update + condition]
        item = self._table.update(_key(kind), update, values, _names(*used), condition)
        if item is None:
            return None
        return Pass(
            kind=kind,
            running=item["running"],
            wanted=item["wanted"],
            turn=item["turn"],
            place=PassPlace.from_json(json.loads(item["place"])),
            started_at=parse_time(item["started_at"]),
        )


_ATTRIBUTES = ("wanted", "running", "done", "place", "started_at", "turn", "lease_until")


def _key(kind: PassKind) -> Item:
    return {"pk": PARTITION, "sk": f"PASS#{kind.value}"}


def _names(*attributes: str) -> dict[str, str]:
    return {f"#{each}": each for each in attributes}
