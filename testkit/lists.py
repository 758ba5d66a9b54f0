"""Lists edited as operators do it, with one request after another."""

import secrets
from collections.abc import Iterable

import pytest

from jitr.aws.dynamodb.table import Table
from jitr.devicelists.csv.reader import write_rows
from jitr.devicelists.rows import ListRow
from jitr.services.lists import leftovers, list_import
from jitr.services.lists.kept_rows import KeptRows
from jitr.services.lists.list_import import DeviceFile, Imports


def one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Imports send one request at a time: moto does not stand several at once."""
    for module in (list_import, leftovers):
        monkeypatch.setattr(module, "in_order", lambda work, things, _workers: map(work, things))


def csv_of(rows: Iterable[ListRow]) -> DeviceFile:
    """The rows as a file to import, kept when it is checked as commands and functions keep them."""
    text = "".join(write_rows(rows)).encode()
    return DeviceFile("list.csv", lambda: [text], kept=KeptRows())


def imports_into(table: Table, at: str = "2026-03-01T00:00:00Z") -> Imports:
    return Imports(table, clock=lambda: at, token=lambda: secrets.token_hex(4), workers=1)


def merge(table: Table, name: str, *rows: ListRow, at: str = "2026-03-01T00:00:00Z") -> None:
    imports = imports_into(table, at)
    checked = imports.check(name, csv_of(rows), advance=lambda _bytes: None)
    imports.merge(name, checked, by="tests", advance=lambda _rows: None)


def replace(table: Table, name: str, *rows: ListRow, at: str = "2026-03-01T00:00:00Z") -> None:
    imports = imports_into(table, at)
    checked = imports.check(name, csv_of(rows), advance=lambda _bytes: None)
    imports.replace(name, checked, by="tests", advance=lambda _rows: None)
