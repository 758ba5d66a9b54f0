"""The operators' page in a real browser, on the local stack: what an operator does, by clicks alone."""

import os
import re
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from testkit.browser import CHROMIUM, chromium, enter
from testkit.stack.browsing import Served, served
from testkit.stack.plant import Factory, Plant, PlantDevice, until

from jitr.reasons import Verdict
from jitr_local.device import Fate

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator
    from playwright.sync_api import Page as Tab

pytestmark = [pytest.mark.stack, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")]

PICTURES = os.environ.get("JITR_PICTURES")  # a folder: `make screenshots` has them made


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """One browser for all tests; each has its own cookies."""
    with chromium() as found:
        yield found


@pytest.fixture
def page(plant: Plant) -> Iterator[Served]:
    """The page of the stack."""
    with served(plant) as found:
        yield found


@pytest.fixture
def tab(browser: "Browser", page: Served) -> Iterator["Tab"]:
    """A tab in which the page was opened."""
    context = enter(browser, page)
    tab = context.new_page()
    tab.set_default_timeout(60_000)
    tab.goto(page.origin)
    yield tab
    context.close()


def shows(tab: "Tab", text: str | re.Pattern[str]) -> None:
    """Wait until the page that a click leads to says so."""
    tab.locator("main").filter(has_text=text).wait_for()


def listed(plant: Plant, name: str) -> Factory:
    """A factory whose devices must be on a list, which has somebody else on it."""
    factory = plant.factory(name)
    plant.jitr("lists", "add", f"{name}-list", f"common_name={name}-other", "--yes")
    rules = plant.rules(factory)
    rules.write_text(rules.read_text().replace("    grant:", f"    list: {name}-list\n    grant:"))
    plant.publish(rules)
    return factory


def room(tab: "Tab", name: str) -> "Locator":
    """The link to a room: what needs attention may link there as well."""
    return tab.get_by_role("navigation").get_by_role("link", name=name)


def test_held_devices_are_admitted_and_rejected_many_at_once_without_a_script(
    plant: Plant, browser: "Browser", page: Served
) -> None:
    factory = listed(plant, "page2")
    devices = [plant.device(factory, f"page2-000{number}") for number in (1, 2)]
    for made in devices:
        plant.knocks(made, lambda each: plant.record(each))
    context = enter(browser, page, java_script_enabled=False)
    tab = context.new_page()
    tab.goto(f"{page.origin}/held?ca={factory.id}")
    for box in tab.get_by_label(re.compile("^Choose [0-9a-f]{12}")).all():
        box.check()
    tab.get_by_label("Rule", exact=True).select_option("page2")
    tab.get_by_label("Why (kept with the decision)").fill("the list is a day late")
    tab.get_by_role("button", name="Preview").click()
    shows(tab, "2 would be admitted, 0 would not")
    tab.get_by_role("button", name="Admit the chosen ones").click()
    tab.get_by_text("2 of 2 are decided again now").wait_for()
    for made in devices:
        until(lambda made=made: plant.status(made) == "ACTIVE", "it is let in")  # type: ignore[misc]
    record = plant.record(devices[0])
    assert record
    assert record.word
    assert record.word["message"] == "the list is a day late"
    context.close()


def test_rules_are_edited_with_errors_at_their_lines_published_and_rolled_back(plant: Plant, tab: "Tab") -> None:
    listed(plant, "page4")
    before = plant.json("rules", "show")
    room(tab, "Rules").click()
    tab.get_by_role("link", name="Edit").click()
    box = tab.get_by_label("The rules file")
    text = box.input_value()
    assert text.rstrip("\n") == before["text"].rstrip("\n")
    box.fill(text.replace("ca: page4", "ca: pgae4") + "\n" * 80)
    tab.locator("#problems").get_by_text("pgae4").wait_for()  # as one types
    assert tab.locator(".marks u").inner_text() == "pgae4"
    heights = tab.locator(".editor pre").evaluate_all("layers => layers.map((each) => each.scrollHeight)")
    assert heights[0] == heights[1] > 80 * 20  # a mark moves no line below it
    tab.get_by_role("button", name="Check it").click()
    shows(tab, re.compile(r"Line \d+, column \d+.*pgae4"))
    tab.get_by_label("The rules file").fill(text.replace("default: hold", "default: reject"))
    tab.get_by_label("Why").fill("strangers stay out")
    tab.get_by_role("button", name="Check it").click()
    shows(tab, "+default: reject")
    tab.get_by_role("button", name="Put in force").click()
    tab.get_by_text("In force, as version").wait_for()
    assert plant.json("rules", "show")["message"] == "strangers stay out"
    tab.get_by_role("link", name=str(before["version"]), exact=True).click()
    tab.get_by_role("button", name="Put it in force again").click()
    tab.get_by_role("button", name="Put in force").click()
    tab.get_by_text("In force, as version").wait_for()
    assert plant.json("rules", "show")["digest"] == before["digest"]


def test_a_page_that_is_stale_says_so_and_acts_on_nothing(plant: Plant, browser: "Browser", page: Served) -> None:
    factory = listed(plant, "page5")
    made = plant.device(factory, "page5-0001")
    plant.knocks(made, lambda each: plant.record(each))
    context = enter(browser, page)
    one, two = context.new_page(), context.new_page()
    for tab in (one, two):
        tab.goto(f"{page.origin}/devices/{made.certificate_id}")
    for tab, why in ((one, "first"), (two, "second")):
        form = tab.locator("form", has_text="Reject it")
        form.get_by_label("Why").fill(why)
        form.get_by_role("button", name="Reject").click()
    shows(two, "decided again after it was shown")
    until(lambda: (found := plant.record(made)) and found.decision is Verdict.REJECT, "it is rejected")
    record = plant.record(made)
    assert record
    assert record.word
    assert record.word["message"] == "first"
    context.close()


def test_the_operators_day_by_clicks_alone(plant: Plant, tab: "Tab", tmp_path: Path) -> None:
    """What docs/operators.md tells, from its beginning to its end; keys are made where they are kept, by the commands
    that the page gives. A CA whose key is offline, a list with a typo, a late device, rules that are too narrow and are
    taken back, a recall, a device that asks why, and who did what.
    """
    plant.jitr("ca", "create", "page7", "--organization", "PAGE7", "--out-dir", plant.folder)
    factory = register(tab, plant.folder / "page7.pem", tmp_path)
    rules = plant.rules(factory).read_text().replace("    grant:", "    list: page7-list\n    grant:")
    name_it_in_rules(tab, factory, rules)
    import_after_a_typo(tab, tmp_path / "page7-list.csv")
    publish(tab, rules, "the first line")
    first, late = (plant.device(factory, f"page7-000{number}") for number in (1, 4))
    with first.knocking() as device:
        until(lambda: device.fate is not Fate.KNOCKING, "it gets in")
    put_on_its_list(plant, tab, late)
    narrow_and_roll_back(plant, tab, rules)
    recall(plant, tab, rules, tmp_path / "page7-recall.csv")
    assert (plant.status(first), plant.status(late)) == ("INACTIVE", "ACTIVE")
    ask_why_and_overrule(plant, tab, first)
    room(tab, "History").click()
    for why in ("recall 7", "ticket 4711", "the wrong radio", "the first line"):
        shows(tab, why)


def name_it_in_rules(tab: "Tab", factory: Factory, rules: str) -> None:
    """Write rules that name the CA by a file, as for the command: the page has no such file, and says what to do."""
    assert tab.locator("code.copy").first.inner_text().strip() in rules  # the line to be copied
    tab.get_by_role("link", name="name it in the rules").click()
    named = rules.replace(f'{{ids: ["{factory.id}"]}}', "{certificate: page7.pem}")
    tab.wait_for_load_state("networkidle")
    with tab.expect_response(lambda answer: answer.url.endswith("/rules/problems")):
        tab.get_by_label("The rules file").fill(named)  # what is told of it may move the button
    tab.get_by_role("button", name="Check it").click()
    tab.get_by_role("heading", name="CAs by their ids").wait_for()
    tab.get_by_role("link", name="Do nothing").click()


def import_after_a_typo(tab: "Tab", file: Path) -> None:
    """Have a file refused that lists a device twice, and the mended one imported."""
    upload(tab, file, "common_name,attr.batch\npage7-0001,7\npage7-0001,8\n")
    shows(tab, "page7-0001,8")
    shows(tab, "is on line 2 already")
    tab.get_by_role("link", name="Back to the lists").click()
    upload(tab, file, "common_name,attr.batch\npage7-0001,7\npage7-0002,7\n")
    import_(tab, "page7-list")


def put_on_its_list(plant: Plant, tab: "Tab", late: PlantDevice) -> None:
    """Let a device in that is not on its list yet."""
    with late.knocking() as device:
        until(lambda: plant.record(late), "it is held")
        room(tab, "Held").click()
        shows(tab, "not on it")
        tab.get_by_role("link", name="page7-0004").click()
        do(tab, "Put it on a list", "came a day late", "Add the row", ("List", "page7-list"))
        tab.get_by_text("Done. It takes a moment").wait_for()
        until(lambda: device.fate is not Fate.KNOCKING, "it gets in")


def narrow_and_roll_back(plant: Plant, tab: "Tab", rules: str) -> None:
    """Publish rules that are too narrow, and put those before in force again."""
    publish(tab, rules.replace("page7-*", "page7-9*"), "only the nine-hundreds", "they stay ACTIVE")
    tab.get_by_role("row", name="the first line").get_by_role("link").click()
    tab.get_by_role("button", name="Put it in force again").click()
    shows(tab, '+    common_name: "page7-*"')
    tab.get_by_role("button", name="Put in force").click()
    tab.get_by_text("In force, as version").wait_for()
    assert plant.json("rules", "show")["text"] == rules


def recall(plant: Plant, tab: "Tab", rules: str, file: Path) -> None:
    """Put a device on a list that a deny rule names, and cut it off; keep the list as a file."""
    upload(tab, file, "common_name\npage7-0001\npage7-O002\n")
    import_(tab, "page7-recall")
    denied = "deny:\n  - {name: recalled, list: page7-recall, reason: bad radio}\nallow:"
    publish(tab, rules.replace("allow:", denied), "recall 7")
    room(tab, "Lists").click()
    tab.get_by_role("link", name="page7-recall").click()
    tab.get_by_role("button", name="Look for them").click()
    tab.get_by_role("heading", name="Cut off 1 device?").wait_for()
    shows(tab, "page7-O002")  # which recalls nothing
    tab.get_by_label("Why").fill("bad radio")
    tab.get_by_label("I have read this").check()
    tab.get_by_role("button", name="Cut them off").click()
    tab.get_by_text("Made 1 of 1 device INACTIVE").wait_for()
    tab.get_by_role("link", name="Back to list page7-recall").click()
    with tab.expect_download() as download:
        tab.get_by_role("link", name="Export as CSV").click()
    assert set(download.value.path().read_text("utf-8-sig").split()) == {"common_name", "page7-0001", "page7-O002"}


def ask_why_and_overrule(plant: Plant, tab: "Tab", first: PlantDevice) -> None:
    """Find a recalled device, see why it stays out, let it in all the same, and cut it off again."""
    tab.get_by_label("Find a device").fill("PAGE7-0001")
    tab.get_by_label("Find a device").press("Enter")
    tab.get_by_role("link", name="page7-0001").click()
    tab.get_by_role("link", name="What would be decided now?").click()
    assert "rejected" in tab.get_by_role("heading", name="Decided now").inner_text()
    do(tab, "Let it connect again", "radio replaced", "Activate")
    shows(tab, "tick “even if the rules deny it”")
    tab.go_back()
    tab.get_by_label("even if the rules deny it").check()
    do(tab, "Let it connect again", "radio replaced, ticket 4711", "Activate")
    until(lambda: plant.status(first) == "ACTIVE", "it is let in again")
    tab.get_by_text("Done. It takes a moment").wait_for()
    do(tab, "Cut it off", "the wrong radio", "Deactivate")
    until(lambda: plant.status(first) == "INACTIVE", "it is cut off again")


def register(tab: "Tab", ca: Path, folder: Path) -> Factory:
    """Register a CA by its certificate, and prove that its key is at hand, as whoever keeps it does."""
    room(tab, "CAs").click()
    tab.get_by_label("The CA's certificate").set_input_files(ca)
    tab.get_by_role("button", name="Go on").click()
    with tab.expect_download() as download:
        tab.get_by_role("link", name="Download the request").click()
    request, proof = folder / "v.csr", folder / "v.pem"
    download.value.save_as(request)
    signing = ["openssl", "x509", "-req", "-in", str(request), "-CA", str(ca), "-out", str(proof)]
    subprocess.run([*signing, "-CAkey", str(ca.with_suffix(".key")), "-days", "1"], check=True, capture_output=True)
    tab.get_by_label("The verification certificate").set_input_files(proof)
    tab.get_by_role("button", name="Register the CA").click()
    tab.get_by_text("New devices under it are registered from now on").wait_for()
    return Factory(ca.stem, ca, tab.url.partition("/cas/")[2][:64])


def upload(tab: "Tab", file: Path, text: str) -> None:
    """Have a file looked at that is to go into the list of its name."""
    file.write_text(text)
    room(tab, "Lists").click()
    tab.get_by_label("File").set_input_files(file)
    tab.get_by_role("button", name="Look at it").click()


def import_(tab: "Tab", name: str) -> None:
    """Import the two rows that were looked at; it is a new list, perhaps with a row that can match nothing."""
    for box in tab.get_by_label("I have read this").all():
        box.check()
    tab.get_by_role("button", name="Import").click()
    tab.get_by_text(f"2 rows are on list {name}").wait_for()


def do(tab: "Tab", what: str, why: str, button: str, *fields: tuple[str, str]) -> None:
    """Fill in one of the forms on a device's page, and send it."""
    form = tab.locator("form", has_text=what)
    for label, value in fields:
        form.get_by_label(label, exact=True).fill(value)
    form.get_by_label("Why").fill(why)
    form.get_by_role("button", name=button).click()


def publish(tab: "Tab", text: str, why: str, effect: str = "") -> None:
    """Have a text in the editor checked, look what would follow, and put it in force."""
    room(tab, "Rules").click()
    tab.get_by_role("link", name=re.compile("^(Edit|Write the first rules)$")).click()
    tab.get_by_label("The rules file").fill(text)
    tab.get_by_label("Why").fill(why)
    tab.get_by_role("button", name="Check it").click()
    tab.get_by_role("heading", name="Publish these rules?").wait_for()
    shows(tab, effect)
    for box in tab.get_by_label("I have read this").all():
        box.check()
    tab.get_by_role("button", name="Put in force").click()
    tab.get_by_text("In force, as version").wait_for()


def test_the_keyboard_alone_suffices(tab: "Tab", page: Served) -> None:
    tab.goto(f"{page.origin}/held")
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.textContent") == "Skip to the content"
    tab.keyboard.press("Enter")
    assert tab.evaluate("document.activeElement.id") == "content"
    seen = set()
    for _ in range(40):
        tab.keyboard.press("Tab")
        seen.add(tab.evaluate("document.activeElement.tagName"))
    assert {"INPUT", "SELECT", "BUTTON"} <= seen


def test_the_link_opens_the_page_in_one_browser_only(browser: "Browser", page: Served) -> None:
    enter(browser, page).close()
    other = browser.new_context()
    tab = other.new_page()
    tab.goto(page.link)
    shows(tab, "This page is not open here")
    other.close()


def test_another_site_in_the_same_browser_can_do_nothing(plant: Plant, browser: "Browser", page: Served) -> None:
    """A page elsewhere sends a form with all that the browser has of this one."""
    context = enter(browser, page)
    tab = context.new_page()
    elsewhere = f'<form id="f" method="post" action="{page.origin}/held/recheck"></form>'
    tab.route("http://evil.example/", lambda route: route.fulfill(body=elsewhere, content_type="text/html"))
    tab.goto("http://evil.example/")
    tab.evaluate("document.getElementById('f').submit()")
    tab.wait_for_url(f"{page.origin}/held/recheck")
    shows(tab, "not open here")  # the cookie did not come along
    context.close()


def test_what_another_user_serves_at_another_port_is_not_sent_the_cookie(browser: "Browser", page: Served) -> None:
    """Any site can send the browser to another port of 127.0.0.1, and browsers do not tell ports apart."""
    sent = list[tuple[str, str]]()

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sent.append((self.path, self.headers.get("Cookie", "")))
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<title>0</title><script>fetch('/again').then(() => document.title = 1)</script>")

        def log_message(self, *_: Any) -> None:
            return

    other = ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    Thread(target=other.serve_forever, daemon=True).start()
    context = enter(browser, page)
    try:
        tab = context.new_page()
        tab.goto(f"http://127.0.0.1:{other.server_port}/")
        tab.wait_for_function("document.title === '1'")
    finally:
        context.close()
        other.shutdown()
        other.server_close()
    assert [cookie for path, cookie in sent if path in ("/", "/again")] == ["", ""]


def test_it_ends_with_ctrl_c_and_leaves_nothing_running(plant: Plant) -> None:
    with served(plant) as page:
        code, told = page.end()
    assert (code, told) == (0, "The page has ended.\n")


def test_a_port_that_is_taken_is_told(plant: Plant) -> None:
    with served(plant) as page:
        port = str(urlsplit(page.origin).port)
        told = plant.jitr("page", "--no-browser", "--port", port, code=2).stderr
    assert f"port {port} cannot be had" in told


def test_a_roll_over_is_counted_and_finished_by_clicks(plant: Plant, tab: "Tab") -> None:
    """One of two devices has come to the CA that follows; the other keeps working when the old CA is INACTIVE."""
    old, new = plant.factory("page9-old"), plant.factory("page9-new")
    rules = plant.rules(old, new)
    text = rules.read_text().replace("    grant:\n", "    grant:\n      renewal: replace\n")
    text = text.replace('"page9-new-*"\n    grant:', '"page9-old-*"\n    grant:\n      renewal_from: page9-old')
    rules.write_text(text)
    plant.publish(rules)
    came, late = (plant.knocks(plant.device(old, f"page9-old-000{number}")) for number in (1, 2))
    folder = plant.folder / "of-page9-new"
    plant.jitr("device", "issue", "page9-old-0001", "--ca", new.ca, "--out-dir", folder)
    plant.knocks(plant.made("page9-old-0001", folder / "page9-old-0001.pem", folder / "page9-old-0001.key"))

    room(tab, "CAs").click()
    tab.locator("tr", has_text="page9-old").get_by_role("link").click()
    tab.get_by_role("link", name="to page9-new").click()
    tab.get_by_role("button", name="Count the devices").click()
    tab.get_by_role("button", name="Count again").wait_for()
    told = tab.locator("main").inner_text()
    assert "1 of 2 have come: 0 known by their key, 1 by their thing." in told
    assert "Devices have only begun to come" in told
    assert tab.get_by_role("region", name="Who has not come").get_by_role("link", name="page9-old-0002").count() == 1
    with tab.expect_download() as download:
        tab.get_by_role("link", name="All as CSV").click()
    rows = Path(download.value.path()).read_text("utf-8-sig").splitlines()
    assert [row.partition(",")[0] for row in rows] == ["certificate_sha256", late.certificate_id]
    tab.get_by_label("Why").fill("the last truck is back")
    tab.get_by_label("I have read this, and am sure").check()
    tab.get_by_role("button", name="Finish").click()
    tab.get_by_text("Done: the old CA is INACTIVE").wait_for()
    assert plant.json("ca", "show", old.id)["status"] == "INACTIVE"
    assert (plant.status(came), plant.status(late)) == ("INACTIVE", "ACTIVE")
    assert plant.knocks(late).is_in()


@pytest.mark.skipif(PICTURES is None, reason="`make screenshots` has pictures taken")
def test_the_pictures_of_the_page_are_taken(plant: Plant, browser: "Browser", page: Served) -> None:
    """A morning on the line: most got in, some wait, one was rejected."""
    factory = plant.factory("snr")
    plant.jitr("lists", "add", "line-a-2026", "common_name=snr-0001", "--yes")
    for number in (2, 3, 4, 5, 6):
        plant.jitr("lists", "add", "line-a-2026", f"common_name=snr-000{number}")
    rules = plant.rules(factory)
    rules.write_text(rules.read_text().replace("    grant:", "    list: line-a-2026\n    grant:"))
    plant.publish(rules)
    for number in range(1, 11):
        made = plant.device(factory, f"snr-00{number:02}")
        plant.knocks(made, lambda each: plant.record(each))
    made = plant.device(factory, "gateway-1")
    plant.knocks(made, lambda each: plant.record(each))
    plant.jitr("held", "reject", made.certificate_id, "--message", "not of this line", "--yes")
    until(lambda: (found := plant.record(made)) and found.decision is Verdict.REJECT, "it is rejected")
    held = plant.json("held", "ls")[0]["certificate_id"]
    context = enter(browser, page, viewport={"width": 1120, "height": 760})
    tab = context.new_page()
    for name, path in (("today", "/"), ("held", "/held"), ("device", f"/devices/{held}")):
        tab.goto(page.origin + path)
        tab.screenshot(path=f"{PICTURES}/{name}.png")
    tab.goto(f"{page.origin}/rules/edit")
    box = tab.get_by_label("The rules file")
    box.fill(box.input_value().replace("list: line-a-2026", "lists: line-a-2026"))
    tab.locator("#problems li").first.wait_for()
    box.evaluate("box => box.blur()")
    tab.screenshot(path=f"{PICTURES}/editor.png")
    context.close()
