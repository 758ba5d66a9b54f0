"""What the account says about a device that was turned away: its certificate, CA, IoT policies and decision."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jitr.aws.dynamodb.by_hand import acts_of
from jitr.aws.dynamodb.table import Table
from jitr.decision.chain import verify_chain
from jitr.decision.decide import Decision
from jitr.errors import InputError, JitrError, Retry, Unreadable
from jitr.reasons import CODES, Verdict
from jitr.records.by_hand import Act
from jitr.records.record import APPLYING, Record
from jitr.x509.certificate import CertificateReading, read_ca
from jitr_operations.accounts import Account
from jitr_operations.cas.registry import all_ca_ids, described
from jitr_operations.decisions.basis import basis_of
from jitr_operations.decisions.today import Today, reasons_text
from jitr_operations.deployment import Choice, Deployment
from jitr_operations.devices.records import records_of
from jitr_operations.devices.registry import DeviceCertificate, Registry
from jitr_operations.devices.replaced import Replacement, replacement_of
from jitr_operations.diagnose.findings import Findings
from jitr_operations.table import now, table_of

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

PENDING = "PENDING_ACTIVATION"


@dataclass(frozen=True, slots=True)
class View:
    """The certificate as AWS IoT holds it now, and its decision record. ``status`` None: AWS IoT knows none."""

    status: str | None
    iot_policies: tuple[str, ...] = ()
    things: tuple[str, ...] = ()
    record: Record | None = None
    acts: tuple[Act, ...] = ()  # what was done by hand, the latest last
    basis: str | None = None  # which rules or lists the record's reasons are of, unless those are in force
    replaced: Replacement | None = None  # looked at where it is INACTIVE
    today: Decision | None = None  # what it would be decided as now; looked at where it is INACTIVE

    @property
    def settled(self) -> bool:
        """Whether another attempt would end as the last one did, as far as can be told."""
        if self.status == PENDING:
            decided = self.record is not None and self.record.state != APPLYING
            return decided and self.record is not None and self.record.decision is not Verdict.ADMIT
        return self.status is not None


class AccountView:
    """Asks the account about one certificate. ``found`` is None, and ``why_not`` says why, where it cannot be asked."""

    def __init__(self, choice: Choice | None, reading: CertificateReading) -> None:
        self._choice = choice
        self._reading = reading
        self._account: tuple[Account, Table | None] | None = None
        self.found: View | None = None
        self.why_not = "" if choice else "it was not to be asked (--no-account)"

    @property
    def id(self) -> str:
        """The certificateId."""
        return self._reading.facts.certificate_sha256

    def look(self) -> View | None:
        """Return how it stands now."""
        if self._choice is None or self.why_not:
            return None
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self._account = self._account or _account(self._choice)
            self.found = self._view(*self._account)
        except (JitrError, BotoCoreError, ClientError) as problem:
            self.why_not = " ".join(str(problem).split())
            self.found = None
        return self.found

    def _view(self, account: Account, table: Table | None) -> View:
        registry = Registry(account.client("iot"))
        record = records_of(table, [self.id]).get(self.id)
        certificate = registry.get(self.id)
        if certificate is None:
            return View(None, record=record)
        things = registry.things(certificate.arn)
        inherited = [policy for each in things for policy in registry.thing(each).inherited]
        policies = tuple(dict.fromkeys([*registry.iot_policies(certificate.arn), *inherited]))
        if certificate.status != "INACTIVE":
            return View(certificate.status, policies, things, record, basis=_basis(table, record))
        acts = acts_of(table, [self.id]).get(self.id, ())
        today = _today(account, table, certificate, record)
        replaced = replacement_of(table, record)
        return View(certificate.status, policies, things, record, acts, replaced=replaced, today=today)

    def tell(self, view: View, findings: Findings) -> None:
        """Note why AWS IoT turns it away, unless that is up to the client id."""
        if view.status is None:
            self._tell_unregistered(findings)
        elif view.status == PENDING:
            _tell_pending(self.id, view, findings)
        elif view.status == "INACTIVE":
            _tell_inactive(self.id, view, findings)
        elif view.status != "ACTIVE":
            findings.bad(
                "revoked" if view.status == "REVOKED" else "status",
                f"AWS IoT holds the certificate as {view.status}",
                "REVOKED is final: issue another certificate." if view.status == "REVOKED" else "Finish its transfer.",
            )
        elif not view.iot_policies:
            findings.bad(
                "no-iot-policy",
                "AWS IoT holds the certificate as ACTIVE, but no IoT policy is attached to it, so it may do nothing",
                "Attach one (`aws iot attach-policy`), or delete the certificate (`jitr device delete`), and the rules "
                "decide when the device connects again.",
            )

    def _tell_unregistered(self, findings: Findings) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        if self._account is None:
            return
        account = self._account[0]
        try:
            message, remedy = self._about_the_ca(account.client("iot"))
        except (BotoCoreError, ClientError) as problem:
            message, remedy = f"its CA could not be looked up ({problem})", "Look at it with `jitr ca ls`."
        where = f"account {account.account_id}, Region {account.region}"
        findings.bad("not-registered", f"AWS IoT knows no such certificate in {where}: {message}", remedy)

    def _about_the_ca(self, iot: "IoTClient") -> tuple[str, str]:
        unreadable = []
        for ca_id in all_ca_ids(iot):
            ca = described(iot, ca_id)
            if ca is None:
                continue
            try:
                reading = read_ca(ca.pem.encode(), status=ca.status, ca_certificate_id=ca.id)
            except Unreadable as problem:
                unreadable.append(f"{ca_id} ({problem})")
                continue
            if not verify_chain(self._reading, reading).signature_valid:
                continue
            if ca.status != "ACTIVE":
                return f"its CA {ca_id} is {ca.status}", f"Make it ACTIVE: `jitr ca activate {ca_id[:12]}`."
            if ca.auto_registration != "ENABLE":
                return (
                    f"its CA {ca_id} does not register devices by itself",
                    "Turn auto-registration on (`jitr ca register` again), or register the device by hand "
                    "(`jitr device register`).",
                )
            return (
                f"its CA {ca_id} is registered and ACTIVE, so that its next connection should register it"
                + (", if it sends the endpoint's name (SNI)" if ca.mode == "SNI_ONLY" else ""),
                "Check that the endpoint is that of this account and Region: `aws iot describe-endpoint "
                "--endpoint-type iot:Data-ATS`.",
            )
        if unreadable:
            return (
                f"no registered CA that can be read here signed it, and these cannot be read: {', '.join(unreadable)}",
                "If one of these signed it, the message says what is wrong with it; if not, register the CA that did.",
            )
        return (
            "no registered CA signed it",
            "Register the CA that signed it (`jitr ca register`); if there is an intermediate, that one, not the root.",
        )


def _account(choice: Choice) -> tuple[Account, Table | None]:
    try:
        deployment = choice.deployment()
        return deployment, table_of(deployment)
    except InputError:
        return choice.account(), None  # no stack, so no decisions; what AWS IoT holds is there to be seen


def _basis(table: Table | None, record: Record | None) -> str | None:
    return None if table is None or record is None else basis_of(table)(record)


def _today(
    account: Account, table: Table | None, certificate: DeviceCertificate, record: Record | None
) -> Decision | None:
    """Return what the certificate would be decided as now; None where no rules are in force, or they cannot be read."""
    if table is None or not isinstance(account, Deployment):
        return None
    today = Today(account, table)
    if today.heads.digest is None:
        return None
    try:
        return today.explain(certificate.pem, certificate.ca_certificate_id, record, now()).decision
    except Retry:
        return None  # `jitr device activate` asks again, and does nothing where nobody can say


def _tell_pending(certificate_id: str, view: View, findings: Findings) -> None:
    record = view.record
    told = "AWS IoT has registered the certificate, and it waits to be admitted (PENDING_ACTIVATION)"
    if record is None or record.state == APPLYING:
        findings.bad(
            "pending",
            f"{told}; nothing is decided about it yet",
            "Let the device try again in a moment. If it stays so, see `jitr status`: rules that are not published, "
            "messages that wait or failed, alarms.",
        )
        return
    old = view.basis
    for reason in record.reasons:
        code = CODES.get(reason["code"])
        findings.bad(
            "pending",
            f"{told}: {record.decision.value}, {reason['code']}: {reason['message']}" + (f" ({old})" if old else ""),
            code.remedy if code else f"See `jitr device show {certificate_id[:12]}`.",
        )


def _by_whom(act: Act) -> str:
    if act.status == act.status_before:
        return f"somebody made it so, and {act.by} said at {act.at} that it stays so"
    return f"{act.by} made it so at {act.at}"


def _tell_inactive(certificate_id: str, view: View, findings: Findings) -> None:
    record = view.record
    if record is not None and record.decision is Verdict.REJECT:
        for reason in record.reasons:
            findings.bad(
                "rejected",
                f"the device was rejected: {reason['code']}: {reason['message']}",
                CODES[reason["code"]].remedy if reason["code"] in CODES else "See `jitr device show`.",
            )
        return
    last = view.acts[-1] if view.acts else None
    if view.replaced is not None and not (last and last.cut_off):
        findings.bad(
            "replaced",
            f"AWS IoT holds the certificate as INACTIVE: it was replaced {view.replaced.told}, and the device is to "
            "connect with that one",
            "Have the device use its new certificate and key. If it has lost them, issue it another certificate.",
        )
        return
    who = _by_whom(last) if last and last.cut_off else "somebody deactivated it, or registered it so"
    why = f": {last.message}" if last and last.cut_off and last.message else ""
    told = f"AWS IoT holds the certificate as INACTIVE: {who}{why}"
    if view.today is not None and view.today.verdict is Verdict.REJECT:
        remedy = CODES[view.today.reasons[0].code].remedy_for(rejected=False)
        findings.bad(
            "denied",
            f"{told}; and the rules in force deny it: {reasons_text(view.today)}",
            f"{remedy} Until then `jitr device activate` refuses it.",
        )
        return
    held = view.today is not None and view.today.verdict is Verdict.HOLD
    findings.bad(
        "inactive",
        told
        + (f"; and the rules in force would not admit it: {reasons_text(view.today)}" if held and view.today else ""),
        f"If the device is to connect: `jitr device activate {certificate_id[:12]}`.",
    )
