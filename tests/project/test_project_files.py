"""The files that install, build and check the project: pinned, free of this machine, and in step with each other."""

import json
import os
import re
import runpy
import subprocess
import tomllib
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path

import pytest
from testkit.pins import PIN, pins

from jitr import __version__

ROOT = Path(__file__).parents[2]
# Each pinned file, and what it is made from by `make lock`.
LOCKED = {
    "requirements/project.txt": ["project.in", "cli.in", "layer.in"],
    "requirements/stack.txt": ["stack.in"],
    "requirements/sam.txt": ["sam.in"],
    "requirements/uv.txt": ["uv.in"],
    "requirements/audit.txt": ["audit.in"],
    "requirements/lint.txt": ["lint.in"],
    "requirements/cli.txt": ["cli.in", "layer.in"],
    "requirements/bench.txt": ["bench.in", "cli.in", "layer.in"],
    "layers/jitr/requirements.txt": ["layer.in"],
    "layers/yaml/requirements.txt": ["yaml.in"],
}


@pytest.mark.parametrize("file", LOCKED)
def test_every_requirement_is_pinned_with_its_hashes(file: str) -> None:
    requirements = re.split(r"\n(?=\S)", (ROOT / file).read_text())
    for requirement in requirements:
        if not requirement.startswith("#"):
            assert PIN.match(requirement.split("\n")[0]), requirement
            assert "--hash=sha256:" in requirement, requirement


@pytest.mark.parametrize("file", LOCKED)
def test_pinned_file_is_current_with_what_it_is_made_from(file: str) -> None:
    """`make lock` brings it up to date."""
    wanted = set()
    for source in LOCKED[file]:
        for line in (ROOT / "requirements" / source).read_text().splitlines():
            text = line.split("#")[0].strip()
            if text and not text.startswith("-"):
                wanted.add(re.split(r"[\[<>=;~ ]", text)[0].lower())
    assert wanted <= pins(file).keys()


@pytest.mark.parametrize("file", LOCKED)
def test_pinned_file_names_no_index_and_no_path(file: str) -> None:
    text = (ROOT / file).read_text()
    assert "://" not in text
    assert "--index" not in text
    assert "--find-links" not in text
    assert not re.search(r"(^|\s)/\w", text)


def test_what_the_layer_ships_is_what_the_tests_run_with() -> None:
    project = pins("requirements/project.txt")
    layer = pins("layers/jitr/requirements.txt")
    assert {name: project[name] for name in layer} == layer


def test_the_layer_ships_no_aws_sdk_and_no_yaml() -> None:
    """boto3 comes from the runtime; functions never parse YAML."""
    assert pins("layers/jitr/requirements.txt").keys().isdisjoint({"boto3", "botocore", "pyyaml"})


def test_no_build_is_ever_cached() -> None:
    """A cached build does not see that the layer is to be made for another machine."""
    configuration = tomllib.loads((ROOT / "samconfig.toml").read_text())
    tables = [table for name, table in configuration.items() if name != "version"]
    assert len(tables) == 3
    assert [table["build"]["parameters"] for table in tables] == [{"cached": False}] * 3


def test_deployments_ask_for_no_more_than_unnamed_roles() -> None:
    configuration = tomllib.loads((ROOT / "samconfig.toml").read_text())
    tables = [table for name, table in configuration.items() if name != "version"]
    assert {table["deploy"]["parameters"]["capabilities"] for table in tables} == {"CAPABILITY_IAM"}
    assert len({table["global"]["parameters"]["stack_name"] for table in tables}) == len(tables)


def test_one_place_says_the_version() -> None:
    """jitr/__init__.py; the changelog begins with it."""
    assert version("jitr") == __version__, "make setup installs it anew"
    assert "version" not in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    headings = re.findall(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == __version__


def test_every_action_of_a_workflow_is_pinned_to_a_commit() -> None:
    """A tag can be moved. Beside the commit stands the version that it is."""
    used = [
        line.strip()
        for workflow in sorted((ROOT / ".github/workflows").glob("*.yml"))
        for line in workflow.read_text().splitlines()
        if "uses:" in line
    ]
    assert used
    assert [each for each in used if not re.fullmatch(r"- uses: [\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each)] == []


def test_the_workflow_runs_on_every_python_that_the_package_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {found[1] for each in project["classifiers"] if (found := re.fullmatch(r".* :: (3\.\d+)", each))}
    listed = re.search(r"python: \[(.*)\]", (ROOT / ".github/workflows/ci.yml").read_text())
    assert named
    assert listed
    assert named <= set(re.findall(r"3\.\d+", listed[1]))


def test_an_editor_is_told_of_places_that_are_there_after_make_setup() -> None:
    settings = json.loads((ROOT / ".vscode/settings.json").read_text())
    places = [settings["python.defaultInterpreterPath"].removeprefix("${workspaceFolder}/")]
    places += [
        *settings["python.analysis.extraPaths"],
        *settings["python.testing.pytestArgs"],
        *settings["yaml.schemas"],
    ]
    assert [each for each in places if not (ROOT / each).exists()] == []


def test_make_alone_lists_every_target_in_one_line_each() -> None:
    text = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert phony
    targets = [name for name in phony[1].split() if name != "FORCE"]
    # Not as the sub-make of the `make test` that may run this.
    alone = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    listed = subprocess.run(
        ["make"], cwd=ROOT, env=alone, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert [line.split()[1] for line in listed] == targets


def test_sam_sees_nothing_of_the_callers_aws() -> None:
    environment: Callable[[Mapping[str, str]], dict[str, str]] = runpy.run_path(str(ROOT / "tools/sam.py"))[
        "environment"
    ]
    seen = environment({"PATH": "/bin", "PIP_CERT": "ca", "AWS_PROFILE": "mine", "AWS_SECRET_ACCESS_KEY": "real"})
    assert seen["PATH"] == "/bin"
    assert seen["PIP_CERT"] == "ca"
    assert "AWS_PROFILE" not in seen
    assert seen["AWS_SECRET_ACCESS_KEY"] == "unused"


def test_missing_prerequisite_is_one_line_that_says_what_to_install(tmp_path: Path) -> None:
    def said(python: str) -> str:
        command = ["sh", str(ROOT / "tools/prerequisites"), python]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def interpreter(name: str, script: str) -> str:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return str(path)

    no_venv = interpreter("no-venv", 'case "$2" in *ensurepip*) exit 1 ;; esac')
    assert said("python3-that-is-not-there") == (
        "python3-that-is-not-there is not there: install Python 3.11 or later, "
        "or name one, as in: make setup PYTHON=/usr/bin/python3.12\n"
    )
    assert "older than 3.11" in said(interpreter("old", "exit 1"))
    assert "install python3-venv" in said(no_venv)
    assert all(said(each).count("\n") == 1 for each in (no_venv, interpreter("old", "exit 1")))
    assert said(interpreter("good", "exit 0")) == ""


def test_an_editor_is_told_of_the_interpreter_and_the_schema_that_there_are() -> None:
    settings = json.loads((ROOT / ".vscode/settings.json").read_text())
    assert settings["python.defaultInterpreterPath"] == "${workspaceFolder}/.venv/bin/python"
    assert all((ROOT / path).is_dir() for path in settings["python.analysis.extraPaths"])
    (schema,) = settings["yaml.schemas"]
    assert (ROOT / schema).is_file()
    assert "admission.yaml" in settings["yaml.schemas"][schema]


def test_a_release_has_every_function() -> None:
    """As tests of what is built see, too, but those take minutes."""
    from tools import dist

    assert list(dist.FUNCTIONS) == sorted(each.parent.name for each in ROOT.glob("functions/*/app.py"))
