"""Every command reads a certificate as the deciding code does: the same answer, or the same declared error.

The walk takes odd certificates of three kinds (``testkit.odd_certificates``, the vectors of ``cryptography``, the fuzz
corpus) through every command that takes a file with one. ``pytest -s`` prints what came of it, a line for each.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cryptography_vectors
import pytest
from botocore.exceptions import ClientError
from click.testing import Result
from testkit import pki, requests
from testkit.cli.cas import LONG, TODAY, described
from testkit.cli.command_line import Aws, Openssl, Run
from testkit.odd_certificates import ALL, READABLE

from jitr.decision.chain import verify_chain
from jitr.errors import InputError, Unreadable
from jitr.x509 import der
from jitr.x509.certificate import read_ca, read_certificate
from jitr.x509.signing_request import read_request
from jitr_operations import certificates
from jitr_operations.deployment import Choice
from jitr_operations.files import MAX_FILE

VECTORS = Path(cryptography_vectors.__file__).parent / "x509"
CORPUS = Path(__file__).parents[2] / "fuzz" / "corpus" / "certificate"

RULES = "format: 1\ncas:\n  field: {{{ca}}}\nallow:\n  - {{name: all, ca: field, grant: {{iot_policies: [Sensor]}}}}\n"
_ANY_ID = 'ids: ["{}"]'.format("0" * 64)

# Words of a library, or of Python, that no user should see.
FOREIGN = ("ParseError", "asn1", "ASN.1", "Traceback", "Warning", "a bug in jitr", "ValueError")


def today(draft: pki.CertificateDraft) -> pki.CertificateDraft:
    return draft.valid(TODAY - LONG, TODAY + LONG)


def a_ca() -> pki.CertificateDraft:
    draft = pki.ca_draft("Odd CA").basic_constraints(ca=True).key_usage("keyCertSign", "cRLSign").identifiers()
    return today(draft)


def a_device(issuer: pki.CA) -> pki.CertificateDraft:
    return today(issuer.usual_device("snr-0001"))


class _Nowhere:
    """AWS IoT of an account that has nothing."""

    def get_paginator(self, _: str) -> Any:
        return SimpleNamespace(paginate=lambda **_: iter(()))

    def __getattr__(self, operation: str) -> Any:
        def nothing(**_: Any) -> Any:
            raise ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": "no"}}, operation)

        return nothing


class Walk:
    """A folder with a good CA, a good device and a key, and how each command is given a certificate."""

    def __init__(self, run: Run, folder: Path) -> None:
        self._run = run
        self._folder = folder
        self.file = folder / "odd.pem"
        good = pki.make(today(pki.ca_draft("Good CA").basic_constraints(ca=True)))
        for name, data in {
            "good.pem": good.pem,
            "device.pem": a_device(good).issue().pem,
            "some.key": pki.private_pem(pki.key("P-256", "nobody")),
            "rules.yaml": RULES.format(ca=_ANY_ID).encode(),
            "by-file.yaml": RULES.format(ca="certificate: odd.pem").encode(),
        }.items():
            (folder / name).write_bytes(data)
        self._chain = folder / "chain.pem"

    def run(self, *words: object) -> str:
        """Run a command as with `python -W error`. Returns all that it said."""
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result: Result = self._run(*words)
        assert result.exit_code in (0, 1, 2, 3), result.output
        return result.output

    # --- a CA's certificate

    def explain_ca(self) -> str:
        return self.run("explain", "--rules", "rules.yaml", "--certificate", "device.pem", "--ca", "field=odd.pem")

    def rules_check(self) -> str:
        return self.run("rules", "check", "by-file.yaml")

    def ca_register(self) -> str:
        return self.run("ca", "register", "odd.pem", "--sni-only")

    def ca_register_proof(self) -> str:
        return self.run("ca", "register", "good.pem", "--verification-certificate", "odd.pem")

    def ca_show(self) -> str:
        return self.run("ca", "show", "odd.pem")

    def ca_create(self) -> str:
        return self.run("ca", "create", "below", "--parent", "odd.pem", "--parent-key", "some.key")

    def device_issue(self) -> str:
        return self.run("device", "issue", "snr-1", "--ca", "odd.pem", "--ca-key", "some.key", "--force")

    def device_register_ca(self) -> str:
        return self.run("device", "register", "device.pem", "--ca", "odd.pem")

    def events_make_ca(self) -> str:
        return self.run("events", "make", "0" * 64, "--account", "0" * 12, "--ca", "odd.pem")

    # --- a device's

    def explain(self) -> str:
        return self.run("explain", "--rules", "rules.yaml", "--certificate", "odd.pem", "--ca", "field=good.pem")

    def device_register(self) -> str:
        return self.run("device", "register", "odd.pem")

    def device_activate(self) -> str:
        return self.run("device", "activate", "odd.pem")

    def events_make(self) -> str:
        return self.run("events", "make", "odd.pem", "--account", "0" * 12, "--ca", "0" * 64)

    def device_diagnose(self) -> str:
        where = ("--endpoint", "127.0.0.1:9", "--no-account", "--wait", "0")
        return self.run("device", "diagnose", *where, "--certificate", "odd.pem", "--key", "some.key")


OF_A_CA: Mapping[str, Callable[[Walk], str]] = {
    "explain --ca": Walk.explain_ca,
    "rules check": Walk.rules_check,
    "ca register": Walk.ca_register,
    "ca register --verification-certificate": Walk.ca_register_proof,
    "ca show": Walk.ca_show,
    "ca create --parent": Walk.ca_create,
    "device issue --ca": Walk.device_issue,
    "device register --ca": Walk.device_register_ca,
    "events make --ca": Walk.events_make_ca,
}
OF_A_DEVICE: Mapping[str, Callable[[Walk], str]] = {
    "explain --certificate": Walk.explain,
    "device register": Walk.device_register,
    "device activate": Walk.device_activate,
    "events make": Walk.events_make,
    "device diagnose": Walk.device_diagnose,
}


@pytest.fixture
def walk(run: Run, workdir: Path, monkeypatch: pytest.MonkeyPatch) -> Walk:
    account = SimpleNamespace(
        account_id="0" * 12, region="eu-central-1", announce=lambda: None, client=lambda _: _Nowhere()
    )

    def no_stack(_: Choice) -> Any:
        raise InputError("there is no stack here")

    monkeypatch.setattr(Choice, "account", lambda _: account)
    monkeypatch.setattr(Choice, "deployment", no_stack)
    return Walk(run, workdir)


def problem_of(read: Callable[[bytes], object], data: bytes) -> str | None:
    """Why the deciding code does not read a certificate; None where it does."""
    try:
        read(data)
    except Unreadable as problem:
        return str(problem)
    return None


def the_kit() -> Iterator[tuple[str, bytes]]:
    good = pki.ca("Good CA")
    for name, change in ALL.items():
        yield f"CA: {name}", change(a_ca()).issue().pem
        yield f"device: {name}", change(a_device(good)).issue().pem


def the_corpus() -> Iterator[tuple[str, bytes]]:
    for path in sorted(CORPUS.iterdir()):
        yield path.name, path.read_bytes()


def the_vectors() -> Iterator[tuple[str, bytes]]:
    for path in sorted(VECTORS.rglob("*")):
        # A file that is larger than any certificate is refused before it is read.
        if path.suffix in (".pem", ".der", ".crt", ".cer") and path.stat().st_size <= MAX_FILE:
            yield path.name, path.read_bytes()


@pytest.mark.parametrize("source", [the_kit, the_corpus, the_vectors])
def test_every_command_reads_a_certificate_alike_or_refuses_it_with_the_same_words(
    walk: Walk, source: Callable[[], Iterator[tuple[str, bytes]]]
) -> None:
    differences = []
    for name, data in source():
        walk.file.write_bytes(data)
        cells = []
        for commands, problem in (
            (OF_A_CA, problem_of(lambda each: read_ca(each, status="ACTIVE"), data)),
            (OF_A_DEVICE, problem_of(read_certificate, data)),
        ):
            for command, with_it in commands.items():
                said = with_it(walk)
                ours = problem in said if problem else "cannot be read" not in said
                foreign = [word for word in FOREIGN if word in said]
                if not ours or foreign:
                    differences.append(f"{name}: {command}: {said}")
            cells.append(problem or "read")
        told = f"by {len(OF_A_CA)} commands as a CA's: {cells[0]}; by {len(OF_A_DEVICE)} as a device's: {cells[1]}"
        print(f"{name}: {told}")
    assert not differences, "\n".join(differences)


# --- a CA that can be read signs, too


BY_KIND = pytest.mark.parametrize("kind", READABLE)

# What a decision may hold for, and OpenSSL does not follow.
_NOT_FOLLOWED = {"unknown critical extension", "name constraints damaged", "damaged key identifier"}


def write_odd_ca(kind: str) -> pki.CA:
    """An odd CA's files in the current directory."""
    made = pki.make(READABLE[kind](a_ca()))
    Path("odd.pem").write_bytes(made.pem)
    Path("odd.key").write_bytes(made.issued.private_pem)
    return made


def require_signed(file: Path | bytes, ca: pki.CA) -> None:
    """The certificate's issuer is the CA's subject octet for octet, and its key made the signature."""
    reading = read_certificate(file if isinstance(file, bytes) else file.read_bytes())
    fields = der.children(der.only(reading.signed, der.SEQUENCE))
    assert der.element(*fields[3]) == ca.subject_name
    chain = verify_chain(reading, read_ca(ca.pem, status="ACTIVE"))
    assert (chain.signature_valid, chain.names_equal) == (True, True)


@BY_KIND
def test_an_odd_ca_issues_devices_under_its_own_name_octet_for_octet(
    run: Run, workdir: Path, openssl: Openssl, kind: str
) -> None:
    ca = write_odd_ca(kind)
    issued = run("device", "issue", "snr-1", "--ca", "odd.pem", "--ca-key", "odd.key", "--json")
    assert issued.exit_code == 0, issued.stderr
    require_signed(workdir / "snr-1.pem", ca)
    if kind not in _NOT_FOLLOWED:
        openssl("verify", "-partial_chain", "-CAfile", "odd.pem", "snr-1.pem")


@BY_KIND
def test_an_odd_ca_signs_another_ca_under_its_own_name(run: Run, workdir: Path, kind: str) -> None:
    ca = write_odd_ca(kind)
    made = run("ca", "create", "below", "--parent", "odd.pem", "--parent-key", "odd.key")
    assert made.exit_code == 0, made.stderr
    require_signed(workdir / "below.pem", ca)


@BY_KIND
def test_an_odd_ca_is_registered_as_it_is_with_a_proof_under_its_own_name(
    run: Run, aws: Aws, workdir: Path, kind: str
) -> None:
    ca = write_odd_ca(kind)
    aws.overrides["RegisterCACertificate"] = lambda _: {"certificateId": ca.id, "certificateArn": "arn"}
    run("ca", "register", "odd.pem", "--key", "odd.key")
    sent = aws.parameters("RegisterCACertificate")
    assert sent["caCertificate"].encode() == (workdir / "odd.pem").read_bytes()
    require_signed(sent["verificationCertificate"].encode(), ca)


def test_an_rsa_algorithm_without_its_null_is_read_by_every_command(run: Run, workdir: Path, openssl: Openssl) -> None:
    draft = today(pki.ca_draft("Odd RSA", kind="RSA-2048").basic_constraints(ca=True))
    ca = pki.make(draft.but(algorithm=pki.sequence(pki.oid("1.2.840.113549.1.1.11"))))
    Path("odd.pem").write_bytes(ca.pem)
    Path("odd.key").write_bytes(ca.issued.private_pem)
    issued = run("device", "issue", "snr-1", "--ca", "odd.pem", "--ca-key", "odd.key")
    assert issued.exit_code == 0, issued.stderr
    require_signed(workdir / "snr-1.pem", ca)
    openssl("verify", "-partial_chain", "-CAfile", "odd.pem", "snr-1.pem")


# --- a device's files


def diagnose(run: Run, *more: object) -> str:
    where = ("--endpoint", "127.0.0.1:9", "--no-account", "--wait", "0")
    output: str = run("device", "diagnose", *where, "--certificate", "odd.pem", "--key", "odd.key", *more).output
    return output


@BY_KIND
def test_diagnose_knows_the_key_of_every_certificate_that_can_be_read(run: Run, workdir: Path, kind: str) -> None:
    device = READABLE[kind](a_device(pki.ca("Good CA"))).issue()
    (workdir / "odd.pem").write_bytes(device.pem)
    (workdir / "odd.key").write_bytes(device.private_pem)
    assert "key and certificate belong together" in diagnose(run)


@pytest.mark.parametrize("kind", ALL)
def test_diagnose_counts_every_certificate_of_a_chain_and_names_the_one_that_it_cannot_read(
    run: Run, workdir: Path, kind: str
) -> None:
    ca = pki.make(ALL[kind](a_ca()))
    device = a_device(ca if kind in READABLE else pki.ca("Good CA")).issue()
    (workdir / "odd.pem").write_bytes(device.pem + ca.pem)
    (workdir / "odd.key").write_bytes(device.private_pem)
    said = diagnose(run)
    assert "alone" not in said
    if kind in READABLE:
        assert "and after it its chain (1)" in said
    else:
        problem = problem_of(certificates.read, ca.pem)
        assert problem is not None
        assert f"certificate 2 in odd.pem cannot be read: {problem}" in said


def test_diagnose_says_that_it_cannot_tell_the_key_of_a_certificate_whose_key_cannot_be_used(
    run: Run, workdir: Path
) -> None:
    point = pki.sequence(
        pki.sequence(pki.oid("1.2.840.10045.2.1"), pki.oid("1.2.840.10045.3.1.7")), pki.bit_string(b"\x04" + b"\1" * 64)
    )
    device = a_device(pki.ca("Good CA")).public_key(point).issue()
    (workdir / "odd.pem").write_bytes(device.pem)
    (workdir / "odd.key").write_bytes(device.private_pem)
    said = diagnose(run)
    assert "cannot be told: the certificate cannot be read: its EC public key cannot be used" in said
    assert "is not the key of" not in said


# --- requests


@pytest.mark.parametrize("form", ["der", "pem"])
@pytest.mark.parametrize("kind", requests.READABLE)
def test_every_request_that_openssl_verifies_is_signed_with_its_subject_octet_for_octet(
    run: Run, workdir: Path, openssl: Openssl, kind: str, form: str
) -> None:
    ca = write_odd_ca("as usual")
    data = requests.READABLE[kind]
    (workdir / "asks.csr").write_bytes(data if form == "der" else requests.pem(data))
    issued = run("device", "issue", "--csr", "asks.csr", "--ca", "odd.pem", "--ca-key", "odd.key")
    assert issued.exit_code == 0, issued.stderr
    require_signed(workdir / "asks.pem", ca)
    request, certificate = read_request(data), certificates.read((workdir / "asks.pem").read_bytes())
    assert certificate.ca.subject_der == request.subject_der
    assert certificate.ca.public_key_der == request.public_key_der
    openssl("verify", "-partial_chain", "-CAfile", "odd.pem", "asks.pem")


def test_no_request_of_the_library_s_vectors_is_refused_in_foreign_words(walk: Walk, workdir: Path) -> None:
    write_odd_ca("as usual")
    for path in sorted((VECTORS / "requests").iterdir()):
        (workdir / "asks.csr").write_bytes(path.read_bytes())
        said = walk.run("device", "issue", "--csr", "asks.csr", "--ca", "odd.pem", "--ca-key", "odd.key", "--force")
        print(f"{path.name}: {said.splitlines()[0]}")
        assert not [word for word in FOREIGN if word in said], said


# --- what AWS IoT holds and we cannot read


@pytest.fixture
def unreadable(aws: Aws, workdir: Path) -> str:
    """A registered CA that cannot be read; the id of it, and in the current directory a device, odd.pem and odd.key."""
    held = pki.make(ALL["damaged basicConstraints"](a_ca()))
    aws.overrides["ListCACertificates"] = lambda _: {"certificates": [{"certificateId": held.id}]}
    aws.overrides["DescribeCACertificate"] = described(held)
    device = a_device(pki.ca("Good CA")).issue()
    (workdir / "odd.pem").write_bytes(device.pem)
    (workdir / "odd.key").write_bytes(device.private_pem)
    return held.id


WHY = "the certificate cannot be read: its basicConstraints is damaged"


def test_a_registered_ca_that_cannot_be_read_is_listed_and_told_why(run: Run, unreadable: str) -> None:
    for command in (("ca", "ls", "--no-count"), ("ca", "show", unreadable)):
        result = run(*command)
        assert result.exit_code == 0, result.stderr
        assert unreadable in result.stdout
        assert "(unreadable)" in result.stdout
        assert f"warning: the CA {unreadable} cannot be read: {WHY}" in result.stderr


@pytest.mark.parametrize("more", [(), ("--ca",)])
def test_device_register_does_not_call_a_ca_unregistered_that_it_cannot_read(
    run: Run, unreadable: str, more: tuple[str, ...]
) -> None:
    result = run("device", "register", "odd.pem", *more, *([unreadable] if more else []))
    assert result.exit_code == 2
    assert (
        f"no registered CA that can be read signed it, but CN=Good CA,O=OKIDA,C=TR; these cannot be read: {unreadable}"
        in (result.stderr)
    )
    assert "is not registered" not in result.stderr
    assert WHY in result.stderr


def test_a_registered_device_that_cannot_be_read_is_shown_and_told_why(run: Run, aws: Aws, workdir: Path) -> None:
    device = ALL["damaged basicConstraints"](a_device(pki.ca("Good CA"))).issue()
    aws.overrides["DescribeCertificate"] = lambda _: {
        "certificateDescription": {
            "certificateId": device.sha256,
            "certificateArn": "arn:aws:iot:eu-central-1:123456789012:cert/" + device.sha256,
            "certificatePem": device.pem.decode(),
            "status": "PENDING_ACTIVATION",
            "creationDate": TODAY,
        }
    }
    aws.overrides["ListAttachedPolicies"] = lambda _: {"policies": []}
    aws.overrides["ListPrincipalThings"] = lambda _: {"things": []}
    result = run("device", "show", device.sha256)
    assert result.exit_code == 0, result.stderr
    assert f"warning: {device.sha256}: {WHY}" in result.stderr
