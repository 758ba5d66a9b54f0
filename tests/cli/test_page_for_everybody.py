"""Every view of the page in a real browser: for people who see little, on a phone, in the light and in the dark."""

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from testkit.aws.world import World
from testkit.browser import CHROMIUM, chromium, enter
from testkit.cli.command_line import Aws, Run
from testkit.cli.fleet import leaf, tell_cas
from testkit.cli.operating import FACTORY, OTHER, RULES
from testkit.cli.rolling import takes_devices
from testkit.cli.stack import Queues
from testkit.knocks import CA_ID
from testkit.page import Page, listening

from jitr.aws.dynamodb.table import Table

if TYPE_CHECKING:
    from playwright.sync_api import Page as Tab
    from playwright.sync_api import ViewportSize

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")

VIEWS = os.environ.get("JITR_VIEWS")  # a folder for a picture of every view: `make screenshots VIEWS=folder`
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
SCHEMES: dict[str, Any] = {  # what axe looks at: in the dark nothing is different but colours
    "light": {"runOnly": {"type": "tag", "values": TAGS}, "resultTypes": ["violations"]},
    "dark": {"runOnly": {"type": "rule", "values": ["color-contrast"]}, "resultTypes": ["violations"]},
}
PHONE: "ViewportSize" = {"width": 390, "height": 800}
NARROW: "ViewportSize" = {"width": 320, "height": 800}  # WCAG 1.4.10, Reflow
LAPTOP: "ViewportSize" = {"width": 1280, "height": 850}
IN, WAITS = FACTORY.usual_device("snr-1").issue(), FACTORY.usual_device("snr-9").issue()
# One device comes to the other factory's CA; another one of that is on no list.
MOVING = ((leaf("snr-2"), FACTORY), (leaf("snr-2", OTHER, "snr-2 again"), OTHER), (leaf("snr-8", OTHER), OTHER))
ROLLOVER = f"/cas/{FACTORY.id}/rollover/{OTHER.id}"
LONG = "x" * 120  # without a place to break it
# Devices of factory-a come to factory-b; a rule has as long a name as one may have.
ROLLING = (
    RULES.replace(CA_ID, FACTORY.id)
    .replace("[Sensor]}", "[Sensor], renewal: replace}")
    .replace(
        "allow:\n",
        f"""\
  factory-b: {{ids: ["{OTHER.id}"]}}
allow:
  - name: line-b
    ca: factory-b
    list: line-a
    grant: {{thing: "{{common_name}}", iot_policies: [Sensor], renewal: replace, renewal_from: factory-a}}
  - {{name: {LONG[:64]}, ca: factory-b, common_name: nobody, grant: {{iot_policies: [Sensor]}}}}
""",
    )
)

# The marks of the rules editor that one sees in part, and the small buttons whose words are broken.
CUT = """() => [...document.querySelectorAll('button.small')].filter((each) => each.offsetHeight > 32)
.concat([...document.querySelectorAll('.marks mark')].filter((mark) => {
  const [own, line, all] = [mark, mark.parentElement, mark.closest('.editor')]
    .map((each) => each.getBoundingClientRect());
  return own.top < line.bottom && (own.right > all.right || own.bottom > line.bottom);
})).map((each) => each.textContent)"""

Way = str | Callable[["Tab", Page], None]


@pytest.fixture
def page(ready: Table, world: World, aws: Aws, run: Run) -> Iterator[Page]:
    """The page of a stack where something of everything happened."""
    tell_cas(aws, world)
    world.register_ca(OTHER)
    takes_devices(aws, world, on=True)
    Path("admission.yaml").write_text(ROLLING)
    assert run("rules", "publish", "admission.yaml", "--message", "the CAs' real ids", "--yes").exit_code == 0
    for each, ca in ((IN, FACTORY), (WAITS, FACTORY), *MOVING):
        world.connect(each)
        world.knock(each, ca)
    queues = Queues()
    queues.fail(json.dumps({"certificateId": WAITS.sha256}), "event.bug")
    queues.fail("not json", "event.not-json")
    assert run("lists", "add", "recall-7", "common_name=snr-1", f"note={LONG}", "--yes").exit_code == 0
    with listening() as page:
        yield page


# --- the ways to views that have no address of their own


def held_preview(tab: "Tab", page: Page) -> None:
    tab.goto(f"{page.origin}/held")
    tab.get_by_label("Choose all on this page").check()
    tab.get_by_label("Rule", exact=True).select_option("line-a")
    tab.get_by_label("Why (kept with the decision)").fill("the list is a day late")
    tab.get_by_role("button", name="Preview").click()


def proof(tab: "Tab", page: Page) -> None:
    Path("factory-b.pem").write_bytes(OTHER.pem)
    tab.goto(f"{page.origin}/cas/register")
    tab.get_by_label("The CA's certificate").set_input_files("factory-b.pem")
    tab.get_by_role("button", name="Go on").click()


def recall(tab: "Tab", page: Page) -> None:
    tab.goto(f"{page.origin}/lists/recall-7")
    tab.get_by_role("button", name="Look for them").click()
    tab.get_by_role("heading", name="Cut off 1 device?").wait_for()


def asked_first(tab: "Tab", page: Page) -> None:
    """A row that there is something to ask about."""
    tab.goto(f"{page.origin}/lists/line-a")
    form = tab.locator("form", has_text="Add a row")
    form.get_by_label("Value").fill("snr-7")
    with pytest.MonkeyPatch.context() as patch:
        question = "Deny rule stolen names list line-a, and 1 row can match nothing (first snr-7). Go on?"
        patch.setattr("jitr_page.rooms.lists.editing.questions_about", lambda *_given: [question])
        form.get_by_role("button", name="Add").click()
        tab.get_by_role("heading", name="all the same?").wait_for()


def upload(text: str) -> Callable[["Tab", Page], None]:
    def way(tab: "Tab", page: Page) -> None:
        Path("line-a.csv").write_text(text)
        tab.goto(f"{page.origin}/lists")
        tab.get_by_label("File").set_input_files("line-a.csv")
        tab.get_by_role("button", name="Look at it").click()
        tab.wait_for_url("**/uploads/*")

    return way


def edited(change: Callable[[str], str]) -> Callable[["Tab", Page], None]:
    def way(tab: "Tab", page: Page) -> None:
        tab.goto(f"{page.origin}/rules/edit?anew=1")
        box = tab.get_by_label("The rules file")
        box.fill(change(box.input_value()))
        tab.get_by_label("Why").fill("a reason")
        tab.get_by_role("button", name="Check it").click()

    return way


def marked(tab: "Tab", page: Page) -> None:
    """Marks that fit beside their lines on a wide window, and one that fits nowhere, as one types."""
    tab.goto(f"{page.origin}/rules/edit?anew=1")
    box = tab.get_by_label("The rules file")
    box.fill(f"{box.input_value()}unheard: of\n{'x' * 300}: 1\nregion: eu\n")
    tab.locator("#problems").get_by_text("region").wait_for()


def left(tab: "Tab", page: Page) -> None:
    """Whoever leaves what was typed is asked first."""
    tab.goto(f"{page.origin}/rules/edit?anew=1")
    tab.get_by_label("The rules file").press("#")
    with tab.expect_event("dialog") as asked:
        tab.once("dialog", lambda dialog: dialog.dismiss())
        tab.get_by_role("link", name="Do nothing").click(no_wait_after=True)
    assert asked.value.type == "beforeunload"
    assert tab.get_by_label("The rules file").input_value().count("#") == 1


def mistaken(tab: "Tab", page: Page) -> None:
    """Whoever goes back from a refusal has what was typed."""
    tab.goto(f"{page.origin}/lists/line-a")
    form = tab.locator("form", has_text="Add a row")
    form.get_by_label("Value").fill("snr-7")
    form.get_by_label("Note").fill("a long story")
    form.get_by_label("CA").fill("nobody")
    form.get_by_role("button", name="Add").click()
    tab.get_by_text("go back in the browser for what you typed").wait_for()
    tab.go_back()
    assert form.get_by_label("Note").input_value() == "a long story"


def stale(tab: "Tab", page: Page) -> None:
    """Somebody else publishes what was checked here as well."""
    edited(lambda text: text + "default: reject\n")(tab, page)
    tab.get_by_role("heading", name="Publish these rules?").wait_for()
    tab.evaluate("document.querySelector('input[name=seen]').value = 'x'")
    tab.get_by_role("button", name="Put in force").click()


def redriven(tab: "Tab", page: Page) -> None:
    """One message goes back, one is there no more."""
    tab.goto(f"{page.origin}/failures")
    boxes = tab.locator("input[name=message]")
    boxes.nth(0).check()
    boxes.nth(1).check()
    boxes.nth(1).evaluate("box => box.value = 'gone'")
    tab.get_by_role("button", name="Put the chosen ones back").click()
    tab.get_by_role("heading", name="What did not go").wait_for()


def ca_counted(tab: "Tab", page: Page) -> None:
    tab.goto(f"{page.origin}/cas/{FACTORY.id}")
    tab.get_by_role("button", name="Count them").click()
    tab.get_by_role("button", name="Count again").wait_for()


def counted(tab: "Tab", page: Page) -> None:
    tab.goto(page.origin + ROLLOVER)
    tab.get_by_role("button", name="Count the devices").click()
    tab.get_by_role("button", name="Count again").wait_for()


def finished(tab: "Tab", page: Page) -> None:
    tab.goto(page.origin + ROLLOVER)
    tab.get_by_label("Why (kept in the history)").fill("the last truck is back")
    tab.get_by_label("I have read this, and am sure").check()
    tab.get_by_role("button", name="Finish").click()
    tab.get_by_text("Done: the old CA is INACTIVE").wait_for()


def denied(aws: Aws) -> Callable[["Tab", Page], None]:
    def way(tab: "Tab", page: Page) -> None:
        from botocore.exceptions import ClientError

        def refuse(_: Any) -> Any:
            told: Any = {"Error": {"Code": "AccessDeniedException", "Message": "not authorized to perform: iot:X"}}
            raise ClientError(told, "DescribeCACertificate")

        answers = aws.overrides["DescribeCACertificate"]
        aws.overrides["DescribeCACertificate"] = refuse
        tab.goto(f"{page.origin}/cas/{FACTORY.id}")
        aws.overrides["DescribeCACertificate"] = answers

    return way


def ways(aws: Aws) -> dict[str, tuple[Way, int]]:
    """Every view: how one gets there, and the status of the answer."""
    return {
        "today": ("/", 200),
        "held": ("/held", 200),
        "held-none": ("/held?reason=certificate.expired", 200),
        "held-preview": (held_preview, 200),
        "devices": ("/devices", 200),
        "devices-found": ("/devices?q=snr-", 200),
        "devices-none": ("/devices?q=nobody", 200),
        "device-held": (f"/devices/{WAITS.sha256}?explain=now", 200),
        "device-in": (f"/devices/{IN.sha256}", 200),
        "lists": ("/lists", 200),
        "list": ("/lists/line-a", 200),
        "list-long": ("/lists/recall-7", 200),
        "list-asked-first": (asked_first, 200),
        "list-mistakes": (upload("common_name,note\nsnr-1,a\nsnr-1,b\n"), 200),
        "list-compared": (upload("common_name,note\nsnr-3,a\nsnr-4,b\n"), 200),
        "recall": (recall, 200),
        "rules": ("/rules", 200),
        "rules-version": ("/rules/1", 200),
        "rules-editor": ("/rules/edit", 200),
        "rules-mistake": (edited(lambda text: text.replace("list: line-a", "lists: line-a")), 200),
        "rules-no-files": (edited(lambda text: re.sub(r"ids: \[.*?\]", "certificate: a.pem", text)), 200),
        "rules-by-lines": (marked, 200),
        "rules-left": (left, 200),
        "list-again": (mistaken, 200),
        "rules-preview": (edited(lambda text: text + "default: reject\n"), 200),
        "cas": ("/cas", 200),
        "ca": (ca_counted, 200),
        "ca-register": ("/cas/register", 200),
        "ca-proof": (proof, 200),
        "rollover-choose": (f"/cas/{FACTORY.id}/rollover", 200),
        "rollover-before": (ROLLOVER, 200),
        "rollover": (counted, 200),
        "rollover-finished": (finished, 200),
        "failures": ("/failures", 200),
        "failures-redriven": (redriven, 200),
        "history": ("/history", 200),
        "problem-not-there": ("/nothing/here", 404),
        "problem-denied": (denied(aws), 403),
        "problem-stale": (stale, 409),
        "problem-input": ("/held?since=5x", 400),
    }


def test_every_view_is_for_everybody(page: Page, aws: Aws) -> None:
    """WCAG 2.2 AA by axe-core, light and dark; nothing is loaded from elsewhere; nothing is cut or scrolls sideways
    on a phone, and no wider than 320 px either; a mark in the editor is whole or only in the list below."""
    from axe_playwright_python.sync_playwright import Axe

    asked, told, statuses, wrong = list[str](), list[str](), list[int](), list[Any]()
    with chromium() as browser:
        context = enter(browser, page, viewport=LAPTOP)
        tab = context.new_page()
        tab.set_default_timeout(60_000)
        tab.on("request", lambda request: asked.append(request.url))
        tab.on("response", lambda each: statuses.append(each.status) if each.request.is_navigation_request() else None)
        tab.on("console", lambda message: told.append(message.text) if message.type == "error" else None)
        for name, (way, status) in ways(aws).items():
            tab.goto(page.origin + way) if isinstance(way, str) else way(tab, page)
            tab.wait_for_load_state()
            if statuses[-1] != status:
                wrong.append((name, statuses[-1]))
            tab.evaluate(Axe().axe_script)
            for scheme, options in SCHEMES.items():
                tab.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
                found = tab.evaluate("options => axe.run(document, options)", options)["violations"]
                wrong += [(name, scheme, each["id"], [node["html"] for node in each["nodes"]]) for each in found]
                picture(tab, f"{name}-{scheme}")
            tab.emulate_media(color_scheme="light")
            for size in (NARROW, PHONE, LAPTOP):
                tab.set_viewport_size(size)
                if (width := tab.evaluate("document.documentElement.scrollWidth")) > size["width"]:
                    wrong.append((name, size["width"], width))
                wrong += [(name, size["width"], each) for each in tab.evaluate(CUT)]
                if size is PHONE:
                    picture(tab, f"{name}-phone")
        context.close()
    assert wrong == []
    assert {url.startswith(page.origin) for url in asked} == {True}
    assert [each for each in told if "Failed to load resource" not in each] == []  # an answer of 404 is told so


def picture(tab: "Tab", name: str) -> None:
    """Keep how a view looks, where that is wanted."""
    if VIEWS:
        tab.screenshot(path=f"{VIEWS}/{name}.png", full_page=True)
