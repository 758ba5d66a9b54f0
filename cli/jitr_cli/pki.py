"""Making keys and certificates: CAs, devices, and the one that proves to AWS IoT whose a CA is. No AWS, files or clock.

Keys, serial numbers and the time are arguments; ``new_key`` and ``random_serial`` are where commands get them from.
The profiles are RFC 5280's for CAs and for TLS clients.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from jitr.certificate import read_ca, read_certificate
from jitr.chain import verify_chain
from jitr.errors import InputError

PrivateKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
PublicKey: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
Extension = TypeVar("Extension", bound=x509.ExtensionType)

MAX_SERIAL_BITS = 159  # 20 octets, and positive: RFC 5280 section 4.1.2.2
MIN_RSA_BITS = 2048  # what AWS IoT takes: https://docs.aws.amazon.com/iot/latest/developerguide/x509-client-certs.html
# The clock of whoever reads a new certificate may be a little behind ours.
BACKDATED = timedelta(minutes=1)
VERIFICATION_VALIDITY = timedelta(days=1)

CURVES: Mapping[str, type[ec.EllipticCurve]] = {"p256": ec.SECP256R1, "p384": ec.SECP384R1, "p521": ec.SECP521R1}
SIGNATURE_HASHES = ("sha256", "sha384", "sha512")
CURVE_NAMES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}


# --- keys and serial numbers


@dataclass(frozen=True, slots=True)
class KeyType:
    """A kind of key to make: RSA of so many bits, or EC on a curve."""

    rsa_bits: int | None = None
    curve: str | None = None  # p256, p384, p521

    @property
    def hash_name(self) -> str:
        """The hash that a key of this kind signs with; see ``signing_hash``."""
        return {"p384": "sha384", "p521": "sha512"}.get(self.curve or "", "sha256")

    def __str__(self) -> str:
        return f"rsa:{self.rsa_bits}" if self.rsa_bits else f"ec:{self.curve}"


def parse_key_type(text: str) -> KeyType:
    """``rsa:BITS`` or ``ec:CURVE``, in any case. Raises InputError for what AWS IoT does not take."""
    kind, _, size = text.lower().partition(":")
    if kind == "ec" and size.replace("-", "") in CURVES:
        return KeyType(curve=size.replace("-", ""))
    if kind == "rsa" and re.fullmatch("[0-9]{3,5}", size):
        if int(size) < MIN_RSA_BITS:
            raise InputError(f"key type {text!r}: AWS IoT refuses RSA keys of less than {MIN_RSA_BITS} bits")
        if int(size) in range(MIN_RSA_BITS, 8193, 256):
            return KeyType(rsa_bits=int(size))
    raise InputError(f"key type {text!r}: give ec:p256, ec:p384, ec:p521, or rsa:2048 to rsa:8192 in steps of 256")


def new_key(kind: KeyType) -> PrivateKey:
    """A new random key."""
    if kind.rsa_bits:
        return rsa.generate_private_key(65537, kind.rsa_bits)
    return ec.generate_private_key(CURVES[kind.curve or ""]())


def random_serial() -> int:
    """A random positive number of at most 20 octets (RFC 5280 section 4.1.2.2)."""
    return x509.random_serial_number()


def parse_serial(text: str) -> int:
    """A serial number in hex, ``0x`` and colons allowed. Raises InputError unless it is positive and fits 20 octets."""
    digits = text.strip().lower().removeprefix("0x").replace(":", "")
    if not re.fullmatch("[0-9a-f]+", digits):
        raise InputError(f"serial number {text[:60]!r}: give it in hex, like 1f0a")
    number = int(digits[-1000:], 16)
    if len(digits.lstrip("0")) > 40 or number.bit_length() > MAX_SERIAL_BITS or number == 0:
        raise InputError(f"serial number {text[:60]!r}: it must be positive and fit 20 octets (RFC 5280 4.1.2.2)")
    return number


def private_pem(key: PrivateKey, passphrase: bytes | None = None) -> bytes:
    """The key in PKCS #8 (RFC 5958), encrypted if there is a passphrase."""
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase is not None:
        encryption = serialization.BestAvailableEncryption(passphrase)
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def certificate_pem(certificate: x509.Certificate) -> bytes:
    """The certificate in PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def request_pem(request: x509.CertificateSigningRequest) -> bytes:
    """The request in PEM."""
    return request.public_bytes(serialization.Encoding.PEM)


def certificate_sha256(certificate: x509.Certificate) -> str:
    """SHA-256 of the DER, in hex: AWS IoT's certificateId and caCertificateId."""
    return hashlib.sha256(_der(certificate)).hexdigest()


def public_key_sha256(key: PublicKey) -> str:
    """SHA-256 of the DER SubjectPublicKeyInfo, in hex, as device lists have it."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


# --- certificates


@dataclass(frozen=True)
class Issuer:
    """A CA certificate and its key."""

    certificate: x509.Certificate
    key: PrivateKey


def make_ca(
    subject: x509.Name,
    key: PrivateKey,
    *,
    serial_number: int,
    now: datetime,
    validity: timedelta,
    path_length: int | None = None,
    parent: Issuer | None = None,
) -> x509.Certificate:
    """A CA certificate as RFC 5280 section 4.2.1 profiles it, self-signed or signed by ``parent``.

    Raises InputError for a validity beyond the year 9999 and for a parent that may not have such a CA below it.
    """
    if parent is not None:
        _check_parent(parent.certificate, path_length)
    signer = parent.key if parent else key
    builder = (
        _builder(parent.certificate.subject if parent else subject, subject, key.public_key(), serial_number)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_key_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_authority_key_identifier(parent.certificate if parent else key.public_key()), critical=False)
    )
    return _valid(builder, now, validity).sign(signer, signing_hash(signer))


def make_verification_certificate(
    ca: Issuer, key: PrivateKey, registration_code: str, *, serial_number: int, now: datetime
) -> x509.Certificate:
    """What proves to AWS IoT that we have the CA's key: its common name is the account's registration code.

    https://docs.aws.amazon.com/iot/latest/developerguide/register-CA-cert.html
    """
    builder = _builder(ca.certificate.subject, _named(registration_code), key.public_key(), serial_number)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_authority_key_identifier(ca.certificate), critical=False)
    return _valid(builder, now, VERIFICATION_VALIDITY).sign(ca.key, signing_hash(ca.key))


def make_verification_request(key: PrivateKey, registration_code: str) -> x509.CertificateSigningRequest:
    """The request for such a certificate, to be signed where the CA's key is."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(_named(registration_code))
    return builder.sign(key, signing_hash(key))


def _named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def issue_device(
    ca: Issuer,
    subject: x509.Name,
    public_key: PublicKey,
    *,
    serial_number: int,
    now: datetime,
    validity: timedelta,
) -> x509.Certificate:
    """A device certificate for TLS client authentication, version 3. Raises InputError for a validity beyond 9999."""
    builder = (
        _builder(ca.certificate.subject, subject, public_key, serial_number)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(_authority_key_identifier(ca.certificate), critical=False)
    )
    return _valid(builder, now, validity).sign(ca.key, signing_hash(ca.key))


def signing_hash(key: PrivateKey | PublicKey) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512:
    """The hash that goes with a signer's key: as strong as its curve (RFC 5480 section 4), SHA-256 for RSA."""
    bits = key.curve.key_size if isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey) else 0
    if bits > 384:
        return hashes.SHA512()
    return hashes.SHA384() if bits > 256 else hashes.SHA256()


def _builder(issuer: x509.Name, subject: x509.Name, key: PublicKey, serial_number: int) -> x509.CertificateBuilder:
    return x509.CertificateBuilder(issuer, subject, key, serial_number)


def _valid(builder: x509.CertificateBuilder, now: datetime, validity: timedelta) -> x509.CertificateBuilder:
    moment = now.astimezone(UTC).replace(microsecond=0)
    try:
        end = moment + validity
    except OverflowError:
        raise InputError(f"{validity.days} days from now is after the year 9999: give fewer --days") from None
    return builder.not_valid_before(moment - BACKDATED).not_valid_after(end)


def _key_usage(**wanted: bool) -> x509.KeyUsage:
    names = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{name: wanted.get(name, False) for name in names})


def _authority_key_identifier(issuer: x509.Certificate | PublicKey) -> x509.AuthorityKeyIdentifier:
    """The issuer's own subject key identifier; computed from its key where it has none (RFC 5280 section 4.2.1.1)."""
    if not isinstance(issuer, x509.Certificate):
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer)
    identifier = extension(issuer, x509.SubjectKeyIdentifier)
    if identifier is not None:
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
    key: Any = issuer.public_key()
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key)


def _check_parent(parent: x509.Certificate, path_length: int | None) -> None:
    constraints = extension(parent, x509.BasicConstraints)
    if constraints is None or not constraints.ca:
        raise InputError("the parent is not a CA (basicConstraints CA:TRUE): give the certificate of a CA")
    room = constraints.path_length
    if room is None:
        return
    if room == 0:
        raise InputError("the parent's path length is 0: it may sign devices, but no CA (RFC 5280 4.2.1.9)")
    if path_length is None or path_length >= room:
        raise InputError(
            f"the parent's path length is {room}: give --path-length {room - 1} or less (RFC 5280 4.2.1.9)"
        )


# --- looking at certificates


def extension(certificate: x509.Certificate, kind: type[Extension]) -> Extension | None:
    """The certificate's extension of that kind, if it has one."""
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def is_ca(certificate: x509.Certificate) -> bool:
    """Whether it says basicConstraints CA:TRUE, critical or not."""
    constraints = extension(certificate, x509.BasicConstraints)
    return constraints is not None and constraints.ca


def key_problem(key: object) -> str | None:
    """Why AWS IoT refuses a public key; None if it does not."""
    if isinstance(key, rsa.RSAPublicKey):
        return None if key.key_size >= MIN_RSA_BITS else f"an RSA key of {key.key_size} bits"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return None if key.curve.name in CURVE_NAMES else f"a key on the curve {key.curve.name}"
    return f"a key that is neither RSA nor EC ({type(key).__name__.removesuffix('PublicKey')})"


def signature_hash(certificate: x509.Certificate) -> str | None:
    """The hash that the certificate's signature was made with, like sha256; None where it has none of its own."""
    return read_certificate(_der(certificate)).facts.signature.hash


def signed_by(certificate: x509.Certificate, ca: x509.Certificate) -> bool:
    """Whether the CA's key made the certificate's signature, whatever the names; by the code that decides."""
    reading = read_ca(_der(ca), status="ACTIVE")
    return verify_chain(read_certificate(_der(certificate)), reading).signature_valid


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)
