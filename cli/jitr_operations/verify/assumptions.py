"""What this software takes AWS IoT to do, and what was seen of it."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from jitr_operations.verify.usage import NOT_COUNTED, Usage


class Seen(StrEnum):
    """The result of checking an assumption."""

    CONFIRMED = "confirmed"
    OTHERWISE = "otherwise"
    NOT_TRIED = "not tried"


@dataclass(frozen=True, slots=True)
class Assumption:
    """Something that is taken to be so; ``code`` is stable. ``untried`` is why, where it is not looked at."""

    code: str
    text: str
    untried: str = "something before it was otherwise"


ASSUMPTIONS = (
    Assumption("ca.in-one-call", "A CA is registered ACTIVE, with auto-registration on, in one call."),
    Assumption("first.pending", "The first CONNECT registers the certificate as PENDING_ACTIVATION, under its CA."),
    Assumption("first.hung-up", "That connection is closed."),
    Assumption("first.leaf-alone", "The device need not send its CA's certificate along."),
    Assumption("first.chain", "A device that sends its CA's certificate along is registered in the same way."),
    Assumption("event.arrives", "The registration event reaches the function, and a decision is on record."),
    Assumption("event.again", "While the certificate is pending, each further CONNECT publishes the event again."),
    Assumption("decision.as-explained", "The decision is the one that `jitr explain` tells."),
    Assumption("status.pending-to-inactive", "A pending certificate can be made INACTIVE."),
    Assumption("status.inactive-stays-out", "A device whose certificate is INACTIVE cannot connect."),
    Assumption("policy.none-hangs-up", "A device whose certificate is ACTIVE and has no IoT policy is hung up on."),
    Assumption("policy.attached-counts", "An IoT policy counts within a minute after it was attached."),
    Assumption("policy.delete-after-detach", "An IoT policy can be deleted within five minutes after it was detached."),
    Assumption(
        "admission.whole",
        "A device that waits is admitted once rules let it in, and connects with its thing and its IoT policy.",
        untried="only with --own-stack",
    ),
    Assumption(
        "alarm.failures",
        "A message that cannot be handled raises RegistrationFailuresAlarm, and taking it away ends it.",
        untried="only with --alarm",
    ),
    Assumption(
        "message.refused-file",
        "A file that is refused is told by a message, which a queue that is subscribed to the topic receives.",
        untried="only with --refusal or --own-stack",
    ),
    Assumption(
        "throttling.shape",
        "A request above the quota is answered with ThrottlingException.",
        untried="only with --throttle",
    ),
)


@dataclass
class Report:
    """The result for each assumption, in the order of ``ASSUMPTIONS``."""

    where: str
    began: str
    run: str
    usage: Usage = field(default_factory=Usage)
    seen: dict[str, tuple[Seen, str]] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)  # what could not be cleaned up

    def see(self, code: str, so: bool, detail: str) -> None:
        """Note what was seen of an assumption."""
        self.seen[code] = (Seen.CONFIRMED if so else Seen.OTHERWISE, detail)

    @property
    def otherwise(self) -> list[str]:
        """The codes of what is not as it is taken to be."""
        return [code for code, (seen, _) in self.seen.items() if seen is Seen.OTHERWISE]

    def of(self, assumption: Assumption) -> tuple[Seen, str]:
        """Return what was seen of an assumption, or why it was not looked at."""
        return self.seen.get(assumption.code, (Seen.NOT_TRIED, assumption.untried))

    def count(self, seen: Seen) -> int:
        """Return of how many assumptions this came."""
        return [self.of(each)[0] for each in ASSUMPTIONS].count(seen)

    def to_json(self) -> dict[str, Any]:
        """Return it as ``--json`` prints it."""
        return {
            "where": self.where,
            "began": self.began,
            "run": self.run,
            "assumptions": [
                {
                    "code": each.code,
                    "text": each.text,
                    "seen": self.of(each)[0].value,
                    "detail": self.of(each)[1],
                }
                for each in ASSUMPTIONS
            ],
            "left": list(self.left),
            "used": self.usage.to_json(),
        }

    def markdown(self) -> str:
        """Return the report as a page."""
        rows = [f"| {each.text} | {self.of(each)[0]} | {_cell(self.of(each)[1])} |" for each in ASSUMPTIONS]
        left = [f"\nLeft behind: {', '.join(self.left)}."] if self.left else []
        head = [
            f"Run {self.run}, {self.began}, {self.where}.",
            "",
            "| what is taken to be so | seen | detail |",
            "| --- | --- | --- |",
        ]
        used = ["", "Used by the run:", "", *(f"- {each}" for each in self.usage.lines()), "", NOT_COUNTED]
        return "\n".join([*head, *rows, *left, *used, ""])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
