"""``python -m bench``: run the parts, each in a process of its own, keep what they find, and write the page anew."""

import argparse
import importlib
import os
import subprocess
import sys
import time
from pathlib import Path

from bench import documents, results

# In the order in which they run and stand on the page.
PARTS = (
    "decision",
    "hostile",
    "revocation",
    "cold_start",
    "command_line",
    "calls",
    "burst",
    "money",
    "storm",
    "lists",
    "manifests",
    "replay",
    "fleet_check",
    "first_message",
    "page",
    "scale",
)


def main() -> int:
    """Run what the arguments ask for; the result is the exit code: 0 whatever the goals, 1 where a part failed."""
    options = _options()
    if options.inside:
        return _inside(options.inside, options.quick, options.results)
    chosen = [each for each in PARTS if not options.only or each in options.only]
    started = time.monotonic()
    failed = [each for each in chosen if not _in_process_of_its_own(each, options)]
    if options.page:
        documents.update(results.read_all(options.results))
    print(f"{len(chosen) - len(failed)} of {len(chosen)} parts in {time.monotonic() - started:.0f} s", file=sys.stderr)
    for each in failed:
        print(f"failed: {each}", file=sys.stderr)
    return 1 if failed else 0


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


def _in_process_of_its_own(part: str, options: argparse.Namespace) -> bool:
    command = [sys.executable, "-m", "bench", "--inside", part, "--results", str(options.results)]
    environment = os.environ | {"AWS_LAMBDA_FUNCTION_NAME": "bench"}  # values are made as in Lambda (jitr.values)
    command += ["--quick"] if options.quick else []
    return subprocess.run(command, env=environment, check=False).returncode == 0


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
