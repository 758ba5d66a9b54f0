"""What a scheduled check of a million devices costs at list prices, as its page says: counted on devices in memory."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from math import ceil
from pathlib import Path
from typing import Any, cast

import pytest
from bench import prices
from bench.held_table import HeldTable
from bench.simulation.sizes import item_size
from testkit import pki
from testkit.aws.admission import FACTORY, FULL, rules
from testkit.aws.fakes import FakeIot, fake_world
from testkit.aws.fleet_check import fleet_check_of, plenty
from testkit.aws.world import PENDING, Silent, World
from testkit.knocks import allow

from jitr.aws.dynamodb.fleet_checks import PARTITION, FleetChecks, FleetPass, FleetPlace
from jitr.aws.dynamodb.table import BATCH_GET, Table, to_item
from jitr.aws.iot_listings import PAGE
from jitr.aws.quotas import Quotas
from jitr.fleet.missing import CERTIFICATE, Missing
from jitr.services.fleet.scheduled import PAGES_A_WRITE

DOCS = Path(__file__).parents[2] / "docs"
GRANT = replace(FULL, iot_policies=("Sensor",))
DEVICES, MILLION = 200, 1_000_000
MEMORY = 1.0  # GB, template.yaml
LISTINGS = 4  # of certificates, of things, of one IoT policy and of one group


class Billed(HeldTable):
    """Counts read units by what is read: Amazon DynamoDB Developer Guide, "DynamoDB read and write operations"."""

    def __init__(self) -> None:
        super().__init__()
        self.read: Counter[str] = Counter()

    def _batch_get_item(self, RequestItems: Any) -> Any:  # noqa: N803
        answer = super()._batch_get_item(RequestItems)
        ((table, wanted),) = RequestItems.items()
        sizes = {(each["pk"]["S"], each["sk"]["S"]): item_size(each) for each in answer["Responses"][table]}
        for key in wanted["Keys"]:
            place = key["pk"]["S"], key["sk"]["S"]
            self.read[place[0].partition("#")[0]] += max(1, ceil(sizes.get(place, 0) / 4096))
        return answer

    def _query(self, **asked: Any) -> Any:  # type: ignore[override]
        if asked["ExpressionAttributeValues"][":partition"] == {"S": PARTITION}:
            return {"Items": []}  # summaries and acceptances: there are none
        answer = super()._query(**asked)
        if "IndexName" not in asked:
            return answer
        # Of the index, eventually consistent: half a unit for each 4 KB of a page, which is full in a large fleet.
        size = sum(map(item_size, answer["Items"]))
        self.read["index"] += size / 4096 / 2  # type: ignore[assignment]
        return answer


@pytest.mark.docs
def test_what_a_check_of_a_million_devices_costs_is_counted_and_stands_on_its_page() -> None:
    read = _read_units()
    assert {kind: round(units, 1) for kind, units in read.items()} == {
        "CERTIFICATE": 4.0,  # with each listing
        "THING": 2.0,  # who holds the name, with things and with the group
        "index": 0.0,
    }
    pages = MILLION / BATCH_GET + LISTINGS * MILLION / PAGE
    written = pages / PAGES_A_WRITE * _write_units()
    table = MILLION * sum(read.values()) * prices.DYNAMODB_READ_UNIT + written * prices.DYNAMODB_WRITE_UNIT
    hours = LISTINGS * MILLION / PAGE / Quotas(environments=2).rate("ListCertificates") / 3600
    lambdas = hours * 3600 * MEMORY * prices.LAMBDA_GB_SECOND
    told = (DOCS / "fleet.md").read_text()
    assert f"{round(sum(read.values()))} million items" in told
    assert f"one {pages / PAGES_A_WRITE:.0f} times: {table:.2f} USD" in " ".join(told.split()), table
    assert f"{lambdas:.2f} USD of Lambda" in told, lambdas
    assert f"{table + lambdas:.2f} USD" in (DOCS / "parameters.md").read_text(), table + lambdas
    assert 0.9 < hours < 1


def _read_units() -> dict[str, float]:
    """Read units a device, of a fleet in which nothing is wrong."""
    with fake_world() as world:
        table = Billed()
        world.dynamodb, world.table = cast(Any, table), Table(cast(Any, table), "jitr")
        world.telemetry = Silent()
        world.registrar = world.fresh_registrar()
        world.register_ca(FACTORY)
        world.publish(rules(allow(grant=GRANT)))
        cast(FakeIot, world.iot).page = PAGE
        for number in range(DEVICES):
            _let_in(world, FACTORY.usual_device(f"device-{number}").key("P-256", f"device {number}").issue())
        world.now += timedelta(hours=1)
        table.read.clear()
        fleet_check_of(world).handle({"fleet": "due"}, plenty)
        return {kind: table.read[kind] / DEVICES for kind in ("CERTIFICATE", "THING", "index")}


def _let_in(world: World, device: pki.Issued) -> None:
    pem, ca = device.pem.decode(), FACTORY.pem.decode()
    cast(FakeIot, world.iot).register_certificate(certificatePem=pem, caCertificatePem=ca, status=PENDING)
    world.knock(device, FACTORY)


def _write_units() -> int:
    """Write units of a pass with full cells: of each 1 KB, and twice in a transaction."""
    with fake_world() as world:
        begun = FleetChecks(world.table).take(world.now, timedelta(days=1), FleetPlace("begin"))
        assert begun is not None
    missing = Missing()
    for number in range(5_000):
        missing.expect(f"{number:064x}", CERTIFICATE)
    whole = FleetPass(begun.started_at, 1, begun.place, missing=missing, missing_in_listing=missing)
    return 2 * ceil(item_size(to_item(whole.to_item())) / 1024)
