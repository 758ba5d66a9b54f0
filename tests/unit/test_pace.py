"""How fast AWS IoT is asked: never faster than the account's quotas allow, and as fast as they do."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jitr.aws.quotas import AFTER_THROTTLING, QUOTA_OF, Quotas, RateLimiter


class Gate:
    """AWS's side: a bucket of one second's calls, which fills at the quota's rate."""

    def __init__(self, quota: float) -> None:
        self._quota = self._left = quota
        self._at = 0.0

    def lets_in(self, now: float) -> bool:
        """Whether a call is answered, and not throttled."""
        self._left = min(self._quota, self._left + (now - self._at) * self._quota)
        self._at = now
        if self._left < 1 - 1e-6:
            return False
        self._left -= 1
        return True


@settings(deadline=None)
@given(
    environments=st.integers(1, 12),
    quota=st.integers(10, 60),
    # Who would like to call, and after how long a pause of everybody's.
    wishes=st.lists(st.tuples(st.integers(0, 11), st.sampled_from([0.0, 0.0, 0.01, 0.4, 3.0])), max_size=200),
)
def test_whatever_the_environments_wish_all_of_them_together_are_never_throttled(
    environments: int, quota: int, wishes: list[tuple[int, float]]
) -> None:
    """As long as there are no more environments than calls a second (docs: MaximumConcurrency)."""
    quotas = Quotas(certificates=quota, share=1.0, environments=environments if environments <= quota else quota)
    buckets = [RateLimiter(quotas.rate("UpdateCertificate")) for _ in range(quotas.environments)]
    calls, now, free_at = [], 0.0, [0.0] * len(buckets)
    for who, pause in wishes:
        which = who % len(buckets)
        now += pause
        at = max(now, free_at[which])
        at += buckets[which].wait(at)
        buckets[which].take(at)
        calls.append(at)
        free_at[which] = at
    gate = Gate(quota)
    assert all(gate.lets_in(at) for at in sorted(calls))


@pytest.mark.parametrize("environments", [1, 2, 5, 9])
def test_busy_environments_use_all_of_their_share_though_each_of_their_calls_comes_a_little_late(
    environments: int,
) -> None:
    """An environment is away for up to half a second now and then (the end of a batch, a message that needs no call);
    what it saved up meanwhile brings it up again."""
    quotas = Quotas(share=0.96, environments=environments)
    made = 0
    for number in range(environments):
        bucket, now, calls = RateLimiter(quotas.rate("DescribeCertificate")), 0.0, 0
        while True:
            now += bucket.wait(now)
            if now > 600:
                break
            bucket.take(now)
            calls += 1
            now += 0.05 if calls % 10 else min(0.5, 0.9 * 0.5) + number / 1000
        made += calls
    assert made >= 0.99 * 0.96 * 10 * 600


def test_at_once_comes_no_more_than_one_seconds_part() -> None:
    bucket = RateLimiter(4.0)
    at_once = 0
    while bucket.wait(100.0) == 0:
        bucket.take(100.0)
        at_once += 1
    assert at_once == 4
    assert bucket.wait(100.0) == pytest.approx(0.25)


def test_a_slow_bucket_still_lets_the_first_call_through_at_once() -> None:
    bucket = RateLimiter(0.1)
    assert bucket.wait(5.0) == 0
    bucket.take(5.0)
    assert bucket.wait(5.0) == pytest.approx(10.0)


def test_after_throttling_nothing_is_asked_for_a_while() -> None:
    bucket = RateLimiter(5.0)
    bucket.throttled(10.0)
    assert bucket.wait(10.0) == pytest.approx(AFTER_THROTTLING)


def test_the_quota_is_split_over_the_environments_and_only_the_share_of_it_is_used() -> None:
    quotas = Quotas(certificates=20, policies=30, things=50, share=0.5, environments=5)
    assert quotas.rate("DescribeCertificate") == 2
    assert quotas.rate("AttachPolicy") == 3
    assert quotas.rate("CreateThing") == 5
    assert all(quotas.rate(each) > 0 for each in QUOTA_OF)
