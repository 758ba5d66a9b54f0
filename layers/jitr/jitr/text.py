"""Text in messages: numbers with their nouns, long texts cut, and the word that somebody may have meant."""

import difflib
from collections.abc import Collection, Iterable


def cut(text: str, most: int, end: str = "...") -> str:
    """Return the text with at most so many characters, ``end`` in place of those that are too many."""
    return text if len(text) <= most else text[: most - len(end)] + end


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun: ``1 row``, ``2,000 rows``. ``plural`` is for nouns that take more than an *s*."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def meant(word: str, known: Collection[str]) -> str:
    """Return in words what somebody may have meant by a name that is none: the nearest, or else all there are."""
    near = nearest(word, known)
    return f"did you mean {near}?" if near else f"there are: {', '.join(known) or 'none'}"


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the known word that is most like another one; None where none is by ``cutoff`` (0 to 1)."""
    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)), None)
