"""How rows fit rules and devices: a list whose every row has the same mistake is seen in one number."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from testkit import knocks
from testkit.knocks import CA_ID, allow, deny, knock

from jitr.devicelists.rows import ListRow
from jitr.rules.list_fit import Devices, Fit, _Anchored
from jitr.rules.model import Rules

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SNR = Rules(
    "admission.yaml",
    cas=knocks.rules().cas,
    deny=(deny("recalled", lists=("recall",)),),
    allow=(allow("line-a", ca="factory-a", common_name="snr-*", lists=("line-a",)),),
)


def devices(count: int = 3, digits: int = 32) -> Devices:
    found = Devices()
    for number in range(count):
        subject = (("common_name", f"snr-{number}"),)
        found.add(knock(subject=subject, serial_number=f"{number + 1}".ljust(digits, "a")))
    return found


def fit(name: str, *rows: ListRow, rules: Rules | None = SNR, known: Devices | None = None) -> Fit:
    found = Fit(name, rules, devices() if known is None else known, at=NOW)
    for line, row in enumerate(rows, 2):
        found.add(row, line)
    return found


def test_a_list_none_of_whose_rows_fits_the_pattern_of_the_rule_that_names_it_is_told_so() -> None:
    found = fit("line-a", *(ListRow(common_name=f"SNR-{number}") for number in range(5000)))
    assert found.remarks()[0] == "0 of 5,000 rows fit `snr-*` of rule line-a, which names this list"
    assert found.remarks()[1] == ("line 2, 'SNR-0': it does not fit `snr-*` of rule line-a, which names this list")
    assert found.sentence() == (
        "5,000 rows: 0 on record (of 3 certificates there), 0 could be devices that come, 5,000 can match nothing"
    )


def test_rows_that_fit_are_counted_in_one_line_and_nothing_more_is_told() -> None:
    found = fit("line-a", ListRow(common_name="snr-1"), ListRow(common_name="snr-77"))
    assert (
        found.sentence()
        == "2 rows: 1 on record (of 3 certificates there), 1 could be devices that come, 0 can match nothing"
    )
    assert (found.remarks(), found.question()) == ((), None)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (ListRow(common_name="SNR-1"), "no allow rule lets such a device in (`snr-*` of rule line-a)"),
        (ListRow(serial_number="1f", ca="factory-a"), "serial numbers of factory-a on record have another length"),
        (ListRow(serial_number="1f", ca=CA_ID), f"serial numbers of {CA_ID} on record have another length"),
        (ListRow(serial_number="1f", ca="ee" * 32), "no allow rule lets such a device in"),
        (ListRow(serial_number="b" * 32, ca="factory-c"), "the rules have no CA factory-c"),
    ],
)
def test_a_row_of_a_deny_list_that_can_match_nothing_is_asked_about(row: ListRow, why: str) -> None:
    found = fit("recall", ListRow(common_name="snr-1"), row)
    assert (found.on_record, found.nothing) == (1, 1)
    question = found.question()
    assert question is not None
    assert question.startswith("Deny rule recalled names list recall, and 1 row can match nothing (first line 3, ")
    assert why in question


def test_an_expired_row_matches_nothing_even_where_its_device_is_on_record() -> None:
    found = fit("recall", ListRow(common_name="snr-1", expires=NOW), ListRow(common_name="snr-2"))
    assert (found.on_record, found.nothing) == (1, 1)
    assert "(first line 2, 'snr-1': it expired 2026-03-01T12:00:00Z)" in (found.question() or "")
    assert fit("recall", ListRow(common_name="snr-1", expires=NOW + timedelta(seconds=1))).question() is None


@pytest.mark.parametrize(
    "row",
    [
        ListRow(common_name="snr-1"),
        ListRow(common_name="snr-900"),
        ListRow(certificate_sha256="ab" * 32),
        ListRow(serial_number="b" * 32, ca="factory-a"),
        ListRow(serial_number="b" * 30, ca="factory-a"),
    ],
)
def test_a_row_that_could_match_a_device_is_not_asked_about(row: ListRow) -> None:
    assert fit("recall", row).question() is None


def test_a_list_that_no_deny_rule_names_is_not_asked_about() -> None:
    assert fit("line-a", ListRow(common_name="SNR-1")).question() is None
    assert fit("else", ListRow(common_name="SNR-1")).question() is None


def test_without_rules_nothing_is_impossible() -> None:
    assert fit("recall", ListRow(common_name="SNR-1"), rules=None).nothing == 0


def test_a_rule_that_asks_nothing_of_names_lets_every_name_in() -> None:
    anybody = replace(SNR, allow=(*SNR.allow, allow("any", ca="factory-a")))
    assert fit("recall", ListRow(common_name="SNR-1"), rules=anybody).nothing == 0


def test_a_range_of_serial_numbers_is_a_pattern_too() -> None:
    ranged = replace(SNR, allow=(allow("line-a", serial_number=(0x1000, 0x1FFF), lists=("line-a",)),))
    rows = (ListRow(serial_number="1001", ca="factory-a"), ListRow(serial_number="2001", ca="factory-a"))
    assert fit("line-a", *rows, rules=ranged, known=Devices()).nothing == 1


def test_a_row_is_asked_of_the_few_rules_whose_names_begin_as_its_does() -> None:
    every = tuple(allow(f"line-{number}", common_name=f"line-{number}-*") for number in range(1000))
    rules = replace(SNR, allow=every)
    assert [each.name for each in _Anchored(every).for_row(rules, ListRow(common_name="line-77-1"))] == ["line-77"]


COLUMNS = ("note", "ca", "common_name", "certificate_sha256", "public_key_sha256", "serial_number")


def doubted(*rows: ListRow, name: str = "recall", known: Devices | None = None) -> Fit:
    found = Fit(name, SNR, devices() if known is None else known, at=NOW)
    for line, row in enumerate(rows, 2):
        found.add(row, line, COLUMNS)
    return found


def test_a_doubtful_name_is_told_with_line_and_column_and_asked_about_on_a_deny_list() -> None:
    found = doubted(ListRow(common_name="snr-1"), ListRow(common_name="snr-*"))
    assert (found.possible, found.nothing, found.doubtful) == (1, 0, 1)
    told = "line 3, column 3, common_name: 'snr-*' looks like a pattern: a list takes names as they are"
    assert found.remarks() == (told,)
    assert found.question() == (
        f"Deny rule recalled names list recall, and 1 row is doubtful (first {told}): "
        "if so, it keeps out no device that is meant."
    )
    assert found.to_json()["first_doubtful"] == [told]
    assert doubted(ListRow(common_name="snr-*"), name="line-a").question() is None


def test_the_name_of_a_device_on_record_is_not_doubted() -> None:
    known = Devices()
    known.add(knock(subject=(("common_name", "snr-*"),)))
    assert doubted(ListRow(common_name="snr-*"), known=known).doubtful == 0


def test_doubts_are_counted_and_the_first_five_are_told() -> None:
    found = doubted(*(ListRow(common_name=f"snr-{number}*") for number in range(7)))
    assert found.doubtful == 7
    assert found.remarks()[5:] == ("and 2 more doubtful rows",)


CERTIFICATE, KEY, SERIAL = "c1" * 32, "d1" * 32, "74" * 10


def known_device() -> Devices:
    found = Devices()
    found.add(
        knock(
            aliases=frozenset({"factory-a"}),
            subject=(("common_name", "snr-1"),),
            certificate_sha256=CERTIFICATE,
            public_key_sha256=KEY,
            serial_number=SERIAL,
        )
    )
    return found


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (
            ListRow(public_key_sha256=CERTIFICATE),
            "' is the certificate's id of device 'snr-1' on record, not the public key's digest: "
            "use column certificate_sha256",
        ),
        (
            ListRow(certificate_sha256=KEY),
            "' is the public key's digest of device 'snr-1' on record, not the certificate's id: "
            "use column public_key_sha256",
        ),
        (ListRow(common_name=CERTIFICATE), "use column certificate_sha256"),
        (ListRow(certificate_sha256=CA_ID), f"column 4, certificate_sha256: {CA_ID} is the id of CA factory-a"),
        (
            ListRow(serial_number=SERIAL, ca="0b" * 32),
            f"column 2, ca: a device of factory-a on record has serial number {SERIAL}, and none of {'0b' * 32}: is",
        ),
    ],
)
def test_a_value_of_a_device_on_record_in_the_wrong_column_is_told_with_line_and_column(
    row: ListRow, told: str
) -> None:
    found = doubted(row, known=known_device())
    assert (found.on_record, found.nothing, found.doubtful) == (0, 1, 1)
    assert any(told in each and each.startswith("line 2, column ") for each in found.remarks())
    assert "can match nothing" in (found.question() or "")


def test_a_digest_in_the_wrong_column_is_told_also_where_the_row_is_found_by_its_name() -> None:
    found = doubted(ListRow(common_name="snr-1", public_key_sha256=CERTIFICATE), known=known_device())
    assert (found.on_record, found.nothing, found.doubtful) == (1, 0, 1)


@pytest.mark.parametrize(
    "row",
    [
        ListRow(public_key_sha256=KEY, certificate_sha256=CERTIFICATE),
        ListRow(serial_number=SERIAL, ca="factory-a"),
        ListRow(serial_number=SERIAL, ca=CA_ID),
    ],
)
def test_the_values_of_a_device_on_record_in_their_columns_are_not_doubted(row: ListRow) -> None:
    assert doubted(row, known=known_device()).doubtful == 0


def test_a_short_serial_number_may_be_another_device_s_under_each_ca() -> None:
    known = Devices()
    known.add(knock(serial_number="1001"))
    assert doubted(ListRow(serial_number="1001", ca="0b" * 32), known=known).doubtful == 0
