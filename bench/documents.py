"""The page docs/performance.md: its tables, goals and plots come from the results, the text around them stays."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench import svg
from bench.results import RESULTS, ROOT

PAGES = (ROOT / "docs" / "performance.md", ROOT / "docs" / "scale.md")
PLOTS = RESULTS

# <!-- bench: decision/floor --> … <!-- /bench -->; the names: goals, machine, a part's table or plot.
_PLACE = re.compile(r"(<!-- bench: (?P<what>[\w/ -]+) -->\n).*?(<!-- /bench -->)", re.DOTALL)


def update(results: Mapping[str, dict[str, Any]], pages: tuple[Path, ...] = PAGES, plots: Path = PLOTS) -> None:
    """Write what was measured into its places, and the plots beside the results."""
    for result in results.values():
        for plot in result["plots"]:
            plots.mkdir(parents=True, exist_ok=True)
            (plots / f"{plot['name']}.svg").write_text(svg.draw(plot), "utf-8")
    for page in filter(Path.exists, pages):
        text = page.read_text("utf-8")
        page.write_text(_PLACE.sub(lambda found: _filled(found, results), text), "utf-8")


def _filled(found: re.Match[str], results: Mapping[str, dict[str, Any]]) -> str:
    what = found["what"]
    if what == "goals":
        lines = list(_goals(results))
    elif what == "machine":
        lines = list(_machine(results))
    else:
        part, _, name = what.partition("/")
        if part not in results:
            return found[0]  # not measured yet
        lines = list(_of_part(results[part], name))
    return found[1] + "\n" + "".join(f"{line}\n" for line in lines) + "\n" + found[3]


def _goals(results: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    yield from _table(
        ["", "goal", "wanted", "measured"],
        [
            ["met" if goal["met"] else "**missed**", goal["goal"], goal["wanted"], goal["measured"]]
            for result in results.values()
            for goal in result["goals"]
        ],
    )


def _machine(results: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    columns = ["part", "measured at", "took", "processor", "system", "Python", "cryptography", "boto3", "revision"]
    names = ("processor", "system", "python", "cryptography", "boto3", "revision")
    yield from _table(
        columns,
        [
            [part, result["at"], f"{result['seconds']:.0f} s", *(result["machine"][each] for each in names)]
            for part, result in results.items()
        ],
    )


def _of_part(result: Mapping[str, Any], name: str) -> Iterator[str]:
    for plot in result["plots"]:
        if plot["name"] == name:
            yield f"![{plot['title']}: {plot['y']} by {plot['x']}](../bench/results/{name}.svg)"
            return
    table = result["tables"][name]
    yield from _table(table["columns"], table["rows"])


def _table(columns: list[str], rows: list[list[str]]) -> Iterator[str]:
    yield "| " + " | ".join(columns) + " |"
    yield "|" + " --- |" * len(columns)
    for row in rows:
        yield "| " + " | ".join(str(cell).replace("|", r"\|") for cell in row) + " |"
