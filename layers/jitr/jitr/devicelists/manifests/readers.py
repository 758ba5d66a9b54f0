"""The reader for each kind of file but CSV."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import IO

from jitr.devicelists.csv.duplicates import SeenKeys
from jitr.devicelists.csv.records import read_records
from jitr.devicelists.manifests import tables
from jitr.devicelists.manifests.archives import FilesOfArchive, files_of_tar, files_of_zip, gunzipped
from jitr.devicelists.manifests.certificates import (
    Certificates,
    CertificateText,
    CertificateTexts,
    InFiles,
    copied,
    in_lines,
    in_pem,
)
from jitr.devicelists.manifests.microchip import Manifest
from jitr.devicelists.manifests.reading import Entry, ManifestReader, Options, ParallelMap, WrongManifest, one_by_one
from jitr.x509.pem import MAX_INPUT

TABLES: Mapping[str, type[tables.DeviceTable]] = {
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
_OPTION = dict.fromkeys(("zip", "7z", "tar", "tar.gz", "pem", "der", "base64", "column"), "certificates")


def reader_of(
    found: str,
    pieces: Iterator[bytes],
    *,
    source: str,
    duplicates: SeenKeys | None,
    options: Options,
    scratch: Callable[[], IO[bytes]],
    spread: ParallelMap = one_by_one,
    seven_zip: FilesOfArchive | None = None,
) -> ManifestReader:
    """Return what reads a file that was recognised; one that is not what it is said to be gives its problem."""
    if not fits(options.kind, found):
        found = ""
    if found == "microchip":
        return Manifest(pieces, source=source, duplicates=duplicates, options=options, spread=spread)
    if found in TABLES:
        return TABLES[found](read_records(pieces), source=source, duplicates=duplicates, options=options)
    texts = _texts(found, pieces, options, scratch, seven_zip)
    if texts is None:
        other = f"by its content this is not {_EXPECTED[options.kind or 'certificates']}"
        why = _SEVEN_ZIP if found == "7z" else other
        return _Unread(why, source=source, duplicates=duplicates, options=options)
    return Certificates(texts, source=source, duplicates=duplicates, options=options)


def _texts(
    found: str,
    pieces: Iterator[bytes],
    options: Options,
    scratch: Callable[[], IO[bytes]],
    seven_zip: FilesOfArchive | None,
) -> CertificateTexts | None:
    match found:
        case "zip":
            return InFiles(copied(pieces, scratch, files_of_zip), options.key_set)
        case "7z" if seven_zip is not None:
            return InFiles(copied(pieces, scratch, seven_zip), options.key_set)
        case "tar":
            return InFiles(files_of_tar(pieces), options.key_set)
        case "tar.gz":
            return InFiles(files_of_tar(gunzipped(pieces)), options.key_set)
        case "pem":
            return CertificateTexts(in_pem(pieces))
        case "base64":
            return CertificateTexts(in_lines(pieces))
        case "der":
            return CertificateTexts(_whole(pieces))
    return None


_SEVEN_ZIP = (
    "7z is not read: unpack it, and import the folder or a ZIP file of it. Leave archives whose names end in _keys.7z "
    "as they are: what is in them is secret, and no list needs it"
)


class _Unread(ManifestReader):
    """A file that is of no kind that is read; ``why`` says what to do."""

    def __init__(self, why: str, *, source: str, duplicates: SeenKeys | None, options: Options) -> None:
        super().__init__(source, duplicates=duplicates, options=options)
        self._why = why

    def entries(self) -> Iterator[Entry]:
        raise WrongManifest(self._why)


def fits(kind: str | None, found: str) -> bool:
    """Return whether a file may be of the kind that it is said to be."""
    return kind is None or _OPTION.get(found, found) == ("certificates" if kind == "infineon" else kind)


def _whole(pieces: Iterable[bytes]) -> Iterator[CertificateText]:
    """Return the one certificate that a file is."""
    data = bytearray()
    for piece in pieces:
        if len(data) <= MAX_INPUT:
            data += piece
    yield CertificateText("certificate 1", bytes(data))
