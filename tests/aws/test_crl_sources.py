"""Fetching revocation lists: S3 with the role's permission, https and http with everything that a server may try."""

import json
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from itertools import cycle, islice
from pathlib import Path
from typing import Any, ClassVar

import boto3
import pytest
from cryptography import x509
from moto import mock_aws
from testkit import pki
from testkit.aws import hostile_server
from testkit.aws.web_servers import AtOnce
from testkit.aws.world import REGION

from jitr.addresses import in_private_network, off_limits
from jitr.aws import crl_sources, web
from jitr.aws.crl_sources import CrlSources, Fetched
from jitr.aws.web import NotFetched, Resolver, Web

LIST = b"\x30\x03abc"


def failure(source: CrlSources, url: str) -> str:
    with pytest.raises(NotFetched) as caught:
        source.fetch(url)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def _no_s3() -> Any:
    raise AssertionError("S3 is not asked")


# --- S3


def in_s3(body: bytes = LIST) -> tuple[CrlSources, Any]:
    client: Any = boto3.client("s3", region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test")
    client.create_bucket(Bucket="example-crls", CreateBucketConfiguration={"LocationConstraint": REGION})
    client.put_object(Bucket="example-crls", Key="crls/factory a.crl", Body=body)
    return CrlSources(lambda: client), client


@mock_aws
def test_an_object_is_fetched_and_asked_for_by_its_tag_the_next_time() -> None:
    source, client = in_s3()
    found = source.fetch("s3://example-crls/crls/factory a.crl")
    assert found.data == LIST
    assert source.fetch("s3://example-crls/crls/factory a.crl", found.tag).data is None
    client.put_object(Bucket="example-crls", Key="crls/factory a.crl", Body=b"newer")
    assert source.fetch("s3://example-crls/crls/factory a.crl", found.tag).data == b"newer"


@mock_aws
def test_what_is_not_in_s3_is_told_by_its_code() -> None:
    source, _ = in_s3()
    assert "NoSuchKey" in failure(source, "s3://example-crls/other.crl")
    assert "NoSuchBucket" in failure(source, "s3://example-other/other.crl")


@mock_aws
def test_an_object_is_not_read_beyond_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crl_sources, "MAX_INPUT", 1000)
    assert "more than 1000 bytes" in failure(in_s3(b"x" * 1001)[0], "s3://example-crls/crls/factory a.crl")


def test_the_client_of_s3_is_made_only_when_a_list_is_there() -> None:
    made: list[str] = []

    def make() -> Any:
        made.append("made")

    failure(CrlSources(make, Web(refused=lambda _: True)), "https://localhost:1/x")
    assert made == []


def test_other_schemes_are_not_fetched() -> None:
    for url in ("file:///etc/passwd", "ftp://example.com/a"):
        assert "none of s3://, https:// and http://" in failure(CrlSources(_no_s3), url)


# --- https


class Server(BaseHTTPRequestHandler):
    """Answers by path."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        type(self).asked.append(self.path)
        if self.headers.get("If-None-Match") == '"1"':
            self.send_response(304)
            self.end_headers()
        elif self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "https://169.254.169.254/latest/meta-data/")
            self.end_headers()
        elif self.path.startswith("/a.crl"):
            self.send_response(200)
            self.send_header("ETag", '"1"')
            self.send_header("Content-Length", str(len(LIST)))
            self.end_headers()
            self.wfile.write(LIST)
        elif self.path == "/endless":
            self.send_response(200)
            self.end_headers()
            while True:
                self.wfile.write(b"x" * 4096)
        elif self.path == "/slow":
            self.send_response(200)
            self.end_headers()
            while not self.server.ending.wait(0.05):  # type: ignore[attr-defined]
                self.wfile.write(b"x")
                self.wfile.flush()
        else:
            self.send_response(503)
            self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """The client hangs up where it has had enough."""


def web_certificate(folder: Path, name: str) -> ssl.SSLContext:
    """Make a server's key and certificate, and a context that trusts it."""
    ca = pki.ca("Web")
    server = ca.device(name).alternative_names(x509.DNSName(name)).valid(not_after=pki.NOT_AFTER).issue()
    (folder / "server.pem").write_bytes(server.pem)
    (folder / "server.key").write_bytes(server.private_pem)
    return ssl.create_default_context(cadata=ca.pem.decode())


@contextmanager
def serving(
    folder: Path, name: str = "localhost", *, scheme: str = "https"
) -> Iterator[tuple[str, ssl.SSLContext | None]]:
    """A server on this machine: its address, and a context that trusts it."""
    httpd = _Quiet(("127.0.0.1", 0), Server)
    httpd.ending = threading.Event()  # type: ignore[attr-defined]
    trusting = None
    if scheme == "https":
        trusting = web_certificate(folder, name)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.pem", folder / "server.key")
        httpd.socket = context.wrap_socket(httpd.socket, server_side=True)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"{scheme}://localhost:{httpd.server_address[1]}", trusting
    finally:
        httpd.ending.set()  # type: ignore[attr-defined]
        httpd.shutdown()
        httpd.server_close()
        thread.join()


def over_web(context: ssl.SSLContext | None) -> CrlSources:
    return CrlSources(_no_s3, Web(context, refused=lambda _: False))


BOTH = pytest.mark.parametrize("scheme", ["https", "http"])


@BOTH
def test_a_list_is_fetched_and_asked_for_by_its_tag_the_next_time(tmp_path: Path, scheme: str) -> None:
    with serving(tmp_path, scheme=scheme) as (base, context):
        source = over_web(context)
        assert source.fetch(f"{base}/a.crl?v=1") == Fetched(LIST, '"1"')
        assert source.fetch(f"{base}/a.crl", '"1"') == Fetched(None, '"1"')


def test_a_server_that_is_not_to_be_trusted_is_asked_nothing(tmp_path: Path) -> None:
    Server.asked.clear()
    with serving(tmp_path) as (base, _):
        assert "not to be trusted" in failure(over_web(None), f"{base}/a.crl")
    with serving(tmp_path, "crl.example.com") as (base, context):
        assert "not to be trusted" in failure(over_web(context), f"{base}/a.crl")
    assert Server.asked == []


@BOTH
def test_no_redirect_is_followed(tmp_path: Path, scheme: str) -> None:
    with serving(tmp_path, scheme=scheme) as (base, context):
        assert "redirect" in failure(over_web(context), f"{base}/moved")
        assert "HTTP 503" in failure(over_web(context), f"{base}/other")


@BOTH
def test_neither_size_nor_time_is_the_server_s_to_choose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setattr(crl_sources, "MAX_INPUT", 1_000_000)
    with serving(tmp_path, scheme=scheme) as (base, context):
        assert "more than 1000000 bytes" in failure(over_web(context), f"{base}/endless")
        monkeypatch.setattr(crl_sources, "_WHOLE", 0.5)
        assert "takes more than" in failure(over_web(context), f"{base}/slow")


def test_a_server_that_never_says_anything_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the handshake nor the first line has to come."""
    monkeypatch.setattr(crl_sources, "_WHOLE", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://localhost:{silent.getsockname()[1]}/a.crl"
        assert "takes more than" in failure(over_web(None), url)


def test_nobody_there_is_a_failure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert "ConnectionRefusedError" in failure(over_web(None), f"https://localhost:{port}/a.crl")
    assert "gaierror" in failure(over_web(None), "https://no-such-host.invalid/a.crl")


@BOTH
def test_a_name_that_leads_to_the_machine_itself_is_asked_nothing(tmp_path: Path, scheme: str) -> None:
    """Also where it has a certificate for it, and the rules allow a private network: the address counts."""
    Server.asked.clear()
    with serving(tmp_path, scheme=scheme) as (base, context):
        source = CrlSources(_no_s3, Web(context))
        assert "127.0.0.1" in failure(source, f"{base}/a.crl")
        with pytest.raises(NotFetched, match=r"127\.0\.0\.1"):
            source.fetch(f"{base}/a.crl", private_network=True)
    assert Server.asked == []


class Names:
    """Answers in place of name servers: the first answer first, and the last for ever."""

    def __init__(self, *answers: str | list[str]) -> None:
        self.answers = [[each] if isinstance(each, str) else each for each in answers]
        self.asked = 0

    def __call__(self, _host: str, port: int, **_: Any) -> list[Any]:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [(socket.AF_INET6 if ":" in each else socket.AF_INET, 1, 6, "", (each, port)) for each in answer]


def test_a_name_is_resolved_once_and_what_it_was_resolved_to_is_connected_to(tmp_path: Path) -> None:
    """An answer that is good when it is looked at, and leads elsewhere a moment later, leads nowhere."""
    names = Names("127.0.0.1", "127.0.0.99")
    with serving(tmp_path, "crl.example.com") as (base, context):
        url = f"{base}/a.crl".replace("localhost", "crl.example.com")
        asking = Web(context, refused=lambda each: str(each) != "127.0.0.1", resolver=Resolver(names))
        source = CrlSources(_no_s3, asking)
        assert source.fetch(url).data == LIST
        assert names.asked == 1
        assert "127.0.0.99" in failure(source, url)


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_a_server_may_be_named_by_its_ipv6_address() -> None:
    """RFC 3986 section 3.2.2: in brackets, in the Host header as well."""
    asked: list[bytes] = []

    def serve(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            asked.append(connection.recv(65536))
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlist")

    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listening:
        thread = threading.Thread(target=serve, args=(listening,), daemon=True)
        thread.start()
        port = listening.getsockname()[1]
        source = CrlSources(_no_s3, Web(refused=lambda _: False))
        assert source.fetch(f"http://[::1]:{port}/a.crl").data == b"list"
        thread.join()
    assert f"Host: [::1]:{port}\r\n".encode() in asked[0]
    assert "::1, where no revocation list is fetched from" in failure(CrlSources(_no_s3), f"http://[::1]:{port}/a.crl")


def connected_to(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that are connected to from here on, none of which answers."""
    tried: list[str] = []

    def connected(addresses: list[Any], _port: int, _deadline: Any) -> Any:
        tried.extend(map(str, addresses))
        raise ConnectionRefusedError

    monkeypatch.setattr(web, "connected", connected)
    return tried


@BOTH
def test_a_private_network_is_asked_only_where_the_rules_allow_it(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    tried = connected_to(monkeypatch)
    source = CrlSources(_no_s3, Web(resolver=Resolver(Names("10.0.0.7"))))
    with pytest.raises(NotFetched, match=r"private network, at 10\.0\.0\.7: .*`private_network: true` under `crl`"):
        source.fetch(f"{scheme}://crl.corp.example/a.crl")
    assert tried == []
    with pytest.raises(NotFetched, match="ConnectionRefusedError"):
        source.fetch(f"{scheme}://crl.corp.example/a.crl", private_network=True)
    assert tried == ["10.0.0.7"]


@BOTH
def test_of_several_addresses_only_those_that_are_allowed_are_connected_to(
    monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    tried = connected_to(monkeypatch)
    answer = ["169.254.169.254", "10.0.0.7", "93.184.216.34", "::1", "64:ff9b::a9fe:a9fe"]
    failure(CrlSources(_no_s3, Web(resolver=Resolver(Names(answer)))), f"{scheme}://crl.example.com/a.crl")
    assert tried == ["93.184.216.34"]


NEVER, PRIVATE, PUBLIC = "never", "private", "public"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1", NEVER),
        ("127.9.9.9", NEVER),
        ("169.254.169.254", NEVER),
        ("169.254.170.2", NEVER),
        ("0.0.0.0", NEVER),  # noqa: S104
        ("0.1.2.3", NEVER),
        ("224.0.0.1", NEVER),
        ("240.0.0.1", NEVER),
        ("255.255.255.255", NEVER),
        ("192.0.2.7", NEVER),
        ("198.18.0.1", NEVER),
        ("::1", NEVER),
        ("::", NEVER),
        ("::7f00:1", NEVER),
        ("fe80::1", NEVER),
        ("fe80::1%1", NEVER),
        ("fec0::1", NEVER),
        ("ff02::1", NEVER),
        ("fd00:ec2::254", NEVER),
        ("fd00:ec2::253", NEVER),
        ("::ffff:127.0.0.1", NEVER),
        ("::ffff:169.254.169.254", NEVER),
        ("64:ff9b::a9fe:a9fe", NEVER),
        ("64:ff9b::7f00:1", NEVER),
        ("64:ff9b:1::a9fe:a9fe", NEVER),
        ("2002:a9fe:a9fe::1", NEVER),
        ("2002:7f00:1::", NEVER),
        ("2001:0:1::1", NEVER),
        ("2001:db8::1", NEVER),
        ("100::1", NEVER),
        ("10.0.0.7", PRIVATE),
        ("172.31.255.1", PRIVATE),
        ("192.168.1.7", PRIVATE),
        ("100.64.0.1", PRIVATE),
        ("fd12:3456::1", PRIVATE),
        ("::ffff:10.0.0.7", PRIVATE),
        ("64:ff9b::a00:7", PRIVATE),
        ("2002:a00:7::1", PRIVATE),
        ("172.32.0.1", PUBLIC),
        ("93.184.216.34", PUBLIC),
        ("64:ff9b::5db8:d822", PUBLIC),
        ("::ffff:93.184.216.34", PUBLIC),
        ("2606:2800:220:1::1", PUBLIC),
    ],
)
def test_which_addresses_are_off_limits(address: str, expected: str) -> None:
    """An IPv6 address that only carries an IPv4 address (mapped, NAT64, 6to4) is what it carries."""
    asked = ip_address(address)
    assert (NEVER if off_limits(asked) else PRIVATE if in_private_network(asked) else PUBLIC) == expected


# --- what is left of it


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, int], ssl.SSLContext]]:
    """Servers of every kind that means no good, by what they do: their ports, and a context that trusts them."""
    folder = tmp_path_factory.mktemp("hostile")
    trusting = web_certificate(folder, "localhost")
    script = hostile_server.__file__
    with subprocess.Popen([sys.executable, script, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield json.loads(process.stdout.readline()), trusting
        process.stdin.close()


def left() -> tuple[set[threading.Thread], int]:
    """The threads and the number of descriptors that this process has."""
    return set(threading.enumerate()), sum(1 for _ in Path("/dev/fd").iterdir())


def address(name: str, port: int) -> str:
    """Where a hostile server is; those that speak no TLS say so in their names."""
    return f"{'http' if name.startswith('http: ') else 'https'}://localhost:{port}/a.crl"


CUT_OFF = {f"{plain}hangs up in the {what}" for plain in ("", "http: ") for what in ("headers", "list")}
ENDS_BY_SIZE = {
    "100 Continue for ever",
    "a list for ever",
    "session tickets for ever",
    "http: 100 Continue for ever",
    "http: a list for ever",
}


@pytest.mark.parametrize("name", hostile_server.NAMES)
def test_whatever_a_server_does_nothing_is_left_of_it(
    hostile: tuple[dict[str, int], ssl.SSLContext], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """No thread and no descriptor, and no more is read than a list and its headers can have."""
    monkeypatch.setattr(crl_sources, "_WHOLE", 60.0 if name in ENDS_BY_SIZE else 0.5)
    monkeypatch.setattr(crl_sources, "MAX_INPUT", 1_000_000)
    ports, context = hostile
    before = left()
    url = address(name, ports[name])
    source = CrlSources(_no_s3, Web(context, refused=lambda _: False, resolver=AtOnce()))
    if name in CUT_OFF:
        with suppress(NotFetched):
            assert source.fetch(url).data in (b"", b"xyz"), "no list, which is found out when it is verified"
    else:
        told = failure(source, url)
        assert name not in ENDS_BY_SIZE or "more than" in told
    assert left() == before


def test_an_hour_of_hostile_servers_leaves_threads_and_descriptors_as_they_were(
    hostile: tuple[dict[str, int], ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list that fails is asked for once a minute: this is an hour of four."""
    monkeypatch.setattr(crl_sources, "_WHOLE", 0.02)
    ports, context = hostile
    source = CrlSources(_no_s3, Web(context, refused=lambda _: False, resolver=AtOnce()))
    before = left()
    for name, port in islice(cycle(ports.items()), 4 * 60):
        with suppress(NotFetched):
            source.fetch(address(name, port))
        assert left() == before


def test_a_name_server_that_never_answers_holds_one_thread_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one thing that cannot be ended from here; what asks it gives up by itself."""
    monkeypatch.setattr(crl_sources, "_WHOLE", 0.1)
    answers, ended = threading.Event(), threading.Event()

    def look_up(*_: Any, **__: Any) -> list[Any]:
        answers.wait(60)
        ended.set()
        raise socket.gaierror

    source = CrlSources(_no_s3, Web(resolver=Resolver(look_up)))
    before = threading.active_count()
    assert "takes more than" in failure(source, "https://crl.example.com/a.crl")
    for _ in range(20):
        assert "no name server has answered" in failure(source, "https://crl.example.com/b.crl")
    assert threading.active_count() == before + 1
    answers.set()
    assert ended.wait(60)
    while "no name server" in (told := failure(source, "https://crl.example.com/a.crl")):
        pass
    assert "gaierror" in told
