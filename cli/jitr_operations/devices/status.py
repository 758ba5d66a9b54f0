"""The status of device certificates changed at an operator's word, written down, and kept from being undone."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from jitr.aws.dynamodb.by_hand import acts_of
from jitr.aws.dynamodb.table import Table
from jitr.aws.pacing import Pace
from jitr.aws.quotas import Quotas
from jitr.records.history import HistoryKind
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


def deactivate(
    registry: Registry,
    statuses: Mapping[str, str],
    hand: Hand,
    table: Table | None,
    why: Callable[[str], str | None],
    *,
    still: Callable[[str], bool] = lambda _id: True,
    made: Callable[[str], None] = _nobody,
    pace: Pace | None = None,
    command: Sequence[str] = (),
) -> list[str]:
    """Make certificates INACTIVE, given their statuses by id, write down of each who did it, and see that they stay so.

    ``still`` is asked right before each whether it is to be so; one that is not is left alone. ``made`` is told of each
    as soon as it is INACTIVE. ``command`` is what was asked, for the history; without, they were named. Returns those
    that are still being decided.
    """
    asked = command or ("device", "deactivate", *keeping.short(statuses))
    before = keeping.statuses(statuses.values())
    reasons = "; ".join(filter(None, dict.fromkeys(map(why, statuses)))) or None
    with keeping.doing(hand.account, HistoryKind.DEVICE, asked, why=reasons, before=before, devices=statuses) as doing:

        def told(certificate_id: str) -> None:
            made(certificate_id)
            doing.count("INACTIVE")
            doing.touched(certificate_id)

        under_way = _deactivate(registry, statuses, hand, table, why, still, told, pace)
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
    pace: Pace | None,
) -> list[str]:
    to_change = {each: before for each, before in statuses.items() if before not in ("INACTIVE", "REVOKED")}
    done: list[str] = []
    written: set[str] = set()
    pace = pace or _usual_pace()
    try:
        with telling.progress("Deactivating", len(to_change)) as advance:
            for each, before in to_change.items():
                if still(each):
                    pace.take("UpdateCertificate")
                    registry.set_status(each, "INACTIVE")
                    done.append(each)
                    made(each)
                    hand.cut_off(each, "INACTIVE", before, why(each))
                    written.add(each)
                advance(1)
    except BaseException:
        for each in set(done) - written:  # the last one, interrupted
            with suppress(Exception):
                acts = acts_of(table, [each]).get(each)
                if acts is None or acts[-1].status != "INACTIVE":
                    hand.cut_off(each, "INACTIVE", to_change[each], why(each))
        if len(to_change) > 1:
            telling.note(f"Made {len(done)} of {len(to_change)} INACTIVE. The same command again carries on.")
        if table is not None:
            with suppress(Exception):  # the same command again does not come to those any more that are INACTIVE
                not_the_function_s(table, done)
        raise
    cut_off = statuses.keys() - to_change.keys()
    for each in cut_off:
        hand.stays_cut_off(each, statuses[each], why(each))
    return _stay_out(table, registry, {each: statuses[each] for each in (*done, *cut_off)}, "INACTIVE")


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
