"""The count of a list equals its rows, and no row is half there: after any cut, any repetition, and any two hands.

Hypothesis plays histories of every edit that there is, each cut off before or after any call of the table, repeated as
an operator would, and overtaken by another edit before any call.
"""

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from testkit import lists as list_edits
from testkit.aws.admission import rules
from testkit.aws.fakes import fake_world
from testkit.aws.world import listening, moto_world
from testkit.drawn_lists import FILES, ROWS
from testkit.knocks import allow

from jitr.aws.dynamodb.table import HEADS, Conflict, Table, row_key
from jitr.devicelists.rows import ListRow
from jitr.errors import InputError
from jitr.services.lists import list_import, row_edits
from jitr.services.lists.device_lists import MOST_LISTS, DeviceLists
from jitr.services.lists.leftovers import Leftovers
from jitr.services.lists.list_import import MERGE, REPLACE, Imports
from jitr.services.lists.row_edits import COUNTS, RowEdits
from jitr.services.publishing.publication import publish

NAME = "line-a"
AT = "2026-03-01T00:00:00Z"


class Cut(BaseException):
    """The process ends here: nothing in it can catch this."""


@dataclass(frozen=True)
class Act:
    """One edit, as a command makes it."""

    what: str
    rows: tuple[ListRow, ...] = ()


@dataclass(frozen=True)
class Step:
    """An edit, the call at which something befalls it, and what: a cut before or after it, or another edit."""

    act: Act
    call: int = 0
    cut: str | None = None  # before | after
    other: Act | None = None
    repeated: bool = True


ACTS = st.one_of(
    st.builds(Act, st.just("add"), ROWS.map(lambda row: (row,))),
    st.builds(Act, st.just("remove"), ROWS.map(lambda row: (row,))),
    st.builds(Act, st.sampled_from([MERGE, MERGE, REPLACE]), FILES),
    st.sampled_from([Act("delete"), Act("restore"), Act("sweep")]),
)
STEPS = st.builds(
    Step,
    ACTS,
    st.integers(1, 14),
    st.sampled_from([None, "before", "after"]),
    st.none() | ACTS,
    st.booleans(),
)


class Fate:
    """What befalls an edit at one of its calls."""

    def __init__(self, step: Step, carry_out: Callable[[Act], None]) -> None:
        self.step = step
        self.struck = False
        self._carry_out = carry_out
        self._calls = 0
        self._inside = False

    @contextmanager
    def watching(self, client: Any) -> Iterator[None]:
        """Hear of the calls that an edit makes."""
        with (
            listening(client, "before-call", lambda **_: self._call("before")),
            listening(client, "after-call", lambda **_: self._call("after")),
        ):
            yield

    def _call(self, when: str) -> None:
        if self._inside:
            return
        self._calls += when == "before"
        if self._calls != self.step.call:
            return
        if self.step.other is not None and when == "before":
            self._other(self.step.other)
        if self.step.cut == when:
            self.struck = True
            raise Cut

    def _other(self, act: Act) -> None:
        self.struck = self._inside = True
        with suppress(Conflict):
            self._carry_out(act)
        self._inside = False


class History:
    """A table, its edits, and what befalls them."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.lists = DeviceLists(table)
        self.model: list[ListRow] | None = None  # None: there is no list

    def carry_out(self, act: Act) -> None:
        """Make an edit as a command does."""
        if act.what == "add":
            self.lists.add(NAME, act.rows[0], at=AT, new_generation=secrets.token_hex(4))
        elif act.what == "remove":
            self.lists.remove(NAME, act.rows[0].found_by()[0], at=AT)
        elif act.what == "delete":
            self.lists.delete(NAME, at=AT)
        elif act.what == "restore":
            self.lists.restore(NAME, at=AT)
        elif act.what == "sweep":
            Leftovers(self.table, workers=1).sweep(expires_at=99, given_up_before="2026-03-02T00:00:00Z")
        else:
            imports = Imports(self.table, clock=lambda: AT, token=lambda: secrets.token_hex(4), workers=1)
            checked = imports.check(NAME, list_edits.csv_of(act.rows), advance=lambda _bytes: None)
            work = imports.replace if act.what == REPLACE else imports.merge
            work(NAME, checked, by="tests", advance=lambda _rows: None)

    def apply(self, act: Act) -> None:
        """The same in the model."""
        if act.what == "restore":
            self.learn()  # what was kept is asked of test_restore
        elif act.what == "delete":
            self.model = None
        elif act.what == REPLACE:
            self.model = list(act.rows)
        elif act.what in ("add", MERGE):
            for row in act.rows:
                self.model = [*self._without(row), row]
            self.model = self.model or []
        elif act.what == "remove" and self.model is not None:
            key = act.rows[0].found_by()[0]
            self.model = [each for each in self.model if key not in each.found_by()]

    def _without(self, row: ListRow) -> list[ListRow]:
        return [each for each in self.model or [] if not set(each.found_by()) & set(row.found_by())]

    def step(self, step: Step) -> None:
        """An edit and what befalls it; afterwards everything is in order, or it is repeated and then is."""
        fate = Fate(step, self.carry_out)
        with fate.watching(self.table.client), suppress(Cut, Conflict):
            self.carry_out(step.act)
        self.check()
        if fate.struck and step.repeated:
            self.carry_out(step.act)
            self.check()
        if not fate.struck:
            self.apply(step.act)
        else:
            self.learn()  # of two hands, which came last is not asked here
            if step.repeated and step.other is None:
                self.check_contains(step.act)
        self.check_model()

    def learn(self) -> None:
        info = self.lists.all().get(NAME)
        self.model = None if info is None else list(self.lists.rows(NAME, info.head.generation))

    def check_contains(self, act: Act) -> None:
        """What was repeated until it was done is done."""
        if act.what in ("add", MERGE, REPLACE):
            assert {*map(str, act.rows)} <= {*map(str, self.model or [])}

    def check(self) -> None:
        """The count is that of the rows, and every row stands whole under each of its keys."""
        info = self.lists.all().get(NAME)
        if info is None:
            return
        rows = list(self.lists.rows(NAME, info.head.generation))
        assert info.rows == len(rows)
        stored: Any = self.table.client
        places = {
            (p["pk"], p["sk"])
            for row in rows
            for key in row.found_by()
            for p in [row_key(NAME, info.head.generation, key)]
        }
        assert {each for each in stored.items if each[0].startswith(f"LIST#{NAME}#{info.head.generation}#")} == places

    def check_model(self) -> None:
        """The list is what the edits make of it."""
        info = self.lists.all().get(NAME)
        if self.model is None:
            assert info is None
        else:
            assert info is not None
            assert sorted(map(str, self.lists.rows(NAME, info.head.generation))) == sorted(map(str, self.model))


@contextmanager
def small() -> Iterator[None]:
    """Batches, notes and transactions as small as a test's files, and no waits."""
    with (
        patch.object(list_import, "_ROWS_AT_ONCE", 3),
        patch.object(list_import, "_NOTED_EVERY", 4),
        patch.object(row_edits, "_MOST_ACTIONS", 3),
        patch.object(row_edits, "_LONGEST_WAIT", 0),
    ):
        yield


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, max_size=8))
def test_the_count_of_a_list_is_its_rows_after_any_cut_and_any_repetition(steps: list[Step]) -> None:
    with fake_world() as world, small():
        history = History(world.table)
        for each in steps:
            history.step(each)


@pytest.mark.parametrize("what", ["add", "remove", MERGE, REPLACE, "delete"])
@pytest.mark.parametrize("cut", ["before", "after"])
def test_every_edit_that_is_cut_at_any_call_can_be_finished(what: str, cut: str) -> None:
    """At each call in turn: a row with three keys is added, changed and removed; counts are exact at once."""
    one = ListRow(common_name="snr-1", public_key_sha256="aa" * 32, certificate_sha256="ab" * 32)
    file = (ListRow(common_name="snr-1", public_key_sha256="bb" * 32), ListRow(common_name="snr-2"))
    act = Act(what, file if what in (MERGE, REPLACE) else (one,))
    for number in range(1, 150):
        with fake_world() as world, small():
            history = History(world.table)
            history.step(Step(Act(MERGE, (one, ListRow(common_name="snr-3")))))
            calls: list[int] = []
            with listening(world.table.client, "before-call", lambda calls=calls, **_: calls.append(1)):
                history.step(Step(act, number, cut))
            if len(calls) < number:
                return
    pytest.fail("the edit never came to its end")


ONE = ListRow(common_name="snr-1", public_key_sha256="aa" * 32)
HANDS = (
    Act("add", (ListRow(common_name="snr-1"),)),
    Act("add", (ListRow(common_name="snr-2", public_key_sha256="aa" * 32),)),
    Act("add", (ListRow(common_name="snr-9"),)),
    Act("remove", (ONE,)),
    Act(MERGE, (ListRow(common_name="snr-1", public_key_sha256="bb" * 32), ListRow(common_name="snr-9"))),
    Act(REPLACE, (ListRow(common_name="snr-9"),)),
    Act("delete"),
    Act("restore"),
)


@pytest.mark.parametrize("other", HANDS, ids=lambda act: act.what)
@pytest.mark.parametrize("act", HANDS, ids=lambda act: act.what)
def test_of_two_hands_at_once_on_the_same_rows_none_breaks_the_count(act: Act, other: Act) -> None:
    """One runs whole inside the other, before each of its calls in turn."""
    for number in range(1, 150):
        with fake_world() as world, small():
            history = History(world.table)
            history.step(Step(Act(MERGE, (ONE, ListRow(common_name="snr-2")))))
            calls: list[int] = []
            with listening(world.table.client, "before-call", lambda calls=calls, **_: calls.append(1)):
                history.step(Step(act, number, other=other))
            if len(calls) < number:
                return
    pytest.fail("the edit never came to its end")


def test_importing_the_same_file_again_does_not_count_its_rows_again() -> None:
    with fake_world() as world:
        for _ in range(3):
            list_edits.merge(world.table, NAME, *(ListRow(common_name=f"snr-{number}") for number in range(199)))
            assert DeviceLists(world.table).all()[NAME].rows == 199


def test_what_imports_counted_is_in_the_heads_when_they_end() -> None:
    with fake_world() as world:
        list_edits.merge(world.table, NAME, *(ListRow(common_name=f"snr-{number}") for number in range(7)))
        (heads,) = world.table.get([HEADS])
        assert heads["lists"][NAME]["rows"] == 7
        assert list(world.table.query(COUNTS)) == []


def test_rows_are_edited_as_dynamodb_takes_it() -> None:
    """The expressions are DynamoDB's own, and a transaction that would be too large is several."""
    with moto_world() as world, small():
        lists = DeviceLists(world.table)
        keys = [ListRow(common_name=f"snr-{number}", public_key_sha256=f"{number + 1:064x}") for number in range(5)]
        list_edits.merge(world.table, NAME, *keys)
        lists.add(NAME, ListRow(common_name="snr-1", public_key_sha256=f"{3:064x}"), at=AT, new_generation="g")
        lists.remove(NAME, keys[3].found_by()[1], at=AT)
        info = lists.all()[NAME]
        assert info.rows == len(list(lists.rows(NAME, info.head.generation))) == 3


def test_a_row_that_is_edited_without_end_is_a_conflict_and_not_an_endless_loop() -> None:
    with fake_world() as world, small():
        list_edits.merge(world.table, NAME, ONE)
        edits = RowEdits(world.table)
        turn = iter(range(100))

        def meanwhile(**_arguments: Any) -> None:
            stored: Any = world.table.client
            for item in stored.items.values():
                if "row" in item:
                    item["row"] = {**item["row"], "note": str(next(turn))}

        generation = DeviceLists(world.table).all()[NAME].head.generation
        with listening(world.table.client, "after-call.dynamodb.BatchGetItem", meanwhile), pytest.raises(Conflict):
            edits.write(NAME, generation, [ListRow(common_name="snr-1")])


# --- how many lists there may be


def test_lists_leave_room_in_the_heads_for_the_rules_and_the_last_one_that_is_refused_says_what_to_do() -> None:
    """However long their names are. Those there are can be edited, and once one is deleted another can be made."""
    with fake_world() as world:
        lists = DeviceLists(world.table)
        stored: Any = world.table.client
        for number in range(MOST_LISTS):
            lists.ensure(f"{number:04d}" + "x" * 60, "2026-03-01T00:00:00.000000+00:00", "20260301T000000Z-00000000")
        assert len(json.dumps(stored.items["HEADS", "HEADS"])) < 100_000
        told = r"400 device lists, which is the most .* `jitr lists delete NAME`"
        with pytest.raises(InputError, match=told):
            list_edits.merge(world.table, "one-more", ONE)
        with pytest.raises(InputError, match=told):
            list_edits.replace(world.table, "one-more", ONE)
        with pytest.raises(InputError, match=told):
            lists.add("one-more", ONE, at=AT, new_generation="g")
        first = "0000" + "x" * 60
        list_edits.replace(world.table, first, ONE)
        world.publish(rules(allow()))  # the emergency deny
        lists.delete(first, at=AT)
        list_edits.merge(world.table, "one-more", ONE)
        assert "one-more" in lists.all()


def test_a_message_that_would_fill_the_heads_is_refused() -> None:
    with fake_world() as world, pytest.raises(InputError, match="at most 1,000 characters"):
        publish(world.table, rules(allow()), b"", world.table.heads(), at=AT, by="tests", message="x" * 1001)
