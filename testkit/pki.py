"""Certificates for tests, every field of which can be made wrong.

``ca()`` makes a CA, ``CA.device()`` drafts a device's certificate, and a draft's methods each change one thing and
return the next draft, until ``issue()``::

    factory = pki.ca("Factory A")
    leaf = factory.device("snr-0001").extended_key_usage("clientAuth").issue()
    classic = factory.device("snr-0002").v1().issue()

A draft is written as DER here and not by a library, because libraries refuse what these tests are about: version 1,
serial numbers that are not positive, string types, damaged extensions. Keys are made once for each kind and owner.
"""

import hashlib
import ssl
import subprocess
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa

PrivateKey: TypeAlias = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
    | dsa.DSAPrivateKey
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOT_BEFORE = datetime(2026, 1, 1, tzinfo=UTC)
NOT_AFTER = datetime(2036, 1, 1, tzinfo=UTC)

OIDS = {
    "CN": "2.5.4.3",
    "serialNumber": "2.5.4.5",
    "C": "2.5.4.6",
    "L": "2.5.4.7",
    "ST": "2.5.4.8",
    "O": "2.5.4.10",
    "OU": "2.5.4.11",
    "DC": "0.9.2342.19200300.100.1.25",
    "emailAddress": "1.2.840.113549.1.9.1",
    "basicConstraints": "2.5.29.19",
    "keyUsage": "2.5.29.15",
    "extendedKeyUsage": "2.5.29.37",
    "subjectAltName": "2.5.29.17",
    "issuerAltName": "2.5.29.18",
    "certificatePolicies": "2.5.29.32",
    "nameConstraints": "2.5.29.30",
    "authorityKeyIdentifier": "2.5.29.35",
    "subjectKeyIdentifier": "2.5.29.14",
    "anyExtendedKeyUsage": "2.5.29.37.0",
    "serverAuth": "1.3.6.1.5.5.7.3.1",
    "clientAuth": "1.3.6.1.5.5.7.3.2",
}

KEY_USAGES = (
    "digitalSignature",
    "nonRepudiation",
    "keyEncipherment",
    "dataEncipherment",
    "keyAgreement",
    "keyCertSign",
    "cRLSign",
    "encipherOnly",
    "decipherOnly",
)

_STRINGS = {
    "UTF8String": (0x0C, "utf-8"),
    "NumericString": (0x12, "ascii"),
    "PrintableString": (0x13, "ascii"),
    "TeletexString": (0x14, "latin-1"),
    "IA5String": (0x16, "ascii"),
    "UniversalString": (0x1C, "utf-32-be"),
    "BMPString": (0x1E, "utf-16-be"),
}


def tlv(tag: int, *parts: bytes) -> bytes:
    """One element: its tag, its length, and the parts as its content."""
    content = b"".join(parts)
    if len(content) < 0x80:
        return bytes((tag, len(content))) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8)
    return bytes((tag, 0x80 | len(length))) + length + content


def sequence(*parts: bytes) -> bytes:
    """A SEQUENCE."""
    return tlv(0x30, *parts)


def integer(value: int) -> bytes:
    """An INTEGER, of either sign."""
    return tlv(0x02, value.to_bytes(((value if value >= 0 else ~value).bit_length()) // 8 + 1, signed=True))


def oid(name: str) -> bytes:
    """An OBJECT IDENTIFIER, dotted or by its name in OIDS."""
    first, second, *rest = map(int, OIDS.get(name, name).split("."))
    octets = bytearray()
    for arc in (40 * first + second, *rest):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(0x80 | arc & 0x7F)
        octets += bytes(reversed(groups))
    return tlv(0x06, bytes(octets))


def bit_string(content: bytes) -> bytes:
    """A BIT STRING of whole octets."""
    return tlv(0x03, b"\x00", content)


def string(value: str, encoding: str = "UTF8String") -> bytes:
    """A string of the ASN.1 type of that name."""
    tag, codec = _STRINGS[encoding]
    return tlv(tag, value.encode(codec))


def attribute(name: str, value: str | bytes, encoding: str = "UTF8String") -> bytes:
    """An AttributeTypeAndValue; bytes are the value's DER as they are."""
    return sequence(oid(name), value if isinstance(value, bytes) else string(value, encoding))


def distinguished_name(*relative_names: bytes | tuple[str, str] | tuple[str, str, str]) -> bytes:
    """A Name: of ``(attribute, value)``, ``(attribute, value, string type)``, or relative names' DER as it is."""
    return sequence(*(each if isinstance(each, bytes) else tlv(0x31, attribute(*each)) for each in relative_names))


_CURVES: dict[str, ec.EllipticCurve] = {
    "P-224": ec.SECP224R1(),
    "P-256": ec.SECP256R1(),
    "P-384": ec.SECP384R1(),
    "P-521": ec.SECP521R1(),
    "secp256k1": ec.SECP256K1(),
    "brainpoolP256r1": ec.BrainpoolP256R1(),
}


@cache
def key(kind: str = "P-256", owner: str = "somebody") -> PrivateKey:
    """The owner's key of a kind: RSA-2048, P-256, Ed25519, … The same each time."""
    if kind.startswith("RSA-"):
        return rsa.generate_private_key(65537, int(kind.removeprefix("RSA-")))
    if kind in _CURVES:
        return ec.generate_private_key(_CURVES[kind])
    if kind == "DSA":
        return _dsa_parameters().generate_private_key()
    if kind == "Ed448":
        return ed448.Ed448PrivateKey.generate()
    if kind == "Ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    raise ValueError(kind)


@cache
def _dsa_parameters() -> dsa.DSAParameters:
    """Parameters for everybody, and short ones: to find their primes takes seconds, and nothing here takes DSA."""
    return dsa.generate_parameters(1024)


def public_key(private: PrivateKey) -> bytes:
    """The key's SubjectPublicKeyInfo."""
    return private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def key_identifier(private: PrivateKey) -> bytes:
    """RFC 5280 section 4.2.1.2, method 1."""
    return x509.SubjectKeyIdentifier.from_public_key(private.public_key()).digest


def private_pem(private: PrivateKey) -> bytes:
    """The private key, PKCS #8, not encrypted."""
    return private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


_HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha1": hashes.SHA1(),  # noqa: S303 (what the tests are about)
    "sha224": hashes.SHA224(),
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
NULL = tlv(0x05)
_RSA = {
    "sha1": "1.2.840.113549.1.1.5",
    "sha224": "1.2.840.113549.1.1.14",
    "sha256": "1.2.840.113549.1.1.11",
    "sha384": "1.2.840.113549.1.1.12",
    "sha512": "1.2.840.113549.1.1.13",
}
_ECDSA = {
    "sha1": "1.2.840.10045.4.1",
    "sha224": "1.2.840.10045.4.3.1",
    "sha256": "1.2.840.10045.4.3.2",
    "sha384": "1.2.840.10045.4.3.3",
    "sha512": "1.2.840.10045.4.3.4",
}
_HASH_OIDS = {
    "sha1": "1.3.14.3.2.26",
    "sha256": "2.16.840.1.101.3.4.2.1",
    "sha384": "2.16.840.1.101.3.4.2.2",
    "sha512": "2.16.840.1.101.3.4.2.3",
}


def _pss_parameters(hash_name: str) -> bytes:
    """RFC 4055 section 3.1. SHA-1 is the default, so DER leaves it out."""
    if hash_name == "sha1":
        return sequence()
    hash_algorithm = sequence(oid(_HASH_OIDS[hash_name]), NULL)
    mask = sequence(oid("1.2.840.113549.1.1.8"), hash_algorithm)
    salt = integer(_HASHES[hash_name].digest_size)
    return sequence(tlv(0xA0, hash_algorithm), tlv(0xA1, mask), tlv(0xA2, salt))


def signature_algorithm(signer: PrivateKey, hash_name: str, *, pss: bool) -> bytes:
    """The AlgorithmIdentifier of what ``sign`` makes."""
    match signer:
        case rsa.RSAPrivateKey() if pss:
            return sequence(oid("1.2.840.113549.1.1.10"), _pss_parameters(hash_name))
        case rsa.RSAPrivateKey():
            return sequence(oid(_RSA[hash_name]), NULL)
        case ec.EllipticCurvePrivateKey():
            return sequence(oid(_ECDSA[hash_name]))
        case dsa.DSAPrivateKey():
            return sequence(oid("2.16.840.1.101.3.4.3.2"))
        case ed25519.Ed25519PrivateKey():
            return sequence(oid("1.3.101.112"))
        case ed448.Ed448PrivateKey():
            return sequence(oid("1.3.101.113"))


def sign(signer: PrivateKey, data: bytes, hash_name: str, *, pss: bool) -> bytes:
    """A signature over data."""
    algorithm = _HASHES[hash_name]
    match signer:
        case rsa.RSAPrivateKey() if pss:
            return signer.sign(data, padding.PSS(padding.MGF1(algorithm), algorithm.digest_size), algorithm)
        case rsa.RSAPrivateKey():
            return signer.sign(data, padding.PKCS1v15(), algorithm)
        case ec.EllipticCurvePrivateKey():
            return signer.sign(data, ec.ECDSA(algorithm))
        case dsa.DSAPrivateKey():
            return signer.sign(data, hashes.SHA256())
        case _:
            return signer.sign(data)


@dataclass(frozen=True)
class Issued:
    """A certificate and the key in it."""

    der: bytes
    key: PrivateKey

    @property
    def pem(self) -> bytes:
        """As files and DescribeCertificate have it."""
        return ssl.DER_cert_to_PEM_cert(self.der).encode()

    @property
    def sha256(self) -> str:
        """The certificateId that AWS IoT gives it."""
        return hashlib.sha256(self.der).hexdigest()

    @property
    def private_pem(self) -> bytes:
        """The private key, PKCS #8, not encrypted."""
        return private_pem(self.key)


@dataclass(frozen=True)
class Extension:
    """One extension; the value is what stands inside its OCTET STRING."""

    name: str
    value: bytes
    critical: bool | None = False  # None: FALSE written out, which is not DER (X.690 section 11.5)

    @property
    def der(self) -> bytes:
        """The element."""
        critical = {True: tlv(0x01, b"\xff"), False: b"", None: tlv(0x01, b"\x00")}[self.critical]
        return sequence(oid(self.name), critical, tlv(0x04, self.value))


@dataclass(frozen=True)
class CertificateDraft:
    """A certificate that is not signed yet. Each method returns another draft."""

    signer: PrivateKey
    issuer_name: bytes
    key_pair: PrivateKey
    subject_name: bytes
    serial_number: int = 0x1001
    not_before: datetime = NOT_BEFORE
    not_after: datetime = NOT_AFTER
    version: int | None = 3
    extensions: tuple[Extension, ...] = ()
    hash_name: str = "sha256"
    is_pss: bool = False
    algorithm: bytes | None = None  # DER in place of what the fields above give; so are the next ones
    inner_algorithm: bytes | None = None
    validity: bytes | None = None
    public_key_info: bytes | None = None
    unique_identifiers: bytes = b""  # what stands between public key and extensions

    def subject(self, *relative_names: bytes | tuple[str, str] | tuple[str, str, str]) -> "CertificateDraft":
        """Another subject; see ``distinguished_name``."""
        return replace(self, subject_name=distinguished_name(*relative_names))

    def issuer(self, *relative_names: bytes | tuple[str, str] | tuple[str, str, str]) -> "CertificateDraft":
        """Another issuer name, without another signer."""
        return replace(self, issuer_name=distinguished_name(*relative_names))

    def serial(self, number: int) -> "CertificateDraft":
        """Another serial number, of either sign."""
        return replace(self, serial_number=number)

    def valid(self, not_before: datetime = NOT_BEFORE, not_after: datetime = NOT_AFTER) -> "CertificateDraft":
        """Another validity."""
        return replace(self, not_before=not_before, not_after=not_after)

    def key(self, kind: str, owner: str = "a device") -> "CertificateDraft":
        """Another key."""
        return replace(self, key_pair=key(kind, owner))

    def public_key(self, info: bytes) -> "CertificateDraft":
        """Any SubjectPublicKeyInfo."""
        return replace(self, public_key_info=info)

    def signed_with(self, hash_name: str, *, pss: bool = False) -> "CertificateDraft":
        """Another hash, and for RSA the probabilistic scheme (RFC 8017 section 8.1)."""
        return replace(self, hash_name=hash_name, is_pss=pss)

    def signed_by(self, signer: PrivateKey) -> "CertificateDraft":
        """Another signer, under the same issuer name."""
        return replace(self, signer=signer)

    def claiming(self, algorithm: bytes) -> "CertificateDraft":
        """Another signature algorithm inside than outside (RFC 5280 section 4.1.1.2 forbids it)."""
        return replace(self, inner_algorithm=algorithm)

    def but(self, **changes: Any) -> "CertificateDraft":
        """With fields of the draft itself changed."""
        return replace(self, **changes)

    def v1(self) -> "CertificateDraft":
        """X.509 version 1, as ``openssl x509 -req`` makes them: no extensions, and no version field."""
        return replace(self, version=None, extensions=())

    def extension(self, name: str, value: bytes, *, critical: bool = False) -> "CertificateDraft":
        """One more extension, sound or not."""
        return replace(self, extensions=(*self.extensions, Extension(name, value, critical)))

    def without(self, *names: str) -> "CertificateDraft":
        """Without the extensions of these names; without any where none is named."""
        kept = tuple(each for each in self.extensions if names and each.name not in names)
        return replace(self, extensions=kept)

    def standard(self, value: x509.ExtensionType, *, critical: bool = False) -> "CertificateDraft":
        """One more extension, from the library's own type for it."""
        return self.extension(value.oid.dotted_string, value.public_bytes(), critical=critical)

    def basic_constraints(
        self, *, ca: bool, path_length: int | None = None, critical: bool = True
    ) -> "CertificateDraft":
        """RFC 5280 section 4.2.1.9."""
        value = x509.BasicConstraints(ca, path_length).public_bytes()
        return self.extension("basicConstraints", value, critical=critical)

    def key_usage(self, *names: str, critical: bool = True) -> "CertificateDraft":
        """RFC 5280 section 4.2.1.3, by the names there."""
        bits = sum(1 << (15 - KEY_USAGES.index(each)) for each in names)
        unused = (bits & -bits).bit_length() - 1 if bits else 16
        octets = bits.to_bytes(2)[: 2 - unused // 8]
        return self.extension("keyUsage", tlv(0x03, bytes([unused % 8]), octets), critical=critical)

    def extended_key_usage(self, *names: str, critical: bool = False) -> "CertificateDraft":
        """RFC 5280 section 4.2.1.12, by names in OIDS or dotted."""
        return self.extension("extendedKeyUsage", sequence(*map(oid, names)), critical=critical)

    def alternative_names(self, *names: x509.GeneralName | bytes, critical: bool = False) -> "CertificateDraft":
        """RFC 5280 section 4.2.1.6; bytes are a GeneralName's DER as they are."""
        encoded = (each if isinstance(each, bytes) else _general_name(each) for each in names)
        return self.extension("subjectAltName", sequence(*encoded), critical=critical)

    def issuer_alternative_names(self, *names: x509.GeneralName) -> "CertificateDraft":
        """RFC 5280 section 4.2.1.7."""
        return self.extension("issuerAltName", sequence(*map(_general_name, names)))

    def identifiers(self, *, authority: bytes | None = None) -> "CertificateDraft":
        """Subject and authority key identifiers; the latter the signer's, or any other."""
        authority = key_identifier(self.signer) if authority is None else authority
        return self.extension("subjectKeyIdentifier", tlv(0x04, key_identifier(self.key_pair))).extension(
            "authorityKeyIdentifier", sequence(tlv(0x80, authority))
        )

    def signed(self) -> bytes:
        """The tbsCertificate."""
        return sequence(
            b"" if self.version is None else tlv(0xA0, integer(self.version - 1)),
            integer(self.serial_number),
            self.inner_algorithm or self._algorithm(),
            self.issuer_name,
            self.validity or sequence(_time(self.not_before), _time(self.not_after)),
            self.subject_name,
            self.public_key_info or public_key(self.key_pair),
            self.unique_identifiers,
            tlv(0xA3, sequence(*(each.der for each in self.extensions))) if self.extensions else b"",
        )

    def issue(self) -> Issued:
        """Sign it."""
        signed = self.signed()
        signature = sign(self.signer, signed, self.hash_name, pss=self.is_pss)
        return Issued(sequence(signed, self._algorithm(), bit_string(signature)), self.key_pair)

    def _algorithm(self) -> bytes:
        return self.algorithm or signature_algorithm(self.signer, self.hash_name, pss=self.is_pss)


@dataclass(frozen=True)
class CA:
    """A certificate authority: its certificate, and the draft it was made of."""

    draft: CertificateDraft
    issued: Issued = field(compare=False)

    @property
    def der(self) -> bytes:
        """The CA certificate."""
        return self.issued.der

    @property
    def pem(self) -> bytes:
        """The CA certificate, as DescribeCACertificate has it."""
        return self.issued.pem

    @property
    def key(self) -> PrivateKey:
        """The CA's private key."""
        return self.issued.key

    @property
    def id(self) -> str:
        """The caCertificateId that AWS IoT gives it."""
        return self.issued.sha256

    @property
    def subject_name(self) -> bytes:
        """The subject, as the issuer in what it signs."""
        return self.draft.subject_name

    def device(
        self, common_name: str = "snr-0001", *, organization: str = "OKIDA", kind: str = "P-256"
    ) -> CertificateDraft:
        """A draft of a device's certificate: version 3, no extensions, valid at NOW."""
        subject = distinguished_name(("C", "TR", "PrintableString"), ("O", organization), ("CN", common_name))
        return CertificateDraft(self.key, self.subject_name, key(kind, "a device"), subject)

    def usual_device(self, common_name: str = "snr-0001", **changes: Any) -> CertificateDraft:
        """The same, with the extensions that a CA program of today writes."""
        draft = self.device(common_name, **changes).basic_constraints(ca=False)
        return draft.key_usage("digitalSignature").extended_key_usage("clientAuth").identifiers()


def ca_draft(name: str = "Factory A", *, kind: str = "P-256", parent: CA | None = None) -> CertificateDraft:
    """A draft of a CA's certificate, without extensions. Each name has a key of its own."""
    own = key(kind, f"CA {name}")
    subject = distinguished_name(("C", "TR", "PrintableString"), ("O", "OKIDA"), ("CN", name))
    signer, issuer = (own, subject) if parent is None else (parent.key, parent.subject_name)
    serial = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) | 1
    return CertificateDraft(signer, issuer, own, subject, serial_number=serial)


def make(draft: CertificateDraft) -> CA:
    """The CA of a draft."""
    return CA(draft, draft.issue())


def ca(name: str = "Factory A", *, kind: str = "P-256", parent: CA | None = None) -> CA:
    """A CA as a CA program of today makes it; for others change a ``ca_draft`` and ``make`` it."""
    draft = ca_draft(name, kind=kind, parent=parent).basic_constraints(ca=True).key_usage("keyCertSign", "cRLSign")
    return make(draft.identifiers())


def classic_ca(owner: str = "Factory A", *, kind: str = "RSA-2048") -> CA:
    """A CA as the classic ``openssl`` commands make it: C and O only, basicConstraints not critical, nothing else.

    All of them have the same subject; the owner chooses the key.
    """
    draft = ca_draft(owner, kind=kind).subject(("C", "TR", "PrintableString"), ("O", "OKIDA"))
    return make(replace(draft, issuer_name=draft.subject_name).basic_constraints(ca=True, critical=False))


def bundle(*parts: Issued | CA) -> bytes:
    """PEM files one after the other."""
    return b"".join(each.pem for each in parts)


def _general_name(name: x509.GeneralName) -> bytes:
    whole = x509.SubjectAlternativeName([name]).public_bytes()
    return whole[2 if whole[1] < 0x80 else 2 + (whole[1] & 0x7F) :]


def _time(moment: datetime) -> bytes:
    """RFC 5280 section 4.1.2.5: UTCTime through 2049."""
    if 1950 <= moment.year < 2050:
        return tlv(0x17, moment.strftime("%y%m%d%H%M%SZ").encode())
    return tlv(0x18, f"{moment.year:04d}{moment:%m%d%H%M%S}Z".encode())


def openssl(folder: Path, *arguments: str) -> str:
    """Run the real ``openssl`` command in a folder; what it wrote to standard output."""
    done = subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, text=True, timeout=60)
    return done.stdout


_CLASSIC_CONFIGURATION = """\
[ req ]
distinguished_name = req_distinguished_name
extensions = v3_ca
req_extensions = v3_ca
prompt = no
[ v3_ca ]
basicConstraints = CA:TRUE
[ req_distinguished_name ]
countryName = TR
organizationName = OKIDA
"""


def classic_files(folder: Path, device_subject: str = "/C=TR/O=OKIDA/CN=snr-0001") -> tuple[bytes, bytes]:
    """A CA and a device's certificate as PEM, made by the classic ``openssl`` commands but for their prompts."""
    (folder / "rootConfig.conf").write_text(_CLASSIC_CONFIGURATION)
    for name in ("ca", "device"):
        openssl(folder, "genrsa", "-out", f"{name}.key", "2048")
    made = ("-sha256", "-days", "365")
    configured = ("-config", "rootConfig.conf")
    openssl(
        folder, "req", "-x509", "-new", "-nodes", "-key", "ca.key", *made, "-out", "ca.pem", *configured,
        "-extensions", "v3_ca",
    )  # fmt: skip
    openssl(folder, "req", "-new", "-key", "device.key", "-out", "device.csr", "-subj", device_subject)
    openssl(
        folder, "x509", "-req", "-in", "device.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
        "-out", "device.crt", *made,
    )  # fmt: skip
    return (folder / "ca.pem").read_bytes(), (folder / "device.crt").read_bytes()
