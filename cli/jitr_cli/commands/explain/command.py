"""``jitr explain``: the decision about one device, and why, by the code that the function runs."""

from pathlib import Path
from typing import TypeAlias

import click

from jitr.reasons import Verdict
from jitr_cli.commands.explain.screen import show
from jitr_cli.console.options import FILE, stack_options
from jitr_cli.console.output import emit, json_option
from jitr_operations.deployment import Choice
from jitr_operations.explain.explanation import Explanation

_Files: TypeAlias = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], tuple[Path, ...], tuple[str, ...]]

_OFFLINE = ("certificate", "cas", "lists", "signers", "crls", "ocsp", "at")


@click.command("explain")
@click.argument("subject", required=False, metavar="[CERTIFICATE.pem|CERTIFICATE_ID|NAME|EVENT.json]")
@click.option("--rules", "rules_file", type=FILE, help="A rules file: decide from files alone.")
@click.option("--certificate", type=FILE, help="With --rules: the device's certificate.")
@click.option("--ca", "cas", multiple=True, metavar="ALIAS=FILE", help="With --rules: a CA's certificate by alias.")
@click.option("--list", "lists", multiple=True, metavar="NAME=FILE", help="With --rules: a list in the rules.")
@click.option("--signer", "signers", multiple=True, type=FILE, help="With --list: who may have signed a manifest.")
@click.option(
    "--crl",
    "crls",
    multiple=True,
    metavar="ALIAS=FILE",
    help="With --rules: a CA's revocation list; again for its delta list and for each partition.",
)
@click.option("--ocsp", multiple=True, metavar="ALIAS=FILE", help="With --rules: what a CA's OCSP responder answered.")
@click.option(
    "--at", metavar="TIME", help="With --rules: decide as of this time (RFC 3339 or a date, UTC). Default: now."
)
@stack_options
@json_option
@click.pass_context
def explain(
    context: click.Context,
    subject: str | None,
    rules_file: Path | None,
    certificate: Path | None,
    cas: tuple[str, ...],
    lists: tuple[str, ...],
    signers: tuple[Path, ...],
    crls: tuple[str, ...],
    ocsp: tuple[str, ...],
    at: str | None,
    choice: Choice,
    as_json: bool,
) -> None:
    """Say whether a device gets in, and why. Nothing is changed.

    A device named by its certificate's file or id, its thing's name, its common name while it is on hold, or an event's
    file is decided under the rules and lists in force, and AWS IoT is asked. With --rules, it is decided from files
    alone, without AWS.

    Exit code 0 means admit, 1 hold or reject, 2 that an input cannot be read.

    \b
    Examples:
      jitr explain 3f9c0c6f9d1f4b0c8d5e7a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f
      jitr explain snr-0001
      jitr explain --rules admission.yaml --certificate snr-0001.pem \\
        --ca factory-a=factory-a.pem --list line-a-2026=devices.csv --at 2026-03-01
    """
    if rules_file is not None:
        explanation = _offline(context, rules_file, certificate, (cas, lists, crls, signers, ocsp), at)
    else:
        explanation = _online(context, subject, choice)
    emit(as_json, explanation.to_json(), lambda: show(explanation))
    context.exit(0 if explanation.decision.verdict is Verdict.ADMIT else 1)


def _offline(
    context: click.Context,
    rules_file: Path,
    certificate: Path | None,
    files: _Files,
    at: str | None,
) -> Explanation:
    subject = context.params["subject"]
    if certificate is None and subject is not None:
        certificate = Path(subject)
    elif subject is not None:
        raise click.UsageError("the certificate is given twice: with --certificate and without.")
    if certificate is None:
        raise click.UsageError("--rules decides from files: --certificate FILE names the device's certificate.")
    # Each way imports what it needs: files are read by much that devices at AWS have no use for.
    from jitr_operations.explain.offline import Files, explain_offline, read_inputs
    from jitr_operations.files import read_bytes

    inputs = read_inputs(rules_file, Files(*files), at)
    return explain_offline(read_bytes(certificate), str(certificate), inputs)


def _online(context: click.Context, subject: str | None, choice: Choice) -> Explanation:
    given = [name for name in _OFFLINE if context.params[name]]
    if given:
        option = {"cas": "ca", "lists": "list", "signers": "signer", "crls": "crl"}.get(given[0], given[0])
        raise click.UsageError(f"--{option} goes with --rules FILE: without, AWS is asked.")
    if subject is None:
        raise click.UsageError("name a device (certificate, id, thing or event), or decide from files with --rules.")
    from jitr_operations.explain.online import explain_online

    return explain_online(subject, choice.deployment())
