"""What a CA's revocation list (RFC 5280 section 6.3.3) and its OCSP responder (RFC 6960) mean for one device, now.

Where a CA has both, both must be for a device, and either is enough against it.

List and answer come from the address that the rules file gives to the CA's alias, never from one in a certificate:
whoever makes certificates would choose who answers for them.

One that is out of date still counts against a device: what was revoked stays revoked. It no longer counts for one.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from jitr.facts import CertificateFacts, Knock, OcspAnswer, Revocation
from jitr.reasons import Reason, Verdict
from jitr.rules.model import Ca, Crl, Floor, Ocsp, Rules
from jitr.times import rfc3339, span
from jitr.x509.names import quoted

# How far the clock of whoever signs lists may be ahead.
SIGNER_CLOCK_SKEW = timedelta(minutes=5)


def crls_of(knock: Knock, rules: Rules) -> tuple[Crl, ...]:
    """Return the revocation lists that count for a device, of each alias of its CA that has one configured.

    Of a list in partitions, those of the distribution points that the device's certificate names: they are known by
    name from the rules, and no address in a certificate is followed.
    """
    points = knock.certificate.crl_addresses
    configured = [rules.crls[alias] for alias in sorted(knock.aliases) if alias in rules.crls] if rules.crls else []
    return tuple(dict.fromkeys([crl for crls in configured for crl in crls if crl.is_for(points)]))


def ocsps_of(knock: Knock, rules: Rules) -> tuple[Ocsp, ...]:
    """Return the responders that count for a device: one for each alias of its CA that has one configured."""
    if not rules.ocsps:
        return ()
    return tuple(dict.fromkeys([rules.ocsps[alias] for alias in sorted(knock.aliases) if alias in rules.ocsps]))


def revocation_reasons(knock: Knock, rules: Rules, now: datetime, *, before_ocsp: bool = False) -> tuple[Reason, ...]:
    """Return every reason of the codes ``revocation.*``; none where nothing is configured, or all is well.

    With ``before_ocsp`` as if no responder were configured: to see whether one is worth asking.
    """
    if not rules.crls and not rules.ocsps:
        return ()
    listed = [
        reason
        for crl in crls_of(knock, rules)
        for reason in crl_reasons(crl, knock.revocations.get(crl.key), rules.floor, now)
    ]
    unplaced = [
        reason
        for alias in sorted(knock.aliases & rules.crls.keys())
        if (reason := without_partition(knock.certificate, rules.cas[alias])) is not None
    ]
    answered = [
        reason
        for ocsp in (() if before_ocsp else ocsps_of(knock, rules))
        for reason in ocsp_reasons(ocsp, knock.ocsp.get(ocsp.key), rules.floor, now)
    ]
    return (*unplaced, *listed, *answered)


def without_partition(certificate: CertificateFacts, ca: Ca) -> Reason | None:
    """Return a reason where a CA's list is in partitions, none of which is the certificate's."""
    points = certificate.crl_addresses
    if not ca.crls or any(each.is_for(points) for each in ca.crls):
        return None
    named = quoted(", ".join(points)) if points else "none"
    return Reason(
        "revocation.no-partition",
        f"the certificate's distribution point ({named}) is of none of the {len(ca.crls)} partitions that the rules "
        f"give {ca.alias}",
    )


def crl_reasons(crl: Crl, found: Revocation | None, floor: Floor, now: datetime) -> tuple[Reason, ...]:
    """Return what one list has against a device, or what is against the list."""
    # Fail closed: a list that nobody read speaks for nobody.
    if found is None:
        return (Reason("revocation.unusable", f"the revocation list {crl.url} was not read"),)
    problem = found.problem or _problem(found, floor, now)
    if problem is not None:
        return (Reason("revocation.unusable", f"{crl.url}: {problem}"),)
    if found.next_update is None:
        # `when_stale: admit` is for a list that is late. Where there is none at all, whoever keeps it away would
        # decide who gets in.
        why = f" ({found.failure})" if found.failure else ""
        return (Reason("revocation.unusable", f"the revocation list {crl.url} was never to be had{why}"),)
    return (*_listed(found), *_stale(crl, found, now))


def _problem(found: Revocation, floor: Floor, now: datetime) -> str | None:
    """Return what is against lists that their CA did sign."""
    weak = [each for each in found.signature_hashes if each not in floor.signature_hashes]
    if weak:
        return f"the revocation list is signed with {weak[0]}, the floor has {', '.join(floor.signature_hashes)}"
    for made in (found.this_update, None if found.delta is None else found.delta.this_update):
        if made is not None and now < made - SIGNER_CLOCK_SKEW:
            return f"the revocation list is of {rfc3339(made)}, which is yet to come"
    return None


def _listed(found: Revocation) -> tuple[Reason, ...]:
    if found.revoked_at is None:
        return ()
    since = rfc3339(found.revoked_at)
    if found.on_hold:
        return (Reason("revocation.on-hold", f"the CA has had the certificate on hold since {since}"),)
    return (Reason("revocation.revoked", f"the CA revoked the certificate at {since} ({found.reason})"),)


def _stale(crl: Crl, found: Revocation, now: datetime) -> tuple[Reason, ...]:
    """Return a reason for each of list and delta list that ran out.

    RFC 5280 section 6.3.3 (a) would do with a delta list that is fresh. Here both have to be: a CA that publishes its
    complete list no more is one that something is wrong with.
    """
    if crl.when_stale is Verdict.ADMIT:
        return ()
    ends = [(f"the revocation list {crl.url}", found.next_update)]
    ends += [] if found.delta is None else [(f"the delta revocation list {crl.delta}", found.delta.next_update)]
    why = f" ({found.failure})" if found.failure else ""
    return tuple(
        [
            Reason("revocation.stale", f"{which} ran out {span(now - end)} ago, at {rfc3339(end)}{why}")
            for which, end in ends
            if end is not None and now > end
        ]
    )


def ocsp_reasons(ocsp: Ocsp, found: OcspAnswer | None, floor: Floor, now: datetime) -> tuple[Reason, ...]:
    """Return what one responder has against a device, or what is against its answer."""
    # Fail closed: a responder that nobody asked speaks for nobody.
    if found is None:
        return (Reason("revocation.unusable", f"the OCSP responder {ocsp.url} was not asked"),)
    problem = found.problem or _why_untrusted(ocsp, found, floor, now)
    if problem is not None:
        return (Reason("revocation.unusable", f"{ocsp.url}: {problem}"),)
    if found.status is None:
        if ocsp.when_unavailable is Verdict.ADMIT and found.failure is not None:
            return ()
        return (Reason("revocation.unavailable", f"the OCSP responder {ocsp.url} did not answer ({found.failure})"),)
    late = _why_late(found, now)
    stale = () if late is None else (Reason("revocation.unusable", f"{ocsp.url}: {late}"),)
    if found.status == "unknown":
        return (Reason("revocation.unknown", f"the OCSP responder {ocsp.url} does not know the certificate"), *stale)
    if found.status == "revoked":
        return (*_revoked(found), *stale)
    return stale


def _why_untrusted(ocsp: Ocsp, found: OcspAnswer, floor: Floor, now: datetime) -> str | None:
    """Say what is against an answer that was signed by somebody who may."""
    if found.status is None:
        return None
    weak = [each for each in found.signature_hashes if each not in floor.signature_hashes]
    if weak:
        return f"the answer is signed with {weak[0]}, the floor has {', '.join(floor.signature_hashes)}"
    if ocsp.require_nonce and found.nonce is False:
        return "the answer has no nonce, and the rules say `require_nonce: true`"
    if found.signer_not_after is not None and now > found.signer_not_after:
        return f"the responder's certificate expired at {rfc3339(found.signer_not_after)}"
    if found.signer_not_before is not None and now < found.signer_not_before:
        return f"the responder's certificate begins at {rfc3339(found.signer_not_before)}"
    for made in (found.this_update, found.produced_at):
        if made is not None and now < made - SIGNER_CLOCK_SKEW:
            return f"the answer is of {rfc3339(made)}, which is yet to come"
    return None


def _why_late(found: OcspAnswer, now: datetime) -> str | None:
    """Say why an answer says nothing of now any more (RFC 6960 section 4.2.2.1)."""
    if found.this_update is None:
        return "the answer does not say of when it is"
    if found.next_update is not None:
        if now <= found.next_update + SIGNER_CLOCK_SKEW:
            return None
        return f"the answer ran out {span(now - found.next_update)} ago, at {rfc3339(found.next_update)}"
    # Nothing says how long it holds. It was made just now if it has our nonce; else it has to say so.
    if found.nonce or now <= found.this_update + SIGNER_CLOCK_SKEW:
        return None
    return f"the answer is of {rfc3339(found.this_update)}, and neither nextUpdate nor nonce says that it is not old"


def _revoked(found: OcspAnswer) -> tuple[Reason, ...]:
    since = "" if found.revoked_at is None else rfc3339(found.revoked_at)
    if found.on_hold:
        return (Reason("revocation.on-hold", f"by OCSP the CA has had the certificate on hold since {since}"),)
    return (Reason("revocation.revoked", f"by OCSP the CA revoked the certificate at {since} ({found.reason})"),)


def without_revocation(rules: Rules) -> Rules:
    """Return the same rules with no revocation list and no responder configured.

    For what only asks whether a device is worth deciding (a recheck, a replay, a test in the rules file): whoever
    admits decides with them.
    """
    return replace(rules, cas={alias: replace(ca, crls=(), ocsp=None) for alias, ca in rules.cas.items()})


def without_responders(rules: Rules) -> Rules:
    """Return the same rules with no responder configured, for whoever asks no server about each device of a fleet."""
    return replace(rules, cas={alias: replace(ca, ocsp=None) for alias, ca in rules.cas.items()})


def revocations_json(revocations: Mapping[str, Revocation]) -> dict[str, Any]:
    """Return them by address, as under ``facts.revocation`` in the decision record and in ``jitr explain --json``."""
    return {url: each.to_json() for url, each in revocations.items()}


def ocsp_json(answers: Mapping[str, OcspAnswer]) -> dict[str, Any]:
    """Return answers by responder, as under ``facts.ocsp`` in the decision record and in ``jitr explain --json``."""
    return {key: each.to_json() for key, each in answers.items()}
