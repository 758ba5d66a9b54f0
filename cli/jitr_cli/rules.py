"""``jitr rules publish``: put a rules file in force."""

from dataclasses import dataclass
from pathlib import Path

import click

from jitr.aws import publication
from jitr.aws.table import Conflict
from jitr.errors import InputError
from jitr.record import Heads
from jitr.rules.model import Rules
from jitr_cli.deployment import Choice, Deployment, stack_options
from jitr_cli.output import confirm, emit, json_option, note, warn
from jitr_cli.rules_files import read_and_test
from jitr_cli.table import now_text, operator, table_of


@click.command("publish")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--message", "-m", metavar="TEXT", help="Why, for the history.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@stack_options
@json_option
def publish(file: Path, message: str | None, yes: bool, choice: Choice, as_json: bool) -> None:
    """Check a rules file, run the tests in it, and put it in force.

    What is in force stays in force if the file has an error, a test in it fails, or somebody else published
    meanwhile.

    \b
    Example:
      jitr rules publish admission.yaml --message "line B starts"
    """
    rules, text = read_and_test(file)
    deployment = choice.deployment()
    _check_against_account(rules, deployment)
    table = table_of(deployment)
    before = table.heads()
    if before.digest == rules.digest:
        _tell(as_json, publication.in_force(table), changed=False)
        return
    deployment.announce("dynamodb")
    confirm(_question(rules, before), yes)
    try:
        version = publication.publish(
            table, rules, text, before, at=now_text(), by=operator(deployment), message=message
        )
    except Conflict:
        raise InputError(
            "somebody else published rules while you were at it, and theirs are in force: "
            "look at them (`jitr status`), bring your file up to date and publish again"
        ) from None
    _tell(as_json, version, changed=True)


def _question(rules: Rules, before: Heads) -> str:
    told = f"{len(rules.allow)} allow rules, {len(rules.deny)} deny rules"
    instead = "no rules are in force yet" if before.digest is None else f"in place of version {before.version}"
    return f"Put {rules.source} in force ({told}; {instead})?"


def _tell(as_json: bool, version: publication.Version | None, *, changed: bool) -> None:
    if version is None:
        raise InputError("no rules are in force")
    document = version.to_json() | {"changed": changed}
    what = "in force" if changed else "was in force already, nothing changed:"
    emit(as_json, document, f"{version.source} {what} as version {version.version} ({version.digest[:12]})")
    if changed:
        note("Held devices are decided again at their next knock.")


@dataclass(frozen=True, slots=True)
class _Missing:
    kind: str
    name: str
    remedy: str


def _check_against_account(rules: Rules, deployment: Deployment) -> None:
    """What the rules name and the account does not have: devices would be held for it."""
    for missing in (*_missing_in_iot(rules, deployment), *_missing_lists(rules, deployment)):
        warn(f"{missing.kind} {missing.name} does not exist: {missing.remedy}")


def _missing_in_iot(rules: Rules, deployment: Deployment) -> list[_Missing]:
    iot = deployment.client("iot")
    absent = iot.exceptions.ResourceNotFoundException
    grants = [rule.grant for rule in rules.allow]
    held = "devices that get it are held until it does"
    lookups = [
        (
            "CA",
            {each for ca in rules.cas.values() for each in ca.ids},
            _describe_ca,
            "`jitr ca register` its certificate",
        ),
        ("IoT policy", {each for grant in grants for each in grant.iot_policies}, _get_policy, held),
        ("thing group", {each for grant in grants for each in grant.thing_groups}, _describe_group, held),
        ("thing type", {grant.thing_type for grant in grants if grant.thing_type}, _describe_type, held),
    ]
    missing = []
    for kind, names, ask, remedy in lookups:
        for name in sorted(names):
            try:
                ask(deployment, name)
            except absent:
                missing.append(_Missing(kind, name, remedy))
    return missing


def _describe_ca(deployment: Deployment, name: str) -> None:
    deployment.client("iot").describe_ca_certificate(certificateId=name)


def _get_policy(deployment: Deployment, name: str) -> None:
    deployment.client("iot").get_policy(policyName=name)


def _describe_group(deployment: Deployment, name: str) -> None:
    deployment.client("iot").describe_thing_group(thingGroupName=name)


def _describe_type(deployment: Deployment, name: str) -> None:
    deployment.client("iot").describe_thing_type(thingTypeName=name)


def _missing_lists(rules: Rules, deployment: Deployment) -> list[_Missing]:
    lists = table_of(deployment).heads().lists
    absent = [name for name in rules.lists if name not in lists]
    return [
        _Missing("device list", name, f"it counts as empty until `jitr lists import {name} FILE`") for name in absent
    ]
