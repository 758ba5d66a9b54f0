"""What went wrong, in words for a person: what it was, and what to do."""

import logging

from jitr.errors import JitrError, Refused, Retry
from jitr_operations import aws_answers, disk
from jitr_operations.deployment import NoStack

_ANEW = "This page is of the stack that was there: end `jitr page` where it runs, and start it for the one that is."
_SENT_AGAIN = "that sends the same form once more."
_LATER = "Wait a moment, and do it again."
# What a Retry says of itself: the page's own words for it, and what a browser is told (RFC 9110 section 15).
_BY_CAUSE = {"denied": (403, "You may not do this"), "conflict": (409, "Somebody else was faster")}


_LOCAL_DOWN = (
    503,
    "The local stack does not answer",
    "`jitr local up` starts it. Then end `jitr page` where it runs, and start it again.",
)


class NotAsked(Exception):
    """AWS did not say whether the stack still stands, so that nothing was begun; the cause is its answer."""


def told(problem: Exception, *, local: bool = False) -> tuple[int, str, str]:
    """Return a status code, a heading and a text for an error; ``local`` on a local stack, which may be down.

    Raises it again if it is a bug.
    """
    if local and _is_unreached(problem):
        return _LOCAL_DOWN
    if isinstance(problem, NotAsked) and isinstance(problem.__cause__, Exception):
        return _of_the_stack(problem.__cause__)
    if isinstance(problem, Retry):
        code, heading = _BY_CAUSE.get(problem.cause, (503, "Not now"))
        return code, heading, str(problem) if code == 403 else f"{str(problem).rstrip('.')}. {_LATER}"
    if isinstance(problem, Refused):
        return 502, "AWS answered no", str(problem)
    if isinstance(problem, NoStack):
        return 400, "The stack is gone", f"{str(problem).rstrip('.')}. {_ANEW}"
    if isinstance(problem, JitrError):
        return 400, "That cannot be done", str(problem)
    if (refusal := disk.refusal(problem)) is not None:
        return 507, "No room", f"{refusal[0].upper()}{refusal[1:]}."
    if aws_answers.is_of_aws(problem):
        return *_heading(problem), aws_answers.in_words(problem)
    raise problem


def _is_unreached(problem: Exception) -> bool:
    if isinstance(problem, NotAsked) and isinstance(problem.__cause__, Exception):
        return _is_unreached(problem.__cause__)
    return aws_answers.is_unreached(problem)


def _of_the_stack(problem: Exception) -> tuple[int, str, str]:
    """Return what is told where AWS did not say whether the stack still stands."""
    code, heading, text = told(problem)
    if aws_answers.is_denied(problem):
        heading = "You may not ask whether the stack still stands"
        why = "Before each change the page asks that, with the permission cloudformation:DescribeStacks"
        return code, heading, f"{why}. {text}"
    if aws_answers.passes(problem):
        text = f"{str(problem).rstrip('.')}. Wait a moment, and load"
    else:
        text = f"{text} Then load"
    return code, heading, f"AWS does not say whether the stack still stands. {text} this page again: {_SENT_AGAIN}"


def in_words(problem: Exception, *, local: bool = False) -> str:
    """Return an error as one text; ``local`` as for ``told``."""
    try:
        _, heading, text = told(problem, local=local)
    except Exception:
        logging.getLogger(__name__).exception("a bug")
        return f"this is a bug: {type(problem).__name__}; the terminal that `jitr page` runs in has the traceback"
    return f"{heading}: {text}"


def _heading(problem: Exception) -> tuple[int, str]:
    if aws_answers.is_denied(problem):
        return 403, "You may not do this"
    if aws_answers.is_signed_out(problem):
        return 403, "You are signed out"
    if aws_answers.passes(problem):
        return 503, "Not now"
    return 502, "AWS could not be reached" if aws_answers.code_of(problem) is None else "AWS answered no"
