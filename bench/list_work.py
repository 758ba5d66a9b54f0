"""What `bench.lists` measures, each in a process of its own: ``python -m bench.list_work WORK ROWS LIST TABLE``.

The AWS account is the one that the environment names. The result is a line of JSON: seconds on the clock and on
processors, and the most memory that the process had.
"""

import csv
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import boto3
from botocore.config import Config
from testkit import manifests

from jitr.aws.dynamodb.table import Table
from jitr.devicelists.csv.reader import write_rows
from jitr.devicelists.manifests.jws import Signers, read_signer
from jitr.devicelists.manifests.opening import Opener
from jitr.devicelists.manifests.reading import Options
from jitr.services.lists.device_lists import DeviceLists
from jitr.services.lists.kept_rows import KeptRows
from jitr.services.lists.list_import import DeviceFile, Imports, scratch
from jitr_operations.processes import on_all_cores

_CONNECTIONS = 8  # as many as an import has
_BATCH = 25
_PIECE = 1 << 20


def name_of(number: int) -> str:
    """The common name in a row."""
    return f"line-a-{number:09d}"


def _file(rows: int) -> Path:
    with NamedTemporaryFile("w", suffix=".csv", prefix="jitr-bench-", delete=False) as file:
        file.write("common_name,attr.batch\n")
        file.writelines(f"{name_of(number)},{number % 97}\n" for number in range(rows))
    return Path(file.name)


def _pieces(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while piece := opened.read(_PIECE):
            yield piece


def signed_file(rows: int) -> Path:
    """Make a manifest of so many chips."""
    lot = manifests.Lot()
    with NamedTemporaryFile("w", suffix=".json", prefix="jitr-bench-", delete=False) as file:
        for number in range(rows):
            file.write(("," if number else "[") + json.dumps(lot.element(number)))
        file.write("]")
    return Path(file.name)


def opener() -> Opener:
    """Return what opens manifests as `jitr lists import` does, on all cores."""
    signers = Signers([read_signer(manifests.SIGNER.der)])
    return Opener(Options(signers=signers), scratch, None, on_all_cores)


def imported(table: Table, name: str, file: Path) -> None:
    """As `jitr lists import --replace` does it: checked whole, then written, noted on the way, and in force at once."""
    imports = Imports(table, clock=lambda: "2026-03-01T00:00:00Z", token=lambda: f"g{time.time_ns()}")
    with KeptRows() as kept:
        source = DeviceFile(file.name, lambda: _pieces(file), opener(), kept)
        checked = imports.check(name, source, advance=lambda _bytes: None)
        imports.replace(name, checked, by="bench", advance=lambda _rows: None)


def bare(table: Table, name: str, file: Path) -> None:
    """The same rows as items, read by Python's csv and sent 25 at a time: no check, no order, no way back."""

    def write(some: list[dict[str, str]]) -> None:
        items: list[Any] = [
            {
                "PutRequest": {
                    "Item": {
                        "pk": {"S": f"BARE#{name}#{row['attr.batch']}"},
                        "sk": {"S": row["common_name"]},
                        "row": {"M": {key: {"S": text} for key, text in row.items()}},
                    }
                }
            }
            for row in some
        ]
        while items:
            left = table.client.batch_write_item(RequestItems={table.name: items}).get("UnprocessedItems", {})
            items = list(left.get(table.name, []))

    with file.open(newline="") as opened, ThreadPoolExecutor(_CONNECTIONS) as pool:
        rows = iter(csv.DictReader(opened))
        while some := [batch for _ in range(4 * _CONNECTIONS) if (batch := list(islice(rows, _BATCH)))]:
            list(pool.map(write, some))


def exported(table: Table, name: str, _file: Path) -> None:
    """As `jitr lists export` does it, into nothing."""
    lists = DeviceLists(table)
    rows = lists.rows(name, lists.all()[name].head.generation)
    with Path(os.devnull).open("w") as nowhere:
        nowhere.writelines(write_rows(rows, ("common_name", "attr.batch")))


_WORK: dict[str, Callable[[Table, str, Path], None]] = {
    "import": imported,
    "manifest": imported,
    "bare": bare,
    "export": exported,
}


def processor_time() -> float:
    """Return the seconds on a processor that this process had, and those that it began and that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def main() -> None:
    """Do it once."""
    work, rows, name, table_name = sys.argv[1:]
    file = signed_file(int(rows)) if work == "manifest" else _file(int(rows))
    try:
        table = Table(boto3.client("dynamodb", config=Config(max_pool_connections=_CONNECTIONS)), table_name)
        table.client.batch_get_item(RequestItems={table_name: {"Keys": [{"pk": {"S": "none"}, "sk": {"S": "none"}}]}})
        before, processor = time.monotonic(), processor_time()
        _WORK[work](table, name, file)
        seconds, processor = time.monotonic() - before, processor_time() - processor
    finally:
        file.unlink()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # Linux tells it in KB
    print(json.dumps({"seconds": seconds, "processor": processor, "megabytes": most}))


if __name__ == "__main__":
    main()
