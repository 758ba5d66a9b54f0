"""What holds for any certificate: whatever the bytes, facts or a declared error, in time with their length."""

import json
from contextlib import suppress
from ipaddress import IPv4Address

from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st
from testkit import pki
from testkit.work import steps

from jitr.errors import Unreadable
from jitr.facts import (
    CertificateFacts,
)
from jitr.x509.certificate import read_ca, read_certificate

CA = pki.ca()


def facts_of(draft: pki.CertificateDraft) -> CertificateFacts:
    return read_certificate(draft.issue().der).facts


@settings(deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_text_in_a_name_survives_reading_and_json(value: str) -> None:
    facts = facts_of(CA.device().subject(("CN", value)))
    assert facts.values("common_name") == (value,)
    assert CertificateFacts.from_json(json.loads(json.dumps(facts.to_json()))) == facts


def with_extension(name: str, value: bytes, *, critical: bool = False) -> pki.CertificateDraft:
    return CA.device().extension(name, value, critical=critical)


MAC = pki.distinguished_name(("serialNumber", "eui48_D88039000001", "PrintableString"))


@settings(deadline=None)
@given(st.binary(max_size=200).map(lambda data: b"\x30" + data))
def test_random_der_gives_facts_or_unreadable(data: bytes) -> None:
    with suppress(Unreadable):
        read_certificate(data)


RICH = (
    CA.usual_device()
    .alternative_names(x509.DNSName("a.example"), pki.tlv(0xA4, MAC), x509.IPAddress(IPv4Address("10.0.0.1")))
    .extension("certificatePolicies", pki.sequence(pki.sequence(pki.oid("1.2.3"))))
    .issue()
    .der
)
SAMPLES = [
    RICH,
    CA.device().v1().issue().der,
    pki.ca(kind="RSA-2048").device().signed_with("sha256", pss=True).issue().der,
]


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(SAMPLES),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=4),
    st.sampled_from(["set", "insert", "delete", "flip"]),
)
def test_a_mutated_certificate_gives_facts_or_unreadable(sample: bytes, edits: list[tuple[int, int]], how: str) -> None:
    data = bytearray(sample)
    for at, octet in edits:
        at %= len(data)
        if how == "insert":
            data.insert(at, octet)
        elif how == "delete":
            del data[at]
        else:
            data[at] = octet if how == "set" else data[at] ^ (1 << octet % 8)
    for read in (read_certificate, lambda each: read_ca(each, status="ACTIVE")):
        with suppress(Unreadable):
            facts = read(bytes(data)).facts
            assert type(facts).from_json(json.loads(json.dumps(facts.to_json()))) == facts


def test_a_deeply_nested_certificate_takes_no_time() -> None:
    nested = b""
    for _ in range(3000):
        nested = pki.sequence(nested)
    for draft in (CA.device().subject(nested), with_extension("subjectAltName", nested)):
        der = draft.issue().der

        def read(der: bytes = der) -> None:
            with suppress(Unreadable):
                read_certificate(der)

        assert steps(read) < 10 * len(der)
