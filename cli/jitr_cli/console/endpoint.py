"""Where devices connect, by options or by the variables that devices of the examples read."""

import os
import re
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import click

from jitr.errors import InputError
from jitr.unseen import quote
from jitr_cli.console.options import FILE
from jitr_operations.deployment import Choice
from jitr_operations.files import read_bytes
from jitr_operations.local_state import local_stack

F = TypeVar("F", bound=Callable[..., Any])
Where: TypeAlias = tuple[str, int, Path | None]  # host, port, what to trust there: None is what the system trusts

MQTT_PORT = 8883
# What `jitr local env` prints, and devices of the examples read.
HOST_VARIABLE, PORT_VARIABLE, CA_VARIABLE = "JITR_MQTT_HOST", "JITR_MQTT_PORT", "JITR_BROKER_CA"
MAX_CA_FILE = 1 << 20  # octets: a system's whole bundle

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")

endpoint_option = click.option(
    "--endpoint",
    metavar="HOST[:PORT]",
    help=f"Where the device connects [env: {HOST_VARIABLE}, {PORT_VARIABLE}]; port {MQTT_PORT} without.",
)
ca_file_option = click.option(
    "--ca-file",
    type=FILE,
    metavar="ROOT.pem",
    help=f"What the device trusts [env: {CA_VARIABLE}]; this machine's own without.",
)


def where_devices_connect(endpoint: str | None, ca_file: Path | None, choice: Choice) -> Where | None:
    """Return host, port and what to trust there; None where neither options nor the environment say.

    Raises InputError for what cannot be used.
    """
    if ca_file is not None:
        _check_roots(ca_file, "--ca-file")
    if endpoint is not None:
        return *_host_and_port(endpoint, "--endpoint"), ca_file
    if choice.local:
        stack = local_stack()
        return stack.mqtt_host, stack.mqtt_port, ca_file or Path(stack.broker_ca)
    host = os.environ.get(HOST_VARIABLE)
    if not host:
        return None
    port = os.environ.get(PORT_VARIABLE)
    where = _host_and_port(f"{host}:{port}" if port else host, f"{HOST_VARIABLE} and {PORT_VARIABLE}")
    return *where, ca_file or _roots_of_the_environment()


def _host_and_port(endpoint: str, said_by: str) -> tuple[str, int]:
    host, _, port = endpoint.partition(":")
    if _HOST.fullmatch(host) is None or re.fullmatch("[0-9]{1,5}", port or "1") is None:
        raise InputError(f"{said_by} {quote(endpoint[:300])}: give it as HOST or HOST:PORT, without mqtts:// and paths")
    number = int(port or MQTT_PORT)
    if not 0 < number < 1 << 16:
        raise InputError(f"{said_by} {endpoint}: there is no port {number}")
    return host, number


def _roots_of_the_environment() -> Path | None:
    """Return what the environment says to trust. It belongs to the endpoint there, so it serves for no other."""
    named = os.environ.get(CA_VARIABLE)
    if not named:
        return None
    _check_roots(Path(named), CA_VARIABLE)
    return Path(named)


def _check_roots(file: Path, said_by: str) -> None:
    read_bytes(file, MAX_CA_FILE)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except ssl.SSLError:
        raise InputError(f"{said_by} {file}: it holds no certificate in PEM") from None
