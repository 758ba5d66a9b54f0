"""The status of device certificates changed at an operator's word, written down, and kept from being undone."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from jitr.aws.dynamodb.by_hand import acts_of
from jitr.aws.dynamodb.table import Table
from jitr.aws.pacing import Pace
from jitr.aws.quotas import Quotas
from jitr.records.history import HistoryKind
from jitr.text import counted
from jitr_operations import telling
from jitr_operations.devices.admissions import not_the_function_s, shut_out_for_good
from jitr_operations.devices.by_hand import Hand
from jitr_operations.devices.registry import DeviceCertificate, Registry
from jitr_operations.history import keeping


def _usual_pace() -> Pace:
    """Return the pace of whoever uses no more of AWS IoT than it gives to every account (``jitr.aws.quotas``)."""
    return Pace(Quotas(), time.monotonic, time.sleep)


def _nobody(_certificate_id: str) -> None:
    return


def _tell_that_it_is_out(certificate_id: str) -> None:
    telling.note(f"{certificate_id[:12]} was deleted or revoked meanwhile: it is out, and left as it is.")


def deactivate(
    registry: Registry,
    statuses: Mapping[str, str],
    hand: Hand,
    table: Table | None,
    why: Callable[[str], str | None],
    *,
    still: Callable[[str], bool] = lambda _id: True,
    made: Callable[[str], None] = _nobody,
    out_already: Callable[[str], None] = _tell_that_it_is_out,
    pace: Pace | None = None,
    command: Sequence[str] = (),
) -> list[str]:
    """Make certificates INACTIVE, given their statuses by id, write down of each who did it, and see that they stay so.

    ``still`` is asked right before each whether it is to be so; one that is not is left alone. ``made`` is told of each
    as soon as it is INACTIVE, ``out_already`` of each that another hand deleted or revoked since. ``command`` is what
    was asked, for the history; without, they were named. Returns those that are still being decided.
    """
    asked = command or ("device", "deactivate", *keeping.short(statuses))
    before = keeping.statuses(statuses.values())
    reasons = "; ".join(filter(None, dict.fromkeys(map(why, statuses)))) or None
    with keeping.doing(hand.account, HistoryKind.DEVICE, asked, why=reasons, before=before, devices=statuses) as doing:

        def begun(certificate_id: str) -> bool:
            is_so = still(certificate_id)
            if is_so:
                doing.touched(certificate_id)  # first: whoever is killed in between has said who and why
            return is_so

        def told(certificate_id: str) -> None:
            made(certificate_id)
            doing.count("INACTIVE")

        under_way = _deactivate(registry, statuses, hand, table, why, begun, told, out_already, pace)
        for each in statuses.values():
            if each in ("INACTIVE", "REVOKED"):
                doing.count(each)
        return _told(doing, under_way)


def _told(doing: keeping.Doing, under_way: list[str]) -> list[str]:
    """Have the history tell of devices that are still being decided, which may come to another end."""
    if under_way:
        doing.after["still_being_decided"] = len(under_way)
    return under_way


def _deactivate(
    registry: Registry,
    statuses: Mapping[str, str],
    hand: Hand,
    table: Table | None,
    why: Callable[[str], str | None],
    still: Callable[[str], bool],
    made: Callable[[str], None],
    out_already: Callable[[str], None],
    pace: Pace | None,
) -> list[str]:
    to_change = {each: before for each, before in statuses.items() if before not in ("INACTIVE", "REVOKED")}
    off = _SwitchedOff(registry, hand, table, why, made)
    pace = pace or _usual_pace()
    try:
        with telling.progress("Deactivating", len(to_change)) as advance:
            for each, before in to_change.items():
                if still(each):
                    pace.take("UpdateCertificate")
                    if not off.add(each, before):
                        out_already(each)
                advance(1)
    except BaseException:
        off.write_down_the_last()
        if len(to_change) > 1:
            telling.note(f"Made {len(off.done)} of {len(to_change)} INACTIVE. The same command again carries on.")
        if table is not None:
            with suppress(Exception):  # the same command again does not come to those any more that are INACTIVE
                not_the_function_s(table, off.done)
        hand.catch_up()
        raise
    cut_off = statuses.keys() - to_change.keys()
    for each in cut_off:
        hand.stays_cut_off(each, statuses[each], why(each))
    hand.catch_up()
    try:
        return _stay_out(table, registry, {each: statuses[each] for each in (*off.done, *cut_off)}, "INACTIVE")
    except BaseException:
        telling.note(
            f"Made {counted(len(off.done), 'certificate')} INACTIVE. Whether one is being let in again at this moment "
            "could not be seen: give the same command again."
        )
        raise


class _SwitchedOff:
    """Certificates made INACTIVE one after the other, and who did it to each."""

    def __init__(
        self,
        registry: Registry,
        hand: Hand,
        table: Table | None,
        why: Callable[[str], str | None],
        made: Callable[[str], None],
    ) -> None:
        self._registry = registry
        self._hand = hand
        self._table = table
        self._why = why
        self._made = made
        self._last: tuple[str, str] | None = None  # whose status is being set, or who did it is not written down yet
        self.done: list[str] = []

    def add(self, certificate_id: str, before: str) -> bool:
        """Make one INACTIVE and write down who did it; return whether it could be."""
        self._last = certificate_id, before
        could_be = _switch_off(self._registry, certificate_id)
        if could_be:
            self.done.append(certificate_id)
            self._made(certificate_id)
            self._hand.cut_off(certificate_id, "INACTIVE", before, self._why(certificate_id))
        self._last = None
        return could_be

    def write_down_the_last(self) -> None:
        """Write down who did it to the one at which this was cut off: perhaps only AWS IoT's answer was lost."""
        if self._last is None:
            return
        certificate_id, before = self._last
        with suppress(Exception):
            if certificate_id not in self.done:
                if not _is_off(self._registry, certificate_id):
                    return
                self.done.append(certificate_id)
            acts = acts_of(self._table, [certificate_id]).get(certificate_id)
            if acts is None or acts[-1].status != "INACTIVE":
                self._hand.cut_off(certificate_id, "INACTIVE", before, self._why(certificate_id))


def _switch_off(registry: Registry, certificate_id: str) -> bool:
    """Make a certificate INACTIVE; return whether it could be: one that another hand deleted or revoked is out."""
    from botocore.exceptions import ClientError

    try:
        registry.set_status(certificate_id, "INACTIVE")
    except ClientError:
        found = registry.get(certificate_id)
        if found is not None and found.status != "REVOKED":
            raise
        return False
    return True


def _is_off(registry: Registry, certificate_id: str) -> bool:
    found = registry.get(certificate_id)
    return found is not None and found.status == "INACTIVE"


def revoke(registry: Registry, found: DeviceCertificate, hand: Hand, table: Table | None, why: str | None) -> list[str]:
    """Revoke a certificate, for ever, write down who did it, and see that no admission under way undoes it.

    Returns the certificate where it is still being decided.
    """
    command, before = ("device", "revoke", found.id[:12]), {found.status: 1}
    with keeping.doing(hand.account, HistoryKind.DEVICE, command, why=why, before=before, devices=[found.id]) as doing:
        if found.status != "REVOKED":
            registry.set_status(found.id, "REVOKED")
            hand.cut_off(found.id, "REVOKED", found.status, why)
        else:
            hand.stays_cut_off(found.id, "REVOKED", why)
        hand.catch_up()
        doing.count("REVOKED")
        return _told(doing, _stay_out(table, registry, {found.id: found.status}, "REVOKED"))


def _stay_out(table: Table | None, registry: Registry, statuses: Mapping[str, str], status: str) -> list[str]:
    """See to it that no admission under way, and none that was taken back, undoes what was just done.

    ``statuses`` are those before, by id. Returns those that are still being decided.
    """
    if table is None:
        return []
    pending = [each for each, before in statuses.items() if before == "PENDING_ACTIVATION"]
    return shut_out_for_good(table, registry, pending, list(statuses), status)
