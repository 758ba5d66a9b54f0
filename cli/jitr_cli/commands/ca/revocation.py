"""``jitr ca revocation``: whom the rules ask about revoked certificates of a CA, and what is answered now."""

from datetime import UTC, datetime
from pathlib import Path

import click

from jitr_cli.console import completion, output
from jitr_cli.console.options import FILE, stack_options
from jitr_cli.console.output import colour, emit, json_option, safe
from jitr_operations.cas.revocation import Check, check_revocation
from jitr_operations.deployment import Choice
from jitr_operations.files import read_bytes


@click.command("revocation")
@click.argument("which", metavar="CA", shell_complete=completion.ca_aliases)
@click.option("--certificate", type=FILE, help="A device's certificate to ask about.")
@stack_options
@json_option
@click.pass_context
def revocation(context: click.Context, which: str, certificate: Path | None, choice: Choice, as_json: bool) -> None:
    """Ask a CA's revocation list and OCSP responder, as the rules in force name them. Nothing is changed.

    CA is an alias in the rules in force, which may stand for several CAs, a caCertificateId, its first 8 digits or
    more, or the CA's certificate file.

    The questions go out from this machine with your own rights, which may reach other networks than the function's.
    Delta lists and partitions are fetched, too: all of them, or with --certificate the device's own. Without
    --certificate a responder is asked about a serial number that nobody has.

    Exit code 0 means that all of them can be used and none is against the device, 1 that one cannot or is.

    \b
    Examples:
      jitr ca revocation factory-a
      jitr ca revocation factory-a --certificate snr-0001.pem --json
    """
    data = None if certificate is None else read_bytes(certificate)
    alias, checks = check_revocation(choice.deployment(), which, data, datetime.now(UTC))
    emit(as_json, {"alias": alias, "checks": [each.to_json() for each in checks]}, lambda: _show(checks))
    context.exit(1 if any(each.reasons for each in checks) else 0)


def _show(checks: list[Check]) -> None:
    for check in checks:
        open_ = "" if check.encrypted else " (not encrypted, but signed)"
        click.echo(f"{check.kind} {safe(check.url)}{open_}, CA {check.ca_certificate_id[:12]}")
        click.echo(f"  {safe(check.said)}")
        for reason in check.reasons:
            click.echo(f"  {colour(reason.code, 'red')}: {safe(reason.message)}")
    if not any(each.reasons for each in checks):
        output.note("All of them count.")
