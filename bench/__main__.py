"""``python -m bench``: run the parts, each in a process of its own, keep what they find, and write the page anew."""

import argparse
import importlib
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench import documents, results

# Their clock is simulated, so they run side by side, the longest first: a neighbour on the same processor does not show
# in their figures.
SIMULATED = ("burst", "scale", "storm", "money", "first_burst")
# The others run alone, in this order.
PARTS = (
    "decision",
    "hostile",
    "revocation",
    "cold_start",
    "command_line",
    "calls",
    "checked",
    "lists",
    "manifests",
    "replay",
    "fleet_check",
    "first_message",
    "page",
    *SIMULATED,
)


def main() -> int:
    """Run what the arguments ask for; the result is the exit code: 0 whatever the goals, 1 where a part failed."""
    options = _options()
    if options.inside:
        return _inside(options.inside, options.quick, options.results)
    chosen = [each for each in PARTS if not options.only or each in options.only]
    started = time.monotonic()
    taken = _taken(chosen, options)
    if options.page:
        documents.update(results.read_all(options.results))
    _tell(taken, time.monotonic() - started)
    return 1 if None in taken.values() else 0


def _taken(chosen: Sequence[str], options: argparse.Namespace) -> dict[str, float | None]:
    """Run the parts; return the seconds that each took, None where it failed."""
    taken = {each: _in_process_of_its_own(each, options) for each in chosen if each not in SIMULATED}
    simulated = [each for each in SIMULATED if each in chosen]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        side_by_side = pool.map(lambda each: _in_process_of_its_own(each, options), simulated)
        return taken | dict(zip(simulated, side_by_side, strict=True))


def _tell(taken: Mapping[str, float | None], together: float) -> None:
    for part, seconds in taken.items():
        print(f"{part:>14} {'failed' if seconds is None else f'{seconds:5.0f} s'}", file=sys.stderr)
    done = sum(seconds is not None for seconds in taken.values())
    print(f"{done} of {len(taken)} parts in {together:.0f} s", file=sys.stderr)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", type=lambda text: text.split(","), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it runs; figures mean nothing")
    parser.add_argument("--no-page", dest="page", action="store_false", help="leave docs/performance.md as it is")
    parser.add_argument("--results", type=Path, default=results.RESULTS, help="folder for the results")
    parser.add_argument("--inside", choices=PARTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    unknown = set(options.only or ()) - set(PARTS)
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    return options


def _in_process_of_its_own(part: str, options: argparse.Namespace) -> float | None:
    """Run a part; return the seconds that it took, or None if it failed."""
    started = time.monotonic()
    command = [sys.executable, "-m", "bench", "--inside", part, "--results", str(options.results)]
    environment = os.environ | {"AWS_LAMBDA_FUNCTION_NAME": "bench"}  # values are made as in Lambda (jitr.values)
    command += ["--quick"] if options.quick else []
    done = subprocess.run(command, env=environment, check=False)
    return time.monotonic() - started if done.returncode == 0 else None


def _inside(part: str, quick: bool, folder: Path) -> int:
    started = time.monotonic()
    result = importlib.import_module(f"bench.{part}").run(quick=quick)
    result.quick, result.seconds = quick, round(time.monotonic() - started, 1)
    path = results.write(result, folder)
    print(f"{part}: {result.seconds:.0f} s, {path.name}", file=sys.stderr)
    for goal in result.goals:
        print(f"  {'met   ' if goal.met else 'MISSED'} {goal.goal}: {goal.measured}, {goal.wanted}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
