"""``jitr ca``: certificate authorities, from making one to deleting one."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import click
from cryptography import x509
from cryptography.x509.oid import NameOID

from jitr.errors import InputError, Retry
from jitr_cli import output, pki
from jitr_cli.deployment import Choice, aws_options
from jitr_cli.files import (
    file_name,
    passphrase_from,
    read_certificate,
    read_passphrase,
    read_private_key,
    require_pair,
    staged,
)

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

F = TypeVar("F", bound=Callable[..., Any])

FILE = click.Path(path_type=Path)
DAYS = 365
DAYS_HELP = f"Validity in days; by default {DAYS}, and not beyond the CA that signs."
MAX_DAYS = 3_000_000  # to the year 9999; where exactly it ends is said when the certificate is made

# "Maximum number of CA certificates with the same subject field allowed per AWS account per Region".
# https://docs.aws.amazon.com/general/latest/gr/iot-core.html
MAX_SAME_SUBJECT = 10


@click.group()
def ca() -> None:
    """Certificate authorities: make them, register them with AWS IoT, look after them."""


# --- create


def subject_options(command: F) -> F:
    """The subject of a certificate by options; the command gets ``subject``, a SubjectParts."""

    def collected(*args: Any, **kwargs: Any) -> Any:
        text = kwargs.pop("subject")
        values = {name: value for name in _SUBJECT if (value := kwargs.pop(name)) is not None}
        if text is not None and values:
            raise click.UsageError(f"--subject says all of it: leave out --{next(iter(values)).replace('_', '-')}.")
        return command(*args, subject=pki.SubjectParts(values, text), **kwargs)

    collected.__doc__, collected.__name__ = command.__doc__, command.__name__
    collected.__dict__.update(command.__dict__)
    decorated: Any = click.option(
        "--subject", metavar="NAME", help="All of the subject (RFC 4514), like CN=snr-1,O=OKIDA,C=TR."
    )(collected)
    for name in reversed(_SUBJECT):
        decorated = click.option(f"--{name.replace('_', '-')}", help=_SUBJECT[name])(decorated)
    return decorated  # type: ignore[no-any-return]


_SUBJECT = {
    "common_name": "Subject: common name (CN); by default NAME.",
    "organization": "Subject: organization (O).",
    "organizational_unit": "Subject: organizational unit (OU).",
    "country": "Subject: country (C), two letters.",
    "state": "Subject: state or province (ST).",
    "locality": "Subject: locality (L).",
}


@dataclass(frozen=True)
class _ParentFiles:
    """Where the CA above is; ``certificate`` and ``key`` are both there or both not."""

    certificate: Path | None
    key: Path | None
    passphrase_file: Path | None

    def issuer(self, now: datetime) -> pki.Issuer | None:
        """The parent, read. Raises InputError for files that are not a CA's, or no longer valid."""
        if self.certificate is None or self.key is None:
            if self.certificate is not self.key:
                raise click.UsageError("--parent and --parent-key belong together: give both or neither.")
            return None
        return read_issuer(self.certificate, self.key, self.passphrase_file, now, "--parent-passphrase-file")


def read_issuer(certificate: Path, key: Path, passphrase_file: Path | None, now: datetime, option: str) -> pki.Issuer:
    """A CA and its key from their files. Raises InputError unless they belong together and may sign now."""
    found = read_certificate(certificate)
    if not pki.is_ca(found):
        raise InputError(f"{certificate} is not a CA (basicConstraints CA:TRUE): give the certificate of a CA")
    for problem in (_out_of_time(found, now), _may_not_sign(found)):
        if problem:
            raise InputError(f"{certificate}: {problem}")
    private = read_private_key(key, passphrase_from(passphrase_file, key, option))
    require_pair(found, certificate, private, key)
    return pki.Issuer(found, private)


@ca.command()
@click.argument("name", metavar="NAME")
@subject_options
@click.option("--key-type", default="ec:p256", show_default=True, metavar="TYPE", help="rsa:BITS or ec:CURVE.")
@click.option("--days", type=click.IntRange(1, MAX_DAYS), help=DAYS_HELP)
@click.option("--parent", type=FILE, metavar="CERT", help="The CA that signs this one; self-signed without.")
@click.option("--parent-key", type=FILE, metavar="KEY", help="Its key.")
@click.option("--parent-passphrase-file", type=FILE, metavar="FILE", help="The passphrase of the parent's key.")
@click.option("--path-length", type=click.IntRange(0, 100), metavar="N", help="CAs allowed below; 0 with a parent.")
@click.option("--passphrase-file", type=FILE, metavar="FILE", help="Encrypt the key with the first line of FILE.")
@click.option("--out-dir", type=FILE, default=Path(), metavar="DIR", help="Where the files go; made if need be.")
@click.option("--force", is_flag=True, help="Replace files that exist.")
@click.option("--print-openssl", is_flag=True, help="Print what does the same with openssl, and make nothing.")
@output.json_option
def create(
    name: str,
    subject: pki.SubjectParts,
    key_type: str,
    days: int | None,
    parent: Path | None,
    parent_key: Path | None,
    parent_passphrase_file: Path | None,
    path_length: int | None,
    passphrase_file: Path | None,
    out_dir: Path,
    force: bool,
    print_openssl: bool,
    as_json: bool,
) -> None:
    """Make a CA: NAME.pem and NAME.key. NAME may be a path.

    \b
    Examples:
      jitr ca create factory-a --organization OKIDA --country TR
      jitr ca create root --key-type ec:p384 --days 3650 --passphrase-file secret.txt
      jitr ca create batch-7 --parent root.pem --parent-key root.key
      jitr ca create factory-a --key-type rsa:2048 --print-openssl
    """
    stem = Path(name).name.removesuffix(".pem")
    directory = out_dir / Path(name).parent
    kind = pki.parse_key_type(key_type)
    file_name(stem)
    wanted = subject.name(stem if subject.text is None else None)
    above = _ParentFiles(parent, parent_key, parent_passphrase_file)
    if path_length is None and parent is not None:
        path_length = 0
    if print_openssl:
        script = _script(directory / stem, wanted, kind, days or DAYS, path_length, above, passphrase_file)
        output.emit(as_json, {"script": script}, script)
        return
    now = datetime.now(UTC)
    issuer = above.issuer(now)
    passphrase = read_passphrase(passphrase_file) if passphrase_file else None
    with staged(directory, [f"{stem}.pem", f"{stem}.key"], force=force) as stage:
        key = pki.new_key(kind)
        certificate = pki.make_ca(
            wanted,
            key,
            serial_number=pki.random_serial(),
            now=now,
            validity=validity_for(days, issuer, now),
            path_length=path_length,
            parent=issuer,
        )
        key_file = stage.write(f"{stem}.key", pki.private_pem(key, passphrase), private=True)
        file = stage.write(f"{stem}.pem", pki.certificate_pem(certificate))
    if issuer:
        warn_if_outlived(certificate, issuer.certificate, "The CA")
    document = _facts(certificate) | {"certificate": file, "key": key_file}
    output.emit(as_json, document, lambda: _tell_created(certificate, file, key_file))


def _script(
    stem: Path,
    subject: x509.Name,
    kind: pki.KeyType,
    days: int,
    path_length: int | None,
    above: _ParentFiles,
    passphrase_file: Path | None,
) -> str:
    if (above.certificate is None) != (above.key is None):
        raise click.UsageError("--parent and --parent-key belong together: give both or neither.")
    digest = kind.hash_name
    if above.certificate is not None:
        signer: Any = read_certificate(above.certificate).public_key()
        digest = pki.signing_hash(signer).name
    return pki.openssl_script(
        pki.OpensslCa(
            str(stem),
            subject,
            kind,
            days,
            path_length,
            _text(above.certificate),
            _text(above.key),
            digest,
            _text(passphrase_file),
            _text(above.passphrase_file),
        )
    )


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def validity_for(days: int | None, issuer: pki.Issuer | None, now: datetime) -> timedelta:
    """How long a certificate is to be valid: as long as asked for, or else DAYS but not beyond its CA."""
    if days is not None or issuer is None:
        return timedelta(days=DAYS if days is None else days)
    return min(timedelta(days=DAYS), issuer.certificate.not_valid_after_utc - now)


def warn_if_outlived(certificate: x509.Certificate, issuer: x509.Certificate, what: str) -> None:
    """Warn where a certificate is valid for longer than the CA that signed it."""
    if certificate.not_valid_after_utc > issuer.not_valid_after_utc:
        output.warn(
            f"{what} is valid until {_day(certificate)}, and the CA that signed it until {_day(issuer)} only: "
            "from then on nothing that it signed gets in."
        )


def _tell_created(certificate: x509.Certificate, file: Path, key_file: Path) -> None:
    click.echo(f"Made {output.safe(str(file))} and {output.safe(str(key_file))}.")
    output.pairs(
        [
            ("subject", subject_text(certificate.subject)),
            ("caCertificateId", pki.certificate_sha256(certificate)),
            ("valid until", certificate.not_valid_after_utc),
        ]
    )
    output.note(f"Next: jitr ca register {file} --key {key_file}")


def subject_text(name: x509.Name) -> str:
    """A name as one safe line."""
    return output.safe(name.rfc4514_string()) or "(empty)"


def _day(certificate: x509.Certificate) -> str:
    return certificate.not_valid_after_utc.date().isoformat()


def _facts(certificate: x509.Certificate) -> dict[str, Any]:
    return {
        "ca_certificate_id": pki.certificate_sha256(certificate),
        "subject": certificate.subject.rfc4514_string(),
        "serial_number": f"{certificate.serial_number:x}",
        "not_before": certificate.not_valid_before_utc,
        "not_after": certificate.not_valid_after_utc,
    }


# --- what AWS would refuse, or people regret


def examine(certificate: x509.Certificate, now: datetime) -> tuple[list[str], list[str]]:
    """What speaks against registering a CA: errors, then warnings. Each says what to do."""
    checks = (_not_a_ca(certificate), _out_of_time(certificate, now), _weak_key(certificate), _weak_hash(certificate))
    errors = [each for each in (*checks, _may_not_sign(certificate)) if each]
    warnings = [each for each in (_root_of_others(certificate), _name_constraints(certificate)) if each]
    return errors, warnings


def _not_a_ca(certificate: x509.Certificate) -> str | None:
    if pki.is_ca(certificate):
        return None
    if _looks_like_a_leaf(certificate):
        return (
            f"it is the certificate of a device or a server, not of a CA: register the CA that signed it, "
            f"{subject_text(certificate.issuer)}. AWS IoT would answer: The CA certificate does not have the "
            "basicConstraints extension as true."
        )
    return (
        "AWS IoT would answer: The CA certificate does not have the basicConstraints extension as true. Make the CA "
        "again with basicConstraints=CA:TRUE (`jitr ca create`, or `--print-openssl` for how)"
    )


def _looks_like_a_leaf(certificate: x509.Certificate) -> bool:
    constraints = pki.extension(certificate, x509.BasicConstraints)
    named = certificate.issuer != certificate.subject
    return named or constraints is not None or pki.extension(certificate, x509.ExtendedKeyUsage) is not None


def _out_of_time(certificate: x509.Certificate, now: datetime) -> str | None:
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if end < now:
        return f"it expired on {end:%Y-%m-%d %H:%M} UTC: use the CA's renewed certificate"
    if now < start:
        return f"it is not valid before {start:%Y-%m-%d %H:%M} UTC: wait until then, or check this machine's clock"
    return None


def _weak_key(certificate: x509.Certificate) -> str | None:
    problem = pki.key_problem(certificate.public_key())
    if problem is None:
        return None
    return (
        f"it has {problem}, which AWS IoT refuses: make a CA with RSA of 2048 bits or more, or EC P-256, P-384, P-521"
    )


def _weak_hash(certificate: x509.Certificate) -> str | None:
    hash_name = pki.signature_hash(certificate)
    if hash_name in pki.SIGNATURE_HASHES:
        return None
    return (
        f"it is signed with {hash_name or 'an algorithm that has no hash of its own'}, which AWS IoT refuses: "
        "have it signed anew with SHA-256, SHA-384 or SHA-512"
    )


def _may_not_sign(certificate: x509.Certificate) -> str | None:
    usage = pki.extension(certificate, x509.KeyUsage)
    if usage is None or usage.key_cert_sign or not pki.is_ca(certificate):
        return None
    return (
        "its keyUsage lacks keyCertSign, so it may not sign certificates (RFC 5280 4.2.1.3), and its devices would be "
        "held: make it again with keyCertSign, or without keyUsage"
    )


def _root_of_others(certificate: x509.Certificate) -> str | None:
    constraints = pki.extension(certificate, x509.BasicConstraints)
    room = constraints.path_length if constraints and constraints.ca else None
    if certificate.issuer != certificate.subject or not room:
        return None
    return (
        f"it is a root with room for CAs below it (path length {room}). If those sign the devices, register them "
        "instead: AWS IoT knows a device by the CA that signed it"
    )


def _name_constraints(certificate: x509.Certificate) -> str | None:
    if pki.extension(certificate, x509.NameConstraints) is None:
        return None
    return (
        "it has name constraints, which are not evaluated here: all its devices will be held "
        "(chain.name-constraints). Use a CA without them; rules can say which names may come in"
    )


def _require_fit(certificate: x509.Certificate, file: Path, now: datetime) -> None:
    errors, warnings = examine(certificate, now)
    if errors:
        raise InputError("\n".join(f"{file}: {each}" for each in errors))
    for each in warnings:
        output.warn(f"{file}: {each}")


# --- register


@dataclass(frozen=True)
class Wanted:
    """How a CA is to be registered."""

    active: bool
    auto_registration: bool
    sni_only: bool
    tags: tuple[tuple[str, str], ...]

    @property
    def status(self) -> str:
        """AWS IoT's word for it."""
        return "ACTIVE" if self.active else "INACTIVE"

    @property
    def auto_registration_status(self) -> str:
        """AWS IoT's word for it."""
        return "ENABLE" if self.auto_registration else "DISABLE"

    @property
    def mode(self) -> str:
        """AWS IoT's word for it."""
        return "SNI_ONLY" if self.sni_only else "DEFAULT"


@dataclass(frozen=True)
class Registered:
    """A CA as AWS IoT holds it."""

    id: str
    arn: str
    pem: str
    status: str
    auto_registration: str
    mode: str
    template: str | None  # a provisioning template, which activates certificates past the rules
    created: datetime | None = None

    @property
    def certificate(self) -> x509.Certificate | None:
        """Its certificate, unless that cannot be read."""
        try:
            return x509.load_pem_x509_certificate(self.pem.encode())
        except ValueError:
            return None

    def to_json(self) -> dict[str, Any]:
        """As ``--json`` prints it."""
        certificate = self.certificate
        return {
            "ca_certificate_id": self.id,
            "arn": self.arn,
            "subject": certificate.subject.rfc4514_string() if certificate else None,
            "status": self.status,
            "auto_registration": self.auto_registration == "ENABLE",
            "mode": self.mode,
            "provisioning_template": self.template,
            "not_after": certificate.not_valid_after_utc if certificate else None,
        }


_PROOFS = "--key (the CA's key), --verification-certificate (made elsewhere with it), or --sni-only (no proof)"


@ca.command()
@click.argument("certificate", type=FILE, metavar="CA.pem")
@click.option("--key", type=FILE, metavar="KEY", help="The CA's key; it never leaves this machine.")
@click.option("--passphrase-file", type=FILE, metavar="FILE", help="The key's passphrase; asked for without.")
@click.option("--verification-certificate", type=FILE, metavar="FILE", help="Instead of --key: see verification-csr.")
@click.option("--sni-only", is_flag=True, help="Mode SNI_ONLY: without proof, and other accounts may have the CA too.")
@click.option("--no-auto-registration", is_flag=True, help="Do not register its devices when they first connect.")
@click.option("--inactive", is_flag=True, help="Leave it INACTIVE.")
@click.option("--tag", "tags", multiple=True, metavar="K=V", help="Tag it; may be repeated.")
@click.option("--yes", is_flag=True, help="Do not ask before an already registered CA is made INACTIVE or less.")
@aws_options
@output.json_option
def register(
    certificate: Path,
    key: Path | None,
    passphrase_file: Path | None,
    verification_certificate: Path | None,
    sni_only: bool,
    no_auto_registration: bool,
    inactive: bool,
    tags: tuple[str, ...],
    yes: bool,
    choice: Choice,
    as_json: bool,
) -> None:
    """Register a CA with AWS IoT: checked, proven to be yours, ACTIVE, its devices registered as they connect.

    Run it again after whatever went wrong: it carries on. A CA that is registered already is brought to what the
    options ask for.

    \b
    Examples:
      jitr ca register factory-a.pem --key factory-a.key
      jitr ca register factory-a.pem --key factory-a.key --local
      jitr ca register factory-a.pem --verification-certificate verification.pem --tag plant=izmir
      jitr ca register factory-a.pem --sni-only --region eu-central-1
    """
    if key and verification_certificate:
        raise click.UsageError("--key and --verification-certificate exclude each other.")
    if not (key or verification_certificate or sni_only):
        raise click.UsageError(f"Give one of {_PROOFS}.")
    if verification_certificate and sni_only:
        raise click.UsageError("--verification-certificate and --sni-only exclude each other: there is no proof then.")
    now = datetime.now(UTC)
    wanted = Wanted(not inactive, not no_auto_registration, sni_only, tuple(_tag(each) for each in tags))
    found = read_certificate(certificate)
    _require_fit(found, certificate, now)
    proof = _proof(found, certificate, key, passphrase_file, verification_certificate, now)
    account = choice.account()
    account.announce()
    registered, before = _register(account.client("iot"), found, proof, wanted, yes)
    document = registered.to_json() | {
        "was_registered": before,
        "account_id": account.account_id,
        "region": account.region,
    }
    output.emit(as_json, document, lambda: _tell_registered(registered, before, certificate.stem))


def _tag(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise InputError(f"--tag {text[:80]!r}: write it as KEY=VALUE")
    return name, value


# What the verification certificate's PEM is, given the registration code; None in mode SNI_ONLY.
Proof: TypeAlias = Callable[[str], bytes]


def _proof(
    certificate: x509.Certificate,
    file: Path,
    key_file: Path | None,
    passphrase_file: Path | None,
    verification_file: Path | None,
    now: datetime,
) -> Proof | None:
    """Read what proves that the CA is ours; all that can be wrong with it without asking AWS is found here."""
    if verification_file is not None:
        return _proof_from_elsewhere(certificate, file, verification_file, now)
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
        return pki.certificate_pem(verification)

    return made


def _proof_from_elsewhere(certificate: x509.Certificate, file: Path, verification_file: Path, now: datetime) -> Proof:
    verification = read_certificate(verification_file)
    if not pki.signed_by(verification, certificate):
        raise InputError(
            f"{verification_file} was not signed with the key of {file}, but by {subject_text(verification.issuer)}: "
            "have that CA sign the request that `jitr ca verification-csr` makes"
        )
    problem = _out_of_time(verification, now)
    if problem:
        raise InputError(f"{verification_file}: {problem.partition(':')[0]}: have the CA sign the request again")

    def checked(code: str) -> bytes:
        names = verification.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        if [each.value for each in names] != [code]:
            raise InputError(
                f"{verification_file} has the subject {subject_text(verification.subject)}, and this account's "
                f"registration code here is {code}: make the request for this account and Region "
                "(`jitr ca verification-csr`), and have the CA sign that"
            )
        return pki.certificate_pem(verification)

    return checked


def _register(
    iot: "IoTClient", certificate: x509.Certificate, proof: Proof | None, wanted: Wanted, yes: bool
) -> tuple[Registered, bool]:
    """Register the CA, or bring it in line if it is; how it is then, and whether it was registered before."""
    ca_id = pki.certificate_sha256(certificate)
    existing = described(iot, ca_id)
    if existing is not None:
        output.note(f"Already registered: caCertificateId {ca_id}")
        _bring_in_line(iot, existing, wanted, yes)
    else:
        _require_room(iot, certificate)
        _register_new(iot, certificate, proof, wanted)
    registered = described(iot, ca_id)
    if registered is None:
        raise Retry("missing", f"AWS IoT does not show the CA {ca_id} yet; run it again in a moment")
    return registered, existing is not None


def described(iot: "IoTClient", ca_id: str) -> Registered | None:
    """A CA as AWS IoT holds it; None where it holds none of that id."""
    from botocore.exceptions import ClientError

    try:
        answer = iot.describe_ca_certificate(certificateId=ca_id)
    except ClientError as problem:
        if problem.response["Error"]["Code"] == "ResourceNotFoundException":
            return None
        raise
    found = answer["certificateDescription"]
    configuration = answer.get("registrationConfig") or {}
    body = "one given in its registration" if configuration.get("templateBody") else None
    return Registered(
        id=found["certificateId"],
        arn=found["certificateArn"],
        pem=found["certificatePem"],
        status=found["status"],
        auto_registration=found.get("autoRegistrationStatus", "DISABLE"),
        mode=found.get("certificateMode", "DEFAULT"),
        template=configuration.get("templateName") or body,
        created=found.get("creationDate"),
    )


def _register_new(iot: "IoTClient", certificate: x509.Certificate, proof: Proof | None, wanted: Wanted) -> None:
    request: dict[str, Any] = {
        "caCertificate": pki.certificate_pem(certificate).decode(),
        "setAsActive": wanted.active,
        "allowAutoRegistration": wanted.auto_registration,
    }
    if wanted.sni_only:
        request["certificateMode"] = "SNI_ONLY"
    elif proof is not None:
        code = iot.get_registration_code()["registrationCode"]
        request["verificationCertificate"] = proof(code).decode()
    if wanted.tags:
        request["tags"] = _aws_tags(wanted)
    iot.register_ca_certificate(**request)


def _aws_tags(wanted: Wanted) -> list[Any]:
    return [{"Key": name, "Value": value} for name, value in wanted.tags]


def _bring_in_line(iot: "IoTClient", existing: Registered, wanted: Wanted, yes: bool) -> None:
    if existing.template is not None:
        raise InputError(
            f"the CA {existing.id} has a provisioning template attached ({existing.template}): it activates devices by "
            "itself, and the rules would never see them. Take it off first: `aws iot update-ca-certificate "
            f"--certificate-id {existing.id} --remove-auto-registration`"
        )
    if existing.mode != wanted.mode:
        output.warn(
            f"it is registered in mode {existing.mode}, and stays so: to change it, delete and register it again."
        )
    _require_assent(existing, wanted, yes)
    changes: dict[str, Any] = {}
    if existing.status != wanted.status:
        changes["newStatus"] = wanted.status
    if existing.auto_registration != wanted.auto_registration_status:
        changes["newAutoRegistrationStatus"] = wanted.auto_registration_status
    if changes:
        iot.update_ca_certificate(certificateId=existing.id, **changes)
    if wanted.tags:
        iot.tag_resource(resourceArn=existing.arn, tags=_aws_tags(wanted))


def _require_assent(existing: Registered, wanted: Wanted, yes: bool) -> None:
    """Ask before anything is taken away from a CA that is at work."""
    losses = []
    if existing.status == "ACTIVE" and not wanted.active:
        losses.append("make it INACTIVE")
    if existing.auto_registration == "ENABLE" and not wanted.auto_registration:
        losses.append("turn its auto-registration off")
    if losses:
        output.confirm(f"{' and '.join(losses).capitalize()}? No new device under it will be registered then.", yes)


def _require_room(iot: "IoTClient", certificate: x509.Certificate) -> None:
    """Raises InputError where AWS IoT has as many CAs of this subject as it takes; warns at the last place."""
    ids = all_ca_ids(iot)
    if len(ids) < MAX_SAME_SUBJECT - 1:
        return  # too few for it to matter: their subjects, one call each, need not be known
    same = 0
    with output.progress("Comparing subjects", len(ids)) as advance:
        for each in ids:
            other = described(iot, each)
            subject = other.certificate.subject if other and other.certificate else None
            same += subject == certificate.subject
            advance(1)
    subject_words = f"the subject {subject_text(certificate.subject)}"
    if same >= MAX_SAME_SUBJECT:
        raise InputError(
            f"{same} CAs with {subject_words} are registered, and AWS IoT takes no more: delete one (`jitr ca ls`), "
            "or make this CA with a subject of its own"
        )
    if same == MAX_SAME_SUBJECT - 1:
        output.warn(f"this is the tenth CA with {subject_words}: AWS IoT takes no more than {MAX_SAME_SUBJECT}.")


def all_ca_ids(iot: "IoTClient") -> list[str]:
    """The ids of all registered CAs."""
    pages = iot.get_paginator("list_ca_certificates").paginate(PaginationConfig={"PageSize": 250})
    return [each["certificateId"] for page in pages for each in page["certificates"]]


def _tell_registered(registered: Registered, before: bool, stem: str) -> None:
    certificate = registered.certificate
    click.echo("Registered already, and as asked for now." if before else "Registered.")
    output.pairs(
        [
            ("caCertificateId", registered.id),
            ("subject", subject_text(certificate.subject) if certificate else ""),
            ("status", registered.status),
            ("auto-registration", "on" if registered.auto_registration == "ENABLE" else "off"),
            ("mode", registered.mode),
        ]
    )
    click.echo(f'\nIn the rules file:\n\ncas:\n  {alias_for(stem)}:\n    ids: ["{registered.id}"]')


def alias_for(stem: str) -> str:
    """An alias for the rules file made of a file's name."""
    return re.sub("[^a-z0-9]+", "-", stem.lower()).strip("-") or "my-ca"


@ca.command("verification-csr")
@click.option("--out", type=FILE, metavar="FILE", help="Write it there instead of standard output.")
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@aws_options
@output.json_option
def verification_csr(out: Path | None, force: bool, choice: Choice, as_json: bool) -> None:
    """Make the request for a verification certificate, for a CA whose key is kept elsewhere.

    The CA signs it there, as it would a device's; `jitr ca register CA.pem --verification-certificate FILE` takes
    what comes back. The request's own key is thrown away: AWS IoT never asks for it.

    \b
    Example:
      jitr ca verification-csr --out verification.csr
      openssl x509 -req -in verification.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 1 -out verification.pem
      jitr ca register ca.pem --verification-certificate verification.pem
    """
    code = choice.account().client("iot").get_registration_code()["registrationCode"]
    request = pki.make_verification_request(pki.new_key(pki.KeyType(curve="p256")), code)
    pem = pki.request_pem(request)
    if out is not None:
        with staged(out.parent, [out.name], force=force) as stage:
            stage.write(out.name, pem)
    document = {"registration_code": code, "csr": pem.decode(), "file": out}
    output.emit(as_json, document, "" if out else pem.decode().rstrip())
    if out and not as_json:
        output.note(f"Wrote {out}. Have the CA sign it.")


# --- look after them


_FOLLOWS = "No new device under it will be registered; devices that are registered stay as they are, and connect."


@ca.command("ls")
@aws_options
@output.json_option
def ls(choice: Choice, as_json: bool) -> None:
    """All registered CAs: subject, status, auto-registration, mode, and how long they are valid."""
    iot = choice.account().client("iot")
    ids = all_ca_ids(iot)
    with output.progress("Reading CAs", len(ids)) as advance:
        found = [each for ca_id in ids if (each := _described_and_told(iot, ca_id, advance)) is not None]
    for each in found:
        _warn_of_template(each)
    now = datetime.now(UTC)
    rows = [_row(each, now) for each in found]
    columns = ("caCertificateId", "subject", "status", "auto-registration", "mode", "valid until", "days left")
    output.emit(as_json, {"cas": [each.to_json() for each in found]}, lambda: output.table(columns, rows))
    if not found and not as_json:
        output.note("No CA is registered here: `jitr ca register` registers one.")


def _described_and_told(iot: "IoTClient", ca_id: str, advance: Callable[[int], None]) -> Registered | None:
    found = described(iot, ca_id)  # None: deleted since it was listed
    advance(1)
    return found


def _row(registered: Registered, now: datetime) -> tuple[object, ...]:
    certificate = registered.certificate
    end = certificate.not_valid_after_utc if certificate else None
    return (
        registered.id,
        subject_text(certificate.subject) if certificate else "(unreadable)",
        registered.status,
        "on" if registered.auto_registration == "ENABLE" else "off",
        registered.mode,
        end,
        (end - now).days if end else None,
    )


def _warn_of_template(registered: Registered) -> None:
    if registered.template is not None:
        output.warn(
            f"the CA {registered.id} has a provisioning template attached ({registered.template}): it activates "
            "devices by itself, and the rules never see them"
        )


@ca.command()
@click.argument("which", metavar="CA")
@aws_options
@output.json_option
def show(which: str, choice: Choice, as_json: bool) -> None:
    """One registered CA, and how many device certificates it has registered, by status.

    CA is a caCertificateId, its first 8 digits or more, or the CA's certificate file.
    """
    iot = choice.account().client("iot")
    found = _find(iot, which)
    _warn_of_template(found)
    devices = _devices_by_status(iot, found.id)
    document = found.to_json() | {"created": found.created, "devices": devices}
    named = [(each, value) for each, value in document.items() if each not in ("devices", "provisioning_template")]
    counted = [(f"devices {status}", count) for status, count in devices.items()] or [("devices", 0)]
    output.emit(as_json, document, lambda: output.pairs([*named, *counted]))


def _devices_by_status(iot: "IoTClient", ca_id: str) -> dict[str, int]:
    counts: Counter[str] = Counter()
    pages = iot.get_paginator("list_certificates_by_ca").paginate(
        caCertificateId=ca_id, PaginationConfig={"PageSize": 250}
    )
    with output.progress("Counting devices", None) as advance:
        for page in pages:
            counts.update(each["status"] for each in page["certificates"])
            advance(len(page["certificates"]))
    return dict(sorted(counts.items()))


def _find(iot: "IoTClient", which: str) -> Registered:
    """The CA that is meant by an id, the beginning of one, or a file. Raises InputError if there is not exactly one."""
    ca_id = which.lower()
    if Path(which).is_file():
        ca_id = pki.certificate_sha256(read_certificate(Path(which)))
    elif not re.fullmatch("[0-9a-f]{8,64}", ca_id):
        raise InputError(
            f"{which!r} is neither a caCertificateId (8 digits of it or more) nor a file: see `jitr ca ls`"
        )
    elif len(ca_id) < 64:
        fitting = [each for each in all_ca_ids(iot) if each.startswith(ca_id)]
        if len(fitting) != 1:
            raise InputError(
                f"{len(fitting)} CAs have an id that begins with {which}: `jitr ca ls` prints them in full"
            )
        ca_id = fitting[0]
    found = described(iot, ca_id)
    if found is None:
        raise InputError(f"no CA {ca_id} is registered in this account and Region: `jitr ca ls` prints those that are")
    return found


def _change(command: F) -> F:
    """What activate, deactivate and delete have in common."""
    decorated: Any = output.json_option(command)
    return click.argument("which", metavar="CA")(aws_options(decorated))  # type: ignore[no-any-return]


@ca.command()
@_change
def activate(which: str, choice: Choice, as_json: bool) -> None:
    """Make a CA ACTIVE: new devices under it are registered, if its auto-registration is on.

    CA is a caCertificateId, its first 8 digits or more, or the CA's certificate file.
    """
    account = choice.account()
    account.announce()
    iot = account.client("iot")
    found = _find(iot, which)
    if found.template is not None:
        _warn_of_template(found)
        raise InputError(f"take the provisioning template off the CA {found.id} before you activate it")
    iot.update_ca_certificate(certificateId=found.id, newStatus="ACTIVE")
    _tell_changed(as_json, found, "ACTIVE")
    if found.auto_registration != "ENABLE":
        output.warn("its auto-registration is off: `jitr ca register` with its certificate turns it on.")


@ca.command()
@_change
@click.option("--yes", is_flag=True, help="Do not ask.")
def deactivate(which: str, choice: Choice, yes: bool, as_json: bool) -> None:
    """Make a CA INACTIVE: no new device under it is registered. Registered devices are not touched.

    CA is a caCertificateId, its first 8 digits or more, or the CA's certificate file.
    """
    account = choice.account()
    account.announce()
    iot = account.client("iot")
    found = _find(iot, which)
    if found.status == "ACTIVE":
        output.confirm(f"Make the CA {_words(found)} INACTIVE? {_FOLLOWS}", yes)
        iot.update_ca_certificate(certificateId=found.id, newStatus="INACTIVE")
    _tell_changed(as_json, found, "INACTIVE")


@ca.command()
@_change
@click.option("--deactivate", "deactivate_first", is_flag=True, help="Make it INACTIVE first if it is ACTIVE.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(which: str, choice: Choice, deactivate_first: bool, yes: bool, as_json: bool) -> None:
    """Delete a CA from AWS IoT. Registered devices are not touched; the CA's own files are not either.

    CA is a caCertificateId, its first 8 digits or more, or the CA's certificate file.
    """
    account = choice.account()
    account.announce()
    iot = account.client("iot")
    found = _find(iot, which)
    if found.status == "ACTIVE" and not deactivate_first:
        raise InputError(f"the CA {found.id} is ACTIVE, and AWS IoT deletes only INACTIVE ones: add --deactivate")
    output.confirm(f"Delete the CA {_words(found)}? {_FOLLOWS} Held devices under it stay held.", yes)
    if found.status == "ACTIVE":
        iot.update_ca_certificate(certificateId=found.id, newStatus="INACTIVE")
    iot.delete_ca_certificate(certificateId=found.id)
    _tell_changed(as_json, found, "deleted")


def _words(registered: Registered) -> str:
    certificate = registered.certificate
    return f"{registered.id} ({subject_text(certificate.subject)})" if certificate else registered.id


def _tell_changed(as_json: bool, registered: Registered, status: str) -> None:
    output.emit(as_json, {"ca_certificate_id": registered.id, "status": status}, f"{_words(registered)}: {status}")
