"""Delta revocation lists (RFC 5280 section 5.2.4): which list they bring up to date, and what they change on it."""

import subprocess
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cryptography_vectors
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from testkit import pki
from testkit.crls import CrlDraft, crl, delta, entry, extension, partition
from testkit.pki import NOW, sequence, tlv

from jitr.decision.revocation_lists import read_revocation
from jitr.errors import UnusableCrl
from jitr.rules.model import Crl
from jitr.x509.certificate import read_ca, read_certificate
from jitr.x509.crl import read_any_crl, read_crl, read_delta, why_not_after, why_not_by

FACTORY = pki.ca("Factory A")
CA = read_ca(FACTORY.pem, status="ACTIVE")
HERE, ELSEWHERE = partition("http://crl.example.com/1"), partition("http://crl.example.com/2")

# What stands on the complete list, what on the delta list, and what holds then.
CHANGES = [
    (None, None, None),
    (None, "keyCompromise", "keyCompromise"),
    (None, "certificateHold", "certificateHold"),
    (None, "removeFromCRL", None),
    ("superseded", None, "superseded"),
    ("certificateHold", None, "certificateHold"),
    ("certificateHold", "removeFromCRL", None),
    ("certificateHold", "keyCompromise", "keyCompromise"),
    ("certificateHold", "certificateHold", "certificateHold"),
    ("superseded", "certificateHold", "superseded"),
]
# RFC 5280 section 5.3.1: the certificate expired. OpenSSL takes the revocation back; here who is on a list stays out.
EXPIRED = ("superseded", "removeFromCRL", "superseded")


def listed(reason: str | None, serial: int = 7) -> list[bytes]:
    return [] if reason is None else [entry(serial, reason)]


@pytest.mark.parametrize(("complete", "changed", "then"), [*CHANGES, EXPIRED])
def test_a_delta_list_adds_lifts_and_hardens_holds_and_takes_back_no_revocation(
    complete: str | None, changed: str | None, then: str | None
) -> None:
    whole = read_crl(crl(FACTORY, listed(complete))).with_delta(read_delta(delta(FACTORY, listed(changed))))
    found = whole.look_up(7)
    assert (None if found is None else found.reason) == then
    assert whole.look_up(8) is None


@pytest.mark.parametrize(
    ("complete", "since", "number", "fits", "applies"),
    [
        (1, 1, 2, True, True),
        (5, 1, 9, True, True),
        (1, 2, 3, False, True),
        (9, 1, 9, True, False),
        (10, 1, 9, True, False),
        ((1 << 159) + 1, 1 << 159, (1 << 159) + 2, True, True),
    ],
    ids=["its base", "a later list", "the list before its base", "made together", "older than the list", "large"],
)
def test_a_delta_list_goes_with_its_base_or_a_later_list_and_an_older_one_changes_nothing(
    complete: int, since: int, number: int, fits: bool, applies: bool
) -> None:
    """RFC 5280 section 5.2.4 (c) and (d)."""
    base = read_crl(crl(FACTORY, number=complete))
    changes = read_delta(delta(FACTORY, listed("superseded"), since=since, number=number))
    why_not = why_not_after(changes, base)
    assert (why_not is None) is fits
    if fits:
        assert base.with_delta(changes).delta_applies is applies
        assert (base.with_delta(changes).look_up(7) is not None) is applies
    else:
        assert why_not is not None
        assert "what was revoked between them is on neither" in why_not


@pytest.mark.parametrize(
    ("of_complete", "of_delta", "fits"),
    [((HERE,), (HERE,), True), ((HERE,), (ELSEWHERE,), False), ((HERE,), (), False), ((), (HERE,), False)],
    ids=["same", "another partition", "only the list", "only the delta list"],
)
def test_a_delta_list_of_another_scope_goes_with_no_list(
    of_complete: tuple[bytes, ...], of_delta: tuple[bytes, ...], fits: bool
) -> None:
    """RFC 5280 section 5.2.4 (b)."""
    why_not = why_not_after(
        read_delta(delta(FACTORY, extensions=of_delta)), read_crl(crl(FACTORY, extensions=of_complete))
    )
    assert (why_not is None) is fits
    assert fits or "another scope" in str(why_not)


@pytest.mark.parametrize("number", [None, -1, 1 << 160], ids=["none", "negative", "longer than allowed"])
def test_lists_without_a_number_are_in_no_order(number: int | None) -> None:
    """RFC 5280 section 5.2.3: at most 20 octets, and not negative."""
    numbered = () if number is None else (extension("cRLNumber", pki.integer(number)),)
    without = read_crl(CrlDraft(FACTORY, number=None, extensions=numbered).issue())
    assert "the complete revocation list has no cRLNumber" in str(why_not_after(read_delta(delta(FACTORY)), without))
    indicator = extension("deltaCRLIndicator", pki.integer(1), critical=True)
    changes = read_delta(CrlDraft(FACTORY, number=None, extensions=(indicator, *numbered)).issue())
    assert "the delta revocation list has no cRLNumber" in str(why_not_after(changes, read_crl(crl(FACTORY))))


def test_a_delta_list_stands_in_for_no_complete_one_and_a_complete_one_for_no_delta_list() -> None:
    with pytest.raises(UnusableCrl, match=r"delta revocation list .* a complete one is needed"):
        read_crl(delta(FACTORY))
    with pytest.raises(UnusableCrl, match="no deltaCRLIndicator"):
        read_delta(crl(FACTORY))


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (delta(FACTORY, since=-1), "which number it follows"),
        (delta(FACTORY, next_update=None), "nextUpdate"),
        (delta(FACTORY, extensions=(extension("1.2.3.4", b"", critical=True),)), "1.2.3.4"),
        (delta(FACTORY, extensions=(extension("issuingDistributionPoint", sequence(tlv(0x84, b"\xff"))),)), "indirect"),
        (delta(FACTORY, [entry(5, None, extension("certificateIssuer", sequence()))]), "indirect"),
        (delta(FACTORY)[:-1], "cut short"),
    ],
    ids=["no base", "no end", "unknown critical", "indirect", "an entry of another CA", "cut short"],
)
def test_a_delta_list_that_is_not_understood_is_refused_as_any_list_is(data: bytes, told: str) -> None:
    with pytest.raises(UnusableCrl, match=told):
        read_delta(data)


@pytest.mark.parametrize(
    "changes",
    [
        delta(pki.ca("Factory B"), listed("removeFromCRL")),
        delta(FACTORY, listed("removeFromCRL"), signer=pki.key("P-256", "a forger")),
    ],
    ids=["another CA", "forged"],
)
def test_a_delta_list_of_somebody_else_lifts_no_hold(changes: bytes) -> None:
    assert why_not_by(read_delta(changes), CA) is not None
    facts = read_certificate(FACTORY.device().serial(7).issue().der).facts
    found = read_revocation(
        read_crl(crl(FACTORY, listed("certificateHold"))), CA, facts, Crl("s3://lists/a"), read_delta(changes)
    )
    assert found.on_hold


def test_where_the_delta_list_cannot_be_used_who_is_on_the_list_is_kept_out_and_nobody_let_in() -> None:
    too_late = read_delta(delta(FACTORY, since=2, number=3))
    revoked = read_crl(crl(FACTORY, listed("superseded")))
    on_it, another = (read_certificate(FACTORY.device().serial(each).issue().der).facts for each in (7, 8))
    assert read_revocation(revoked, CA, on_it, Crl("s3://lists/a"), too_late).reason == "superseded"
    problem = read_revocation(revoked, CA, another, Crl("s3://lists/a"), too_late).problem
    assert problem is not None
    assert "on neither" in problem


# --- as others make them, and read them


def _by_the_library(number: int, since: int | None, entries: list[bytes]) -> bytes:
    """A list as the library builds it."""
    now = datetime.now(UTC).replace(microsecond=0)
    issuer = x509.load_pem_x509_certificate(FACTORY.pem)
    made = x509.CertificateRevocationListBuilder(issuer.subject, now - timedelta(hours=1), now + timedelta(days=1))
    made = made.add_extension(x509.CRLNumber(number), critical=False)
    full_name = [x509.UniformResourceIdentifier("http://crl.example.com/1")]
    scope = x509.IssuingDistributionPoint(
        full_name=full_name,
        relative_name=None,
        only_contains_user_certs=True,
        only_contains_ca_certs=False,
        only_some_reasons=None,
        indirect_crl=False,
        only_contains_attribute_certs=False,
    )
    made = made.add_extension(scope, critical=True)
    if since is None:
        point = x509.DistributionPoint([x509.UniformResourceIdentifier("http://crl.example.com/d")], None, None, None)
        made = made.add_extension(x509.FreshestCRL([point]), critical=False)
    else:
        made = made.add_extension(x509.DeltaCRLIndicator(since), critical=True)
    for each in entries:
        listed = x509.load_der_x509_crl(crl(FACTORY, [each]))[0]
        made = made.add_revoked_certificate(listed)
    key = serialization.load_pem_private_key(FACTORY.issued.private_pem, None)
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)  # type: ignore[arg-type]


def test_what_the_library_builds_is_read_as_it_was_meant() -> None:
    base = read_crl(_by_the_library(3, None, listed("certificateHold")))
    changes = read_delta(_by_the_library(4, 3, [*listed("removeFromCRL"), entry(8, "keyCompromise")]))
    assert (base.number, changes.number, changes.base_number) == (3, 4, 3)
    assert base.freshest == ("http://crl.example.com/d",)
    assert base.points == changes.points == ("http://crl.example.com/1",)
    assert why_not_by(changes, CA) is None
    assert why_not_after(changes, base) is None
    whole = base.with_delta(changes)
    assert whole.look_up(7) is None
    assert whole.look_up(8) is not None


_CONFIGURATION = """[ca]
default_ca = own
[own]
database = index.txt
crlnumber = number
default_md = sha256
default_crl_days = 30
certificate = ca.pem
private_key = ca.key
crl_extensions = {}
[complete]
issuingDistributionPoint = critical, @point
freshestCRL = URI:http://crl.example.com/d
[delta]
issuingDistributionPoint = critical, @point
2.5.29.27 = critical, ASN1:INTEGER:42
[point]
fullname = URI:http://crl.example.com/1
onlyuser = TRUE
"""


def _by_openssl(place: Path, kind: str, number: int, serials: list[int]) -> bytes:
    """A list as ``openssl ca -gencrl`` makes it."""
    (place / "ca.pem").write_bytes(FACTORY.pem)
    (place / "ca.key").write_bytes(FACTORY.issued.private_pem)
    (place / "number").write_text(f"{number:02X}\n")
    lines = (f"R\t360101000000Z\t260201000000Z,keyCompromise\t{each:04X}\tunknown\t/CN=snr\n" for each in serials)
    (place / "index.txt").write_text("".join(lines))
    (place / "crl.cnf").write_text(_CONFIGURATION.format(kind))
    pki.openssl(place, "ca", "-config", "crl.cnf", "-gencrl", "-out", f"{kind}.crl")
    return (place / f"{kind}.crl").read_bytes()


def test_what_openssl_makes_is_read_as_it_was_meant(tmp_path: Path) -> None:
    base = read_crl(_by_openssl(tmp_path, "complete", 42, [0x1001]))
    changes = read_delta(_by_openssl(tmp_path, "delta", 43, [0x1002]))
    assert (base.number, changes.number, changes.base_number) == (42, 43, 42)
    assert base.freshest == ("http://crl.example.com/d",)
    assert base.points == changes.points == ("http://crl.example.com/1",)
    assert why_not_by(base, CA) is why_not_by(changes, CA) is why_not_after(changes, base) is None
    whole = base.with_delta(changes)
    assert [whole.look_up(each) is not None for each in (0x1001, 0x1002, 0x1003)] == [True, True, False]


@pytest.mark.parametrize(("complete", "changed", "then"), CHANGES)
def test_openssl_comes_to_the_same_end(
    tmp_path: Path, complete: str | None, changed: str | None, then: str | None
) -> None:
    """``openssl verify`` with delta lists, on the same two."""
    fresh = extension("freshestCRL", sequence(sequence(tlv(0xA0, tlv(0xA0, tlv(0x86, b"http://a.example/d"))))))
    made = {
        "complete.crl": crl(FACTORY, listed(complete), extensions=(fresh,)),
        "delta.crl": delta(FACTORY, listed(changed)),
    }
    for name, data in made.items():
        (tmp_path / name).write_bytes(x509.load_der_x509_crl(data).public_bytes(serialization.Encoding.PEM))
    (tmp_path / "ca.pem").write_bytes(FACTORY.pem)
    (tmp_path / "device.pem").write_bytes(FACTORY.usual_device("snr-0007").serial(7).issue().pem)
    flags = ["-crl_check", "-use_deltas", "-extended_crl", "-attime", str(int(NOW.timestamp()))]
    lists = [option for name in made for option in ("-CRLfile", name)]
    command = ["verify", *flags, "-CAfile", "ca.pem", *lists, "device.pem"]
    if then is None:
        assert "OK" in pki.openssl(tmp_path, *command)
        return
    with pytest.raises(subprocess.CalledProcessError) as refused:
        pki.openssl(tmp_path, *command)
    assert "certificate revoked" in refused.value.stderr


# --- NIST's Public Key Interoperability Test Suite, section 4.15, and the library's odd lists

VECTORS = Path(cryptography_vectors.__file__).parent / "x509"
PKITS = VECTORS / "PKITS_data"
DEVICES = {1: (2, 3, 4, 5, 6, 7), 2: (8, 9), 3: (10,)}  # by their CA


@pytest.mark.parametrize(("ca", "number"), [(ca, each) for ca, numbers in DEVICES.items() for each in numbers])
def test_nist_s_delta_lists_come_to_the_end_that_nist_says(ca: int, number: int) -> None:
    """Who is valid by the name of the file is not held and not revoked, and nobody else is."""
    issuer = read_ca((PKITS / f"certs/deltaCRLCA{ca}Cert.crt").read_bytes(), status="ACTIVE")
    complete = read_crl((PKITS / f"crls/deltaCRLCA{ca}CRL.crl").read_bytes())
    changes = read_delta((PKITS / f"crls/deltaCRLCA{ca}deltaCRL.crl").read_bytes())
    assert why_not_by(complete, issuer) is why_not_by(changes, issuer) is None
    [file] = (PKITS / "certs").glob(f"*deltaCRLTest{number}EE.crt")
    facts = read_certificate(file.read_bytes()).facts
    found = read_revocation(complete, issuer, facts, Crl("s3://lists/a"), changes)
    assert (found.problem is None and found.revoked_at is None) is file.name.startswith("Valid")


def test_nist_s_delta_list_without_a_base_is_no_list() -> None:
    with pytest.raises(UnusableCrl, match="a complete one is needed"):
        read_crl((PKITS / "crls/deltaCRLIndicatorNoBaseCACRL.crl").read_bytes())


ODD = sorted([*(PKITS / "crls").glob("*.crl"), *(VECTORS / "custom").glob("crl_*.*")])


@pytest.mark.parametrize("file", ODD, ids=lambda file: file.name)
def test_a_list_that_others_collected_is_refused_or_read_as_the_library_reads_it(file: Path) -> None:
    data = file.read_bytes()
    try:
        ours = read_any_crl(data)
    except UnusableCrl:
        return
    with suppress(ValueError):  # some issuers and extensions are not read by the library
        theirs = (x509.load_pem_x509_crl if data.startswith(b"-----") else x509.load_der_x509_crl)(data)
        assert ours._entries.keys() == {each.serial_number for each in theirs}
        found = [each.value for each in theirs.extensions if isinstance(each.value, x509.DeltaCRLIndicator)]
        assert (ours.base_number is None) == (not found)
