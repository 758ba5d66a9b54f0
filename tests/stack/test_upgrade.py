"""A stack of an earlier version, in use, is updated in place: what it held, decided and was promised is still there.

The earlier version is taken from the repository's history: its template, its functions and its command line.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from testkit.stack.plant import Plant, until

from jitr_local.device import Fate
from jitr_local.session import running_stack
from jitr_local.stack import CHECKOUT, up

pytestmark = pytest.mark.stack

# Before the table had change items, an index of what is due, or hints; before there was a recheck or a bucket.
EARLIER = "41c72619c923a476a64668053558d5ddf8420f59"


@dataclass(frozen=True)
class Earlier:
    """A plant under the earlier version, whose operator has its command line."""

    plant: Plant
    checkout: Path

    def jitr(self, *arguments: str | Path) -> str:
        """Run the earlier version's ``jitr``; what it printed."""
        paths = [str(self.checkout / "cli"), str(self.checkout / "layers" / "jitr")]
        variables = self.plant.variables | {"PYTHONPATH": os.pathsep.join(paths)}
        command = [sys.executable, "-c", "from jitr_cli.main import run; run()", *map(str, arguments)]
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def update(self, **parameters: str) -> None:
        """Build and deploy this checkout's template to the same stack."""
        up(self.plant.stack.log.parent, parameters={"MaximumConcurrency": "8"} | parameters, redeploy=True)
        self.plant.stack.__dict__.pop("outputs", None)  # there are more of them now


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Earlier]:
    folder = tmp_path_factory.mktemp("earlier")
    archive = subprocess.run(["git", "archive", EARLIER], cwd=CHECKOUT, capture_output=True, check=False)
    if archive.returncode:
        pytest.skip(f"the repository's history is not here as far back as {EARLIER[:7]}: a shallow clone, or no git")
    checkout = folder / "checkout"
    checkout.mkdir()
    subprocess.run(["tar", "-x", "-C", str(checkout)], input=archive.stdout, check=True)
    with running_stack(template=checkout / "template.yaml") as stack:
        yield Earlier(Plant(stack, folder), checkout)


def test_an_update_loses_nothing_of_what_the_earlier_version_held_and_decided(earlier: Earlier) -> None:
    """Before it one device is in, one waits for its row, one was let in by hand, one kept out; one knocks throughout.

    After it rules, lists, decisions and reservations are read; who waited gets in once its row is there; who was kept
    out stays out, and so does another key with the name of the one that is in.
    """
    plant = earlier.plant
    factory, rows = plant.factory("line"), plant.folder / "wanted.csv"
    rules = plant.rules(factory)
    rules.write_text(rules.read_text().replace("    ca: line\n", "    ca: line\n    list: wanted\n"))
    rows.write_text("common_name,attr.batch\nline-in,7\nline-twice,7\n")
    earlier.jitr("lists", "import", "wanted", rows)
    earlier.jitr("rules", "publish", rules, "--yes")
    plant.knocks(plant.device(factory, "line-in"))
    late, by_hand, kept_out = (
        plant.knocks(plant.device(factory, name), plant.record) for name in ("line-late", "line-hand", "line-out")
    )
    earlier.jitr("held", "admit", by_hand.certificate_id, "--rule", "line", "--yes")
    earlier.jitr("held", "reject", kept_out.certificate_id, "--yes")
    until(lambda: plant.status(kept_out) == "INACTIVE", "it is kept out")
    version = json.loads(earlier.jitr("rules", "history", "--json"))[0]

    with plant.device(factory, "line-busy").knocking() as busy:
        until(lambda: busy.attempts, "it knocks while the stack is updated")
        earlier.update()
        assert plant.json("rules", "history")[0]["digest"] == version["digest"]
        exported = plant.folder / "exported.csv"
        plant.jitr("lists", "export", "wanted", exported)
        assert sorted(exported.read_text("utf-8-sig").split()) == sorted(rows.read_text().split())
        plant.jitr("lists", "add", "wanted", "common_name=line-late")
        plant.jitr("lists", "add", "wanted", "common_name=line-busy")
        until(lambda: busy.fate is not Fate.KNOCKING, "it is let in")
    assert busy.fate is Fate.PUBLISHED, busy.last_error
    plant.knocks(late)
    plant.knocks(by_hand)
    decisions = {each["certificate_id"]: each for each in plant.json("decisions", "ls")}
    assert decisions[kept_out.certificate_id]["decision"] == "reject"
    assert plant.status(kept_out) == "INACTIVE"

    other = plant.factory("other")
    both = plant.rules(factory, other).read_text().replace('    common_name: "other-*"', "    common_name: line-in")
    rules.write_text(both)
    plant.publish(rules)
    plant.jitr("device", "issue", "line-in", "--ca", other.ca, "--out-dir", plant.folder / "other")
    twin = plant.made("line-in", plant.folder / "other/line-in.pem", plant.folder / "other/line-in.key")
    record = until(lambda: plant.record(plant.knocks(twin, plant.record)), "it is decided")
    assert record.reasons[0]["code"] == "grant.thing-claimed"
    assert plant.json("failures", "ls") == []


def test_a_new_value_of_a_parameter_reaches_the_version_that_events_are_given_to(earlier: Earlier) -> None:
    """The alias would go on with a version that has the old one; nothing else about the function has changed."""
    earlier.update(CertificateQuota="20")
    stack = earlier.plant.stack
    functions, name = stack.session().client("lambda"), stack.outputs["RegisterFunctionName"]
    (mapping,) = functions.list_event_source_mappings(FunctionName=f"{name}:live")["EventSourceMappings"]
    assert mapping["FunctionArn"].endswith(f"{name}:live")
    configuration = functions.get_function_configuration(FunctionName=name, Qualifier="live")
    assert configuration["Environment"]["Variables"]["JITR_CERTIFICATE_QUOTA"] == "20"
    versions = functions.list_versions_by_function(FunctionName=name)["Versions"]
    assert [each["Version"] for each in versions] == ["$LATEST", configuration["Version"]]
