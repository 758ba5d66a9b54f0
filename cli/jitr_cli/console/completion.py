"""What a shell is told for the Tab key: names in the deployment that the command line so far means.

A shell cannot show an error at this place, and a person does not wait: where AWS cannot be asked, or not within two
seconds, nothing is suggested.
"""

import re
from collections.abc import Callable, Iterable
from queue import Empty, Queue
from threading import Thread
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from jitr.aws.dynamodb.table import Table
    from jitr.rules.model import Rules

PATIENCE = 2.0  # seconds

Names = Callable[["Table"], Iterable[str]]
Completion = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

# Names go to the shell one a line, and into a command line: those that are no plain words are not suggested.
_PLAIN = re.compile(r"[A-Za-z0-9_.:/@+-]{1,128}")


def _completion(names: Names) -> Completion:
    def complete(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        found = _asked(lambda: list(names(_table(context))))
        return [CompletionItem(each) for each in found if each.startswith(incomplete) and _PLAIN.fullmatch(each)]

    return complete


def _table(context: click.Context) -> "Table":
    from jitr_operations.deployment import DEFAULT_STACK, Choice, Memory
    from jitr_operations.table import table_of

    given: dict[str, Any] = {name: context.params.get(name) for name in ("profile", "region", "endpoint_url")}
    stack = context.params.get("stack") or DEFAULT_STACK
    choice = Choice(local=bool(context.params.get("local")), stack=stack, memory=Memory(), **given)
    return table_of(choice.deployment())


def _asked(ask: Callable[[], list[str]]) -> list[str]:
    """Return what asking gives, or nothing if it fails or takes long."""
    answer: Queue[list[str]] = Queue()

    def run() -> None:
        try:
            answer.put(ask())
        except Exception:  # noqa: BLE001 - whatever it is: no suggestion, and no traceback across the command line
            answer.put([])

    Thread(target=run, daemon=True).start()  # daemon: it does not keep the shell waiting
    try:
        return answer.get(timeout=PATIENCE)
    except Empty:
        return []


def _in_force(table: "Table") -> "Rules":
    from jitr.aws.dynamodb.rulebook import Rulebook

    return Rulebook(table).in_force(table.heads())


def _rule_names(table: "Table") -> Iterable[str]:
    rules = _in_force(table)
    return (each.name for each in (*rules.deny, *rules.allow))


def reason_codes(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the reason codes, without asking AWS."""
    from jitr.reasons import CODES

    return [CompletionItem(each) for each in CODES if each.startswith(incomplete)]


list_names = _completion(lambda table: table.heads().lists)
rule_names = _completion(_rule_names)
deny_rule_names = _completion(lambda table: (each.name for each in _in_force(table).deny))
allow_rule_names = _completion(lambda table: (each.name for each in _in_force(table).allow))
ca_aliases = _completion(lambda table: _in_force(table).cas)
