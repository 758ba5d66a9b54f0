"""``jitr fleet check``: how the devices that are in stand today."""

from collections import Counter
from datetime import datetime
from pathlib import Path

import click

from jitr.errors import Refused, Retry
from jitr.fleet.standing import Standing
from jitr.services.fleet.findings import (
    CUT_OFF,
    FleetFinding,
    beyond_its_grant,
    codes,
    may_be_cut_off,
    may_be_given_back,
    told,
)
from jitr.text import counted
from jitr_cli.console import completion, output
from jitr_cli.console.filters import ca_option
from jitr_cli.console.options import FILE, stack_options
from jitr_cli.console.since import since_option
from jitr_operations.deployment import Choice, Deployment
from jitr_operations.fleet.check import FleetChecked, check
from jitr_operations.fleet.mending import Mended, Mender
from jitr_operations.fleet.notebook import Notebook
from jitr_operations.fleet.selection import Selection

SHOWN = 50  # of each kind; --json has all
WORDS = {
    Standing.REJECT: "in, and would be rejected today",
    Standing.HOLD: "in, and would be held today",
    Standing.UNKNOWN: "in, and let in by nobody we know",
    Standing.GONE: "admitted, and gone from AWS IoT",
    Standing.CHANGED: "changed by another hand",
    Standing.DRIFT: "not what was granted",
}


@click.command("check")
@ca_option
@click.option(
    "--rule", metavar="NAME", shell_complete=completion.rule_names, help="Only those that this rule admitted."
)
@since_option
@click.option(
    "--only",
    type=click.Choice([each.value for each in Standing]),
    multiple=True,
    help="Only what is found of this kind; repeatable.",
)
@click.option(
    "--attachments", is_flag=True, help="Ask of each device whether its certificate is attached to its thing."
)
@click.option("--without-ocsp", is_flag=True, help="Ask no OCSP responder.")
@click.option("--resume", type=FILE, metavar="FILE", help="Keep in FILE how far it came, and go on from there.")
@click.option("--deactivate", is_flag=True, help="Make those INACTIVE that are in and ought not to be.")
@click.option("--reattach", is_flag=True, help="Give devices again what they were granted and do not have.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@stack_options
@output.json_option
@click.pass_context
def command(
    context: click.Context,
    ca: str | None,
    rule: str | None,
    since: datetime | None,
    only: tuple[str, ...],
    attachments: bool,
    without_ocsp: bool,
    resume: Path | None,
    deactivate: bool,
    reattach: bool,
    yes: bool,
    choice: Choice,
    as_json: bool,
) -> None:
    """Check every device that is in: would it be admitted today, and does AWS IoT have what it was granted?

    Each admitted device is decided again from its recorded facts, under today's rules, lists and revocation lists. A
    finding is of one of these kinds:

    \b
      reject   ACTIVE, and would be rejected today
      hold     ACTIVE, and would be held today
      unknown  ACTIVE under a CA of yours, but neither a rule nor a jitr command let it in
      gone     admitted, but AWS IoT has no such certificate
      changed  somebody else set the certificate's status
      drift    IoT policies, thing, type, groups or attributes differ from the grant

    Nothing is changed without --deactivate (reject, hold and unknown) or --reattach (drift), which show the devices and
    ask. AWS IoT is called at half of registration's pace. Devices that are being decided are skipped.

    Exit code 1 means that something was found and not fixed.

    \b
    Examples:
      jitr fleet check
      jitr fleet check --only reject --rule line-a-sensors --deactivate
      jitr fleet check --ca factory-a --resume check.notebook --json
    """
    _refuse_contradictions(rule, frozenset(map(Standing, only)), attachments, deactivate, reattach, yes)
    selection = Selection(
        ca=ca,
        rule=rule,
        since=since,
        only=frozenset(map(Standing, only)) or frozenset(Standing),
        attachments=attachments,
        ocsp=not without_ocsp,
    )
    deployment = choice.anew().deployment()
    checked = _checked(deployment, selection, resume)
    _show_found(checked)
    mended = _mend(deployment, checked, selection, deactivate=deactivate, reattach=reattach, yes=yes)
    document = checked.to_json() | {name: each.to_json() for name, each in mended.items()}
    output.emit(as_json, document, "\n".join(_summary(checked, mended)))
    if reattach:
        _tell_beyond(checked)
    _tell_left(mended)
    done = {each for mend in mended.values() for each in mend.done}
    if any(each["certificate_id"] not in done for each in checked.findings):
        context.exit(1)


def _refuse_contradictions(
    rule: str | None, only: frozenset[Standing], attachments: bool, deactivate: bool, reattach: bool, yes: bool
) -> None:
    """Raise UsageError for options of which one leaves nothing to another: the check would end well for nothing."""
    if yes and not (deactivate or reattach):
        raise click.UsageError("--yes goes with --deactivate or --reattach: nothing else is asked.")
    if only and deactivate and only.isdisjoint(CUT_OFF):
        raise click.UsageError("--deactivate is for reject, hold and unknown, and --only leaves them all out.")
    for option, given in (("--reattach", reattach), ("--attachments", attachments)):
        if only and given and Standing.DRIFT not in only:
            raise click.UsageError(f"{option} is for drift, and --only leaves it out.")
    if rule is not None and only == {Standing.UNKNOWN}:
        raise click.UsageError("--rule and --only unknown exclude each other: no rule let those in.")


def _checked(deployment: Deployment, selection: Selection, resume: Path | None) -> FleetChecked:
    notebook, finished = Notebook(resume), False
    try:
        checked = check(deployment, selection, notebook)
        finished = True
    finally:
        if notebook.close(finished=finished):
            output.note(f"How far it came is in {resume}: the same command goes on from there, within a day.")
    return checked


def _show_found(checked: FleetChecked) -> None:
    for standing in Standing:
        found = [each for each in checked.findings if each["finding"] == standing.value]
        if not found:
            continue
        output.note(f"{WORDS[standing][0].upper()}{WORDS[standing][1:]}:")
        for each in found[:SHOWN]:
            name = each["common_name"] or "(no common name)"
            # Of one that AWS IoT does not have, `jitr device delete` takes the whole id.
            shown = each["certificate_id"] if standing is Standing.GONE else each["certificate_id"][:12]
            output.note(f"  {shown}  {name}  {told(each)}")
        if len(found) > SHOWN:
            output.note(f"  … and {len(found) - SHOWN} more (--json shows all)")
    for text in checked.not_looked_for:
        output.note(f"Not looked for: {text}.")


def _summary(checked: FleetChecked, mended: dict[str, Mended]) -> list[str]:
    lines = [
        f"{counted(checked.looked_at, 'admitted certificate')} checked, under version {checked.version} of the rules"
    ]
    counts = checked.count()
    for standing in Standing:
        if counts[standing.value]:
            lines.append(f"  {counts[standing.value]:>7}  {WORDS[standing]}{_by_code(checked, standing)}")
    if checked.left_alone:
        lines.append(f"  {checked.left_alone:>7}  being decided at this moment, and left alone")
    if not checked.findings:
        lines.append("Nothing was found.")
    if "deactivated" in mended:
        lines.append(f"Made {counted(len(mended['deactivated'].done), 'device')} INACTIVE")
    if "reattached" in mended:
        lines.append(f"Gave {counted(len(mended['reattached'].done), 'device')} again what was granted")
    return lines


def _by_code(checked: FleetChecked, standing: Standing) -> str:
    found = Counter(codes(each)[0] for each in checked.findings if each["finding"] == standing.value and codes(each))
    if standing is Standing.UNKNOWN or not found:
        return ""
    return ": " + ", ".join(f"{code} {count}" for code, count in found.most_common())


def _mend(
    deployment: Deployment, checked: FleetChecked, selection: Selection, *, deactivate: bool, reattach: bool, yes: bool
) -> dict[str, Mended]:
    mended: dict[str, Mended] = {}
    if not (deactivate or reattach):
        return mended
    deployment.announce()
    mender = Mender(deployment, selection)
    if deactivate:
        found = _one_each([each for each in checked.findings if may_be_cut_off(each)])
        if found:
            output.confirm(_question(found), yes)
        mended["deactivated"] = mender.deactivate(found) if found else Mended()
    if reattach:
        found = [each for each in checked.findings if may_be_given_back(each)]
        if found:
            output.confirm(f"Give {counted(len(found), 'device')} again what was granted? Nothing is taken away.", yes)
        mended["reattached"] = mender.reattach(found) if found else Mended()
    return mended


def _one_each(findings: list[FleetFinding]) -> list[FleetFinding]:
    return list({each["certificate_id"]: each for each in reversed(findings)}.values())[::-1]


def _question(found: list[FleetFinding]) -> str:
    kinds = Counter(Standing(each["finding"]) for each in found)
    which = "\n".join(f"  {count} {WORDS[kind]}" for kind, count in kinds.items())
    return (
        f"Make {counted(len(found), 'device')} INACTIVE?\n{which}\nA device that is connected is disconnected within "
        "minutes, and cannot connect again until `jitr device activate`."
    )


def _tell_beyond(checked: FleetChecked) -> None:
    """Tell of what is beyond the grant that it is left, and how to take it off."""
    extra = [names for each in checked.findings if (names := beyond_its_grant(each))]
    if extra:
        policies = ", ".join(sorted({name for names in extra for name in names}))
        keep = "keeps" if len(extra) == 1 else "keep"
        output.note(
            f"{counted(len(extra), 'device')} {keep} what is beyond the grant ({policies}): nothing is taken away. "
            "`aws iot detach-policy --policy-name NAME --target CERTIFICATE_ARN` takes an IoT policy off."
        )


def _tell_left(mended: dict[str, Mended]) -> None:
    for each in mended.values():
        if each.left_alone:
            output.note(f"{counted(len(each.left_alone), 'device')} stood otherwise by then, and were left alone.")
        for certificate_id, problem in each.refused.items():
            output.warn(f"{certificate_id[:12]}: {problem}")
    under_way = [each for mend in mended.values() for each in mend.under_way]
    if under_way:
        names = ", ".join(each[:12] for each in under_way)
        raise Retry("busy", f"still being decided: {names}. Give the same command again")
    if any(each.refused for each in mended.values()):
        raise Refused("--reattach", "refused", "AWS IoT refused part of it")
