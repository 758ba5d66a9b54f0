"""The CAs that signed the certificates of a manifest's devices: what they are called, and their files."""

import ssl
from collections.abc import Mapping
from typing import Any

from jitr.unseen import written_out
from jitr.x509.certificate import read_ca
from jitr.x509.names import rfc4514


def about(issuers: Mapping[bytes, int]) -> list[dict[str, Any]]:
    """Return what there is to be told of CAs, given with the number of certificates that each signed."""
    found = []
    for der, count in issuers.items():
        ca = read_ca(der, status="ACTIVE")
        subject = written_out(rfc4514(tuple((each,) for each in ca.facts.subject)))
        found.append({"sha256": ca.certificate_sha256, "subject": subject, "certificates": count})
    return found


def pem_files(issuers: Mapping[bytes, int]) -> dict[str, bytes]:
    """Return the CAs' certificates as PEM files, each called after its SHA-256."""
    return {
        f"{read_ca(der, status='ACTIVE').certificate_sha256[:16]}.pem": ssl.DER_cert_to_PEM_cert(der).encode()
        for der in issuers
    }
