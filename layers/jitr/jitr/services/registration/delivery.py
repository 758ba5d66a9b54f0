"""One delivery of a registration event, and what was known of its certificate when it was begun."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from jitr.decision.decide import Decision
from jitr.records.event import RegistrationEvent
from jitr.records.heads import Heads
from jitr.records.record import Record
from jitr.records.transitions import recorded
from jitr.values import dataclass


@dataclass(frozen=True, slots=True)
class Message:
    """One delivery of a message from the registration queue."""

    body: str
    sent_at: datetime
    deliveries: int
    id: str = ""
    remaining: Callable[[], int] | None = None  # milliseconds until the function is ended
    patient: bool = True  # it may wait for its turn to ask AWS IoT
    unseen: Heads | None = None  # what was in force at a glance that found no decision on the certificate


@dataclass(frozen=True, slots=True)
class Case:
    """A delivery, and what was known when it was begun."""

    message: Message
    event: RegistrationEvent
    record: Record | None
    heads: Heads
    glanced: bool = False  # known from a glance at its batch alone: to be looked up again before AWS IoT is asked

    def recorded(self, decision: Decision, facts: Mapping[str, Any] | None, state: str, now: datetime) -> Record:
        """Return the record of a decision on the certificate, after the one before it."""
        return recorded(
            decision,
            event=self.event,
            heads=self.heads,
            facts=facts,
            state=state,
            now=now,
            previous=self.record,
            delivery=self.message.id,
        )
