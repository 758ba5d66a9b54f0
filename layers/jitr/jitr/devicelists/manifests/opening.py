"""What a file of devices is, by its content, and the reader for it."""

import codecs
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import IO

from jitr.devicelists.csv.duplicates import Seen
from jitr.devicelists.csv.reader import Reader
from jitr.devicelists.csv.records import Record, read_records
from jitr.devicelists.csv.serials import Serials
from jitr.devicelists.csv.sheets import Rows, SheetReader
from jitr.devicelists.manifests import certificates, tables
from jitr.devicelists.manifests.archives import gunzipped
from jitr.devicelists.manifests.certificates import Certificates, Text, Texts
from jitr.devicelists.manifests.microchip import Manifest
from jitr.devicelists.manifests.reading import Entry, ListReader, ManifestReader, Options, WrongManifest
from jitr.errors import InputError
from jitr.x509.pem import MAX_INPUT

KINDS = ("microchip", "espressif", "nrfcloud", "infineon", "certificates", "csv")

_HEAD = 16 * 1024  # bytes that show what a file is
_BOMS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_PEM_LINE = re.compile(rb"^-----BEGIN [A-Z0-9. ]+-----\s*$", re.MULTILINE)
_OFFICE = (b"[Content_Types].xml", b"_rels/", b"docProps/", b"xl/", b"mimetype")
_SPREADSHEET = b"PK\x03\x04"
_CALLED = {
    "microchip": "a manifest of Microchip's",
    "espressif": "Espressif's list of pre-provisioned modules",
    "nrfcloud": "a list of devices for nRF Cloud",
    "zip": "a ZIP file of certificates",
    "tar": "a tar file of certificates",
    "tar.gz": "a compressed tar file of certificates",
    "pem": "certificates in PEM",
    "der": "one certificate",
    "base64": "certificates in base64, one a line",
    "column": "CSV with a certificate in a cell of each row",
}
_TABLES: Mapping[str, type[tables.DeviceTable]] = {
    "espressif": tables.Espressif,
    "nrfcloud": tables.NrfCloud,
    "column": tables.CertificateColumn,
}
_EXPECTED = {
    "microchip": "a manifest of Microchip's, a JSON array of signed elements",
    "espressif": "a table of Espressif's, whose first line is MAC,cn,cert",
    "nrfcloud": "a table for nRF Cloud, with a certificate in the fifth cell",
    "infineon": "a folder or an archive of Infineon's certificates",
    "certificates": "certificates, or an archive of them",
}
_OPTION = {"zip": "certificates", "tar": "certificates", "tar.gz": "certificates", "pem": "certificates"} | {
    "der": "certificates", "base64": "certificates", "column": "certificates"
}  # fmt: skip


def recognised(head: bytes) -> str:
    """Return what a file is by what it begins with: a key of ``_CALLED``, ``7z``, or ``csv`` for everything else."""
    binary = _recognised_binary(head)
    if binary is not None:
        return binary
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if text[:1] in (b"[", b"{"):
        return "microchip"
    if _PEM_LINE.search(head) is not None:
        return "pem"
    if certificates.begins_with_base64(head):
        return "base64"
    return _recognised_table(head)


def _recognised_binary(head: bytes) -> str | None:
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "csv" if head[30:].startswith(_OFFICE) else "zip"
    if head.startswith(b"7z\xbc\xaf\x27\x1c"):
        return "7z"
    if head.startswith(b"\x1f\x8b"):
        return "tar.gz" if _is_tar(_inflated(head)) else "csv"
    if _is_tar(head):
        return "tar"
    if head.startswith(b"\x30\x82"):
        return "der"
    if head.startswith(_BOMS[1:]):
        return "der" if "-----BEGIN " in head[:512].decode("utf-16", "replace") else "csv"
    return None


def _is_tar(head: bytes) -> bool:
    return head[257:262] == b"ustar"


def _inflated(head: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(head, 512)
    except zlib.error:
        return b""


def _recognised_table(head: bytes) -> str:
    records = read_records([head])
    first = next(records, None)
    if not isinstance(first, Record):
        return "csv"
    if tuple(each.strip().lower() for each in first.cells) == tables.ESPRESSIF_HEADER:
        return "espressif"
    if len(first.cells) == tables.NRF_CLOUD_CELLS and first.cells[-1].lstrip().startswith(
        "-----BEGIN CERTIFICATE-----"
    ):
        return "nrfcloud"
    second = next(records, None)
    if isinstance(second, Record) and tables.column_of_certificates(second.cells) is not None:
        return "column"
    return "csv"


class Opener:
    """Opens files of devices, whatever they are.

    ``scratch`` makes an empty file to be written and read, which is gone once it is closed: ZIP is read from its end.
    ``sheets`` gives the rows of a spreadsheet in such a file; without it, spreadsheets are told to be none of ours.
    """

    def __init__(
        self,
        options: Options,
        scratch: Callable[[], IO[bytes]],
        sheets: Callable[[IO[bytes]], Rows] | None = None,
    ) -> None:
        self._options = options
        self._scratch = scratch
        self._sheets = sheets

    @property
    def read_as(self) -> str:
        """What beside its bytes decides which rows a file has."""
        return self._options.read_as

    @property
    def headings(self) -> Mapping[str, str]:
        """What a CSV file calls columns."""
        return self._options.headings

    def __call__(
        self, pieces: Iterable[bytes], source: str, duplicates: Seen | None, serials: Callable[[], Serials]
    ) -> ListReader:
        """Return what reads a file, of which ``pieces`` are the bytes."""
        pieces = iter(pieces)
        head = _head(pieces)
        pieces = chain([head], pieces)
        found = recognised(head)
        kind = self._options.kind
        if kind == "csv" or (kind is None and found == "csv"):
            if self._options.for_manifests:
                raise InputError(f"{source}: {_NOT_FOR_CSV}")
            headings = self._options.headings
            if self._sheets is not None and head.startswith(_SPREADSHEET):
                return self._sheet(pieces, source, duplicates, self._sheets)
            return Reader(pieces, source=source, duplicates=duplicates, serials=serials, headings=headings)
        if self._options.headings and found != "column":
            raise InputError(f"{source}: --column is for CSV; a manifest's and a certificate's columns are known")
        reader = self._reader(found if _fits(kind, found) else "", pieces, source, duplicates)
        reader.read_as = (
            f"read as {_CALLED[found]}, which its content shows" if kind is None and found in _CALLED else None
        )
        return reader

    def _sheet(
        self, pieces: Iterator[bytes], source: str, duplicates: Seen | None, sheets: Callable[[IO[bytes]], Rows]
    ) -> ListReader:
        """Return what reads a spreadsheet, of which all is read first."""
        copy = self._scratch()
        for piece in pieces:
            copy.write(piece)
        return SheetReader(lambda: sheets(copy), source=source, duplicates=duplicates, headings=self._options.headings)

    def _reader(self, found: str, pieces: Iterator[bytes], source: str, duplicates: Seen | None) -> ManifestReader:
        options = self._options
        if found == "microchip":
            return Manifest(pieces, source=source, duplicates=duplicates, options=options)
        if found in _TABLES:
            return _TABLES[found](pieces, source=source, duplicates=duplicates, options=options)
        texts = self._texts(found, pieces)
        if texts is None:
            why = (
                _SEVEN_ZIP
                if found == "7z"
                else f"by its content this is not {_EXPECTED[options.kind or 'certificates']}"
            )
            return _Unread(why, source=source, duplicates=duplicates, options=options)
        return Certificates(texts, source=source, duplicates=duplicates, options=options)

    def _texts(self, found: str, pieces: Iterator[bytes]) -> Texts | None:
        key_set = self._options.key_set
        match found:
            case "zip":
                return certificates.in_zip(pieces, self._scratch, key_set)
            case "tar":
                return certificates.in_tar(pieces, key_set)
            case "tar.gz":
                return certificates.in_tar(gunzipped(pieces), key_set)
            case "pem":
                return Texts(certificates.in_pem(pieces))
            case "base64":
                return Texts(certificates.in_lines(pieces))
            case "der":
                return Texts(_whole(pieces))
        return None


_NOT_FOR_CSV = (
    "it is CSV with columns of its own, one of which may be thing_name; --thing-name, --by, --skip-bad and --set are "
    "for manifests and certificates"
)
_SEVEN_ZIP = (
    "7z is not read: unpack it, and import the folder or a ZIP file of it. Leave archives whose names end in _keys.7z "
    "as they are: what is in them is secret, and no list needs it"
)


class _Unread(ManifestReader):
    """A file that is of no kind that is read; ``why`` says what to do."""

    def __init__(self, why: str, *, source: str, duplicates: Seen | None, options: Options) -> None:
        super().__init__(source, duplicates=duplicates, options=options)
        self._why = why

    def entries(self) -> Iterator[Entry]:
        raise WrongManifest(self._why)


def _fits(kind: str | None, found: str) -> bool:
    """Whether a file may be of the kind that it is said to be."""
    return (
        kind is None or found == "7z" or _OPTION.get(found, found) == ("certificates" if kind == "infineon" else kind)
    )


def _head(pieces: Iterator[bytes]) -> bytes:
    head = bytearray()
    for piece in pieces:
        head += piece
        if len(head) >= _HEAD:
            break
    return bytes(head)


def _whole(pieces: Iterable[bytes]) -> Iterator[Text]:
    """Return the one certificate that a file is."""
    data = bytearray()
    for piece in pieces:
        if len(data) <= MAX_INPUT:
            data += piece
    yield Text("certificate 1", bytes(data))
