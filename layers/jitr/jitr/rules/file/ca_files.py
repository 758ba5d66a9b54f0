"""Certificates that a rules file names by path: of CAs, and of responders that answer for them."""

import base64
from collections.abc import Callable
from datetime import datetime

from jitr.errors import InputError, Unreadable


class CaFiles:
    """Turns the paths under ``certificate`` of a CA into ids; remembers when those certificates expire.

    ``read`` gives the bytes at a path, or raises InputError.
    """

    def __init__(self, read: Callable[[str], bytes]) -> None:
        self._read = read
        self.not_after: dict[str, datetime] = {}

    def certificate_id(self, path: str) -> str:
        """Return the caCertificateId of the CA certificate in a file. Raises InputError."""
        from jitr.x509.certificate import read_ca

        try:
            ca = read_ca(self._read(path), status="ACTIVE").facts
        except Unreadable as error:
            raise InputError(f"{path}: {error}") from error
        if not ca.is_ca:
            raise InputError(f"{path}: this is not the certificate of a CA: it has no CA:TRUE")
        self.not_after[ca.ca_certificate_id] = ca.not_after
        return ca.ca_certificate_id

    def responder(self, path: str) -> str:
        """Return the certificate in a file, its DER in base64. Raises InputError, also where it can verify nothing."""
        from jitr.x509.certificate import read_ca

        try:
            signer = read_ca(self._read(path), status="ACTIVE")
        except Unreadable as error:
            raise InputError(f"{path}: {error}") from error
        if signer.key is None:
            raise InputError(f"{path}: a key of the kind {signer.key_facts.kind} signs no answer that can be verified")
        return base64.b64encode(signer.der).decode()
