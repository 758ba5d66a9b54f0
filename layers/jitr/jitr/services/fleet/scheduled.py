"""The scheduled check: pass after pass over all devices that are in, some pages an invocation. It changes no device.

A pass goes through, a page at a time,

1. the index of records: which certificates ought to be there
2. whom each IoT policy is attached to: a device that has one beyond its grant has drifted
3. things: one whose type or attributes are not what its device was granted has drifted
4. the certificates of each CA: with its record, each is decided again and held against its status
5. things in each group that was granted
6. all certificates, but only where more are missing than can be told: those of CAs that AWS IoT no longer holds
7. what is missing: each device that lacks something is looked at once more

What pages showed is written down with the page that comes next, every few pages, so a pass that is cut off anywhere
counts nothing twice and leaves nothing out. What is held in memory is one page, and what is missing so far: a sum of
fixed size (``jitr.fleet.missing``).

Which thing a certificate is attached to is not looked for, nor are OCSP responders asked. ``jitr fleet check`` can do
that.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from jitr.aws.crls import Crls
from jitr.aws.dynamodb.fleet_checks import FleetChecks, FleetPass, FleetPlace
from jitr.aws.dynamodb.table import Table, state_shards
from jitr.aws.iot import Iot
from jitr.aws.iot_listings import MOST_POLICIES
from jitr.aws.ocsp_responders import OcspResponders
from jitr.aws.telemetry import Telemetry
from jitr.decision.revocation import without_responders
from jitr.errors import Refused, Retry
from jitr.fleet.acceptance import gauges, not_accepted
from jitr.fleet.missing import Missing
from jitr.fleet.set_difference import MOST
from jitr.fleet.tally import Tally
from jitr.reasons import Verdict
from jitr.services.fleet.examination import AsNow, Clock, Examiner
from jitr.services.fleet.pages import MOST_CAS, MOST_GROUPS, FleetPage, FleetPages
from jitr.times import rfc3339

# What a page takes at the longest, and what is left to do after it.
TIME_FOR_A_PAGE = 60_000  # ms
# Pages looked at before they are written down: what is missing so far is written as a whole each time.
PAGES_A_WRITE = 50
_STEPS = ("records", "policies", "things", "certificates", "groups", "unlisted", "missing")
_END = "end"
FIRST = FleetPlace("begin")

NOT_LOOKED_FOR = (
    "certificates detached from their things",
    "what OCSP responders say",
)


class FleetCheck:
    """One function's checks; keeps nothing between invocations but CAs and revocation lists."""

    def __init__(
        self,
        *,
        table: Table,
        iot: Iot,
        pages: Callable[[], FleetPages],
        clock: Callable[[], datetime],
        telemetry: Telemetry,
        every: timedelta,
    ) -> None:
        """Take who looks at ``pages``, made anew for each invocation, and how often a pass begins (``every``)."""
        self._table = table
        self._iot = iot
        self._clock = clock
        self._telemetry = telemetry
        self._every = every
        self._checks = FleetChecks(table)
        self._new_pages = pages
        self._pages = pages()

    def handle(self, event: Mapping[str, Any], remaining: Callable[[], int]) -> None:
        """Go on with the pass that is under way, or begin the one that is due, and tell what the last one found.

        ``{"fleet": "due"}`` comes from the schedule; ``{"fleet": "now"}`` begins a pass although none is due.
        ``remaining`` tells the milliseconds until Lambda ends the function. Raises Retry and Refused as AWS does: the
        pass goes on from its last page at the next invocation. Raises ValueError for an event that asks for neither.
        """
        if event.get("fleet") not in ("due", "now"):
            raise ValueError("not {'fleet': 'due' | 'now'}")
        self._pages = self._new_pages()
        self._iot.pace.within(remaining)
        if self._table.heads().digest is not None:  # else there is nothing to decide devices by
            mine = self._checks.take(self._clock(), self._every, FIRST, wanted=event["fleet"] == "now")
            if mine is not None:
                self._go_on(mine, lambda: remaining() > TIME_FOR_A_PAGE)
        self._tell()
        self._telemetry.count("FleetCheckRuns")

    def _tell(self) -> None:
        """Give CloudWatch what the last pass found and nobody has accepted. Each time: alarms look at the last hour."""
        last = self._checks.last()
        if last is None:
            return
        left = not_accepted(last["counts"], self._checks.accepted(), self._clock())
        found = gauges(left)
        self._telemetry.count("NotAdmissibleToday", found["NotAdmissibleToday"])
        self._telemetry.count("Drifted", found["Drifted"])
        self._telemetry.count("Unknown", found["Unknown"])
        self._telemetry.count("FleetFindings", found["FleetFindings"])
        self._telemetry.count("ExpiringSoon", found["ExpiringSoon"])

    def _go_on(self, mine: FleetPass, in_time: Callable[[], bool]) -> None:
        looked = 0
        try:
            while in_time():
                if mine.place.step == _END:
                    self._finish(mine)
                    return
                mine = self._one_page(mine)
                looked += 1
                if looked % PAGES_A_WRITE == 0 and not self._checks.move(mine, self._clock()):
                    return  # another invocation has it
        except Retry as retry:
            if retry.cause not in ("deadline", "pace"):
                self._checks.let_go(mine)
                raise
        except Refused:
            self._checks.let_go(mine)
            raise
        self._checks.let_go(mine)

    def _finish(self, mine: FleetPass) -> None:
        now = self._clock()
        counted = mine.total.to_json()
        del counted["drifted"]
        summary = {
            "started_at": rfc3339(mine.started_at),
            "finished_at": rfc3339(now),
            "rules_version": self._table.heads().version,
            **counted,
            "not_looked_for": [*NOT_LOOKED_FOR, *self._not_looked_for(mine)],
        }
        if self._checks.finish(mine, summary, now):
            self._telemetry.logger.info("fleet checked", extra={"counts": counted["counts"]})

    def _not_looked_for(self, mine: FleetPass) -> Iterator[str]:
        if not (mine.policies and self._pages.policies()):
            yield f"IoT policies that are missing or beyond the grants: there are none, or over {MOST_POLICIES}"
        if len(mine.groups) == MOST_GROUPS:
            yield f"things that are not in their groups, but for {MOST_GROUPS} groups"
        if mine.missing.by_device() is None:
            yield f"which devices lack something: over {MOST} things are missing, and jitr fleet check finds them"

    # --- one page

    def _one_page(self, mine: FleetPass) -> FleetPass:
        """Look at one page, and return the pass as it is after it."""
        place = mine.place
        if place.step not in _STEPS:
            mine = replace(mine, policies=bool(self._pages.policies()))
            return replace(mine, place=self._following(mine))
        page = FleetPage(groups=set(mine.groups))
        try:
            mark = self._pages.look(mine, page)
        except Refused as refused:
            if place.mark is None or refused.code != "InvalidRequestException":
                raise
            # AWS IoT does not know the mark any more: this listing is gone through again, and counted anew.
            return replace(mine, place=replace(place, mark=None), listing=Tally(), missing_in_listing=Missing())
        page.add(mine.listing, mine.missing_in_listing)
        groups = frozenset(page.groups)
        if mark is not None:
            place = replace(place, mark=mark)
            return replace(mine, place=place, listing=page.seen, missing_in_listing=page.missing, groups=groups)
        after = replace(mine, groups=groups, listing=Tally(), missing_in_listing=Missing())
        if place.step != "certificates" or self._pages.has_ca(place.of):
            page.add(mine.total, mine.missing)
            through = place.step == "certificates" and len(mine.cas) < MOST_CAS
            cas = mine.cas | {place.of} if through else mine.cas
            after = replace(after, total=page.seen, missing=page.missing, cas=cas)
        # Else its listing may not have shown all: its devices are looked at as those of any CA that is gone.
        return replace(after, place=self._following(after))

    def _following(self, mine: FleetPass) -> FleetPlace:
        """Return where a pass goes on after the last page of a listing."""
        step = mine.place.step
        later = [each for each in self._of(step, mine) if each > mine.place.of]
        while not later:
            step = _STEPS[0] if step == FIRST.step else (*_STEPS, _END)[_STEPS.index(step) + 1]
            if step == _END:
                return FleetPlace(_END)
            later = self._of(step, mine)
        return FleetPlace(step, later[0])

    def _of(self, step: str, mine: FleetPass) -> list[str]:
        """Return what a step goes through one after the other: partitions, IoT policies or CAs; or all at once."""
        match step:
            case "records":
                return list(state_shards(Verdict.ADMIT.value))
            case "policies":
                return self._pages.policies() if mine.policies else []
            case "things":
                return ["*"]
            case "certificates":
                return self._pages.cas()
            case "groups":
                return sorted(mine.groups)
            case "unlisted":
                return ["*"] if mine.missing.by_device() is None else []
            case "missing":
                return [] if mine.missing.by_device() == {} else ["*"]
        return []


def scheduled_examiner(table: Table, iot: Iot, crls: Crls, clock: Clock) -> Callable[[], Examiner]:
    """Return who makes an examiner of what is in force, by one set of CAs and revocation lists."""
    seen = AsNow(iot, crls, OcspResponders(), clock)
    return lambda: Examiner(table, seen, clock, without_responders)
