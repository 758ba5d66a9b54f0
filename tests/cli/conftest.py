"""What tests of the command line share: a clean environment, running `jitr`, openssl, and AWS in process."""

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import botocore.client
import botocore.session
import pytest
from click.testing import CliRunner, Result
from testkit.aws import quick_botocore
from testkit.aws.api_models import api_models
from testkit.aws.world import Calls, World
from testkit.cli import documents
from testkit.cli.command_line import ACCOUNT, REGION, Aws, Openssl, Run
from testkit.cli.operating import FACTORY, RULES, register_ca
from testkit.cli.stack import deploy, make_policies
from testkit.lists import one_after_another

from jitr.aws.dynamodb.table import Item, Table

quick_botocore.hurry()


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
    monkeypatch.setattr("jitr_operations.local_state._INSTALLED", Path("/nowhere"))


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


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
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
    monkeypatch.setattr(botocore.session, "create_loader", api_models)
    fake = Aws()
    base: Any = botocore.client.BaseClient
    real = fake.real = base._make_api_call
    fake.overrides["GetRegistrationCode"] = lambda _: {"registrationCode": fake.registration_code}
    fake.overrides["ListServiceQuotas"] = lambda _: {"Quotas": []}  # moto knows none of AWS IoT Core
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


@pytest.fixture
def table(aws: Any, workdir: Path) -> Table:
    """A deployed stack's table, and an empty current directory."""
    return deploy()


@pytest.fixture
def ready(table: Table, run: Run, ready_items: list[Item]) -> Table:
    """The same, with list line-a and rules in force.

    The commands are run once; whoever comes later gets the items that they wrote.
    """
    Path("line-a.csv").write_text("common_name,attr.batch\nsnr-1,7\nsnr-2,8\n")
    Path("admission.yaml").write_text(RULES)
    if ready_items:
        requests: Any = [{"PutRequest": {"Item": each}} for each in ready_items]
        assert not table.client.batch_write_item(RequestItems={table.name: requests})["UnprocessedItems"]
        return table
    assert run("lists", "import", "line-a", "line-a.csv").exit_code == 0
    assert run("rules", "publish", "admission.yaml", "--yes").exit_code == 0
    ready_items.extend(table.client.scan(TableName=table.name)["Items"])
    return table


@pytest.fixture(scope="session")
def ready_items() -> list[Item]:
    """The items of a table with list line-a and rules in force; none before the first test has made them."""
    return []


@pytest.fixture
def iot(aws: Aws, workdir: Path) -> Any:
    """AWS IoT with one ACTIVE CA, two IoT policies and an empty current directory."""
    client = boto3.client("iot", region_name=REGION)
    register_ca(client, FACTORY)
    make_policies(client, "Sensor", "Other")
    return client


@pytest.fixture
def world(iot: Any, table: Table) -> World:
    """The register function on that stack, now: commands tell recent admissions by this machine's clock."""
    now = datetime.now(UTC).replace(microsecond=0)
    return World(iot, table.client, boto3.client("sqs", region_name=REGION), table, "", "", Calls(), now=now)


def _registered_cas() -> list[dict[str, str]]:
    from moto.iot.models import iot_backends

    return [{"certificateId": each} for each in iot_backends[ACCOUNT][REGION].ca_certificates]
