"""``jitr fleet expiring``: what ends soon."""

import re
from datetime import timedelta

import click

from jitr.unseen import quote
from jitr_cli.console import output
from jitr_cli.console.bars import bar_lines
from jitr_cli.console.options import stack_options
from jitr_operations.deployment import Choice
from jitr_operations.fleet.expiring import WhatEnds, ending
from jitr_operations.table import now

SHOWN = 20
_BY = re.compile(r"ca|rule|list|attr\.[^\s]+")


def _days(_context: click.Context, _parameter: click.Parameter, text: str) -> int:
    found = re.fullmatch(r"(\d{1,5})d", text)
    if found is None:
        raise click.BadParameter(f"{quote(text)}: give days, as 90d, at most 99999d")
    return int(found[1])


def _by(_context: click.Context, _parameter: click.Parameter, text: str | None) -> str | None:
    if text is not None and _BY.fullmatch(text) is None:
        raise click.BadParameter(f"{quote(text)}: give ca, rule, list, or a column of lists, as attr.batch")
    return text


@click.command("expiring")
@click.option("--within", default="90d", show_default=True, metavar="DAYS", callback=_days, help="As 90d.")
@click.option("--by", metavar="ca|rule|list|attr.NAME", callback=_by, help="Also count devices by this.")
@stack_options
@output.json_option
def command(within: int, by: str | None, choice: Choice, as_json: bool) -> None:
    """Show what ends soon: certificates of devices, CAs, revocation lists and list rows.

    Devices are those on record as admitted, except those that a command took out and certificates that another one
    replaced. What has already ended is counted, too. A CA that ends before its devices is always reported: they cannot
    be renewed under it. With --by attr.NAME, NAME is a column that some row of a list has.

    \b
    Examples:
      jitr fleet expiring
      jitr fleet expiring --within 365d --by attr.batch
    """
    at = now()
    found = ending(choice.deployment(), at, at + timedelta(days=within), by)
    output.emit(as_json, found.to_json(), lambda: _show(found))


def _show(found: WhatEnds) -> None:
    soon = len(found.devices) - found.expired
    click.echo(
        f"Of {found.looked_at} admitted devices {soon} end until {found.until:%Y-%m-%d}; {found.expired} have ended"
    )
    for line in bar_lines(found.months()):
        click.echo(f"  {line}")
    if found.by is not None:
        output.table((found.by, "devices"), list(found.groups().items()))
    for each in found.devices[:SHOWN]:
        name = output.safe(each.common_name or "(no common name)")
        click.echo(f"  {each.certificate_id[:12]}  {name}  {each.not_after:%Y-%m-%d}")
    if len(found.devices) > SHOWN:
        output.note(f"  … and {len(found.devices) - SHOWN} more (--json shows all)")
    output.table(
        ("CA that ends", "aliases", "not after"),
        [(each["ca_certificate_id"][:12], ", ".join(each["aliases"]), each["not_after"]) for each in found.cas],
    )
    for ca in found.outlived:
        told = f"the CA {ca['ca_certificate_id'][:12]} ends {ca['not_after']}, before {ca['devices']} of its devices"
        output.warn(f"{told} (the last {ca['last_device']})")
    output.table(
        ("revocation list of", "runs out", "address"),
        [(each["alias"], each["next_update"], each["url"]) for each in found.crls],
    )
    output.table(
        ("list", "rows that expire", "expired"),
        [(each["list"], each["expiring"], each["expired"]) for each in found.rows],
    )
