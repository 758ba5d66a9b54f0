"""Text in messages is cut to a length, and a mistyped word is met with the one that is meant."""

from jitr.text import counted, cut, nearest


def test_a_text_that_fits_is_as_it_is_and_a_longer_one_has_no_more_characters_than_that() -> None:
    assert cut("a" * 8, 8) == "a" * 8
    assert cut("a" * 9, 8) == "aaaaa..."
    assert cut("a" * 9, 8, "…") == "aaaaaaa…"


def test_the_nearest_word_is_told_only_where_one_is_near() -> None:
    assert nearest("lin-a", {"line-a", "line-bcd"}) == "line-a"
    assert nearest("lin-a", ["line-a"], cutoff=0.99) is None
    assert nearest("lin-a", []) is None


def test_one_of_anything_is_told_in_the_singular() -> None:
    """For everybody who tells a number: ``1 rows`` reads as a mistake in the number itself."""
    assert [counted(each, "row") for each in (0, 1, 2)] == ["0 rows", "1 row", "2 rows"]
    assert [counted(each, "entry is", "entries are") for each in (1, 1_234_567)] == [
        "1 entry is",
        "1,234,567 entries are",
    ]
