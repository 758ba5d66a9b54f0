"""docs/operators.md as it stands, on the local stack; and what its day is about, with a real device and upload."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from testkit.stack.plant import Plant, commands, until
from testkit.stack.terminal import Terminal

from jitr.reasons import Verdict
from jitr_local.device import Fate

pytestmark = pytest.mark.stack


def upload(plant: Plant, key: str, text: str, **metadata: str) -> dict[str, Any]:
    """Upload a file in the bucket; the final verdict on it."""
    s3: Any = plant.stack.session().client("s3")
    bucket = plant.stack.outputs["ConfigurationBucketName"]
    version = s3.put_object(Bucket=bucket, Key=key, Body=text.encode(), Metadata=metadata)["VersionId"]
    beside = re.sub(r"\.(csv|yaml)$", "", key) + ".result.json"

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
    assert "typo.csv:3:1: common_name: 'tmp-0003' is on line 2 already" in done.stderr
    assert (tmp_path / "recalled.csv").read_text("utf-8-sig").split() == ["common_name", "tmp-0001"]
    assert re.search(r"Version \d+ is in force again, as version \d+", done.stdout)
    assert "Made 1 certificate INACTIVE" in done.stdout
    (principal,) = plant.iot.list_thing_principals(thingName="tmp-0001")["principals"]
    found = plant.iot.describe_certificate(certificateId=principal.rpartition("/")[2])
    assert found["certificateDescription"]["status"] == "INACTIVE"


DENY = "deny:\n  - {name: recalled, list: day-recall}\nallow:"


def test_a_late_list_two_operators_at_once_a_rollback_and_a_recall_with_real_devices(plant: Plant) -> None:
    """A device is held until its row is there. Two operators are asked at the same time: one wins, the other is told,
    and what is in force keeps another device out. A rollback lets it in, a recall takes the first one out again.
    """
    factory = plant.factory("day2")
    plant.jitr("lists", "add", "day2-list", "common_name=day2-other")
    rules = plant.rules(factory)
    wide = rules.read_text().replace("    grant:", "    list: day2-list\n    grant:")
    rules.write_text(wide)
    plant.publish(rules)

    first = plant.device(factory, "day2-0001")
    with first.knocking() as device:
        until(lambda: plant.record(first), "it is held")
        assert "list day2-list: not on it" in plant.jitr("explain", first.certificate_id, code=1).stdout
        plant.jitr("lists", "add", "day2-list", "common_name=day2-0001")
        until(lambda: device.fate is not Fate.KNOCKING, "it gets in")
    assert (device.fate, plant.status(first)) == (Fate.PUBLISHED, "ACTIVE")

    narrower = _beside(rules, "narrower", wide.replace("day2-*", "day2-9*"))
    closed = _beside(rules, "closed", wide.replace("default: hold", "default: reject"))
    with Terminal(plant, "rules", "publish", closed) as late, Terminal(plant, "rules", "publish", narrower) as quick:
        late.read_until("? [y/N]: ")
        quick.read_until("? [y/N]: ")
        quick.type("y\n")
        code, told = quick.end()
        assert code == 0, told
        assert re.search(r"admitted devices? would not be admitted today: (it stays|they stay) ACTIVE", told)
        late.type("y\n")
        code, told = late.end()
    assert (code, "somebody else published rules while you were at it" in told) == (2, True), told
    assert plant.json("rules", "show")["text"] == narrower.read_text()

    plant.jitr("lists", "add", "day2-list", "common_name=day2-0002")
    second = plant.device(factory, "day2-0002")
    with second.knocking() as device:
        assert until(lambda: plant.record(second), "it is held").decision is Verdict.HOLD
        assert plant.json("rules", "rollback", "--yes", "--message", "too narrow")["effect"]["admits"] >= 1
        until(lambda: device.fate is not Fate.KNOCKING, "the rollback lets it in")
    assert device.fate is Fate.PUBLISHED, device.last_error
    assert plant.json("rules", "show")["text"] == wide

    file = plant.folder / "recall.csv"
    file.write_text("common_name\nday2-0001\nday2-0003\n")
    plant.jitr("lists", "import", "day-recall", file)
    rules.write_text(wide.replace("allow:", DENY))
    plant.publish(rules)
    assert plant.status(first) == "ACTIVE"  # rules guard the door
    recalled = plant.json("device", "deactivate", "--list", "day-recall", "--yes")
    assert [each["certificate_id"] for each in recalled["devices"]] == [first.certificate_id]
    assert (plant.status(first), plant.status(second)) == ("INACTIVE", "ACTIVE")
    third = plant.device(factory, "day2-0003")
    with third.knocking():
        until(lambda: plant.status(third) == "INACTIVE", "it is kept out")
    assert "recalled" in plant.jitr("explain", third.certificate_id, code=1).stdout
    shown = plant.json("decisions", "ls", "--decision", "reject", "--rule", "recalled")
    assert third.certificate_id in {each["certificate_id"] for each in shown}


def _beside(rules: Path, name: str, text: str) -> Path:
    """Another operator's file of rules; CAs are named by their ids, so it may lie anywhere."""
    (rules.parent / name).mkdir()
    file = rules.parent / name / rules.name
    file.write_text(text)
    return file


def test_an_uploaded_list_lets_a_waiting_device_in_and_a_bad_one_changes_nothing(plant: Plant) -> None:
    """The rules are uploaded as well; a typo, a second operator and a device that asks why in between."""
    factory = plant.factory("uploaded")
    by_ca = "    ca: uploaded\n"
    rules = plant.rules(factory).read_text().replace(by_ca, f"{by_ca}    list: uploaded-list\n")
    plant.publish(plant.rules(factory))
    assert upload(plant, "lists/uploaded-list.csv", "common_name\nother-1\n")["outcome"] == "refused"
    made = {"jitr-confirm": "new-list"}
    assert upload(plant, "lists/uploaded-list.csv", "common_name\nother-1\n", **made)["outcome"] == "published"
    verdict = upload(plant, "admission.yaml", rules)
    assert verdict["outcome"] == "published", verdict
    assert verdict["effect"].keys() == {"decided", "admits", "rejects", "reopens", "stay_active"}
    waiting = plant.device(factory, "uploaded-0001")
    with waiting.knocking() as device:
        until(lambda: plant.record(waiting), "it is held")
        told = plant.jitr("explain", waiting.certificate_id, code=1).stdout
        assert "uploaded-list" in told
        typo = upload(plant, "lists/uploaded-list.csv", "common_name\nuploaded-0001\nuploaded-0001\n")
        assert (typo["outcome"], typo["problem_count"]) == ("refused", 1)
        assert upload(plant, "admission.yaml", rules + "nonsense: 1\n")["outcome"] == "refused"
        assert upload(plant, "Uploaded.CSV", "common_name\nuploaded-0001\n")["outcome"] == "refused"
        merged = upload(plant, "lists/merge/uploaded-list.csv", "common_name\nuploaded-0001\n")
        assert (merged["outcome"], merged["added"], merged["rows_now"]) == ("published", 1, 2)
        until(lambda: device.fate is not Fate.KNOCKING, "it gets in")
    assert device.fate is Fate.PUBLISHED, device.last_error
    assert plant.json("status")["rules"]["version"] == verdict["rules_version"]
    plant.jitr("rules", "rollback", str(verdict["rules_version"]), "--yes", code=2)  # it is in force: nothing to do
