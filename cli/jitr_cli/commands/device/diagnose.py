"""``jitr device diagnose``: why a device does not get in, found by connecting as it does."""

import re
from pathlib import Path

import click

from jitr.errors import InputError
from jitr.unseen import quote
from jitr_cli.console import output
from jitr_cli.console.endpoint import HOST_VARIABLE, ca_file_option, endpoint_option, where_devices_connect
from jitr_cli.console.options import FILE, stack_options
from jitr_operations.deployment import Choice
from jitr_operations.diagnose.account import AccountView
from jitr_operations.diagnose.files import read_identity
from jitr_operations.diagnose.findings import Findings
from jitr_operations.diagnose.visit import ENDPOINT, Destination, Visit
from jitr_operations.table import now

MAX_CLIENT_ID = 128  # octets of UTF-8: AWS IoT Core, "Protocol limits"
MAX_TOPIC = 256  # octets of UTF-8, likewise


@click.command()
@click.argument("file", required=False, type=FILE, metavar="[DEVICE.pem]")
@endpoint_option
@click.option("--certificate", type=FILE, metavar="FILE", help="The same: the device's certificate, or chain.")
@click.option("--key", type=FILE, metavar="FILE", help="The device's key; DEVICE.key beside the certificate without.")
@click.option("--passphrase-file", type=FILE, metavar="FILE", help="The key's passphrase; asked for without.")
@ca_file_option
@click.option("--client-id", metavar="ID", help="MQTT client id; the certificate's common name without.")
@click.option("--topic", metavar="TOPIC", help="Publish one message there, too.")
@click.option("--wait", type=click.IntRange(0, 600), default=10, show_default=True, help="Go on trying: seconds.")
@click.option("--no-account", is_flag=True, help="Do not ask AWS what it holds.")
@stack_options
@output.json_option
@click.pass_context
def diagnose(
    context: click.Context,
    file: Path | None,
    endpoint: str | None,
    certificate: Path | None,
    key: Path | None,
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

    It connects like the device itself: AWS IoT registers an unknown certificate, as at the device's first connection,
    and disconnects a device that is connected under the same client id. A closed connection says little by itself; with
    access to the account, AWS IoT and the decision record say more. With --local, endpoint and --ca-file are the local
    stack's. Otherwise they default to JITR_MQTT_HOST, JITR_MQTT_PORT and JITR_BROKER_CA, which `jitr local env` prints.

    Exit code 0 means that the device can connect, 1 that it cannot.

    \b
    Examples:
      jitr device diagnose snr-0001.pem --endpoint a1b2c3-ats.iot.eu-central-1.amazonaws.com \\
        --ca-file AmazonRootCA1.pem
      jitr device diagnose --certificate chain.pem --key snr-0001.key --local
    """
    certificate = _certificate(file, certificate)
    where = where_devices_connect(endpoint, ca_file, choice)
    if where is None:
        raise InputError(
            f"--endpoint says where the device connects, or {HOST_VARIABLE}: {ENDPOINT}; or --local for the local stack"
        )
    host, port, roots = where
    _check_texts(client_id, topic)
    identity = read_identity(certificate, key or certificate.with_suffix(".key"), passphrase_file)
    view = AccountView(None if no_account else choice, identity.reading)
    name = client_id or identity.common_name or f"jitr-{view.id[:12]}"
    visit = Visit(identity, Destination(host, port, roots, name, topic, wait), view, Findings())
    visit.make(now())
    output.emit(as_json, visit.to_json(), lambda: _show(visit.findings))
    context.exit(1 if visit.findings.problems else 0)


def _show(findings: Findings) -> None:
    """Print what was found, and what to do at the end."""
    signs = {True: output.colour("ok", "green"), False: output.colour("NO", "red"), None: "--"}
    for each in findings.found:
        click.echo(f"{signs[each.ok]}  {output.safe(each.message)}")
    told = [each for each in findings.found if each.ok is not True and each.remedy]
    if told:
        click.echo("\nWhat to do:")
    for each in told:
        click.echo(f"- {output.safe(each.remedy)}")
    if not findings.problems:
        tried = any(each.code == "connected" for each in findings.found)
        click.echo("\nThe device can connect." if tried else "\nNothing was found against it; no connection was tried.")


def _certificate(file: Path | None, certificate: Path | None) -> Path:
    """Return the one file that was named. Raises click.UsageError for none or two."""
    if file is not None and certificate is not None:
        raise click.UsageError("the certificate is given twice: with --certificate and without.")
    named = file or certificate
    if named is None:
        raise click.UsageError("name the device's certificate: jitr device diagnose DEVICE.pem.")
    return named


def _check_texts(client_id: str | None, topic: str | None) -> None:
    if client_id is not None and not 0 < len(client_id.encode()) <= MAX_CLIENT_ID:
        raise InputError(f"--client-id has {len(client_id.encode())} bytes: 1 to {MAX_CLIENT_ID} are allowed")
    if topic is None:
        return
    if not 0 < len(topic.encode()) <= MAX_TOPIC:
        raise InputError(f"--topic has {len(topic.encode())} bytes: 1 to {MAX_TOPIC} are allowed")
    if re.search(r"[+#\0]", topic):
        raise InputError(f"--topic {quote(topic)}: a message goes to one topic, so + and # cannot be in it")
