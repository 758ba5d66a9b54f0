"""Which CA is meant: by its alias in the rules in force, its id, the beginning of that, or its certificate's file."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from jitr.aws.dynamodb.rulebook import rules_in_force
from jitr.errors import InputError, JitrError
from jitr.rules.model import Ca, Rules
from jitr.text import counted, meant
from jitr.unseen import quote
from jitr_operations.accounts import Account
from jitr_operations.cas.registry import RegisteredCa, all_ca_ids, described, require
from jitr_operations.deployment import Deployment
from jitr_operations.files import read_certificate
from jitr_operations.issuing.subjects import subject_text
from jitr_operations.table import table_of

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

_ID = re.compile("[0-9a-fA-F]{64}")
_BEGINNING = re.compile("[0-9a-fA-F]{8,63}")


def find(account: Account, which: str, rules: Rules | None = None) -> RegisteredCa:
    """Return the registered CA that is meant; ``rules`` are those in force, where they were read before.

    A whole id and a file are found without the rules. Raises InputError if there is not exactly one CA.
    """
    iot: IoTClient = account.client("iot")
    if Path(which).is_file():
        return _of_file(iot, Path(which))
    if _ID.fullmatch(which) is not None:
        return require(iot, which.lower())
    aliases = rules.cas if rules is not None else _aliases(account, which)
    if which in aliases:
        return require(iot, _only_one(which, aliases[which]))
    if _BEGINNING.fullmatch(which) is not None:
        return require(iot, _beginning_with(iot, which))
    raise InputError(
        f"{quote(which)} is no file, no caCertificateId (8 digits of it or more), and no CA alias of the rules in "
        f"force: {meant(which, aliases)}"
    )


def configured(deployment: Deployment, rules: Rules, which: str) -> tuple[str, tuple[str, ...]]:
    """Return the alias by which rules configure the CA that is meant, and the ids that are meant by it.

    An alias means every CA that it stands for. Raises InputError where no alias, or several, stand for the one CA.
    """
    if which in rules.cas:
        return which, rules.cas[which].ids
    found = find(deployment, which, rules)
    aliases = sorted(rules.aliases_of(found.id))
    if not aliases:
        raise InputError(f"the rules in force name no CA {found.id[:12]}: {meant(which, rules.cas)}")
    if len(aliases) > 1:
        raise InputError(f"the rules in force call {found.id[:12]} {' and '.join(aliases)}: name one of these aliases")
    return aliases[0], (found.id,)


def in_rules(rules: Rules, which: str) -> str:
    """Return the alias or the id by which rules name the CA that is meant; AWS IoT need not hold it any more.

    Raises InputError if they do not name exactly one.
    """
    if which in rules.cas:
        return which
    of_file = read_certificate(Path(which)).sha256 if Path(which).is_file() else None
    digits = which.lower() if _ID.fullmatch(which) or _BEGINNING.fullmatch(which) else None
    ids = {each for ca in rules.cas.values() for each in ca.ids}
    fitting = [each for each in ids if each == of_file or (digits is not None and each.startswith(digits))]
    if len(fitting) != 1:
        raise InputError(
            f"{quote(which)} is no alias, file or caCertificateId (8 digits of it or more) of one CA of the rules in "
            f"force: {meant(which, rules.cas)}"
        )
    return fitting[0]


def _aliases(account: Account, which: str) -> Mapping[str, Ca]:
    """Return the CAs of the rules in force; none where the beginning of an id needs no rules that cannot be read."""
    from botocore.exceptions import BotoCoreError, ClientError

    if not isinstance(account, Deployment):
        return {}
    try:
        rules = rules_in_force(table_of(account))
    except (JitrError, BotoCoreError, ClientError):
        if _BEGINNING.fullmatch(which) is None:
            raise
        return {}
    return {} if rules is None else rules.cas


def _only_one(alias: str, ca: Ca) -> str:
    if len(ca.ids) != 1:
        raise InputError(f"{alias} stands for {counted(len(ca.ids), 'CA')} in the rules in force: name one by its id")
    return ca.ids[0]


def _beginning_with(iot: "IoTClient", digits: str) -> str:
    fitting = [each for each in all_ca_ids(iot) if each.startswith(digits.lower())]
    if not fitting:
        raise InputError(f"no registered CA has an id that begins with {digits}: `jitr ca ls` prints them")
    if len(fitting) > 1:
        raise InputError(f"{len(fitting)} CAs have an id that begins with {digits}: give more of it (`jitr ca ls`)")
    return fitting[0]


def _of_file(iot: "IoTClient", file: Path) -> RegisteredCa:
    certificate = read_certificate(file)
    found = described(iot, certificate.sha256)
    if found is None and not certificate.ca.facts.is_ca:
        raise InputError(
            f"{file}: it is the certificate of a device or a server, not of a CA: name the CA that signed it, "
            f"{subject_text(certificate.issuer)} (`jitr ca ls`)"
        )
    return found or require(iot, certificate.sha256)
