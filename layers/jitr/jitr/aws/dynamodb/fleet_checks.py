"""The items of scheduled checks: the pass that is under way, what finished passes found, and what is accepted.

Under ``FLEET``:

    PASS                  how far the pass has come that is under way, and who runs it
    SUMMARY#<started_at>  what a finished pass found
    ACCEPTED#<reason>     what an operator accepts

and under ``FLEET#DRIFT``, by certificate, what listings of things and IoT policies showed, until the certificate's
status is known.

The pass is one item, written as a whole and only by whoever has its turn: the turn is raised by a conditional write,
so that of two who take it at once one gets it, and whoever lost it can write nothing more. What pages showed and the
place after them are one write. The summary is written in the transaction that ends the pass.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from datetime import datetime, timedelta
from typing import Any

from jitr.aws.dynamodb.actions import delete, put, where
from jitr.aws.dynamodb.table import Item, Table
from jitr.fleet.acceptance import Acceptance
from jitr.fleet.missing import Missing
from jitr.fleet.tally import Tally
from jitr.times import parse_time, rfc3339
from jitr.values import dataclass

PARTITION = "FLEET"
DRIFT = "FLEET#DRIFT"
FORMAT = 1

# Longer than the function runs (functions/fleet, 15 minutes): whoever took a pass before that is gone.
LEASE = timedelta(minutes=16)
# A pass is begun so much before it is due, or each would begin a tick of the schedule later than the one before.
_EARLY = timedelta(minutes=10)
_SUMMARIES_KEPT = timedelta(days=400)
_DRIFT_KEPT = timedelta(days=30)
_PASS = {"pk": PARTITION, "sk": "PASS"}
_SUMMARY, _ACCEPTED = "SUMMARY#", "ACCEPTED#"


@dataclass(frozen=True, slots=True)
class FleetPlace:
    """The place that a pass has come to: the step, of which policy or CA, and the mark of the page that comes next."""

    step: str
    of: str = ""
    mark: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as it is kept."""
        return {"step": self.step, "of": self.of, "mark": self.mark}


@dataclass(frozen=True, slots=True)
class FleetPass:
    """A pass that this invocation runs. ``listing`` counts what the listing that it is in has shown so far.

    So does ``missing_in_listing``; ``missing`` is of all that came before. ``policies`` says whether the pass goes
    through the account's IoT policies, ``groups`` are the granted ones whose things it goes through.
    ``cas`` are those whose listings it is through with: AWS IoT may hold one no longer when the pass is over.
    """

    started_at: datetime
    turn: int
    place: FleetPlace
    total: Tally = field(default_factory=Tally)
    listing: Tally = field(default_factory=Tally)
    missing: Missing = field(default_factory=Missing)
    missing_in_listing: Missing = field(default_factory=Missing)
    policies: bool = False
    groups: frozenset[str] = frozenset()
    cas: frozenset[str] = frozenset()

    def to_item(self) -> Item:
        """Return the item, without who runs it."""
        return _PASS | {
            "format": FORMAT,
            "started_at": rfc3339(self.started_at),
            "turn": self.turn,
            "place": self.place.to_json(),
            "total": json.dumps(self.total.to_json()),
            "listing": json.dumps(self.listing.to_json()),
            "missing": self.missing.to_json(),
            "missing_in_listing": self.missing_in_listing.to_json(),
            "policies": self.policies,
            "groups": sorted(self.groups),
            "cas": sorted(self.cas),
        }

    @classmethod
    def from_item(cls, item: Mapping[str, Any], turn: int) -> "FleetPass":
        """Read the item of a pass that is under way, to go on with it in a turn."""
        return cls(
            parse_time(item["started_at"]),
            turn,
            FleetPlace(item["place"]["step"], item["place"]["of"], item["place"]["mark"]),
            Tally.from_json(json.loads(item["total"])),
            Tally.from_json(json.loads(item["listing"])),
            Missing.from_json(item["missing"]),
            Missing.from_json(item["missing_in_listing"]),
            item["policies"],
            frozenset(item["groups"]),
            frozenset(item.get("cas") or ()),  # an earlier version kept none
        )


class FleetChecks:
    """The scheduled checks of one table. Every method raises Retry where DynamoDB could not answer now."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def take(self, now: datetime, every: timedelta, first: FleetPlace, *, wanted: bool = False) -> FleetPass | None:
        """Take on the pass that is under way, or begin the one that is due; None where there is neither.

        A pass is due ``every`` so often, and at once where it is ``wanted``. None also where another invocation runs
        it. Raises Retry where a later version keeps passes in a format of its own.
        """
        item = self._table.one(_PASS)
        if item is None:
            return self._taken(FleetPass(now, 1, first), now, before=None)
        if "lease_until" in item and now < parse_time(item["lease_until"]):
            return None
        turn = int(item["turn"])
        # One that an earlier version began does not know all that is missing: it begins anew.
        begun_before = item["place"] is not None and item.get("groups") is None
        if item["place"] is not None and not begun_before:
            mine = FleetPass.from_item(item, turn + 1)
        elif begun_before or wanted or now >= parse_time(item["started_at"]) + every - _EARLY:
            mine = FleetPass(now, turn + 1, first)
        else:
            return None
        return self._taken(mine, now, before=turn)

    def move(self, mine: FleetPass, now: datetime) -> bool:
        """Write down how far a pass has come, and what it has counted; whether it is still ours."""
        return not self._table.transact([self._put(mine.to_item() | _lease(now), mine.turn)])

    def let_go(self, mine: FleetPass) -> None:
        """Leave a pass where it is, for the next invocation."""
        self._table.transact([self._put(mine.to_item(), mine.turn)])

    def finish(self, mine: FleetPass, summary: Item, now: datetime) -> bool:
        """End a pass, and write down what it found, in one transaction; whether it was still ours."""
        item = {
            "pk": PARTITION,
            "sk": f"{_SUMMARY}{rfc3339(mine.started_at)}",
            "format": FORMAT,
            "summary": json.dumps(summary),
            "expires_at": int((now + _SUMMARIES_KEPT).timestamp()),
        }
        counted = ("place", "total", "listing", "missing", "missing_in_listing", "groups", "cas")
        ended = mine.to_item() | dict.fromkeys(counted)
        return not self._table.transact([self._put(ended, mine.turn), put(self._table.name, item)])

    def under_way(self) -> datetime | None:
        """Return when the pass was begun that is under way; None where none is."""
        item = self._table.one(_PASS)
        return None if item is None or item["place"] is None else parse_time(item["started_at"])

    def last(self) -> dict[str, Any] | None:
        """Return what the newest finished pass found; None where none ever finished."""
        newest = self._table.query(PARTITION, beginning=_SUMMARY, newest_first=True, limit=1)
        summary: dict[str, Any] | None = next((json.loads(each["summary"]) for each in newest), None)
        return summary

    # --- what is accepted

    def accepted(self) -> list[Acceptance]:
        """Return what operators accepted, also what has run out, in the order of the reasons."""
        return list(map(Acceptance.from_json, self._table.query(PARTITION, beginning=_ACCEPTED)))

    # --- what listings of things and IoT policies showed

    def note_drift(self, mine: FleetPass, drifts: Iterable[tuple[str, str]], now: datetime) -> None:
        """Note how devices differ from their grants, until their statuses are known: certificateId and words."""
        for certificate_id, message in drifts:
            expires_at = int((now + _DRIFT_KEPT).timestamp())
            told = {"format": FORMAT, "pass": rfc3339(mine.started_at), "message": message, "expires_at": expires_at}
            self._table.put({"pk": DRIFT, "sk": certificate_id} | told)

    def drift_of(self, mine: FleetPass, certificate_ids: Sequence[str]) -> dict[str, str]:
        """Return how those of the devices differ that this pass noted, by certificateId."""
        found = self._table.get([{"pk": DRIFT, "sk": each} for each in certificate_ids])
        return {each["sk"]: each["message"] for each in found if each["pass"] == rfc3339(mine.started_at)}

    def _taken(self, mine: FleetPass, now: datetime, *, before: int | None) -> FleetPass | None:
        failed = self._table.transact([self._put(mine.to_item() | _lease(now), before)])
        return None if failed else mine

    def _put(self, item: Item, turn: int | None) -> Item:
        as_read = where("attribute_not_exists(pk)") if turn is None else where("turn = :turn", {":turn": turn})
        return put(self._table.name, item, **as_read)


def acceptance_put(table: str, acceptance: Acceptance) -> Item:
    """Return the action that writes an acceptance, for the transaction with its entry in the history."""
    key = {"pk": PARTITION, "sk": f"{_ACCEPTED}{acceptance.reason}"}
    return put(table, key | {"format": FORMAT} | acceptance.to_json())


def acceptance_delete(table: str, reason: str) -> Item:
    """Return the action that withdraws an acceptance; it fails where there is none."""
    return delete(table, {"pk": PARTITION, "sk": f"{_ACCEPTED}{reason}"}, **where("attribute_exists(pk)"))


def _lease(now: datetime) -> Item:
    return {"lease_until": rfc3339(now + LEASE)}
