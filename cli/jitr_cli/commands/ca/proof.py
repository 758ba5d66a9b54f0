"""``jitr ca verification-csr``: the request for a verification certificate, for a CA whose key is kept elsewhere."""

from pathlib import Path

import click

from jitr_cli.console import output
from jitr_cli.console.options import FILE, aws_options
from jitr_operations.deployment import Choice
from jitr_operations.files import staged
from jitr_operations.issuing import pki


@click.command("verification-csr")
@click.option("--out", type=FILE, metavar="FILE", help="Write it there instead of standard output.")
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@click.option(
    "--code", "code_only", is_flag=True, help="Print the registration code only: the request is made elsewhere."
)
@aws_options
@output.json_option
def verification_csr(out: Path | None, force: bool, code_only: bool, choice: Choice, as_json: bool) -> None:
    """Make the request for a verification certificate, for a CA whose key is kept elsewhere.

    The CA signs it there, as it would a device's; `jitr ca register CA.pem --verification-certificate FILE` takes
    what comes back. The request's own key is thrown away: AWS IoT never asks for it.

    \b
    Example:
      jitr ca verification-csr --out verification.csr
      openssl x509 -req -in verification.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 1 -out verification.pem
      jitr ca register ca.pem --verification-certificate verification.pem
    """
    if code_only and out is not None:
        raise click.UsageError("--code and --out exclude each other: there is no request then.")
    if force and out is None:
        raise click.UsageError("--force goes with --out: no other file is written.")
    code = choice.account().client("iot").get_registration_code()["registrationCode"]
    if code_only:
        output.emit(as_json, {"registration_code": code}, code)
        return
    request = pki.make_verification_request(pki.new_key(pki.KeyType(curve="p256")), code)
    pem = pki.request_pem(request)
    if out is not None:
        with staged(out.parent, [out.name], force=force) as stage:
            stage.write(out.name, pem)
    document = {"registration_code": code, "csr": pem.decode(), "file": out}
    output.emit(as_json, document, "" if out else pem.decode().rstrip())
    if out and not as_json:
        output.note(f"Wrote {out}. Have the CA sign it.")
