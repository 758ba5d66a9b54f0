"""How far a sweep through a CA's certificates got, kept in the table so that anybody can go on with it."""

from datetime import datetime, timedelta

from jitr.aws.dynamodb.table import Item, Table
from jitr.times import parse_time, rfc3339

FORMAT = 1

# AWS IoT does not say how long it understands the mark of a page.
GOOD_FOR = timedelta(days=1)


class Marks:
    """The mark of the next page to sweep, by CA."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def read(self, ca_certificate_id: str, now: datetime) -> str | None:
        """Return where to go on, or None: from the beginning."""
        item = self._table.one(_key(ca_certificate_id), of_any_format=True)
        if item is None or item["format"] != FORMAT or parse_time(item["at"]) + GOOD_FOR <= now:
            return None
        mark: str | None = item.get("mark")
        return mark

    def write(self, ca_certificate_id: str, mark: str | None, now: datetime) -> None:
        """Record that the page before this mark is done; None: all pages are."""
        item = _key(ca_certificate_id) | {
            "format": FORMAT,
            "at": rfc3339(now),
            "expires_at": int((now + GOOD_FOR).timestamp()),
        }
        self._table.put(item if mark is None else item | {"mark": mark})


def _key(ca_certificate_id: str) -> Item:
    return {"pk": f"SWEEP#{ca_certificate_id}", "sk": "SWEEP"}
