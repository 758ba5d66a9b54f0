"""A CA registered with AWS IoT: ACTIVE, with auto-registration on, or as asked for.

Every step looks first at what is there, so whatever interrupts it, the same again carries on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jitr.errors import InputError, Retry
from jitr.records.history import HistoryKind, Values
from jitr_operations import telling
from jitr_operations.accounts import Account
from jitr_operations.cas.checks import require_room
from jitr_operations.cas.proof import Proof
from jitr_operations.cas.registry import RegisteredCa, described
from jitr_operations.certificates import Certificate
from jitr_operations.history import keeping

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

    @property
    def in_history(self) -> dict[str, str]:
        """What the history tells of a CA that is registered so."""
        tags = ", ".join(f"{name}={value}" for name, value in self.tags)
        told = {"status": self.status, "auto_registration": self.auto_registration_status, "mode": self.mode}
        return told | ({"tags": tags} if tags else {})


def register(
    account: Account, certificate: Certificate, proof: Proof | None, wanted: Wanted, confirm: Callable[[str], None]
) -> tuple[RegisteredCa, bool]:
    """Register the CA, or bring it in line if it is; return how it is then, and whether it was registered before.

    ``confirm`` is asked before anything is taken away from a CA that is at work; where it raises, nothing is changed.
    Raises InputError where another account holds the CA, or it has a provisioning template.
    """
    iot, ca_id = account.client("iot"), certificate.sha256
    existing = described(iot, ca_id)
    if existing is None:
        require_room(iot, certificate)
        with _doing(account, ca_id, None) as doing:
            made = _register_new(iot, certificate, proof, wanted)
            doing.after |= wanted.in_history if made else {"registered": False}
        if made:
            return _as_it_is_now(iot, ca_id), False
        existing = described(iot, ca_id)
        if existing is None:
            raise InputError(_HELD_ELSEWHERE)
    telling.note(f"Already registered: caCertificateId {ca_id}")
    _bring_in_line(account, existing, wanted, confirm)
    return _as_it_is_now(iot, ca_id), True


def _doing(account: Account, ca_id: str, existing: RegisteredCa | None) -> keeping.Changing:
    before: Values = {}
    if existing is not None:
        before = {"status": existing.status, "auto_registration": existing.auto_registration, "mode": existing.mode}
    command = ("ca", "register", ca_id[:12])
    return keeping.doing(account, HistoryKind.CA, command, subject=ca_id, before=before, lets_in=True)


_HELD_ELSEWHERE = (
    "AWS IoT answers that this CA is registered already, and this account does not hold it: only one account in a "
    "Region may hold a CA in mode DEFAULT. Delete it there, or register it with --sni-only in each account"
)


def _as_it_is_now(iot: "IoTClient", ca_id: str) -> RegisteredCa:
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


def _bring_in_line(account: Account, existing: RegisteredCa, wanted: Wanted, confirm: Callable[[str], None]) -> None:
    if existing.template is not None:
        raise InputError(
            f"the CA {existing.id} has a provisioning template attached ({existing.template}): it activates devices by "
            "itself, and the rules would never see them. Take it off (`aws iot update-ca-certificate --certificate-id "
            f"{existing.id} --remove-auto-registration`), or delete the CA, then run this again"
        )
    if existing.mode != wanted.mode:
        telling.warn(
            f"it is registered in mode {existing.mode}, and stays so: to change it, delete and register it again."
        )
    _require_assent(existing, wanted, confirm)
    changes: dict[str, Any] = {}
    if existing.status != wanted.status:
        changes["newStatus"] = wanted.status
    if existing.auto_registration != wanted.auto_registration_status:
        changes["newAutoRegistrationStatus"] = wanted.auto_registration_status
    if not (changes or wanted.tags):
        return
    iot = account.client("iot")
    with _doing(account, existing.id, existing) as doing:
        if changes:
            iot.update_ca_certificate(certificateId=existing.id, **changes)
        if wanted.tags:
            iot.tag_resource(resourceArn=existing.arn, tags=_aws_tags(wanted))
        doing.after |= wanted.in_history | {"mode": existing.mode}


def _require_assent(existing: RegisteredCa, wanted: Wanted, confirm: Callable[[str], None]) -> None:
    """Ask before anything is taken away from a CA that is at work."""
    losses = []
    if existing.status == "ACTIVE" and not wanted.active:
        losses.append("make it INACTIVE")
    if existing.auto_registration == "ENABLE" and not wanted.auto_registration:
        losses.append("turn its auto-registration off")
    if losses:
        confirm(f"{' and '.join(losses).capitalize()}? No new device under it will be registered then.")
