"""`make dist`: what a release consists of, that it is the same each time, and that it works where nothing else is."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from testkit.built_functions import FUNCTIONS, PROBE, layers
from testkit.pins import pins
from tools import dist

from jitr import __version__

ROOT = Path(__file__).parents[2]
WHEEL = f"jitr-{__version__}-py3-none-any.whl"
BILL = f"jitr-{__version__}.cdx.json"
PINNED = f"jitr-{__version__}-requirements.txt"
PYTHONS = ("3.11", "3.12", "3.13")
# What only one machine has. A host's name that is hardly a name is in any text.
OF_THIS_MACHINE = {"/home/", "/root/", "/Users/", str(ROOT), *(each for each in [os.uname().nodename] if len(each) > 3)}

pytestmark = [pytest.mark.built, pytest.mark.xdist_group("built")]


def python(wanted: str) -> str | None:
    """An interpreter of that version, wherever this machine has it."""
    kept = sorted(Path.home().glob(f".pyenv/versions/{wanted}.*/bin/python"))
    for each in (shutil.which(f"python{wanted}"), *map(str, kept)):
        if each and _said([each, "-c", "import sys; print(*sys.version_info[:2], sep='.')"]) == wanted:
            return each
    return None


def _said(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `make dist` fills."""
    folder = tmp_path_factory.mktemp("release") / "dist"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JITR_LAYER_COMPILER", python("3.13") or "python3.13")
        dist.main(folder)
    return folder


def stack(architecture: str) -> str:
    return f"jitr-stack-{__version__}-{architecture}"


def archive(release: Path, architecture: str) -> dict[str, bytes]:
    """What an archive of the stack holds, by name, archives in it by what they hold."""
    return unpacked((release / f"{stack(architecture)}.zip").read_bytes())


def unpacked(data: bytes) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        for name in opened.namelist():
            content = opened.read(name)
            inner = unpacked(content) if name.endswith(".zip") else {}
            found |= {f"{name}/{each}": text for each, text in inner.items()} or {name: content}
    return found


def test_a_release_is_these_files_and_their_checksums(release: Path) -> None:
    stacks = [f"{stack(each)}.zip" for each in dist.ARCHITECTURES]
    files = {WHEEL, BILL, PINNED, *stacks}
    assert {path.name for path in release.iterdir()} == files | {"SHA256SUMS"}
    told = [line.partition("  ")[2] for line in (release / "SHA256SUMS").read_text().splitlines()]
    assert told == sorted(files)
    assert (release / "SHA256SUMS").read_text() == dist.sums(release)


def test_two_releases_of_the_same_sources_are_the_same_bytes_for_both_processors(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever makes them, when, where, and with which Python's pip."""
    other = next((found for each in reversed(PYTHONS) if (found := python(each))), sys.executable)
    monkeypatch.setenv("JITR_LAYER_PIP_PYTHON", other)
    monkeypatch.setenv("JITR_LAYER_COMPILER", python("3.13") or "python3.13")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1234567890")
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    previous = os.umask(0o077)
    try:
        dist.main(tmp_path / "again")
    finally:
        os.umask(previous)
    assert (tmp_path / "again/SHA256SUMS").read_text() == (release / "SHA256SUMS").read_text()


@pytest.mark.parametrize(("architecture", "machine"), [("arm64", "aarch64"), ("x86_64", "x86_64")])
def test_an_archive_holds_what_lambda_runs_and_nothing_of_another_processor(
    release: Path, architecture: str, machine: str
) -> None:
    held = archive(release, architecture)
    within = stack(architecture)
    assert {f"{within}/{name}" for name in ("README.md", "template.yaml", "samconfig.toml")} <= held.keys()
    for name in FUNCTIONS:
        assert held[f"{within}/functions/{name}.zip/app.py"] == (ROOT / "functions" / name / "app.py").read_bytes()
    for name in ("webhooks.yaml", "signed-webhook.yaml"):
        assert held[f"{within}/{name}"] == (ROOT / "docs" / name).read_bytes()
    for path in (ROOT / "docs/events").glob("*.json"):
        assert held[f"{within}/events/{path.name}"] == path.read_bytes()
    compiled = [name for name in held if name.endswith(".so")]
    assert any(f"-313-{machine}-linux-gnu.so" in name for name in compiled)
    (foreign,) = {"aarch64", "x86_64"} - {machine}
    assert not [name for name in compiled if f"-{foreign}-" in name]
    assert f"{within}/layers/jitr.zip/python/jitr/decision/decide.py" in held
    assert f"{within}/layers/yaml.zip/python/yaml/__init__.py" in held


@pytest.mark.parametrize("architecture", dist.ARCHITECTURES)
def test_a_packaged_template_names_only_artifacts_that_lie_beside_it(release: Path, architecture: str) -> None:
    held = archive(release, architecture)
    text = held[f"{stack(architecture)}/template.yaml"].decode()
    named = re.findall(r"(?:CodeUri|ContentUri): (\S+)", text)
    functions = [f"functions/{each}.zip" for each in FUNCTIONS]
    assert sorted(named) == [*functions, "layers/jitr.zip", "layers/yaml.zip"]
    assert all(any(name.startswith(f"{stack(architecture)}/{each}/") for name in held) for each in named)
    assert "BuildMethod" not in text
    assert f"AllowedValues: [{architecture}]" in text
    assert f"\n  jitr {__version__}. " in text, "its description says the version"
    changed = {line for line in text.splitlines() if line not in (ROOT / "template.yaml").read_text().splitlines()}
    assert len(changed) == len(named) + 1 + 1 + 1 + (architecture != "arm64"), changed


def test_the_bill_of_materials_is_valid_and_names_what_ships(release: Path) -> None:
    text = (release / BILL).read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bill = json.loads(text)
    assert bill["metadata"]["component"]["version"] == __version__
    parts: dict[str, dict[str, str]] = {}
    for each in bill["components"]:
        for part in each["properties"]:
            parts.setdefault(part["value"], {})[each["name"]] = each["version"]
    in_the_layer = pins("layers/jitr/requirements.txt")
    assert parts == {
        "layer jitr-arm64": in_the_layer,
        "layer jitr-x86_64": in_the_layer,
        "layer yaml": pins("layers/yaml/requirements.txt"),
        "command line": pins("requirements/cli.txt"),
    }
    assert all(each["licenses"] for each in bill["components"])
    assert {each["ref"] for each in bill["dependencies"]} == {"jitr", *(each["bom-ref"] for each in bill["components"])}


def test_nothing_in_a_release_tells_where_it_was_made(release: Path) -> None:
    texts = {name: (release / name).read_bytes() for name in (BILL, PINNED, "SHA256SUMS")}
    with zipfile.ZipFile(release / WHEEL) as wheel:
        texts |= {name: wheel.read(name) for name in wheel.namelist()}
    texts |= {name: data for name, data in archive(release, "arm64").items() if "/python/" not in name}
    found = [(name, each) for name, data in texts.items() for each in OF_THIS_MACHINE if each.encode() in data]
    assert found == []


def test_the_wheel_holds_our_packages_and_the_command(release: Path) -> None:
    with zipfile.ZipFile(release / WHEEL) as wheel:
        names = wheel.namelist()
        assert {name.partition("/")[0] for name in names} == {
            *("jitr", "jitr_cli", "jitr_operations", "jitr_page"),
            f"jitr-{__version__}.dist-info",
        }
        assert not [name for name in names if "__pycache__" in name]
        assert {"jitr_page/templates/today.html", "jitr_page/static/page.css"} <= set(names)
        assert b"jitr = jitr_cli.main:run" in wheel.read(f"jitr-{__version__}.dist-info/entry_points.txt")


def test_the_guide_of_a_release_names_this_version_and_its_files(release: Path) -> None:
    text = dist.GUIDE.read_text()
    assert set(re.findall(r"\S*\d\.\d+\.\d\S*\.(?:zip|whl|txt)", text)) == {WHEEL, PINNED, f"{stack('arm64')}.zip"}
    assert f"for version {__version__}." in text
    files = {path.name.replace(__version__, "VERSION") for path in release.iterdir()}
    assert set(re.findall(r"`(\S*VERSION\S*)`", text)) == files - {"SHA256SUMS"}


def test_a_failing_build_leaves_the_release_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist/kept").touch()
    monkeypatch.setenv("JITR_LAYER_PIP_PYTHON", "no-such-python")
    with pytest.raises(SystemExit, match="no-such-python has no pip"):
        dist.main(tmp_path / "dist")
    assert [path.name for path in tmp_path.iterdir()] == ["dist"]
    assert [path.name for path in (tmp_path / "dist").iterdir()] == ["kept"]


# The command line where nothing else is


@pytest.mark.parametrize("wanted", PYTHONS)
def test_the_wheel_works_in_a_clean_environment(release: Path, tmp_path: Path, wanted: str) -> None:
    """Made, installed and used as the guide says, on a rules file and a device of one's own."""
    found = python(wanted)
    if found is None:
        pytest.skip(f"there is no Python {wanted} on this machine")
    home = tmp_path / "home"
    home.mkdir()
    foreign = ("PYTHON", "VIRTUAL_ENV", "JITR", "AWS")
    clean = {name: text for name, text in os.environ.items() if not name.startswith(foreign)}

    def run(*words: object, status: int = 0) -> str:
        command = [str(each) for each in words]
        done = subprocess.run(command, cwd=home, env=clean, capture_output=True, text=True, check=False)
        assert done.returncode == status, (words, done.stdout, done.stderr)
        return done.stdout + done.stderr

    environment = tmp_path / "venv"
    jitr = environment / "bin/jitr"
    uv = [ROOT / ".venv/bin/uv", "--quiet", "pip", "install", "--python", environment]
    if wanted == PYTHONS[0]:  # the oldest pip, which takes its time
        run(found, "-m", "venv", environment)
        install = [environment / "bin/pip", "install", "-qq", "--no-index"]
    else:
        run(found, "-m", "venv", "--without-pip", environment)
        install = uv
    run(*uv, "--require-hashes", "--requirement", release / PINNED)
    run(*install, "--no-deps", release / WHEEL)
    run(ROOT / ".venv/bin/uv", "pip", "check", "--python", environment)

    assert run(jitr, "--version") == f"jitr, version {__version__}\n"
    assert "explain" in run(jitr, "--help")
    run(jitr, "rules", "init", "admission.yaml")
    run(jitr, "rules", "check", "admission.yaml")
    assert json.loads(run(jitr, "rules", "schema"))["$schema"]
    run(jitr, "ca", "create", "factory-a")
    run(jitr, "device", "issue", "snr-0001", "--ca", "factory-a.pem")
    (home / "mine.yaml").write_text(
        "format: 1\ncas: {factory-a: {certificate: factory-a.pem}}\n"
        'allow: [{name: all, ca: factory-a, common_name: "snr-*", grant: {thing: "{common_name}", iot_policies: [P]}}]'
    )
    asked = ["explain", "--rules", "mine.yaml", "--certificate", "snr-0001.pem", "--ca", "factory-a=factory-a.pem"]
    assert json.loads(run(jitr, *asked, "--json"))["decision"] == "admit"
    assert "checkout" in run(jitr, "local", "up", status=2)


def test_a_packaged_function_starts_on_the_runtimes_own_python(release: Path, tmp_path: Path) -> None:
    """Python 3.13, as in template.yaml, with the archive's layers and the AWS SDK alone."""
    found = python("3.13")
    if found is None or (sys.platform, os.uname().machine) != ("linux", "x86_64"):
        pytest.skip("there is no Python 3.13 for Linux on x86-64 on this machine")
    for name, data in archive(release, "x86_64").items():
        (file := tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    sdk = tmp_path / "sdk"
    command = [
        str(ROOT / ".venv/bin/uv"),
        "--quiet",
        "pip",
        "install",
        "--python",
        found,
        "--target",
        str(sdk),
        "boto3",
    ]
    subprocess.run([*command, "--constraint", str(release / PINNED)], check=True, capture_output=True)
    within = tmp_path / stack("x86_64")
    for name in FUNCTIONS:
        shared = [within / f"layers/{each.removesuffix('Layer').lower()}.zip/python" for each in layers(name)]
        path = json.dumps([str(each) for each in (within / f"functions/{name}.zip", *shared, sdk)])
        started = ["env", "-i", found, "-I", "-S", "-B", "-c", PROBE, path]
        done = subprocess.run(started, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["callable"]
