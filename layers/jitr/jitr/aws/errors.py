"""AWS's errors told apart: worth waiting for, refused for good, or a bug of ours.

The code that AWS gives is matched, never the text of a message.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ParamValidationError

from jitr.errors import JitrError, Refused, Retry

THROTTLED = frozenset(
    {
        "ThrottlingException",
        "Throttling",
        "ThrottledException",
        "TooManyRequestsException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "ProvisionedThroughputExceededException",
        "SlowDown",
    }
)
# Of AWS's making or of the deployment's, not of the device's: they pass, or an operator ends them.
_PASSING = frozenset(
    {
        "InternalFailureException",
        "InternalFailure",
        "InternalServerError",
        "InternalServerErrorException",
        "InternalException",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "TransactionInProgressException",
        "TransactionConflictException",
        "RequestTimeout",
        "RequestExpired",
        "ExpiredToken",
        "ExpiredTokenException",
        "UnrecognizedClientException",
        "UnauthorizedException",
        "VersionConflictException",  # UpdateThing, overtaken by another hand
    }
)
_TABLE_OPERATIONS = frozenset(
    {"BatchGetItem", "BatchWriteItem", "PutItem", "Query", "TransactWriteItems", "UpdateItem"}
)
_DENIED = frozenset({"AccessDeniedException", "AccessDenied"})


def code_of(error: ClientError) -> str:
    """Return AWS's code in an error."""
    return error.response.get("Error", {}).get("Code", "")


@contextmanager
def told_apart() -> Iterator[None]:
    """Turn botocore's exceptions into Retry or Refused; what is our own bug goes through as it is."""
    try:
        yield
    except ClientError as error:
        raise _from_client_error(error) from error
    except (ParamValidationError, NoCredentialsError):
        raise
    except BotoCoreError as error:  # connections, time-outs, unreadable answers
        raise Retry("unreachable", f"AWS could not be reached: {error}") from error


def _from_client_error(error: ClientError) -> JitrError:
    code, operation = code_of(error), error.operation_name
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in THROTTLED:
        return Retry("throttled", f"{operation} was throttled ({code})")
    if code in _DENIED:
        return Retry("denied", f"{operation}: {error.response['Error'].get('Message', code)}")
    # The table is being restored, or was named wrongly: not the message's fault, and an operator mends it.
    table_missing = code == "ResourceNotFoundException" and operation in _TABLE_OPERATIONS
    if code in _PASSING or status >= 500 or table_missing:
        return Retry("unavailable", f"{operation} failed at AWS ({code})")
    return Refused(operation, code, error.response.get("Error", {}).get("Message", ""))
