"""The line around the deciding code, which `make lint` holds, takes in every module that it should."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_module_of_the_library_but_the_adapters_is_inside_the_line() -> None:
    package = ROOT / "layers/jitr/jitr"
    modules = {f"jitr.{file.stem}" for file in package.glob("*.py") if file.stem != "__init__"} | {"jitr.rules"}
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    assert modules == set(linter["contracts"][0]["source_modules"])
