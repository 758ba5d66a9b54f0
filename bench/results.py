"""What a part of the bench found: kept as JSON, from which the page's tables, plots and goals are made."""

import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results"


@dataclass(frozen=True)
class Goal:
    """Something that was to be reached, and whether it was."""

    goal: str
    wanted: str
    measured: str
    met: bool


@dataclass(frozen=True)
class Grid:
    """A table of the page."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Curve:
    """One curve of a plot: a name, and its points."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Plot:
    """A plot of the page; ``name`` is its file's."""

    name: str
    title: str
    x: str
    y: str
    lines: Sequence[Curve]
    log_x: bool = False
    log_y: bool = False


@dataclass
class Result:
    """All that one part found."""

    part: str
    goals: list[Goal] = field(default_factory=list)
    tables: dict[str, Grid] = field(default_factory=dict)
    plots: list[Plot] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    quick: bool = False
    seconds: float = 0.0

    def goal(self, goal: str, wanted: str, measured: str, *, met: bool) -> None:
        """Say what became of a goal."""
        self.goals.append(Goal(goal, wanted, measured, met))

    def table(self, name: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Put a table on the page."""
        self.tables[name] = Grid(columns, [[str(cell) for cell in row] for row in rows])


def write(result: Result, folder: Path = RESULTS) -> Path:
    """Keep a result; the one before it is gone."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result.part}.json"
    plain = {"machine": machine(), "at": datetime.now(UTC).isoformat(timespec="seconds")} | asdict(result)
    path.write_text(json.dumps(plain, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return path


def read_all(folder: Path = RESULTS) -> dict[str, dict[str, Any]]:
    """Every kept result, by its part."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))}


def machine() -> Mapping[str, str]:
    """What the bench runs on."""
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "cryptography": version("cryptography"),
        "boto3": version("boto3"),
        "revision": _revision(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names and names[0] not in ("", "unknown") else platform.machine()


def _revision() -> str:
    """The commit, ``-dirty`` where the sources differ from it; what a run itself writes does not count."""
    commit = _git("rev-parse", "--short", "HEAD")
    changed = _git("status", "--porcelain", "--", ".", ":!bench/results", ":!docs")
    return f"{commit}-dirty" if commit and changed else commit or "unknown"


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
