"""`jitr explain` under what is in force: rules, lists, CA and guards, as the function would find them."""

import json
from pathlib import Path
from typing import Any

import boto3
import pytest
from testkit import pki
from testkit.cli.command_line import Run
from testkit.cli.operating import RULES
from testkit.cli.stack import deploy
from testkit.knocks import NOW, decided, knock
from testkit.knocks import rules as made_rules

from jitr.aws.dynamodb.table import BATCH_GET, Table, to_item
from jitr.aws.iot import Iot
from jitr.records.event import RegistrationEvent
from jitr.records.knock import facts_json
from jitr.records.record import APPLIED
from jitr.records.transitions import recorded
from jitr.services.registration.reservations import Reservations
from jitr_operations.lists.near_rows import MOST_SPELLINGS, spellings

FACTORY = pki.ca("Factory A")
DEVICE = FACTORY.usual_device("snr-1").valid(pki.NOT_BEFORE, pki.NOT_AFTER).issue()


@pytest.fixture
def table(aws: Any, workdir: Path, run: Run) -> Table:
    """A deployed stack with rules in force, and DEVICE registered and pending."""
    made = deploy()
    iot = boto3.client("iot", region_name="eu-central-1")
    ca = {"certificateId": FACTORY.id, "certificatePem": FACTORY.pem.decode(), "status": "ACTIVE"}
    aws.overrides["DescribeCACertificate"] = lambda _: {"certificateDescription": ca}
    iot.register_certificate_without_ca(certificatePem=DEVICE.pem.decode(), status="PENDING_ACTIVATION")
    described = iot.describe_certificate(certificateId=DEVICE.sha256)["certificateDescription"]
    gone = {"Error": {"Code": "ResourceNotFoundException", "Message": "gone"}}

    def describe(parameters: dict[str, Any]) -> Any:
        if parameters["certificateId"] != DEVICE.sha256:
            raise iot.exceptions.ResourceNotFoundException(gone, "DescribeCertificate")  # type: ignore[arg-type]
        return {"certificateDescription": described | {"caCertificateId": FACTORY.id}}  # moto leaves it out

    aws.overrides["DescribeCertificate"] = describe
    Path("line-a.csv").write_text("common_name\nsnr-1\n")
    Path("admission.yaml").write_text(RULES.replace("ca" * 32, FACTORY.id))
    assert run("lists", "import", "line-a", "line-a.csv").exit_code == 0
    assert run("rules", "publish", "admission.yaml", "--yes").exit_code == 0
    return made


def told(run: Run, subject: object) -> tuple[int, dict[str, Any]]:
    """The exit code and the document about a device."""
    result = run("explain", subject, "--json")
    assert result.stdout, result.stderr
    return result.exit_code, json.loads(result.stdout)


def test_a_device_is_explained_by_its_certificate_id_under_the_rules_in_force(table: Table, run: Run) -> None:
    code, document = told(run, DEVICE.sha256)
    assert (code, document["decision"], document["rule"]) == (0, "admit", "line-a")
    assert document["not_checked"] == []


def test_by_its_certificate_file(table: Table, run: Run) -> None:
    Path("device.pem").write_bytes(DEVICE.pem)
    assert told(run, "device.pem")[1]["decision"] == "admit"


def test_by_a_thing_it_is_attached_to(table: Table, run: Run) -> None:
    iot = boto3.client("iot", region_name="eu-central-1")
    iot.create_thing(thingName="pump")
    arn = f"arn:aws:iot:eu-central-1:123456789012:cert/{DEVICE.sha256}"
    iot.attach_thing_principal(thingName="pump", principal=arn)
    assert told(run, "pump")[1]["facts"]["certificate_sha256"] == DEVICE.sha256


@pytest.mark.parametrize("wrapped", [False, True])
def test_by_an_event_file_plain_or_as_sqs_brings_it(table: Table, run: Run, wrapped: bool) -> None:
    event: dict[str, Any] = {
        "certificateId": DEVICE.sha256,
        "caCertificateId": FACTORY.id,
        "awsAccountId": "123456789012",
        "timestamp": 1,
    }
    whole = {"Records": [{"body": json.dumps(event)}]} if wrapped else event
    Path("event.json").write_text(json.dumps(whole))
    assert told(run, "event.json")[1]["decision"] == "admit"


def test_the_guards_are_asked_and_change_nothing(table: Table, run: Run) -> None:
    reservations = Reservations(table, Iot(boto3.client("iot", region_name="eu-central-1")))
    table.client.put_item(
        TableName=table.name,
        Item=to_item(
            {
                "pk": "THING#snr-1",
                "sk": "RESERVATION",
                "format": 1,
                "made": True,
                "revision": 1,
                "keys": {"ee" * 32: ["dd"]},
            }
        ),
    )
    code, document = told(run, DEVICE.sha256)
    assert (code, document["decision"]) == (1, "hold")
    assert document["reasons"][0]["code"] == "grant.thing-claimed"
    found = reservations.read("THING#snr-1")
    assert found is not None
    assert found.revision == 1


def held_as(table: Table, name: str, *ids: str) -> None:
    """Devices on hold of one common name."""
    for each in ids:
        device = knock(subject=(("common_name", name),), certificate_sha256=each)
        event = RegistrationEvent(each, FACTORY.id, NOW)
        decision, facts = decided(device, made_rules(), now=NOW), facts_json(device)
        table.put_record(
            recorded(decision, event=event, heads=table.heads(), facts=facts, state=APPLIED, now=NOW, previous=None)
        )


def test_a_device_on_hold_is_found_by_its_common_name(table: Table, run: Run) -> None:
    """It has no thing yet, and its name is all that people know of it."""
    held_as(table, "snr-1", DEVICE.sha256)
    result = run("explain", "snr-1", "--json")
    assert (result.exit_code, json.loads(result.stdout)["decision"]) == (0, "admit")
    assert f"snr-1 is the common name of a device on hold, certificate {DEVICE.sha256[:12]}" in result.stderr
    assert json.loads(run("decisions", "show", "snr-1", "--json").stdout)["certificate_id"] == DEVICE.sha256


def test_where_several_devices_bear_a_name_it_is_told(table: Table, run: Run) -> None:
    held_as(table, "snr-1", "aa" * 32, "bb" * 32)
    result = run("explain", "snr-1")
    assert result.exit_code == 2
    assert f"several devices on hold bear the common name snr-1, say which: {'aa' * 6}, {'bb' * 6}" in result.stderr
    iot = boto3.client("iot", region_name="eu-central-1")
    iot.create_thing(thingName="snr-1")
    arn = f"arn:aws:iot:eu-central-1:123456789012:cert/{DEVICE.sha256}"
    iot.attach_thing_principal(thingName="snr-1", principal=arn)
    result = run("explain", "snr-1")  # the thing goes first, and the others are told of
    assert DEVICE.sha256 in result.stdout
    assert f"snr-1 is also the common name of a device on hold: {'aa' * 6}, {'bb' * 6}" in result.stderr


@pytest.mark.parametrize("row", ["SNR-1", "snr-01", "snr_1", "snr-l", "snr1", "snr-11", "snr-2"])
def test_the_nearest_row_of_a_list_is_named(table: Table, run: Run, row: str) -> None:
    """Where a device is on no list, who looks sees at once which row was meant."""
    assert run("lists", "remove", "line-a", "common_name=snr-1").exit_code == 0
    assert run("lists", "add", "line-a", f"common_name={row}").exit_code == 0
    _, document = told(run, DEVICE.sha256)
    (failed,) = [each for miss in document["near_misses"] for each in miss["failed"]]
    assert failed["message"] == f"list line-a: not on it; nearest row {row}"
    assert f"not on it; nearest row {row}" in document["reasons"][0]["message"]


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ("snr\u20111", "(the row has U+2011, NON-BREAKING HYPHEN)"),
        ("snr\u20131", "(the row has U+2013, EN DASH)"),
    ],
)
def test_a_nearest_row_that_only_looks_like_the_name_says_in_which_character_it_differs(
    table: Table, run: Run, row: str, named: str
) -> None:
    assert run("lists", "remove", "line-a", "common_name=snr-1").exit_code == 0
    assert run("lists", "add", "line-a", f"common_name={row}").exit_code == 0
    _, document = told(run, DEVICE.sha256)
    (failed,) = [each for miss in document["near_misses"] for each in miss["failed"]]
    assert failed["message"] == f"list line-a: not on it; nearest row {row} {named}"


def test_looking_for_the_nearest_row_is_bounded_and_happens_only_where_a_list_was_missed(
    table: Table, run: Run, aws: Any
) -> None:
    """By whole keys: a table has no other way to ask for a row."""
    aws.calls.clear()
    told(run, DEVICE.sha256)
    asked = aws.operations.count("BatchGetItem")
    assert run("lists", "remove", "line-a", "common_name=snr-1").exit_code == 0
    aws.calls.clear()
    told(run, DEVICE.sha256)
    assert aws.operations.count("BatchGetItem") <= asked + MOST_SPELLINGS // BATCH_GET
    assert len(list(spellings("x" * 500))) < 5_000


def test_spellings_are_each_told_once_and_never_the_name_itself() -> None:
    for name in ("", "7", "snr-0001", "a.b:c/d e", "\U0001f600", "İ"):
        found = list(spellings(name))
        assert len(found) == len(set(found))
        assert name not in found
        assert "" not in found


@pytest.mark.parametrize(
    ("subject", "expected"),
    [("ab" * 32, "knows no certificate"), ("nowhere", "nowhere"), ("event.json", "event.certificate-id")],
)
def test_what_is_not_a_device_is_exit_2(table: Table, run: Run, subject: str, expected: str) -> None:
    Path("event.json").write_text("{}")
    result = run("explain", subject)
    assert (result.exit_code, expected in result.stderr) == (2, True), result.stderr


@pytest.mark.parametrize(
    "arguments",
    [(), ("snr-1", "--at", "2026-01-01"), ("--rules", "admission.yaml"), ("--certificate", "x.pem")],
)
def test_half_of_the_options_of_one_form_is_exit_2(table: Table, run: Run, arguments: tuple[str, ...]) -> None:
    assert run("explain", *arguments).exit_code == 2
