"""``jitr ca register``: a CA checked, proven to be ours, ACTIVE, with auto-registration on, in one command.

Every step looks first at what is there, so whatever interrupts it, the command run again carries on.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jitr.errors import InputError, Retry
from jitr_cli.commands.ca.proof import Proof, read_proof
from jitr_cli.console import output
from jitr_cli.console.options import FILE, aws_options
from jitr_operations.cas.checks import require_fit, require_room
from jitr_operations.cas.registry import Registered, described
from jitr_operations.certificates import Certificate
from jitr_operations.deployment import Choice
from jitr_operations.files import read_certificate
from jitr_operations.issuing.subjects import subject_text

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient


@dataclass(frozen=True)
class Wanted:
    """How a CA is to be registered."""

    active: bool
    auto_registration: bool
    sni_only: bool
    tags: tuple[tuple[str, str], ...]

    @property
    def status(self) -> str:
        """AWS IoT's word for it."""
        return "ACTIVE" if self.active else "INACTIVE"

    @property
    def auto_registration_status(self) -> str:
        """AWS IoT's word for it."""
        return "ENABLE" if self.auto_registration else "DISABLE"

    @property
    def mode(self) -> str:
        """AWS IoT's word for it."""
        return "SNI_ONLY" if self.sni_only else "DEFAULT"


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
@aws_options
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

    Run it again after whatever went wrong: it carries on. A CA that is registered already is brought to what the
    options ask for.

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
    now = datetime.now(UTC)
    wanted = Wanted(not inactive, not no_auto_registration, sni_only, tuple(_tag(each) for each in tags))
    found = read_certificate(certificate)
    require_fit(found, certificate, now)
    proof = read_proof(found, certificate, key, passphrase_file, verification_certificate, now)
    account = choice.account()
    account.announce()
    registered, before = _register(account.client("iot"), found, proof, wanted, yes)
    document = registered.to_json() | {
        "was_registered": before,
        "account_id": account.account_id,
        "region": account.region,
    }
    output.emit(as_json, document, lambda: _tell_registered(registered, before, certificate.stem))


def _tag(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise InputError(f"--tag {text[:80]!r}: write it as KEY=VALUE")
    return name, value


def _register(
    iot: "IoTClient", certificate: Certificate, proof: Proof | None, wanted: Wanted, yes: bool
) -> tuple[Registered, bool]:
    """Register the CA, or bring it in line if it is; how it is then, and whether it was registered before."""
    ca_id = certificate.sha256
    existing = described(iot, ca_id)
    if existing is None:
        require_room(iot, certificate)
        if _register_new(iot, certificate, proof, wanted):
            return _as_it_is_now(iot, ca_id), False
        existing = described(iot, ca_id)
        if existing is None:
            raise InputError(_HELD_ELSEWHERE)
    output.note(f"Already registered: caCertificateId {ca_id}")
    _bring_in_line(iot, existing, wanted, yes)
    return _as_it_is_now(iot, ca_id), True


_HELD_ELSEWHERE = (
    "AWS IoT answers that this CA is registered already, and this account does not hold it: only one account in a "
    "Region may hold a CA in mode DEFAULT. Delete it there, or register it with --sni-only in each account"
)


def _as_it_is_now(iot: "IoTClient", ca_id: str) -> Registered:
    registered = described(iot, ca_id)
    if registered is None:
        raise Retry("missing", f"AWS IoT does not show the CA {ca_id} yet; run it again in a moment")
    return registered


def _register_new(iot: "IoTClient", certificate: Certificate, proof: Proof | None, wanted: Wanted) -> bool:
    """Register it, ACTIVE and with auto-registration in the same call; False where AWS IoT holds it already.

    It may do so though it was not there a moment ago: an answer was lost, and the call was made again.
    """
    from botocore.exceptions import ClientError

    request: dict[str, Any] = {
        "caCertificate": certificate.pem.decode(),
        "setAsActive": wanted.active,
        "allowAutoRegistration": wanted.auto_registration,
    }
    if wanted.sni_only:
        request["certificateMode"] = "SNI_ONLY"
    elif proof is not None:
        code = iot.get_registration_code()["registrationCode"]
        request["verificationCertificate"] = proof(code).decode()
    if wanted.tags:
        request["tags"] = _aws_tags(wanted)
    try:
        iot.register_ca_certificate(**request)
    except ClientError as problem:
        if problem.response["Error"]["Code"] != "ResourceAlreadyExistsException":
            raise
        return False
    return True


def _aws_tags(wanted: Wanted) -> list[Any]:
    return [{"Key": name, "Value": value} for name, value in wanted.tags]


def _bring_in_line(iot: "IoTClient", existing: Registered, wanted: Wanted, yes: bool) -> None:
    if existing.template is not None:
        raise InputError(
            f"the CA {existing.id} has a provisioning template attached ({existing.template}): it activates devices by "
            "itself, and the rules would never see them. Take it off (`aws iot update-ca-certificate --certificate-id "
            f"{existing.id} --remove-auto-registration`), or delete the CA, then run this again"
        )
    if existing.mode != wanted.mode:
        output.warn(
            f"it is registered in mode {existing.mode}, and stays so: to change it, delete and register it again."
        )
    _require_assent(existing, wanted, yes)
    changes: dict[str, Any] = {}
    if existing.status != wanted.status:
        changes["newStatus"] = wanted.status
    if existing.auto_registration != wanted.auto_registration_status:
        changes["newAutoRegistrationStatus"] = wanted.auto_registration_status
    if changes:
        iot.update_ca_certificate(certificateId=existing.id, **changes)
    if wanted.tags:
        iot.tag_resource(resourceArn=existing.arn, tags=_aws_tags(wanted))


def _require_assent(existing: Registered, wanted: Wanted, yes: bool) -> None:
    """Ask before anything is taken away from a CA that is at work."""
    losses = []
    if existing.status == "ACTIVE" and not wanted.active:
        losses.append("make it INACTIVE")
    if existing.auto_registration == "ENABLE" and not wanted.auto_registration:
        losses.append("turn its auto-registration off")
    if losses:
        output.confirm(f"{' and '.join(losses).capitalize()}? No new device under it will be registered then.", yes)


def _tell_registered(registered: Registered, before: bool, stem: str) -> None:
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


def alias_for(stem: str) -> str:
    """An alias for the rules file made of a file's name."""
    return re.sub("[^a-z0-9]+", "-", stem.lower()).strip("-") or "my-ca"
