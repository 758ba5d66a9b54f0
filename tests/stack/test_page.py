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
from testkit.stack.plant import Factory, Plant, until

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


def test_a_late_device_is_put_on_its_list_by_clicks_and_cut_off_again(plant: Plant, tab: "Tab") -> None:
    factory = listed(plant, "page1")
    made = plant.device(factory, "page1-0001")
    with made.knocking() as device:
        until(lambda: plant.record(made), "it is held")
        room(tab, "Held").click()
        assert "not on it" in tab.locator("main").inner_text()
        tab.get_by_role("link", name="page1-0001").click()
        form = tab.locator("form", has_text="Put it on a list")
        form.get_by_label("List", exact=True).fill("page1-list")
        form.get_by_label("Why").fill("came a day late")
        form.get_by_role("button", name="Add the row").click()
        tab.get_by_text("Done. It takes a moment").wait_for()
        until(lambda: device.fate is not Fate.KNOCKING, "it gets in")
    assert (device.fate, plant.status(made)) == (Fate.PUBLISHED, "ACTIVE")
    tab.reload()
    form = tab.locator("form", has_text="Cut it off")
    form.get_by_label("Why").fill("bad radio")
    form.get_by_role("button", name="Deactivate").click()
    until(lambda: plant.status(made) == "INACTIVE", "it is cut off")
    tab.get_by_text("Done. It takes a moment").wait_for()
    assert "bad radio" in tab.locator("main").inner_text()


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
    assert "2 would be admitted, 0 would not" in tab.locator("main").inner_text()
    tab.get_by_role("button", name="Admit the chosen ones").click()
    tab.get_by_text("2 of 2 are decided again now").wait_for()
    for made in devices:
        until(lambda made=made: plant.status(made) == "ACTIVE", "it is let in")  # type: ignore[misc]
    record = plant.record(devices[0])
    assert record
    assert record.word
    assert record.word["message"] == "the list is a day late"
    context.close()


def test_a_file_with_a_mistake_says_where_and_the_mended_one_is_imported(
    plant: Plant, tab: "Tab", tmp_path: Path
) -> None:
    listed(plant, "page3")
    room(tab, "Lists").click()
    wrong, right = tmp_path / "page3-list.csv", tmp_path / "mended.csv"
    wrong.write_text("common_name,note\npage3-0001,a\npage3-0001,b\n")
    right.write_text("common_name,note\npage3-0001,a\npage3-0002,b\n")
    tab.get_by_label("File").set_input_files(wrong)
    tab.get_by_role("button", name="Look at it").click()
    told = tab.locator("main").inner_text()
    assert "page3-0001,b" in told
    assert "is on line 2 already" in told
    tab.get_by_role("link", name="Back to the lists").click()
    tab.get_by_label("File").set_input_files(right)
    tab.get_by_label("List", exact=True).fill("page3-list")
    tab.get_by_role("button", name="Look at it").click()
    assert "2 rows: 2 added" in tab.locator("main").inner_text()
    tab.get_by_role("button", name="Import").click()
    tab.get_by_text("are on list page3-list").wait_for()
    assert {each["rows"] for each in plant.json("lists", "ls") if each["list"] == "page3-list"} == {3}


def test_rules_are_edited_with_errors_at_their_lines_published_and_rolled_back(plant: Plant, tab: "Tab") -> None:
    listed(plant, "page4")
    before = plant.json("rules", "show")
    room(tab, "Rules").click()
    tab.get_by_role("link", name="Edit").click()
    box = tab.get_by_label("The rules file")
    text = box.input_value()
    assert text.rstrip("\n") == before["text"].rstrip("\n")
    box.fill(text.replace("ca: page4", "ca: pgae4"))
    tab.locator("#problems").get_by_text("pgae4").wait_for()  # as one types
    assert tab.locator(".marks u").inner_text() == "pgae4"
    tab.get_by_role("button", name="Check it").click()
    assert re.search(r"Line \d+, column \d+.*pgae4", tab.locator("main").inner_text())
    tab.get_by_label("The rules file").fill(text.replace("default: hold", "default: reject"))
    tab.get_by_label("Why").fill("strangers stay out")
    tab.get_by_role("button", name="Check it").click()
    assert "+default: reject" in tab.locator("main").inner_text()
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
    assert "decided again after it was shown" in two.locator("main").inner_text()
    until(lambda: (found := plant.record(made)) and found.decision is Verdict.REJECT, "it is rejected")
    record = plant.record(made)
    assert record
    assert record.word
    assert record.word["message"] == "first"
    context.close()


def test_a_first_day_and_a_recall_by_clicks_alone(plant: Plant, tab: "Tab", tmp_path: Path) -> None:
    """A CA whose key is offline, rules for it, a device that gets in, found by a beginning, and recalled by a list."""
    plant.jitr("ca", "create", "page7", "--organization", "PAGE7", "--out-dir", plant.folder)
    ca = plant.folder / "page7.pem"

    room(tab, "CAs").click()
    tab.get_by_label("The CA's certificate").set_input_files(ca)
    tab.get_by_role("button", name="Go on").click()
    with tab.expect_download() as download:
        tab.get_by_role("link", name="Download the request").click()
    request, proof = tmp_path / "v.csr", tmp_path / "v.pem"
    download.value.save_as(request)
    signing = ["openssl", "x509", "-req", "-in", str(request), "-CA", str(ca), "-out", str(proof)]
    subprocess.run([*signing, "-CAkey", str(ca.with_suffix(".key")), "-days", "1"], check=True, capture_output=True)
    tab.get_by_label("The verification certificate").set_input_files(proof)
    tab.get_by_role("button", name="Register the CA").click()
    tab.get_by_text("New devices under it knock from now on").wait_for()
    ca_id = tab.url.partition("/cas/")[2][:64]

    tab.get_by_role("link", name="name it in the rules").click()
    rules = plant.rules(Factory("page7", ca, ca_id)).read_text()
    publish(tab, rules, "the first line")
    made = plant.device(Factory("page7", ca, ca_id), "page7-0001")
    with made.knocking() as device:
        until(lambda: device.fate is not Fate.KNOCKING, "it gets in")

    tab.get_by_label("Find a device").fill("PAGE7-00")
    tab.get_by_role("button", name="Find").click()
    tab.get_by_role("link", name="page7-0001").click()
    assert "admitted" in tab.locator("main h2").first.inner_text()

    recall = tmp_path / "page7-recall.csv"
    recall.write_text("common_name\npage7-0001\npage7-O002\n")
    room(tab, "Lists").click()
    tab.get_by_label("File").set_input_files(recall)
    tab.get_by_role("button", name="Look at it").click()
    for box in tab.get_by_label("I have read this").all():  # it is a new list, and a row of it can match nothing
        box.check()
    tab.get_by_role("button", name="Import").click()
    tab.get_by_text("are on list page7-recall").wait_for()
    room(tab, "Rules").click()
    tab.get_by_role("link", name="Edit").click()
    denied = "deny:\n  - {name: recalled, list: page7-recall, reason: bad radio}\nallow:"
    publish(tab, rules.replace("allow:", denied), "recall 7")
    room(tab, "Lists").click()
    tab.get_by_role("link", name="page7-recall").click()
    tab.get_by_role("button", name="Look for them").click()
    tab.get_by_role("heading", name="Cut off 1 device?").wait_for()
    assert "page7-O002" in tab.locator("main").inner_text()  # which recalls nothing
    tab.get_by_label("Why").fill("bad radio")
    tab.get_by_label("I have read this").check()
    tab.get_by_role("button", name="Cut them off").click()
    tab.get_by_text("Made 1 of 1 device INACTIVE").wait_for()
    assert plant.status(made) == "INACTIVE"


def publish(tab: "Tab", text: str, why: str) -> None:
    """Have a text in the editor checked and put in force."""
    tab.get_by_label("The rules file").fill(text)
    tab.get_by_label("Why").fill(why)
    tab.get_by_role("button", name="Check it").click()
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
    assert "This page is not open here" in tab.locator("main").inner_text()
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
    assert "not open here" in tab.locator("main").inner_text()  # the cookie did not come along
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
    assert "before the old CA ends" in told
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
