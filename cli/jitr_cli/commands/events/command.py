"""``jitr events``: registration events to try the function with."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import click

from jitr.unseen import quote
from jitr_cli.console.options import FILE, aws_options
from jitr_cli.console.output import emit, json_option
from jitr_operations.deployment import Choice
from jitr_operations.devices.first_connection import from_account, from_files
from jitr_operations.files import staged

_ACCOUNT = re.compile("[0-9]{12}")


@click.group("events", no_args_is_help=True)
def events() -> None:
    """Registration events to try the function with."""


def _account_id(_context: click.Context, _parameter: click.Parameter, text: str | None) -> str | None:
    if text is not None and _ACCOUNT.fullmatch(text) is None:
        raise click.BadParameter(f"{quote(text)}: an AWS account has 12 digits")
    return text


@events.command("make")
@click.argument("certificate", metavar="CERTIFICATE.pem|CERTIFICATE_ID")
@click.option(
    "--account", metavar="DIGITS", callback=_account_id, help="The account in the event; asked of AWS without."
)
@click.option("--ca", metavar="FILE|ID", help="Its CA: certificate file or caCertificateId; asked of AWS without.")
@click.option("--out", type=FILE, help="The file; standard output without.")
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
@aws_options
@json_option
def make(
    certificate: str,
    account: str | None,
    ca: str | None,
    out: Path | None,
    force: bool,
    choice: Choice,
    as_json: bool,
) -> None:
    """Write the event of a device's first connection, as the function gets it. Nothing is sent.

    Asks AWS for the account and the certificate's CA, unless both --account and --ca are given.

    \b
    Examples:
      jitr events make snr-0001.pem --local --out event.json
      jitr events make snr-0001.pem --account 000000000000 --ca factory-a.pem
    """
    if force and out is None:
        raise click.UsageError("--force goes with --out: no other file is written.")
    if account is not None and ca is not None:
        knock = from_files(certificate, account, ca, choice.region)
    else:
        knock = from_account(certificate, account, ca, choice.account())
    document = knock.lambda_event(datetime.now(UTC))
    if out is None:
        emit(True, document, "")
        return
    with staged(out.parent, [out.name], force=force) as stage:
        stage.write(out.name, (json.dumps(document, indent=2) + "\n").encode())
    written = {
        "file": out,
        "certificate_id": knock.certificate_id,
        "ca_certificate_id": knock.ca_certificate_id,
        "account_id": knock.account_id,
    }
    emit(as_json, written, f"Wrote {out}: certificate {knock.certificate_id}, CA {knock.ca_certificate_id}.")
