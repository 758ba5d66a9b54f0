"""The decision about a certificate from files alone: rules, CA certificates, lists and a time."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from jitr.decision.chain import verify_chain
from jitr.decision.decide import Decision, decide, unreadable
from jitr.decision.profile import warnings
from jitr.decision.revocation import crls_of, ocsps_of
from jitr.decision.revocation_lists import read_revocation
from jitr.devicelists.rows import ListRow, RowKey, membership_in, rows_by_key
from jitr.errors import InputError, NotACertificate, Unreadable, UnusableCrl, UnusableOcsp
from jitr.facts import Knock, OcspAnswer, Revocation
from jitr.records.knock import facts_json
from jitr.rules.model import Rules
from jitr.text import counted
from jitr.times import parse_time
from jitr.x509.certificate import CaReading, CertificateReading, read_ca, read_certificate
from jitr.x509.ocsp import MAX_RESPONSE, OcspReading, answer_of, question_about, read_ocsp, responder_named
from jitr.x509.pem import find_certificate
from jitr_operations import telling
from jitr_operations.explain.crl_files import GivenCrl, given_for, read_crl_files
from jitr_operations.explain.explanation import Explanation
from jitr_operations.files import read_bytes
from jitr_operations.lists.files import may_be_signed, read_rows
from jitr_operations.lists.manifests import ManifestChoice
from jitr_operations.lists.near_rows import with_near_rows
from jitr_operations.rules.files import read_rules_file


@dataclass(frozen=True, slots=True)
class Files:
    """The options that name files, as they were given: ``NAME=FILE``; and those of signers of manifests."""

    cas: tuple[str, ...]
    lists: tuple[str, ...]
    crls: tuple[str, ...]
    signers: tuple[Path, ...] = ()
    ocsp: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UnreadableCa:
    """A CA certificate that cannot be read, and why not; the id is the one that AWS IoT gives it."""

    ca_certificate_id: str
    problem: str


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything a decision needs, from files.

    ``crls`` and ``ocsp`` are by the key of the list and of the responder; one that cannot be used is its problem.
    """

    rules: Rules
    cas: Mapping[str, "CaReading | UnreadableCa"]
    lists: Mapping[str, Mapping[RowKey, ListRow]]
    crls: Mapping[str, GivenCrl]
    ocsp: Mapping[str, OcspReading | UnusableOcsp]
    at: datetime


def read_inputs(rules_file: Path, files: Files, at: str | None) -> Inputs:
    """Read the inputs that the options name. Raises InputError for the first that cannot be used."""
    rules = read_rules_file(rules_file)
    lists = _read_lists(rules, files.lists, files.signers)
    crls, ocsp = _read_crls(rules, files.crls), _read_ocsp(rules, files.ocsp)
    return Inputs(rules, _read_cas(rules, files.cas), lists, crls, ocsp, _read_time(at))


def explain_offline(data: bytes, source: str, inputs: Inputs) -> Explanation:
    """Decide a certificate as the function would, but for guards that need the table.

    Raises InputError for bytes that are no certificate at all; one that is too large or damaged is a decision.
    """
    try:
        reading = read_certificate(data)
    except NotACertificate as error:
        raise InputError(f"{source}: {error}") from error
    except Unreadable as error:
        return Explanation(unreadable(error.code, str(error), inputs.at), {}, (), ())
    if reading.taken is not None:
        telling.note(f"{source}: {reading.taken}")
    knock = _knock(reading, inputs)
    # Every list, and not only those that decide: near misses then tell of each.
    memberships = {name: membership_in(knock, inputs.lists[name], inputs.at) for name in inputs.rules.lists}
    decision = decide(knock, inputs.rules, memberships, inputs.at, inputs.at)
    decision = with_near_rows(decision, knock, inputs.rules, lambda name, _keys: inputs.lists[name])
    return Explanation(decision, facts_json(knock), warnings(knock), _not_checked(decision))


def _knock(reading: CertificateReading, inputs: Inputs) -> Knock:
    """Return the device under the given CA that issued it: the first whose key verifies its signature.

    Nobody knows what a CA issued that cannot be read: such a one is taken where no other is known to be the device's.
    """
    knocks: list[tuple[Knock, CaReading | None]] = []
    for alias, ca in inputs.cas.items():
        ca_id = ca.ca_certificate_id if isinstance(ca, UnreadableCa) else ca.facts.ca_certificate_id
        aliases = inputs.rules.aliases_of(ca_id) | {alias}
        if ca_id not in inputs.rules.cas[alias].ids:
            telling.warn(
                f"--ca {alias}: the rules give that name to another CA than this file's ({ca_id[:12]}); taken as said"
            )
        if isinstance(ca, UnreadableCa):
            knocks.append((Knock(reading.facts, ca_id, None, None, aliases, ca_problem=ca.problem), None))
        else:
            knocks.append((Knock(reading.facts, ca_id, ca.facts, verify_chain(reading, ca), aliases), ca))
    issuers = [each for each in knocks if each[0].chain is not None and each[0].chain.signature_valid]
    namesakes = [each for each in knocks if each[0].chain is not None and each[0].chain.names_equal]
    unknown = [each for each in knocks if each[0].chain is None]
    chosen, issuer = (*issuers, *namesakes, *unknown, *knocks)[0]
    # The same certificate may be given under several aliases: it has all of them.
    same = [each.aliases for each, _ in knocks if each.ca_certificate_id == chosen.ca_certificate_id]
    knock = replace(chosen, aliases=frozenset().union(*same))
    if issuer is None:
        return knock
    revocations, answers = _revocations(knock, issuer, inputs), _answers(knock, issuer, inputs)
    return replace(knock, revocations=revocations, ocsp=answers)


def _revocations(knock: Knock, ca: CaReading, inputs: Inputs) -> dict[str, Revocation]:
    """Return what the given lists say of the device. Raises InputError if one that counts was not given."""
    found = {}
    for configured in crls_of(knock, inputs.rules):
        given = given_for(inputs.rules, configured, inputs.crls)
        if given.complete is None or isinstance(given.complete, UnusableCrl):
            found[configured.key] = Revocation(problem=str(given.complete))
        else:
            found[configured.key] = read_revocation(given.complete, ca, knock.certificate, configured, given.delta)
    return found


def _answers(knock: Knock, ca: CaReading, inputs: Inputs) -> dict[str, OcspAnswer]:
    """Return what the answers given say of the device. Raises InputError where one that counts was not given.

    Nobody knows with which nonce it was asked for.
    """
    found = {}
    for ocsp in ocsps_of(knock, inputs.rules):
        answer = inputs.ocsp.get(ocsp.key)
        if answer is None:
            alias = next(each for each, other in sorted(inputs.rules.ocsps.items()) if other == ocsp)
            raise InputError(
                f"{inputs.rules.source} gives {alias} an OCSP responder, whose answer is not given: "
                f"--ocsp {alias}=FILE, as `openssl ocsp -respout FILE` writes it"
            )
        if isinstance(answer, UnusableOcsp):
            told = str(answer)
            found[ocsp.key] = OcspAnswer(failure=told) if answer.unavailable else OcspAnswer(problem=told)
        else:
            question = question_about(ca, int(knock.certificate.serial_number, 16), ocsp.hash)
            found[ocsp.key] = answer_of(answer, question, ca, responder_named(ocsp.responder))
    return found


def _not_checked(decision: Decision) -> tuple[str, ...]:
    """Return what was not checked, because only the table and AWS IoT know it."""
    grant = decision.grant
    if grant is None:
        return ()
    told = []
    if grant.thing is not None:
        told.append(f"that the thing name {grant.thing} is not reserved by another key (grant.thing-claimed)")
        if grant.existing == "hold":
            told.append(f"that no thing {grant.thing} exists that was made elsewhere (grant.thing-exists)")
    if decision.max_devices is not None:
        places = counted(decision.max_devices, "place")
        told.append(f"that one of the {places} of {decision.rule} is free (grant.max-devices)")
    told.append("that the CA is registered and ACTIVE in AWS IoT, and that what the grant names exists there")
    return tuple(told)


def _read_cas(rules: Rules, cas: tuple[str, ...]) -> dict[str, CaReading | UnreadableCa]:
    found: dict[str, CaReading | UnreadableCa] = {}
    for alias, file in _named("--ca", "ALIAS=FILE", cas).items():
        _known_ca(rules, "--ca", alias)
        data = read_bytes(file)
        try:
            found[alias] = read_ca(data, status="ACTIVE")
        except NotACertificate as error:
            raise InputError(f"{file}: {error}") from error
        except Unreadable as error:
            found[alias] = UnreadableCa(_ca_certificate_id(file, data), str(error))
    if not found:
        raise InputError("no CA is given: --ca ALIAS=FILE names the certificate of the CA that issued the device's")
    return found


def _ca_certificate_id(file: Path, data: bytes) -> str:
    try:
        return hashlib.sha256(find_certificate(data).der).hexdigest()
    except Unreadable as error:  # larger than anything that AWS IoT registers
        raise InputError(f"{file}: {error}") from error


def _read_lists(rules: Rules, lists: tuple[str, ...], signers: tuple[Path, ...]) -> dict[str, dict[RowKey, ListRow]]:
    given = _named("--list", "NAME=FILE", lists)
    missing = [name for name in rules.lists if name not in given]
    if missing:
        raise InputError(
            f"{rules.source} refers to list {missing[0]}, which is not given: --list {missing[0]}=FILE"
            + (f" (also missing: {', '.join(missing[1:])})" if missing[1:] else "")
        )
    for name in given:
        if name not in rules.lists:
            telling.warn(f"--list {name}: no rule in {rules.source} refers to that list")
    plain, signed = ManifestChoice().opener(None), ManifestChoice(signers=signers).opener(None)
    openers = {name: signed if _may_be_signed(file) else plain for name, file in given.items()}
    if signers and signed not in openers.values():
        raise InputError("--signer is for signed manifests, and no --list has one: nothing would be verified")
    return {name: rows_by_key(read_rows(file, openers[name])) for name, file in given.items()}


def _may_be_signed(file: Path) -> bool:
    is_pipe = file.exists() and not (file.is_file() or file.is_dir())
    return is_pipe or (file.exists() and may_be_signed(file, None))  # a pipe is read once: its reader finds out


def _read_crls(rules: Rules, crls: tuple[str, ...]) -> dict[str, GivenCrl]:
    given: dict[str, list[Path]] = {}
    for each in crls:
        [(alias, file)] = _named("--crl", "ALIAS=FILE", (each,)).items()
        _known_ca(rules, "--crl", alias)
        given.setdefault(alias, []).append(file)
    return read_crl_files(rules, given)


def _read_ocsp(rules: Rules, answers: tuple[str, ...]) -> dict[str, OcspReading | UnusableOcsp]:
    found: dict[str, OcspReading | UnusableOcsp] = {}
    for alias, file in _named("--ocsp", "ALIAS=FILE", answers).items():
        _known_ca(rules, "--ocsp", alias)
        configured = rules.cas[alias].ocsp
        if configured is None:
            telling.warn(f"--ocsp {alias}: {rules.source} gives that CA no ocsp, so its answer decides nothing")
            continue
        try:
            found[configured.key] = read_ocsp(read_bytes(file, MAX_RESPONSE))
        except UnusableOcsp as error:
            found[configured.key] = error
    return found


def _known_ca(rules: Rules, option: str, alias: str) -> None:
    if alias not in rules.cas:
        known = ", ".join(sorted(rules.cas)) or "none"
        raise InputError(f"{option} {alias}: {rules.source} has no CA of that name; there are: {known}")


def _named(option: str, form: str, values: tuple[str, ...]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for each in values:
        name, equals, file = each.partition("=")
        if not (name and equals and file):
            raise InputError(f"{option} {each}: give it as {form}")
        if name in found:
            raise InputError(f"{option} {name} is given twice")
        found[name] = Path(file)
    return found


def _read_time(text: str | None) -> datetime:
    if text is None:
        return datetime.now(UTC)
    try:
        return parse_time(text)
    except ValueError:
        raise InputError(f"--at {text}: give a date (2026-03-01) or an RFC 3339 time (2026-03-01T12:00:00Z)") from None
