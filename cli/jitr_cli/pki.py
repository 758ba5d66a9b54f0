"""Making certificates: CAs, devices, and the one that proves to AWS IoT whose a CA is. No AWS, no files, no clock.

Keys, serial numbers and the time are arguments; ``new_key`` and ``random_serial`` are where commands get them from.
The profiles are RFC 5280's for CAs and for TLS clients.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from shlex import quote
from typing import Any, TypeAlias, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from jitr.errors import InputError

PrivateKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
PublicKey: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
Extension = TypeVar("Extension", bound=x509.ExtensionType)

MAX_SERIAL_BITS = 159  # 20 octets, and positive: RFC 5280 section 4.1.2.2
MIN_RSA_BITS = 2048  # what AWS IoT takes: https://docs.aws.amazon.com/iot/latest/developerguide/x509-client-certs.html
# The clock of whoever reads a new certificate may be a little behind ours.
BACKDATED = timedelta(minutes=1)
VERIFICATION_VALIDITY = timedelta(days=1)

_CURVES: Mapping[str, type[ec.EllipticCurve]] = {"p256": ec.SECP256R1, "p384": ec.SECP384R1, "p521": ec.SECP521R1}
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
    if kind == "ec" and size.replace("-", "") in _CURVES:
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
    return ec.generate_private_key(_CURVES[kind.curve or ""]())


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
    return hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()


def public_key_sha256(key: PublicKey) -> str:
    """SHA-256 of the DER SubjectPublicKeyInfo, in hex, as device lists have it."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


# --- names


# In the order in which openssl's own configuration asks for them, the most general first.
_SUBJECT_FIELDS = (
    ("country", NameOID.COUNTRY_NAME),
    ("state", NameOID.STATE_OR_PROVINCE_NAME),
    ("locality", NameOID.LOCALITY_NAME),
    ("organization", NameOID.ORGANIZATION_NAME),
    ("organizational_unit", NameOID.ORGANIZATIONAL_UNIT_NAME),
    ("common_name", NameOID.COMMON_NAME),
)
# Beyond what cryptography reads by itself (RFC 4514 section 3); case does not matter in them.
_DESCRIPTORS = {
    "serialNumber": NameOID.SERIAL_NUMBER,
    "emailAddress": NameOID.EMAIL_ADDRESS,
    "title": NameOID.TITLE,
    "givenName": NameOID.GIVEN_NAME,
    "SN": NameOID.SURNAME,
}
_WRITTEN_NAMES = {form: oid for name, oid in _DESCRIPTORS.items() for form in (name, name.upper(), name.lower())}


@dataclass(frozen=True, slots=True)
class SubjectParts:
    """A subject as the options give it: attributes by name, or all of it in ``text`` (RFC 4514)."""

    attributes: Mapping[str, str] = field(default_factory=dict)
    text: str | None = None

    def name(self, common_name: str | None = None) -> x509.Name:
        """The subject, with this common name if it has none of its own. Raises InputError for what cannot be in one."""
        if self.text is not None:
            written = parse_name(self.text)
            has_one = bool(written.get_attributes_for_oid(NameOID.COMMON_NAME)) or common_name is None
            return written if has_one else x509.Name([*written.rdns, _relative("common_name", str(common_name))])
        values = {"common_name": common_name} | dict(self.attributes)
        return x509.Name([_relative(each, value) for each, _ in _SUBJECT_FIELDS if (value := values.get(each))])

    @property
    def has_common_name(self) -> bool:
        """Whether the subject is one device's: the options name it."""
        if self.text is not None:
            return bool(parse_name(self.text).get_attributes_for_oid(NameOID.COMMON_NAME))
        return bool(self.attributes.get("common_name"))


def parse_name(text: str) -> x509.Name:
    """A name as RFC 4514 writes it, the last attribute the most general. Raises InputError."""
    try:
        name = x509.Name.from_rfc4514_string(text, _WRITTEN_NAMES)
    except ValueError as problem:
        reason = f": {problem}" if str(problem) else ""
        raise InputError(
            f"subject {text[:200]!r} cannot be read{reason}; write it like CN=snr-1,O=OKIDA,C=TR"
        ) from None
    if not name.rdns:
        raise InputError("the subject is empty; write it like CN=snr-1,O=OKIDA,C=TR")
    for attribute in name:
        _refuse_control_characters("subject", str(attribute.value))
    return name


def _relative(attribute: str, value: str) -> x509.RelativeDistinguishedName:
    option = f"--{attribute.replace('_', '-')}"
    _refuse_control_characters(option, value)
    try:
        part = x509.NameAttribute(dict(_SUBJECT_FIELDS)[attribute], value)
    except ValueError as problem:
        raise InputError(f"{option} {value[:80]!r}: {problem}") from None
    return x509.RelativeDistinguishedName([part])


def _refuse_control_characters(what: str, value: str) -> None:
    if any(ord(each) < 0x20 or 0x7F <= ord(each) < 0xA0 for each in value):
        raise InputError(f"{what} {value[:80]!r} has a control character in it")


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


def make_intermediate(
    subject: x509.Name,
    key: PrivateKey,
    parent: Issuer,
    *,
    serial_number: int,
    now: datetime,
    validity: timedelta,
    path_length: int | None = 0,
) -> x509.Certificate:
    """A CA certificate that ``parent`` signs; by default one that signs devices only. Raises as ``make_ca`` does."""
    return make_ca(
        subject,
        key,
        serial_number=serial_number,
        now=now,
        validity=validity,
        path_length=path_length,
        parent=parent,
    )


def make_verification_certificate(
    ca: Issuer, key: PrivateKey, registration_code: str, *, serial_number: int, now: datetime
) -> x509.Certificate:
    """What proves to AWS IoT that we have the CA's key: its common name is the account's registration code.

    https://docs.aws.amazon.com/iot/latest/developerguide/register-CA-cert.html
    """
    subject = x509.Name([_relative("common_name", registration_code)])
    builder = _builder(ca.certificate.subject, subject, key.public_key(), serial_number)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_authority_key_identifier(ca.certificate), critical=False)
    return _valid(builder, now, VERIFICATION_VALIDITY).sign(ca.key, signing_hash(ca.key))


def make_verification_request(key: PrivateKey, registration_code: str) -> x509.CertificateSigningRequest:
    """The request for such a certificate, to be signed where the CA's key is."""
    subject = x509.Name([_relative("common_name", registration_code)])
    return x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, signing_hash(key))


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
    """The hash that the certificate's signature was made with, as openssl calls it; None where it has none."""
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        algorithm = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return certificate.signature_algorithm_oid.dotted_string
    return algorithm.name if algorithm else None


def signed_by(certificate: x509.Certificate, ca: x509.Certificate) -> bool:
    """Whether the CA's key made the certificate's signature, whatever the names."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import padding

    key = ca.public_key()
    signature, signed = certificate.signature, certificate.tbs_certificate_bytes
    try:
        how = certificate.signature_algorithm_parameters
        if isinstance(key, rsa.RSAPublicKey) and isinstance(how, padding.PKCS1v15 | padding.PSS):
            algorithm = certificate.signature_hash_algorithm
            if algorithm is None:
                return False
            key.verify(signature, signed, how, algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey) and isinstance(how, ec.ECDSA):
            key.verify(signature, signed, how)
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True


# --- the same with openssl


@dataclass(frozen=True)
class OpensslCa:
    """What ``openssl_script`` needs to know of a CA that is to be made. File names are as the commands name them."""

    name: str
    subject: x509.Name
    key_type: KeyType
    days: int
    path_length: int | None = None
    parent: str | None = None
    parent_key: str | None = None
    digest: str = "sha256"
    passphrase_file: str | None = None
    parent_passphrase_file: str | None = None


def openssl_script(ca: OpensslCa) -> str:
    """A shell script that makes such a CA with openssl, its configuration included. Raises InputError."""
    key, pem, configuration = (quote(f"{ca.name}{suffix}") for suffix in (".key", ".pem", ".cnf"))
    digest = f"-{ca.digest}"
    secret = f" -aes256 -pass {_pass(ca.passphrase_file)}" if ca.passphrase_file else ""
    signed_in = f" -passin {_pass(ca.passphrase_file)}" if ca.passphrase_file else ""
    lines = [
        "set -eu",
        "umask 077",
        f"cat > {configuration} <<'END'",
        _openssl_configuration(ca),
        "END",
        f"openssl genpkey {_openssl_key(ca.key_type)}{secret} -out {key}",
    ]
    if ca.parent is None:
        lines.append(
            f"openssl req -x509 -new -config {configuration} -key {key}{signed_in} {digest} -days {ca.days} -out {pem}"
        )
    else:
        request = quote(f"{ca.name}.csr")
        parent_in = f" -passin {_pass(ca.parent_passphrase_file)}" if ca.parent_passphrase_file else ""
        lines += [
            f"openssl req -new -config {configuration} -key {key}{signed_in} -out {request}",
            f"openssl x509 -req -in {request} -CA {quote(ca.parent)} -CAkey {quote(ca.parent_key or '')}{parent_in} "
            f"-CAcreateserial {digest} -days {ca.days} -extfile {configuration} -extensions ca -out {pem}",
        ]
    lines.append(f"chmod 644 {pem}")
    return "\n".join(lines)


def _pass(file: str | None) -> str:
    return quote(f"file:{file}")


def _openssl_key(kind: KeyType) -> str:
    if kind.rsa_bits:
        return f"-algorithm RSA -pkeyopt rsa_keygen_bits:{kind.rsa_bits}"
    curve = _CURVES[kind.curve or ""]().name
    nist = CURVE_NAMES[curve]
    return f"-algorithm EC -pkeyopt ec_paramgen_curve:{nist} -pkeyopt ec_param_enc:named_curve"


def _openssl_configuration(ca: OpensslCa) -> str:
    room = "" if ca.path_length is None else f", pathlen:{ca.path_length}"
    return "\n".join(
        [
            "[ req ]",
            "prompt             = no",
            "utf8               = yes",
            "string_mask        = utf8only",
            "distinguished_name = subject",
            "x509_extensions    = ca",
            "",
            "[ subject ]",
            *_openssl_subject(ca.subject),
            "",
            "[ ca ]",
            f"basicConstraints       = critical, CA:TRUE{room}",
            "keyUsage               = critical, keyCertSign, cRLSign",
            "subjectKeyIdentifier   = hash",
            "authorityKeyIdentifier = keyid:always",
        ]
    )


def _openssl_subject(subject: x509.Name) -> list[str]:
    """The lines of the subject's section; the number before each allows one attribute several times."""
    lines = []
    for number, relative in enumerate(subject.rdns):
        if len(relative) > 1:
            raise InputError("a subject with several attributes in one relative name (+) has no form in openssl's file")
        attribute = next(iter(relative))
        # Meaning of \\ # $ and quotes: openssl's config(5).
        value = re.sub(r"([\\#$\"'`;])", r"\\\1", str(attribute.value))
        value = f'"{value}"' if value != value.strip() else value
        name = _OPENSSL_NAMES.get(attribute.oid, attribute.oid.dotted_string)
        lines.append(f"{number}.{name} = {value}")
    return lines


_OPENSSL_NAMES = {
    NameOID.COUNTRY_NAME: "C",
    NameOID.STATE_OR_PROVINCE_NAME: "ST",
    NameOID.LOCALITY_NAME: "L",
    NameOID.ORGANIZATION_NAME: "O",
    NameOID.ORGANIZATIONAL_UNIT_NAME: "OU",
    NameOID.COMMON_NAME: "CN",
    NameOID.DOMAIN_COMPONENT: "DC",
    NameOID.USER_ID: "UID",
    NameOID.SERIAL_NUMBER: "serialNumber",
    NameOID.EMAIL_ADDRESS: "emailAddress",
    NameOID.TITLE: "title",
    NameOID.GIVEN_NAME: "givenName",
    NameOID.SURNAME: "SN",
}
