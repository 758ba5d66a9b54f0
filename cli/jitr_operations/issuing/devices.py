"""Certificates issued to devices, with their keys, and the device list of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509

from jitr.devicelists.csv.reader import write_rows
from jitr.devicelists.rows import ListRow
from jitr_operations import telling
from jitr_operations.certificates import Certificate
from jitr_operations.files import Staged
from jitr_operations.issuing import pki
from jitr_operations.issuing.plans import Plan
from jitr_operations.issuing.x509_writer import PrivateKey, signing_hash

DEVICES_CSV = "devices.csv"


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
class IssuedDevice:
    """A device's certificate and its files."""

    plan: Plan
    certificate: Certificate
    file: Path
    key: Path | None
    request: Path | None
    chain: Path | None

    def to_json(self) -> dict[str, Any]:
        """Return it as ``--json`` prints it."""
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


def file_names(plans: list[Plan], issuing: Issuing, with_list: bool) -> Iterator[str]:
    """Yield the names of all files that will be written."""
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


def issue_all(plans: list[Plan], issuing: Issuing, stage: Staged) -> Iterator[IssuedDevice]:
    """Issue certificates, and keys where there is no request, and write them to the stage."""
    with telling.progress("Issuing", len(plans)) as advance:
        for plan in plans:
            yield _issue_one(plan, issuing, stage)
            advance(1)


def _issue_one(plan: Plan, issuing: Issuing, stage: Staged) -> IssuedDevice:
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
    return IssuedDevice(plan, certificate, file, key_file, request_file, chain)


def _request(plan: Plan, key: PrivateKey) -> x509.CertificateSigningRequest:
    subject = plan.subject or x509.Name([])
    return x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, signing_hash(key))


def write_list(stage: Staged, issued: list[IssuedDevice], by: str, issuer: pki.Issuer) -> Path:
    """Write the devices as a list. One key a row: an allow rule wants every key that a row has to fit."""
    ca_id = issuer.certificate.sha256
    text = "".join(write_rows(_row(each, by, ca_id) for each in issued))
    return stage.write(DEVICES_CSV, text.encode())


def _row(issued: IssuedDevice, by: str, ca_id: str) -> ListRow:
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
