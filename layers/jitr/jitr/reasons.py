"""Reason codes: stable dotted words for why a device was admitted, held or rejected.

A code is never renamed and never changes its effect. ``docs/reasons.md`` is generated from this module.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum

from jitr.iot_names import ATTRIBUTE_VALUE, THING_NAME
from jitr.values import dataclass


class Verdict(StrEnum):
    """A verdict on a device. "Could not decide" is not a verdict but a retry."""

    ADMIT = "admit"
    HOLD = "hold"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class ReasonCode:
    """One documented code.

    ``effect`` is the verdict that the code alone leads to; ``None`` marks poison: an event that is never decided.
    ``remedy_in`` is for devices that were not rejected when they came, but are in or were registered by hand: no event
    is to be decided again. None where ``remedy`` is for them as well.
    """

    code: str
    effect: Verdict | None
    meaning: str
    remedy: str
    remedy_in: str | None = None

    def remedy_for(self, *, rejected: bool) -> str:
        """Return what to do for a device that was rejected when it came, or for one that was not."""
        return self.remedy if rejected or self.remedy_in is None else self.remedy_in


@dataclass(frozen=True, slots=True)
class Reason:
    """A code and a sentence about this one device.

    ``override`` replaces the code's own effect; only ``allow.unmatched`` has one, from the file's ``default``.
    """

    code: str
    message: str
    override: Verdict | None = None

    @property
    def effect(self) -> Verdict:
        """The verdict this reason alone leads to."""
        effect = self.override or CODES[self.code].effect
        if effect is None:
            raise ValueError(f"{self.code} is poison, not a reason for a decision")
        return effect

    def to_json(self) -> dict[str, str]:
        """Return it as in the decision record and ``jitr explain --json``."""
        return {"code": self.code, "message": self.message}


_ADMIT, _HOLD, _REJECT = Verdict.ADMIT, Verdict.HOLD, Verdict.REJECT

# In order of weight: within one effect, a code further up is told first.
_ALL = (
    ReasonCode(
        "event.not-json",
        None,
        "The message is not a registration event: it is not a JSON object.",
        "Find out who else writes to the registration queue; only the topic rule should.",
    ),
    ReasonCode(
        "event.certificate-id",
        None,
        "The event has no certificateId or caCertificateId, or one that is malformed.",
        "Find out who else writes to the registration queue; only the topic rule should.",
    ),
    ReasonCode(
        "event.account",
        None,
        "The event names an AWS account other than the one this function runs in.",
        "Find out who else writes to the registration queue; only the topic rule should.",
    ),
    ReasonCode(
        "event.ca-mismatch",
        None,
        "The event names a CA other than the one AWS IoT holds for that certificate.",
        "Treat it as forged: nothing was changed. The certificate's own events are handled as always.",
    ),
    ReasonCode(
        "event.forged",
        None,
        "A device published the event itself, by Basic Ingest; the message names the certificate it did so with.",
        "Nothing was changed. Take `$aws/rules/*` out of that device's IoT policy, and look at what else it does.",
    ),
    ReasonCode(
        "event.ca-unknown",
        None,
        "The account has no CA with the id in the event, even after several deliveries.",
        "Nothing, if the CA was deleted meanwhile. Otherwise treat it as forged: nothing was changed.",
    ),
    ReasonCode(
        "event.certificate-unknown",
        None,
        "AWS IoT knows no certificate with that id, even after several deliveries.",
        "Nothing, if the certificate was deleted meanwhile; the device's next connection registers it again.",
    ),
    ReasonCode(
        "event.bug",
        None,
        "The function failed on this event unexpectedly, in each of its deliveries.",
        "Read the logs by certificateId, report the failure, and redrive the message after an update.",
    ),
    ReasonCode(
        "event.exhausted",
        None,
        "The message came back more often than the queue allows: AWS could not be asked for more than a day, or the "
        "function was ended each time.",
        "See what `jitr status` and the logs say; once it works again, redrive the message.",
    ),
    ReasonCode(
        "event.rule-failed",
        None,
        "The topic rule could not put the event on the registration queue.",
        "Fix what AWS IoT reports (the rule's role, the queue), then redrive the message.",
    ),
    ReasonCode(
        "chain.bad-signature",
        _REJECT,
        "The key of the registered CA does not verify the certificate's signature.",
        "Register the CA that really signed the device, or find out who made the certificate.",
    ),
    ReasonCode(
        "chain.name-mismatch",
        _REJECT,
        "The certificate's issuer name is not the CA's subject name (compared decoded, RFC 5280 section 7.1).",
        "Issue a new certificate with the CA's exact subject as its issuer.",
    ),
    ReasonCode(
        "certificate.is-ca",
        _REJECT,
        "The certificate is itself a CA (basicConstraints CA:TRUE): a device must not be able to issue devices.",
        "Issue the device a certificate without CA:TRUE.",
    ),
    ReasonCode(
        "deny.rule",
        _REJECT,
        "A deny rule matches. Deny always wins.",
        "If it should not match, change the rule or its list, then `jitr decisions reopen`.",
        "If it should not match, change the rule or its list, then `jitr device activate` it (or `register`).",
    ),
    ReasonCode(
        "deny.operator",
        _REJECT,
        "An operator rejected the device by hand.",
        "`jitr decisions reopen` it if that was wrong.",
    ),
    ReasonCode(
        "revocation.revoked",
        _REJECT,
        "The CA's revocation list names the certificate, or its OCSP responder says that it is revoked.",
        "Issue the device a new certificate, or find out why it was revoked.",
    ),
    ReasonCode(
        "certificate.expired",
        _REJECT,
        "The certificate's validity has ended.",
        "Issue the device a new certificate.",
    ),
    ReasonCode(
        "certificate.unreadable",
        _HOLD,
        "The certificate cannot be parsed.",
        "Look at it with `openssl x509 -text`; the message says what the parser stopped at.",
    ),
    ReasonCode(
        "certificate.too-large",
        _HOLD,
        "The certificate is larger, or has more names or extensions, than any honest device needs.",
        "Issue the device a smaller certificate.",
    ),
    ReasonCode(
        "certificate.not-yet-valid",
        _HOLD,
        "The certificate's validity has not begun.",
        "Nothing: it is decided again when it begins. If that is wrong, check the issuer's clock.",
    ),
    ReasonCode(
        "certificate.no-client-auth",
        _HOLD,
        "The certificate has an extended key usage, and clientAuth is not in it (RFC 5280 section 4.2.1.12).",
        "Issue the device a certificate with clientAuth, or with no extended key usage.",
    ),
    ReasonCode(
        "certificate.critical-extension",
        _HOLD,
        "The certificate has a critical extension that this software does not know (RFC 5280 section 4.2).",
        "Issue the device a certificate without it, or with it not critical.",
    ),
    ReasonCode(
        "certificate.key",
        _HOLD,
        "The certificate's key is below the floor in the rules file, weak in itself (RSA exponent, ROCA), or of a kind "
        "that AWS IoT refuses.",
        "Issue the device a certificate with a stronger key, or lower the floor knowingly.",
    ),
    ReasonCode(
        "certificate.signature-hash",
        _HOLD,
        "The certificate was signed with a hash outside the floor in the rules file.",
        "Issue the device a certificate signed with SHA-256 or better.",
    ),
    ReasonCode(
        "certificate.serial-number",
        _HOLD,
        "The certificate's serial number is zero or negative (RFC 5280 section 4.1.2.2 wants it positive).",
        "Set `certificate: {serial_numbers: any}` in the rules file knowingly, or issue the device a new certificate; "
        "nothing else helps.",
    ),
    ReasonCode(
        "certificate.twin",
        _HOLD,
        "The same certificate was decided here before, or registered by hand, under another id: only the form of its "
        "ECDSA signature differs, and anybody who has a certificate can change that.",
        "See what became of the other id (`jitr device show`); `jitr device delete` it to have this one decided. "
        "Recall devices by public key or serial number: those cannot be changed.",
    ),
    ReasonCode(
        "chain.ca-missing",
        _HOLD,
        "AWS IoT no longer holds the CA that registered the certificate.",
        "Register the CA again, or delete the certificate.",
    ),
    ReasonCode(
        "chain.ca-unreadable",
        _HOLD,
        "AWS IoT holds the CA that registered the certificate, but its certificate cannot be read here; the message "
        "says why.",
        "Issue a certificate without that fault for the same key and subject of the CA, and register it; the devices "
        "keep theirs.",
    ),
    ReasonCode(
        "chain.ca-serial-number",
        _HOLD,
        "The CA's certificate has a serial number that is zero or negative (RFC 5280 section 4.1.2.2 wants it "
        "positive).",
        "Set `certificate: {serial_numbers: any}` in the rules file knowingly, or issue a certificate with another "
        "serial number for the same key and subject of the CA, and register it; nothing else helps.",
    ),
    ReasonCode(
        "chain.ca-inactive",
        _HOLD,
        "The CA is registered but INACTIVE.",
        "`jitr ca activate` it if its devices are to get in.",
    ),
    ReasonCode(
        "chain.ca-expired",
        _HOLD,
        "The CA certificate's validity has ended or not begun.",
        "Register the CA's renewed certificate.",
    ),
    ReasonCode(
        "chain.ca-not-a-ca",
        _HOLD,
        "The registered CA certificate may not sign certificates: no CA:TRUE, or a keyUsage without keyCertSign.",
        "Make a CA certificate with basicConstraints CA:TRUE and register that.",
    ),
    ReasonCode(
        "chain.name-constraints",
        _HOLD,
        "The CA has name constraints, which this software does not evaluate and therefore does not ignore.",
        "Register a CA without name constraints; rules can say which names may come in.",
    ),
    ReasonCode(
        "revocation.on-hold",
        _HOLD,
        "The CA's revocation list or OCSP responder has the certificate on hold (certificateHold, RFC 5280 section "
        "5.3.1).",
        "Lift the hold at the CA.",
    ),
    ReasonCode(
        "revocation.unusable",
        _HOLD,
        "The CA's revocation list or its delta list cannot be used (wrong signer, damaged, indirect, of another "
        "partition, delta that does not build on the list) or could never be fetched, or the OCSP responder's answer "
        "cannot be used (wrong signer, about another certificate, old, refused). `when_stale` and `when_unavailable` "
        "in the rules file do not apply.",
        "The message says what is wrong. A revocation list must be complete, and the CA itself must sign it and its "
        "delta list. An OCSP answer must be signed by the CA, by a responder that the CA certified for it, or by the "
        "one in the rules file.",
    ),
    ReasonCode(
        "revocation.no-partition",
        _HOLD,
        "The CA's revocation list is in partitions, and the distribution point that the certificate names "
        "(cRLDistributionPoints, RFC 5280 section 4.2.1.13) belongs to none in the rules file.",
        "Add the partition to `crl` in the rules file; the message names its distribution point.",
    ),
    ReasonCode(
        "revocation.unknown",
        _HOLD,
        "The CA's OCSP responder does not know the certificate (RFC 6960 section 2.2, unknown).",
        "Tell the responder what the CA issued, or name the responder that knows. It is asked again within 15 minutes.",
    ),
    ReasonCode(
        "revocation.unavailable",
        _HOLD,
        "The CA's OCSP responder did not answer, and the rules file says `when_unavailable: hold`.",
        "Get the responder to answer, or say `when_unavailable: admit` knowingly. It is asked again within 15 minutes.",
    ),
    ReasonCode(
        "revocation.stale",
        _HOLD,
        "The CA's revocation list has expired, no fresh one can be had, and the rules file says `when_stale: hold`.",
        "Have the CA publish a fresh list, or say `when_stale: admit` knowingly.",
    ),
    ReasonCode(
        "grant.thing-claimed",
        _HOLD,
        "The thing name is reserved by a device with another key, or its thing is still there from a device of "
        "another CA.",
        "Find out which of the two is real. For a renewal, set `renewal: coexist` or `replace` in the grants of both; "
        "if they have different CAs, name the holder's alias under `renewal_from`. A thing that nobody has may be "
        "deleted.",
    ),
    ReasonCode(
        "grant.thing-exists",
        _HOLD,
        "A thing of that name exists that this software did not make.",
        "Delete or rename the thing, or set `existing: adopt` in the grant (adopts it only if nothing is attached).",
    ),
    ReasonCode(
        "grant.thing-name",
        _HOLD,
        f"The thing name that the grant gives is not one AWS IoT takes: {THING_NAME}. It is never cleaned up.",
        "Change the template, or give the device a thing_name in its list row.",
    ),
    ReasonCode(
        "grant.attribute",
        _HOLD,
        f"A thing attribute made from a template is not one AWS IoT takes: {ATTRIBUTE_VALUE}.",
        "Change the template or the value it reads.",
    ),
    ReasonCode(
        "grant.policy-variable",
        _HOLD,
        "One of `/ + # * ? $` is in a value that an IoT policy can use: a subject attribute, an alternative name, or "
        "what a template puts into an attribute of the thing. Under a policy that uses it, for instance as "
        "`${iot:Certificate.Subject.CommonName}`, the device could reach another device's topics.",
        "Issue the device a certificate with another name, or correct its list row. If no IoT policy of the device "
        "uses that variable, name it under `not_in_policies` in the grant.",
    ),
    ReasonCode(
        "grant.template-missing",
        _HOLD,
        "A template in the grant names a value that the device does not have, or has more than once.",
        "Add the value to the device's list row, or change the template.",
    ),
    ReasonCode(
        "grant.max-devices",
        _HOLD,
        "The rule has admitted as many devices as its max_devices allows.",
        "Raise max_devices, or delete devices that are gone: every key that holds a name takes a place.",
    ),
    ReasonCode(
        "apply.iot-policy-missing",
        _HOLD,
        "An IoT policy that the grant names does not exist.",
        "Create the IoT policy, or correct the grant.",
    ),
    ReasonCode(
        "apply.resource-missing",
        _HOLD,
        "A thing type or thing group that the grant names does not exist.",
        "Create the thing type or thing group, or correct the grant.",
    ),
    ReasonCode(
        "apply.limit",
        _HOLD,
        "AWS IoT refused because of a limit that waiting does not lift.",
        "The message names the limit: ask AWS to raise it, or grant less.",
    ),
    ReasonCode(
        "apply.refused",
        _HOLD,
        "AWS IoT refused the request as invalid, and would refuse it again.",
        "The message is AWS's own: correct what it names, then `jitr held recheck`.",
    ),
    ReasonCode(
        "apply.certificate-state",
        _HOLD,
        "AWS IoT refused the new status of the certificate.",
        "Look at the certificate with `jitr device show`; it may be in transfer.",
    ),
    ReasonCode(
        "allow.ambiguous",
        _HOLD,
        "An allow rule matches only through a subject attribute that the certificate has more than once.",
        "Issue a certificate that has the attribute once, or match the device by list or serial number.",
    ),
    ReasonCode(
        "allow.unmatched",
        _HOLD,
        "No allow rule matches. The effect is that of `default` in the rules file: hold, or reject.",
        "See the near misses: add the device to a list, or change a rule.",
    ),
    ReasonCode(
        "allow.operator",
        _ADMIT,
        "An operator admitted the device by hand, in place of a rule's matching.",
        "Nothing.",
    ),
    ReasonCode(
        "allow.rule",
        _ADMIT,
        "An allow rule matches.",
        "Nothing.",
    ),
)

CODES = {each.code: each for each in _ALL}
_WEIGHT = {each.code: weight for weight, each in enumerate(_ALL)}
_SEVERITY = {_REJECT: 0, _HOLD: 1, _ADMIT: 2}


def by_weight(reasons: Sequence[Reason]) -> tuple[Reason, ...]:
    """Return the reasons without repeats, heaviest first: rejects, then holds, then the rest."""
    if len(reasons) == 1:  # as nearly always
        return tuple(reasons)
    return tuple(sorted(set(reasons), key=lambda r: (_SEVERITY[r.effect], _WEIGHT[r.code], r.message)))


def verdict_of(reasons: Iterable[Reason]) -> Verdict:
    """Return the verdict the reasons lead to together: the most severe of their effects.

    Raises ValueError for no reasons at all: nobody is admitted for want of a reason.
    """
    return min([each.effect for each in reasons], key=_SEVERITY.__getitem__)
