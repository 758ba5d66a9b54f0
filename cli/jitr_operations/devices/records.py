"""Decision records beside device certificates, for commands that also work where no stack is deployed."""

from collections.abc import Iterable

from jitr.aws.dynamodb.table import Table
from jitr.errors import InputError
from jitr.facts import CertificateFacts, ChainFacts, Knock
from jitr.records.record import Record
from jitr_operations import telling
from jitr_operations.accounts import Account
from jitr_operations.deployment import Choice
from jitr_operations.table import table_of


def account_and_table(choice: Choice, without: str = "No decisions are shown") -> tuple[Account, Table | None]:
    """Return the account, and the table of the stack; None, and a note, where there is no stack.

    ``without`` says what that means for the command. Raises InputError where it is the account or the Region that
    cannot be found.
    """
    try:
        deployment = choice.deployment()
        return deployment, table_of(deployment)
    except InputError as problem:
        account = choice.account()  # what was wrong with the account is wrong here, too
        telling.note(f"{without}: {problem}")
        return account, None


def records_of(table: Table | None, certificate_ids: Iterable[str]) -> dict[str, Record]:
    """Return the existing decision records of these certificates, by certificateId."""
    if table is None:
        return {}
    return {each.certificate_id: each for each in table.records(list(certificate_ids))}


def facts_of(record: Record | None) -> CertificateFacts | None:
    """Return what was read from the certificate when it was decided."""
    return None if record is None or record.facts is None else CertificateFacts.from_json(record.facts)


def knock_of(record: Record | None) -> Knock | None:
    """Return the device as its record has it, with the other id that its certificate may have; None without facts."""
    facts = facts_of(record)
    if record is None or record.facts is None or facts is None:
        return None
    chain = record.facts.get("chain")
    return Knock(facts, record.ca_certificate_id, None, None if chain is None else ChainFacts.from_json(chain))


def name_in(facts: CertificateFacts | None) -> str | None:
    """Return the name by which a person knows the device."""
    names = facts.values("common_name") if facts else ()
    return ", ".join(names) or None
