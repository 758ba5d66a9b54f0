"""Making keys and certificates: CAs, devices, and the one that proves to AWS IoT whose a CA is. No AWS, files or clock.

Keys, serial numbers and the time are arguments; ``new_key`` and ``random_serial`` are where commands get them from.
The profiles are RFC 5280's for CAs and for TLS clients.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from jitr.errors import InputError
from jitr.facts import KeyFacts
from jitr.unseen import quote
from jitr_operations.certificates import Certificate, key_identifier, read
from jitr_operations.issuing.x509_writer import PrivateKey, PublicKey, TbsCertificate, signed, signing_hash

MAX_SERIAL_BITS = 159  # 20 octets, and positive: RFC 5280 section 4.1.2.2
MIN_RSA_BITS = 2048  # what AWS IoT takes: https://docs.aws.amazon.com/iot/latest/developerguide/x509-client-certs.html
# The clock of whoever reads a new certificate may be a little behind ours.
BACKDATED = timedelta(minutes=1)
VERIFICATION_VALIDITY = timedelta(days=1)

CURVES: Mapping[str, type[ec.EllipticCurve]] = {"p256": ec.SECP256R1, "p384": ec.SECP384R1, "p521": ec.SECP521R1}
SIGNATURE_HASHES = ("sha256", "sha384", "sha512")
SUPPORTED_CURVES = ("P-256", "P-384", "P-521")


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
    """Read ``rsa:BITS`` or ``ec:CURVE``, in any case. Raises InputError for what AWS IoT does not take."""
    kind, _, size = text.lower().partition(":")
    if kind == "ec" and size.replace("-", "") in CURVES:
        return KeyType(curve=size.replace("-", ""))
    if kind == "rsa" and re.fullmatch("[0-9]{3,5}", size):
        if int(size) < MIN_RSA_BITS:
            raise InputError(f"key type {quote(text)}: AWS IoT refuses RSA keys of less than {MIN_RSA_BITS} bits")
        if int(size) in range(MIN_RSA_BITS, 8193, 256):
            return KeyType(rsa_bits=int(size))
    raise InputError(f"key type {quote(text)}: give ec:p256, ec:p384, ec:p521, or rsa:2048 to rsa:8192 in steps of 256")


def new_key(kind: KeyType) -> PrivateKey:
    """Make a new random key."""
    if kind.rsa_bits:
        return rsa.generate_private_key(65537, kind.rsa_bits)
    return ec.generate_private_key(CURVES[kind.curve or ""]())


def random_serial() -> int:
    """Return a random positive number of at most 20 octets (RFC 5280 section 4.1.2.2)."""
    return x509.random_serial_number()


def parse_serial(text: str) -> int:
    """Read a hex serial number; allows ``0x`` and colons. Raises InputError unless positive and at most 20 octets."""
    digits = text.strip().lower().removeprefix("0x").replace(":", "")
    if not re.fullmatch("[0-9a-f]+", digits):
        raise InputError(f"serial number {quote(text[:60])}: give it in hex, like 1f0a")
    number = int(digits[-1000:], 16)
    if len(digits.lstrip("0")) > 40 or number.bit_length() > MAX_SERIAL_BITS or number == 0:
        raise InputError(f"serial number {quote(text[:60])}: it must be positive and fit 20 octets (RFC 5280 4.1.2.2)")
    return number


def private_pem(key: PrivateKey, passphrase: bytes | None = None) -> bytes:
    """Return the key in PKCS #8 (RFC 5958), encrypted if there is a passphrase."""
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase is not None:
        encryption = serialization.BestAvailableEncryption(passphrase)
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def request_pem(request: x509.CertificateSigningRequest) -> bytes:
    """Return the request in PEM."""
    return request.public_bytes(serialization.Encoding.PEM)


def public_key_der(key: PublicKey) -> bytes:
    """Return the key's DER SubjectPublicKeyInfo."""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def public_key_sha256(key: PublicKey) -> str:
    """Return the SHA-256 of the DER SubjectPublicKeyInfo, in hex, as device lists have it."""
    return hashlib.sha256(public_key_der(key)).hexdigest()


# --- certificates


@dataclass(frozen=True)
class Issuer:
    """A CA certificate and its key."""

    certificate: Certificate
    key: PrivateKey


def make_ca(
    subject: bytes,
    key: PrivateKey,
    *,
    serial_number: int,
    now: datetime,
    validity: timedelta,
    path_length: int | None = None,
    parent: Issuer | None = None,
) -> Certificate:
    """Make a CA certificate as RFC 5280 section 4.2.1 profiles it, self-signed or signed by ``parent``.

    ``subject`` is a Name's DER. Raises InputError for a validity beyond the year 9999 and for a parent that may not
    have such a CA below it.
    """
    if parent is not None:
        _check_parent(parent.certificate, path_length)
    public_key = public_key_der(key.public_key())
    own = key_identifier(public_key)
    draft = TbsCertificate(
        parent.certificate.ca.subject_der if parent else subject,
        subject,
        public_key,
        serial_number,
        *_validity(now, validity),
        (
            (x509.BasicConstraints(ca=True, path_length=path_length), True),
            (_key_usage(key_cert_sign=True, crl_sign=True), True),
            (x509.SubjectKeyIdentifier(own), False),
            (_authority_key_identifier(parent.certificate.key_identifier if parent else own), False),
        ),
    )
    return read(signed(draft, parent.key if parent else key))


def make_verification_certificate(
    ca: Issuer, key: PrivateKey, registration_code: str, *, serial_number: int, now: datetime
) -> Certificate:
    """Make the proof for AWS IoT that we hold the CA's key: its common name is the registration code.

    https://docs.aws.amazon.com/iot/latest/developerguide/register-CA-cert.html
    """
    draft = TbsCertificate(
        ca.certificate.ca.subject_der,
        _named(registration_code).public_bytes(),
        public_key_der(key.public_key()),
        serial_number,
        *_validity(now, VERIFICATION_VALIDITY),
        (
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_authority_key_identifier(ca.certificate.key_identifier), False),
        ),
    )
    return read(signed(draft, ca.key))


def make_verification_request(key: PrivateKey, registration_code: str) -> x509.CertificateSigningRequest:
    """Make the request for such a certificate, to be signed where the CA's key is."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(_named(registration_code))
    return builder.sign(key, signing_hash(key))


def _named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def issue_device(
    ca: Issuer,
    subject: bytes,
    public_key: bytes,
    *,
    serial_number: int,
    now: datetime,
    validity: timedelta,
) -> Certificate:
    """Make a version 3 device certificate for TLS client authentication from a Name's and a key's DER.

    Raises InputError for a validity beyond 9999.
    """
    draft = TbsCertificate(
        ca.certificate.ca.subject_der,
        subject,
        public_key,
        serial_number,
        *_validity(now, validity),
        (
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_key_usage(digital_signature=True), True),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False),
            (x509.SubjectKeyIdentifier(key_identifier(public_key)), False),
            (_authority_key_identifier(ca.certificate.key_identifier), False),
        ),
    )
    return read(signed(draft, ca.key))


def _validity(now: datetime, validity: timedelta) -> tuple[datetime, datetime]:
    moment = now.astimezone(UTC).replace(microsecond=0)
    try:
        return moment - BACKDATED, moment + validity
    except OverflowError:
        raise InputError(f"{validity.days} days from now is after the year 9999: give fewer --days") from None


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


def _authority_key_identifier(identifier: bytes) -> x509.AuthorityKeyIdentifier:
    """Return the identifier of the issuer's key (RFC 5280 section 4.2.1.1)."""
    return x509.AuthorityKeyIdentifier(identifier, authority_cert_issuer=None, authority_cert_serial_number=None)


def _check_parent(parent: Certificate, path_length: int | None) -> None:
    if not parent.ca.facts.is_ca:
        raise InputError("the parent is not a CA (basicConstraints CA:TRUE): give the certificate of a CA")
    room = parent.ca.path_length
    if room is None:
        return
    if room == 0:
        raise InputError("the parent's path length is 0: it may sign devices, but no CA (RFC 5280 4.2.1.9)")
    if path_length is None or path_length >= room:
        raise InputError(
            f"the parent's path length is {room}: give --path-length {room - 1} or less (RFC 5280 4.2.1.9)"
        )


# --- looking at keys


def key_problem(key: KeyFacts) -> str | None:
    """Return why AWS IoT refuses a public key; None if it does not."""
    if key.kind == "RSA":
        return None if (key.bits or 0) >= MIN_RSA_BITS else f"an RSA key of {key.bits} bits"
    if key.kind == "EC":
        if key.curve == "explicit parameters":
            return "an EC key whose curve is given by parameters, not by name"
        return None if key.curve in SUPPORTED_CURVES else f"a key on the curve {key.curve}"
    return f"a key that is neither RSA nor EC ({key.kind})"
