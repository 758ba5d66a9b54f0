"""Opening a file of devices, whatever it is."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import chain
from typing import IO, TYPE_CHECKING

from jitr.devicelists.csv.duplicates import SeenKeys
from jitr.devicelists.csv.encodings import as_utf8
from jitr.devicelists.csv.reader import Reader, serials_in
from jitr.devicelists.csv.serials import KnownSerials, SerialNotation
from jitr.devicelists.manifests.reading import USUAL_SET, ListReader, Options, ParallelMap, one_by_one
from jitr.devicelists.manifests.recognition import CALLED, HEAD, SIGNED, SPREADSHEET, recognised, recognised_table
from jitr.errors import InputError

if TYPE_CHECKING:
    from jitr.devicelists.csv.sheets import Rows
    from jitr.devicelists.manifests.archives import FilesOfArchive

_IN_CSV = ("csv", "espressif", "nrfcloud", "column")
_ARCHIVES = ("zip", "7z", "tar", "tar.gz")
_UNSIGNED = "--signer is for signed manifests, and by its content this is none: nothing in it would be verified"
_NOT_FOR_CSV = (
    "it is CSV with columns of its own, one of which may be thing_name; --thing-name, --by, --skip-bad and --set are "
    "for manifests and certificates"
)


class Opener:
    """Opens files of devices, whatever they are.

    ``scratch`` makes an empty file to be written and read, which is gone once it is closed: ZIP is read from its end.
    ``sheets`` gives the rows of a spreadsheet in such a file; without it, spreadsheets are told to be none of ours.
    ``spread`` verifies the elements of signed manifests. ``seven_zip`` gives the files of a 7z archive, which are else
    told to be none of ours.
    """

    def __init__(
        self,
        options: Options,
        scratch: Callable[[], IO[bytes]],
        sheets: "Callable[[IO[bytes]], Rows] | None" = None,
        spread: ParallelMap = one_by_one,
        seven_zip: "FilesOfArchive | None" = None,
    ) -> None:
        self._options = options
        self._scratch = scratch
        self._sheets = sheets
        self._spread = spread
        self._seven_zip = seven_zip

    @property
    def read_as(self) -> str:
        """The settings that, beside its bytes, decide which rows a file has."""
        return self._options.read_as

    def of_folder(self, source: str) -> "Opener":
        """Return what opens a folder, which is given as a tar file of it: nobody is told that it is one.

        Raises InputError where it was said to be what no folder is.
        """
        options = self._options
        if options.kind not in (None, "certificates", "infineon"):
            raise InputError(f"{source}: this is a folder, and --from {options.kind} reads a file: name the file in it")
        if options.kind is None:
            options = replace(options, kind="certificates")
        return Opener(options, self._scratch, self._sheets, self._spread, self._seven_zip)

    @property
    def may_name_files(self) -> bool:
        """Whether CSV may name the files of certificates, where it was not said to be something else."""
        said = self._options.kind or ("csv" if self._options.headings else "certificates")
        return said == "certificates" and self._options.encoding is None

    def serials(
        self, pieces: Callable[[], Iterable[bytes]], known: Callable[[], KnownSerials] = KnownSerials
    ) -> SerialNotation:
        """Return how serial numbers in a CSV file are to be read, of which ``pieces`` gives the bytes."""
        encoding = self._options.encoding
        text = pieces if encoding is None else lambda: as_utf8(pieces(), encoding, "the file")
        return serials_in(text, known, self._options.headings)

    def __call__(
        self, pieces: Iterable[bytes], source: str, duplicates: SeenKeys | None, serials: Callable[[], SerialNotation]
    ) -> ListReader:
        """Return what reads a file, of which ``pieces`` are the bytes."""
        pieces = iter(pieces)
        head = _head(pieces)
        pieces = chain([head], pieces)
        found = recognised(head)
        if self._options.encoding is not None:
            if found not in _IN_CSV or head.startswith(SPREADSHEET):
                raise InputError(f"{source}: --encoding is for CSV, and this is none")
            pieces = as_utf8(pieces, self._options.encoding, source)
            head = _head(pieces)
            pieces = chain([head], pieces)
            found = recognised(head)
        if self._sheets is not None and found == "csv" and head.startswith(SPREADSHEET):
            return self._sheet(pieces, source, duplicates, self._sheets)
        kind = self._options.kind
        is_table = kind == "csv" or (kind is None and found == "csv")
        if self._options.sheet is not None:
            raise InputError(f"{source}: --sheet is for spreadsheets, and this is none")
        if is_table:
            self._require_csv(source)
            headings = self._options.headings
            return Reader(pieces, source=source, duplicates=duplicates, serials=serials, headings=headings)
        self._refuse_idle(found, source)
        # Not sooner: most files are CSV, and a cold start would read all of this for nothing.
        from jitr.devicelists.manifests.readers import reader_of

        reader = reader_of(
            found,
            pieces,
            source=source,
            duplicates=duplicates,
            options=self._options,
            scratch=self._scratch,
            spread=self._spread,
            seven_zip=self._seven_zip,
        )
        reader.read_as = (
            f"read as {CALLED[found]}, which its content shows" if kind is None and found in CALLED else None
        )
        return reader

    def _refuse_idle(self, found: str, source: str) -> None:
        """Raise InputError for an option that nothing would come of in such a file."""
        if self._options.signed and found != SIGNED:
            raise InputError(f"{source}: {_UNSIGNED}")
        if self._options.by_common_name and found != SIGNED:
            raise InputError(f"{source}: --by is for lite manifests of Microchip's, and this is none")
        if self._options.key_set != USUAL_SET and found not in _ARCHIVES:
            raise InputError(f"{source}: --set is for folders and archives of Infineon's, and this is none")
        if self._options.headings and found != "column":
            raise InputError(f"{source}: --column is for CSV; a manifest's and a certificate's columns are known")

    def _sheet(
        self, pieces: Iterator[bytes], source: str, duplicates: SeenKeys | None, sheets: "Callable[[IO[bytes]], Rows]"
    ) -> ListReader:
        """Return what reads a spreadsheet, of which all is read first: as the same cells in CSV are read."""
        from jitr.devicelists.csv.sheets import SheetReader, records_of
        from jitr.devicelists.manifests.readers import TABLES, fits

        copy, options = self._scratch(), self._options
        for piece in pieces:
            copy.write(piece)

        def rows() -> "Rows":
            try:
                yield from sheets(copy)
            except InputError as error:
                raise InputError(f"{source}: {error}") from error

        found = "csv" if options.kind == "csv" else recognised_table(records_of(rows(), options.headings))
        if not fits(options.kind, found):
            raise InputError(f"{source}: by its content this spreadsheet is not what --from {options.kind} reads")
        if found == "csv":
            self._require_csv(source)
            return SheetReader(rows, source=source, duplicates=duplicates, headings=options.headings)
        self._refuse_idle(found, source)
        records = records_of(rows(), options.headings)
        reader = TABLES[found](records, source=source, duplicates=duplicates, options=options, unit="row")
        reader.read_as = f"read as {CALLED[found].replace('CSV', 'a spreadsheet')}, which its content shows"
        return reader

    def _require_csv(self, source: str) -> None:
        """Raise InputError for an option that is not for CSV and spreadsheets with columns of their own."""
        if self._options.signed:
            raise InputError(f"{source}: {_UNSIGNED}")
        if self._options.for_manifests:
            raise InputError(f"{source}: {_NOT_FOR_CSV}")


def _head(pieces: Iterator[bytes]) -> bytes:
    head = bytearray()
    for piece in pieces:
        head += piece
        if len(head) >= HEAD:
            break
    return bytes(head)
