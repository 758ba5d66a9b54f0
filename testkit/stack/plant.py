"""An operator at the command line and devices at the broker, for tests of the whole path on the local stack."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from click.testing import CliRunner, Result

from jitr.aws.dynamodb.table import Table
from jitr.records.record import Record
from jitr_cli.main import jitr
from jitr_local.cli import variables_of
from jitr_local.device import CONNECT_TIMEOUT, Broker, Device, Fate
from jitr_local.stack import CHECKOUT, LocalStack
from jitr_operations.files import read_certificate

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient
    from mypy_boto3_sqs import SQSClient

T = TypeVar("T")

PEOPLE = "people"  # the topic that digests go to, where tests want some

# Nothing on this machine takes so long; a test that waits for it has failed.
PATIENCE = 60.0

# The configuration files of whoever runs the tests are none of theirs.
_NO_FILES = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}

ALLOW_RULE = """\
  - name: {name}
    ca: {name}
    common_name: "{name}-*"
    grant:
      thing: "{{common_name}}"
      iot_policies: ["{policy}"]
"""


def until(look: Callable[[], T | None], what: str, seconds: float = PATIENCE) -> T:
    """Look again and again until there is something to see; what was seen. Fails if the time is up first."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.1)
    return seen


def people(stack: LocalStack) -> str:
    """Return the ARN of the topic that digests go to."""
    return f"arn:aws:sns:{stack.region}:{stack.account_id}:{PEOPLE}"


_FENCED = re.compile(r"^```([a-z]+)(?: ([^\n]*))?\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def commands(page: str, heading: str | None = None) -> list[str]:
    """Return the commands on a page of docs/, or under one of its headings, a block each.

    A block of another kind that names a file (```` ```csv devices.csv ````) is what the reader saves under that name,
    and ```` ```sh exit 1 ```` is one command that ends with this code (``exit 0 or 1``: with one of them).
    """
    text = (CHECKOUT / "docs" / page).read_text("utf-8")
    if heading is not None:
        text = re.split(r"^#+ ", text.partition(f"# {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    return [each for each in (_typed(*found.groups()) for found in _FENCED.finditer(text)) if each]


def _typed(kind: str, named: str | None, body: str) -> str:
    if kind != "sh":
        return f"cat >{named} <<'SAVED'\n{body}SAVED\n" if named else ""
    if named is None:
        return body
    codes = "|".join(re.findall(r"\d+", named))
    return f"code=0; {body.strip()} || code=$?; case $code in {codes}) ;; *) exit 99 ;; esac\n"


def event(certificate_id: str, ca_certificate_id: str, **changes: Any) -> str:
    """A registration event as AWS IoT publishes it."""
    plain = {
        "certificateId": certificate_id,
        "caCertificateId": ca_certificate_id,
        "timestamp": int(time.time() * 1000),
        "certificateStatus": "PENDING_ACTIVATION",
        "awsAccountId": "000000000000",
        "certificateRegistrationTimestamp": None,
    }
    return json.dumps(plain | changes)


@dataclass(frozen=True)
class Factory:
    """A registered CA whose devices are called ``<name>-...``; rules know it by its name."""

    name: str
    ca: Path
    id: str


@dataclass(frozen=True)
class PlantDevice:
    """A device that has a key and a certificate."""

    device: Device
    certificate_id: str

    def is_in(self) -> bool:
        """Whether its first message has arrived."""
        return self.device.fate is Fate.PUBLISHED

    @contextmanager
    def knocking(self) -> Iterator[Device]:
        """It knocks while the block runs, perhaps once more; afterwards it has stopped, and so has its thread."""
        self.device.stop.clear()
        thread = threading.Thread(target=self.device.run, name=self.device.name, daemon=True)
        thread.start()
        try:
            yield self.device
        finally:
            self.device.stop.set()
            thread.join(3 * CONNECT_TIMEOUT)
        assert not thread.is_alive(), f"{self.device.name} does not stop"


class Plant:
    """One test's operator, factories and devices. Other tests use the same stack: every name is the test's own."""

    def __init__(self, stack: LocalStack, folder: Path) -> None:
        self.stack = stack
        self.folder = folder

    def mailbox(self, name: str, topic_arn: str) -> str:
        """Make a queue that a topic's messages come to, as mails do to a mail box; the result is its URL."""
        url: str = self.sqs.create_queue(QueueName=name)["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        allowed = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [allowed | {"Resource": arn}]})
        self.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": document})
        self.stack.session().client("sns").subscribe(TopicArn=topic_arn, Protocol="sqs", Endpoint=arn)
        return url

    # --- the operator

    @property
    def variables(self) -> dict[str, str]:
        """An operator's environment after ``eval "$(jitr local env)"``."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "JITR_"))}
        return kept | _NO_FILES | variables_of(self.stack, {})

    def jitr(self, *arguments: str | Path, code: int = 0) -> Result:
        """Run a ``jitr`` command, which must end with this exit code."""
        variables: dict[str, str | None] = dict.fromkeys(os.environ) | self.variables
        result = CliRunner().invoke(jitr, [str(each) for each in arguments], env=variables)
        assert result.exit_code == code, f"jitr {arguments} ended with {result.exit_code}:\n{result.output}"
        return result

    def type(self, commands: str, folder: Path) -> subprocess.CompletedProcess[str]:
        """Type commands in a shell, which ends at the first that fails."""
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        variables = {"PATH": path, "HOME": str(folder)} | variables_of(self.stack, {})
        return subprocess.run(
            ["bash", "-eu", "-c", commands], cwd=folder, env=variables, capture_output=True, text=True, check=False
        )

    def json(self, *arguments: str | Path, code: int = 0) -> Any:
        """What a ``jitr`` command prints with ``--json``, and ends with this exit code."""
        return json.loads(self.jitr(*arguments, "--json", code=code).stdout)

    def factory(self, name: str) -> Factory:
        """Make a CA and register it with proof of possession."""
        self.jitr("ca", "create", name, "--organization", name.upper(), "--out-dir", self.folder)
        ca = self.folder / f"{name}.pem"
        return self.registered(name, ca)

    def registered(self, name: str, ca: Path) -> Factory:
        """Register a CA that there is, with proof of possession."""
        found = self.json("ca", "register", ca, "--key", ca.with_suffix(".key"))
        return Factory(name, ca, found["ca_certificate_id"])

    def rules(self, *factories: Factory) -> Path:
        """A rules file that lets the devices of these factories in."""
        lines = ["format: 1", "default: hold", "cas:"]
        lines += [f'  {each.name}: {{ids: ["{each.id}"]}}' for each in factories]
        policy = self.stack.outputs["DevicePolicyName"]
        allowed = [ALLOW_RULE.format(name=each.name, policy=policy) for each in factories]
        file = self.folder / "admission.yaml"
        file.write_text("\n".join([*lines, "allow:", *allowed]))
        return file

    def publish(self, file: Path) -> None:
        """Put a rules file in force."""
        self.jitr("rules", "publish", file, "--yes")

    # --- devices

    def device(self, factory: Factory, name: str) -> PlantDevice:
        """Issue a key and a certificate for a device."""
        self.jitr("device", "issue", name, "--ca", factory.ca, "--out-dir", self.folder)
        return self.made(name, self.folder / f"{name}.pem", self.folder / f"{name}.key")

    def made(self, name: str, certificate: Path, key: Path) -> PlantDevice:
        """A device with files of its own."""
        broker = Broker(self.stack.mqtt_host, self.stack.mqtt_port, self.stack.broker_ca)
        device = Device(name, certificate, key, f"devices/{name}/hello", broker)
        return PlantDevice(device, read_certificate(certificate).sha256)

    def knocks(self, made: PlantDevice, until_what: Callable[[PlantDevice], object] = PlantDevice.is_in) -> PlantDevice:
        """The device knocks, from its first attempt on, until it is in, or until something else is so; who knocked."""
        again = self.made(made.device.name, made.device.certificate, made.device.key)
        with again.knocking():
            until(lambda: until_what(again), f"{made.device.name} has got that far")
        return again

    def pending(self, factory: Factory, *names: str) -> list[PlantDevice]:
        """Devices whose certificates are pending, and whose events were lost: nothing is on record of them."""
        devices = [self.device(factory, name) for name in names]
        with self.topic_rule_resting(), ExitStack() as knocking:
            for made in devices:
                knocking.enter_context(made.knocking())
            until(
                lambda: all(self.status(made) == "PENDING_ACTIVATION" for made in devices),
                "their first connections register their certificates",
            )
        return devices

    @contextmanager
    def topic_rule_resting(self) -> Iterator[None]:
        """The stack gets no events while the block runs."""
        (rule,) = self.iot.list_topic_rules()["rules"]
        self.iot.disable_topic_rule(ruleName=rule["ruleName"])
        try:
            yield
        finally:
            self.iot.enable_topic_rule(ruleName=rule["ruleName"])

    # --- what became of it

    @cached_property
    def iot(self) -> "IoTClient":
        """AWS IoT, as the account's root user."""
        return self.stack.session().client("iot")

    @cached_property
    def sqs(self) -> "SQSClient":
        """The queues, as the account's root user."""
        return self.stack.session().client("sqs")

    @cached_property
    def table(self) -> Table:
        """The table of the stack."""
        return Table(self.stack.session().client("dynamodb"), self.stack.outputs["TableName"])

    def status(self, made: PlantDevice) -> str | None:
        """The status of a device's certificate in AWS IoT; None while AWS IoT does not know it."""
        try:
            found = self.iot.describe_certificate(certificateId=made.certificate_id)
        except self.iot.exceptions.ResourceNotFoundException:
            return None
        return found["certificateDescription"]["status"]

    def record(self, made: PlantDevice) -> Record | None:
        """The decision on record."""
        return self.table.record_and_heads(made.certificate_id)[0]

    def under_way(self) -> int:
        """How many messages are on the registration queue, those that come back later included."""
        queue = self.json("status")["queues"]["RegistrationQueue"]
        return int(queue["waiting"] + queue["in_flight"] + queue.get("delayed", 0))

    def log(self, certificate_id: str) -> list[dict[str, Any]]:
        """What the function logged about a certificate, in order."""
        return [each for each in self.log_lines() if each.get("certificateId") == certificate_id]

    def metrics(self, name: str) -> list[dict[str, Any]]:
        """What the function reported under a metric's name, as CloudWatch's embedded metric format."""
        return [each for each in self.log_lines() if "_aws" in each and name in each]

    def log_lines(self) -> Iterator[dict[str, Any]]:
        """What the function logged, in order."""
        return (json.loads(each) for each in self.log_messages() if each.startswith("{"))

    def log_messages(self) -> Iterator[str]:
        """What is in the function's log, with what Lambda itself writes."""
        logs = self.stack.session().client("logs")
        group = self.stack.outputs["RegisterLogGroupName"]
        for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group):
            yield from (each["message"] for each in page["events"])
