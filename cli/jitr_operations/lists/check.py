"""How a whole list or file fits the rules in force and the devices on record: ``jitr lists check``."""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from jitr.aws.dynamodb.rulebook import rules_in_force
from jitr.aws.dynamodb.table import Table
from jitr.devicelists.csv.duplicates import Duplicates
from jitr.devicelists.manifests.reading import line_of
from jitr.devicelists.rows import ListRow
from jitr.errors import InputError
from jitr.rules.list_fit import Fit
from jitr.rules.model import Rules
from jitr.services.lists.device_lists import DeviceLists
from jitr.services.lists.evidence import devices, known_serials
from jitr.services.lists.signers import SignerStore
from jitr.text import meant
from jitr_operations import telling
from jitr_operations.cas.which import in_rules
from jitr_operations.lists import files as list_files
from jitr_operations.lists.fitting import check_name
from jitr_operations.lists.manifests import ManifestChoice
from jitr_operations.table import now

_CA_ID = re.compile("[0-9a-f]{64}")
MOST_CHECKED = 50_000  # devices on record, of each verdict


def check(table: Table, what: str, name: str | None, against: str) -> Fit:
    """Count the rows of a list in the table, or of a file, which is for the list ``name``.

    ``against`` is ``rules``, ``records``, or a CA that the rules name, as ``which.in_rules`` takes it: then only its
    devices are looked at, and rows that name another CA are left out.
    """
    rules = rules_in_force(table)
    if name is not None:
        check_name(name)
    if against == "rules":
        counted = Fit(_name_of(what, name), rules, None, at=now())
    elif against == "records":
        known = devices(table, rules, most=MOST_CHECKED)
        counted = Fit(_name_of(what, name), rules, known, at=now(), known_only=True)
    else:
        if rules is None and _CA_ID.fullmatch(against) is None:
            raise InputError(
                f"no rules are in force that name a CA {against}: give its caCertificateId, or publish them"
            )
        against = against if rules is None else in_rules(rules, against)
        known = devices(table, rules, most=MOST_CHECKED, ca=against)
        counted = Fit(_name_of(what, name), rules, known, at=now())
    names = None if against in ("rules", "records") else _names_of(rules, against)
    for line, row, columns in _rows(table, what):
        if names is None or row.ca is None or row.ca in names:
            counted.add(row, line, columns)
    return counted


def _names_of(rules: Rules | None, ca: str) -> frozenset[str]:
    """Return the alias and the caCertificateIds that a CA goes by in rows."""
    if rules is None:
        return frozenset({ca})
    aliases = rules.aliases_of(ca) | ({ca} & rules.cas.keys())
    return frozenset({ca, *aliases, *(each for alias in aliases for each in rules.cas[alias].ids)})


def _name_of(what: str, name: str | None) -> str:
    return name or (Path(what).stem if Path(what).exists() else what)


def _rows(table: Table, what: str) -> Iterator[tuple[int | None, ListRow, Sequence[str]]]:
    """Return the rows of a file with their places in it, or of a list if there is no such file."""
    file = Path(what)
    if not file.exists():
        there = DeviceLists(table).all()
        if what not in there:
            raise InputError(f"there is neither a file nor a list {what}: {meant(what, there)}")
        for row in DeviceLists(table).rows(what, there[what].head.generation):
            yield None, row, ()
        return
    opener = ManifestChoice().opener(SignerStore(table).believed())
    with (
        list_files.source(file, opener) as source,
        telling.progress(f"Checking {file.name}", list_files.size(file)) as advance,
    ):
        serials = cache(lambda: source.opener.serials(source.pieces, lambda: known_serials(table)))
        reader = source.opener(source.pieces(), source.name, Duplicates(), serials)
        for each in reader:
            yield line_of(each), each.row, each.columns
        advance(list_files.size(file) or 0)
    reader.raise_problems()
    list_files.tell(source.name, reader.said)
