"""What tests of the command line share: a clean environment, running `jitr`, openssl, and AWS in process."""

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import botocore.client
import botocore.loaders
import botocore.session
import pytest
from click.testing import CliRunner, Result
from testkit.cli import documents
from testkit.lists import one_after_another

REGION = "eu-central-1"
ACCOUNT = "123456789012"  # moto's

Run = Callable[..., Result]
Openssl = Callable[..., str]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, profile, endpoint or setting of the developer's reaches a test."""
    import os

    for name in list(os.environ):
        if name.startswith(("AWS_", "JITR_")) or name in {"NO_COLOR", "FORCE_COLOR"}:
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    # Nor does the local stack that may be running in the checkout that these tests are of.
    monkeypatch.setattr("jitr_cli.deployment._INSTALLED", Path("/nowhere"))


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run() -> Run:
    """Run `jitr` as the shell would: exit code, standard output and standard error.

    Every document that it prints is held against docs/json.md.
    """
    from jitr_cli.main import jitr

    def run(*arguments: object, stdin: str | None = None) -> Result:
        words = [str(each) for each in arguments]
        result = CliRunner().invoke(jitr, words, input=stdin, prog_name="jitr")
        if "--json" in words and result.stdout:
            documents.check(documents.command_in(jitr, words), result.stdout)
        return result

    return run


@pytest.fixture
def openssl() -> Openssl:
    """The openssl command line; fails the test if it fails."""

    def openssl(*arguments: object, stdin: bytes | None = None) -> str:
        done = subprocess.run(
            ["openssl", *(str(each) for each in arguments)], input=stdin, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    return openssl


@dataclass
class Aws:
    """AWS in process: moto, and what it lacks of CAs. ``calls`` are the operations asked for, with their parameters."""

    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    overrides: dict[str, Callable[[dict[str, Any]], Any]] = field(default_factory=dict)
    real: Callable[..., Any] = field(default=lambda *_: None, repr=False)  # what answers without overrides
    registration_code: str = "5e9fa3974e4c1053c2d3f90f9458d4fc822c9904b821b811cd9875b13b756369"

    @property
    def operations(self) -> list[str]:
        """The names of the operations asked for."""
        return [name for name, _ in self.calls]

    def parameters(self, operation: str) -> dict[str, Any]:
        """What the one call of an operation was given."""
        [found] = [given for name, given in self.calls if name == operation]
        return found


@pytest.fixture(scope="session")
def _api_models() -> Any:
    """AWS's API models, read once for all tests: they take most of the time it takes to make a client."""
    return botocore.loaders.create_loader()


@pytest.fixture
def aws(_api_models: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    """AWS in process, with ids as AWS makes them. ``overrides`` answer an operation instead of moto."""
    from moto import mock_aws
    from moto.core.config import default_user_config

    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": "us-west-2",  # AWS_REGION goes first
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setitem(default_user_config["iot"], "use_valid_cert", True)
    monkeypatch.setattr(botocore.session, "create_loader", lambda _path=None: _api_models)
    fake = Aws()
    base: Any = botocore.client.BaseClient
    real = fake.real = base._make_api_call
    fake.overrides["GetRegistrationCode"] = lambda _: {"registrationCode": fake.registration_code}
    fake.overrides["ListCACertificates"] = lambda _: {"certificates": _registered_cas()}

    def call(client: Any, operation: str, parameters: dict[str, Any]) -> Any:
        fake.calls.append((operation, parameters))
        if operation in fake.overrides:
            return fake.overrides[operation](parameters)
        return real(client, operation, parameters)

    monkeypatch.setattr(base, "_make_api_call", call)
    one_after_another(monkeypatch)
    with mock_aws():
        yield fake


def _registered_cas() -> list[dict[str, str]]:
    from moto.iot.models import iot_backends

    return [{"certificateId": each} for each in iot_backends[ACCOUNT][REGION].ca_certificates]
