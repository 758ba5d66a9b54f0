"""OCSP answers: what is taken for one, whose word it is, and every way in which readers elsewhere were deceived.

The answers are made by hand (testkit.ocsp), by ``cryptography``, and by ``openssl ocsp`` in tests/aws/test_ocsp.py.
"""

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cryptography_vectors
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp as library
from testkit import ocsp, pki
from testkit.ocsp import GOOD, OIDS, UNKNOWN, ResponseDraft, asked, delegate, revoked
from testkit.pki import NOW, sequence, tlv

from jitr.errors import UnusableOcsp
from jitr.facts import OcspAnswer
from jitr.x509.certificate import CaReading, read_ca
from jitr.x509.ocsp import MAX_CERTIFICATES, MAX_RESPONSE, NONCE_OCTETS, answer_of, question_about, read_ocsp

FACTORY, OTHER = pki.ca("Factory A"), pki.ca("Factory B")
CA = read_ca(FACTORY.pem, status="ACTIVE")
SERIAL = 0x1001
NONCE = bytes(range(NONCE_OCTETS))
QUESTION = question_about(CA, SERIAL, nonce=NONCE)
DELEGATE = delegate(FACTORY)


def good(**changes: Any) -> ResponseDraft:
    """The CA's own good answer to QUESTION, but for the changes."""
    certificate, nonce = asked(QUESTION.encoded)
    return ResponseDraft(FACTORY, certificate, nonce=nonce).but(**changes)


def delegated(issued: pki.Issued = DELEGATE, **changes: Any) -> ResponseDraft:
    """The answer of whom the CA certified for it, but for the changes."""
    return good(responder=issued, certificates=(issued.der,)).but(**changes)


def said(draft: ResponseDraft, responder: CaReading | None = None) -> OcspAnswer:
    return answer_of(read_ocsp(draft.issue()), QUESTION, CA, responder)


def problem(draft: ResponseDraft, responder: CaReading | None = None) -> str:
    """Why an answer counts for nothing: it has no status then."""
    answer = said(draft, responder)
    assert answer.status is None
    assert answer.problem is not None
    return answer.problem


# Of the vectors: what is no answer about one certificate, or what we do not take.
REFUSED = {
    "resp-invalid-version",
    "resp-response-type-unknown-oid",
    "resp-successful-no-response-bytes",
    "resp-unauthorized",
    "resp-unknown-response-status",
}

# --- the question


@pytest.mark.parametrize("hash_name", ["sha1", "sha256"])
@pytest.mark.parametrize("serial", [0, 1, 0x7F, 0x80, 0xFF00, -1, 2**159 - 1])
@pytest.mark.parametrize("nonce", [None, NONCE])
def test_a_question_is_the_one_that_cryptography_asks(hash_name: str, serial: int, nonce: bytes | None) -> None:
    ours = library.load_der_ocsp_request(question_about(CA, serial, hash_name, nonce).encoded)
    issuer = x509.load_pem_x509_certificate(FACTORY.pem)
    digest = {"sha1": hashes.SHA1(), "sha256": hashes.SHA256()}[hash_name]  # noqa: S303
    name, key = hashes.Hash(digest), hashes.Hash(digest)
    name.update(issuer.subject.public_bytes())
    key.update(pki.public_key(FACTORY.key)[-65:])
    builder = library.OCSPRequestBuilder()
    if serial > 0:
        theirs = builder.add_certificate_by_hash(name.finalize(), key.finalize(), serial, digest).build()
        assert theirs.issuer_key_hash == ours.issuer_key_hash
        assert theirs.issuer_name_hash == ours.issuer_name_hash
    assert ours.serial_number == serial
    assert ours.hash_algorithm.name == hash_name
    assert [each.value.nonce for each in ours.extensions if isinstance(each.value, x509.OCSPNonce)] == (
        [] if nonce is None else [nonce]
    )


# --- who may answer


def test_the_ca_s_own_answer_is_its_word() -> None:
    answer = said(good())
    assert (answer.status, answer.problem, answer.nonce, answer.signer) == ("good", None, True, "the CA itself")
    assert answer.this_update == NOW
    assert answer.next_update == NOW + timedelta(hours=1)
    assert answer.signature_hashes == ("sha256",)


@pytest.mark.parametrize("by_key", [False, True], ids=["by name", "by key hash"])
@pytest.mark.parametrize("draft", [good(), delegated()], ids=["the CA", "whom it certified"])
def test_a_responder_is_named_by_its_name_or_by_its_key_s_hash(draft: ResponseDraft, by_key: bool) -> None:
    """RFC 6960 section 4.2.1, ResponderID; many of others' readers know names only."""
    assert said(draft.but(by_key=by_key)).status == "good"


def test_whom_the_ca_certified_for_answering_speaks_for_it() -> None:
    answer = said(delegated())
    assert answer.status == "good"
    assert answer.signer == "CN=responder,O=OKIDA,C=TR, certified by the CA"
    assert (answer.signer_not_before, answer.signer_not_after) == (pki.NOT_BEFORE, pki.NOT_AFTER)


def test_the_responder_s_certificate_is_found_wherever_it_stands_in_the_answer() -> None:
    """None is taken for it because it is the first."""
    others = (FACTORY.der, FACTORY.usual_device("snr-9").issue().der, sequence(b"\x05\x00"))
    assert said(delegated(certificates=(*others, DELEGATE.der))).status == "good"


def test_a_signature_that_does_not_verify_counts_for_nothing() -> None:
    """Elsewhere it was computed, and the result not looked at."""
    forger = pki.key("P-256", "a forger")
    assert "does not verify" in problem(good(signer=forger))
    assert "does not verify" in problem(delegated(signer=forger))


def test_an_answer_that_was_changed_after_it_was_signed_counts_for_nothing() -> None:
    data = good(status=revoked(1)).issue()
    changed = data.replace(b"\x0a\x01\x01", b"\x0a\x01\x04")
    assert changed != data
    assert "does not verify" in (answer_of(read_ocsp(changed), QUESTION, CA).problem or "")


def test_a_certificate_that_is_not_for_answering_answers_for_nobody() -> None:
    """Any device of the CA could say that it is good, or that another is revoked."""
    device = FACTORY.usual_device("snr-0001").key("P-256", "a device").issue()
    assert "lacks the extended key usage OCSPSigning" in problem(delegated(device))
    for draft in (FACTORY.device("r"), FACTORY.device("r").extended_key_usage("anyExtendedKeyUsage")):
        assert "lacks the extended key usage OCSPSigning" in problem(delegated(draft.issue()))


def test_a_responder_that_another_ca_certified_answers_for_nobody_here() -> None:
    assert "not issued by the CA" in problem(delegated(delegate(OTHER)))


def test_a_responder_that_was_certified_by_a_ca_of_the_same_name_and_another_key_answers_for_nobody() -> None:
    """Names prove nothing: the CA's key has to verify the responder's certificate."""
    forged = delegate(FACTORY, signer=pki.key("P-256", "a forger"))
    assert "the CA's key does not verify the responder's certificate" in problem(delegated(forged))


def test_a_responder_that_was_certified_by_whom_the_ca_certified_answers_for_nobody() -> None:
    """RFC 6960 section 4.2.2.2: issued directly by the CA."""
    below = pki.ca("Below", parent=FACTORY)
    chain = delegate(below)
    assert "not issued by the CA" in problem(delegated(chain, certificates=(chain.der, below.der)))


def test_a_responder_whose_certificate_is_a_ca_s_answers_for_nobody() -> None:
    issued = FACTORY.device("r").basic_constraints(ca=True).extended_key_usage(ocsp.OCSP_SIGNING).issue()
    assert "is that of a CA" in problem(delegated(issued))


def test_a_responder_whose_key_is_not_for_signatures_answers_for_nobody() -> None:
    issued = FACTORY.device("r").key_usage("keyAgreement").extended_key_usage(ocsp.OCSP_SIGNING).issue()
    assert "not for signatures" in problem(delegated(issued))


def test_a_responder_with_a_critical_extension_that_is_unknown_here_answers_for_nobody() -> None:
    draft = FACTORY.device("r").extended_key_usage(ocsp.OCSP_SIGNING)
    assert "critical extension 1.2.3.4" in problem(delegated(draft.extension("1.2.3.4", b"", critical=True).issue()))
    no_check = draft.extension(OIDS["noCheck"], b"\x05\x00", critical=True).issue()
    assert said(delegated(no_check)).status == "good"


def test_an_answer_in_another_s_name_counts_for_nothing() -> None:
    """Signed by whom the CA certified, it says that it is of somebody else."""
    assert "neither the CA nor a certificate in the answer" in problem(
        delegated(responder=delegate(FACTORY, "somebody"), signer=DELEGATE.key)
    )


def test_where_the_rules_name_a_responder_nobody_else_s_word_counts() -> None:
    named = OTHER.device("pinned").key("P-256", "pinned").issue()
    pinned = read_ca(named.der, status="")
    assert said(good(responder=named), pinned).signer == "CN=pinned,O=OKIDA,C=TR, named in the rules"
    assert "not of the responder that the rules name" in problem(good(), pinned)
    assert "not of the responder that the rules name" in problem(delegated(), pinned)
    assert "does not verify" in problem(good(responder=named, signer=FACTORY.key), pinned)


# --- what it answers


def test_an_answer_about_another_certificate_counts_for_nothing() -> None:
    """CVE-2024-2660: the serial number was not compared."""
    other, _ = asked(question_about(CA, 0x1002).encoded)
    assert problem(good(certificate=other)) == "the answer is about serial number 1002, not 1001"


def test_an_answer_about_a_certificate_of_another_ca_counts_for_nothing() -> None:
    """With the same serial number, signed by the CA that was asked: both of its hashes are compared."""
    for other in (read_ca(OTHER.pem, status=""), read_ca(pki.classic_ca("Factory A").pem, status="")):
        certificate, _ = asked(question_about(other, SERIAL).encoded)
        assert "another CA" in problem(good(certificate=certificate))


def test_an_answer_that_names_the_ca_by_another_hash_counts_for_nothing() -> None:
    certificate, _ = asked(question_about(CA, SERIAL, "sha256").encoded)
    assert "by another hash" in problem(good(certificate=certificate))


def test_an_answer_with_the_nonce_of_another_question_counts_for_nothing() -> None:
    assert "nonce of another question" in problem(good(nonce=tlv(0x04, b"x" * NONCE_OCTETS)))
    assert "nonce of another question" in problem(good(nonce=b""))


def test_an_answer_without_nonce_says_so() -> None:
    """Pre-signed answers are usual (RFC 5019): what of them holds is a matter of their times, and of the rules."""
    assert said(good(nonce=None)).nonce is False


@pytest.mark.parametrize("count", [0, 2])
def test_an_answer_is_about_the_one_certificate_that_was_asked_about(count: int) -> None:
    both = good().single(), good(status=revoked()).single()
    with pytest.raises(UnusableOcsp, match=f"about {count} certificates"):
        read_ocsp(good(answers=both[:count]).issue())


@pytest.mark.parametrize(
    ("status", "told", "reason", "on_hold"),
    [
        (GOOD, "good", None, False),
        (UNKNOWN, "unknown", None, False),
        (revoked(), "revoked", "unspecified", False),
        (revoked(1), "revoked", "keyCompromise", False),
        (revoked(6), "revoked", "certificateHold", True),
        (revoked(8), "revoked", "unspecified", False),
        (revoked(7), "revoked", "unspecified", False),
        (revoked(99), "revoked", "unspecified", False),
    ],
)
def test_a_status_is_read_with_its_reason(status: bytes, told: str, reason: str | None, on_hold: bool) -> None:
    """Whatever a reason means, the certificate is revoked."""
    answer = said(good(status=status))
    assert (answer.status, answer.reason, answer.on_hold) == (told, reason, on_hold)
    assert answer.revoked_at == (ocsp.REVOKED_AT if told == "revoked" else None)


@pytest.mark.parametrize("status", [tlv(0x80, b"\x00"), tlv(0x82, b"\x00"), tlv(0x83), tlv(0xA1), tlv(0x81), b""])
def test_a_status_that_is_none_is_no_answer(status: bytes) -> None:
    with pytest.raises(UnusableOcsp):
        read_ocsp(good(status=status).issue())


@pytest.mark.parametrize(
    ("status", "told", "unavailable"),
    [
        (1, "malformedRequest", False),
        (2, "internalError", True),
        (3, "tryLater", True),
        (4, "means nothing", False),
        (5, "sigRequired", False),
        (6, "unauthorized", False),
        (9, "means nothing", False),
    ],
)
def test_a_responder_that_does_not_answer_says_why(status: int, told: str, unavailable: bool) -> None:
    """RFC 6960 section 2.3. Nobody signs it, so it says nothing of the certificate."""
    with pytest.raises(UnusableOcsp, match=told) as caught:
        read_ocsp(ocsp.refusal(status))
    assert caught.value.unavailable is unavailable


@pytest.mark.parametrize("where", ["extensions", "single_extensions"])
def test_a_critical_extension_that_is_unknown_here_refuses_the_answer(where: str) -> None:
    critical = pki.Extension("1.2.3.4", b"", critical=True).der
    with pytest.raises(UnusableOcsp, match=r"1\.2\.3\.4"):
        read_ocsp(good(**{where: (critical,)}).issue())
    assert said(good(**{where: (pki.Extension("1.2.3.4", b"").der,)})).status == "good"


def test_an_answer_of_another_kind_is_refused() -> None:
    with pytest.raises(UnusableOcsp, match=r"unknown here \(1\.2\.3\)"):
        read_ocsp(good(kind="1.2.3").issue())


def test_no_answer_is_larger_than_any_honest_one() -> None:
    with pytest.raises(UnusableOcsp, match=str(MAX_RESPONSE)):
        read_ocsp(bytes(MAX_RESPONSE + 1))
    with pytest.raises(UnusableOcsp, match=f"at most {MAX_CERTIFICATES}"):
        read_ocsp(good(certificates=(DELEGATE.der,) * (MAX_CERTIFICATES + 1)).issue())


def test_no_part_of_an_answer_can_be_cut_off_or_damaged_unnoticed() -> None:
    """Whatever is changed of it: it is refused, or no longer verifies, or stands in what nobody relies on."""
    data = delegated(status=revoked(1)).issue()
    wanted = answer_of(read_ocsp(data), QUESTION, CA)
    for place in range(len(data)):
        for changed in (data[:place], data[:place] + bytes([data[place] ^ 0x01]) + data[place + 1 :]):
            try:
                answer = answer_of(read_ocsp(changed), QUESTION, CA)
            except UnusableOcsp:
                continue
            assert answer.status is None or (answer.status, answer.reason) == (wanted.status, wanted.reason)


# --- as cryptography reads it


@pytest.mark.parametrize("by_key", [False, True])
@pytest.mark.parametrize("status", [GOOD, UNKNOWN, revoked(4)])
def test_what_cryptography_made_is_read_as_it_reads_it(by_key: bool, status: bytes) -> None:
    issuer = x509.load_pem_x509_certificate(FACTORY.pem)
    certificate = x509.load_pem_x509_certificate(FACTORY.usual_device("snr-1").serial(SERIAL).issue().pem)
    signer = x509.load_der_x509_certificate(DELEGATE.der)
    told = {GOOD: library.OCSPCertStatus.GOOD, UNKNOWN: library.OCSPCertStatus.UNKNOWN}.get(
        status, library.OCSPCertStatus.REVOKED
    )
    is_revoked = told is library.OCSPCertStatus.REVOKED
    encoding = library.OCSPResponderEncoding.HASH if by_key else library.OCSPResponderEncoding.NAME
    plain = NOW.replace(tzinfo=None)
    made = (
        library.OCSPResponseBuilder()
        .add_response(
            cert=certificate,
            issuer=issuer,
            algorithm=hashes.SHA1(),  # noqa: S303
            cert_status=told,
            this_update=plain,
            next_update=plain + timedelta(hours=2),
            revocation_time=plain - timedelta(days=1) if is_revoked else None,
            revocation_reason=x509.ReasonFlags.superseded if is_revoked else None,
        )
        .responder_id(encoding, signer)
        .certificates([signer])
        .add_extension(x509.OCSPNonce(NONCE), critical=False)
        .sign(DELEGATE.key, hashes.SHA256())
    )
    reading = read_ocsp(made.public_bytes(Encoding.DER))
    assert reading.answer.serial_number == made.serial_number
    assert reading.answer.issuer_key_hash == made.issuer_key_hash
    assert reading.answer.issuer_name_hash == made.issuer_name_hash
    assert (reading.answer.this_update, reading.answer.next_update) == (made.this_update_utc, made.next_update_utc)
    assert reading.produced_at == made.produced_at_utc
    assert reading.answer.revoked_at == made.revocation_time_utc
    assert reading.signed == made.tbs_response_bytes
    assert reading.responder_key_hash == made.responder_key_hash
    answer = answer_of(reading, QUESTION, CA)
    assert (answer.status, answer.nonce) == (told.name.lower(), True)
    assert answer.reason == ("superseded" if is_revoked else None)


def test_what_is_made_here_by_hand_is_read_by_cryptography() -> None:
    data = delegated(status=revoked(1)).issue()
    theirs, ours = library.load_der_ocsp_response(data), read_ocsp(data)
    assert theirs.revocation_time_utc == ours.answer.revoked_at == ocsp.REVOKED_AT
    assert theirs.revocation_reason is x509.ReasonFlags.key_compromise
    assert theirs.certificates[0].fingerprint(hashes.SHA256()) == hashlib.sha256(DELEGATE.der).digest()
    assert ours.produced_at == datetime(2026, 3, 1, 12, tzinfo=UTC)


VECTORS = sorted((Path(cryptography_vectors.__file__).parent / "x509/ocsp").glob("resp-*.der"))


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_every_vector_is_refused_in_one_line_or_read_as_cryptography_reads_it(path: Path) -> None:
    data = path.read_bytes()
    if path.stem in REFUSED:
        with pytest.raises(UnusableOcsp, match=r"^[^\n]*$"):
            read_ocsp(data)
        return
    ours = read_ocsp(data)
    theirs = library.load_der_ocsp_response(data)
    single, answer = next(theirs.responses), ours.answer
    assert answer.serial_number == single.serial_number
    assert (answer.issuer_key_hash, answer.issuer_name_hash) == (single.issuer_key_hash, single.issuer_name_hash)
    assert (answer.this_update, answer.next_update) == (single.this_update_utc, single.next_update_utc)
    assert (ours.produced_at, answer.revoked_at) == (theirs.produced_at_utc, single.revocation_time_utc)
    assert answer.status == single.certificate_status.name.lower()
    assert ours.responder_key_hash == theirs.responder_key_hash
    assert (ours.signature, ours.signed) == (theirs.signature, theirs.tbs_response_bytes)
