"""The openssl commands that make the same CA, for those who make theirs with openssl."""

import re
from dataclasses import dataclass
from shlex import quote

from cryptography import x509
from cryptography.x509.oid import NameOID

from jitr.errors import InputError
from jitr_cli.pki import CURVE_NAMES, CURVES, KeyType


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
    curve = CURVES[kind.curve or ""]().name
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
