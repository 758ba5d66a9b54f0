"""The demo: devices connect for the first time, and one way or another it ends with each of them.

Two CAs are made and registered with proof of possession, rules and lists are published by the commands that
operators use, and then every device of the cast (``jitr_local.cast``) knocks at the broker with a real MQTT client.
What became of each is compared with what must become of it.
"""

import csv
import shlex
import statistics
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from jitr.aws.dynamodb import history
from jitr.aws.dynamodb.table import Table, certificate_key
from jitr.reasons import Verdict
from jitr.records.notices import is_told
from jitr.records.record import Record
from jitr.times import rfc3339
from jitr_local.cast import ADMITTED, RULES, Casting, Factories, Role
from jitr_local.device import Broker, Fate
from jitr_local.operator import Operator
from jitr_local.stack import LocalStack
from jitr_local.subscriber import Comparison, Subscriber, compare, wait_for
from jitr_operations.certificates import Certificate
from jitr_operations.diagnose import stand_in
from jitr_operations.files import read_certificate, read_private_key
from jitr_operations.issuing import pki

LATE = "snr-late"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Ending:
    """The end of one device's story."""

    role: Role
    record: Record | None
    fate: Fate  # as it was when the record was read, or a moment before

    @property
    def name(self) -> str:
        """The device's name, told apart from that of its twin."""
        return self.role.device.certificate.stem

    @property
    def as_expected(self) -> bool:
        """Whether that is what must become of it."""
        expected, record = self.role.expected, self.record
        if expected.decision is None:
            return record is None and self.fate is expected.fate
        return (
            record is not None
            and record.decision is expected.decision
            and self.reason == expected.reason
            and self.fate is expected.fate
        )

    @property
    def decision(self) -> str:
        """The decision on record, in a word."""
        return "none" if self.record is None else self.record.decision.value

    @property
    def reason(self) -> str | None:
        """The code of the weightiest reason on record."""
        return None if self.record is None or not self.record.reasons else self.record.reasons[0]["code"]

    @property
    def why(self) -> str:
        """The rule that let it in, or the weightiest reason why not, or what the device was told."""
        device, record = self.role.device, self.record
        if record is not None and record.decision is Verdict.ADMIT:
            let_in = f"rule {record.rule} ({record.at})"
            forbids = f"; its IoT policy does not allow the topic {device.topic}"
            return let_in + forbids if self.fate is Fate.HUNG_UP_ON_PUBLISH else let_in
        if record is not None and record.reasons:
            return f"{self.reason}: {record.reasons[0]['message']}"
        if self.fate is Fate.REFUSED_IN_TLS:
            return _what_tls_minds(self.role.certificate, datetime.now(UTC))
        return device.last_error


@dataclass
class Demo:
    """One run on a local stack. ``folder`` is for keys and certificates and goes with the stack."""

    stack: LocalStack
    folder: Path
    count: int
    say: Say
    roles: list[Role] = field(default_factory=list)
    began: str = field(default_factory=lambda: rfc3339(datetime.now(UTC)))

    def prepare(self) -> None:
        """Make and register the CAs, publish rules and lists, issue the devices' certificates."""
        self._operate("ca", "create", "factory-a", "--organization", "OKIDA", "--country", "TR")
        self._operate("ca", "create", "factory-b", "--organization", "ANKA", "--key-type", "rsa:2048")
        for name in ("factory-a", "factory-b"):
            self._operate("ca", "register", f"{name}.pem", "--key", f"{name}.key")
        self._quietly("ca", "create", "unregistered", "--organization", "OKIDA")
        factories = Factories(*(self._issuer(name) for name in ("factory-a", "factory-b", "unregistered")))
        broker = Broker(self.stack.mqtt_host, self.stack.mqtt_port, self.stack.broker_ca)
        casting = Casting(self.folder, broker, factories)
        self.say(f"issuing certificates for {self.count} devices, and for those that are to go otherwise")
        self.roles = [*casting.fleet(self.count), *casting.others()]
        self._make_things()
        self._publish(factories)

    def run(self, tell: Callable[[list[Ending]], None], seconds: float) -> list[Ending]:
        """Let every device knock until it is clear what becomes of each, or the time is up."""
        deadline = time.monotonic() + seconds
        waiting = [role for role in self.roles if role.after]
        others = len(self.roles) - self.count
        self.say(f"{self.count} devices connect for the first time, and {others} that are to go otherwise")
        _start(role for role in self.roles if not role.after)
        endings = self._endings()
        late_added = False
        try:
            while time.monotonic() < deadline and not (late_added and all(each.as_expected for each in endings)):
                waiting = self._start_those_who_waited(waiting)
                if not late_added and self._is_held(LATE, endings):
                    self._let_the_late_one_in()
                    late_added = True
                tell(endings)
                threading.Event().wait(0.25)
                endings = self._endings()
        finally:
            for role in self.roles:
                role.device.stop.set()
        endings = self._endings()
        tell(endings)
        return endings

    def told(self, subscriber: Subscriber, seconds: float = 30) -> Comparison:
        """Return what a subscriber was told of the demo, once it was told all or the time is up."""

        def look() -> Comparison:
            subscriber.look()
            records = {each.role.certificate_id: each.record for each in self._endings()}
            changes = [each.id for each in history.newest(self._table, since=self.began) if is_told(each)]
            return compare(records, changes, subscriber)

        return wait_for(look, seconds)

    def _start_those_who_waited(self, waiting: list[Role]) -> list[Role]:
        through = {role.device.name for role in self.roles if role.device.fate is Fate.PUBLISHED}
        ready = [role for role in waiting if role.after in through]
        _start(ready)
        return [role for role in waiting if role not in ready]

    def _let_the_late_one_in(self) -> None:
        self._operate("held", "ls")
        self._operate("lists", "add", "line-a", f"common_name={LATE}", "attr.batch=8")

    def _is_held(self, name: str, endings: list[Ending]) -> bool:
        return any(
            each.role.device.name == name and each.record is not None and each.record.decision is Verdict.HOLD
            for each in endings
        )

    def _endings(self) -> list[Ending]:
        fates = [each.device.fate for each in self.roles]  # first: a decision is on record before a device is through
        keys = [certificate_key(each.certificate_id) for each in self.roles]
        found = {item["pk"]: item for item in self._table.get(keys)}
        records = [_record(found.get(key["pk"])) for key in keys]
        return [Ending(*each) for each in zip(self.roles, records, fates, strict=True)]

    def _publish(self, factories: Factories) -> None:
        rules = RULES.format(
            factory_a=factories.a.certificate.sha256,
            factory_b=factories.b.certificate.sha256,
            policy=self.stack.outputs["DevicePolicyName"],
            most=self.count + 10,
            today=datetime.now(UTC).date(),
        )
        (self.folder / "admission.yaml").write_text(rules)
        line_a = [each for each in self.roles if each.expected is ADMITTED and "line a" in each.what]
        _write_list(self.folder / "line-a.csv", [each.device.name for each in line_a], batch="7")
        _write_list(self.folder / "recall-17.csv", ["snr-recalled"])
        self._operate("lists", "import", "line-a", "line-a.csv")
        self._operate("lists", "import", "recall-17", "recall-17.csv")
        self._operate("rules", "check", "admission.yaml")
        self._operate("rules", "publish", "admission.yaml", "--yes", "--message", "the demo begins")

    def _make_things(self) -> None:
        iot = self.stack.session().client("iot")
        self.say("$ aws iot create-thing-type --thing-type-name Sensor")
        iot.create_thing_type(thingTypeName="Sensor")
        self.say("$ aws iot create-thing-group --thing-group-name line-a")
        iot.create_thing_group(thingGroupName="line-a")

    def _issuer(self, name: str) -> pki.Issuer:
        key = read_private_key(self.folder / f"{name}.key", lambda: b"")
        return pki.Issuer(read_certificate(self.folder / f"{name}.pem"), key)

    @cached_property
    def _table(self) -> Table:
        return Table(self.stack.session().client("dynamodb"), self.stack.outputs["TableName"])

    def _operate(self, *arguments: str) -> None:
        """Run a ``jitr`` command as an operator does, and show it."""
        self.say(f"$ jitr {shlex.join(arguments)}")
        for line in self._quietly(*arguments).splitlines():
            self.say(f"  {line}".rstrip())

    def _quietly(self, *arguments: str) -> str:
        return Operator(self.stack, self.folder).types(*arguments)


def unexpected(endings: Iterable[Ending]) -> list[Ending]:
    """Those that ended otherwise than they must."""
    return [each for each in endings if not each.as_expected]


def seconds_to_first_message(endings: Iterable[Ending]) -> list[float]:
    """From first connection to first message, for every device that got that far and needed no operator, sorted."""
    return sorted(
        seconds
        for each in endings
        if each.role.device.name != LATE and (seconds := each.role.device.seconds) is not None
    )


def summary(endings: list[Ending]) -> str:
    """Return the times, and what they are made of."""
    times = seconds_to_first_message(endings)
    if not times:
        return "no device got as far as a message"
    return (
        f"{len(times)} devices from first connection to first message: "
        f"median {statistics.median(times):.1f} s, worst {times[-1]:.1f} s\n"
        "Most of that a device waits: about 1, 2, 4 and then 8 s between its attempts, as device SDKs do."
    )


def _what_tls_minds(certificate: Certificate, now: datetime) -> str:
    """Return why TLS refuses a certificate; the broker does not say."""
    refused = stand_in.why_refused(certificate.own.facts, now)
    if refused is None:
        return "no CA that signed it is registered, so it never was an event"
    return f"its certificate {refused}, so it never was an event ({stand_in.SENTENCE})"


def _start(roles: Iterable[Role]) -> None:
    for role in roles:
        threading.Thread(target=role.device.run, name=role.device.name, daemon=True).start()


def _record(item: "dict[str, object] | None") -> Record | None:
    return None if item is None else Record.from_json(item)


def _write_list(file: Path, names: list[str], **attributes: str) -> None:
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["common_name", *(f"attr.{name}" for name in attributes)])
        writer.writerows([name, *attributes.values()] for name in names)
