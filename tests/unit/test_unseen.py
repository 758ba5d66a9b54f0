"""Characters that nobody sees are told by Unicode property, and written out wherever text is shown."""

import unicodedata

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from jitr.devicelists.columns import shown
from jitr.devicelists.rows import ListRow
from jitr.devicelists.values import read_row
from jitr.records.upload import visible
from jitr.rules.file.problems import quoted as quoted_from_file
from jitr.unseen import DEFAULT_IGNORABLE, first_unseen, quote, why_unseen, written_out
from jitr.x509.names import quoted

INVISIBLE = ("\ufe0f", "\u3164", "\u115f", "\u034f", "\u2800", "\U000e0100", "\u00ad", "\u200b", "\u202e", "\ufeff")


def test_the_ranges_are_those_of_unicode() -> None:
    """Default_Ignorable_Code_Point, as a library of Unicode's own tables has it."""
    every = [each for each in map(chr, range(0x110000)) if not 0xD800 <= ord(each) <= 0xDFFF]
    ignorable = {ord(each) for each in regex.findall(r"\p{Default_Ignorable_Code_Point}", "".join(every))}
    assert {code for first, last in DEFAULT_IGNORABLE for code in range(first, last + 1)} == ignorable


@pytest.mark.parametrize("character", INVISIBLE)
def test_what_has_no_ink_is_invisible_whatever_its_category(character: str) -> None:
    assert why_unseen(character) == "invisible"
    assert first_unseen(f"snr-1{character}") == (character, "invisible")


@pytest.mark.parametrize("character", ["\u00a0", "\u2003", "\u202f", "\u3000", "\u1680"])
def test_a_blank_that_is_no_space_is_told(character: str) -> None:
    assert why_unseen(character) == "a blank, but not a space"


@pytest.mark.parametrize(
    "text", ["snr-0001", "Büro", "Ölçüm İstanbul", "温度計-1", "датчик", "a b", "e\u0301", "😀", ""]
)
def test_what_shows_is_left_alone(text: str) -> None:
    assert first_unseen(text) is None
    assert written_out(text) == text


@pytest.mark.parametrize("show", [written_out, quote, quoted, quoted_from_file, shown, visible])
@pytest.mark.parametrize("character", [*INVISIBLE, "\u00a0", "\x1b", "\u2028"])
def test_each_way_to_show_text_writes_it_out(show: object, character: str) -> None:
    assert callable(show)
    told = show(f"snr{character}1")
    assert character not in told
    assert f"{ord(character):02x}" in told


@given(st.text())
def test_written_out_text_hides_nothing(text: str) -> None:
    told = written_out(text)
    assert first_unseen(told) is None
    assert not any(unicodedata.category(each) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for each in told)
    assert written_out(text, keep=text) == text


@pytest.mark.parametrize("note", ["می\u200cخواهم", "क्\u200dष", "⚠\ufe0f hot"])
def test_a_note_may_be_in_any_script_and_have_emoji(note: str) -> None:
    """It is for people, and matched with nothing."""
    assert read_row({"common_name": "snr-1", "note": note}) == ListRow(common_name="snr-1", note=note)


@pytest.mark.parametrize(
    ("text", "quoted_text"),
    [(r"C:\new", r"'C:\new'"), ("a\\\nb", r"'a\\nb'"), ("it's \\", '"it\'s \\"'), ("\x1b[31m", r"'\x1b[31m'")],
)
def test_a_backslash_is_quoted_as_it_was_typed(text: str, quoted_text: str) -> None:
    """Whoever looks for a path or a pattern in a file finds it as the message has it."""
    assert quote(text) == quoted_text
