"""The scheduled check on AWS in process: as a cold start of its function makes it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

from jitr.aws.crls import Crls
from jitr.aws.dynamodb.fleet_checks import DRIFT, PARTITION
from jitr.aws.dynamodb.table import to_item
from jitr.aws.iot import Iot
from jitr.aws.iot_listings import Listings
from jitr.aws.pacing import unpaced
from jitr.services.fleet.pages import FleetPages
from jitr.services.fleet.scheduled import TIME_FOR_A_PAGE, FleetCheck, scheduled_examiner
from testkit.aws.world import World, listening

DAY = timedelta(days=1)


def fleet_check_of(world: World) -> FleetCheck:
    """As a cold start of the fleet function makes it."""
    iot = Iot(world.iot)
    pages = partial(
        FleetPages,
        table=world.table,
        iot=iot,
        listings=Listings(world.iot, unpaced()),
        examiner=scheduled_examiner(world.table, iot, Crls(world.crl_source), lambda: world.now),
        clock=lambda: world.now,
        soon=timedelta(days=30),
    )
    return FleetCheck(
        table=world.table, iot=iot, pages=pages, clock=lambda: world.now, telemetry=world.telemetry, every=DAY
    )


# Whose places in the index, records or holders are read, in calls that a page makes and nothing else does.
_OF_A_PAGE = ("by_state", "CERTIFICATE#", "THING#")


@contextmanager
def one_page(world: World) -> Iterator[Callable[[], int]]:
    """Have Lambda say that there is time for one page, and for the calls that it takes."""
    asked: list[str] = []

    def note(**context: Any) -> None:
        body = str(context["params"]["body"])
        asked.extend(each for each in _OF_A_PAGE if each in body)

    with listening(world.dynamodb, "before-call", note):
        yield lambda: TIME_FOR_A_PAGE if asked else TIME_FOR_A_PAGE + 1


def plenty() -> int:
    """Milliseconds left in an invocation that has just begun."""
    return 900_000


def forget_checks(world: World) -> None:
    """Delete everything that checks wrote."""
    for partition in (PARTITION, DRIFT):
        for item in list(world.table.query(partition)):
            key: dict[str, Any] = to_item({name: item[name] for name in ("pk", "sk")})
            world.dynamodb.delete_item(TableName=world.table.name, Key=key)


def others(world: World) -> list[dict[str, Any]]:
    """Return every item of the table that is none of a check's."""
    items = world.dynamodb.scan(TableName=world.table.name)["Items"]
    found: list[dict[str, Any]] = [dict(each) for each in items if each["pk"]["S"] not in (PARTITION, DRIFT)]
    return sorted(found, key=lambda each: (each["pk"]["S"], each["sk"]["S"]))
