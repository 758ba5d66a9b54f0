"""This software as it is deployed: a built template, and the code that it names.

Both what `sam build` makes and an unpacked release are such a folder. Only text of the template is replaced, so that
nothing of it is read that CloudFormation reads otherwise.
"""

import os
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from jitr.errors import InputError
from jitr_operations.files import read_bytes

# Where `sam deploy` looks as well.
PLACES = (Path(".aws-sam/build/template.yaml"), Path("template.yaml"))
_MOST = 1_000_000  # bytes of a template in S3. CloudFormation User Guide, "Quotas"
_CODE = re.compile(r"^( +(?:CodeUri|ContentUri): )(\S+)$", re.MULTILINE)
_BUILD = "`make build` makes one in a checkout, and an unpacked release is one"


@dataclass(frozen=True, slots=True)
class Package:
    """A template, and the folder or archive of each function and layer as the template names it."""

    template: Path
    text: str
    code: Mapping[str, Path]

    @property
    def size(self) -> int:
        """How many bytes of code there are, before they are compressed."""
        return sum(each.stat().st_size for path in self.code.values() for each in _files(path))

    def at(self, address: Callable[[str], str]) -> str:
        """Return the template with ``address`` of each name in the place of the name."""
        return _CODE.sub(lambda found: found[1] + address(found[2]), self.text)

    def write(self, name: str, file: IO[bytes]) -> None:
        """Write the archive of a function or layer, as Lambda takes it."""
        path = self.code[name]
        if path.is_file():
            file.write(path.read_bytes())
            return
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for each in _files(path):
                archive.write(each, each.relative_to(path))


def package_at(template: Path | None) -> Package:
    """Return what a template names, or the one that `sam deploy` would take in this folder.

    Raises InputError where there is none that is built.
    """
    found = template or next((each for each in PLACES if each.is_file()), None)
    if found is None:
        raise InputError(f"there is no {PLACES[0]} and no {PLACES[1]} here: name one with --template. {_BUILD}")
    try:
        text = read_bytes(found, _MOST).decode()
    except UnicodeDecodeError:
        raise InputError(f"{found} is no template: {_BUILD}") from None
    names = [each[2] for each in _CODE.finditer(text)]
    if not names:
        raise InputError(f"{found} names no code of functions, so it is no template of this software: {_BUILD}")
    return Package(found, text, {each: _code(found, each) for each in names})


def _code(template: Path, name: str) -> Path:
    path = template.parent / name
    if path.is_file() and zipfile.is_zipfile(path):
        return path
    # A layer's sources have a Makefile; what is built from them has none.
    if not path.is_dir() or (path / "Makefile").exists() or not any(path.iterdir()):
        raise InputError(f"{template} is not built: {path} is neither an archive nor what a build leaves. {_BUILD}")
    return path


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(Path(folder, name) for folder, _, names in os.walk(path) for name in names)
