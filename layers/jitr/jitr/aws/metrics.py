"""The metrics that the functions write. ``docs/metrics.md`` is generated from this module.

A metric is never renamed and never changes its unit: dashboards and alarms of others count on it.
"""

from enum import StrEnum

from jitr.values import dataclass

NAMESPACE = "jitr"


class Unit(StrEnum):
    """As CloudWatch writes them."""

    COUNT = "Count"
    MILLISECONDS = "Milliseconds"
    SECONDS = "Seconds"


@dataclass(frozen=True, slots=True)
class Metric:
    """One documented metric, in the dimension ``service``: the stack's name.

    One with ``reasons`` is also there by ``service`` and ``reason``; the text says what the reason may be.
    """

    name: str
    unit: Unit
    meaning: str
    reasons: str | None = None


_COUNT, _MS, _SECONDS = Unit.COUNT, Unit.MILLISECONDS, Unit.SECONDS
RETRY_CAUSES = (
    *("throttled", "unavailable", "unreachable", "denied", "rules", "conflict", "busy", "edited", "unknown", "status"),
    *("deadline", "pace", "format", "ca"),
)
"""Why a message is put back: the reasons of ``Retries``."""

RETRY_AGE_REASONS = (*RETRY_CAUSES, "bug", "failures")
"""Why a message comes back: put back, after a bug, or because ``RegistrationFailures`` did not take it."""


def _one_of(words: tuple[str, ...]) -> str:
    *most, last = (f"`{each}`" for each in words)
    return f"{', '.join(most)} or {last}"


_ALL = (
    Metric("Admitted", _COUNT, "decisions to admit that were carried out"),
    Metric("Held", _COUNT, "decisions to hold", reasons="the heaviest reason code"),
    Metric("Rejected", _COUNT, "decisions to reject that were carried out", reasons="the heaviest reason code"),
    Metric("Withdrawn", _COUNT, "admissions taken back because of an edit while they were carried out"),
    Metric("TimeToAdmission", _MS, "from the knock that was admitted to `ACTIVE`"),
    Metric("SettledKnocks", _COUNT, "knocks of devices that were already decided"),
    Metric("HeldKnocks", _COUNT, "knocks of held devices for which nothing has changed"),
    Metric("NotPending", _COUNT, "events whose certificate is no longer pending"),
    Metric("Retries", _COUNT, "messages put back", reasons=_one_of(RETRY_CAUSES)),
    Metric(
        "RetryAge",
        _SECONDS,
        "time since the event of a message that comes back first came",
        reasons="as of `Retries`; or `bug`, or `failures`: `RegistrationFailures` did not take it",
    ),
    Metric("Changes", _COUNT, "edits that reached the recheck function"),
    Metric("ScheduledRechecks", _COUNT, "times that it finished its work of a minute"),
    Metric("HeldLookedAt", _COUNT, "held devices whose decision it computed"),
    Metric(
        "Rechecked", _COUNT, "held devices that it put back on the queue", reasons="`edit`, `pass`, `due` or `every`"
    ),
    Metric("RecheckPasses", _COUNT, "finished passes over all held devices", reasons="`changed` or `every`"),
    Metric("RulesUnavailable", _COUNT, "messages put back because no rules are published or they cannot be read"),
    Metric(
        "CrlFailures",
        _COUNT,
        "revocation lists that could not be fetched or used, at most one a minute for each list and environment",
    ),
    Metric(
        "OcspFailures",
        _COUNT,
        "questions that an OCSP responder did not answer, or whose answers cannot be used",
    ),
    Metric(
        "OcspLeftAlone",
        _COUNT,
        "times that an OCSP responder was left alone for a minute, after three failures in a row",
    ),
    Metric("Poison", _COUNT, "messages moved to `RegistrationFailures`", reasons="a reason code of `event.*`"),
    Metric("Bugs", _COUNT, "unexpected exceptions"),
    Metric("Notices", _COUNT, "events that the bus took"),
    Metric("NoticesPutAside", _COUNT, "events that it did not take for an hour, or that could not be made"),
    Metric("Digests", _COUNT, "digests of newly held devices that the notifications topic took"),
    Metric("DropsPublished", _COUNT, "uploads to the bucket that are in force"),
    Metric("DropsRefused", _COUNT, "uploads to the bucket that were refused"),
    Metric("FleetCheckRuns", _COUNT, "completed runs of the fleet function, one every quarter of an hour"),
    Metric(
        "NotAdmissibleToday",
        _COUNT,
        "devices that are in, and that the last scheduled check would reject or hold, except those accepted; written "
        "every quarter of an hour, as are the next four: read the maximum, not the sum",
    ),
    Metric(
        "Drifted",
        _COUNT,
        "devices that are gone from AWS IoT, that somebody else changed, or that differ from their grant",
    ),
    Metric("Unknown", _COUNT, "certificates that are `ACTIVE`, but that neither a rule nor a `jitr` command let in"),
    Metric("FleetFindings", _COUNT, "the sum of `NotAdmissibleToday`, `Drifted` and `Unknown`"),
    Metric("ExpiringSoon", _COUNT, "devices whose certificates end within `ExpiringSoonDays`"),
)

METRICS = {each.name: each for each in _ALL}
"""Every metric by its name."""
