"""Signers of manifests, kept and forgotten at an operator's word."""

from jitr.devicelists.manifests.jws import Signer
from jitr.records.history import HistoryKind, Values
from jitr.services.lists.signers import KnownSigner, SignerStore
from jitr_operations.deployment import Deployment
from jitr_operations.history import keeping
from jitr_operations.table import now_text, operator, table_of


def add(deployment: Deployment, signer: Signer) -> bool:
    """Keep a signer, in place of the same one; return whether it was not known before.

    Raises InputError where there are too many.
    """
    by, will_be = operator(deployment), _told(signer)
    command = ("lists", "signers", "add", signer.name, *(("--any-date",) if signer.any_date else ()))
    entry = keeping.entry(deployment, HistoryKind.SIGNER, command, by=by, subject=signer.sha256, after=will_be)
    beside = keeping.puts(deployment, entry)
    return SignerStore(table_of(deployment)).add(signer, by=by, at=now_text(), beside=beside)


def remove(deployment: Deployment, known: KnownSigner) -> None:
    """Forget a signer."""
    signer = known.signer
    command = ("lists", "signers", "remove", signer.sha256[:16])
    entry = keeping.entry(deployment, HistoryKind.SIGNER, command, subject=signer.sha256, before=_told(signer))
    SignerStore(table_of(deployment)).remove(known, beside=keeping.puts(deployment, entry))


def _told(signer: Signer) -> Values:
    return {"name": signer.name, "any_date": signer.any_date}
