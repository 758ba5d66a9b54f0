"""events/recheck: as AWS sends them, each answered as the table in its README says."""

import json
import re
from pathlib import Path

import pytest
from testkit.aws.admission import FACTORY, FULL, rules
from testkit.aws.fakes import fake_world
from testkit.aws.held import plenty, recheck_of
from testkit.knocks import allow

from jitr.devicelists.rows import ListRow

FOLDER = Path(__file__).parents[2] / "events" / "recheck"
ROWS = re.findall(r"^\| \[(\S+)\]\(\1\) \| .* \| (.*) \|$", (FOLDER / "README.md").read_text(), re.MULTILINE)


@pytest.mark.docs
def test_every_file_has_its_row() -> None:
    assert {name for name, _ in ROWS} == {each.name for each in FOLDER.glob("*.json")}


@pytest.mark.docs
@pytest.mark.parametrize(("name", "expected"), ROWS, ids=[name for name, _ in ROWS])
def test_each_event_has_those_decided_again_that_its_row_names(name: str, expected: str) -> None:
    devices = {each: FACTORY.usual_device(each).issue() for each in ("snr-0001", "snr-0002")}
    with fake_world() as world:
        world.register_ca(FACTORY)
        world.publish(rules(allow(lists=("line-a",), grant=FULL)))
        for each in devices.values():
            world.connect(each)
            world.knock(each, FACTORY)
        world.put_on("line-a", ListRow(common_name="snr-0001"))
        recheck_of(world).handle(json.loads((FOLDER / name).read_text()), plenty)
        queue = world.sqs.receive_message(QueueUrl=world.queue_url)["Messages"]
        asked = {json.loads(each["Body"])["certificateId"] for each in queue}
        told = [each for each, issued in devices.items() if issued.sha256 in asked]
    assert (", ".join(told) or "nobody") == expected
