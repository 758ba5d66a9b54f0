"""Which row of a device list is a given device's, and for which rules it counts."""

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jitr.devicelists.rows import (
    KEY_KINDS,
    ListRow,
    Membership,
    RowKey,
    device_keys,
    membership,
    membership_in,
    rows_by_key,
)
from jitr.facts import Attribute, CertificateFacts, KeyFacts, Knock, SignatureFacts

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
CA_ID = "ca" * 32
KEY, OTHER_KEY = "0a" * 32, "0b" * 32
CERTIFICATE, OTHER_CERTIFICATE = "1a" * 32, "1b" * 32


def knock(
    *names: str, serial_number: str = "1001", public_key: str = KEY, aliases: tuple[str, ...] = ("factory-a",)
) -> Knock:
    certificate = CertificateFacts(
        certificate_sha256=CERTIFICATE,
        public_key_sha256=public_key,
        version=3,
        serial_number=serial_number,
        subject=(*(Attribute("common_name", name) for name in names), Attribute("organization", "OKIDA")),
        issuer=(),
        not_before=AT - timedelta(days=1),
        not_after=AT + timedelta(days=1),
        key=KeyFacts("EC", 256, "P-256"),
        signature=SignatureFacts("ECDSA", "sha256"),
    )
    return Knock(certificate, CA_ID, ca=None, chain=None, aliases=frozenset(aliases))


DEVICE = knock("snr-0001")

BY_KEY = ListRow(public_key_sha256=KEY, note="key")
BY_CERTIFICATE = ListRow(certificate_sha256=CERTIFICATE, note="certificate")
BY_SERIAL = ListRow(serial_number="1001", ca="factory-a", note="serial")
BY_NAME = ListRow(common_name="snr-0001", note="name")
IN_ORDER = (BY_KEY, BY_CERTIFICATE, BY_SERIAL, BY_NAME)


def place(device: Knock, *rows: ListRow, at: datetime = AT) -> Membership | None:
    return membership_in(device, rows_by_key(rows), at)


@pytest.mark.parametrize("row", IN_ORDER)
def test_a_row_is_found_by_any_one_kind_of_key(row: ListRow) -> None:
    assert place(DEVICE, row, ListRow(common_name="another")) == Membership(row)


def test_a_device_that_no_row_names_is_not_on_the_list() -> None:
    strangers = [
        ListRow(public_key_sha256=OTHER_KEY),
        ListRow(certificate_sha256=OTHER_CERTIFICATE),
        ListRow(serial_number="1002", ca="factory-a"),
        ListRow(serial_number="1001", ca="factory-b"),
        ListRow(common_name="snr-0002"),
    ]
    assert place(DEVICE, *strangers) is None
    assert place(DEVICE) is None


@pytest.mark.parametrize("name", ["SNR-0001", "snr-0001 ", "snr-000", "snr-00011", "OKIDA"])
def test_a_name_is_whole_and_case_matters(name: str) -> None:
    assert place(DEVICE, ListRow(common_name=name)) is None


@pytest.mark.parametrize("best", range(4))
def test_the_most_exact_key_wins_whatever_the_order_of_the_rows(best: int) -> None:
    """Public key, certificate, serial number, name: KEY_KINDS."""
    for rows in permutations(IN_ORDER[best:]):
        assert place(DEVICE, *rows) == Membership(IN_ORDER[best])
    assert [row.found_by()[0].kind for row in IN_ORDER] == list(KEY_KINDS)


def test_a_row_that_counts_fully_wins_over_a_more_exact_one_that_does_not() -> None:
    pins_another_name = ListRow(public_key_sha256=KEY, common_name="snr-9999")
    assert place(DEVICE, pins_another_name, BY_NAME) == Membership(BY_NAME)


# --- expiry


def test_an_expired_row_counts_as_absent_from_its_first_moment_on() -> None:
    row = ListRow(common_name="snr-0001", expires=AT)
    assert place(DEVICE, row, at=AT - timedelta(seconds=1)) == Membership(row)
    assert place(DEVICE, row, at=AT) is None
    assert place(DEVICE, row, at=AT + timedelta(days=1)) is None


def test_where_the_most_exact_row_has_expired_the_next_one_counts() -> None:
    expired = ListRow(public_key_sha256=KEY, expires=AT)
    assert place(DEVICE, expired, BY_NAME) == Membership(BY_NAME)


# --- CAs


@pytest.mark.parametrize("ca", ["factory-a", "all-factories", CA_ID])
def test_a_serial_number_is_found_under_each_alias_of_its_ca_and_its_id(ca: str) -> None:
    row = ListRow(serial_number="1001", ca=ca)
    assert place(knock("x", aliases=("factory-a", "all-factories")), row) == Membership(row)


def test_a_serial_number_is_found_by_the_id_of_a_ca_that_the_rules_do_not_name() -> None:
    device = knock("x", aliases=())
    row = ListRow(serial_number="1001", ca=CA_ID)
    assert place(device, row) == Membership(row)
    assert place(device, BY_SERIAL) is None


def test_the_keys_of_a_device_are_the_most_exact_first() -> None:
    device = knock("b", "a", "b", aliases=("z", "y"))
    assert [str(key) for key in device_keys(device)] == [
        f"public_key_sha256#{KEY}",
        f"certificate_sha256#{CERTIFICATE}",
        "serial_number#y/1001",
        "serial_number#z/1001",
        f"serial_number#{CA_ID}/1001",
        "common_name#b",
        "common_name#a",
    ]


# --- ambiguity: the row counts for deny rules only


@pytest.mark.parametrize("names", [("snr-0001", "snr-0002"), ("snr-0002", "snr-0001"), ("snr-0001", "snr-0001")])
def test_a_row_found_by_a_common_name_of_several_is_ambiguous(names: tuple[str, ...]) -> None:
    found = place(knock(*names), BY_NAME)
    assert found == Membership(
        BY_NAME, "on it by common_name, which the certificate has 2 times: it does not count for an allow rule"
    )


def test_a_row_found_by_a_more_exact_key_counts_even_if_the_certificate_has_several_names() -> None:
    row = ListRow(public_key_sha256=KEY, common_name="snr-0001")
    assert place(knock("snr-0001", "snr-0002"), row) == Membership(row)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (
            ListRow(common_name="snr-0001", public_key_sha256=OTHER_KEY),
            "on it by common_name, but the row's public_key_sha256 is another",
        ),
        (
            ListRow(common_name="snr-0001", certificate_sha256=OTHER_CERTIFICATE),
            "on it by common_name, but the row's certificate_sha256 is another",
        ),
        (
            ListRow(common_name="snr-0001", serial_number="1002", ca="factory-a"),
            "on it by common_name, but the row's serial number or its ca is another",
        ),
        (
            ListRow(common_name="snr-9999", serial_number="1001", ca="factory-a"),
            "on it by serial_number, but the row's common_name is another",
        ),
        (
            ListRow(certificate_sha256=CERTIFICATE, public_key_sha256=OTHER_KEY),
            "on it by certificate_sha256, but the row's public_key_sha256 is another",
        ),
    ],
)
def test_a_row_that_pins_another_key_is_ambiguous_and_says_which(row: ListRow, why: str) -> None:
    assert place(DEVICE, row) == Membership(row, why)


def test_a_row_whose_serial_number_is_under_another_ca_is_ambiguous() -> None:
    row = ListRow(common_name="snr-0001", serial_number="1001", ca="factory-b")
    assert place(DEVICE, row) == Membership(
        row, "on it by common_name, but the row's serial number or its ca is another"
    )


def test_a_row_with_every_key_of_the_device_counts() -> None:
    row = ListRow("snr-0001", "1001", "factory-a", CERTIFICATE, KEY)
    assert place(DEVICE, row) == Membership(row)


def test_of_two_ambiguous_rows_the_most_exact_is_told() -> None:
    by_certificate = ListRow(certificate_sha256=CERTIFICATE, public_key_sha256=OTHER_KEY)
    by_name = ListRow(common_name="snr-0001", public_key_sha256="0c" * 32)
    found = place(DEVICE, by_name, by_certificate)
    assert found is not None
    assert found.row == by_certificate


# --- rows that a table found, and their JSON


def test_the_rows_may_be_found_in_any_order() -> None:
    found = [(row.found_by()[0], row) for row in IN_ORDER]
    for order in permutations(found):
        assert membership(DEVICE, order, AT) == Membership(BY_KEY)


def test_the_keys_of_a_row_are_the_most_exact_first() -> None:
    assert ListRow("snr-0001", "1001", "factory-a", CERTIFICATE, KEY).found_by() == (
        RowKey("public_key_sha256", KEY),
        RowKey("certificate_sha256", CERTIFICATE),
        RowKey("serial_number", "factory-a/1001"),
        RowKey("common_name", "snr-0001"),
    )
    assert ListRow(note="lost").found_by() == ()


def test_the_json_of_a_row_has_only_what_the_row_has() -> None:
    row = ListRow("snr-0001", expires=AT, attributes={"batch": "7"})
    assert row.to_json() == {"common_name": "snr-0001", "expires": "2026-03-01T12:00:00Z", "attr.batch": "7"}


_TEXT = st.none() | st.text(max_size=5)
_ROWS = st.builds(
    ListRow,
    *[_TEXT] * 6,
    expires=st.none() | st.datetimes(timezones=st.just(UTC)).map(lambda time: time.replace(microsecond=0)),
    note=_TEXT,
    attributes=st.dictionaries(st.text(max_size=5), st.text(max_size=5)),
)


@given(_ROWS)
def test_a_row_comes_back_from_its_json(row: ListRow) -> None:
    assert ListRow.from_json(row.to_json()) == row


_DEVICES = st.builds(
    lambda names, serial, key: knock(*names, serial_number=serial, public_key=key),
    st.lists(st.sampled_from(["a", "b"]), max_size=2),
    st.sampled_from(["1", "2"]),
    st.sampled_from([KEY, OTHER_KEY]),
)
_SMALL_ROWS = st.builds(
    lambda name, serial, key, expires: ListRow(
        name, serial, serial and "factory-a", None, key, expires=expires and AT + expires
    ),
    st.sampled_from([None, "a", "b"]),
    st.sampled_from([None, "1", "2"]),
    st.sampled_from([None, KEY, OTHER_KEY]),
    st.sampled_from([None, timedelta(-1), timedelta(1)]),
)


@given(_DEVICES, st.lists(_SMALL_ROWS, max_size=4))
def test_a_row_that_counts_for_allow_rules_contradicts_the_device_in_nothing(
    device: Knock, rows: list[ListRow]
) -> None:
    found = place(device, *rows)
    names = device.certificate.values("common_name")
    if found is None or found.ambiguous:
        return
    row = found.row
    assert row.expires is None or row.expires > AT
    assert row.public_key_sha256 in (None, device.certificate.public_key_sha256)
    assert row.serial_number in (None, device.certificate.serial_number)
    assert row.common_name is None or row.common_name in names
    assert row.public_key_sha256 or row.serial_number or len(names) == 1


@given(_DEVICES, st.lists(_SMALL_ROWS, max_size=4))
def test_a_device_is_on_a_list_exactly_if_a_live_row_has_one_of_its_keys(device: Knock, rows: list[ListRow]) -> None:
    by_key = rows_by_key(rows)
    live = [row for row in by_key.values() if row.expires is None or row.expires > AT]
    reachable = [row for row in live if any(by_key.get(key) is row for key in device_keys(device))]
    assert (place(device, *rows) is not None) == bool(reachable)
