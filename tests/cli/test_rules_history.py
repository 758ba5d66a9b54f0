"""What was, is and would be in force: history, show, diff, rollback and replay."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from testkit import pki
from testkit.cli.command_line import Run
from testkit.cli.operating import RULES, hold
from testkit.knocks import CA_ID, NOW, allow, decided, knock
from testkit.knocks import rules as made_rules

from jitr.aws.dynamodb.table import Table
from jitr.errors import InputError
from jitr.reasons import Verdict
from jitr.records.event import RegistrationEvent
from jitr.records.knock import facts_json
from jitr.records.record import APPLIED
from jitr.records.transitions import recorded
from jitr_operations.rules.with_ids import names_files, with_ids


def publish(run: Run, text: str, message: str) -> None:
    """Put a file in force."""
    Path("admission.yaml").write_text(text)
    assert run("rules", "publish", "admission.yaml", "--yes", "--message", message).exit_code == 0


def test_the_history_keeps_every_version_the_newest_first(ready: Table, run: Run) -> None:
    publish(run, RULES + "# one\ndefault: reject\n", "closed")
    told = json.loads(run("rules", "history", "--json").stdout)
    assert [each["version"] for each in told] == [2, 1]
    assert told[0]["message"] == "closed"


def test_show_prints_the_file_as_it_was_published_with_its_comments(ready: Table, run: Run) -> None:
    publish(run, RULES + "# a comment\ndefault: reject\n", "closed")
    assert run("rules", "show").stdout == RULES + "# a comment\ndefault: reject\n\n"
    assert run("rules", "show", 1).stdout == RULES + "\n"


def test_diff_shows_what_changed_and_exits_1(ready: Table, run: Run) -> None:
    publish(run, RULES + "default: reject\n", "closed")
    result = run("rules", "diff")
    assert (result.exit_code, "+default: reject" in result.stdout) == (1, True)
    assert run("rules", "diff", 1, 1).exit_code == 0


def test_a_rollback_is_a_new_version_of_the_old_rules(ready: Table, run: Run) -> None:
    first = ready.heads().digest
    publish(run, RULES + "default: reject\n", "closed")
    assert run("rules", "rollback", 1, "--yes").exit_code == 0
    heads = ready.heads()
    assert (heads.digest, heads.version) == (first, 3)
    told = json.loads(run("rules", "history", "--json").stdout)
    assert told[0]["message"] == "rollback to version 1"


def test_a_rollback_without_a_version_is_to_the_one_before(ready: Table, run: Run) -> None:
    first = ready.heads().digest
    assert run("rules", "rollback", "--yes").exit_code == 2  # there is none before the first
    publish(run, RULES + "default: reject\n", "closed")
    assert ready.heads().digest != first
    assert run("rules", "rollback", "--yes").exit_code == 0
    assert (ready.heads().digest, ready.heads().version) == (first, 3)


def test_a_former_name_that_no_rule_had_is_told(ready: Table, run: Run) -> None:
    """It may be a slip, and the rule that was meant is another."""
    Path("admission.yaml").write_text(RULES.replace("name: line-a", "name: line-x\n    formerly: lime-a"))
    told = "rule line-x: no rule in force is or was called lime-a (`formerly`), and no device is counted so"
    assert told in run("rules", "publish", "admission.yaml", "--yes").stderr
    ready.put({"pk": "PLACES#lime-a", "sk": "PLACES", "taken": 3})
    for name, formerly in (("line-y", "lime-a"), ("line-z", "line-y")):
        Path("admission.yaml").write_text(RULES.replace("name: line-a", f"name: {name}\n    formerly: {formerly}"))
        assert "(`formerly`)" not in run("rules", "publish", "admission.yaml", "--yes").stderr


def test_a_former_name_that_no_rule_had_is_told_by_a_rollback_as_well(ready: Table, run: Run) -> None:
    publish(run, RULES.replace("name: line-a", "name: line-x\n    formerly: lime-a"), "a slip")
    publish(run, RULES, "as before")
    assert "was called lime-a (`formerly`)" in run("rules", "rollback", 2, "--yes").stderr


def test_whoever_publishes_is_told_where_not_every_device_was_looked_at(
    ready: Table, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        hold(ready, number)
    told = "of each decision were looked at; `jitr rules replay` looks at all."
    for most in (4, 3):
        monkeypatch.setattr("jitr.services.recheck.replay.MOST_REPLAYED", most)
        Path("admission.yaml").write_text(f"{RULES}# {most}\ndefault: {'reject' if most == 4 else 'hold'}\n")
        assert (told in run("rules", "publish", "admission.yaml", "--yes").stderr) is (most == 3)


def test_a_count_does_not_begin_anew_by_publication_or_rollback(ready: Table, run: Run) -> None:
    """It is said before anything is looked at or asked, and by a rollback as well."""
    counted = RULES.replace("    list: line-a\n", "    list: line-a\n    max_devices: 5\n")
    publish(run, counted, "at most five")
    ready.put({"pk": "PLACES#line-a", "sk": "PLACES", "taken": 3})
    before = ready.heads()
    Path("admission.yaml").write_text(counted.replace("name: line-a", "name: line-x"))
    result = run("rules", "publish", "admission.yaml")
    assert (result.exit_code, "line-a (3 places taken)" in result.stderr) == (2, True), result.stderr
    assert "admission.yaml:5: rule line-x is new" in result.stderr
    assert "say so in it, as `formerly: line-a`" in result.stderr
    assert ready.heads() == before
    publish(run, counted.replace("name: line-a", "name: line-x\n    formerly: line-a"), "renamed")
    assert run("rules", "rollback", "--yes").exit_code == 0  # the same count by the first name
    ready.put({"pk": "PLACES#line-b", "sk": "PLACES", "taken": 1})
    rule = counted.partition("allow:\n")[2].partition("tests:\n")[0]
    publish(run, counted.replace("tests:\n", rule.replace("name: line-a", "name: line-b") + "tests:\n"), "another")
    publish(run, counted.replace("name: line-a", "name: line-b"), "the first is gone")
    result = run("rules", "rollback", 2, "--yes")
    assert (result.exit_code, "rule line-a is new" in result.stderr) == (2, True), result.stderr


@pytest.mark.parametrize("arguments", [("show", 9), ("diff", 8, 9), ("rollback", 9, "--yes"), ("rollback", 1, "--yes")])
def test_a_version_that_is_not_there_or_is_in_force_already_is_exit_2(
    ready: Table, run: Run, arguments: tuple[object, ...]
) -> None:
    assert run("rules", *arguments).exit_code == 2
    assert ready.heads().version == 1


def test_without_rules_there_is_nothing_to_show(table: Table, run: Run) -> None:
    result = run("rules", "show")
    assert (result.exit_code, "no rules are in force" in result.stderr) == (2, True)


def test_replay_says_which_held_devices_a_file_would_admit_and_changes_nothing(ready: Table, run: Run) -> None:
    for number in range(3):
        hold(ready, number)
    policies_only = RULES.replace('thing: "{common_name}", ', "").split("tests:")[0].replace("    list: line-a\n", "")
    Path("wider.yaml").write_text(policies_only)
    result = run("rules", "replay", "wider.yaml", "--json")
    told = json.loads(result.stdout)
    assert (result.exit_code, told["decided"]) == (1, 3)
    assert [each["to"]["decision"] for each in told["changes"]] == ["admit"] * 3
    assert ready.heads().version == 1
    assert told["by_rule"] == [{"from": "hold", "to": "admit", "by": "line-a", "devices": 3}]
    assert {each["common_name"] for each in told["changes"]} == {f"snr-{number}\x1b[31m" for number in range(3)}
    shown = run("rules", "replay", "wider.yaml").stdout
    assert "3 decisions made again: would admit 3 held devices now." in shown
    assert re.search(r"^3 +hold +admit +line-a$", shown, re.MULTILINE)  # by rule
    assert (
        len(re.findall(r"^0+\w+ +snr-\d\\x1b\[31m +hold +admit +allow\.rule: ", shown, re.MULTILINE)) == 3
    )  # by device


def test_replay_warns_of_what_a_file_names_and_the_account_has_not(ready: Table, run: Run) -> None:
    Path("other.yaml").write_text(RULES.replace("    list: line-a\n", "    list: line-x\n").split("tests:")[0])
    result = run("rules", "replay", "other.yaml")
    assert (result.exit_code, "there is no device list line-x" in result.stderr) == (0, True), result.stderr


def test_replay_of_the_rules_in_force_changes_nothing_and_exits_0(ready: Table, run: Run) -> None:
    hold(ready, 1)
    assert run("rules", "replay", "admission.yaml").exit_code == 0


def test_replay_leaves_out_what_was_decided_before_since(ready: Table, run: Run) -> None:
    for number in range(3):
        hold(ready, number)
    told = json.loads(run("rules", "replay", "admission.yaml", "--since", "2026-03-01T12:01:00Z", "--json").stdout)
    assert told["decided"] == 2
    assert run("rules", "replay", "admission.yaml", "--since", "soon").exit_code == 2


def test_publishing_says_what_it_would_do_to_devices_on_record(ready: Table, run: Run) -> None:
    hold(ready, 1)
    Path("admission.yaml").write_text(
        RULES.replace("allow:", "deny:\n  - {name: all, ca: factory-a}\nallow:").split("tests:")[0]
    )
    result = run("rules", "publish", "admission.yaml", "--yes")
    assert "would reject 1 held device now" in result.stderr
    assert "+  - {name: all, ca: factory-a}" in result.stderr  # how it differs from what is in force


def admitted(table: Table, number: int) -> None:
    """Put an admitted device on record."""
    device = knock(subject=(("common_name", f"old-{number}"),), certificate_sha256=f"{number:064x}")
    decision = decided(device, made_rules(allow()), now=NOW)
    assert decision.verdict is Verdict.ADMIT
    event = RegistrationEvent(f"{number:064x}", CA_ID, NOW)
    heads, facts = table.heads(), facts_json(device)
    table.put_record(recorded(decision, event=event, heads=heads, facts=facts, state=APPLIED, now=NOW, previous=None))


def test_publishing_says_what_it_would_do_in_numbers_before_it_asks(ready: Table, run: Run) -> None:
    """14 held ones get in; 3 admitted ones would not today, and stay."""
    for number in range(14):
        hold(ready, number)
    for number in range(3):
        admitted(ready, number + 100)
    text = RULES.replace("    list: line-a\n", '    common_name: "snr-*"\n').split("tests:")[0]
    Path("admission.yaml").write_text(text.replace('thing: "{common_name}", ', ""))
    result = run("rules", "publish", "admission.yaml", "--json")  # no terminal, no --yes: it stops where it would ask
    assert result.exit_code == 2
    assert (
        "would admit 14 held devices now; 3 admitted devices would not be admitted today: they stay ACTIVE, "
        "see `jitr fleet check`"
    ) in result.stderr
    told = json.loads(run("rules", "publish", "admission.yaml", "--yes", "--json").stdout)
    assert told["effect"] == {"decided": 17, "admits": 14, "rejects": 0, "reopens": 0, "stay_active": 3}
    assert any("line-a" in line for line in told["diff"])


def test_a_rollback_warns_of_what_is_gone_since(ready: Table, run: Run, aws: Any) -> None:
    Path("admission.yaml").write_text(RULES.replace("line-a\n    ca", "line-b\n    ca"))
    assert run("rules", "publish", "admission.yaml", "--yes").exit_code == 0
    aws.overrides["ListPolicies"] = lambda _: {"policies": []}
    result = run("rules", "rollback", "1", "--yes")
    assert result.exit_code == 0
    assert "there is no IoT policy Sensor here" in result.stderr


CAS = """\
format: 1
# CAs of the plant
cas:
  flow: {certificate: a.pem}  # by a file
  several:
    certificate:
    - a.pem
    # the next batch
    - b.pem
    crl: {url: "https://crl.example/b.crl"}
  "quoted": {"certificate": "a.pem"}
  plain: {ids: ["%(ca)s"]}
allow:
  - name: line-a
    ca: flow
    common_name: "snr-*"
    grant: {thing: "{common_name}", iot_policies: [Sensor]}
"""


@pytest.mark.parametrize(
    "text", ["\x1b", "[" * 100_000, "cas: {a: {certificate: x}", "%YAML 9999999999999999999.1\n---\n"]
)
def test_a_file_in_the_table_that_is_no_rules_file_is_shown_and_not_rewritten(text: str) -> None:
    """It cannot have been published as it is, and who looks at it has to see it all the same."""
    assert names_files(text) is False
    with pytest.raises(InputError, match="cannot be written with ids"):
        with_ids(text, made_rules(allow(ca="factory-a")))


def test_what_show_gives_with_ids_is_published_where_no_ca_file_is(ready: Table, run: Run) -> None:
    """A back-up restores by itself: rules that name certificates by file come back with ids, and mean the same."""
    cas = {name: pki.ca(name) for name in ("a", "b")}
    for name, ca in cas.items():
        Path(f"{name}.pem").write_bytes(ca.pem)
    publish(run, CAS % {"ca": CA_ID}, "by files")
    meaning = ready.heads().meaning
    plain = run("rules", "show")
    assert plain.stdout == CAS % {"ca": CA_ID} + "\n"
    assert "--ids gives ids instead" in plain.stderr
    shown = run("rules", "show", "--ids")
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert "certificate" not in shown.stdout
    for kept in ("# CAs of the plant", "# by a file", 'crl: {url: "https://crl.example/b.crl"}', f'["{CA_ID}"]'):
        assert kept in shown.stdout
    for name in cas:
        Path(f"{name}.pem").unlink()
    publish(run, shown.stdout, "restored")
    assert (ready.heads().version, ready.heads().meaning) == (3, meaning)
    assert run("rules", "show", "--ids").stdout == shown.stdout + "\n"  # nothing is left to change
