"""Devices: found by what a person reads out, and each one with all that is known of it."""

import re
from collections.abc import Callable
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response

from jitr.aws.dynamodb.history import of_device
from jitr.devicelists.rows import ListRow
from jitr.errors import InputError
from jitr.facts import CaFacts
from jitr.reasons import Verdict
from jitr.records.record import Record, common_name
from jitr.services.lists.device_lists import DeviceLists
from jitr.unseen import quote, written_out
from jitr_operations import telling
from jitr_operations.decisions import held, listing, words
from jitr_operations.decisions.basis import basis_of
from jitr_operations.devices import status
from jitr_operations.devices.activation import ActivationCheck
from jitr_operations.devices.by_hand import Hand
from jitr_operations.devices.overview import overview
from jitr_operations.devices.registry import DeviceCertificate, NothingFound, Registry
from jitr_operations.devices.search import find_devices
from jitr_operations.explain.explanation import Explanation
from jitr_operations.explain.online import explain_online
from jitr_operations.issuing.subjects import subject_text
from jitr_operations.lists import editing
from jitr_page import filtering
from jitr_page.forms import is_sure, reason, require_unchanged
from jitr_page.hearing import Heard
from jitr_page.site import rules_in_force, site

room = Blueprint("devices", __name__)

_ID = re.compile("[0-9a-f]{64}")
_BEGINNING = re.compile("[0-9a-f]{8,63}")  # of an id, as commands take it
# What a grant can say, as people call it.
_GRANTED = {
    "iot_policies": "IoT policies",
    "thing": "Thing",
    "thing_type": "Thing type",
    "thing_groups": "Thing groups",
    "attributes": "Attributes",
    "renewal": "Renewal",
    "existing": "Existing thing",
}
_KEYS = {
    "public_key_sha256": "key",
    "certificate_sha256": "certificate id",
    "serial_number": "serial number",
    "common_name": "common name",
}
_OVERRULE = "go back, and tick “even if the rules deny it”; the reason that you give is kept"
_SURE = (
    "To let it in all the same, go back, and tick “also if the rules would hold it, or another certificate replaced it”"
)
_MOST_THINGS = 5  # of a device's, on its own page
_MOST_CHANGES = 10  # of the history, on a device's own page
# An address of another operator's page, or what follows its folder.
_ADDRESS = re.compile(
    r"(?:http://127\.0\.0\.1:\d{1,5}/[\w-]{22})?(/(?:held|devices|lists|rules|cas|failures|history)(?:[/?].*)?)"
)


@room.get("/devices")
def show() -> str | Response:
    """Show decisions on record, the newest first; or what was searched for."""
    asked = request.args.get("q", "").strip()
    if address := _ADDRESS.fullmatch(asked):
        return redirect(request.script_root + address[1], 303)
    if asked:
        devices = find_devices(site().deployment, asked)
        lists = () if devices.records else sorted(DeviceLists(site().table).all())
        return render_template("devices_found.html", asked=asked, found=devices, lists=lists)
    given, rules = filtering.given("verdict"), rules_in_force()
    return render_template(
        "devices.html",
        page=filtering.chosen(_verdicts(given["verdict"]), given),
        given=given,
        **filtering.choices(() if rules is None else (*rules.deny, *rules.allow)),
    )


def _verdicts(text: str | None) -> tuple[Verdict, ...]:
    if text is None:
        return tuple(Verdict)
    try:
        return (Verdict(text),)
    except ValueError:
        raise filtering.WrongFilter("verdict", f"{quote(text)} is no verdict", values=list(Verdict)) from None


# --- one device


@room.get("/devices/<certificate_id>")
def one(certificate_id: str) -> str | Response:
    """Show one device: verdict and why, its certificate, what it was granted, and what AWS IoT has of it now.

    A beginning of an id leads to its device.
    """
    if _BEGINNING.fullmatch(certificate_id):
        return _begins_with(certificate_id)
    if _ID.fullmatch(certificate_id) is None:
        raise NotFound
    found, rules = site(), rules_in_force()
    try:
        with telling.heard_by(Heard()):  # a certificate that cannot be read is told by its reasons
            device = overview(certificate_id, found.deployment, found.table, rules, _MOST_THINGS)
    except NothingFound:
        raise NotFound from None
    record, ca_id = device.record, device.certificate.ca_certificate_id if device.certificate else None
    return render_template(
        "device.html",
        aliases=sorted(rules.aliases_of(ca_id)) if rules and ca_id else [],
        ca_subject=_ca_subject(record),
        id=certificate_id,
        device=device,
        record=record,
        certificate=device.certificate,
        granted=_GRANTED,
        keys=_KEYS,
        name=common_name(record) if record else next((each.name for each in device.things), ""),
        basis=basis_of(found.table)(record) if record else None,
        changes=of_device(found.table, certificate_id, _MOST_CHANGES),
        rules=[] if rules is None else [each.name for each in rules.allow],
        lists=[] if rules is None else sorted({name for each in rules.allow for name in each.lists}),
        row=_row(record),
        explained=_explained(certificate_id) if "explain" in request.args else None,
    )


def _ca_subject(record: Record | None) -> str:
    """Return who the CA is that a device came with, as its own page says it; nothing where that is not on record."""
    ca = None if record is None or record.facts is None else record.facts["ca"]
    return "" if ca is None else subject_text(tuple((each,) for each in CaFacts.from_json(ca).subject))


def _begins_with(beginning: str) -> Response:
    """Lead to the one device whose id begins so; to what is found where that is not one."""
    devices = find_devices(site().deployment, beginning)
    ids = [each.certificate_id for each in devices.records if each.certificate_id.startswith(beginning)]
    if len(ids) == 1 and not devices.more:
        return redirect(url_for("devices.one", certificate_id=ids[0]), 303)
    return redirect(url_for("devices.show", q=beginning), 303)


def _explained(certificate_id: str) -> Explanation:
    with telling.heard_by(Heard()):  # it tells the status, which stands on the page
        return explain_online(certificate_id, site().deployment)


def _row(record: Record | None) -> ListRow | None:
    """Return the row that stands for a device on a list: by its key, which no other device has."""
    if record is None or record.facts is None:
        return None
    return ListRow(public_key_sha256=record.facts["public_key_sha256"], note=None)


@room.post("/devices/<certificate_id>/<what>")
def act(certificate_id: str, what: str) -> Response:
    """Do one thing with a device, as it was shown."""
    if what not in _ACTS or _ID.fullmatch(certificate_id) is None:
        raise NotFound
    _ACTS[what](certificate_id, request.form)
    return redirect(url_for("devices.one", certificate_id=certificate_id, done=what), 303)


def _decided(certificate_id: str, form: Any) -> Record:
    record = words.decided(certificate_id, site().deployment, site().table)
    require_unchanged(record, form.get("revision", ""))
    return record


def _admit(certificate_id: str, form: Any) -> None:
    found, rule = site(), form.get("rule") or None
    if rule is None:
        raise InputError("choose the rule under which the device is admitted")
    word = held.word_of(found.deployment, rule, reason())
    held.say(found.deployment, _decided(certificate_id, form), word)


def _reject(certificate_id: str, form: Any) -> None:
    found = site()
    word = held.word_of(found.deployment, None, reason())
    held.say(found.deployment, _decided(certificate_id, form), word)


def _recheck(certificate_id: str, _form: Any) -> None:
    held.recheck(site().deployment, (certificate_id,))


def _reopen(certificate_id: str, form: Any) -> None:
    _decided(certificate_id, form)
    listing.reopen(site().deployment, listing.rejected(site().deployment, certificate_id))


def _as_shown(certificate_id: str, form: Any) -> tuple[Registry, DeviceCertificate]:
    registry = Registry(site().deployment.client("iot"))
    certificate = registry.require(certificate_id)
    if certificate.status != form.get("status"):
        raise InputError(f"the certificate is {certificate.status} by now: look at it, and choose again")
    return registry, certificate


def _deactivate(certificate_id: str, form: Any) -> None:
    found = site()
    registry, certificate = _as_shown(certificate_id, form)
    hand, why = Hand(found.deployment, found.table), reason()
    statuses = {certificate.id: certificate.status}
    _tell_under_way(status.deactivate(registry, statuses, hand, found.table, lambda _id: why))


def _revoke(certificate_id: str, form: Any) -> None:
    found = site()
    registry, certificate = _as_shown(certificate_id, form)
    if not is_sure():
        raise InputError("nobody can undo a revocation: say that you are sure")
    hand = Hand(found.deployment, found.table)
    _tell_under_way(status.revoke(registry, certificate, hand, found.table, reason()))


def _tell_under_way(under_way: list[str]) -> None:
    if under_way:
        raise InputError("it is still being decided: a deny rule keeps it out; without one, do this again in a minute")


def _activate(certificate_id: str, form: Any) -> None:
    found = site()
    registry, certificate = _as_shown(certificate_id, form)
    why = reason()
    if certificate.status == "REVOKED":
        raise InputError("the certificate is REVOKED, which is final: issue the device another one")
    if not registry.may_connect(certificate):
        raise InputError("it has no IoT policy, and AWS IoT hangs up on such a device: attach one first")
    overrule = why if form.get("overrule") == "yes" else None
    asked = ActivationCheck(found.deployment, found.table, overrule, why, _OVERRULE)
    denied = asked.denial(certificate.id, certificate.pem, certificate.ca_certificate_id, certificate.id[:12])
    if denied is not None:
        raise InputError(denied)
    replaced = asked.question([certificate.id])
    questions = [*asked.doubts, *([] if replaced is None else [replaced])]
    if questions and not is_sure():
        raise InputError(f"{'; '.join(questions)}. {_SURE}")
    asked.activate(registry, certificate.id, certificate.status)


def _list(certificate_id: str, form: Any) -> None:
    record, name = _decided(certificate_id, form), form.get("list", "").strip()
    row = _row(record)
    if row is None:
        raise InputError("the certificate could not be read, so there is no key of it to put on a list")
    rules = rules_in_force()
    if rules is None or name not in rules.lists:  # a list that a rule names may have its first row from here
        editing.existing(DeviceLists(site().table), name)
    row = editing.row_of(row.to_json() | {"note": written_out(f"{common_name(record)[:100]} {reason()}".strip())})
    questions = editing.questions_about(site().deployment, name, row)
    if questions and not is_sure():
        raise InputError(" ".join(questions))
    editing.add(site().deployment, name, row)


_ACTS: dict[str, Callable[[str, Any], None]] = {
    "admit": _admit,
    "reject": _reject,
    "recheck": _recheck,
    "reopen": _reopen,
    "deactivate": _deactivate,
    "activate": _activate,
    "revoke": _revoke,
    "list": _list,
}
