"""A deny list protects as long as a rule names it, or somebody is told that it does not."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from testkit.aws.world import World
from testkit.cli.command_line import Run
from testkit.cli.operating import FACTORY, OTHER

from jitr.devicelists.rows import ListRow
from jitr.services.lists.device_lists import DeviceLists
from jitr.services.publishing.compiled import compiled_rules
from jitr.services.publishing.deny_lists import check_deny_lists

RULES = """\
format: 1
cas: {{{cas}}}
deny: [{{name: recalled, list: recall}}]
allow: [{{name: line-a, {what}, grant: {{thing: "{{common_name}}", iot_policies: [Other]}}}}]
"""


def rules_file(cas: dict[str, str], what: str = 'common_name: "snr-*"') -> None:
    """Write admission.yaml: CAs by alias, and what the only allow rule asks."""
    named = ", ".join(f'{alias}: {{ids: ["{ca_id}"]}}' for alias, ca_id in cas.items())
    Path("admission.yaml").write_text(RULES.format(cas=named, what=what))


@pytest.fixture
def recalled(world: World, run: Run) -> World:
    """Rules in force whose deny rule names a list, on which a device is by its serial number under an alias."""
    world.put_on("recall", ListRow(serial_number="1f03", ca="factory-a"))
    rules_file({"factory-a": FACTORY.id})
    done = run("rules", "publish", "admission.yaml", "--yes")
    assert done.exit_code == 0, done.stderr
    return world


def is_kept_out(world: World) -> bool:
    device = FACTORY.usual_device("snr-1").serial(0x1F03).issue()
    world.connect(device)
    world.knock(device, FACTORY)
    return world.status(device) == "INACTIVE"


@pytest.mark.parametrize(
    "cas", [{"factory-1": FACTORY.id}, {"factory-a": OTHER.id, "factory-1": FACTORY.id}], ids=["renamed", "given away"]
)
def test_an_alias_by_which_rows_of_a_deny_list_name_their_ca_is_not_taken_from_it(
    recalled: World, run: Run, cas: dict[str, str]
) -> None:
    rules_file(cas)
    done = run("rules", "publish", "admission.yaml", "--yes")
    assert done.exit_code == 2
    assert f"CA factory-a no longer has the id {FACTORY.id}, and list recall, which a deny rule names" in done.stderr
    assert "'factory-a/1f03'" in done.stderr
    assert is_kept_out(recalled)


def test_an_alias_may_get_another_name_beside_it(recalled: World, run: Run) -> None:
    rules_file({"factory-a": FACTORY.id, "factory-1": FACTORY.id})
    done = run("rules", "publish", "admission.yaml", "--yes")
    assert done.exit_code == 0, done.stderr
    assert is_kept_out(recalled)


def test_an_alias_is_renamed_once_rows_name_their_ca_by_its_id(recalled: World, run: Run) -> None:
    Path("recall.csv").write_text(f"serial_number:hex,ca\n1f03,{FACTORY.id}\n")
    assert run("lists", "import", "recall", "recall.csv", "--replace", "--yes").exit_code == 0
    rules_file({"factory-1": FACTORY.id})
    done = run("rules", "publish", "admission.yaml", "--yes")
    assert done.exit_code == 0, done.stderr
    assert is_kept_out(recalled)


def test_a_ca_of_which_no_device_gets_in_any_more_may_lose_its_alias(recalled: World, run: Run) -> None:
    rules_file({"factory-b": OTHER.id}, "ca: factory-b")
    done = run("rules", "publish", "admission.yaml", "--yes")
    assert done.exit_code == 0, done.stderr
    assert recalled.table.heads().version == 2


def test_a_rollback_does_not_take_an_alias_from_rows_either(recalled: World, run: Run) -> None:
    rules_file({"factory-a": FACTORY.id, "factory-1": FACTORY.id})
    assert run("rules", "publish", "admission.yaml", "--yes").exit_code == 0
    recalled.put_on("recall", ListRow(serial_number="2f03", ca="factory-1"))
    done = run("rules", "rollback", "--yes")
    assert done.exit_code == 2
    assert "CA factory-1 no longer has the id" in done.stderr


def test_rows_that_a_new_deny_rule_cannot_match_are_asked_about_when_it_is_published(world: World, run: Run) -> None:
    world.put_on("recall", ListRow(common_name="SNR-1"))
    rules_file({"factory-a": FACTORY.id})
    asked = run("rules", "publish", "admission.yaml")
    assert asked.exit_code == 2
    assert "Deny rule recalled names list recall, and 1 row can match nothing (first 'SNR-1'" in asked.stderr
    assert world.table.heads().version == 0
    told = run("rules", "publish", "admission.yaml", "--yes")
    assert (told.exit_code, "1 row can match nothing (first 'SNR-1'" in told.stderr) == (0, True)


def test_one_rule_is_told_in_the_singular(world: World, run: Run) -> None:
    world.put_on("recall", ListRow(common_name="snr-1"))
    rules_file({"factory-a": FACTORY.id})
    asked = run("rules", "publish", "admission.yaml")
    assert "in force (1 allow rule, 1 deny rule; no rules are in force yet)?" in asked.stderr


def test_rows_that_have_expired_are_asked_about_as_well(world: World, run: Run) -> None:
    world.put_on("recall", ListRow(common_name="snr-1", expires=datetime(2020, 1, 1, tzinfo=UTC)))
    rules_file({"factory-a": FACTORY.id})
    asked = run("rules", "publish", "admission.yaml")
    assert (asked.exit_code, "1 row can match nothing" in asked.stderr) == (2, True)


def test_what_was_asked_about_rows_once_is_only_told_again(world: World, run: Run) -> None:
    world.put_on("recall", ListRow(common_name="SNR-1"))
    rules_file({"factory-a": FACTORY.id})
    assert run("rules", "publish", "admission.yaml", "--yes").exit_code == 0
    before = world.table.heads()
    rules_file({"factory-a": FACTORY.id}, 'common_name: "snr-1*"')
    assert run("rules", "publish", "admission.yaml", "--yes").exit_code == 0
    assert world.table.heads().version == before.version + 1
    rules = compiled_rules(world.table, world.table.heads())
    assert rules is not None
    doubts = check_deny_lists(world.table, rules, before)
    assert (doubts.questions, len(doubts.warnings)) == ((), 1)


def test_a_deny_list_that_is_longer_than_what_is_looked_at_is_said_to_be(recalled: World, run: Run) -> None:
    recalled.put_on("recall", *(ListRow(common_name=f"snr-{number}") for number in range(5)))
    heads = recalled.table.heads()
    rules = compiled_rules(recalled.table, heads)
    assert rules is not None
    assert check_deny_lists(recalled.table, rules, heads, most=3).warnings == (
        "list recall: 3 of 6 rows were looked at",
    )


def test_where_not_every_row_was_looked_at_an_alias_is_not_taken_unasked(recalled: World) -> None:
    DeviceLists(recalled.table).delete("recall", at="2026-03-01T00:00:00.000Z")
    recalled.put_on("recall", *(ListRow(common_name=f"snr-{number}") for number in range(5)))
    heads = recalled.table.heads()
    was = compiled_rules(recalled.table, heads)
    assert was is not None
    ca = was.cas["factory-a"]
    renamed = replace(was, cas={"factory-1": replace(ca, alias="factory-1")})
    (question,) = check_deny_lists(recalled.table, renamed, heads, most=3).questions
    assert "has 5 rows, of which 3 were looked at" in question
    assert check_deny_lists(recalled.table, renamed, heads).questions == ()


def attention(run: Run) -> list[str]:
    return [each for each in json.loads(run("status", "--json").stdout)["attention"] if "keeps nobody out" in each]


def test_status_tells_of_a_deny_list_that_is_empty_or_of_which_every_row_has_expired(recalled: World, run: Run) -> None:
    assert attention(run) == []
    row = ListRow(serial_number="1f03", ca="factory-a", expires=recalled.now - timedelta(days=1))
    recalled.put_on("recall", row)
    (told,) = attention(run)
    assert "list recall, which deny rule recalled names, has no row in force: all 1 have expired" in told
    DeviceLists(recalled.table).remove("recall", row.found_by()[0], at="2026-03-01T00:00:00.000Z")
    assert "list recall, which deny rule recalled names, is empty" in attention(run)[0]
    assert run("lists", "delete", "recall", "--yes").exit_code == 0
    assert "is empty" in attention(run)[0]


def test_whoever_empties_or_deletes_a_list_is_told_that_a_deny_rule_names_it(recalled: World, run: Run) -> None:
    Path("empty.csv").write_text("common_name\n")
    for command in (("lists", "delete", "recall"), ("lists", "import", "recall", "empty.csv", "--replace")):
        done = run(*command)
        assert done.exit_code == 2
        assert "Deny rule recalled names it, and keeps nobody out by it from then on" in done.stderr
    assert DeviceLists(recalled.table).all()["recall"].rows == 1


def test_whoever_takes_a_list_from_the_last_deny_rule_that_names_it_is_told(recalled: World, run: Run) -> None:
    """By publishing, by status, and by an import into it."""
    told = "list recall, which deny rule recalled named, is named by no deny rule any more: its row keeps nobody out"
    text = Path("admission.yaml").read_text()
    Path("admission.yaml").write_text(text.replace("list: recall", 'common_name: "bad-*"'))
    done = run("rules", "publish", "admission.yaml", "--yes")
    assert (done.exit_code, told in done.stderr) == (0, True)
    assert told in json.loads(run("status", "--json").stdout)["attention"]
    Path("more.csv").write_text("common_name\nsnr-2\n")
    imported = run("lists", "import", "recall", "more.csv", "--yes")
    assert (imported.exit_code, told in imported.stderr) == (0, True)


def test_a_list_that_another_deny_rule_names_or_that_is_empty_is_not_told_of(recalled: World, run: Run) -> None:
    text = Path("admission.yaml").read_text()
    Path("admission.yaml").write_text(text.replace("name: recalled", "name: recalled-2"))
    assert "any more" not in run("rules", "publish", "admission.yaml", "--yes").stderr
    assert run("lists", "delete", "recall", "--yes").exit_code == 0
    Path("admission.yaml").write_text(text.replace("list: recall", 'common_name: "bad-*"'))
    assert "any more" not in run("rules", "publish", "admission.yaml", "--yes").stderr
    assert not any("any more" in each for each in json.loads(run("status", "--json").stdout)["attention"])
