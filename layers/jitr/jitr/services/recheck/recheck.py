"""Rechecking held devices: after an edit, when they are due, or on an operator's word.

Nothing is decided for good here. Held devices that a change could concern are found, what each would be decided as
is worked out from its recorded facts, and those whose decision would be another go back on the registration queue:

- rows edited: the devices that the rows' keys find, at once
- rules published, a list replaced, more devices than that: one pass over all held devices
  (``jitr.aws.dynamodb.passes``)
- due: the devices whose time has come, and no others, from an index by that time
- an operator's word: all of them

Whatever is asked twice does no harm, so everything is done again after a failure. What fails because of one device (a
bug) does not keep the others from being looked at: that device goes on the queue, where failures are looked after.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from jitr.aws.dynamodb.changes import PARTITION, Change, ChangeKind
from jitr.aws.dynamodb.held_devices import HeldDevices
from jitr.aws.dynamodb.passes import Pass, Passes, PassKind
from jitr.aws.dynamodb.rulebook import Rulebook
from jitr.aws.dynamodb.table import Item, Table, from_item, is_newer
from jitr.aws.registration_queue import RegistrationQueue
from jitr.aws.telemetry import Telemetry
from jitr.decision.revocation import without_revocation
from jitr.devicelists.rows import RowKey
from jitr.records.event import EVENT_CLOCK_SKEW
from jitr.records.heads import Heads
from jitr.records.held import would_change
from jitr.records.record import Record
from jitr.rules.model import Rules
from jitr.services.recheck.redecide import redecide

# So many held devices are looked at for the rows of one batch of changes; where a key finds more (many certificates
# with one name, say) the rest is left to a pass, which does not keep other edits waiting.
MOST_AT_ONCE = 1_000
# The stream brings the next changes only after these: a pass gets no more of an invocation than this.
PASS_AFTER_CHANGES = timedelta(seconds=8)
# What a page of held devices takes at the longest, and what is left to do after it.
TIME_FOR_A_PAGE = 15_000  # ms

Device = tuple[str, str]  # certificateId and caCertificateId


class Recheck:
    """One function's rechecking; keeps nothing between invocations but rules by their digest."""

    def __init__(
        self, *, table: Table, queue: RegistrationQueue, clock: Callable[[], datetime], telemetry: Telemetry
    ) -> None:
        self._table = table
        self._queue = queue
        self._clock = clock
        self._telemetry = telemetry
        self._held = HeldDevices(table)
        self._passes = Passes(table)
        self._rulebook = Rulebook(table)

    def handle(self, event: Mapping[str, Any], remaining: Callable[[], int]) -> None:
        """Do what an invocation asks for: changes from the table's stream, or a message ``{"recheck": …}``.

        ``remaining`` tells the milliseconds until Lambda ends the function. Raises Retry where AWS could not answer
        now: the same invocation comes again and does all of it again. Raises ValueError for an event that asks for
        nothing known.
        """
        self._queue.look_again()

        def in_time() -> bool:
            return remaining() > TIME_FOR_A_PAGE

        if "Records" in event:
            self._after_changes(event["Records"], in_time)
        elif event.get("recheck") == "due":
            self._due(in_time)
            self._go_on(in_time)
            self._telemetry.count("ScheduledRechecks")
        elif event.get("recheck") == "every":
            self._passes.want(PassKind.EVERY)
            self._go_on(in_time)
        else:
            raise ValueError("neither records of the table's stream nor {'recheck': 'due' | 'every'}")

    def _after_changes(self, records: Iterable[Mapping[str, Any]], in_time: Callable[[], bool]) -> None:
        changes = [each for each in map(self._change, records) if each is not None]
        kinds = {each.kind for each in changes}
        self._telemetry.count("Changes", len(changes))
        # First what has to outlast this invocation, then what is quick, then what may take long.
        if kinds & {ChangeKind.LIST, ChangeKind.RULES}:
            self._passes.want(PassKind.CHANGED)
        if ChangeKind.HELD in kinds:
            self._passes.want(PassKind.EVERY)
        self._rows_edited([key for each in changes for key in each.keys], in_time)
        began = self._clock()
        self._go_on(lambda: in_time() and self._clock() < began + PASS_AFTER_CHANGES)

    def _change(self, record: Mapping[str, Any]) -> Change | None:
        """Read the change in a record of the stream; one that this code cannot read may be anything."""
        image = record["dynamodb"].get("NewImage", {})
        if record["eventName"] == "REMOVE" or image.get("pk") != {"S": PARTITION}:
            return None
        try:
            return Change.from_json(from_item(image))
        except (ValueError, KeyError, TypeError) as unknown:
            self._telemetry.logger.warning("a change that cannot be read", extra={"detail": str(unknown)})
            return Change(ChangeKind.LIST, "")

    def _rows_edited(self, keys: Sequence[RowKey], in_time: Callable[[], bool]) -> None:
        """Look at the devices that the keys find."""
        found = 0
        for certificate_ids in self._held.found_by(dict.fromkeys(keys)):
            if found >= MOST_AT_ONCE or not in_time():
                self._passes.want(PassKind.CHANGED)
                return
            self._look(list(self._held.records(certificate_ids)), "edit")
            found += len(certificate_ids)

    def _due(self, in_time: Callable[[], bool]) -> None:
        """Have those decided again whose time has come, as long as there is time and room."""
        now = self._clock()
        for items in self._held.due(now):
            if not in_time() or not self._queue.has_room():
                return
            self._ask([_device(each) for each in items], "due")
            for each in items:
                self._held.ask_again_later(each, now)

    def _go_on(self, in_time: Callable[[], bool]) -> None:
        """Go on with every pass that is wanted, as long as there is time and room."""
        for kind in PassKind:
            mine = self._passes.take(kind, self._clock())
            while mine is not None:
                if mine.place.at_the_end:
                    self._passes.finish(mine)
                    self._telemetry.count("RecheckPasses", reason=kind.value.lower())
                    mine = self._passes.take(kind, self._clock())
                elif in_time() and self._queue.has_room():
                    mine = self._one_page(mine)
                else:
                    self._passes.let_go(mine)
                    mine = None

    def _one_page(self, mine: Pass) -> Pass | None:
        """Look at some more devices, and write down how far the pass has come."""
        # Who was held since the pass began was decided on what was in force by then; clocks may differ.
        since = mine.started_at if mine.kind is PassKind.EVERY else mine.started_at + EVENT_CLOCK_SKEW
        items, place = self._held.some(mine.place, since)
        if mine.kind is PassKind.EVERY:
            now = self._clock()
            known, later = _by_format(items)
            self._ask([*later, *(_device(each) for each in known if self._held.make_due(each, now))], "every")
        else:
            self._look(items, "pass")
        return self._passes.move(mine, place, self._clock())

    def _look(self, items: Sequence[Item], why: str) -> None:
        """Put those of some waiting devices on the queue whose decision would be another under what is in force.

        And those with a record of a later format: the message waits in the queue for the version that reads it.
        """
        self._telemetry.count("HeldLookedAt", len(items))
        heads = self._table.heads()  # before any row is read, so that what is decided on is no older
        if heads.digest is None or not items:
            return
        rules = without_revocation(self._rulebook.in_force(heads))
        records = []
        known, asked = _by_format(items)
        for item in known:
            try:
                record = Record.from_json(item)
            except (ValueError, KeyError, TypeError) as unreadable:
                self._bug(item, unreadable)
                asked.append(_device(item))
                continue
            if not record.unchanged(heads) and record.facts is not None:
                records.append(record)
        asked += self._changed(records, rules, heads)
        self._ask(asked, why)

    def _changed(self, records: Sequence[Record], rules: Rules, heads: Heads) -> Iterable[Device]:
        now = self._clock()
        for each in redecide(self._table, rules, heads, records, now, lambda _record: now):
            device = (each.record.certificate_id, each.record.ca_certificate_id)
            if each.decision is None:
                self._bug({"certificate_id": device[0]}, each.bug)
                yield device
            elif would_change(each.record, each.decision, now):
                yield device

    def _ask(self, devices: Sequence[Device], why: str) -> None:
        if devices:
            self._queue.ask(devices, self._clock())
            self._telemetry.count("Rechecked", len(devices), reason=why)
            self._telemetry.logger.info("rechecked", extra={"why": why, "devices": len(devices)})

    def _bug(self, item: Mapping[str, Any], bug: Exception | None) -> None:
        self._telemetry.count("Bugs")
        extra = {"certificateId": item["certificate_id"]}
        self._telemetry.logger.error("bug", exc_info=bug, extra=extra)


def _by_format(items: Sequence[Item]) -> tuple[list[Item], list[Device]]:
    """Split the records into those that this version reads and the devices of a later format's."""
    later = [each for each in items if is_newer(each)]
    if not later:
        return list(items), []
    return [each for each in items if not is_newer(each)], list(map(_device, later))


def _device(item: Item) -> Device:
    return item["certificate_id"], item["ca_certificate_id"]
