"""``jitr fleet``: the devices that are in."""

import click

from jitr_cli.commands.fleet.accept import command as accept
from jitr_cli.commands.fleet.check import command as check
from jitr_cli.commands.fleet.expiring import command as expiring
from jitr_cli.commands.fleet.export import command as export
from jitr_cli.commands.fleet.last import command as last


@click.group("fleet", no_args_is_help=True)
def fleet() -> None:
    """Devices that are in: how they stand today."""


fleet.add_command(accept)
fleet.add_command(check)
fleet.add_command(expiring)
fleet.add_command(export)
fleet.add_command(last)
