"""Lists and answers of another make (certomancer, on asn1crypto): read as they were meant."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asn1crypto import algos, core, crl, keys, ocsp, x509
from certomancer.services import CRLBuilder, RevocationInfoInterface, SimpleOCSPResponder
from cryptography.hazmat.primitives import serialization as form
from testkit import pki

from jitr.errors import UnusableOcsp
from jitr.x509.certificate import read_ca
from jitr.x509.crl import read_crl, read_delta, why_not_after, why_not_by
from jitr.x509.ocsp import answer_of, question_about, read_ocsp

FACTORY = pki.ca("Factory A")
CA = read_ca(FACTORY.pem, status="ACTIVE")
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ALGORITHM = algos.SignedDigestAlgorithm({"algorithm": "sha256_ecdsa"})


def private_key() -> keys.PrivateKeyInfo:
    """The CA's key as asn1crypto has it."""
    pkcs8 = FACTORY.key.private_bytes(form.Encoding.DER, form.PrivateFormat.PKCS8, form.NoEncryption())
    return keys.PrivateKeyInfo.load(pkcs8)


def a_list(number: int, entries: dict[int, str | None], *extensions: Any, scope: dict[str, Any] | None = None) -> bytes:
    """A list, with times that RFC 5280 section 5.1.2.4 wants as UTCTime and this program writes as GeneralizedTime."""
    identifier = core.OctetString(pki.key_identifier(FACTORY.key))
    issuer = x509.Certificate.load(FACTORY.der).subject
    builder = CRLBuilder(issuer, private_key(), ALGORITHM, identifier, extra_crl_extensions=list(extensions))
    revoked = [
        CRLBuilder.format_revoked_cert(serial, None if reason is None else crl.CRLReason(reason), NOW)
        for serial, reason in entries.items()
    ]
    made = builder.build_crl(number, NOW, NOW + timedelta(days=1), revoked, scope)
    return bytes(made.dump())


def delta_of(number: int) -> Any:
    """A deltaCRLIndicator."""
    return crl.TBSCertListExtension(
        {"extn_id": "delta_crl_indicator", "critical": True, "extn_value": core.Integer(number)}
    )


def test_a_list_and_its_delta_list_of_another_make() -> None:
    base = read_crl(a_list(7, {1: "key_compromise", 2: "certificate_hold", 3: None}))
    changes = read_delta(a_list(8, {2: "remove_from_crl", 4: "superseded"}, delta_of(7)))
    assert (base.number, changes.number, changes.base_number) == (7, 8, 7)
    assert base.this_update == NOW
    assert why_not_by(base, CA) is why_not_by(changes, CA) is why_not_after(changes, base) is None
    whole = base.with_delta(changes)
    found = [whole.look_up(each) for each in range(1, 6)]
    assert [None if each is None else each.reason for each in found] == [
        "keyCompromise", None, "unspecified", "superseded", None,
    ]  # fmt: skip


def test_a_partition_of_another_make() -> None:
    point = x509.GeneralName({"uniform_resource_identifier": "http://crl.example.com/7"})
    scope = {"distribution_point": x509.DistributionPointName({"full_name": [point]}), "only_contains_user_certs": True}
    found = read_crl(a_list(1, {5: None}, scope=scope))
    assert found.points == ("http://crl.example.com/7",)
    assert why_not_by(found, CA) is None


class Books(RevocationInfoInterface):
    """What the responder knows: three certificates."""

    def get_issuer_cert(self) -> x509.Certificate:
        """The CA's."""
        return x509.Certificate.load(FACTORY.der)

    def check_revocation_status(self, cid: ocsp.CertId, _at_time: datetime) -> tuple[ocsp.CertStatus, list[Any]]:
        """Tell the status of a certificate by its serial number."""
        reasons = {0x1002: "key_compromise", 0x1003: "certificate_hold"}
        serial = cid["serial_number"].native
        if serial == 0x1001:
            return ocsp.CertStatus("good"), []
        if serial not in reasons:
            return ocsp.CertStatus("unknown"), []
        revoked = ocsp.RevokedInfo({"revocation_time": NOW, "revocation_reason": crl.CRLReason(reasons[serial])})
        return ocsp.CertStatus({"revoked": revoked}), []


def answered(question: bytes) -> bytes:
    """The responder's answer."""
    certificate = x509.Certificate.load(FACTORY.der)
    responder = SimpleOCSPResponder(certificate, private_key(), ALGORITHM, NOW, Books())
    return bytes(responder.build_ocsp_response(ocsp.OCSPRequest.load(question)).dump())


@pytest.mark.parametrize("hash_name", ["sha1", "sha256"])
@pytest.mark.parametrize(
    ("serial", "status", "reason"),
    [
        (0x1001, "good", None),
        (0x1002, "revoked", "keyCompromise"),
        (0x1003, "revoked", "certificateHold"),
        (0x1004, "unknown", None),
    ],
)
def test_a_responder_of_another_make(hash_name: str, serial: int, status: str, reason: str | None) -> None:
    question = question_about(CA, serial, hash_name, b"n" * 32)
    found = answer_of(read_ocsp(answered(question.encoded)), question, CA)
    assert (found.problem, found.status, found.reason, found.nonce) == (None, status, reason, True)
    assert (found.this_update, found.next_update) == (NOW, NOW + timedelta(minutes=10))


def test_a_responder_of_another_make_does_not_answer_for_another_ca() -> None:
    question = question_about(read_ca(pki.ca("Factory B").pem, status="ACTIVE"), 0x1001)
    with pytest.raises(UnusableOcsp, match="unauthorized"):
        read_ocsp(answered(question.encoded))
