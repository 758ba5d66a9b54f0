"""What holds for every rules file: whatever the bytes, only rules or declared errors; printing and reading agree."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from testkit.editor import as_an_editor_reads, validator
from testkit.rules import EXAMPLE, in_allow, read
from testkit.rules_printer import to_yaml
from testkit.work import steps
from testkit.wrong_rules import EIGHT

from jitr.decision.selftest import run
from jitr.reasons import Verdict
from jitr.rules.conditions import (
    AttributeCondition,
    CaCondition,
    Condition,
    Glob,
    ListCondition,
    SerialCondition,
    SerialRange,
    Window,
    WindowCondition,
)
from jitr.rules.file import doubts
from jitr.rules.file.kinds import SUBJECT_ATTRIBUTES
from jitr.rules.file.problems import RulesError
from jitr.rules.file.reader import read_rules
from jitr.rules.model import AllowRule, Ca, Crl, DenyRule, Floor, Grant, Ocsp, Rules, cost, load
from jitr.rules.policy_variables import VARIABLES

# Rules, as the reader makes them


def tuples(values: st.SearchStrategy[Any], most: int = 3) -> st.SearchStrategy[tuple[Any, ...]]:
    """One to ``most`` values, none twice."""
    return st.lists(values, min_size=1, max_size=most, unique=True).map(tuple)


def words(alphabet: str, first: str | None = None, longest: int = 12) -> st.SearchStrategy[str]:
    rest = st.text(alphabet, max_size=longest - 1)
    return st.builds(str.__add__, st.sampled_from(first or alphabet), rest)


LETTERS = "abcxyzABCXYZ"
NAMES = words(f"{LETTERS}019_.-", f"{LETTERS}019") | st.sampled_from(
    ["NO", "null", "true", "1e3", "0123", "2026-01-01"]
)
THINGS = words(f"{LETTERS}019:_-")
POLICIES = words(f"{LETTERS}019_+=,.@-")
TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs", "Cn", "Zl", "Zp"]), min_size=1, max_size=20)
PATTERNS = TEXT.filter(lambda text: Glob.problem(text) is None).map(Glob) | st.sampled_from(
    ["*", "snr-*", "?", "~", "- a", "a: b", "a #b", "{a}", "[a]", "!a", "&a", "*a", "'", '"', "\\*", "NO", "0123", " "]
).map(Glob)
SERIALS = st.tuples(st.integers(0, 2**160 - 1), st.integers(0, 2**160 - 1)).map(
    lambda ends: SerialRange(min(ends), max(ends))
)
WINDOWS = st.tuples(st.dates(), st.dates() | st.just(date.max)).map(lambda ends: Window(min(ends), max(ends)))
IDS = st.text("0123456789abcdef", min_size=64, max_size=64)
PLACEHOLDERS = st.sampled_from([*SUBJECT_ATTRIBUTES, "serial_number"]).map("{{{}}}".format)


def conditions(aliases: list[str]) -> st.SearchStrategy[tuple[Condition, ...]]:
    possible: dict[str, st.SearchStrategy[Condition]] = {
        "list": tuples(NAMES).map(ListCondition),
        "serial_number": tuples(SERIALS).map(SerialCondition),
        "window": tuples(WINDOWS).map(WindowCondition),
        "common_name": tuples(PATTERNS).map(lambda patterns: AttributeCondition("common_name", patterns)),
        "country": tuples(PATTERNS).map(lambda patterns: AttributeCondition("country", patterns)),
    }
    if aliases:
        possible["ca"] = tuples(st.sampled_from(aliases)).map(CaCondition)
    some = st.sets(st.sampled_from(sorted(possible)), min_size=1)
    drawn = some.flatmap(lambda names: st.tuples(*(possible[name] for name in sorted(names))))
    return drawn.map(lambda made: tuple(sorted(made, key=cost)))


@st.composite
def grants(draw: st.DrawFn, aliases: list[str], *, has_list: bool) -> Grant:
    parts = PLACEHOLDERS | THINGS | (words(LETTERS).map("{{attr.{}}}".format) if has_list else st.nothing())
    template = st.lists(parts, min_size=1, max_size=3).map("".join)
    renewal = draw(st.sampled_from(["hold", "coexist", "replace"]))
    existing = draw(st.sampled_from(["hold", "adopt"]))
    spared = draw(st.just(()) | tuples(st.sampled_from(list(VARIABLES))))
    named = st.just(()) | tuples(st.sampled_from(aliases)) if aliases and renewal != "hold" else st.just(())
    following = draw(named)
    if draw(st.booleans()):
        policies = draw(tuples(POLICIES, 10))
        return Grant(policies, renewal=renewal, existing=existing, not_in_policies=spared, renewal_from=following)
    return Grant(
        draw(tuples(POLICIES, 10) | st.just(())),
        draw(template),
        draw(st.none() | THINGS),
        draw(st.dictionaries(words(f"{LETTERS}019_.,@/:#-"), template, max_size=3)),
        draw(tuples(THINGS, 10)),
        renewal,
        existing,
        spared,
        following,
    )


def partitions(
    stale: st.SearchStrategy[Verdict], deltas: st.SearchStrategy[str | None]
) -> st.SearchStrategy[tuple[Crl, ...]]:
    """A list in partitions, for which it is said once what is decided."""
    each = st.tuples(words(LETTERS), deltas)
    several = st.lists(each, min_size=1, max_size=3, unique_by=(lambda x: x[0], lambda x: x[1] or x[0]))
    return st.builds(
        lambda found, when_stale: tuple(
            Crl(f"s3://example-crls/{name}", when_stale, delta=delta, point=f"ldap:///cn={name}")
            for name, delta in found
        ),
        several,
        stale,
    )


@st.composite
def whole_rules(draw: st.DrawFn) -> Rules:
    """Rules that a file can have."""
    aliases = draw(st.lists(NAMES, max_size=3, unique=True))
    stale = st.sampled_from([Verdict.HOLD, Verdict.ADMIT])
    urls = words(f"{LETTERS}019").map("s3://example-crls/{}.crl".format) | st.just("https://crl.example.com/")
    deltas = st.none() | words(LETTERS).map("http://crl.example.com/{}".format)
    one = st.builds(Crl, urls, stale, st.just(False), deltas)
    one |= st.builds(Crl, st.just("https://crl.example.com/"), stale, st.booleans(), deltas)
    crls = st.just(()) | st.tuples(one) | partitions(stale, deltas)
    ocsps = st.builds(
        Ocsp,
        st.sampled_from(["http://ocsp.example.com/", "https://ocsp.example.com:8080/a?b=c"]),
        st.none(),
        st.sampled_from(["sha1", "sha256"]),
        stale,
        st.booleans(),
        st.booleans(),
    )
    cas = {alias: Ca(alias, draw(tuples(IDS)), 0, draw(crls), draw(st.none() | ocsps)) for alias in aliases}
    names = draw(st.lists(NAMES, max_size=6, unique=True))
    split = draw(st.integers(0, len(names)))
    allow = []
    for name in names[split:]:
        matching = draw(conditions(aliases))
        grant = draw(grants(aliases, has_list=any(isinstance(each, ListCondition) for each in matching)))
        former = draw(st.none() | st.just(f"was-{name}"[:64]))
        allow.append(AllowRule(name, 0, matching, grant, draw(st.none() | st.integers(1, 10**9)), former))
    return Rules(
        source="admission.yaml",
        default=draw(st.sampled_from([Verdict.HOLD, Verdict.REJECT])),
        cas=cas,
        floor=draw(
            st.builds(
                Floor,
                st.integers(2048, 16384),
                tuples(st.sampled_from(Floor().curves)),
                tuples(st.sampled_from(Floor().signature_hashes)),
                st.sampled_from(["positive", "any"]),
            )
        ),
        deny=tuple(
            DenyRule(
                name, 0, draw(conditions(aliases)), draw(st.none() | TEXT.map(lambda t: f"a{t}")), draw(st.booleans())
            )
            for name in names[:split]
        ),
        allow=tuple(allow),
    )


@given(whole_rules())
def test_what_is_printed_reads_as_rules_of_the_same_meaning(rules: Rules) -> None:
    again = read(to_yaml(rules)).rules
    assert again.meaning == rules.meaning
    assert to_yaml(again) == to_yaml(rules)


@given(whole_rules())
def test_what_is_read_compiles_and_loads_as_the_same_rules(rules: Rules) -> None:
    again = read(to_yaml(rules)).rules
    assert load(again.compiled) == again


@given(whole_rules())
def test_what_the_reader_takes_the_schema_takes(rules: Rules) -> None:
    validator().validate(as_an_editor_reads(to_yaml(rules)))


def test_the_example_prints_and_reads_back() -> None:
    rules = read(EXAMPLE).rules
    assert read(to_yaml(rules)).rules.meaning == rules.meaning


# Bytes


def read_or_refuse(data: bytes) -> None:
    """Reads and runs the tests; only declared errors may come of it, and each must be told in text and JSON."""
    try:
        rules_file = read_rules(data, source="admission.yaml")
    except RulesError as error:
        refused = error
    else:
        assert load(rules_file.rules.compiled) == rules_file.rules
        assert all(str(each) for each in run(rules_file))
        return
    assert refused.problems
    assert str(refused).encode()
    for each in refused.problems:
        assert min(each.line, each.column, each.length) >= 1
        assert each.to_json()


FRAGMENTS = [
    *"\t\n\r :-?,[]{}#&*!|>'\"%@`\\~0\0\x7f\x85\xa0\u2028\ufeff\U0001f600",
    "\n  - ",
    ": ",
    "<<: *a\n",
    "&a ",
    "!!binary ",
    "---\n",
    "...\n",
    "%YAML 1.1\n",
    '"\\ud800"',
    '"\\x00"',
    "null",
    "{attr.x}",
    "[" * 25,
    "9" * 400,
]


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
@example(b"")
@example(b"\xff\xfe")
@example(b"format: 1\nallow:\n- !")
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    read_or_refuse(data)


@given(st.lists(st.sampled_from(FRAGMENTS) | st.sampled_from(EXAMPLE.split("\n")), max_size=30).map("".join))
def test_any_pieces_of_yaml_are_read_or_refused(text: str) -> None:
    read_or_refuse(text.encode())


@given(st.data())
def test_any_damage_to_a_good_file_is_read_or_refused(data: st.DataObject) -> None:
    text = EXAMPLE
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 30)))
        text = text[:start] + data.draw(st.sampled_from(FRAGMENTS) | st.text(max_size=3)) + text[end:]
    read_or_refuse(text.encode("utf-8", "surrogatepass"))


@given(st.data())
def test_any_value_of_any_key_is_read_or_refused(data: st.DataObject) -> None:
    lines = EXAMPLE.split("\n")
    number = data.draw(st.sampled_from([place for place, line in enumerate(lines) if ": " in line]))
    key = lines[number].partition(": ")[0]
    value = data.draw(st.sampled_from([*FRAGMENTS, "[]", "{}", '""', "a", "1", "[a, a]", "{a: b}", "", "2026-13-01"]))
    lines[number] = f"{key}: {value}"
    read_or_refuse("\n".join(lines).encode())


def test_a_declared_error_is_told_with_its_place_for_every_prefix_of_a_file() -> None:
    for end in range(0, len(EIGHT), 3):
        read_or_refuse(EIGHT[:end].replace("«", "").replace("»", "").encode())


# Time. Each of these grows to four times its size; what takes time by the square would take sixteen times the steps.

RULES = [f"ca: factory-a\ncommon_name: 'snr-{number}-*'" for number in range(2000)]
HOSTILE: dict[str, Callable[[int], str]] = {
    "rules": lambda size: in_allow(*RULES[: size * 4]),
    "unknown keys": lambda size: "format: 1\n" + "".join(f"k{number}: v\n" for number in range(size * 20)),
    "unknown aliases": lambda size: in_allow(*(f"ca: factory-{number}" for number in range(size * 2))),
    "nesting": lambda size: "a: " + "[" * size * 500,
    "values": lambda size: "a: [" + "b, " * size * 50,
    "one long line": lambda size: "{" + ", ".join(f"k{number}: v" for number in range(size * 20)) + "}",
    "quote without end": lambda size: 'a: "' + "b\n" * size * 200,
    "texts that run on": lambda size: "".join(f"k{number}: a\n b\n" for number in range(size * 10)),
    "stars": lambda size: in_allow(*(f"list: l\ntitle: '{'*a' * 50}{number}'" for number in range(size))),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_time_grows_no_faster_than_the_file(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for comparing rules with each other, which has a budget of its own: a small one here."""
    monkeypatch.setattr(doubts, "_COMPARISONS", 1000)

    def taken(size: int) -> int:
        data = HOSTILE[kind](size).encode()
        return steps(lambda: read_or_refuse(data))

    assert taken(400) < 6 * taken(100)
