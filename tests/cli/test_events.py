"""`jitr events make`: a registration event for a real certificate, as the function gets it."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from testkit import pki
from testkit.cli.command_line import ACCOUNT, REGION, Aws, Run

from jitr.records.event import parse_event
from jitr.times import from_epoch_ms

FACTORY = pki.ca("Factory A")
OTHER = pki.ca("Factory B")
DEVICE = FACTORY.usual_device("snr-0001").issue()
OFFLINE = ("--account", "000000000000", "--ca")


@pytest.fixture(autouse=True)
def files(workdir: Path) -> None:
    """The certificates as files."""
    Path("snr-0001.pem").write_bytes(DEVICE.pem)
    Path("factory-a.pem").write_bytes(FACTORY.pem)
    Path("factory-b.pem").write_bytes(OTHER.pem)


@pytest.fixture
def registered(aws: Aws) -> Aws:
    """An account where FACTORY is registered, and DEVICE is pending under it."""
    iot = boto3.client("iot", region_name=REGION)
    iot.register_ca_certificate(
        caCertificate=FACTORY.pem.decode(), verificationCertificate=FACTORY.pem.decode(), setAsActive=True
    )
    iot.register_certificate_without_ca(certificatePem=DEVICE.pem.decode(), status="PENDING_ACTIVATION")
    described = iot.describe_certificate(certificateId=DEVICE.sha256)["certificateDescription"]

    def describe(parameters: dict[str, Any]) -> Any:
        if parameters["certificateId"] != DEVICE.sha256:
            gone: Any = {"Error": {"Code": "ResourceNotFoundException", "Message": "gone"}}
            raise iot.exceptions.ResourceNotFoundException(gone, "DescribeCertificate")
        return {"certificateDescription": described | {"caCertificateId": FACTORY.id}}  # moto leaves it out

    aws.overrides["DescribeCertificate"] = describe
    aws.calls.clear()
    return aws


def taken(text: str, account_id: str) -> tuple[str, str]:
    """Read a batch as the function does: certificate and CA of its one event, which is of now."""
    (record,) = json.loads(text)["Records"]
    sent_at = from_epoch_ms(int(record["attributes"]["SentTimestamp"]))
    event = parse_event(record["body"], account_id=account_id, sent_at=sent_at)
    assert event.knocked_at == sent_at
    assert abs(datetime.now(UTC) - sent_at) < timedelta(minutes=1)
    return event.certificate_id, event.ca_certificate_id


def test_from_a_file_with_the_account_and_the_ca_from_aws(registered: Aws, run: Run) -> None:
    result = run("events", "make", "snr-0001.pem")
    assert (result.exit_code, result.stderr) == (0, "")
    assert taken(result.stdout, ACCOUNT) == (DEVICE.sha256, FACTORY.id)
    assert json.loads(result.stdout)["Records"][0]["awsRegion"] == REGION


def test_from_an_id(registered: Aws, run: Run) -> None:
    assert taken(run("events", "make", DEVICE.sha256.upper()).stdout, ACCOUNT) == (DEVICE.sha256, FACTORY.id)


def test_nothing_is_changed_in_aws(registered: Aws, run: Run) -> None:
    run("events", "make", "snr-0001.pem")
    assert set(registered.operations) == {"GetCallerIdentity", "DescribeCertificate"}


def test_a_certificate_that_aws_iot_does_not_know_is_of_the_ca_that_signed_it_and_a_note_says_so(
    registered: Aws, run: Run
) -> None:
    Path("new.pem").write_bytes(FACTORY.usual_device("snr-0002").issue().pem)
    result = run("events", "make", "new.pem")
    assert taken(result.stdout, ACCOUNT)[1] == FACTORY.id
    assert "knows no certificate" in result.stderr


def test_an_id_that_aws_iot_does_not_know_needs_its_ca(registered: Aws, run: Run) -> None:
    result = run("events", "make", "ab" * 32)
    assert (result.exit_code, "--ca" in result.stderr) == (2, True)
    assert taken(run("events", "make", "ab" * 32, "--ca", FACTORY.id).stdout, ACCOUNT) == ("ab" * 32, FACTORY.id)


def test_a_note_says_what_the_function_would_not_change(registered: Aws, run: Run) -> None:
    describe = registered.overrides["DescribeCertificate"]
    registered.overrides["DescribeCertificate"] = lambda given: {
        "certificateDescription": describe(given)["certificateDescription"] | {"status": "ACTIVE"}
    }
    assert "is ACTIVE" in run("events", "make", "snr-0001.pem").stderr


@pytest.mark.parametrize("which", ["snr-0001.pem", DEVICE.sha256], ids=["file", "id"])
@pytest.mark.parametrize("ca", ["factory-a.pem", FACTORY.id], ids=["CA file", "CA id"])
def test_with_account_and_ca_no_aws_is_asked(run: Run, which: str, ca: str) -> None:
    result = run("events", "make", which, *OFFLINE, ca)
    assert (result.exit_code, result.stderr) == (0, "")
    assert taken(result.stdout, "000000000000") == (DEVICE.sha256, FACTORY.id)


def test_a_ca_that_did_not_sign_the_device_is_warned_of(run: Run) -> None:
    result = run("events", "make", "snr-0001.pem", *OFFLINE, "factory-b.pem")
    assert (result.exit_code, taken(result.stdout, "000000000000")[1]) == (0, OTHER.id)
    assert "did not sign" in result.stderr


def test_a_file_is_written_and_replaced_only_if_told(run: Run) -> None:
    make = ("events", "make", "snr-0001.pem", *OFFLINE, "factory-a.pem", "--out", "event.json")
    first = run(*make, "--json")
    assert json.loads(first.stdout) == {
        "file": "event.json",
        "certificate_id": DEVICE.sha256,
        "ca_certificate_id": FACTORY.id,
        "account_id": "000000000000",
    }
    assert taken(Path("event.json").read_text(), "000000000000") == (DEVICE.sha256, FACTORY.id)
    again = run(*make)
    assert (again.exit_code, "--force" in again.stderr) == (2, True)
    assert "event.json" in run(*make, "--force").stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("nowhere.pem", *OFFLINE, FACTORY.id), "nowhere.pem"),
        (("snr-0001.pem", *OFFLINE, "nowhere.pem"), "nowhere.pem"),
        (("snr-0001.pem", *OFFLINE, "snr-0001.pem"), "not the certificate of a CA"),
        (("snr-0001.pem", *OFFLINE, "event.json"), "event.json"),
        (("snr-0001.pem", "--account", "1234", "--ca", FACTORY.id), "12 digits"),
        ((), "Missing argument"),
    ],
    ids=["no file", "no CA file", "no CA", "no certificate", "account", "nothing"],
)
def test_what_cannot_be_used_is_told(run: Run, arguments: tuple[str, ...], told: str) -> None:
    Path("event.json").write_text("{}")
    result = run("events", "make", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr
