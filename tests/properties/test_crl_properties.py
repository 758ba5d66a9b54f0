"""What holds for any revocation list: every entry is found, and no damaged list counts."""

import sys
from contextlib import suppress

from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st
from testkit import pki
from testkit.crls import CODES, crl, entry
from testkit.pki import sequence

from jitr.errors import UnusableCrl
from jitr.x509.certificate import read_ca
from jitr.x509.crl import CrlReading, read_crl, why_not_by

FACTORY = pki.ca("Factory A")
READ = read_ca(FACTORY.pem, status="ACTIVE")
SERIALS = st.integers(min_value=1, max_value=1 << 160)


def read(data: bytes) -> CrlReading:
    return read_crl(data)


def test_a_look_up_in_a_hundred_thousand_entries_reads_none_of_them() -> None:
    """The library's own look-up goes through all; this one through an index of some 130 bytes an entry."""
    serials = [(0x9E3779B97F4A7C15F39CC0605CEDC834 * each) % (1 << 159) + 1 for each in range(1, 100_001)]
    rest = entry(1, "superseded")[5:]  # without the headers and the serial number
    found = read(crl(FACTORY, [sequence(pki.integer(each), rest) for each in serials]))
    assert len(found) == 100_000
    assert all(found.look_up(each) is not None for each in serials[::1000])
    index = found._entries
    size = sys.getsizeof(index) + sum(map(sys.getsizeof, index)) + sum(map(sys.getsizeof, index.values()))
    assert size < 150 * len(found)


@given(
    st.lists(
        st.tuples(SERIALS, st.sampled_from(sorted(set(CODES) - {"removeFromCRL"}))),
        unique_by=lambda x: x[0],
        max_size=20,
    ),
    SERIALS,
)
def test_every_entry_is_found_as_the_library_finds_it(entries: list[tuple[int, str]], other: int) -> None:
    data = crl(FACTORY, [entry(*each) for each in entries])
    library, found = x509.load_der_x509_crl(data), read(data)
    for serial in (*dict(entries), other):
        theirs, ours = library.get_revoked_certificate_by_serial_number(serial), found.look_up(serial)
        assert (theirs is None) == (ours is None)
        if ours is not None and theirs is not None:
            assert ours.revoked_at == theirs.revocation_date_utc
            assert ours.reason == dict(entries)[serial]


@given(st.binary(max_size=400), st.booleans())
def test_any_bytes_give_a_list_or_unusable(data: bytes, wrapped: bool) -> None:
    with suppress(UnusableCrl):
        read_crl(sequence(data) if wrapped else data)


SAMPLE = crl(FACTORY, [entry(5, "certificateHold"), entry(0x1001), entry(7, "keyCompromise")])


@given(st.lists(st.tuples(st.integers(0, len(SAMPLE) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_mutated_list_gives_a_list_that_is_not_the_ca_s_or_unusable(edits: list[tuple[int, int]]) -> None:
    data = bytearray(SAMPLE)
    for at, value in edits:
        data[at] = value
    try:
        found = read_crl(bytes(data))
    except UnusableCrl:
        return
    assert bytes(data) == SAMPLE or why_not_by(found, READ) is not None
