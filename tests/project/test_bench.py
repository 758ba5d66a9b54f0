"""The bench runs: each part at its smallest, and what it finds gets onto the page. Nothing here looks at a clock."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from bench import documents, results
from bench.__main__ import main

pytestmark = pytest.mark.xdist_group("bench")

# The others need a build or a local stack.
PARTS = (
    *("decision", "hostile", "revocation", "calls", "manifests", "replay", "fleet_check"),
    *("burst", "first_burst", "money", "storm", "page"),
)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_runs_and_keeps_what_it_finds(part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["bench", "--inside", part, "--quick", "--results", str(tmp_path)]
    monkeypatch.setattr("sys.argv", arguments)
    assert main() == 0
    found = results.read_all(tmp_path)[part]
    assert found["quick"]
    assert found["goals"]
    assert found["tables"]
    assert found["machine"]["processor"]


def test_each_part_tells_its_seconds_and_one_that_fails_does_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Parts whose time is simulated run side by side, after the others."""
    began: list[str] = []

    def run(command: list[str], **_more: Any) -> subprocess.CompletedProcess[str]:
        part = command[command.index("--inside") + 1]
        began.append(part)
        return subprocess.CompletedProcess(command, 1 if part == "storm" else 0)

    monkeypatch.setattr("bench.__main__.subprocess.run", run)
    monkeypatch.setattr("sys.argv", ["bench", "--only", "calls,storm,money,burst", "--no-page"])
    assert main() == 1
    assert began[0] == "calls"
    assert sorted(began[1:]) == ["burst", "money", "storm"]
    lines = [line.split() for line in capsys.readouterr().err.splitlines()]
    assert [line[0] for line in lines[:4]] == ["calls", "burst", "storm", "money"]
    assert [line[1] == "failed" for line in lines[:4]] == [False, False, True, False]
    assert lines[4][:4] == ["3", "of", "4", "parts"]


def test_the_page_takes_what_was_measured_and_keeps_its_words(tmp_path: Path) -> None:
    result = results.Result("burst")
    result.goal("None lost", "0", "3", met=False)
    result.table("waiting", ("who", "seconds"), [("jitr", 1.5)])
    line = results.Curve("admitted | ours", [(0, 0), (1, 10)])
    result.plots.append(results.Plot("admitted", "Admitted <so far>", "seconds", "devices", [line]))
    results.write(result, tmp_path / "results")
    text = tmp_path / "page.md"
    text.write_text(
        "Before\n<!-- bench: goals -->\nold\n<!-- /bench -->\nBetween\n<!-- bench: burst/waiting -->\n<!-- /bench -->\n"
        "<!-- bench: burst/admitted -->\n<!-- /bench -->\n<!-- bench: other/table -->\nkept\n<!-- /bench -->\nAfter\n"
    )
    for _ in range(2):  # again: the same
        documents.update(results.read_all(tmp_path / "results"), (text,), tmp_path / "plots")
        filled = text.read_text()
        assert "old" not in filled
        assert "| **missed** | None lost | 0 | 3 |" in filled
        assert "| jitr | 1.5 |" in filled
        assert "results/admitted.svg" in filled
        assert "kept" in filled
        assert filled.startswith("Before\n")
        assert filled.endswith("After\n")
        assert "Between" in filled
    drawing = (tmp_path / "plots" / "admitted.svg").read_text()
    assert "Admitted &lt;so far&gt;" in drawing
    assert "polyline" in drawing


def test_every_kept_result_is_whole() -> None:
    """Quick runs are to see that it runs: their figures are not kept."""
    for name, result in results.read_all().items():
        assert not result["quick"], name
        assert json.dumps(result)
        for goal in result["goals"]:
            assert goal.keys() == {"goal", "wanted", "measured", "met"}
