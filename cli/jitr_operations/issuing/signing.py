"""What the commands that issue certificates share: the CA that signs, and how long what it signs is valid."""

from datetime import datetime, timedelta
from pathlib import Path

from jitr.errors import InputError
from jitr_operations import telling
from jitr_operations.cas.checks import may_not_sign, out_of_time
from jitr_operations.certificates import Certificate
from jitr_operations.files import passphrase_from, read_certificate, read_private_key, require_pair
from jitr_operations.issuing import pki

DAYS = 365
DAYS_HELP = f"Validity in days; by default {DAYS}, and not beyond the CA that signs."
MAX_DAYS = 3_000_000  # to the year 9999; where exactly it ends is said when the certificate is made


def read_issuer(certificate: Path, key: Path, passphrase_file: Path | None, now: datetime, option: str) -> pki.Issuer:
    """Read a CA and its key from their files. Raises InputError unless they match and may sign now."""
    found = read_certificate(certificate)
    if not found.ca.facts.is_ca:
        raise InputError(f"{certificate} is not a CA (basicConstraints CA:TRUE): give the certificate of a CA")
    for problem in (out_of_time(found, now), may_not_sign(found)):
        if problem:
            raise InputError(f"{certificate}: {problem}")
    private = read_private_key(key, passphrase_from(passphrase_file, key, option))
    require_pair(found, certificate, private, key)
    return pki.Issuer(found, private)


def validity_for(days: int | None, issuer: pki.Issuer | None, now: datetime) -> timedelta:
    """Return how long a certificate is to be valid: as long as asked for, or else DAYS but not beyond its CA."""
    if days is not None or issuer is None:
        return timedelta(days=DAYS if days is None else days)
    return min(timedelta(days=DAYS), issuer.certificate.not_after - now)


def warn_if_outlived(certificate: Certificate, issuer: Certificate, what: str) -> None:
    """Warn where a certificate is valid for longer than the CA that signed it."""
    if certificate.not_after > issuer.not_after:
        telling.warn(
            f"{what} is valid until {_day(certificate)}, and the CA that signed it until {_day(issuer)} only: "
            "from then on nothing that it signed gets in."
        )


def _day(certificate: Certificate) -> str:
    return certificate.not_after.date().isoformat()
