"""Reading a revocation list: complete, the CA's own, and indexed; everything else is refused by name."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from testkit import pki
from testkit.crls import CODES, REVOKED_AT, CrlDraft, crl, entry, extension, pem
from testkit.pki import sequence, tlv

from jitr.decision.revocation_lists import read_revocation
from jitr.errors import UnusableCrl
from jitr.rules.model import Crl
from jitr.x509.certificate import read_ca, read_certificate
from jitr.x509.crl import CrlReading, read_crl, why_not_by

FACTORY = pki.ca("Factory A")
READ = read_ca(FACTORY.pem, status="ACTIVE")


def read(data: bytes) -> CrlReading:
    return read_crl(data)


def refused(data: bytes) -> str:
    with pytest.raises(UnusableCrl) as caught:
        read_crl(data)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- what a good list says


@pytest.mark.parametrize("form", [bytes, pem, lambda data: b"words before\r\n" + pem(data).replace(b"\n", b"\r\n")])
def test_a_list_is_read_from_der_and_pem(form: object) -> None:
    found = read(form(crl(FACTORY, [entry(0x1001, "keyCompromise")], number=7)))  # type: ignore[operator]
    assert (len(found), found.number) == (1, 7)
    assert (found.this_update, found.next_update) == (pki.NOW - timedelta(hours=1), pki.NOW + timedelta(days=7))
    assert found.look_up(0x1001) is not None
    assert found.look_up(0x1002) is None
    assert why_not_by(found, READ) is None


@pytest.mark.parametrize("reason", sorted(set(CODES) - {"removeFromCRL"}))
def test_time_and_reason_are_kept(reason: str) -> None:
    """RFC 5280 section 5.3.1."""
    found = read(crl(FACTORY, [entry(5, reason)])).look_up(5)
    assert found is not None
    assert (found.revoked_at, found.reason) == (REVOKED_AT, reason)
    assert found.on_hold is (reason == "certificateHold")


@pytest.mark.parametrize("code", [7, 11, 22, 127])
def test_a_reason_that_is_unknown_is_still_a_revocation(code: int) -> None:
    odd = entry(5, None, extension("reasonCode", tlv(0x0A, bytes([code]))))
    found = read(crl(FACTORY, [odd])).look_up(5)
    assert found is not None
    assert found.reason == "unspecified"


@pytest.mark.parametrize(
    "moment", [datetime(1951, 1, 1, tzinfo=pki.NOW.tzinfo), datetime(2060, 2, 3, 4, 5, 6, tzinfo=pki.NOW.tzinfo)]
)
def test_revocation_times_of_both_kinds(moment: datetime) -> None:
    found = read(crl(FACTORY, [entry(5, at=moment)])).look_up(5)
    assert found is not None
    assert found.revoked_at == moment


def test_remove_from_crl_lifts_a_hold_and_nothing_else() -> None:
    lifted = [entry(5, "certificateHold"), entry(5, "removeFromCRL")]
    revoked = [entry(6, "keyCompromise"), entry(6, "removeFromCRL")]
    for entries in ([*lifted, *revoked], [*lifted, *revoked][::-1]):
        found = read(crl(FACTORY, entries))
        assert found.look_up(5) is None
        assert found.look_up(6) is not None


def test_of_two_entries_for_one_certificate_the_revocation_counts() -> None:
    for entries in ([entry(5, "certificateHold"), entry(5, "superseded")], [entry(5), entry(5, "certificateHold")]):
        found = read(crl(FACTORY, entries)).look_up(5)
        assert found is not None
        assert not found.on_hold


@pytest.mark.parametrize("serial", [-5, 0, 1, 0x80, (1 << 160) - 1, 1 << 300])
def test_serial_numbers_of_any_size_and_sign_are_told_apart(serial: int) -> None:
    found = read(crl(FACTORY, [entry(serial)]))
    assert found.look_up(serial) is not None
    assert found.look_up(serial + 1) is None


@pytest.mark.parametrize(
    "draft",
    [
        CrlDraft(FACTORY),
        CrlDraft(FACTORY, version=None, number=None),
        CrlDraft(FACTORY, extensions=(extension("freshestCRL", sequence()),)),
        CrlDraft(
            FACTORY, extensions=(extension("issuingDistributionPoint", sequence(tlv(0x81, b"\xff")), critical=True),)
        ),
        CrlDraft(
            FACTORY,
            (entry(5, None, extension("invalidityDate", pki._time(pki.NOW).replace(b"\x17", b"\x18"), critical=True)),),
        ),
    ],
    ids=["empty", "version 1", "freshest", "only user certificates", "invalidity date"],
)
def test_lists_that_are_complete_for_devices_are_used(draft: CrlDraft) -> None:
    assert why_not_by(read(draft.issue()), READ) is None


def test_a_list_by_openssl_is_read(tmp_path: Path) -> None:
    """As docs/own-ca.md makes one."""
    (tmp_path / "ca.pem").write_bytes(FACTORY.pem)
    (tmp_path / "ca.key").write_bytes(FACTORY.issued.private_pem)
    (tmp_path / "index.txt").write_text("R\t360101000000Z\t260201000000Z,keyCompromise\t1001\tunknown\t/CN=snr-0001\n")
    (tmp_path / "number").write_text("2A\n")
    (tmp_path / "crl.cnf").write_text(
        "[ca]\ndefault_ca = own\n[own]\ndatabase = index.txt\ncrlnumber = number\ndefault_md = sha256\n"
        "default_crl_days = 30\ncertificate = ca.pem\nprivate_key = ca.key\n"
    )
    pki.openssl(tmp_path, "ca", "-config", "crl.cnf", "-gencrl", "-out", "factory.crl")
    found = read((tmp_path / "factory.crl").read_bytes())
    assert (len(found), found.number) == (1, 0x2A)
    assert why_not_by(found, READ) is None
    listed = found.look_up(0x1001)
    assert listed is not None
    assert listed.reason == "keyCompromise"


# --- whose word it is


def test_a_list_of_another_ca_is_none_of_this_one() -> None:
    told = why_not_by(read(crl(pki.ca("Factory B"))), READ)
    assert told is not None
    assert "Factory B" in told


def test_a_list_in_the_ca_s_name_by_another_key_is_not_its_own() -> None:
    """Two classic CAs have the same subject; the key tells them apart."""
    told = why_not_by(read(crl(FACTORY, signer=pki.key("P-256", "a forger"))), READ)
    assert told is not None
    assert "does not verify" in told


def test_a_flipped_bit_is_noticed() -> None:
    data = bytearray(crl(FACTORY, [entry(0x1001)]))
    at = bytes(data).index(pki.integer(0x1001)) + 3
    data[at] ^= 1
    assert why_not_by(read(bytes(data)), READ) is not None


def test_a_ca_that_may_not_sign_lists_signs_none() -> None:
    """RFC 5280 section 6.3.3 (f)."""
    ca = pki.make(pki.ca_draft("Factory A").basic_constraints(ca=True).key_usage("keyCertSign"))
    told = why_not_by(read(crl(ca)), read_ca(ca.pem, status="ACTIVE"))
    assert told is not None
    assert "cRLSign" in told


def test_a_classic_ca_without_key_usage_signs_its_lists() -> None:
    ca = pki.classic_ca()
    draft = CrlDraft(ca, issuer_name=pki.distinguished_name(("C", "TR", "UTF8String"), ("O", "okida")))
    assert why_not_by(read(draft.issue()), read_ca(ca.pem, status="ACTIVE")) is None


# --- lists that are not complete, or not understood


def _point(*parts: bytes) -> tuple[bytes, ...]:
    return (extension("issuingDistributionPoint", sequence(*parts), critical=True),)


_URI = tlv(0xA0, tlv(0xA0, tlv(0x86, b"https://crl.example.com/7.crl")))


@pytest.mark.parametrize(
    ("draft", "told"),
    [
        (CrlDraft(FACTORY, extensions=(extension("deltaCRLIndicator", pki.integer(1), critical=True),)), "delta"),
        (CrlDraft(FACTORY, extensions=(extension("deltaCRLIndicator", pki.integer(1)),)), "delta"),
        (CrlDraft(FACTORY, extensions=_point(tlv(0x84, b"\xff"))), "indirect"),
        (CrlDraft(FACTORY, (entry(5, None, extension("certificateIssuer", sequence(), critical=True)),)), "indirect"),
        (CrlDraft(FACTORY, (entry(5, None, extension("certificateIssuer", sequence())),)), "indirect"),
        (CrlDraft(FACTORY, extensions=_point(tlv(0xA0, tlv(0xA1, pki.attribute("CN", "7"))))), "partition"),
        (CrlDraft(FACTORY, extensions=_point(tlv(0xA0, tlv(0xA0, tlv(0xA4, pki.distinguished_name()))))), "partition"),
        (CrlDraft(FACTORY, extensions=_point(tlv(0xA0))), "partition"),
        (CrlDraft(FACTORY, extensions=_point(_URI, tlv(0x82, b"\xff"))), "CA certificates only"),
        (CrlDraft(FACTORY, extensions=_point(_URI, tlv(0x83, b"\x01\x40"))), "some reasons"),
        (CrlDraft(FACTORY, extensions=_point(_URI, tlv(0x84, b"\xff"))), "indirect"),
        (CrlDraft(FACTORY, extensions=_point(tlv(0x82, b"\xff"))), "CA certificates only"),
        (CrlDraft(FACTORY, extensions=_point(tlv(0x83, b"\x01\x40"))), "some reasons"),
        (CrlDraft(FACTORY, extensions=_point(tlv(0x85, b"\xff"))), "attribute"),
        (CrlDraft(FACTORY, extensions=_point(tlv(0x89, b"\xff"))), "unknown"),
        (CrlDraft(FACTORY, extensions=(extension("1.2.3.4", b"", critical=True),)), "1.2.3.4"),
        (CrlDraft(FACTORY, extensions=(extension("freshestCRL", b"", critical=True),)), "2.5.29.46"),
        (CrlDraft(FACTORY, (entry(5, None, extension("1.2.3.4", b"", critical=True)),)), "1.2.3.4"),
        (CrlDraft(FACTORY, next_update=None), "nextUpdate"),
        (CrlDraft(FACTORY, next_update=None, entries=(entry(5),)), "nextUpdate"),
        (CrlDraft(FACTORY, version=b"\x02"), "version"),
        (CrlDraft(FACTORY, inner_algorithm=sequence(pki.oid("1.2.840.10045.4.3.3"))), "two different"),
        (CrlDraft(FACTORY, extensions=(extension("cRLNumber", pki.integer(3)),)), "twice"),
        (CrlDraft(FACTORY, (entry(5, "superseded", extension("reasonCode", tlv(0x0A, b"\x01"))),)), "twice"),
        (CrlDraft(FACTORY, (sequence(pki.integer(5)),)), "entries is damaged"),
        (CrlDraft(FACTORY, (tlv(0x31, pki.integer(5), pki._time(pki.NOW)),)), "entries is damaged"),
        (CrlDraft(FACTORY, (sequence(tlv(0x04, b"\x05"), pki._time(pki.NOW)),)), "entries is damaged"),
        (CrlDraft(FACTORY, (sequence(pki.integer(5), tlv(0x17, b"2601010000Z")),)), "time"),
    ],
)  # fmt: skip
def test_what_is_not_complete_or_not_understood_is_refused(draft: CrlDraft, told: str) -> None:
    """RFC 5280 sections 5.2 and 5.3: a list with what is critical and unknown MUST NOT be used."""
    assert told in refused(draft.issue())


def _named_in(*points: bytes) -> pki.CertificateDraft:
    """A device whose certificate says where its CA's lists are."""
    return FACTORY.device().serial(7).extension("2.5.29.31", sequence(*points))


_HERE, _ELSEWHERE = "https://crl.example.com/7.crl", "https://crl.example.com/8.crl"
_OTHER_URI = tlv(0xA0, tlv(0xA0, tlv(0x86, _ELSEWHERE.encode())))


@pytest.mark.parametrize(
    ("device", "url", "speaks"),
    [
        (_named_in(sequence(_URI)), "s3://lists/7.crl", True),
        (_named_in(sequence(_OTHER_URI), sequence(_URI)), "s3://lists/7.crl", True),
        (_named_in(sequence(_OTHER_URI)), _HERE, False),
        (_named_in(sequence(_URI, tlv(0x81, b"\x01\x40"))), _HERE, False),
        (_named_in(sequence(_URI, tlv(0xA2, tlv(0xA4, FACTORY.subject_name)))), _HERE, False),
        (_named_in(), _HERE, False),
        (FACTORY.device().serial(7).extension("2.5.29.31", b"\x30\x05"), _HERE, False),
        (FACTORY.device().serial(7), _HERE, True),
        (FACTORY.device().serial(7), _ELSEWHERE, False),
        (FACTORY.device().serial(7), "s3://lists/7.crl", False),
    ],
    ids=["same point", "one of two", "another point", "some reasons", "another issuer", "none", "damaged",
         "unnamed, list as configured", "unnamed, list of elsewhere", "unnamed, list by another way"],
)  # fmt: skip
@pytest.mark.parametrize("scope", [(_URI,), (_URI, tlv(0x81, b"\xff")), (_URI, tlv(0x81, b"\xff"), tlv(0x84, b"\x00"))])
def test_a_list_that_names_its_point_speaks_only_for_devices_of_that_point(
    device: pki.CertificateDraft, url: str, speaks: bool, scope: tuple[bytes, ...]
) -> None:
    """RFC 5280 section 6.3.3 (b)(2)(i): it may be one of several partitions, and step-ca writes each list so."""
    facts = read_certificate(device.issue().der).facts
    ca = read_ca(FACTORY.der, status="ACTIVE")
    of_others = read_crl(CrlDraft(FACTORY, (entry(5),), extensions=_point(*scope)).issue())
    problem = read_revocation(of_others, ca, facts, Crl(url)).problem
    assert (problem is None) == speaks
    assert problem is None or "may be one of several partitions" in problem
    with_it = read_crl(CrlDraft(FACTORY, (entry(7),), extensions=_point(*scope)).issue())
    found = read_revocation(with_it, ca, facts, Crl(url))
    assert found.revoked_at is not None, "who is on any list of its CA is revoked"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "is empty"),
        (b"<html>Sign in</html>", "neither DER nor"),
        (FACTORY.pem, "neither DER nor"),
        (FACTORY.der, "lacks a field"),
        (pem(b"\x30\x03")[:-9], "neither DER nor"),
        (b"-----BEGIN X509 CRL-----\n!!!!\n-----END X509 CRL-----\n", "not base64"),
        (b"\x30\x84\xff\xff\xff\xff", "cut short"),
        (crl(FACTORY)[:-1], "cut short"),
        (crl(FACTORY) + b"\x00", "cut short"),
    ],
    ids=["empty", "html", "certificate", "certificate in DER", "no end", "no base64", "length", "cut", "trailing"],
)
def test_what_is_no_list_is_refused(data: bytes, told: str) -> None:
    assert told in refused(data)


def test_a_list_beyond_the_limits_is_not_looked_into() -> None:
    assert "at most" in refused(b"\x30" + b"\x00" * (16 * 1024 * 1024 + 1))
    assert "at most" in refused(b" " * (32 * 1024 * 1024 + 1))
