"""What the rules in force say of CAs: the aliases that stand for one, and the rules that name it."""

from dataclasses import dataclass

from jitr.aws.dynamodb.rulebook import rules_in_force
from jitr.errors import JitrError
from jitr.rules.model import DenyRule, Rule, Rules
from jitr_operations import telling
from jitr_operations.accounts import Account
from jitr_operations.deployment import Choice
from jitr_operations.table import table_of


@dataclass(frozen=True)
class Named:
    """The places where the rules in force name a CA. Rules without ``ca`` apply to all CAs: none of these."""

    aliases: tuple[str, ...]
    rules: tuple[tuple[str, str, str], ...]  # deny or allow, its name, its place in the file

    def to_json(self) -> dict[str, object]:
        """Return it as ``--json`` prints it."""
        return {
            "aliases": list(self.aliases),
            "rules": [{"effect": effect, "rule": name, "at": at} for effect, name, at in self.rules],
        }


UNKNOWN: dict[str, object] = {"aliases": None, "rules": None}  # in JSON, where the rules could not be asked


def named_in(rules: Rules, ca_id: str) -> Named:
    """Return where the rules speak of the CA with this caCertificateId."""
    aliases = rules.aliases_of(ca_id)
    naming = [each for each in (*rules.deny, *rules.allow) if aliases.intersection(each.cas or ())]
    return Named(tuple(sorted(aliases)), tuple((_effect(each), each.name, rules.at(each)) for each in naming))


def _effect(rule: Rule) -> str:
    return "deny" if isinstance(rule, DenyRule) else "allow"


def account_and_rules(choice: Choice, *, stack_needed: bool) -> tuple[Account, Rules | None]:
    """Return where to work, and the rules in force there; None, and a note why, where they are not to be had.

    CAs can be looked after before a stack is deployed, and by who may not read its table. Raises InputError where the
    stack is needed and is not there, and what ``Choice.account`` raises.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    account: Account | None = None
    try:
        deployment = account = choice.deployment()
        return deployment, rules_in_force(table_of(deployment)) or Rules(source="")
    except (JitrError, ClientError, BotoCoreError) as problem:
        if account is None and stack_needed:
            raise
        account = account or choice.account()  # raises what is wrong with the account itself
        telling.note(f"Aliases and rules are left out: {problem}")
        return account, None
