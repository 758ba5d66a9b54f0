"""The list of what the local stack refuses in TLS, held against its broker, row by row and neighbour by neighbour."""

import dataclasses
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID
from testkit import pki
from testkit.odd_certificates import READABLE
from testkit.pki import CertificateDraft
from testkit.stack.plant import Plant

from jitr.x509.certificate import read_certificate
from jitr_local.stack import LocalStack
from jitr_operations.diagnose.attempt import AttemptOutcome, ConnectionParameters, attempt
from jitr_operations.diagnose.stand_in import LIMITS, why_refused

pytestmark = pytest.mark.stack

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
MARK = f"{NOW:%H%M%S}"  # names of this run's own


def _valid(draft: CertificateDraft) -> CertificateDraft:
    return draft.valid(NOW - DAY, NOW + 30 * DAY)


def _ca_draft(name: str) -> CertificateDraft:
    draft = _valid(pki.ca_draft(f"{name} {MARK}")).basic_constraints(ca=True)
    return draft.key_usage("keyCertSign", "cRLSign").identifiers()


CA = pki.make(_ca_draft("stand-in"))
RSA_CA = pki.make(_valid(pki.ca_draft(f"stand-in RSA {MARK}", kind="RSA-2048")).basic_constraints(ca=True))


def usual(ca: pki.CA = CA, kind: str = "P-256") -> CertificateDraft:
    return _valid(ca.usual_device("stand-in-1", kind=kind))


def bare(kind: str = "P-256") -> CertificateDraft:
    return _valid(CA.device("stand-in-1", kind=kind))


def itself() -> CertificateDraft:
    """A device's certificate whose subject is its CA's name."""
    return bare().but(subject_name=CA.subject_name)


def critical(name: str, value: bytes) -> CertificateDraft:
    return usual().extension(name, value, critical=True)


def standard(value: x509.ExtensionType) -> CertificateDraft:
    return usual().standard(value, critical=True)


POINT = x509.DistributionPoint([x509.UniformResourceIdentifier("http://crl.example.com/a.crl")], None, None, None)
ACCESS = x509.AccessDescription(
    AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier("http://ocsp.example.com")
)
POLICIES = pki.sequence(pki.sequence(pki.oid("1.2.3.4")))
MAPPINGS = pki.sequence(pki.sequence(pki.oid("1.2.3.4"), pki.oid("1.2.3.5")))
EXPIRED, NOT_YET, SHA_1, CLIENT_AUTH, KEY_USAGE, ITSELF, CRITICAL = (each.what for each in LIMITS)

# Each with the row that it fails.
REFUSED: dict[str, tuple[str, CertificateDraft]] = {
    "expired a minute ago": (EXPIRED, usual().valid(NOW - DAY, NOW - timedelta(minutes=1))),
    "valid from tomorrow": (NOT_YET, usual().valid(NOW + DAY, NOW + 2 * DAY)),
    "ECDSA with SHA-1": (SHA_1, usual().signed_with("sha1")),
    "RSA with SHA-1": (SHA_1, usual(RSA_CA).signed_with("sha1")),
    "RSA-PSS with SHA-1": (SHA_1, usual(RSA_CA).signed_with("sha1", pss=True)),
    "serverAuth": (CLIENT_AUTH, bare().extended_key_usage("serverAuth")),
    "codeSigning": (CLIENT_AUTH, bare().extended_key_usage("1.3.6.1.5.5.7.3.3")),
    "a usage of the owner's own": (CLIENT_AUTH, bare().extended_key_usage("1.2.3.4.5")),
    "any usage": (CLIENT_AUTH, bare().extended_key_usage("anyExtendedKeyUsage")),
    "any usage, critical": (CLIENT_AUTH, bare().extended_key_usage("anyExtendedKeyUsage", critical=True)),
    "no usage": (CLIENT_AUTH, bare().extended_key_usage()),
    "keyEncipherment": (KEY_USAGE, bare("RSA-2048").key_usage("keyEncipherment")),
    "keyEncipherment, not critical": (KEY_USAGE, bare("RSA-2048").key_usage("keyEncipherment", critical=False)),
    "nonRepudiation": (KEY_USAGE, bare().key_usage("nonRepudiation")),
    "a CA's key usage": (KEY_USAGE, bare().basic_constraints(ca=True).key_usage("keyCertSign")),
    "its CA's name": (ITSELF, itself()),
    "its CA's name in other letters": (
        ITSELF,
        bare().subject(("C", "tr", "PrintableString"), ("O", "OKIDA"), ("CN", f"STAND-IN  {MARK}")),
    ),
    "its CA's name, and the CA's key identifier alone": (
        ITSELF,
        itself().extension("authorityKeyIdentifier", pki.sequence(pki.tlv(0x80, pki.key_identifier(CA.key)))),
    ),
    "unknown critical extension": (CRITICAL, critical("1.2.3.4", pki.NULL)),
    "critical key identifier": (CRITICAL, bare().extension("subjectKeyIdentifier", b"\x04\x01a", critical=True)),
    "critical TLS feature": (CRITICAL, standard(x509.TLSFeature([x509.TLSFeatureType.status_request]))),
    "critical authority information": (CRITICAL, standard(x509.AuthorityInformationAccess([ACCESS]))),
}

# Nothing on the list is said of them.
TAKEN: dict[str, CertificateDraft] = {
    "as usual": usual(),
    "no extensions": bare(),
    "version 1": bare().v1(),
    "valid since yesterday": usual().valid(NOW - DAY, NOW + DAY),
    "valid to the end of time": usual().valid(NOW - DAY, datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    "ECDSA with SHA-224": usual().signed_with("sha224"),
    "ECDSA with SHA-512": usual().signed_with("sha512"),
    "RSA-PSS with SHA-256": usual(RSA_CA).signed_with("sha256", pss=True),
    "RSA of 4096 bits": usual(kind="RSA-4096"),
    "P-521": usual(kind="P-521"),
    "serverAuth and clientAuth": bare().extended_key_usage("serverAuth", "clientAuth"),
    "clientAuth, critical": bare().extended_key_usage("clientAuth", critical=True),
    "keyAgreement": bare().key_usage("keyAgreement"),
    "digitalSignature and keyEncipherment": bare().key_usage("digitalSignature", "keyEncipherment"),
    "a CA": bare().basic_constraints(ca=True),
    "a CA of today": bare().basic_constraints(ca=True).key_usage("digitalSignature", "keyCertSign"),
    "its CA's name, and both key identifiers": itself().identifiers(),
    "no subject": bare().but(subject_name=pki.distinguished_name()),
    "unknown extension": usual().extension("1.2.3.4", pki.NULL),
    "critical policies": critical("certificatePolicies", POLICIES),
    "critical policy mappings": critical("2.5.29.33", MAPPINGS),
    "critical policy constraints": standard(x509.PolicyConstraints(0, None)),
    "critical inhibitAnyPolicy": standard(x509.InhibitAnyPolicy(0)),
    "critical name constraints": standard(x509.NameConstraints([x509.DNSName("example.com")], None)),
    "critical distribution points": standard(x509.CRLDistributionPoints([POINT])),
    "critical OCSP no check": standard(x509.OCSPNoCheck()),
    "critical Netscape type of a client": critical("2.16.840.1.113730.1.1", b"\x03\x02\x07\x80"),
}

# What TLS on the device's side does not load, so that no endpoint ever sees it.
_NEVER_SENT = {"damaged key identifier", "name constraints damaged"}
ODD = {name: change(usual()) for name, change in READABLE.items() if name not in _NEVER_SENT}


class CarelessLine(ConnectionParameters):
    """A device whose own TLS minds no weak hash, as small devices' do not."""

    __slots__ = ()

    def context(self, maximum: ssl.TLSVersion) -> ssl.SSLContext:
        """TLS at OpenSSL's lowest security level."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.load_verify_locations(self.ca_file)
        context.load_cert_chain(self.certificate, self.key)
        context.maximum_version = maximum
        return context


Connect = Callable[[CertificateDraft], AttemptOutcome]


@pytest.fixture(scope="module")
def connect(local_stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Connect:
    """Connect with a certificate of two registered CAs."""
    folder = tmp_path_factory.mktemp("stand-in")
    for ca in (CA, RSA_CA):
        register(local_stack, ca)
    return lambda draft: connected(local_stack, folder, draft)


def register(stack: LocalStack, ca: pki.CA) -> None:
    stack.session().client("iot").register_ca_certificate(
        caCertificate=ca.pem.decode(), setAsActive=True, allowAutoRegistration=True, certificateMode="SNI_ONLY"
    )


def connected(stack: LocalStack, folder: Path, draft: CertificateDraft) -> AttemptOutcome:
    issued = draft.issue()
    certificate, key = folder / "device.pem", folder / "device.key"
    certificate.write_bytes(issued.pem)
    key.write_bytes(issued.private_pem)
    line = CarelessLine(stack.mqtt_host, stack.mqtt_port, certificate, key, None, stack.broker_ca)
    return attempt(line, "stand-in-1", None).outcome


def told(draft: CertificateDraft) -> list[str]:
    facts = read_certificate(draft.issue().der).facts
    return [limit.what for limit in LIMITS if limit.told(facts, NOW) is not None]


def test_each_row_of_the_list_is_tried() -> None:
    assert {row for row, _ in REFUSED.values()} == {limit.what for limit in LIMITS}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_list_says_is_refused_in_tls(connect: Connect, name: str) -> None:
    row, draft = REFUSED[name]
    assert told(draft) == [row]
    assert connect(draft) is AttemptOutcome.TLS_REFUSED


@pytest.mark.parametrize("name", TAKEN)
def test_its_near_neighbours_pass_tls(connect: Connect, name: str) -> None:
    """A new device is hung up on after its CONNECT, which is its registration."""
    assert told(TAKEN[name]) == []
    assert connect(TAKEN[name]) is AttemptOutcome.HUNG_UP


@pytest.mark.parametrize("name", ODD)
def test_of_certificates_as_the_field_has_them_the_list_is_right(connect: Connect, name: str) -> None:
    refused = bool(told(ODD[name]))
    assert connect(ODD[name]) is (AttemptOutcome.TLS_REFUSED if refused else AttemptOutcome.HUNG_UP)


# --- what the page says beside the list


def _unsound_cas() -> dict[str, CertificateDraft]:
    dates = {"expired CA": (NOW - 2 * DAY, NOW - DAY), "CA of tomorrow": (NOW + DAY, NOW + 2 * DAY)}
    other = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "ANKA")])
    constraints = x509.NameConstraints([x509.DirectoryName(other)], None)
    plain = {name: _valid(pki.ca_draft(f"{name} {MARK}")) for name in ("no basicConstraints", "no keyCertSign")}
    return {name: _ca_draft(name).valid(*validity) for name, validity in dates.items()} | {
        "no basicConstraints": plain["no basicConstraints"].identifiers(),
        "no keyCertSign": plain["no keyCertSign"].basic_constraints(ca=True).key_usage("cRLSign"),
        "names that it may not give": _ca_draft("constrained").standard(constraints, critical=True),
        "serverAuth CA": _ca_draft("serverAuth").extended_key_usage("serverAuth"),
        "critical CA": _ca_draft("critical").extension("1.2.3.4", pki.NULL, critical=True),
        "RSA of 1024 bits": _valid(pki.ca_draft(f"1024 {MARK}", kind="RSA-1024")).basic_constraints(ca=True),
    }


@pytest.mark.parametrize(("name", "draft"), _unsound_cas().items(), ids=_unsound_cas())
def test_a_ca_that_openssl_minds_keeps_its_devices_out(
    local_stack: LocalStack, tmp_path: Path, name: str, draft: CertificateDraft
) -> None:
    ca = pki.make(draft)
    register(local_stack, ca)
    device = _valid(ca.device("stand-in-1"))
    assert told(device) == []
    assert connected(local_stack, tmp_path, device) is AttemptOutcome.TLS_REFUSED


def test_a_device_that_names_another_key_identifier_than_its_ca_has_is_refused(connect: Connect) -> None:
    device = bare().identifiers(authority=bytes(20))
    assert told(device) == []
    assert connect(device) is AttemptOutcome.TLS_REFUSED


def test_of_two_cas_with_one_subject_the_devices_of_one_are_refused(local_stack: LocalStack, tmp_path: Path) -> None:
    """Where no key identifier says which of them signed the device, OpenSSL tries one."""
    outcomes = set()
    for owner in ("one", "two"):
        draft = _valid(pki.ca_draft(f"twin {owner} {MARK}")).subject(("CN", f"twins {MARK}"))
        ca = pki.make(dataclasses.replace(draft, issuer_name=draft.subject_name).basic_constraints(ca=True))
        register(local_stack, ca)
        outcomes.add(connected(local_stack, tmp_path, _valid(ca.device("stand-in-1"))))
    assert outcomes == {AttemptOutcome.HUNG_UP, AttemptOutcome.TLS_REFUSED}


@pytest.mark.parametrize("kind", ["Ed25519", "Ed448"])
def test_a_key_that_aws_iot_does_not_take_may_pass(connect: Connect, kind: str) -> None:
    assert connect(usual(kind=kind)) is AttemptOutcome.HUNG_UP


# --- who speaks by it


def test_diagnose_says_on_the_local_stack_what_only_the_stand_in_refuses(connect: Connect, plant: Plant) -> None:
    """The certificate is why, so it does not ask for a CA."""
    assert connect(itself()) is AttemptOutcome.TLS_REFUSED
    issued = itself().issue()
    (plant.folder / "snr.pem").write_bytes(issued.pem)
    (plant.folder / "snr.key").write_bytes(issued.private_pem)
    result = plant.jitr("device", "diagnose", plant.folder / "snr.pem", code=1)
    words = why_refused(read_certificate(issued.der).facts, NOW)
    assert f"NO  the certificate {words}: the stand-in refuses this; AWS IoT may not" in result.stdout
    assert "docs/local-stack.md" in result.stdout
    assert "no CA comes with it" not in result.stdout
