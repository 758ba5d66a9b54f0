"""Putting rules in force.

The compiled rules are stored under their digest, then one conditional write points at them, together with a change
(``jitr.aws.dynamodb.changes``) for whoever rechecks held devices. Whichever way rules come, a rule that is renamed
keeps its count of devices, or says that it is another.
"""

from collections.abc import Sequence

from jitr.aws.dynamodb.actions import put, update, where
from jitr.aws.dynamodb.changes import change_put, rules_changed
from jitr.aws.dynamodb.table import HEADS, Conflict, Item, Table
from jitr.errors import InputError
from jitr.records.heads import Heads
from jitr.records.history import Values
from jitr.records.record import FORMAT
from jitr.rules.model import Rules
from jitr.services.publishing.compiled import compiled_rules
from jitr.services.publishing.deny_lists import check_aliases
from jitr.services.publishing.versions import Publication
from jitr.services.registration.reservations import taken
from jitr.text import counted

MOST_MESSAGE = 1000  # characters: every knock reads it, with the heads


def publish(
    table: Table,
    rules: Rules,
    text: bytes,
    before: Heads,
    *,
    at: str,
    by: str,
    message: str | None = None,
    beside: Sequence[Item] = (),
) -> Publication:
    """Put rules in force in place of those that ``before`` names; ``text`` is the file they were read from.

    What is written ``beside`` it is in the same transaction.

    Raises Conflict, and leaves in force what is, where somebody else published since ``before`` was read. Raises
    InputError for a message that is too long, and as ``check_counts`` and ``check_aliases`` do.
    """
    if message is not None and len(message) > MOST_MESSAGE:
        raise InputError(f"the message has {len(message):,} characters: at most {MOST_MESSAGE:,} characters are kept")
    check_counts(table, rules, before)
    check_aliases(table, rules, before)
    version = Publication(before.version + 1, rules.digest, rules.meaning, rules.source, at, by, message)
    _store(table, rules, text)
    item, key = version.to_json(), {"pk": "VERSIONS", "sk": f"VERSION#{version.version:06d}"}
    failed = table.transact(
        [
            put(table.name, key | {"format": FORMAT} | item, **where("attribute_not_exists(pk)")),
            update(
                table.name,
                HEADS,
                "SET #rules = :rules",
                {":rules": item, ":before": before.version},
                {"#rules": "rules"},  # a word that DynamoDB reserves
                "attribute_not_exists(#rules) OR #rules.version = :before",
            ),
            change_put(table.name, rules_changed(at)),
            *beside,
        ]
    )
    if failed:
        raise Conflict("the rules in force")
    return version


def in_history(before: Heads, rules: Rules) -> tuple[Values, Values]:
    """Return what the history tells of rules that are put in force: what was before, and what is after."""
    was: Values = {} if before.digest is None else {"rules_version": before.version, "digest": before.digest}
    return was, {"rules_version": before.version + 1, "digest": rules.digest}


def check_counts(table: Table, rules: Rules, before: Heads) -> None:
    """Raise InputError where a count of devices would begin anew by what looks like a rule's new name.

    That is: a rule with ``max_devices`` is new, and one is gone under which places are taken.
    """
    was = compiled_rules(table, before)
    if was is None:
        return
    known = {each.places for each in was.allow}
    new = [each for each in rules.allow if each.max_devices is not None and each.places not in known]
    gone = sorted(known - {each.places for each in rules.allow})
    places = taken(table, gone) if new else {}
    if not places:
        return
    lost = ", ".join(f"{name} ({counted(count, 'place')} taken)" for name, count in places.items())
    name = next(iter(places))
    raise InputError(
        f"{rules.at(new[0])}: rule {new[0].name} is new and has max_devices, and these rules are gone: {lost}. "
        f"If it is one of them under another name, say so in it, as `formerly: {name}`, and its count goes on. "
        f"If it is another rule, leave {name} in the file for now, and take it out with the next version"
    )


def unknown_former_names(table: Table, rules: Rules, before: Heads) -> list[str]:
    """Return a warning for each rule that was ``formerly`` one which is not in force and counts no device.

    It may be a slip: then the rule counts anew, and the one that was meant is not found to be it.
    """
    named = {each.formerly: each for each in rules.allow if each.formerly is not None}
    was = compiled_rules(table, before) if named else None
    known = set() if was is None else {name for each in was.allow for name in (each.name, each.formerly)}
    unknown = sorted(named.keys() - known)
    counted = taken(table, unknown) if unknown else {}
    return [
        f"rule {named[name].name}: no rule in force is or was called {name} (`formerly`), and no device is counted so"
        for name in unknown
        if not counted.get(name)
    ]


def restore(table: Table, rules: Rules, text: bytes) -> bool:
    """Store again what was published, if it is missing in the table or damaged; whether it was."""
    if table.blob(f"RULES#{rules.digest}") == rules.compiled:
        return False
    _store(table, rules, text)
    return True


def _store(table: Table, rules: Rules, text: bytes) -> None:
    table.put_blob(f"RULES#{rules.digest}", rules.compiled)
    table.put_blob(f"SOURCE#{rules.digest}", text)
