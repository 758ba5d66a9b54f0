"""What AWS IoT refuses in a CA that is to be registered, and what people regret. Each message says what to do."""

from datetime import datetime
from typing import TYPE_CHECKING

from jitr.errors import InputError, Unreadable
from jitr.text import counted
from jitr.x509.names import rfc4514
from jitr.x509.pem import find_following
from jitr_operations import telling
from jitr_operations.cas.registry import all_ca_ids, described
from jitr_operations.certificates import Certificate, read
from jitr_operations.files import certificate_in
from jitr_operations.issuing import pki
from jitr_operations.issuing.subjects import subject_text

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

# "Maximum number of CA certificates with the same subject field allowed per AWS account per Region".
# https://docs.aws.amazon.com/general/latest/gr/iot-core.html
MAX_SAME_SUBJECT = 10


def fit_ca(data: bytes, name: str, now: datetime) -> Certificate:
    """Return the CA in what a file of that name holds; warn of what people regret.

    Raises InputError where there is none, and for one that AWS IoT would refuse, with everything that is wrong.
    """
    certificate = certificate_in(data, name)
    errors, warnings = examine(certificate, now)
    if errors:
        raise InputError("\n".join(f"{name}: {each}" for each in errors))
    for each in (*warnings, _signed_another(certificate, data)):
        if each:
            telling.warn(f"{name}: {each}")
    return certificate


def examine(certificate: Certificate, now: datetime) -> tuple[list[str], list[str]]:
    """Return what speaks against registering a CA: errors, then warnings. Each says what to do."""
    checks = (_not_a_ca(certificate), out_of_time(certificate, now), _weak_key(certificate), weak_hash(certificate))
    errors = [each for each in (*checks, may_not_sign(certificate)) if each]
    warnings = [each for each in (_root_of_others(certificate), _name_constraints(certificate)) if each]
    return errors, warnings


def _not_a_ca(certificate: Certificate) -> str | None:
    if certificate.ca.facts.is_ca:
        return None
    if not certificate.is_self_issued:
        return (
            f"it is the certificate of a device or a server, not of a CA: register the CA that signed it, "
            f"{subject_text(certificate.issuer)}. AWS IoT would answer: The CA certificate does not have the "
            "basicConstraints extension as true."
        )
    return (
        "it is self-signed, and not of a CA. "
        "AWS IoT would answer: The CA certificate does not have the basicConstraints extension as true. Make the CA "
        "again with basicConstraints=CA:TRUE (`jitr ca create`, or openssl as docs/own-ca.md shows)"
    )


def out_of_time(certificate: Certificate, now: datetime) -> str | None:
    """Say that it has expired or is not valid yet; None if it is valid now."""
    start, end = certificate.not_before, certificate.not_after
    if end < now:
        return f"it expired on {end:%Y-%m-%d %H:%M} UTC: use the CA's renewed certificate"
    if now < start:
        return f"it is not valid before {start:%Y-%m-%d %H:%M} UTC: wait until then, or check this machine's clock"
    return None


def _weak_key(certificate: Certificate) -> str | None:
    problem = pki.key_problem(certificate.own.facts.key)
    if problem is None:
        return None
    return (
        f"it has {problem}, which AWS IoT refuses: make a CA with RSA of 2048 bits or more, or EC P-256, P-384, P-521"
    )


def weak_hash(certificate: Certificate) -> str | None:
    """Return why AWS IoT refuses the certificate's signature; None if it does not."""
    hash_name = certificate.own.facts.signature.hash
    if hash_name in pki.SIGNATURE_HASHES:
        return None
    return (
        f"it is signed with {hash_name or 'an algorithm that has no hash of its own'}, which AWS IoT refuses: "
        "have it signed anew with SHA-256, SHA-384 or SHA-512"
    )


def may_not_sign(certificate: Certificate) -> str | None:
    """Say that a CA's keyUsage keeps it from signing; None if it may sign."""
    if certificate.ca.facts.may_sign or not certificate.ca.facts.is_ca:
        return None
    return (
        "its keyUsage lacks keyCertSign, so it may not sign certificates (RFC 5280 4.2.1.3), and its devices would be "
        "held: make it again with keyCertSign, or without keyUsage"
    )


def _root_of_others(certificate: Certificate) -> str | None:
    length = certificate.ca.path_length
    if not certificate.is_self_issued or length == 0:
        return None
    # RFC 5280 section 4.2.1.9: without a path length no limit is imposed.
    room = "no path length" if length is None else f"path length {length}"
    return (
        f"it is a root with room for CAs below it ({room}). If those sign the devices, register them instead: AWS IoT "
        "knows a device by the CA that signed it. If it signs the devices itself, this is the one"
    )


def _signed_another(certificate: Certificate, data: bytes) -> str | None:
    """Return whether the file is a chain whose root comes first: AWS IoT wants the CA that signs the devices."""
    try:
        others = [read(each) for each in find_following(data)]
    except Unreadable as problem:
        return f"a certificate that follows in the same file cannot be looked at: {problem}"
    below = [each for each in others if each.ca.facts.is_ca and each.signed_by(certificate)]
    if not below:
        return None
    return (
        f"it signed another CA in the same file, {subject_text(below[0].subject)}. If that one signs the devices, "
        "register it instead: AWS IoT knows a device by the CA that signed it"
    )


def _name_constraints(certificate: Certificate) -> str | None:
    if not certificate.ca.facts.name_constraints:
        return None
    return (
        "it has name constraints, which are not evaluated here: all its devices will be held "
        "(chain.name-constraints). Use a CA without them; rules can say which names may come in"
    )


def require_room(iot: "IoTClient", certificate: Certificate) -> None:
    """Raise InputError if AWS IoT has all the CAs of this subject that it takes; warn at the last place."""
    ids = all_ca_ids(iot)
    if len(ids) < MAX_SAME_SUBJECT - 1:
        return  # too few for it to matter: their subjects, one call each, need not be known
    same = 0
    unreadable = 0
    with telling.progress("Comparing subjects", len(ids)) as advance:
        for each in ids:
            other = described(iot, each)
            if other is not None and other.certificate is None:
                unreadable += 1
            elif other is not None and other.certificate is not None:
                same += rfc4514(other.certificate.subject) == rfc4514(certificate.subject)
            advance(1)
    subject_words = f"the subject {subject_text(certificate.subject)}"
    if unreadable:
        cas, have = counted(unreadable, "registered CA"), "it has" if unreadable == 1 else "they have"
        telling.warn(f"{cas} cannot be read here: whether {have} {subject_words} is not known")
    if same >= MAX_SAME_SUBJECT:
        raise InputError(
            f"{same} CAs with {subject_words} are registered, and AWS IoT takes no more: delete one (`jitr ca ls`), "
            "or make this CA with a subject of its own"
        )
    if same == MAX_SAME_SUBJECT - 1:
        telling.warn(f"this is the tenth CA with {subject_words}: AWS IoT takes no more than {MAX_SAME_SUBJECT}.")
