"""Makes docs/reasons.md from the reason codes: `UPDATE_DOCS=1 .venv/bin/pytest tests/unit/test_docs.py` writes it."""

import re
from functools import cache
from pathlib import Path

import click

from jitr.reasons import CODES, ReasonCode
from jitr_cli.main import jitr

LIBRARY = Path(__file__).resolve().parents[1] / "layers" / "jitr" / "jitr"

_HEAD = """\
# Reason codes

<!-- Written by tools/docs.py from jitr.reasons. Do not edit it here. -->

Why a device was admitted, held or rejected, in stable dotted words. A decision carries all of its reasons, the
heaviest first, each with its code and a sentence about this one device. A code is never renamed, and what it leads to
never changes:

- **poison**: nothing is decided, and nothing is changed in AWS IoT. The message is moved to `RegistrationFailures`
  with the code as its attribute `reason`.
- **reject**: the certificate becomes INACTIVE, or REVOKED where a deny rule says `revoke: true`.
- **hold**: the certificate stays PENDING_ACTIVATION. The device knocks on, and is decided again at the first knock
  after the rules or its lists have changed, or after it is due.
- **admit**: the device gets what was granted, and its certificate becomes ACTIVE.

The most severe of a device's reasons decides: any *reject* rejects, else any *hold* holds. The table is in order of
weight: of two reasons that lead to the same, the one further up is told first.

| code | leads to | meaning | what to do |
| --- | --- | --- | --- |
"""

_NOT_YET = "not in this version"
_COMMAND = re.compile(r"`jitr ([a-z -]+)`")


def reasons_page() -> str:
    """docs/reasons.md as it should be."""
    return _HEAD + "".join(map(_row, CODES.values()))


def _row(code: ReasonCode) -> str:
    meaning = code.meaning if _is_given(code.code) else f"{code.meaning} ({_NOT_YET})"
    cells = (f"`{code.code}`", _effect(code), meaning, _COMMAND.sub(_marked, code.remedy))
    return "| " + " | ".join(each.replace("|", r"\|") for each in cells) + " |\n"


def _effect(code: ReasonCode) -> str:
    if code.code == "allow.unmatched":
        return "hold or reject"  # the one code whose effect the rules file decides
    return "poison" if code.effect is None else code.effect.value


def _marked(found: re.Match[str]) -> str:
    """A command that a remedy names, marked where the command line does not have it yet."""
    return found[0] if _is_command(found[1]) else f"{found[0]} ({_NOT_YET})"


def _is_command(words: str) -> bool:
    command: click.Command | None = jitr
    for word in words.split():
        if not isinstance(command, click.Group):
            return False
        command = command.get_command(click.Context(command), word)
    return command is not None


def _is_given(code: str) -> bool:
    """Whether the library ever gives the code as a reason."""
    return f'"{code}"' in _library()


@cache
def _library() -> str:
    return "".join(file.read_text("utf-8") for file in LIBRARY.rglob("*.py") if file.name != "reasons.py")
