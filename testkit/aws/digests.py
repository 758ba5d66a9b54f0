"""Newly held devices as the table's stream brings them, a topic that keeps what it is told, and who tells it."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from jitr.aws.dynamodb.digests import DigestTable
from jitr.aws.dynamodb.table import record_writes
from jitr.decision.decide import Decision
from jitr.reasons import Reason, Verdict
from jitr.records.event import RegistrationEvent
from jitr.records.heads import Heads
from jitr.records.knock import facts_json
from jitr.records.notices import NoticeOrigin
from jitr.records.record import APPLIED, Record
from jitr.records.transitions import recorded
from jitr.services.notifying.digester import Digester
from testkit.aws.fakes import FakeClient
from testkit.aws.held import stream_record
from testkit.aws.world import World
from testkit.knocks import CA_ID, NOW, knock

HERE = NoticeOrigin("jitr", "aws", "eu-central-1", "123456789012")
PERIOD = timedelta(minutes=15)


@dataclass
class Mail:
    """A mail, as somebody reads it."""

    subject: str
    text: str

    @property
    def number(self) -> int:
        """Which digest it is."""
        return int(self.text.split()[1])

    @property
    def devices(self) -> int:
        """How many devices began to wait, as it says."""
        return int(self.subject.split()[1].replace(",", ""))


@dataclass
class FakeTopic(FakeClient):
    """An SNS topic, and the mails that were sent to it. ``publishes`` is what it does with one."""

    mails: list[Mail] = field(default_factory=list)
    service = "sns"

    def __post_init__(self) -> None:
        super().__init__()
        self.publishes: Callable[..., None] = self._kept

    def _publish(self, **arguments: Any) -> None:
        self.publishes(**arguments)

    def _kept(self, Subject: str, Message: str, **_more: Any) -> None:  # noqa: N803 - botocore's names
        self.mails.append(Mail(Subject, Message))


def digester(world: World, topic: Any, arn: str = "arn:aws:sns:eu-central-1:123456789012:people") -> Digester:
    """As a cold start of the notify function makes it."""
    return Digester(
        digests=DigestTable(world.table),
        sns=topic,
        topic=arn,
        period=PERIOD,
        origin=HERE,
        clock=lambda: world.now,
        telemetry=world.telemetry,
    )


def held(
    number: int, reason: str = "allow.unmatched", *, name: str = "snr-0001", ca: str = CA_ID, **record: Any
) -> Record:
    """A device that was decided to be held."""
    device = knock(certificate_sha256=f"{number:064x}", subject=(("common_name", name),))
    decision = Decision(Verdict.HOLD, (Reason(reason, "it is so"),))
    made = recorded(
        decision,
        event=RegistrationEvent(f"{number:064x}", ca, NOW),
        heads=Heads(),
        facts=facts_json(device),
        state=APPLIED,
        now=NOW,
        previous=None,
    )
    return replace(made, **record)


def stream_of(records: Iterable[Record]) -> list[dict[str, Any]]:
    """What the stream brings of their writes."""
    return [_written(each) for each in records]


def _written(record: Record) -> dict[str, Any]:
    _, (put, *_rest) = record_writes("jitr", record)
    made = stream_record(json.loads(json.dumps(put["Put"]["Item"])))
    made["dynamodb"]["ApproximateCreationDateTime"] = NOW.timestamp()
    return made
