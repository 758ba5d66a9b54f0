"""Devices in the tables that vendors ship with their modules: CSV, or a sheet, with a certificate in a cell.

Espressif's pre-provisioned modules: ``MAC,cn,cert``. Nordic's nRF Cloud: no header, and device id, sub-type, tags,
firmware types and certificate.
"""

import re
from collections.abc import Iterator
from typing import TypeAlias

from jitr.devicelists.columns import is_column, shown, under
from jitr.devicelists.csv.duplicates import SeenKeys
from jitr.devicelists.csv.records import BadCsvRecord, CsvRecord
from jitr.devicelists.manifests.certificates import HAS_A_KEY, PRIVATE_KEY, from_base64, names_of
from jitr.devicelists.manifests.reading import (
    Bad,
    Entry,
    ManifestDevice,
    ManifestReader,
    Options,
    WrongManifest,
    file_name,
)
from jitr.devicelists.manifests.recognition import ESPRESSIF_HEADER, NRF_CLOUD_CELLS, column_of_certificates
from jitr.errors import InputError, Unreadable
from jitr.text import counted
from jitr.x509.certificate import CertificateReading, read_certificate

Records: TypeAlias = Iterator[CsvRecord | BadCsvRecord]

_HEADINGS_SHOWN = 5
_MAC = re.compile(r"[0-9A-Fa-f]{12}")


class WrongDevice(InputError):
    """A row does not say of a device what it should."""


class DeviceTable(ManifestReader):
    """The devices of a vendor's table. ``records`` are its rows, and ``unit`` is what they are called."""

    def __init__(
        self, records: Records, *, source: str, duplicates: SeenKeys | None, options: Options, unit: str = "line"
    ) -> None:
        super().__init__(source, duplicates=duplicates, options=options)
        self.unit = unit
        self._records = records
        self._name = file_name(source)

    def entries(self) -> Iterator[Entry]:
        """Return the rows, those that cannot be read as bad ones."""
        self.check_header(self._records)
        for record in self._records:
            place = f"{self.unit} {record.line}"
            if isinstance(record, BadCsvRecord):
                yield Bad(record.line, place, record.message)
                continue
            try:
                columns, reading = self.device(record.cells)
            except (WrongDevice, Unreadable) as wrong:
                yield Bad(record.line, place, str(wrong))
                continue
            columns = {"note": f"{self._name}, {place}"} | columns
            columns["public_key_sha256"] = reading.facts.public_key_sha256
            yield ManifestDevice(
                record.line, place, {name: value for name, value in columns.items() if value}, names_of(reading)
            )

    def check_header(self, records: Records) -> None:
        """Take the header, where there is one. Raises WrongManifest."""

    def device(self, cells: list[str]) -> tuple[dict[str, str], CertificateReading]:
        """Return what a row says of a device, and its certificate. Raises WrongDevice and Unreadable."""
        raise NotImplementedError


class Espressif(DeviceTable):
    """Espressif's pre-provisioned modules."""

    def check_header(self, records: Records) -> None:
        """Take the header. Raises WrongManifest."""
        first = next(records, None)
        names = tuple(each.strip().lower() for each in first.cells) if isinstance(first, CsvRecord) else ()
        if names != ESPRESSIF_HEADER:
            raise WrongManifest("line 1: the first line of such a file is MAC,cn,cert")

    def device(self, cells: list[str]) -> tuple[dict[str, str], CertificateReading]:
        """Return what a row says of a device, and its certificate. Raises WrongDevice and Unreadable."""
        mac, common_name, certificate = _cells(cells, len(ESPRESSIF_HEADER))
        if _MAC.fullmatch(mac) is None:
            raise WrongDevice(f"the MAC {shown(mac)} is not 12 hex digits")
        return {"attr.mac": mac}, _certificate(certificate, common_name, "cn")


class NrfCloud(DeviceTable):
    """Nordic's nRF Cloud, as devices are onboarded there."""

    def device(self, cells: list[str]) -> tuple[dict[str, str], CertificateReading]:
        """Return what a row says of a device, and its certificate. Raises WrongDevice and Unreadable."""
        device_id, sub_type, tags, _firmware, certificate = _cells(cells, NRF_CLOUD_CELLS)
        reading = _certificate(certificate, device_id, "device id")
        return {"attr.device_id": device_id, "attr.sub_type": sub_type, "attr.tags": tags}, reading


class CertificateColumn(DeviceTable):
    """CSV that has each device's certificate in a cell, and may have columns of a list beside it.

    The certificate is in PEM, or the base64 of PEM or DER.

    ``headings`` of the options give columns for what the file calls them. A common name beside a certificate must be
    the certificate's own.
    """

    def __init__(
        self, records: Records, *, source: str, duplicates: SeenKeys | None, options: Options, unit: str = "line"
    ) -> None:
        super().__init__(records, source=source, duplicates=duplicates, options=options, unit=unit)
        self._headings: list[str] = []
        self._columns: list[str | None] = []  # None where a heading is not read
        self._certificates: int | None = None  # the number of the column that has them, from 0

    def remarks(self) -> tuple[str, ...]:
        """Say which columns were left out."""
        numbered = enumerate(zip(self._headings, self._columns, strict=True))
        left_out = [heading for at, (heading, column) in numbered if column is None and at != self._certificates]
        more = ", …" if len(left_out) > _HEADINGS_SHOWN else ""
        named = ", ".join(map(shown, left_out[:_HEADINGS_SHOWN]))
        return (f"columns that are left out: {named}{more}",) if left_out else ()

    def check_header(self, records: Records) -> None:
        """Take the header. Raises WrongManifest."""
        first = next(records, None)
        if not isinstance(first, CsvRecord):
            raise WrongManifest("line 1: there is no header")
        self._headings = [each.strip() for each in first.cells]
        meant = (under(each, self.options.headings) for each in self._headings)
        self._columns = [each if each is not None and _is_beside(each) else None for each in meant]

    def device(self, cells: list[str]) -> tuple[dict[str, str], CertificateReading]:
        """Return what a row says of a device, and its certificate. Raises WrongDevice and Unreadable."""
        if self._certificates is None:
            self._certificates = column_of_certificates(self._headings, cells)
        if self._certificates is None or len(cells) <= self._certificates:
            raise WrongDevice("there is no certificate in its row")
        beside = enumerate(zip(self._columns, cells, strict=False))
        columns = {
            name: cell.strip()
            for at, (name, cell) in beside
            if name is not None and at != self._certificates and cell.strip()
        }
        common_name = columns.pop("common_name", None)
        text = cells[self._certificates]
        if common_name is None:
            return columns, _read(text)
        return columns, _certificate(text, common_name, "common_name")


def _is_beside(column: str) -> bool:
    """Return whether a column may stand beside a certificate: the certificate itself says what the keys are."""
    return is_column(column) and column not in ("serial_number", "ca", "certificate_sha256", "public_key_sha256")


def _cells(cells: list[str], count: int) -> list[str]:
    if len(cells) != count:
        raise WrongDevice(f"it has {counted(len(cells), 'cell')}: there are {count} in such a file")
    return [each.strip() for each in cells]


def _certificate(text: str, common_name: str, what: str) -> CertificateReading:
    """Return a row's certificate, which must be that of the device which the row names."""
    reading = _read(text)
    if reading.facts.values("common_name") != (common_name,):
        found = ", ".join(map(shown, reading.facts.values("common_name"))) or "none"
        raise WrongDevice(f"its {what} is {shown(common_name)}, and the common name of its certificate is {found}")
    return reading


def _read(text: str) -> CertificateReading:
    """Return the certificate in a cell. Raises WrongDevice and Unreadable."""
    data = text.encode(errors="surrogatepass")
    if data.strip() and b"-----" not in data:
        decoded = from_base64(b"".join(data.split()))
        if decoded is None:
            raise WrongDevice("its certificate is neither in PEM nor the base64 of a certificate")
        data = decoded
    if PRIVATE_KEY in data:
        raise WrongDevice(HAS_A_KEY)
    return read_certificate(data)
