"""What a form has to say before anything is done: why, that one is sure, and what was shown."""

from collections.abc import Sequence

from flask import request

from jitr.errors import InputError
from jitr.records.record import Record

MOST_SAID = 500  # characters of a reason


def reason() -> str:
    """Return why something is to be done. Raises InputError where that is not said, or too long to be kept."""
    message = request.form.get("message", "").strip()
    if not message:
        raise InputError("say why: the reason is kept")
    if len(message) > MOST_SAID:
        raise InputError(f"the reason has {len(message)} characters, and {MOST_SAID} are kept: say it shorter")
    return message


def is_sure() -> bool:
    """Return whether whoever sent the form says to be sure."""
    return request.form.get("sure") == "yes"


def require_sure(questions: Sequence[str]) -> None:
    """Raise InputError where there is something to think of, and nobody says to be sure."""
    if questions and not is_sure():
        raise InputError("say that you are sure: what there is to think of stands above the button")


def require_unchanged(record: Record, revision: str) -> None:
    """Raise InputError where a record is not the one that was shown."""
    if str(record.revision) != revision:
        raise InputError("it was decided again after it was shown: look at it, and choose again")
