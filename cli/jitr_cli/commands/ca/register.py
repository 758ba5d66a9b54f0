"""``jitr ca register``: a CA checked, proven to be ours, ACTIVE, with auto-registration on, in one command."""

from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import click

from jitr.errors import InputError
from jitr.unseen import quote
from jitr_cli.console import output
from jitr_cli.console.options import FILE, stack_options, stack_was_named
from jitr_operations.cas import registration
from jitr_operations.cas.checks import fit_ca
from jitr_operations.cas.proof import read_proof
from jitr_operations.cas.registry import RegisteredCa
from jitr_operations.deployment import Choice
from jitr_operations.files import read_bytes
from jitr_operations.history import keeping
from jitr_operations.issuing.subjects import subject_text
from jitr_operations.rules.starting import alias_for

_PROOFS = "--key (the CA's key), --verification-certificate (made elsewhere with it), or --sni-only (no proof)"


@click.command()
@click.argument("certificate", type=FILE, metavar="CA.pem")
@click.option("--key", type=FILE, metavar="KEY", help="The CA's key; it never leaves this machine.")
@click.option("--passphrase-file", type=FILE, metavar="FILE", help="The key's passphrase; asked for without.")
@click.option("--verification-certificate", type=FILE, metavar="FILE", help="Instead of --key: see verification-csr.")
@click.option("--sni-only", is_flag=True, help="Mode SNI_ONLY: without proof, and other accounts may have the CA too.")
@click.option("--no-auto-registration", is_flag=True, help="Do not register its devices when they first connect.")
@click.option("--inactive", is_flag=True, help="Leave it INACTIVE.")
@click.option("--tag", "tags", multiple=True, metavar="K=V", help="Tag it; may be repeated.")
@click.option("--yes", is_flag=True, help="Do not ask before an already registered CA is made INACTIVE or less.")
@stack_options
@output.json_option
def register(
    certificate: Path,
    key: Path | None,
    passphrase_file: Path | None,
    verification_certificate: Path | None,
    sni_only: bool,
    no_auto_registration: bool,
    inactive: bool,
    tags: tuple[str, ...],
    yes: bool,
    choice: Choice,
    as_json: bool,
) -> None:
    """Register a CA with AWS IoT: checked, proven to be yours, ACTIVE, its devices registered as they connect.

    If anything goes wrong, run it again: it continues. A CA that is already registered is changed to what the options
    ask for.

    \b
    Examples:
      jitr ca register factory-a.pem --key factory-a.key
      jitr ca register factory-a.pem --key factory-a.key --local
      jitr ca register factory-a.pem --verification-certificate verification.pem --tag plant=izmir
      jitr ca register factory-a.pem --sni-only --region eu-central-1
    """
    if key and verification_certificate:
        raise click.UsageError("--key and --verification-certificate exclude each other.")
    if not (key or verification_certificate or sni_only):
        raise click.UsageError(f"Give one of {_PROOFS}.")
    if verification_certificate and sni_only:
        raise click.UsageError("--verification-certificate and --sni-only exclude each other: there is no proof then.")
    if passphrase_file and not key:
        raise click.UsageError("--passphrase-file goes with --key: it is that key's.")
    now = datetime.now(UTC)
    wanted = registration.Wanted(not inactive, not no_auto_registration, sni_only, tuple(_tag(each) for each in tags))
    found = fit_ca(read_bytes(certificate), str(certificate), now)
    proof = read_proof(found, certificate, key, passphrase_file, verification_certificate, now)
    account = keeping.account_of(choice, stack_needed=stack_was_named())
    account.announce()
    registered, before = registration.register(account, found, proof, wanted, partial(output.confirm, yes=yes))
    document = registered.to_json() | {
        "was_registered": before,
        "account_id": account.account_id,
        "region": account.region,
    }
    output.emit(as_json, document, lambda: _tell_registered(registered, before, certificate.stem))


def _tag(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise InputError(f"--tag {quote(text[:80])}: write it as KEY=VALUE")
    return name, value


def _tell_registered(registered: RegisteredCa, before: bool, stem: str) -> None:
    certificate = registered.certificate
    click.echo("Registered already, and as asked for now." if before else "Registered.")
    output.pairs(
        [
            ("caCertificateId", registered.id),
            ("subject", subject_text(certificate.subject) if certificate else ""),
            ("status", registered.status),
            ("auto-registration", "on" if registered.auto_registration == "ENABLE" else "off"),
            ("mode", registered.mode),
        ]
    )
    click.echo(f'\nIn the rules file:\n\ncas:\n  {alias_for(stem)}:\n    ids: ["{registered.id}"]')
