"""``jitr lists verify``: whether a manifest is what its signer signed."""

from functools import partial
from pathlib import Path

import click

from jitr.devicelists.csv.duplicates import Duplicates
from jitr.services.lists.signers import SignerStore
from jitr.text import counted
from jitr_cli.commands.lists.manifest_options import manifest_options
from jitr_cli.console.options import FILE, stack_options
from jitr_cli.console.output import emit, json_option
from jitr_operations.deployment import Choice
from jitr_operations.files import staged
from jitr_operations.lists import files as list_files
from jitr_operations.lists.issuers import about, pem_files
from jitr_operations.lists.manifests import ManifestChoice, verification
from jitr_operations.table import table_of


@click.command("verify")
@click.argument("file", type=FILE)
@click.option("--cas", type=FILE, metavar="FOLDER", help="Write the CAs that signed the devices' certificates there.")
@manifest_options
@stack_options
@json_option
def verify(file: Path, cas: Path | None, manifest: ManifestChoice, choice: Choice, as_json: bool) -> None:
    """Verify a file of devices, and change nothing.

    Each element of a signed manifest is verified, with the keys and certificates in it, against the signers that are
    kept or, without asking AWS, against those of --signer. Other files are not signed, so AWS is not asked. With --cas,
    the vendor's CAs are written as PEM files, for `jitr ca register`. Exit code 2 means that something is wrong; the
    message says what.

    \b
    Examples:
      jitr lists verify lot-17.json --signer MCHP_Manifest_Signer.crt --cas cas
      jitr lists verify certificates.zip
    """
    with list_files.at_hand(file) as here:
        asked = not manifest.signers and list_files.may_be_signed(here, manifest.kind)
        kept = SignerStore(table_of(choice.deployment())).believed() if asked else None
        with list_files.source(here, manifest.opener(kept), None if here == file else str(file)) as source:
            serials = partial(source.opener.serials, source.pieces)
            reader = source.opener(source.pieces(), source.name, Duplicates(), serials)
            found = verification(reader)
    issuers = about(found.issuers)
    if cas is not None:
        files = pem_files(found.issuers)
        with staged(cas, list(files), force=True) as stage:
            for name, data in files.items():
                stage.write(name, data)
    document = {"file": file, **found.to_json(), "cas": issuers}
    told = [f"{file}: {counted(found.rows, 'device')}, and nothing is wrong", *(f"  {each}" for each in found.said)]
    told += [
        f"  {counted(each['certificates'], 'certificate is', 'certificates are')} of the CA "
        f"{each['subject']} ({each['sha256']})"
        for each in issuers
    ]
    emit(as_json, document, "\n".join(told))
