"""YAML as nodes: what it must not do to values, and what is said where it is not YAML.

In each text «» are around what the error must underline. Everything holds for both parsers of PyYAML.
"""

from dataclasses import dataclass
from itertools import pairwise

import pytest
import yaml
from testkit.rules import marked, places, problems, told

from jitr.rules.file import source
from jitr.rules.file.problems import RulesError
from jitr.rules.file.source import MAX_DEPTH, MAX_NODES, Mapping, Node, Scalar, Sequence, parse, read_text


@pytest.fixture(params=["CBaseLoader", "BaseLoader"], autouse=True)
def _parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(yaml, request.param):
        pytest.skip("PyYAML was built without libyaml")
    monkeypatch.setattr(source, "_Loader", getattr(yaml, request.param))


def tree(text: str) -> Node:
    decoded, findings = read_text(text.encode(), "admission.yaml")
    node = parse(decoded, findings)
    findings.raise_errors()
    assert node is not None
    return node


def plain(node: Node) -> object:
    match node:
        case Scalar():
            return node.text
        case Sequence():
            return [plain(each) for each in node.items]
        case Mapping():
            return {key.text: plain(value) for key, value in node.entries}
    raise AssertionError(node)


def test_every_value_is_the_text_that_stands_there() -> None:
    texts = ["NO", "0123", "1e3", "0x1F", "1_000", "true", "2026-01-01", "12:30:45", "1.10", "null", ".inf", "="]
    assert plain(tree("\n".join(f"- {each}" for each in texts))) == texts


def test_quotes_folds_and_escapes_are_yamls_own() -> None:
    text = "a: 'it''s'\nb: \"\\u00e9\\\\\"\nc: >-\n  one\n  two\nd: |\n  three\ne: \"four\n  five\"\n"
    assert plain(tree(text)) == {"a": "it's", "b": "é\\", "c": "one two", "d": "three\n", "e": "four five"}


def test_nodes_know_their_places() -> None:
    root = tree('# a comment\nkey: "välue"\nlist:\n  - [a, b]\n')
    assert isinstance(root, Mapping)
    (key, value), (_, items) = root.entries
    assert (key.place.line, key.place.column, key.place.length) == (2, 1, 3)
    assert (value.place.line, value.place.column, value.place.length) == (2, 6, 7)
    assert isinstance(items, Sequence)
    assert (items.items[0].place.line, items.items[0].place.column, items.items[0].place.length) == (4, 5, 6)


def test_one_document_with_its_marks_is_read() -> None:
    assert plain(tree("---\na: b\n...\n")) == {"a": "b"}


@dataclass(frozen=True)
class Case:
    name: str
    text: str
    gist: str


NOT_YAML = [
    Case("tab as indentation", "a:\n«\t»b: c\n", "a tab cannot indent: YAML wants spaces | replace the tab by spaces"),
    Case("tab in an indented list", "a:\n«\t»- b\n", "a tab cannot indent"),
    Case(
        "indented too far", "a: b\n «c»: d\n", "the key 'c' is indented too far here, or the line above lacks its `:`"
    ),
    Case("indented too little", "a:\n    b: c\n  «d: e»\n", "indentation fits none of the lines above"),
    Case("list item out of line", "- a\n«b: c»\n", "indentation fits none of the lines above"),
    Case("neither key nor item", "a: b\n«c d»\ne: f\n", "'c d' is neither a key nor a list entry"),
    Case("colon in a value", "a: b«:» c\n", "a value with ': ' in it must be in quotes"),
    Case("list on the line of its key", "a: «-» b\n", "a list cannot begin on the line of its key"),
    Case("quote that is not closed", 'a: «"b»\nc: d\n', "this quote is never closed"),
    Case("single quote that is not closed", "a: «'b»\nc: d\n", "this quote is never closed"),
    Case("text after a quote", 'a: "b" «c»\n', "text follows the closing quote"),
    Case("unknown escape", 'a: "b«\\d»"\n', "'\\d' is no escape that YAML knows"),
    Case("half an escape", 'a: "b«\\x»1"\n', "not a whole one"),
    Case("pattern that begins with a star", "a: «*-b»\n", 'for a pattern put it in quotes: "*-b"'),
    Case("pattern that is a star", "a: «*»\n", 'for the text itself put it in quotes: "*"'),
    Case("star in a list", "a: [«*b», c]\n", 'put it in quotes: "*b"'),
    Case("pattern that is a question mark", "a: «?»\n", 'put it in quotes: "?"'),
    Case("at sign", "a: «@»b\n", "a value cannot start with '@' | put the value in quotes"),
    Case("backquote", "a: «`»b`\n", "a value cannot start with '`'"),
    Case("per cent sign", "a: «%»b\n", "a value cannot start with '%'"),
    Case("template with text after it", "a: {b}«-»c # d\n", 'put it in quotes: "{b}-c"'),
    Case("template within a flow mapping", "a: {b: c«{»d}}\n", "a template must be in quotes here"),
    Case("template before text in a flow mapping", "a: {b: {c}«-»d}\n", "a template must be in quotes here"),
    Case("bracket that is not closed", "a: «[»b, c\n", "the [ is not closed, or a comma is missing | close it with ]"),
    Case("brace that is not closed", "a: {b: c\nd«:» e\n", "the { of line 1 is not closed"),
    Case("bracket that closes nothing", "a: «]»\n", "']' closes nothing here"),
    Case("comma first", "a: «,» b\n", "',' closes nothing here"),
    Case("bar", "a: «|»b\n", "begins a text on the lines below"),
    Case("ampersand", "a: «&»\n", "'&' in front of a value begins a YAML anchor"),
    Case("tag that is not one", "a: «!<b»\n", "'!' in front of a value begins a YAML tag"),
]

NOT_USED = [
    Case("anchor", "a: «&b» c\n", "&b is a YAML anchor, which rules files do not use"),
    Case("anchor of a mapping", "a: «&b»\n  c: d\n", "&b is a YAML anchor"),
    Case("alias", "a: «*b»\n", "*b is a YAML alias, which rules files do not use"),
    Case("tag", "a: «!!str b»\n", "a YAML tag (!) has no meaning here"),
    Case("merge key", "«<<»: b\n", "<< is a YAML merge key"),
    Case("duplicate key", "a: b\n«a»: c\n", "the key 'a' is here twice; the first is on line 1"),
    Case("duplicate key in another style", "{a: b, «'a'»: c}\n", "the key 'a' is here twice"),
    Case("key that is a list", "? «[a]»\n: b\n", "a key must be a plain name"),
    Case("key that is a template", "«{a}»: b\n", 'for a template put it in quotes: "{...}"'),
    Case("second document", "a: b\n«---»\nc: d\n", "a second document begins here"),
    Case("directive", "«%YAML 1.1»\n---\na: b\n", "a YAML directive has no meaning here"),
    Case("text over several lines", "a: «b»\n  - c\n", "this text runs on over several lines"),
    Case("list item over several lines", "- «a»\n  b\n", "this text runs on over several lines"),
]


@pytest.mark.parametrize("case", [*NOT_YAML, *NOT_USED], ids=lambda case: case.name)
def test_what_is_not_taken_is_told_with_its_place(case: Case) -> None:
    text, expected = marked(case.text)
    decoded, findings = read_text(text.encode(), "admission.yaml")
    parse(decoded, findings)
    with pytest.raises(RulesError) as caught:
        findings.raise_errors()
    found = caught.value.problems
    assert case.gist in told(found[0])
    assert places(found) == expected


def test_a_surrogate_never_gets_in() -> None:
    """PyYAML's own parser makes one from its escape, libyaml refuses the escape."""
    assert problems('format: 1\ndefault: "\\ud800"\n')


@pytest.mark.parametrize("text", ['a: "\\UFFFFFFFF"\n', f"%YAML 1.{'1' * 5000}\n---\na: b\n", "%YAML 2.0\n---\na: b\n"])
def test_what_the_parser_itself_stumbles_over_is_told_as_an_error(text: str) -> None:
    assert problems(text)


def test_nesting_has_an_end() -> None:
    fitting = "[" * (MAX_DEPTH - 1) + "a" + "]" * (MAX_DEPTH - 1)
    assert plain(tree(fitting))
    text, expected = marked("[" * MAX_DEPTH + "«a»" + "]" * MAX_DEPTH)
    found = problems(text)
    assert places(found) == expected
    assert found[0].message == "nested deeper than 20 levels"


def test_the_number_of_values_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MAX_NODES", 10)
    assert plain(tree("[1, 2, 3, 4, 5, 6, 7, 8, 9]"))
    assert "more than 10 keys and values" in problems("[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]")[0].message
    assert MAX_NODES > 100_000


def test_problems_come_in_the_files_order() -> None:
    found = problems("format: 1\nzzz: 1\ncas: &a {}\nyyy: !x 2\nzzz: 3\n")
    assert len(found) == 5
    assert all((a.line, a.column) <= (b.line, b.column) for a, b in pairwise(found))
