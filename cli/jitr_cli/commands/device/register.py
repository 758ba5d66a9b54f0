"""``jitr device register``: what devices do by connecting, done by hand: no event, and no rule need admit them.

Everything that can be wrong is looked for before the first certificate is registered. ACTIVE comes last, so that
whatever fails on the way leaves a certificate that cannot connect, and the same command again carries on.
"""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from jitr.errors import InputError
from jitr.iot_names import THING_NAME
from jitr.times import rfc3339
from jitr.x509.certificate import CertificateReading
from jitr_cli.commands.device.overrule import require_reason
from jitr_cli.console import output
from jitr_cli.console.options import FILE, stack_options
from jitr_operations.cas.issuers import IssuerLookup, twin_under
from jitr_operations.cas.registry import RegisteredCa
from jitr_operations.deployment import Choice
from jitr_operations.devices.activation import NOT_ASKED, ActivationCheck
from jitr_operations.devices.by_hand import NOT_KEPT, Hand
from jitr_operations.devices.records import account_and_table
from jitr_operations.devices.registry import DeviceCertificate, Registry, is_missing, read_device_file
from jitr_operations.issuing import pki
from jitr_operations.table import now

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient


@dataclass(frozen=True)
class _Wanted:
    """How each of the devices is to end."""

    activate: bool
    iot_policies: tuple[str, ...]
    thing: str | None


@dataclass(frozen=True)
class _Device:
    """A certificate that is to be registered, and how AWS IoT holds it already."""

    file: Path
    reading: CertificateReading
    existing: DeviceCertificate | None
    ca: RegisteredCa | None  # None: it is registered already, and was not looked for

    @property
    def id(self) -> str:
        """The certificateId that AWS IoT gives it."""
        return self.reading.facts.certificate_sha256


@click.command()
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="FILE...")
@click.option("--ca", metavar="CA", help="Its CA: certificate file or caCertificateId; found by signature without.")
@click.option("--activate", is_flag=True, help="Make it ACTIVE, after everything else.")
@click.option("--iot-policy", "iot_policies", multiple=True, metavar="NAME", help="Attach it; may be repeated.")
@click.option("--thing", metavar="NAME", help="Attach it to this thing, made if there is none.")
@click.option("--without-iot-policy", is_flag=True, help="Activate it even if no IoT policy is attached.")
@click.option("--overrule", metavar="REASON", help="Activate it even if the rules in force deny it; this is kept.")
@click.option("--yes", is_flag=True, help="Do not ask before a second certificate is attached to a thing.")
@stack_options
@output.json_option
@click.pass_context
def register(
    context: click.Context,
    files: tuple[Path, ...],
    ca: str | None,
    activate: bool,
    iot_policies: tuple[str, ...],
    thing: str | None,
    without_iot_policy: bool,
    overrule: str | None,
    yes: bool,
    choice: Choice,
    as_json: bool,
) -> None:
    """Register device certificates by hand. Their CA must be registered and ACTIVE; no rule need admit them.

    None that the rules in force deny is made ACTIVE (exit code 1, and nothing is registered), unless --overrule says
    why it is to be let in all the same.

    Run it again after whatever went wrong: it carries on. One that is registered already is brought to what the
    options ask for.

    \b
    Examples:
      jitr device register snr-0001.pem --iot-policy Sensor --thing snr-0001 --activate
      jitr device register batch-7/*.pem --ca factory-a.pem
    """
    if thing is not None:
        _check_thing_name(thing, files)
    if without_iot_policy and not activate:
        raise click.UsageError("--without-iot-policy goes with --activate.")
    if overrule is not None and not activate:
        raise click.UsageError("--overrule goes with --activate.")
    require_reason(overrule)
    readings = _read(files, now())
    account, table = account_and_table(choice, NOT_ASKED if activate else NOT_KEPT)
    account.announce()
    iot = account.client("iot")
    registry = Registry(iot)
    wanted = _Wanted(activate, tuple(dict.fromkeys(iot_policies)), thing)
    devices = _look(registry, IssuerLookup(iot, ca), readings)
    _require_policies(iot, registry, devices, wanted, without_iot_policy)
    asked = ActivationCheck(account, table, overrule)
    denials = [_denial(asked, each) for each in devices] if activate else []
    if any(denials):
        output.error("\n".join(filter(None, denials)))
        context.exit(1)
    if thing is not None:
        _require_room_on(registry, thing, devices[0], yes)
    done = _register_all(iot, registry, devices, wanted, asked, Hand(account, table))
    document = {"devices": done, "account_id": account.account_id, "region": account.region}
    output.emit(as_json, document, lambda: _tell(done))


# --- before anything is changed


def _check_thing_name(thing: str, files: tuple[Path, ...]) -> None:
    if len(files) > 1:
        raise click.UsageError("--thing is for one FILE: each device has a thing of its own.")
    if not THING_NAME.takes(thing):
        raise InputError(f"--thing {thing[:140]!r}: 1 to 128 of the characters a-z A-Z 0-9 : _ -")


def _read(files: tuple[Path, ...], time: datetime) -> dict[str, tuple[Path, CertificateReading]]:
    """Return the certificates by id. Raises InputError with everything that is wrong with any of them."""
    found: dict[str, tuple[Path, CertificateReading]] = {}
    problems = []
    for file in files:
        try:
            reading = read_device_file(file)
        except InputError as unreadable:
            problems.append(str(unreadable))
            continue
        unfit = _unfit(reading, time)
        if unfit:
            problems.append(f"{file}: {unfit}")
        if reading.facts.not_before > time:
            output.warn(f"{file}: it is not valid before {rfc3339(reading.facts.not_before)}, and cannot connect yet")
        found.setdefault(reading.facts.certificate_sha256, (file, reading))
    if problems:
        raise InputError("\n".join(problems))
    return found


def _unfit(reading: CertificateReading, time: datetime) -> str | None:
    """Return why such a device could never connect."""
    facts = reading.facts
    if facts.is_ca:
        return "it is a CA, not a device: `jitr ca register` registers CAs"
    if facts.not_after < time:
        return f"it expired at {rfc3339(facts.not_after)}: issue another one"
    if pki.key_problem(facts.key):
        what = " ".join(str(each) for each in (facts.key.kind, facts.key.curve or facts.key.bits) if each)
        return f"its key is {what}, and AWS IoT takes RSA of {pki.MIN_RSA_BITS} bits or more, EC P-256, P-384 or P-521"
    return None


def _look(
    registry: Registry, signers: IssuerLookup, readings: dict[str, tuple[Path, CertificateReading]]
) -> list[_Device]:
    """How AWS IoT holds each of them, and the CA of those that it does not. Raises InputError with all problems."""
    devices: list[_Device] = []
    problems: list[str] = []
    for certificate_id, (file, reading) in readings.items():
        existing, ca = registry.get(certificate_id), None
        try:
            if existing is None:
                ca = signers.of(reading, file)
                problems += _twins(registry, ca, file, reading, readings)
            else:
                signers.expect(existing, file)
        except InputError as problem:
            problems.append(str(problem))
        if existing and existing.status == "REVOKED":
            problems.append(f"{file}: {certificate_id} is registered and REVOKED, which is final: issue another one")
        devices.append(_Device(file, reading, existing, ca))
    if problems:
        raise InputError("\n".join(problems))
    return devices


def _twins(
    registry: Registry,
    ca: RegisteredCa,
    file: Path,
    reading: CertificateReading,
    readings: dict[str, tuple[Path, CertificateReading]],
) -> Iterator[str]:
    """Yield what is wrong where the same certificate is registered, or about to be, under its other id."""
    twin = twin_under(ca, reading)
    if twin is None:
        return
    if twin in readings and reading.facts.certificate_sha256 < twin:  # told once
        yield f"{file} and {readings[twin][0]} are the same certificate, with the two forms of its signature: give one"
    found = registry.get(twin)
    if found is not None:
        yield (
            f"{file}: it is registered under its other id {twin}, which is the same certificate, and {found.status}: "
            f"see `jitr device show {twin[:12]}`"
        )


def _require_policies(
    iot: "IoTClient", registry: Registry, devices: list[_Device], wanted: _Wanted, without: bool
) -> None:
    """Raise InputError for IoT policies that do not exist, and before a device without any becomes ACTIVE."""
    from botocore.exceptions import ClientError

    for name in wanted.iot_policies:
        try:
            iot.get_policy(policyName=name)
        except ClientError as problem:
            if not is_missing(problem):
                raise
            raise InputError(f"there is no IoT policy {name} in this account and Region") from None
    if without or not wanted.activate or wanted.iot_policies:
        return
    for device in devices:
        if device.existing is None or not registry.may_connect(device.existing):
            raise InputError(
                f"{device.file}: no IoT policy would be attached, and AWS IoT hangs up on such a device: give "
                "--iot-policy NAME, or --without-iot-policy if it is to get one later"
            )


def _denial(asked: ActivationCheck, device: _Device) -> str | None:
    """Return why the rules in force keep a device from being made ACTIVE."""
    existing = device.existing
    pem = ssl.DER_cert_to_PEM_cert(device.reading.der)
    ca_id = existing.ca_certificate_id if existing else device.ca.id if device.ca else None
    changes = existing is None or existing.status != "ACTIVE"
    return asked.denial(device.id, pem, ca_id, str(device.file), changes=changes)


def _require_room_on(registry: Registry, thing: str, device: _Device, yes: bool) -> None:
    others = [each for each in registry.certificates_of(thing) or () if each != device.id]
    if others:
        output.confirm(
            f"The thing {thing} has other certificates already ({', '.join(each[:12] for each in others[:3])}). "
            "Attach this one as well?",
            yes,
        )


# --- the work


def _register_all(
    iot: "IoTClient", registry: Registry, devices: list[_Device], wanted: _Wanted, asked: ActivationCheck, hand: Hand
) -> list[dict[str, Any]]:
    done: list[dict[str, Any]] = []
    try:
        with output.progress("Registering", len(devices)) as advance:
            for device in devices:
                done.append(_register_one(iot, registry, device, wanted, asked, hand))
                advance(1)
    except BaseException:
        if len(devices) > 1:
            output.note(f"Registered {len(done)} of {len(devices)}. The same command again carries on.")
        raise
    return done


def _register_one(
    iot: "IoTClient", registry: Registry, device: _Device, wanted: _Wanted, asked: ActivationCheck, hand: Hand
) -> dict[str, Any]:
    arn, status, ca_id = _registered(iot, device)
    if device.existing is None:
        hand.registered(device.id)
    for name in wanted.iot_policies:
        iot.attach_policy(policyName=name, target=arn)
    if wanted.thing is not None:
        if registry.certificates_of(wanted.thing) is None:
            iot.create_thing(thingName=wanted.thing)
        iot.attach_thing_principal(thingName=wanted.thing, principal=arn)
    if wanted.activate and status != "ACTIVE":
        if status == "PENDING_ACTIVATION":
            output.warn(f"{device.file}: it was pending, and no rule admitted it; it is made ACTIVE at your word")
        asked.activate(registry, device.id, status)
        status = "ACTIVE"
    return {
        "file": device.file,
        "certificate_id": device.id,
        "ca_certificate_id": ca_id,
        "status": status,
        "was_registered": device.existing is not None,
        "iot_policies": list(registry.iot_policies(arn)),
        "things": list(registry.things(arn)),
    }


def _registered(iot: "IoTClient", device: _Device) -> tuple[str, str, str | None]:
    """Register it, unless it is; its ARN, its status and its CA's id then."""
    found = device.existing
    if found is not None:
        output.note(f"{device.file}: already registered, certificateId {found.id}, {found.status}")
        return found.arn, found.status, found.ca_certificate_id
    if device.ca is None:
        raise AssertionError("a certificate to register, without its CA")
    answer = iot.register_certificate(
        certificatePem=ssl.DER_cert_to_PEM_cert(device.reading.der),
        caCertificatePem=device.ca.pem,
        status="INACTIVE",  # until everything is attached
    )
    return answer["certificateArn"], "INACTIVE", device.ca.id


def _tell(done: list[dict[str, Any]]) -> None:
    if len(done) == 1:
        one = done[0]
        click.echo("Registered already, and as asked for now." if one["was_registered"] else "Registered.")
        output.pairs(
            [
                ("certificateId", one["certificate_id"]),
                ("caCertificateId", one["ca_certificate_id"]),
                ("status", one["status"]),
                ("IoT policies", ", ".join(one["iot_policies"]) or "none"),
                ("thing", ", ".join(one["things"]) or "none"),
            ]
        )
        return
    rows = [(each["file"], each["certificate_id"], each["status"], len(each["iot_policies"])) for each in done]
    output.table(("file", "certificateId", "status", "IoT policies"), rows)
