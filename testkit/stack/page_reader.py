"""A reader who types what a page of the documentation says, in a folder of their own."""

import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from jitr_operations.files import read_certificate


def sections(page: Path, kind: str) -> dict[str, str]:
    """What stands in the blocks of a kind, by the heading they are under."""
    found: dict[str, str] = {}
    for section in re.split(r"^## ", page.read_text("utf-8"), flags=re.MULTILINE)[1:]:
        blocks = re.findall(rf"^```{kind}\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
        if blocks:
            found[section.partition("\n")[0]] = "".join(blocks)
    return found


@dataclass
class PageReader:
    """Somebody who types what the page says, in a folder of their own."""

    page: Path
    folder: Path
    variables: dict[str, str]
    printed: dict[str, str] = field(default_factory=dict)

    def follow(self, heading: str) -> None:
        """Type the commands under a heading; what they must print is printed."""
        done = subprocess.run(
            ["sh", "-eu", "-c", sections(self.page, "sh")[heading]],
            cwd=self.folder,
            env=self.variables,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == 0, f"{heading}: {done.stdout}{done.stderr}"
        self.printed[heading] = done.stdout
        for line in sections(self.page, "text").get(heading, "").splitlines():
            assert line in done.stdout.splitlines(), heading

    def id_of(self, name: str) -> str:
        """The id that AWS IoT gives a certificate in the folder."""
        return read_certificate(self.folder / f"{name}.pem").sha256
