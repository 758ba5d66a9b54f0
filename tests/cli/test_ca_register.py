"""`jitr ca register` and `verification-csr`: what is refused before AWS is asked, and what AWS IoT is asked for."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError
from cryptography import x509
from testkit import pki as drafts
from testkit.cli.cas import LONG, TODAY, create, described, of_one_subject, refusing, sound, text_of, write_ca
from testkit.cli.command_line import REGION, Aws, Openssl, Run

pytestmark = pytest.mark.usefixtures("workdir")

# --- register: what is refused before AWS is asked


def _leaf() -> drafts.CertificateDraft:
    return drafts.ca("Factory A").usual_device()


AWS_WORDS = "The CA certificate does not have the basicConstraints extension as true"


@pytest.mark.parametrize(
    ("draft", "says"),
    [
        (lambda: drafts.ca_draft(), AWS_WORDS),
        (lambda: drafts.ca_draft().v1(), AWS_WORDS),
        (_leaf, "a device or a server, not of a CA: register the CA that signed it, CN=Factory A,O=OKIDA,C=TR"),
        (lambda: drafts.ca_draft().basic_constraints(ca=False), "not of a CA"),
        (lambda: sound().valid(TODAY - LONG, TODAY - timedelta(days=1)), "it expired on"),
        (lambda: sound().valid(TODAY + timedelta(days=1), TODAY + LONG), "it is not valid before"),
        (
            lambda: drafts.ca_draft(kind="RSA-1024").basic_constraints(ca=True),
            "an RSA key of 1024 bits, which AWS IoT refuses",
        ),
        (lambda: drafts.ca_draft(kind="secp256k1").basic_constraints(ca=True), "a key on the curve secp256k1"),
        (lambda: sound().signed_with("sha1"), "signed with sha1, which AWS IoT refuses"),
        (lambda: drafts.ca_draft().basic_constraints(ca=True).key_usage("cRLSign"), "lacks keyCertSign"),
    ],
    ids=["no-extensions", "v1", "leaf", "ca-false", "expired", "future", "rsa-1024", "curve", "sha1", "key-usage"],
)
def test_a_ca_that_aws_would_refuse_is_not_sent(
    run: Run, aws: Aws, draft: Callable[[], drafts.CertificateDraft], says: str
) -> None:
    write_ca(draft())
    result = run("ca", "register", "ca.pem", "--key", "ca.key")
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr
    assert result.stderr.startswith("error: ca.pem: it") or AWS_WORDS in result.stderr
    assert aws.calls == []


def test_everything_that_is_wrong_is_told_at_once(run: Run, aws: Aws) -> None:
    write_ca(drafts.ca_draft(kind="RSA-1024").valid(TODAY - LONG, TODAY - timedelta(days=1)).signed_with("sha1"))
    result = run("ca", "register", "ca.pem", "--key", "ca.key")
    assert len(result.stderr.splitlines()) == 4


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("ca.pem",), "Give one of --key"),
        (("ca.pem", "--key", "other.key"), "other.key is not the key of ca.pem"),
        (("ca.pem", "--key", "ca.pem"), "holds a certificate, not a private key"),
        (("ca.key", "--key", "ca.key"), "a private key, not a certificate"),
        (("nowhere.pem", "--key", "ca.key"), "nowhere.pem: No such file"),
        (("ca.pem", "--key", "ca.key", "--tag", "plant"), "write it as KEY=VALUE"),
        (("ca.pem", "--key", "ca.key", "--verification-certificate", "ca.pem"), "exclude each other"),
        (("ca.pem", "--sni-only", "--verification-certificate", "ca.pem"), "exclude each other"),
        (("ca.pem", "--verification-certificate", "other.pem"), "was not signed with the key of ca.pem"),
    ],
)
def test_wrong_files_and_options_are_named_and_nothing_is_registered(
    run: Run, aws: Aws, arguments: tuple[str, ...], says: str
) -> None:
    write_ca(sound())
    write_ca(drafts.ca_draft("Other").basic_constraints(ca=True), "other")
    result = run("ca", "register", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr
    assert aws.calls == []


def test_a_chain_whose_root_comes_first_is_a_warning(run: Run, aws: Aws) -> None:
    """AWS IoT wants the CA that signs the devices, and a bundle of both is taken for its first certificate."""
    create(run, "root", "--days", 3650)
    create(run, "batch", "--parent", "root.pem", "--parent-key", "root.key")
    root, batch = Path("root.pem").read_bytes(), Path("batch.pem").read_bytes()
    Path("root-first.pem").write_bytes(root + batch)
    warned = run("ca", "register", "root-first.pem", "--key", "root.key")
    assert warned.exit_code == 0, warned.stderr
    assert "it signed another CA in the same file, CN=batch. If that one signs the devices" in warned.stderr
    Path("signer-first.pem").write_bytes(batch + root)
    assert "warning" not in run("ca", "register", "signer-first.pem", "--key", "batch.key").stderr


@pytest.mark.parametrize(
    ("draft", "says"),
    [
        (lambda: drafts.ca_draft().basic_constraints(ca=True, path_length=1), "a root with room for CAs below it"),
        (lambda: drafts.ca_draft().basic_constraints(ca=True), "a root with room for CAs below it (no path length)"),
        (
            lambda: sound().standard(x509.NameConstraints([x509.DNSName("okida.example")], None), critical=True),
            "all its devices will be held (chain.name-constraints)",
        ),
    ],
)
def test_what_people_regret_is_a_warning(
    run: Run, aws: Aws, draft: Callable[[], drafts.CertificateDraft], says: str
) -> None:
    write_ca(draft())
    result = run("ca", "register", "ca.pem", "--key", "ca.key")
    assert result.exit_code == 0, result.stderr
    assert says in result.stderr


# --- register: what AWS IoT is asked for


def test_a_ca_is_registered_active_with_proof_and_auto_registration(run: Run, aws: Aws, openssl: Openssl) -> None:
    ca = write_ca(sound())
    result = run("ca", "register", "ca.pem", "--key", "ca.key", "--tag", "plant=izmir", "--tag", "empty=")
    assert result.exit_code == 0, result.stderr
    asked = aws.parameters("RegisterCACertificate")
    assert (asked["setAsActive"], asked["allowAutoRegistration"]) == (True, True)
    assert asked["tags"] == [{"Key": "plant", "Value": "izmir"}, {"Key": "empty", "Value": ""}]
    assert ssl_pem_equal(asked["caCertificate"], ca.pem.decode())
    Path("verification.pem").write_text(asked["verificationCertificate"])
    assert f"Subject: CN={aws.registration_code}" in text_of(openssl, "verification.pem")
    openssl("verify", "-CAfile", "ca.pem", "verification.pem")
    assert f"Region {REGION}, endpoint https://iot.{REGION}.amazonaws.com" in result.stderr
    assert f'ids: ["{ca.id}"]' in result.stdout
    assert sorted(each.name for each in Path().iterdir()) == ["ca.key", "ca.pem", "verification.pem"]


def ssl_pem_equal(one: str, other: str) -> bool:
    return "".join(one.split()) == "".join(other.split())


def test_the_key_of_the_ca_is_never_sent(run: Run, aws: Aws) -> None:
    ca = write_ca(sound())
    run("ca", "register", "ca.pem", "--key", "ca.key")
    assert "PRIVATE KEY" not in repr(aws.calls)
    assert "PRIVATE KEY" in ca.issued.private_pem.decode()


def test_the_classic_openssl_ca_is_registered(run: Run, aws: Aws) -> None:
    draft = drafts.classic_ca().draft
    write_ca(draft)
    assert run("ca", "register", "ca.pem", "--key", "ca.key").exit_code == 0


def test_options_reach_aws(run: Run, aws: Aws) -> None:
    write_ca(sound())
    assert run("ca", "register", "ca.pem", "--sni-only", "--inactive", "--no-auto-registration").exit_code == 0
    asked = aws.parameters("RegisterCACertificate")
    assert (asked["setAsActive"], asked["allowAutoRegistration"], asked["certificateMode"]) == (
        False,
        False,
        "SNI_ONLY",
    )
    assert "verificationCertificate" not in asked
    assert "GetRegistrationCode" not in aws.operations


def test_register_prints_one_json_document(run: Run, aws: Aws) -> None:
    ca = write_ca(sound())
    document = json.loads(run("ca", "register", "ca.pem", "--key", "ca.key", "--json").stdout)
    assert document["ca_certificate_id"] == ca.id
    assert (document["status"], document["was_registered"], document["region"]) == ("ACTIVE", False, REGION)


def test_an_encrypted_key_is_opened_with_its_passphrase_file(run: Run, aws: Aws, workdir: Path) -> None:
    (workdir / "secret.txt").write_text("correct horse")
    create(run, "a", "--passphrase-file", "secret.txt")
    assert run("ca", "register", "a.pem", "--key", "a.key").exit_code == 2
    assert aws.calls == []
    assert run("ca", "register", "a.pem", "--key", "a.key", "--passphrase-file", "secret.txt").exit_code == 0


def test_a_registered_ca_is_made_as_asked_for(run: Run, aws: Aws) -> None:
    ca = write_ca(sound())
    aws.overrides["DescribeCACertificate"] = described(ca, status="INACTIVE", autoRegistrationStatus="DISABLE")
    aws.overrides |= {"UpdateCACertificate": lambda _: {}, "TagResource": lambda _: {}}
    result = run("ca", "register", "ca.pem", "--key", "ca.key", "--tag", "a=b")
    assert result.exit_code == 0, result.stderr
    assert f"Already registered: caCertificateId {ca.id}" in result.stderr
    assert "RegisterCACertificate" not in aws.operations
    asked = aws.parameters("UpdateCACertificate")
    assert (asked["newStatus"], asked["newAutoRegistrationStatus"]) == ("ACTIVE", "ENABLE")
    assert aws.parameters("TagResource")["tags"] == [{"Key": "a", "Value": "b"}]


def test_a_registered_ca_that_is_as_asked_for_is_left_alone(run: Run, aws: Aws) -> None:
    aws.overrides["DescribeCACertificate"] = described(write_ca(sound()))
    assert run("ca", "register", "ca.pem", "--key", "ca.key").exit_code == 0
    assert set(aws.operations) == {"GetCallerIdentity", "DescribeStacks", "DescribeCACertificate"}


def test_registering_twice_is_registering_once(run: Run, aws: Aws) -> None:
    write_ca(sound())
    first, second = (run("ca", "register", "ca.pem", "--key", "ca.key", "--json") for _ in range(2))
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert aws.operations.count("RegisterCACertificate") == 1


@pytest.mark.parametrize("option", ["--inactive", "--no-auto-registration"])
def test_nothing_is_taken_from_a_ca_at_work_without_assent(run: Run, aws: Aws, option: str) -> None:
    aws.overrides["DescribeCACertificate"] = described(write_ca(sound()))
    aws.overrides["UpdateCACertificate"] = lambda _: {}
    asked = run("ca", "register", "ca.pem", "--key", "ca.key", option)
    assert asked.exit_code == 2
    assert "--yes answers it" in asked.stderr
    assert "UpdateCACertificate" not in aws.operations
    assert run("ca", "register", "ca.pem", "--key", "ca.key", option, "--yes").exit_code == 0
    assert "UpdateCACertificate" in aws.operations


@pytest.mark.parametrize("configuration", [{"templateName": "fleet"}, {"templateBody": "{}", "roleArn": "arn:x"}])
def test_a_provisioning_template_is_an_error(run: Run, aws: Aws, configuration: dict[str, str]) -> None:
    aws.overrides["DescribeCACertificate"] = described(
        write_ca(sound()), status="INACTIVE", registrationConfig=configuration
    )
    result = run("ca", "register", "ca.pem", "--key", "ca.key")
    assert result.exit_code == 2
    assert "the rules would never see them" in result.stderr
    assert "UpdateCACertificate" not in aws.operations


def test_another_mode_than_the_registered_one_is_a_warning(run: Run, aws: Aws) -> None:
    aws.overrides["DescribeCACertificate"] = described(write_ca(sound()), certificateMode="SNI_ONLY")
    result = run("ca", "register", "ca.pem", "--key", "ca.key")
    assert result.exit_code == 0
    assert "mode SNI_ONLY, and stays so" in result.stderr


@pytest.mark.parametrize(
    ("registered", "exit_code", "says"),
    [
        (8, 0, "auto-registration"),
        (9, 0, "this is the tenth CA"),
        (10, 2, "AWS IoT takes no more"),
        (11, 2, "11 CAs with"),
    ],
)
def test_the_tenth_ca_of_a_subject_is_the_last(run: Run, aws: Aws, registered: int, exit_code: int, says: str) -> None:
    of_one_subject(aws, registered, write_ca(drafts.classic_ca("New", kind="P-256").draft))
    result = run("ca", "register", "ca.pem", "--key", "ca.key")
    assert result.exit_code == exit_code, result.stderr
    assert says in result.stderr + result.stdout
    assert ("RegisterCACertificate" in aws.operations) == (exit_code == 0)


def test_registered_cas_that_cannot_be_read_are_not_taken_for_cas_of_another_subject(run: Run, aws: Aws) -> None:
    of_one_subject(aws, 9, write_ca(drafts.classic_ca("New", kind="P-256").draft))
    answer = aws.overrides["DescribeCACertificate"]

    def describe(given: dict[str, Any]) -> Any:
        found = answer(given)
        found["certificateDescription"]["certificatePem"] = "damaged"
        return found

    aws.overrides["DescribeCACertificate"] = describe
    result = run("ca", "register", "ca.pem", "--key", "ca.key")
    assert "9 registered CAs cannot be read here: whether they have the subject O=OKIDA,C=TR is not known" in (
        result.stderr
    )


def test_cas_of_other_subjects_do_not_count(run: Run, aws: Aws) -> None:
    of_one_subject(aws, 12, write_ca(sound()))
    result = run("ca", "register", "ca.pem", "--key", "ca.key")
    assert result.exit_code == 0, result.stderr
    assert "tenth" not in result.stderr


def test_what_aws_refuses_is_told_in_its_words(run: Run, aws: Aws) -> None:
    write_ca(sound())
    aws.overrides["RegisterCACertificate"] = refusing(
        "CertificateValidationException", "RegisterCACertificate", "The CA is not to our liking"
    )
    result = run("ca", "register", "ca.pem", "--key", "ca.key")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "RegisterCACertificate: CertificateValidationException: The CA is not to our liking" in result.stderr


def test_a_ca_that_another_account_holds_is_told_of(run: Run, aws: Aws) -> None:
    """Mode DEFAULT is for one account in a Region."""
    write_ca(sound())
    aws.overrides["RegisterCACertificate"] = refusing("ResourceAlreadyExistsException", "RegisterCACertificate")
    result = run("ca", "register", "ca.pem", "--key", "ca.key")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "register it with --sni-only in each account" in result.stderr


# --- register: carried on after whatever stops it


@dataclass
class Registry:
    """What AWS IoT holds of one CA, and a fault at one of the calls: before it has its effect, or after."""

    ca: drafts.CA
    held: dict[str, Any] | None = None
    tags: list[Any] = field(default_factory=list)
    calls: int = 0
    fault: tuple[int, bool] | None = None  # which call, and whether it has its effect

    def install(self, aws: Aws) -> None:
        """Answer for AWS."""
        for name, answer in {
            "GetCallerIdentity": lambda _: {"Account": "123456789012"},
            "GetRegistrationCode": lambda _: {"registrationCode": aws.registration_code},
            "DescribeCACertificate": self._describe,
            "ListCACertificates": lambda _: {"certificates": []},
            "RegisterCACertificate": self._register,
            "UpdateCACertificate": self._update,
            "TagResource": self._tag,
        }.items():
            aws.overrides[name] = partial(self._answer, name, answer)

    def _answer(self, name: str, answer: Callable[[dict[str, Any]], Any], given: dict[str, Any]) -> Any:
        self.calls += 1
        place, has_effect = self.fault or (0, False)
        if place == self.calls:
            if has_effect:
                with suppress(ClientError):
                    answer(given)
            raise ConnectionClosedError(endpoint_url="https://iot.example")
        return answer(given)

    def _describe(self, given: dict[str, Any]) -> Any:
        if self.held is None:
            return refusing("ResourceNotFoundException", "DescribeCACertificate")(given)
        return described(self.ca, **self.held)(given)

    def _register(self, given: dict[str, Any]) -> Any:
        if self.held is not None:
            return refusing("ResourceAlreadyExistsException", "RegisterCACertificate")(given)
        active, enabled = given["setAsActive"], given["allowAutoRegistration"]
        self.held = _state("ACTIVE" if active else "INACTIVE", "ENABLE" if enabled else "DISABLE")
        self.tags = given["tags"]
        return {"certificateId": self.ca.id, "certificateArn": "arn"}

    def _update(self, given: dict[str, Any]) -> Any:
        assert self.held is not None
        self.held = _state(
            given.get("newStatus", self.held["status"]),
            given.get("newAutoRegistrationStatus", self.held["autoRegistrationStatus"]),
        )
        return {}

    def _tag(self, given: dict[str, Any]) -> Any:
        self.tags = given["tags"]
        return {}


def _state(status: str, auto_registration: str) -> dict[str, Any]:
    return {"status": status, "autoRegistrationStatus": auto_registration}


@pytest.mark.parametrize(
    "held",
    [None, _state("INACTIVE", "DISABLE"), _state("INACTIVE", "ENABLE"), _state("ACTIVE", "DISABLE")],
    ids=["new", "registered", "inactive", "no-auto-registration"],
)
@pytest.mark.parametrize("has_effect", [False, True], ids=["before", "after"])
def test_registering_again_carries_on_wherever_it_was_stopped(
    run: Run, aws: Aws, held: dict[str, Any] | None, has_effect: bool
) -> None:
    """Every call fails in turn, with or without its effect; run again, the CA is as after a run without faults."""
    command = ("ca", "register", "ca.pem", "--key", "ca.key", "--tag", "plant=izmir")
    ca = write_ca(sound())
    whole = Registry(ca, held)
    whole.install(aws)
    assert run(*command).exit_code == 0
    assert whole.calls >= 5
    for place in range(1, whole.calls + 1):
        registry = Registry(ca, held, fault=(place, has_effect))
        registry.install(aws)
        stopped = run(*command)
        assert (stopped.exit_code, stopped.stdout) == (3, ""), place
        again = run(*command)
        assert again.exit_code == 0, (place, again.stderr)
        assert (registry.held, registry.tags) == (whole.held, whole.tags)
    assert (whole.held, whole.tags) == (_state("ACTIVE", "ENABLE"), [{"Key": "plant", "Value": "izmir"}])


def test_an_answer_that_was_lost_and_a_call_made_again_is_no_error(run: Run, aws: Aws) -> None:
    """The SDK repeats a call whose answer was lost; AWS IoT then says that the CA is there already, and it is ours."""
    registry = Registry(write_ca(sound()))
    registry.install(aws)

    def lost(given: dict[str, Any]) -> Any:
        registry._register(given)
        return registry._register(given)

    aws.overrides["RegisterCACertificate"] = lost
    result = run("ca", "register", "ca.pem", "--key", "ca.key", "--tag", "plant=izmir")
    assert result.exit_code == 0, result.stderr
    assert "Already registered" in result.stderr


def test_a_ca_that_aws_iot_does_not_show_yet_is_waited_for(run: Run, aws: Aws) -> None:
    registry = Registry(write_ca(sound()))
    registry.install(aws)
    aws.overrides["DescribeCACertificate"] = refusing("ResourceNotFoundException", "DescribeCACertificate")
    result = run("ca", "register", "ca.pem", "--key", "ca.key", "--tag", "plant=izmir")
    assert result.exit_code == 3
    assert "run it again in a moment" in result.stderr


# --- a CA whose key is elsewhere


def test_a_verification_certificate_made_elsewhere_is_taken(run: Run, aws: Aws, openssl: Openssl) -> None:
    create(run, "ca")
    result = run("ca", "verification-csr", "--out", "v.csr")
    assert result.exit_code == 0, result.stderr
    sign = ("x509", "-req", "-in", "v.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "1")
    openssl(*sign, "-out", "v.pem")
    assert run("ca", "register", "ca.pem", "--verification-certificate", "v.pem").exit_code == 0
    asked = aws.parameters("RegisterCACertificate")["verificationCertificate"]
    assert ssl_pem_equal(asked, Path("v.pem").read_text())


def test_the_request_goes_to_standard_output_without_a_file(run: Run, aws: Aws, openssl: Openssl) -> None:
    result = run("ca", "verification-csr")
    printed = openssl("req", "-noout", "-verify", "-subject", stdin=result.stdout.encode())
    assert f"CN = {aws.registration_code}" in printed
    document = json.loads(run("ca", "verification-csr", "--json").stdout)
    assert document["registration_code"] == aws.registration_code
    assert document["csr"].startswith("-----BEGIN CERTIFICATE REQUEST-----")


def test_a_verification_certificate_of_another_account_is_not_sent(run: Run, aws: Aws) -> None:
    ca = write_ca(sound())
    other = ca.device("some other code").valid(TODAY - LONG, TODAY + LONG).issue()
    Path("v.pem").write_bytes(other.pem)
    result = run("ca", "register", "ca.pem", "--verification-certificate", "v.pem")
    assert result.exit_code == 2
    assert f"registration code here is {aws.registration_code}" in result.stderr
    assert "RegisterCACertificate" not in aws.operations


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda draft: draft.valid(TODAY - LONG, TODAY - timedelta(days=1)), "it expired on"),
        (lambda draft: draft.valid(TODAY + timedelta(days=1), TODAY + LONG), "it is not valid before"),
        (lambda draft: draft.valid(TODAY - LONG, TODAY + LONG).signed_with("sha1"), "it is signed with sha1"),
    ],
    ids=["expired", "future", "sha1"],
)
def test_a_verification_certificate_that_proves_nothing_is_not_sent(
    run: Run, aws: Aws, spoil: Callable[[drafts.CertificateDraft], drafts.CertificateDraft], says: str
) -> None:
    ca = write_ca(sound())
    Path("v.pem").write_bytes(spoil(ca.device(aws.registration_code)).issue().pem)
    result = run("ca", "register", "ca.pem", "--verification-certificate", "v.pem")
    assert result.exit_code == 2
    assert f"v.pem: {says}" in result.stderr
    assert "have the CA sign the request again" in result.stderr
    assert aws.calls == []


def test_the_code_alone_is_for_requests_made_elsewhere(run: Run, aws: Aws) -> None:
    assert run("ca", "verification-csr", "--code").stdout == f"{aws.registration_code}\n"
    document = json.loads(run("ca", "verification-csr", "--code", "--json").stdout)
    assert document == {"registration_code": aws.registration_code}
    assert run("ca", "verification-csr", "--code", "--out", "v.csr").exit_code == 2
    assert not Path("v.csr").exists()
