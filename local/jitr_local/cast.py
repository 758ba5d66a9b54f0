"""The devices of the demo: who they are, and what must become of each."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from jitr.reasons import Verdict
from jitr_local.device import Broker, Device, Fate
from jitr_local.folder import write_private
from jitr_operations.certificates import Certificate, read
from jitr_operations.issuing import pki
from jitr_operations.issuing.subjects import SubjectParts
from jitr_operations.issuing.x509_writer import PrivateKey, TbsCertificate, signed

YEAR = timedelta(days=365)

RULES = """\
format: 1
default: hold
cas:
  factory-a: {{ids: ["{factory_a}"]}}
  factory-b: {{ids: ["{factory_b}"]}}
deny:
  - name: recalled-boards
    list: recall-17
    reason: Recall 17, bad radio
allow:
  - name: line-a-sensors
    ca: factory-a
    common_name: "snr-*"
    organization: OKIDA
    list: line-a            # must also be on this device list
    grant:
      thing: "{{common_name}}"
      thing_type: Sensor
      attributes: {{line: a, batch: "{{attr.batch}}"}}
      thing_groups: [line-a]
      iot_policies: ["{policy}"]
  - name: line-b-sensors
    ca: factory-b
    common_name: "snr-*"
    organization: ANKA
    max_devices: {most}
    grant:
      thing: "{{common_name}}"
      iot_policies: ["{policy}"]
tests:
  - name: a sensor of line a gets in
    at: {today}
    device: {{ca: factory-a, common_name: snr-0001, organization: OKIDA}}
    lists: {{line-a: [{{common_name: snr-0001, attr.batch: "7"}}]}}
    expect: {{decision: admit, rule: line-a-sensors, thing: snr-0001}}
"""


@dataclass(frozen=True)
class Expected:
    """The expected end of a device: its fate, and the decision on record with its reason code."""

    fate: Fate
    decision: Verdict | None = None  # None: AWS IoT never had its certificate
    reason: str | None = None


ADMITTED = Expected(Fate.PUBLISHED, Verdict.ADMIT, "allow.rule")


@dataclass(frozen=True)
class Role:
    """One device of the cast."""

    device: Device
    what: str  # what it is, for people
    expected: Expected
    certificate: Certificate
    after: str | None = None  # it starts when this device is through

    @property
    def certificate_id(self) -> str:
        """The id that AWS IoT gives its certificate."""
        return self.certificate.sha256


@dataclass(frozen=True)
class Factories:
    """The two registered CAs, and one that nobody registered."""

    a: pki.Issuer
    b: pki.Issuer
    unregistered: pki.Issuer


class Casting:
    """Issues certificates for the demo's devices into a folder."""

    def __init__(self, folder: Path, broker: Broker, factories: Factories) -> None:
        self._folder = folder
        self._broker = broker
        self._factories = factories

    def fleet(self, count: int) -> list[Role]:
        """Return the first group: devices of both lines, with every kind of key and certificate in turn."""
        return [self._fleet_device(number) for number in range(1, count + 1)]

    def others(self) -> Iterator[Role]:
        """One device for each way in which things go otherwise."""
        a, b = self._factories.a, self._factories.b
        late = Expected(Fate.PUBLISHED, Verdict.ADMIT, "allow.rule")
        yield self._role("snr-late", "not on its list until an operator adds it", late, a)
        recalled = Expected(Fate.KNOCKING, Verdict.REJECT, "deny.rule")
        yield self._role("snr-recalled", "on the deny list", recalled, a)
        itself_a_ca = Expected(Fate.KNOCKING, Verdict.REJECT, "certificate.is-ca")
        yield self._role("snr-is-a-ca", "itself a CA", itself_a_ca, a, is_ca=True)
        twin = Expected(Fate.KNOCKING, Verdict.HOLD, "grant.thing-claimed")
        yield self._role("snr-0001", "same name as an admitted one, other key and CA", twin, b, after="snr-0001")
        stranger = Expected(Fate.REFUSED_IN_TLS)
        yield self._role("snr-stranger", "its CA was never registered", stranger, self._factories.unregistered)
        expired = Expected(Fate.REFUSED_IN_TLS)
        yield self._role("snr-expired", "its certificate has expired", expired, a, expired=True)
        nosy = Expected(Fate.HUNG_UP_ON_PUBLISH, Verdict.ADMIT, "allow.rule")
        yield self._role("snr-nosy", "publishes on another's topic", nosy, b, topic="devices/snr-0001/hello")

    def _fleet_device(self, number: int) -> Role:
        name = f"snr-{number:04d}"
        line_a = number % 2 == 1
        key_type = pki.KeyType(rsa_bits=2048) if number % 4 in (2, 3) else pki.KeyType(curve="p256")
        version = 1 if number % 8 in (3, 4, 5, 6) else 3
        what = f"line {'a' if line_a else 'b'}, {'RSA' if key_type.rsa_bits else 'EC'}, X.509 v{version}"
        issuer = self._factories.a if line_a else self._factories.b
        return self._role(name, what, ADMITTED, issuer, key_type=key_type, version=version)

    def _role(
        self,
        name: str,
        what: str,
        expected: Expected,
        issuer: pki.Issuer,
        *,
        key_type: pki.KeyType | None = None,
        version: int = 3,
        is_ca: bool = False,
        expired: bool = False,
        topic: str | None = None,
        after: str | None = None,
    ) -> Role:
        key = pki.new_key(key_type or pki.KeyType(curve="p256"))
        organization = "ANKA" if issuer is self._factories.b else "OKIDA"
        subject = SubjectParts({"organization": organization}).name(name).public_bytes()
        now = datetime.now(UTC)
        made = _issue(issuer, subject, key, version=version, is_ca=is_ca, now=now - 2 * YEAR if expired else now)
        file = self._folder / f"{name}{'-twin' if after else ''}.pem"
        # AWS's page on just-in-time registration asks for the CA's certificate as well; with SNI it is optional.
        sends_chain = issuer is self._factories.a
        file.write_bytes(made.pem + (issuer.certificate.pem if sends_chain else b""))
        key_file = file.with_suffix(".key")
        write_private(key_file, pki.private_pem(key).decode())
        device = Device(name, file, key_file, topic or f"devices/{name}/hello", self._broker)
        return Role(device, what, expected, made, after)


def _issue(
    issuer: pki.Issuer, subject: bytes, key: PrivateKey, *, version: int, is_ca: bool, now: datetime
) -> Certificate:
    public_key, serial_number = pki.public_key_der(key.public_key()), pki.random_serial()
    if version == 3 and not is_ca:
        return pki.issue_device(issuer, subject, public_key, serial_number=serial_number, now=now, validity=YEAR)
    # Version 1 as the classic `openssl x509 -req` makes them; or CA:TRUE in a certificate that TLS takes from a
    # client: it could issue devices of its own.
    extensions = ((x509.BasicConstraints(ca=True, path_length=None), True),) if is_ca else ()
    begins, ends = now - timedelta(hours=1), now + YEAR
    issuer_name = issuer.certificate.ca.subject_der
    draft = TbsCertificate(issuer_name, subject, public_key, serial_number, begins, ends, extensions)
    return read(signed(draft, issuer.key))
