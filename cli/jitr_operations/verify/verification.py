"""One verification: a throwaway CA and two devices, and each assumption looked at with them."""

import json
import secrets
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

from jitr.aws.dynamodb.table import Table
from jitr.errors import InputError
from jitr.reasons import Verdict
from jitr.records.record import Record
from jitr_operations import telling
from jitr_operations.decisions.today import Today
from jitr_operations.deployment import Deployment
from jitr_operations.devices.registry import Registry
from jitr_operations.diagnose.attempt import Attempt, AttemptOutcome, ConnectionParameters, attempt
from jitr_operations.files import staged
from jitr_operations.issuing import pki
from jitr_operations.records import record_of
from jitr_operations.rules.publication import propose_text, publish
from jitr_operations.table import now, now_text, table_of
from jitr_operations.verify import throttling
from jitr_operations.verify.alone import require_alone
from jitr_operations.verify.assumptions import Report
from jitr_operations.verify.belongings import PREFIX, TAG, Belongings
from jitr_operations.verify.refusal import RefusalCheck
from jitr_operations.verify.usage import Usage
from jitr_operations.verify.waiting import until

_CURVE = pki.KeyType(curve="p256")
_TURNED_AWAY = (AttemptOutcome.HUNG_UP, AttemptOutcome.REFUSED, AttemptOutcome.TLS_REFUSED, AttemptOutcome.SILENT)
_EVENT_WITHIN = 90  # seconds
_POLICY_WITHIN = 90
_ADMITTED_WITHIN = 180
_DELETE_WITHIN = 300  # https://docs.aws.amazon.com/iot/latest/apireference/API_DeletePolicy.html
_ALARM_WITHIN = 900
_RULES = """\
format: 1
default: hold
cas:
  verification: {{ids: ["{ca}"]}}
allow:
  - name: verification
    ca: verification
    common_name: "{name}"
    grant:
      thing: "{{common_name}}"
      iot_policies: ["{policy}"]
"""
_KNOCKS_COUNTED = 65  # seconds: knocks are counted at most once a minute


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The endpoint of devices, and the CA they trust there; None is what the system trusts."""

    host: str
    port: int
    roots: Path | None


@dataclass(frozen=True, slots=True)
class _Device:
    id: str
    line: ConnectionParameters
    name: str


def new_run() -> str:
    """Return the name of a run."""
    return secrets.token_hex(4)


@dataclass(frozen=True, slots=True)
class Extent:
    """How far a run goes.

    ``sni_only`` registers the CA without proof. ``alarm`` has an alarm raised and ``refusal`` a file refused, of which
    somebody may be told. ``throttle`` uses up a quota of the account for some seconds.
    """

    sni_only: bool = False
    alarm: bool = False
    refusal: bool = False
    throttle: bool = False


@dataclass
class Verification:
    """One run.

    ``own_stack``: rules of its own may be put in force, since the stack decides nobody else's devices.
    """

    deployment: Deployment
    endpoint: Endpoint
    extent: Extent = field(default_factory=Extent)
    run: str = field(default_factory=new_run)
    own_stack: bool = False
    usage: Usage | None = None  # what counts already; without, the run counts from its beginning

    def __post_init__(self) -> None:
        self._iot = self.deployment.client("iot")
        self._table: Table = table_of(self.deployment)
        self._registry = Registry(self._iot)
        self.belongings = Belongings(self._iot, self._table)
        self._refused = RefusalCheck(self.deployment, self.run)
        self.report = Report(self.deployment.where(), now_text(), self.run, self.usage or Usage.of(self.deployment))

    def make(self) -> Report:
        """Look at each assumption, and take away whatever was made, also where that is cut short.

        Raises InputError where the rules in force would not have its devices wait, or another stack might let them in.
        """
        require_alone(self.deployment)
        try:
            with tempfile.TemporaryDirectory(prefix="jitr-verify-") as folder:
                self._look(Path(folder))
        finally:
            telling.note("Taking away what was made.")
            self.report.left = [*self._refused.take_away(), *self.belongings.clean(self.run)]
        return self.report

    def _look(self, folder: Path) -> None:
        issuer = self._make_ca()
        ca_id = self._register(issuer)
        if self.own_stack:
            self._let_in(ca_id, "nobody")
        leaf, chain = (self._device(folder, issuer, kind) for kind in ("leaf", "chain"))
        self._require_held(issuer, ca_id, leaf)
        self._first_connections(ca_id, leaf, chain)
        self._events(leaf)
        self._statuses(chain)
        self._policies(chain)
        if self.own_stack:
            self._admission(ca_id, leaf)
        if self.extent.refusal or self.own_stack:
            self._refusal()
        if self.extent.throttle:
            self.report.seen["throttling.shape"] = throttling.look(self.deployment, leaf.id)
        if self.extent.alarm:
            self._alarms()

    # --- what is made

    def _make_ca(self) -> pki.Issuer:
        key = pki.new_key(_CURVE)
        subject = _name(f"{PREFIX}{self.run}").public_bytes()
        serial, validity = pki.random_serial(), timedelta(days=2)
        made = pki.make_ca(subject, key, serial_number=serial, now=now(), validity=validity, path_length=0)
        return pki.Issuer(made, key)

    def _register(self, issuer: pki.Issuer) -> str:
        telling.note(f"Registering a CA, {PREFIX}{self.run}.")
        request: dict[str, Any] = {
            "caCertificate": issuer.certificate.pem.decode(),
            "setAsActive": True,
            "allowAutoRegistration": True,
            "tags": [{"Key": TAG, "Value": self.run}],
        }
        if self.extent.sni_only:
            request["certificateMode"] = "SNI_ONLY"
        else:
            code = self._iot.get_registration_code()["registrationCode"]
            proof = pki.make_verification_certificate(
                issuer, pki.new_key(_CURVE), code, serial_number=pki.random_serial(), now=now()
            )
            request["verificationCertificate"] = proof.pem.decode()
        ca_id = self._iot.register_ca_certificate(**request)["certificateId"]
        found = self._iot.describe_ca_certificate(certificateId=ca_id)["certificateDescription"]
        told = f"{found['status']}, auto-registration {found.get('autoRegistrationStatus')}"
        so = (found["status"], found.get("autoRegistrationStatus")) == ("ACTIVE", "ENABLE")
        self.report.see("ca.in-one-call", so, f"{told}, mode {found.get('certificateMode', 'DEFAULT')}")
        return ca_id

    def _device(self, folder: Path, issuer: pki.Issuer, kind: str) -> _Device:
        key, name = pki.new_key(_CURVE), f"{PREFIX}{self.run}-{kind}"
        made = pki.issue_device(
            issuer,
            _name(name).public_bytes(),
            pki.public_key_der(key.public_key()),
            serial_number=pki.random_serial(),
            now=now(),
            validity=timedelta(days=1),
        )
        with staged(folder, [f"{name}.pem", f"{name}.key"], force=False) as stage:
            sent = made.pem + (issuer.certificate.pem if kind == "chain" else b"")
            certificate = stage.write(f"{name}.pem", sent)
            key_file = stage.write(f"{name}.key", pki.private_pem(key), private=True)
        where = self.endpoint
        return _Device(
            made.sha256, ConnectionParameters(where.host, where.port, certificate, key_file, None, where.roots), name
        )

    def _let_in(self, ca_id: str, name: str) -> None:
        """Put rules in force that let in a device of that name, and hold every other."""
        rules = _RULES.format(ca=ca_id, name=name, policy=self.deployment.output("DevicePolicyName"))
        publish(self.deployment, propose_text(self.deployment, rules.encode(), "jitr verify"), "jitr verify")

    # --- what is looked at

    def _require_held(self, issuer: pki.Issuer, ca_id: str, device: _Device) -> None:
        """Raise InputError where the rules in force would not have the devices wait, before any of them connects."""
        pem = device.line.certificate.read_text()
        today = Today(self.deployment, self._table)
        if today.heads.digest is None:
            raise InputError("no rules are in force, so no event would be decided: publish some first")
        decision = today.explain(pem, ca_id, None, now()).decision
        if decision.verdict is Verdict.ADMIT:
            raise InputError(
                f"rule {decision.rule} would let the devices of a verification in ({device.name}, of a CA that nobody "
                "knows): nothing was connected. Give the rule a `ca`, or verify another stack"
            )
        if decision.verdict is Verdict.REJECT:
            raise InputError(
                f"the rules in force reject the devices of a verification at once ({decision.reasons[0].code}), so "
                "nothing could be seen of a device that waits: nothing was connected. Verify a stack whose rules say "
                "`default: hold`, or use --own-stack in another Region"
            )
        self._expected = decision.verdict, decision.reasons[0].code
        if issuer.certificate.sha256 != ca_id:
            raise AssertionError("AWS IoT's id of a CA is the SHA-256 of its certificate")

    def _first_connections(self, ca_id: str, leaf: _Device, chain: _Device) -> None:
        telling.note("Two devices connect for the first time, one of them with its CA's certificate.")
        first = self._knock(leaf)
        self.report.see("first.hung-up", not first.connected, f"{first.outcome} {first.detail}".strip())
        found = until(lambda: self._registry.get(leaf.id), _EVENT_WITHIN)
        if found is None:
            told = f"not registered within {_EVENT_WITHIN} s; the connection ended: {first.outcome} {first.detail}"
            self.report.see("first.leaf-alone", False, told)
        else:
            so = (found.status, found.ca_certificate_id) == ("PENDING_ACTIVATION", ca_id)
            self.report.see("first.pending", so, f"{found.status}, CA {str(found.ca_certificate_id)[:12]}")
            self.report.see("first.leaf-alone", True, "registered without its CA's certificate")
        other = self._knock(chain)
        with_chain = until(lambda: self._registry.get(chain.id), _EVENT_WITHIN)
        told = f"{other.outcome} {other.detail}".strip() if with_chain is None else with_chain.status
        self.report.see("first.chain", with_chain is not None, told)

    def _events(self, leaf: _Device) -> None:
        began = time.monotonic()
        record, second = first_decision(lambda: self._decided(leaf), lambda: self._knock(leaf))
        if record is None:
            self.report.see(
                "event.arrives", False, f"no decision on record within {2 * _EVENT_WITHIN} s, of two knocks"
            )
            return
        took = f"on record {time.monotonic() - began:.0f} s after it was looked for"
        told = f"{took}, and only after a second knock" if second else took
        self.report.see("event.arrives", True, f"{record.decision}, {told}")
        reason = record.reasons[0]["code"] if record.reasons else ""
        same = (record.decision, reason) == self._expected
        self.report.see("decision.as-explained", same, f"{record.decision}: {reason}")
        telling.note("A minute's wait: knocks are counted once a minute.")
        time.sleep(_KNOCKS_COUNTED)
        self._knock(leaf)
        again = until(lambda: self._counted(leaf, record.knocks), _EVENT_WITHIN)
        told = "no further knock was counted" if again is None else f"{again.knocks} knocks are counted"
        self.report.see("event.again", again is not None, told)

    def _statuses(self, device: _Device) -> None:
        from botocore.exceptions import ClientError

        until(lambda: self._decided(device), _EVENT_WITHIN)
        try:
            self._registry.set_status(device.id, "INACTIVE")
        except ClientError as problem:
            self.report.see("status.pending-to-inactive", False, str(problem))
            return
        self.report.see("status.pending-to-inactive", True, "PENDING_ACTIVATION to INACTIVE")
        out = until(lambda: self._turned_away(device), _POLICY_WITHIN)
        told = "it was let in" if not out else f"{out.outcome} {out.detail}".strip()
        self.report.see("status.inactive-stays-out", bool(out), told)

    def _policies(self, device: _Device) -> None:
        telling.note("A certificate is ACTIVE without an IoT policy, and then with one.")
        self._registry.set_status(device.id, "ACTIVE")
        without = self._knock(device)
        told = f"{without.outcome} {without.detail}".strip()
        self.report.see("policy.none-hangs-up", not without.connected, told)
        found = self._registry.require(device.id)
        name = self._make_policy(device, partition=found.arn.split(":")[1])
        self._iot.attach_policy(policyName=name, target=found.arn)
        began = time.monotonic()
        let_in = until(lambda: self._knock(device).connected, _POLICY_WITHIN)
        took = time.monotonic() - began
        told = f"connected after {took:.0f} s" if let_in else f"not connected within {_POLICY_WITHIN} s"
        self.report.see("policy.attached-counts", bool(let_in) and took <= 60, told)
        self._iot.detach_policy(policyName=name, target=found.arn)
        self._delete_policy(name)
        self._registry.set_status(device.id, "INACTIVE")

    def _make_policy(self, device: _Device, *, partition: str) -> str:
        """Make an IoT policy that lets the device connect, and return its name."""
        name = f"{PREFIX}{self.run}"
        where = f"arn:{partition}:iot:{self.deployment.region}:{self.deployment.account_id}"
        statement = {"Effect": "Allow", "Action": "iot:Connect", "Resource": f"{where}:client/{device.name}"}
        document = {"Version": "2012-10-17", "Statement": [statement]}
        self._iot.create_policy(policyName=name, policyDocument=json.dumps(document))
        return name

    def _delete_policy(self, name: str) -> None:
        began = time.monotonic()
        done = until(lambda: self._is_deleted(name), _DELETE_WITHIN, pause=5)
        took = time.monotonic() - began
        told = f"deleted after {took:.0f} s" if done else f"not within {_DELETE_WITHIN} s"
        self.report.see("policy.delete-after-detach", bool(done), told)

    def _is_deleted(self, name: str) -> bool:
        try:
            self._iot.delete_policy(policyName=name)
        except self._iot.exceptions.DeleteConflictException:
            return False
        return True

    def _admission(self, ca_id: str, device: _Device) -> None:
        telling.note("Rules that let a device in are put in force, and it connects.")
        self._let_in(ca_id, device.name)
        began = time.monotonic()
        let_in = until(lambda: self._knock(device).connected, _ADMITTED_WITHIN)
        took = time.monotonic() - began
        record = self._decided(device)
        found = "no decision" if record is None else f"{record.decision}, {record.state}"
        told = f"connected {took:.0f} s after the rules were published" if let_in else f"not let in: {found}"
        self.report.see("admission.whole", bool(let_in), told)

    def _refusal(self) -> None:
        telling.note("A file that is refused is uploaded, and its message waited for.")
        self.report.see("message.refused-file", *self._refused.look())

    def _alarms(self) -> None:
        telling.note("A message that cannot be handled is sent: this may take a quarter of an hour.")
        sqs, cloudwatch = self.deployment.client("sqs"), self.deployment.client("cloudwatch")
        alarm = self.deployment.output("RegistrationFailuresAlarmName")
        url, failures = (self.deployment.output(each) for each in ("RegistrationQueueUrl", "RegistrationFailuresUrl"))
        body = json.dumps({"jitr-verify": self.run})
        sqs.send_message(QueueUrl=url, MessageBody=body)

        def state() -> str:
            return cloudwatch.describe_alarms(AlarmNames=[alarm])["MetricAlarms"][0]["StateValue"]

        raised = until(lambda: state() == "ALARM", _ALARM_WITHIN, pause=10)
        self._take_back(sqs, failures, body)
        ended = raised and until(lambda: state() == "OK", _ALARM_WITHIN, pause=10)
        told = "raised, and over once it was taken away" if ended else "raised" if raised else "not raised"
        self.report.see("alarm.failures", bool(ended), told)

    def _take_back(self, sqs: Any, url: str, body: str) -> None:
        """Delete the message that this run sent from the failures, and let every other be seen again at once."""
        for _ in range(20):
            found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1, VisibilityTimeout=30)
            messages = found.get("Messages", [])
            for each in messages:
                if each["Body"] == body:
                    sqs.delete_message(QueueUrl=url, ReceiptHandle=each["ReceiptHandle"])
                    return
            for each in messages:
                with suppress(Exception):
                    handle = each["ReceiptHandle"]
                    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=0)

    # --- looking

    def _knock(self, device: _Device) -> Attempt:
        self.report.usage.connections += 1
        return attempt(device.line, device.name, None)

    def _turned_away(self, device: _Device) -> Attempt | None:
        tried = self._knock(device)
        return tried if tried.outcome in _TURNED_AWAY else None

    def _decided(self, device: _Device) -> Record | None:
        return record_of(self._table, device.id)

    def _counted(self, device: _Device, knocks: int) -> Record | None:
        record = self._decided(device)
        return record if record is not None and record.knocks > knocks else None


def first_decision(
    decided: Callable[[], Record | None], knock: Callable[[], object], within: float = _EVENT_WITHIN
) -> tuple[Record | None, bool]:
    """Return the decision on record once there is one, and whether the device had to knock again.

    A topic rule whose role was made a moment ago may not be let into its queue yet: the first event is lost to it.
    """
    if record := until(decided, within):
        return record, False
    knock()
    return until(decided, within), True


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
