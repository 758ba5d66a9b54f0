"""`jitr device diagnose`: what a device is turned away for, against an endpoint that does it on purpose."""

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from testkit import pki as drafts
from testkit.cli.command_line import REGION, Aws, Run
from testkit.cli.stack import deploy
from testkit.work import ending

from jitr.aws.dynamodb.table import Table
from jitr.reasons import Verdict
from jitr.records.record import APPLIED, APPLYING, Record
from jitr_cli.commands.device import diagnose
from jitr_operations.diagnose import attempt as diagnose_attempt
from jitr_operations.diagnose import files as diagnose_files
from jitr_operations.diagnose import visit as diagnose_visit
from jitr_operations.diagnose.attempt import connect_packet, publish_packet
from jitr_operations.http_date import read_http_date

NOW = datetime.now(UTC).replace(microsecond=0)
SOON, LONG_AGO = NOW + timedelta(days=30), NOW - timedelta(days=30)


def a_ca(name: str) -> drafts.CA:
    draft = drafts.ca_draft(name).valid(LONG_AGO, SOON).basic_constraints(ca=True)
    return drafts.make(draft.key_usage("keyCertSign", "cRLSign").identifiers())


FACTORY, ENDPOINT, STRANGER = a_ca("Factory A"), a_ca("Endpoint"), a_ca("Stranger")


def leaf(name: str = "snr-0001", ca: drafts.CA = FACTORY) -> drafts.CertificateDraft:
    return ca.usual_device(name).key("P-256", name).valid(LONG_AGO, SOON)


# --- the endpoint


def packets(connection: ssl.SSLSocket) -> Iterator[bytes]:
    """What the device sends, packet by packet (all of them are shorter than 128 octets)."""
    while head := connection.recv(2):
        yield head + connection.recv(head[1])


Behaviour = Callable[[ssl.SSLSocket, Iterator[bytes]], None]
ACCEPT = b"\x20\x02\x00\x00"


def accept(connection: ssl.SSLSocket, sent: Iterator[bytes]) -> None:
    """Take the device in, and everything that it publishes."""
    connection.sendall(ACCEPT)
    for packet in sent:
        if packet[0] == 0x32:
            connection.sendall(b"\x40\x02\x00\x01")


def hang_up(_connection: ssl.SSLSocket, _sent: Iterator[bytes]) -> None:
    """As AWS IoT does where a device is not let in."""


def answer(*octets: int) -> Behaviour:
    return lambda connection, _sent: connection.sendall(bytes(octets))


def hang_up_on_publish(connection: ssl.SSLSocket, sent: Iterator[bytes]) -> None:
    connection.sendall(ACCEPT)
    next(sent)


@dataclass
class Endpoint:
    """A TLS server on this machine: each connection gets the next behaviour, the last one stays."""

    port: int
    context: ssl.SSLContext
    behaviours: list[Behaviour] = field(default_factory=lambda: [accept])
    only_for: str | None = None  # the one client id that is let in
    connects: list[bytes] = field(default_factory=list)

    def serve(self, listener: socket.socket) -> None:
        while True:
            try:
                raw, _ = listener.accept()
            except OSError:
                return  # closed: the test is over
            with raw:
                self._connection(raw)

    def _connection(self, raw: socket.socket) -> None:
        raw.settimeout(5)
        try:
            with self.context.wrap_socket(raw, server_side=True) as connection:
                sent = packets(connection)
                self.connects.append(next(sent))
                client_id = self.connects[-1][14:].decode()
                behaviour = self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]
                if self.only_for is not None:
                    behaviour = accept if client_id == self.only_for else hang_up
                behaviour(connection, sent)
        except (OSError, StopIteration):
            return


@contextmanager
def serving(certificate: drafts.Issued, folder: Path, trusted: drafts.CA = FACTORY) -> Iterator[Endpoint]:
    files = folder / "endpoint.pem", folder / "endpoint.key"
    files[0].write_bytes(certificate.pem)
    files[1].write_bytes(certificate.private_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=trusted.pem.decode())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = Endpoint(listener.getsockname()[1], context)
        thread = threading.Thread(target=endpoint.serve, args=(listener,), daemon=True)
        thread.start()
        try:
            yield endpoint
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def server_draft(name: str = "localhost") -> drafts.CertificateDraft:
    draft = ENDPOINT.device(name).key("P-256", "endpoint").valid(LONG_AGO, SOON).basic_constraints(ca=False)
    return draft.alternative_names(x509.DNSName(name)).extended_key_usage("serverAuth").identifiers()


@pytest.fixture
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with serving(server_draft().issue(), tmp_path_factory.mktemp("endpoint")) as made:
        yield made


@pytest.fixture(autouse=True)
def _device(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device's files in the current directory, and no waiting."""
    write(leaf().issue())
    Path("roots.pem").write_bytes(ENDPOINT.pem)
    monkeypatch.setattr(diagnose_visit, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(diagnose_files, "date_at", lambda _host: None)


def write(issued: drafts.Issued, name: str = "device") -> None:
    Path(f"{name}.pem").write_bytes(issued.pem)
    Path(f"{name}.key").write_bytes(issued.private_pem)


@dataclass
class Diagnosis:
    """What the command said."""

    code: int
    document: dict[str, Any]

    @property
    def problems(self) -> list[str]:
        return [each["code"] for each in self.document["findings"] if each["ok"] is False]

    def told(self, code: str) -> str:
        """Message and remedy of the findings of a code."""
        of_code = [each for each in self.document["findings"] if each["code"] == code]
        assert of_code, self.document
        return " ".join(f"{each['message']} {each['remedy'] or ''}" for each in of_code)


@pytest.fixture
def diagnosed(run: Run, endpoint: Endpoint) -> Callable[..., Diagnosis]:
    """Run the command on the device's files and the endpoint, without an account unless told."""

    def diagnosed(*more: object, host: str = "localhost", account: bool = False) -> Diagnosis:
        result = run(
            *("device", "diagnose", "--endpoint", f"{host}:{endpoint.port}", "--json"),
            *("--certificate", "device.pem", "--key", "device.key"),
            *([] if "--ca-file" in more else ["--ca-file", "roots.pem"]),
            *([] if "--wait" in more else ["--wait", 0]),
            *([] if account else ["--no-account"]),
            *more,
        )
        assert result.exit_code in (0, 1), result.output
        found = Diagnosis(result.exit_code, json.loads(result.stdout))
        assert (found.code == 1) == bool(found.problems)
        return found

    return diagnosed


Diagnosed = Callable[..., Diagnosis]


# --- it is let in


def test_a_device_that_is_let_in_and_publishes(diagnosed: Diagnosed, endpoint: Endpoint) -> None:
    found = diagnosed("--topic", "devices/snr-0001/hello")
    assert (found.code, found.problems) == (0, [])
    assert (found.document["connected"], found.document["published"]) == (True, True)
    assert found.document["client_id"] == "snr-0001"
    assert "the server name localhost is sent (SNI)" in found.told("sni")
    assert endpoint.connects == [connect_packet("snr-0001")]


def test_the_text_ends_with_what_it_means(run: Run, endpoint: Endpoint) -> None:
    words = ("--certificate", "device.pem", "--key", "device.key", "--ca-file", "roots.pem", "--no-account")
    result = run("device", "diagnose", "--endpoint", f"localhost:{endpoint.port}", *words)
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "The device can connect.")
    endpoint.behaviours = [hang_up]
    result = run("device", "diagnose", "--endpoint", f"localhost:{endpoint.port}", *words, "--wait", 0)
    assert result.exit_code == 1
    assert "\nWhat to do:\n- Run this with access to the account" in result.stdout


def test_packets_are_as_the_standard_writes_them() -> None:
    """MQTT 3.1.1, figures 3.2 to 3.6 and 3.10; the length of more than 127 octets takes two (section 2.2.3)."""
    assert connect_packet("snr") == b"\x10\x0f\x00\x04MQTT\x04\x02\x00\x3c\x00\x03snr"
    assert publish_packet("a/b", b"hi") == b"\x32\x09\x00\x03a/b\x00\x01hi"
    assert connect_packet("x" * 120)[:3] == b"\x10\x84\x01"


def test_a_device_is_admitted_while_it_goes_on_trying(diagnosed: Diagnosed, endpoint: Endpoint) -> None:
    endpoint.behaviours = [hang_up, hang_up, accept]
    found = diagnosed("--wait", 5)
    assert (found.code, found.document["attempts"]) == (0, 3)
    assert "at attempt 3" in found.told("connected")


def test_an_endpoint_of_tls_1_3_only(diagnosed: Diagnosed, endpoint: Endpoint) -> None:
    endpoint.context.minimum_version = ssl.TLSVersion.TLSv1_3
    assert diagnosed().code == 0


def test_files_in_other_forms(diagnosed: Diagnosed) -> None:
    """DER, an encrypted key, and a chain."""
    device = leaf().issue()
    Path("device.pem").write_bytes(device.der)
    secret = serialization.BestAvailableEncryption(b"secret")
    encrypted = device.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, secret)
    Path("device.key").write_bytes(encrypted)
    Path("secret.txt").write_text("secret\n")
    assert diagnosed("--passphrase-file", "secret.txt").code == 0
    Path("device.pem").write_bytes(drafts.bundle(device, FACTORY))
    assert "and after it its chain (1)" in diagnosed("--passphrase-file", "secret.txt").told("chain")


@pytest.mark.parametrize(
    ("text", "keeper"),
    [
        ("-----BEGIN TSS2 PRIVATE KEY-----\nMIH=\n-----END TSS2 PRIVATE KEY-----\n", "a TPM 2.0"),
        ("pkcs11:token=device;object=key;type=private\n", "a PKCS #11 token"),
        ("-----BEGIN PKCS#11 PROVIDER URI-----\nMA==\n-----END PKCS#11 PROVIDER URI-----\n", "a PKCS #11 token"),
    ],
)
def test_with_a_key_that_stays_in_hardware_all_is_told_that_needs_no_key(
    diagnosed: Diagnosed, run: Run, endpoint: Endpoint, text: str, keeper: str
) -> None:
    """It says what it cannot do, does the rest, and does not say that the device can connect."""
    Path("device.key").write_text(text)
    found = diagnosed()
    assert (found.code, found.document["attempts"], found.document["connected"]) == (0, 0, False)
    assert f"names a key that stays in {keeper}" in found.told("key")
    assert "the certificate is valid until" in found.told("validity")
    assert "what AWS IoT holds is not known" in found.told("account")
    assert endpoint.connects == []
    assert "can connect" not in run(*FILES, "--endpoint", "localhost").stdout


def test_a_uri_of_a_key_may_stand_in_place_of_its_file(diagnosed: Diagnosed) -> None:
    """RFC 7512."""
    assert "stays in a PKCS #11 token" in diagnosed("--key", "pkcs11:token=device;object=key").told("key")


FILES = ("device", "diagnose", "--certificate", "device.pem", "--key", "device.key", "--no-account", "--wait", 0)


def test_a_device_is_diagnosed_by_its_certificate_with_the_key_beside_it(run: Run, endpoint: Endpoint) -> None:
    where = ("--endpoint", f"localhost:{endpoint.port}", "--ca-file", "roots.pem", "--no-account")
    assert run("device", "diagnose", "device.pem", *where).exit_code == 0
    for wrong in ((), ("device.pem", "--certificate", "device.pem")):
        assert run("device", "diagnose", *wrong, *where).exit_code == 2


def test_where_to_connect_comes_from_the_variables_that_jitr_local_env_prints(
    run: Run, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """JITR_MQTT_HOST, JITR_MQTT_PORT and JITR_BROKER_CA stand for --endpoint and --ca-file, together."""
    monkeypatch.setenv("JITR_MQTT_HOST", "localhost")
    monkeypatch.setenv("JITR_MQTT_PORT", str(endpoint.port))
    monkeypatch.setenv("JITR_BROKER_CA", "roots.pem")
    assert run(*FILES).exit_code == 0
    # What the environment says to trust belongs to its endpoint, and serves for no other.
    assert run(*FILES, "--endpoint", f"localhost:{endpoint.port}").exit_code == 1


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("JITR_MQTT_HOST", "", "--endpoint says where the device connects, or JITR_MQTT_HOST"),
        ("JITR_MQTT_PORT", "no", "JITR_MQTT_HOST and JITR_MQTT_PORT 'localhost:no'"),
        ("JITR_BROKER_CA", "device.key", "JITR_BROKER_CA device.key: it holds no certificate"),
    ],
)
def test_a_variable_that_is_wrong_is_named(
    run: Run, monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv("JITR_MQTT_HOST", "localhost")
    monkeypatch.setenv(name, value)
    result = run(*FILES)
    assert (result.exit_code, says in result.stderr) == (2, True), result.stderr


# --- the files


def test_a_key_that_is_another_s(diagnosed: Diagnosed, endpoint: Endpoint) -> None:
    Path("device.key").write_bytes(leaf("another").issue().private_pem)
    found = diagnosed()
    assert found.problems == ["key"]
    assert "device.key is not the key of device.pem" in found.told("key")
    assert endpoint.connects == []


def test_a_chain_in_the_wrong_order(diagnosed: Diagnosed) -> None:
    device = leaf().issue()
    write(device)
    Path("device.pem").write_bytes(drafts.bundle(FACTORY, device))
    found = diagnosed()
    assert "the device's own is not the first" in found.told("chain-order")
    Path("device.pem").write_bytes(drafts.bundle(device, STRANGER))
    assert "certificate 2 in device.pem did not sign the one before it" in diagnosed().told("chain-order")


@pytest.mark.parametrize(
    ("start", "end", "code"),
    [
        (LONG_AGO, NOW - timedelta(days=1), "expired"),
        (NOW + timedelta(days=1), SOON, "not-yet-valid"),
    ],
)
def test_a_certificate_out_of_its_time(
    diagnosed: Diagnosed, monkeypatch: pytest.MonkeyPatch, start: datetime, end: datetime, code: str
) -> None:
    """The endpoint's clock tells whether it is the certificate or this machine's clock."""
    write(leaf().valid(start, end).issue())
    found = diagnosed()
    assert found.problems == [code]
    assert "the endpoint ended the TLS handshake" in found.told("symptom")
    monkeypatch.setattr(diagnose_files, "date_at", lambda _host: datetime.now(UTC))
    assert "agrees with the endpoint's" in diagnosed().told("clock")


@pytest.mark.parametrize(("off", "says"), [(400, "400 days behind"), (-400, "400 days ahead")])
def test_a_clock_that_is_wrong(diagnosed: Diagnosed, monkeypatch: pytest.MonkeyPatch, off: int, says: str) -> None:
    monkeypatch.setattr(diagnose, "now", lambda: NOW - timedelta(days=off))
    monkeypatch.setattr(diagnose_files, "date_at", lambda _host: NOW)
    found = diagnosed()
    assert "clock" in found.problems
    assert says in found.told("clock")


def test_an_endpoint_that_takes_what_seems_expired_shows_the_clock(
    diagnosed: Diagnosed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnose, "now", lambda: NOW + timedelta(days=400))
    found = diagnosed()
    assert found.problems == ["expired", "clock"]
    assert "this machine's clock is wrong" in found.told("clock")


def test_the_date_of_an_https_server_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    response = b"HTTP/1.1 403 Forbidden\r\nDate: Tue, 15 Nov 1994 08:12:31 GMT\r\nContent-Length: 0\r\n\r\n"
    with serving(server_draft().issue(), tmp_path) as endpoint:
        endpoint.context.verify_mode = ssl.CERT_NONE
        endpoint.behaviours = [lambda connection, _sent: connection.sendall(response)]
        assert diagnose_files.date_at("localhost", endpoint.port) == datetime(1994, 11, 15, 8, 12, 31, tzinfo=UTC)
        endpoint.behaviours = [lambda connection, _sent: connection.sendall(b"\x20\x02\x00\x00")]
        assert diagnose_files.date_at("localhost", endpoint.port) is None
    assert diagnose_files.date_at("localhost", endpoint.port) is None


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("Tue, 15 Nov 1994 08:12:31 GMT", datetime(1994, 11, 15, 8, 12, 31, tzinfo=UTC)),
        ("Tue, 15 Nov 1994 08:12:31 -0000", datetime(1994, 11, 15, 8, 12, 31, tzinfo=UTC)),
        ("Fri, 31 Dec 9999 23:59:59 -1000", None),
        ("Tue, 45 Nov 1994 08:12:31 GMT", None),
        ("soon", None),
        (None, None),
    ],
)
def test_a_date_header_tells_a_time_in_utc_or_none(
    monkeypatch: pytest.MonkeyPatch, header: str | None, told: datetime | None
) -> None:
    """Whatever a server writes there is no bug of ours, and this machine's own time zone has no part in it."""
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        assert read_http_date(header) == told
    time.tzset()


@pytest.mark.parametrize(
    ("draft", "code"),
    [
        (FACTORY.device(kind="RSA-1024").valid(LONG_AGO, SOON), "key-kind"),
        (leaf().without("extendedKeyUsage").extended_key_usage("serverAuth"), "client-auth"),
        (leaf().without("basicConstraints").basic_constraints(ca=True), "is-ca"),
    ],
)
def test_a_certificate_of_the_wrong_kind(diagnosed: Diagnosed, draft: drafts.CertificateDraft, code: str) -> None:
    write(draft.issue())
    assert code in diagnosed().problems


def its_own_issuer() -> drafts.CertificateDraft:
    """OpenSSL takes it for self-signed, here as on the local stack."""
    return FACTORY.device().valid(LONG_AGO, SOON).but(subject_name=FACTORY.subject_name)


def test_what_only_the_stand_in_refuses_is_said_where_that_is_the_endpoint(
    diagnosed: Diagnosed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An endpoint of another machine may be AWS IoT's, of which nothing is known."""
    write(its_own_issuer().issue())
    found = diagnosed()
    assert found.problems == ["stand-in"]
    assert "the stand-in refuses this; AWS IoT may not" in found.told("stand-in")
    monkeypatch.setattr(diagnose_visit, "is_this_machine", lambda _host: False)
    assert diagnosed().problems == ["chain-missing"]


@pytest.mark.parametrize(
    ("draft", "code", "words"),
    [
        (leaf().valid(LONG_AGO, NOW - timedelta(days=1)), "expired", "expired on"),
        (leaf().without("extendedKeyUsage").extended_key_usage("serverAuth"), "client-auth", "without clientAuth"),
        (leaf().signed_with("sha1"), "files", "is signed with SHA-1"),
    ],
)
def test_where_the_files_say_why_the_stand_in_is_one_more_thing_to_know(
    diagnosed: Diagnosed, draft: drafts.CertificateDraft, code: str, words: str
) -> None:
    write(draft.issue())
    found = diagnosed()
    assert found.problems == [code]
    assert words in found.told("stand-in")


def test_of_a_certificate_that_nothing_on_the_list_is_said_of_the_stand_in_is_not_blamed(diagnosed: Diagnosed) -> None:
    write(leaf(ca=STRANGER).issue())
    found = diagnosed()
    assert found.problems == ["chain-missing"]
    assert [each for each in found.document["findings"] if each["code"] == "stand-in"] == []


# --- the endpoint


def test_an_endpoint_that_is_not_trusted(diagnosed: Diagnosed) -> None:
    Path("other.pem").write_bytes(STRANGER.pem)
    found = diagnosed("--ca-file", "other.pem")
    assert found.problems == ["endpoint-ca"]
    assert "AmazonRootCA1.pem" in found.told("endpoint-ca")


def test_an_endpoint_under_another_name(diagnosed: Diagnosed) -> None:
    """By its address: no server name is sent, and its certificate is for a name."""
    found = diagnosed(host="127.0.0.1")
    assert found.problems == ["endpoint-name"]
    assert "no server name is sent (SNI)" in found.told("sni")


def test_an_endpoint_out_of_its_time_is_a_clock_that_is_wrong(run: Run, tmp_path: Path) -> None:
    expired = server_draft().valid(LONG_AGO, NOW - timedelta(days=1)).issue()
    with serving(expired, tmp_path) as endpoint:
        result = run(
            *("device", "diagnose", "--endpoint", f"localhost:{endpoint.port}", "--ca-file", "roots.pem"),
            *("--certificate", "device.pem", "--key", "device.key", "--no-account", "--json"),
        )
    found = Diagnosis(result.exit_code, json.loads(result.stdout))
    assert found.problems == ["clock"]
    assert "certificate has expired" in found.told("clock")


def test_an_endpoint_that_is_not_there(diagnosed: Diagnosed, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_host(*_: object, **__: object) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    def closed(*_: object, **__: object) -> Any:
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(socket, "create_connection", no_host)
    assert "there is no host localhost (Name or service not known)" in diagnosed().told("endpoint")
    monkeypatch.setattr(socket, "create_connection", closed)
    assert "does not take connections" in diagnosed().told("unreachable")


def test_an_endpoint_that_says_nothing(
    diagnosed: Diagnosed, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnose_attempt, "TIMEOUT", 0.3)
    endpoint.behaviours = [keep_silent]
    assert diagnosed().problems == ["silent"]


def keep_silent(_connection: ssl.SSLSocket, sent: Iterator[bytes]) -> None:
    for _ in sent:
        continue


def drip(connection: ssl.SSLSocket, _sent: Iterator[bytes]) -> None:
    connection.sendall(b"\x20\xff\x1f")
    for _ in range(50):
        time.sleep(0.05)
        connection.sendall(b"\x00")


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        (answer(*b"HTTP/1.1 400 Bad Request\r\n\r\n", *bytes(90)), "not-mqtt"),
        (answer(0x20, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F), "hung-up"),
        (answer(0x20, 0xFF, 0xFF, 0x7F), "hung-up"),
        (answer(0x30, 0x00), "not-mqtt"),
        (answer(0x20, 0x02, 0x00), "hung-up"),
        (drip, "silent"),
    ],
)
def test_an_endpoint_that_misbehaves_costs_neither_time_nor_memory(
    diagnosed: Diagnosed, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, behaviour: Behaviour, code: str
) -> None:
    monkeypatch.setattr(diagnose_attempt, "TIMEOUT", 0.5)
    endpoint.behaviours = [behaviour]
    with ending():
        assert diagnosed().problems == [code]


# --- turned away, and the account is not asked


def test_being_hung_up_on_says_little_without_the_account(diagnosed: Diagnosed, endpoint: Endpoint) -> None:
    endpoint.behaviours = [hang_up]
    found = diagnosed()
    assert found.problems == ["hung-up"]
    assert "the device is hung up on after CONNECT" in found.told("symptom")
    assert "it was not to be asked (--no-account)" in found.told("account")


def test_without_credentials_it_says_so(diagnosed: Diagnosed, endpoint: Endpoint) -> None:
    endpoint.behaviours = [hang_up]
    found = diagnosed("--region", REGION, account=True)
    assert found.problems == ["hung-up"]
    assert "Unable to locate credentials" in found.told("account")


def test_another_client_id_that_is_let_in(diagnosed: Diagnosed, endpoint: Endpoint) -> None:
    endpoint.only_for = "snr-0001"
    found = diagnosed("--client-id", "mine")
    assert found.problems == ["client-id"]
    assert "as client id mine the device is turned away, and as snr-0001 it is let in" in found.told("client-id")


def test_a_refusal_in_words(diagnosed: Diagnosed, endpoint: Endpoint) -> None:
    endpoint.behaviours = [answer(0x20, 0x02, 0x00, 0x05)]
    assert "refused: not authorized" in diagnosed().told("symptom")


def test_a_publish_that_is_refused(diagnosed: Diagnosed, endpoint: Endpoint) -> None:
    endpoint.behaviours = [hang_up_on_publish]
    found = diagnosed("--topic", "other/topic")
    assert found.problems == ["publish"]
    assert (found.document["connected"], found.document["published"]) == (True, False)
    assert "allow iot:Publish on topic/other/topic" in found.told("publish")


def test_a_ca_that_the_endpoint_does_not_know(diagnosed: Diagnosed) -> None:
    write(leaf(ca=STRANGER).issue())
    found = diagnosed()
    assert found.problems == ["chain-missing"]
    assert "try a file that has the CA after the device's own certificate" in found.told("chain-missing")


# --- turned away, and the account is asked


@pytest.fixture
def iot(aws: Aws, endpoint: Endpoint) -> Any:
    """AWS IoT that knows the CA; the endpoint hangs up on everybody."""
    endpoint.behaviours = [hang_up]
    client = boto3.client("iot", region_name=REGION)
    aws.overrides["DescribeCACertificate"] = _ca()
    client.register_ca_certificate(
        caCertificate=FACTORY.pem.decode(), verificationCertificate=FACTORY.pem.decode(), setAsActive=True
    )
    client.create_policy(policyName="Sensor", policyDocument="{}")
    return client


def _ca(**changes: str) -> Callable[[dict[str, Any]], Any]:
    """What AWS IoT says of the CA; moto knows no auto-registration."""
    described = {
        "certificateId": FACTORY.id,
        "certificateArn": "arn",
        "certificatePem": FACTORY.pem.decode(),
        "status": "ACTIVE",
        "autoRegistrationStatus": "ENABLE",
    }
    return lambda _: {"certificateDescription": described | changes}


def registered(client: Any, state: str, *, iot_policy: bool = False, thing: str | None = None) -> str:
    answered = client.register_certificate_without_ca(certificatePem=Path("device.pem").read_text(), status=state)
    if iot_policy:
        client.attach_policy(policyName="Sensor", target=answered["certificateArn"])
    if thing:
        client.create_thing(thingName=thing)
        client.attach_thing_principal(thingName=thing, principal=answered["certificateArn"])
    return str(answered["certificateId"])


def on_record(table: Table, certificate_id: str, verdict: Verdict, code: str, state: str = APPLIED) -> None:
    reasons = ({"code": code, "message": "of a test"},)
    record = Record(certificate_id, FACTORY.id, verdict, state, NOW, NOW, NOW, reasons=reasons)
    table.put_record(record)


def test_a_held_device_is_told_its_reason(diagnosed: Diagnosed, aws: Aws, iot: Any) -> None:
    iot.delete_policy(policyName="Sensor")
    on_record(deploy(), registered(iot, "PENDING_ACTIVATION"), Verdict.HOLD, "allow.unmatched")
    found = diagnosed("--wait", 600, account=True)
    assert (found.problems, found.document["attempts"]) == (["pending"], 1)
    assert "hold, allow.unmatched: of a test" in found.told("pending")
    assert "add the device to a list, or change a rule" in found.told("pending")


def test_a_reason_of_rules_no_longer_in_force_is_told_as_one(
    diagnosed: Diagnosed, run: Run, aws: Aws, iot: Any
) -> None:
    iot.delete_policy(policyName="Sensor")
    on_record(deploy(), registered(iot, "PENDING_ACTIVATION"), Verdict.HOLD, "allow.unmatched")
    Path("rules.yaml").write_text(DENYING.replace("recall-17", "other"))
    assert run("lists", "add", "other", "common_name=another").exit_code == 0
    assert run("rules", "publish", "rules.yaml", "--yes").exit_code == 0
    assert "of a test (of an earlier version of the rules, no longer in force)" in diagnosed(account=True).told(
        "pending"
    )


def test_a_rejected_device_is_told_its_reason(diagnosed: Diagnosed, aws: Aws, iot: Any) -> None:
    iot.delete_policy(policyName="Sensor")
    on_record(deploy(), registered(iot, "INACTIVE"), Verdict.REJECT, "deny.rule")
    found = diagnosed("--wait", 600, account=True)
    assert found.problems == ["rejected"]
    assert "deny.rule: of a test" in found.told("rejected")


DENYING = f"""\
format: 1
cas:
  factory-a: {{ids: ["{FACTORY.id}"]}}
deny:
  - {{name: recalled-boards, list: recall-17, reason: bad radio}}
allow:
  - name: line-a
    ca: factory-a
    common_name: "snr-*"
    grant: {{thing: "{{common_name}}", iot_policies: [Sensor]}}
"""


def test_a_recalled_device_is_told_that_it_is_denied_and_not_to_activate_it(
    diagnosed: Diagnosed, run: Run, aws: Aws, iot: Any
) -> None:
    """Who was admitted once and is INACTIVE is decided anew before anything is advised."""
    iot.delete_policy(policyName="Sensor")
    table = deploy()
    certificate_id = registered(iot, "ACTIVE", iot_policy=True)
    on_record(table, certificate_id, Verdict.ADMIT, "allow.rule")
    Path("rules.yaml").write_text(DENYING)
    assert run("lists", "add", "recall-17", "common_name=another").exit_code == 0
    assert run("rules", "publish", "rules.yaml", "--yes").exit_code == 0
    assert run("device", "deactivate", certificate_id, "--yes").exit_code == 0
    found = diagnosed(account=True)
    assert found.problems == ["inactive"]
    assert "made it so at 20" in found.told("inactive")
    assert f"`jitr device activate {certificate_id[:12]}`" in found.told("inactive")
    assert run("lists", "add", "recall-17", "common_name=snr-0001").exit_code == 0
    found = diagnosed(account=True)
    assert found.problems == ["denied"]
    assert "the rules in force deny it: deny.rule: rule recalled-boards" in found.told("denied")
    assert "Until then `jitr device activate` refuses it" in found.told("denied")


def test_a_pending_device_without_decision(diagnosed: Diagnosed, aws: Aws, iot: Any) -> None:
    certificate_id = registered(iot, "PENDING_ACTIVATION")
    assert "nothing is decided about it yet" in diagnosed(account=True).told("pending")
    iot.delete_policy(policyName="Sensor")
    on_record(deploy(), certificate_id, Verdict.ADMIT, "allow.rule", APPLYING)
    assert "nothing is decided about it yet" in diagnosed(account=True).told("pending")


@pytest.mark.parametrize(
    ("state", "code", "says"),
    [
        ("INACTIVE", "inactive", "`jitr device activate"),
        ("REVOKED", "revoked", "REVOKED is final: issue another certificate."),
        ("PENDING_TRANSFER", "status", "Finish its transfer."),
        ("ACTIVE", "no-iot-policy", "no IoT policy is attached to it"),
    ],
)
def test_what_aws_iot_holds_is_told(diagnosed: Diagnosed, aws: Aws, iot: Any, state: str, code: str, says: str) -> None:
    registered(iot, state)
    found = diagnosed(account=True)
    assert found.problems == [code]
    assert says in found.told(code)


def test_an_active_device_under_a_client_id_that_is_not_allowed(
    diagnosed: Diagnosed, endpoint: Endpoint, aws: Aws, iot: Any
) -> None:
    registered(iot, "ACTIVE", iot_policy=True, thing="thing-7")
    endpoint.only_for = "thing-7"
    assert "and as thing-7 it is let in" in diagnosed(account=True).told("client-id")
    endpoint.only_for = "nobody"
    found = diagnosed("--client-id", "mine", account=True)
    assert found.problems == ["client-id"]
    assert "with IoT policy Sensor, and the thing thing-7; still client id mine is turned away" in (
        found.told("client-id")
    )


def test_a_device_that_became_active_meanwhile_is_tried_once_more(
    diagnosed: Diagnosed, endpoint: Endpoint, aws: Aws, iot: Any
) -> None:
    registered(iot, "ACTIVE", iot_policy=True)
    endpoint.behaviours = [hang_up, accept]
    assert diagnosed(account=True).document["attempts"] == 2


@pytest.mark.parametrize(
    ("described", "says"),
    [
        (_ca(status="INACTIVE"), "is INACTIVE Make it ACTIVE: `jitr ca activate"),
        (_ca(autoRegistrationStatus="DISABLE"), "does not register devices by itself"),
        (_ca(), "is registered and ACTIVE, so that its next connection should register it Check that the endpoint"),
        (_ca(certificateMode="SNI_ONLY"), "if it sends the endpoint's name (SNI)"),
        (_ca(certificatePem=STRANGER.pem.decode()), "no registered CA signed it"),
        (
            _ca(certificatePem=STRANGER.pem.decode().replace("MII", "MIA")),
            "no registered CA that can be read here signed it, and these cannot be read",
        ),
    ],
)
def test_a_device_that_aws_iot_does_not_know(
    diagnosed: Diagnosed, aws: Aws, iot: Any, described: Callable[[dict[str, Any]], Any], says: str
) -> None:
    aws.overrides["DescribeCACertificate"] = described
    found = diagnosed(account=True)
    assert found.problems == ["not-registered"]
    assert says in found.told("not-registered")
    assert f"account 123456789012, Region {REGION}" in found.told("not-registered")


def test_an_account_that_does_not_let_itself_be_asked(diagnosed: Diagnosed, aws: Aws, iot: Any) -> None:
    from botocore.exceptions import ClientError

    def refuses(_given: dict[str, Any]) -> Any:
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "DescribeCertificate")

    aws.overrides["DescribeCertificate"] = refuses
    found = diagnosed(account=True)
    assert found.problems == ["hung-up"]
    assert "AccessDeniedException" in found.told("account")


# --- wrong use


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "--endpoint says where the device connects"),
        (("--endpoint", "mqtts://x"), "without mqtts:// and paths"),
        (("--endpoint", "x:y"), "give it as HOST or HOST:PORT"),
        (("--endpoint", "x:99999"), "there is no port 99999"),
        (("--endpoint", "x", "--client-id", "x" * 129), "--client-id has 129 bytes"),
        (("--endpoint", "x", "--client-id", ""), "--client-id has 0 bytes"),
        (("--endpoint", "x", "--topic", "a/#"), "so + and # cannot be in it"),
        (("--endpoint", "x", "--topic", "x" * 257), "--topic has 257 bytes"),
        (("--endpoint", "x", "--ca-file", "device.key"), "device.key: it holds no certificate in PEM"),
        (("--endpoint", "x", "--ca-file", "nowhere"), "nowhere: No such file"),
        (("--endpoint", "x", "--certificate", "device.key"), "begins a private key"),
        (("--endpoint", "x", "--key", "device.pem"), "holds a certificate, not a private key"),
        (("--local",), "no local stack is running"),
    ],
)
def test_wrong_use_is_told(run: Run, words: tuple[str, ...], says: str) -> None:
    files = {"--certificate": "device.pem", "--key": "device.key"}
    given = [each for name, file in files.items() if name not in words for each in (name, file)]
    result = run("device", "diagnose", *given, *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr
