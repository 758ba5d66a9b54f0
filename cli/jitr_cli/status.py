"""``jitr status``: the first command of the day."""

from datetime import datetime
from typing import Any

import click

from jitr.aws.device_lists import DeviceLists
from jitr.aws.publication import in_force
from jitr.certificate import read_ca
from jitr.errors import Unreadable
from jitr.reasons import Verdict
from jitr_cli.deployment import Choice, Deployment, stack_options
from jitr_cli.output import emit, json_option, pairs, table
from jitr_cli.records import count
from jitr_cli.table import table_of

_QUEUES = ("RegistrationQueue", "RegistrationFailures", "RuleFailures")


@click.command("status")
@stack_options
@json_option
def status(choice: Choice, as_json: bool) -> None:
    """Show what is deployed: rules in force, CAs, lists, decisions, queues, alarms, and what needs attention first."""
    deployment = choice.deployment()
    document: dict[str, Any] = {
        "deployment": {
            "stack": deployment.stack_name,
            "account": deployment.account_id,
            "region": deployment.region,
            "endpoint": deployment.endpoint,
        },
        "rules": _rules(deployment),
        "cas": _cas(deployment),
        "lists": _lists(deployment),
        "decisions": {each.value: count(table_of(deployment), each) for each in Verdict},
        "queues": {name: _waiting(deployment, name) for name in _QUEUES},
        "alarms": _alarms(deployment),
    }
    document["attention"] = _attention(document)
    emit(as_json, document, lambda: _show(document))


def _rules(deployment: Deployment) -> dict[str, Any] | None:
    version = in_force(table_of(deployment))
    return None if version is None else version.to_json()


def _cas(deployment: Deployment) -> list[dict[str, Any]]:
    iot = deployment.client("iot")
    found = []
    for page in iot.get_paginator("list_ca_certificates").paginate():
        for each in page["certificates"]:
            described = iot.describe_ca_certificate(certificateId=each["certificateId"])
            certificate = described["certificateDescription"]
            found.append(
                {
                    "ca_certificate_id": each["certificateId"],
                    "status": certificate["status"],
                    "auto_registration": certificate.get("autoRegistrationStatus", "DISABLE") == "ENABLE",
                    "not_after": _not_after(certificate["certificatePem"]),
                    "provisioning_template": described.get("registrationConfig", {}).get("templateName")
                    or ("templateBody" if described.get("registrationConfig", {}).get("templateBody") else None),
                }
            )
    return found


def _not_after(pem: str) -> datetime | None:
    try:
        return read_ca(pem.encode(), status="").facts.not_after
    except Unreadable:
        return None


def _lists(deployment: Deployment) -> list[dict[str, Any]]:
    found = DeviceLists(table_of(deployment)).all().values()
    return [{"list": each.name, "rows": each.rows, "changed_at": each.changed_at} for each in found]


def _waiting(deployment: Deployment, name: str) -> dict[str, int]:
    answer = deployment.client("sqs").get_queue_attributes(
        QueueUrl=deployment.output(f"{name}Url"),
        AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
    )
    attributes = answer["Attributes"]
    return {
        "waiting": int(attributes["ApproximateNumberOfMessages"]),
        "in_flight": int(attributes["ApproximateNumberOfMessagesNotVisible"]),
    }


def _alarms(deployment: Deployment) -> list[dict[str, str]]:
    names = [value for name, value in deployment.outputs.items() if name.endswith("AlarmName")]
    if not names:
        return []
    found = deployment.client("cloudwatch").describe_alarms(AlarmNames=names)["MetricAlarms"]
    return [{"alarm": each["AlarmName"], "state": each["StateValue"]} for each in found]


def _attention(document: dict[str, Any]) -> list[str]:
    """What an operator should look at, the most pressing first."""
    told = [f"alarm {each['alarm']} is raised" for each in document["alarms"] if each["state"] == "ALARM"]
    if document["rules"] is None:
        told.append("no rules are in force: nobody is admitted; `jitr rules publish admission.yaml`")
    told += [
        f"CA {each['ca_certificate_id'][:12]} has a provisioning template, which bypasses the rules"
        for each in document["cas"]
        if each["provisioning_template"]
    ]
    told += [
        f"{document['queues'][name]['waiting']} messages lie in {name}"
        for name in _QUEUES[1:]
        if document["queues"][name]["waiting"]
    ]
    if not document["cas"]:
        told.append("no CA is registered: no device can knock; `jitr ca register`")
    if document["decisions"]["hold"]:
        told.append(f"{document['decisions']['hold']} devices are held: `jitr held ls`")
    return told


def _show(document: dict[str, Any]) -> None:
    deployment, rules, queues = document["deployment"], document["rules"], document["queues"]
    in_force_now = (
        "none"
        if rules is None
        else f"{rules['source']}, version {rules['version']}, {rules['published_at']}, by {rules['published_by']}"
    )
    pairs(
        [
            ("stack", f"{deployment['stack']}, account {deployment['account']}, Region {deployment['region']}"),
            ("rules", in_force_now),
            ("admitted", document["decisions"]["admit"]),
            ("held", document["decisions"]["hold"]),
            ("rejected", document["decisions"]["reject"]),
            *((name, f"{each['waiting']} waiting, {each['in_flight']} in flight") for name, each in queues.items()),
            *((each["alarm"], each["state"]) for each in document["alarms"]),
        ]
    )
    click.echo()
    table(
        ("CA", "status", "auto-registration", "valid until"),
        [
            (
                each["ca_certificate_id"][:12],
                each["status"],
                "on" if each["auto_registration"] else "off",
                each["not_after"],
            )
            for each in document["cas"]
        ],
    )
    click.echo()
    table(("list", "rows", "changed"), [(each["list"], each["rows"], each["changed_at"]) for each in document["lists"]])
    click.echo()
    click.echo("Needs attention:" if document["attention"] else "Nothing needs attention.")
    for each in document["attention"]:
        click.echo(f"- {each}")
