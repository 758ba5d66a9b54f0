"""``jitr device issue``: keys and certificates for devices, from nothing, from a CSV or from a request."""

import csv
import io
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
from cryptography import x509

from jitr.devicelists.columns import typed
from jitr.devicelists.csv.duplicates import Duplicates
from jitr.devicelists.csv.reader import Reader, serials_in, write_rows
from jitr.devicelists.rows import KEY_KINDS, ListRow
from jitr.errors import InputError
from jitr.x509.extensions import NAMES
from jitr.x509.signing_request import RequestReading
from jitr_cli.console import output
from jitr_cli.console.options import FILE
from jitr_cli.console.subjects import subject_options
from jitr_operations.certificates import Certificate
from jitr_operations.files import Staged, file_name, read_bytes, read_request, staged
from jitr_operations.issuing import pki
from jitr_operations.issuing.signing import DAYS_HELP, MAX_DAYS, read_issuer, validity_for, warn_if_outlived
from jitr_operations.issuing.subjects import SubjectParts, subject_text
from jitr_operations.issuing.x509_writer import PrivateKey, signing_hash
from jitr_operations.lists.files import tell

MAX_COUNT = 1_000_000
MAX_CSV = 64 * 1024 * 1024  # bytes
DEVICES_CSV = "devices.csv"


@dataclass(frozen=True)
class Plan:
    """One device that is to get a certificate. ``row`` is its row in the list it was taken from."""

    file: str  # without suffix
    subject: x509.Name | None  # None: the request's
    serial_number: int | None = None
    request: RequestReading | None = None
    row: ListRow | None = None

    @property
    def subject_der(self) -> bytes:
        """The subject as it will stand in the certificate: a request's octet for octet."""
        if self.request is not None:
            return self.request.subject_der
        return (self.subject or x509.Name([])).public_bytes()


@dataclass(frozen=True)
class Issuing:
    """How devices get their certificates, the same for all of them."""

    issuer: pki.Issuer
    key_type: pki.KeyType
    now: datetime
    validity: timedelta
    chain: bool
    with_csr: bool


@dataclass(frozen=True)
class Issued:
    """A device's certificate and its files."""

    plan: Plan
    certificate: Certificate
    file: Path
    key: Path | None
    request: Path | None
    chain: Path | None

    def to_json(self) -> dict[str, Any]:
        """As ``--json`` prints it."""
        certificate = self.certificate
        return {
            "common_name": certificate.common_name,
            "serial_number": certificate.serial_number,
            "certificate_sha256": certificate.sha256,
            "public_key_sha256": certificate.own.facts.public_key_sha256,
            "not_before": certificate.not_before,
            "not_after": certificate.not_after,
            "certificate": self.file,
            "key": self.key,
            "csr": self.request,
            "chain": self.chain,
        }


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
    plans = _with_serials(plans, serial)
    kind = pki.parse_key_type(key_type)
    with_list = count is not None or source is not None
    now = datetime.now(UTC)
    issuer = read_issuer(ca, ca_key or ca.with_suffix(".key"), passphrase_file, now, "--passphrase-file")
    issuing = Issuing(issuer, kind, now, validity_for(days, issuer, now), chain, with_csr)
    with staged(out_dir, _file_names(plans, issuing, with_list), force=force) as stage:
        issued = list(_issue_all(plans, issuing, stage))
        listed = _write_list(stage, issued, list_by, issuer) if with_list else None
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
        return [_plan_of_request(csr, subject)]
    plans = (
        _plans_of_rows(source, subject) if source is not None else [_plan(each, subject) for each in names or numbered]
    )
    if len(plans) > 1 and subject.has_common_name:
        raise click.UsageError("A common name in the options is for one device: of several, each NAME is its own.")
    _refuse_twice(plans)
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


def _plan(name: str, subject: SubjectParts) -> Plan:
    return Plan(file_name(name), subject.name(name))


def _plans_of_rows(source: Path, subject: SubjectParts) -> list[Plan]:
    data = _with_ca_column(read_bytes(source, MAX_CSV))
    reader = Reader([data], source=str(source), duplicates=Duplicates(), serials=lambda: serials_in(lambda: [data]))
    rows = list(reader)
    reader.raise_problems()
    tell(str(source), reader.said)
    if not rows:
        raise InputError(f"{source} has no rows: put one device in each, by common_name")
    plans = []
    for each in rows:
        try:
            plans.append(_plan_of_row(each.row, subject))
        except InputError as problem:
            raise InputError(f"{source}:{each.line}: {problem}") from None
    return plans


def _plan_of_row(row: ListRow, subject: SubjectParts) -> Plan:
    if row.common_name is None:
        raise InputError("the row has no common_name, which a device is issued by")
    serial = None if row.serial_number is None else pki.parse_serial(row.serial_number)
    return Plan(file_name(row.common_name), subject.name(row.common_name), serial, row=row)


def _with_ca_column(data: bytes) -> bytes:
    """A CSV that has serial numbers and no CA, with a column for it: here the CA is the one that signs.

    Device lists want a CA beside each serial number. What cannot be read is left as it is, for their reader to tell.
    """
    try:
        text = data.decode("utf-8-sig")
        header = text.partition("\n")[0]
        separator = max(",;\t", key=header.count)
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except (UnicodeDecodeError, csv.Error):
        return data
    names = [typed(each.strip().lower())[0] for each in rows[0]] if rows else []
    if "serial_number" not in names or "ca" in names:
        return data
    place = names.index("serial_number")
    changed = io.StringIO(newline="")
    writer = csv.writer(changed, delimiter=separator)
    writer.writerow([*rows[0], "ca"])
    for row in rows[1:]:
        has_serial = place < len(row) and bool(row[place].strip())
        # A row of another width than the header keeps its difference, which the reader tells.
        writer.writerow([*row, "signer" if has_serial else ""] if len(row) >= len(names) else row)
    return changed.getvalue().encode()


def _plan_of_request(csr: Path, subject: SubjectParts) -> Plan:
    if subject.attributes or subject.text is not None:
        raise click.UsageError("With --csr the subject is the request's: leave out the options for it.")
    request = read_request(csr)
    problem = pki.key_problem(request.key_facts)
    if problem:
        raise InputError(
            f"{csr} has {problem}, which AWS IoT refuses: use RSA of 2048 bits or more, or EC P-256 and up"
        )
    if not request.signature_valid:
        raise InputError(f"{csr}: {_unsigned(request)}: have the device make it again")
    if request.extensions:
        asked = ", ".join(NAMES.get(each, each) for each in request.extensions)
        output.note(f"{csr} asks for extensions ({asked}): the certificate has our own instead")
    return Plan(file_name(csr.stem), None, request=request)


def _unsigned(request: RequestReading) -> str:
    if request.scheme.facts.hash is not None:
        return "the request's signature is not by its own key"
    return f"the request is signed by an algorithm that is not supported here ({request.scheme.facts.algorithm})"


def _refuse_twice(plans: list[Plan]) -> None:
    seen: set[str] = set()
    for plan in plans:
        if plan.file in seen:
            raise InputError(f"{plan.file!r} is there twice: name each device once")
        seen.add(plan.file)


def _with_serials(plans: list[Plan], first: str | None) -> list[Plan]:
    """The plans with serial numbers counting up from ``first``, if that is given."""
    if first is None:
        return plans
    number = pki.parse_serial(first)
    if any(plan.serial_number is not None for plan in plans):
        raise click.UsageError("--serial and a serial_number column exclude each other.")
    if (number + len(plans) - 1).bit_length() > pki.MAX_SERIAL_BITS:
        raise InputError(f"--serial {first}: the last of {len(plans)} would not fit 20 octets")
    return [Plan(plan.file, plan.subject, number + place, plan.request, plan.row) for place, plan in enumerate(plans)]


# --- issuing


def _file_names(plans: list[Plan], issuing: Issuing, with_list: bool) -> Iterator[str]:
    for plan in plans:
        yield f"{plan.file}.pem"
        if plan.request is None:
            yield f"{plan.file}.key"
        if issuing.with_csr:
            yield f"{plan.file}.csr"
        if issuing.chain:
            yield f"{plan.file}.chain.pem"
    if with_list:
        yield DEVICES_CSV


def _issue_all(plans: list[Plan], issuing: Issuing, stage: Staged) -> Iterator[Issued]:
    with output.progress("Issuing", len(plans)) as advance:
        for plan in plans:
            yield _issue_one(plan, issuing, stage)
            advance(1)


def _issue_one(plan: Plan, issuing: Issuing, stage: Staged) -> Issued:
    key_file = request_file = None
    if plan.request is None:
        key = pki.new_key(issuing.key_type)
        public_key = pki.public_key_der(key.public_key())
        key_file = stage.write(f"{plan.file}.key", pki.private_pem(key), private=True)
        if issuing.with_csr:
            request_file = stage.write(f"{plan.file}.csr", pki.request_pem(_request(plan, key)))
    else:
        public_key = plan.request.public_key_der
    certificate = pki.issue_device(
        issuing.issuer,
        plan.subject_der,
        public_key,
        serial_number=pki.random_serial() if plan.serial_number is None else plan.serial_number,
        now=issuing.now,
        validity=issuing.validity,
    )
    pem = certificate.pem
    file = stage.write(f"{plan.file}.pem", pem)
    chain = None
    if issuing.chain:
        chain = stage.write(f"{plan.file}.chain.pem", pem + issuing.issuer.certificate.pem)
    return Issued(plan, certificate, file, key_file, request_file, chain)


def _request(plan: Plan, key: PrivateKey) -> x509.CertificateSigningRequest:
    subject = plan.subject or x509.Name([])
    return x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, signing_hash(key))


def _write_list(stage: Staged, issued: list[Issued], by: str, issuer: pki.Issuer) -> Path:
    """The devices as a list. One key a row: an allow rule wants every key that a row has to fit."""
    ca_id = issuer.certificate.sha256
    text = "".join(write_rows(_row(each, by, ca_id) for each in issued))
    return stage.write(DEVICES_CSV, text.encode())


def _row(issued: Issued, by: str, ca_id: str) -> ListRow:
    """One device's row: the key asked for, and what its row in the source said besides keys."""
    certificate, given = issued.certificate, issued.plan.row or ListRow()
    keys: dict[str, str | None] = {
        "common_name": certificate.common_name,
        "serial_number": certificate.serial_number,
        "certificate_sha256": certificate.sha256,
        "public_key_sha256": certificate.own.facts.public_key_sha256,
    }
    return ListRow(
        **{by: keys[by]},
        ca=ca_id if by == "serial_number" else None,
        thing_name=given.thing_name,
        expires=given.expires,
        note=given.note,
        attributes=given.attributes,
    )


def _tell_issued(issued: list[Issued], listed: Path | None) -> None:
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
    click.echo(output.safe(f"Issued {len(issued)} devices, {names}, in {issued[0].file.parent}"))
    if listed is not None:
        click.echo(output.safe(f"As a device list: {listed} (jitr lists import NAME {shlex.quote(str(listed))})"))
