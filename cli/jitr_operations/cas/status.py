"""CAs made ACTIVE and INACTIVE, and deleted, at an operator's word, which is written into the history."""

from jitr.errors import InputError
from jitr.records.history import HistoryKind
from jitr_operations import telling
from jitr_operations.accounts import Account
from jitr_operations.cas.registry import RegisteredCa, warn_of_template
from jitr_operations.history import keeping


def activate(account: Account, ca: RegisteredCa, why: str | None = None) -> None:
    """Make a CA ACTIVE; one that is so stays as it is. ``why`` is for the history.

    Raises InputError where its provisioning template would let devices in past the rules.
    """
    if ca.template is not None:
        warn_of_template(ca)
        raise InputError(f"take the provisioning template off the CA {ca.id} before you activate it")
    if ca.status == "ACTIVE":
        return
    with _doing(account, ca, "activate", why=why, lets_in=True) as doing:
        account.client("iot").update_ca_certificate(certificateId=ca.id, newStatus="ACTIVE")
        doing.after["status"] = "ACTIVE"


def deactivate(
    account: Account, ca: RegisteredCa, command: tuple[str, ...] | None = None, why: str | None = None
) -> None:
    """Make a CA INACTIVE; one that is so stays as it is.

    ``command`` says which command does it, if it is another; ``why`` is for the history.
    """
    if ca.status != "ACTIVE":
        return
    with _doing(account, ca, "deactivate", command=command, why=why) as doing:
        account.client("iot").update_ca_certificate(certificateId=ca.id, newStatus="INACTIVE")
        doing.after["status"] = "INACTIVE"


def delete(account: Account, ca: RegisteredCa, why: str | None = None) -> None:
    """Delete a CA from AWS IoT, which takes INACTIVE ones only: one that is ACTIVE becomes so first.

    ``why`` is for the history.
    """
    iot = account.client("iot")
    with _doing(account, ca, "delete", why=why) as doing:
        if ca.status == "ACTIVE":
            iot.update_ca_certificate(certificateId=ca.id, newStatus="INACTIVE")
            doing.after["status"] = "INACTIVE"
            telling.note("It is INACTIVE now.")
        iot.delete_ca_certificate(certificateId=ca.id)
        doing.after["status"] = "deleted"


def _doing(
    account: Account,
    ca: RegisteredCa,
    what: str,
    *,
    command: tuple[str, ...] | None = None,
    why: str | None = None,
    lets_in: bool = False,
) -> keeping.Changing:
    words = command or ("ca", what, ca.id[:12])
    before = {"status": ca.status, "auto_registration": ca.auto_registration}
    return keeping.doing(account, HistoryKind.CA, words, subject=ca.id, why=why, before=before, lets_in=lets_in)
