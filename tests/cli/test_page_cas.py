"""CAs on the page: registered by upload, never with a key; and certificates whose event was lost."""

import base64
import hashlib
import html
import io
import re
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import NoEncryption, pkcs12
from testkit import pki as drafts
from testkit.cli.cas import refusing
from testkit.cli.command_line import Aws, Run
from testkit.cli.operating import FACTORY, OTHER, register_ca
from testkit.page import Page

from jitr.aws.dynamodb.history import newest
from jitr.aws.dynamodb.table import Table


@pytest.fixture
def page(table: Table, iot: Any, aws: Aws) -> Page:
    """The page of a stack without rules, opened; one CA is registered. Calls are counted from here on."""
    page = Page().enter()
    aws.calls.clear()
    return page


def upload(page: Page, mode: str, certificate: bytes | None, verification: bytes | None = None, **form: str) -> Any:
    """Send the form by which a CA is registered."""
    files = {"certificate": (certificate, "factory-b.pem"), "verification": (verification, "verification.pem")}
    data = {name: (io.BytesIO(content), file) for name, (content, file) in files.items() if content is not None}
    return page.ask("POST", "/cas/register", data={"mode": mode, **form, **data})


def hidden(text: str) -> dict[str, str]:
    """The CA that waits for its proof, as the form has it."""
    name = re.search(r'name="name" value="([^"]*)"', text)
    pem = re.search(r'<textarea name="ca"[^>]*>\n(.*?)</textarea>', text, re.DOTALL)
    assert name
    assert pem
    return {"name": html.unescape(name[1]), "ca": html.unescape(pem[1])}


def test_a_ca_is_registered_without_proof_in_one_step(page: Page, aws: Aws, iot: Any) -> None:
    answer = upload(page, "SNI_ONLY", OTHER.pem)
    assert answer.status_code == 303, answer.text
    assert answer.location.endswith(f"/cas/{OTHER_ID}?done=registered")
    found = iot.describe_ca_certificate(certificateId=OTHER_ID)["certificateDescription"]
    asked = aws.parameters("RegisterCACertificate")
    assert (found["status"], asked["allowAutoRegistration"], asked["certificateMode"]) == ("ACTIVE", True, "SNI_ONLY")
    assert "name it in the rules" in page.text(f"/cas/{OTHER_ID}?done=registered")


def copied(text: str) -> list[str]:
    """The commands and lines that a page has to be copied."""
    return [html.unescape(each) for each in re.findall(r'<code class="copy">(.*?)</code>', text)]


def test_what_takes_a_private_key_is_said_to_need_a_command_which_is_there_to_be_copied(
    page: Page, aws: Aws, iot: Any
) -> None:
    """Making a CA and issuing devices: where there is no CA yet, and on each CA's own page."""
    upload(page, "SNI_ONLY", OTHER.pem)
    text = page.text(f"/cas/{OTHER_ID}")
    assert "private key belongs in no browser" in text
    assert copied(text)[1:] == [
        "jitr device issue snr-0001 --ca factory-b.pem",
        "jitr device diagnose snr-0001.pem --region eu-central-1 --stack jitr",
    ]
    aws.overrides["ListCACertificates"] = lambda _given: {"certificates": []}
    text = page.text("/cas")
    assert "private key belongs in no browser" in text
    assert copied(text) == [
        "jitr ca create factory-a --path-length 0",
        "jitr ca register factory-a.pem --key factory-a.key --region eu-central-1 --stack jitr",
    ]


def test_a_ca_that_no_rules_name_has_the_line_that_names_it(page: Page) -> None:
    """Copied as it is into the rules it makes them name the CA, and is then told no more."""
    upload(page, "SNI_ONLY", OTHER.pem)
    line = copied(page.text(f"/cas/{OTHER_ID}"))[0]
    rules = f"""\
format: 1
cas:
{line}
allow:
  - name: line-b
    ca: factory-b
    grant: {{thing: "{{common_name}}", iot_policies: [Sensor]}}
"""
    done = page.post("/rules/publish", text=rules, seen="", message="line B")
    assert done.status_code == 303, done.text
    assert line not in copied(page.text(f"/cas/{OTHER_ID}"))


@pytest.mark.parametrize("mode", ["SNI_ONLY", "DEFAULT"])
def test_a_file_with_several_certificates_registers_none_of_them(page: Page, aws: Aws, mode: str) -> None:
    """In one step nobody would see which of them it was."""
    for several in (OTHER.pem + FACTORY.pem, OTHER.pem + b"-----BEGIN CERTIFICATE-----\nAAAA\n"):
        answer = upload(page, mode, several)
        assert answer.status_code == 400
        assert "RegisterCACertificate" not in aws.operations
    assert "more than one certificate" in upload(page, mode, OTHER.pem + FACTORY.pem).text


def test_what_people_regret_in_a_ca_is_said_also_where_it_is_registered_in_one_step(page: Page, run: Run) -> None:
    assert run("ca", "create", "root").exit_code == 0
    answer = upload(page, "SNI_ONLY", Path("root.pem").read_bytes())
    assert answer.status_code == 303, answer.text
    where = answer.location.removeprefix(page.door.origin)
    assert "a root with room for CAs below it" in page.text(where)
    assert "a root with room for CAs below it" not in page.text(where.partition("?")[0])


def test_a_file_s_name_runs_nothing_in_the_shell_that_a_command_is_pasted_into(page: Page) -> None:
    name = "x;touch y $(id).pem"
    data = {"mode": "DEFAULT", "certificate": (io.BytesIO(OTHER.pem), name)}
    text = html.unescape(page.ask("POST", "/cas/register", data=data).text)
    assert f"-CA '{name}' -CAkey" in text
    assert f"jitr ca register '{name}' " in text


def test_a_ca_whose_key_is_kept_elsewhere_is_proven_in_two_steps(
    page: Page, aws: Aws, run: Run, openssl: Any, iot: Any
) -> None:
    """The code and its request are shown, the CA signs elsewhere, and what comes back is all that is sent."""
    assert run("ca", "create", "offline").exit_code == 0
    asked = upload(page, "DEFAULT", Path("offline.pem").read_bytes())
    assert aws.registration_code in asked.text
    assert "RegisterCACertificate" not in aws.operations
    Path("v.csr").write_bytes(page.get("/cas/verification.csr").data)
    openssl(
        *("x509", "-req", "-in", "v.csr", "-CA", "offline.pem", "-CAkey", "offline.key"),
        *("-CAcreateserial", "-days", "1", "-out", "v.pem"),
    )
    answer = upload(page, "DEFAULT", None, Path("v.pem").read_bytes(), **hidden(asked.text))
    assert answer.status_code == 303, answer.text
    assert "PRIVATE KEY" not in str(aws.parameters("RegisterCACertificate"))


def test_a_verification_certificate_that_proves_nothing_is_refused(page: Page, aws: Aws) -> None:
    asked = upload(page, "DEFAULT", OTHER.pem)
    answer = upload(page, "DEFAULT", None, FACTORY.pem, **hidden(asked.text))
    assert (answer.status_code, "was not signed with the key of factory-b.pem" in answer.text) == (400, True)
    assert "RegisterCACertificate" not in aws.operations


@pytest.mark.parametrize("where", ["certificate", "verification", "text", "list"])
@pytest.mark.parametrize("form", ["pem", "with its certificate", "der", "store", "base64", "utf-16"])
def test_a_private_key_is_refused_at_the_door_and_kept_nowhere(
    page: Page, aws: Aws, caplog: pytest.LogCaptureFixture, where: str, form: str
) -> None:
    """Whatever it is wrapped in and whichever field it comes in: said, never stored, logged or shown."""
    key = private_key(form)
    before = len(aws.calls)
    if where == "certificate":
        answer = upload(page, "SNI_ONLY", key)
    elif where == "verification":
        answer = upload(page, "DEFAULT", OTHER.pem, key)
    elif where == "text":
        answer = page.post("/cas/register", mode="SNI_ONLY", name="x.pem", ca=key.decode("latin-1"))
    else:
        answer = page.ask("POST", "/uploads", data={"name": "line-a", "file": (io.BytesIO(key), "x.csv")})
    if where == "text" and form in ("der", "store", "utf-16"):
        assert answer.status_code == 400  # no text any more, and no certificate
    else:
        told = "A private key was pasted" if where == "text" else "has a private key in it"
        assert (answer.status_code, told in answer.text) == (400, True), answer.text
    assert not [each for each in aws.operations[before:] if each.startswith(("Register", "Get", "Put"))]
    assert not list(Path(page.app.extensions["jitr"].uploads._folder.name).iterdir())
    secret = drafts.private_pem(KEY).split(b"\n")[1].decode()
    assert secret not in answer.text + caplog.text


def test_a_refused_key_is_told_in_one_line_that_fits_a_key_alone(page: Page) -> None:
    """There is no certificate in it that another command could write out."""
    told = html.unescape(upload(page, "SNI_ONLY", private_key("pem")).text)
    assert "factory-b.pem has a private key in it, and was not kept: choose a file without one<" in told


def test_a_private_key_is_found_wherever_it_stands_in_a_file(page: Page) -> None:
    """Else the lines of it would be shown, as lines that are no rows; 4,093 rows have it on the edge of two pieces."""
    key = drafts.private_pem(KEY).decode()
    for rows, encoding in product((0, 3_000, 4_093, 30_000), ("utf-8", "utf-16")):
        file = ("common_name\n" + "snr-0000-000001\n" * rows + key).encode(encoding)
        answer = page.ask("POST", "/uploads", data={"name": "line-a", "file": (io.BytesIO(file), "x.csv")})
        assert (answer.status_code, "has a private key in it" in answer.text) == (400, True), answer.text
    assert not list(Path(page.app.extensions["jitr"].uploads._folder.name).iterdir())


FIELDS = (
    ("POST", "/rules/check", "text"),
    ("POST", "/rules/edit", "text"),
    ("POST", "/rules/publish", "message"),
    ("POST", "/rules/problems", "text"),
    ("POST", "/lists/line-a/add", "note"),
    ("POST", "/held/preview", "message"),
    ("GET", "/devices", "q"),
    ("GET", "/rules", "q"),
    ("GET", "/history", "by"),
    ("GET", "/nothing", "x"),
)


def test_a_private_key_that_is_pasted_into_any_field_is_kept_and_shown_nowhere(
    page: Page, caplog: pytest.LogCaptureFixture
) -> None:
    for form, (method, path, field) in product(("pem", "base64", "bare"), FIELDS):
        key = private_key(form).decode()
        secret = key[100:160] if form == "base64" else drafts.private_pem(KEY).split(b"\n")[1].decode()
        given = {"data": {field: key, "once": "x"}} if method == "POST" else {"query_string": {field: key}}
        answer = page.ask(method, path, **given)
        assert "private key was pasted here" in answer.text, path
        assert answer.status_code == (200 if path == "/rules/problems" else 400)
        assert secret not in answer.text + caplog.text + repr(page.app.extensions)


OTHER_ID = hashlib.sha256(OTHER.der).hexdigest()
KEY = drafts.key(owner="a CA that somebody chooses the wrong file of")


def private_key(form: str) -> bytes:
    """The key in one of the forms that people have."""
    pem = drafts.private_pem(KEY)
    if form == "with its certificate":
        return OTHER.pem + pem
    if form == "der":
        return base64.b64decode(b"".join(pem.split(b"\n")[1:-2]))
    if form == "store":
        return pkcs12.serialize_key_and_certificates(b"x", KEY, None, None, NoEncryption())
    if form == "base64":
        return base64.b64encode(pem)
    if form == "bare":
        return b"\n".join(pem.split(b"\n")[1:-2])
    return pem.decode().encode("utf-16") if form == "utf-16" else pem


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"hello", "no -----BEGIN CERTIFICATE-----"),
        (b"x" * 70_000, "too large to be a certificate"),
        (FACTORY.pem[:300], "has no end"),
    ],
    ids=["empty", "text", "large", "cut short"],
)
def test_every_wrong_file_says_what_is_wrong_with_it(page: Page, aws: Aws, content: bytes, told: str) -> None:
    answer = upload(page, "SNI_ONLY", content)
    assert (answer.status_code, told in html.unescape(answer.text)) == (400, True), answer.text
    assert "RegisterCACertificate" not in aws.operations


def test_what_is_missing_in_the_form_is_asked_for(page: Page) -> None:
    for mode, certificate, told in (("SNI_ONLY", None, "choose the file"), ("x", OTHER.pem, "choose how")):
        answer = upload(page, mode, certificate)
        assert (answer.status_code, told in answer.text) == (400, True)


def test_a_registered_ca_is_registered_again_without_harm(page: Page) -> None:
    assert upload(page, "SNI_ONLY", OTHER.pem).location.endswith("done=registered")
    again = upload(page, "SNI_ONLY", OTHER.pem)
    assert again.location.endswith("done=before")
    assert "registered already" in page.text(again.location.removeprefix(page.door.root))


def test_what_follows_from_a_change_is_said_before(page: Page, iot: Any) -> None:
    [ca] = [each["certificateId"] for each in iot.list_ca_certificates()["certificates"]]
    text = page.text(f"/cas/{ca}")
    assert "No new device under it is registered then" in text
    assert "are not let in meanwhile" in text
    assert page.post(f"/cas/{ca}/deactivate", status="ACTIVE", message="closed").status_code == 303
    assert "auto-registration is off" in page.text(f"/cas/{ca}")  # as this one was registered


@pytest.mark.parametrize("active", [True, False])
def test_new_devices_are_promised_only_by_a_ca_that_is_active(page: Page, aws: Aws, iot: Any, active: bool) -> None:
    """AWS IoT registers no device of an INACTIVE CA, whatever its auto-registration is."""
    register_ca(iot, OTHER, active=active)
    answer = iot.describe_ca_certificate(certificateId=OTHER_ID)  # moto turns no auto-registration on
    found = answer["certificateDescription"] | {"autoRegistrationStatus": "ENABLE"}
    aws.overrides["DescribeCACertificate"] = lambda _given: {"certificateDescription": found}
    text = page.text(f"/cas/{OTHER_ID}")
    assert ("on: new devices are registered when they first connect" in text) is active
    assert ("on, but no new device is registered while the CA is INACTIVE" in text) is not active


def test_a_ca_is_changed_only_for_a_reason_which_is_kept(page: Page, table: Table, iot: Any) -> None:
    here = f"/cas/{FACTORY.id}"
    for what, status, then in (("deactivate", "ACTIVE", "INACTIVE"), ("activate", "INACTIVE", "ACTIVE")):
        refused = page.post(f"{here}/{what}", status=status)
        assert (refused.status_code, "say why" in refused.text, ca_status(iot)) == (400, True, status)
        assert page.post(f"{here}/{what}", status=status, message=f"{what} it").status_code == 303
        assert (ca_status(iot), next(newest(table)).why) == (then, f"{what} it")
    assert "activate it" in page.text("/history")


def ca_status(iot: Any) -> str:
    return str(iot.describe_ca_certificate(certificateId=FACTORY.id)["certificateDescription"]["status"])


def test_the_devices_of_a_ca_are_counted_by_a_job_and_no_view_lists_them(page: Page, aws: Aws) -> None:
    """AWS IoT lists 250 at a time: a view of a CA with a million devices would never come."""
    aws.overrides["ListCertificatesByCA"] = lambda _: {"certificates": [{"status": "ACTIVE"}, {"status": "REVOKED"}]}
    here = f"/cas/{FACTORY.id}"
    assert "Count them" in page.text(f"{here}?count=1")
    assert "ListCertificatesByCA" not in aws.operations
    text = page.finish(page.post(f"{here}/count"))
    assert ("1 ACTIVE, 1 REVOKED" in text, " ago" in text, "Count again" in text) == (True, True, True)
    aws.calls.clear()
    page.text(here)
    assert "ListCertificatesByCA" not in aws.operations


def test_what_keeps_a_count_from_being_done_is_told(page: Page, aws: Aws) -> None:
    told = "not authorized to perform: iot:ListCertificatesByCA"
    aws.overrides["ListCertificatesByCA"] = refusing("AccessDeniedException", "ListCertificatesByCA", told)
    assert told in page.finish(page.post(f"/cas/{FACTORY.id}/count"))
    assert page.post(f"/cas/{'ab' * 32}/count").status_code == 404


def test_a_ca_that_has_ended_is_told_as_expired_and_leads_to_its_roll_over(page: Page, iot: Any, run: Run) -> None:
    ended = drafts.ca_draft("Ended").valid(datetime(2020, 1, 1, tzinfo=UTC), datetime(2021, 1, 1, tzinfo=UTC))
    ca = drafts.make(ended.basic_constraints(ca=True).key_usage("keyCertSign").identifiers())
    register_ca(iot, ca)
    for text in (page.text("/cas"), page.text(f"/cas/{ca.id}"), page.text("/"), run("status").stdout):
        assert "expired" in text
        assert re.search(r"-[\d,]+(</span>| day)", text) is None
    text = page.text("/cas")
    assert re.findall(r'href="[^"]*(/cas/[^"]*)">Move its devices', text) == [f"/cas/{ca.id}/rollover"]


def test_a_file_s_name_comes_back_harmless(page: Page) -> None:
    data = {"mode": "DEFAULT", "certificate": (io.BytesIO(OTHER.pem), "C:\\x\\<b>\u202eevil.pem")}
    text = page.ask("POST", "/cas/register", data=data).text
    assert "<b>" not in text
    assert "\u202e" not in text
    assert "C:\\" not in text
