"""Registering device certificates by hand: what devices do by connecting, without an event and without a rule.

Everything that can be wrong is looked for before the first certificate is registered. ACTIVE comes last, so that
whatever fails on the way leaves a certificate that cannot connect, and doing the same again carries on.
"""

import ssl
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jitr.aws.dynamodb.table import Table
from jitr.errors import InputError
from jitr.records.history import HistoryKind
from jitr.times import rfc3339
from jitr.x509.certificate import CertificateReading
from jitr_operations import telling
from jitr_operations.accounts import Account
from jitr_operations.cas.issuers import IssuerLookup, twin_under
from jitr_operations.cas.registry import RegisteredCa
from jitr_operations.devices.activation import ActivationCheck
from jitr_operations.devices.by_hand import Hand
from jitr_operations.devices.registry import DeviceCertificate, Registry, is_missing, read_device_file
from jitr_operations.history import keeping
from jitr_operations.issuing import pki

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient


@dataclass(frozen=True)
class DeviceCertificateFile:
    """A file with a device's certificate, and what was read from it."""

    file: Path
    reading: CertificateReading

    @property
    def id(self) -> str:
        """The certificateId that AWS IoT gives the certificate."""
        return self.reading.facts.certificate_sha256


@dataclass(frozen=True)
class RegistrationGoal:
    """How each of the devices is to end."""

    activate: bool = False
    iot_policies: tuple[str, ...] = ()
    thing: str | None = None
    without_iot_policy: bool = False  # it may become ACTIVE with none


@dataclass(frozen=True)
class _Candidate:
    """A certificate that is to be registered, and how AWS IoT holds it already."""

    given: DeviceCertificateFile
    existing: DeviceCertificate | None
    ca: RegisteredCa | None  # None: it is registered already, and its CA was not looked for

    @property
    def id(self) -> str:
        return self.given.id

    @property
    def file(self) -> Path:
        return self.given.file

    @property
    def pem(self) -> str:
        return ssl.DER_cert_to_PEM_cert(self.given.reading.der)

    @property
    def changes(self) -> bool:
        """Whether to activate it changes anything."""
        return self.existing is None or self.existing.status != "ACTIVE"

    @property
    def ca_id(self) -> str | None:
        if self.existing is not None:
            return self.existing.ca_certificate_id
        return None if self.ca is None else self.ca.id


# --- the files


def read_files(files: Iterable[Path], time: datetime) -> list[DeviceCertificateFile]:
    """Read certificates, each of them once. Raises InputError with everything that is wrong with any of them."""
    found: dict[str, DeviceCertificateFile] = {}
    problems = []
    for file in files:
        try:
            given = DeviceCertificateFile(file, read_device_file(file))
        except InputError as unreadable:
            problems.append(str(unreadable))
            continue
        unfit = _unfit(given.reading, time)
        if unfit:
            problems.append(f"{file}: {unfit}")
        not_before = given.reading.facts.not_before
        if not_before > time:
            telling.warn(f"{file}: it is not valid before {rfc3339(not_before)}, and cannot connect yet")
        found.setdefault(given.id, given)
    _raise(problems)
    return list(found.values())


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


# --- the registration


class DeviceRegistration:
    """Certificates that may be registered; nothing is changed before ``run``.

    ``ca`` is their CA (as for ``which.find``), where it is not to be found by signature; ``overrule`` why they become
    ACTIVE though the rules in force deny it. Raises InputError with all that AWS IoT would not take, and for IoT
    policies that do not exist or are missing.
    """

    def __init__(
        self,
        account: Account,
        table: Table | None,
        given: Sequence[DeviceCertificateFile],
        goal: RegistrationGoal,
        *,
        ca: str | None = None,
        overrule: str | None = None,
    ) -> None:
        self._iot: IoTClient = account.client("iot")
        self._registry = Registry(self._iot)
        self._account = account
        self._goal = goal
        self._check = ActivationCheck(account, table, overrule)
        self._hand = Hand(account, table)
        self._devices = _look(self._registry, IssuerLookup(account, ca), given)
        self._require_policies()

    def _require_policies(self) -> None:
        """Raise InputError for IoT policies that do not exist, and before a device without any becomes ACTIVE."""
        from botocore.exceptions import ClientError

        goal = self._goal
        for name in goal.iot_policies:
            try:
                self._iot.get_policy(policyName=name)
            except ClientError as problem:
                if not is_missing(problem):
                    raise
                raise InputError(f"there is no IoT policy {name} in this account and Region") from None
        if goal.without_iot_policy or not goal.activate or goal.iot_policies:
            return
        for device in self._devices:
            if device.existing is None or not self._registry.may_connect(device.existing):
                raise InputError(
                    f"{device.file}: no IoT policy would be attached, and AWS IoT hangs up on such a device: give "
                    "--iot-policy NAME, or --without-iot-policy if it is to get one later"
                )

    def denials(self) -> list[str]:
        """Return why the rules in force keep devices from being made ACTIVE; none where none is to be.

        Raises Retry where rules are in force and cannot be read, and no reason overrules them.
        """
        devices = self._devices if self._goal.activate else ()
        return [denied for each in devices if (denied := self._denial(each)) is not None]

    def _denial(self, device: _Candidate) -> str | None:
        return self._check.denial(device.id, device.pem, device.ca_id, str(device.file), changes=device.changes)

    def questions(self) -> list[str]:
        """Return what to ask first: about certificates that others replaced, and a thing that has another one."""
        asked = (self._replaced(), self._second_of_thing())
        return [each for each in asked if each is not None]

    def _replaced(self) -> str | None:
        if not self._goal.activate:
            return None
        question = self._check.question([each.id for each in self._devices if each.changes])
        return None if question is None else f"{question}. Make ACTIVE?"

    def _second_of_thing(self) -> str | None:
        thing = self._goal.thing
        if thing is None:
            return None
        own = {each.id for each in self._devices}
        others = [each for each in self._registry.certificates_of(thing) or () if each not in own]
        if not others:
            return None
        return (
            f"The thing {thing} has other certificates already ({', '.join(each[:12] for each in others[:3])}). "
            "Attach this one as well?"
        )

    def run(self) -> list[dict[str, Any]]:
        """Register them, and return each as ``jitr device register --json`` prints it.

        A note says how many were done where it fails on the way.
        """
        command = ("device", "register", *keeping.some(each.file.name for each in self._devices))
        before = keeping.statuses(each.existing.status for each in self._devices if each.existing is not None)
        ids = [each.id for each in self._devices]
        with keeping.doing(
            self._account,
            HistoryKind.DEVICE,
            command,
            why=self._check.overrule,
            before=before,
            devices=ids,
            lets_in=self._goal.activate,
        ) as doing:
            return self._run(doing)

    def _run(self, doing: keeping.Doing) -> list[dict[str, Any]]:
        done: list[dict[str, Any]] = []
        try:
            with telling.progress("Registering", len(self._devices)) as advance:
                for device in self._devices:
                    done.append(self._bring(device, doing))
                    doing.count(done[-1]["status"])
                    doing.touched(device.id)
                    advance(1)
        except BaseException:
            if len(self._devices) > 1:
                telling.note(f"Registered {len(done)} of {len(self._devices)}. The same command again carries on.")
            raise
        finally:
            self._hand.catch_up()
        return done

    def _bring(self, device: _Candidate, doing: keeping.Doing) -> dict[str, Any]:
        """Bring one device to the goal: ACTIVE last."""
        goal = self._goal
        arn, status = self._registered(device)
        for name in goal.iot_policies:
            self._iot.attach_policy(policyName=name, target=arn)
        if goal.thing is not None:
            if self._registry.certificates_of(goal.thing) is None:
                self._iot.create_thing(thingName=goal.thing)
            self._iot.attach_thing_principal(thingName=goal.thing, principal=arn)
        if goal.activate and status != "ACTIVE":
            if status == "PENDING_ACTIVATION":
                telling.warn(f"{device.file}: it was pending, and no rule admitted it; it is made ACTIVE at your word")
            self._check.make_active(self._registry, device.id, status, doing)
            status = "ACTIVE"
        return {
            "file": device.file,
            "certificate_id": device.id,
            "ca_certificate_id": device.ca_id,
            "status": status,
            "was_registered": device.existing is not None,
            "iot_policies": list(self._registry.iot_policies(arn)),
            "things": list(self._registry.things(arn)),
        }

    def _registered(self, device: _Candidate) -> tuple[str, str]:
        """Register a certificate, unless it is; return its ARN and its status then."""
        found = device.existing
        if found is not None:
            telling.note(f"{device.file}: already registered, certificateId {found.id}, {found.status}")
            return found.arn, found.status
        if device.ca is None:
            raise AssertionError("a certificate to register, without its CA")
        answer = self._iot.register_certificate(
            certificatePem=device.pem,
            caCertificatePem=device.ca.pem,
            status="INACTIVE",  # until everything is attached
        )
        self._hand.registered(device.id)
        return answer["certificateArn"], "INACTIVE"


# --- how AWS IoT holds them


def _look(registry: Registry, issuers: IssuerLookup, given: Sequence[DeviceCertificateFile]) -> list[_Candidate]:
    """Find how AWS IoT holds each, and the CA of those that it does not. Raises InputError with all problems."""
    by_id = {each.id: each for each in given}
    devices: list[_Candidate] = []
    problems: list[str] = []
    for each in given:
        existing, ca = registry.get(each.id), None
        try:
            if existing is None:
                ca = issuers.of(each.reading, each.file)
                problems += _twins(registry, ca, each, by_id)
            else:
                issuers.expect(existing, each.file)
        except InputError as problem:
            problems.append(str(problem))
        if existing and existing.status == "REVOKED":
            problems.append(f"{each.file}: {each.id} is registered and REVOKED, which is final: issue another one")
        devices.append(_Candidate(each, existing, ca))
    _raise(problems)
    return devices


def _twins(
    registry: Registry, ca: RegisteredCa, given: DeviceCertificateFile, by_id: Mapping[str, DeviceCertificateFile]
) -> Iterator[str]:
    """Yield what is wrong where the same certificate is registered, or about to be, under its other id."""
    twin = twin_under(ca, given.reading)
    if twin is None:
        return
    if twin in by_id and given.id < twin:  # told once
        other = by_id[twin].file
        yield f"{given.file} and {other} are the same certificate, with the two forms of its signature: give one"
    found = registry.get(twin)
    if found is not None:
        yield (
            f"{given.file}: it is registered under its other id {twin}, which is the same certificate, and "
            f"{found.status}: see `jitr device show {twin[:12]}`"
        )


def _raise(problems: Sequence[str]) -> None:
    if problems:
        raise InputError("\n".join(problems))
