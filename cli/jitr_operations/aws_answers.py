"""AWS's errors in words, and what to do about each.

AWS's SDK is imported only where an error is one of its own.
"""

from jitr.errors import Retry

_SIGN_IN = "Sign in again (`aws sso login`, or new keys), or name another --profile."
_PERMISSION = "Ask whoever manages the account for this permission, or name another --profile."
_LATER = "Run it again in a moment: it carries on."
_REMEDIES = {
    "AccessDenied": _PERMISSION,
    "AccessDeniedException": _PERMISSION,
    "AuthorizationError": _PERMISSION,  # of SNS
    "UnauthorizedOperation": _PERMISSION,
    "ExpiredToken": _SIGN_IN,
    "ExpiredTokenException": _SIGN_IN,
    "InvalidClientTokenId": _SIGN_IN,
    "UnrecognizedClientException": _SIGN_IN,
    "SignatureDoesNotMatch": f"Check the secret key, and this machine's clock. {_SIGN_IN}",
    "InvalidSignatureException": f"Check the secret key, and this machine's clock. {_SIGN_IN}",
    "RequestTimeTooSkewed": "Set this machine's clock.",
    "RequestExpired": "Set this machine's clock.",
    "Throttling": _LATER,
    "ThrottlingException": _LATER,
    "ServiceUnavailableException": _LATER,
    "InternalFailureException": _LATER,
    "LimitExceededException": "Waiting does not lift this limit: have AWS raise it, or delete what is not needed.",
    "RegistrationCodeValidationException": (
        "The verification certificate was made for another account or Region: take the code of this one."
    ),
    "ResourceNotFoundException": "Check the name, the account and the Region.",
}


def is_of_aws(problem: Exception) -> bool:
    """Return whether an error came from AWS or its SDK: told by name, so that the SDK is not imported for others."""
    return any(each.__module__.partition(".")[0] in {"botocore", "boto3"} for each in type(problem).__mro__)


def is_bad_input(problem: Exception) -> bool:
    """Return whether AWS was not even asked, because what it was to be asked is wrong."""
    from botocore.exceptions import ParamValidationError

    return isinstance(problem, ParamValidationError)


def code_of(problem: Exception) -> str | None:
    """Return the code of AWS's answer; None where it gave none."""
    from botocore.exceptions import ClientError

    return problem.response.get("Error", {}).get("Code") if isinstance(problem, ClientError) else None


def is_denied(problem: Exception) -> bool:
    """Return whether AWS says that one may not do this."""
    return _REMEDIES.get(code_of(problem) or "") == _PERMISSION


def is_signed_out(problem: Exception) -> bool:
    """Return whether AWS does not know any more who asks."""
    return _REMEDIES.get(code_of(problem) or "") == _SIGN_IN


def passes(problem: Exception) -> bool:
    """Return whether AWS answered that it has no time now, or that the fault is its own (HTTP 5xx)."""
    return _remedy(problem) == _LATER


def is_unreached(problem: Exception) -> bool:
    """Return whether nobody answered, or the connection was lost."""
    from botocore import exceptions as aws

    if isinstance(problem, Retry):
        return problem.cause == "unreachable"
    return isinstance(problem, aws.HTTPClientError | aws.ConnectionError)


def is_hopeless(problem: Exception) -> bool:
    """Return whether asking the same of AWS for the next thing, too, would only take time: denied, or not reached."""
    denied = problem.cause == "denied" if isinstance(problem, Retry) else is_denied(problem)
    return denied or is_unreached(problem)


def in_words(problem: Exception) -> str:
    """Return an error of AWS's in one line, with what to do about it."""
    from botocore import exceptions as aws

    if isinstance(problem, aws.ClientError):
        error = problem.response.get("Error", {})
        code, message = error.get("Code", "unknown error"), error.get("Message", "").strip()
        told = f"{problem.operation_name}: {code}: {message.rstrip('.')}. {_remedy(problem)}"
        return " ".join(told.split())
    if isinstance(problem, aws.ParamValidationError):
        return " ".join(str(problem).split())
    return f"{str(problem).rstrip('.')}. {_unreached(problem)}".rstrip()


def _remedy(problem: Exception) -> str:
    """Return what to do about an answer of AWS's; nothing where that is not known, or where it gave none."""
    from botocore.exceptions import ClientError

    if not isinstance(problem, ClientError):
        return ""
    status = problem.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return _REMEDIES.get(problem.response.get("Error", {}).get("Code", ""), _LATER if status >= 500 else "")


def _unreached(problem: Exception) -> str:
    """Return what to do if AWS was not even asked."""
    from botocore import exceptions as aws

    if isinstance(problem, aws.NoCredentialsError | aws.PartialCredentialsError | aws.CredentialRetrievalError):
        return "Sign in (`aws configure`, `aws sso login`), name a --profile, or work on the --local stack."
    if isinstance(problem, aws.SSOError | aws.TokenRetrievalError):
        return _SIGN_IN
    if is_unreached(problem):
        return "Check the network, the Region and the endpoint; `jitr local status` tells about the local stack."
    return ""
