"""The documentation is true of the code: generated pages are current, links resolve, commands exist, rules are read.

`UPDATE_DOCS=1 .venv/bin/pytest tests/unit/test_docs.py` brings the generated page up to date.
"""

import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from jitr.reasons import CODES
from jitr.rules.reader import read_rules
from jitr.rules.selftest import run
from jitr_cli.main import jitr
from tools.docs import reasons_page

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md")])
TUTORIAL = DOCS / "getting-started.md"

page = pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)


@dataclass(frozen=True)
class Block:
    """A fenced block: what its fence calls it, and its lines."""

    kind: str
    text: str


def blocks(text: str) -> list[Block]:
    return [Block(kind, body) for kind, body in re.findall(r"^```([^\n]*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)]


def prose(text: str) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


# Generated pages


def test_the_page_of_reason_codes_is_current() -> None:
    made = reasons_page()
    path = DOCS / "reasons.md"
    if os.environ.get("UPDATE_DOCS"):
        path.write_text(made, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == made, "UPDATE_DOCS=1 .venv/bin/pytest tests/unit/test_docs.py"


def test_the_page_of_reason_codes_has_each_code_once_in_order_of_weight() -> None:
    assert re.findall(r"^\| `([a-z.-]+)` \|", reasons_page(), re.MULTILINE) == list(CODES)


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
    missing = [each.name for each in DOCS.iterdir() if each.name != "index.md" and f"({each.name})" not in text]
    assert not missing


@page
def test_no_page_names_a_package_registry_or_a_path_of_one_machine(page: Path) -> None:
    text = page.read_text("utf-8")
    registries = r"pypi\.org|pythonhosted\.org|docker\.io|ghcr\.io|gcr\.io|quay\.io|public\.ecr\.aws|npmjs"
    assert not re.search(rf"{registries}|artifactory|nexus", text, re.IGNORECASE)
    assert not re.search(r"(?<![\w$.])/(root|home|Users|tmp|work|usr|opt|private)/", text)
    assert str(ROOT) not in text


# Commands


def commands(text: str) -> Iterator[tuple[list[str], bool]]:
    """The arguments of each ``jitr`` command on a page, and whether they are complete: such as can be run as they stand.

    Commands in shell blocks are complete, those in the text name what they are about.
    """
    for block in blocks(text):
        if block.kind in ("sh", "console"):
            for line in shell_lines(block):
                yield from ((words, True) for words in commands_in(line))
    for span in re.findall(r"`(jitr(?: [^`]*)?)`", prose(text)):
        yield from ((words, False) for words in commands_in(span))
    for span in re.findall(r'`eval "\$\((jitr[^)]*)\)"`', prose(text)):
        yield from ((words, False) for words in commands_in(span))


def shell_lines(block: Block) -> Iterator[str]:
    """What a shell runs of a block: continued lines joined, no here-documents, of a console only what is typed."""
    text = re.sub(r"\\\n\s*", "", block.text)
    text = re.sub(r"(<<'(\w+)').*?^\2$", r"\1", text, flags=re.DOTALL | re.MULTILINE)
    for line in text.splitlines():
        if block.kind == "sh":
            yield line
        elif line.startswith("$ "):
            yield line.removeprefix("$ ")


def commands_in(line: str) -> Iterator[list[str]]:
    for found in re.findall(r"(?:^|[\s(/;&|])jitr(?![\w-])([^|;&>)]*(?:\|[a-z|]+)*)", line):
        yield shlex.split(found.replace("…", ""), comments=True)


class Wrong(AssertionError):
    """A command that the command line does not know."""


def check(words: list[str], complete: bool) -> None:
    """Follow a command through the command line. Raises Wrong where it, or an option, does not exist."""
    command: click.Command = jitr
    context = click.Context(jitr, info_name="jitr")
    known = {"--help", "-h", "--version"}
    rest = list(words)
    while True:
        flags = {name for each in command.params if getattr(each, "is_flag", False) for name in each.opts}
        known |= {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
        if not isinstance(command, click.Group) or not rest:
            break
        word = rest.pop(0)
        if word.startswith("-"):
            if word not in known:
                raise Wrong(f"jitr has no option {word}")
            rest = rest if word in flags or word in ("--help", "-h", "--version") else rest[1:]
            continue
        if "|" in word:
            for each in word.split("|"):
                check([*words[: words.index(word)], each], complete=False)
            return
        command = following(command, context, word)
        context = click.Context(command, info_name=word, parent=context)
    for word in rest:
        if word.startswith("-") and word.partition("=")[0] not in known:
            raise Wrong(f"jitr {' '.join(words)}: no option {word}")
    if complete and not {"--help", "-h"} & set(rest) and not isinstance(command, click.Group):
        parse(command, rest, words)


def following(group: click.Group, context: click.Context, word: str) -> click.Command:
    found = group.get_command(context, word)
    if found is None:
        raise Wrong(f"{context.command_path} has no command {word}")
    return found


def parse(command: click.Command, arguments: list[str], words: list[str]) -> None:
    """Parse a command's arguments as the command does, without running it."""
    try:
        command.make_context("jitr", list(arguments)).close()
    except click.UsageError as error:
        raise Wrong(f"jitr {' '.join(words)}: {error.format_message()}") from error


@page
def test_every_command_and_option_that_a_page_names_exists(page: Path) -> None:
    wrong = []
    for words, complete in commands(page.read_text("utf-8")):
        try:
            check(words, complete)
        except Wrong as problem:
            wrong.append(str(problem))
    assert not wrong


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("`jitr rules chek`", "has no command chek"),
        ("`jitr rules check|polish`", "has no command polish"),
        ("`jitr held ls --because x`", "no option --because"),
        ("`jitr --quiet status`", "no option --quiet"),
        ("```sh\njitr rules check\n```", "Missing argument"),
        ('```sh\n. .venv/bin/activate\neval "$(jitr local inv)"\n```', "has no command inv"),
        ("```console\n$ .venv/bin/jitr ca register \\\n    ca.pem --keys ca.key\nRegistered.\n```", "no option --keys"),
    ],
)
def test_a_command_that_does_not_exist_is_found(text: str, problem: str) -> None:
    found = list(commands(text))
    assert len(found) == 1
    with pytest.raises(Wrong, match=problem):
        check(*found[0])


def test_commands_of_the_tutorial_are_found() -> None:
    told = {" ".join(words[:2]) for words, complete in commands(TUTORIAL.read_text("utf-8")) if complete}
    assert {
        "local up",
        "ca create",
        "ca register",
        "device issue",
        "rules publish",
        "lists add",
        "explain --rules",
    } <= told


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
    for number, text in enumerate(shown):
        ids = iter("ab")
        rules = read_rules(text.encode(), source=f"{path.name} {number}", certificate_id=lambda _, i=ids: next(i) * 64)
        assert not run(rules)
