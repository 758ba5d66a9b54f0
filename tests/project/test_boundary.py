"""Who may import whom: `make lint` knows every room of the library, and nothing imports from a test.

CONTRIBUTING.md has a line for each folder.
"""

import ast
import re
import subprocess
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "layers/jitr/jitr"
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
# The edges; of `aws` these two are values and arithmetic.
EDGES, PURE_OF_THE_EDGES = {"jitr.aws", "jitr.services"}, {"jitr.aws.metrics", "jitr.aws.quotas"}


def rooms() -> set[str]:
    """What stands at the library's root: modules, and packages of them."""
    modules = {f"jitr.{each.stem}" for each in LIBRARY.glob("*.py") if each.stem != "__init__"}
    return modules | {f"jitr.{each.parent.name}" for each in LIBRARY.glob("*/__init__.py")}


def test_every_room_has_its_place_in_the_order_of_imports() -> None:
    ordered = {name.strip() for layer in CONTRACTS[0]["layers"] for name in layer.split("|")}
    assert rooms() == {name for name in ordered if name.startswith("jitr.")}


def test_every_room_but_the_edges_is_inside_the_pure_line() -> None:
    assert set(CONTRACTS[1]["source_modules"]) == (rooms() - EDGES) | PURE_OF_THE_EDGES


def imported(source: str, package: str) -> set[str]:
    """The full names of what a module imports anywhere in it: modules, and names that may be modules."""
    found = set[str]()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            found |= {module, *(f"{module}.{each.name}" for each in node.names)}
    return found


@pytest.mark.parametrize(
    "source", ["import tests.a", "from tests import a", "from tests.a import b", "from .a import b", "from . import a"]
)
def test_every_way_to_import_a_test_is_seen(source: str) -> None:
    assert any(each.startswith("tests.") for each in imported(f"def late():\n    {source}\n", "tests.unit"))


def test_nothing_imports_from_a_test() -> None:
    """What several tests use is in testkit/, fixtures in a conftest: a test can be changed, moved or deleted alone."""
    offenders = {
        str(path.relative_to(ROOT)): found
        for folder in ("tests", "testkit", "bench", "fuzz", "tools", "layers", "cli", "local", "functions")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for package in [".".join(path.relative_to(ROOT).parent.parts)]
        if (found := {each for each in imported(path.read_text("utf-8"), package) if each.split(".")[0] == "tests"})
    }
    assert offenders == {}


def test_one_name_is_one_thing() -> None:
    """Whoever searches for a public class finds one definition; so a name says the same wherever it is read."""
    defined: dict[str, list[str]] = defaultdict(list)
    for folder in ("cli", "page", "local", "layers", "functions", "testkit", "bench", "fuzz", "tools"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.parse(path.read_text("utf-8")).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    defined[node.name].append(str(path.relative_to(ROOT)))
    assert {name: paths for name, paths in defined.items() if len(paths) > 1} == {}


def test_contributors_are_told_of_every_folder_with_code_in_a_line() -> None:
    tree = re.search(r"^## Where things are\n\n```text\n(.*?)^```", (ROOT / "CONTRIBUTING.md").read_text(), re.M | re.S)
    assert tree
    told, above = set(), list[str]()
    for indent, name in re.findall(r"^( *)(\S+)/ ", tree[1], re.M):
        depth = len(indent) // 2
        above = [*above[:depth], f"{above[depth - 1]}/{name}" if depth else name]
        told.add(above[-1])
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    folders = {str(Path(each).parent) for each in listed.splitlines()}
    assert folders - told == set()
    assert {each for each in told if not (ROOT / each).is_dir()} == set()
