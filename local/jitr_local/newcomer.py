"""A device that waits to be let in, for whoever tries the function on one event.

It is registered as ``PENDING_ACTIVATION``, as by its first connection, but no event was published: the function of the
stack lets it alone until somebody hands its event to one. AWS IoT has no such call; the stand-in lets a certificate
return to that status.
"""

import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from jitr_local.errors import StackError
from jitr_local.operator import Operator
from jitr_local.stack import LocalStack

_RULES = "newcomer.yaml"
_TEXT = """\
format: 1
default: hold
cas:
  newcomers: {{certificate: newcomers.pem}}
allow:
  - name: newcomers
    ca: newcomers
    common_name: "newcomer-*"
    grant: {{thing: "{{common_name}}", iot_policies: ["{policy}"]}}
"""


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A device's name, and its certificate, which is pending."""

    name: str
    certificate_id: str


def introduce(stack: LocalStack, event: Path) -> Newcomer:
    """Make a CA, a rule and a pending device, and write the event of the device's first connection.

    Raises StackError where other rules are in force: to put these in their place would let nobody else in.
    """
    with TemporaryDirectory(prefix="jitr-") as folder:
        operator = Operator(stack, Path(folder))
        _require_no_other_rules(operator)
        name = f"newcomer-{secrets.token_hex(3)}"
        operator.types("ca", "create", "newcomers", "--organization", "Newcomers")
        operator.types("ca", "register", "newcomers.pem", "--key", "newcomers.key")
        (operator.folder / _RULES).write_text(_TEXT.format(policy=stack.outputs["DevicePolicyName"]))
        operator.types("rules", "publish", _RULES, "--yes", "--message", "a newcomer gets in")
        operator.types("device", "issue", name, "--ca", "newcomers.pem")
        (device,) = json.loads(operator.types("device", "register", f"{name}.pem", "--json"))["devices"]
        certificate_id = str(device["certificate_id"])
        stack.session().client("iot").update_certificate(
            certificateId=certificate_id, newStatus="PENDING_ACTIVATION"
        )  # fmt: skip
        operator.types("events", "make", f"{name}.pem", "--out", str(event.resolve()), "--force")
    return Newcomer(name, certificate_id)


def _require_no_other_rules(operator: Operator) -> None:
    rules = json.loads(operator.types("status", "--json"))["rules"]
    if rules is not None and rules["source"] != _RULES:
        raise StackError(
            f"the rules in force on this stack are not the newcomer's ({rules['source']}). Hand the function a device "
            "of yours that waits: `jitr events make CERTIFICATE.pem --local --out event.json`"
        )
