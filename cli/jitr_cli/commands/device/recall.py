"""``jitr device deactivate`` with --list, --where, --crl or --rule: the devices shown, asked about and cut off."""

import shlex
from collections.abc import Mapping, Sequence

from jitr.errors import Retry
from jitr.text import counted
from jitr_cli.console import output
from jitr_operations.deployment import Choice
from jitr_operations.devices import ledger
from jitr_operations.fleet.recalls import (
    Recall,
    RecalledDevice,
    cut_off,
    recall_of_denied,
    recall_of_revoked,
    recall_of_rows,
)
from jitr_operations.lists.where import RowFilter
from jitr_operations.table import now_text

_SHOWN = 50  # of the devices that are on a list
# https://docs.aws.amazon.com/iot/latest/apireference/API_UpdateCertificate.html
CUT_OFF = "A device that is connected is disconnected within minutes, and cannot connect again"
_AFTER_HOLD = "Those on hold stay INACTIVE when the CA lifts its hold: `jitr device activate` lets them in again."


class RecallCommand:
    """Shows the devices of a recall, asks, and makes them INACTIVE."""

    def __init__(self, choice: Choice, lines: ledger.Ledger, *, dry_run: bool, yes: bool, as_json: bool) -> None:
        self._deployment = choice.deployment()
        if not dry_run:
            self._deployment.announce()
        self._lines = lines
        self._dry_run = dry_run
        self._yes = yes
        self._as_json = as_json

    def listed(self, name: str | None, where: RowFilter) -> None:
        """Recall the devices of a list's rows, or of those of every list."""
        recall = recall_of_rows(self._deployment, name, where)
        by = {"list": name, "where": where.to_json() or None}
        self._carry_out(recall, by, _to_keep_out(name, where) if recall.devices else None)

    def revoked(self, alias: str) -> None:
        """Make the devices INACTIVE that a CA's revocation list names."""
        recall = recall_of_revoked(self._deployment, alias)
        self._carry_out(recall, {"crl": alias}, _AFTER_HOLD if recall.on_hold else None)

    def denied(self, rule: str) -> None:
        """Make the devices INACTIVE that are in and that a deny rule in force matches."""
        self._carry_out(recall_of_denied(self._deployment, rule), {"rule": rule}, None)

    def _carry_out(self, recall: Recall, by: Mapping[str, object], afterwards: str | None) -> None:
        """Show what was found and make it INACTIVE. ``by`` is what it was found by, for ``--json``."""
        _show(recall)
        if self._dry_run:
            for each in recall.devices:
                self._lines.write(each.to_json(), before="ACTIVE", status="ACTIVE", at="")
            done, under_way = list(recall.devices), list(recall.under_way)
        else:
            done, under_way = self._make_inactive(recall)
        document: dict[str, object] = {name: value for name, value in by.items() if value is not None}
        status = "ACTIVE" if self._dry_run else "INACTIVE"
        document |= {"dry_run": self._dry_run, "devices": [each.to_json() | {"status": status} for each in done]}
        document |= {} if recall.misses is None else recall.misses.to_json()
        if under_way:
            document["under_way"] = under_way
        would = "Would make" if self._dry_run else "Made"
        told = f"{would} {counted(len(done), 'certificate')} INACTIVE" if done else ""
        output.emit(self._as_json, document, told)
        if afterwards is not None and not self._dry_run:
            output.note(afterwards)
        require_all_out(under_way)

    def _make_inactive(self, recall: Recall) -> tuple[list[RecalledDevice], list[str]]:
        """Return those made INACTIVE, and the certificates of those that are still being decided."""
        if not recall.devices:
            return [], list(recall.under_way)
        output.confirm(f"Make {counted(len(recall.devices), 'certificate')} INACTIVE? {CUT_OFF}.", self._yes)
        devices, done = {each.certificate_id: each for each in recall.devices}, list[RecalledDevice]()

        def made(certificate_id: str) -> None:
            done.append(devices[certificate_id])
            self._lines.write(devices[certificate_id].to_json(), before="ACTIVE", status="INACTIVE", at=now_text())

        return done, [*recall.under_way, *cut_off(self._deployment, recall, made)]


def _to_keep_out(name: str | None, where: RowFilter) -> str:
    """Return what keeps out the devices of recalled rows that have not come yet."""
    if not where:
        return f"A deny rule with list {name} keeps out those of its devices that have not come yet."
    export = f"jitr lists export {name or 'NAME'} recalled.csv " + " ".join(
        f"--where {shlex.quote(each)}" for each in where.to_json()
    )
    return f"Their rows still let in devices that have not come yet: put them on the list of a deny rule ({export})."


def require_all_out(under_way: Sequence[str]) -> None:
    """Raise Retry where devices are still being decided, which may come to another end."""
    if under_way:
        names = ", ".join(each[:12] for each in under_way)
        raise Retry(
            "busy",
            f"still being decided: {names}. A deny rule keeps them out; without one, give the same command again",
        )


def _show(recall: Recall) -> None:
    """Show the devices before the question about them, on standard error as well."""
    if recall.devices:
        output.note(f"{recall.why[0].upper()}{recall.why[1:]} and ACTIVE:")
    else:
        others = ", but some that are being admitted are" if recall.under_way else ""
        output.note(f"No ACTIVE certificate is {recall.why}{others}.")
    for each in recall.devices[:_SHOWN]:
        output.note(f"  {each}")
    if len(recall.devices) > _SHOWN:
        output.note(f"  … and {len(recall.devices) - _SHOWN:,} more (--dry-run --json shows all)")
    for line in () if recall.misses is None else recall.misses.lines(recall.why.removeprefix("on ")):
        output.note(line)
