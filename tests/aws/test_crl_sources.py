"""Fetching revocation lists: S3 with the role's permission, https with everything that a server may try."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any, ClassVar

import boto3
import pytest
from cryptography import x509
from moto import mock_aws

from jitr.aws import crl_sources
from jitr.aws.crl_sources import CrlSources, Fetched, Https, NotFetched, off_limits
from tests import pki
from tests.aws.world import REGION

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

    failure(CrlSources(make, Https(refused=lambda _: True)), "https://localhost:1/x")
    assert made == []


def test_other_schemes_are_not_fetched() -> None:
    for url in ("http://crl.example.com/a.crl", "file:///etc/passwd", "ftp://example.com/a"):
        assert "neither s3:// nor https://" in failure(CrlSources(_no_s3), url)


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


@contextmanager
def serving(folder: Path, name: str = "localhost") -> Iterator[tuple[str, ssl.SSLContext]]:
    """A TLS server on this machine: its address, and a context that trusts it."""
    ca = pki.ca("Web")
    server = ca.device(name).alternative_names(x509.DNSName(name)).valid(not_after=pki.NOT_AFTER).issue()
    (folder / "server.pem").write_bytes(server.pem)
    (folder / "server.key").write_bytes(server.private_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    httpd = _Quiet(("127.0.0.1", 0), Server)
    httpd.ending = threading.Event()  # type: ignore[attr-defined]
    httpd.socket = context.wrap_socket(httpd.socket, server_side=True)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    trusting = ssl.create_default_context(cadata=ca.pem.decode())
    try:
        yield f"https://localhost:{httpd.server_address[1]}", trusting
    finally:
        httpd.ending.set()  # type: ignore[attr-defined]
        httpd.shutdown()
        httpd.server_close()
        thread.join()


def over_https(context: ssl.SSLContext | None) -> CrlSources:
    return CrlSources(_no_s3, Https(context, refused=lambda _: False))


def test_a_list_is_fetched_over_tls_and_asked_for_by_its_tag_the_next_time(tmp_path: Path) -> None:
    with serving(tmp_path) as (base, context):
        source = over_https(context)
        assert source.fetch(f"{base}/a.crl?v=1") == Fetched(LIST, '"1"')
        assert source.fetch(f"{base}/a.crl", '"1"') == Fetched(None, '"1"')


def test_a_server_that_is_not_to_be_trusted_is_asked_nothing(tmp_path: Path) -> None:
    Server.asked.clear()
    with serving(tmp_path) as (base, _):
        assert "not to be trusted" in failure(over_https(None), f"{base}/a.crl")
    with serving(tmp_path, "crl.example.com") as (base, context):
        assert "not to be trusted" in failure(over_https(context), f"{base}/a.crl")
    assert Server.asked == []


def test_no_redirect_is_followed(tmp_path: Path) -> None:
    with serving(tmp_path) as (base, context):
        assert "redirect" in failure(over_https(context), f"{base}/moved")
        assert "HTTP 503" in failure(over_https(context), f"{base}/other")


def test_neither_size_nor_time_is_the_server_s_to_choose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crl_sources, "MAX_INPUT", 1_000_000)
    with serving(tmp_path) as (base, context):
        assert "more than 1000000 bytes" in failure(over_https(context), f"{base}/endless")
        monkeypatch.setattr(crl_sources, "_WHOLE", 0.5)
        assert "takes more than" in failure(over_https(context), f"{base}/slow")


def test_a_server_that_never_says_anything_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the handshake nor the first line has to come."""
    monkeypatch.setattr(crl_sources, "_WHOLE", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://localhost:{silent.getsockname()[1]}/a.crl"
        assert "takes more than" in failure(over_https(None), url)


def test_nobody_there_is_a_failure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert "ConnectionRefusedError" in failure(over_https(None), f"https://localhost:{port}/a.crl")
    assert "gaierror" in failure(over_https(None), "https://no-such-host.invalid/a.crl")


def test_a_name_that_leads_to_the_machine_itself_is_asked_nothing(tmp_path: Path) -> None:
    """Also where it has a certificate for it: the address counts, not the name."""
    Server.asked.clear()
    with serving(tmp_path) as (base, context):
        source = CrlSources(_no_s3, Https(context))
        assert "127.0.0.1" in failure(source, f"{base}/a.crl")
    assert Server.asked == []


@pytest.mark.parametrize(
    ("address", "refused"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("169.254.169.254", True),
        ("169.254.170.2", True),
        ("0.0.0.0", True),  # noqa: S104
        ("224.0.0.1", True),
        ("255.255.255.255", True),
        ("::1", True),
        ("::", True),
        ("fe80::1", True),
        ("fd00:ec2::254", True),
        ("::ffff:169.254.169.254", True),
        ("2002:a9fe:a9fe::1", True),
        ("10.0.0.7", False),
        ("192.168.1.7", False),
        ("93.184.216.34", False),
        ("2606:2800:220:1::1", False),
    ],
)
def test_which_addresses_are_off_limits(address: str, refused: bool) -> None:
    """Those of a private network are not: a function in a VPC may have its CA there."""
    assert off_limits(ip_address(address)) is refused
