"""OCSP at work: a responder is asked about a device that nothing else keeps out, once, and within bounds."""

import base64
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from testkit import pki
from testkit.aws.web_servers import AtOnce, answering
from testkit.aws.world import PENDING, Responders, World
from testkit.crls import crl, entry
from testkit.knocks import allow, rules
from testkit.ocsp import UNKNOWN, delegate, refusal, responder, revoked

from jitr.aws import ocsp_responders
from jitr.aws.ocsp_responders import ASK, KEEP, LEFT_ALONE, OPEN_AFTER, OcspResponders
from jitr.aws.web import Web
from jitr.decision.chain import verify_chain
from jitr.errors import Retry
from jitr.facts import Knock, OcspAnswer
from jitr.reasons import Verdict
from jitr.rules.model import Ca, Crl, Ocsp, Rules
from jitr.x509.certificate import read_ca, read_certificate

FACTORY = pki.ca("Factory A")
CA = read_ca(FACTORY.pem, status="ACTIVE")
DEVICE = FACTORY.usual_device("snr-0001").issue()
OTHER = FACTORY.usual_device("snr-0002").serial(0x1002).issue()
URL, LIST = "http://ocsp.example.com/factory-a", "s3://example-crls/factory-a.crl"


def in_force(listed: Crl | None = None, **changes: Any) -> Rules:
    ocsp = replace(Ocsp(URL), **changes)
    return replace(
        rules(allow()), cas={"factory-a": Ca("factory-a", (FACTORY.id,), 3, () if listed is None else (listed,), ocsp)}
    )


# --- at admission


@pytest.fixture
def ready(world: World) -> World:
    """A CA with a responder to which everything is good; two of its devices have connected."""
    world.register_ca(FACTORY)
    world.connect(DEVICE)
    world.connect(OTHER)
    world.publish(in_force())
    world.responders.at[URL] = responder(FACTORY)
    return world


def test_a_good_device_is_admitted_and_the_record_tells_who_said_so_and_when(ready: World) -> None:
    ready.knock(DEVICE, FACTORY)
    assert ready.status(DEVICE) == "ACTIVE"
    record = ready.record(DEVICE)
    assert record is not None
    assert record.facts is not None
    assert record.facts["ocsp"][URL] == {
        "status": "good",
        "asked_at": "2026-03-01T12:00:00Z",
        "produced_at": "2026-03-01T12:00:00Z",
        "this_update": "2026-03-01T12:00:00Z",
        "next_update": "2026-03-01T13:00:00Z",
        "nonce": True,
        "responder": "the CA itself",
    }


def answered(world: World, answer: Callable[[bytes], bytes] | None, **changes: Any) -> tuple[str, list[str]]:
    """What becomes of the device where the responder answers so."""
    world.publish(in_force(**changes))
    world.responders.at = {} if answer is None else {URL: answer}
    world.knock(DEVICE, FACTORY)
    return world.status(DEVICE), world.codes(DEVICE)


def of_status(status: bytes) -> Callable[[bytes], bytes]:
    return responder(FACTORY, status=status)


@pytest.mark.parametrize("unavailable", [Verdict.HOLD, Verdict.ADMIT])
@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        (of_status(revoked(1)), "INACTIVE", "revocation.revoked"),
        (of_status(revoked(6)), PENDING, "revocation.on-hold"),
        (of_status(UNKNOWN), PENDING, "revocation.unknown"),
        (lambda _: refusal(6), PENDING, "revocation.unusable"),
        (lambda _: refusal(1), PENDING, "revocation.unusable"),
        (lambda _: b"", PENDING, "revocation.unusable"),
        (lambda _: b"<html>", PENDING, "revocation.unusable"),
        (responder(FACTORY, signer=pki.key("P-256", "a forger")), PENDING, "revocation.unusable"),
        (responder(FACTORY, hash_name="sha1"), PENDING, "revocation.unusable"),
        (responder(FACTORY, this_update=pki.NOW + timedelta(minutes=6)), PENDING, "revocation.unusable"),
        (responder(FACTORY, produced_at=pki.NOW + timedelta(minutes=6)), PENDING, "revocation.unusable"),
        (responder(FACTORY, next_update=pki.NOW - timedelta(minutes=6)), PENDING, "revocation.unusable"),
    ],
    ids=[
        "revoked", "on hold", "unknown", "unauthorized", "malformedRequest", "empty", "a page", "forged", "SHA-1",
        "to come", "made to come", "ran out",
    ],
)  # fmt: skip
def test_whatever_is_not_good_lets_nobody_in_whatever_the_rules_say_of_silence(
    ready: World, answer: Callable[[bytes], bytes], status: str, code: str, unavailable: Verdict
) -> None:
    """``when_unavailable: admit`` is for a responder that does not answer, not for one that answers otherwise."""
    assert answered(ready, answer, when_unavailable=unavailable) == (status, [code])


@pytest.mark.parametrize("answer", [None, lambda _: refusal(3), lambda _: refusal(2)], ids=["503", "tryLater", "error"])
@pytest.mark.parametrize(
    ("unavailable", "status", "codes"),
    [(Verdict.HOLD, PENDING, ["revocation.unavailable"]), (Verdict.ADMIT, "ACTIVE", ["allow.rule"])],
)
def test_where_nobody_answers_the_rules_say_what_then(
    ready: World, answer: Any, unavailable: Verdict, status: str, codes: list[str]
) -> None:
    assert answered(ready, answer, when_unavailable=unavailable) == (status, codes)


def test_a_device_that_waits_for_an_answer_is_asked_about_again_within_a_quarter_of_an_hour(ready: World) -> None:
    """And AWS IoT is asked nothing about it while there is none."""
    assert answered(ready, None) == (PENDING, ["revocation.unavailable"])
    ready.later(minutes=14)
    ready.knock(DEVICE, FACTORY)
    assert len(ready.responders.asked) == 1, "nothing was edited, and it is not due"
    ready.later(minutes=2)
    ready.calls.made.clear()
    ready.knock(DEVICE, FACTORY)
    assert len(ready.responders.asked) == 2
    assert "DescribeCertificate" not in ready.calls.of("iot")
    ready.responders.at[URL] = responder(FACTORY, this_update=ready.now, next_update=None)
    ready.later(minutes=16)
    ready.responders.at[URL] = responder(FACTORY, this_update=ready.now, next_update=None)
    ready.knock(DEVICE, FACTORY)
    assert ready.status(DEVICE) == "ACTIVE"
    assert len(ready.responders.asked) == 3, "once, although it was decided from its record and then anew"


def test_a_held_device_that_is_revoked_meanwhile_is_never_admitted(ready: World) -> None:
    ready.publish(replace(in_force(), allow=()))
    ready.knock(DEVICE, FACTORY)
    assert ready.codes(DEVICE) == ["allow.unmatched"]
    ready.responders.at[URL] = of_status(revoked(1))
    ready.publish(in_force())
    ready.knock(DEVICE, FACTORY)
    assert (ready.status(DEVICE), ready.codes(DEVICE)) == ("INACTIVE", ["revocation.revoked"])


def test_nobody_is_asked_about_a_device_that_something_else_keeps_out(ready: World) -> None:
    """One question a device, for those that would be let in: strangers and denied ones cost the responder nothing."""
    ready.publish(replace(in_force(), allow=()))
    ready.knock(DEVICE, FACTORY)
    assert (ready.codes(DEVICE), ready.responders.asked, ready.turns) == (["allow.unmatched"], [], [])
    ready.publish(in_force())
    ready.knock(DEVICE, FACTORY)
    assert (len(ready.responders.asked), ready.turns) == (1, [ASK])


def test_an_edit_while_a_device_is_admitted_asks_nobody_twice(ready: World) -> None:
    """Also where an answer holds for no time at all: it is about the admission at hand."""

    edited = replace(in_force(), default=Verdict.REJECT)

    def edits(request: bytes) -> bytes:
        ready.publish(edited)
        return responder(FACTORY, next_update=None)(request)

    ready.responders.at[URL] = edits
    ready.knock(DEVICE, FACTORY)
    record = ready.record(DEVICE)
    assert ready.status(DEVICE) == "ACTIVE"
    assert record is not None
    assert record.digest == edited.digest, "it was decided again on the edit"
    assert len(ready.responders.asked) == 1


REVOKED_LIST = [entry(0x1001, "keyCompromise")]


@pytest.mark.parametrize(
    ("listed", "answer", "status", "codes"),
    [
        ([], of_status(revoked(1)), "INACTIVE", ["revocation.revoked"]),
        (REVOKED_LIST, responder(FACTORY), "INACTIVE", ["revocation.revoked"]),
        (REVOKED_LIST, None, "INACTIVE", ["revocation.revoked"]),
        ([], None, PENDING, ["revocation.unavailable"]),
        (None, responder(FACTORY), PENDING, ["revocation.unusable"]),
        ([], responder(FACTORY), "ACTIVE", ["allow.rule"]),
    ],
)
def test_where_a_ca_has_a_list_and_a_responder_both_let_in_and_either_keeps_out(
    ready: World, listed: list[bytes] | None, answer: Any, status: str, codes: list[str]
) -> None:
    if listed is not None:
        ready.crl_source.at[LIST] = crl(FACTORY, listed)
    assert answered(ready, answer, listed=Crl(LIST)) == (status, codes)


def test_a_ca_without_a_function_that_can_ask_admits_nobody(ready: World) -> None:
    """Fail closed: a responder that nobody asked speaks for nobody, whatever the rules say of silence."""
    ready.publish(in_force(when_unavailable=Verdict.ADMIT))
    ready.registrar = ready.fresh_registrar(ocsp=None)
    ready.knock(DEVICE, FACTORY)
    assert (ready.status(DEVICE), ready.codes(DEVICE)) == (PENDING, ["revocation.unusable"])


def test_an_address_in_a_certificate_is_not_asked(ready: World) -> None:
    """authorityInfoAccess: whoever makes certificates would choose who answers for them."""
    access = pki.sequence(pki.sequence(pki.oid("1.3.6.1.5.5.7.48.1"), pki.tlv(0x86, b"http://evil.example.com/")))
    device = FACTORY.usual_device("snr-0003").serial(3).extension("1.3.6.1.5.5.7.1.1", access).issue()
    ready.connect(device)
    ready.knock(device, FACTORY)
    assert ready.status(device) == "ACTIVE"
    assert [each.url for each in ready.responders.asked] == [URL]


# --- how answers hold


@pytest.mark.parametrize(
    ("changes", "good"),
    [
        ({"nonce": None}, True),
        ({"nonce": None, "next_update": None}, True),
        ({"nonce": None, "next_update": None, "this_update": pki.NOW - timedelta(minutes=4)}, True),
        ({"nonce": None, "next_update": None, "this_update": pki.NOW - timedelta(minutes=6)}, False),
        ({"next_update": None, "this_update": pki.NOW - timedelta(hours=6)}, True),
        ({"next_update": pki.NOW - timedelta(minutes=4)}, True),
        ({"this_update": pki.NOW + timedelta(minutes=4)}, True),
        ({"nonce": None, "this_update": pki.NOW - timedelta(days=3)}, True),
    ],
)
def test_an_answer_says_by_its_times_or_by_the_nonce_that_it_is_of_now(
    ready: World, changes: dict[str, Any], good: bool
) -> None:
    """What is replayed years later has neither; clocks may differ by five minutes (RFC 6960 section 4.2.2.1)."""
    expected = ("ACTIVE", ["allow.rule"]) if good else (PENDING, ["revocation.unusable"])
    assert answered(ready, responder(FACTORY, **changes)) == expected


@pytest.mark.parametrize(("nonce", "status"), [({"nonce": None}, PENDING), ({}, "ACTIVE")])
def test_an_answer_without_the_nonce_counts_for_nothing_where_the_rules_require_it(
    ready: World, nonce: dict[str, Any], status: str
) -> None:
    assert answered(ready, responder(FACTORY, **nonce), require_nonce=True)[0] == status


@pytest.mark.parametrize("validity", [{"not_after": pki.NOW - timedelta(1)}, {"not_before": pki.NOW + timedelta(1)}])
def test_a_responder_whose_certificate_is_not_valid_now_answers_for_nobody(
    ready: World, validity: dict[str, datetime]
) -> None:
    signer = FACTORY.device("r").extended_key_usage("1.3.6.1.5.5.7.3.9").valid(**validity).issue()
    answer = responder(FACTORY, responder=signer, certificates=(signer.der,))
    assert answered(ready, answer) == (PENDING, ["revocation.unusable"])


def test_a_responder_s_certificate_is_signed_as_well_as_the_floor_wants_it(ready: World) -> None:
    weak = FACTORY.device("r").extended_key_usage("1.3.6.1.5.5.7.3.9").signed_with("sha1").issue()
    answer = responder(FACTORY, responder=weak, certificates=(weak.der,))
    assert answered(ready, answer) == (PENDING, ["revocation.unusable"])


# --- how they are asked


KNOCK = Knock(
    certificate=read_certificate(DEVICE.pem).facts,
    ca_certificate_id=FACTORY.id,
    ca=CA.facts,
    chain=verify_chain(read_certificate(DEVICE.pem), CA),
    aliases=frozenset({"factory-a"}),
)


def ask(responders: OcspResponders, now: datetime, **changes: Any) -> OcspAnswer:
    return responders.of(KNOCK, in_force(**changes), CA, now)[URL]


def test_an_answer_is_kept_for_as_long_as_it_holds_and_for_ten_minutes_at_most() -> None:
    asked = Responders({URL: responder(FACTORY, next_update=pki.NOW + timedelta(days=7))})
    responders = OcspResponders(asked)
    for later, count in ((timedelta(0), 1), (KEEP - timedelta(seconds=1), 1), (KEEP, 2)):
        assert ask(responders, pki.NOW + later).status == "good"
        assert len(asked.asked) == count
    asked.at[URL] = responder(FACTORY, next_update=pki.NOW + timedelta(minutes=22))
    ask(responders, pki.NOW + timedelta(minutes=21))
    ask(responders, pki.NOW + timedelta(minutes=22))
    assert len(asked.asked) == 4


@pytest.mark.parametrize("next_update", [None, pki.NOW - timedelta(minutes=1)])
def test_an_answer_that_does_not_say_how_long_it_holds_is_used_once(next_update: datetime | None) -> None:
    asked = Responders({URL: responder(FACTORY, next_update=next_update)})
    responders = OcspResponders(asked)
    for count in (1, 2):
        ask(responders, pki.NOW)
        assert len(asked.asked) == count


def test_a_responder_that_fails_again_and_again_is_left_alone_for_a_minute_and_that_is_told(world: World) -> None:
    """Nobody waits for it meanwhile. One question then tells whether it is back."""
    asked = Responders()
    responders = OcspResponders(asked, world.telemetry)
    counted: list[str] = []
    world.telemetry.count = lambda name, *_, **__: counted.append(name)  # type: ignore[method-assign]
    now = pki.NOW
    for _ in range(OPEN_AFTER):
        assert ask(responders, now).failure == "HTTP 503"
    assert counted == ["OcspFailures"] * OPEN_AFTER + ["OcspLeftAlone"]
    assert "left alone for a minute" in str(ask(responders, now + LEFT_ALONE - timedelta(seconds=1)).failure)
    assert len(asked.asked) == OPEN_AFTER
    now += LEFT_ALONE
    assert ask(responders, now).failure == "HTTP 503"
    assert "left alone" in str(ask(responders, now).failure)
    assert len(asked.asked) == OPEN_AFTER + 1
    now += LEFT_ALONE
    asked.at[URL] = responder(FACTORY, next_update=None, this_update=now)
    for _ in range(2):
        assert ask(responders, now).status == "good"
    del asked.at[URL]
    for _ in range(OPEN_AFTER):
        assert ask(responders, now).failure == "HTTP 503", "it is asked as ever: those before do not count any more"


def test_unknown_and_revoked_are_no_failures_of_the_responder() -> None:
    asked = Responders()
    responders = OcspResponders(asked)
    for status in (UNKNOWN, revoked(1)) * OPEN_AFTER:
        asked.at[URL] = responder(FACTORY, status=status, next_update=None)
        assert ask(responders, pki.NOW).status is not None


def test_each_question_takes_its_turn_and_none_is_asked_where_there_is_no_time_left() -> None:
    def no_time(_operation: str) -> None:
        raise Retry("pace", "no time")

    asked = Responders({URL: responder(FACTORY)})
    with pytest.raises(Retry):
        ask(OcspResponders(asked, turn=no_time), pki.NOW)
    assert asked.asked == []


def test_each_question_has_a_nonce_of_its_own_of_32_octets() -> None:
    """RFC 9654 section 2.1."""
    asked = Responders({URL: responder(FACTORY, next_update=None)})
    sizes: list[int] = []

    def nonce(octets: int) -> bytes:
        sizes.append(octets)
        return bytes([len(sizes)] * octets)

    responders = OcspResponders(asked, nonce=nonce)
    ask(responders, pki.NOW)
    ask(responders, pki.NOW)
    assert sizes == [32, 32]
    assert len({each.body for each in asked.asked}) == 2


def test_an_answer_to_a_question_that_was_asked_before_is_refused() -> None:
    """Replayed with its nonce, which was another's."""
    recorded: list[bytes] = []

    def replays(request: bytes) -> bytes:
        recorded.append(responder(FACTORY, next_update=None)(request))
        return recorded[0]

    responders = OcspResponders(Responders({URL: replays}))
    assert ask(responders, pki.NOW).status == "good"
    assert "nonce of another question" in str(ask(responders, pki.NOW).problem)


def test_neither_answers_nor_responders_are_remembered_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ocsp_responders, "_MOST_ANSWERS", 3)
    monkeypatch.setattr(ocsp_responders, "_MOST_RESPONDERS", 3)
    responders = OcspResponders(Responders({URL: responder(FACTORY)}))
    for serial in range(1, 10):
        responders.ask(Ocsp(URL), CA, f"{serial:x}", pki.NOW)
        responders.ask(Ocsp(f"{URL}/{serial}"), CA, "1", pki.NOW)
    assert len(responders._kept) == len(responders._trouble) == 3


def test_only_the_responder_that_the_rules_name_counts_and_answers_are_not_taken_from_other_rules() -> None:
    """What was answered under rules that name nobody does not serve those that name one."""
    named = delegate(pki.ca("Factory B"), "named")
    asked = Responders({URL: responder(FACTORY)})
    responders = OcspResponders(asked)
    assert ask(responders, pki.NOW).status == "good"
    strict = in_force(responder=base64.b64encode(named.der).decode())
    (found,) = responders.of(KNOCK, strict, CA, pki.NOW).values()
    assert "not of the responder that the rules name" in str(found.problem)
    asked.at[URL] = responder(FACTORY, responder=named)
    (found,) = responders.of(KNOCK, strict, CA, pki.NOW).values()
    assert found.status == "good"


# --- over the network


def over_the_web(url: str, **changes: Any) -> OcspAnswer:
    web = Web(refused=lambda _: False, resolver=AtOnce())
    return OcspResponders(web).ask(replace(Ocsp(url), **changes), CA, "1001", pki.NOW)


def http(
    body: bytes, *, content_type: str = "application/ocsp-response", status: str = "200 OK", more: str = ""
) -> bytes:
    """An answer as a server sends it."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


ANSWER = responder(FACTORY, nonce=None)


def body_of(request: bytes) -> bytes:
    return request.partition(b"\r\n\r\n")[2]


def test_a_question_is_posted_as_the_rfc_says() -> None:
    """RFC 6960 appendix A.1."""
    with answering(lambda request: http(ANSWER(body_of(request)))) as (base, asked):
        assert over_the_web(f"{base}/factory-a?x=1").status == "good"
    head, _, body = asked[0].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /factory-a?x=1 HTTP/1.1"
    assert "Content-Type: application/ocsp-request" in lines
    assert f"Content-Length: {len(body)}" in lines


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda body: http(body, content_type="text/html"), "no OCSP responder"),
        (lambda body: http(body, content_type=""), "no OCSP responder"),
        (lambda body: http(body, status="500 No"), "HTTP 500"),
        (lambda body: http(body, status="302 Moved", more="Location: http://169.254.169.254/\r\n"), "a redirect to"),
        (lambda body: http(body * 100), "more than"),
        (lambda body: http(body)[:20], "no OCSP responder"),
        (lambda body: http(body)[:5], "could not be asked"),
        (lambda _body: b"", "could not be asked"),
    ],
    ids=["another type", "no type", "500", "redirect", "huge", "cut off", "cut off at once", "nothing"],
)
def test_what_is_no_answer_is_a_failure_that_says_which(answer: Callable[[bytes], bytes], told: str) -> None:
    with answering(lambda request: answer(ANSWER(body_of(request)))) as (base, asked):
        found = over_the_web(f"{base}/")
    assert told in str(found.failure)
    assert found.status is None
    assert len(asked) == 1


def test_an_answer_that_is_cut_off_is_none() -> None:
    with answering(lambda request: http(ANSWER(body_of(request)))[:-10]) as (base, _):
        assert "cannot be read" in str(over_the_web(f"{base}/").problem)


def test_a_responder_that_is_too_slow_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ocsp_responders, "_WHOLE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        found = over_the_web(f"http://localhost:{silent.getsockname()[1]}/")
    assert "takes more than" in str(found.failure)


def test_a_responder_on_this_machine_or_its_link_is_never_asked() -> None:
    """Whatever the rules say; one in a private network only where they allow it."""
    with answering(lambda request: http(ANSWER(body_of(request)))) as (base, asked):
        web = Web(resolver=AtOnce())
        found = OcspResponders(web).ask(Ocsp(f"{base}/", private_network=True), CA, "1001", pki.NOW)
        assert found.failure == "it is at 127.0.0.1, where no OCSP answer is fetched from"
    assert asked == []


# --- real responders


@contextmanager
def openssl(folder: Path, index: str, signer: pki.Issued | pki.CA, *more: str) -> Iterator[str]:
    """`openssl ocsp` as a responder, with this index of certificates."""
    (folder / "index.txt").write_text(index)
    (folder / "index.txt.attr").write_text("unique_subject = no\n")
    (folder / "ca.pem").write_bytes(FACTORY.pem)
    (folder / "signer.pem").write_bytes(signer.pem)
    issued = signer.issued if isinstance(signer, pki.CA) else signer
    (folder / "signer.key").write_bytes(issued.private_pem)
    names = ["-index", "index.txt", "-CA", "ca.pem", "-rsigner", "signer.pem", "-rkey", "signer.key"]
    command = ["openssl", "ocsp", "-port", "0", *names, *more]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if line.startswith("ACCEPT"):
                    port = line.split(":")[-1].split()[0]
                    break
            else:
                raise AssertionError("openssl ocsp did not start")
            yield f"http://localhost:{port}/"
        finally:
            process.terminate()


NAME = "/C=TR/O=OKIDA/CN=snr-0001"
INDEX = (
    f"V\t360101000000Z\t\t1001\tunknown\t{NAME}\n"
    f"R\t360101000000Z\t260226120000Z,keyCompromise\t1002\tunknown\t{NAME}\n"
    f"R\t360101000000Z\t260226120000Z,certificateHold\t1003\tunknown\t{NAME}\n"
)
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")


@needs_openssl
@pytest.mark.parametrize("hash_name", ["sha1", "sha256"])
@pytest.mark.parametrize("options", [(), ("-resp_key_id",), ("-nmin", "5")], ids=["by name", "by key", "nextUpdate"])
@pytest.mark.parametrize("by", ["ca", "delegate"])
def test_openssl_s_responder_is_understood(tmp_path: Path, hash_name: str, options: tuple[str, ...], by: str) -> None:
    signer = FACTORY if by == "ca" else delegate(FACTORY)
    with openssl(tmp_path, INDEX, signer, *options) as url:
        now = datetime.now(UTC)
        responders = OcspResponders(Web(refused=lambda _: False, resolver=AtOnce()))
        found = {
            serial: responders.ask(Ocsp(url, hash=hash_name), CA, serial, now)
            for serial in ("1001", "1002", "1003", "1004")
        }
    assert {serial: (each.status, each.reason) for serial, each in found.items()} == {
        "1001": ("good", None),
        "1002": ("revoked", "keyCompromise"),
        "1003": ("revoked", "certificateHold"),
        "1004": ("unknown", None),
    }
    assert all(each.nonce for each in found.values())
    assert ("certified by the CA" in str(found["1001"].signer)) == (by == "delegate")


@needs_openssl
def test_openssl_s_responder_of_somebody_else_is_not_believed(tmp_path: Path) -> None:
    with openssl(tmp_path, INDEX, delegate(pki.ca("Factory B"))) as url:
        responders = OcspResponders(Web(refused=lambda _: False, resolver=AtOnce()))
        found = responders.ask(Ocsp(url), CA, "1001", datetime.now(UTC))
    assert "not issued by the CA" in str(found.problem)
