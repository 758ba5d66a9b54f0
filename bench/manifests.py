"""Vendors' manifests: elements verified and read, against the bare verifications that they need.

An element has two signatures by ECDSA on P-256: its own, and that on the certificate in it. Bare is to verify both and
do nothing else. A manifest is measured on one core, and on all of them, as `jitr lists import` reads it; bare, too,
by the same processes, because cores that all work are slower than one beside others at rest. An import is shown beside
one of CSV, into a table that takes everything and keeps nothing.
"""

from collections import deque
from collections.abc import Callable, Sequence
from functools import cache
from io import BytesIO

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from testkit import manifests, pki

from bench.list_work import processor_time
from bench.lists import nothing
from bench.measure import compare
from bench.results import Result
from jitr.devicelists.csv.serials import UNDECIDED
from jitr.devicelists.manifests.jws import Signers, read_signer
from jitr.devicelists.manifests.opening import Opener
from jitr.devicelists.manifests.reading import Options, ParallelMap, one_by_one
from jitr_operations.processes import cores, on_all_cores

_LEAST = 0.5  # of the bare rate
_IN_A_TURN = 50  # elements
_SIGNED = 2500, 400  # octets: of an element, and of a certificate


def run(*, quick: bool) -> Result:
    """Measure it."""
    result = Result("manifests")
    lot = manifests.Lot()
    text = b",".join(manifests.manifest([lot.element(number)])[1:-1] for number in range(_IN_A_TURN))
    pem = b"".join(lot.certificate(number).pem for number in range(_IN_A_TURN))
    found = compare(
        {
            "manifest": lambda: _read([b"[", text, b"]"], _IN_A_TURN, one_by_one),
            "certificates": lambda: _read([pem], _IN_A_TURN, one_by_one),
            "bare": _bare(),
        },
        turns=3 if quick else 25,
    )
    bare = found.of("bare")
    rows = [
        (name, f"{_IN_A_TURN / found.of(name).median:,.0f}", found.ratio("bare", name).told(2))
        for name in ("manifest", "certificates")
    ]
    rows.append(("bare verifications, two an element", f"{_IN_A_TURN / bare.median:,.0f}", "1"))
    result.table("verify", ("what", "elements a second, of one core", "against bare"), rows)
    _on_all_cores(result, text, repeats=80 if quick else 2_000)
    _imports(result, 500 if quick else 10_000)
    return result


def _read(pieces: Sequence[bytes], elements: int, spread: ParallelMap) -> None:
    opener = Opener(Options(signers=Signers([read_signer(manifests.SIGNER.der)])), BytesIO, None, spread)
    assert sum(1 for _ in opener(pieces, "lot", None, lambda: UNDECIDED)) == elements


def _on_all_cores(result: Result, text: bytes, *, repeats: int) -> None:
    """Measure a long manifest by the time of processors that all processes take, however busy the machine is."""
    elements = repeats * _IN_A_TURN
    pieces = [b"[", *[text + b","] * (repeats - 1), text, b"]"]
    each = _processor_time(lambda: _read(pieces, elements, on_all_cores)) / elements
    bare = _processor_time(lambda: deque(on_all_cores(_verify_bare, range(repeats)), maxlen=0)) / elements
    result.table(
        "all-cores",
        ("what", "elements a second and core", "against bare"),
        [
            (f"a manifest of {elements:,} elements, {cores()} cores", f"{1 / each:,.0f}", f"{bare / each:.2f}"),
            ("bare verifications, two an element", f"{1 / bare:,.0f}", "1"),
        ],
    )
    result.goal(
        "Elements of a signed manifest, verified and read, against the bare verifications",
        f"at least {_LEAST} × on all cores",
        f"{bare / each:.2f} ×, on {cores()} cores",
        met=bare / each >= _LEAST,
    )


def _processor_time(work: Callable[[], object]) -> float:
    before = processor_time()
    work()
    return processor_time() - before


@cache
def _verification() -> Callable[[], None]:
    """Return bare verifications, made once a process: keys cannot be given to another."""
    return _bare()


def _verify_bare(_turn: int) -> None:
    _verification()()


def _imports(result: Result, size: int) -> None:
    """Measure imports: a file is checked whole, and then its rows are written."""
    with nothing() as null:
        found = {what: null.work(what, size, "line-a") for what in ("import", "manifest")}
    result.table(
        "import",
        (f"{size:,} rows", "imported, rows a second and core"),
        [
            (told, f"{size / found[what]['processor']:,.0f}")
            for what, told in (("manifest", "a signed manifest's"), ("import", "CSV"))
        ],
    )


def _bare() -> Callable[[], None]:
    key = manifests.SIGNER.key
    assert isinstance(key, EllipticCurvePrivateKey)
    texts = [b"x" * size for size in _SIGNED]
    signatures = [pki.sign(key, text, "sha256", pss=False) for text in texts]
    public = key.public_key()

    def verify() -> None:
        for _ in range(_IN_A_TURN):
            for text, signature in zip(texts, signatures, strict=True):
                public.verify(signature, text, ECDSA(SHA256()))

    return verify
