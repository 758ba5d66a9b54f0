"""Rules that were published, read back for comparison."""

from jitr.aws.dynamodb.table import Table
from jitr.records.heads import Heads
from jitr.rules.model import Rules, load


def compiled_rules(table: Table, heads: Heads) -> Rules | None:
    """Return the rules that the heads name; None where there are none that can be read. Raises Retry."""
    compiled = None if heads.digest is None else table.blob(f"RULES#{heads.digest}")
    try:
        return None if compiled is None else load(compiled)
    except ValueError:
        return None
