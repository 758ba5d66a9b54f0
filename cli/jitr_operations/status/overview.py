"""The state of a deployment: what is in force, what waits, and what needs attention first."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from jitr.aws.dynamodb.rulebook import Rulebook
from jitr.aws.dynamodb.table import Table
from jitr.aws.metrics import NAMESPACE, RETRY_AGE_REASONS
from jitr.errors import Retry
from jitr.reasons import Verdict
from jitr.rules.model import Rules
from jitr.services.lists.device_lists import IMPORTS, LEFT, DeviceLists
from jitr.services.publishing.versions import in_force
from jitr_operations.cas.registry import all_ca_ids, described
from jitr_operations.deployment import Deployment
from jitr_operations.devices.denied import denied_and_in
from jitr_operations.devices.registry import Registry
from jitr_operations.lists.deny_lists import dropped_by_rules, idle
from jitr_operations.records import count_at_most
from jitr_operations.rules.topic_rules import Taking, taking_as_far_as_allowed
from jitr_operations.status.attention import QUEUES, attention
from jitr_operations.status.newest import Newest
from jitr_operations.status.quotas import quotas
from jitr_operations.table import now, table_of

# What is counted and looked at every morning must not grow with the fleet.
_MOST_COUNTED = 50_000  # decisions of one verdict, about
# A message that comes back does so within five minutes, and CloudWatch knows of it a little later.
_COMES_BACK_WITHIN = timedelta(minutes=10)


def overview(deployment: Deployment, newest: Newest | None = None) -> dict[str, Any]:
    """Return what is deployed and in force, and under ``attention`` what an operator should look at first.

    Work is bounded: decisions are counted up to about 50,000 of each verdict, reasons are those of the newest 1,000.
    Whoever looks at these as well passes them.
    """
    table = table_of(deployment)
    newest = newest or Newest(table)
    at = now()
    version, rules = _rules(table)
    cas = _cas(deployment, rules, at)
    document: dict[str, Any] = {
        "deployment": {
            "stack": deployment.stack_name,
            "account": deployment.account_id,
            "region": deployment.region,
            "endpoint": deployment.endpoint,
        },
        "rules": version,
        "cas": cas,
        "unregistered_cas": _unregistered(rules, cas),
        **_topic_rules(taking_as_far_as_allowed(deployment)),
        "lists": [
            {"list": each.name, "rows": each.rows, "changed_at": each.changed_at}
            for each in DeviceLists(table).all().values()
        ],
        "imports": [
            {"list": each["list"], "mode": each["mode"], "by": each["by"], "at": each["at"]}
            for each in table.query(IMPORTS)
            if each["mode"] != LEFT
        ],
        **_decisions(table, newest),
        "denied": None if rules is None else _denied(deployment, table, rules, newest, at),
        "deny_lists": [] if rules is None else idle(table, rules, at),
        "no_longer_denied": [] if rules is None else [each.to_json() for each in dropped_by_rules(table, rules)],
        "queues": {name: _waiting(deployment, name, at) for name in QUEUES},
        "coming_back": _coming_back(deployment, at),
        "alarms": _alarms(deployment),
        "quotas": quotas(deployment),
    }
    document["attention"] = attention(document)
    return document


def _rules(table: Table) -> tuple[dict[str, Any] | None, Rules | None]:
    """Return the publication in force, and its rules; None in place of what is not there or cannot be read."""
    version = in_force(table)
    if version is None:
        return None, None
    try:
        rules = Rulebook(table).in_force(table.heads())
    except Retry as problem:
        return version.to_json() | {"unusable": str(problem)}, None
    return version.to_json(), rules


def _unregistered(rules: Rules | None, cas: list[dict[str, Any]]) -> list[dict[str, str]]:
    registered = {each["ca_certificate_id"] for each in cas}
    named = [] if rules is None else [(alias, each) for alias, ca in rules.cas.items() for each in ca.ids]
    return [{"alias": alias, "ca_certificate_id": each} for alias, each in named if each not in registered]


def _topic_rules(found: Taking | None) -> dict[str, Any]:
    if found is None:
        return {"topic_rule": None, "other_topic_rules": None}
    own = {"topic_rule": found.own, "enabled": found.enabled, "meaning": found.told}
    return {"topic_rule": own, "other_topic_rules": [each.to_json() | {"meaning": each.told} for each in found.others]}


def _denied(deployment: Deployment, table: Table, rules: Rules, newest: Newest, at: datetime) -> dict[str, Any]:
    return denied_and_in(table, rules, Registry(deployment.client("iot")), newest.of(Verdict.ADMIT), at)


def _count(table: Table, newest: Newest, verdict: Verdict) -> tuple[int, bool]:
    """Return how many devices have a verdict, and whether there are more; the newest are read already."""
    found = newest.of(verdict)
    return (len(found), False) if len(found) < newest.most else count_at_most(table, verdict, _MOST_COUNTED)


def _decisions(table: Table, newest: Newest) -> dict[str, Any]:
    counts = {each.value: _count(table, newest, each) for each in Verdict}
    reasons = {
        each.value: Counter(record.reasons[0]["code"] for record in newest.of(each) if record.reasons)
        for each in (Verdict.HOLD, Verdict.REJECT)
    }
    return {
        "decisions": {name: count for name, (count, _) in counts.items()},
        "at_least": [name for name, (_, more) in counts.items() if more],
        "reasons": {name: dict(each.most_common()) for name, each in reasons.items()},
        "reasons_of_newest": newest.most,
    }


def _cas(deployment: Deployment, rules: Rules | None, at: datetime) -> list[dict[str, Any]]:
    iot = deployment.client("iot")
    found = []
    for each in all_ca_ids(iot):
        ca = described(iot, each)
        if ca is None:
            continue
        certificate = ca.certificate
        ends = None if certificate is None else certificate.not_after
        found.append(
            {
                "ca_certificate_id": ca.id,
                "subject": ca.to_json()["subject"],
                "status": ca.status,
                "auto_registration": ca.auto_registration == "ENABLE",
                "not_after": ends,
                "days_left": None if ends is None else (ends - at).days,
                "provisioning_template": ca.template,
                "named": None if rules is None else _is_named(rules, ca.id),
            }
        )
    return sorted(found, key=lambda ca: (ca["days_left"] is None, ca["days_left"]))


def _is_named(rules: Rules, ca_id: str) -> bool:
    """Return whether some allow rule is for devices of this CA: one that names it, or that names no CA."""
    aliases = rules.aliases_of(ca_id) | {ca_id}
    return any(each.cas is None or aliases.intersection(each.cas) for each in rules.allow)


def _waiting(deployment: Deployment, name: str, at: datetime) -> dict[str, int | None]:
    url = deployment.output(f"{name}Url")
    answer = deployment.client("sqs").get_queue_attributes(
        QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    )
    attributes = answer["Attributes"]
    return {
        "waiting": int(attributes["ApproximateNumberOfMessages"]),
        "in_flight": int(attributes["ApproximateNumberOfMessagesNotVisible"]),
        "oldest_seconds": _oldest(deployment, url.rsplit("/", 1)[-1], at),
    }


def _oldest(deployment: Deployment, queue: str, at: datetime) -> int | None:
    """Return how long the oldest message waits, as CloudWatch knew it last; None where it does not."""
    points = deployment.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/SQS",
        MetricName="ApproximateAgeOfOldestMessage",
        Dimensions=[{"Name": "QueueName", "Value": queue}],
        StartTime=at - timedelta(minutes=15),
        EndTime=at,
        Period=60,
        Statistics=["Maximum"],
    )["Datapoints"]
    latest = max(points, key=lambda each: each["Timestamp"], default=None)
    return None if latest is None else int(latest["Maximum"])


def _coming_back(deployment: Deployment, at: datetime) -> list[dict[str, Any]]:
    """Return the age of the oldest event that came back of late, by why it did; the oldest first.

    SQS leaves what was received three times out of its own metric of the oldest message.
    """
    reasons = {f"r{number}": reason for number, reason in enumerate(RETRY_AGE_REASONS)}
    answer = deployment.client("cloudwatch").get_metric_data(
        MetricDataQueries=[
            {
                "Id": name,
                "MetricStat": {
                    "Metric": {
                        "Namespace": NAMESPACE,
                        "MetricName": "RetryAge",
                        "Dimensions": [
                            {"Name": "service", "Value": deployment.stack_name},
                            {"Name": "reason", "Value": reason},
                        ],
                    },
                    "Period": 60,
                    "Stat": "Maximum",
                },
            }
            for name, reason in reasons.items()
        ],
        StartTime=at - _COMES_BACK_WITHIN,
        EndTime=at,
    )
    found = [
        {"reason": reasons[each["Id"]], "oldest_seconds": int(max(each["Values"]))}
        for each in answer["MetricDataResults"]
        if each["Values"]
    ]
    return sorted(found, key=lambda each: -int(each["oldest_seconds"]))


def _alarms(deployment: Deployment) -> list[dict[str, str]]:
    outputs = {value: name.removesuffix("AlarmName") for name, value in deployment.outputs.items()}
    names = [value for value, name in outputs.items() if f"{name}AlarmName" in deployment.outputs]
    found = []
    for start in range(0, len(names), 100):  # CloudWatch API reference, DescribeAlarms
        answer = deployment.client("cloudwatch").describe_alarms(AlarmNames=names[start : start + 100])
        found += answer["MetricAlarms"]
    return [
        {
            "alarm": each["AlarmName"],
            "name": outputs[each["AlarmName"]],
            "state": each["StateValue"],
            "description": each.get("AlarmDescription", ""),
        }
        for each in found
    ]
