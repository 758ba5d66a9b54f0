"""Files of devices other than CSV: how they are to be read, folders of them, who signed them."""

import os
import stat
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from jitr.devicelists.columns import is_column, typed, unknown_column
from jitr.devicelists.manifests.archives import MAX_FILE, File, RefusedMember
from jitr.devicelists.manifests.jws import Signers, read_signer
from jitr.devicelists.manifests.microchip import Manifest
from jitr.devicelists.manifests.opening import Opener
from jitr.devicelists.manifests.reading import USUAL_SET, ListReader, Options, WrongManifest
from jitr.devicelists.manifests.recognition import SUFFIXES
from jitr.errors import InputError
from jitr.services.lists.list_import import scratch
from jitr.text import counted
from jitr_operations import telling
from jitr_operations.files import read_bytes
from jitr_operations.lists.spreadsheets import Spreadsheets
from jitr_operations.processes import on_all_cores

_BUNDLES_EXTRA = (
    "to read 7z, install jitr with its extra (`pip install 'jitr[bundles]'`), or unpack it, and import the folder or a "
    "ZIP file of it. Leave archives whose names end in _keys.7z as they are: what is in them is secret, and no list "
    "needs it"
)


@dataclass(frozen=True)
class ManifestChoice:
    """How a file of devices is to be read, as a person says it. ``signers`` are files of certificates."""

    kind: str | None = None
    signers: tuple[Path, ...] = ()
    any_date: bool = False
    thing_name: str | None = None
    by: str | None = None
    skip_bad: bool = False
    key_set: str = USUAL_SET
    columns: tuple[str, ...] = ()
    sheet: str | None = None
    encoding: str | None = None

    def opener(self, kept: Signers | None) -> Opener:
        """Return what opens files so. Signers are those named here or, where none is, those ``kept``.

        Raises InputError for a file that is no signer's certificate.
        """
        if self.any_date and not self.signers:
            raise InputError("--any-date goes with --signer: the signers that are kept say it for themselves")
        options = Options(
            kind=self.kind,
            signers=given_signers(self.signers, any_date=self.any_date) if self.signers else kept or Signers(),
            thing_name=self.thing_name,
            by_common_name=self.by is not None,
            skip_bad=self.skip_bad,
            key_set=self.key_set.upper(),
            headings=headings_of(self.columns),
            sheet=self.sheet,
            encoding=self.encoding,
            signed=bool(self.signers),
        )
        return Opener(options, scratch, Spreadsheets(self.sheet), on_all_cores, files_of_bundle)


def files_of_bundle(file: IO[bytes]) -> Iterator[File | RefusedMember]:
    """Return the files in a 7z archive. Raises WrongManifest, also where the extra that reads it is not installed."""
    try:
        from jitr_operations.lists.seven_zip import files_of_seven_zip
    except ImportError:
        raise WrongManifest(_BUNDLES_EXTRA) from None
    yield from files_of_seven_zip(file)


def headings_of(columns: Iterable[str]) -> dict[str, str]:
    """Return columns by what a file calls them, from ``COLUMN=HEADING`` each. Raises InputError."""
    found: dict[str, str] = {}
    for each in columns:
        column, equals, heading = each.partition("=")
        heading = heading.strip()
        if not equals or not heading:
            raise InputError(f"--column {each}: write COLUMN=HEADING, as in 'common_name=Serial No'")
        if not is_column(typed(column)[0]):
            raise InputError(f"--column {each}: {unknown_column(column)}")
        if heading in found or column in found.values():
            raise InputError(f"--column {each}: column and heading are given once each")
        found[heading] = column
    return found


def given_signers(files: Iterable[Path], *, any_date: bool = False) -> Signers:
    """Return the signers whose certificates are in files. Raises InputError."""
    found = []
    for file in files:
        data = read_bytes(file)
        try:
            found.append(read_signer(data, any_date=any_date))
        except InputError as error:
            raise InputError(f"{file}: {error}") from error
    return Signers(found)


def folder_pieces(folder: Path) -> Iterator[bytes]:
    """Return the files of a folder and of those in it as a tar file, the same bytes as long as they are the same.

    Keys, hidden files and what is too large to be a certificate are not read, and links are not followed. Of a file
    that is called a certificate so much is read as tells that it is too large.
    """
    for path, name in _files(folder):
        try:
            with os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0)), "rb") as opened:
                data = opened.read(MAX_FILE + 1)
        except OSError as problem:
            raise InputError(f"{path}: {problem.strerror}") from None
        info = tarfile.TarInfo(name)
        info.size = len(data)
        yield info.tobuf(tarfile.GNU_FORMAT, "utf-8", "replace") + data + bytes(-len(data) % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


def tell_of_folder(folder: Path) -> None:
    """Say which of a folder's files are not even looked at. Raises InputError where there is nothing else."""
    links = sum(1 for path in _paths(folder) if path.is_symlink())
    if links:
        telling.note(f"{folder}: {counted(links, 'link is', 'links are')} left out: none is followed")
    if next(_files(folder), None) is None:
        raise InputError(f"{folder}: there is no file in this folder that could be a certificate")


def _files(folder: Path) -> Iterator[tuple[Path, str]]:
    for path in _paths(folder):
        name = path.relative_to(folder).as_posix()
        kind = path.lstat()
        if not stat.S_ISREG(kind.st_mode) or path.suffix.lower() == ".key" or name.startswith(".") or "/." in name:
            continue
        if kind.st_size <= MAX_FILE or path.suffix.lower() in SUFFIXES:
            yield path, name


def _paths(folder: Path) -> Iterator[Path]:
    """Return everything in a folder that is no folder, and links to folders, in the same order each time."""
    for parent, folders, files in os.walk(folder):
        folders.sort()
        yield from (path for name in folders if (path := Path(parent) / name).is_symlink())
        yield from (Path(parent) / name for name in sorted(files))


@dataclass(frozen=True)
class ManifestReport:
    """A file of devices, recognised."""

    rows: int
    said: tuple[str, ...]
    signers: Sequence[dict[str, Any]]
    issuers: dict[bytes, int]  # DER of the CAs that signed the devices' certificates, and of how many

    def to_json(self) -> dict[str, Any]:
        """Return it as ``jitr lists verify --json`` prints it, without the CAs."""
        return {"rows": self.rows, "read_as": list(self.said), "signers": list(self.signers)}


def verification(reader: ListReader) -> ManifestReport:
    """Read a file to its end. Raises ListError where anything is wrong with it."""
    rows = sum(1 for _ in reader)
    reader.raise_problems()
    if not isinstance(reader, Manifest):
        return ManifestReport(rows, reader.said, (), {})
    signers = [
        {"sha256": each.sha256, "name": each.name, "elements": reader.signed[each.sha256].elements}
        for each in reader.signed_by
    ]
    return ManifestReport(rows, reader.said, signers, dict(reader.issuers))
