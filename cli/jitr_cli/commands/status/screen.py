"""What ``jitr status`` found, on one screen of 80 columns."""

import shutil
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import click

from jitr.text import counted
from jitr_cli.console.output import colour, safe
from jitr_operations.cas.overview import validity_left

_MOST = 4  # lists and CAs that are named; their commands name all
_LABEL = 9


def show(document: Mapping[str, Any]) -> None:
    """Print it: what needs attention first, then a line or two for each part."""
    deployment = document["deployment"]
    width = max(60, min(shutil.get_terminal_size((100, 24)).columns, 120))
    click.echo(
        safe(f"Stack {deployment['stack']}, account {deployment['account']}, Region {deployment['region']}") + "\n"
    )
    _attention(document["attention"], width)
    for label, lines in (
        ("Rules", _rules(document["rules"])),
        ("Devices", _devices(document)),
        ("Lists", _lists(document["lists"])),
        ("CAs", _cas(document["cas"])),
        ("Queues", _queues(document["queues"], document["coming_back"])),
        ("Alarms", _alarms(document["alarms"])),
    ):
        for number, line in enumerate(lines):
            head = label if number == 0 else ""
            click.echo(_wrapped(head.ljust(_LABEL), line, width))


def _attention(told: list[str], width: int) -> None:
    if not told:
        click.echo(colour("Nothing needs attention.", "green") + "\n")
        return
    click.echo(colour("Needs attention:", "yellow"))
    for number, each in enumerate(told, 1):
        click.echo(_wrapped(f"{number:>3}. ", each, width))
    click.echo()


def _wrapped(head: str, text: str, width: int) -> str:
    plain = safe(text)
    return textwrap.fill(
        plain,
        width,
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _rules(rules: Mapping[str, Any] | None) -> Iterator[str]:
    if rules is None:
        yield "none"
        return
    by = str(rules["published_by"])
    who = by.rsplit(":", 1)[-1] if by.startswith("arn:") else by
    yield f"{rules['source']}, version {rules['version']}, since {rules['published_at']} by {who}"
    if rules.get("message"):
        yield f"“{rules['message']}”"


def _devices(document: Mapping[str, Any]) -> Iterator[str]:
    words = {"admit": "admitted", "hold": "held", "reject": "rejected"}
    told = ", ".join(
        f"{'more than ' if name in document['at_least'] else ''}{count:,} {words[name]}"
        for name, count in document["decisions"].items()
    )
    yield f"{told} (certificates, with those that another one replaced)"
    newest = document["reasons_of_newest"]
    for name, reasons in document["reasons"].items():
        if reasons:
            of = f" (of the newest {newest:,})" if document["decisions"][name] > newest else ""
            told = ", ".join(f"{count:,} {code}" for code, count in list(reasons.items())[:_MOST])
            more = len(reasons) - _MOST
            yield f"{words[name]}{of}: {told}" + (f", {counted(more, 'more reason')}" if more > 0 else "")


def _lists(lists: list[Mapping[str, Any]]) -> Iterator[str]:
    if not lists:
        yield "none"
    latest = sorted(lists, key=lambda each: str(each["changed_at"]), reverse=True)
    for each in latest[:_MOST]:
        yield f"{each['list']}: {counted(each['rows'], 'row')}, changed {each['changed_at']}"
    if len(lists) > _MOST:
        yield f"and {len(lists) - _MOST} more: `jitr lists ls`"


def _cas(cas: list[Mapping[str, Any]]) -> Iterator[str]:
    if not cas:
        yield "none"
    for each in cas[:_MOST]:
        named = each["subject"] or ""
        told = [each["ca_certificate_id"][:12], named, each["status"], validity_left(each["days_left"])]
        if not each["auto_registration"]:
            told.append("auto-registration off")
        if each["provisioning_template"]:
            told.append("provisioning template!")
        yield ", ".join(part for part in told if part)
    if len(cas) > _MOST:
        yield f"and {len(cas) - _MOST} more, which last longer: `jitr ca ls`"


def _queues(queues: Mapping[str, Mapping[str, int | None]], coming_back: list[Mapping[str, Any]]) -> Iterator[str]:
    for name, each in queues.items():
        waiting, flying, oldest = each["waiting"] or 0, each["in_flight"] or 0, each["oldest_seconds"]
        if not waiting and not flying:
            yield f"{name}: empty"
            continue
        age = "for how long is unknown" if oldest is None else f"the oldest for {_age(oldest)}"
        yield f"{name}: {waiting:,} waiting, {flying:,} in flight, {age}"
    for back in coming_back[:_MOST]:
        yield f"put back of late ({back['reason']}): the oldest is {_age(back['oldest_seconds'])} old"


def _age(seconds: int) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def _alarms(alarms: list[Mapping[str, str]]) -> Iterator[str]:
    if not alarms:
        yield "none"
        return
    raised = [each["name"] for each in alarms if each["state"] == "ALARM"]
    yield f"{len(alarms)}, " + (f"raised: {', '.join(raised)}" if raised else "none raised")
