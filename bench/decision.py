"""One decision, from PEM bytes to decision: against the floor, and against the same rules in Cedar.

The floor is what nobody can do without: `cryptography` loads the certificate, and the CA's key verifies its signature.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import cycle
from typing import Any, TypeAlias, cast

import cedarpy
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from bench.fleet import ALIAS, DEVICES, NOW, factory, pems, rules
from bench.fleet import cedar as in_cedar
from bench.measure import Timings, compare
from bench.results import Curve, Plot, Result
from jitr.decision.chain import verify_chain
from jitr.decision.decide import Decision, decide, lists_needed
from jitr.devicelists.rows import ListRow, Membership
from jitr.facts import Knock
from jitr.reasons import Verdict
from jitr.rules.model import Rules
from jitr.x509.certificate import CertificateReading, read_ca, read_certificate

Memberships: TypeAlias = Mapping[str, Membership | None]

KINDS = ("RSA-2048", "P-256", "P-384")
SIZES = (10, 100, 1_000, 10_000)
_IN_CEDAR = 50  # devices whose answer is looked at first: at 10,000 rules each takes Cedar 40 ms
_MOST = {"RSA-2048": 2.0, "P-256": 1.6, "P-384": 1.6}  # times the floor, at 1,000 rules
_MOST_HELD = 4.0
_PARTS = (
    "read the certificate into facts",
    "verify the signature, compare names and key identifiers, make the id of the certificate's twin",
    "find the lists worth a look-up",
    "match rules, gather reasons, fill in the grant",
)


class DecisionLoop:
    """Decides devices one after the other, each from its PEM, as the function does it once it has read everything."""

    def __init__(self, kind: str, in_force: Rules, fleet: list[bytes]) -> None:
        self._ca = read_ca(factory(kind).pem, status="ACTIVE")
        self._rules = in_force
        self._pems = cycle(fleet)

    def __call__(self) -> Decision:
        """Decide the next device."""
        return self.decided(self.looked_up(self.verified(self.read())))

    def read(self) -> CertificateReading:
        """Read the next device's certificate."""
        return read_certificate(next(self._pems))

    def verified(self, reading: CertificateReading) -> Knock:
        """Hold a certificate against its CA."""
        return Knock(
            certificate=reading.facts,
            ca_certificate_id=self._ca.facts.ca_certificate_id,
            ca=self._ca.facts,
            chain=verify_chain(reading, self._ca),
            aliases=self._rules.aliases_of(self._ca.facts.ca_certificate_id),
        )

    def looked_up(self, knock: Knock) -> tuple[Knock, Memberships]:
        """Find the lists worth a look-up; the device is on each."""
        return knock, {name: Membership(ListRow()) for name in lists_needed(knock, self._rules, NOW)}

    def decided(self, known: tuple[Knock, Memberships]) -> Decision:
        """Decide a device."""
        knock, memberships = known
        return decide(knock, self._rules, memberships, NOW, NOW)


def floor(kind: str, fleet: list[bytes]) -> Callable[[], x509.Certificate]:
    """Load a certificate and check its one signature."""
    key = x509.load_pem_x509_certificate(factory(kind).pem).public_key()
    each = cycle(fleet)

    def load_and_verify() -> x509.Certificate:
        found = x509.load_pem_x509_certificate(next(each))
        algorithm = found.signature_hash_algorithm
        assert algorithm is not None
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(found.signature, found.tbs_certificate_bytes, padding.PKCS1v15(), algorithm)
        else:
            cast(ec.EllipticCurvePublicKey, key).verify(
                found.signature, found.tbs_certificate_bytes, ec.ECDSA(algorithm)
            )
        return found

    return load_and_verify


class Cedar:
    """The floor, then the same rules in Cedar: parsed once, CAs as parents of the device, facts as context."""

    def __init__(self, kind: str, in_force: Rules, fleet: list[bytes]) -> None:
        self._floor = floor(kind, fleet)
        self._policies = cedarpy.PolicySet.from_str(in_cedar(in_force))
        device = {
            "uid": {"type": "Device", "id": "one"},
            "attrs": {},
            "parents": [{"type": "CA", "id": ALIAS}],
        }
        self._entities = cedarpy.Entities.from_json_str(json.dumps([device]))

    def __call__(self) -> Any:
        """Authorize the next device."""
        found = self._floor()
        subject = {each.rfc4514_attribute_name: str(each.value) for each in found.subject}
        request = {
            "principal": 'Device::"one"',
            "action": 'Action::"register"',
            "resource": 'Account::"own"',
            "context": {
                "common_name": subject["CN"],
                "organization": subject["O"],
                "serial_number": found.serial_number,
                "knocked_at": int(NOW.timestamp()),
                "lists": [subject["CN"].rpartition("-")[0]],
            },
        }
        return cedarpy.is_authorized(request, self._policies, self._entities)


def run(*, quick: bool) -> Result:
    """Measure it."""
    result = Result("decision")
    turns, count = (3, 40) if quick else (9, DEVICES)
    sizes = SIZES[:2] if quick else SIZES
    curves: list[Curve] = []
    rows: list[list[str]] = []
    for kind in KINDS[1:2] if quick else KINDS:
        fleet = pems(kind, count)
        measured = {size: _measured(kind, size, fleet, turns, Verdict.ADMIT) for size in sizes}
        rows += [_row(kind, size, each) for size, each in measured.items()]
        curves += _curves(kind, measured)
        if 1_000 in measured:
            _judge(result, f"One decision at 1,000 rules, {kind}", measured[1_000], _MOST[kind])
    _parts(result, KINDS[1:2] if quick else KINDS[:2], min(1_000, sizes[-1]), turns, count)
    columns = ("key", "rules", "floor, µs", "jitr, µs", "jitr / floor", "Cedar, µs", "Cedar / jitr")
    result.table("floor", columns, rows)
    strangers = pems("P-256", count, known=False)
    held = {size: _measured("P-256", size, strangers, turns, Verdict.HOLD) for size in sizes}
    result.table("held", columns, [_row("P-256", size, each) for size, each in held.items()])
    if 1_000 in held:
        _judge(result, "First decision of a held device at 1,000 rules, P-256", held[1_000], _MOST_HELD)
    _others(result, sizes, turns, pems("P-256", count))
    result.plots.append(
        Plot("decision", "One decision, from PEM to decision", "rules", "µs", curves, log_x=True, log_y=True)
    )
    return result


def _measured(kind: str, size: int, fleet: list[bytes], turns: int, verdict: Verdict) -> Timings:
    in_force = rules(size, kind=kind)
    decider, in_cedar = DecisionLoop(kind, in_force, fleet), Cedar(kind, in_force, fleet)
    for place, _ in enumerate(fleet):
        assert decider().verdict is verdict
        if place < _IN_CEDAR:
            assert in_cedar().allowed is (verdict is Verdict.ADMIT)
    return compare({"floor": floor(kind, fleet), "jitr": decider, "Cedar": in_cedar}, turns=turns)


def _parts(result: Result, kinds: tuple[str, ...], size: int, turns: int, count: int) -> None:
    """Say where the time goes: what each part adds to those before it, and what it takes by itself."""
    columns = [_times_floor(kind, size, turns, count) for kind in kinds]
    rows = [[part, *(each for column in columns for each in column[part])] for part in _PARTS]
    heads = [head for kind in kinds for head in (kind, f"{kind}, by itself")]
    result.table("parts", ["part, in multiples of the floor", *heads], rows)


def _times_floor(kind: str, size: int, turns: int, count: int) -> dict[str, tuple[str, str]]:
    """Return, for each part, what it adds to those before it, and what it takes if only it is repeated."""
    fleet = pems(kind, count)
    loop = DecisionLoop(kind, rules(size, kind=kind), fleet)
    readings = [loop.read() for _ in fleet]
    knocks = [loop.verified(each) for each in readings]
    known = [loop.looked_up(each) for each in knocks]
    alone: tuple[Callable[[], object], ...] = (
        loop.read,
        _each(loop.verified, readings),
        _each(loop.looked_up, knocks),
        _each(loop.decided, known),
    )
    together: tuple[Callable[[], object], ...] = (
        loop.read,
        lambda: loop.verified(loop.read()),
        lambda: loop.looked_up(loop.verified(loop.read())),
        loop,
    )
    things: dict[str, Callable[[], object]] = {"floor": floor(kind, fleet)}
    things |= {f"alone {part}": thing for part, thing in zip(_PARTS, alone, strict=True)}
    things |= {f"up to {part}": thing for part, thing in zip(_PARTS, together, strict=True)}
    measured = compare(things, turns=turns)
    up_to = [0.0, *(measured.ratio(f"up to {part}", "floor").median for part in _PARTS)]
    return {
        part: (f"{after - before:.2f}", f"{measured.ratio(f'alone {part}', 'floor').median:.2f}")
        for part, before, after in zip(_PARTS, up_to, up_to[1:], strict=False)
    }


def _each(work: Callable[[Any], object], values: Iterable[object]) -> Callable[[], object]:
    """Do it with the next of some values, again and again."""
    following = cycle(values)
    return lambda: work(next(following))


def _judge(result: Result, goal: str, measured: Timings, most: float) -> None:
    ratio = measured.ratio("jitr", "floor")
    result.goal(goal, f"at most {most:g} × the floor", f"{ratio.told(2)} ×", met=ratio.median <= most)


def _row(kind: str, size: int, measured: Timings) -> list[str]:
    return [
        kind,
        f"{size:,}",
        measured.of("floor").times(1e6).told(0),
        measured.of("jitr").times(1e6).told(0),
        measured.ratio("jitr", "floor").told(2),
        measured.of("Cedar").times(1e6).told(0),
        measured.ratio("Cedar", "jitr").told(1),
    ]


def _curves(kind: str, measured: Mapping[int, Timings]) -> Iterator[Curve]:
    for name in ("floor", "jitr", "Cedar"):
        points = [(float(size), each.of(name).times(1e6).median) for size, each in measured.items()]
        yield Curve(f"{name}, {kind}", points)


def _others(result: Result, sizes: tuple[int, ...], turns: int, fleet: list[bytes]) -> None:
    """Ten rules of the device's own CA, and more and more of 50 other CAs."""
    things = {f"{size:,}": DecisionLoop("P-256", rules(10, others=size), fleet) for size in (0, *sizes)}
    measured = compare(things, turns=turns)
    rows = [(name, measured.of(name).times(1e6).told(0), measured.ratio(name, "0").told(2)) for name in things]
    result.table("others", ("rules of other CAs", "jitr, µs", "against none"), rows)
    last = measured.ratio(f"{sizes[-1]:,}", "0")
    goal = f"One decision, flat in rules of other CAs: 0 to {sizes[-1]:,}"
    result.goal(goal, "at most 1.05 ×", f"{last.told(2)} ×", met=last.median <= 1.05)
