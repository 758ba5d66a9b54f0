"""What requirements files pin."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PIN = re.compile(r"^(?P<name>[a-z0-9][a-z0-9.-]*)==(?P<version>[^ ;\\]+)(?P<rest>.*)$")


def pins(file: str) -> dict[str, str]:
    """Version by distribution name."""
    lines = (ROOT / file).read_text().splitlines()
    return {found["name"]: found["version"] for line in lines if (found := PIN.match(line))}
