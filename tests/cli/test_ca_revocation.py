"""`jitr ca revocation` and `jitr explain` on a stack: lists and responders asked now, over a real connection."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from click.testing import Result
from testkit import crls, ocsp, pki
from testkit.aws.web_servers import answering
from testkit.aws.world import World
from testkit.knocks import allow
from testkit.knocks import rules as made_rules

from jitr.aws import web
from jitr.rules.model import Ca, Crl, Ocsp

Run = Callable[..., Result]
FACTORY = pki.ca("Factory A")
DEVICE = FACTORY.usual_device("snr-0001").valid(not_after=pki.NOT_AFTER).issue()
LIST = "s3://example-crls/factory-a.crl"


@pytest.fixture(autouse=True)
def this_machine_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The servers of these tests are on it."""
    monkeypatch.setattr(web.Web.__init__, "__defaults__", (None, lambda _: False, None))


def http(body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/ocsp-response\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def answers(**changes: Any) -> Callable[[bytes], bytes]:
    """A server that answers now."""
    now = datetime.now(UTC).replace(microsecond=0)
    times = {"this_update": now, "produced_at": now, "next_update": now + timedelta(hours=1)}
    answer = ocsp.responder(FACTORY, **(times | changes))
    return lambda request: http(answer(request.partition(b"\r\n\r\n")[2]))


def in_force(world: World, url: str, *crls: Crl, ocsp: bool = True) -> None:
    world.register_ca(FACTORY)
    ca = Ca("factory-a", (FACTORY.id,), 3, crls, Ocsp(url) if ocsp else None)
    world.publish(replace(made_rules(allow()), cas={"factory-a": ca}))


def with_list(entries: list[bytes]) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    made = crls.crl(FACTORY, entries, this_update=now, next_update=now + timedelta(days=1))
    s3 = boto3.client("s3", region_name="us-east-1")
    s3.create_bucket(Bucket="example-crls")
    s3.put_object(Bucket="example-crls", Key="factory-a.crl", Body=made)


def test_list_and_responder_are_asked_now_and_what_they_say_is_told(world: World, run: Run) -> None:
    """Without a certificate: whether they count at all."""
    with_list([crls.entry(1)])
    with answering(answers(status=ocsp.UNKNOWN)) as (url, asked):
        in_force(world, f"{url}/", Crl(LIST))
        result = run("ca", "revocation", "factory-a", "--json")
        people = run("ca", "revocation", "factory-a")
    assert result.exit_code == people.exit_code == 0, result.stderr
    listed, answered = json.loads(result.stdout)["checks"]
    assert (listed["kind"], listed["ok"], listed["encrypted"]) == ("crl", True, True)
    assert listed["said"].endswith("with 1 entry")
    assert (answered["kind"], answered["ok"], answered["encrypted"]) == ("ocsp", True, False)
    assert answered["said"].startswith("unknown, of ")
    assert "(not encrypted, but signed)" in people.stdout
    assert len({ocsp.asked(each.partition(b"\r\n\r\n")[2])[0] for each in asked}) == 2, "made-up serial numbers"


@pytest.mark.parametrize(
    ("entries", "changes", "codes"),
    [
        ([], {}, []),
        ([], {"status": ocsp.revoked(1)}, ["revocation.revoked"]),
        ([crls.entry(0x1001)], {}, ["revocation.revoked"]),
        ([], {"status": ocsp.UNKNOWN}, ["revocation.unknown"]),
        ([], {"signer": pki.key("P-256", "a forger")}, ["revocation.unusable"]),
    ],
)
def test_a_certificate_is_asked_about_as_the_function_would(
    world: World, run: Run, tmp_path: Path, entries: list[bytes], changes: dict[str, Any], codes: list[str]
) -> None:
    with_list(entries)
    file = tmp_path / "device.pem"
    file.write_bytes(DEVICE.pem)
    with answering(answers(**changes)) as (url, _):
        in_force(world, f"{url}/", Crl(LIST))
        result = run("ca", "revocation", "factory-a", "--certificate", file, "--json")
    assert result.exit_code == bool(codes), result.stderr
    told = [reason["code"] for each in json.loads(result.stdout)["checks"] for reason in each["reasons"]]
    assert told == codes


def _put(key: str, data: bytes) -> None:
    boto3.client("s3", region_name="us-east-1").put_object(Bucket="example-crls", Key=key, Body=data)


def test_a_delta_list_is_told_of_and_one_that_the_rules_do_not_have(world: World, run: Run) -> None:
    freshest = crls.extension("freshestCRL", pki.sequence(pki.sequence(crls.uri("http://crl.example.com/d"))))
    now = datetime.now(UTC).replace(microsecond=0)
    times: dict[str, Any] = {"this_update": now, "next_update": now + timedelta(days=1)}
    with_list([])
    _put("factory-a.crl", crls.crl(FACTORY, extensions=(freshest,), **times))
    in_force(world, "", Crl(LIST), ocsp=False)
    assert (
        "names a delta list, which the rules do not: http://crl.example.com/d"
        in run("ca", "revocation", "factory-a").stdout
    )
    _put("delta.crl", crls.delta(FACTORY, [crls.entry(1), crls.entry(2)], **times))
    in_force(world, "", Crl(LIST, delta="s3://example-crls/delta.crl"), ocsp=False)
    [told] = json.loads(run("ca", "revocation", "factory-a", "--json").stdout)["checks"]
    assert told["ok"]
    assert told["said"].endswith(" with 2 entries since")
    _put("delta.crl", crls.delta(FACTORY, since=7, number=8, **times))
    result = run("ca", "revocation", "factory-a", "--json")
    [told] = json.loads(result.stdout)["checks"]
    assert (result.exit_code, told["ok"]) == (1, False)
    assert "on neither" in told["reasons"][0]["message"]


def test_every_partition_is_asked_and_of_a_certificate_its_own(world: World, run: Run, tmp_path: Path) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    points = ("http://crl.example.com/1", "http://crl.example.com/2")
    with_list([])
    for each in points:
        made = crls.crl(
            FACTORY, extensions=(crls.partition(each),), this_update=now, next_update=now + timedelta(days=1)
        )
        _put(each[-1], made)
    in_force(world, "", *(Crl(f"s3://example-crls/{each[-1]}", point=each) for each in points), ocsp=False)
    assert [each["ok"] for each in json.loads(run("ca", "revocation", "factory-a", "--json").stdout)["checks"]] == [
        True,
        True,
    ]
    for draft, urls, codes in (
        (crls.naming(FACTORY.usual_device("snr-1"), points[1]), ["s3://example-crls/2"], []),
        (FACTORY.usual_device("snr-2"), ["2 partitions"], ["revocation.no-partition"]),
    ):
        file = tmp_path / "device.pem"
        file.write_bytes(draft.issue().pem)
        checks = json.loads(run("ca", "revocation", "factory-a", "--certificate", file, "--json").stdout)["checks"]
        assert [each["url"] for each in checks] == urls
        assert [reason["code"] for each in checks for reason in each["reasons"]] == codes
    _put("1", crls.crl(FACTORY, this_update=now, next_update=now + timedelta(days=1)))
    first, second = json.loads(run("ca", "revocation", "factory-a", "--json").stdout)["checks"]
    assert (first["ok"], second["ok"]) == (False, True)
    assert "does not say that it is the partition of http://crl.example.com/1" in first["reasons"][0]["message"]


def test_what_cannot_be_asked_is_one_line(world: World, run: Run) -> None:
    assert "no rules are in force" in run("ca", "revocation", "factory-a").stderr
    world.publish(replace(made_rules(allow()), cas={"factory-a": Ca("factory-a", (FACTORY.id,), 3)}))
    for alias, told in (("factory-z", "did you mean factory-a?"), ("factory-a", "neither `crl` nor")):
        result = run("ca", "revocation", alias)
        assert (result.exit_code, result.stdout) == (2, "")
        assert told in result.stderr


def test_a_device_is_explained_by_what_its_responder_says_now(world: World, run: Run, aws: Any) -> None:
    world.connect(DEVICE)
    described = world.iot.describe_certificate(certificateId=DEVICE.sha256)["certificateDescription"]
    of_ca = {"certificateDescription": described | {"caCertificateId": FACTORY.id}}  # moto leaves it out
    aws.overrides["DescribeCertificate"] = lambda _: of_ca
    with answering(answers(status=ocsp.revoked(1))) as (url, asked):
        in_force(world, f"{url}/")
        result = run("explain", DEVICE.sha256, "--json")
    assert result.exit_code == 1, result.stderr
    assert [each["code"] for each in json.loads(result.stdout)["reasons"]] == ["revocation.revoked"]
    assert len(asked) == 1
