"""``jitr ca activate``, ``deactivate`` and ``delete``: what they change, and what they leave alone."""

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from jitr.errors import InputError
from jitr_cli.console import completion, output
from jitr_cli.console.options import stack_options, stack_was_named
from jitr_operations.cas import status
from jitr_operations.cas.overview import count_devices
from jitr_operations.cas.registry import RegisteredCa, counts_text
from jitr_operations.cas.which import find
from jitr_operations.deployment import Choice
from jitr_operations.history import keeping

F = TypeVar("F", bound=Callable[..., Any])

# https://docs.aws.amazon.com/iot/latest/developerguide/manage-your-CA-certs.html
FOLLOWS = """\
What follows: no new device under it is registered. AWS IoT hangs up on it, and no rule is asked.
What does not: devices that are registered stay as they are, and those that are ACTIVE connect and work as before.
Those that are PENDING_ACTIVATION are not let in meanwhile. To shut a device out: `jitr device deactivate`."""
_AGAIN = "Registered again, the CA has the same id as before, and rules that name it count again."


def _change(command: F) -> F:
    """Add the argument and the options that activate, deactivate and delete share."""
    decorated: Any = output.json_option(command)
    decorated = click.option("--message", "-m", metavar="TEXT", help="Why, for the history.")(decorated)
    return click.argument("which", metavar="CA", shell_complete=completion.ca_aliases)(stack_options(decorated))  # type: ignore[no-any-return]


@click.command()
@_change
def activate(which: str, message: str | None, choice: Choice, as_json: bool) -> None:
    """Make a CA ACTIVE: new devices under it are registered, if its auto-registration is on.

    CA is an alias in the rules in force, a caCertificateId, its first 8 digits or more, or the CA's certificate file.

    \b
    Example:
      jitr ca activate 3f9c0c6f
    """
    account = keeping.account_of(choice, stack_needed=stack_was_named())
    account.announce()
    found = find(account, which)
    status.activate(account, found, message)
    _tell_changed(as_json, found, "ACTIVE")
    if found.auto_registration != "ENABLE":
        output.warn("its auto-registration is off: `jitr ca register` with its certificate turns it on.")


@click.command()
@_change
@click.option("--yes", is_flag=True, help="Do not ask.")
def deactivate(which: str, message: str | None, choice: Choice, yes: bool, as_json: bool) -> None:
    """Make a CA INACTIVE: no new device under it is registered. Registered devices are not touched.

    CA is an alias in the rules in force, a caCertificateId, its first 8 digits or more, or the CA's certificate file.

    \b
    Example:
      jitr ca deactivate factory-a --message "factory A closed"
    """
    account = keeping.account_of(choice, stack_needed=stack_was_named())
    account.announce()
    found = find(account, which)
    output.note(FOLLOWS)
    if found.status == "ACTIVE":
        output.confirm(f"Make the CA {found.words} INACTIVE?", yes)
        status.deactivate(account, found, why=message)
    _tell_changed(as_json, found, "INACTIVE")


@click.command()
@_change
@click.option("--deactivate", "deactivate_first", is_flag=True, help="Make it INACTIVE first if it is ACTIVE.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(which: str, message: str | None, choice: Choice, deactivate_first: bool, yes: bool, as_json: bool) -> None:
    """Delete a CA from AWS IoT. Registered devices are not touched; the CA's own files are not either.

    AWS IoT deletes only INACTIVE CAs: --deactivate makes an ACTIVE one so, and on a terminal you are asked.
    CA is an alias in the rules in force, a caCertificateId, its first 8 digits or more, or the CA's certificate file.

    \b
    Example:
      jitr ca delete 3f9c0c6f --deactivate
    """
    account = keeping.account_of(choice, stack_needed=stack_was_named())
    account.announce()
    iot = account.client("iot")
    found = find(account, which)
    active = found.status == "ACTIVE"
    if active and not deactivate_first and (yes or not on_terminal()):
        raise InputError(f"the CA {found.id} is ACTIVE, and AWS IoT deletes only INACTIVE ones: add --deactivate")
    devices = count_devices(iot, [found])[found.id]
    output.note(f"{FOLLOWS}\nIts device certificates: {counts_text(devices)}. {_AGAIN}")
    output.confirm(f"{'Deactivate and delete' if active else 'Delete'} the CA {found.words}?", yes)
    status.delete(account, found, message)
    document = {"ca_certificate_id": found.id, "status": "deleted", "devices": devices}
    output.emit(as_json, document, f"{found.words}: deleted")


def changed_json(was: RegisteredCa, now: str) -> dict[str, str]:
    """Return in JSON what became of a CA's status."""
    return {"ca_certificate_id": was.id, "status": now, "status_before": was.status}


def changed_text(words: str, before: str, now: str) -> str:
    """Return what became of a CA's status in words."""
    return f"{words}: was {now} already, nothing changed" if before == now else f"{words}: {now}"


def _tell_changed(as_json: bool, was: RegisteredCa, now: str) -> None:
    output.emit(as_json, changed_json(was, now), changed_text(was.words, was.status, now))


def on_terminal() -> bool:
    """Return whether there is somebody to ask."""
    return sys.stdin.isatty() and sys.stderr.isatty()
