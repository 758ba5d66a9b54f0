"""Makes the reference tables of docs/rules.md from the fields of the rules file."""

import re
from collections.abc import Iterable
from pathlib import Path

from jitr.rules.file.fields import (
    ALLOW,
    CA,
    CERTIFICATE,
    CONDITIONS,
    CRL,
    DENY,
    DEVICE,
    EXPECT,
    FILE,
    GRANT,
    OCSP,
    PARTITION,
    ROW,
    TEST,
)
from jitr.rules.file.kinds import SUBJECT_ATTRIBUTES
from jitr.rules.file.schema import default_of
from jitr.rules.file.shapes import Field

PAGE = Path(__file__).resolve().parents[1] / "docs" / "rules.md"


def tables() -> dict[str, str]:
    """Return the reference tables in Markdown, by the name that their place in docs/rules.md has."""
    conditions = {each.name for each in CONDITIONS}
    return {
        "file": _table(FILE.fields),
        "cas": _table(CA.fields),
        "crl": _table(CRL.fields),
        "partition": _table(PARTITION.fields),
        "ocsp": _table(OCSP.fields),
        "certificate": _table(CERTIFICATE.fields),
        "conditions": _table(CONDITIONS),
        "deny": _table(each for each in DENY.fields if each.name not in conditions),
        "allow": _table(each for each in ALLOW.fields if each.name not in conditions),
        "grant": _table(GRANT.fields),
        "tests": _table(TEST.fields),
        "device": _table(each for each in DEVICE.fields if each.name not in SUBJECT_ATTRIBUTES),
        "row": _table((*ROW.fields, *((ROW.extra,) if ROW.extra else ()))),
        "expect": _table(EXPECT.fields),
    }


def _table(fields: Iterable[Field]) -> str:
    rows = [_cells(each) for each in fields]
    head = ("key", "value", "without it", "meaning", "example")
    used = [place for place in range(len(head)) if any(row[place] for row in rows)]
    lines = (head, ("---",) * len(head), *rows)
    return "".join(f"| {' | '.join(line[place] for place in used)} |\n" for line in lines)


def _cells(field: Field) -> tuple[str, ...]:
    default = field.default or ""
    if default_of(field) is not None or default.startswith("["):
        default = f"`{default}`"
    without = "an error" if field.required else default
    example = f"`{field.name}: {field.example}`" if field.example else ""
    example = re.sub("[0-9a-f]{64}", lambda found: f"{found[0][:4]}…{found[0][-4:]}", example)
    return f"`{field.name}`", field.kind.told, without, field.doc, example


def rules_page() -> str:
    """docs/rules.md as it should be: what stands between ``<!-- table NAME -->`` and ``<!-- end -->`` made anew."""
    made = tables()
    return re.sub(
        r"(<!-- table ([a-z]+) -->\n).*?(<!-- end -->)",
        lambda found: f"{found[1]}\n{made[found[2]]}\n{found[3]}",
        PAGE.read_text(encoding="utf-8"),
        flags=re.DOTALL,
    )
