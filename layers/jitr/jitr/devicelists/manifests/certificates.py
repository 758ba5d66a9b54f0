"""Devices by the certificates that were issued to them: PEM or DER, in one file or in many, in folders and archives.

A device is its certificate's public key. Certificates of CAs, which lie beside them as chains, are no devices, and a
certificate that is there once more, alone and in its chain, is one device.
"""

import binascii
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import field, replace
from typing import IO, Generic, TypeVar

from jitr.devicelists.csv.duplicates import SeenKeys
from jitr.devicelists.manifests.archives import (
    File,
    FilesOfArchive,
    RefusedMember,
    TooLarge,
    WrongFile,
)
from jitr.devicelists.manifests.reading import (
    Bad,
    Entry,
    ManifestDevice,
    ManifestReader,
    Options,
    WrongManifest,
    file_name,
    placed,
)
from jitr.devicelists.manifests.recognition import SUFFIXES, begins_with_base64
from jitr.errors import Unreadable
from jitr.text import counted
from jitr.values import dataclass
from jitr.x509.certificate import CertificateReading, read_certificate
from jitr.x509.pem import MAX_INPUT

_BEGIN, _END, _DASHES = b"-----BEGIN ", b"-----END ", b"-----"
Key = TypeVar("Key")
_LABELS = (b"CERTIFICATE", b"X509 CERTIFICATE", b"X.509 CERTIFICATE")
_SEQUENCE = b"\x30"  # what DER of certificates and keys begins with
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
PRIVATE_KEY = b"PRIVATE KEY-----"
HAS_A_KEY = (
    "it has a private key in it, which no list needs: take it out, and where others could read it make a new key and "
    "have a new certificate issued"
)
# What vendors ship beside certificates and nobody has to open: binding secrets, encrypted.
_KEYS = re.compile(r"keys?\.7z$", re.IGNORECASE)
_LEFT_SHOWN = 3
_REMEMBERED = 65_536  # certificates of which it is known where they were, at least: memory stays flat
# REEL_E0E0_Certs/CHIPID_E0E0.pem
_CHIP = re.compile(
    r"(?:(?:^|/)(?P<reel>[^/]+)_E0E[0-9]_Certs/)?(?:^|(?<=/))(?P<id>[0-9A-Fa-f]{8,})_(?P<key_set>E0E[0-9])\.(?:pem|crt|cer)$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class CertificateText:
    """One certificate as it stands somewhere, PEM or DER; or ``why`` it is none.

    ``columns`` are what its place says of it.
    """

    place: str
    data: bytes = b""
    why: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)


class Certificates(ManifestReader):
    """The devices of certificates. ``texts`` are those, in the order of the file, and say what is left out."""

    unit = "certificate"

    def __init__(
        self, texts: "CertificateTexts", *, source: str, duplicates: SeenKeys | None, options: Options
    ) -> None:
        super().__init__(source, duplicates=duplicates, options=options)
        self._texts = texts
        self._name = file_name(source)
        self._cas = 0
        self._again = 0
        self._places: _Latest[int] = _Latest(_REMEMBERED)
        self._whole: _Latest[tuple[object, ...]] = _Latest(_REMEMBERED)

    def remarks(self) -> tuple[str, ...]:
        """Say what was left out because it is no device's."""
        cas = counted(self._cas, "certificate of a CA is", "certificates of CAs are")
        again = counted(self._again, "certificate is", "certificates are")
        return (
            *((f"{cas} left out: a device's is none",) if self._cas else ()),
            *((f"{again} there once more, as in a chain: each is one row",) if self._again else ()),
            *self._texts.said,
        )

    def place_of(self, number: int) -> str:
        """Return which certificate has a number, and where it is if that is still known."""
        place = self._places.get(number)
        return super().place_of(number) + (f" ({place})" if place else "")

    def entries(self) -> Iterator[Entry]:
        """Return the certificates, those that cannot be read as bad ones."""
        number, devices, bad = 0, 0, 0
        for text in self._texts:
            number += 1
            if text.why is not None:
                bad += 1
                yield Bad(number, text.place, text.why)
                continue
            try:
                reading = read_certificate(text.data)
            except Unreadable as error:
                bad += 1
                yield Bad(number, text.place, str(error))
                continue
            if is_of_a_ca(reading):
                self._cas += 1
                continue
            whole = (reading.facts.certificate_sha256, *sorted(text.columns.items()))
            if self._whole.get(whole) is not None:
                self._again += 1
                continue
            self._whole.put(whole, text.place)
            self._places.put(number, text.place)
            columns = {
                **text.columns,
                "public_key_sha256": reading.facts.public_key_sha256,
                "note": f"{self._name}, {text.place}",
            }
            devices += 1
            yield ManifestDevice(number, text.place, columns, names_of(reading))
        if not devices and (not bad or self.options.skip_bad):
            raise WrongManifest("there is no device's certificate in it")


class _Latest(Generic[Key]):
    """Places by key, of at least the ``most`` latest keys and of at most twice as many."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._later: dict[Key, str] = {}
        self._earlier: dict[Key, str] = {}

    def get(self, key: Key) -> str | None:
        return self._later.get(key) or self._earlier.get(key)

    def put(self, key: Key, place: str) -> None:
        if len(self._later) >= self._most:
            self._earlier, self._later = self._later, {}
        self._later[key] = place


def is_of_a_ca(reading: CertificateReading) -> bool:
    """Return whether a certificate is a CA's: it says so, or it is an old one that was signed by itself."""
    return reading.facts.is_ca or reading.facts.subject == reading.facts.issuer != ()


def names_of(reading: CertificateReading) -> dict[str, str]:
    """Return what a thing can be named after: serial number, and common name where there is exactly one."""
    names = reading.facts.values("common_name")
    return {"serial_number": reading.facts.serial_number} | ({"common_name": names[0]} if len(names) == 1 else {})


class CertificateTexts:
    """The certificates of a file as they stand there. ``said`` tells what was left out."""

    def __init__(self, texts: Iterable[CertificateText]) -> None:
        self._texts = texts

    def __iter__(self) -> Iterator[CertificateText]:
        return iter(self._texts)

    @property
    def said(self) -> tuple[str, ...]:
        """Notes on what was left out, a sentence each."""
        return ()


# --- one file


def in_pem(pieces: Iterable[bytes]) -> Iterator[CertificateText]:
    """Return the certificates of a PEM file of any size (RFC 7468), each in flat memory."""
    held = bytearray()
    line, at = 1, 0  # the line of what is held; where to look on from
    for piece in pieces:
        held += piece
        while True:
            begin = held.find(_BEGIN, at)
            if begin < 0:
                at = max(0, len(held) - len(_BEGIN) + 1)
                line += held.count(b"\n", 0, at)
                del held[:at]
                at = 0
                break
            end = _end_of_block(held, begin)
            if end < 0:
                if len(held) - begin > MAX_INPUT:
                    line += held.count(b"\n", 0, begin)
                    raise WrongManifest(f"line {line}: the PEM block that begins here has no end")
                at = begin
                break
            line += held.count(b"\n", 0, begin)
            text = _of_block(bytes(held[begin:end]), f"line {line}")
            if text is not None:
                yield text
            line += held.count(b"\n", begin, end)
            del held[:end]
            at = 0
    if _BEGIN in held:
        raise WrongManifest(f"line {line}: the PEM block that begins here has no end: the file is cut short")


def _end_of_block(held: bytearray, begin: int) -> int:
    """Return where a PEM block ends, -1 where its end is not there yet."""
    end = held.find(_END, begin)
    if end < 0:
        return -1
    dashes = held.find(_DASHES, end + len(_END))
    return -1 if dashes < 0 else dashes + len(_DASHES)


def _of_block(block: bytes, place: str) -> CertificateText | None:
    label = block[len(_BEGIN) :].partition(_DASHES)[0]
    if label.endswith(b"PRIVATE KEY"):
        return CertificateText(place, why=HAS_A_KEY)
    return CertificateText(place, block) if label in _LABELS else None


def in_lines(pieces: Iterable[bytes]) -> Iterator[CertificateText]:
    """Return the certificates of a file that has the base64 of one in each line, of its DER or of its PEM."""
    for number, line in enumerate(_lines(pieces), 1):
        if line:
            yield _of_line(line, f"line {number}")


def _of_line(line: bytes, place: str) -> CertificateText:
    data = from_base64(line)
    if data is None:
        return CertificateText(place, why="the line is not the base64 of a certificate")
    return CertificateText(place, why=HAS_A_KEY) if PRIVATE_KEY in data else CertificateText(place, data)


def from_base64(text: bytes) -> bytes | None:
    """Return the DER or PEM that a text is the base64 of; None where it is of neither."""
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        return None
    return data if data.startswith(_SEQUENCE) or _BEGIN in data else None


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    held = b""
    for piece in pieces:
        *lines, held = (held + piece).split(b"\n")
        yield from (each.strip() for each in lines)
        if len(held) > MAX_INPUT:
            raise WrongManifest(f"a line has more than {MAX_INPUT} bytes: no certificate has")
    yield held.strip()


# --- many files


class InFiles(CertificateTexts):
    """The certificates of an archive's files. What is none by its name and its content is left out, and told.

    Of Infineon's files (``CHIPID_E0E0.pem``) those of one ``key_set`` are taken: each chip has several keys, and a
    device connects with one of them.
    """

    def __init__(self, files: Iterable[File | RefusedMember], key_set: str) -> None:
        super().__init__(())
        self._files = files
        self._key_set = key_set
        self._other_sets: dict[str, int] = {}
        self._left_out: list[str] = []
        self._left_out_count = 0

    @property
    def said(self) -> tuple[str, ...]:
        """Notes on what was left out, a sentence each."""
        told = [
            f"{counted(count, 'certificate')} of set {key_set} {'is' if count == 1 else 'are'} left out: "
            f"set {self._key_set} is taken (--set)"
            for key_set, count in self._other_sets.items()
        ]
        if self._left_out_count:
            files = counted(self._left_out_count, "file is", "files are")
            more = ", …" if self._left_out_count > len(self._left_out) else ""
            told.append(f"{files} left out, being no certificates: {', '.join(self._left_out)}{more}")
        return tuple(told)

    def __iter__(self) -> Iterator[CertificateText]:
        for file in self._files:
            place = placed(file.name)
            if isinstance(file, RefusedMember):
                yield CertificateText(place, why=file.why)
            elif not is_wanted(file.name):
                self._leave_out(place)
            elif chip := _CHIP.search(file.name):
                yield from self._of_chip(file, place, chip)
            else:
                yield from self._of_file(file, place)

    def _of_chip(self, file: File, place: str, chip: "re.Match[str]") -> Iterator[CertificateText]:
        key_set = chip["key_set"].upper()
        if key_set != self._key_set:
            self._other_sets[key_set] = self._other_sets.get(key_set, 0) + 1
            return
        columns = {"attr.chip_id": chip["id"]} | ({"attr.reel": chip["reel"]} if chip["reel"] else {})
        yield from (replace(each, columns=columns) for each in self._of_file(file, place))

    def _leave_out(self, place: str) -> None:
        self._left_out_count += 1
        if len(self._left_out) < _LEFT_SHOWN:
            self._left_out.append(place)

    def _of_file(self, file: File, place: str) -> Iterator[CertificateText]:
        try:
            data = file.content()
        except WrongFile as error:
            if isinstance(error, TooLarge) and not file.name.lower().endswith(SUFFIXES):
                self._leave_out(place)
            else:
                yield CertificateText(place, why=str(error))
            return
        if PRIVATE_KEY in data:
            yield CertificateText(place, why=HAS_A_KEY)
        elif data.startswith(_UTF16) or (_BEGIN not in data and file.name.lower().endswith(SUFFIXES)):
            yield CertificateText(place, data)
        elif _BEGIN in data:
            yield from self._of_pem(data, place)
        elif begins_with_base64(data):
            yield from (CertificateText(f"{place}, {each.place}", each.data, each.why) for each in in_lines([data]))
        else:
            self._leave_out(place)

    def _of_pem(self, data: bytes, place: str) -> Iterator[CertificateText]:
        try:
            found = list(in_pem([data]))
        except WrongManifest as wrong:
            yield CertificateText(place, why=str(wrong))
            return
        if not found:
            self._leave_out(place)
        for text in found:
            yield CertificateText(place if len(found) == 1 else f"{place}, {text.place}", text.data, text.why)


def is_wanted(name: str) -> bool:
    """Return whether a file is to be looked at: not what is hidden, and no vendor's secrets."""
    last = name.rpartition("/")[2]
    return not last.startswith(".") and not name.startswith("__MACOSX/") and _KEYS.search(last) is None


def copied(
    pieces: Iterable[bytes], scratch: Callable[[], IO[bytes]], files: FilesOfArchive
) -> Iterator[File | RefusedMember]:
    """Return the files of an archive that is read from its end, and so copied to a ``scratch`` file first."""
    with scratch() as copy:
        for piece in pieces:
            copy.write(piece)
        copy.seek(0)
        yield from files(copy)
