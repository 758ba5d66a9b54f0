"""What the rules in force ask about revoked certificates of a CA, and what is answered now."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from jitr.aws.cas import Cas
from jitr.aws.crls import Crls
from jitr.aws.dynamodb.rulebook import rules_in_force
from jitr.aws.iot import Iot
from jitr.aws.ocsp_responders import OcspResponders
from jitr.decision.revocation import crl_reasons, ocsp_reasons, without_partition
from jitr.decision.revocation_lists import revocation_in, said_of
from jitr.errors import InputError, Unreadable, UnusableCrl
from jitr.facts import CertificateFacts, OcspAnswer, Revocation
from jitr.reasons import Reason
from jitr.rules.model import Ca, Crl, Rules
from jitr.text import counted
from jitr.times import rfc3339
from jitr.x509.certificate import CaReading, read_certificate
from jitr.x509.crl import CrlReading
from jitr_operations.cas import which as which_ca
from jitr_operations.crls import crls_with
from jitr_operations.deployment import Deployment
from jitr_operations.table import table_of

# A made-up certificate is revoked or unknown to a responder, and some say good: all three are answers.
_ANSWERS = ("revocation.unknown", "revocation.revoked", "revocation.on-hold")


@dataclass(frozen=True, slots=True)
class Check:
    """One list or responder of one registered CA: what it says now, and what speaks against it or the device."""

    ca_certificate_id: str
    kind: str  # crl or ocsp
    url: str
    said: str
    reasons: tuple[Reason, ...]

    @property
    def encrypted(self) -> bool:
        """Whether nobody on the way sees what is asked."""
        return not self.url.startswith("http://")

    def to_json(self) -> dict[str, object]:
        """Return it as ``--json`` prints it."""
        return {
            "ca_certificate_id": self.ca_certificate_id,
            "kind": self.kind,
            "url": self.url,
            "encrypted": self.encrypted,
            "ok": not self.reasons,
            "said": self.said,
            "reasons": [each.to_json() for each in self.reasons],
        }


def check_revocation(
    deployment: Deployment, which: str, certificate: bytes | None, at: datetime
) -> tuple[str, list[Check]]:
    """Ask every list and responder of a CA, or of each that an alias stands for; return its alias and the answers.

    About a certificate, as the function would; without one a list is only fetched and verified, and a responder is
    asked about a serial number that nobody has. Raises InputError where there is nothing to ask, or no CA to verify
    it by.
    """
    rules = rules_in_force(table_of(deployment))
    if rules is None:
        raise InputError("no rules are in force, and it is they that say whom to ask")
    alias, ids = which_ca.configured(deployment, rules, which)
    configured = rules.cas[alias]
    if not configured.revokes:
        raise InputError(f"the rules in force give {alias} neither `crl` nor `ocsp`: see docs/rules.md")
    facts = None if certificate is None else _facts(certificate)
    cas = Cas(Iot(deployment.client("iot")))
    found = [registered.reading for each in ids if (registered := cas.get(each, at)).reading is not None]
    if not found:
        raise InputError(f"AWS IoT holds none of the CAs that {rules.source} calls {alias}: nothing to verify by")
    asking = _Asking(rules, crls_with(deployment), OcspResponders(), facts, at)
    return alias, [check for ca in found if ca is not None for check in asking.of(ca, configured)]


def _facts(certificate: bytes) -> CertificateFacts:
    try:
        return read_certificate(certificate).facts
    except Unreadable as error:
        raise InputError(f"the certificate: {error}") from error


@dataclass(frozen=True)
class _Asking:
    rules: Rules
    crls: Crls
    responders: OcspResponders
    certificate: CertificateFacts | None
    at: datetime

    def of(self, ca: CaReading, configured: Ca) -> Iterator[Check]:
        """Return what each list and responder says: about a certificate only the partitions that it names."""
        ca_id, ocsp = ca.facts.ca_certificate_id, configured.ocsp
        for crl in configured.crls:
            if self.certificate is None or crl.is_for(self.certificate.crl_addresses):
                said, revocation = self._listed(crl, ca)
                yield Check(ca_id, "crl", crl.key, said, crl_reasons(crl, revocation, self.rules.floor, self.at))
        if self.certificate is not None:
            unplaced = without_partition(self.certificate, configured)
            if unplaced is not None:
                yield Check(ca_id, "crl", counted(len(configured.crls), "partition"), "nothing", (unplaced,))
        if ocsp is not None:
            serial = secrets.token_hex(16) if self.certificate is None else self.certificate.serial_number
            answer = self.responders.ask(ocsp, ca, serial, self.at)
            reasons = ocsp_reasons(ocsp, answer, self.rules.floor, self.at)
            if self.certificate is None:
                reasons = tuple([each for each in reasons if each.code not in _ANSWERS])
            yield Check(ca_id, "ocsp", ocsp.url, _told(answer), reasons)

    def _listed(self, crl: Crl, ca: CaReading) -> tuple[str, Revocation]:
        try:
            found = self.crls.list_of(crl, ca, self.at)
        except UnusableCrl as error:
            return "nothing that can be used", Revocation(problem=str(error).removeprefix(f"{crl.url}: "))
        said = _list_told(found, crl)
        if self.certificate is not None:
            return said, revocation_in(found, self.certificate, crl)
        if crl.point is not None and crl.point not in (found.points or ()):
            return said, Revocation(problem=f"it does not say that it is the partition of {crl.point}")
        return said, said_of(found)


def _list_told(found: CrlReading, crl: Crl) -> str:
    told = f"a list {_span_and_length(found)}"
    if found.delta is not None:
        applies = "since" if found.delta_applies else "that is no later than the list, and says nothing new"
        return f"{told}; a delta list {_span_and_length(found.delta)} {applies}"
    if crl.delta is None and found.freshest:
        told += f"; it names a delta list, which the rules do not: {', '.join(found.freshest)}"
    return told


def _span_and_length(crl: CrlReading) -> str:
    length = counted(len(crl), "entry", "entries")
    return f"of {rfc3339(crl.this_update)} to {rfc3339(crl.next_update)} with {length}"


def _told(answer: OcspAnswer) -> str:
    if answer.status is None or answer.this_update is None:
        return "no answer" if answer.failure else "an answer that does not count"
    until = "" if answer.next_update is None else f" to {rfc3339(answer.next_update)}"
    nonce = "with" if answer.nonce else "without"
    return f"{answer.status}, of {rfc3339(answer.this_update)}{until}, by {answer.signer}, {nonce} nonce"
