"""The files of a vendor's bundle, a 7z archive of 7z archives, read by an extra of this package.

Nothing is written to a disk. What an archive says of its files is looked at before any is unpacked, and what comes out
is counted, whatever it said.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import py7zr
from py7zr.io import Py7zIO, WriterFactory

from jitr.devicelists.manifests.archives import (
    MAX_ALL,
    MAX_FILE,
    MAX_FILES,
    File,
    RefusedMember,
    WrongFile,
    why_not_named,
)
from jitr.devicelists.manifests.certificates import is_wanted
from jitr.devicelists.manifests.reading import WrongManifest

_SUFFIX = ".7z"
MAX_ARCHIVE = 64 * 1024 * 1024  # bytes of an archive in an archive, which is held in memory


def files_of_seven_zip(file: IO[bytes]) -> Iterator[File | RefusedMember]:
    """Return the files in a 7z archive that is open to be read, and those of the archives in it. Raises WrongManifest.

    Archives of keys are not opened, and neither are archives in archives in archives.
    """
    bundle = _Bundle()
    for outer in bundle.files(file, MAX_ARCHIVE):
        is_archive = outer.name.lower().endswith(_SUFFIX) and is_wanted(outer.name)
        if isinstance(outer, RefusedMember) or not is_archive:
            yield outer
            continue
        folder = outer.name[: -len(_SUFFIX)]
        for inner in bundle.files(io.BytesIO(outer.content()), MAX_FILE):
            name = f"{folder}/{inner.name}"
            yield RefusedMember(name, inner.why) if isinstance(inner, RefusedMember) else File(name, inner.content)


class _Bundle:
    """Counts the files of a bundle, and the bytes that come out of it."""

    def __init__(self) -> None:
        self._files = 0
        self._left = MAX_ALL

    def files(self, file: IO[bytes], most: int) -> Iterator[File | RefusedMember]:
        """Return the files of one archive, none of which may have more than ``most`` bytes."""
        with _told(), py7zr.SevenZipFile(file) as archive:
            members = archive.list()
            self._files += len(members)
            if self._files > MAX_FILES:
                raise WrongManifest(f"it has more than {MAX_FILES:,} files: give them in parts")
            if len({each.filename for each in members}) < len(members):
                raise WrongManifest("the 7z archive has two files of one name")
            refused = [
                RefusedMember(each.filename, why) for each in members if (why := _why_not(each, most)) is not None
            ]
            names = {each.name for each in refused}
            files = [each for each in members if not each.is_directory and each.filename not in names]
            wanted = {each.filename: each.uncompressed for each in files if is_wanted(each.filename)}
            size = sum(wanted.values())
            if size > self._left:
                raise WrongManifest(
                    f"its files have more than {MAX_ALL // 1024 // 1024} MB together: give them in parts"
                )
            found = _Unpacked(size)
            if wanted:
                archive.extract(targets=list(wanted), factory=found)
        self._left -= size
        yield from refused
        yield from (File(each.filename, _left_in) for each in files if each.filename not in wanted)
        for name in list(found.files):
            yield File(name, found.files.pop(name).getvalue)


def _left_in() -> bytes:
    """Stand for the content of a file that nobody is to look at, such as an archive of keys."""
    raise WrongFile("it is not unpacked")


def _why_not(member: py7zr.FileInfo, most: int) -> str | None:
    if member.is_directory:
        return None
    if not member.is_file:
        return "it is a link or a device: give the file itself"
    if member.uncompressed > most:
        return f"it has more than {most // 1024 // 1024} MB: give it by itself"
    return why_not_named(member.filename)


@contextmanager
def _told() -> Iterator[None]:
    """Raise WrongManifest for whatever its reader raises for an archive that is damaged, which can be anything."""
    try:
        yield
    except (WrongManifest, MemoryError):
        raise
    except py7zr.PasswordRequired:
        raise WrongManifest("the 7z archive is encrypted: give it without a password") from None
    except Exception as error:
        raise WrongManifest(f"the 7z archive is damaged ({type(error).__name__})") from error


class _Unpacked(WriterFactory):
    """Holds what comes out of an archive, and no more bytes than it said."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.size = 0
        self.files: dict[str, io.BytesIO] = {}

    def create(self, filename: str) -> Py7zIO:
        """Return where a file's bytes go."""
        self.files[filename] = io.BytesIO()
        return _Member(self, self.files[filename])

    def count(self, size: int) -> None:
        """Count bytes. Raises WrongManifest beyond what the archive said."""
        self.size += size
        if self.size > self._most:
            raise WrongManifest("the 7z archive has more in it than it says")


class _Member(Py7zIO):
    """One file as it comes out."""

    def __init__(self, unpacked: _Unpacked, data: io.BytesIO) -> None:
        self._unpacked = unpacked
        self._data = data

    def write(self, s: bytes | bytearray) -> int:
        """Take a piece."""
        self._unpacked.count(len(s))
        return self._data.write(s)

    def read(self, size: int | None = None) -> bytes:
        """Return a piece of what is there."""
        return self._data.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to another place."""
        return self._data.seek(offset, whence)

    def flush(self) -> None:
        """Do nothing: it is in memory."""

    def size(self) -> int:
        """Return how many bytes there are."""
        return self._data.getbuffer().nbytes
