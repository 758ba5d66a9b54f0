"""Every command by its name, its place and the line that lists it; a group's in the group's own table.

The lines stand here so that ``jitr --help`` and the Tab key import no command.
"""

import click

from jitr_cli.console.lazy import Lazy, LazyGroup


def _command(place: str, summary: str) -> Lazy:
    """Return a command by its place below ``jitr_cli.commands``."""
    return Lazy(f"jitr_cli.commands.{place}", summary)


_RULES = {
    "init": _command("rules.files:init", "Write a first rules file."),
    "check": _command("rules.files:check", "Check a rules file and run the tests in it; needs no AWS."),
    "publish": _command("rules.publish:publish", "Check a rules file and put it in force."),
    "show": _command("rules.history:show", "Print the rules file that is in force, or an earlier version."),
    "history": _command("rules.history:history", "Every version that was in force: who, when, why."),
    "diff": _command("rules.history:diff", "Compare two versions."),
    "rollback": _command("rules.history:rollback", "Put an earlier version in force again."),
    "replay": _command("rules.history:replay_command", "What a rules file would change for devices on record."),
    "schema": _command("rules.files:schema", "Print the JSON schema of rules files, for editors."),
}


@click.group(name="rules", cls=LazyGroup, lazy=_RULES)
def rules() -> None:
    """Manage the admission rules: who gets in, and what they are granted."""


_DEVICE = {
    "issue": _command("device.issue:issue", "Make keys and certificates for devices."),
    "register": _command("device.register:register", "Register certificates by hand, without their connecting."),
    "ls": _command("device.show:ls", "List registered device certificates."),
    "show": _command("device.show:show", "Show one device: status, IoT policies, thing, decision and reasons."),
    "find": _command("device.find:find", "Find devices by the beginning of a name, serial number, id or key."),
    "index": _command("device.find:index", "Make devices findable that were decided by an earlier version."),
    "activate": _command("device.status:activate", "Make a device certificate ACTIVE."),
    "deactivate": _command("device.status:deactivate", "Make them INACTIVE, or recall the devices of a list."),
    "revoke": _command("device.status:revoke", "Revoke a device certificate, for ever."),
    "delete": _command("device.delete:delete", "Delete a device certificate and everything attached to it."),
    "diagnose": _command("device.diagnose:diagnose", "Connect as the device does, and say why it fails."),
}


@click.group(name="device", cls=LazyGroup, lazy=_DEVICE)
def device() -> None:
    """Device certificates: issue them, register them, look after them."""


_HELD = {
    "ls": _command("held.listing:ls", "Show held devices, the newest first."),
    "admit": _command("held.words:admit", "Let one in under a rule that does not match it."),
    "reject": _command("held.words:reject", "Reject one: its certificate becomes INACTIVE."),
    "recheck": _command("held.words:recheck", "Decide held devices again now."),
}


@click.group(name="held", cls=LazyGroup, lazy=_HELD)
def held() -> None:
    """Devices on hold."""


_LISTS = {
    "ls": _command("lists.rows:ls", "Show the device lists there are."),
    "show": _command("lists.rows:show", "Show the rows of a list."),
    "add": _command("lists.rows:add", "Add one device."),
    "remove": _command("lists.rows:remove", "Take one device off."),
    "import": _command("lists.files:import_", "Import a file of devices."),
    "export": _command("lists.files:export", "Write a list to a CSV file."),
    "check": _command("lists.files:check", "Count how many rows fit rules and devices."),
    "delete": _command("lists.files:delete", "Delete a list."),
    "restore": _command("lists.files:restore", "Put a list in force again as it was before."),
    "history": _command("lists.history:history", "What became of a list: who, when, what."),
    "signers": _command("lists.signers:signers", "Who may sign manifests."),
    "verify": _command("lists.verify:verify", "Verify a signed manifest."),
}


@click.group(name="lists", cls=LazyGroup, lazy=_LISTS)
def lists() -> None:
    """Import and edit device lists."""


_FAILURES = {
    "ls": _command("failures.messages:ls", "Show what failed: which certificate, why, since when."),
    "redrive": _command("failures.messages:redrive", "Put failed messages back on the registration queue."),
    "resend": _command("failures.resend:resend", "Send events that the event bus did not take."),
    "sweep": _command("failures.sweep:sweep", "Find certificates stuck pending, whose event was lost."),
}


@click.group(name="failures", cls=LazyGroup, lazy=_FAILURES)
def failures() -> None:
    """Registration events that could not be handled, or were lost."""


COMMANDS = {
    "status": _command(
        "status.command:status", "What is deployed, rules in force, CAs, queues: the day's first command."
    ),
    "ca": _command("ca.group:ca", "Certificate authorities: create, register, look after them."),
    "device": Lazy("jitr_cli.groups:device", "Device certificates: issue, register, look after them."),
    "rules": Lazy("jitr_cli.groups:rules", "The admission rules: who gets in, and what they are granted."),
    "lists": Lazy("jitr_cli.groups:lists", "Device lists: import, export, edit."),
    "held": Lazy("jitr_cli.groups:held", "Held devices: see them, admit or reject them."),
    "decisions": _command("decisions.group:decisions", "Every decision on record, and deciding one again."),
    "fleet": _command("fleet.group:fleet", "Devices that are in: how they stand today."),
    "failures": Lazy("jitr_cli.groups:failures", "Registration events that could not be handled, or were lost."),
    "history": _command("history.command:history", "What operators changed: who, when, why."),
    "explain": _command("explain.command:explain", "The decision about a device, and why."),
    "verify": _command("verify.command:verify", "Whether AWS does what this software relies on."),
    "page": _command("page.command:page", "The operators' page, in a browser on this machine."),
    "events": _command("events.command:events", "Registration events, to try the function with."),
    "local": Lazy("jitr_local.cli:local", "The local stack: up, down, status, demo."),
}
