"""Vendors' manifests: elements verified and read, against the bare verifications that they need.

An element has two signatures by ECDSA on P-256: its own, and that on the certificate in it. Bare is to verify both and
do nothing else, on one core; a manifest is read on one core, too.
"""

from collections.abc import Callable
from io import BytesIO

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from testkit import manifests, pki

from bench.measure import compare
from bench.results import Result
from jitr.devicelists.csv.serials import UNDECIDED
from jitr.devicelists.manifests.jws import Signers, read_signer
from jitr.devicelists.manifests.opening import Opener
from jitr.devicelists.manifests.reading import Options

_LEAST = 0.5  # of the bare rate
_IN_A_TURN = 50  # elements
_SIGNED = 2500, 400  # octets: of an element, and of a certificate


def run(*, quick: bool) -> Result:
    """Measure it."""
    result = Result("manifests")
    opener = Opener(Options(signers=Signers([read_signer(manifests.SIGNER.der)])), BytesIO)
    lot = manifests.Lot()
    lines = [manifests.manifest([lot.element(number)])[1:-1] for number in range(_IN_A_TURN)]
    data = b"[" + b",".join(lines) + b"]"
    pem = b"".join(lot.certificate(number).pem for number in range(_IN_A_TURN))

    def read(text: bytes) -> None:
        rows = sum(1 for _ in opener([text], "lot", None, lambda: UNDECIDED))
        assert rows == _IN_A_TURN

    found = compare(
        {
            "manifest": lambda: read(data),
            "certificates": lambda: read(pem),
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
    ratio = found.ratio("bare", "manifest")
    result.goal(
        "Elements of a signed manifest, verified and read, against the bare verifications",
        f"at least {_LEAST} × on all cores",
        f"{ratio.told(2)} ×, on one core",
        met=False,  # it uses one core, whatever there are
    )
    return result


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
