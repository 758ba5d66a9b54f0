"""`make audit`: known vulnerabilities of everything that is pinned, as PyPI tells them to pip-audit.

What was not audited is not passed over: 0 means that every pinned version was asked about and none has one that is
known, 1 that there are some, 3 that some could not be asked about.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
_OPTIONS = ("--disable-pip", "--require-hashes", "--progress-spinner=off", "--format=json")


class NotAudited(Exception):
    """Nobody could be asked; the message says why, in one line."""


def pinned(root: Path) -> list[Path]:
    """Return the files that pin what is installed and shipped."""
    return sorted([*root.glob("requirements/*.txt"), *root.glob("layers/*/requirements.txt")])


def ask(file: Path) -> Mapping[str, Any]:
    """Return what pip-audit says of one file. Raises NotAudited."""
    command = [sys.executable, "-m", "pip_audit", *_OPTIONS, "--requirement", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    try:
        found = json.loads(done.stdout)
    except ValueError:
        raise NotAudited(_why(done.stderr)) from None
    if not isinstance(found, dict):
        raise NotAudited("pip-audit answered in a way that is unknown here")
    return found


def _why(told: str) -> str:
    last = next((line for line in reversed(told.splitlines()) if line.strip()), "")
    if any(word in told for word in ("ConnectionError", "ProxyError", "Timeout", "ServiceError", "Max retries")):
        return "the vulnerability service cannot be reached"
    return last.strip()[:200] or "pip-audit said nothing"


def audit(files: Iterable[Path], asked: Callable[[Path], Mapping[str, Any]] = ask) -> int:
    """Tell each vulnerability on one line, and what could not be asked about; the exit code."""
    vulnerable: dict[str, None] = {}
    skipped: dict[str, None] = {}
    count = 0
    for file in files:
        try:
            found = asked(file)
        except NotAudited as problem:
            print(f"Not audited: {problem}. Try again where it can be reached.", file=sys.stderr)
            return 3
        for each in found.get("dependencies", ()):
            named = f"{each['name']} {each.get('version', '')}".strip()
            count += 1
            if "skip_reason" in each:
                skipped[each["name"]] = None
            for vulnerability in each.get("vulns", ()):
                fixed = ", ".join(vulnerability.get("fix_versions") or ()) or "no version yet"
                vulnerable[f"{file.parent.name}/{file.name}: {named}: {vulnerability['id']}, mended in {fixed}"] = None
    for line in vulnerable:
        print(line)
    if skipped:
        names = ", ".join(list(skipped)[:5]) + (f" and {len(skipped) - 5} more" if len(skipped) > 5 else "")
        print(f"Not audited: the index that answers here does not know {names}.", file=sys.stderr)
    if not vulnerable and not skipped:
        print(f"{count} pins, no vulnerability known")
    return 1 if vulnerable else 3 if skipped else 0


if __name__ == "__main__":
    sys.exit(audit(Path(each) for each in sys.argv[1:]) if len(sys.argv) > 1 else audit(pinned(ROOT)))
