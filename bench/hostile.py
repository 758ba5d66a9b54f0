"""What refusing costs: certificates that an attacker makes as costly as can be, against one honest decision.

And revocation lists: an index that is made once, against the library's look-up, which goes through all entries.
"""

from collections.abc import Callable, Mapping
from functools import partial

from cryptography import x509
from testkit import pki
from testkit.crls import crl, delta, entry
from testkit.pki import sequence, tlv

from bench.decision import DecisionLoop
from bench.fleet import DEVICES, NOW, factory, pems, rules
from bench.measure import compare, timed
from bench.results import Result
from jitr.decision.chain import verify_chain
from jitr.decision.decide import decide
from jitr.errors import Unreadable
from jitr.facts import Knock
from jitr.rules.model import Rules
from jitr.x509.certificate import CaReading, read_ca, read_certificate
from jitr.x509.crl import CrlReading, read_crl, read_delta, why_not_after, why_not_by
from jitr.x509.pem import MAX_CERTIFICATE

KIND = "P-256"
_MOST_MILLISECONDS = 10.0
_ENTRIES = (1_000, 10_000, 100_000)
_FEW_ENTRIES = (10, 100)


def hostile() -> Mapping[str, bytes]:
    """Certificates as PEM, the large ones up to the limits and beyond."""
    ca = factory(KIND)
    device = ca.usual_device()
    names = [f"a{each:05d}.example.com" for each in range(10_000)]
    many = device.alternative_names
    attributes = [("CN", f"{each:04d}" + "é" * 100) for each in range(50)]
    nested = b""
    for _ in range(1_500):
        nested = sequence(nested)
    small = tuple(pki.Extension(f"1.2.3.{each}", b"x" * 400) for each in range(30))
    rsa = sequence(sequence(pki.oid("1.2.840.113549.1.1.1"), pki.NULL), pki.bit_string(_numbers(14_000)))
    drafts = {
        "a megabyte": device.extension("1.2.3.4", b"x" * 1_000_000),
        "10,000 alternative names": many(*(x509.DNSName(each) for each in names)),
        "10,000 short alternative names": many(*(tlv(0x82, b"a") for _ in range(10_000))),
        "100 alternative names of 100 characters": many(*(tlv(0x82, b"a" * 100) for _ in range(100))),
        "4,000 alternative names of 1 character": many(*(tlv(0x82, b"a") for _ in range(4_000))),
        "50 attributes of 100 characters": device.subject(*attributes),
        "2,000 empty relative names": device.subject(*[tlv(0x31) for _ in range(2_000)]),
        "1,500 sequences in one another": device.extension("subjectAltName", nested),
        "30 extensions": device.but(extensions=small),
        "900 extensions": device.but(extensions=tuple(pki.Extension(f"1.2.{each}", b"") for each in range(900))),
        "an RSA key of 112,000 bits": device.public_key(rsa),
        "an object identifier of 10,000 octets": device.but(subject_name=_long_oid()),
    }
    made = {name: draft.issue().pem for name, draft in drafts.items()}
    algorithm = pki.signature_algorithm(ca.key, "sha256", pss=False)
    signed = sequence(device.signed(), algorithm, pki.bit_string(b"\x30" + b"\x00" * 8_000))
    forger = device.signed_by(pki.key(KIND, "a forger")).issue().pem
    return made | {
        "a signature of 8,000 octets": _pem(signed),
        "64 KB of PEM blocks": b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n" * 1_100,
        "64 KB of beginnings": b"-----BEGIN CERTIFICATE-----\n" * 2_300,
        "64 KB of base64": b"-----BEGIN CERTIFICATE-----\n" + b"A" * 64_000 + b"\n-----END CERTIFICATE-----\n",
        "64 KB of nothing": b"\x00" * 64_000,
        "16 KB of elements": sequence(b"\x05\x00" * (MAX_CERTIFICATE // 2 - 10)),
        "another CA's signature": forger,
    }


def _numbers(octets: int) -> bytes:
    return sequence(tlv(0x02, b"\x00" + b"\xff" * octets), pki.integer(65537))


def _long_oid() -> bytes:
    attribute = sequence(tlv(0x06, b"\x81" * 9_999 + b"\x01"), pki.string("a"))
    return sequence(tlv(0x31, attribute))


def _pem(data: bytes) -> bytes:
    return pki.Issued(data, pki.key(KIND, "a device")).pem


class Judge:
    """Decides one certificate again and again, as the function does it."""

    def __init__(self, data: bytes, ca: CaReading, in_force: Rules) -> None:
        self._data, self._ca, self._rules = data, ca, in_force

    def __call__(self) -> list[str]:
        """The reason codes."""
        try:
            reading = read_certificate(self._data)
        except Unreadable as refused:
            return [refused.code]
        own = self._ca.facts.ca_certificate_id
        knock = Knock(reading.facts, own, self._ca.facts, verify_chain(reading, self._ca), self._rules.aliases_of(own))
        return [each.code for each in decide(knock, self._rules, {}, NOW, NOW).reasons]


def run(*, quick: bool) -> Result:
    """Measure it."""
    result = Result("hostile")
    _certificates(result, quick)
    _lists(result, quick)
    return result


def _certificates(result: Result, quick: bool) -> None:
    in_force, ca = rules(100, kind=KIND), read_ca(factory(KIND).pem, status="ACTIVE")
    made = hostile()
    judges = {name: Judge(data, ca, in_force) for name, data in made.items()}
    for name, judge in judges.items():
        assert "allow.rule" not in judge(), name
    judges = dict(list(judges.items())[:3]) if quick else judges
    honest = "an honest device"
    things: dict[str, Callable[[], object]] = {
        honest: DecisionLoop(KIND, in_force, pems(KIND, 40 if quick else DEVICES))
    }
    measured = compare(things | judges, turns=2 if quick else 11)
    rows = [[honest, "", "", measured.of(honest).times(1e6).told(0), "1"]]
    for name, judge in judges.items():
        codes = ", ".join(f"`{each}`" for each in judge()[:1])
        micros, ratio = measured.of(name).times(1e6), measured.ratio(name, honest)
        rows.append([name, f"{len(made[name]):,}", codes, micros.told(0), ratio.told(2)])
    result.table("certificates", ("certificate", "octets", "first reason", "µs", "× an honest decision"), rows)
    worst = max(judges, key=lambda name: measured.of(name).median)
    took = measured.of(worst).times(1e3)
    wanted = f"at most {_MOST_MILLISECONDS:.0f} ms"
    result.goal(
        f"Refusing the costliest hostile certificate: {worst}", wanted, f"{took.told(2)} ms, "
        f"{measured.ratio(worst, honest).told(1)} × an honest decision", met=took.median <= _MOST_MILLISECONDS,
    )  # fmt: skip


def _lists(result: Result, quick: bool) -> None:
    rows = []
    flat: dict[int, float] = {}
    updated: dict[int, float] = {}
    for count in _FEW_ENTRIES if quick else _ENTRIES:
        data = crl(factory(KIND), (entry(each, "superseded") for each in range(1, count + 1)))
        ca = read_ca(factory(KIND).pem, status="ACTIVE")
        reading = timed(lambda data=data, ca=ca: why_not_by(read_crl(data), ca), 1)  # type: ignore[misc]
        ours, theirs = read_crl(data), x509.load_der_x509_crl(data)
        missing = 2 * count + 7  # most devices are on no list, and that takes the library longest
        look_ups: dict[str, Callable[[], object]] = {
            "index": partial(ours.look_up, missing),
            "with delta": partial(_brought_up_to_date(ours, count).look_up, missing),
            "library": partial(theirs.get_revoked_certificate_by_serial_number, missing),
        }
        measured = compare(look_ups, turns=2 if quick else 11)
        flat[count], updated[count] = measured.of("index").median, measured.of("with delta").median
        index, library = measured.of("index").times(1e6), measured.of("library").times(1e6)
        both, faster = measured.of("with delta").times(1e6), measured.ratio("library", "index")
        took = [f"{reading * 1e3:.0f}", index.told(2), both.told(2), library.told(0), faster.told(0)]
        rows.append([f"{count:,}", f"{len(data):,}", *took])
    columns = (
        "entries", "octets", "read, verified and indexed, ms", "look-up, µs", "with a delta list of a tenth, µs",
        "library's look-up, µs", "× without delta",
    )  # fmt: skip
    result.table("lists", columns, rows)
    sizes = sorted(flat)
    ratio = flat[sizes[-1]] / flat[sizes[0]]
    goal = f"Looking a device up on a revocation list, flat: {sizes[0]:,} to {sizes[-1]:,} entries"
    result.goal(goal, "at most 2 ×", f"{ratio:.2f} ×", met=ratio <= 2)
    ratio = updated[sizes[-1]] / updated[sizes[0]]
    goal = f"Looking a device up on a list with its delta list, flat: {sizes[0]:,} to {sizes[-1]:,} entries"
    result.goal(goal, "at most 2 ×", f"{ratio:.2f} ×", met=ratio <= 2)


def _brought_up_to_date(complete: CrlReading, count: int) -> CrlReading:
    """The list with a tenth as many changes, half of which are on it already."""
    first = count - count // 20
    changes = (entry(each, "keyCompromise") for each in range(first, first + count // 10))
    made = read_delta(delta(factory(KIND), changes))
    assert why_not_after(made, complete) is None
    return complete.with_delta(made)
