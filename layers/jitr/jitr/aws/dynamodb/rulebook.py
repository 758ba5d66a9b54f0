"""The rules in force, compiled, kept by digest."""

import hashlib

from jitr.aws.dynamodb.table import Table
from jitr.errors import Retry
from jitr.records.heads import Heads
from jitr.rules.model import Rules, load


def rules_in_force(table: Table) -> Rules | None:
    """Return the rules in force, None where nothing was published. Raises Retry as ``Rulebook.in_force``."""
    heads = table.heads()
    return None if heads.digest is None else Rulebook(table).in_force(heads)


class Rulebook:
    """Rules by digest. A digest names its bytes, so what was read once is right for ever."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._kept: tuple[str, Rules] | None = None

    def in_force(self, heads: Heads) -> Rules:
        """Return the rules that the heads name.

        Raises Retry("rules") where none were published or they cannot be read: nobody is admitted, nobody is
        rejected, and messages wait.
        """
        if heads.digest is None:
            raise Retry("rules", "no rules are published yet: `jitr rules publish admission.yaml`")
        if self._kept is None or self._kept[0] != heads.digest:
            self._kept = (heads.digest, self._read(heads.digest))
        return self._kept[1]

    def _read(self, digest: str) -> Rules:
        document = self._table.blob(f"RULES#{digest}")
        if document is not None and hashlib.sha256(document).hexdigest() != digest:
            raise Retry("rules", f"the rules {digest[:12]} are not what was published: publish them again")
        if document is None:
            raise Retry(
                "rules", f"the rules {digest[:12]} are in force, but not (whole) in the table: publish them again"
            )
        try:
            return load(document)
        except ValueError as error:
            raise Retry("rules", f"the rules {digest[:12]} cannot be read: {error}") from error
