"""The documentation is true of the code: generated pages are current, links resolve, commands exist, rules are read.

`make docs UPDATE=1` brings the generated pages up to date.
"""

import hashlib
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from tools.docs import PAGES as GENERATED
from tools.docs import reasons_page
from tools.rules_tables import tables

from jitr.decision.selftest import run
from jitr.reasons import CODES
from jitr.rules.file.reader import read_rules
from jitr_cli.main import jitr
from jitr_operations.diagnose.stand_in import LIMITS, SENTENCE

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("**/*.md"), *ROOT.glob("events/**/README.md")])
TUTORIAL = DOCS / "getting-started.md"

UPDATE = "`make docs UPDATE=1` writes it anew"

pytestmark = pytest.mark.docs
page = pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)


@dataclass(frozen=True)
class Block:
    """A fenced block: what its fence calls it (``csv devices.csv`` is a file, of kind ``csv``), and its lines."""

    kind: str
    text: str


def blocks(text: str) -> list[Block]:
    found = re.findall(r"^```(\w*)[^\n]*\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [Block(kind, body) for kind, body in found]


def prose(text: str) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


# Generated pages


@pytest.mark.parametrize("name", GENERATED)
def test_the_generated_page_is_current(name: str) -> None:
    made = GENERATED[name]()
    path = DOCS / name
    if os.environ.get("UPDATE_DOCS"):
        path.write_text(made, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == made, f"{name} is stale: {UPDATE}"


def test_each_table_of_the_rules_file_has_its_place_in_the_reference() -> None:
    places = re.findall(r"<!-- table (\w+) -->", (DOCS / "rules.md").read_text(encoding="utf-8"))
    assert sorted(places) == sorted(tables())


def test_the_page_of_reason_codes_has_each_code_once_in_order_of_weight() -> None:
    assert re.findall(r"^\| `([a-z.-]+)` \|", reasons_page(), re.MULTILINE) == list(CODES)


def test_each_reason_code_on_the_page_is_given_somewhere() -> None:
    sources = [*(ROOT / "layers/jitr/jitr").rglob("*.py"), *(ROOT / "cli").rglob("*.py")]
    text = "".join(each.read_text("utf-8") for each in sources if each.name != "reasons.py")
    assert [code for code in CODES if f'"{code}"' not in text] == []


# Links


@page
def test_every_link_within_the_project_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page.read_text("utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.is_file(), f"{page.name}: {target}"
        assert file.is_relative_to(ROOT), f"{page.name}: {target}"
        if anchor:
            assert anchor in anchors(file), f"{page.name}: {target}"


def anchors(file: Path) -> set[str]:
    """The headings of a page as links name them."""
    headings = re.findall(r"^#+ (.*)$", prose(file.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


def test_the_index_leads_to_every_page() -> None:
    text = (DOCS / "index.md").read_text("utf-8")
    pages = {each.name for each in DOCS.glob("*.*")} - {"index.md"}
    assert not {each for each in pages if f"({each})" not in text}


def test_the_list_of_decisions_has_each_by_its_number_and_title() -> None:
    notes = sorted((DOCS / "decisions").glob("0*.md"))
    listed = re.findall(
        r"^- \[(\d{4})\]\((.*)\) (.*)$", (DOCS / "decisions/README.md").read_text("utf-8"), re.MULTILINE
    )
    assert listed == [(note.name[:4], note.name, note.read_text("utf-8").split("\n")[0][8:]) for note in notes]


@pytest.mark.parametrize("note", sorted((DOCS / "decisions").glob("0*.md")), ids=lambda path: path.name[:4])
def test_a_decision_is_dated_and_names_its_alternatives(note: Path) -> None:
    text = note.read_text("utf-8")
    assert re.match(r"# \d{4}: .+\n\n20\d\d-\d\d-\d\d\n", text)
    headings = ["Context", "Decision", "Alternatives", "Consequences"]
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == headings
    assert len(re.findall(r"^- \*\*", text, re.MULTILINE)) >= 2


@pytest.mark.parametrize("name", re.findall(r"`([\w./-]+/[\w./-]*)`", (ROOT / "CONTRIBUTING.md").read_text("utf-8")))
def test_a_file_that_contributors_are_sent_to_is_there(name: str) -> None:
    places = [ROOT, ROOT / "layers/jitr", ROOT / "layers/jitr/jitr"]
    assert name.startswith(".fuzz/") or any((place / name).exists() for place in places), name


@page
def test_no_page_names_a_package_registry_or_a_path_of_one_machine(page: Path) -> None:
    text = page.read_text("utf-8")
    registries = r"pypi\.org|pythonhosted\.org|docker\.io|ghcr\.io|gcr\.io|quay\.io|public\.ecr\.aws|npmjs"
    assert not re.search(rf"{registries}|artifactory|nexus", text, re.IGNORECASE)
    assert not re.search(r"(?<![\w$.])/(root|home|Users|tmp|work|usr|opt|private)/", text)
    assert str(ROOT) not in text


# Security

SECURITY = (ROOT / "SECURITY.md").read_text("utf-8")
NAMED_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


@pytest.mark.parametrize(("file", "name"), sorted(set(NAMED_TEST.findall(SECURITY))))
def test_a_test_that_shows_a_promise_is_there(file: str, name: str) -> None:
    assert re.search(rf"^def {name}\(", (ROOT / file).read_text("utf-8"), re.MULTILINE), f"{file}::{name}"


def test_each_promise_of_security_names_the_test_that_shows_it() -> None:
    promises = re.findall(
        r"^- (.*?)(?=^- |^[^- ]|\Z)", SECURITY.partition("\n## A device\n")[2], re.DOTALL | re.MULTILINE
    )
    assert len(promises) > 30
    assert [each for each in promises if not NAMED_TEST.search(each)] == []


def test_each_statement_on_every_resource_is_in_security_with_why() -> None:
    told = set(re.findall(r"`(\w+:\w+)`", SECURITY.partition("These statements use `*`")[2].partition("\n## ")[0]))
    text = (ROOT / "template.yaml").read_text("utf-8")
    statements = re.findall(r"- Sid: (\w+)\n\s+Effect: Allow\n\s+Action: ([^\n]+)\n\s+Resource: \"\*\"", text)
    actions = {
        each for sid, listed in statements if sid != "OnlyOnTheLocalStack" for each in re.findall(r"\w+:\w+", listed)
    }
    assert actions
    assert told == actions


# Commands


class Wrong(AssertionError):
    """A command or option that the command line does not have."""


def typed(text: str) -> Iterator[list[str]]:
    """The arguments of each ``jitr`` command in a page's shell blocks: whole, to be run as they stand."""
    for block in blocks(text):
        for line in shell_lines(block):
            for found in re.findall(r"(?:^|[\s(/;&|])jitr\s([^|;&>)]*)", line):
                yield shlex.split(found, comments=True)


def named(text: str) -> Iterator[list[str]]:
    """The words of each ``jitr`` command that a page's sentences and tables name; parts may be left out."""
    told = prose(text).replace("\\|", "|")
    for found in re.findall(r"`(?:eval \"\$\()?jitr\s([^`)]*)[^`]*`", told):
        yield re.findall(r"[^\s\[\]…]+", found)


def shell_lines(block: Block) -> list[str]:
    """What a shell runs of a block: continued lines joined, no here-documents, of a console only what is typed."""
    text = re.sub(r"\\\n\s*", "", block.text)
    text = re.sub(r"(<<'(\w+)').*?^\2$", r"\1", text, flags=re.DOTALL | re.MULTILINE)
    prompt = {"sh": "", "console": "$ "}.get(block.kind)
    return [] if prompt is None else [each[len(prompt) :] for each in text.splitlines() if each.startswith(prompt)]


def follow(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that words name, and its arguments. Raises Wrong for a command or an option that is not there.

    A word may be several, as in ``init|check``: each must be there.
    """
    command: click.Command = jitr
    path, arguments = "jitr", list[str]()
    for word in words:
        if isinstance(command, click.Group) and not word.startswith("-"):
            command = [subcommand(command, path, each) for each in word.split("|")][-1]
            path += f" {word}"
            continue
        for each in word.split("|"):
            if each.startswith("-") and each.partition("=")[0] not in options(command):
                raise Wrong(f"jitr {' '.join(words)}: no option {each}")
            arguments.append(each)
    return command, arguments


def subcommand(group: click.Group, path: str, name: str) -> click.Command:
    found = group.get_command(click.Context(group), name)
    if found is None:
        raise Wrong(f"no command {path} {name}")
    return found


def options(command: click.Command) -> set[str]:
    return {"-h", "--help", "--version"} | {name for each in command.params for name in each.opts}


def parse(words: list[str]) -> None:
    """Parse a command as it would be, without running it. Raises Wrong where it would be refused."""
    command, arguments = follow(words)
    if isinstance(command, click.Group) or "--help" in arguments:
        return
    try:
        command.make_context("jitr", list(arguments), **jitr.context_settings).close()
    except click.UsageError as error:
        raise Wrong(f"jitr {' '.join(words)}: {error.format_message()}") from error


def wrong_on(text: str) -> list[str]:
    """What is wrong with the commands on a page."""
    told = []
    for check, found in ((parse, typed(text)), (follow, named(text))):
        for words in found:
            try:
                check(words)
            except Wrong as problem:
                told.append(str(problem))
    return told


def test_the_page_on_the_local_stack_has_the_list_of_what_it_refuses() -> None:
    """One list: that which the commands speak by, and tests/stack/test_stand_in.py tries."""
    page = (DOCS / "local-stack.md").read_text("utf-8")
    assert re.findall(r"^\| (.+?) \|", page, re.MULTILINE)[2:] == [limit.what for limit in LIMITS]
    assert SENTENCE in page


@page
def test_every_command_and_option_that_a_page_names_exists(page: Path) -> None:
    assert wrong_on(page.read_text("utf-8")) == []


def test_the_operators_day_is_typed_alike_in_every_shell() -> None:
    """Operators sit at Windows machines too: no command of the page needs more of a shell than that it runs `jitr`."""
    day = [block for block in blocks((DOCS / "operators.md").read_text("utf-8")) if block.kind == "sh"]
    lines = [line for block in day for line in block.text.splitlines()]
    assert lines
    assert [line for line in lines if not re.fullmatch(r"jitr [^|&;<>$`\\']*", line)] == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("`jitr rules chek`", "no command jitr rules chek"),
        ("`jitr rules check|polish`", "no command jitr rules polish"),
        ("`jitr held ls --because x`", "jitr held ls --because x: no option --because"),
        ("`jitr --quiet status`", "jitr --quiet status: no option --quiet"),
        ("| `jitr lists import NAME [--merge\\|--mix]` |", "jitr lists import NAME --merge|--mix: no option --mix"),
        ('`eval "$(jitr local inv)"`', "no command jitr local inv"),
        ('```sh\neval "$(jitr local inv)"\n```', "no command jitr local inv"),
        ("```sh\njitr rules check # all\n```", "jitr rules check: Missing argument 'FILE'."),
        ("```console\n$ .venv/bin/jitr ca ls \\\n  --all\nnone\n```", "jitr ca ls --all: no option --all"),
    ],
)
def test_a_command_that_does_not_exist_is_found(text: str, problem: str) -> None:
    assert wrong_on(text) == [problem]


def test_what_shell_blocks_print_or_write_is_not_taken_for_commands() -> None:
    text = "```sh\ncat > f <<'END'\njitr no\nEND\n```\n```console\n$ true\njitr no\n```\n```text\njitr no\n```\n"
    assert wrong_on(text) == []


def test_commands_of_the_tutorial_are_found() -> None:
    found = {" ".join(words[:2]) for words in typed(TUTORIAL.read_text("utf-8"))}
    assert found >= {"local up", "local env", "ca create", "ca register", "device issue", "lists add", "held ls"}


@page
def test_every_make_target_that_a_page_names_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    text = page.read_text("utf-8")
    lines = [line for block in blocks(text) if block.kind == "sh" for line in shell_lines(block)]
    spans = re.findall(r"`([^`]*)`", prose(text))
    named = {found[1] for each in (*lines, *spans) if (found := re.match(r"(?:[A-Z_]+=\S+ )*make ([a-z-]+)", each))}
    assert named <= targets


# Rules


def rules_on(path: Path) -> list[str]:
    """Every whole rules file on a page: in a block of its own, or written by a shell command."""
    found = []
    for block in blocks(path.read_text("utf-8")):
        candidates = (
            [block.text] if block.kind == "yaml" else re.findall(r"<<'END'\n(.*?)^END$", block.text, re.S | re.M)
        )
        found += [each for each in candidates if each.startswith("format: ")]
    return found


@pytest.mark.parametrize("path", [ROOT / "README.md", TUTORIAL], ids=lambda path: path.name)
def test_rules_shown_are_in_order_and_their_tests_pass(path: Path) -> None:
    shown = rules_on(path)
    assert shown
    for text in shown:
        assert not run(read_rules(text.encode(), source=path.name, certificate_id=made_up_id))


def made_up_id(path: str) -> str:
    """The caCertificateId of a CA certificate that only the reader of the page has."""
    return hashlib.sha256(path.encode()).hexdigest()
