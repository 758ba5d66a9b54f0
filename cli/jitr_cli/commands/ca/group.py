"""``jitr ca``: certificate authorities, from making one to deleting one."""

import click

from jitr_cli.commands.ca.create import create
from jitr_cli.commands.ca.manage import activate, deactivate, delete
from jitr_cli.commands.ca.proof import verification_csr
from jitr_cli.commands.ca.register import register
from jitr_cli.commands.ca.revocation import revocation
from jitr_cli.commands.ca.rollover import rollover
from jitr_cli.commands.ca.show import ls, show


@click.group()
def ca() -> None:
    """Certificate authorities: make them, register them with AWS IoT, look after them."""


for command in (create, verification_csr, register, ls, show, revocation, activate, deactivate, rollover, delete):
    ca.add_command(command)
