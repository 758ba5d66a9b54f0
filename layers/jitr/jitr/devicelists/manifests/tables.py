"""Devices in the tables that vendors ship with their modules: CSV with a certificate of several lines in a cell.

Espressif's pre-provisioned modules: ``MAC,cn,cert``. Nordic's nRF Cloud: no header, and device id, sub-type, tags,
firmware types and certificate.
"""

import re
from collections.abc import Iterable, Iterator

from jitr.devicelists.columns import shown
from jitr.devicelists.csv.duplicates import Seen
from jitr.devicelists.csv.records import BadRecord, Record, read_records
from jitr.devicelists.manifests.certificates import names_of
from jitr.devicelists.manifests.reading import Bad, Entry, Found, ManifestReader, Options, WrongManifest, file_name
from jitr.errors import InputError, Unreadable
from jitr.x509.certificate import CertificateReading, read_certificate

ESPRESSIF_HEADER = ("mac", "cn", "cert")
NRF_CLOUD_CELLS = 5
_MAC = re.compile(r"[0-9A-Fa-f]{12}")


class WrongDevice(InputError):
    """A row does not say of a device what it should."""


class DeviceTable(ManifestReader):
    """The devices of a vendor's table. ``pieces`` are the file's bytes in pieces of any size."""

    unit = "line"

    def __init__(self, pieces: Iterable[bytes], *, source: str, duplicates: Seen | None, options: Options) -> None:
        super().__init__(source, duplicates=duplicates, options=options)
        self._records = read_records(pieces)
        self._name = file_name(source)

    def entries(self) -> Iterator[Entry]:
        """Return the rows, those that cannot be read as bad ones."""
        self.check_header(self._records)
        for record in self._records:
            place = f"line {record.line}"
            if isinstance(record, BadRecord):
                yield Bad(record.line, place, record.message)
                continue
            try:
                columns, reading = self.device(record.cells)
            except (WrongDevice, Unreadable) as wrong:
                yield Bad(record.line, place, str(wrong))
                continue
            columns |= {"public_key_sha256": reading.facts.public_key_sha256, "note": f"{self._name}, {place}"}
            yield Found(
                record.line, place, {name: value for name, value in columns.items() if value}, names_of(reading)
            )

    def check_header(self, records: Iterator[Record | BadRecord]) -> None:
        """Take the header, where there is one. Raises WrongManifest."""

    def device(self, cells: list[str]) -> tuple[dict[str, str], CertificateReading]:
        """Return what a row says of a device, and its certificate. Raises WrongDevice and Unreadable."""
        raise NotImplementedError


class Espressif(DeviceTable):
    """Espressif's pre-provisioned modules."""

    def check_header(self, records: Iterator[Record | BadRecord]) -> None:
        """Take the header. Raises WrongManifest."""
        first = next(records, None)
        names = tuple(each.strip().lower() for each in first.cells) if isinstance(first, Record) else ()
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


def _cells(cells: list[str], count: int) -> list[str]:
    if len(cells) != count:
        raise WrongDevice(f"it has {len(cells)} cells: there are {count} in such a file")
    return [each.strip() for each in cells]


def _certificate(text: str, common_name: str, what: str) -> CertificateReading:
    """Return a row's certificate, which must be that of the device which the row names."""
    reading = read_certificate(text.encode(errors="surrogatepass"))
    if reading.facts.values("common_name") != (common_name,):
        found = ", ".join(map(shown, reading.facts.values("common_name"))) or "none"
        raise WrongDevice(f"its {what} is {shown(common_name)}, and the common name of its certificate is {found}")
    return reading
