"""Carrying out a decision: in AWS IoT, and on record.

Rules and lists may be edited while an admission is carried out, and who recalls a device sees only those that are
ACTIVE. So what an admission rests on is looked at again right before ACTIVE and right after it: an edit is then either
seen here, or was made once the device was ACTIVE for everybody to see.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from jitr.aws.dynamodb.table import Conflict, Table
from jitr.aws.iot import Description, Iot
from jitr.aws.telemetry import Telemetry
from jitr.decision.decide import Decision, held_instead
from jitr.decision.plan import ACTIVE, INACTIVE, REVOKED, Lane, SetStatus, Step, lanes, plan
from jitr.errors import Refused, Retry
from jitr.reasons import Reason, Verdict
from jitr.records.record import APPLIED, APPLYING, Record
from jitr.records.transitions import (
    STATUS_FRESH,
    admitted_again,
    all_attached,
    refused_now,
    same_admission,
    settled,
    superfluous,
)
from jitr.services.registration.deciding import Decider, LaterDecision
from jitr.services.registration.delivery import Case
from jitr.services.registration.guards import Guards
from jitr.services.registration.reservations import Reservations
from jitr.values import dataclass


@dataclass(frozen=True, slots=True)
class Found:
    """A certificate as AWS IoT held it, and when."""

    certificate: Description
    at: datetime


class Applier:
    """Carries decisions out. Every method raises Retry for "not now", and all of it can be done again."""

    def __init__(
        self,
        *,
        iot: Iot,
        table: Table,
        decider: Decider,
        guards: Guards,
        reservations: Reservations,
        clock: Callable[[], datetime],
        telemetry: Telemetry,
        at_once: Callable[[Iterable[Callable[[], None]]], None],
    ) -> None:
        self._iot = iot
        self._table = table
        self._decider = decider
        self._guards = guards
        self._reservations = reservations
        self._clock = clock
        self._telemetry = telemetry
        self._at_once = at_once

    def apply(self, case: Case, decision: Decision, facts: Mapping[str, Any] | None, found: Found) -> None:
        """Carry a decision out, and record it. ``facts`` are None for a certificate that could not be read."""
        match decision.verdict:
            case Verdict.HOLD:
                self._hold(decision, self._recorded(case, decision, facts, APPLIED))
            case Verdict.REJECT:
                record = self._recorded(case, decision, facts, APPLYING)
                self._reject(case, decision, self._reservations.release(record), found)
            case Verdict.ADMIT:
                self._admit(case, decision, facts, found)

    def finish(self, case: Case, record: Record, arn: str, now: datetime) -> None:
        """Finish a decision that was cut off after its status was set."""
        if record.decision is Verdict.ADMIT:
            self._activated(case, record, arn)
            return
        if record.withdrawn:
            record = self._stripped(record, arn)
        self._table.put_record(settled(record, now))
        self._told("rejected", record)

    def take_back(self, case: Case, found: Description) -> tuple[Case, Description]:
        """Go on with a withdrawal that was cut off; return the case and the certificate as they are then."""
        if found.status == ACTIVE:  # by us, and being taken back
            self._shut_out(case.event.certificate_id, INACTIVE)
            found = replace(found, status=INACTIVE)
        record = case.record
        if record is None or not record.withdrawn or record.state != APPLYING or record.decision is Verdict.ADMIT:
            return case, found
        return replace(case, record=self._stripped(record, found.arn)), found

    def wait(self, decision: Decision, record: Record) -> None:
        """Write a hold, then make sure that no edit slipped in between looking the device up and holding it."""
        record = self._reservations.release(record)
        if not record.unchanged(self._table.heads()):
            raise Retry("edited", f"rules or lists were edited while deciding ({', '.join(decision.lists) or 'rules'})")

    # --- hold and reject

    def _hold(self, decision: Decision, record: Record) -> None:
        self.wait(decision, record)
        self._telemetry.count("Held", reason=decision.reasons[0].code)
        self._told("held", record)

    def _reject(self, case: Case, decision: Decision, record: Record, found: Found) -> None:
        stays_pending = False
        try:
            self._until_status_may_change(case, found)
            self._set_status(case, plan(decision), found)
        except Refused as refused:
            # The decision stands; AWS IoT may not take a pending certificate to INACTIVE (unconfirmed).
            stays_pending = True
            self._telemetry.logger.warning("rejected, but the status stays", extra={"refused": str(refused)})
        self._table.put_record(settled(record, self._clock(), stays_pending=stays_pending))
        self._telemetry.count("Rejected", reason=decision.reasons[0].code)
        self._told("rejected", record)

    # --- admit

    def _admit(self, case: Case, decision: Decision, facts: Mapping[str, Any] | None, found: Found) -> None:
        grant = decision.grant
        if grant is None or facts is None:
            raise ValueError("an admission without a grant or without facts")
        record = self._recorded(case, decision, facts, APPLYING)
        claim = self._guards.claim(decision, record, facts, self._decider.rules(case.heads))
        refusal, record = claim.refusal, claim.record
        if refusal is None:
            try:
                self._iot.detach(found.certificate.arn, *superfluous(record, grant))
                record = self._activate(case, plan(decision, claim.left), record, found)
            except Refused as refused:
                refusal = _refusal(refused)
        if refusal is None:
            self._activated(case, record, found.certificate.arn)
            return
        held = held_instead(decision, refusal, self._clock())
        again = self._recorded(case, held, facts, APPLIED)
        self._hold(held, refused_now(again, record, decision))

    def _activate(self, case: Case, steps: tuple[Step, ...], record: Record, found: Found) -> Record:
        """Do an admission's steps; the result is its record, which rests on what was in force right before ACTIVE."""
        self._prepare(case, steps, found)
        self._until_status_may_change(case, found)
        again = self._decider.decided_since(case, record)
        if again is not None:
            if not same_admission(record, again.decision):
                raise Retry("edited", "rules or lists were edited while the admission was carried out")
            record = admitted_again(record, again.decision, again.case.heads)
        self._set_status(case, steps, found)
        return record

    def _activated(self, case: Case, record: Record, arn: str) -> None:
        """Look once more at what an admission rests on, now that the device is ACTIVE: settle it, or take it back.

        One that gives something else by now stays as it is: so does every device that is in when rules are edited.
        """
        again = self._decider.decided_since(case, record)
        if again is None or again.decision.verdict is Verdict.ADMIT:
            if again is not None and same_admission(record, again.decision):
                record = admitted_again(record, again.decision, again.case.heads)
            self._admitted(record)
        else:
            self._withdraw(again, arn)

    def _admitted(self, record: Record) -> None:
        for predecessor in record.predecessors:
            self._deactivate(predecessor)
        now = self._clock()
        self._reservations.settle(settled(record, now))
        self._telemetry.count("Admitted")
        self._telemetry.milliseconds("TimeToAdmission", (now - record.knocked_at).total_seconds() * 1000)
        self._told("admitted", record)

    def _deactivate(self, predecessor: str) -> None:
        found = self._iot.certificate(predecessor)
        if found is None or found.status != ACTIVE:
            return
        try:
            self._iot.set_status(predecessor, INACTIVE)
        except Refused as refused:  # deleted meanwhile, or in transfer
            extra = {"predecessor": predecessor, "refused": str(refused)}
            self._telemetry.logger.warning("replaced, but the status stays", extra=extra)
            return
        self._telemetry.logger.info("replaced", extra={"predecessor": predecessor})

    # --- take an admission back

    def _withdraw(self, again: LaterDecision, arn: str) -> None:
        """Take an admission back: INACTIVE, without its thing and policies, and on record as decided instead.

        The record comes first, so that whoever finds the certificate ACTIVE or INACTIVE after a crash knows it for our
        doing. Where another hand wrote the record meanwhile it says what is to be; but ACTIVE is what we alone know of.
        """
        case, decision = again.case, again.decision
        certificate_id = case.event.certificate_id
        begun = replace(self._recorded(case, decision, again.facts, APPLYING), withdrawn=True)
        try:
            record = self._reservations.release(begun, was_active=True)
        except Conflict:
            self._shut_out(certificate_id, INACTIVE)
            raise
        self._shut_out(certificate_id, REVOKED if decision.revoke else INACTIVE)
        record = self._stripped(record, arn)
        self._telemetry.count("Withdrawn")
        self._told("withdrawn", record)
        if decision.verdict is Verdict.HOLD:
            self.wait(decision, replace(record, state=APPLIED, delivery=None))
        else:
            self._table.put_record(settled(record, self._clock()))

    def _stripped(self, record: Record, arn: str) -> Record:
        """Detach all that an admission attached: what was withdrawn has no use of its thing, whoever makes it ACTIVE.

        The next device of that name may have the thing by then.
        """
        try:
            self._iot.detach(arn, *all_attached(record))
        except Refused as refused:  # in transfer, perhaps; the record still says what is attached
            self._telemetry.logger.warning("withdrawn, but something stays attached", extra={"refused": str(refused)})
            return record
        return replace(record, attached={})

    def _shut_out(self, certificate_id: str, status: str) -> None:
        try:
            self._iot.set_status(certificate_id, status)
        except Refused as refused:  # deleted or revoked meanwhile, or in transfer
            self._telemetry.logger.warning("withdrawn, but the status stays", extra={"refused": str(refused)})

    # --- steps in AWS IoT

    def _prepare(self, case: Case, steps: tuple[Step, ...], found: Found) -> None:
        """Do all of a plan's steps but the status, those that need nothing of one another at once."""
        certificate_id, arn = case.event.certificate_id, found.certificate.arn
        self._at_once(partial(self._go_along, lane, certificate_id, arn) for lane in lanes(steps))

    def _until_status_may_change(self, case: Case, found: Found) -> None:
        """Wait until the status may be set. Raises Retry where another hand has set it since it was described."""
        self._iot.pace.until_turn("UpdateCertificate")
        if self._clock() - found.at > STATUS_FRESH:
            self._require_unchanged(case.event.certificate_id, found.certificate)

    def _set_status(self, case: Case, steps: tuple[Step, ...], found: Found) -> None:
        for step in steps:
            if isinstance(step, SetStatus):
                self._iot.carry_out(step, case.event.certificate_id, found.certificate.arn)

    def _go_along(self, lane: Lane, certificate_id: str, arn: str) -> None:
        for stage in lane:
            self._at_once(partial(self._iot.carry_out, step, certificate_id, arn) for step in stage)

    def _require_unchanged(self, certificate_id: str, before: Description) -> None:
        found = self._iot.certificate(certificate_id)
        if found is None or found.status != before.status:
            raise Retry("status", "the certificate's status was changed by another hand while it was being decided")

    # ---

    def _recorded(self, case: Case, decision: Decision, facts: Mapping[str, Any] | None, state: str) -> Record:
        return case.recorded(decision, facts, state, self._clock())

    def _told(self, what: str, record: Record) -> None:
        self._telemetry.logger.info(
            what,
            extra={"rule": record.rule, "reasons": [dict(each) for each in record.reasons], "digest": record.digest},
        )


def _refusal(refused: Refused) -> Reason:
    """Return the reason code for an answer of AWS IoT's that waiting does not change."""
    if refused.code == "LimitExceededException":
        return Reason("apply.limit", str(refused))
    if refused.code == "CertificateStateException":
        return Reason("apply.certificate-state", str(refused))
    if refused.code == "ResourceNotFoundException":
        missing_policy = refused.operation == "AttachPolicy"
        return Reason("apply.iot-policy-missing" if missing_policy else "apply.resource-missing", str(refused))
    return Reason("apply.refused", str(refused))
