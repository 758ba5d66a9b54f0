"""The simulated account of bench/ is the one that the template deploys, and its parts run at their smallest."""

from typing import Any

import pytest
from bench import prices, scale
from bench.simulation.account import QUOTAS
from bench.simulation.queue import BATCH, MOST_RECEIVES, TIMEOUT, VISIBILITY
from bench.simulation.sizes import item_size
from bench.simulation.world import CONCURRENCY
from testkit.template import PARAMETERS, RESOURCES

from jitr.aws.quotas import Quotas

pytestmark = pytest.mark.xdist_group("bench")


def test_the_simulated_account_is_deployed_as_the_template_has_it() -> None:
    function, queue = RESOURCES["RegisterFunction"]["Properties"], RESOURCES["RegistrationQueue"]["Properties"]
    assert PARAMETERS["MaximumConcurrency"]["Default"] == CONCURRENCY
    assert function["Events"]["Registrations"]["Properties"]["BatchSize"] == BATCH
    assert (function["Timeout"], function["MemorySize"]) == (TIMEOUT, prices.MEMORY * 1024)
    assert queue["VisibilityTimeout"] == VISIBILITY
    assert queue["RedrivePolicy"]["maxReceiveCount"] == MOST_RECEIVES
    quotas = Quotas()
    assert quotas.share * 100 == PARAMETERS["QuotaShare"]["Default"]
    assert QUOTAS["DescribeCertificate"] == quotas.certificates == PARAMETERS["CertificateQuota"]["Default"]
    assert QUOTAS["AttachPolicy"] == quotas.policies == PARAMETERS["PolicyQuota"]["Default"]
    assert QUOTAS["CreateThing"] == quotas.things == PARAMETERS["ThingQuota"]["Default"]


def test_no_key_of_the_table_is_shared_but_those_that_the_page_on_scale_names() -> None:
    """Whatever grows with the fleet has a key for each device; a list has its shards."""
    result = scale.run(quick=True)
    shared = {row[0].partition(":")[0] for row in result.tables["keys"].rows if row[1] == "1"}
    assert shared == {"HEADS", "CHANGES", "RULES", "SOURCE", "VERSIONS"}


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ({"S": "snr-1"}, 5),
        ({"S": "é"}, 2),
        ({"N": "0"}, 2),
        ({"N": "-12345"}, 4),
        ({"B": b"123"}, 3),
        ({"BOOL": True}, 1),
        ({"SS": ["a", "bc"]}, 3),
        ({"L": [{"S": "ab"}, {"NULL": True}]}, 8),
        ({"M": {"name": {"S": "ab"}}}, 10),
    ],
)
def test_an_item_has_the_bytes_that_dynamodb_counts(value: dict[str, Any], size: int) -> None:
    """As "DynamoDB item sizes and formats" of its Developer Guide says; with the attribute's name."""
    assert item_size({"pk": value}) == 2 + size
