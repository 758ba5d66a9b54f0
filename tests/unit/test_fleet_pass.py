"""A pass of the scheduled check is one item: it fits, whatever devices have in their certificates."""

from dataclasses import replace
from datetime import UTC, datetime

from bench.simulation.sizes import item_size

from jitr.aws.dynamodb.fleet_checks import FleetPass, FleetPlace
from jitr.aws.dynamodb.table import to_item
from jitr.aws.iot_listings import MOST_POLICIES
from jitr.fleet.missing import CERTIFICATE, Missing, iot_policy, thing_group
from jitr.fleet.standing import Standing
from jitr.fleet.tally import EXPIRING, MOST_EXAMPLES, Example, Tally
from jitr.reasons import CODES
from jitr.services.fleet.pages import MOST_CAS, MOST_GROUPS

DEVICES = 2_000
NOON = "2026-03-01T12:00:00.123Z"


def _tally() -> Tally:
    """Every kind with each reason, and examples of which each character takes twelve bytes of JSON."""
    tally = Tally(certificates=10_000_000, looked_at=10_000_000)
    for kind in (*(each.value for each in Standing), EXPIRING):
        for reason in CODES:
            tally.count(kind, reason, 10_000_000)
        for number in range(MOST_EXAMPLES):
            tally.find(kind, Example(f"{number:064x}", "\U0001f600" * 300, NOON, kind, "\0" * 900))
    return tally


def _missing() -> Missing:
    missing = Missing()
    for number in range(DEVICES):
        missing.expect(f"{number:064x}", CERTIFICATE)
        missing.expect(f"{number:064x}", iot_policy(f"policy-{number % MOST_POLICIES}"))
        missing.expect(f"{number:064x}", thing_group(f"group-{number % MOST_GROUPS}"))
    return missing


def test_the_largest_pass_fits_into_an_item_and_its_summary_too() -> None:
    """A DynamoDB item holds at most 400 KB."""
    place = FleetPlace("certificates", "a" * 64, "m" * 1024)
    whole = FleetPass(datetime(2026, 3, 1, tzinfo=UTC), 1, place, _tally(), _tally(), _missing(), _missing())
    whole = replace(whole, groups=frozenset(f"{number:0128}" for number in range(MOST_GROUPS)))
    whole = replace(whole, cas=frozenset(f"{number:064x}" for number in range(MOST_CAS)))
    assert 200_000 < item_size(to_item(whole.to_item())) < 380_000


def test_an_example_shows_a_name_of_any_language() -> None:
    shown = Example("a" * 64, "Größenmesser-" + "温" * 20, "", "x", "y").to_json()
    assert shown["common_name"] == "Größenmesser-" + "温" * 20
