"""The signers of manifests that a deployment believes, kept in its table.

Not in the bucket: whoever may upload a manifest there must not be able to say who is believed.
"""

from collections.abc import Mapping, Sequence

from jitr.aws.dynamodb.actions import delete, put
from jitr.aws.dynamodb.table import Item, Table
from jitr.devicelists.manifests.jws import Signer, Signers, read_signer
from jitr.errors import InputError
from jitr.text import nearest
from jitr.times import rfc3339
from jitr.values import dataclass

SIGNERS = "SIGNERS"
FORMAT = 1
MOST = 100
_SHORTEST = 8  # hex digits by which a signer may be named


@dataclass(frozen=True, slots=True)
class KnownSigner:
    """A signer, and who made it known; ``at`` is RFC 3339."""

    signer: Signer
    by: str
    at: str

    def to_json(self) -> dict[str, object]:
        """Return it as ``jitr lists signers ls --json`` prints it."""
        return {
            "sha256": self.signer.sha256,
            "name": self.signer.name,
            "not_before": rfc3339(self.signer.not_before),
            "not_after": rfc3339(self.signer.not_after),
            "any_date": self.signer.any_date,
            "by": self.by,
            "at": self.at,
        }


class SignerStore:
    """The signers in a table. Every method raises Retry where DynamoDB could not answer now."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def all(self) -> dict[str, KnownSigner]:
        """Return the signers by the SHA-256 of their certificates."""
        return {item["sk"]: _from_item(item) for item in self._table.query(SIGNERS)}

    def believed(self) -> Signers:
        """Return the signers as manifests are verified against."""
        return Signers(each.signer for each in self.all().values())

    def add(self, signer: Signer, *, by: str, at: str, beside: Sequence[Item] = ()) -> bool:
        """Keep a signer, in place of the same one; whether it was not known before. Raises InputError for too many.

        What is written ``beside`` it is in the same transaction.
        """
        there = self.all()
        if signer.sha256 not in there and len(there) >= MOST:
            raise InputError(f"{MOST} signers are known already: remove those that nothing is signed by any more")
        item = _key(signer.sha256) | {
            "format": FORMAT,
            "certificate": signer.der,
            "any_date": signer.any_date,
            "by": by,
            "at": at,
        }
        self._table.transact([put(self._table.name, item), *beside])
        return signer.sha256 not in there

    def find(self, fingerprint: str) -> KnownSigner:
        """Return the signer whose SHA-256 begins so. Raises InputError where that is none, or several."""
        wanted = fingerprint.replace(":", "").strip().lower()
        there = self.all()
        found = [each for each in there if each.startswith(wanted)] if len(wanted) >= _SHORTEST else []
        if len(found) != 1:
            raise InputError(f"{_why_not(wanted, found, there)}: `jitr lists signers ls` shows them")
        return there[found[0]]

    def remove(self, known: KnownSigner, *, beside: Sequence[Item] = ()) -> None:
        """Forget a signer, with what is written ``beside`` that in one transaction."""
        self._table.transact([delete(self._table.name, _key(known.signer.sha256)), *beside])


def _why_not(wanted: str, found: list[str], there: Mapping[str, KnownSigner]) -> str:
    if len(wanted) < _SHORTEST:
        return f"give at least {_SHORTEST} hex digits of the signer's SHA-256"
    if found:
        return f"{len(found)} signers begin with {wanted}"
    near = nearest(wanted, there)
    return f"no signer is known whose SHA-256 begins with {wanted}" + (f" (did you mean {near[:16]}?)" if near else "")


def _key(sha256: str) -> Item:
    return {"pk": SIGNERS, "sk": sha256}


def _from_item(item: Item) -> KnownSigner:
    return KnownSigner(read_signer(bytes(item["certificate"]), any_date=item["any_date"]), item["by"], item["at"])
