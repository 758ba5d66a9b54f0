"""Bind a template to the processor that its layer was built for: no deployment can then choose the other."""

import argparse
import re
from pathlib import Path

# The parameter as template.yaml writes it, and as `sam build` writes it anew.
_DEFAULT = re.compile(r"(?<=Default: )arm64(?=\n)")
_ALLOWED = re.compile(r"(?<=AllowedValues:)(?: \[arm64, x86_64\]|(\n *- )arm64\n *- x86_64)(?=\n)")


def bound(template: str, architecture: str) -> str:
    """Return the template with ``architecture`` as the only value of its parameter ``Architecture``.

    Raises ValueError where the parameter is not there once, as it is written today.
    """
    text, defaults = _DEFAULT.subn(architecture, template)
    text, choices = _ALLOWED.subn(lambda found: (found[1] or " [") + architecture + ("" if found[1] else "]"), text)
    if (defaults, choices) != (1, 1):
        raise ValueError("the template's parameter Architecture is not written as it was: see tools/architecture.py")
    return text


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("template", type=Path)
    parser.add_argument("architecture", choices=["arm64", "x86_64"])
    given = parser.parse_args()
    given.template.write_text(bound(given.template.read_text("utf-8"), given.architecture), "utf-8")
