"""From a vendor's lot to a device that is in: docs/manifests.md as it stands; and a lot that is uploaded."""

import json
from pathlib import Path
from typing import Any

import pytest
from testkit import manifests, pki
from testkit.manifests import SIGNER, Lot, manifest
from testkit.stack.plant import Plant, PlantDevice, commands, until

from jitr.reasons import Verdict
from jitr_local.stack import LocalStack

pytestmark = pytest.mark.stack


def chip(plant: Plant, lot: Lot, number: int, name: str) -> PlantDevice:
    """A chip of a lot as a device, under the name of its thing."""
    issued = lot.certificate(number)
    certificate, key = plant.folder / f"{name}.pem", plant.folder / f"{name}.key"
    certificate.write_bytes(issued.pem)
    key.write_bytes(issued.private_pem)
    return plant.made(name, certificate, key)


@pytest.mark.docs
def test_a_chip_of_the_lot_gets_in_and_another_of_the_same_vendor_waits(
    second_stack: LocalStack, tmp_path: Path
) -> None:
    lot = Lot(pki.ca("Vendor Signer 17"))
    (tmp_path / "lot-17.json").write_bytes(manifest(lot.element(each) for each in range(5)))
    (tmp_path / "signer.crt").write_bytes(SIGNER.pem)
    plant = Plant(second_stack, tmp_path)
    done = plant.type("\n".join(commands("manifests.md", "From a lot to a device")), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 devices, and nothing is wrong" in done.stdout

    name = f"chip-{lot.unique_id(3)}"
    admitted = plant.knocks(chip(plant, lot, 3, name))
    (principal,) = plant.iot.list_thing_principals(thingName=name)["principals"]
    assert principal.endswith(admitted.certificate_id)
    assert plant.iot.describe_thing(thingName=name)["thingName"] == name

    stranger = chip(plant, lot, 9, "stranger")
    held = plant.knocks(stranger, lambda made: plant.record(made))
    record = plant.record(held)
    assert record is not None
    assert (record.decision, plant.status(held)) == (Verdict.HOLD, "PENDING_ACTIVATION")
    assert "list lot-17: not on it" in plant.jitr("explain", held.certificate_id, code=1).stdout

    recalled = plant.type("\n".join(commands("manifests.md", "Where rows came from")), tmp_path)
    assert recalled.returncode == 0, recalled.stdout + recalled.stderr
    assert "Made 1 certificate INACTIVE" in recalled.stdout
    assert (plant.status(admitted), plant.status(held)) == ("INACTIVE", "PENDING_ACTIVATION")
    assert admitted.certificate_id in (tmp_path / "done.csv").read_text("utf-8-sig")


def test_a_lot_that_is_uploaded_is_verified_by_the_function_with_the_rights_that_it_has(plant: Plant) -> None:
    """The local stack enforces the function's role: it reads the signers from the table, and needs no other right."""
    lot, by = Lot(pki.ca("Vendor Signer 18")), manifests.signer("Uploaded Signer")
    s3: Any = plant.stack.session().client("s3")
    bucket = plant.stack.outputs["ConfigurationBucketName"]

    def uploaded(key: str, data: bytes) -> dict[str, Any]:
        version = s3.put_object(Bucket=bucket, Key=key, Body=data, Metadata={"jitr-confirm": "new-list"})["VersionId"]

        def verdict() -> dict[str, Any] | None:
            found = {each["Key"] for each in s3.list_objects_v2(Bucket=bucket).get("Contents", [])}
            if f"{key}.result.json" not in found:
                return None
            told: dict[str, Any] = json.loads(s3.get_object(Bucket=bucket, Key=f"{key}.result.json")["Body"].read())
            return told if told["object"]["version"] == version and told["outcome"] != "importing" else None

        return until(verdict, f"the verdict on {key}")

    data = manifest(lot.element(each, by=by) for each in range(20))
    assert uploaded("lists/lot-18.json", data)["outcome"] == "refused"
    signer = plant.folder / "signer.crt"
    signer.write_bytes(by.pem)
    plant.jitr("lists", "signers", "add", signer)
    told = uploaded("lists/lot-18.json", data)
    assert (told["outcome"], told["rows"]) == ("published", 20), told["message"]
    told = uploaded("lists/lot-19.zip", manifests.zipped(lot.files))
    assert (told["outcome"], told["rows"]) == ("published", 3), told["message"]
    plant.jitr("lists", "signers", "remove", by.sha256, "--yes")
