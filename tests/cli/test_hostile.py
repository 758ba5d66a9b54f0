"""What strangers chose does not steer an operator's terminal, whichever command prints it."""

import unicodedata
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from testkit.cli.command_line import Run
from testkit.cli.operating import RULES
from testkit.cli.stack import Queues
from testkit.knocks import CA_ID, NOW, knock

from jitr.aws.dynamodb.table import Table
from jitr.decision.decide import Decision, decide
from jitr.reasons import Reason, Verdict
from jitr.records.event import RegistrationEvent
from jitr.records.knock import facts_json
from jitr.records.record import APPLIED
from jitr.records.transitions import recorded
from jitr.rules.model import Rules, load
from jitr.services.publishing import publication

# Clears the screen, sets the window's title, turns the reading direction, ends the line, begins a new one.
EVIL = "snr\x1b[2J\x1b]0;title\x07\u202e\u2028\r\nevil"
IDS = [f"{number:064x}" for number in range(3)]


@pytest.fixture
def hostile(ready: Table, run: Run) -> Table:
    """A stack where names in certificates, reasons, who published and why, and failed messages are an attacker's."""
    heads = ready.heads()
    compiled = ready.blob(f"RULES#{heads.digest}")
    assert compiled is not None
    rules = load(compiled)
    text = (RULES + f"# {EVIL}\n").encode()
    evil = replace(rules, default=Verdict.REJECT)
    publication.publish(ready, evil, text, heads, at="2026-03-01T12:00:00Z", by=EVIL, message=EVIL)
    for number, verdict in enumerate(Verdict):
        _decided(ready, evil, IDS[number], verdict, number)
    queues = Queues()
    queues.fail(EVIL, "event.not-json")
    queues.sqs.send_message(
        QueueUrl=queues.urls["RegistrationFailuresUrl"],
        MessageBody="{}",
        MessageAttributes={
            name: {"DataType": "String", "StringValue": EVIL.replace("\x1b", "\u009b").replace("\x07", "")}
            for name in ("reason", "message")
        },
    )
    Path("wider.yaml").write_text(RULES.replace("    list: line-a\n", '    common_name: "*"\n').split("tests:")[0])
    return ready


def _decided(table: Table, rules: Rules, certificate_id: str, verdict: Verdict, minutes: int) -> None:
    at = NOW + timedelta(minutes=minutes)
    device = knock(subject=(("common_name", EVIL), ("organization", EVIL)), certificate_sha256=certificate_id)
    found = decide(device, rules, {}, at, at)
    decision: Decision = replace(
        found, verdict=verdict, reasons=(Reason("allow.unmatched", EVIL),), rule=EVIL, at=f"{EVIL}:1"
    )
    event = RegistrationEvent(certificate_id, CA_ID, at)
    facts = facts_json(device)
    table.put_record(
        recorded(decision, event=event, heads=table.heads(), facts=facts, state=APPLIED, now=at, previous=None)
    )


COMMANDS = [  # those that change something last
    ("status",),
    ("rules", "show"),
    ("rules", "history"),
    ("rules", "diff"),
    ("rules", "replay", "wider.yaml"),
    ("rules", "check", EVIL),
    ("lists", "ls"),
    ("lists", "show", "line-a"),
    ("lists", "show", EVIL),
    ("lists", "import", EVIL, EVIL),
    ("lists", "import", "line-a", EVIL),
    ("held", "ls"),
    ("held", "ls", "--ca", EVIL),
    ("held", "ls", "--reason", EVIL),
    ("held", "admit", IDS[1], "--rule", EVIL),
    ("decisions", "ls"),
    *(("decisions", "show", each) for each in IDS),
    ("decisions", "show", EVIL),
    ("explain", EVIL),
    ("failures", "ls"),
    ("held", "reject", IDS[1], "--message", EVIL, "--yes"),
    ("decisions", "show", IDS[1]),
    ("rules", "publish", "wider.yaml", "--yes", "--message", EVIL),
    ("rules", "rollback", "--yes"),
]


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_nothing_that_a_stranger_chose_steers_the_terminal(hostile: Table, run: Run, *, as_json: bool) -> None:
    for words in COMMANDS:
        result = run(*words, *(["--json"] if as_json else []))
        assert result.exit_code in (0, 1, 2), (words, result.output)
        steering = [each for each in result.stdout + result.stderr if _steers(each)]
        assert steering == [], (words, result.output)


def _steers(character: str) -> bool:
    """Controls but for our own line feeds and tabs, formats, separators."""
    return character not in "\n\t" and unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}


def test_a_name_over_several_lines_stays_on_one_line_of_a_table(hostile: Table, run: Run) -> None:
    """A line that begins anew could be taken for another device."""
    lines = run("held", "ls").stdout.splitlines()
    assert len(lines) == 2
    assert not any(each.startswith("evil") for each in lines)
