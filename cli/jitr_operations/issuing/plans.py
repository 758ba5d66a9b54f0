"""Devices that are to get a certificate: from names, from the rows of a CSV, from a request."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from jitr.devicelists.columns import typed
from jitr.devicelists.csv.duplicates import Duplicates
from jitr.devicelists.csv.reader import Reader, serials_in
from jitr.devicelists.rows import ListRow
from jitr.errors import InputError
from jitr.unseen import quote
from jitr.x509.extensions import NAMES
from jitr.x509.signing_request import RequestReading
from jitr_operations import telling
from jitr_operations.files import file_name, read_bytes, read_request
from jitr_operations.issuing import pki
from jitr_operations.issuing.subjects import SubjectParts
from jitr_operations.lists.files import tell

MAX_CSV = 64 * 1024 * 1024  # bytes


@dataclass(frozen=True)
class Plan:
    """One device that is to get a certificate. ``row`` is its row in the list it was taken from."""

    file: str  # without suffix
    subject: x509.Name | None  # None: the request's
    serial_number: int | None = None
    request: RequestReading | None = None
    row: ListRow | None = None

    @property
    def subject_der(self) -> bytes:
        """The subject as it will stand in the certificate: a request's octet for octet."""
        if self.request is not None:
            return self.request.subject_der
        return (self.subject or x509.Name([])).public_bytes()


def plan_of_name(name: str, subject: SubjectParts) -> Plan:
    """Return the plan of one device by its name, which is its common name if the subject has none."""
    return Plan(file_name(name), subject.name(name))


def plans_of_rows(source: Path, subject: SubjectParts) -> list[Plan]:
    """Return a plan for each row of a CSV file. Raises InputError and ListError with the line."""
    data = _with_ca_column(read_bytes(source, MAX_CSV))
    reader = Reader([data], source=str(source), duplicates=Duplicates(), serials=lambda: serials_in(lambda: [data]))
    rows = list(reader)
    reader.raise_problems()
    tell(str(source), reader.said)
    if not rows:
        raise InputError(f"{source} has no rows: put one device in each, by common_name")
    plans = []
    for each in rows:
        try:
            plans.append(_plan_of_row(each.row, subject))
        except InputError as problem:
            raise InputError(f"{source}:{each.line}: {problem}") from None
    return plans


def _plan_of_row(row: ListRow, subject: SubjectParts) -> Plan:
    if row.common_name is None:
        raise InputError("the row has no common_name, which a device is issued by")
    serial = None if row.serial_number is None else pki.parse_serial(row.serial_number)
    return Plan(file_name(row.common_name), subject.name(row.common_name), serial, row=row)


def _with_ca_column(data: bytes) -> bytes:
    """Add a CA column to a CSV with serial numbers and none: here the CA is the one that signs.

    Device lists want a CA beside each serial number. What cannot be read is left as it is, for their reader to tell.
    """
    try:
        text = data.decode("utf-8-sig")
        header = text.partition("\n")[0]
        separator = max(",;\t", key=header.count)
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except (UnicodeDecodeError, csv.Error):
        return data
    names = [typed(each.strip().lower())[0] for each in rows[0]] if rows else []
    if "serial_number" not in names or "ca" in names:
        return data
    place = names.index("serial_number")
    changed = io.StringIO(newline="")
    writer = csv.writer(changed, delimiter=separator)
    writer.writerow([*rows[0], "ca"])
    for row in rows[1:]:
        has_serial = place < len(row) and bool(row[place].strip())
        # A row of another width than the header keeps its difference, which the reader tells.
        writer.writerow([*row, "signer" if has_serial else ""] if len(row) >= len(names) else row)
    return changed.getvalue().encode()


def plan_of_request(csr: Path) -> Plan:
    """Return the plan of a device that made its own key and request. Raises InputError for one that AWS IoT refuses."""
    request = read_request(csr)
    problem = pki.key_problem(request.key_facts)
    if problem:
        raise InputError(
            f"{csr} has {problem}, which AWS IoT refuses: use RSA of 2048 bits or more, or EC P-256 and up"
        )
    if not request.signature_valid:
        raise InputError(f"{csr}: {_unsigned(request)}: have the device make it again")
    if request.extensions:
        asked = ", ".join(NAMES.get(each, each) for each in request.extensions)
        telling.note(f"{csr} asks for extensions ({asked}): the certificate has our own instead")
    return Plan(file_name(csr.stem), None, request=request)


def _unsigned(request: RequestReading) -> str:
    if request.scheme.facts.hash is not None:
        return "the request's signature is not by its own key"
    return f"the request is signed by an algorithm that is not supported here ({request.scheme.facts.algorithm})"


def refuse_twice(plans: list[Plan]) -> None:
    """Raise InputError where two devices would have the same files."""
    seen: set[str] = set()
    for plan in plans:
        if plan.file in seen:
            raise InputError(f"{quote(plan.file)} is there twice: name each device once")
        seen.add(plan.file)


def with_serials(plans: list[Plan], first: str) -> list[Plan]:
    """Return the plans with serial numbers counting up from ``first``.

    Raises InputError where the last does not fit 20 octets (RFC 5280 section 4.1.2.2).
    """
    number = pki.parse_serial(first)
    if (number + len(plans) - 1).bit_length() > pki.MAX_SERIAL_BITS:
        raise InputError(f"--serial {first}: the last of {len(plans)} would not fit 20 octets")
    return [Plan(plan.file, plan.subject, number + place, plan.request, plan.row) for place, plan in enumerate(plans)]
