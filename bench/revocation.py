"""What revocation adds to an admission: requests, and time of ours. The network's time is the other side's."""

from collections.abc import Callable
from dataclasses import replace

from testkit import pki
from testkit.aws.world import CrlFiles, Responders
from testkit.crls import crl, delta, entry
from testkit.knocks import allow
from testkit.knocks import rules as made_rules
from testkit.ocsp import ResponseDraft, asked, delegate

from bench.fleet import factory
from bench.measure import compare
from bench.results import Result
from jitr.aws.crls import Crls
from jitr.aws.ocsp_responders import OcspResponders
from jitr.decision.chain import verify_chain
from jitr.decision.decide import Decision, decide
from jitr.facts import Knock
from jitr.reasons import Verdict
from jitr.rules.model import Ca, Crl, Ocsp, Rules
from jitr.x509.certificate import CaReading, read_ca, read_certificate

KIND = "P-256"
DEVICES = 1000
_LIST, _DELTA, _RESPONDER = "s3://lists/a", "s3://lists/a-delta", "http://ocsp.example.com/"


def run(*, quick: bool) -> Result:
    """Decide one device again and again, under what its CA may have."""
    result = Result("revocation")
    entries = 100 if quick else 10_000
    bench = _Bench(entries)
    ways = {
        "neither": bench.under(),
        f"a list of {entries:,} entries": bench.under(Crl(_LIST)),
        "that list with a delta list of a tenth": bench.under(Crl(_LIST, delta=_DELTA)),
        "a responder, the CA itself": bench.under(responder=bench.signed_by(bench.maker)),
        "a responder that the CA certified": bench.under(responder=bench.signed_by(delegate(bench.maker))),
    }
    requests = {name: bench.requests(decided) for name, decided in ways.items()}
    timings = compare(ways, turns=3 if quick else 11)
    rows = [
        [name, f"{requests[name]:,}", timings.of(name).times(1e6).told(0), timings.ratio(name, "neither").told(2)]
        for name in ways
    ]
    columns = ("the CA has", f"requests for {DEVICES:,} devices in ten minutes", "µs a device", "× neither")
    result.table("admission", columns, rows)
    for name, most in (
        ("that list with a delta list of a tenth", 100.0),
        ("a responder that the CA certified", 1000.0),
    ):
        added = (timings.of(name).median - timings.of("neither").median) * 1e6
        goal = f"Work of ours that revocation adds to a device: {name}"
        result.goal(goal, f"at most {most:,.0f} µs", f"{added:.0f} µs", met=added <= most)
    return result


class _Bench:
    """A CA with lists and responders in place of the network, and one device of it."""

    def __init__(self, entries: int) -> None:
        self.maker = factory(KIND)
        self._ca: CaReading = read_ca(self.maker.pem, status="ACTIVE")
        self._files = CrlFiles()
        self._files.at = {
            _LIST: crl(self.maker, (entry(each) for each in range(1 << 64, (1 << 64) + entries))),
            _DELTA: delta(self.maker, (entry(each) for each in range(1 << 65, (1 << 65) + entries // 10))),
        }
        self._responders = Responders()
        reading = read_certificate(self.maker.usual_device("snr-0001").issue().pem)
        chain = verify_chain(reading, self._ca)
        self._knock = Knock(reading.facts, self.maker.id, self._ca.facts, chain, frozenset({"factory-a"}))

    def under(self, *crls: Crl, responder: Callable[[bytes], bytes] | None = None) -> Callable[[], Decision]:
        """Return what decides the device where its CA has these."""
        ocsp = None if responder is None else Ocsp(_RESPONDER)
        cas = {"factory-a": Ca("factory-a", (self.maker.id,), 1, crls, ocsp)}
        in_force: Rules = replace(made_rules(allow()), cas=cas)
        lists, responders = Crls(self._files), OcspResponders(self._responders)

        def decided() -> Decision:
            if responder is not None:
                self._responders.at[_RESPONDER] = responder
            knock = replace(
                self._knock,
                revocations=lists.of(self._knock, in_force, self._ca, pki.NOW),
                ocsp=responders.of(self._knock, in_force, self._ca, pki.NOW),
            )
            decision = decide(knock, in_force, {}, pki.NOW, pki.NOW)
            assert decision.verdict is Verdict.ADMIT, decision.reasons
            return decision

        return decided

    def signed_by(self, signer: pki.CA | pki.Issued) -> Callable[[bytes], bytes]:
        """Return a responder whose answer was signed ahead, so that signing is not timed; it is kept for no time."""
        certificates = () if isinstance(signer, pki.CA) else (signer.der,)
        draft = ResponseDraft(self.maker, responder=signer, certificates=certificates, next_update=None)
        made: list[bytes] = []

        def answer(request: bytes) -> bytes:
            if not made:
                made.append(draft.but(certificate=asked(request)[0]).issue())
            return made[0]

        return answer

    def requests(self, decided: Callable[[], Decision]) -> int:
        """Return how many requests it takes to decide so many devices."""
        self._files.fetched.clear()
        self._responders.asked.clear()
        for _ in range(DEVICES):
            decided()
        return len(self._files.fetched) + len(self._responders.asked)
