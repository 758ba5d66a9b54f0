"""DER is taken apart in the order in which ASN.1 names it, and nothing of it is passed over."""

import pytest
from testkit.pki import integer, sequence, tlv

from jitr.x509 import der

ONE, LIST = integer(1), sequence(integer(2))
TIME = tlv(der.UTC_TIME, b"260102030405Z")


def cursor(*elements: bytes) -> der.Cursor:
    return der.Cursor(b"".join(elements), "thing")


def test_elements_are_taken_in_their_order() -> None:
    fields = cursor(ONE, LIST)
    assert (fields.take(der.INTEGER), fields.take(der.SEQUENCE)) == (b"\x01", integer(2))
    fields.end()


def test_an_optional_element_that_is_not_there_leaves_the_next_where_it_is() -> None:
    fields = cursor(LIST)
    assert fields.take_if(der.INTEGER) is None
    assert fields.take(der.SEQUENCE) == integer(2)
    assert (fields.tag, fields.take_if(der.SEQUENCE)) == (None, None)


def test_an_element_of_another_tag_says_what_stands_where() -> None:
    with pytest.raises(der.DerError, match="every thing has: tag 0x30 stands where 0x02 should"):
        cursor(LIST).take(der.INTEGER)


def test_an_element_that_is_missing_is_a_field_that_is_missing() -> None:
    with pytest.raises(der.DerError, match="it lacks a field that every thing has"):
        cursor().take(der.INTEGER)


@pytest.mark.parametrize("elements", [(), (ONE,)])
def test_what_is_no_time_is_not_taken_for_one(elements: tuple[bytes, ...]) -> None:
    with pytest.raises(der.DerError, match="it lacks a field that every thing has"):
        cursor(*elements).take_time()
    assert cursor(TIME).take_time().isoformat() == "2026-01-02T03:04:05+00:00"


def test_nothing_may_be_left_at_the_end() -> None:
    with pytest.raises(der.DerError, match="it has fields that no thing has"):
        cursor(ONE).end()
