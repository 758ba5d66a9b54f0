"""What a check found, acted on: devices taken out, and grants given back, one by one and at a pace.

Nothing rests on what was shown a while ago. Right before each device its record and its status are read again, and it
is decided under what is in force by then. One that stands otherwise, or is being decided, is left alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jitr.aws.dynamodb.replacements import follows_another
from jitr.aws.dynamodb.table import Table
from jitr.aws.iot import Description, Iot
from jitr.errors import Refused
from jitr.fleet.drift import Drift, DriftKind, apart_from_its_thing, steps_back
from jitr.fleet.standing import ACTIVE, Standing
from jitr.records.history import HistoryKind
from jitr.records.record import Record
from jitr.rules.model import Grant
from jitr.services.fleet.examination import Examiner
from jitr.services.fleet.findings import FleetFinding, codes, may_be_cut_off
from jitr_operations import telling
from jitr_operations.deployment import Deployment
from jitr_operations.devices import status as switching
from jitr_operations.devices.by_hand import Hand
from jitr_operations.devices.registry import Registry
from jitr_operations.fleet.examining import examiner_for
from jitr_operations.fleet.pace import pace_of
from jitr_operations.fleet.selection import Selection
from jitr_operations.history import keeping
from jitr_operations.table import now, table_of


@dataclass(slots=True)
class Mended:
    """What was done: to which devices, which were left alone, and which are still being decided."""

    done: list[str] = field(default_factory=list)
    left_alone: list[str] = field(default_factory=list)
    under_way: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)  # what AWS IoT said, by device

    def to_json(self) -> dict[str, Any]:
        """Return it as ``--json`` prints it."""
        return {
            "certificate_ids": self.done,
            "left_alone": self.left_alone,
            "under_way": self.under_way,
            "refused": self.refused,
        }


class Mender:
    """Acts on what a check found. Each device is looked at once more right before."""

    def __init__(self, deployment: Deployment, selection: Selection) -> None:
        self._deployment = deployment
        self._selection = selection
        self._pace = pace_of(deployment)
        self._table: Table = table_of(deployment)
        self._iot = Iot(deployment.client("iot"), self._pace)
        self._registry = Registry(deployment.client("iot"))
        self._hand = Hand(deployment, self._table)
        self._examiner: Examiner | None = None

    def deactivate(self, findings: Sequence[FleetFinding]) -> Mended:
        """Make devices INACTIVE, and write down who did it and why.

        Where it is cut off the same again carries on: who is INACTIVE is found no more.
        """
        of = {each["certificate_id"]: each for each in findings}
        mended = Mended()

        def still(certificate_id: str) -> bool:
            so = self.is_still_so(of[certificate_id])
            if not so:
                mended.left_alone.append(certificate_id)
            return so

        mended.under_way = switching.deactivate(
            self._registry,
            dict.fromkeys(of, ACTIVE),
            self._hand,
            self._table,
            lambda each: _why(of[each]),
            still=still,
            made=mended.done.append,
            out_already=mended.left_alone.append,
            pace=self._pace,
            command=("fleet", "check", "--deactivate"),
        )
        return mended

    def reattach(self, findings: Sequence[FleetFinding]) -> Mended:
        """Give devices again what they were granted, and write down who did it. Nothing is taken away.

        A device that ought not to be in is left alone. What AWS IoT refuses for one keeps no other from its grant.
        """
        mended, ids = Mended(), [each["certificate_id"] for each in findings]
        command = ("fleet", "check", "--reattach")
        with (
            keeping.doing(self._deployment, HistoryKind.DEVICE, command, devices=ids, lets_in=True) as doing,
            telling.progress("Giving back", len(findings)) as advance,
        ):
            for each in findings:
                self._give_back(each, mended, doing)
                doing.after["given_back"] = len(mended.done)
                advance(1)
            if mended.refused:
                doing.after["refused"] = len(mended.refused)
        return mended

    def _give_back(self, finding: FleetFinding, mended: Mended, doing: keeping.Doing) -> None:
        certificate_id = finding["certificate_id"]
        record, standings = self._looked_at(certificate_id)
        described = self._active(certificate_id)
        if record is None or record.revision != finding["revision"] or record.grant is None or standings != set():
            described = None
        if record is None or described is None:
            mended.left_alone.append(certificate_id)
            return
        lacks = self._lacks(record, finding)
        if not lacks:
            mended.left_alone.append(certificate_id)
            return
        doing.touched(certificate_id)
        # Before it is given: who is cut off after that has begun it.
        self._hand.gives_again(
            certificate_id, f"what was granted is given again: {'; '.join(each.told for each in lacks)}"
        )
        try:
            for step in steps_back(Grant.from_json(record.grant or {}), lacks):
                self._iot.carry_out(step, certificate_id, described.arn)
        except Refused as refused:
            mended.refused[certificate_id] = str(refused)
            return
        mended.done.append(certificate_id)

    def _lacks(self, record: Record, finding: FleetFinding) -> Sequence[Drift]:
        """Return what a device is to be given: of a thing that was granted to another one since, nothing but itself."""
        lacks = [each for each in map(_difference, finding["drift"]) if each.granted is not None]
        follows = follows_another(self._table, record, lambda other: self._active(other) is not None)
        return apart_from_its_thing(lacks) if follows else lacks

    def is_still_so(self, finding: FleetFinding) -> bool:
        """Return whether a device is in and ought not to be, now as when it was shown."""
        record, standings = self._looked_at(finding["certificate_id"])
        if finding["finding"] == Standing.UNKNOWN.value:
            still = record is None
        else:
            still = standings is not None and bool(standings & {Standing.REJECT, Standing.HOLD})
        return still and self._active(finding["certificate_id"]) is not None

    def _looked_at(self, certificate_id: str) -> tuple[Record | None, set[Standing] | None]:
        """Return a device's record and how it stands under what is in force now; None where it is being decided."""
        record, heads = self._table.record_and_heads(certificate_id)
        if record is None:
            return None, None
        if self._examiner is None or self._examiner.heads != heads:
            self._examiner = examiner_for(self._deployment, self._iot, self._pace, self._selection)
        self._examiner.started = now()
        looked = self._examiner.look_at([record], {certificate_id: ACTIVE})
        if looked.left_alone or looked.failed:
            return record, None
        return record, {Standing(each["finding"]) for each in looked.findings if may_be_cut_off(each)}

    def _active(self, certificate_id: str) -> Description | None:
        found = self._iot.certificate(certificate_id)
        return found if found is not None and found.status == ACTIVE else None


def _why(finding: FleetFinding) -> str:
    """Return why a device is taken out, as it is written down of it."""
    if Standing(finding["finding"]) is Standing.UNKNOWN:
        return "fleet check: nobody let it in"
    would = "rejected" if finding["finding"] == Standing.REJECT.value else "held"
    rule = f" (rule {finding['today']['rule']})" if finding["today"]["rule"] else ""
    return f"fleet check: would be {would} today: {', '.join(codes(finding))}{rule}"


def _difference(data: Mapping[str, Any]) -> Drift:
    """Return a difference as a finding has it."""
    return Drift(DriftKind(data["differs"]), data["name"], data["granted"], data["found"])
