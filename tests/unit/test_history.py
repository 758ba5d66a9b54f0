"""Entries of the history: bounded whatever they hold, in the order of time, read as they were written."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitr.errors import InputError
from jitr.records.history import (
    COMMAND_LINE,
    MOST_DEVICES,
    Author,
    HistoryEntry,
    HistoryKind,
    Outcome,
    entry,
    place,
    read_place,
)

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
SOMEBODY = Author("arn:aws:iam::123456789012:user/deniz (deniz)", COMMAND_LINE)
HOSTILE = st.text(st.characters(), max_size=5_000)  # half characters among them


def made(at: datetime = AT, author: Author = SOMEBODY) -> HistoryEntry:
    return entry(author, at, "00", HistoryKind.LIST, "lists delete line-a", subject="line-a", before={"rows": 3})


@given(HOSTILE, st.dictionaries(HOSTILE, HOSTILE, max_size=40), st.integers(0, 60))
def test_an_entry_is_small_and_kept_whatever_stands_in_it(text: str, values: dict[str, str], devices: int) -> None:
    """No note or name is so long, or of such characters, that a change cannot be written down."""
    found = entry(
        Author(text, COMMAND_LINE),
        AT,
        "00",
        HistoryKind.DEVICE,
        text,
        subject=text,
        why=text,
        before=values,
        after=values,
        devices=[f"{each:064x}" for each in range(devices)],
    ).failed(place(AT), text)
    item = found.to_item()
    assert len(json.dumps(item, ensure_ascii=False).encode()) < 64_000
    assert len(found.devices) == min(devices, MOST_DEVICES)
    assert found.device_count == devices
    assert HistoryEntry.from_item(item | {"sk": found.id}) == found


def test_ids_are_in_the_order_of_time() -> None:
    times = [AT + timedelta(microseconds=each) for each in (0, 1, 999_999, 1_000_000, 60_000_000)]
    ids = [made(each).id for each in times]
    assert ids == sorted(ids)


def test_an_entry_is_kept_for_so_many_days_and_else_for_ever() -> None:
    assert made().expires_at is None
    kept = made(author=Author("somebody", COMMAND_LINE, days=30))
    assert kept.expires_at == int((AT + timedelta(days=30)).timestamp())


def test_how_a_change_ended_is_told_in_one_word() -> None:
    begun = made().begun()
    assert (begun.outcome, begun.ended_at) == (Outcome.BEGUN, None)
    assert begun.done("later", rows=0).after == {"rows": 0}
    assert begun.failed("later", "throttled").to_json()["outcome"] == "failed"


@pytest.mark.parametrize("text", ["", "x", "2026-03-01#00", f"{place(AT)}#", "2026-03-01T12:00:00Z#00", "\x00#1"])
def test_an_address_that_names_no_place_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="begin with its first page"):
        read_place(text)
