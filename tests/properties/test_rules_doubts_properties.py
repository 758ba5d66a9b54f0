"""What holds for any two rules: one that covers another matches what it matches."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from testkit.knocks import knock
from testkit.rules import in_allow, read

from jitr.rules.conditions import HOLDS, Circumstances
from jitr.rules.file.relations import Budget, Relations
from jitr.rules.model import AllowRule

PATTERNS = st.lists(st.text("ab*?", min_size=1, max_size=3), min_size=1, max_size=2, unique=True)
SPANS = st.tuples(st.integers(0, 7), st.integers(0, 7)).map(lambda ends: f"{min(ends):x}..{max(ends):x}")
DAYS = st.tuples(st.integers(1, 7), st.integers(1, 7)).map(lambda ends: f"2026-01-0{min(ends)}..2026-01-0{max(ends)}")


@st.composite
def rule_texts(draw: st.DrawFn) -> str:
    """Conditions of a rule, from so few values that rules often relate."""
    texts = [f"ca: {draw(st.sampled_from(['factory-a', 'factory-b', '[factory-a, factory-b]']))}"]
    for name in draw(st.sets(st.sampled_from(["title", "country"]))):
        texts.append(f"{name}: [{', '.join(repr(each) for each in draw(PATTERNS))}]")
    if draw(st.booleans()):
        texts.append(f"serial_number: [{', '.join(draw(st.lists(SPANS, min_size=1, max_size=2, unique=True)))}]")
    if draw(st.booleans()):
        texts.append(f"window: {draw(DAYS)}")
    return "\n".join(texts)


@st.composite
def circumstances(draw: st.DrawFn) -> Circumstances:
    """A device of as few values."""
    subject = tuple((name, draw(st.text("ab*", max_size=3))) for name in ("title", "country"))
    device = knock(
        aliases=frozenset({draw(st.sampled_from(["factory-a", "factory-b"]))}),
        subject=subject,
        serial_number=f"{draw(st.integers(0, 7)):x}",
    )
    return Circumstances(device, {}, datetime(2026, 1, draw(st.integers(1, 7)), tzinfo=UTC))


def matches(rule: AllowRule, seen: Circumstances) -> bool:
    return all(each.check(seen) is HOLDS for each in rule.conditions)


@given(rule_texts(), rule_texts(), st.lists(circumstances(), min_size=1, max_size=20))
def test_a_rule_that_covers_another_matches_what_it_matches(one: str, other: str, seen: list[Circumstances]) -> None:
    rules = read(in_allow(one, other)).rules
    wider, narrower = rules.allow
    relations = Relations(rules, Budget(10_000))
    assert relations.covers(wider, wider)
    if relations.covers(wider, narrower):
        assert all(matches(wider, each) for each in seen if matches(narrower, each))
    if relations.disjoint(wider, narrower):
        assert not any(matches(wider, each) and matches(narrower, each) for each in seen)
