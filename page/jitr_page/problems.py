"""What went wrong, in words for a person: what it was, and what to do."""

import logging

from jitr.errors import JitrError

_PERMISSION = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
_SIGN_IN = frozenset({"ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException"})


def told(problem: Exception) -> tuple[int, str, str]:
    """Return a status code, a heading and a text for an error. Raises it again if it is a bug."""
    if isinstance(problem, JitrError):
        return 400, "That cannot be done", str(problem)
    if _is_of_aws(problem):
        return _of_aws(problem)
    raise problem


def in_words(problem: Exception) -> str:
    """Return an error as one text."""
    try:
        _, heading, text = told(problem)
    except Exception:
        logging.getLogger(__name__).exception("a bug")
        return f"this is a bug: {type(problem).__name__}; the terminal that `jitr page` runs in has the traceback"
    return f"{heading}: {text}"


def _is_of_aws(problem: Exception) -> bool:
    return any(each.__module__.partition(".")[0] in {"botocore", "boto3"} for each in type(problem).__mro__)


def _of_aws(problem: Exception) -> tuple[int, str, str]:
    from botocore.exceptions import ClientError

    if not isinstance(problem, ClientError):
        return 502, "AWS could not be reached", f"{problem}. Check the network, and that you are signed in."
    error = problem.response.get("Error", {})
    code, message = error.get("Code", "unknown"), str(error.get("Message", "")).strip()
    if code in _PERMISSION:
        text = f"{problem.operation_name}: {message} Ask whoever manages the account for this permission."
        return 403, "You may not do this", text
    if code in _SIGN_IN:
        return 403, "You are signed out", f"{message} Sign in again (`aws sso login`), and start the page again."
    return 502, "AWS answered no", f"{problem.operation_name}: {code}: {message}"
