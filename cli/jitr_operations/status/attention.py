"""What needs an operator's attention, of what a deployment's overview found."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from jitr.text import counted, cut

QUEUES = ("RegistrationQueue", "RegistrationFailures", "RuleFailures")

_NAMED = 3  # CAs and devices that one line names
_CA_ENDS_SOON = 60  # days: renewing a CA takes weeks
_SUBJECT = 60  # characters of a CA's
_OLD = timedelta(minutes=10)  # a registration event that waits longer is worth a look


def attention(document: dict[str, Any]) -> list[str]:
    """Return what an operator should look at, the most pressing first."""
    return [
        *(
            f"alarm {each['name']} is raised: {each['description']}".rstrip(": ")
            for each in document["alarms"]
            if each["state"] == "ALARM"
        ),
        *_about_rules(document["rules"]),
        *_about_topic_rules(document["topic_rule"], document["other_topic_rules"] or ()),
        *_about_denied(document["denied"]),
        *(
            f"list {each['list']}, which deny rule {each['rule']} names, {each['why']}: it keeps nobody out; "
            f"`jitr lists import {each['list']} FILE`"
            for each in document["deny_lists"]
        ),
        *(each["meaning"] for each in document["no_longer_denied"]),
        *_about_queues(document["queues"], document["coming_back"]),
        *_about_cas(document["cas"]),
        *_about_names_of_cas(document),
        *(
            f"an import ({each['mode']}) into list {each['list']} by {each['by']} is not finished: run it again; "
            f"`jitr lists import {each['list']} FILE`"
            for each in document["imports"]
        ),
        *_about_quotas(document["quotas"]),
        *_about_devices(document),
    ]


def _about_rules(rules: dict[str, Any] | None) -> list[str]:
    if rules is None:
        return ["no rules are in force: nobody is admitted; `jitr rules publish admission.yaml`"]
    return [f"nobody is admitted: {rules['unusable']}"] if "unusable" in rules else []


def _about_topic_rules(own: dict[str, Any] | None, others: Iterable[dict[str, Any]]) -> list[str]:
    return [*([own["meaning"]] if own and own["meaning"] else []), *(str(each["meaning"]) for each in others)]


def _about_queues(queues: dict[str, dict[str, int | None]], coming_back: list[dict[str, Any]]) -> list[str]:
    told = []
    for name in QUEUES[1:]:
        if waiting := queues[name]["waiting"]:
            told.append(f"{counted(waiting, 'message is', 'messages are')} in {name}: `jitr failures ls`")
    oldest = queues[QUEUES[0]]["oldest_seconds"]
    if oldest is not None and timedelta(seconds=oldest) > _OLD:
        told.append(f"a registration event has waited for {counted(oldest // 60, 'minute')}: devices are kept out")
    told += [
        f"a registration event keeps coming back ({each['reason']}), "
        f"for {counted(each['oldest_seconds'] // 60, 'minute')}: its device is kept out"
        for each in coming_back
        if timedelta(seconds=each["oldest_seconds"]) > _OLD
    ]
    return told


def _about_cas(cas: list[dict[str, Any]]) -> list[str]:
    if not cas:
        return ["no CA is registered: no device can knock; `jitr ca register`"]
    told = []
    for each in cas:
        ca, left = f"CA {_called(each)}", each["days_left"]
        if each["provisioning_template"]:
            told.append(f"{ca} has a provisioning template, which bypasses the rules: `jitr ca show`")
        if left is not None and left < 0:
            told.append(f"{ca} has expired: nobody new under it is admitted; `jitr ca rollover`")
        elif left is not None and left < _CA_ENDS_SOON:
            told.append(f"{ca} expires in {counted(left, 'day')}: move its devices to a successor; `jitr ca rollover`")
        if each["status"] == "ACTIVE" and not each["auto_registration"]:
            told.append(f"{ca} has auto-registration off: devices under it cannot knock; `jitr ca register`")
    return told


def _called(ca: dict[str, Any]) -> str:
    """Return the beginning of a CA's id, and its subject, by which people know it."""
    subject = f" ({cut(ca['subject'], _SUBJECT)})" if ca["subject"] else ""
    return f"{ca['ca_certificate_id'][:12]}{subject}"


def _about_names_of_cas(document: dict[str, Any]) -> list[str]:
    told = []
    missing = [f"{each['alias']} ({each['ca_certificate_id'][:12]})" for each in document["unregistered_cas"]]
    if missing:
        told.append(f"not registered here, though the rules name them: CA {_some(missing)}; `jitr ca register`")
    unnamed = [
        _called(each)
        for each in document["cas"]
        if each["named"] is False and each["status"] == "ACTIVE" and each["auto_registration"]
    ]
    if unnamed:
        told.append(
            f"registered, and named by no allow rule, so that no device of it gets in: CA {_some(unnamed)}; "
            "`jitr rules publish`"
        )
    return told


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _about_denied(denied: dict[str, Any] | None) -> list[str]:
    if denied is None or not denied["active"]:
        return []
    count, among = denied["active"], denied["looked_at"]
    at_least = "at least " if denied["unknown"] else ""
    are = at_least + counted(count, "device is", "devices are")
    which = _some([each[:12] for each in denied["certificate_ids"]])
    return [
        f"{are} ACTIVE and denied by the rules in force, of the newest {among:,} that were admitted ({which}): "
        "`jitr device deactivate`, with --list for all on a list"
    ]


def _about_devices(document: dict[str, Any]) -> list[str]:
    held = document["decisions"]["hold"]
    if not held:
        return []
    more = "more than " if "hold" in document["at_least"] else ""
    are = counted(held, "device is", "devices are")
    return [f"{more}{are} held: `jitr held ls`"]


def _about_quotas(quotas: list[dict[str, Any]] | None) -> list[str]:
    told = []
    for each in quotas or ():
        name, given, quota = each["parameter"], each["is"], each["quota"]
        if given > quota:
            told.append(
                f"{name} is {given}, and the account's quota {quota}: AWS IoT throttles; deploy with {name}={quota}"
            )
        elif given < quota:
            told.append(f"{name} is {given}, and the account's quota {quota}: devices wait longer than they need to")
    return told
