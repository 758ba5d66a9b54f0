"""Which registered CA signed a device's certificate: told by the CA's key, because names are not enough.

The classic openssl commands give every CA the same subject, so that AWS IoT wants to be told which one it was
(RegisterCertificate, ``caCertificatePem``).
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from jitr.decision.chain import verify_chain
from jitr.errors import InputError, Unreadable
from jitr.unseen import written_out
from jitr.x509.certificate import CaReading, CertificateReading, read_ca
from jitr.x509.names import rfc4514, same_name
from jitr_operations import telling
from jitr_operations.accounts import Account
from jitr_operations.cas.registry import RegisteredCa, all_ca_ids, described, warn_of_template
from jitr_operations.cas.which import find
from jitr_operations.devices.registry import DeviceCertificate

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient


@dataclass(frozen=True)
class _Candidate:
    registered: RegisteredCa
    reading: CaReading


class IssuerLookup:
    """The registered CAs, read once for all devices; only the chosen one if one was chosen (``which.find``)."""

    def __init__(self, account: Account, chosen: str | None = None) -> None:
        self._account = account
        self._iot: IoTClient = account.client("iot")
        self._chosen = chosen
        self._unreadable: list[str] = []

    def of(self, device: CertificateReading, file: Path) -> RegisteredCa:
        """Return the ACTIVE CA whose key made the device's signature.

        Raises InputError where there is none, where it is not ACTIVE, and where several have that key.
        """
        signed = [each for each in self._candidates if verify_chain(device, each.reading).signature_valid]
        if not signed:
            raise InputError(f"{file}: {self._nobody(device)}")
        active = [each for each in signed if each.registered.status == "ACTIVE"]
        if not active:
            ca = signed[0].registered
            raise InputError(
                f"{file}: its CA {ca.id} is {ca.status}, and AWS IoT takes certificates of ACTIVE ones only: "
                f"`jitr ca activate {ca.id[:12]}`"
            )
        named = [each for each in active if verify_chain(device, each.reading).names_equal]
        if not named:
            raise InputError(
                f"{file}: the key of the CA {active[0].registered.id} signed it, but it names another issuer "
                f"({_issuer(device)}): have it issued again, with the CA's own subject as issuer"
            )
        if len(named) > 1:
            ids = ", ".join(each.registered.id for each in named)
            raise InputError(f"{file}: several registered CAs have the key that signed it: say which with --ca ({ids})")
        return named[0].registered

    def expect(self, device: DeviceCertificate, file: Path) -> None:
        """Warn where a certificate that is registered already is not under the chosen CA."""
        if self._chosen is None or device.ca_certificate_id is None:
            return
        known = [*(each.registered.id for each in self._candidates), *self._unreadable]
        if device.ca_certificate_id not in known:
            telling.warn(f"{file}: it is registered under the CA {device.ca_certificate_id}, and stays so")

    def _nobody(self, device: CertificateReading) -> str:
        issuer = _issuer(device)
        if self._unreadable:
            ids = ", ".join(self._unreadable)
            return f"no registered CA that can be read signed it, but {issuer}; these cannot be read: {ids}"
        if self._chosen is not None:
            ca = self._candidates[0].registered
            return f"the CA {ca.id} did not sign it, but {issuer}: without --ca it is looked for"
        namesakes = [each for each in self._candidates if same_name(each.reading.subject, device.issuer)]
        if namesakes:
            ids = ", ".join(each.registered.id for each in namesakes)
            return f"a CA called {issuer} signed it, but with another key than the registered one of that name ({ids})"
        return f"the CA that signed it, {issuer}, is not registered: `jitr ca register` it first"

    @cached_property
    def _candidates(self) -> list[_Candidate]:
        found = self._all() if self._chosen is None else [find(self._account, self._chosen)]
        candidates = []
        for each in found:
            warn_of_template(each)
            try:
                reading = read_ca(each.pem.encode(), status=each.status, ca_certificate_id=each.id)
            except Unreadable as problem:
                telling.warn(f"the registered CA {each.id} cannot be read ({problem}), and is passed over")
                self._unreadable.append(each.id)
                continue
            candidates.append(_Candidate(each, reading))
        return candidates

    def _all(self) -> list[RegisteredCa]:
        ids = all_ca_ids(self._iot)
        found = []
        with telling.progress("Reading CAs", len(ids)) as advance:
            for each in ids:
                registered = described(self._iot, each)
                if registered is not None:  # None: deleted since it was listed
                    found.append(registered)
                advance(1)
        return found


def twin_under(ca: RegisteredCa, device: CertificateReading) -> str | None:
    """Return the other id of a certificate that this CA signed; None where the CA does not sign with ECDSA."""
    reading = read_ca(ca.pem.encode(), status=ca.status, ca_certificate_id=ca.id)
    return verify_chain(device, reading).twin_sha256


def _issuer(device: CertificateReading) -> str:
    return written_out(rfc4514(device.issuer)) or "(no name)"
