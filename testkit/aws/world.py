"""AWS in process (moto) with everything that the register function needs, for tests of adapters and handler.

moto leaves some things out (see the notes at each); the end-to-end tests on the local stack have them.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

import boto3
import botocore.session
import pytest
from aws_lambda_powertools import Logger, Metrics
from moto import mock_aws
from moto.core.config import default_user_config

from jitr.aws.crl_sources import Fetched
from jitr.aws.crls import Crls
from jitr.aws.dynamodb.table import Table
from jitr.aws.iot import Iot
from jitr.aws.ocsp_responders import OcspResponders
from jitr.aws.overlap import at_once
from jitr.aws.telemetry import Telemetry
from jitr.aws.web import NotFetched, WebAnswer, WebRequest
from jitr.devicelists.rows import ListRow
from jitr.records.record import Record
from jitr.rules.model import Rules
from jitr.services.lists.device_lists import DeviceLists
from jitr.services.publishing.publication import publish
from jitr.services.registration.batch import Batch
from jitr.services.registration.delivery import Message
from jitr.services.registration.registrar import Registrar
from jitr.times import rfc3339
from jitr.x509.ocsp import RESPONSE_TYPE
from testkit import lists as list_edits
from testkit import pki
from testkit.aws import quick_moto
from testkit.aws.api_models import api_models

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_iot import IoTClient
    from mypy_boto3_sqs import SQSClient

    Clients: TypeAlias = tuple[IoTClient, DynamoDBClient, SQSClient]

ACCOUNT = "123456789012"
REGION = "eu-central-1"
PENDING = "PENDING_ACTIVATION"

quick_moto.hurry()

# As AWS does, and moto only when asked: a certificate's id is the SHA-256 of its DER.
default_user_config["iot"]["use_valid_cert"] = True


@dataclass
class Calls:
    """Every call made to AWS since it was emptied, by service and operation."""

    made: list[str] = field(default_factory=list)

    def note(self, **context: Any) -> None:
        """Called by botocore before each call."""
        model = context["model"]
        self.made.append(f"{model.service_model.service_name}:{model.name}")

    def of(self, service: str) -> list[str]:
        """The operations asked of one service, in order."""
        return [each.partition(":")[2] for each in self.made if each.startswith(f"{service}:")]


class Silent(Telemetry):
    """Says nothing: thousands of histories would."""

    def __init__(self) -> None:
        super().__init__(Logger(service="model", level="CRITICAL"), Metrics(namespace="test", service="model"))

    def count(self, name: str, number: int = 1, *, reason: str | None = None) -> None:
        """Nothing."""

    def milliseconds(self, name: str, value: float) -> None:
        """Nothing."""

    def seconds(self, name: str, value: float, *, reason: str) -> None:
        """Nothing."""


@dataclass
class CrlFiles:
    """Revocation lists by address, in place of S3 and https; an address that has none cannot be fetched."""

    at: dict[str, bytes] = field(default_factory=dict)
    fetched: list[str] = field(default_factory=list)
    private: list[bool] = field(default_factory=list)

    def fetch(self, url: str, tag: str | None = None, *, private_network: bool = False) -> Fetched:
        """As CrlSources does."""
        self.fetched.append(url)
        self.private.append(private_network)
        if url not in self.at:
            raise NotFetched("HTTP 503")
        own = hashlib.sha256(self.at[url]).hexdigest()
        return Fetched(None if own == tag else self.at[url], own)


@dataclass
class Responders:
    """OCSP responders by address, in place of the network: what each answers to a request, or why it does not."""

    at: dict[str, Callable[[bytes], bytes]] = field(default_factory=dict)
    asked: list[WebRequest] = field(default_factory=list)

    def ask(self, request: WebRequest) -> WebAnswer:
        """As Web does."""
        self.asked.append(request)
        if request.url not in self.at:
            raise NotFetched("HTTP 503")
        return WebAnswer(200, self.at[request.url](request.body or b""), content_type=RESPONSE_TYPE)


@dataclass
class World:
    """One account with a table, queues and a registrar, at a time that tests move."""

    iot: "IoTClient"
    dynamodb: "DynamoDBClient"
    sqs: "SQSClient"
    table: Table
    queue_url: str
    failures_url: str
    calls: Calls
    now: datetime = pki.NOW
    crl_source: "CrlFiles" = field(default_factory=lambda: CrlFiles())
    responders: Responders = field(default_factory=Responders)
    turns: list[str] = field(default_factory=list)  # that were taken to ask a responder
    at_once: Callable[[Iterable[Callable[[], None]]], None] = at_once

    def __post_init__(self) -> None:
        self.telemetry = Telemetry(Logger(service="test"), Metrics(namespace="test", service="test"))
        self.registrar = self.fresh_registrar()

    def fresh_registrar(self, **instead: Any) -> Registrar:
        """As a cold start makes it: nothing is remembered in memory. ``instead`` are other arguments of its."""
        usual: dict[str, Any] = {
            "iot": Iot(self.iot),
            "table": self.table,
            "account_id": ACCOUNT,
            "clock": lambda: self.now,
            "telemetry": self.telemetry,
            "crls": Crls(self.crl_source, self.telemetry),
            "ocsp": OcspResponders(self.responders, self.telemetry, turn=self.turns.append),
            "at_once": self.at_once,
        }
        return Registrar(**usual | instead)

    @contextmanager
    def killed_at_the_status(self, *, after: bool) -> Iterator[None]:
        """The function is killed at UpdateCertificate, before AWS has done it or after: once, in this block."""
        update = self.iot.update_certificate

        def killed(**arguments: Any) -> Any:
            self.iot.update_certificate = update  # type: ignore[method-assign]
            if after:
                update(**arguments)
            raise RuntimeError("the function was killed")

        self.iot.update_certificate = killed  # type: ignore[method-assign]
        with pytest.raises(RuntimeError, match="the function was killed"):
            yield

    def batch(self) -> Batch:
        """The batch around the registrar, without jitter."""
        return Batch(
            handler=self.registrar,
            sqs=lambda: self.sqs,
            queue_url=self.queue_url,
            failures_url=self.failures_url,
            telemetry=self.telemetry,
            clock=lambda: self.now,
            jitter=lambda: 1.0,
        )

    def register_ca(self, ca: pki.CA, *, active: bool = True) -> str:
        """Register a CA; moto does not look at the verification certificate."""
        answer = self.iot.register_ca_certificate(
            caCertificate=ca.pem.decode(),
            verificationCertificate=ca.pem.decode(),
            setAsActive=active,
            allowAutoRegistration=True,
        )
        assert answer["certificateId"] == ca.id
        return ca.id

    def connect(self, device: pki.Issued, status: str = PENDING) -> str:
        """What a first connection does to the registry; the result is the certificateId."""
        answer = self.iot.register_certificate_without_ca(
            certificatePem=device.pem.decode(),
            status=status,  # type: ignore[arg-type]
        )
        assert answer["certificateId"] == device.sha256
        return device.sha256

    def publish(self, rules: Rules) -> None:
        """Put rules in force."""
        publish(self.table, rules, b"(text)", self.table.heads(), at=rfc3339(self.now), by="tests")

    def put_on(self, name: str, *rows: ListRow) -> None:
        """Add rows to a device list, in one edit."""
        if len(rows) == 1:
            DeviceLists(self.table).add(name, rows[0], at=rfc3339(self.now), new_generation="g1")
        else:
            list_edits.merge(self.table, name, *rows, at=rfc3339(self.now))

    def event(self, certificate_id: str, ca_certificate_id: str, **changes: Any) -> str:
        """The body of a registration event, now."""
        plain = {
            "certificateId": certificate_id,
            "caCertificateId": ca_certificate_id,
            "timestamp": int(self.now.timestamp() * 1000),
            "certificateStatus": PENDING,
            "awsAccountId": ACCOUNT,
            "certificateRegistrationTimestamp": None,
        }
        return json.dumps(plain | changes)

    def message(self, body: str, deliveries: int = 1) -> Message:
        """One delivery of a body, sent now."""
        return Message(body, self.now, deliveries)

    def knock(self, device: pki.Issued, ca: pki.CA, **changes: Any) -> None:
        """A device knocks, and its event is handled."""
        self.registrar.handle(self.message(self.event(device.sha256, ca.id, **changes)))

    def status(self, device: pki.Issued) -> str:
        """A certificate's status in AWS IoT."""
        return self.iot.describe_certificate(certificateId=device.sha256)["certificateDescription"]["status"]

    def record(self, device: pki.Issued) -> Record | None:
        """A certificate's decision record."""
        return self.table.record_and_heads(device.sha256)[0]

    def codes(self, device: pki.Issued) -> list[str]:
        """The reason codes in a certificate's record."""
        record = self.record(device)
        return [] if record is None else [each["code"] for each in record.reasons]

    def policies(self, device: pki.Issued) -> set[str]:
        """The IoT policies attached to a certificate."""
        arn = self.iot.describe_certificate(certificateId=device.sha256)["certificateDescription"]["certificateArn"]
        return {each["policyName"] for each in self.iot.list_attached_policies(target=arn)["policies"]}

    def later(self, **span: float) -> None:
        """Let time pass."""
        self.now += timedelta(**span)

    def failures(self) -> list[Any]:
        """What lies in RegistrationFailures."""
        answer = self.sqs.receive_message(
            QueueUrl=self.failures_url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], VisibilityTimeout=0
        )
        return list(answer.get("Messages", []))


def new_clients() -> "Clients":
    """The clients of one account. Making them takes a while: share them where nothing replaces their methods."""
    core = botocore.session.get_session()
    core.register_component("data_loader", api_models())
    session = boto3.Session(
        aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION, botocore_session=core
    )
    return session.client("iot"), session.client("dynamodb"), session.client("sqs")


@contextmanager
def moto_world(clients: "Clients | None" = None) -> Iterator[World]:
    """A fresh account with a sample IoT policy, thing type and thing group."""
    with mock_aws(), ExitStack() as stack:
        iot, dynamodb, sqs = clients or new_clients()
        calls = Calls()
        for client in (iot, dynamodb, sqs):
            stack.enter_context(listening(client, "before-call", calls.note))
        _make_table(dynamodb)
        for name in ("Sensor", "Other"):
            iot.create_policy(policyName=name, policyDocument="{}")
        iot.create_thing_type(thingTypeName="Sensor")
        iot.create_thing_group(thingGroupName="line-a")
        urls = [sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("registration", "failures")]
        calls.made.clear()
        yield World(iot, dynamodb, sqs, Table(dynamodb, "jitr"), urls[0], urls[1], calls)


@contextmanager
def listening(client: Any, event: str, handler: Callable[..., Any], *, first: bool = False) -> Iterator[None]:
    """Let a handler hear a client's events while the block runs."""
    events = client.meta.events
    (events.register_first if first else events.register)(event, handler)
    try:
        yield
    finally:
        events.unregister(event, handler)


_KEYS = ("pk", "sk", "state_shard", "state_at", "due_shard", "due_at")


def _make_table(dynamodb: "DynamoDBClient") -> None:
    dynamodb.create_table(
        TableName="jitr",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in _KEYS],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": name,
                "KeySchema": [
                    {"AttributeName": partition, "KeyType": "HASH"},
                    {"AttributeName": sort, "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
            for name, partition, sort in (("by_state", "state_shard", "state_at"), ("by_due", "due_shard", "due_at"))
        ],
    )
