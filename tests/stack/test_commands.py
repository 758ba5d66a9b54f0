"""The commands of an operator's day against the running stack, read as the operator reads them."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from click.testing import CliRunner
from testkit.stack.plant import Plant, until
from testkit.stack.terminal import Terminal

from jitr.aws.dynamodb.table import Conflict
from jitr.services.publishing import publication
from jitr.services.publishing.versions import history
from jitr_cli.main import jitr
from jitr_local.device import Fate
from jitr_local.stack import LocalStack
from jitr_operations.rules.files import read_and_test

pytestmark = pytest.mark.stack


def in_force(plant: Plant) -> dict[str, object]:
    """What `jitr status --json` says is in force."""
    rules = plant.json("status")["rules"]
    assert isinstance(rules, dict)
    return rules


# --- held devices and lists


def test_an_operator_finds_a_held_device_and_lets_it_in(plant: Plant) -> None:
    """`jitr held ls` names the device, the reason and the condition that failed; `jitr lists add` puts it on its list,
    and it gets in at its next knock; then it is held no more, and `jitr status` counts it as admitted.
    """
    adana = plant.factory("adana")
    rules = plant.rules(adana)
    rules.write_text(rules.read_text().replace("    grant:", "    list: adana-2026\n    grant:"))
    refused = plant.jitr("rules", "publish", rules, "--yes", code=2)
    assert "there is no device list 'adana-2026'" in refused.stderr
    plant.jitr("lists", "add", "adana-2026", "common_name=adana-0001")
    plant.publish(rules)
    before = plant.json("status")["decisions"]

    made = plant.device(adana, "adana-0007")
    with made.knocking() as device:
        (held,) = until(lambda: mine(plant, made.certificate_id), "it is held")
        assert held["common_name"] == "adana-0007"
        assert held["ca_certificate_id"] == adana.id
        assert [each["code"] for each in held["reasons"]] == ["allow.unmatched"]
        (near,) = held["near_misses"]
        assert (near["rule"], near["at"]) == ("adana", "admission.yaml:6")
        assert set(near["matched"]) == {"ca", "common_name"}
        assert [each["condition"] for each in near["failed"]] == ["list"]

        printed = plant.jitr("held", "ls", "--reason", "allow.unmatched", "--ca", adana.id[:8]).stdout
        heading, row = printed.splitlines()
        assert heading.split() == ["certificate", "common", "name", "since", "due", "knocks", "why"]
        assert row.startswith(made.certificate_id[:12])
        assert "list adana-2026: not on it" in row
        attention = plant.jitr("status").stdout.partition("Needs attention:")[2]
        held_now = plant.json("status")["decisions"]["hold"]
        told = "1 device is held" if held_now == 1 else f"{held_now} devices are held"
        assert re.search(rf"^ +\d+\. {told}: `jitr held ls`", attention, re.MULTILINE)

        added = plant.jitr("lists", "add", "adana-2026", "common_name=adana-0007", "attr.batch=7")
        assert added.stdout == "adana-0007 is on list adana-2026\n"
        assert "within a minute" in added.stderr
        until(lambda: device.fate is not Fate.KNOCKING, "it gets in")
    assert device.fate is Fate.PUBLISHED
    assert mine(plant, made.certificate_id) == []
    assert plant.json("status")["decisions"]["admit"] == before["admit"] + 1


def mine(plant: Plant, certificate_id: str) -> list[dict[str, Any]]:
    """What `jitr held ls --json` says of one certificate."""
    return [each for each in plant.json("held", "ls") if each["certificate_id"] == certificate_id]


def test_lists_are_imported_counted_and_shown(plant: Plant) -> None:
    """A merge adds rows and a replace puts others in their place; `jitr lists ls` and `jitr status` show how many."""
    file = plant.folder / "devices.csv"
    file.write_text("common_name,attr.batch\nmersin-1,7\nmersin-2,7\nmersin-3,8\n")
    plant.jitr("lists", "import", "mersin", file, "--dry-run")
    assert rows_of(plant, "mersin") is None
    plant.jitr("lists", "import", "mersin", file)
    assert rows_of(plant, "mersin") == 3
    plant.jitr("lists", "add", "mersin", "common_name=mersin-3", "attr.batch=9")  # in place of the row of that name
    assert rows_of(plant, "mersin") == 3

    file.write_text("common_name,common_name\nmersin-4,mersin-5\n")
    refused = plant.jitr("lists", "import", "mersin", file, code=2)
    assert refused.stderr.startswith(f"error: {file}:1")
    file.write_text("common_name\nmersin-4\n")
    asked = plant.jitr("lists", "import", "mersin", file, "--replace", code=2)
    assert "This shrinks list mersin from 3 rows to 1" in asked.stderr
    assert rows_of(plant, "mersin") == 3
    plant.jitr("lists", "import", "mersin", file, "--replace", "--yes")
    assert rows_of(plant, "mersin") == 1
    assert re.search(r"^mersin +1 +20\d\d-", plant.jitr("lists", "ls").stdout, re.MULTILINE)
    assert {"mersin"} <= {each["list"] for each in plant.json("status")["lists"]}


def rows_of(plant: Plant, name: str) -> int | None:
    """How many rows `jitr lists ls --json` says a list has; None without such a list."""
    return next((each["rows"] for each in plant.json("lists", "ls") if each["list"] == name), None)


# --- status


def test_status_says_what_is_deployed_from_within_the_checkout(
    plant: Plant, local_stack: LocalStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --local the stack is found by the checkout's .local/stack.json, whatever the environment says of AWS."""
    rules = plant.rules(plant.factory("sivas"))
    plant.publish(rules)
    place = plant.folder / ".local"
    place.mkdir()
    (place / "stack.json").write_text(json.dumps(local_stack.as_json()))
    (plant.folder / "sub").mkdir()
    monkeypatch.chdir(plant.folder / "sub")
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    shown = CliRunner().invoke(jitr, ["status", "--local"])
    assert shown.exit_code == 0, shown.output
    assert re.search(r"^Stack jitr, account 000000000000, Region us-east-1$", shown.stdout, re.MULTILINE)
    version = in_force(plant)["version"]
    # As the page says it, who published in the last words of an ARN, and the user of this machine.
    by = str(in_force(plant)["published_by"])
    assert by.startswith("arn:aws:iam::000000000000:"), by
    since = in_force(plant)["published_at"]
    who = by.rsplit(":", 1)[-1]
    words = " ".join(shown.stdout.split())
    assert f"Rules admission.yaml, version {version}, since {since} by {who}" in words
    queue = r"RegistrationQueue: (empty|[\d,]+ waiting, [\d,]+ in flight, the oldest for \d+ (d|h|min|s))$"
    assert re.search(queue, shown.stdout, re.MULTILINE), shown.stdout
    alarms = plant.json("status")["alarms"]
    assert "RulesUnavailable" in {each["name"] for each in alarms}
    assert re.search(rf"^Alarms +{len(alarms)}, (none raised|raised: \S.*)$", shown.stdout, re.MULTILINE)
    told = CliRunner().invoke(jitr, ["status", "--local", "--json"])
    assert json.loads(told.stdout)["deployment"]["endpoint"] == local_stack.endpoint_url


# --- publishing rules


def test_publishing_the_same_rules_again_changes_nothing(plant: Plant) -> None:
    """The same file is in force already: exit code 0, no new version, and it says so. A comment moves the lines that
    decisions point to, so it is published, and means the same.
    """
    rules = plant.rules(plant.factory("ordu"))
    first = plant.json("rules", "publish", rules, "--yes")
    assert first["changed"] is True
    again = plant.json("rules", "publish", rules)  # nothing to agree to
    assert again == {**first, "changed": False, "diff": [], "effect": None}
    assert "nothing changed" in plant.jitr("rules", "publish", rules).stdout
    rules.write_text(f"# our rules\n{rules.read_text()}")
    moved = plant.json("rules", "publish", rules, "--yes")
    assert (moved["version"], moved["meaning"]) == (first["version"] + 1, first["meaning"])


def test_a_broken_file_leaves_in_force_what_is(plant: Plant) -> None:
    """Each error is told with file, line and column, exit code 2; a failing test stops it as well, exit code 1."""
    factory = plant.factory("rize")
    rules = plant.rules(factory)
    plant.publish(rules)
    before = in_force(plant)
    good = rules.read_text()

    rules.write_text(good.replace("common_name:", "comon_name:"))
    refused = plant.jitr("rules", "publish", rules, "--yes", code=2)
    assert f"{rules}:8:5" in refused.stderr
    assert "common_name" in refused.stderr

    rules.write_text(f"{good}tests:\n{FAILING_TEST}")
    failed = plant.jitr("rules", "publish", rules, "--yes", code=1)
    assert "a device of another factory" in failed.output
    assert in_force(plant) == before


FAILING_TEST = """\
  - name: a device of another factory
    at: 2026-03-01
    device: {ca: rize, common_name: artvin-0001}
    expect: {decision: admit}
"""


def test_of_two_operators_who_publish_at_once_one_is_told_and_theirs_is_not_lost(plant: Plant) -> None:
    """One is asked to confirm; meanwhile the other publishes; the first agrees, and is told that somebody was quicker:
    exit code 2, the other's rules stay in force.
    """
    rules = plant.rules(plant.factory("van"))
    plant.publish(rules)
    (plant.folder / "first").mkdir()
    (plant.folder / "second").mkdir()
    first = plant.folder / "first" / "admission.yaml"
    second = plant.folder / "second" / "admission.yaml"
    first.write_text(rules.read_text().replace("default: hold", "default: reject"))
    second.write_text(rules.read_text().replace("van-*", "van-0*"))

    with Terminal(plant, "rules", "publish", first) as terminal:
        terminal.read_until("? [y/N]: ")
        theirs = plant.json("rules", "publish", second, "--yes")
        terminal.type("y\n")
        code, told = terminal.end()
    assert code == 2, told
    assert "somebody else published rules while you were at it" in told
    assert in_force(plant)["digest"] == theirs["digest"]
    assert in_force(plant)["version"] == theirs["version"]


def test_of_many_who_publish_from_the_same_state_exactly_one_does(plant: Plant) -> None:
    """The pointer to the rules in force is one conditional write, together with the version's own item."""
    file = plant.rules(plant.factory("mardin"))
    plant.publish(file)
    before = plant.table.heads()
    versions = []
    for number in range(8):
        file.write_text(f"# {number}\n{file.read_text()}")
        versions.append(read_and_test(file))

    def publish(number: int) -> str | None:
        rules, text = versions[number]
        try:
            published = publication.publish(
                plant.table, rules, text, before, at="2026-03-01T12:00:00Z", by=f"operator {number}"
            )
        except Conflict:
            return None
        assert published.version == before.version + 1
        return published.digest

    with ThreadPoolExecutor(len(versions)) as pool:
        digests = [digest for digest in pool.map(publish, range(len(versions))) if digest]
    assert digests == [in_force(plant)["digest"]]
    newest = next(history(plant.table))
    assert (newest.version, newest.digest) == (before.version + 1, digests[0])
