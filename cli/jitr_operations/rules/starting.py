"""A first rules file: an example with comments and tests, to go on from."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from jitr.text import cut
from jitr.unseen import written_out
from jitr_operations.cas.registry import RegisteredCa, all_ca_ids, described
from jitr_operations.deployment import Deployment
from jitr_operations.issuing.subjects import subject_text

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

SCHEMA_FILE = "admission.schema.json"

_MOST_CAS = 20  # of an account: more make a file that nobody reads
_LONGEST_ALIAS = 40

# The caCertificateId of a CA that nobody has.
MADE_UP = "000000000000000000000000000000000000000000000000000000000000cafe"

_HEAD = """\
# yaml-language-server: $schema={schema}
#
# Who gets in, and what they are granted. `jitr rules check` reads this file and runs the tests at its end.
format: 1

# What becomes of a device that no rule matches: hold (it waits, and operators see it) or reject.
default: hold

"""

_DENY = """\
# Deny always wins, wherever it stands.
deny:
  - name: recalled-boards
    list: recalled                # a device list: `jitr lists import recalled FILE.csv`
    reason: Recalled

"""

_ALLOW = """\
# The first allow rule that matches gives its grant. All conditions of a rule must hold; of several values any one.
allow:
  - name: sensors
    ca: {alias}
    common_name: "snr-*"          # a pattern for the whole name: * any run of characters, ? any one
    # organization: OKIDA         # any other attribute of the certificate's subject
    # list: sensors-2026          # must also be on this device list
    # serial_number: "1000..1fff" # always hex, both ends count
    # window: 2026-01-01..2026-06-30
    # max_devices: 5000
    grant:
      thing: "{{common_name}}"      # templates must be in quotes
      iot_policies: [{policy}]      # must exist in AWS IoT
      # thing_type: Sensor
      # thing_groups: [sensors]
      # attributes: {{batch: "{{attr.batch}}"}} # attr.batch is a column of the device list

# What must be decided on devices like these; a test that fails blocks publishing.
tests:
  - name: a sensor gets in
    at: 2026-03-01
    device: {{ca: {alias}, common_name: snr-0001}}
    expect: {{decision: admit, rule: sensors, thing: snr-0001}}

"""

_DENY_TEST = """\
  - name: a recalled sensor does not
    at: 2026-03-01
    device: {{ca: {alias}, common_name: snr-0002}}
    lists: {{recalled: [{{common_name: snr-0002}}]}}
    expect: {{decision: reject, rule: recalled-boards}}

"""

_HOLD_TEST = """\
  - name: something else waits
    at: 2026-03-01
    device: {{ca: {alias}, common_name: gateway-1}}
    expect: {{decision: hold, reason: allow.unmatched}}
"""

_MADE_UP_CA = f"""\
# The CAs that sign your devices, by names that you choose. `jitr ca ls` prints the ids of those that are registered;
# the one below is made up. Instead of ids: `certificate: factory-a.pem`, a file beside this one.
cas:
  factory-a:
    ids: ["{MADE_UP}"]

"""

STARTER = (_HEAD + _MADE_UP_CA + _DENY + _ALLOW + _DENY_TEST + _HOLD_TEST).format(
    schema=SCHEMA_FILE, alias="factory-a", policy="Sensor"
)


@dataclass(frozen=True)
class NamedCa:
    """A registered CA as a rules file names it."""

    alias: str
    ca_id: str
    subject: str

    @property
    def line(self) -> str:
        """The one line that names it, to be pasted below ``cas``."""
        return f'  {self.alias}: {{ids: ["{self.ca_id}"]}}'

    def __str__(self) -> str:
        return f'  {self.alias}:                    # {self.subject}\n    ids: ["{self.ca_id}"]\n'


def starting_text(deployment: Deployment) -> str:
    """Return a first rules file that fits an account: its ACTIVE CAs by names of their own, and the stack's IoT policy.

    It can be published as it is. Where no CA is registered it names a made-up one.
    """
    cas = _registered(deployment.client("iot"))
    policy = deployment.output("DevicePolicyName")
    if not cas:
        return (_HEAD + _MADE_UP_CA + _ALLOW + _HOLD_TEST).format(schema=SCHEMA_FILE, alias="factory-a", policy=policy)
    named = "# The CAs that are registered, by names that you may change.\ncas:\n" + "".join(map(str, cas)) + "\n"
    rule = _ALLOW.replace("ca: {alias}\n", "ca: {all}\n", 1) + _HOLD_TEST
    every = cas[0].alias if len(cas) == 1 else f"[{', '.join(each.alias for each in cas)}]"
    return _HEAD.format(schema=SCHEMA_FILE) + named + rule.format(all=every, alias=cas[0].alias, policy=policy)


def as_in_rules(ca: RegisteredCa) -> NamedCa:
    """Return a CA by the name that a rules file may have for it, made from its subject's."""
    return NamedCa(_alias(ca), ca.id, _subject(ca))


def registered_in_rules(deployment: Deployment) -> Sequence[NamedCa]:
    """Return the ACTIVE CAs of an account, the first 20, each by a name of its own."""
    return _registered(deployment.client("iot"))


def _registered(iot: "IoTClient") -> Sequence[NamedCa]:
    found = (described(iot, each) for each in all_ca_ids(iot)[:_MOST_CAS])
    active = [each for each in found if each is not None and each.status == "ACTIVE"]
    taken: set[str] = set()
    return [NamedCa(_free(_alias(each), taken), each.id, _subject(each)) for each in active]


def _subject(ca: RegisteredCa) -> str:
    """Return who a CA is, on one line that cannot leave its comment."""
    certificate = ca.certificate
    return "cannot be read" if certificate is None else cut(written_out(subject_text(certificate.subject)), 60)


def _alias(ca: RegisteredCa) -> str:
    certificate = ca.certificate
    names = () if certificate is None else certificate.own.facts.values("common_name")
    return alias_for(names[0] if names else "my-ca")


def alias_for(name: str) -> str:
    """Return a CA's name as a rules file may have it, made from a file's or a subject's."""
    return re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")[:_LONGEST_ALIAS].rstrip("-") or "my-ca"


def _free(alias: str, taken: set[str]) -> str:
    """Return the alias, with a number where another CA has it, and take it."""
    names = (alias if number == 1 else f"{alias}-{number}" for number in count(1))
    found = next(each for each in names if each not in taken)
    taken.add(found)
    return found
