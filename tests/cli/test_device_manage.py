"""`jitr device register | activate | deactivate | revoke | ls | show | delete`, on AWS in process."""

import csv
import json
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import click
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from click.testing import Result
from testkit import crls
from testkit import pki as drafts
from testkit.aws.world import Silent, World, listening
from testkit.cli.command_line import REGION, Aws, Openssl, Run
from testkit.cli.operating import FACTORY, OTHER, register_ca
from testkit.knocks import allow, deny
from testkit.knocks import rules as made_rules
from testkit.page import Page
from testkit.twins import twin_of

from jitr.aws.dynamodb.by_hand import acts_of
from jitr.aws.dynamodb.table import Table
from jitr.aws.pacing import Pace
from jitr.aws.quotas import Quotas
from jitr.devicelists.rows import ListRow
from jitr.errors import Retry
from jitr.records.history import HistoryKind
from jitr.rules.model import Ca, Crl, Grant, Rules
from jitr_cli.console import output
from jitr_operations.deployment import Choice
from jitr_operations.devices import by_hand
from jitr_operations.devices import registry as device_registry
from jitr_operations.devices import status as switching
from jitr_operations.devices.by_hand import Hand
from jitr_operations.history import keeping

NOW = datetime.now(UTC).replace(microsecond=0)


def leaf(name: str = "snr-0001", ca: drafts.CA = FACTORY, owner: str | None = None) -> drafts.Issued:
    return ca.usual_device(name).key("P-256", owner or name).issue()


def write(device: drafts.Issued, file: str = "snr-0001.pem") -> str:
    Path(file).write_bytes(device.pem)
    return file


def ok(result: Result) -> Any:
    """The JSON document of a command that went well."""
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def status(client: Any, device: drafts.Issued) -> str:
    return str(client.describe_certificate(certificateId=device.sha256)["certificateDescription"]["status"])


def arn(client: Any, device: drafts.Issued) -> str:
    return str(client.describe_certificate(certificateId=device.sha256)["certificateDescription"]["certificateArn"])


def policies(client: Any, device: drafts.Issued) -> list[str]:
    attached = client.list_attached_policies(target=arn(client, device))["policies"]
    return sorted(each["policyName"] for each in attached)


def put_in(client: Any, device: drafts.Issued, ca: drafts.CA = FACTORY, state: str = "ACTIVE", **attached: Any) -> str:
    """A registered device, with IoT policies (``iot_policies``) and a ``thing`` if told."""
    certificate = client.register_certificate(
        certificatePem=device.pem.decode(), caCertificatePem=ca.pem.decode(), status=state
    )
    for name in attached.get("iot_policies", ()):
        client.attach_policy(policyName=name, target=certificate["certificateArn"])
    if thing := attached.get("thing"):
        client.create_thing(thingName=thing)
        client.attach_thing_principal(thingName=thing, principal=certificate["certificateArn"])
    return device.sha256


def not_changed(aws: Aws) -> None:
    """Nothing was asked of AWS IoT but questions."""
    words = ("Get", "Describe", "List", "Batch", "Query")
    assert [each for each in aws.operations if not each.startswith(words)] == []


# --- register


def test_a_certificate_is_registered_under_its_ca_and_everything_is_attached_before_it_is_active(
    run: Run, iot: Any, aws: Aws, openssl: Openssl
) -> None:
    device = leaf()
    aws.calls.clear()
    result = run(
        "device", "register", write(device), "--iot-policy", "Sensor", "--thing", "snr-0001", "--activate", "--json"
    )
    [one] = ok(result)["devices"]
    fingerprint = openssl("x509", "-in", "snr-0001.pem", "-noout", "-fingerprint", "-sha256").strip()
    assert one["certificate_id"] == fingerprint.partition("=")[2].replace(":", "").lower()
    assert (one["ca_certificate_id"], one["status"], one["was_registered"]) == (FACTORY.id, "ACTIVE", False)
    assert (one["iot_policies"], one["things"]) == (["Sensor"], ["snr-0001"])
    given = aws.parameters("RegisterCertificate")
    assert (given["caCertificatePem"], given["status"]) == (FACTORY.pem.decode(), "INACTIVE")
    assert aws.operations.index("UpdateCertificate") > max(
        map(aws.operations.index, ("AttachPolicy", "AttachThingPrincipal"))
    )
    assert f"In account 123456789012, Region {REGION}, endpoint https://iot.{REGION}.amazonaws.com" in result.stderr


def test_a_certificate_of_the_classic_openssl_commands_is_registered(run: Run, aws: Aws, workdir: Path) -> None:
    """X.509 version 1, a CA whose basicConstraints is not critical, and no key identifiers anywhere."""
    ca_pem, _ = drafts.classic_files(workdir)
    client = boto3.client("iot", region_name=REGION)
    client.register_ca_certificate(
        caCertificate=ca_pem.decode(), verificationCertificate=ca_pem.decode(), setAsActive=True
    )
    [one] = ok(run("device", "register", "device.crt", "--json"))["devices"]
    assert one["status"] == "INACTIVE"


def test_cas_with_one_subject_are_told_apart_by_key(run: Run, aws: Aws, workdir: Path) -> None:
    client = boto3.client("iot", region_name=REGION)
    twins = [drafts.classic_ca(owner) for owner in ("one", "two", "three")]
    for each in twins:
        register_ca(client, each)
    device = twins[1].device("snr-1").v1().issue()
    [one] = ok(run("device", "register", write(device), "--json"))["devices"]
    assert one["ca_certificate_id"] == twins[1].id


def test_a_chain_file_is_its_first_certificate(run: Run, iot: Any) -> None:
    device = leaf()
    Path("chain.pem").write_bytes(drafts.bundle(device, FACTORY))
    result = run("device", "register", "chain.pem", "--json")
    assert ok(result)["devices"][0]["certificate_id"] == device.sha256
    assert "the first of 2 certificates" in result.stderr


@pytest.mark.parametrize("chosen", ["file", "id", "beginning"])
def test_the_ca_can_be_chosen(run: Run, iot: Any, aws: Aws, chosen: str) -> None:
    """Then no other CA is looked at. It matters where several registered CAs have one key: a renewed CA."""
    renewed = drafts.make(FACTORY.draft.serial(77))
    register_ca(iot, renewed)
    Path("ca.pem").write_bytes(renewed.pem)
    device = write(leaf())
    result = run("device", "register", device)
    assert result.exit_code == 2
    assert "several registered CAs have the key that signed it" in result.stderr
    ca = {"file": "ca.pem", "id": renewed.id, "beginning": renewed.id[:8]}[chosen]
    [one] = ok(run("device", "register", device, "--ca", ca, "--json"))["devices"]
    assert one["ca_certificate_id"] == renewed.id


def test_registered_already_says_the_id_and_carries_on(run: Run, iot: Any, aws: Aws) -> None:
    device = leaf()
    put_in(iot, device, state="INACTIVE")
    aws.calls.clear()
    result = run("device", "register", write(device), "--iot-policy", "Sensor", "--activate", "--json")
    [one] = ok(result)["devices"]
    assert f"already registered, certificateId {device.sha256}, INACTIVE" in result.stderr
    assert (one["was_registered"], one["status"], one["iot_policies"]) == (True, "ACTIVE", ["Sensor"])
    assert "RegisterCertificate" not in aws.operations
    again = run("device", "register", "snr-0001.pem", "--iot-policy", "Sensor", "--activate")
    assert again.exit_code == 0
    assert "Registered already, and as asked for now." in again.stdout


def test_many_are_registered_and_an_interruption_is_carried_on(run: Run, iot: Any, aws: Aws) -> None:
    devices = [leaf(f"snr-{number}") for number in range(3)]
    files = [write(each, f"{number}.pem") for number, each in enumerate(devices)]
    refused = iter([None, ClientError({"Error": {"Code": "ThrottlingException", "Message": "slow"}}, "AttachPolicy")])

    def sometimes(given: dict[str, Any]) -> Any:
        if problem := next(refused, None):
            raise problem
        del aws.overrides["AttachPolicy"]
        iot.attach_policy(**given)
        aws.overrides["AttachPolicy"] = sometimes
        return {}

    aws.overrides["AttachPolicy"] = sometimes
    result = run("device", "register", *files, "--iot-policy", "Sensor", "--activate")
    assert result.exit_code == 3
    assert "Registered 1 of 3. The same command again carries on." in result.stderr
    assert [status(iot, each) for each in devices[:2]] == ["ACTIVE", "INACTIVE"]
    done = ok(run("device", "register", *files, "--iot-policy", "Sensor", "--activate", "--json"))["devices"]
    assert [each["was_registered"] for each in done] == [True, True, False]
    assert [(status(iot, each), policies(iot, each)) for each in devices] == [("ACTIVE", ["Sensor"])] * 3


def test_two_files_of_one_certificate_are_one_device(run: Run, iot: Any) -> None:
    device = leaf()
    files = write(device, "a.pem"), write(device, "b.pem")
    assert len(ok(run("device", "register", *files, "--json"))["devices"]) == 1


def _refusals() -> list[Any]:
    now = datetime.now(UTC)
    expired = FACTORY.device().valid(now - timedelta(days=9), now - timedelta(days=1)).issue()
    return [
        (lambda: write(leaf(ca=OTHER)), (), "is not registered: `jitr ca register` it first"),
        (lambda: write(leaf(ca=OTHER)), ("--ca", FACTORY.id), "did not sign it, but CN=Factory B"),
        (
            lambda: write(FACTORY.device().signed_by(OTHER.key).issue()),
            (),
            "with another key than the registered one of that name",
        ),
        (
            lambda: write(FACTORY.device().issuer(("CN", "Somebody")).issue()),
            (),
            "it names another issuer (CN=Somebody)",
        ),
        (lambda: write(expired), (), "it expired at"),
        (lambda: write(FACTORY.device(kind="RSA-1024").issue()), (), "its key is RSA 1024"),
        (lambda: write(FACTORY.device(kind="P-224").issue()), (), "its key is EC P-224"),
        (lambda: write(FACTORY.issued), (), "it is a CA, not a device"),
        (lambda: "nowhere.pem", (), "nowhere.pem: No such file"),
        (
            lambda: Path("x.pem").write_bytes(leaf().private_pem) and "x.pem",
            (),
            "x.pem: at line 1 begins a private key",
        ),
        (lambda: write(leaf()), ("--iot-policy", "Missing"), "there is no IoT policy Missing"),
        (lambda: write(leaf()), ("--activate",), "AWS IoT hangs up on such a device: give --iot-policy NAME"),
        (lambda: write(leaf()), ("--thing", "snr/1"), "--thing 'snr/1'"),
        (lambda: write(leaf()), ("--without-iot-policy",), "--without-iot-policy goes with --activate"),
        (lambda: write(leaf()), ("--ca", "zz"), "'zz' is no file, no caCertificateId"),
    ]


@pytest.mark.parametrize(("prepare", "options", "says"), _refusals())
def test_what_is_wrong_is_named_and_nothing_is_registered(
    run: Run, iot: Any, aws: Aws, prepare: Any, options: tuple[str, ...], says: str
) -> None:
    good, bad = write(leaf("good"), "good.pem"), prepare()
    files = (bad,) if "--thing" in options else (good, bad)
    aws.calls.clear()
    result = run("device", "register", *files, *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr
    not_changed(aws)


def test_everything_that_is_wrong_is_told_at_once(run: Run, iot: Any) -> None:
    files = [write(leaf(ca=OTHER), f"{name}.pem") for name in "abc"]
    Path("b.pem").write_bytes(FACTORY.device().signed_by(OTHER.key).issue().pem)
    result = run("device", "register", *files)
    assert result.exit_code == 2
    assert "a.pem: the CA that signed it" in result.stderr
    assert "b.pem: a CA called" in result.stderr


def test_a_ca_that_is_not_active_takes_no_devices(run: Run, iot: Any, aws: Aws) -> None:
    iot.update_ca_certificate(certificateId=FACTORY.id, newStatus="INACTIVE")
    aws.calls.clear()
    result = run("device", "register", write(leaf()))
    assert result.exit_code == 2
    assert f"is INACTIVE, and AWS IoT takes certificates of ACTIVE ones only: `jitr ca activate {FACTORY.id[:12]}`" in (
        result.stderr
    )
    not_changed(aws)


def test_a_revoked_certificate_is_not_brought_back(run: Run, iot: Any, aws: Aws) -> None:
    device = leaf()
    put_in(iot, device, state="REVOKED")
    aws.calls.clear()
    result = run("device", "register", write(device), "--iot-policy", "Sensor")
    assert result.exit_code == 2
    assert "REVOKED, which is final" in result.stderr
    not_changed(aws)


def test_several_files_have_no_thing_in_common(run: Run, iot: Any) -> None:
    result = run("device", "register", write(leaf("a"), "a.pem"), write(leaf("b"), "b.pem"), "--thing", "a")
    assert result.exit_code == 2
    assert "--thing is for one FILE" in result.stderr


def test_a_second_certificate_on_a_thing_is_asked_about(run: Run, iot: Any) -> None:
    put_in(iot, leaf("old"), thing="snr-0001")
    device = write(leaf())
    result = run("device", "register", device, "--thing", "snr-0001")
    assert result.exit_code == 2
    assert "The thing snr-0001 has other certificates already" in result.stderr
    assert run("device", "register", device, "--thing", "snr-0001", "--yes").exit_code == 0


def test_a_ca_with_a_provisioning_template_is_flagged(run: Run, iot: Any, aws: Aws) -> None:
    described = iot.describe_ca_certificate(certificateId=FACTORY.id)
    aws.overrides["DescribeCACertificate"] = lambda _: described | {"registrationConfig": {"templateName": "tpl"}}
    result = run("device", "register", write(leaf()))
    assert result.exit_code == 0
    assert "has a provisioning template attached (tpl)" in result.stderr


# --- which device is meant


def test_a_device_is_found_by_id_beginning_thing_and_file(run: Run, iot: Any) -> None:
    device = leaf()
    put_in(iot, device, thing="snr-0001", iot_policies=["Sensor"])
    fingerprint = ":".join(device.sha256[at : at + 2] for at in range(0, 64, 2)).upper()
    for which in (device.sha256, device.sha256[:8], device.sha256[:12].upper(), fingerprint, "snr-0001", write(device)):
        assert ok(run("device", "activate", which, "--json"))["certificate_id"] == device.sha256


def test_what_does_not_name_one_device_is_told(run: Run, iot: Any, aws: Aws) -> None:
    one, two = leaf("one"), leaf("two")
    put_in(iot, one, thing="both")
    put_in(iot, two)
    iot.attach_thing_principal(thingName="both", principal=arn(iot, two))
    iot.create_thing(thingName="empty")
    iot.create_thing(thingName=one.sha256[:9])
    for which, says in {
        "0" * 64: f"no certificate {'0' * 64} is registered in this account and Region",
        "abc": "no thing is called 'abc', and a certificateId takes 8 digits or more",
        "snr/1": "'snr/1' is neither a file, nor a thing",
        "deadbeef": "'deadbeef' is neither a file, nor a thing",
        "both": "the thing both has 2 certificates, say which",
        "empty": "the thing empty has no certificate",
        one.sha256[:9]: "is a thing's name and the beginning of a certificateId",
    }.items():
        result = run("device", "revoke", which, "--yes")
        assert (result.exit_code, result.stdout) == (2, ""), which
        assert says in result.stderr
    aws.overrides["ListCertificates"] = lambda _: {
        "certificates": [{"certificateId": "ab" * 31 + end, "status": "ACTIVE"} for end in ("01", "02")]
    }
    assert "2 certificates have an id that begins with abababab" in run("device", "revoke", "abababab").stderr


@pytest.mark.parametrize("kind", ["P-256", "P-384", "P-521"])
def test_a_file_with_the_other_form_of_signature_is_the_certificate_that_is_registered(
    run: Run, iot: Any, kind: str
) -> None:
    """The CA need not be registered any more."""
    ca = drafts.ca("Factory of a curve", kind=kind)
    device = leaf("snr-0001", ca)
    iot.register_certificate_without_ca(certificatePem=device.pem.decode(), status="ACTIVE")
    file = write(twin_of(device, ca), "other.pem")
    for words in (("show",), ("deactivate", "--yes"), ("activate", "--without-iot-policy"), ("revoke", "--yes")):
        result = run("device", *words, file, "--json")
        assert device.sha256 in result.stdout
        told = f"other.pem: it is registered under its other id {device.sha256}, which is the same certificate"
        assert (result.exit_code, told in result.stderr) == (0, True), words
    assert status(iot, device) == "REVOKED"


def test_a_file_whose_own_certificate_is_registered_is_that_one(run: Run, iot: Any) -> None:
    device = leaf()
    twin = twin_of(device, FACTORY)
    put_in(iot, device)
    put_in(iot, twin)
    assert ok(run("device", "revoke", write(twin), "--yes", "--json"))["certificate_id"] == twin.sha256
    assert (status(iot, device), status(iot, twin)) == ("ACTIVE", "REVOKED")


def test_a_deletion_that_carries_on_does_not_go_over_to_the_other_id(run: Run, world: World) -> None:
    """It was interrupted when the certificate was gone and its record was not."""
    device = leaf()
    twin = twin_of(device, FACTORY)
    world.publish(rules_of(allow("line-a", ca="factory-a", grant=Grant(iot_policies=()))))
    admitted(world, device)
    world.iot.update_certificate(certificateId=device.sha256, newStatus="INACTIVE")
    for thing in world.iot.list_principal_things(principal=arn(world.iot, device))["things"]:
        world.iot.detach_thing_principal(thingName=thing, principal=arn(world.iot, device))
    world.iot.delete_certificate(certificateId=device.sha256, forceDelete=True)
    put_in(world.iot, twin)
    assert ok(run("device", "delete", write(device), "--yes", "--json"))["certificate_id"] == device.sha256
    assert (world.record(device), status(world.iot, twin)) == (None, "ACTIVE")


def test_a_certificate_is_not_registered_beside_itself(run: Run, iot: Any, aws: Aws) -> None:
    """Under both its ids it would be two devices, of which one could be cut off."""
    one, two = leaf("one"), leaf("two")
    put_in(iot, one, state="REVOKED")
    files = [write(twin_of(one, FACTORY), "one.pem"), write(two, "a.pem"), write(twin_of(two, FACTORY), "b.pem")]
    aws.calls.clear()
    result = run("device", "register", *files)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"one.pem: it is registered under its other id {one.sha256}, which is the same certificate" in result.stderr
    assert result.stderr.count("are the same certificate, with the two forms of its signature: give one") == 1
    not_changed(aws)


def test_a_device_on_hold_is_shown_and_cut_off_by_its_common_name(run: Run, world: World) -> None:
    """It has no thing yet, and its name is all that people know of it."""
    world.publish(rules_of(allow("line-a", common_name="snr-*")))
    device = held(world, leaf("other-1"))
    assert ok(run("device", "show", "other-1", "--json"))["devices"][0]["certificate_id"] == device.sha256
    assert "has no IoT policy" in run("device", "activate", "other-1").stderr
    done = run("device", "deactivate", "other-1", "--yes")
    assert (done.exit_code, world.status(device)) == (0, "INACTIVE")
    assert f"other-1 is the common name of a device on hold, certificate {device.sha256[:12]}" in done.stderr
    assert run("device", "revoke", "other-1", "--yes").exit_code == 0
    assert world.status(device) == "REVOKED"


@pytest.mark.parametrize("words", [("show",), ("activate",), ("deactivate", "--yes"), ("revoke", "--yes")])
def test_devices_on_hold_of_one_name_are_listed_and_nothing_is_done_to_any(
    run: Run, world: World, aws: Aws, words: tuple[str, ...]
) -> None:
    world.publish(rules_of(allow("line-a", common_name="snr-*")))
    both = sorted(held(world, leaf("other-1", owner=owner)).sha256[:12] for owner in ("one", "two"))
    aws.calls.clear()
    result = run("device", *words, "other-1")
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"several devices on hold bear the common name other-1, say which: {', '.join(both)}" in result.stderr
    not_changed(aws)


def test_a_name_that_means_several_certificates_is_not_taken_for_that_of_a_device_on_hold(
    run: Run, world: World, aws: Aws
) -> None:
    """A device chooses its common name."""
    world.publish(rules_of(allow("line-a", common_name="snr-*")))
    one = leaf("one")
    device = held(world, leaf(one.sha256[:9]))
    put_in(world.iot, one)
    world.iot.create_thing(thingName=one.sha256[:9])
    result = run("device", "revoke", one.sha256[:9], "--yes")
    assert (result.exit_code, world.status(device)) == (2, "PENDING_ACTIVATION")
    assert "is a thing's name and the beginning of a certificateId" in result.stderr


def held(world: World, device: drafts.Issued) -> drafts.Issued:
    """A device that knocked, and that no rule of these matches."""
    world.connect(device)
    world.knock(device, FACTORY)
    assert world.status(device) == "PENDING_ACTIVATION"
    return device


def throttle_update_of(aws: Any, world: World, certificate_id: str) -> None:
    """Have AWS IoT throttle whoever updates one certificate; others are updated."""
    update = world.iot.update_certificate

    def updated(given: dict[str, Any]) -> Any:
        if given["certificateId"] == certificate_id:
            raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "slow"}}, "UpdateCertificate")
        del aws.overrides["UpdateCertificate"]
        update(**given)
        aws.overrides["UpdateCertificate"] = updated
        return {}

    aws.overrides["UpdateCertificate"] = updated


def paged(aws: Aws, operation: str, pages: list[list[dict[str, Any]]]) -> None:
    """AWS IoT lists page by page, which moto does not."""

    def page(given: dict[str, Any]) -> dict[str, Any]:
        at = int(given.get("marker", 0))
        more = {"nextMarker": str(at + 1)} if at + 1 < len(pages) else {}
        return {"certificates": pages[at]} | more

    aws.overrides[operation] = page


def test_the_beginning_of_an_id_is_looked_for_on_all_pages(run: Run, iot: Any, aws: Aws) -> None:
    device = leaf()
    put_in(iot, device, iot_policies=["Sensor"], state="INACTIVE")
    others = [{"certificateId": f"{number:064x}", "status": "ACTIVE"} for number in range(3)]
    paged(aws, "ListCertificates", [others, [{"certificateId": device.sha256, "status": "INACTIVE"}]])
    assert ok(run("device", "activate", device.sha256[:8], "--json"))["status"] == "ACTIVE"


# --- activate


def test_activate_wants_an_iot_policy_unless_told(run: Run, iot: Any) -> None:
    device = leaf()
    put_in(iot, device, state="INACTIVE")
    refused = run("device", "activate", device.sha256)
    assert refused.exit_code == 2
    assert "has no IoT policy, and AWS IoT hangs up on such a device" in refused.stderr
    assert status(iot, device) == "INACTIVE"
    done = run("device", "activate", device.sha256, "--without-iot-policy")
    assert (done.exit_code, status(iot, device)) == (0, "ACTIVE")
    assert "In account 123456789012" in done.stderr


def test_an_iot_policy_of_a_thing_group_counts(run: Run, iot: Any) -> None:
    device = leaf()
    put_in(iot, device, state="INACTIVE", thing="snr-0001")
    group = iot.create_thing_group(thingGroupName="line-a")
    iot.add_thing_to_thing_group(thingName="snr-0001", thingGroupName="line-a")
    assert run("device", "activate", "snr-0001").exit_code == 2
    iot.attach_policy(policyName="Sensor", target=group["thingGroupArn"])
    assert run("device", "activate", "snr-0001").exit_code == 0


def test_a_pending_device_without_policies_is_left_to_the_rules(run: Run, iot: Any) -> None:
    device = leaf()
    put_in(iot, device, state="PENDING_ACTIVATION")
    result = run("device", "activate", device.sha256)
    assert result.exit_code == 2
    assert f"no rule has admitted it yet (`jitr device show {device.sha256[:12]}` says why)" in result.stderr
    iot.attach_policy(policyName="Sensor", target=arn(iot, device))
    assert "made ACTIVE at your word" in run("device", "activate", device.sha256).stderr


def test_activating_twice_is_activating_once_and_revoked_is_final(run: Run, iot: Any, aws: Aws) -> None:
    device, revoked = leaf("a"), leaf("b")
    put_in(iot, device, iot_policies=["Sensor"])
    put_in(iot, revoked, iot_policies=["Sensor"], state="REVOKED")
    aws.calls.clear()
    assert "ACTIVE, as before" in run("device", "activate", device.sha256).stdout
    result = run("device", "activate", revoked.sha256)
    assert (result.exit_code, "REVOKED, which is final" in result.stderr) == (2, True)
    not_changed(aws)


def recalled(world: World, device: drafts.Issued, name: str) -> None:
    """An admitted device that was put on a recall list since, and taken out."""
    world.put_on("recall-17", ListRow(common_name=name))
    grant = Grant(iot_policies=("Sensor",), thing="{common_name}")
    world.publish(
        rules_of(
            deny("recalled-boards", lists=("recall-17",), reason="bad radio"),
            allow("line-a", grant=grant, ca="factory-a"),
        )
    )


def test_the_page_cuts_off_those_of_a_list_that_it_showed_and_no_others(
    run: Run, world: World, fleet: dict[str, drafts.Issued], iot: Any
) -> None:
    """What changed since is left as it is, and told; nothing is cut off by looking, without a reason, or twice."""
    recalled(world, fleet["a"], "a")
    for name in ("b", "tmp-O001"):
        world.put_on("recall-17", ListRow(common_name=name))
    page = Page().enter()
    looked = page.post("/lists/recall-17/recall")
    job = page.app.extensions["jitr"].jobs.get(looked.location.rpartition("/")[2])
    assert job.over.wait(60)
    shown = page.get(looked.location).location
    text = page.text(shown)
    assert "Cut off 2 devices?" in text
    assert "tmp-O001" in text  # which recalls nothing
    assert (world.status(fleet["a"]), world.status(fleet["b"])) == ("ACTIVE", "ACTIVE")
    path = f"{shown.removeprefix(page.door.root)}/do"
    assert page.post(path, message="bad radio").status_code == 400
    assert page.post(path, sure="yes").status_code == 400
    iot.update_certificate(certificateId=fleet["b"].sha256, newStatus="REVOKED")
    world.put_on("recall-17", ListRow(common_name="c"))
    done = page.finish(page.post(path, message="bad radio", sure="yes"))
    assert "Made 1 of 2 devices INACTIVE" in done
    assert f"{fleet['b'].sha256[:12]} is REVOKED by now" in done
    assert [world.status(fleet[each]) for each in "abc"] == ["INACTIVE", "REVOKED", "ACTIVE"]
    again = page.post(path, message="bad radio", sure="yes")
    assert (again.status_code, "done already" in again.text) == (400, True)


def test_what_the_rules_deny_is_activated_only_over_a_reason_that_is_kept(
    run: Run, world: World, fleet: dict[str, drafts.Issued], aws: Aws
) -> None:
    """Today's decision is asked first, whatever was decided when the device came."""
    recalled(world, fleet["a"], "a")
    assert run("device", "deactivate", "--list", "recall-17", "--yes").exit_code == 0
    aws.calls.clear()
    refused = run("device", "activate", "a")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "the rules in force deny it, and it stays as it is: deny.rule: rule recalled-boards" in refused.stderr
    assert "bad radio" in refused.stderr
    not_changed(aws)
    assert run("device", "activate", "a", "--overrule", " ").exit_code == 2
    long = run("device", "activate", "a", "--overrule", "x" * 1001)
    assert (long.exit_code, "the reason has 1,001 characters: at most 1,000 are kept" in long.stderr) == (2, True)
    done = run("device", "activate", "a", "--overrule", "radio replaced")
    assert (done.exit_code, world.status(fleet["a"])) == (0, "ACTIVE")
    assert "are overruled: deny.rule" in done.stderr
    [cut_off, let_in] = json.loads(run("decisions", "show", "a", "--json").stdout)["by_hand"]
    assert (cut_off["status"], cut_off["status_before"], cut_off["message"]) == (
        "INACTIVE",
        "ACTIVE",
        "on list recall-17",
    )
    assert (let_in["status"], let_in["message"], let_in["overruled"]) == ("ACTIVE", "radio replaced", ["deny.rule"])
    again = run("device", "activate", "a")
    assert again.exit_code == 0
    assert "it is ACTIVE, and the rules in force deny it" in again.stderr


def test_reopening_is_advised_for_who_was_rejected_and_for_nobody_else(run: Run, world: World, aws: Aws) -> None:
    """There is no decision to reopen, and no event will come, of who was let in before or registered by hand."""

    def described(parameters: dict[str, Any]) -> Any:
        answer = aws.real(world.iot, "DescribeCertificate", parameters)
        return {"certificateDescription": answer["certificateDescription"] | {"caCertificateId": FACTORY.id}}

    aws.overrides["DescribeCertificate"] = described  # moto leaves the CA out
    by_hand, rejected = leaf("a"), leaf("b")
    world.connect(by_hand, "INACTIVE")
    recalled(world, by_hand, "a")
    world.put_on("recall-17", ListRow(common_name="b"))
    world.connect(rejected)
    world.knock(rejected, FACTORY)
    assert world.status(rejected) == "INACTIVE"
    for device, reopened in ((by_hand, False), (rejected, True)):
        for told in (
            run("device", "activate", device.sha256, "--without-iot-policy").stderr,
            run("explain", device.sha256).stdout,
        ):
            assert "If it should not match, change the rule or its list, then `jitr d" in told
            assert ("`jitr decisions reopen`" in told, "`jitr device activate` it" in told) == (reopened, not reopened)
    assert "It was registered by hand, and no event will come" in run("explain", by_hand.sha256).stderr


def test_a_device_that_the_rules_would_only_hold_is_activated_with_a_warning(
    run: Run, world: World, fleet: dict[str, drafts.Issued]
) -> None:
    world.publish(rules_of(allow("line-b", common_name="x-*", ca="factory-a")))
    assert run("device", "deactivate", "a", "--yes").exit_code == 0
    done = run("device", "activate", "a")
    assert (done.exit_code, world.status(fleet["a"])) == (0, "ACTIVE")
    assert "the rules in force would not admit it (allow.unmatched" in done.stderr


def test_the_page_activates_what_the_rules_would_hold_only_over_a_tick(
    run: Run, world: World, fleet: dict[str, drafts.Issued]
) -> None:
    """It gives the warning that the command gives, before anything is done."""
    world.publish(rules_of(allow("line-b", common_name="x-*", ca="factory-a")))
    assert run("device", "deactivate", "a", "--yes").exit_code == 0
    page, path = Page().enter(), f"/devices/{fleet['a'].sha256}/activate"
    form = {"status": "INACTIVE", "message": "needed on the line"}
    for refused in (page.post(path, **form), page.post(path, **form, overrule="yes")):
        assert (refused.status_code, world.status(fleet["a"])) == (400, "INACTIVE")
        assert "the rules in force would not admit it (allow.unmatched" in refused.text
    assert page.post(path, **form, sure="yes").status_code == 303
    assert world.status(fleet["a"]) == "ACTIVE"


def lose_rules(world: World) -> None:
    """Have the rules in force be no more in the table."""
    digest = world.table.heads().digest
    for chunk in world.table.query(f"RULES#{digest}"):
        world.table.transact(
            [{"Delete": {"TableName": world.table.name, "Key": {name: {"S": chunk[name]} for name in ("pk", "sk")}}}]
        )


def test_a_device_that_nobody_can_decide_is_not_activated(
    run: Run, world: World, fleet: dict[str, drafts.Issued]
) -> None:
    """Rules in force that cannot be read deny nobody in so many words, and let nobody in."""
    assert run("device", "deactivate", "a", "--yes").exit_code == 0
    lose_rules(world)
    assert run("device", "activate", "a").exit_code == 3
    assert world.status(fleet["a"]) == "INACTIVE"
    assert run("device", "activate", "a", "--overrule", "the plant stands still").exit_code == 0
    assert world.status(fleet["a"]) == "ACTIVE"


def test_without_a_stack_a_device_is_activated_and_it_is_told_that_no_rule_was_asked(run: Run, iot: Any) -> None:
    device = leaf()
    put_in(iot, device, state="INACTIVE", iot_policies=["Sensor"])
    done = run("device", "activate", device.sha256)
    assert (done.exit_code, status(iot, device)) == (0, "ACTIVE")
    assert "No rule is asked, and it is not written down who does this: there is no stack jitr" in done.stderr


def test_what_the_rules_deny_is_not_registered_as_active_either(run: Run, world: World, aws: Aws) -> None:
    denied = leaf("b")
    recalled(world, denied, "b")
    files = [write(leaf("a"), "a.pem"), write(denied, "b.pem")]
    aws.calls.clear()
    words = ("device", "register", *files, "--iot-policy", "Sensor")
    refused = run(*words, "--activate")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "b.pem: the rules in force deny it" in refused.stderr
    assert "decisions reopen" not in refused.stderr
    not_changed(aws)
    assert run(*words, "--overrule", "x").exit_code == 2
    assert run(*words, "--activate", "--overrule", "for the test bench").exit_code == 0
    assert world.status(denied) == "ACTIVE"
    assert acts_of(world.table, [denied.sha256])[denied.sha256][-1].message == "for the test bench"


def test_who_registered_a_certificate_by_hand_and_when_is_written_down_until_it_is_deleted(
    run: Run, world: World
) -> None:
    """The register function finds it there by the certificate's other id; also where AWS IoT holds neither any more."""
    device = leaf("snr-hand")
    assert run("device", "register", write(device)).exit_code == 0
    (act,) = acts_of(world.table, [device.sha256])[device.sha256]
    assert (act.status, act.status_before, act.cut_off) == ("INACTIVE", "NOT_REGISTERED", False)
    assert "registered 20" in (told := run("device", "show", device.sha256).stdout)
    assert "by arn:aws:sts::123456789012" in told
    assert run("device", "register", "snr-0001.pem").exit_code == 0  # it carries on: registered once
    assert len(acts_of(world.table, [device.sha256])[device.sha256]) == 1
    world.iot.delete_certificate(certificateId=device.sha256)
    assert world.table.on_record(device.sha256) == (False, True)
    assert run("device", "delete", device.sha256, "--yes").exit_code == 0
    assert world.table.on_record(device.sha256) == (False, False)


@pytest.mark.parametrize(("command", "state"), [("revoke", "REVOKED"), ("deactivate", "INACTIVE")])
def test_what_other_hands_cut_off_is_known_under_its_other_id_once_an_operator_says_so(
    run: Run, world: World, command: str, state: str
) -> None:
    """In AWS's console, say, of which nothing is written down here."""
    device = leaf()
    put_in(world.iot, device, state=state)
    for _ in range(2):
        assert run("device", command, device.sha256, "--yes").exit_code == 0
    (act,) = acts_of(world.table, [device.sha256])[device.sha256]
    assert (act.status, act.status_before, act.cut_off) == (state, state, True)
    assert f"{state} already, and to stay so since 20" in run("device", "show", device.sha256).stdout
    twin = twin_of(device, FACTORY)
    world.publish(rules_of(allow("line-a", ca="factory-a", grant=Grant(iot_policies=("Sensor",)))))
    world.connect(twin)
    world.knock(twin, FACTORY)
    assert (world.codes(twin), world.status(twin)) == (["certificate.twin"], "PENDING_ACTIVATION")


def test_what_was_granted_is_shown_as_names_and_not_as_python(run: Run, fleet: dict[str, drafts.Issued]) -> None:
    told = [line.split() for line in run("decisions", "show", "a").stdout.splitlines()]
    assert ["thing", "a"] in told
    assert ["iot_policies", "Sensor"] in told
    assert ["thing_groups", "line-a"] in told


def test_who_cut_a_device_off_when_and_why_is_in_its_decision(
    run: Run, world: World, fleet: dict[str, drafts.Issued]
) -> None:
    """For each of our commands that does it, and for devices that nothing was decided on, too."""
    assert run("device", "deactivate", "a", "--yes").exit_code == 0
    assert run("device", "revoke", "b", "--yes").exit_code == 0
    assert run("device", "deactivate", fleet["hand"].sha256, "--yes").exit_code == 0
    for name, became in (("a", "INACTIVE"), ("b", "REVOKED")):
        told = run("decisions", "show", name).stdout
        assert f"CUT OFF  {became} since 20" in told
        assert "by arn:aws:sts::123456789012" in told
    listed = {each["certificate_id"]: each for each in json.loads(run("decisions", "ls", "--json").stdout)}
    assert listed[fleet["a"].sha256]["by_hand"][-1]["status"] == "INACTIVE"
    assert "by_hand" not in listed[fleet["c"].sha256]
    assert "REVOKED since 20" in run("decisions", "ls").stdout
    [one] = ok(run("device", "show", fleet["hand"].sha256, "--json"))["devices"]
    assert [each["status"] for each in one["by_hand"]] == ["INACTIVE"]
    assert run("device", "delete", "a", "--yes").exit_code == 0
    assert acts_of(world.table, [fleet["a"].sha256]) == {}


def test_what_is_written_down_of_a_device_is_bounded_and_survives_another_hand(
    run: Run, world: World, fleet: dict[str, drafts.Issued], monkeypatch: pytest.MonkeyPatch
) -> None:
    hand = Hand(Choice(region=REGION).deployment(), world.table)
    for number in range(by_hand.MOST_KEPT + 3):
        hand.did("ab" * 32, "INACTIVE", "ACTIVE", str(number))
    assert [each.message for each in acts_of(world.table, ["ab" * 32])["ab" * 32]] == [
        str(number) for number in range(3, by_hand.MOST_KEPT + 3)
    ]
    get, others = world.table.get, [True]

    def slow(keys: Any, **more: Any) -> Any:
        found = list(get(keys, **more))
        if others:  # somebody else writes between our reading and our writing
            others.pop()
            Hand(Choice(region=REGION).deployment(), world.table).did("ab" * 32, "REVOKED", "INACTIVE", "the other")
        return iter(found)

    monkeypatch.setattr(world.table, "get", slow)
    hand.did("ab" * 32, "INACTIVE", "ACTIVE", "mine")
    assert [each.message for each in acts_of(world.table, ["ab" * 32])["ab" * 32]][-2:] == ["the other", "mine"]


def test_devices_are_cut_off_even_where_it_cannot_be_written_down(
    run: Run, world: World, fleet: dict[str, drafts.Issued], aws: Aws
) -> None:
    def denied(_: Any) -> Any:
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "UpdateItem")

    aws.overrides["UpdateItem"] = denied
    done = run("device", "deactivate", "a", "b", "--yes")
    assert done.exit_code == 0, done.stderr
    assert done.stderr.count("it cannot be written down who did it") == 1
    assert {world.status(fleet[name]) for name in ("a", "b")} == {"INACTIVE"}
    assert run("device", "activate", "a", "--overrule", "x").exit_code == 3  # a reason is kept, or it is none
    assert world.status(fleet["a"]) == "INACTIVE"


def test_a_table_that_cannot_be_reached_is_not_asked_again_for_each_device(
    run: Run, world: World, fleet: dict[str, drafts.Issued], aws: Aws
) -> None:
    """Each try may take a minute. All are cut off; what is not written down is tried once more, and told of once."""

    def unreached(_: Any) -> Any:
        raise EndpointConnectionError(endpoint_url="https://dynamodb.example.com")

    aws.overrides["UpdateItem"] = unreached
    done = run("device", "deactivate", "a", "b", "c", "--yes")
    assert {world.status(fleet[name]) for name in ("a", "b", "c")} == {"INACTIVE"}
    assert aws.operations.count("UpdateItem") == 2
    assert "who did it is not written down of 3 certificates" in done.stderr


def test_an_entry_of_the_history_is_not_tried_for_each_device_at_a_table_that_cannot_be_reached(
    world: World, aws: Aws
) -> None:
    def unreached(_: Any) -> Any:
        raise EndpointConnectionError(endpoint_url="https://dynamodb.example.com")

    aws.overrides["TransactWriteItems"] = unreached
    entry = keeping.entry(Choice(region=REGION).deployment(), HistoryKind.DEVICE, ("device", "deactivate"))
    doing = keeping.Doing(world.table, entry)
    before = aws.operations.count("TransactWriteItems")
    for each in range(3):
        doing.touched(f"{each:064x}")
    assert aws.operations.count("TransactWriteItems") == before + 1


def test_how_far_it_came_is_told_where_the_table_cannot_be_reached_after_the_last(
    run: Run, world: World, fleet: dict[str, drafts.Issued], aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreached(*_: Any) -> Any:
        raise Retry("unreachable", "AWS could not be reached")

    monkeypatch.setattr("jitr_operations.devices.status.shut_out_for_good", unreached)
    done = run("device", "deactivate", "a", "b", "--yes")
    assert (done.exit_code, world.status(fleet["b"])) == (3, "INACTIVE")
    assert "Made 2 certificates INACTIVE. Whether one is being let in again at this moment" in done.stderr


@pytest.mark.parametrize("command", ["deactivate", "revoke", "register"])
def test_who_did_it_is_written_down_where_the_table_takes_it_later_also_if_the_rest_fails(
    run: Run, world: World, fleet: dict[str, drafts.Issued], aws: Aws, command: str
) -> None:
    """The same command again does not come to a device that is INACTIVE, or registered, by then."""

    def throttled(_: Any) -> Any:
        del aws.overrides["UpdateItem"]
        raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "slow"}}, "UpdateItem")

    def refused(given: dict[str, Any]) -> Any:
        if given["certificateId"] == fleet["b"].sha256:
            raise ClientError({"Error": {"Code": "UnauthorizedException", "Message": "no"}}, "UpdateCertificate")
        return aws.real(world.iot, "UpdateCertificate", given)

    aws.overrides |= {"UpdateItem": throttled, "UpdateCertificate": refused}
    new = leaf("new")
    words, device = {
        "deactivate": (("a", "b", "c", "--yes"), fleet["a"]),
        "revoke": (("a", "--yes"), fleet["a"]),
        "register": ((write(new),), new),
    }[command]
    done = run("device", command, *words)
    assert done.exit_code == (3 if command == "deactivate" else 0), done.stderr
    assert ("it cannot be written down who did it" in done.stderr, "It is written down by now" in done.stderr) == (
        True,
        True,
    )
    [act] = acts_of(world.table, [device.sha256])[device.sha256]
    assert act.status == world.status(device)


# --- deactivate


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Somebody sits there and answers what the list says; what was asked is printed."""
    answers: list[bool] = []

    def confirm(question: str, yes: bool) -> None:
        output.note(question)
        if not (yes or answers.pop(0)):
            raise click.exceptions.Exit(1)

    monkeypatch.setattr(output, "confirm", confirm)
    return answers


def test_devices_are_deactivated_after_asking(run: Run, iot: Any, terminal: list[bool]) -> None:
    devices = [leaf("a"), leaf("b"), leaf("c")]
    for each, state in zip(devices, ("ACTIVE", "INACTIVE", "REVOKED"), strict=True):
        put_in(iot, each, state=state)
    ids = [each.sha256 for each in devices]
    terminal[:] = [False, True]
    no = run("device", "deactivate", *ids)
    assert (no.exit_code, status(iot, devices[0])) == (1, "ACTIVE")
    assert f"{ids[0]} (a), ACTIVE" in no.stderr
    assert ids[1] not in no.stderr
    done = ok(run("device", "deactivate", *ids, "--json"))["devices"]
    assert [(each["status"], each["status_before"]) for each in done] == [
        ("INACTIVE", "ACTIVE"),
        ("INACTIVE", "INACTIVE"),
        ("REVOKED", "REVOKED"),
    ]
    assert [status(iot, each) for each in devices] == ["INACTIVE", "INACTIVE", "REVOKED"]
    assert run("device", "deactivate", *ids).exit_code == 0  # nothing is left to ask about


def test_without_a_terminal_and_without_yes_nothing_is_changed(run: Run, iot: Any, aws: Aws) -> None:
    device = leaf()
    put_in(iot, device)
    aws.calls.clear()
    for words in (["deactivate", device.sha256], ["revoke", device.sha256]):
        result = run("device", *words)
        assert (result.exit_code, result.stdout) == (2, "")
        assert "--yes answers it" in result.stderr
    not_changed(aws)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "Say which devices in one way"),
        (("a", "--list", "b"), "Say which devices in one way"),
        (("a", "--where", "attr.lot=17"), "Say which devices in one way"),
        (("--crl", "a", "--where", "attr.lot=17"), "Say which devices in one way"),
        (("a", "--dry-run"), "--dry-run and --csv go with --list, --where, --crl or --rule"),
        (("a", "--csv", "done.csv"), "--dry-run and --csv go with --list, --where, --crl or --rule"),
        (("--where", "lot=17"), "--where lot=17: unknown column 'lot'"),
    ],
)
def test_deactivate_takes_devices_or_a_list(run: Run, words: tuple[str, ...], says: str) -> None:
    result = run("device", "deactivate", *words)
    assert result.exit_code == 2
    assert says in result.stderr


def rules_of(*each: Any) -> Rules:
    made = made_rules(*each)
    return Rules(
        source=made.source,
        default=made.default,
        cas={"factory-a": Ca("factory-a", (FACTORY.id,), 3)},
        floor=made.floor,
        deny=made.deny,
        allow=made.allow,
    )


def admitted(world: World, device: drafts.Issued) -> None:
    """A device that the rules let in."""
    world.connect(device)
    world.knock(device, FACTORY)
    assert world.status(device) == "ACTIVE", world.codes(device)


@pytest.fixture
def fleet(world: World) -> dict[str, drafts.Issued]:
    """Devices that the rules let in, and one registered by hand."""
    grant = Grant(iot_policies=("Sensor",), thing="{common_name}", thing_groups=("line-a",))
    world.publish(rules_of(allow("line-a", grant=grant, max_devices=50, ca="factory-a")))
    devices = {name: leaf(name) for name in ("a", "b", "c", "d")}
    devices["s"] = FACTORY.usual_device("s").key("P-256", "s").serial(0xBEEF).issue()
    for each in devices.values():
        admitted(world, each)
    devices["hand"] = leaf("hand")
    put_in(world.iot, devices["hand"])
    devices["gone"] = leaf("gone")
    put_in(world.iot, devices["gone"], state="INACTIVE")
    return devices


def test_a_device_is_shown_with_the_rows_that_name_it(run: Run, world: World, fleet: dict[str, drafts.Issued]) -> None:
    """By each of its keys, an alias of its CA included, on each list; a row that has two of them once."""
    facts = world.record(fleet["s"])
    assert facts is not None
    assert facts.facts is not None
    key = facts.facts["public_key_sha256"]
    world.put_on("line-a", ListRow(common_name="s", public_key_sha256=key, note="pallet 7"))
    world.put_on("recall-17", ListRow(serial_number="beef", ca="factory-a"))
    world.put_on("recall-18", ListRow(common_name="another"))
    (shown,) = ok(run("device", "show", fleet["s"].sha256, "--json"))["devices"]
    assert [(each["list"], each["found_by"]) for each in shown["on_lists"]] == [
        ("line-a", "public_key_sha256"),
        ("recall-17", "serial_number"),
    ]
    assert re.search("on list line-a +by public_key_sha256: pallet 7", run("device", "show", fleet["s"].sha256).stdout)
    page = Page().enter()
    links = re.findall(r"/lists/[^\"]+\?q=[^\"]+", page.text(f"/devices/{fleet['s'].sha256}"))
    assert len(links) == 2
    for link in links:
        assert "1 row on this page" in page.text(link)
    assert "No row of a list names it" in page.text(f"/devices/{fleet['a'].sha256}")


def test_where_the_rules_in_force_cannot_be_read_a_device_is_shown_and_that_is_told(
    run: Run, world: World, fleet: dict[str, drafts.Issued]
) -> None:
    """Else a row that names its CA by an alias would seem not to be there, and the page to have no rules."""
    world.put_on("recall-17", ListRow(serial_number="beef", ca="factory-a"))
    lose_rules(world)
    shown = run("device", "show", fleet["s"].sha256)
    assert (shown.exit_code, "not (whole) in the table" in shown.stderr) == (0, True), shown.stderr
    page = Page().enter()
    for path in (f"/devices/{fleet['s'].sha256}", "/held", "/cas"):
        assert "the rules in force cannot be read" in page.text(path)


def test_a_device_is_shown_with_what_aws_iot_has_otherwise_than_it_was_granted(
    run: Run, world: World, fleet: dict[str, drafts.Issued]
) -> None:
    a, b = fleet["a"].sha256, fleet["b"].sha256
    assert ok(run("device", "show", a, "--json"))["devices"][0]["differs"] == []
    page = Page().enter()
    assert "All of it is as granted" in page.text(f"/devices/{a}")
    world.iot.detach_policy(policyName="Sensor", target=arn(world.iot, fleet["a"]))
    world.iot.remove_thing_from_thing_group(thingGroupName="line-a", thingName="a")
    world.iot.detach_thing_principal(thingName="b", principal=arn(world.iot, fleet["b"]))
    told = run("device", "show", a).stdout
    for difference in ("thing group line-a is missing", "IoT policy Sensor is missing"):
        assert re.search(f"differs from its grant +{difference}", told)
        assert difference in page.text(f"/devices/{a}")
    (shown,) = ok(run("device", "show", b, "--json"))["devices"]
    assert [each["differs"] for each in shown["differs"]] == ["attachment"]
    assert ok(run("device", "show", fleet["hand"].sha256, "--json"))["devices"][0]["differs"] is None


def test_the_page_of_a_device_with_many_things_describes_few_and_counts_the_rest(
    run: Run, world: World, fleet: dict[str, drafts.Issued]
) -> None:
    for number in range(7):
        world.iot.create_thing(thingName=f"sensor-{number}")
        world.iot.attach_thing_principal(thingName=f"sensor-{number}", principal=arn(world.iot, fleet["a"]))
    text = Page().enter().text(f"/devices/{fleet['a'].sha256}")
    assert "<dd>3 more</dd>" in text
    assert len(ok(run("device", "show", fleet["a"].sha256, "--json"))["devices"][0]["things"]) == 8


def test_a_list_recalls_the_devices_that_are_in(run: Run, world: World, fleet: dict[str, drafts.Issued]) -> None:
    """By any key of a row, as a deny rule; decision records and certificates without one are compared alike."""
    facts = world.record(fleet["b"])
    assert facts is not None
    assert facts.facts is not None
    world.put_on(
        "recall-17",
        ListRow(common_name="a"),
        ListRow(public_key_sha256=facts.facts["public_key_sha256"], common_name="another name"),
        ListRow(certificate_sha256=fleet["c"].sha256),
        ListRow(serial_number="beef", ca="factory-a"),
        ListRow(common_name="hand"),
        ListRow(common_name="gone"),
        ListRow(common_name="d", expires=NOW - timedelta(days=1)),
        ListRow(common_name="never seen"),
    )
    shown = run("device", "deactivate", "--list", "recall-17", "--dry-run", "--json")
    recalled = {each["common_name"]: each for each in ok(shown)["devices"]}
    assert {name: each["found_by"] for name, each in recalled.items()} == {
        "a": "common_name",
        "b": "public_key_sha256",
        "c": "certificate_sha256",
        "s": "serial_number",
        "hand": "common_name",
    }
    assert {world.status(fleet[name]) for name in recalled} == {"ACTIVE"}
    refused = run("device", "deactivate", "--list", "recall-17")
    assert refused.exit_code == 2
    assert f"{fleet['a'].sha256[:12]}  a  by common_name a" in refused.stderr
    assert "Make 5 certificates INACTIVE?" in refused.stderr
    result = run("device", "deactivate", "--list", "recall-17", "--yes")
    assert (result.exit_code, result.stdout) == (0, "Made 5 certificates INACTIVE\n")
    assert {name: world.status(each) for name, each in fleet.items()} == {
        name: "ACTIVE" if name == "d" else "INACTIVE" for name in fleet
    }
    again = run("device", "deactivate", "--list", "recall-17", "--yes")
    assert (again.exit_code, again.stdout) == (0, "")
    assert "No ACTIVE certificate is on list recall-17." in again.stderr


def test_a_repeated_recall_knows_the_devices_that_are_off_already_also_those_without_a_record(
    run: Run, world: World, fleet: dict[str, drafts.Issued]
) -> None:
    """Else a device that was registered by hand and recalled is told as one that does not exist."""
    world.put_on("recall-17", ListRow(common_name="a"), ListRow(common_name="hand"))
    assert run("device", "deactivate", "--list", "recall-17", "--yes").exit_code == 0
    again = run("device", "deactivate", "--list", "recall-17", "--yes")
    assert "2 of 2 rows of list recall-17 fit no ACTIVE certificate; 2 of them fit one that is not" in again.stderr
    assert "no device has" not in again.stderr
    assert {world.status(fleet[name]) for name in ("a", "hand")} == {"INACTIVE"}


def test_a_recall_by_a_certificate_s_other_id_finds_it(run: Run, world: World, fleet: dict[str, drafts.Issued]) -> None:
    """An ECDSA signature has two forms, so a list may name the certificate by the id that it did not come with."""
    record = world.record(fleet["a"])
    assert record is not None
    assert record.facts is not None
    world.put_on("recall-17", ListRow(certificate_sha256=record.facts["chain"]["twin_sha256"]))
    found = ok(run("device", "deactivate", "--list", "recall-17", "--yes", "--json"))["devices"]
    assert [each["certificate_id"] for each in found] == [fleet["a"].sha256]
    assert world.status(fleet["a"]) == "INACTIVE"


def test_a_recall_tells_of_the_rows_that_fit_no_device_and_of_the_nearest_devices(
    run: Run, world: World, fleet: dict[str, drafts.Issued]
) -> None:
    """A wrong case, or an l for a 1, recalls nobody, and without a word nobody would know."""
    admitted(world, leaf("snr-41"))
    world.put_on(
        "recall-17",
        ListRow(common_name="A"),
        ListRow(common_name="snr-4l"),
        ListRow(common_name="nobody at all"),
        ListRow(common_name="b"),
        ListRow(common_name="z", expires=NOW - timedelta(days=1)),
    )
    told = run("device", "deactivate", "--list", "recall-17", "--yes")
    assert told.stdout == "Made 1 certificate INACTIVE\n"
    assert "3 of 4 rows of list recall-17 fit no ACTIVE certificate\n" in told.stderr
    assert "no device has common_name A; nearest is a\n" in told.stderr
    assert "no device has common_name snr-4l; nearest is snr-41\n" in told.stderr
    assert "no device has common_name nobody at all\n" in told.stderr
    again = run("device", "deactivate", "--list", "recall-17", "--yes", "--json")
    document = ok(again)
    assert (document["rows"], document["rows_without_active"], document["rows_not_active"]) == (4, 4, 1)
    assert {each["key"]: each["nearest"] for each in document["first_without_device"]} == {
        "A": "a",
        "snr-4l": "snr-41",
        "nobody at all": None,
    }
    assert (
        "4 of 4 rows of list recall-17 fit no ACTIVE certificate; 1 of them fits one that is not ACTIVE" in again.stderr
    )


def test_a_lot_is_recalled_by_what_its_rows_say_and_a_csv_file_says_what_was_done(
    run: Run, world: World, fleet: dict[str, drafts.Issued]
) -> None:
    world.put_on(
        "line-a",
        ListRow(common_name="a", attributes={"lot": "17"}),
        ListRow(common_name="b", attributes={"lot": "17", "hall": "2"}),
        ListRow(common_name="c", attributes={"lot": "18"}),
    )
    words = ("device", "deactivate", "--list", "line-a", "--where", "attr.lot=17")
    shown = run(*words, "--where", "attr.hall=2", "--dry-run", "--json")
    document = ok(shown)
    assert [each["common_name"] for each in document["devices"]] == ["b"]
    assert (document["list"], document["where"]) == ("line-a", ["attr.lot=17", "attr.hall=2"])
    done = run(*words, "--yes", "--csv", "done.csv")
    assert (done.exit_code, done.stdout) == (0, "Made 2 certificates INACTIVE\n")
    assert "On list line-a where attr.lot=17 and ACTIVE:" in done.stderr
    assert "jitr lists export line-a recalled.csv --where attr.lot=17" in done.stderr
    assert {name for name, each in fleet.items() if world.status(each) == "INACTIVE"} == {"a", "b", "gone"}
    with Path("done.csv").open(encoding="utf-8-sig", newline="") as file:
        lines = list(csv.DictReader(file))
    assert {(each["certificate_id"], each["found_by"], each["key"]) for each in lines} == {
        (fleet[name].sha256, "common_name", name) for name in ("a", "b")
    }
    assert {(each["status_before"], each["status"]) for each in lines} == {("ACTIVE", "INACTIVE")}
    shown_by_hand = run("device", "show", fleet["a"].sha256)
    assert "on list line-a where attr.lot=17" in shown_by_hand.stdout


def test_conditions_without_a_list_choose_rows_of_every_list(
    run: Run, world: World, fleet: dict[str, drafts.Issued]
) -> None:
    world.put_on("line-a", ListRow(common_name="a", attributes={"lot": "17"}), ListRow(common_name="b"))
    world.put_on("line-b", ListRow(common_name="c", attributes={"lot": "17"}))
    found = ok(run("device", "deactivate", "--where", "attr.lot=17", "--yes", "--json"))
    assert {each["common_name"] for each in found["devices"]} == {"a", "c"}
    assert {name for name in "abcd" if world.status(fleet[name]) == "INACTIVE"} == {"a", "c"}


def test_a_condition_on_a_column_that_no_row_has_is_refused_with_the_one_that_is_near(
    run: Run, world: World, fleet: dict[str, drafts.Issued]
) -> None:
    """Before anything is done: a slip in a column's name would recall nobody, show nothing and export an empty file."""
    world.put_on("line-a", ListRow(common_name="a", attributes={"lot": "17"}), ListRow(common_name="b"))
    world.put_on("line-b", ListRow(common_name="c", attributes={"hall": "2"}))
    for words in (
        ("device", "deactivate", "--list", "line-a", "--yes"),
        ("device", "deactivate", "--yes"),
        ("lists", "show", "line-a"),
        ("lists", "export", "line-a", "rows.csv"),
        ("lists", "export", "line-a", "-"),
    ):
        refused = run(*words, "--where", "attr.lto=17")
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert "--where attr.lto=17: no row has the column attr.lto: did you mean attr.lot?" in refused.stderr
    assert not Path("rows.csv").exists()
    far = run("lists", "show", "line-a", "--where", "expires=2026-01-01T00:00:00Z")
    assert "no row has the column expires: there are: attr.lot, common_name" in far.stderr
    assert ok(run("lists", "show", "line-a", "--where", "attr.lot=18", "--json"))["shown"] == []
    assert world.status(fleet["a"]) == "ACTIVE"


def test_a_condition_that_no_row_meets_is_told(run: Run, world: World, fleet: dict[str, drafts.Issued]) -> None:
    """A lot with a slip recalls nobody, and without a word nobody would know."""
    world.put_on("line-a", ListRow(common_name="a", attributes={"lot": "17"}))
    told = run("device", "deactivate", "--list", "line-a", "--where", "attr.lot=l7", "--yes")
    assert told.exit_code == 0
    assert "No row of list line-a where attr.lot=l7 is in force: it recalls nobody" in told.stderr
    assert world.status(fleet["a"]) == "ACTIVE"


def test_a_csv_file_of_a_recall_that_was_cut_off_says_what_was_done_until_then(
    run: Run, world: World, fleet: dict[str, drafts.Issued], aws: Aws
) -> None:
    world.put_on("recall-17", ListRow(common_name="a"), ListRow(common_name="c"))
    words = ("device", "deactivate", "--list", "recall-17")
    assert run(*words, "--csv", "done.csv").exit_code == 2  # nobody agreed
    assert not Path("done.csv").exists()
    paged(aws, "ListCertificates", [[{"certificateId": fleet[n].sha256, "status": "ACTIVE"}] for n in ("a", "c")])
    throttle_update_of(aws, world, fleet["c"].sha256)
    assert run(*words, "--yes", "--csv", "done.csv").exit_code == 3
    lines = Path("done.csv").read_text("utf-8-sig").splitlines()
    assert [each.split(",")[:2] for each in lines[1:]] == [[fleet["a"].sha256, "a"]]
    Path("there.csv").touch()
    aws.calls.clear()
    refused = run(*words, "--yes", "--csv", "there.csv")
    assert (refused.exit_code, "there.csv exists" in refused.stderr) == (2, True)
    not_changed(aws)


def test_devices_are_deactivated_no_faster_than_aws_iot_gives_to_every_account() -> None:
    """Else a recall of thousands is throttled, and so is whoever else asks in the account."""
    clock = 0.0

    def sleep(seconds: float) -> None:
        nonlocal clock
        clock += seconds

    class Switches:
        def set_status(self, certificate_id: str, _status: str) -> None:
            made_at[certificate_id] = clock

    made_at: dict[str, float] = {}
    switches: Any = Switches()
    nowhere: Any = None
    ids = {f"{each:064x}": "ACTIVE" for each in range(100)}
    pace = Pace(Quotas(certificates=10, share=1), lambda: clock, sleep)
    switching.deactivate(switches, ids, Hand(nowhere, None), None, lambda _id: None, pace=pace)
    assert list(made_at) == list(ids)
    for second in range(10):
        assert sum(second <= each < second + 1 for each in made_at.values()) <= 20  # one second's were saved up
    assert clock >= 8.9


def test_a_recall_looks_at_all_pages_and_carries_on(
    run: Run, world: World, fleet: dict[str, drafts.Issued], aws: Aws
) -> None:
    world.put_on("recall-17", ListRow(common_name="a"), ListRow(common_name="c"))
    pages = [
        [{"certificateId": each.sha256, "status": world.status(each)}]
        for name, each in fleet.items()
        if name in ("a", "b", "c")
    ]
    paged(aws, "ListCertificates", pages)
    throttle_update_of(aws, world, fleet["c"].sha256)
    result = run("device", "deactivate", "--list", "recall-17", "--yes")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "Made 1 of 2 INACTIVE. The same command again carries on." in result.stderr
    del aws.overrides["UpdateCertificate"]
    del aws.overrides["ListCertificates"]
    assert run("device", "deactivate", "--list", "recall-17", "--yes").stdout == "Made 1 certificate INACTIVE\n"


def at_call(client: Any, operation: str, does: Callable[[], None]) -> Any:
    """Have something done once by another hand, before a call of the register function's."""
    left = [does]

    def hook(**_context: Any) -> None:
        if left:
            left.pop()()

    return listening(client, f"before-call.iot.{operation}", hook, first=True)


@pytest.mark.parametrize("denied", [True, False])
def test_a_recall_waits_for_a_device_on_its_list_that_is_being_admitted(
    run: Run, world: World, fleet: dict[str, drafts.Issued], monkeypatch: pytest.MonkeyPatch, denied: bool
) -> None:
    """Also where no rule denies the list; and it never says that there is none."""
    grant = Grant(iot_policies=("Sensor",), thing="{common_name}")
    world.publish(rules_of(allow("line-a", grant=grant), *([deny(lists=("recall-17",))] if denied else [])))
    world.put_on("recall-17", ListRow(common_name="somebody else"))
    late = leaf("late")
    world.connect(late)
    world.telemetry = Silent()
    world.registrar = world.fresh_registrar()
    in_turn, resumed = threading.Event(), threading.Event()

    def recalls() -> None:
        world.put_on("recall-17", ListRow(common_name="late"))
        in_turn.set()
        assert resumed.wait(60)

    def knock() -> None:
        with at_call(world.iot, "UpdateCertificate", recalls), suppress(Retry):
            world.knock(late, FACTORY)

    admitting = threading.Thread(target=knock)
    admitting.start()
    assert in_turn.wait(60)
    record = world.record(late)
    assert record is not None
    assert record.state == "applying"

    def wait(_seconds: float) -> None:
        resumed.set()
        admitting.join(60)

    monkeypatch.setattr(time, "sleep", wait)
    result = run("device", "deactivate", "--list", "recall-17", "--yes")
    assert result.exit_code == 0
    assert f"Being decided at this moment: {late.sha256[:12]}" in result.stderr
    assert world.status(late) == "INACTIVE"
    assert result.stdout == ("" if denied else "Made 1 certificate INACTIVE\n")


def test_a_recall_never_says_none_while_one_is_still_being_let_in(
    run: Run, world: World, fleet: dict[str, drafts.Issued], monkeypatch: pytest.MonkeyPatch
) -> None:
    record = world.record(fleet["a"])
    assert record is not None
    world.iot.update_certificate(certificateId=fleet["a"].sha256, newStatus="INACTIVE")
    world.table.put_record(replace(record, state="applying"))
    world.put_on("recall-17", ListRow(common_name="a"))
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    result = run("device", "deactivate", "--list", "recall-17", "--json")
    assert result.exit_code == 3
    assert json.loads(result.stdout)["under_way"] == [fleet["a"].sha256]
    assert "No ACTIVE certificate is on list recall-17, but some that are being admitted are." in result.stderr
    assert "give the same command again" in result.stderr
    assert sum(waits) >= 60


def test_a_device_that_was_just_admitted_is_recalled_also_where_a_listing_does_not_show_it(
    run: Run, world: World, fleet: dict[str, drafts.Issued], aws: Aws
) -> None:
    world.put_on("recall-17", ListRow(common_name="a"))
    paged(aws, "ListCertificates", [[]])
    result = run("device", "deactivate", "--list", "recall-17", "--yes")
    assert (result.exit_code, result.stdout) == (0, "Made 1 certificate INACTIVE\n")
    assert world.status(fleet["a"]) == "INACTIVE"


def test_a_pending_device_that_is_made_inactive_is_so_whatever_was_under_way(
    run: Run, world: World, fleet: dict[str, drafts.Issued], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A delivery that described it before sets ACTIVE within seconds: whoever waits that long has the last word."""
    late = leaf("late")
    world.connect(late)
    waits: list[float] = []

    def overtaken(seconds: float) -> None:
        waits.append(seconds)
        world.iot.update_certificate(certificateId=late.sha256, newStatus="ACTIVE")

    monkeypatch.setattr(time, "sleep", overtaken)
    result = run("device", "deactivate", late.sha256, "--yes")
    assert result.exit_code == 0
    assert waits == [6.0]
    assert world.status(late) == "INACTIVE"


def test_what_was_taken_back_and_then_deactivated_is_not_let_in_again_by_an_edit(
    run: Run, world: World, fleet: dict[str, drafts.Issued]
) -> None:
    late = leaf("late")
    world.connect(late)
    grant = Grant(iot_policies=("Sensor",), thing="{common_name}")
    listed = rules_of(allow("line-b", grant=grant, lists=("wanted",)))
    with at_call(world.iot, "UpdateCertificate", lambda: world.publish(listed)):
        world.knock(late, FACTORY)
    record = world.record(late)
    assert record is not None
    assert (record.withdrawn, world.status(late)) == (True, "INACTIVE")
    assert run("device", "deactivate", late.sha256, "--yes").exit_code == 0
    world.put_on("wanted", ListRow(common_name="late"))
    world.knock(late, FACTORY)
    assert world.status(late) == "INACTIVE"


GRANT = Grant(iot_policies=("Sensor",), thing="{common_name}")


@pytest.fixture
def taken_back(run: Run, world: World) -> drafts.Issued:
    """A device that the function let in and took out again, because it was taken off its list meanwhile."""
    late = leaf("late")
    put_in(world.iot, late, state="PENDING_ACTIVATION")
    world.publish(rules_of(allow("line-b", grant=GRANT)))
    listed = rules_of(allow("line-b", grant=GRANT, lists=("wanted",)))
    with listening(world.iot, "after-call.iot.UpdateCertificate", once(lambda: world.publish(listed))):
        world.knock(late, FACTORY)
    record = world.record(late)
    assert record is not None
    assert (record.withdrawn, world.status(late)) == (True, "INACTIVE")
    return late


def once(does: Callable[[], None]) -> Callable[..., None]:
    left = [does]

    def hook(**_context: Any) -> None:
        if left:
            left.pop()()

    return hook


def is_let_in_by_an_edit(world: World, device: drafts.Issued) -> bool:
    world.put_on("wanted", ListRow(common_name="late"))
    world.later(minutes=2)
    with suppress(Retry):
        world.knock(device, FACTORY)
    return world.status(device) == "ACTIVE"


def test_what_the_function_took_out_itself_an_edit_lets_in_again(world: World, taken_back: drafts.Issued) -> None:
    assert is_let_in_by_an_edit(world, taken_back)


@pytest.mark.parametrize("by", ["a recall", "a revocation list", "another hand"])
def test_what_was_activated_by_hand_and_then_taken_out_is_not_let_in_again_by_an_edit(
    run: Run, world: World, taken_back: drafts.Issued, by: str
) -> None:
    """Whoever made it INACTIVE last was not the function."""
    assert run("device", "activate", taken_back.sha256, "--without-iot-policy").exit_code == 0
    if by == "a recall":
        world.put_on("recall-17", ListRow(common_name="late"))
        result = run("device", "deactivate", "--list", "recall-17", "--yes")
        assert result.stdout == "Made 1 certificate INACTIVE\n"
    elif by == "a revocation list":
        record = world.record(taken_back)
        assert record is not None
        assert record.facts is not None
        with_crl(world, crl_of([crls.entry(int(record.facts["serial_number"], 16))]))
        result = run("device", "deactivate", "--crl", "factory-a", "--yes")
        assert result.stdout == "Made 1 certificate INACTIVE\n"
        world.publish(rules_of(allow("line-b", grant=GRANT, lists=("wanted",))))
    else:
        world.iot.update_certificate(certificateId=taken_back.sha256, newStatus="INACTIVE")
    assert world.status(taken_back) == "INACTIVE"
    assert not is_let_in_by_an_edit(world, taken_back)


def test_a_recall_that_is_made_active_by_other_hands_is_final_as_well(
    run: Run, world: World, taken_back: drafts.Issued
) -> None:
    """Of these hands no command wrote anything down, and no knock came in between."""
    world.iot.update_certificate(certificateId=taken_back.sha256, newStatus="ACTIVE")
    world.put_on("recall-17", ListRow(common_name="late"))
    result = run("device", "deactivate", "--list", "recall-17", "--yes")
    assert result.stdout == "Made 1 certificate INACTIVE\n"
    assert not is_let_in_by_an_edit(world, taken_back)


def test_a_recall_that_is_cut_off_is_final_for_those_that_it_came_to(
    run: Run, world: World, fleet: dict[str, drafts.Issued], taken_back: drafts.Issued, aws: Aws
) -> None:
    """The same command again does not come to them: they are INACTIVE."""
    world.iot.update_certificate(certificateId=taken_back.sha256, newStatus="ACTIVE")
    world.put_on("recall-17", ListRow(common_name="late"), ListRow(common_name="a"))
    pages = [[{"certificateId": each.sha256, "status": "ACTIVE"}] for each in (taken_back, fleet["a"])]
    paged(aws, "ListCertificates", pages)
    throttle_update_of(aws, world, fleet["a"].sha256)
    result = run("device", "deactivate", "--list", "recall-17", "--yes")
    assert "Made 1 of 2 INACTIVE." in result.stderr
    del aws.overrides["UpdateCertificate"]
    assert not is_let_in_by_an_edit(world, taken_back)


@pytest.mark.parametrize("command", ["deactivate", "revoke"])
@pytest.mark.parametrize("before", ["PENDING_ACTIVATION", "INACTIVE"])
def test_a_device_that_is_cut_off_while_it_is_let_in_stays_cut_off(
    run: Run, world: World, monkeypatch: pytest.MonkeyPatch, command: str, before: str
) -> None:
    """Pending, or INACTIVE and reopened: the function that is about to set ACTIVE is waited for."""
    late = leaf("late")
    world.connect(late)
    if before == "INACTIVE":
        world.publish(rules_of(deny(lists=("recall-17",)), allow("line-a", grant=GRANT)))
        world.put_on("recall-17", ListRow(common_name="late"))
        world.knock(late, FACTORY)
        assert run("decisions", "reopen", late.sha256, "--yes").exit_code == 0
    world.publish(rules_of(allow("line-a", grant=GRANT)))
    assert world.status(late) == before
    world.telemetry = Silent()
    world.registrar = world.fresh_registrar()
    in_turn, resumed = threading.Event(), threading.Event()

    def is_overtaken() -> None:
        if threading.current_thread() is admitting:
            in_turn.set()
            assert resumed.wait(60)

    def knock() -> None:
        with at_call(world.iot, "UpdateCertificate", is_overtaken), suppress(Retry):
            world.knock(late, FACTORY)

    admitting = threading.Thread(target=knock)
    admitting.start()
    assert in_turn.wait(60)

    def wait(_seconds: float) -> None:
        resumed.set()
        admitting.join(60)

    monkeypatch.setattr(time, "sleep", wait)
    result = run("device", command, late.sha256, "--yes")
    assert result.exit_code == 0, result.output
    assert not admitting.is_alive()
    assert world.status(late) == ("REVOKED" if command == "revoke" else "INACTIVE")


@pytest.mark.parametrize("command", ["deactivate", "revoke"])
def test_a_device_that_is_still_being_decided_in_the_end_is_told(
    run: Run, world: World, fleet: dict[str, drafts.Issued], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    record = world.record(fleet["a"])
    assert record is not None
    world.table.put_record(replace(record, state="applying"))
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    result = run("device", command, fleet["a"].sha256, "--yes")
    assert result.exit_code == 3
    assert f"still being decided: {fleet['a'].sha256[:12]}" in result.stderr
    assert sum(waits) >= 60


def test_a_list_that_is_not_there_is_told(run: Run, world: World) -> None:
    world.put_on("recall-17", ListRow(common_name="a"))
    result = run("device", "deactivate", "--list", "recal-17")
    assert result.exit_code == 2
    assert "there is no device list 'recal-17': did you mean recall-17?" in result.stderr


# --- revoke


def test_revoke_asks_because_it_is_final(run: Run, iot: Any, terminal: list[bool]) -> None:
    device = leaf()
    put_in(iot, device)
    terminal[:] = [False, True]
    no = run("device", "revoke", device.sha256[:10])
    assert (no.exit_code, status(iot, device)) == (1, "ACTIVE")
    assert "This is final." in no.stderr
    assert ok(run("device", "revoke", device.sha256[:10], "--json"))["status"] == "REVOKED"
    assert status(iot, device) == "REVOKED"
    assert "REVOKED, as before" in run("device", "revoke", device.sha256).stdout


# --- ls and show


def test_ls_shows_all_pages_with_name_and_decision(
    run: Run, world: World, fleet: dict[str, drafts.Issued], aws: Aws
) -> None:
    found = {each["certificate_id"]: each for each in ok(run("device", "ls", "--json"))["devices"]}
    assert len(found) == len(fleet)
    one = found[fleet["a"].sha256]
    assert (one["common_name"], one["status"], one["decision"]) == ("a", "ACTIVE", "admit")
    by_hand = found[fleet["hand"].sha256]
    assert (by_hand["common_name"], by_hand["decision"]) == (None, None)
    text = run("device", "ls", "--status", "inactive").stdout
    assert fleet["gone"].sha256 in text
    assert fleet["a"].sha256 not in text
    paged(aws, "ListCertificates", [[{"certificateId": each.sha256, "status": "ACTIVE"}] for each in fleet.values()])
    assert len(ok(run("device", "ls", "--json"))["devices"]) == len(fleet)
    limited = run("device", "ls", "--limit", 2, "--json")
    assert len(ok(limited)["devices"]) == 2
    assert "These are the first 2" in limited.stderr


def test_ls_of_one_ca_and_without_a_stack(run: Run, iot: Any, aws: Aws) -> None:
    register_ca(iot, OTHER)
    put_in(iot, leaf("a"))
    other = put_in(iot, leaf("b", OTHER), OTHER)
    aws.calls.clear()
    result = run("device", "ls", "--ca", OTHER.id[:8], "--json")
    [one] = ok(result)["devices"]
    assert one["certificate_id"] == other
    assert "No decisions are shown: there is no stack jitr" in result.stderr
    assert run("device", "ls", "--ca", FACTORY.id, "--status", "REVOKED").stdout == ""
    not_changed(aws)
    not_changed(
        Aws([each for each in aws.calls if each[0] not in ("RegisterCACertificate", "RegisterCertificate")][2:])
    )


def test_show_tells_what_aws_iot_holds_and_what_was_decided(
    run: Run, world: World, fleet: dict[str, drafts.Issued]
) -> None:
    [one] = ok(run("device", "show", "a", "--json"))["devices"]
    assert (one["status"], one["iot_policies"], one["common_name"]) == ("ACTIVE", ["Sensor"], "a")
    assert one["things"] == [
        {
            "thing": "a",
            "thing_type": None,
            "attributes": {},
            "thing_groups": ["line-a"],
            "inherited_iot_policies": [],
        }
    ]
    assert (one["record"]["decision"], one["record"]["rule"]) == ("admit", "line-a")
    text = run("device", "show", fleet["a"].sha256).stdout
    assert "allow.rule" in text
    assert "line-a (admission.yaml:10)" in text


def test_show_of_a_held_device_says_why_and_what_to_do(run: Run, world: World) -> None:
    world.publish(rules_of(allow("line-a", common_name="snr-*")))
    device = leaf("other-1")
    world.connect(device)
    world.knock(device, FACTORY)
    text = run("device", "show", device.sha256[:8]).stdout
    assert "status           PENDING_ACTIVATION" in text
    assert "allow.unmatched" in text
    assert "See the near misses: add the device to a list, or change a rule." in text


def test_show_of_a_thing_shows_all_its_certificates(run: Run, iot: Any) -> None:
    second = leaf("b")
    put_in(iot, leaf("a"), thing="both")
    put_in(iot, second)
    iot.attach_thing_principal(thingName="both", principal=arn(iot, second))
    shown = ok(run("device", "show", "both", "--json"))["devices"]
    assert {each["common_name"] for each in shown} == {"a", "b"}


def test_show_of_what_is_nowhere_is_told(run: Run, table: Table) -> None:
    result = run("device", "show", "0" * 64)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "and nothing was decided about it" in result.stderr


def test_a_name_that_would_steer_the_terminal_is_written_out(run: Run, iot: Any) -> None:
    device = leaf("snr\x1b[2J\u202e1", owner="evil")
    put_in(iot, device)
    for words in (["show", device.sha256], ["deactivate", device.sha256, "--yes"]):
        result = run("device", *words)
        assert result.exit_code == 0
        assert "\x1b" not in result.output
        assert "\u202e" not in result.output


# --- delete


def item(world: World, pk: str, sk: str, *fields: str) -> Any:
    """Fields of an item of the table, or None where there is none."""
    found = next(iter(world.table.get([{"pk": pk, "sk": sk}])), None)
    return None if found is None else {each: found[each] for each in fields}


def test_delete_detaches_closes_and_releases(run: Run, world: World, fleet: dict[str, drafts.Issued], aws: Aws) -> None:
    """IoT policies and thing come off first, the record and the reservation go last; the name is free for another."""
    refused = run("device", "delete", "a", "--yes")
    assert refused.exit_code == 2
    assert "is ACTIVE, and AWS IoT deletes only certificates that are not: --deactivate" in refused.stderr
    aws.calls.clear()
    deleted = ok(run("device", "delete", "a", "--deactivate", "--yes", "--json"))
    assert (deleted["status_before"], deleted["record_closed"]) == ("ACTIVE", True)
    assert (deleted["iot_policies_detached"], deleted["things_detached"]) == (["Sensor"], ["a"])
    assert (deleted["things_deleted"], deleted["reservation_released"]) == ([], "THING#a")
    words = ("Get", "Describe", "List", "Batch", "Query")
    assert [each for each in aws.operations if not each.startswith(words)] == [
        "TransactWriteItems",  # the history: it is begun
        "UpdateCertificate",
        "DetachPolicy",
        "DetachThingPrincipal",
        "DeleteCertificate",
        "TransactWriteItems",
        "TransactWriteItems",  # the history: it is done
    ]
    assert world.record(fleet["a"]) is None
    assert item(world, "PLACES#line-a", "PLACES", "taken") == {"taken": 4}
    admitted(world, leaf("a", owner="another key"))


def test_delete_takes_the_thing_along_unless_something_else_is_attached(
    run: Run, world: World, fleet: dict[str, drafts.Issued]
) -> None:
    shared = arn(world.iot, fleet["hand"])
    world.iot.attach_thing_principal(thingName="b", principal=shared)
    kept = run("device", "delete", fleet["b"].sha256, "--deactivate", "--thing", "--yes")
    assert kept.exit_code == 0
    assert f"The thing b stays: it has other certificates ({fleet['hand'].sha256[:12]})." in kept.stderr
    assert item(world, "THING#b", "RESERVATION", "made", "keys") == {"made": True, "keys": {}}
    gone = ok(run("device", "delete", "a", "--deactivate", "--thing", "--yes", "--json"))
    assert gone["things_deleted"] == ["a"]
    things = [each["thingName"] for each in world.iot.list_things()["things"]]
    assert ("a" in things, "b" in things) == (False, True)
    assert item(world, "THING#a", "RESERVATION") is None


@pytest.mark.parametrize(
    "operation", ["UpdateCertificate", "DetachPolicy", "DetachThingPrincipal", "DeleteThing", "DeleteCertificate"]
)
def test_delete_carries_on_after_an_interruption(
    run: Run, world: World, fleet: dict[str, drafts.Issued], aws: Aws, operation: str
) -> None:
    """Before or after the call that failed: the same command does the rest."""
    options = ("--deactivate", "--thing", "--yes")
    error = ClientError({"Error": {"Code": "ServiceUnavailableException", "Message": "later"}}, operation)

    def fails(_given: dict[str, Any]) -> Any:
        raise error

    aws.overrides[operation] = fails
    assert run("device", "delete", fleet["a"].sha256, *options).exit_code == 3
    del aws.overrides[operation]
    assert run("device", "delete", fleet["a"].sha256, *options).exit_code == 0
    assert world.record(fleet["a"]) is None
    assert "a" not in [each["thingName"] for each in world.iot.list_things()["things"]]
    again = run("device", "delete", fleet["a"].sha256, *options)
    assert again.exit_code == 2
    assert "nothing is on record about it" in again.stderr


def test_delete_closes_the_record_of_a_certificate_that_is_gone(
    run: Run, world: World, fleet: dict[str, drafts.Issued]
) -> None:
    device = fleet["a"]
    world.iot.update_certificate(certificateId=device.sha256, newStatus="INACTIVE")
    world.iot.detach_policy(policyName="Sensor", target=arn(world.iot, device))
    world.iot.detach_thing_principal(thingName="a", principal=arn(world.iot, device))
    world.iot.delete_certificate(certificateId=device.sha256)
    shown = ok(run("device", "show", device.sha256, "--json"))["devices"][0]
    assert (shown["registered"], shown["common_name"]) == (False, "a")
    deleted = ok(run("device", "delete", write(device), "--yes", "--json"))
    assert (deleted["status_before"], deleted["reservation_released"]) == (None, "THING#a")
    assert world.record(device) is None


def test_a_pending_device_is_deleted_with_its_record(run: Run, world: World, aws: Aws) -> None:
    """AWS IoT may refuse to make it INACTIVE; that is no obstacle."""
    world.publish(rules_of(deny("nobody", common_name="x"), allow("line-a", common_name="snr-*")))
    device = leaf("other-1")
    world.connect(device)
    world.knock(device, FACTORY)
    refusal = ClientError({"Error": {"Code": "CertificateStateException", "Message": "no"}}, "UpdateCertificate")

    def refuses(_given: dict[str, Any]) -> Any:
        raise refusal

    aws.overrides["UpdateCertificate"] = refuses
    deleted = ok(run("device", "delete", device.sha256, "--yes", "--json"))
    assert (deleted["status_before"], deleted["record_closed"]) == ("PENDING_ACTIVATION", True)
    assert world.record(device) is None


def test_delete_waits_until_aws_iot_knows_what_is_detached(
    run: Run, iot: Any, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = leaf()
    put_in(iot, device, state="INACTIVE")
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    answers = iter(["DeleteConflictException", "DeleteConflictException"])
    real = iot.delete_certificate

    def later(given: dict[str, Any]) -> Any:
        if code := next(answers, None):
            raise ClientError({"Error": {"Code": code, "Message": "attached"}}, "DeleteCertificate")
        del aws.overrides["DeleteCertificate"]
        return real(**given)

    aws.overrides["DeleteCertificate"] = later
    assert run("device", "delete", device.sha256, "--no-record", "--yes").exit_code == 0
    assert waits == [1, 1]
    with pytest.raises(ClientError):
        status(iot, device)


def test_delete_asks_and_needs_the_stack_unless_told(run: Run, iot: Any, aws: Aws) -> None:
    device = leaf()
    put_in(iot, device, state="INACTIVE", iot_policies=["Sensor"])
    aws.calls.clear()
    no_stack = run("device", "delete", device.sha256, "--yes")
    assert no_stack.exit_code == 2
    assert "there is no stack jitr" in no_stack.stderr
    asked = run("device", "delete", device.sha256, "--no-record")
    assert asked.exit_code == 2
    assert "IoT policies are detached: Sensor." in asked.stderr
    not_changed(aws)


def test_the_pages_are_as_large_as_aws_iot_allows() -> None:
    """https://docs.aws.amazon.com/iot/latest/apireference/API_ListCertificates.html"""
    assert device_registry.PAGE == 250


# --- revoked by the CA


CRL = "s3://example-crls/factory-a.crl"


def with_crl(world: World, list_: bytes | None, **cas: Ca) -> None:
    """Rules in force that give the CA a list, and the list in S3."""
    world.publish(
        replace(made_rules(allow()), cas={"factory-a": Ca("factory-a", (FACTORY.id,), 3, (Crl(CRL),)), **cas})
    )
    s3 = boto3.client("s3", region_name="us-east-1")
    s3.create_bucket(Bucket="example-crls")
    if list_ is not None:
        s3.put_object(Bucket="example-crls", Key="factory-a.crl", Body=list_)


def register_active(world: World, device: drafts.Issued) -> None:
    world.iot.register_certificate(
        certificatePem=device.pem.decode(), caCertificatePem=FACTORY.pem.decode(), status="ACTIVE"
    )


def crl_of(entries: list[bytes], **changes: Any) -> bytes:
    return crls.crl(
        FACTORY, entries, **{"this_update": NOW - timedelta(hours=1), "next_update": NOW + timedelta(days=1)} | changes
    )


def test_devices_that_their_ca_revoked_are_shown_and_then_deactivated(run: Run, world: World) -> None:
    """Also one that was registered by hand and has no decision record; not one of another CA with that serial."""
    devices = {each: FACTORY.usual_device(f"d-{each:x}").serial(each).issue() for each in (0x11, 0x12, 0x13)}
    for each in devices.values():
        register_active(world, each)
    with_crl(world, crl_of([crls.entry(0x11, "keyCompromise"), crls.entry(0x12, "certificateHold")]))
    shown = ok(run("device", "deactivate", "--crl", "factory-a", "--dry-run", "--json"))
    assert {each["serial_number"]: each["reason"] for each in shown["devices"]} == {
        "11": "keyCompromise",
        "12": "certificateHold",
    }
    assert run("device", "deactivate", "--crl", "factory-a").exit_code == 2, "asks, and nobody can answer"
    assert world.status(devices[0x11]) == "ACTIVE"
    result = run("device", "deactivate", "--crl", "factory-a", "--yes")
    assert (result.exit_code, result.stdout) == (0, "Made 2 certificates INACTIVE\n")
    assert "jitr device activate" in result.stderr
    assert [world.status(devices[each]) for each in (0x11, 0x12, 0x13)] == ["INACTIVE", "INACTIVE", "ACTIVE"]
    assert "No ACTIVE certificate is on the revocation list" in run("device", "deactivate", "--crl", "factory-a").stderr


def test_a_list_that_ran_out_still_says_who_is_revoked(run: Run, world: World) -> None:
    device = FACTORY.usual_device("d").serial(0x11).issue()
    register_active(world, device)
    with_crl(world, crl_of([crls.entry(0x11)], next_update=NOW - timedelta(minutes=1)))
    result = run("device", "deactivate", "--crl", "factory-a", "--yes")
    assert result.exit_code == 0
    assert "ran out" in result.stderr
    assert world.status(device) == "INACTIVE"


def test_devices_on_any_partition_or_delta_list_are_deactivated(run: Run, world: World) -> None:
    devices = {each: FACTORY.usual_device(f"d-{each:x}").serial(each).issue() for each in (0x11, 0x12, 0x13, 0x14)}
    for each in devices.values():
        register_active(world, each)
    scope = (crls.partition("http://crl.example.com/2"),)
    with_crl(world, crl_of([crls.entry(0x11)], extensions=(crls.partition("http://crl.example.com/1"),)))
    s3 = boto3.client("s3", region_name="us-east-1")
    s3.put_object(Bucket="example-crls", Key="2", Body=crl_of([crls.entry(0x12, "certificateHold")], extensions=scope))
    times: dict[str, Any] = {"this_update": NOW - timedelta(minutes=1), "next_update": NOW + timedelta(hours=1)}
    changes = [crls.entry(0x12, "removeFromCRL"), crls.entry(0x13)]
    s3.put_object(Bucket="example-crls", Key="2d", Body=crls.delta(FACTORY, changes, extensions=scope, **times))
    second = Crl("s3://example-crls/2", delta="s3://example-crls/2d", point="http://crl.example.com/2")
    listed = (Crl(CRL, point="http://crl.example.com/1"), second)
    world.publish(replace(made_rules(allow()), cas={"factory-a": Ca("factory-a", (FACTORY.id,), 3, listed)}))
    assert run("device", "deactivate", "--crl", "factory-a", "--yes").exit_code == 0
    assert [world.status(each) for each in devices.values()] == ["INACTIVE", "ACTIVE", "INACTIVE", "ACTIVE"]


@pytest.mark.parametrize(
    ("list_", "alias", "told"),
    [
        (b"no list", "factory-a", "neither DER nor"),
        (None, "factory-a", "NoSuchKey"),
        (None, "factory-z", "no CA alias of the rules in force: did you mean factory-b?"),
        (None, "factory-b", "give factory-b no revocation list"),
        (None, "gone", "holds none of the CAs"),
    ],
)
def test_what_stands_in_the_way_of_a_list_is_told(
    run: Run, world: World, list_: bytes | None, alias: str, told: str
) -> None:
    others = {"factory-b": Ca("factory-b", (OTHER.id,), 4), "gone": Ca("gone", ("ab" * 32,), 5, (Crl(CRL),))}
    with_crl(world, list_, **others)
    result = run("device", "deactivate", "--crl", alias, "--yes")
    assert result.exit_code == 2, result.output
    assert told in result.stderr


def test_without_rules_nobody_knows_where_a_list_is(run: Run, world: World) -> None:
    result = run("device", "deactivate", "--crl", "factory-a", "--yes")
    assert result.exit_code == 2
    assert "no rules are in force" in result.stderr
