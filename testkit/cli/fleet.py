"""A fleet in process, of which it is known beforehand what a check finds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from typing import Any

import pytest

from jitr.devicelists.rows import ListRow
from jitr.rules.model import Ca, Grant, Rules
from jitr.x509.certificate import read_certificate
from testkit import pki
from testkit.aws.world import Silent, World
from testkit.cli.command_line import ACCOUNT, REGION, Aws
from testkit.cli.operating import FACTORY, OTHER
from testkit.knocks import allow, deny
from testkit.knocks import rules as made_rules

PLENTY = {"CertificateQuota": "100000", "PolicyQuota": "100000", "ThingQuota": "100000"}
GRANT = Grant(
    iot_policies=("Sensor",),
    thing="{common_name}",
    thing_type="Sensor",
    attributes={"line": "a"},
    thing_groups=("line-a",),
)


def leaf(name: str, ca: pki.CA = FACTORY, owner: str | None = None) -> pki.Issued:
    """A device's key and certificate."""
    return ca.usual_device(name).key("P-256", owner or name).issue()


def in_force(*rules: Any, ca: Ca | None = None) -> Rules:
    """Rules for the one factory."""
    return replace(made_rules(*rules), cas={"factory-a": ca or Ca("factory-a", (FACTORY.id,), 3)})


@dataclass
class Fleet:
    """Devices of one factory that were let in an hour ago."""

    world: World
    aws: Aws

    def let_in(self, *names: str) -> dict[str, pki.Issued]:
        """Devices that the rules in force admit."""
        devices = {name: leaf(name) for name in names}
        for device in devices.values():
            self.world.connect(device)
            self.world.knock(device, FACTORY)
            assert self.world.status(device) == "ACTIVE", self.world.codes(device)
        return devices

    def recall(self, *names: str, grant: Grant = GRANT) -> None:
        """Deny devices, by a list, from now on."""
        for name in names:
            self.world.put_on("recall-17", ListRow(common_name=name))
        self.world.publish(
            in_force(deny("recalled", lists=("recall-17",)), allow("line-a", grant=grant, ca="factory-a"))
        )

    def set_status(self, device: pki.Issued, status: str) -> None:
        """Set a status by another hand."""
        self.world.iot.update_certificate(certificateId=device.sha256, newStatus=status)  # type: ignore[arg-type]

    def register(self, device: pki.Issued, status: str = "ACTIVE") -> None:
        """Register a certificate by another hand."""
        self.world.connect(device, status)

    def delete(self, device: pki.Issued) -> None:
        """Delete a certificate by another hand."""
        arn = self.arn(device)
        for each in self.world.iot.list_principal_things(principal=arn)["things"]:
            self.world.iot.detach_thing_principal(thingName=each, principal=arn)
        for policy in self.world.policies(device):
            self.world.iot.detach_policy(policyName=policy, target=arn)
        self.set_status(device, "INACTIVE")
        self.world.iot.delete_certificate(certificateId=device.sha256)

    def arn(self, device: pki.Issued) -> str:
        """A certificate's ARN."""
        found = self.world.iot.describe_certificate(certificateId=device.sha256)
        return found["certificateDescription"]["certificateArn"]


def fleet_in(world: World, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    """The fleet, with AWS IoT as it tells which CA registered a certificate, and quotas that nobody waits for.

    moto knows CAs only of certificates that were registered with one.
    """
    tell_cas(aws, world)
    monkeypatch.setattr("jitr_operations.fleet.pace._parameters", lambda _deployment: PLENTY)
    world.now -= timedelta(hours=1)
    world.telemetry = Silent()
    world.registrar = world.fresh_registrar()
    world.publish(in_force(allow("line-a", grant=GRANT, ca="factory-a")))
    return Fleet(world, aws)


def tell_cas(aws: Aws, world: World) -> None:
    """Have AWS IoT tell which CA registered a certificate: moto knows that of few."""
    from moto.iot.models import iot_backends

    def listed(given: Mapping[str, Any]) -> Any:
        certificates = iot_backends[ACCOUNT][REGION].certificates.values()
        ca = given["caCertificateId"]
        return _page([each.to_dict() for each in certificates if _ca_of(each.certificate_pem) == ca], given)

    def described(given: dict[str, Any]) -> Any:
        found = aws.real(world.iot, "DescribeCertificate", given)["certificateDescription"]
        return {"certificateDescription": found | {"caCertificateId": _ca_of(found["certificatePem"])}}

    aws.overrides["ListCertificatesByCA"] = listed
    aws.overrides["DescribeCertificate"] = described


@cache
def _ca_of(pem: str) -> str:
    """Return which factory's CA made a certificate: the other one's says so, all else is of the first."""
    names = [each.value for each in read_certificate(pem.encode()).facts.issuer if each.name == "common_name"]
    return OTHER.id if names == ["Factory B"] else FACTORY.id


def _page(certificates: Iterable[Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a page of three, as AWS IoT does of 250; moto has no pages of certificates."""
    found, start = list(certificates), int(given.get("marker", 0))
    more = {"nextMarker": str(start + 3)} if start + 3 < len(found) else {}
    return {"certificates": found[start : start + 3], **more}
