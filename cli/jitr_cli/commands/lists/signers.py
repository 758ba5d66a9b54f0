"""``jitr lists signers``: whose manifests are believed."""

from pathlib import Path

import click

from jitr.devicelists.manifests.jws import read_signer
from jitr.errors import InputError
from jitr.services.lists.signers import SignerStore
from jitr_cli.console.options import FILE, stack_options
from jitr_cli.console.output import confirm, emit, json_option, table
from jitr_operations.deployment import Choice
from jitr_operations.files import read_bytes
from jitr_operations.lists import signers as operations
from jitr_operations.table import table_of


@click.group("signers", no_args_is_help=True)
def signers() -> None:
    """Manage the signers whose manifests are believed."""


@signers.command("add")
@click.argument("file", type=FILE)
@click.option("--any-date", is_flag=True, help="It counts even when it was not valid, as with prototypes.")
@stack_options
@json_option
def add(file: Path, any_date: bool, choice: Choice, as_json: bool) -> None:
    """Keep the certificate in FILE as a signer of manifests.

    Anybody with the signer's key can put any device on a list that manifests are imported into. Compare the printed
    SHA-256 with the one that the vendor publishes.

    \b
    Example:
      jitr lists signers add MCHP_Manifest_Signer.crt
    """
    try:
        signer = read_signer(read_bytes(file), any_date=any_date)
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    deployment = choice.deployment()
    deployment.announce("dynamodb")
    is_new = operations.add(deployment, signer)
    document = {"sha256": signer.sha256, "name": signer.name, "any_date": any_date, "new": is_new}
    told = f"Manifests that {signer.name} signed are believed\n  sha256 {signer.sha256}"
    emit(as_json, document, told)


@signers.command("ls")
@stack_options
@json_option
def ls(choice: Choice, as_json: bool) -> None:
    """Show the signers of manifests that are kept.

    \b
    Example:
      jitr lists signers ls
    """
    found = SignerStore(table_of(choice.deployment())).all().values()
    document = [each.to_json() for each in found]
    rows = [
        (each["sha256"], each["name"], each["not_before"], each["not_after"], "yes" if each["any_date"] else "")
        for each in document
    ]
    emit(as_json, document, lambda: table(("sha256", "name", "from", "to", "any date"), rows))


@signers.command("remove")
@click.argument("fingerprint", metavar="SHA256")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@stack_options
@json_option
def remove(fingerprint: str, yes: bool, choice: Choice, as_json: bool) -> None:
    """Forget the signer whose certificate's SHA-256 begins with SHA256.

    What it signed is no longer believed. Rows that are already on lists stay there.

    \b
    Example:
      jitr lists signers remove 5ff10e7a35221cc4
    """
    deployment = choice.deployment()
    found = SignerStore(table_of(deployment)).find(fingerprint)
    deployment.announce("dynamodb")
    confirm(f"Forget the signer {found.signer}?", yes)
    operations.remove(deployment, found)
    emit(as_json, {"removed": found.to_json()}, f"{found.signer} is forgotten")
