"""What the function logs: no PEM, no key, no whole event, whatever was sent and whatever comes of it."""

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from aws_lambda_powertools import Logger, Metrics
from botocore.exceptions import ClientError
from testkit import event_files, pki
from testkit.aws.world import ACCOUNT, World, listening, moto_world
from testkit.crls import crl, entry
from testkit.knocks import allow, deny, rules

from jitr.aws.telemetry import Telemetry, make_logger
from jitr.rules.model import Ca, Crl

FACTORY, OTHER = pki.ca("Factory A"), pki.ca("Factory B")
DEVICES = {
    event_files.ALLOWED: FACTORY.usual_device("snr-0001").issue(),
    event_files.UNMATCHED: FACTORY.usual_device("new-0002").issue(),
    event_files.DENIED: FACTORY.usual_device("old-0003").issue(),
    event_files.ACTIVE: FACTORY.usual_device("snr-0004").serial(0x1004).issue(),
    event_files.REVOKED: FACTORY.usual_device("snr-0005").issue(),
}
IDS = {
    event_files.CA: FACTORY.id,
    event_files.OTHER_CA: OTHER.id,
    **{made_up: device.sha256 for made_up, device in DEVICES.items()},
}
URL = "s3://example-crls/factory-a.crl"
KEY = pki.key("RSA-2048", "somebody careless")
PEM = pki.private_pem(KEY).decode()
# Sent to the queue by mistake: none is an event.
MISTAKES = {
    "a key": PEM,
    "a key with words before": f"here it is: {PEM}",
    "a certificate": DEVICES[event_files.ALLOWED].pem.decode(),
    "a key in JSON, not an object": json.dumps([PEM]),
    "a key in place of an id": json.dumps({"certificateId": PEM, "awsAccountId": ACCOUNT}),
    "a key in place of an account": json.dumps({"certificateId": "d1" * 32, "awsAccountId": PEM}),
    "a key without its lines": PEM.partition("\n")[2].replace("\n", ""),
    "a key in hexadecimal": PEM.encode().hex(),
    "a key in place of a CA": json.dumps({"certificateId": "d1" * 32, "awsAccountId": ACCOUNT, "caCertificateId": PEM}),
    "a key in place of a time": json.dumps(
        {
            "certificateId": DEVICES["d1"].sha256,
            "awsAccountId": ACCOUNT,
            "caCertificateId": FACTORY.id,
            "timestamp": PEM,
        }
    ),
}


@pytest.fixture
def world() -> Iterator[World]:
    """AWS in process, with a revocation list that names a device."""

    def name_the_ca(parsed: dict[str, Any], **_context: Any) -> None:
        if "certificateDescription" in parsed:
            parsed["certificateDescription"]["caCertificateId"] = FACTORY.id

    with moto_world() as made, listening(made.iot, "after-call.iot.DescribeCertificate", name_the_ca):
        for ca in (FACTORY, OTHER):
            made.register_ca(ca)
        for device in DEVICES.values():
            made.connect(device)
        published = rules(allow(ca="factory-a", common_name="snr-*"), deny(common_name="old-*"))
        cas = {"factory-a": Ca("factory-a", (FACTORY.id,), 3, (Crl(URL),))}
        made.publish(replace(published, cas=cas))
        made.crl_source.at[URL] = crl(FACTORY, [entry(0x1004, "keyCompromise")])
        yield made


@pytest.fixture
def logged(world: World, request: pytest.FixtureRequest) -> io.StringIO:
    """All that the function writes to its log, at the most talkative level."""
    stream = io.StringIO()
    logger = Logger(service=request.node.name, stream=stream, level="DEBUG")
    world.telemetry = Telemetry(logger, Metrics(namespace="test", service="test"))
    world.registrar = world.fresh_registrar()
    return stream


def message(body: str, deliveries: int = 1) -> dict[str, Any]:
    attributes = {"ApproximateReceiveCount": str(deliveries), "SentTimestamp": "1772366398640"}
    return {"messageId": "m", "receiptHandle": "made-up", "body": body, "attributes": attributes}


def shows_no_secret(log: str) -> None:
    """No line of any PEM that there is, as it stands or escaped, and no run of base64 or hexadecimal but ids."""
    assert log, "something was logged"
    assert "-----BEGIN" not in log
    pems = [PEM, pki.private_pem(FACTORY.key).decode(), FACTORY.pem.decode(), OTHER.pem.decode()]
    pems += [each.pem.decode() for each in DEVICES.values()]
    for line in {line for pem in pems for line in pem.splitlines()}:
        for start in range(0, max(1, len(line) - 20), 8):
            assert line[start : start + 20] not in log
        assert line.encode().hex()[:40] not in log


def test_nothing_secret_is_logged_of_any_situation(world: World, logged: io.StringIO) -> None:
    for name in event_files.FILES:
        batch = event_files.records(event_files.text(name, account=ACCOUNT, ids=IDS))
        world.batch().handle(batch, lambda: 30_000)
        for each in batch:
            assert json.dumps(each["body"]) not in logged.getvalue(), "a whole event"
    for code in ("allow.rule", "allow.unmatched", "deny.rule", "event.not-json"):
        assert code in logged.getvalue()
    shows_no_secret(logged.getvalue())


def test_a_secret_that_is_sent_by_mistake_is_not_logged(world: World, logged: io.StringIO) -> None:
    for body in MISTAKES.values():
        world.batch().handle([message(body)], lambda: 30_000)
        shows_no_secret(logged.getvalue())
    for each in world.failures():
        shows_no_secret(each["MessageAttributes"]["message"]["StringValue"])


def test_a_bug_and_a_failing_call_log_no_secret(
    world: World, logged: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tracebacks show lines of code, and never what was in a variable."""
    body = world.event(DEVICES["d1"].sha256, FACTORY.id)

    def buggy(*_: Any) -> Any:
        pem = PEM  # noqa: F841 (what a traceback with local variables would show)
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr("jitr.services.registration.deciding.read_certificate", buggy)
        world.batch().handle([message(body, 5)], lambda: 30_000)
    assert "ZeroDivisionError" in logged.getvalue()

    def refuse(**_: Any) -> Any:
        raise ClientError({"Error": {"Code": "InternalFailureException", "Message": "made to fail"}}, "CreateThing")

    with monkeypatch.context() as patched:
        patched.setattr(world.iot, "update_certificate", refuse)
        world.batch().handle([message(body)], lambda: 30_000)
    shows_no_secret(logged.getvalue())


def test_an_identifier_that_is_wrong_is_still_told(world: World, logged: io.StringIO) -> None:
    world.batch().handle([message(json.dumps({"certificateId": "d1" * 31}))], lambda: 30_000)
    world.batch().handle([message(json.dumps({"certificateId": "d1" * 32, "awsAccountId": "1"}))], lambda: 30_000)
    assert "certificateId is '(62 characters)', not 64 hexadecimal digits" in logged.getvalue()
    assert "names account '1'" in logged.getvalue()


@pytest.mark.parametrize(("level", "written"), [("DEBUG", 3), ("INFO", 2), ("WARNING", 1), ("ERROR", 0)])
def test_a_function_logs_from_its_own_level_whatever_lambdas_is(
    level: str, written: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lambda's is INFO at most, so that no metric is dropped."""
    monkeypatch.setenv("AWS_LAMBDA_LOG_LEVEL", "INFO")
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", f"logs-from-{level}")
    logger = make_logger(level)
    logger.debug("one")
    logger.info("two")
    logger.warning("three")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["message"] for each in lines] == ["one", "two", "three"][3 - written :]
    assert all(datetime.fromisoformat(each["timestamp"]).tzinfo for each in lines)  # RFC 3339, or Lambda calls it INFO
