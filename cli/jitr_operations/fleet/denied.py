"""Which devices that are in a deny rule in force matches: what publishing the rule does not do by itself."""

from dataclasses import dataclass

from jitr.aws.dynamodb.rulebook import rules_in_force
from jitr.errors import InputError
from jitr.fleet.standing import Standing
from jitr.rules.model import Rules
from jitr.services.fleet.findings import FleetFinding, codes
from jitr.text import meant
from jitr.unseen import quote
from jitr_operations import telling
from jitr_operations.deployment import Deployment
from jitr_operations.fleet.check import check
from jitr_operations.fleet.notebook import Notebook
from jitr_operations.fleet.selection import Selection
from jitr_operations.table import table_of


@dataclass(frozen=True, slots=True)
class DeniedDevice:
    """A device that is in, and that a deny rule matches."""

    rule: str
    finding: FleetFinding

    @property
    def certificate_id(self) -> str:
        """The device's certificate."""
        return str(self.finding["certificate_id"])

    def to_json(self) -> dict[str, str | None]:
        """Return it as ``--json`` prints it."""
        return {
            "certificate_id": self.certificate_id,
            "common_name": self.finding["common_name"] or None,
            "found_by": "rule",
            "key": self.rule,
        }

    def __str__(self) -> str:
        """Return it for people."""
        admitted = f"admitted by rule {self.finding['rule']}" if self.finding["rule"] else "without a record"
        return f"{self.certificate_id[:12]}  {self.finding['common_name'] or '(no common name)'}  {admitted}"


def selection_of(rule: str) -> Selection:
    """Return the devices that a deny rule alone would reject; no revocation list and no responder is asked."""
    return Selection(denied_by=rule, only=frozenset({Standing.REJECT, Standing.UNKNOWN}), ocsp=False)


def find_denied(deployment: Deployment, rule: str) -> list[DeniedDevice]:
    """Find every ACTIVE device that a deny rule in force matches, unless an operator overruled it.

    Those that are being decided at this moment are left out: the function itself sees the rule. Raises InputError
    where no deny rule in force has that name.
    """
    rules = rules_in_force(table_of(deployment)) or Rules("")
    names = [each.name for each in rules.deny]
    if rule not in names and any(each.name == rule for each in rules.allow):
        raise InputError(
            f"{rule} is an allow rule, which takes nobody out. To take out whom it admitted, publish rules that deny "
            f"them or no longer allow them, and see `jitr fleet check --rule {rule}`"
        )
    if rule not in names:
        raise InputError(f"the rules in force have no deny rule {quote(rule)}: {meant(rule, names)}")
    notebook = Notebook(None)
    try:
        checked = check(deployment, selection_of(rule), notebook)
    finally:
        notebook.close(finished=True)
    if checked.left_alone:
        telling.note(f"Left alone, because they are being decided at this moment: {checked.left_alone}.")
    return [DeniedDevice(rule, each) for each in checked.findings if "deny.rule" in codes(each)]
