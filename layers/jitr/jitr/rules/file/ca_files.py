"""CA certificates that a rules file names by path (``certificate: factory-a.pem``)."""

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
