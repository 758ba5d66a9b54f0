"""`make invoke` on the local stack: what was built there answers files of events/ as their table says."""

import json
import os
import platform
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from testkit import event_files
from testkit.stack.plant import Plant
from tools.architecture import bound

from jitr.records.record import Record
from jitr_local import invoke, sam_local
from jitr_local.cli import variables_of
from jitr_local.errors import StackError
from jitr_local.functions import read_functions
from jitr_local.newcomer import introduce
from jitr_local.stack import CHECKOUT, TEMPLATE, LocalStack

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(platform.system() != "Linux", reason="the Lambda runtime emulator is for Linux only"),
]


def invoked(stack: LocalStack, *arguments: str | Path) -> Result:
    """Run it with what the stack itself was built from."""
    folder = stack.log.parent
    command = ["--folder", folder, "--build", folder / "sam" / "build", *arguments]
    return CliRunner().invoke(invoke.invoke, [str(each) for each in command])


@pytest.fixture
def ids(plant: Plant) -> dict[str, str]:
    """Certificates and rules as the README says of the ids in the files."""
    factory = plant.factory("emulated")
    rules = plant.rules(factory)
    deny = 'deny:\n  - {name: old, ca: emulated, common_name: "old-*"}\nallow:'
    rules.write_text(rules.read_text().replace("allow:", deny))
    plant.publish(rules)
    names = {
        event_files.ALLOWED: "emulated-0001",
        event_files.UNMATCHED: "new-0002",
        event_files.DENIED: "old-0003",
    }
    devices = plant.pending(factory, *names.values())
    return {event_files.CA: factory.id, **{key: made.certificate_id for key, made in zip(names, devices, strict=True)}}


def outcomes(plant: Plant, content: str, answer: str) -> tuple[str, ...]:
    def look(certificate_id: str) -> tuple[str, Record | None]:
        found = plant.iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]
        return found["status"], plant.table.record_and_heads(certificate_id)[0]

    poison = {each["body"]: each["reason"] for each in plant.json("failures", "ls")}
    return event_files.outcomes(event_files.records(content), json.loads(answer), poison, look)


def test_good_and_bad_are_answered_as_the_table_says_with_the_rights_of_the_function(
    plant: Plant, ids: dict[str, str], tmp_path: Path
) -> None:
    """Every kind of outcome in one batch: admitted, poison, held, not known yet, rejected."""
    content = event_files.text("good-and-bad.json", ids=ids)
    (file := tmp_path / "event.json").write_text(content)
    result = invoked(plant.stack, "RegisterFunction", file)
    assert result.exit_code == 0, result.output
    assert outcomes(plant, content, result.stdout) == event_files.table()["good-and-bad.json"]
    assert "Back to the queue: 1 of 5." in result.stderr
    assert '"message":"admitted"' in result.stderr


@pytest.mark.parametrize(
    "name", ["poison-account.json", "poison-ca-unknown.json", "poison-certificate-unknown.json", "not-known-yet.json"]
)
def test_files_without_certificates_are_answered_as_the_table_says(plant: Plant, name: str, tmp_path: Path) -> None:
    factory = plant.factory(name.removesuffix(".json"))
    plant.publish(plant.rules(factory))
    content = event_files.text(name, ids={event_files.CA: factory.id})
    (file := tmp_path / "event.json").write_text(content)
    result = invoked(plant.stack, "RegisterFunction", file)
    assert result.exit_code == 0, result.output
    assert outcomes(plant, content, result.stdout) == event_files.table()[name]


def test_an_event_made_for_a_certificate_is_taken(plant: Plant, tmp_path: Path) -> None:
    factory = plant.factory("made")
    plant.publish(plant.rules(factory))
    (made,) = plant.pending(factory, "made-0001")
    plant.jitr("events", "make", made.device.certificate, "--out", tmp_path / "event.json")
    result = invoked(plant.stack, "RegisterFunction", tmp_path / "event.json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, {"batchItemFailures": []}), result.output
    assert plant.status(made) == "ACTIVE"


def test_a_newcomer_waits_until_its_event_is_handed_to_the_function(plant: Plant, tmp_path: Path) -> None:
    """So the first invocation of events/README.md ends with a device that is in. Rules of others stay in force."""
    rules = plant.rules(plant.factory("others"))
    plant.publish(rules)
    with pytest.raises(StackError, match=r"jitr events make"):
        introduce(plant.stack, tmp_path / "refused.json")
    assert not (tmp_path / "refused.json").exists()
    assert plant.json("rules", "show")["text"] == rules.read_text()

    plant.publish(rules.rename(rules.with_name("newcomer.yaml")))
    made = introduce(plant.stack, tmp_path / "newcomer.json")
    look = plant.iot.describe_certificate
    assert look(certificateId=made.certificate_id)["certificateDescription"]["status"] == "PENDING_ACTIVATION"
    assert plant.table.record_and_heads(made.certificate_id)[0] is None
    result = invoked(plant.stack, "RegisterFunction", tmp_path / "newcomer.json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, {"batchItemFailures": []}), result.output
    assert look(certificateId=made.certificate_id)["certificateDescription"]["status"] == "ACTIVE"
    assert plant.iot.list_thing_principals(thingName=made.name)["principals"]


@pytest.mark.parametrize(
    ("function", "name"), [("RecheckFunction", "recheck/due.json"), ("PublishFunction", "publish/tidy.json")]
)
def test_the_other_functions_run_too_with_layers_and_rights_of_their_own(
    plant: Plant, function: str, name: str
) -> None:
    result = invoked(plant.stack, function, event_files.EVENTS / name)
    assert (result.exit_code, json.loads(result.stdout)) == (0, None), result.output


def test_what_the_stack_does_not_have_is_told(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    newer = replace(read_functions(TEMPLATE)["RegisterFunction"], name="NewFunction")
    monkeypatch.setattr(invoke, "chosen_function", lambda _name: newer)
    result = invoked(plant.stack, "NewFunction", event_files.EVENTS / "held.json")
    assert (result.exit_code, "--redeploy" in result.stderr) == (3, True), result.output


# With a container

# Whether an engine answers, and whether the image is there already: an air-gapped machine has its own.
ENGINE = """
import docker, sys
engine = docker.from_env(timeout=5)
engine.ping()
print(any(":3.13" in tag and "lambda/python" in tag for image in engine.images.list() for tag in image.tags))
"""


def test_sam_local_invoke_admits_a_device_of_the_local_stack(plant: Plant, tmp_path: Path) -> None:
    """As events/README.md has it: what `jitr local env --sam` writes is what SAM takes, and it reaches the stack."""
    asked = [str(CHECKOUT / ".venv-sam/bin/python"), "-c", ENGINE]
    engine = subprocess.run(asked, capture_output=True, text=True, check=False)
    if engine.returncode:
        pytest.skip("sam local invoke: no container engine answers")
    factory = plant.factory("contained")
    plant.publish(plant.rules(factory))
    (made,) = plant.pending(factory, "contained-0001")
    plant.jitr("events", "make", made.device.certificate, "--out", tmp_path / "event.json")
    build, invoked = sam_local.command(sam_local.write_variables(plant.stack)).splitlines()
    machine = build.rpartition("=")[2]
    environment = os.environ | variables_of(plant.stack, {}) | {"SAM_CLI_TELEMETRY": "0"}
    environment |= {"JITR_LAYER_ARCHITECTURE": machine, "JITR_LAYER_PIP_PYTHON": sys.executable}
    options = [
        "--no-cached",
        "--build-dir",
        str(tmp_path / "build"),
        "--parameter-overrides",
        f"Architecture={machine}",
    ]
    sam = str(CHECKOUT / ".venv-sam/bin/sam")
    subprocess.run([sam, "build", *options], cwd=CHECKOUT, env=environment, check=True, capture_output=True)
    template = tmp_path / "build/template.yaml"
    template.write_text(bound(template.read_text("utf-8"), machine), "utf-8")  # as `make build` does
    words = [str(tmp_path / "event.json") if word.startswith("events/") else word for word in shlex.split(invoked)]
    words += ["--template-file", str(template)]
    words += ["--skip-pull-image"] if engine.stdout.strip() == "True" else []
    done = subprocess.run(words, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    assert json.loads(done.stdout) == {"batchItemFailures": []}, done.stderr
    assert plant.status(made) == "ACTIVE", done.stderr
