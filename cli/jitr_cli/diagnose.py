"""``jitr device diagnose``: why a device does not get in, found by connecting as it does."""

import re
import ssl
from pathlib import Path

import click

from jitr.errors import InputError
from jitr_cli import output
from jitr_cli.deployment import Choice, local_stack, stack_options
from jitr_cli.diagnose_account import AccountView
from jitr_cli.diagnose_files import read_identity
from jitr_cli.diagnose_visit import ENDPOINT, Goal, Visit
from jitr_cli.files import read_bytes
from jitr_cli.findings import Findings
from jitr_cli.issuing import FILE
from jitr_cli.table import now

MQTT_PORT = 8883
MAX_CLIENT_ID = 128  # octets of UTF-8: AWS IoT Core, "Protocol limits"
MAX_TOPIC = 256  # octets of UTF-8, likewise
MAX_CA_FILE = 1 << 20  # octets: a system's whole bundle

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")


@click.command()
@click.option("--endpoint", metavar="HOST[:PORT]", help=f"Where the device connects; port {MQTT_PORT} without.")
@click.option("--certificate", required=True, type=FILE, metavar="FILE", help="The device's certificate, or chain.")
@click.option("--key", required=True, type=FILE, metavar="FILE", help="The device's key.")
@click.option("--passphrase-file", type=FILE, metavar="FILE", help="The key's passphrase; asked for without.")
@click.option("--ca-file", type=FILE, metavar="ROOT.pem", help="What the device trusts; this machine's own without.")
@click.option("--client-id", metavar="ID", help="MQTT client id; the certificate's common name without.")
@click.option("--topic", metavar="TOPIC", help="Publish one message there, too.")
@click.option("--wait", type=click.IntRange(0, 600), default=10, show_default=True, help="Go on trying: seconds.")
@click.option("--no-account", is_flag=True, help="Do not ask AWS what it holds.")
@stack_options
@output.json_option
@click.pass_context
def diagnose(
    context: click.Context,
    endpoint: str | None,
    certificate: Path,
    key: Path,
    passphrase_file: Path | None,
    ca_file: Path | None,
    client_id: str | None,
    topic: str | None,
    wait: int,
    no_account: bool,
    choice: Choice,
    as_json: bool,
) -> None:
    """Connect as a device does, say what is wrong, and what to do.

    It is the device's own connection: an unknown certificate is registered by it, as by the device's first one, and a
    device that is connected under the same client id is disconnected. Being hung up on says little by itself; with
    access to the account AWS IoT and the decision record say more. With --local, endpoint and --ca-file are the local
    stack's.

    Exit code 0 means that the device can connect, 1 that it cannot.

    \b
    Examples:
      jitr device diagnose --endpoint a1b2c3-ats.iot.eu-central-1.amazonaws.com \\
        --certificate snr-0001.pem --key snr-0001.key --ca-file AmazonRootCA1.pem
      jitr device diagnose --certificate snr-0001.pem --key snr-0001.key --local
    """
    host, port, roots = _where(endpoint, ca_file, choice)
    _check_texts(client_id, topic)
    identity = read_identity(certificate, key, passphrase_file)
    view = AccountView(None if no_account else choice, identity.reading)
    name = client_id or identity.common_name or f"jitr-{view.id[:12]}"
    visit = Visit(identity, Goal(host, port, roots, name, topic, wait), view, Findings())
    visit.make(now())
    output.emit(as_json, visit.to_json(), visit.findings.show)
    context.exit(1 if visit.findings.problems else 0)


def _where(endpoint: str | None, ca_file: Path | None, choice: Choice) -> tuple[str, int, Path | None]:
    """Host, port and what to trust there. Raises InputError."""
    if ca_file is not None:
        _check_roots(ca_file)
    if endpoint is None:
        if not choice.local:
            raise InputError(f"--endpoint says where the device connects: {ENDPOINT}; or --local for the local stack")
        stack = local_stack()
        return stack.mqtt_host, stack.mqtt_port, ca_file or Path(stack.broker_ca)
    host, _, port = endpoint.partition(":")
    if _HOST.fullmatch(host) is None or re.fullmatch("[0-9]{1,5}", port or "1") is None:
        raise InputError(f"--endpoint {endpoint[:300]!r}: give it as HOST or HOST:PORT, without mqtts:// and paths")
    number = int(port or MQTT_PORT)
    if not 0 < number < 1 << 16:
        raise InputError(f"--endpoint {endpoint}: there is no port {number}")
    return host, number, ca_file


def _check_roots(file: Path) -> None:
    read_bytes(file, MAX_CA_FILE)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except ssl.SSLError:
        raise InputError(f"--ca-file {file}: it holds no certificate in PEM") from None


def _check_texts(client_id: str | None, topic: str | None) -> None:
    if client_id is not None and not 0 < len(client_id.encode()) <= MAX_CLIENT_ID:
        raise InputError(f"--client-id has {len(client_id.encode())} bytes: 1 to {MAX_CLIENT_ID} are allowed")
    if topic is None:
        return
    if not 0 < len(topic.encode()) <= MAX_TOPIC:
        raise InputError(f"--topic has {len(topic.encode())} bytes: 1 to {MAX_TOPIC} are allowed")
    if re.search(r"[+#\0]", topic):
        raise InputError(f"--topic {topic!r}: a message goes to one topic, so + and # cannot be in it")
