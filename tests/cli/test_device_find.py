"""`jitr device find` and `index`: what a technician reads out, on the command line and on the page."""

import json
from typing import Any

import pytest
from testkit.cli.command_line import Aws, Run
from testkit.cli.operating import hold, hold_many
from testkit.page import Page

from jitr.aws.dynamodb.decisions import newest
from jitr.aws.dynamodb.table import Table
from jitr.reasons import Verdict


def found(run: Run, text: str) -> list[str]:
    """Which devices a text finds."""
    result = run("device", "find", text, "--json")
    told: Any = json.loads(result.stdout)
    assert result.exit_code == (0 if told["devices"] else 1)
    return [each["certificate_id"] for each in told["devices"]]


def test_devices_are_found_by_any_beginning(ready: Table, run: Run) -> None:
    for number in (1, 2, 11):
        hold(ready, number)
    record = next(newest(ready, Verdict.HOLD))
    assert record.facts
    assert found(run, "SNR-1") == [f"{number:064x}" for number in (1, 11)]
    assert len(found(run, record.facts["serial_number"][:2])) == 3
    assert f"{2:064x}" in found(run, f"{2:064x}")
    assert found(run, "nobody") == []


@pytest.mark.parametrize("text", ["a/b", "../x", "a?b", "snr 1", "ü", "x" * 129])
def test_what_cannot_be_a_thing_s_name_is_not_asked_of_aws(ready: Table, run: Run, aws: Aws, text: str) -> None:
    """Nothing is found by it, which is no error: AWS IoT would refuse it, or answer as to another address."""
    page = Page().enter()
    aws.calls.clear()
    assert found(run, text) == []
    answer = page.ask("GET", "/devices", query_string={"q": text})
    assert (answer.status_code, "Nothing on record begins with that" in answer.text) == (200, True)
    assert "ListThingPrincipals" not in aws.operations
    assert found(run, "snr-1") == []
    assert "ListThingPrincipals" in aws.operations


def test_a_device_on_which_nothing_was_decided_is_found_by_its_thing_or_id(ready: Table, run: Run, iot: Any) -> None:
    """Registered by hand it never knocked, and can be cut off all the same; an id that nobody has finds none."""
    made = iot.create_keys_and_certificate(setAsActive=True)
    iot.create_thing(thingName="by-hand")
    iot.attach_thing_principal(thingName="by-hand", principal=made["certificateArn"])
    page = Page().enter()
    for text in ("by-hand", made["certificateId"]):
        result = run("device", "find", text, "--json")
        assert (result.exit_code, json.loads(result.stdout)["without_record"]) == (0, [made["certificateId"]])
        shown = page.text(f"/devices?q={text}")
        assert f"/devices/{made['certificateId']}" in shown
        assert "Nothing on record begins with that" not in shown
    assert run("device", "find", "ab" * 32).exit_code == 1
    assert "Nothing on record begins with that" in page.text(f"/devices?q={'ab' * 32}")


def test_the_page_finds_what_the_command_finds_and_says_how(ready: Table, run: Run) -> None:
    for number in (1, 2):
        hold(ready, number)
    page = Page().enter()
    text = page.text("/devices?q=snr-")
    assert all(each in text for each in found(run, "snr-"))
    assert "jitr device find snr-" in text


def test_more_than_a_hundred_are_told_of(ready: Table, run: Run) -> None:
    hold_many(ready, range(1, 103), found=True)
    told: Any = json.loads(run("device", "find", "snr", "--json").stdout)
    assert (len(told["devices"]), told["more"]) == (100, True)
    assert "There are more" in run("device", "find", "snr").stderr


def test_devices_that_an_earlier_version_decided_are_found_after_they_were_indexed(
    ready: Table, run: Run, aws: Aws
) -> None:
    """Whatever cuts it short, the same again goes on with those that are left; a second time writes nothing."""
    hold_many(ready, range(1, 6))  # without search keys, as an earlier version did
    assert found(run, "snr-") == []
    real, count = aws.real, 0

    def broken(parameters: Any) -> Any:
        nonlocal count
        count += 1
        if count == 3:
            raise KeyboardInterrupt
        import boto3

        return real(boto3.client("dynamodb", region_name="eu-central-1"), "TransactWriteItems", parameters)

    aws.overrides["TransactWriteItems"] = broken
    assert run("device", "index").exit_code == 130
    del aws.overrides["TransactWriteItems"]
    assert len(found(run, "snr-")) == 2
    told = json.loads(run("device", "index", "--json").stdout)
    assert told == {"made": 3, "under_way": 0}
    assert len(found(run, "snr-")) == 5
    assert json.loads(run("device", "index", "--json").stdout)["made"] == 0


def test_a_record_that_is_written_meanwhile_is_left_to_whoever_writes_it(
    ready: Table, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold_many(ready, range(1, 2))
    real = Table.records

    def overtaken(table: Table, ids: Any) -> Any:
        for each in list(real(table, ids)):
            ready.put_record(each)
            yield each

    monkeypatch.setattr(Table, "records", overtaken)
    told = json.loads(run("device", "index", "--json").stdout)
    assert told == {"made": 0, "under_way": 1}
    monkeypatch.undo()


@pytest.mark.parametrize(("text", "told"), [("", "say what to search for"), ("x" * 301, "too many to search for")])
def test_what_cannot_be_searched_for_is_said(ready: Table, run: Run, text: str, told: str) -> None:
    result = run("device", "find", text)
    assert (result.exit_code, told in result.stderr) == (2, True)
    if text:
        answer = Page().enter().get(f"/devices?q={text}")
        assert (answer.status_code, told in answer.text) == (400, True)


def test_what_is_found_deceives_nobody(ready: Table, run: Run) -> None:
    hold(ready, 1)  # its name has an escape sequence in it
    assert "\x1b" not in run("device", "find", "snr-").stdout
