"""How fast AWS IoT may be asked: a share of the account's quotas, split over all that may ask at once.

So are OCSP responders, of which the owner says how many questions a second they answer.

AWS IoT counts the calls of an account and Region by operation, a second. Whoever asks faster is answered with
ThrottlingException, and so is everybody else in the account. So each execution environment asks no faster than its
part, ``quota * share / environments``, and no more than one second's part at once: together, in any time, they ask for
no more than a bucket of the quota's size would give that fills at the quota's rate.
"""

from collections.abc import Mapping

from jitr.values import dataclass

# https://docs.aws.amazon.com/general/latest/gr/iot-core.html, "AWS IoT Core API rate limits"
CERTIFICATES, POLICIES, THINGS = "certificates", "policies", "things"
OCSP = "ocsp"

QUOTA_OF: Mapping[str, str] = {
    "DescribeCertificate": CERTIFICATES,
    "UpdateCertificate": CERTIFICATES,
    "DescribeCACertificate": CERTIFICATES,
    "ListThingPrincipals": CERTIFICATES,
    "AttachPolicy": POLICIES,
    "DetachPolicy": POLICIES,
    "CreateThing": THINGS,
    "UpdateThing": THINGS,
    "DescribeThing": THINGS,
    "AttachThingPrincipal": THINGS,
    "DetachThingPrincipal": THINGS,
    "AddThingToThingGroup": THINGS,
    "RemoveThingFromThingGroup": THINGS,
    "ListThingGroupsForThing": CERTIFICATES,
    # Of the rooms that go through a fleet; registration asks for none of these.
    "ListCACertificates": CERTIFICATES,
    "ListCertificates": CERTIFICATES,
    "ListCertificatesByCA": CERTIFICATES,
    "ListPolicies": CERTIFICATES,
    "ListPrincipalThings": CERTIFICATES,
    "ListTargetsForPolicy": CERTIFICATES,
    "ListThings": CERTIFICATES,
    "ListThingsInThingGroup": CERTIFICATES,
    "AskOcspResponder": OCSP,
}

# A second without a call of an operation that was throttled: others in the account ask, too.
AFTER_THROTTLING = 1.0
# Seconds that are but rounding.
_NO_TIME = 1e-6


@dataclass(frozen=True, slots=True)
class Quotas:
    """The account's quotas, calls a second of each operation of a kind, and what of them is ours."""

    certificates: float = 10.0
    policies: float = 15.0
    things: float = 100.0
    share: float = 0.98
    environments: int = 1  # how many ask at once
    ocsp: float = 10.0  # questions a second to OCSP responders, all together

    def rate(self, operation: str) -> float:
        """Return how many calls a second of an operation one environment may make."""
        quota: float = getattr(self, QUOTA_OF[operation])
        share = 1.0 if QUOTA_OF[operation] == OCSP else self.share  # others have their own responders
        return quota * share / self.environments


class RateLimiter:
    """Calls of one operation by one environment. Times are seconds on any clock that only goes forward."""

    def __init__(self, rate: float) -> None:
        self._interval = 1 / rate
        self._tolerance = max(0.0, 1.0 - self._interval)  # what was saved up: one second's calls, at least one call
        self._due = float("-inf")  # when the next call would be due if calls came evenly

    def wait(self, now: float) -> float:
        """Return how long until a call may be made, in seconds."""
        wait = self._due - self._tolerance - now
        return wait if wait > _NO_TIME else 0.0

    def take(self, now: float) -> None:
        """Record that a call is made now."""
        self._due = max(self._due, now) + self._interval

    def throttled(self, now: float) -> None:
        """Drop what was saved up, and delay the next call: AWS throttled."""
        self._due = max(self._due, now + AFTER_THROTTLING + self._tolerance)
