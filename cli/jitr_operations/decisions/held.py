"""What an operator says of held devices. ``held_listing`` says which there are."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from jitr.aws.dynamodb.changes import change_put, everyone_wanted
from jitr.aws.dynamodb.decisions import newest
from jitr.aws.dynamodb.rulebook import Rulebook
from jitr.aws.dynamodb.table import Table
from jitr.decision.decide import OperatorWord
from jitr.errors import InputError
from jitr.reasons import Verdict
from jitr.records.history import HistoryKind
from jitr.records.record import Record, common_name
from jitr.rules.model import Rules
from jitr.text import meant
from jitr_operations import telling
from jitr_operations.decisions import words
from jitr_operations.decisions.filters import with_reason
from jitr_operations.decisions.held_listing import why
from jitr_operations.decisions.today import Today, reasons_text
from jitr_operations.deployment import Deployment
from jitr_operations.devices.registry import Registry
from jitr_operations.history import keeping
from jitr_operations.table import now, now_text, operator, table_of


@dataclass(frozen=True, slots=True)
class Saying:
    """A word on a held device before it is said: ``question`` asks whether it is meant, warnings come first."""

    record: Record
    word: OperatorWord
    question: str
    warnings: tuple[str, ...] = ()


def admission(deployment: Deployment, device: str, rule: str, message: str | None) -> Saying:
    """Return the word that lets a held device in under a rule, and what will keep it out all the same.

    Raises InputError for a device that is not held, and for a rule that is not an allow rule in force.
    """
    table = table_of(deployment)
    word = word_of(deployment, rule, message)
    record = require_held(words.decided(device, deployment, table))
    warnings = tuple(_still_against(deployment, table, record, word))
    all_the_same = " all the same" if warnings else ""
    return Saying(record, word, f"Admit {_told(record)} under rule {rule}{all_the_same}?", warnings)


def rejection(deployment: Deployment, device: str, message: str | None) -> Saying:
    """Return the word that rejects a held device. Raises InputError for one that is not held."""
    word = word_of(deployment, None, message)
    record = require_held(words.decided(device, deployment, table_of(deployment)))
    return Saying(record, word, f"Reject {_told(record)}?")


@dataclass(frozen=True, slots=True)
class Forecast:
    """The effect that an operator's word would have on one held device; ``why`` if it would stay out."""

    record: Record
    verdict: Verdict
    why: str


def forecasts(deployment: Deployment, records: Iterable[Record], word: OperatorWord) -> list[Forecast]:
    """Return what would become of held devices, decided from their recorded facts as the function does it."""
    today, found = Today(deployment, table_of(deployment)), []
    for record in records:
        decision = today.under_word(record, word, now())
        if decision is None:
            found.append(Forecast(record, Verdict.HOLD, f"its certificate cannot be read: {why(record)}"))
        else:
            admitted = decision.verdict is Verdict.ADMIT
            found.append(Forecast(record, decision.verdict, "" if admitted else reasons_text(decision)))
    return found


def word_of(deployment: Deployment, rule: str | None, message: str | None) -> OperatorWord:
    """Return the operator's word: admit under a rule, or reject without one.

    Raises InputError for what is no allow rule in force.
    """
    if rule is not None:
        table = table_of(deployment)
        _require_rule(rule, Rulebook(table).in_force(table.heads()))
    verdict = Verdict.REJECT if rule is None else Verdict.ADMIT
    return OperatorWord(verdict, operator(deployment), now_text(), rule, message)


def say(deployment: Deployment, record: Record, word: OperatorWord) -> None:
    """Write a word into a held device's record, and have it decided again now.

    Raises InputError where the device is not held, or was decided again meanwhile.
    """
    words.say(table_of(deployment), deployment, require_held(record), word, now())


def recheck_everyone(deployment: Deployment) -> None:
    """Have all held devices decided again, as fast as the queue has room."""
    table = table_of(deployment)
    entry = keeping.entry(deployment, HistoryKind.DEVICE, ("held", "recheck", "--all"))
    table.transact([change_put(table.name, everyone_wanted(now_text())), *keeping.puts(deployment, entry)])


def recheck_for_reason(deployment: Deployment, reason: str) -> int:
    """Have the devices that are held for a reason decided again now, and return how many there are."""
    of_that = with_reason(reason)
    records = (each for each in newest(table_of(deployment), Verdict.HOLD) if of_that(each))
    with keeping.doing(deployment, HistoryKind.DEVICE, ("held", "recheck", "--all", "--reason", reason)) as doing:
        return _recheck(deployment, records, None, doing)


def recheck(deployment: Deployment, devices: tuple[str, ...]) -> int:
    """Have these devices decided again now, and return how many there are. Raises InputError for one not held."""
    table = table_of(deployment)
    records = [require_held(words.decided(each, deployment, table)) for each in devices]
    ids = [each.certificate_id for each in records]
    with keeping.doing(deployment, HistoryKind.DEVICE, ("held", "recheck", *keeping.short(ids)), devices=ids) as doing:
        return _recheck(deployment, records, len(records), doing)


def _recheck(deployment: Deployment, records: Iterable[Record], total: int | None, doing: keeping.Doing) -> int:
    table, count = table_of(deployment), 0
    with telling.progress("Rechecking", total) as advance:
        for record in records:
            words.recheck(table, deployment, record, now())
            count += 1
            doing.count("rechecked")
            doing.touched(record.certificate_id)
            advance(1)
    return count


def _still_against(deployment: Deployment, table: Table, record: Record, word: OperatorWord) -> Iterator[str]:
    """Yield what will keep a device out although an operator says that it may come in."""
    decision = Today(deployment, table).under_word(record, word, now())
    if decision is None:
        yield f"its certificate cannot be read, so it will be held again: {why(record)}"
    elif decision.verdict is Verdict.HOLD:
        yield f"your word does not let it in, it will be held again: {reasons_text(decision)}"
    elif decision.verdict is Verdict.REJECT:
        yield f"your word does not let it in, it will be rejected: {reasons_text(decision)}"
    found = Registry(deployment.client("iot")).get(record.certificate_id)
    if found is None:
        yield "AWS IoT knows no such certificate any more: nothing comes of it until the device knocks again"
    elif found.status != "PENDING_ACTIVATION":
        yield f"AWS IoT holds the certificate as {found.status}, and only one that is PENDING_ACTIVATION is admitted"


def require_held(record: Record) -> Record:
    """Return the record of a device that is on hold. Raises InputError for another."""
    if record.decision is Verdict.HOLD:
        return record
    raise InputError(f"certificate {record.certificate_id[:12]} is not on hold: the decision is {record.decision}")


def _require_rule(name: str, rules: Rules) -> None:
    names = [rule.name for rule in rules.allow]
    if name not in names:
        raise InputError(f"{rules.source} has no allow rule {name}: {meant(name, names)}")


def _told(record: Record) -> str:
    name = common_name(record)
    return f"certificate {record.certificate_id[:12]}" + (f" ({name})" if name else "")
