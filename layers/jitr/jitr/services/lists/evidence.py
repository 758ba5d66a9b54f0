"""What the devices on record tell about a list that is about to be imported."""

from collections.abc import Iterator
from datetime import datetime
from itertools import islice

from jitr.aws.dynamodb.decisions import newest
from jitr.aws.dynamodb.rulebook import rules_in_force
from jitr.aws.dynamodb.table import Table
from jitr.devicelists.csv.serials import KnownSerials
from jitr.facts import CertificateFacts, Knock
from jitr.reasons import Verdict
from jitr.records.record import Record
from jitr.rules.list_fit import Devices, Fit
from jitr.rules.model import Rules

MOST_LOOKED_AT = 2_000  # of each verdict, the newest: more would keep whoever imports waiting


def on_record(table: Table, most: int = MOST_LOOKED_AT) -> Iterator[tuple[Record, CertificateFacts]]:
    """Return the newest records of each verdict, with what their certificates say. Raises Retry."""
    for verdict in Verdict:
        for record in islice(newest(table, verdict), most):
            if record.facts is not None:
                yield record, CertificateFacts.from_json(record.facts)


def devices(table: Table, rules: Rules | None, *, most: int = MOST_LOOKED_AT, ca: str | None = None) -> Devices:
    """Return the keys of devices on record, of one CA (alias or id) where that is given. Raises Retry."""
    found, seen = Devices(), 0
    for record, facts in on_record(table, most):
        seen += 1
        ca_id = record.ca_certificate_id
        aliases = frozenset[str]() if rules is None else rules.aliases_of(ca_id)
        if ca is None or ca == ca_id or ca in aliases:
            found.add(Knock(facts, ca_id, None, None, aliases))
    found.whole = seen < most
    return found


def fit(table: Table, name: str, at: datetime) -> Fit:
    """Return what counts the rows of a list against the rules in force and the devices on record. Raises Retry.

    Rows that are expired ``at`` that time match nothing.
    """
    rules = rules_in_force(table)
    return Fit(name, rules, devices(table, rules), at=at)


def known_serials(table: Table) -> KnownSerials:
    """Return the serial numbers of devices on record, by the names of their CAs. Raises Retry."""
    rules, known = rules_in_force(table), KnownSerials()
    for record, facts in on_record(table):
        aliases = frozenset[str]() if rules is None else rules.aliases_of(record.ca_certificate_id)
        known.add((record.ca_certificate_id, *aliases), facts.serial_number)
    return known
