"""What holds for any pattern, range and window, and whatever they are held against."""

from datetime import UTC, date, datetime

from hypothesis import given, settings
from hypothesis import strategies as st
from testkit.knocks import seen

from jitr.rules.conditions import (
    HOLDS,
    Glob,
    SerialCondition,
    SerialRange,
    Window,
    WindowCondition,
)


@given(st.text("\\a*?", max_size=8), st.text("\\a*?", max_size=8))
def test_a_pattern_from_a_damaged_file_still_answers(pattern: str, text: str) -> None:
    assert Glob(pattern).matches(text) in (True, False)


def _fits(pattern: str, text: str) -> bool:
    """The plainest matcher there is, for comparison."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return _fits(pattern[1:], text) or (bool(text) and _fits(pattern, text[1:]))
    if pattern[0] == "?":
        return bool(text) and _fits(pattern[1:], text[1:])
    if pattern[0] == "\\":
        pattern = pattern[1:]
    return bool(text) and text[0] == pattern[0] and _fits(pattern[1:], text[1:])


_SPECIAL = "ab*?\\[]!-^$.+|(){}\n\u00e9"
_PATTERNS = st.lists(st.sampled_from([*_SPECIAL, "\\\\", r"\*", r"\?", r"\[", "**", "*?"]), max_size=8).map("".join)


@given(_PATTERNS.filter(lambda pattern: not Glob.problem(pattern)), st.text(_SPECIAL, max_size=8))
@settings(max_examples=500)
def test_globs_agree_with_a_naive_matcher(pattern: str, text: str) -> None:
    glob = Glob(pattern)
    assert glob.matches(text) == _fits(pattern, text)
    assert not glob.matches(text) or text.startswith(glob.literal_prefix)


@given(st.lists(st.sampled_from(["*", "?", "literal"]), min_size=1, max_size=6), st.data())
def test_globs_fit_the_texts_made_from_them(kinds: list[str], data: st.DataObject) -> None:
    """A pattern and a text that fits it are made side by side, so that most of the comparison is not with FAILS."""
    pattern, text = "", ""
    for kind in kinds:
        run = data.draw(st.text(_SPECIAL, max_size=4) if kind != "?" else st.sampled_from(_SPECIAL))
        escaped = "".join(f"\\{each}" if each in "*?\\" or data.draw(st.booleans()) else each for each in run)
        pattern += escaped if kind == "literal" else kind
        text += run
    assert Glob(pattern).matches(text)
    assert _fits(pattern, text)


@given(st.integers(0, 2**160), st.integers(0, 2**160), st.integers(0, 2**160))
def test_a_serial_range_is_of_numbers_not_of_text(first: int, last: int, serial: int) -> None:
    held = SerialCondition((SerialRange(first, last),)).check(seen(serial_number=f"{serial:x}")) is HOLDS
    assert held == (first <= serial <= last)


@given(st.dates(), st.dates(), st.datetimes(timezones=st.just(UTC)))
def test_a_window_holds_by_the_utc_day_or_says_why_not(first: date, last: date, moment: datetime) -> None:
    condition = WindowCondition((Window(first, last),))
    holds = condition.check(seen(at=moment)) is HOLDS
    assert holds == (first <= moment.date() <= last)
    if not holds:
        assert condition.failure(seen(at=moment)).startswith(f"window {first}..{last} ")
