"""The readers, what each may answer, and what must be true of its answers; anything else is a bug."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from io import BytesIO
from pathlib import Path

from fuzz.inputs import Seeds
from jitr.decision.chain import verify_chain
from jitr.decision.selftest import run
from jitr.devicelists.csv.duplicates import Duplicates
from jitr.devicelists.csv.reader import Reader, read_list, serials_in, write_rows
from jitr.devicelists.csv.serials import UNDECIDED
from jitr.devicelists.manifests.archives import FilesOfArchive
from jitr.devicelists.manifests.jws import Signers, read_signer
from jitr.devicelists.manifests.opening import Opener
from jitr.devicelists.manifests.reading import Options
from jitr.devicelists.manifests.recognition import recognised
from jitr.devicelists.rows import ListRow
from jitr.errors import InputError, Poison, Unreadable, UnusableCrl, UnusableOcsp
from jitr.reasons import CODES
from jitr.records.event import EVENT_CLOCK_SKEW, own_event, parse_event
from jitr.records.upload import read_record
from jitr.rules.file.problems import RulesError
from jitr.rules.file.reader import read_rules
from jitr.rules.model import load
from jitr.x509.certificate import CaReading, read_ca, read_certificate
from jitr.x509.crl import CrlReading, read_any_crl, read_crl, why_not_after, why_not_by
from jitr.x509.ocsp import MAX_RESPONSE, answer_of, question_about, read_ocsp
from jitr_operations.lists.seven_zip import files_of_seven_zip

CORPUS = Path(__file__).parent / "corpus"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ACCOUNT = "000000000000"


@dataclass(frozen=True)
class Target:
    """One reader. ``read`` raises for whatever is a bug."""

    name: str
    read: Callable[[bytes], None]
    tokens: tuple[bytes, ...]
    # Beyond it a reader refuses an input by its size alone: what it costs up to there is what matters.
    largest: int
    # Lines of this software that run for any input, and for each of its octets: linear, and twice what was ever seen.
    fixed: int
    per_octet: int
    is_der: bool = False

    def allowed(self, data: bytes) -> int:
        """How many lines may run for an input."""
        return self.fixed + self.per_octet * len(data)

    @property
    def corpus(self) -> Path:
        """Where its samples are: good ones, and those that once found something."""
        return CORPUS / self.name

    @property
    def seeds(self) -> Seeds:
        """What its inputs are made from."""
        return _seeds(self)


@cache
def _seeds(target: Target) -> Seeds:
    samples = [path.read_bytes() for path in sorted(target.corpus.iterdir())]
    return Seeds([each for each in samples if each], target.tokens, target.is_der)


def told(message: str) -> None:
    """A message is one line, shows no control characters, and is not as long as a hostile input may be."""
    assert message, "a message is empty"
    assert message.isprintable(), "a message does not print on one line"
    assert len(message) <= 2000, "a message is as long as whoever writes the input likes"


def event(data: bytes) -> None:
    """The body of a message on the queue."""
    try:
        found = parse_event(data.decode("utf-8", "surrogateescape"), account_id=ACCOUNT, sent_at=NOW)
    except Poison as poison:
        assert poison.code in CODES
        told(str(poison))
        return
    assert found.knocked_at <= NOW + EVENT_CLOCK_SKEW
    again = own_event(found.certificate_id, found.ca_certificate_id, ACCOUNT, NOW)
    assert parse_event(again, account_id=ACCOUNT, sent_at=NOW).certificate_id == found.certificate_id


def upload(data: bytes) -> None:
    """A record of S3's event about an object that was uploaded."""
    try:
        record = json.loads(data)
    except (ValueError, RecursionError):
        return  # Lambda reads it, and nothing that is not JSON arrives
    try:
        uploaded = read_record(record)
    except InputError as error:
        told(str(error))
        return
    assert uploaded.beside is None or uploaded.beside.isprintable()
    try:
        assert uploaded.list is None or "/" not in uploaded.list
    except InputError as error:
        told(str(error).replace("\n", ""))


@cache
def _cas() -> tuple[CaReading, ...]:
    found = []
    for path in sorted((CORPUS / "certificate").iterdir()):
        with suppress(Unreadable):
            ca = read_ca(path.read_bytes(), status="ACTIVE")
            if ca.facts.is_ca and ca.key is not None:
                found.append(ca)
    return tuple(found)


@cache
def _signed() -> frozenset[bytes]:
    """What the corpus has that a CA in it signed: nobody else can sign anything."""
    found = set()
    for path in sorted((CORPUS / "certificate").iterdir()):
        with suppress(Unreadable):
            found.add(read_certificate(path.read_bytes()).signed)
    for path in sorted((CORPUS / "crl").iterdir()):
        with suppress(UnusableCrl):
            found.add(read_any_crl(path.read_bytes()).signed)
    return frozenset(found)


def certificate(data: bytes) -> None:
    """A certificate, as a device's and as a CA's."""
    try:
        reading = read_certificate(data)
    except Unreadable as error:
        assert error.code in ("certificate.unreadable", "certificate.too-large")
        told(str(error))
    else:
        facts = reading.facts
        assert type(facts).from_json(json.loads(json.dumps(facts.to_json()))) == facts
        for ca in _cas():
            assert not verify_chain(reading, ca).signature_valid or reading.signed in _signed(), "a forged signature"
    try:
        of_ca = read_ca(data, status="ACTIVE").facts
    except Unreadable as error:
        told(str(error))
    else:
        assert type(of_ca).from_json(json.loads(json.dumps(of_ca.to_json()))) == of_ca


@cache
def _ocsp_ca() -> CaReading:
    return read_ca((CORPUS / "ocsp" / "ca.sample").read_bytes(), status="ACTIVE")


@cache
def _signed_answers() -> frozenset[bytes]:
    """What the corpus has of answers: nobody else can sign any."""
    found = set()
    for path in sorted((CORPUS / "ocsp").iterdir()):
        with suppress(UnusableOcsp):
            found.add(read_ocsp(path.read_bytes()).signed)
    return frozenset(found)


def ocsp(data: bytes) -> None:
    """An OCSP answer."""
    try:
        found = read_ocsp(data)
    except UnusableOcsp as error:
        told(str(error))
        return
    ca = _ocsp_ca()
    answer = answer_of(found, question_about(ca, 0x1001), ca)
    told(answer.problem or "none")
    assert answer.status is None or found.signed in _signed_answers(), "a forged answer"


@cache
def _complete_lists() -> tuple[CrlReading, ...]:
    found = []
    for path in sorted((CORPUS / "crl").iterdir()):
        with suppress(UnusableCrl):
            found.append(read_crl(path.read_bytes()))
    return tuple(found)


def crl(data: bytes) -> None:
    """A revocation list, as a complete one and as the delta list of others."""
    try:
        found = read_any_crl(data)
    except UnusableCrl as error:
        told(str(error))
        return
    assert found.look_up(-1) is None or len(found)
    for complete in _complete_lists():
        if why_not_after(found, complete) is None:
            whole = complete.with_delta(found)
            for serial_number in range(10):
                before = complete.look_up(serial_number)
                kept = before is None or before.on_hold or whole.look_up(serial_number) is not None
                assert kept, "a delta list took back a revocation"
    for ca in _cas():
        problem = why_not_by(found, ca)
        if problem is None:
            assert found.signed in _signed(), "a forged signature"
        else:
            told(problem)


def rules(data: bytes) -> None:
    """A rules file: read and refused as a whole."""
    try:
        found = read_rules(data, source="admission.yaml")
    except RulesError as error:
        assert error.problems
        for each in error.problems:
            assert min(each.line, each.column, each.length) >= 1
            told(each.message)
            assert each.hint is None or each.hint.isprintable()
        return
    assert load(found.rules.compiled) == found.rules
    assert all(str(each) for each in run(found))


def csv(data: bytes) -> None:
    """A device list."""
    reader = Reader([data], source="f", duplicates=Duplicates(), serials=lambda: serials_in(lambda: [data]))
    rows = [each.row for each in reader]
    for problem in reader.problems:
        assert min(problem.line, problem.column) >= 1
        told(problem.message)
    for each in reader.said:
        told(each)
    assert bool(reader.problem_count) == bool(reader.problems)
    if rows and len(data) < 4096 and not reader.problem_count:
        assert list(read_list("".join(write_rows(rows)).encode(), "f")) == rows, "an export is not what was imported"


def _opened(
    data: bytes, kind: str, signers: Signers | None = None, seven_zip: FilesOfArchive | None = None
) -> list[ListRow]:
    """The rows of a file of devices of some kind, and what must be true of them and of what is said."""
    options = Options(kind=kind, signers=signers or Signers(), thing_name="d-{public_key_sha256}")
    opener = Opener(options, BytesIO, seven_zip=seven_zip)
    reader = opener([data], "f", Duplicates(), lambda: UNDECIDED)
    rows = list(reader)
    for problem in reader.problems:
        told(problem.at("f"))
    for each in reader.said:
        told(each)
    assert bool(reader.problem_count) == bool(reader.problems)
    found = [each.row for each in rows]
    for row in found:
        assert row.public_key_sha256 is not None, "a row is not known by its key"
        assert ListRow.from_json(row.to_json()) == row
    return found


@cache
def _signers() -> Signers:
    return Signers([read_signer((CORPUS / "manifest" / "signer.sample").read_bytes())])


@cache
def _listed() -> frozenset[str | None]:
    """The keys in the corpus that a signer signed: nobody else can sign any."""
    found: set[str | None] = set()
    for path in sorted((CORPUS / "manifest").glob("good*")):
        found |= {each.public_key_sha256 for each in _opened(path.read_bytes(), "microchip", _signers())}
    return frozenset(found)


def manifest(data: bytes) -> None:
    """A signed manifest."""
    for row in _opened(data, "microchip", _signers()):
        assert row.public_key_sha256 in _listed(), "a device that nobody signed"


def certificates(data: bytes) -> None:
    """A file or an archive of certificates."""
    _opened(data, "certificates")


def bundle(data: bytes) -> None:
    """A 7z archive of certificates, or of archives of them."""
    _opened(data, "infineon", seven_zip=files_of_seven_zip)


def table(data: bytes) -> None:
    """A vendor's table of devices."""
    _opened(data, "espressif")
    _opened(data, "nrfcloud")
    if recognised(data[: 16 * 1024]) == "column":
        _opened(data, "certificates")


_JSON = tuple(
    b'{ } [ ] : , " \\ null true -1 1e999 NaN Infinity 9999999999999999999 \\ud800 \\u0000 "0" 1772366398500 '
    b'"2026-03-01" "certificateId" "caCertificateId" "awsAccountId" "timestamp" "000000000000"'.split()
)
_MANIFEST = (
    *_JSON, b"[{", b"},{", b"}]", b'"payload":', b'"protected":', b'"signature":', b'"header":{"uniqueId":', b"eyJ",
    b"==", b'"kid":', b'"x5c":[', b'"x5t#S256":', b'"alg":"none"', b"\xef\xbb\xbf", b"[" * 50,
)  # fmt: skip
_ARCHIVE = (
    b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"../", b"/", b".pem", b".key",
    b"ustar\x00", b"\x1f\x8b\x08", b"\xff\xff\xff\xff", b"00000001000\x00", b"77777777777",
    b"30 path=../a.pem\n", b"\x00" * 512, b"-----BEGIN PRIVATE KEY-----\n", b"_E0E0.pem",
)  # fmt: skip
_SEVEN_ZIP = (
    b"7z\xbc\xaf\x27\x1c\x00\x04",
    b"\x01\x04\x06",
    b"\x17\x06",
    b"\x05\xff\xff",
    b"\xff" * 7 + b"\x7f",
    b"\x00" * 32,
)
_DER = (
    b"\x30\x80", b"\x30\x82", b"\x30\x84\xff\xff\xff\xff", b"\x02\x01\x00", b"\x05\x00", b"\xa0\x03\x02\x01\x02",
    b"\x17\x0d260101000000Z", b"\x18\x0f99991231235959Z", b"\x06\x03\x55\x04\x03", b"\x06\x03\x55\x1d\x11",
    b"-----BEGIN CERTIFICATE-----\n", b"-----END CERTIFICATE-----\n", b"-----BEGIN X509 CRL-----\n",
    b"-----END X509 CRL-----\n", b"-----BEGIN ", b"-----", b"MII", b"\r\n", b"\xff\xfe",
)  # fmt: skip
_CSV = (
    b",", b";", b"\t", b"|", b'"', b'""', b"'", b"\n", b"\r", b"\r\n", b"sep=;\n", b"\xef\xbb\xbf", b"\xff\xfe", b"=",
    b"+1", b"@", b"\x00", b"\xc3", b"PK\x03\x04", b"common_name", b"serial_number", b"certificate_sha256",
    b"public_key_sha256", b"ca", b"expires", b"attr.batch", b"note", b"thing_name", b"0a" * 32, b"9999-12-31", b"1E5",
    b'"=""', b"CN=", b"subject=CN = ", b"/O=", b"serial=", b"(0x", b"SHA256(stdin)= ",
    b"serial_number:dec", b"#N/A", b"9" * 40, b"'",
)  # fmt: skip
_YAML = (
    b"\n", b"\n  - ", b": ", b"- ", b"[", b"]", b"{", b"}", b"#", b"&a ", b"*a", b"!", b"|", b">", b"'", b'"', b"%",
    b"\t", b"---\n", b"...\n", b"<<: *a\n", b"%YAML 1.1\n", b'"\\ud800"', b'"\\x00"', b"\xc2\x85", b"\xe2\x80\xa8",
    b"allow:\n", b"deny:\n", b"cas:\n", b"tests:\n", b"grant: ", b"common_name: ", b"serial_number: ", b"window: ",
    b"{attr.x}", b"{common_name}", b"*a" * 30, b"9" * 400, b"2026-13-01", b"..", b"0x1..",
)  # fmt: skip

TARGETS: Mapping[str, Target] = {
    each.name: each
    for each in (
        Target("event", event, _JSON, 256 * 1024, 1000, 1),
        Target("upload", upload, (*_JSON, b"%ff", b"%00", b"lists/", b".csv", b"..", b"/"), 256 * 1024, 2000, 1),
        Target("certificate", certificate, _DER, 64 * 1024, 10_000, 15, is_der=True),
        Target("ocsp", ocsp, _DER, MAX_RESPONSE, 10_000, 15, is_der=True),
        Target("crl", crl, _DER, 16 * 1024 * 1024, 10_000, 12, is_der=True),
        # Names that are misspelt are compared with those that there are, at most so many times.
        Target("rules", rules, _YAML, 4 * 1024 * 1024, 600_000, 40),
        Target("csv", csv, _CSV, 1 << 40, 10_000, 100),
        Target("manifest", manifest, _MANIFEST, 1 << 40, 20_000, 20),
        Target("certificates", certificates, (*_DER, *_ARCHIVE), 1 << 40, 20_000, 30),
        Target(
            "bundle", bundle, (*_DER, b"7z\xbc\xaf\x27\x1c", b"\xff\xff\xff\xff\xff\xff\xff\x7f"), 1 << 40, 20_000, 30
        ),
        Target("table", table, (*_CSV, *_DER), 1 << 40, 20_000, 100),
    )
}
