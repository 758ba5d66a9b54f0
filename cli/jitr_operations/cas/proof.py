"""Proof of possession: the verification certificate that shows AWS IoT whose a CA is.

https://docs.aws.amazon.com/iot/latest/developerguide/register-CA-cert.html
"""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TypeAlias

from jitr.errors import InputError
from jitr_operations.cas.checks import out_of_time, weak_hash
from jitr_operations.certificates import Certificate
from jitr_operations.files import passphrase_from, read_certificate, read_private_key, require_pair
from jitr_operations.issuing import pki
from jitr_operations.issuing.subjects import subject_text

# What the verification certificate's PEM is, given the registration code; None in mode SNI_ONLY.
Proof: TypeAlias = Callable[[str], bytes]


def read_proof(
    certificate: Certificate,
    file: Path,
    key_file: Path | None,
    passphrase_file: Path | None,
    verification_file: Path | None,
    now: datetime,
) -> Proof | None:
    """Read what proves that the CA is ours; all that can be wrong with it without asking AWS is found here."""
    if verification_file is not None:
        verification = read_certificate(verification_file)
        return proof_from_elsewhere(certificate, str(file), verification, str(verification_file), now)
    if key_file is None:
        return None
    key = read_private_key(key_file, passphrase_from(passphrase_file, key_file))
    require_pair(certificate, file, key, key_file)

    def made(code: str) -> bytes:
        verification = pki.make_verification_certificate(
            pki.Issuer(certificate, key),
            pki.new_key(pki.KeyType(curve="p256")),  # needed for this one signature, and kept nowhere
            code,
            serial_number=pki.random_serial(),
            now=now,
        )
        return verification.pem

    return made


def proof_from_elsewhere(
    certificate: Certificate, file: str, verification: Certificate, verification_file: str, now: datetime
) -> Proof:
    """Return the proof that a verification certificate is, made where the CA's key is kept.

    Messages name the files that both came in. Raises InputError for one that proves nothing; and where it is used, if
    it was made for another account or Region.
    """
    if not verification.signed_by(certificate):
        raise InputError(
            f"{verification_file} was not signed with the key of {file}, but by {subject_text(verification.issuer)}: "
            "have that CA sign the request that `jitr ca verification-csr` makes"
        )
    problem = out_of_time(verification, now) or weak_hash(verification)
    if problem:
        raise InputError(f"{verification_file}: {problem.partition(':')[0]}: have the CA sign the request again")

    def checked(code: str) -> bytes:
        if verification.own.facts.values("common_name") != (code,):
            raise InputError(
                f"{verification_file} has the subject {subject_text(verification.subject)}, and this account's "
                f"registration code here is {code}: make the request for this account and Region "
                "(`jitr ca verification-csr`), and have the CA sign that"
            )
        return verification.pem

    return checked
