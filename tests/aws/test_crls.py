"""Revocation lists at work: fetched once for a fleet, kept for a bounded time, and asked at every admission."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from testkit import pki
from testkit.aws.world import PENDING, CrlFiles, World
from testkit.crls import CrlDraft, crl, delta, entry, extension, naming, partition
from testkit.knocks import allow, rules
from testkit.pki import NOW, sequence, tlv

from jitr.aws import crls as adapter
from jitr.aws.crls import LEAD, REFRESH, RETRY, Crls
from jitr.decision.chain import verify_chain
from jitr.errors import Retry
from jitr.facts import Knock, Revocation
from jitr.reasons import Verdict
from jitr.rules.model import Ca, Crl, Rules
from jitr.x509.certificate import read_ca, read_certificate

FACTORY = pki.ca("Factory A")
CA = read_ca(FACTORY.pem, status="ACTIVE")
DEVICE = FACTORY.usual_device("snr-0001").issue()
OTHER = FACTORY.usual_device("snr-0002").serial(0x1002).issue()
URL = "s3://example-crls/factory-a.crl"

REVOKED, ON_HOLD, LIFTED = ([entry(0x1001, each)] for each in ("keyCompromise", "certificateHold", "removeFromCRL"))


def in_force(when_stale: Verdict = Verdict.HOLD, url: str = URL) -> Rules:
    return replace(rules(allow()), cas={"factory-a": Ca("factory-a", (FACTORY.id,), 3, (Crl(url, when_stale),))})


# --- at admission


@pytest.fixture
def ready(world: World) -> World:
    """A CA with an empty list; two of its devices have connected."""
    world.register_ca(FACTORY)
    world.connect(DEVICE)
    world.connect(OTHER)
    world.publish(in_force())
    world.crl_source.at[URL] = crl(FACTORY)
    return world


def test_a_device_that_is_not_on_the_list_is_admitted_and_the_record_tells_which_list(ready: World) -> None:
    ready.knock(DEVICE, FACTORY)
    assert ready.status(DEVICE) == "ACTIVE"
    record = ready.record(DEVICE)
    assert record is not None
    assert record.facts is not None
    assert record.facts["revocation"][URL]["next_update"] == "2026-03-08T12:00:00Z"


def test_a_revoked_device_is_rejected_with_the_ca_s_reason(ready: World) -> None:
    ready.crl_source.at[URL] = crl(FACTORY, REVOKED)
    ready.knock(DEVICE, FACTORY)
    record = ready.record(DEVICE)
    assert ready.status(DEVICE) == "INACTIVE"
    assert ready.codes(DEVICE) == ["revocation.revoked"]
    assert record is not None
    assert "keyCompromise" in record.reasons[0]["message"]


def test_a_list_of_one_partition_admits_its_own_devices_and_holds_those_of_the_others(ready: World) -> None:
    """RFC 5280 section 6.3.3 (b)(2)(i)."""

    def point(uri: str) -> bytes:
        return tlv(0xA0, tlv(0xA0, tlv(0x86, uri.encode())))

    here, elsewhere = (
        FACTORY.usual_device(name).serial(serial).extension("2.5.29.31", sequence(sequence(point(uri)))).issue()
        for name, serial, uri in (
            ("snr-0003", 3, "http://crl.example.com/1"),
            ("snr-0004", 4, "http://crl.example.com/2"),
        )
    )
    scope = extension("issuingDistributionPoint", sequence(point("http://crl.example.com/1")), critical=True)
    ready.crl_source.at[URL] = CrlDraft(FACTORY, extensions=(scope,)).issue()
    for device in (here, elsewhere):
        ready.connect(device)
        ready.knock(device, FACTORY)
    assert ready.status(here) == "ACTIVE"
    assert (ready.status(elsewhere), ready.codes(elsewhere)) == (PENDING, ["revocation.unusable"])


@pytest.mark.parametrize("after", [[], [*ON_HOLD, *LIFTED]], ids=["left out", "removeFromCRL"])
def test_a_hold_is_a_hold_until_it_is_lifted(ready: World, after: list[bytes]) -> None:
    """RFC 5280 section 5.3.1: a complete list leaves the entry out; some write removeFromCRL."""
    ready.crl_source.at[URL] = crl(FACTORY, ON_HOLD)
    ready.knock(DEVICE, FACTORY)
    assert (ready.status(DEVICE), ready.codes(DEVICE)) == (PENDING, ["revocation.on-hold"])
    ready.crl_source.at[URL] = crl(FACTORY, after, this_update=ready.now)
    ready.later(minutes=14)
    ready.knock(DEVICE, FACTORY)
    assert ready.status(DEVICE) == PENDING, "nothing was edited, and it is not due"
    ready.later(minutes=1)
    ready.knock(DEVICE, FACTORY)
    assert ready.status(DEVICE) == "ACTIVE"


def test_a_held_device_that_is_revoked_meanwhile_is_never_admitted(ready: World) -> None:
    """It is decided again from recorded facts; the list is asked anew."""
    ready.publish(replace(in_force(), allow=()))
    ready.knock(DEVICE, FACTORY)
    assert ready.codes(DEVICE) == ["allow.unmatched"]
    ready.crl_source.at[URL] = crl(FACTORY, REVOKED, this_update=ready.now)
    ready.later(minutes=11)
    ready.publish(in_force())
    ready.knock(DEVICE, FACTORY)
    assert (ready.status(DEVICE), ready.codes(DEVICE)) == ("INACTIVE", ["revocation.revoked"])


@pytest.mark.parametrize("when_stale", [Verdict.HOLD, Verdict.ADMIT])
def test_where_no_list_was_ever_to_be_had_devices_wait_for_one(ready: World, when_stale: Verdict) -> None:
    ready.publish(in_force(when_stale))
    ready.crl_source.at.clear()
    ready.knock(DEVICE, FACTORY)
    assert (ready.status(DEVICE), ready.codes(DEVICE)) == (PENDING, ["revocation.unusable"])
    ready.crl_source.at[URL] = crl(FACTORY)
    ready.later(minutes=15)
    ready.knock(DEVICE, FACTORY)
    assert ready.status(DEVICE) == "ACTIVE"


@pytest.mark.parametrize(("when_stale", "status"), [(Verdict.HOLD, PENDING), (Verdict.ADMIT, "ACTIVE")])
def test_where_a_list_ran_out_and_none_follows_the_rules_say_what_then(
    ready: World, when_stale: Verdict, status: str
) -> None:
    """Who was on it stays out either way."""
    ready.publish(in_force(when_stale))
    on_it = [entry(0x1003, "keyCompromise")]
    ready.crl_source.at[URL] = crl(FACTORY, on_it, next_update=ready.now + timedelta(minutes=20))
    ready.knock(DEVICE, FACTORY)
    assert ready.status(DEVICE) == "ACTIVE"
    ready.crl_source.at.clear()
    ready.later(minutes=30)
    ready.knock(OTHER, FACTORY)
    assert ready.status(OTHER) == status
    if status == PENDING:
        assert ready.codes(OTHER) == ["revocation.stale"]
    revoked = FACTORY.usual_device("snr-0003").serial(0x1003).issue()
    ready.connect(revoked)
    ready.knock(revoked, FACTORY)
    assert ready.status(revoked) == "INACTIVE"


def test_a_list_of_somebody_else_admits_nobody_whatever_the_rules_say(ready: World) -> None:
    ready.publish(in_force(Verdict.ADMIT))
    ready.crl_source.at[URL] = crl(FACTORY, signer=pki.key("P-256", "a forger"))
    ready.knock(DEVICE, FACTORY)
    assert (ready.status(DEVICE), ready.codes(DEVICE)) == (PENDING, ["revocation.unusable"])


_POINT = pki.sequence(pki.tlv(0xA0, pki.tlv(0xA0, pki.tlv(0x86, b"https://crl.example.com/7.crl"))))


@pytest.mark.parametrize(
    "extensions",
    [
        extension("deltaCRLIndicator", pki.integer(1), critical=True),
        extension("issuingDistributionPoint", pki.sequence(pki.tlv(0x84, b"\xff")), critical=True),
        extension("issuingDistributionPoint", _POINT, critical=True),
        extension("1.2.3.4", b"", critical=True),
    ],
    ids=["delta", "indirect", "partitioned", "unknown critical"],
)
@pytest.mark.parametrize("when_stale", [Verdict.HOLD, Verdict.ADMIT])
def test_a_list_that_is_not_complete_admits_nobody(ready: World, extensions: bytes, when_stale: Verdict) -> None:
    ready.publish(in_force(when_stale))
    ready.crl_source.at[URL] = crl(FACTORY, extensions=(extensions,))
    ready.knock(DEVICE, FACTORY)
    assert (ready.status(DEVICE), ready.codes(DEVICE)) == (PENDING, ["revocation.unusable"])


def test_an_address_in_a_certificate_is_not_followed(ready: World) -> None:
    """Whoever makes certificates would choose who answers for them."""
    uri = pki.tlv(0x86, b"https://attacker.example/empty.crl")
    point = pki.sequence(pki.sequence(pki.tlv(0xA0, pki.tlv(0xA0, uri))))
    device = FACTORY.usual_device("snr-0003").extension("2.5.29.31", point).issue()
    ready.connect(device)
    ready.knock(device, FACTORY)
    assert ready.status(device) == "ACTIVE"
    assert set(ready.crl_source.fetched) == {URL}


def test_a_fleet_costs_one_fetch_and_a_ca_without_a_list_none(ready: World) -> None:
    for each in (DEVICE, OTHER):
        ready.knock(each, FACTORY)
    assert ready.crl_source.fetched == [URL]
    ready.publish(rules(allow()))
    ready.registrar = ready.fresh_registrar()
    ready.knock(DEVICE, FACTORY)
    assert ready.crl_source.fetched == [URL]


def test_without_time_for_a_fetch_the_message_comes_back(ready: World) -> None:
    message = replace(ready.message(ready.event(DEVICE.sha256, FACTORY.id)), remaining=lambda: 8_999)
    with pytest.raises(Retry) as caught:
        ready.registrar.handle(message)
    assert caught.value.cause == "deadline"
    assert ready.crl_source.fetched == []
    ready.knock(DEVICE, FACTORY)
    assert ready.status(DEVICE) == "ACTIVE"


# --- delta lists and partitions

DELTA_URL = "http://crl.example.com/factory-a-delta.crl"


def with_delta(when_stale: Verdict = Verdict.HOLD) -> Rules:
    crl = Crl(URL, when_stale, delta=DELTA_URL)
    return replace(rules(allow()), cas={"factory-a": Ca("factory-a", (FACTORY.id,), 3, (crl,))})


def test_who_is_on_the_delta_list_is_rejected_and_the_record_tells_of_both_lists(ready: World) -> None:
    ready.publish(with_delta())
    ready.crl_source.at[DELTA_URL] = delta(FACTORY, REVOKED)
    for each in (DEVICE, OTHER):
        ready.knock(each, FACTORY)
    assert (ready.status(DEVICE), ready.codes(DEVICE)) == ("INACTIVE", ["revocation.revoked"])
    assert ready.status(OTHER) == "ACTIVE"
    record = ready.record(OTHER)
    assert record is not None
    assert record.facts is not None
    told = record.facts["revocation"][f"{URL} and {DELTA_URL}"]
    assert (told["number"], told["delta"]["number"], told["delta"]["entries"]) == ("1", "2", 1)
    assert ready.crl_source.fetched == [URL, DELTA_URL]


@pytest.mark.parametrize(
    "bad",
    [
        None,
        b"<html>busy</html>",
        crl(FACTORY),
        delta(pki.ca("Factory B")),
        delta(FACTORY, signer=pki.key("P-256", "a forger")),
        delta(FACTORY, since=2, number=3),
        delta(FACTORY, extensions=(partition("http://crl.example.com/1"),)),
    ],
    ids=["gone", "a page", "a complete list", "of another CA", "forged", "a list is missing", "another scope"],
)
@pytest.mark.parametrize("when_stale", [Verdict.HOLD, Verdict.ADMIT])
def test_without_its_delta_list_a_list_keeps_out_and_lets_nobody_in(
    ready: World, bad: bytes | None, when_stale: Verdict
) -> None:
    ready.publish(with_delta(when_stale))
    ready.crl_source.at[URL] = crl(FACTORY, REVOKED)
    if bad is not None:
        ready.crl_source.at[DELTA_URL] = bad
    for each in (DEVICE, OTHER):
        ready.knock(each, FACTORY)
    assert (ready.status(DEVICE), ready.codes(DEVICE)) == ("INACTIVE", ["revocation.revoked"])
    assert (ready.status(OTHER), ready.codes(OTHER)) == (PENDING, ["revocation.unusable"])
    assert "CrlFailures" in str(ready.telemetry.metrics.serialize_metric_set()["_aws"])


def test_a_hold_that_a_delta_list_lifts_is_lifted(ready: World) -> None:
    ready.publish(with_delta())
    ready.crl_source.at |= {URL: crl(FACTORY, ON_HOLD), DELTA_URL: delta(FACTORY)}
    ready.knock(DEVICE, FACTORY)
    assert (ready.status(DEVICE), ready.codes(DEVICE)) == (PENDING, ["revocation.on-hold"])
    ready.crl_source.at[DELTA_URL] = delta(FACTORY, LIFTED, number=3, this_update=ready.now)
    ready.later(minutes=15)
    ready.knock(DEVICE, FACTORY)
    assert ready.status(DEVICE) == "ACTIVE"


POINT_1, POINT_2 = "http://crl.example.com/1.crl", "http://crl.example.com/2.crl"


def in_partitions(*crls: Crl) -> Rules:
    return replace(rules(allow()), cas={"factory-a": Ca("factory-a", (FACTORY.id,), 3, crls)})


def of_partition(number: int, point: str) -> pki.Issued:
    return naming(FACTORY.usual_device(f"snr-{number}").serial(number), point).issue()


def test_only_the_partition_that_a_certificate_names_is_fetched_and_by_its_address_in_the_rules(ready: World) -> None:
    """No address in a certificate is followed: it is a name that the rules know."""
    ready.publish(in_partitions(Crl("s3://lists/1", point=POINT_1), Crl("s3://lists/2", point=POINT_2)))
    ready.crl_source.at |= {
        "s3://lists/1": crl(FACTORY, [entry(3, "superseded")], extensions=(partition(POINT_1),)),
        "s3://lists/2": crl(FACTORY, extensions=(partition(POINT_2),)),
    }
    revoked, good, stray = of_partition(3, POINT_1), of_partition(4, POINT_2), of_partition(5, "http://evil.example/")
    for each in (revoked, good, stray):
        ready.connect(each)
    for each in (revoked, good, stray, DEVICE):
        ready.knock(each, FACTORY)
        if each is revoked:
            assert ready.crl_source.fetched == ["s3://lists/1"]
    assert (ready.status(revoked), ready.codes(revoked)) == ("INACTIVE", ["revocation.revoked"])
    assert ready.status(good) == "ACTIVE"
    for each in (stray, DEVICE):
        assert (ready.status(each), ready.codes(each)) == (PENDING, ["revocation.no-partition"])
    assert ready.crl_source.fetched == ["s3://lists/1", "s3://lists/2"]


@pytest.mark.parametrize(
    ("extensions", "status"),
    [((partition(POINT_1),), "ACTIVE"), ((partition(POINT_2),), PENDING), ((), PENDING)],
    ids=["its own", "of another partition", "of nobody knows which"],
)
def test_a_partition_that_does_not_say_it_is_the_device_s_lets_nobody_in(
    ready: World, extensions: tuple[bytes, ...], status: str
) -> None:
    """Whoever mixes up files, or puts one in another's place, does not decide who is not revoked."""
    ready.publish(in_partitions(Crl("s3://lists/1", Verdict.ADMIT, point=POINT_1)))
    ready.crl_source.at["s3://lists/1"] = crl(FACTORY, extensions=extensions)
    device = of_partition(3, POINT_1)
    ready.connect(device)
    ready.knock(device, FACTORY)
    assert ready.status(device) == status


def test_a_partition_has_its_own_delta_list(ready: World) -> None:
    ready.publish(in_partitions(Crl("s3://lists/1", delta="s3://lists/1-delta", point=POINT_1)))
    ready.crl_source.at |= {
        "s3://lists/1": crl(FACTORY, extensions=(partition(POINT_1),)),
        "s3://lists/1-delta": delta(FACTORY, [entry(3)], extensions=(partition(POINT_1),)),
    }
    device = of_partition(3, POINT_1)
    ready.connect(device)
    ready.knock(device, FACTORY)
    assert ready.status(device) == "INACTIVE"


def test_an_edit_that_adds_the_partition_lets_its_devices_in(ready: World) -> None:
    ready.publish(in_partitions(Crl("s3://lists/2", point=POINT_2)))
    ready.crl_source.at["s3://lists/1"] = crl(FACTORY, extensions=(partition(POINT_1),))
    device = of_partition(3, POINT_1)
    ready.connect(device)
    ready.knock(device, FACTORY)
    assert ready.codes(device) == ["revocation.no-partition"]
    ready.publish(in_partitions(Crl("s3://lists/2", point=POINT_2), Crl("s3://lists/1", point=POINT_1)))
    ready.knock(device, FACTORY)
    assert ready.status(device) == "ACTIVE"


def test_which_list_is_a_held_device_s_is_known_from_its_record(ready: World) -> None:
    """It is decided again from recorded facts, and of a list that names its point it says whose it is."""
    ready.crl_source.at[URL] = crl(FACTORY, extensions=(partition(POINT_1),))
    ready.publish(replace(in_force(), allow=()))
    device = of_partition(3, POINT_1)
    ready.connect(device)
    ready.knock(device, FACTORY)
    assert ready.codes(device) == ["allow.unmatched"]
    ready.publish(in_force())
    ready.knock(device, FACTORY)
    assert ready.status(device) == "ACTIVE"


def test_a_record_of_a_version_that_kept_no_distribution_points_has_the_certificate_read_again(ready: World) -> None:
    ready.crl_source.at[URL] = crl(FACTORY, extensions=(partition(POINT_1),))
    ready.publish(replace(in_force(), allow=()))
    device = of_partition(3, POINT_1)
    ready.connect(device)
    ready.knock(device, FACTORY)
    record = ready.record(device)
    assert record is not None
    assert record.facts is not None
    ready.table.put_record(
        replace(record, facts={key: each for key, each in record.facts.items() if key != "crl_addresses"})
    )
    ready.publish(in_force())
    ready.knock(device, FACTORY)
    assert ready.status(device) == "ACTIVE"


# --- the cache


class Cache:
    """A cache on its own, and the time."""

    def __init__(self) -> None:
        self.files = CrlFiles({URL: crl(FACTORY)})
        self.crls = Crls(self.files)
        self.now = NOW
        reading = read_certificate(DEVICE.pem)
        self.knock = Knock(reading.facts, FACTORY.id, CA.facts, verify_chain(reading, CA), frozenset({"factory-a"}))

    def ask(self, **later: float) -> Revocation:
        self.now += timedelta(**later)
        return self.crls.of(self.knock, in_force(), CA, self.now)[URL]

    @property
    def fetches(self) -> int:
        return len(self.files.fetched)


@pytest.fixture
def cache() -> Cache:
    return Cache()


def test_a_list_is_fetched_again_after_ten_minutes(cache: Cache) -> None:
    cache.ask()
    cache.ask(seconds=REFRESH.total_seconds() - 1)
    assert cache.fetches == 1
    cache.files.at[URL] = crl(FACTORY, REVOKED)
    assert cache.ask(seconds=1).reason == "keyCompromise"
    assert cache.fetches == 2


def test_a_list_is_fetched_before_it_runs_out_and_then_every_minute(cache: Cache) -> None:
    cache.files.at[URL] = crl(FACTORY, next_update=NOW + timedelta(minutes=8))
    cache.ask()
    cache.ask(seconds=(timedelta(minutes=8) - LEAD).total_seconds() - 1)
    assert cache.fetches == 1
    for seconds in (1, RETRY.total_seconds(), RETRY.total_seconds()):
        cache.ask(seconds=seconds)
    cache.ask(seconds=1)
    assert cache.fetches == 4


def test_a_list_that_has_not_changed_is_not_read_again(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.ask()
    monkeypatch.setattr(adapter, "read_crl", None)
    assert cache.ask(minutes=11).problem is None
    assert cache.fetches == 2


@pytest.mark.parametrize(
    "breaks",
    [
        lambda at: at.clear(),
        lambda at: at.update({URL: b"<html>busy</html>"}),
        lambda at: at.update({URL: crl(pki.ca("Factory B"))}),
        lambda at: at.update({URL: crl(FACTORY, this_update=NOW - timedelta(days=1))}),
    ],
    ids=["gone", "a page", "of another CA", "rolled back"],
)
def test_what_comes_after_a_good_list_leaves_it_in_use_while_it_is_fresh(
    cache: Cache, breaks: Callable[[dict[str, bytes]], Any]
) -> None:
    cache.files.at[URL] = crl(FACTORY, REVOKED, next_update=NOW + timedelta(hours=1))
    cache.ask()
    breaks(cache.files.at)
    found = cache.ask(minutes=15)
    assert (found.reason, found.problem) == ("keyCompromise", None)
    assert found.failure is not None
    cache.ask(seconds=RETRY.total_seconds() - 1)
    assert cache.fetches == 2, "a failure is not tried again at once"
    cache.files.at[URL] = crl(FACTORY, this_update=cache.now, next_update=cache.now + timedelta(days=1))
    found = cache.ask(seconds=1)
    assert (found.reason, found.failure) == (None, None)


def test_a_bad_list_after_one_that_ran_out_is_a_problem(cache: Cache) -> None:
    cache.files.at[URL] = crl(FACTORY, next_update=NOW + timedelta(minutes=20))
    cache.ask()
    cache.files.at[URL] = b"<html>busy</html>"
    assert cache.ask(minutes=15).problem is None
    assert cache.ask(minutes=10).problem is not None


def test_a_list_is_verified_for_each_ca_that_it_is_asked_for(cache: Cache) -> None:
    """Two CAs may be configured with one address; only the one that signed it has a list there."""
    cache.ask()
    other = read_ca(pki.ca("Factory B").pem, status="ACTIVE")
    assert cache.crls.of(cache.knock, in_force(), other, NOW)[URL].problem is not None
    assert cache.ask().problem is None


def test_a_list_from_a_private_network_stands_in_for_none_that_may_not_come_from_there(cache: Cache) -> None:
    """Two aliases may give one address, and only one of them allow a private network."""
    cache.ask()
    allowed = replace(in_force().cas["factory-a"], crls=(Crl(URL, private_network=True),))
    cache.crls.of(cache.knock, replace(in_force(), cas={"factory-a": allowed}), CA, NOW)
    assert cache.files.private == [False, True]


class WithDelta(Cache):
    """A cache of a list and its delta list."""

    def __init__(self) -> None:
        super().__init__()
        self.files.at[DELTA_URL] = delta(FACTORY)

    def ask(self, **later: float) -> Revocation:
        self.now += timedelta(**later)
        [found] = self.crls.of(self.knock, with_delta(), CA, self.now).values()
        return found

    def publishes(self, since: int, entries: list[bytes] | None = None) -> None:
        """A delta list of changes since a list of that number, made now."""
        until = self.now + timedelta(days=1)
        made = delta(FACTORY, entries or (), since=since, number=since + 1, this_update=self.now, next_update=until)
        self.files.at[DELTA_URL] = made


def test_a_delta_list_that_follows_a_later_list_has_that_one_fetched_at_once() -> None:
    """Both were published just now, and the list at hand is not due yet."""
    cache = WithDelta()
    cache.files.at[DELTA_URL] = delta(FACTORY, next_update=NOW + timedelta(minutes=7))
    cache.ask()
    cache.now += timedelta(minutes=3)
    cache.files.at[URL] = crl(FACTORY, REVOKED, number=5, this_update=cache.now)
    cache.publishes(since=5)
    found = cache.ask()
    assert (found.reason, found.number, found.problem) == ("keyCompromise", 5, None)
    assert cache.files.fetched == [URL, DELTA_URL, DELTA_URL, URL]


def test_a_delta_list_whose_base_is_not_there_yet_leaves_the_one_before_in_use_while_it_is_fresh() -> None:
    cache = WithDelta()
    cache.files.at[DELTA_URL] = delta(FACTORY, REVOKED, next_update=NOW + timedelta(minutes=30))
    assert cache.ask().reason == "keyCompromise"
    cache.now += timedelta(minutes=11)
    cache.publishes(since=5)
    found = cache.ask()
    assert (found.reason, found.problem) == ("keyCompromise", None)
    assert "on neither" in str(found.failure)
    fetches = cache.fetches
    cache.ask(seconds=RETRY.total_seconds() - 1)
    assert cache.fetches == fetches, "neither list is asked for again at once"
    assert "on neither" in str(cache.ask(minutes=30).problem), "the delta list before it ran out"


def test_a_new_list_goes_on_with_the_delta_list_before_it() -> None:
    """The older delta list says nothing that the new list does not, and is due to be followed by another."""
    cache = WithDelta()
    cache.files.at[DELTA_URL] = delta(FACTORY, ON_HOLD)
    assert cache.ask().on_hold
    cache.files.at[URL] = crl(FACTORY, number=9, this_update=NOW + timedelta(minutes=10))
    found = cache.ask(minutes=11)
    assert (found.revoked_at, found.problem, found.number) == (None, None, 9)


def test_what_is_kept_is_bounded(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "MOST_OCTETS", 2 * len(crl(FACTORY)) + 20)
    urls = [f"s3://example-crls/{each}" for each in range(5)]
    for url in urls:
        cache.files.at[url] = crl(FACTORY)
        cache.crls.of(cache.knock, in_force(url=url), CA, NOW)
    assert len(cache.crls._kept) == 2
    cache.crls.of(cache.knock, in_force(url=urls[-1]), CA, NOW)
    assert cache.fetches == 5
    cache.crls.of(cache.knock, in_force(url=urls[0]), CA, NOW)
    assert cache.fetches == 6


def test_every_failure_is_counted_and_logged_with_its_address(ready: World, caplog: pytest.LogCaptureFixture) -> None:
    ready.crl_source.at.clear()
    ready.knock(DEVICE, FACTORY)
    ready.knock(OTHER, FACTORY)
    counted = ready.telemetry.metrics.serialize_metric_set()["_aws"]
    assert "CrlFailures" in str(counted)
    assert len(ready.crl_source.fetched) == 1
