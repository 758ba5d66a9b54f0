"""Each built function starts with nothing but its own folder, the layer and the AWS SDK, as on Lambda.

A missing dependency hides elsewhere: tests and the local stack have far more to import from.
"""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest
from testkit.built_functions import FUNCTIONS, PROBE, layers

from jitr_local.functions import read_functions

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.built, pytest.mark.xdist_group("built")]


@pytest.fixture(scope="session")
def sdk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with boto3 and what it needs, as the Lambda runtime has them, and nothing else."""
    folder = tmp_path_factory.mktemp("sdk")
    wanted, seen = ["boto3"], set()
    while wanted:
        name = wanted.pop()
        if name in seen:
            continue
        seen.add(name)
        found = distribution(name)
        for file in found.files or []:
            target = folder / file
            if ".." not in file.parts and "__pycache__" not in file.parts:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(str(file.locate()), target)
        required = [each for each in found.requires or [] if "extra ==" not in each]
        wanted += [re.split(r"[^A-Za-z0-9._-]", each)[0] for each in required]
    return folder


def task(build: Path, name: str) -> Path:
    """The built folder of functions/NAME; SAM calls it after the function's logical id."""
    return build / f"{name.capitalize()}Function"


def test_only_the_function_that_reads_rules_files_has_the_layer_that_reads_yaml() -> None:
    found = read_functions(ROOT / "template.yaml")
    assert {each: list(found[f"{each.capitalize()}Function"].layers) for each in FUNCTIONS} == {
        each: layers(each) for each in FUNCTIONS
    }


def test_layer_that_reads_yaml_is_small_and_for_any_processor(build: Path) -> None:
    files = [path for path in (build / "YamlLayer").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 512 * 1024
    assert not any(path.suffix == ".so" for path in files)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_imports_from_its_folder_the_layer_and_the_sdk_alone(build: Path, sdk: Path, name: str) -> None:
    path = [str(task(build, name)), *(str(build / layer / "python") for layer in layers(name)), str(sdk)]
    command = ["env", "-i", sys.executable, "-I", "-S", "-B", "-c", PROBE, json.dumps(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["callable"]
    standard_library = str(Path(json.__file__).parents[1])
    allowed = (*path, standard_library)
    assert [file for file in answer["files"] if not file.startswith(allowed) or "site-packages" in file] == []


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_is_one_file(build: Path, name: str) -> None:
    """No requirements.txt: what functions need is in the layer, and they build without the runtime's own Python."""
    assert [path.name for path in task(build, name).iterdir()] == ["app.py"]
    assert [path.name for path in (ROOT / "functions" / name).iterdir() if path.name != "__pycache__"] == ["app.py"]


def test_layer_holds_no_scripts_and_no_notes_of_pips(build: Path) -> None:
    layer = build / "JitrLayer/python"
    assert {path.name for path in layer.iterdir()} >= {"jitr", "cryptography", "aws_lambda_powertools"}
    assert not (layer / "bin").exists()
    assert [path for path in layer.rglob("*") if path.name in {"RECORD", "tests"}] == []


@pytest.mark.parametrize("name", [each for each in FUNCTIONS if each != "cleanup"])
def test_layers_bring_the_bytecode_of_what_a_function_imports(build: Path, sdk: Path, name: str) -> None:
    """Lambda keeps none: what is not there is compiled at every cold start. It is not compared with its source."""
    brought = tuple(str(build / each / "python") for each in layers(name))
    path = [str(task(build, name)), *brought, str(sdk)]
    command = ["env", "-i", sys.executable, "-I", "-S", "-B", "-c", PROBE, json.dumps(path)]
    files = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["files"]
    sources = [file for file in files if file.startswith(brought) and file.endswith(".py")]
    assert len(sources) > 50
    for source in sources:
        header = Path(importlib.util.cache_from_source(source)).read_bytes()[:8]
        assert header == importlib.util.MAGIC_NUMBER + b"\x01\0\0\0", source  # PEP 552: by hash, and never checked
