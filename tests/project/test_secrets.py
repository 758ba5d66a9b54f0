"""What keeps secrets out of the repository, and what asks about vulnerabilities of what is pinned."""

import base64
import json
import re
import runpy
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12
from testkit import pki

ROOT = Path(__file__).parents[2]
SCAN = runpy.run_path(str(ROOT / "tools" / "committed_secrets.py"))
AUDIT = runpy.run_path(str(ROOT / "tools" / "audit.py"))


def key(encoding: str, form: str, passphrase: bytes | None = None) -> bytes:
    secret = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    private = pki.key("P-256", "somebody careless")
    return private.private_bytes(
        getattr(serialization.Encoding, encoding), getattr(serialization.PrivateFormat, form), secret
    )


PKCS8 = key("PEM", "PKCS8")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text("ignored.key\n")
    return tmp_path


PLANTED = {
    "PKCS #8": PKCS8,
    "PKCS #8, encrypted": key("PEM", "PKCS8", b"secret"),
    "SEC 1": key("PEM", "TraditionalOpenSSL"),
    "OpenSSH": key("PEM", "OpenSSH"),
    "RSA with headers": key("PEM", "TraditionalOpenSSL", b"secret"),
    "with words before": b"words\r\n" + PKCS8.replace(b"\n", b"\r\n"),
    "in JSON": json.dumps({"key": PKCS8.decode()}).encode(),
    "in code": b"".join(b'    "%s\\n"\n' % line for line in PKCS8.splitlines()),
    "indented": b"key: |\n" + b"".join(b"  " + line for line in PKCS8.splitlines(keepends=True)),
    "without an end": PKCS8[:150],
    "as base64 again": b"key: " + base64.b64encode(PKCS8),
    "DER": key("DER", "PKCS8"),
    "DER, encrypted": key("DER", "PKCS8", b"secret"),
    "PKCS #12": pkcs12.serialize_key_and_certificates(
        b"a", pki.key("P-256", "somebody careless"), None, None, serialization.NoEncryption()
    ),
    "an AWS access key": b"aws_access_key_id = AKIA" + b"Q7" * 8,
    "a temporary AWS access key": b"ASIA" + b"Q7" * 8,
    "an AWS secret key": b'AWS_SECRET_ACCESS_KEY="' + b"q7/+" * 10 + b'"',
    "a GitHub token": b"ghp" + b"_" + b"a" * 36,
    "a password in an address": b"index = https://me:" + b"secret@pypi.example.com/simple",
}  # fmt: skip


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_secret_fails_the_lint_with_its_place_and_is_not_repeated(
    name: str, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (repository / "kept.txt").write_bytes(PLANTED[name])
    assert SCAN["main"](repository) == 1
    told = capsys.readouterr().err
    assert re.match(r"kept\.txt:\d+: an? ", told)
    assert len(told) < 200
    subprocess.run(["git", "-C", repository, "add", "kept.txt"], check=True)
    assert SCAN["main"](repository) == 1


def test_what_is_ignored_is_not_looked_at_and_talk_of_keys_is_no_key(repository: Path) -> None:
    (repository / "ignored.key").write_bytes(PKCS8)
    (repository / "talk.md").write_text(
        "give the file that begins with -----BEGIN PRIVATE KEY----- or the like\n"
        "-----BEGIN PRIVATE KEY-----\n(...)\n-----END PRIVATE KEY-----\nAKIAIOSFODNN7EXAMPLE\n"
        "aws_secret_access_key = unused\nhttps://user:{password}@example.com\n"
    )
    (repository / "certificate.der").write_bytes(pki.ca("Factory A").der)
    (repository / "certificate.pem").write_bytes(pki.ca("Factory A").pem)
    assert SCAN["main"](repository) == 0


def test_nothing_is_committed_here_and_the_lint_looks() -> None:
    assert SCAN["main"](ROOT) == 0
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe is not None
    assert "tools/committed_secrets.py" in recipe[1]


# --- vulnerabilities


def audited(answers: Mapping[str, Any] | Exception) -> int:
    def ask(_: Path) -> Any:
        if isinstance(answers, Exception):
            raise answers
        return answers

    code: int = AUDIT["audit"]([Path("requirements/project.txt")], ask)
    return code


def test_the_audit_asks_about_every_file_that_pins() -> None:
    names = {str(each.relative_to(ROOT)) for each in AUDIT["pinned"](ROOT)}
    locked = {f"requirements/{each}.txt" for each in ("project", "cli", "stack", "sam", "lint", "uv", "audit", "bench")}
    assert names == locked | {"layers/jitr/requirements.txt", "layers/yaml/requirements.txt"}


def test_a_vulnerability_is_told_with_its_version_and_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    vulnerable = {"name": "click", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]}
    assert audited({"dependencies": [vulnerable, {"name": "rich", "version": "3", "vulns": []}]}) == 1
    assert capsys.readouterr().out == "requirements/project.txt: click 1: PYSEC-1, mended in 2\n"


def test_what_was_not_asked_about_does_not_pass(capsys: pytest.CaptureFixture[str]) -> None:
    assert audited({"dependencies": [{"name": "rich", "version": "3", "vulns": []}]}) == 0
    assert audited({"dependencies": [{"name": "rich", "skip_reason": "not found"}]}) == 3
    assert audited(AUDIT["NotAudited"]("the vulnerability service cannot be reached")) == 3
    first, *others = capsys.readouterr().err.splitlines()
    assert "does not know rich" in first
    assert others == ["Not audited: the vulnerability service cannot be reached. Try again where it can be reached."]


def test_without_a_network_one_line_says_so() -> None:
    told = "Traceback\nrequests.exceptions.ConnectionError: HTTPSConnectionPool(host='a'): Max retries exceeded\n"
    assert AUDIT["_why"](told) == "the vulnerability service cannot be reached"
    assert AUDIT["_why"]("") == "pip-audit said nothing"
    assert AUDIT["_why"]("No module named pip_audit\n") == "No module named pip_audit"
