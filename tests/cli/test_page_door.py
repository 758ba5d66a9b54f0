"""Who may use the page, and how others are kept out: other sites, other names, other users of this machine."""

import io
import logging
import re
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlencode

import pytest
from testkit.cli.command_line import Aws, Run
from testkit.cli.operating import hold
from testkit.cli.stack import Queues
from testkit.page import PORT, Page

from jitr.aws.dynamodb.table import Table
from jitr.errors import InputError
from jitr.records.history import PAGE
from jitr_operations.deployment import Choice
from jitr_page.server import serve

ID = f"{1:064x}"
# One address of each kind that changes something, or shows what is to be changed.
POSTS = [
    "/held/preview",
    "/held/do",
    "/held/recheck",
    f"/devices/{ID}/admit",
    f"/devices/{ID}/revoke",
    "/lists/line-a/add",
    "/lists/line-a/remove",
    "/lists/line-a/recall",
    "/recalls/x/do",
    "/uploads",
    "/uploads/x/import",
    "/uploads/x/discard",
    "/rules/check",
    "/rules/edit",
    "/rules/problems",
    "/rules/publish",
    "/rules/1/rollback",
    f"/cas/{ID}/count",
    f"/cas/{ID}/deactivate",
    "/cas/register",
    f"/cas/{ID}/rollover/{ID}/count",
    f"/cas/{ID}/rollover/{ID}/finish",
    "/failures/redrive",
    "/failures/sweep",
]
GETS = [
    "/",
    "/held",
    "/devices",
    f"/devices/{ID}",
    "/lists",
    "/lists/line-a",
    "/rules",
    "/rules/edit",
    "/cas",
    "/cas/register",
    "/cas/verification.csr",
    f"/cas/{ID}/rollover",
    f"/cas/{ID}/rollover/{ID}",
    "/failures",
]


@pytest.fixture
def page(ready: Table) -> Page:
    """A page that nobody opened yet, with a device on hold."""
    hold(ready, 1)
    return Page()


def test_the_link_opens_the_page_once(page: Page) -> None:
    page.enter()
    assert page.get("/lists").status_code == 200
    page.client.delete_cookie(f"jitr-page-{PORT}", domain="127.0.0.1", path=page.door.root)
    again = page.get(page.link.removeprefix(page.door.origin))
    assert (again.status_code, "opens it once" in again.text) == (401, True)


def test_it_listens_on_the_loopback_address_alone(ready: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else on the network reaches it, whatever they know."""
    asked = dict[str, Any]()

    def take(_app: Any, **how: Any) -> Any:
        asked.update(how)
        raise OSError(98, "Address already in use")

    monkeypatch.setattr("jitr_page.server.create_server", take)
    with pytest.raises(InputError, match="cannot be had"):
        serve(Choice(tool=PAGE).deployment(), port=0, browser=False)
    assert asked["host"] == "127.0.0.1"


def test_every_address_is_among_those_that_are_tried(page: Page) -> None:
    """A view or a form that is added is attacked as all others are."""
    addresses = page.app.url_map.bind("127.0.0.1")
    tried = {addresses.match(path, method="POST")[0] for path in POSTS}
    assert tried == {each.endpoint for each in page.app.url_map.iter_rules() if "POST" in (each.methods or ())}


def test_no_secret_gets_into_the_log(page: Page, aws: Aws, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the link's token, the cookie, the folder nor a key, also where something breaks."""
    caplog.set_level(logging.INFO)

    def broken(_: Any) -> Any:
        raise ZeroDivisionError

    page.enter()
    aws.overrides["BatchGetItem"] = aws.overrides["Query"] = broken
    assert page.get("/held").status_code == 500
    page.get(page.link.removeprefix(page.door.origin) + "x")
    assert "ZeroDivisionError" in caplog.text
    cookie = page.client.get_cookie(f"jitr-page-{PORT}", domain="127.0.0.1", path=page.door.root)
    assert cookie
    secrets = (page.link.partition("token=")[2], cookie.value, page.door.root, "testing")
    assert not [each for each in secrets if each in caplog.text]


def test_no_other_token_opens_it(page: Page) -> None:
    for token in ("", "x", "x" * 10_000):
        assert page.get(f"/enter?token={token}").status_code == 401
    assert page.enter().get("/lists").status_code == 200  # and the link still does


def test_without_the_cookie_nothing_is_told(page: Page) -> None:
    for path in (*GETS, "/jobs/x", "/nothing"):
        answer = page.get(path)
        assert answer.status_code == 401, path
        assert not [each for each in ("line-a", "snr-1", "123456789012", ID) if each in answer.text], path


def test_what_is_open_to_everybody_tells_nothing_of_the_deployment_whatever_goes_wrong(page: Page) -> None:
    """Below the folder and beside it: what is not there, and every other error of the paths that need no cookie."""
    key = "-----BEGIN PRIVATE KEY-----"
    wrong: list[tuple[str, str, dict[str, str], int]] = [
        ("GET", "/static/nope", {}, 404),
        ("GET", "/static/%2e%2e/app.py", {}, 404),
        ("GET", f"/static/nope?{urlencode({'x': key})}", {}, 400),
        ("GET", f"/enter?{urlencode({'token': key})}", {}, 400),
        ("GET", "/static/page.css", {"Range": "bytes=999999-"}, 416),
        ("GET", "/static/page.css", {"Host": "evil.example"}, 421),
        ("POST", "/static/page.css", {}, 401),
        ("POST", "/enter", {}, 401),
        ("GET", "/enter", {}, 401),
        ("GET", "/static/broken.css", {}, 500),
    ]
    serve_file = page.app.view_functions["static"]

    def broken(filename: str) -> Any:
        return serve_file(filename=filename) if filename != "broken.css" else 1 / 0

    page.app.view_functions["static"] = broken
    told = (
        "<nav",
        'class="place"',
        'class="who"',
        "eu-central-1",
        "123456789012",
        page.app.extensions["jitr"].operator,
    )
    for method, path, headers, code in wrong:
        for folder in ("", page.door.root):
            given = {"Host": page.door.host} | headers
            answer = page.client.open(folder + path, method=method, headers=given, base_url=page.door.origin)
            assert answer.status_code == code, (folder, method, path)
            assert [each for each in told if each in answer.text] == [], (folder, method, path)
    assert page.enter().get("/nothing").status_code == 404
    assert [each for each in told if each not in page.text("/lists")] == []  # so that those are what it would tell


def test_the_cookie_is_for_this_page_alone(page: Page) -> None:
    answer = page.get(page.link.removeprefix(page.door.origin))
    [(name, cookie)] = SimpleCookie(answer.headers["Set-Cookie"]).items()
    assert name == f"jitr-page-{PORT}"
    assert (cookie["httponly"], cookie["samesite"], cookie["domain"]) == (True, "Strict", "")
    assert cookie["path"] == page.door.root
    assert "token" not in answer.text


def test_the_cookie_is_good_below_a_folder_that_nobody_can_guess(page: Page) -> None:
    """Browsers send cookies to every port of a host, but below their path only."""
    page.enter()
    assert len(page.door.root) > 22
    assert page.door.root != Page().door.root
    cookie = page.client.get_cookie(f"jitr-page-{PORT}", domain="127.0.0.1", path=page.door.root)
    assert cookie
    headers = {"Host": page.door.host, "Cookie": f"{cookie.key}={cookie.value}"}  # as if it had come along
    for path in ("/", "/held", "/enter", f"/{'x' * 22}/", f"{page.door.root}x/held"):
        answer = page.client.get(path, headers=headers, base_url=page.door.origin)
        assert (answer.status_code, page.door.root in answer.text) == (401, False), path


def test_only_who_may_use_the_page_keeps_it_open(page: Page) -> None:
    """It ends by itself when nobody used it, and others who knock are nobody."""
    page.door.used = 0
    for path in ("/", "/held", "/static/page.css", "/enter?token=x"):
        page.get(path)
    assert page.door.used == 0
    page.enter().get("/lists")
    assert page.door.used > 0


def test_a_name_that_resolves_to_this_machine_is_another_address(page: Page) -> None:
    """DNS rebinding: the browser believes that the page is the attacker's own."""
    page.enter()
    others = ("evil.example", "localhost:8123", "127.0.0.1", "127.0.0.1:80", "127.0.0.1.evil.example:8123", "")
    for host in others:
        for path in ("/", "/static/page.css"):
            assert page.ask("GET", path, {"Host": host}).status_code in (400, 421), host


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "cross-site", "Origin": f"http://127.0.0.1:{PORT}"},
    ],
    ids=["another site", "another port of this machine", "typed", "another site that says otherwise"],
)
def test_no_other_page_can_change_anything(page: Page, aws: Aws, headers: dict[str, str]) -> None:
    page.enter()
    aws.calls.clear()
    for path in POSTS:
        assert page.ask("POST", path, headers, data={"message": "x"}).status_code == 403, path
    assert aws.operations == []


def test_a_browser_that_does_not_say_which_site_says_the_origin(page: Page) -> None:
    page.enter()
    for origin, code in ((page.door.origin, 303), ("http://127.0.0.1:9", 403), ("null", 403), (None, 403)):
        headers = {"Host": page.door.host} | ({} if origin is None else {"Origin": origin})
        path, form = f"{page.door.root}/held/recheck", {"once": str(origin)}
        answer = page.client.post(path, headers=headers, base_url=page.door.origin, data=form)
        assert answer.status_code == code, origin


def test_looking_changes_nothing(page: Page, aws: Aws) -> None:
    page.enter()
    aws.calls.clear()
    for path in GETS:
        page.get(path)
    reads = ("Get", "List", "Describe", "BatchGet", "Query", "ReceiveMessage", "ChangeMessageVisibility")
    assert [each for each in aws.operations if not each.startswith(reads)] == []


def test_there_are_no_other_methods(page: Page) -> None:
    page.enter()
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
        answer = page.ask(method, "/rules/publish")
        assert answer.status_code == (200 if method == "OPTIONS" else 405), method
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_every_answer_forbids_what_the_page_does_not_need(page: Page) -> None:
    page.enter()
    for path in (*GETS, "/nothing", "/static/page.css", "/enter"):
        headers = page.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; ")
        assert "unsafe" not in policy
        assert {"frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} <= set(policy.split("; "))
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Referrer-Policy"] == "no-referrer"


def test_no_page_has_code_or_style_of_its_own(page: Page) -> None:
    page.enter()
    for path in GETS:
        text = page.get(path).text
        assert "<script>" not in text, path
        assert "style=" not in text, path
        assert re.search(r"<[^>]* on[a-z]+=", text) is None, path


def test_every_form_that_changes_something_is_one_of_its_own(page: Page) -> None:
    page.enter()
    numbers = list[str]()
    for path in GETS:
        text = page.get(path).text
        found = re.findall(r'name="once" value="([^"]+)"', text)
        assert len(found) == text.count('method="post"'), path
        numbers += found
    assert len(numbers) == len(set(numbers)) > 5


def test_reading_only_is_held_below_the_page(ready: Table) -> None:
    """Whatever a form says, AWS is asked for nothing that changes anything."""
    hold(ready, 1)
    page = Page(read_only=True).enter()
    revision = next(iter(ready.records([ID]))).revision
    before = ready.client.scan(TableName=ready.name)["Items"]
    form = {"message": "x", "what": "reject", "device": f"{ID}@{revision}", "revision": str(revision), "sure": "yes"}
    form |= {"status": "ACTIVE", "column": "common_name", "value": "snr-9", "kind": "common_name", "rule": "line-a"}
    refused = 0
    for path in POSTS:
        answer = page.ask("POST", path, data=form)
        text = page.finish(answer) if answer.status_code == 303 and "/jobs/" in answer.location else answer.text
        refused += "--read-only" in text
    assert refused >= 4
    assert ready.client.scan(TableName=ready.name)["Items"] == before
    queues = Queues()
    url = queues.urls["RegistrationQueueUrl"]
    assert "Messages" not in queues.sqs.receive_message(QueueUrl=url)


def test_credentials_are_nowhere_on_the_page(page: Page) -> None:
    page.enter()
    for path in GETS:
        text = page.get(path).text
        assert not [each for each in ("testing", "AWS_ACCESS_KEY", "AWS_SECRET") if each in text]


def test_an_upload_is_bounded(page: Page) -> None:
    page.app.config["MAX_CONTENT_LENGTH"] = 1000
    data = {"name": "x", "file": (io.BytesIO(bytes(2000)), "x.csv")}
    answer = page.enter().ask("POST", "/uploads", data=data)
    assert (answer.status_code, "too large" in answer.text) == (413, True)


def test_without_its_packages_one_line_says_what_to_install(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jitr_cli.commands.page.command.find_spec", lambda _name: None)
    result = run("page")
    assert result.exit_code == 2
    assert result.stderr == "error: `jitr page` needs two packages more: pip install 'jitr[page]'\n"
