"""The rules editor: an example to start from, errors as one types, and the text exactly as it was typed."""

import html
import re
from pathlib import Path
from typing import Any

import pytest
from testkit import pki as drafts
from testkit.cli.command_line import Aws, Run
from testkit.cli.operating import OTHER, RULES, register_ca
from testkit.page import Page

from jitr.aws.dynamodb.rulebook import rules_in_force
from jitr.aws.dynamodb.table import Table

UNSEEN = "a\u00a0b\u200dc\u202ed"  # a no-break space, a joiner, an override


@pytest.fixture
def page(ready: Table) -> Page:
    """The page of a stack with rules and a list in force, opened."""
    return Page().enter()


def text_in(answer: str) -> str:
    """The text that a browser has in the editor: what follows the line end after the tag (HTML standard, textarea)."""
    found = re.search(r'<textarea [^>]*name="text"[^>]*>\n(.*?)</textarea>', answer, re.DOTALL)
    assert found
    return html.unescape(found[1])


def told_of(page: Page, text: str, seen: str = "") -> Any:
    """What a script is told of a text."""
    return page.post("/rules/problems", text=text, seen=seen).get_json()


def test_newcomers_are_given_an_example_that_can_be_published_as_it_is(table: Table, iot: Any) -> None:
    """It names the CAs that are registered, and the stack's IoT policy."""
    register_ca(iot, OTHER)
    page = Page().enter()
    text = text_in(page.text("/rules/edit"))
    assert "ca: [factory-a, factory-b]" in text
    looked = page.post("/rules/check", text=text, seen="")
    assert "every test passes" in looked.text, looked.text
    assert page.post("/rules/publish", text=text, seen="", message="the first ones").status_code == 303
    assert table.heads().version == 1


def test_without_a_ca_the_example_says_that_its_ca_is_made_up(table: Table) -> None:
    page = Page().enter()
    answer = page.text("/rules/edit")
    assert "a made-up CA" in answer
    assert "No error in it" in told_of(page, text_in(answer))["told"]


def test_whoever_names_a_ca_by_its_file_is_given_the_line_that_names_it_by_its_id(ready: Table, iot: Any) -> None:
    """The page has no files: a text that was written for the command says at once what to write in its place."""
    register_ca(iot, OTHER)
    page = Page().enter()
    text = "format: 1\ncas:\n  factory-b: {certificate: factory-b.pem}\n"
    answer = page.post("/rules/check", text=text, seen="")
    assert text_in(answer.text) == text
    lines = [html.unescape(each) for each in re.findall(r'<code class="copy">(.*?)</code>', answer.text)]
    [line] = [each for each in lines if each.startswith("  factory-b: ")]
    answer = page.post("/rules/check", text=text.replace("  factory-b: {certificate: factory-b.pem}", line), seen="")
    assert "certificate files cannot be read here" not in answer.text
    assert "CAs by their ids" not in answer.text


def by_files(run: Run) -> str:
    """Rules in force that name two CAs and a responder by files, which are gone since."""
    text = """\
format: 1
cas:
  factory-a: {certificate: [a.pem, old-a.pem], ocsp: {url: "http://ocsp.example/", responder: signer.pem}}
  again: {certificate: a.pem}
allow:
  - {name: line-a, ca: [factory-a, again], list: line-a, grant: {thing: "{common_name}", iot_policies: [Sensor]}}
"""
    made = {"a.pem": OTHER, "old-a.pem": drafts.ca("old"), "signer.pem": drafts.ca("signer")}
    for name, ca in made.items():
        Path(name).write_bytes(ca.pem)
    Path("admission.yaml").write_text(text)
    assert run("rules", "publish", "admission.yaml", "--yes").exit_code == 0
    for name in made:
        Path(name).unlink()
    return text


def test_rules_in_force_that_name_files_are_edited_as_they_are(ready: Table, run: Run) -> None:
    """Each file stands for the certificate that it had when they were published, and the text keeps naming it."""
    text, before = by_files(run), rules_in_force(ready)
    page = Page().enter()
    answer = page.text("/rules/edit")
    assert text_in(answer) == text
    assert "<code>a.pem</code>, <code>old-a.pem</code>, <code>signer.pem</code>" in answer
    seen = re.findall(r'name="seen" value="(.*?)"', answer)[0]
    assert told_of(page, text, seen)["problems"] == []
    text = text.replace("again", "more").replace("{certificate: a.pem}", "{certificate: old-a.pem}")
    looked = page.post("/rules/check", text=text, seen=seen)
    assert "+  more: {certificate: old-a.pem}" in looked.text
    assert page.post("/rules/publish", text=text, seen=seen, message="why").status_code == 303
    assert before is not None
    after = rules_in_force(ready)
    assert after is not None
    assert (after.cas["factory-a"], after.cas["more"].ids) == (before.cas["factory-a"], before.cas["factory-a"].ids[1:])
    assert text_in(page.text("/rules/edit")) == text


def test_a_file_that_the_rules_in_force_do_not_name_is_an_error_on_the_page(ready: Table, run: Run) -> None:
    """So is every file where the page does not know the rules that somebody began with."""
    text = by_files(run)
    page = Page().enter()
    seen = re.findall(r'name="seen" value="(.*?)"', page.text("/rules/edit"))[0]
    others = text.replace("old-a.pem", "b.pem").replace("signer.pem", "b.pem")
    for problems, count in ((told_of(page, others, seen)["problems"], 2), (told_of(page, text)["problems"], 4)):
        assert [each["message"] for each in problems] == ["certificate files cannot be read here"] * count
        assert all(each["hint"] for each in problems)


def test_a_text_that_was_checked_is_there_again_until_it_is_published(page: Page, run: Run) -> None:
    """Also after others published: it still counts as begun before that, so nothing of theirs is overwritten unseen."""
    seen = re.findall(r'name="seen" value="(.*?)"', page.text("/rules/edit"))[0]
    text = RULES + "default: reject\n"
    page.post("/rules/check", text=text, seen=seen, message="my reason")
    Path("theirs.yaml").write_text(RULES + "# theirs\n")
    assert run("rules", "publish", "theirs.yaml", "--yes").exit_code == 0
    again = page.text("/rules/edit")
    assert (text_in(again), "it is not in force" in again, 'value="my reason"' in again) == (text, True, True)
    assert f'name="seen" value="{seen}"' in again
    assert text_in(page.text("/rules/edit?anew=1")).endswith("# theirs\n")
    refused = page.post("/rules/publish", text=text, seen=seen, message="my reason")
    assert refused.status_code == 409
    now = re.findall(r'name="seen" value="(.*?)"', refused.text)[0]
    assert page.post("/rules/publish", text=text, seen=now, message="my reason").status_code == 303
    assert "it is not in force" not in page.text("/rules/edit")


def test_the_command_writes_the_example_that_the_page_shows(table: Table, iot: Any, run: Run) -> None:
    assert run("rules", "init", "first.yaml", "--from-stack").exit_code == 0
    assert Path("first.yaml").read_text() == text_in(Page().enter().text("/rules/edit"))
    assert run("rules", "publish", "first.yaml", "--yes").exit_code == 0


@pytest.mark.parametrize("path", ["/", "/rules", "/devices"])
def test_an_empty_stack_says_what_to_do_first(table: Table, path: str) -> None:
    text = Page().enter().text(path)
    for step in ("First steps", "/cas", "/rules/edit", "/lists", "jitr rules init admission.yaml --from-stack"):
        assert step in text, step


def test_what_is_wrong_is_told_at_its_line_as_one_types(page: Page, aws: Aws) -> None:
    """From the text alone: AWS is asked for nothing, however fast somebody types."""
    text = RULES.replace("ca: factory-a\n", "ca: factory-x\n")
    aws.calls.clear()
    told = told_of(page, text)
    assert told["told"] == "1 error"
    [problem] = told["problems"]
    assert (problem["line"], problem["column"], problem["severity"]) == (6, 9, "error")
    assert "factory-x" in problem["message"]
    assert aws.calls == []


def test_a_test_that_fails_is_told_at_its_line_as_one_types(page: Page) -> None:
    told = told_of(page, RULES.replace("expect: {decision: admit}", "expect: {decision: reject}"))
    assert told["told"] == "1 failed test"
    assert [each["line"] for each in told["problems"]] == [10]


def test_what_is_told_as_one_types_is_bounded(page: Page) -> None:
    told = told_of(page, "format: 1\n" + "".join(f"k{n}: 1\n" for n in range(500)))
    assert len(told["problems"]) == 200
    too_large = told_of(page, "#" * (4 * 1024 * 1024 + 1))
    assert "larger than 4 MiB" in too_large["problems"][0]["message"]


@pytest.mark.parametrize("path", ["/rules/check", "/rules/edit"])
def test_a_text_comes_back_exactly_as_it_was_typed(page: Page, path: str) -> None:
    """Written out, an unseen character would be published as an escape that nobody typed."""
    text = f"\n# {UNSEEN} <b>&amp;\n" + RULES
    answer = page.post(path, text=text.replace("\n", "\r\n"), seen="x", message=UNSEEN)
    assert text_in(answer.text) == text
    assert f'value="{UNSEEN}"' in answer.text


def test_an_unseen_character_in_rules_is_an_error_at_its_place(page: Page) -> None:
    told = told_of(page, RULES.replace("name: line-a", "name: line\u200da"))
    assert "U+200D" in told["problems"][0]["message"]
    assert "\u200d" not in page.post("/rules/problems", text="\u200d").text


@pytest.mark.parametrize(
    "path", ["/devices?q={}", "/history?by={}", "/lists/line-a?note={}", "/lists/line-a?q={}"], ids=lambda each: each
)
def test_every_field_keeps_what_was_typed_and_the_page_around_it_writes_it_out(page: Page, path: str) -> None:
    text = page.text(path.format(UNSEEN))
    assert f'value="{UNSEEN}"' in text
    assert "\u202e" not in text.replace(f'value="{UNSEEN}"', "")


def test_a_note_that_is_asked_about_first_is_added_exactly_as_it_was_typed(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jitr_page.rooms.lists.editing.questions_about", lambda *_given: ["It can match nothing."])
    note = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"  # Persian, with the joiner that it is written with
    asked = page.post("/lists/line-a/add", column="common_name", value="snr-9", note=note)
    assert "all the same?" in asked.text
    hidden = dict(re.findall(r'name="(column|value|note|ca|sure)" value="([^"]*)"', asked.text))
    assert page.post("/lists/line-a/add", **hidden).status_code == 303
    assert note in page.text("/lists/line-a/export")


def test_a_private_key_is_cut_out_of_the_text_and_the_rest_comes_back(page: Page) -> None:
    """Whoever pasted it by mistake loses no edits; and before, as one types, it says to take it out."""
    key = drafts.private_pem(drafts.key(owner="somebody who pastes the wrong thing")).decode()
    text = RULES.replace("allow:", f"# {key}\nallow:")
    answer = page.post("/rules/check", text=text, seen="s", message="why")
    assert (answer.status_code, "private key was pasted here" in answer.text) == (400, True)
    assert text_in(answer.text) == RULES.replace("allow:", "# \n\nallow:")
    assert "Take it out" in told_of(page, text)["told"]
