"""Which decision records are meant: by reason, by CA, by rule."""

import re
from collections.abc import Callable
from pathlib import Path

from jitr.aws.dynamodb.rulebook import rules_in_force
from jitr.aws.dynamodb.table import Table
from jitr.errors import InputError
from jitr.reasons import CODES
from jitr.records.record import Record
from jitr.text import meant, nearest
from jitr.unseen import quote

_ID = re.compile(r"[0-9a-fA-F]{1,64}")


def ca_ids(table: Table, ca: str | None, *, files: bool = True) -> Callable[[str], bool]:
    """Return whether an id is meant. Raises InputError for what is no alias, no file and no beginning of one.

    Without ``files`` it names none: what comes from a browser opens no file of this machine.
    """
    if ca is None:
        return lambda _id: True
    rules = rules_in_force(table)
    aliases = {} if rules is None else rules.cas
    if ca in aliases:
        ids = frozenset(aliases[ca].ids)
        return lambda ca_id: ca_id in ids
    if files and Path(ca).is_file():
        from jitr_operations.files import read_certificate  # a CA is mostly named by its alias

        only = read_certificate(Path(ca)).sha256
        return lambda ca_id: ca_id == only
    if _ID.fullmatch(ca) is None:
        no_file = "no file, " if files else ""
        raise InputError(
            f"{quote(ca)} is {no_file}no caCertificateId, and no CA alias of the rules in force: {meant(ca, aliases)}"
        )
    return lambda ca_id: ca_id.startswith(ca.lower())


def of_ca(table: Table, ca: str | None, *, files: bool = True) -> Callable[[Record], bool]:
    """Return whether a record is of a CA. ``files`` and errors are as for ``ca_ids``."""
    wanted = ca_ids(table, ca, files=files)
    return lambda record: wanted(record.ca_certificate_id)


def known_reason(code: str | None) -> str | None:
    """Return a reason code that there is, or None for none. Raises InputError for what is no reason code."""
    if code is None or code in CODES:
        return code
    near = nearest(code, CODES, 0.5)
    raise InputError(
        f"there is no reason code {quote(code)}: {f'did you mean {near}?' if near else 'docs/reasons.md has them all'}"
    )


def with_reason(code: str | None) -> Callable[[Record], bool]:
    """Return whether a record has a reason code among its reasons. Raises InputError as ``known_reason`` does."""
    known_reason(code)
    return lambda record: code is None or any(each["code"] == code for each in record.reasons)


def near_rule(name: str | None) -> Callable[[Record], bool]:
    """Return whether a record rests on a rule, or nearly did."""
    return lambda record: (
        name is None or name == record.rule or any(each["rule"] == name for each in record.near_misses)
    )
