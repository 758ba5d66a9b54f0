"""What is asked before anything is done: whether the stack still stands; why, whether one is sure, what was shown."""

from collections.abc import Sequence

from flask import Flask, request

from jitr.errors import InputError
from jitr.records.record import Record
from jitr_operations.deployment import is_still_so
from jitr_page.problems import NotAsked
from jitr_page.site import site

MOST_SAID = 500  # characters of a reason
_NO_FORMS = frozenset({"rules.problems"})  # a script asks it as one types; it asks nothing of AWS and changes nothing


def is_form() -> bool:
    """Return whether the request at hand is a form of the page's that was sent."""
    return request.method == "POST" and request.endpoint is not None and request.endpoint not in _NO_FORMS


def only_where_it_was(app: Flask) -> None:
    """Take no form once the stack is gone or another, as AWS answers for each.

    The page, which may be open for hours, asks what is deployed when it begins. A table can outlive its stack: a change
    would succeed, and be lost. Where AWS does not answer, nothing is done either.
    """

    @app.before_request
    def look() -> None:
        if is_form() and not _stands():
            raise InputError(
                "the stack was deployed again since this page was opened; nothing was changed: end `jitr page` where "
                "it runs, and start it again"
            )


def _stands() -> bool:
    """Return whether the stack is what it was. Raises NotAsked where AWS did not say."""
    try:
        return is_still_so(site().deployment)
    except InputError:
        raise
    except Exception as problem:
        raise NotAsked from problem


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
