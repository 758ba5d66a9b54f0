"""The operators' page with few devices and with many: what each view asks of AWS, and what work of its own it is.

The account is moto's, in this process. What it takes is left out: it goes through all of its items for each query, and
AWS does not. What is left is processor time from the request to the whole of the answer, botocore's included.
"""

import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import botocore.client
from click.testing import CliRunner
from click.testing import Result as Printed
from moto import mock_aws
from moto.core.botocore_stubber import BotocoreStubber
from testkit.cli.operating import FACTORY, RULES, register_ca
from testkit.cli.stack import deploy
from testkit.cli.views import VIEWS, grow
from testkit.page import Page

from bench.measure import Spread
from bench.results import Result
from jitr.aws.dynamodb.table import Table
from jitr_cli.main import jitr

_MOST = 300.0  # milliseconds of our own
_MOST_READS = 60  # tests/cli/test_page_work.py holds that they are no more where there are more devices
_TABLE = frozenset({"GetItem", "BatchGetItem", "TransactGetItems", "Query", "Scan"})
_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_REGION": "eu-central-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}


@dataclass
class AskedAccount:
    """An account in this process: what was asked of it, the processor time that it took, and vain waits."""

    asked: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    waited: int = 0  # seconds that requests were ready to wait for messages, where none came


@dataclass(frozen=True)
class ViewWork:
    """One view: what it asked of AWS, milliseconds of our own work, and seconds spent waiting for empty queues."""

    asked: Counter[str]
    own: Spread
    waited: int

    @property
    def reads(self) -> int:
        """Requests to the table that read."""
        return sum(count for name, count in self.asked.items() if name in _TABLE)


def run(*, quick: bool) -> Result:
    """Measure it."""
    result, turns = Result("page"), 1 if quick else 3
    sizes = (4, 8) if quick else (100, 200)
    with _account() as account, tempfile.TemporaryDirectory() as folder, chdir(folder):
        table = _stack()
        page = Page().enter()
        seen, first = [], 1
        for size in sizes:
            grow(table, _jitr, first, size + 1)
            first = size + 1
            seen.append({path: _look(page, account, path, turns) for path in VIEWS})
    few, many = seen
    result.table(
        "views",
        ("view", *(f"table reads, {size:,} devices" for size in sizes), "other requests", "ms of our own work"),
        (
            (_named(path), few[path].reads, each.reads, each.asked.total() - each.reads, each.own.told(0))
            for path, each in many.items()
        ),
    )
    slowest = max(many, key=lambda path: many[path].own.median)
    result.goal(
        f"The page's own work for a view, {sizes[1]:,} devices held",
        f"below {_MOST:.0f} ms",
        f"at most {many[slowest].own.told(0)} ms: {_named(slowest)}",
        met=many[slowest].own.median < _MOST,
    )
    most = max(VIEWS, key=lambda path: many[path].reads)
    scans = sum(each.asked["Scan"] for each in many.values())
    result.goal(
        f"Reads of the table for a view, {sizes[1]:,} devices held",
        f"at most {_MOST_READS}, nothing scanned",
        f"at most {many[most].reads}: {_named(most)}, {scans} scans",
        met=many[most].reads <= _MOST_READS and not scans,
    )
    longest = max(VIEWS, key=lambda path: many[path].waited)
    result.goal(
        "Seconds that a view waits for queues that have no more messages",
        "none",
        f"at most {many[longest].waited}: {_named(longest)}" if many[longest].waited else "none",
        met=many[longest].waited == 0,
    )
    return result


def _named(path: str) -> str:
    return f"`{path if len(path) < 40 else path[:24] + '…'}`"


def _look(page: Page, account: AskedAccount, path: str, turns: int) -> ViewWork:
    own = []
    for _ in range(turns):
        account.asked.clear()
        account.seconds, account.waited, began = 0.0, 0, time.process_time()
        page.text(path)
        own.append((time.process_time() - began - account.seconds) * 1_000)
    return ViewWork(Counter(account.asked), Spread.of(own), account.waited)


def _stack() -> Table:
    """Deploy a stack with a CA, a list and rules that name it."""
    table = deploy()
    register_ca(boto3.client("iot", region_name=_ENVIRONMENT["AWS_REGION"]), FACTORY)
    Path("line-a.csv").write_text("common_name\nsnr-1\n")
    Path("admission.yaml").write_text(RULES)
    for words in (("lists", "import", "line-a", "line-a.csv"), ("rules", "publish", "admission.yaml", "--yes")):
        done = _jitr(*words)
        assert done.exit_code == 0, done.output
    return table


def _jitr(*words: object) -> Printed:
    return CliRunner().invoke(jitr, [str(each) for each in words], prog_name="jitr")


@contextmanager
def _account() -> Iterator[AskedAccount]:
    """Work in an account of moto's while the block runs."""
    client: Any = botocore.client.BaseClient
    stubber: Any = BotocoreStubber
    account, real_call, real_answer = AskedAccount(), client._make_api_call, stubber.__call__
    # moto knows none of these.
    instead: dict[str, Any] = {"ListServiceQuotas": {"Quotas": []}}
    instead["ListCACertificates"] = {"certificates": [{"certificateId": FACTORY.id}]}

    def call(of: Any, operation: str, parameters: Any) -> Any:
        account.asked[operation] += 1
        if operation == "ReceiveMessage":
            return receive(of, parameters)
        return instead[operation] if operation in instead else real_call(of, operation, parameters)

    def receive(of: Any, parameters: Any) -> Any:
        """Answer at once, as nothing comes while one waits, and count the seconds that AWS would have waited."""
        answered = real_call(of, "ReceiveMessage", parameters | {"WaitTimeSeconds": 0})
        if not answered.get("Messages"):
            account.waited += parameters["WaitTimeSeconds"]
        return answered

    def answer(*given: Any, **named: Any) -> Any:
        began = time.thread_time()
        try:
            return real_answer(*given, **named)
        finally:
            account.seconds += time.thread_time() - began

    kept = dict(os.environ)
    os.environ.update(_ENVIRONMENT)
    client._make_api_call, stubber.__call__ = call, answer
    try:
        with mock_aws(config={"iot": {"use_valid_cert": True}}):
            yield account
    finally:
        client._make_api_call, stubber.__call__ = real_call, real_answer
        os.environ.clear()
        os.environ.update(kept)
