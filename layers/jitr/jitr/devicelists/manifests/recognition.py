"""What a file of devices is, by its content. Nothing here knows how to read it: a cold start needs no more."""

import codecs
import re
import zlib
from collections.abc import Iterator, Sequence
from itertools import zip_longest

from jitr.devicelists.columns import is_column
from jitr.devicelists.csv.records import BadCsvRecord, CsvRecord, read_records

SIGNED = "microchip"  # the one kind whose elements are signed
KINDS = (SIGNED, "espressif", "nrfcloud", "infineon", "certificates", "csv")

SUFFIXES = (".pem", ".crt", ".cer", ".cert", ".der")  # of files that are certificates
HEAD = 16 * 1024  # bytes that show what a file is
SPREADSHEET = b"PK\x03\x04"
# What a file can be beside CSV, as it is told.
CALLED = {
    "microchip": "a manifest of Microchip's",
    "espressif": "Espressif's list of pre-provisioned modules",
    "nrfcloud": "a list of devices for nRF Cloud",
    "zip": "a ZIP file of certificates",
    "7z": "a 7z archive of certificates",
    "tar": "a tar file of certificates",
    "tar.gz": "a compressed tar file of certificates",
    "pem": "certificates in PEM",
    "der": "one certificate",
    "base64": "certificates in base64, one a line",
    "column": "CSV with a certificate in a cell of each row",
}
ESPRESSIF_HEADER = ("mac", "cn", "cert")
NRF_CLOUD_CELLS = 5

_BOMS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_PEM_LINE = re.compile(rb"^-----BEGIN [A-Z0-9. ]+-----\s*$", re.MULTILINE)
_OFFICE = (b"[Content_Types].xml", b"_rels/", b"docProps/", b"xl/", b"mimetype")
_BEGIN = "-----BEGIN CERTIFICATE-----"
_BASE64_LINE = re.compile(rb"(?:MI|LS0tLS1CRUdJTi)[A-Za-z0-9+/]{120,}={0,2}")  # of DER, or of "-----BEGIN "
# The base64 of "-----BEGIN CERTIFICATE-----", or of DER whose first two elements are SEQUENCEs of more than 127 octets,
# which those of a bare key are not.
_BASE64_CELL = re.compile(
    r"(?:LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t|MII[A-Za-z0-9+/]{2}[DTjz]C[BC])[A-Za-z0-9+/]{112,}={0,2}"
)


def recognised(head: bytes) -> str:
    """Return what a file is by what it begins with: a key of ``CALLED``, or ``csv`` for everything else."""
    binary = _recognised_binary(head)
    if binary is not None:
        return binary
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if text[:1] in (b"[", b"{"):
        return "microchip"
    if _PEM_LINE.search(head) is not None:
        return "pem"
    if begins_with_base64(head):
        return "base64"
    return recognised_table(read_records([head]))


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


def recognised_table(records: "Iterator[CsvRecord | BadCsvRecord]") -> str:
    """Return what a table is by its first two rows: a key of ``CALLED``, or ``csv``."""
    first = next(records, None)
    if not isinstance(first, CsvRecord):
        return "csv"
    if tuple(each.strip().lower() for each in first.cells) == ESPRESSIF_HEADER:
        return "espressif"
    if len(first.cells) == NRF_CLOUD_CELLS and first.cells[-1].lstrip().startswith("-----BEGIN CERTIFICATE-----"):
        return "nrfcloud"
    second = next(records, None)
    if isinstance(second, CsvRecord) and column_of_certificates(first.cells, second.cells) is not None:
        return "column"
    return "csv"


def begins_with_base64(head: bytes) -> bool:
    """Return whether the first line may be the base64 of a whole certificate, in DER or in PEM."""
    return _BASE64_LINE.fullmatch(head.lstrip().partition(b"\n")[0].strip()) is not None


def column_of_certificates(header: Sequence[str], cells: Sequence[str]) -> int | None:
    """Return the number of the one cell, from 0, that is a certificate; None where there is not exactly one.

    It is in PEM, or the base64 of PEM or DER under a heading that is no column of a list: an ``attr.`` may be any text.
    """
    found = [
        number
        for number, (cell, heading) in enumerate(zip_longest(cells, header[: len(cells)], fillvalue=""))
        if cell.lstrip().startswith(_BEGIN) or (_is_base64(cell) and not is_column(heading.strip()))
    ]
    return found[0] if len(found) == 1 else None


def _is_base64(cell: str) -> bool:
    return _BASE64_CELL.fullmatch("".join(cell.split())) is not None


def column_of_file_names(head: bytes) -> int | None:
    """Return the number of a CSV file's column, from 0, that names files of certificates; None where none does.

    That is the one cell of the first row that is such a name, under a heading that is no column of a list.
    """
    records = read_records([head])
    header, first = next(records, None), next(records, None)
    if not isinstance(header, CsvRecord) or not isinstance(first, CsvRecord):
        return None
    found = [
        number
        for number, (heading, cell) in enumerate(zip(header.cells, first.cells, strict=False))
        if cell.strip().lower().endswith(SUFFIXES) and not is_column(heading.strip())
    ]
    return found[0] if len(found) == 1 else None
