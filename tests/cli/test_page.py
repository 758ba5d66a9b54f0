"""The operators' page: what it shows and does, by the same operations as the commands."""

import html
import io
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import openpyxl
import pytest
from testkit import manifests
from testkit.cli.command_line import Aws, Run
from testkit.cli.operating import FACTORY, RULES, hold, hold_many
from testkit.cli.stack import Queues
from testkit.page import Page

from jitr.aws.dynamodb.decisions import newest
from jitr.aws.dynamodb.table import Conflict, Table
from jitr.devicelists.rows import ListRow
from jitr.errors import InputError, Refused, Retry
from jitr.reasons import CODES, ReasonCode, Verdict
from jitr.services.lists.device_lists import DeviceLists
from jitr.services.publishing import versions
from jitr.services.publishing.deny_lists import DenyListDoubts
from jitr_operations import telling
from jitr_operations.lists import importing
from jitr_operations.lists.files import written
from jitr_operations.status.overview import overview
from jitr_page.hearing import Heard
from jitr_page.jobs import JobResult, WayBack
from jitr_page.server import finish
from jitr_page.text import in_short

HOSTILE = "<script>alert(1)</script>\u202egnp.exe\x1b[2J\"'><img src=x>"


def device(number: int, revision: int = 1) -> str:
    """A held device as a form names it."""
    return f"{number:064x}@{revision}"


def rows_of(table: Table, name: str) -> list[ListRow]:
    """The rows of a list."""
    lists = DeviceLists(table)
    return list(lists.rows(name, lists.all()[name].head.generation))


def on_list(table: Table, name: str) -> set[str]:
    """What the rows of a list are found by."""
    return {row.found_by()[0].value for row in rows_of(table, name)}


@pytest.fixture
def page(ready: Table) -> Page:
    """The page of a stack with rules and a list in force, opened."""
    return Page().enter()


def test_where_it_works_and_who_does_is_always_in_sight(page: Page) -> None:
    for path in ("/", "/held", "/devices", "/lists", "/rules", "/cas", "/failures", "/nothing"):
        text = page.get(path).text
        assert "123456789012" in text
        assert "eu-central-1" in text
        assert "stack <strong>jitr</strong>" in text


def test_a_local_stack_is_told_as_one_and_looks_otherwise_however_it_was_named(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ("Account <strong>123456789012" in page.text("/"), "Local stack" in page.text("/")) == (True, False)
    monkeypatch.setattr("jitr_page.site.NO_ACCOUNT", "123456789012")
    text = page.text("/")
    assert ('<body class="local">' in text, "Local stack" in text, "Account" in text) == (True, True, False)


def test_an_unknown_address_leads_on(page: Page) -> None:
    answer = page.get("/nothing/here")
    assert (answer.status_code, "There is nothing here" in answer.text) == (404, True)
    assert f'href="{page.door.root}/held"' in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/held?after=x",
        "/held?since=5x",
        "/devices?verdict=x",
        "/devices?reason=x",
        "/held?reason=x",
        "/lists/line-b",
        "/rules/99",
        "/held?ca=nobody",
        "/lists/line-a?after=99~x",
        "/failures?queue=x",
    ],
)
def test_a_wrong_address_says_what_is_wrong_with_it(page: Page, path: str) -> None:
    answer = page.get(path)
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text


@pytest.mark.parametrize(
    ("path", "those"),
    [
        ("/failures?reason=nope", "event.not-json, "),
        ("/failures?reason=certificate.expired", "event.not-json, "),  # nothing fails for a reason of decisions
        ("/failures?queue=nope", "RegistrationFailures, RuleFailures"),
        ("/held?reason=nope", "certificate.expired, "),
        ("/devices?reason=certificate.expird", "did you mean certificate.expired?"),
        ("/held?since=nope", "1h, 24h, 7d, 30d"),
        ("/devices?verdict=nope", "admit, hold, reject"),
        ("/held?rule=nope", "<p>line-a</p>"),
        ("/devices?rule=nope", "<p>line-a</p>"),
        ("/held?ca=nope", "there are: factory"),
        ("/history?kind=nope", "rules, "),
        ("/history?since=nope", "1h, 24h, 7d, 30d"),
    ],
)
def test_a_filter_for_what_there_is_not_says_so_and_what_there_is(page: Page, path: str, those: str) -> None:
    """An empty view would say that nothing fits, and be taken for good news."""
    answer = page.get(path)
    assert (answer.status_code, those in html.unescape(answer.text)) == (400, True)


@pytest.mark.parametrize("ca", ["factory.pem", "not-a-certificate", "a" * 300 + "z"])
def test_an_address_names_no_file_of_the_operators_machine(page: Page, ca: str) -> None:
    """What stands in an address comes from whoever sent it: it is an alias or an id, whatever lies in the folder."""
    Path("factory.pem").write_bytes(FACTORY.pem)
    Path("not-a-certificate").write_text("secret")
    answer = page.get(f"/held?ca={ca}")
    told = html.unescape(answer.text)
    assert (answer.status_code, "is no caCertificateId, and no CA alias of the rules in force" in told) == (400, True)


def test_decisions_by_a_rule_of_before_are_found_and_the_form_keeps_every_filter(page: Page, ready: Table) -> None:
    """One that is not among its choices as well: or the form would show one thing, and the view another."""
    hold(ready, 1)
    record = next(newest(ready, Verdict.HOLD))
    misses = ({"rule": "of-before", "at": "old.yaml:3", "matched": [], "failed": []},)
    ready.put_record(replace(record, near_misses=misses))
    text = page.text("/held?rule=of-before")
    assert f"{1:064x}" in text
    assert '<option value="of-before" selected>of-before</option>' in text
    assert '<option value="ab" selected>ab</option>' in page.text("/held?ca=ab")


def test_today_tells_what_needs_attention_and_why_devices_wait_in_words_with_the_next_click(
    page: Page, ready: Table
) -> None:
    hold(ready, 1)
    text = page.get("/").text
    attention = text.partition('<ol class="attention">')[2].partition("</ol>")[0]
    assert re.search(r"1 device is held\. <a href=\"[^\"]*/held\">See who waits</a>", attention)
    assert "<code>" not in attention
    assert re.search(r">1</a> No allow rule matches <span class=\"code\">allow.unmatched</span>", text)


@pytest.mark.parametrize(("count", "folded"), [(10, ""), (12, "2 more")])
def test_today_folds_what_follows_the_ten_most_urgent(
    page: Page, monkeypatch: pytest.MonkeyPatch, count: int, folded: str
) -> None:
    """A hundred CAs with one fault leave room for what else there is."""
    urgent = [f"number {each}." for each in range(1, count + 1)]
    monkeypatch.setattr("jitr_page.rooms.today.overview", lambda *given: overview(*given) | {"attention": urgent})
    before, _, rest = page.text("/").partition('<ol class="attention" start="11">')
    assert "<li>number 10.</li></ol>" in before
    assert (f"<summary>{folded}</summary>" in before, rest.count("<li>number ")) == (bool(folded), count - 10)


@pytest.mark.parametrize("code", CODES.values(), ids=lambda code: code.code)
def test_a_reason_in_short_is_a_whole_sentence(code: ReasonCode) -> None:
    short = re.sub("<code>.*?</code>", "code", in_short(code.meaning))
    assert re.fullmatch(r"[^`()]*[^`(),;:. ]", short)


# --- held devices


def test_held_devices_are_shown_by_their_reason_in_words(page: Page, ready: Table) -> None:
    hold(ready, 1)
    text = page.text("/held")
    assert "no allow rule matches" in text
    assert text.index("no allow rule matches") < text.index("snr-1")


def test_what_a_near_miss_failed_by_is_told_once(page: Page, ready: Table) -> None:
    hold(ready, 1)
    record = next(newest(ready, Verdict.HOLD))
    failed = [{"condition": "ca", "message": "not its CA"}], [{"condition": "list line-a", "message": "not on it"}]
    near = tuple({"rule": "a", "at": "a:1", "matched": [], "failed": each} for each in failed)
    nearest = {"code": "allow.unmatched", "message": "no allow rule matches; nearest is a (a:1): not its CA"}
    ready.put_record(replace(record, reasons=(nearest,), near_misses=near))
    text = page.text("/held")
    assert (text.count("not its CA"), text.count("not on it")) == (1, 1)


def test_pages_go_by_keys_so_that_nobody_moves_between_them(page: Page, ready: Table) -> None:
    hold_many(ready, range(1, 121))
    first = page.text("/held")
    hold(ready, 500)  # comes in while the first page is read
    second = page.text(following(first))
    third = page.text(following(second))
    shown = [re.findall(r'value="([0-9a-f]{64})@', each) for each in (first, second, third)]
    assert [int(each, 16) for some in shown for each in some] == list(range(120, 0, -1))
    assert "Older ones" not in third


def following(text: str) -> str:
    """The address of the next page."""
    found = re.search(r'href="/[\w-]{22}(/held\?[^"]*after=[^"]+)"', text)
    assert found
    return found[1].replace("&amp;", "&")


def test_devices_of_the_same_second_are_each_on_one_page(page: Page, ready: Table) -> None:
    hold_many(ready, range(1, 121), at_once=True)
    shown, path = list[str](), "/held"
    for _ in range(3):
        text = page.text(path)
        shown += re.findall(r'value="([0-9a-f]{64})@', text)
        path = following(text) if "Older ones" in text else ""
    assert sorted(int(each, 16) for each in shown) == list(range(1, 121))
    assert path == ""


def test_a_page_looks_at_a_bounded_number_of_records(
    page: Page, ready: Table, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A filter that passes nothing says how far it looked, and goes on from there."""
    for number in range(1, 31):
        hold(ready, number)
    monkeypatch.setattr(
        "jitr_operations.decisions.paging.page.__kwdefaults__", {"since": None, "after": None, "size": 50, "most": 10}
    )
    text = page.text("/held?reason=certificate.expired")
    assert "among the newest 10" in text
    assert "Look further" in text


def test_what_would_become_of_the_chosen_ones_is_shown_before_anything_is_done(page: Page, ready: Table) -> None:
    hold(ready, 1)
    answer = page.post("/held/preview", device=device(1), what="reject", message="stolen from the line")
    assert "Reject 1 device?" in answer.text
    assert "stolen from the line" in answer.text
    assert next(newest(ready, Verdict.HOLD)).word is None
    assert waiting(Queues()) == 0


def waiting(queues: Queues) -> int:
    """How many messages are on the registration queue."""
    url = queues.urls["RegistrationQueueUrl"]
    answer = queues.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
    return int(answer["Attributes"]["ApproximateNumberOfMessages"])


def test_many_are_decided_and_what_did_not_go_is_told_device_by_device(page: Page, ready: Table) -> None:
    for number in (1, 2, 3):
        hold(ready, number)
    chosen = [device(1), device(2, revision=7), device(3)]
    text = page.finish(page.post("/held/do", device=chosen, what="reject", message="a bad batch"))
    assert "2 of 3 are decided again now" in text
    assert "decided again after it was shown" in text
    words = {record.certificate_id[-1]: record.word for record in newest(ready, Verdict.HOLD)}
    assert [(words[each] or {}).get("message") for each in "123"] == ["a bad batch", None, "a bad batch"]
    assert waiting(Queues()) == 2


def test_what_is_missing_is_asked_for(page: Page, ready: Table) -> None:
    hold(ready, 1)
    for form, told in (
        ({"what": "reject", "message": "x"}, "no device was chosen"),
        ({"what": "reject", "device": device(1)}, "say why"),
        ({"what": "reject", "device": device(1), "message": "x" * 501}, "say it shorter"),
        ({"what": "admit", "device": device(1), "message": "x"}, "choose the rule"),
        ({"what": "admit", "rule": "line-x", "device": device(1), "message": "x"}, "no allow rule line-x"),
        ({"what": "melt", "device": device(1), "message": "x"}, "admit or reject"),
    ):
        for path in ("/held/preview", "/held/do"):
            answer = page.post(path, **form)
            assert (answer.status_code, told in answer.text) == (400, True), (path, form)


# --- one device


def test_a_device_s_page_never_acts_on_what_changed_since(page: Page, ready: Table) -> None:
    hold(ready, 1)
    answer = page.post(f"/devices/{1:064x}/reject", revision="7", message="x")
    assert (answer.status_code, "decided again after it was shown" in answer.text) == (400, True)
    assert next(newest(ready, Verdict.HOLD)).word is None


def test_a_held_device_is_put_on_a_list_by_its_key(page: Page, ready: Table) -> None:
    hold(ready, 1)
    record = next(newest(ready, Verdict.HOLD))
    answer = page.post(
        f"/devices/{1:064x}/list", revision=str(record.revision), list="line-a", message="label misprinted"
    )
    assert answer.status_code == 303, answer.text
    assert record.facts
    assert record.facts["public_key_sha256"] in on_list(ready, "line-a")


def test_devices_are_found_by_what_a_technician_reads_out(page: Page, ready: Table) -> None:
    hold(ready, 1)
    record = next(newest(ready, Verdict.HOLD))
    assert record.facts
    serial = record.facts["serial_number"]
    pairs = ":".join(re.findall("..", serial.zfill(len(serial) + len(serial) % 2)))
    for asked in (
        record.certificate_id,
        record.certificate_id.upper(),
        serial,
        pairs,
        str(int(serial, 16)),
        record.facts["public_key_sha256"],
    ):
        assert record.certificate_id in page.text(f"/devices?q={asked}"), asked
    assert "Nothing on record begins with that" in page.text("/devices?q=nobody")


def test_the_address_that_a_colleague_sent_is_found_on_ones_own_page(page: Page) -> None:
    sent = f"http://127.0.0.1:9/{'x' * 22}/held?reason=certificate.expired&since=24h"
    for asked in (sent, "/held?reason=certificate.expired&since=24h"):
        answer = page.ask("GET", "/devices", query_string={"q": asked})
        assert answer.location == f"{page.door.root}/held?reason=certificate.expired&since=24h"
    for elsewhere in ("http://evil.example/held", "//evil.example/held", "/held\r\nX: y", "/nothing"):
        assert page.ask("GET", "/devices", query_string={"q": elsewhere}).status_code == 200, elsewhere


# --- lists


def test_a_file_is_looked_at_and_then_imported(page: Page, ready: Table) -> None:
    looked = page.look(b"common_name\nsnr-7\n", "more.csv", name="line-a", mode="merge")
    assert "1 row: 1 added" in looked.text
    assert "snr-7" not in on_list(ready, "line-a")
    found = re.search(r'action="(/[^"]+/import)"', looked.text)
    assert found
    text = page.finish(page.post(found[1], sure="yes"))
    assert "1 row is on list line-a" in text
    assert "snr-7" in on_list(ready, "line-a")
    again = page.post(found[1], sure="yes")
    assert (again.status_code, "imported already" in again.text) == (400, True)


def test_who_is_done_is_told_where_the_way_back_leads(page: Page, ready: Table) -> None:
    """By the place's name; a list that is new is found among all of them, as an import that failed made none."""
    hold(ready, 1)
    text = page.finish(page.post("/held/do", device=[device(1)], what="reject", message="x"))
    assert f'<a href="{page.door.root}/held">Back to the held devices</a>' in text
    text = page.finish(page.post("/failures/sweep"))
    assert f'<a href="{page.door.root}/failures">Back to the failures</a>' in text
    for name, back in (("line-a", "/lists/line-a"), ("line-new", "/lists")):
        looked = page.look(b"common_name\nsnr-7\n", "more.csv", name=name, mode="merge")
        found = re.search(r'action="(/[^"]+/import)"', looked.text)
        assert found
        text = page.finish(page.post(found[1], sure="yes"))
        assert f'<a href="{page.door.root}{back}">Back to' in text


def test_every_mistake_of_a_file_is_told_beside_its_line(page: Page, ready: Table) -> None:
    data = b"common_name,certificate_sha256\nsnr-7,abc\n,\nsnr-8,\n"
    answer = page.look(data, "x.csv", name="line-a")
    assert "cannot be imported" in answer.text
    assert "<code>snr-7,abc</code>" in answer.text
    assert '<td data-label="Where">line 2, column 2</td>' in answer.text


def test_a_mistake_in_a_spreadsheet_is_told_by_its_cell_beside_the_cells_of_its_row(page: Page) -> None:
    book = openpyxl.Workbook()
    for cells in (("common_name", "note"), ("snr-7", "hall 1"), (42, "hall 2")):
        book.worksheets[0].append(cells)
    file = io.BytesIO()
    book.save(file)
    answer = page.look(file.getvalue(), "lot.xlsx", name="line-a")
    assert '<td data-label="Where">A3</td>' in answer.text
    assert "<code>42 | hall 2</code>" in answer.text
    assert "PK" not in answer.text


def test_of_an_archive_no_bytes_are_shown_as_lines(page: Page) -> None:
    answer = page.look(manifests.zipped({"a.pem": b"no certificate"}), "lot.zip", name="line-a")
    assert '<td data-label="Where">a.pem</td>' in answer.text
    assert ("The row" in answer.text, "PK" in answer.text) == (False, False)


def test_rows_are_found_by_any_part_of_their_notes(
    page: Page, ready: Table, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bounded number of rows at a time: one looks further from where the last look ended. As the command does."""
    rows = "".join(f'n-{number},"Hall {number % 4}, rack"\n' for number in range(40))
    Path("notes.csv").write_text("common_name,note\n" + rows)
    assert run("lists", "import", "line-a", "notes.csv").exit_code == 0
    text = page.text("/lists/line-a?note=hall+2")
    assert ("n-2<" in text, "n-3<" in text, "10 rows on this page, of 42 that were looked at" in text) == (
        True,
        False,
        True,
    )
    assert "No note has “hall 9” in it, of 42 rows" in page.text("/lists/line-a?note=hall+9")
    found = json.loads(run("lists", "show", "line-a", "--note", "hall 2", "--json").stdout)["shown"]
    monkeypatch.setattr("jitr_operations.lists.notes.MOST", 5)
    seen, path = set[str](), "/lists/line-a?note=hall+2"
    while path:
        text = page.text(path)
        seen |= set(re.findall(r"<td>(n-\d+)</td>", text))
        further = re.search(r'href="[^"]*(/lists/line-a\?note=[^"]*)">Look further', text)
        path = html.unescape(further[1]) if further else ""
    assert seen == {each["common_name"] for each in found}
    assert len(seen) == 10


def test_a_search_that_finds_no_device_leads_to_the_notes_of_lists(page: Page) -> None:
    assert "/lists/line-a?note=hall+2" in page.text("/devices?q=hall+2")
    assert "Look in the notes" not in page.text("/devices")


def test_a_row_is_added_with_its_attributes(page: Page, ready: Table) -> None:
    """Else a late device would get in without what its rule gives to its thing."""
    form = {"column": "common_name", "value": "late", "attributes": "batch=8, line = 3,"}
    assert page.post("/lists/line-a/add", **form).status_code == 303
    [row] = [each for each in rows_of(ready, "line-a") if each.common_name == "late"]
    assert dict(row.attributes) == {"batch": "8", "line": "3"}
    assert page.post("/lists/line-a/add", **form | {"attributes": "attr.hall=9"}).status_code == 303
    [row] = [each for each in rows_of(ready, "line-a") if each.common_name == "late"]
    assert dict(row.attributes) == {"hall": "9"}  # its column's whole name means the same
    for wrong, told in (
        ("batch", "is not name=value"),
        ("batch=8,batch=9", "is given twice"),
        ("batch=8,attr.batch=9", "is given twice"),
        ("=8", "name=value"),
        ("attr.attr.hall=9", "did you mean attr.hall?"),
    ):
        answer = page.post("/lists/line-a/add", column="common_name", value="late", attributes=wrong)
        assert (answer.status_code, told in answer.text) == (400, True)


@pytest.mark.parametrize("name", ["../../etc/passwd", "..", "a/b", "x" * 65, "-x"])
def test_a_file_goes_to_no_place_that_its_name_says(page: Page, name: str) -> None:
    answer = page.look(b"common_name\nx\n", name, name=name)
    assert (answer.status_code, "is not a list" in answer.text) == (400, True)


def test_a_list_much_shorter_than_before_is_asked_about(page: Page, ready: Table) -> None:
    looked = page.look(b"common_name\n", "line-a.csv", name="line-a", mode="replace")
    assert "This shrinks list line-a from 2 rows to 0" in looked.text
    found = re.search(r'action="(/[^"]+/import)"', looked.text)
    assert found
    assert page.post(found[1]).status_code == 400
    assert len(on_list(ready, "line-a")) == 2


@pytest.mark.parametrize(
    "others", [b"common_name\nsnr-7\nsnr-8\n", b"common_name,expires\nsnr-1,2020-01-01\nsnr-2,2020-01-01\n"]
)
def test_a_list_that_would_lose_most_of_its_rows_is_asked_about(
    page: Page, ready: Table, others: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is added; and the job asks again what came up since then."""
    looked = page.look(others, "line-a.csv", name="line-a", mode="replace")
    assert re.search("This (takes|may take up to) 2 of 2 rows off list line-a", looked.text)
    found = re.search(r'action="(/[^"]+/import)"', looked.text)
    assert found
    assert page.post(found[1]).status_code == 400
    monkeypatch.setattr("jitr_page.rooms.uploads.importing.questions_to_come", lambda *_: [])
    assert "This takes 2 of 2 rows off list line-a" in page.finish(page.post(found[1]))
    lists = DeviceLists(ready)
    assert {row.expires for row in lists.rows("line-a", lists.all()["line-a"].head.generation)} == {None}
    assert on_list(ready, "line-a") == {"snr-1", "snr-2"}


def test_a_file_replaces_no_row_that_came_since_it_was_looked_at(page: Page, ready: Table) -> None:
    looked = page.look(b"common_name\nsnr-1\nsnr-2\n", "line-a.csv", name="line-a", mode="replace")
    found = re.search(r'action="(/[^"]+/import)"', looked.text)
    assert found
    assert page.post("/lists/line-a/add", column="common_name", value="late").status_code == 303
    text = page.finish(page.post(found[1], sure="yes"))
    assert "list line-a was edited meanwhile" in text
    assert "late" in on_list(ready, "line-a")


def kept_files(page: Page) -> int:
    """How many uploaded files are there."""
    return len(list(Path(page.app.extensions["jitr"].uploads._folder.name).iterdir()))


def test_a_file_is_kept_no_longer_than_it_is_needed(page: Page) -> None:
    wrong = page.look(b"common_name\na\na\n", "x.csv", name="line-a")
    assert ("cannot be imported" in wrong.text, kept_files(page)) == (True, 0)
    for number in range(25):
        page.look(f"common_name\nsnr-{number}\n".encode(), "x.csv", name="line-a")
    assert kept_files(page) == 20
    looked = page.look(b"common_name\nsnr-7\n", "x.csv", name="line-a")
    found = re.search(r'action="(/[^"]+)/import"', looked.text)
    assert found
    assert page.post(f"{found[1]}/discard").status_code == 303
    assert kept_files(page) == 19
    assert page.get(found[1]).status_code == 400


def test_a_file_that_takes_long_is_read_without_its_tab(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = Event()
    real = importing.look

    def slowly(*given: Any, **how: Any) -> Any:
        assert go_on.wait(60)
        return real(*given, **how)

    monkeypatch.setattr("jitr_page.rooms.uploads.importing.look", slowly)
    monkeypatch.setattr("jitr_page.rooms.uploads._SHORT", 0)
    answer = page.ask("POST", "/uploads", data={"name": "line-a", "file": (io.BytesIO(b"common_name\nx\n"), "x.csv")})
    assert "goes on when this tab is closed" in page.text(answer.location)
    go_on.set()
    page.app.extensions["jitr"].jobs.get(answer.location.rpartition("/")[2]).over.wait(60)
    assert "1 row: 1 added" in page.text(page.get(answer.location).location)


@pytest.mark.parametrize("name", ["template", "template.csv", "line-a.csv", "look", "import", "export"])
def test_every_list_has_an_address_and_an_export_whatever_its_name(page: Page, run: Run, name: str) -> None:
    assert run("lists", "add", name, "common_name=snr-9", "--yes").exit_code == 0
    assert f"<h1>List {name}</h1>" in page.text(f"/lists/{name}")
    assert page.text(f"/lists/{name}/export").splitlines()[1:] == ["snr-9"]


def test_an_export_reads_a_list_once_and_sends_no_part_of_it_for_the_whole() -> None:
    rows = [ListRow(common_name=f"snr-{number}") for number in range(3)] + [ListRow(common_name="x", note="y")]
    assert "".join(written(iter(rows))).splitlines()[1:] == ["snr-0,", "snr-1,", "snr-2,", "x,y"]

    def broken() -> Iterator[ListRow]:
        yield from rows
        raise Retry("dynamodb", "DynamoDB could not answer")

    with pytest.raises(Retry):
        written(broken())


def test_rows_are_added_and_taken_off(page: Page, ready: Table) -> None:
    assert page.post("/lists/line-a/add", column="common_name", value="snr-9", note="late").status_code == 303
    assert "snr-9" in on_list(ready, "line-a")
    assert page.post("/lists/line-a/remove", kind="common_name", value="snr-9").status_code == 303
    assert "snr-9" not in on_list(ready, "line-a")
    gone = page.post("/lists/line-a/remove", kind="common_name", value="snr-9")
    assert (gone.status_code, "not on list line-a any more" in gone.text) == (400, True)


def test_a_row_makes_no_list_of_a_name_that_is_none(page: Page, ready: Table) -> None:
    """A slip would: a row is put on a list that is there, a device also on one that a rule names."""
    answer = page.post("/lists/line-b/add", column="common_name", value="snr-9", sure="yes")
    assert (answer.status_code, "there is no list line-b: did you mean line-a?" in answer.text) == (400, True)
    hold(ready, 1)
    form = {"revision": str(next(newest(ready, Verdict.HOLD)).revision), "message": "x", "sure": "yes"}
    answer = page.post(f"/devices/{1:064x}/list", list="line-b", **form)
    assert (answer.status_code, "there is no list line-b: did you mean line-a?" in answer.text) == (400, True)
    assert DeviceLists(ready).all().keys() == {"line-a"}
    DeviceLists(ready).delete("line-a", at="2026-03-01T00:00:00Z", seen=DeviceLists(ready).all()["line-a"])
    assert page.post(f"/devices/{1:064x}/list", list="line-a", **form).status_code == 303
    assert len(rows_of(ready, "line-a")) == 1


def test_a_list_is_exported_as_the_command_does(page: Page, run: Run) -> None:
    assert run("lists", "export", "line-a", "out.csv").exit_code == 0
    assert sorted(page.text("/lists/line-a/export").splitlines()) == sorted(Path("out.csv").read_text().splitlines())


# --- rules


def test_rules_with_an_error_are_shown_it_and_keep_their_text(page: Page) -> None:
    text = RULES.replace("ca: factory-a\n", "ca: factory-x\n")
    answer = page.post("/rules/check", text=text, seen="x", message="why")
    assert "Line 6, column 9" in answer.text
    assert "factory-x" in answer.text


def test_rules_are_published_after_what_they_change_was_seen(page: Page, ready: Table, iot: Any) -> None:
    text, seen = RULES.replace("name: line-a", "name: line-b"), ready.heads().digest
    looked = page.post("/rules/check", text=text.replace("\n", "\r\n"), seen=seen, message="a better name")
    assert "every test passes" in looked.text
    assert ready.heads().version == 1
    done = page.post("/rules/publish", text=text, seen=seen, message="a better name")
    assert done.status_code == 303, done.text
    version = versions.in_force(ready)
    assert version
    assert (version.version, version.message) == (2, "a better name")


def test_whoever_publishes_is_told_where_not_every_device_was_looked_at(
    page: Page, ready: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        hold(ready, number)
    seen, told = ready.heads().digest, "of each decision were looked at"
    for most in (4, 3):
        monkeypatch.setattr("jitr.services.recheck.replay.MOST_REPLAYED", most)
        looked = page.post("/rules/check", text=RULES.replace("name: line-a", "name: line-b"), seen=seen, message="x")
        assert "every test passes" in looked.text
        assert (told in looked.text) is (most == 3)


def test_of_two_who_publish_at_once_one_wins_and_the_other_loses_no_text(page: Page, ready: Table, iot: Any) -> None:
    seen = ready.heads().digest
    mine, theirs = RULES.replace("name: line-a", "name: mine"), RULES.replace("name: line-a", "name: theirs")
    assert page.post("/rules/publish", text=theirs, seen=seen, message="theirs").status_code == 303
    answer = page.post("/rules/publish", text=mine, seen=seen, message="mine")
    assert (answer.status_code, "Somebody else published" in answer.text, "name: mine" in answer.text) == (
        409,
        True,
        True,
    )
    assert "-  - name: line-a" in answer.text  # what they changed stands beside it
    assert "+  - name: theirs" in answer.text
    assert ready.heads().version == 2


def test_an_earlier_version_is_put_in_force_after_what_it_changes_was_seen(page: Page, ready: Table, iot: Any) -> None:
    seen = ready.heads().digest
    page.post("/rules/publish", text=RULES.replace("name: line-a", "name: line-b"), seen=seen, message="x")
    looked = page.post("/rules/1/rollback")
    assert "Put version 1 in force again?" in looked.text
    assert ready.heads().version == 2
    done = page.post("/rules/1/rollback", seen=ready.heads().digest, message="back")
    assert (done.status_code, ready.heads().digest) == (303, seen)


# --- confused operators


def test_every_command_that_is_offered_works_on_the_same_stack(page: Page, ready: Table, iot: Any) -> None:
    """Pasted into a shell, it must not reach another account or stack than the page shows."""
    hold(ready, 1)
    [ca] = [each["certificateId"] for each in iot.list_ca_certificates()["certificates"]]
    iot.update_ca_certificate(certificateId=ca, newStatus="ACTIVE")
    active = page.text(f"/cas/{ca}")
    iot.update_ca_certificate(certificateId=ca, newStatus="INACTIVE")
    texts = [page.text(each) for each in ("/", "/held", f"/devices/{1:064x}", "/lists/line-a", f"/cas/{ca}", "/rules")]
    offered = [each for text in (*texts, active) for each in re.findall("<code>(jitr [^<]+)</code></details>", text)]
    assert len(offered) > 8
    elsewhere = ("jitr rules init", "jitr ca create")  # they make files, and ask AWS for nothing
    assert [
        each
        for each in offered
        if not each.startswith(elsewhere) and not each.endswith("--region eu-central-1 --stack jitr")
    ] == []


@pytest.mark.parametrize(("method", "told"), [("POST", "may be done all the same"), ("GET", "Nothing was changed")])
def test_what_aws_did_not_answer_is_not_said_to_be_undone(page: Page, aws: Aws, method: str, told: str) -> None:
    from botocore.exceptions import ReadTimeoutError

    def silent(_: Any) -> Any:
        raise ReadTimeoutError(endpoint_url="https://example.com")

    aws.overrides["BatchGetItem"] = aws.overrides["Query"] = aws.overrides["TransactWriteItems"] = silent
    form = {"kind": "common_name", "value": "snr-1"} if method == "POST" else None
    answer = page.ask(method, "/lists/line-a/remove" if form else "/lists/line-a", data=form)
    assert (answer.status_code >= 400, told in answer.text) == (True, True)


def test_a_bug_in_a_job_leaves_its_traceback_in_the_terminal(
    page: Page, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("of the house")

    monkeypatch.setattr("jitr_page.rooms.failures.redrive", broken)
    text = page.finish(page.post("/failures/redrive", which="all"))
    assert ("has the traceback" in text, "of the house" in text) == (True, False)
    assert "ZeroDivisionError: of the house" in caplog.text


def test_who_ends_the_page_waits_for_work_under_way_or_is_told_what_was_cut_off(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs, go_on, heard = page.app.extensions["jitr"].jobs, Event(), Heard()

    def work() -> JobResult:
        with telling.progress("Importing", 10) as advance:
            advance(4)
            assert go_on.wait(60)
        return JobResult("done")

    job = jobs.start("Import 10 rows into x", WayBack("today", "/"), work)
    monkeypatch.setattr(heard, "note", lambda _text: go_on.set())
    with telling.heard_by(heard):
        finish(jobs)
    assert (job.running, heard.said) == (False, [])
    go_on.clear()
    job = jobs.start("Import 10 rows into x", WayBack("today", "/"), work)
    monkeypatch.setattr(heard, "note", lambda _text: None)
    monkeypatch.setattr(job.over, "wait", interrupted)
    while not job.done:
        job.over.is_set()
    with telling.heard_by(heard):
        finish(jobs)
    assert heard.said == [("warning", "cut off at 4 of 10: Import 10 rows into x; do the same again, and it goes on")]
    go_on.set()


def interrupted() -> bool:
    """Ctrl-C while one waits."""
    raise KeyboardInterrupt


def test_a_form_that_is_sent_twice_is_done_once_and_answered_alike(page: Page, ready: Table, iot: Any) -> None:
    """By a double click, by going back, or by sending the page again: nobody is told that somebody else did it."""
    seen, text = ready.heads().digest, RULES.replace("name: line-a", "name: line-b")
    form = {"once": "x1", "text": text, "seen": seen, "message": "a better name"}
    first, second = page.post("/rules/publish", **form), page.post("/rules/publish", **form)
    assert (first.status_code, second.status_code) == (303, 303)
    assert first.location == second.location
    assert ready.heads().version == 2
    row = {"once": "x2", "kind": "common_name", "value": sorted(on_list(ready, "line-a"))[0]}
    locations = {page.post("/lists/line-a/remove", **row).location for _ in range(2)}
    assert locations == {f"{page.door.root}/lists/line-a?done=remove"}


def test_a_form_that_is_sent_twice_at_once_waits_for_what_comes_of_it(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, told = Event(), Event(), list[str]()

    def slowly(_deployment: Any) -> None:
        told.append("done")
        begun.set()
        assert go_on.wait(60)

    monkeypatch.setattr("jitr_page.rooms.held.held.recheck_everyone", slowly)
    other = Page.__new__(Page)
    other.__dict__ |= page.__dict__ | {"client": page.app.test_client()}
    other.client._cookies = page.client._cookies
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(page.post, "/held/recheck", once="x")
        assert begun.wait(60)
        second = threads.submit(other.post, "/held/recheck", once="x")
        go_on.set()
        assert first.result(60).location == second.result(60).location
    assert told == ["done"]


def test_a_form_that_was_refused_or_filled_in_otherwise_can_be_sent_again(page: Page, ready: Table) -> None:
    hold(ready, 1)
    path = f"/devices/{1:064x}/reject"
    assert page.post(path, once="x", revision="1").status_code == 400
    assert page.post(path, once="x", revision="1").status_code == 400
    assert page.post(path, once="x", revision="1", message="stolen").status_code == 303
    assert next(newest(ready, Verdict.HOLD)).word is not None


# --- what comes from outside


def test_no_name_note_or_message_can_deceive_or_steer_the_browser(page: Page, ready: Table) -> None:
    hold(ready, 1)
    page.post(
        "/lists/line-a/add",
        column="common_name",
        value="snr-9",
        note=HOSTILE.replace("\x1b", "").replace("\u202e", ""),
        sure="yes",
    )
    page.post(f"/devices/{1:064x}/reject", revision="1", message=HOSTILE)
    for path in (
        "/",
        "/held",
        "/devices",
        f"/devices/{1:064x}",
        "/lists/line-a",
        f"/devices?q={HOSTILE}",
        f"/held?reason={HOSTILE}",
    ):
        # A field has what was typed, as it is sent again; what stands in it reaches nothing around it.
        text = re.sub(r'value="[^"]*"', "", page.get(path).text)
        assert "<script>alert" not in text, path
        assert "<img src=x" not in text, path
        assert "\u202e" not in text, path
        assert "\x1b" not in text, path


def test_what_aws_refuses_is_told_where_it_was_asked(page: Page, aws: Aws) -> None:
    from botocore.exceptions import ClientError

    def refuse(_: Any) -> Any:
        raise ClientError(
            {
                "Error": {
                    "Code": "AccessDeniedException",
                    "Message": "not authorized to perform: iot:ListCACertificates",
                }
            },
            "ListCACertificates",
        )

    aws.overrides["ListCACertificates"] = refuse
    answer = page.get("/cas")
    assert answer.status_code == 403
    assert "iot:ListCACertificates" in answer.text


@pytest.mark.parametrize(
    ("problem", "code", "told"),
    [
        (Retry("throttled", "DescribeCertificate was throttled (ThrottlingException)"), 503, "do it again"),
        (Retry("rules", "no rules are published"), 503, "do it again"),
        (Retry("denied", "GetItem: not authorized to perform: dynamodb:GetItem"), 403, "dynamodb:GetItem"),
        (Conflict("the list"), 409, "Somebody else was faster"),
        (Refused("DescribeCertificate", "InvalidRequestException", "no"), 502, "AWS answered no"),
        (InputError("no such list"), 400, "no such list"),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, Exception) else None,
)
def test_a_browser_is_told_whose_fault_it_is_and_whether_to_wait(
    page: Page, monkeypatch: pytest.MonkeyPatch, problem: Exception, code: int, told: str
) -> None:
    """By the status code (RFC 9110), in words on the page, and in the words of a job."""

    def broken(*_: Any) -> Any:
        raise problem

    monkeypatch.setattr("jitr_page.rooms.lists.DeviceLists", broken)
    answer = page.get("/lists")
    assert (answer.status_code, told in answer.text) == (code, True)
    job = page.app.extensions["jitr"].jobs.start("x", WayBack("today", "/"), broken)
    assert job.over.wait(60)
    assert told in job.problem


def test_aws_that_has_no_time_now_is_not_the_reader_s_fault(page: Page, aws: Aws) -> None:
    from botocore.exceptions import ClientError

    def throttled(_: Any) -> Any:
        raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "Rate exceeded"}}, "ListCACertificates")

    aws.overrides["ListCACertificates"] = throttled
    answer = page.get("/cas")
    assert (answer.status_code, "Run it again in a moment" in answer.text) == (503, True)


def test_a_bug_is_told_as_one_and_gives_nothing_away(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError("secret of the house")

    monkeypatch.setattr("jitr_page.rooms.lists.DeviceLists", broken)
    answer = page.get("/lists")
    assert (answer.status_code, "This is a bug" in answer.text, "secret" in answer.text) == (500, True, False)


def test_a_view_of_many_reads_no_more_of_the_table_than_one_of_few(page: Page, ready: Table, aws: Aws) -> None:
    counts = []
    for some in (range(1, 61), range(61, 400)):
        hold_many(ready, some)
        aws.calls.clear()
        page.text("/held")
        counts.append(len(aws.operations))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("path", ["/rules/publish", "/rules/1/rollback"])
def test_what_there_is_to_think_of_is_asked_whatever_the_form_leaves_out(
    page: Page, ready: Table, iot: Any, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    text, seen = RULES.replace("name: line-a", "name: line-b"), ready.heads().digest
    if path != "/rules/publish":
        page.post("/rules/publish", text=text, seen=seen, message="first")
        text, seen = "", ready.heads().digest
    doubts = DenyListDoubts(("A row of it can match nothing.",))
    monkeypatch.setattr("jitr_operations.rules.publication.check_deny_lists", lambda *_arguments, **_more: doubts)
    before = ready.heads().version
    answer = page.post(path, text=text, seen=seen, message="why")
    assert (answer.status_code, "say that you are sure" in answer.text) == (400, True)
    assert ready.heads().version == before
    assert page.post(path, text=text, seen=seen, message="why", sure="yes").status_code == 303


def test_today_reads_no_decision_more_often_than_the_command_does(page: Page, ready: Table, run: Run, aws: Aws) -> None:
    hold_many(ready, range(1, 20))
    read = []
    for look in (lambda: run("status", "--json"), lambda: page.get("/")):
        aws.calls.clear()
        look()
        read.append([aws.operations.count(each) for each in ("Query", "BatchGetItem")])
    assert read[1] == read[0]


def test_a_wrong_filter_keeps_a_form_to_mend_it_and_links_to_what_may_be_meant(page: Page) -> None:
    answer = page.get("/held?reason=unmatched&since=24h")
    text = html.unescape(answer.text)
    assert (answer.status_code, "did you mean allow.unmatched?" in text) == (400, True)
    assert f'href="{page.door.root}/held?reason=allow.unmatched&since=24h"' in text.replace(page.door.origin, "")
    assert '<input type="hidden" name="since" value="24h">' in text
    assert '<input name="reason" value="unmatched"' in text
    assert f'href="{page.door.root}/held?since=24h">Show without this filter' in text
    (told,) = re.findall(r'<p class="message bad.*?</p>', text, re.DOTALL)
    assert "certificate.expired" not in told  # what there is to filter by is folded away
    assert all(f'{page.door.root}/{room}">' in text for room in ("failures", "history"))


def test_every_filter_that_is_wrong_has_its_form(page: Page) -> None:
    for path, name in (
        ("/devices?verdict=x", "verdict"),
        ("/devices?since=x", "since"),
        ("/held?rule=x", "rule"),
        ("/held?ca=x", "ca"),
        ("/failures?queue=x", "queue"),
        ("/history?since=x", "since"),
        ("/history?kind=x", "kind"),
    ):
        answer = page.get(path)
        assert (answer.status_code, f'<input name="{name}" value="x"' in answer.text) == (400, True), path


def test_a_beginning_of_an_id_leads_to_its_device_and_to_a_search_where_several_begin_so(
    page: Page, ready: Table
) -> None:
    """As commands take one: 8 digits or more."""
    hold_many(ready, (1, 0x1A), found=True)
    one, several = page.get(f"/devices/{1:064x}"[:-1] + "1"), page.get(f"/devices/{'0' * 12}")
    assert one.status_code == 200
    assert (several.status_code, several.location.endswith(f"/devices?q={'0' * 12}")) == (303, True)
    begun = page.get(f"/devices/{0x1A:064x}"[:-1])
    assert (begun.status_code, begun.location.endswith(f"/devices/{0x1A:064x}")) == (303, True), begun.location
    assert page.get("/devices/0000000").status_code == 404
