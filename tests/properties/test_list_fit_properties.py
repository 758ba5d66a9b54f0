"""What holds for any row: the rules found for it are those that looking at every rule finds."""

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from testkit.knocks import CA_ID, allow

from jitr.devicelists.rows import ListRow
from jitr.rules.list_fit import _Anchored, _fits
from jitr.rules.model import Ca, Rules

CAS = {"factory-a": Ca("factory-a", (CA_ID,), 1), "factory-b": Ca("factory-b", ("0b" * 32,), 2)}
PATTERNS = st.sampled_from(["snr-*", "snr-1", "s*", "*", "?nr-*", "SNR-*", "snr-1*", "\\\\*x"])
ASKED = st.fixed_dictionaries(
    {},
    optional={
        "common_name": PATTERNS,
        "ca": st.sampled_from(sorted(CAS)),
        "serial_number": st.sampled_from([(1, 9), (5, 40)]),
        "lists": st.sampled_from([("line-a",), ("else",)]),
    },
)
ROWS = st.builds(
    ListRow,
    common_name=st.sampled_from([None, "snr-1", "SNR-2", "snr-11", "x", "*x", ""]),
    serial_number=st.just("7"),
    ca=st.sampled_from([*CAS, CA_ID, "0b" * 32, "0c" * 32, "0d" * 32]),
)


@given(st.lists(ASKED, max_size=6), st.lists(ROWS, max_size=6), st.sampled_from([None, "7"]))
def test_rules_found_by_ca_and_beginning_of_names_fit_a_row_as_all_rules_do(
    asked: list[dict[str, Any]], rows: list[ListRow], serial: str | None
) -> None:
    rules = Rules("r", cas=CAS, allow=tuple(allow(f"a{number}", **each) for number, each in enumerate(asked)))
    anchored = _Anchored(rules.allow)
    for each in rows:
        row = replace(each, serial_number=serial, ca=None if serial is None else each.ca)
        found = {rule.name for rule in anchored.for_row(rules, row) if _fits(rules, rule, row)}
        assert found == {rule.name for rule in rules.allow if _fits(rules, rule, row)}
