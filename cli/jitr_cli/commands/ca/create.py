"""``jitr ca create``: a CA's key and certificate."""

import shlex
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from jitr.x509.names import rfc4514
from jitr_cli.console import output
from jitr_cli.console.options import FILE
from jitr_cli.console.subjects import subject_options
from jitr_operations.certificates import Certificate
from jitr_operations.files import file_name, read_passphrase, staged
from jitr_operations.issuing import pki
from jitr_operations.issuing.signing import DAYS_HELP, MAX_DAYS, read_issuer, validity_for, warn_if_outlived
from jitr_operations.issuing.subjects import SubjectParts, subject_text


@dataclass(frozen=True)
class _ParentFiles:
    """The parent CA's files; ``certificate`` and ``key`` are both given or both not."""

    certificate: Path | None
    key: Path | None
    passphrase_file: Path | None

    def issuer(self, now: datetime) -> pki.Issuer | None:
        """Return the parent, read. Raises InputError for files that are not a CA's, or no longer valid."""
        if self.certificate is None or self.key is None:
            if self.certificate is not self.key:
                raise click.UsageError("--parent and --parent-key belong together: give both or neither.")
            return None
        return read_issuer(self.certificate, self.key, self.passphrase_file, now, "--parent-passphrase-file")


@click.command()
@click.argument("name", metavar="NAME")
@subject_options
@click.option("--key-type", default="ec:p256", show_default=True, metavar="TYPE", help="rsa:BITS or ec:CURVE.")
@click.option("--days", type=click.IntRange(1, MAX_DAYS), help=DAYS_HELP)
@click.option("--parent", type=FILE, metavar="CERT", help="The CA that signs this one; self-signed without.")
@click.option("--parent-key", type=FILE, metavar="KEY", help="Its key.")
@click.option("--parent-passphrase-file", type=FILE, metavar="FILE", help="The passphrase of the parent's key.")
@click.option("--path-length", type=click.IntRange(0, 100), metavar="N", help="CAs allowed below; 0 with a parent.")
@click.option("--passphrase-file", type=FILE, metavar="FILE", help="Encrypt the key with the first line of FILE.")
@click.option("--out-dir", type=FILE, default=Path(), metavar="DIR", help="Where the files go; made if need be.")
@click.option("--force", is_flag=True, help="Replace files that exist.")
@output.json_option
def create(
    name: str,
    subject: SubjectParts,
    key_type: str,
    days: int | None,
    parent: Path | None,
    parent_key: Path | None,
    parent_passphrase_file: Path | None,
    path_length: int | None,
    passphrase_file: Path | None,
    out_dir: Path,
    force: bool,
    as_json: bool,
) -> None:
    """Make a CA: NAME.pem and NAME.key. NAME may be a path.

    \b
    Examples:
      jitr ca create factory-a --organization OKIDA --path-length 0
      jitr ca create root --key-type ec:p384 --days 3650 --passphrase-file secret.txt
      jitr ca create batch-7 --parent root.pem --parent-key root.key
    """
    stem = Path(name).name.removesuffix(".pem")
    directory = out_dir / Path(name).parent
    kind = pki.parse_key_type(key_type)
    file_name(stem)
    wanted = subject.name(stem if subject.text is None else None)
    above = _ParentFiles(parent, parent_key, parent_passphrase_file)
    if path_length is None and parent is not None:
        path_length = 0
    now = datetime.now(UTC)
    issuer = above.issuer(now)
    passphrase = read_passphrase(passphrase_file) if passphrase_file else None
    with staged(directory, [f"{stem}.pem", f"{stem}.key"], force=force) as stage:
        key = pki.new_key(kind)
        certificate = pki.make_ca(
            wanted.public_bytes(),
            key,
            serial_number=pki.random_serial(),
            now=now,
            validity=validity_for(days, issuer, now),
            path_length=path_length,
            parent=issuer,
        )
        key_file = stage.write(f"{stem}.key", pki.private_pem(key, passphrase), private=True)
        file = stage.write(f"{stem}.pem", certificate.pem)
    if issuer:
        warn_if_outlived(certificate, issuer.certificate, "The CA")
    document = _facts(certificate) | {"certificate": file, "key": key_file}
    output.emit(as_json, document, lambda: _tell_created(certificate, file, key_file))


def _tell_created(certificate: Certificate, file: Path, key_file: Path) -> None:
    click.echo(f"Made {output.safe(str(file))} and {output.safe(str(key_file))}.")
    output.pairs(
        [
            ("subject", subject_text(certificate.subject)),
            ("caCertificateId", certificate.sha256),
            ("valid until", certificate.not_after),
        ]
    )
    output.note(f"Next: {shlex.join(['jitr', 'ca', 'register', str(file), '--key', str(key_file)])}")


def _facts(certificate: Certificate) -> dict[str, Any]:
    return {
        "ca_certificate_id": certificate.sha256,
        "subject": rfc4514(certificate.subject),
        "serial_number": certificate.serial_number,
        "not_before": certificate.not_before,
        "not_after": certificate.not_after,
    }
