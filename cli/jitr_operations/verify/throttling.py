"""How AWS IoT answers above a quota."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from botocore.exceptions import ClientError

from jitr.aws.errors import code_of, told_apart
from jitr.errors import Refused, Retry
from jitr_operations import telling
from jitr_operations.accounts import Account
from jitr_operations.verify.assumptions import Seen

# DescribeCertificate's quota is 10 a second, and may be raised:
# https://docs.aws.amazon.com/general/latest/gr/iot-core.html
CALLS = 60
AT_ONCE = 10  # as many as a client has connections
_SECONDS = 3.0


def look(account: Account, certificate_id: str) -> tuple[Seen, str]:
    """Ask for a certificate until the account's quota is used up; return whether AWS's refusal is as it is taken to be.

    Raises botocore's errors where AWS cannot be reached.
    """
    if account.local is not None:
        return Seen.NOT_TRIED, "the local stack has no quotas"
    telling.note("DescribeCertificate is called as fast as possible, for three seconds at most.")
    iot = account.client_without_retries("iot")
    asked, refusal = ask_until_refused(lambda: iot.describe_certificate(certificateId=certificate_id))
    if refusal is None:
        return Seen.NOT_TRIED, f"{asked} calls were all answered: the quota here is higher"
    so, told = shape(refusal)
    return Seen.CONFIRMED if so else Seen.OTHERWISE, f"{told}; {asked} calls"


def ask_until_refused(ask: Callable[[], object]) -> tuple[int, ClientError | None]:
    """Ask as fast as possible until AWS refuses; return how often, and the first refusal.

    It ends after ``CALLS`` calls, or begins none after three seconds. Raises what is not an answer of AWS.
    """
    refusals: list[ClientError] = []
    ends = time.monotonic() + _SECONDS

    def once(_number: int) -> bool:
        if refusals or time.monotonic() > ends:
            return False
        try:
            ask()
        except ClientError as problem:
            refusals.append(problem)
        return True

    with ThreadPoolExecutor(AT_ONCE) as pool:
        asked = sum(pool.map(once, range(CALLS)))
    return asked, next(iter(refusals), None)


def shape(refusal: ClientError) -> tuple[bool, str]:
    """Return whether a refusal is a throttling as this software knows it, and how it looked.

    AWS IoT's API reference gives HTTP status 400; 429 is HTTP's own for it.
    """
    code, status = code_of(refusal), refusal.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    taken_for = "refused for good"
    try:
        with told_apart():
            raise refusal
    except Retry as retry:
        taken_for = retry.cause
    except Refused:
        pass
    so = (code, taken_for) == ("ThrottlingException", "throttled") and status in (400, 429)
    return so, f"{code}, HTTP status {status}, taken for: {taken_for}"
