"""``jitr ca``: certificate authorities, from making one to deleting one."""

import click

from jitr_cli.ca_create import create
from jitr_cli.ca_manage import activate, deactivate, delete
from jitr_cli.ca_proof import verification_csr
from jitr_cli.ca_register import register
from jitr_cli.ca_show import ls, show


@click.group()
def ca() -> None:
    """Certificate authorities: make them, register them with AWS IoT, look after them."""


for command in (create, verification_csr, register, ls, show, activate, deactivate, delete):
    ca.add_command(command)
