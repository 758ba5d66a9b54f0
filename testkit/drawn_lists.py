"""Rows and whole lists for Hypothesis to draw."""

from collections.abc import Iterator

from hypothesis import strategies as st

from jitr.devicelists.rows import ListRow

NAMES = st.sampled_from(["snr-1", "snr-2", "snr-3", "snr-4", "snr-5", "snr-6"])
KEYS = st.none() | st.sampled_from(["aa" * 32, "bb" * 32, "cc" * 32])
ROWS = st.builds(ListRow, common_name=NAMES, public_key_sha256=KEYS, note=st.sampled_from([None, "x"])) | st.builds(
    ListRow, public_key_sha256=st.sampled_from(["aa" * 32, "bb" * 32])
)


FILES = st.lists(ROWS, max_size=6).map(lambda rows: tuple(distinct(rows)))


def distinct(rows: list[ListRow]) -> Iterator[ListRow]:
    """Rows as a file may have them: no key twice."""
    seen: set[str] = set()
    for row in rows:
        keys = {str(key) for key in row.found_by()}
        if not keys & seen:
            seen |= keys
            yield row
