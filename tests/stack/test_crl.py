"""Revocation on the local stack: a list uploaded to the bucket, read by the function with its role's own permission."""

import pytest
from cryptography import x509
from testkit.stack.crls import crl
from testkit.stack.plant import Factory, Plant, PlantDevice, until

from jitr.reasons import Verdict
from jitr_local.device import Fate

pytestmark = pytest.mark.stack

_REASONS = x509.ReasonFlags


def publish_with(plant: Plant, factory: Factory, key: str, body: bytes | None) -> None:
    """Put a list into the bucket, and rules in force that name it."""
    bucket = plant.stack.outputs["ConfigurationBucketName"]
    if body is not None:
        plant.stack.session().client("s3").put_object(Bucket=bucket, Key=key, Body=body)
    rules = plant.rules(factory)
    text = rules.read_text().replace(f'["{factory.id}"]}}', f'["{factory.id}"], crl: {{url: "s3://{bucket}/{key}"}}}}')
    assert "crl" in text
    rules.write_text(text)
    plant.publish(rules)


def reasons(plant: Plant, made: PlantDevice) -> tuple[Verdict | None, list[str]]:
    record = plant.record(made)
    return (None, []) if record is None else (record.decision, [each["code"] for each in record.reasons])


def test_a_list_in_the_bucket_decides_who_gets_in(plant: Plant) -> None:
    """One is revoked, one on hold, one on no list; later the hold is lifted, and the third is revoked when it is in."""
    factory = plant.factory("crl-a")
    good, bad, waits = (plant.device(factory, f"crl-a-{name}") for name in ("good", "bad", "waits"))
    on_list = {bad.device.certificate: _REASONS.key_compromise, waits.device.certificate: _REASONS.certificate_hold}
    publish_with(plant, factory, "crls/a-1.crl", crl(factory, on_list))
    with bad.knocking(), waits.knocking(), good.knocking() as device:
        until(lambda: device.fate is not Fate.KNOCKING, "the device that is on no list gets in")
        assert device.fate is Fate.PUBLISHED
        until(lambda: reasons(plant, bad) == (Verdict.REJECT, ["revocation.revoked"]), "the revoked one is rejected")
        until(lambda: reasons(plant, waits) == (Verdict.HOLD, ["revocation.on-hold"]), "the other one is held")
    until(lambda: plant.status(bad) == "INACTIVE", "its certificate is INACTIVE")
    told = plant.jitr("explain", bad.certificate_id, "--json", code=1)
    assert "revocation.revoked" in told.stdout
    publish_with(plant, factory, "crls/a-2.crl", crl(factory, {good.device.certificate: _REASONS.superseded}))
    plant.jitr("held", "recheck", waits.certificate_id)
    until(lambda: plant.status(waits) == "ACTIVE", "the hold is lifted")

    shown = plant.json("device", "deactivate", "--crl", "crl-a", "--dry-run")
    assert [(each["certificate_id"], each["reason"]) for each in shown["devices"]] == [
        (good.certificate_id, "superseded")
    ]
    assert plant.status(good) == "ACTIVE"
    plant.jitr("device", "deactivate", "--crl", "crl-a", "--yes")
    assert plant.status(good) == "INACTIVE"


def test_a_list_outside_crls_cannot_be_read_by_the_function(plant: Plant) -> None:
    """Least privilege: rules and device lists in the same bucket are none of its business."""
    factory = plant.factory("crl-b")
    made = plant.device(factory, "crl-b-1")
    publish_with(plant, factory, "elsewhere/b.crl", crl(factory, {}))
    with made.knocking():
        until(lambda: reasons(plant, made) == (Verdict.HOLD, ["revocation.unusable"]), "it is held")
    record = plant.record(made)
    assert record is not None
    assert "AccessDenied" in record.reasons[0]["message"]
