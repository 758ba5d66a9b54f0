"""What holds for any bytes that may be a certificate's file."""

from contextlib import suppress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from testkit import pki
from testkit.work import ending, steps

from jitr.errors import Unreadable
from jitr.x509.certificate import read_certificate
from jitr.x509.pem import MAX_INPUT, find_certificate

CA = pki.ca()
LEAF = CA.usual_device().issue()


@pytest.mark.parametrize(
    "unit",
    [b"-----BEGIN ", b"-----BEGIN CERTIFICATE-----", b"-----BEGIN A-----\n-----END A-----\n", b"-----END ", b"-----"],
)
def test_hostile_repetition_takes_no_time(unit: bytes) -> None:
    data = b"-----BEGIN X-----\n-----END X-----\n" + unit * (MAX_INPUT // len(unit) - 1)

    def refuse() -> None:
        with pytest.raises(Unreadable):
            find_certificate(data[:MAX_INPUT])

    with ending():
        assert steps(refuse) < MAX_INPUT


PIECES = [LEAF.pem, LEAF.der, b"-----BEGIN ", b"CERTIFICATE-----", b"-----END ", b"-----", b"\n", b"A=", b"\xff\xfe"]


@settings(deadline=None)
@given(st.binary(max_size=300) | st.lists(st.sampled_from(PIECES), max_size=8).map(b"".join))
@example(b"-----BEGIN CERTIFICATE----------END CERTIFICATE-----")
@example(b"\xff\xfe-")
def test_any_bytes_give_a_certificate_or_unreadable(data: bytes) -> None:
    with suppress(Unreadable):
        read_certificate(data)


def _taken(data: bytes) -> tuple[bytes, str | None] | str:
    try:
        found = find_certificate(data)
    except Unreadable as error:
        return error.code
    return found.der, found.taken


HEAD, TAIL = b"-----BEGIN CERTIFICATE-----\n", b"-----END CERTIFICATE-----\n"
BETWEEN = [
    LEAF.pem,
    HEAD,
    TAIL,
    LEAF.pem[len(HEAD) : -len(TAIL)],
    b"QUJD",
    b"\n",
    b"\r\n",
    b"-----",
    b"a: b\n\n",
    b"=",
    b" ",
]


@settings(deadline=None)
@given(st.lists(st.sampled_from(BETWEEN), max_size=5).map(b"".join))
def test_a_block_alone_is_read_as_it_is_after_a_line_of_text(body: bytes) -> None:
    alone = _taken(HEAD + body + TAIL)
    among = _taken(b"text\n" + HEAD + body + TAIL)
    if isinstance(alone, tuple) and alone[1] is not None:
        alone = alone[0], alone[1].replace("at line 1", "at line 2")
    assert alone == among
