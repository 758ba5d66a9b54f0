"""``jitr device issue``: keys and certificates for devices, from nothing, from a CSV or from a request."""

import shlex
from datetime import UTC, datetime
from pathlib import Path

import click

from jitr.devicelists.rows import KEY_KINDS
from jitr.text import counted
from jitr_cli.console import output
from jitr_cli.console.options import FILE
from jitr_cli.console.subjects import subject_options
from jitr_operations.files import staged
from jitr_operations.issuing import pki
from jitr_operations.issuing.devices import IssuedDevice, Issuing, file_names, issue_all, write_list
from jitr_operations.issuing.plans import Plan, plan_of_name, plan_of_request, plans_of_rows, refuse_twice, with_serials
from jitr_operations.issuing.signing import DAYS_HELP, MAX_DAYS, read_issuer, validity_for, warn_if_outlived
from jitr_operations.issuing.subjects import SubjectParts, subject_text

MAX_COUNT = 1_000_000


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--ca", type=FILE, required=True, metavar="CA.pem", help="The CA that signs.")
@click.option("--ca-key", type=FILE, metavar="KEY", help="Its key; by default the .key beside it.")
@click.option("--passphrase-file", type=FILE, metavar="FILE", help="The CA key's passphrase; asked for without.")
@click.option("--count", type=click.IntRange(1, MAX_COUNT), metavar="N", help="Issue N devices, numbered.")
@click.option("--prefix", metavar="TEXT", help="With --count: what the numbers follow, like snr-.")
@click.option("--start", type=click.IntRange(0), default=1, show_default=True, help="With --count: the first number.")
@click.option("--from", "source", type=FILE, metavar="CSV", help="Issue one for each row: common_name, serial_number.")
@click.option("--csr", type=FILE, metavar="FILE", help="Sign this request; its key and subject are kept.")
@subject_options
@click.option("--key-type", default="ec:p256", show_default=True, metavar="TYPE", help="rsa:BITS or ec:CURVE.")
@click.option("--days", type=click.IntRange(1, MAX_DAYS), help=DAYS_HELP)
@click.option("--serial", metavar="HEX", help="Serial number; of several devices the first's. Random without.")
@click.option("--out-dir", type=FILE, default=Path(), metavar="DIR", help="Where the files go; made if need be.")
@click.option("--chain", is_flag=True, help="Also write NAME.chain.pem: certificate and CA.")
@click.option("--with-csr", is_flag=True, help="Also write NAME.csr: the request, to have the key certified anew.")
@click.option(
    "--list-by",
    type=click.Choice(KEY_KINDS[::-1]),
    default="common_name",
    show_default=True,
    help="What a row of devices.csv knows its device by.",
)
@click.option("--force", is_flag=True, help="Replace files that exist.")
@output.json_option
def issue(
    names: tuple[str, ...],
    ca: Path,
    ca_key: Path | None,
    passphrase_file: Path | None,
    count: int | None,
    prefix: str | None,
    start: int,
    source: Path | None,
    csr: Path | None,
    subject: SubjectParts,
    key_type: str,
    days: int | None,
    serial: str | None,
    out_dir: Path,
    chain: bool,
    with_csr: bool,
    list_by: str,
    force: bool,
    as_json: bool,
) -> None:
    """Make keys and certificates for devices: NAME.key and NAME.pem, with NAME as the common name.

    With --count or --from there is also a devices.csv that `jitr lists import` takes as it is. Certificates are
    X.509 version 3 for TLS clients; those of version 1 come from `openssl x509 -req` without -extfile.

    \b
    Examples:
      jitr device issue snr-0001 snr-0002 --ca factory-a.pem
      jitr device issue --count 500 --prefix snr- --organization OKIDA --ca factory-a.pem --out-dir batch-7
      jitr device issue --from orders.csv --ca factory-a.pem --ca-key vault/factory-a.key --chain
      jitr device issue --csr snr-0001.csr --ca factory-a.pem
    """
    if csr is not None and with_csr:
        raise click.UsageError("--csr and --with-csr exclude each other: the request is there already.")
    plans = _plans(names, _numbered(count, prefix, start), source, csr, subject)
    if serial is not None:
        if any(plan.serial_number is not None for plan in plans):
            raise click.UsageError("--serial and a serial_number column exclude each other.")
        plans = with_serials(plans, serial)
    kind = pki.parse_key_type(key_type)
    with_list = count is not None or source is not None
    now = datetime.now(UTC)
    issuer = read_issuer(ca, ca_key or ca.with_suffix(".key"), passphrase_file, now, "--passphrase-file")
    issuing = Issuing(issuer, kind, now, validity_for(days, issuer, now), chain, with_csr)
    with staged(out_dir, file_names(plans, issuing, with_list), force=force) as stage:
        issued = list(issue_all(plans, issuing, stage))
        listed = write_list(stage, issued, list_by, issuer) if with_list else None
    warn_if_outlived(issued[-1].certificate, issuer.certificate, "What was issued")
    document = {
        "ca_certificate_id": issuer.certificate.sha256,
        "devices": [each.to_json() for each in issued],
        "list": listed,
    }
    output.emit(as_json, document, lambda: _tell_issued(issued, listed))


# --- which devices


def _plans(
    names: tuple[str, ...],
    numbered: tuple[str, ...],
    source: Path | None,
    csr: Path | None,
    subject: SubjectParts,
) -> list[Plan]:
    ways = [bool(names), bool(numbered), source is not None, csr is not None]
    if sum(ways) != 1:
        raise click.UsageError("Say which devices in one way: NAMEs, --count with --prefix, --from, or --csr.")
    if csr is not None:
        if subject.attributes or subject.text is not None:
            raise click.UsageError("With --csr the subject is the request's: leave out the options for it.")
        return [plan_of_request(csr)]
    if source is not None:
        plans = plans_of_rows(source, subject)
    else:
        plans = [plan_of_name(each, subject) for each in names or numbered]
    if len(plans) > 1 and subject.has_common_name:
        raise click.UsageError("A common name in the options is for one device: of several, each NAME is its own.")
    refuse_twice(plans)
    return plans


def _numbered(count: int | None, prefix: str | None, start: int) -> tuple[str, ...]:
    if count is None:
        if prefix is not None:
            raise click.UsageError("--prefix goes with --count.")
        return ()
    if not prefix:
        raise click.UsageError("--count needs --prefix: what the numbers follow, like snr-.")
    width = max(4, len(str(start + count - 1)))
    return tuple(f"{prefix}{number:0{width}}" for number in range(start, start + count))


def _tell_issued(issued: list[IssuedDevice], listed: Path | None) -> None:
    if len(issued) == 1 and listed is None:
        one = issued[0]
        output.pairs(
            [
                ("certificate", one.file),
                *([("key", one.key)] if one.key else []),
                *([("csr", one.request)] if one.request else []),
                *([("chain", one.chain)] if one.chain else []),
                ("subject", subject_text(one.certificate.subject)),
                ("serial number", one.certificate.serial_number),
                ("certificateId", one.certificate.sha256),
                ("valid until", one.certificate.not_after),
            ]
        )
        return
    names = f"{issued[0].plan.file} … {issued[-1].plan.file}"
    click.echo(output.safe(f"Issued {counted(len(issued), 'device')}, {names}, in {issued[0].file.parent}"))
    if listed is not None:
        click.echo(output.safe(f"As a device list: {listed} (jitr lists import NAME {shlex.quote(str(listed))})"))
