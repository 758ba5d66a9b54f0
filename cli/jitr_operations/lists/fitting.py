"""How rows fit the rules in force and the devices on record: what edits and imports tell and ask."""

from jitr.aws.dynamodb.rulebook import rules_in_force
from jitr.aws.dynamodb.table import Table
from jitr.devicelists.rows import LIST_NAME
from jitr.errors import InputError
from jitr.rules.list_fit import Fit
from jitr.services.lists.device_lists import DeviceLists
from jitr.text import nearest
from jitr.unseen import quote
from jitr_operations import telling


def check_name(name: str) -> None:
    """Raise InputError for what no list can be called."""
    if LIST_NAME.fullmatch(name) is None:
        raise InputError(f"{quote(name)} is not a list's name: letters, digits and _.- (at most 64, no sign first)")


def question_about_name(table: Table, name: str) -> str | None:
    """Return what to ask before a list is made that no rule names and whose name is nearly that of another."""
    there = DeviceLists(table).all()
    rules = None if name in there else rules_in_force(table)
    if rules is None or name in rules.lists:
        return None
    near = nearest(name, sorted({*there, *rules.lists}), 0.8)
    if not near:
        return None
    return f"There is no list {name}, and no rule names it. Did you mean {near}? Make list {name}?"


def question_about_rows(found: Fit) -> str | None:
    """Return what to ask before rows go on a deny list that can match nothing."""
    question = found.question()
    return f"{question} Go on?" if question else None


def tell(found: Fit) -> None:
    """Tell how the rows fit, in one line, and what is probably a mistake."""
    telling.note(f"{found.sentence()}.")
    for each in found.remarks():
        telling.note(f"  {each}")
