"""CAs registered by upload: their certificates alone. Keys stay where they are."""

import shlex

from flask import Blueprint, redirect, render_template, request, url_for
from flask import Response as Page
from werkzeug.wrappers import Response

from jitr.errors import InputError, Unreadable
from jitr.x509.pem import find_following
from jitr_operations.cas.checks import fit_ca
from jitr_operations.cas.proof import proof_from_elsewhere
from jitr_operations.cas.registration import Wanted, register
from jitr_operations.certificates import Certificate
from jitr_operations.files import certificate_in
from jitr_operations.issuing import pki
from jitr_operations.issuing.subjects import subject_text
from jitr_operations.table import now
from jitr_page.site import site
from jitr_page.small_files import given_file

room = Blueprint("ca_registration", __name__)

_MODES = ("SNI_ONLY", "DEFAULT")


@room.get("/cas/register")
def show() -> str:
    """Show what it takes to register a CA."""
    return render_template("ca_register.html")


@room.post("/cas/register")
def do() -> Response | str:
    """Register a CA that was uploaded; in mode DEFAULT, ask first for the proof that its key is ours."""
    mode, name, certificate = _given()
    wanted = Wanted(active=True, auto_registration=True, sni_only=mode == "SNI_ONLY", tags=())
    proof = None
    if mode == "DEFAULT":
        verification = given_file("verification")
        if verification is None:
            return _ask_for_proof(name, certificate)
        proven = certificate_in(verification[1], verification[0])
        proof = proof_from_elsewhere(certificate, name, proven, verification[0], now())
    registered, before = register(site().deployment, certificate, proof, wanted, _nothing_is_taken)
    return redirect(url_for("cas.show", ca_id=registered.id, done="before" if before else "registered"), 303)


def _nothing_is_taken(question: str) -> None:
    raise InputError(question)


def _given() -> tuple[str, str, Certificate]:
    """Return how a CA is to be registered, its file's name, and what was in it: now, or when it was shown."""
    mode = request.form.get("mode")
    if mode not in _MODES:
        raise InputError(f"choose how it is registered: {' or '.join(_MODES)}")
    given = given_file("certificate")
    if given is None and (text := request.form.get("ca", "")):
        given = request.form.get("name", "")[:100] or "the CA", text.encode()
    if given is None:
        raise InputError("choose the file that has the CA's certificate")
    name, data = given
    certificate = fit_ca(data, name, now())
    if not _is_alone(data):
        raise InputError(f"{name} has more than one certificate in it: choose a file that has the CA's alone")
    return mode, name, certificate


def _is_alone(data: bytes) -> bool:
    """Return whether a certificate is the only one in its file: nobody sees which of several a form would register."""
    try:
        return not find_following(data)
    except Unreadable:
        return False


def _ask_for_proof(name: str, certificate: Certificate) -> str:
    return render_template(
        "ca_proof.html",
        name=name,
        openssl=shlex.join(
            [
                *("openssl", "x509", "-req", "-in", "verification.csr", "-CA", name, "-CAkey", "CA.key"),
                *("-CAcreateserial", "-days", "1", "-out", "verification.pem"),
            ]
        ),
        pem=certificate.pem.decode(),
        subject=subject_text(certificate.subject),
        code=_code(),
    )


def _code() -> str:
    return str(site().deployment.client("iot").get_registration_code()["registrationCode"])


@room.get("/cas/verification.csr")
def verification_request() -> Page:
    """Send the request for a verification certificate. Its key is thrown away: AWS IoT never asks for it."""
    request_made = pki.make_verification_request(pki.new_key(pki.KeyType(curve="p256")), _code())
    answer = Page(pki.request_pem(request_made), mimetype="application/pkcs10")
    answer.headers["Content-Disposition"] = 'attachment; filename="verification.csr"'
    return answer
