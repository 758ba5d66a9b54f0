"""The decision about a device under what is in force: rules, lists, CA and guards, as the function would find them.

Everything is read and nothing is changed.
"""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jitr.aws.cas import Cas
from jitr.aws.iot import Iot
from jitr.aws.reservations import Reservations
from jitr.aws.rulebook import Rulebook
from jitr.aws.table import Table
from jitr.certificate import read_certificate
from jitr.chain import verify_chain
from jitr.decide import Decision, OperatorWord, decide, held_instead, lists_needed, unreadable
from jitr.errors import InputError, Poison, Unreadable
from jitr.event import parse_event
from jitr.facts import Knock
from jitr.lists import device_keys, membership
from jitr.profile import warnings
from jitr.reasons import Verdict
from jitr.record import Heads, facts_json
from jitr.rules.model import Rules
from jitr_cli.crls import crls_with
from jitr_cli.deployment import Deployment
from jitr_cli.device_registry import Registry
from jitr_cli.explanation import Explanation
from jitr_cli.files import read_bytes
from jitr_cli.output import note
from jitr_cli.table import table_of


def explain_online(subject: str, deployment: Deployment) -> Explanation:
    """Explain a certificate file, a certificateId, a thing name or an event file."""
    iot, table = Iot(deployment.client("iot")), table_of(deployment)
    certificate_id = _certificate_id(subject, deployment)
    found = iot.certificate(certificate_id)
    if found is None:
        raise InputError(
            f"AWS IoT in account {deployment.account_id}, Region {deployment.region}, knows no certificate "
            f"{certificate_id[:12]}: it never connected there, or its CA was not registered. "
            "`jitr explain --rules FILE --certificate FILE --ca ALIAS=FILE` decides from files alone"
        )
    if found.ca_certificate_id is None:
        raise InputError(f"AWS IoT does not say which CA registered certificate {certificate_id[:12]}: rules are by CA")
    note(f"Certificate {certificate_id} is {found.status}.")
    record, heads = table.record_and_heads(certificate_id)
    word = None if record is None else record.operator_word
    rules = Rulebook(table).in_force(heads)
    now = datetime.now(UTC)
    try:
        reading = read_certificate(found.pem.encode())
    except Unreadable as error:
        return Explanation(unreadable(error.code, str(error), now), {}, (), ())
    ca = Cas(iot).get(found.ca_certificate_id, now)
    knock = Knock(
        certificate=reading.facts,
        ca_certificate_id=found.ca_certificate_id,
        ca=None if ca is None else ca.facts,
        chain=None if ca is None else verify_chain(reading, ca),
        aliases=rules.aliases_of(found.ca_certificate_id),
    )
    knock = replace(knock, revocations=crls_with(deployment).of(knock, rules, ca, now))
    decision = _decide(knock, rules, heads, table, now, word)
    if decision.verdict is Verdict.ADMIT:
        decision = _guarded(decision, certificate_id, knock, rules, Reservations(table, iot), now)
    return Explanation(decision, facts_json(knock), warnings(knock), ())


def _decide(
    knock: Knock, rules: Rules, heads: Heads, table: Table, now: datetime, word: OperatorWord | None
) -> Decision:
    wanted = {*lists_needed(knock, rules, now, word), *rules.lists}
    found = table.rows({name: heads.lists[name] for name in wanted if name in heads.lists}, device_keys(knock))
    memberships = {name: membership(knock, found.get(name, ()), now) for name in wanted}
    return decide(knock, rules, memberships, now, now, word)


def _guarded(
    decision: Decision, certificate_id: str, knock: Knock, rules: Rules, reservations: Reservations, now: datetime
) -> Decision:
    """An admission after the guards that only the table and AWS IoT know."""
    key = knock.certificate
    refusal = reservations.refusal(decision, certificate_id, key.public_key_sha256, rules, key.written_key_sha256)
    return decision if refusal is None else held_instead(decision, refusal, now)


def _certificate_id(subject: str, deployment: Deployment) -> str:
    file = Path(subject)
    if file.is_file():
        data = read_bytes(file)
        if data.lstrip()[:1] == b"{":
            return _of_event(file, data, deployment)
    found = Registry(deployment.client("iot")).find(subject)
    if len(found) > 1:
        told = ", ".join(each[:12] for each in found)
        raise InputError(f"thing {subject} has {len(found)} certificates ({told}): give a certificateId")
    return found[0]


def _of_event(file: Path, data: bytes, deployment: Deployment) -> str:
    """The certificate of an event as AWS IoT publishes it, or of the first in a batch from SQS."""
    try:
        event: Any = json.loads(data)
        body = event["Records"][0]["body"] if "Records" in event else json.dumps(event)
        return parse_event(body, account_id=deployment.account_id, sent_at=datetime.now(UTC)).certificate_id
    except Poison as poison:
        raise InputError(f"{file}: {poison.code}: {poison}") from None
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        raise InputError(f"{file}: this is neither a registration event nor a batch of them from SQS") from None
