"""The demo: every device ends as it must, and one that does not is noticed."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner, Result
from testkit import pki

from jitr.reasons import Verdict
from jitr.records.record import APPLIED, Record
from jitr_local import cli, demo
from jitr_local import subscriber as cli_subscriber
from jitr_local.cast import ADMITTED, Expected, Role
from jitr_local.demo import LATE, Demo, Ending, seconds_to_first_message, summary, unexpected
from jitr_local.device import Broker, Device, Fate
from jitr_local.stack import LocalStack
from jitr_local.subscriber import Comparison, Subscriber, compare, subscribed
from jitr_operations.certificates import Certificate, read

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DEVICES = 24

REFUSED = Expected(Fate.REFUSED_IN_TLS)


# --- the whole of it


@pytest.mark.stack
def test_every_device_of_the_demo_ends_as_it_must(
    local_stack: LocalStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At least 24 devices of two CAs publish, EC and RSA, v1 and v3; each of the others ends in its own way. What the
    developer's environment says of AWS does not reach the commands. No thread of a device is left.
    """
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    said: list[str] = []
    performance = Demo(local_stack, tmp_path, DEVICES, said.append)
    with subscribed(local_stack) as subscriber:
        performance.prepare()
        endings = performance.run(lambda _endings: None, seconds=120)
        told = performance.told(subscriber)
    assert told.missing == ()
    assert told.devices == len(endings) - 2
    assert told.changes >= 6, "two CAs, two lists imported and one edited, rules"
    assert {"Device Admitted", "Device Held", "Device Rejected", "List Changed", "CA Changed"} <= told.events.keys()

    assert [_told(each) for each in unexpected(endings)] == []
    ends = {each.name: (each.decision, each.fate, each.reason) for each in endings}
    others = {
        "snr-late": ("admit", Fate.PUBLISHED, "allow.rule"),
        "snr-recalled": ("reject", Fate.KNOCKING, "deny.rule"),
        "snr-is-a-ca": ("reject", Fate.KNOCKING, "certificate.is-ca"),
        "snr-0001-twin": ("hold", Fate.KNOCKING, "grant.thing-claimed"),
        "snr-stranger": ("none", Fate.REFUSED_IN_TLS, None),
        "snr-expired": ("none", Fate.REFUSED_IN_TLS, None),
        "snr-nosy": ("admit", Fate.HUNG_UP_ON_PUBLISH, "allow.rule"),
    }
    fleet = {f"snr-{number:04d}": ("admit", Fate.PUBLISHED, "allow.rule") for number in range(1, DEVICES + 1)}
    assert ends == fleet | others
    kinds = {
        (facts.issuer, facts.version, facts.key.kind)
        for facts in (each.role.certificate.own.facts for each in endings if each.name in fleet)
    }
    assert len(kinds) == 8, "two organisations, v1 and v3, EC and RSA"
    assert len(seconds_to_first_message(endings)) == DEVICES
    why = {each.name: each.why for each in endings}
    assert "never was an event" in why["snr-stranger"]
    assert "expired on" in why["snr-expired"]
    assert "the stand-in refuses this; AWS IoT may not" in why["snr-expired"]
    assert "stand-in" not in why["snr-stranger"], "AWS IoT refuses it, too"
    assert "does not allow the topic devices/snr-0001/hello" in why["snr-nosy"]
    assert "$ jitr lists add line-a common_name=snr-late attr.batch=8" in said
    _wait_for_devices(performance)


def _told(ending: Ending) -> str:
    device = ending.role.device
    return f"{ending.name}: {ending.decision}, {ending.fate}, {ending.why} ({device.attempts} knocks)"


def _wait_for_devices(performance: Demo) -> None:
    names = {each.device.name for each in performance.roles}
    for thread in threading.enumerate():
        if thread.name in names:
            thread.join(30)
            assert not thread.is_alive()


@pytest.mark.stack
def test_the_page_of_the_demo_is_open_until_ctrl_c_which_leaves_nothing_running(
    local_stack: LocalStack, tmp_path: Path
) -> None:
    """A terminal sends Ctrl-C to all that runs in it; whatever ends the demo ends the page."""
    (tmp_path / "stack.json").write_text(json.dumps(local_stack.as_json()))
    words = [sys.executable, "-c", _SERVE, str(tmp_path)]
    process = subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stderr
    told = ""
    while "/enter?token=" not in told:
        line = process.stderr.readline()
        assert line, told
        told += line
    assert "Local stack" in told or local_stack.stack_name in told
    link = urlsplit(told.partition("  ")[2].split()[0])
    connection = HTTPConnection("127.0.0.1", link.port or 0)
    connection.request("GET", f"{link.path}?{link.query}")
    assert connection.getresponse().status == 200
    connection.close()
    os.killpg(process.pid, signal.SIGINT)
    _, rest = process.communicate(timeout=60)
    assert (process.returncode, "The page has ended." in rest) == (0, True), rest
    with pytest.raises(ConnectionRefusedError):
        connection.connect()


_SERVE = """
import json, sys
from pathlib import Path
from jitr_local.demo_page import serve_page
from jitr_local.stack import LocalStack

folder = Path(sys.argv[1])
told = json.loads((folder / "stack.json").read_text())
paths = {name: Path(told[name]) for name in ("broker_ca", "log")}
sys.exit(serve_page(LocalStack(**told | paths), folder, ["--no-browser"]))
"""


# --- what counts as expected


@pytest.fixture(scope="module")
def certificate() -> Certificate:
    return read(pki.ca("Factory A").device("snr-0001").issue().pem)


def ending(
    certificate: Certificate,
    fate: Fate,
    decision: Verdict | None = None,
    code: str = "allow.rule",
    *,
    expected: Expected = ADMITTED,
    name: str = "snr-0001",
) -> Ending:
    """What became of a device that nobody played."""
    device = Device(name, Path(f"{name}.pem"), Path(f"{name}.key"), "topic", Broker("localhost", 1, Path("ca.pem")))
    device.fate, device.attempts, device.last_error = fate, 3, "hung up on"
    if fate is Fate.PUBLISHED:
        device.first_attempt, device.first_message = 1.0, 3.5
    reasons = ({"code": code, "message": "because"},)
    record = None
    if decision is not None:
        record = Record("ab" * 32, "cd" * 32, decision, APPLIED, NOW, NOW, NOW, reasons=reasons)
    return Ending(Role(device, "a device", expected, certificate), record, fate)


@pytest.mark.parametrize(
    ("fate", "decision", "code"),
    [
        (Fate.KNOCKING, None, ""),
        (Fate.KNOCKING, Verdict.ADMIT, "allow.rule"),
        (Fate.PUBLISHED, Verdict.ADMIT, "allow.operator"),
        (Fate.PUBLISHED, Verdict.HOLD, "allow.rule"),
        (Fate.PUBLISHED, None, ""),
        (Fate.REFUSED_IN_TLS, None, ""),
        (Fate.HUNG_UP_ON_PUBLISH, Verdict.ADMIT, "allow.rule"),
    ],
)
def test_an_ending_is_as_expected_only_if_fate_decision_and_reason_are(
    certificate: Certificate, fate: Fate, decision: Verdict | None, code: str
) -> None:
    right = ending(certificate, Fate.PUBLISHED, Verdict.ADMIT)
    wrong = ending(certificate, fate, decision, code)
    assert unexpected([right, wrong, right]) == [wrong]


def test_a_device_that_must_never_be_an_event_is_unexpected_with_any_decision(certificate: Certificate) -> None:
    right = ending(certificate, Fate.REFUSED_IN_TLS, expected=REFUSED)
    assert unexpected([right]) == []
    decided = ending(certificate, Fate.REFUSED_IN_TLS, Verdict.REJECT, expected=REFUSED)
    published = ending(certificate, Fate.PUBLISHED, expected=REFUSED)
    assert unexpected([decided, published]) == [decided, published]


def test_times_are_of_devices_that_needed_no_operator(certificate: Certificate) -> None:
    quick = ending(certificate, Fate.PUBLISHED, Verdict.ADMIT)
    slow = ending(certificate, Fate.PUBLISHED, Verdict.ADMIT)
    slow.role.device.first_message = 10.0
    late = ending(certificate, Fate.PUBLISHED, Verdict.ADMIT, name=LATE)
    late.role.device.first_message = 90.0
    never = ending(certificate, Fate.KNOCKING, Verdict.HOLD)
    assert seconds_to_first_message([slow, late, quick, never]) == [2.5, 9.0]
    assert "median 5.8 s, worst 9.0 s" in summary([slow, late, quick, never])
    assert summary([never]) == "no device got as far as a message"


# --- what a subscriber is told


def event_of(ending: Ending, decision: str | None = None, revision: int = 1) -> dict[str, Any]:
    """What the bus brings of a decision."""
    data = {
        "certificate_id": ending.name,
        "decision": decision or ending.decision,
        "reason": ending.reason,
    }
    metadata = {"id": f"{ending.name}#{revision}"}
    return {"detail-type": f"Device {data['decision']}", "detail": {"metadata": metadata, "data": data}}


def test_the_last_event_of_each_device_has_to_say_what_is_on_record(certificate: Certificate) -> None:
    right = ending(certificate, Fate.PUBLISHED, Verdict.ADMIT, name="right")
    wrong = ending(certificate, Fate.PUBLISHED, Verdict.ADMIT, name="wrong")
    untold = ending(certificate, Fate.KNOCKING, Verdict.HOLD, "allow.unmatched", name="untold")
    stranger = ending(certificate, Fate.REFUSED_IN_TLS, name="stranger")
    sent = [
        event_of(right, "hold", 9),
        event_of(right, revision=10),
        event_of(wrong),
        event_of(wrong, "hold", 2),
        event_of(ending(certificate, Fate.PUBLISHED, Verdict.ADMIT, name="stranger")),
    ]
    subscriber = Subscriber(None, "", {each["detail"]["metadata"]["id"]: each for each in sent}, received=7)
    told = compare({each.name: each.record for each in (right, wrong, untold, stranger)}, ["a change"], subscriber)
    assert len(told.missing) == 4
    assert (told.devices, told.changes, told.repeats) == (3, 1, 2)
    assert "4 OTHERWISE" in str(told)
    assert compare({"right": right.record}, [], subscriber).missing == ()


# --- the command


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[Ending]:
    """The endings of a demo that is only said to have been played: no stack, no device."""
    endings: list[Ending] = []

    @contextmanager
    def no_stack(**_options: object) -> Iterator[object]:
        yield SimpleNamespace()

    class Played:
        def __init__(self, *_arguments: object) -> None:
            pass

        def prepare(self) -> None:
            pass

        def run(self, tell: Any, seconds: float) -> list[Ending]:
            tell(endings)
            return endings

        def told(self, subscriber: Subscriber) -> Comparison:
            return compare({each.name: each.record for each in endings}, [], subscriber)

    @contextmanager
    def listening(_stack: object) -> Iterator[Subscriber]:
        subscriber = Subscriber(None, "")
        for each in endings:
            if each.record is not None and each.name != "untold":
                subscriber.events[f"{each.name}#1"] = event_of(each)
        yield subscriber

    monkeypatch.setattr(cli_subscriber, "subscribed", listening)
    monkeypatch.setattr(cli, "running_stack", no_stack)
    monkeypatch.setattr(demo, "Demo", Played)
    return endings


def run_demo() -> Result:
    return CliRunner().invoke(cli.local, ["demo"])


def test_the_demo_ends_with_0_if_every_device_ended_as_it_must(played: list[Ending], certificate: Certificate) -> None:
    played.append(ending(certificate, Fate.PUBLISHED, Verdict.ADMIT))
    shown = run_demo()
    assert (shown.exit_code, "UNEXPECTED" in shown.output) == (0, False)


def test_the_demo_ends_with_1_and_says_which_device_ended_otherwise(
    played: list[Ending], certificate: Certificate
) -> None:
    held = ending(certificate, Fate.KNOCKING, Verdict.HOLD, "allow.unmatched", name="snr-0002")
    played += [ending(certificate, Fate.PUBLISHED, Verdict.ADMIT), held]
    shown = run_demo()
    assert shown.exit_code == 1
    (told,) = [line for line in shown.output.splitlines() if line.startswith("UNEXPECTED")]
    assert "snr-0002 ended hold, still knocking" in told
    assert "admit, published (allow.rule)" in told


def test_the_demo_ends_with_1_if_a_decision_was_not_told(played: list[Ending], certificate: Certificate) -> None:
    played.append(ending(certificate, Fate.PUBLISHED, Verdict.ADMIT, name="untold"))
    shown = run_demo()
    assert shown.exit_code == 1
    assert "1 OTHERWISE" in shown.output


@pytest.mark.parametrize("count", ["0", "23", "many"])
def test_the_demo_has_at_least_24_devices_in_the_first_group(count: str) -> None:
    refused = CliRunner().invoke(cli.local, ["demo", "--devices", count])
    assert refused.exit_code == 2
    assert "--devices" in refused.output
