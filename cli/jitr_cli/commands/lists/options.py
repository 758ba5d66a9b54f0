"""Options that several commands on lists have."""

import click

where_option = click.option(
    "--where",
    "conditions",
    multiple=True,
    metavar="COLUMN=VALUE",
    help="Only rows with this value. If repeated, all must be met.",
)
