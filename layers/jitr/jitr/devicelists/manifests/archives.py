"""The files in an archive, which anyone may have written, one by one: ZIP (APPNOTE.TXT) and tar (POSIX.1-2001 pax).

Nothing is ever written to a disk under a name out of an archive, and nothing in it is followed or opened in turn. How
many files there are, how large each is and how large all are is bounded before they are read, whatever headers say.
"""

import gzip
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import IO, TypeAlias, cast

from jitr.devicelists.manifests.reading import WrongManifest
from jitr.values import dataclass

MAX_FILES = 250_000
MAX_FILE = 4 * 1024 * 1024  # bytes of one file
MAX_ALL = 512 * 1024 * 1024  # bytes of all files
_MAX_DIRECTORY = 16 * 1024 * 1024  # bytes of the directory of a ZIP file
_MAX_NAME = 4096  # bytes
_BLOCK = 512  # bytes of a tar header, and what files are filled up to
_PIECE = 64 * 1024


@dataclass(frozen=True, slots=True)
class File:
    """One file of an archive. ``content`` raises WrongFile."""

    name: str
    content: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class RefusedMember:
    """An entry of an archive that is no readable file."""

    name: str
    why: str


FilesOfArchive: TypeAlias = Callable[[IO[bytes]], Iterator[File | RefusedMember]]


class WrongFile(Exception):
    """A file of an archive cannot be read; the message says why."""


class TooLarge(WrongFile):
    """A file of an archive is larger than any that is read."""

    def __init__(self) -> None:
        super().__init__(f"it has more than {MAX_FILE // 1024 // 1024} MB: give it by itself")


class _Budget:
    """How much all files may have together."""

    def __init__(self) -> None:
        self._left = MAX_ALL

    def take(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise WrongManifest(f"its files have more than {MAX_ALL // 1024 // 1024} MB together: give them in parts")


def why_not_named(name: str) -> str | None:
    """Return why a file of such a name is not read: one that leads out of the archive was made to do harm."""
    parts = re.split(r"[/\\]", name)
    if not name or "\0" in name:
        return "it has no name"
    if parts[0] == "" or re.match(r"[A-Za-z]:", parts[0]) or ".." in parts:
        return "its name leads out of the archive"
    return None


# --- ZIP

_END, _END_64_LOCATOR, _END_64 = b"PK\x05\x06", b"PK\x06\x07", b"PK\x06\x06"
_END_SIZE, _LOCATOR_SIZE, _END_64_SIZE = 22, 20, 56
_ENCRYPTED = 0x1
_LINK, _KIND = 0o120000, 0o170000  # of a mode of Unix, in the upper half of the external attributes


def files_of_zip(file: IO[bytes]) -> Iterator[File | RefusedMember]:
    """Return the files in a ZIP file that is open to be read. Raises WrongManifest."""
    _check_directory(file)
    budget = _Budget()
    try:
        with zipfile.ZipFile(file) as archive:
            found = archive.infolist()
            if len(found) > MAX_FILES:
                raise _too_many()
            for info in found:
                if info.filename.endswith("/"):
                    continue
                why = why_not_named(info.filename) or _why_not_in_zip(info)
                if why is not None:
                    yield RefusedMember(info.filename, why)
                else:
                    yield File(info.filename, _content_of(archive, info, budget))
    except _UNZIPPED as error:
        raise WrongManifest(f"the ZIP file is damaged: {type(error).__name__}") from None


# What the standard library raises for damaged ones, beside its own.
_UNZIPPED = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    OSError,
    ValueError,
    OverflowError,
    struct.error,
)


def _check_directory(file: IO[bytes]) -> None:
    """Raise WrongManifest where the directory, which is read whole, is larger than any honest one."""
    size = file.seek(0, 2)
    if size < _END_SIZE:
        raise WrongManifest("the ZIP file is cut short")
    begins = max(0, size - _END_SIZE - _LOCATOR_SIZE - _END_64_SIZE)
    file.seek(begins)
    tail = file.read()
    end = tail[-_END_SIZE:]
    # Where it ends in a comment, what a reader takes for the end is for whoever wrote the comment to choose.
    if not end.startswith(_END) or end[-2:] != b"\0\0":
        raise WrongManifest("the ZIP file is cut short, or has a comment at its end: make it anew without one")
    (directory,) = struct.unpack_from("<L", end, 12)
    before = tail[:-_END_SIZE]
    if before[-_LOCATOR_SIZE:].startswith(_END_64_LOCATOR):
        end_64 = before[-_LOCATOR_SIZE - _END_64_SIZE : -_LOCATOR_SIZE]
        if not end_64.startswith(_END_64):
            raise WrongManifest("the ZIP file is damaged at its end")
        (directory,) = struct.unpack_from("<Q", end_64, 40)
    if directory > _MAX_DIRECTORY:
        raise _too_many()


def _too_many() -> WrongManifest:
    return WrongManifest(f"it has more than {MAX_FILES:,} files: give them in parts")


def _why_not_in_zip(info: zipfile.ZipInfo) -> str | None:
    if (info.external_attr >> 16) & _KIND == _LINK:
        return "it is a link: give the file itself"
    if info.flag_bits & _ENCRYPTED:
        return "it is encrypted: give it without a password"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "it is compressed in a way that is not read: only deflate is"
    return None


def _content_of(archive: zipfile.ZipFile, info: zipfile.ZipInfo, budget: _Budget) -> Callable[[], bytes]:
    def content() -> bytes:
        try:
            with archive.open(info) as opened:
                data = opened.read(MAX_FILE + 1)
        except _UNZIPPED as error:
            raise WrongFile(f"it is damaged: {type(error).__name__}") from None
        budget.take(len(data))
        if len(data) > MAX_FILE:
            raise TooLarge
        return data

    return content


# --- tar


def gunzipped(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Return what gzip (RFC 1952) made smaller, in one member or several. Raises WrongManifest."""
    budget = _Budget()
    try:
        with gzip.open(cast("IO[bytes]", _Stream(pieces))) as opened:
            while data := opened.read(_PIECE):
                budget.take(len(data))
                yield data
    except EOFError:
        raise WrongManifest("the gzip file is cut short") from None
    except (gzip.BadGzipFile, zlib.error):
        raise WrongManifest("the gzip file is damaged") from None


def files_of_tar(pieces: Iterable[bytes]) -> Iterator[File | RefusedMember]:
    """Return the files in a tar file, each of which is to be read before the next. Raises WrongManifest."""
    stream, budget = _Stream(pieces), _Budget()
    long_name: str | None = None
    count = 0
    while header := _header(stream):
        size, kind = _number(header[124:136]), header[156:157]
        if kind in b"LxgK" and kind:
            if size > MAX_FILE // 64:
                raise WrongManifest("the tar file has a header that is larger than any")
            said = _filled(stream, size)
            if kind == b"L":
                long_name = _name(said.rstrip(b"\0"))
            elif kind == b"x":
                long_name = _pax_path(said) or long_name
            continue
        name, long_name = long_name or _usual_name(header), None
        count += 1
        if count > MAX_FILES:
            raise _too_many()
        yield from _file_of_tar(name, kind, size, stream, budget)
    stream.drain()


def _file_of_tar(
    name: str, kind: bytes, size: int, stream: "_Stream", budget: _Budget
) -> Iterator[File | RefusedMember]:
    regular = kind in (b"0", b"\0", b"")
    if not regular and kind != b"5":
        yield RefusedMember(name, "it is a link or a device: give the file itself")
    elif regular and (why := why_not_named(name)) is not None:
        yield RefusedMember(name, why)
    elif regular and size > MAX_FILE:
        yield File(name, _is_too_large)
    elif regular:
        budget.take(size)
        data = _filled(stream, size)
        yield File(name, lambda: data)
        return
    budget.take(size)
    stream.skip(size + -size % _BLOCK)


def _is_too_large() -> bytes:
    raise TooLarge


def _header(stream: "_Stream") -> bytes | None:
    header = stream.read(_BLOCK)
    if not header or header == bytes(_BLOCK):
        return None
    if len(header) < _BLOCK or _number(header[148:156]) != sum(header[:148]) + 8 * 0x20 + sum(header[156:]):
        raise WrongManifest("the tar file is damaged, or cut short")
    return header


def _number(field: bytes) -> int:
    """Return a number of a tar header: octal. Raises WrongManifest for one beyond 8 GB as well."""
    digits = field.strip(b" \0")
    if not re.fullmatch(rb"[0-7]{0,12}", digits):
        raise WrongManifest("the tar file is damaged: a header has no number where one should be")
    return int(digits or b"0", 8)


def _usual_name(header: bytes) -> str:
    name, prefix = header[:100].partition(b"\0")[0], header[345:500].partition(b"\0")[0]
    ustar = header[257:263] == b"ustar\0"
    return _name(prefix + b"/" + name if ustar and prefix else name)


def _name(octets: bytes) -> str:
    if len(octets) > _MAX_NAME:
        raise WrongManifest("the tar file has a name that is longer than any")
    return octets.decode("utf-8", "replace")


def _pax_path(records: bytes) -> str | None:
    """Return the path that extended headers give, which are ``LENGTH path=VALUE`` and a line feed; the last counts."""
    found, at = None, 0
    while at < len(records):
        length, _, _ = records[at : at + 8].partition(b" ")
        if not length.isdigit() or int(length) < 5 or at + int(length) > len(records):
            raise WrongManifest("the tar file is damaged: an extended header has no length")
        record = records[at + len(length) + 1 : at + int(length) - 1]
        at += int(length)
        if record.startswith(b"size="):
            raise WrongManifest("the tar file has a file of more than 8 GB, or says so")
        if record.startswith(b"path="):
            found = _name(record[5:])
    return found


def _filled(stream: "_Stream", size: int) -> bytes:
    data = stream.read(size)
    filling = -size % _BLOCK
    if len(data) < size or len(stream.read(filling)) < filling:
        raise WrongManifest("the tar file is cut short")
    return data


class _Stream:
    """Bytes that come in pieces of any size, by the number that is asked for."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._held = bytearray()

    def read(self, size: int) -> bytes:
        """Return so many bytes, or as many as there are."""
        while len(self._held) < size:
            piece = next(self._pieces, None)
            if piece is None:
                break
            self._held += piece
        data = bytes(self._held[:size])
        del self._held[:size]
        return data

    def skip(self, size: int) -> None:
        """Leave out so many bytes. Raises WrongManifest where there are fewer."""
        while size:
            skipped = len(self.read(min(size, _PIECE)))
            if not skipped:
                raise WrongManifest("the tar file is cut short")
            size -= skipped

    def drain(self) -> None:
        """Read to the end, so that all of a file is known to whoever names it by its digest."""
        self._held.clear()
        for _ in self._pieces:
            pass
