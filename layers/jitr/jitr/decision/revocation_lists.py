"""What a CA's revocation list, as it was read, says of one certificate. ``revocation`` says what that means."""

from dataclasses import replace

from jitr.facts import CertificateFacts, DeltaCrl, Revocation
from jitr.rules.model import Crl
from jitr.x509.certificate import CaReading
from jitr.x509.crl import CrlReading, why_not_after, why_not_by, why_not_for


def read_revocation(
    crl: CrlReading, ca: CaReading, certificate: CertificateFacts, configured: Crl, delta: CrlReading | None = None
) -> Revocation:
    """Return what a list that the rules name, and its delta list, say of a certificate.

    With a ``problem`` if the list is not the CA's, or not for the certificate, or the delta list is not of that list.
    """
    problem = why_not_by(crl, ca)
    if problem is not None:
        return Revocation(problem=problem)
    why_not = None if delta is None else why_not_by(delta, ca) or why_not_after(delta, crl)
    if delta is not None and why_not is None:
        crl = crl.with_delta(delta)
    return revocation_in(crl, certificate, configured, why_not)


def revocation_in(
    crl: CrlReading, certificate: CertificateFacts, configured: Crl, delta_problem: str | None = None
) -> Revocation:
    """Return what a CA's own list says of a certificate.

    A list that is not for the certificate still counts against it, and so does one whose delta list cannot be used.
    """
    entry = crl.look_up(int(certificate.serial_number, 16))
    why_not = why_not_for(crl, certificate, configured.url, configured.point) or delta_problem
    problem = why_not if entry is None else None
    if problem is not None:
        return Revocation(problem=problem)
    return replace(
        said_of(crl),
        revoked_at=None if entry is None else entry.revoked_at,
        reason=None if entry is None else entry.reason,
        on_hold=entry is not None and entry.on_hold,
    )


def said_of(crl: CrlReading) -> Revocation:
    """Return what a CA's own list says of a certificate that is not on it."""
    delta = crl.delta
    return Revocation(
        this_update=crl.this_update,
        next_update=crl.next_update,
        number=crl.number,
        delta=None if delta is None else DeltaCrl(delta.this_update, delta.next_update, delta.number, len(delta)),
        signature_hashes=tuple(
            [each.scheme.facts.hash for each in (crl, delta) if each is not None and each.scheme.facts.hash is not None]
        ),
    )
