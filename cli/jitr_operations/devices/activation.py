"""Whether a certificate may be made ACTIVE by hand: not where the rules in force deny it, unless somebody says why."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from jitr.aws.dynamodb.table import Table
from jitr.decision.decide import Decision
from jitr.errors import Retry
from jitr.reasons import CODES, Verdict
from jitr.records.history import HistoryKind
from jitr_operations import telling
from jitr_operations.accounts import Account
from jitr_operations.decisions.today import Today, reasons_text
from jitr_operations.deployment import Deployment
from jitr_operations.devices.admissions import not_the_function_s
from jitr_operations.devices.by_hand import Hand
from jitr_operations.devices.records import records_of
from jitr_operations.devices.registry import Registry
from jitr_operations.devices.replaced import replacements_of
from jitr_operations.history import keeping
from jitr_operations.table import now

_SHOWN = 3  # of the certificates that a question is about
NOT_ASKED = "No rule is asked, and it is not written down who does this"


@dataclass
class ActivationCheck:
    """Asks what is in force before certificates are made ACTIVE, and writes down who did it and what was overruled.

    ``overrule`` is why, where the rules in force are to be overruled; ``why`` where they need not be; ``how`` is what
    whoever wants to overrule them has to do.
    """

    account: Account
    table: Table | None
    overrule: str | None
    why: str | None = None
    how: str = "--overrule REASON, which is kept"
    doubts: list[str] = field(default_factory=list)  # why the rules in force would hold what they do not deny
    _today: Today | None = None
    _overruled: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def denial(
        self, certificate_id: str, pem: str, ca_certificate_id: str | None, words: str, *, changes: bool = True
    ) -> str | None:
        """Return why a certificate must not be made ACTIVE; None if it may be.

        What is held, what is overruled, and what is ACTIVE already (``changes`` False) is warned of. Raises Retry where
        rules are in force and cannot be read: then nobody can say, and only a reason that is kept helps.
        """
        try:
            decision = self._decided(certificate_id, pem, ca_certificate_id)
        except Retry as problem:
            if self.overrule is None:
                raise
            telling.warn(f"{words}: what the rules in force say of it cannot be told ({problem}), and is overruled")
            return None
        if decision is None or decision.verdict is Verdict.ADMIT:
            return None
        why = reasons_text(decision)
        if decision.verdict is Verdict.HOLD:
            if changes:
                self.doubts.append(f"{words}: the rules in force would not admit it ({why})")
                telling.warn(f"{words}: the rules in force would not admit it ({why}); it is made ACTIVE at your word")
            return None
        if not changes:
            telling.warn(f"{words}: it is ACTIVE, and the rules in force deny it: {why}")
            return None
        if self.overrule is None:
            first = CODES[decision.reasons[0].code]
            remedy = first.remedy_for(rejected=self._was_rejected(certificate_id))
            return (
                f"{words}: the rules in force deny it, and it stays as it is: {why}. {remedy} To let it "
                f"in all the same: {self.how}"
            )
        telling.warn(f"{words}: the rules in force deny it, and are overruled: {why}")
        self._overruled[certificate_id] = tuple(each.code for each in decision.reasons if each.effect is Verdict.REJECT)
        return None

    def question(self, certificate_ids: Sequence[str]) -> str | None:
        """Return what to ask before certificates are made ACTIVE, if others replaced some; else None."""
        if self.table is None:
            return None
        replaced = replacements_of(self.table, records_of(self.table, certificate_ids).values())
        told = [f"{each[:12]} was replaced {replaced[each].told}" for each in certificate_ids if each in replaced]
        if len(told) > _SHOWN:
            told[_SHOWN:] = [f"{len(told) - _SHOWN:,} more were replaced"]
        if not told:
            return None
        return f"{', '.join(told)}: {'its device' if len(told) == 1 else 'their devices'} can then connect with either"

    def _was_rejected(self, certificate_id: str) -> bool:
        record = records_of(self.table, [certificate_id]).get(certificate_id)
        return record is not None and record.decision is Verdict.REJECT

    def _decided(self, certificate_id: str, pem: str, ca_certificate_id: str | None) -> Decision | None:
        if self.table is None or not isinstance(self.account, Deployment):
            return None
        self._today = self._today or Today(self.account, self.table)
        if self._today.heads.digest is None:
            return None  # before the first publication nothing is denied
        record = records_of(self.table, [certificate_id]).get(certificate_id)
        return self._today.explain(pem, ca_certificate_id, record, now()).decision

    def activate(self, registry: Registry, certificate_id: str, before: str) -> None:
        """Make a certificate ACTIVE, and write that into the history."""
        command = ("device", "activate", certificate_id[:12])
        why, was, ids = self.overrule or self.why, {before: 1}, [certificate_id]
        with keeping.doing(
            self.account, HistoryKind.DEVICE, command, why=why, before=was, devices=ids, lets_in=True
        ) as doing:
            self.make_active(registry, certificate_id, before, doing)
            doing.count("ACTIVE")

    def make_active(self, registry: Registry, certificate_id: str, before: str, doing: keeping.Doing) -> None:
        """Write down who makes the certificate ACTIVE and why, and do it: in this order, so that the reason is kept."""
        overruled = self._overruled.get(certificate_id, ())
        why = self.overrule or self.why
        Hand(self.account, self.table).did(certificate_id, "ACTIVE", before, why, overruled)
        registry.set_status(certificate_id, "ACTIVE")
        if overruled:
            doing.after["overruled"] = ", ".join(overruled)
        if self.table is not None:
            not_the_function_s(self.table, [certificate_id])
