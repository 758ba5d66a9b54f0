"""What holds whatever the size of a fleet: nothing is scanned, and keys that count up fall evenly on their shards."""

import ast
from collections import Counter
from pathlib import Path

import pytest
from testkit.template import RESOURCES

from jitr.aws.dynamodb.table import row_key
from jitr.devicelists.rows import RowKey

ROOT = Path(__file__).parents[2]
MODULES = sorted(path for part in ("layers", "functions", "cli", "local") for path in (ROOT / part).rglob("*.py"))


def test_no_code_scans_the_table() -> None:
    """Neither by the client's method nor by its paginator: no attribute and no text is the operation's name."""
    assert len(MODULES) > 100
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            name = (
                node.attr if isinstance(node, ast.Attribute) else node.value if isinstance(node, ast.Constant) else ""
            )
            assert name not in ("scan", "Scan"), f"{path}:{getattr(node, 'lineno', 0)}"


def test_no_role_may_scan_the_table() -> None:
    """Nor do wildcards let one."""
    roles = [each["Properties"] for each in RESOURCES.values() if each["Type"] == "AWS::IAM::Role"]
    apart = [each["Properties"] for each in RESOURCES.values() if each["Type"] == "AWS::IAM::Policy"]
    assert roles
    statements = [
        statement
        for policy in [*apart, *(each for role in roles for each in role.get("Policies", ()))]
        for each in policy["PolicyDocument"]["Statement"]
        for statement in (each["Fn::If"][1:] if "Fn::If" in each else [each])
        if "Action" in statement
    ]
    actions = [
        action
        for each in statements
        for action in ([each["Action"]] if isinstance(each["Action"], str) else each["Action"])
    ]
    table = {each for each in actions if each.startswith(("dynamodb:", "*"))}
    assert "dynamodb:Query" in table
    assert not [each for each in table if "Scan" in each or "*" in each]


@pytest.mark.parametrize("kind", ["common_name", "serial_number"])
def test_rows_that_count_up_fall_evenly_on_the_shards_of_a_list(kind: str) -> None:
    shards = Counter(row_key("line-a", "one", RowKey(kind, f"snr-{place:07d}"))["pk"] for place in range(20_000))
    assert len(shards) == 16
    assert max(shards.values()) < 1.2 * shards.total() / 16
    assert min(shards.values()) > 0.8 * shards.total() / 16
