"""Text in messages is cut to a length, and a mistyped word is met with the one that is meant."""

from jitr.text import cut, nearest


def test_a_text_that_fits_is_as_it_is_and_a_longer_one_has_no_more_characters_than_that() -> None:
    assert cut("a" * 8, 8) == "a" * 8
    assert cut("a" * 9, 8) == "aaaaa..."
    assert cut("a" * 9, 8, "…") == "aaaaaaa…"


def test_the_nearest_word_is_told_only_where_one_is_near() -> None:
    assert nearest("lin-a", {"line-a", "line-bcd"}) == "line-a"
    assert nearest("lin-a", ["line-a"], cutoff=0.99) is None
    assert nearest("lin-a", []) is None
