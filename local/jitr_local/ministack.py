"""MiniStack: started on free ports, and not believed to be ready until both were tried.

https://github.com/ministackorg/ministack
"""

import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from jitr_local import processes
from jitr_local.errors import StackError
from jitr_local.folder import Folder
from jitr_local.processes import Process

HOST = "localhost"  # what the broker's certificate says; a name, because devices must send SNI
ATTEMPTS = 5
START_SECONDS = 60.0
ANSWER_SECONDS = 10.0
LOG_LINES = 30

_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Ports:
    """The ports of one MiniStack: AWS's APIs on 127.0.0.1, MQTT on all interfaces (it has no other choice)."""

    gateway: int
    mqtt: int

    @property
    def endpoint_url(self) -> str:
        """The endpoint of every AWS service."""
        return f"http://{_LOOPBACK}:{self.gateway}"


class _PortTaken(Exception):
    """Somebody took one of the ports between our looking and MiniStack's binding."""


def free_ports() -> Ports:
    """Two different ports that nobody listens on."""
    with ExitStack() as held:
        return Ports(*(_free_port(held) for _ in range(2)))


def start(python: Path, folder: Folder, environment: Mapping[str, str]) -> tuple[Process, Ports]:
    """Start MiniStack and wait until it serves AWS and MQTT; its broker's CA is then in ``folder.broker_ca``.

    Raises StackError, with the end of its log, when it dies or does not get ready.
    """
    for _ in range(ATTEMPTS):
        ports = free_ports()
        chosen = {"GATEWAY_PORT": str(ports.gateway), "IOT_MTLS_PORT": str(ports.mqtt)}
        process = folder.start([str(python), "-m", "ministack"], {**environment, **chosen}, folder.log)
        try:
            _await_ready(process, ports, folder)
        except _PortTaken:
            folder.stop(process)
        else:
            return process, ports
    raise StackError(f"something takes every port before MiniStack can; {ATTEMPTS} pairs were tried")


def answers(endpoint_url: str) -> bool:
    """Return whether the gateway answers that it is well."""
    return _get(endpoint_url, "/_ministack/health") is not None


def handshake(port: int, ca_pem: str, seconds: float = ANSWER_SECONDS) -> None:
    """Prove that the MQTT port is served by the broker whose CA is ``ca_pem``. Raises OSError if not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=ca_pem)
    with (
        socket.create_connection((_LOOPBACK, port), timeout=seconds) as plain,
        context.wrap_socket(plain, server_hostname=HOST),
    ):
        pass


def end_of(log: Path) -> str:
    """Return the last lines of a log, for an error message."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return "(no log)"
    return "\n".join(lines[-LOG_LINES:]) or "(nothing)"


def _await_ready(process: Process, ports: Ports, folder: Folder) -> None:
    """Ready is: it lives, says so, and both ports answer, MQTT with a certificate of this stack's."""

    def settled() -> bool:
        # Asked for briefly: a stranger on the port may take the question and never answer.
        return not processes.is_running(process) or _get(ports.endpoint_url, "/_ministack/ready", 1) is not None

    in_time = processes.wait_until(settled, START_SECONDS)
    if not processes.is_running(process):
        if not _is_free(ports.gateway, _LOOPBACK):
            raise _PortTaken
        code = processes.exit_code(process)
        raise StackError(f"MiniStack ended by itself (exit {code}). The end of its log:\n{end_of(folder.log)}")
    if not in_time:
        raise StackError(
            f"MiniStack is not ready after {START_SECONDS:.0f} s. The end of its log:\n{end_of(folder.log)}"
        )
    _prove_mqtt(ports, folder)


def _prove_mqtt(ports: Ports, folder: Folder) -> None:
    # With the MQTT port taken it only logs a warning, and says that it is well.
    health = json.loads(_get(ports.endpoint_url, "/_ministack/health") or "{}")
    ca_pem = _get(ports.endpoint_url, "/_ministack/iot/ca.pem")
    if health.get("iot_mtls") != "listening" or ca_pem is None:
        raise _PortTaken
    try:
        handshake(ports.mqtt, ca_pem)
    except OSError as error:
        raise StackError(
            f"MQTT on port {ports.mqtt} fails: {error}. The end of MiniStack's log:\n{end_of(folder.log)}"
        ) from error
    folder.broker_ca.write_text(ca_pem)


def _get(endpoint_url: str, path: str, seconds: float = ANSWER_SECONDS) -> str | None:
    """Return the body of a 200; None for anything else. ``http.client`` ignores proxy variables."""
    connection = http.client.HTTPConnection(urlsplit(endpoint_url).netloc, timeout=seconds)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read().decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return body if answer.status == 200 else None


def _free_port(held: ExitStack) -> int:
    """Return a port free for the wildcard address, kept until ``held`` ends so that the next call finds another one."""
    while True:
        probe = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
        # "localhost" is ::1 first on many machines: a stranger there would be asked in MiniStack's place.
        if not _answers_on_ipv6(port):
            return port


def _answers_on_ipv6(port: int) -> bool:
    try:
        socket.create_connection(("::1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _is_free(port: int, host: str) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
