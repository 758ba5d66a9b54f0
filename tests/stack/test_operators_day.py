"""docs/operators.md as it stands, on the local stack; and what its day is about, with a real device and a real drop."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from jitr_local.device import Fate
from tests.stack.plant import Plant, commands, until

pytestmark = pytest.mark.stack


def drop(plant: Plant, key: str, text: str) -> dict[str, Any]:
    """Drop a file in the bucket; the final verdict on it."""
    s3: Any = plant.stack.session().client("s3")
    bucket = plant.stack.outputs["ConfigurationBucketName"]
    version = s3.put_object(Bucket=bucket, Key=key, Body=text.encode())["VersionId"]
    beside = re.sub(r"\.\w+$", ".result.json", key)

    def verdict() -> dict[str, Any] | None:
        found = {each["Key"] for each in s3.list_objects_v2(Bucket=bucket).get("Contents", [])}
        if beside not in found:
            return None
        told: dict[str, Any] = json.loads(s3.get_object(Bucket=bucket, Key=beside)["Body"].read())
        return told if told["object"]["version"] == version and told["outcome"] != "importing" else None

    return until(verdict, f"the verdict on {key}")


@pytest.mark.docs
def test_the_page_is_typed_from_its_beginning_to_its_end(plant: Plant, tmp_path: Path) -> None:
    done = plant.type("\n".join(commands("operators.md")), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "typo.csv:3:1: common_name: 'snr-0003' is on line 2 already" in done.stderr
    assert "refused, exit code 2" in done.stdout
    assert (tmp_path / "recalled.csv").read_text("utf-8-sig").split() == ["common_name", "snr-0001"]


def test_a_dropped_list_lets_a_waiting_device_in_and_a_bad_one_changes_nothing(plant: Plant) -> None:
    """The rules are dropped as well; a typo, a second operator and a device that asks why in between."""
    factory = plant.factory("dropped")
    rules = plant.rules(factory).read_text().replace("    ca: dropped\n", "    ca: dropped\n    list: dropped-list\n")
    assert drop(plant, "lists/dropped-list.csv", "common_name\nother-1\n")["outcome"] == "published"
    verdict = drop(plant, "admission.yaml", rules)
    assert verdict["outcome"] == "published", verdict
    made = plant.device(factory, "dropped-0001")
    with made.knocking() as device:
        until(lambda: plant.record(made), "it is held")
        told = plant.jitr("explain", made.certificate_id, code=1).stdout
        assert "dropped-list" in told
        typo = drop(plant, "lists/dropped-list.csv", "common_name\ndropped-0001\ndropped-0001\n")
        assert (typo["outcome"], typo["problem_count"]) == ("refused", 1)
        assert drop(plant, "admission.yaml", rules + "nonsense: 1\n")["outcome"] == "refused"
        assert drop(plant, "lists/dropped-list.csv", "common_name\ndropped-0001\n")["outcome"] == "published"
        until(lambda: device.fate is not Fate.KNOCKING, "it gets in")
    assert device.fate is Fate.PUBLISHED, device.last_error
    assert plant.json("status")["rules"]["version"] == verdict["rules_version"]
    plant.jitr("rules", "rollback", str(verdict["rules_version"]), "--yes", code=2)  # it is in force: nothing to do
