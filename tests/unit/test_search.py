"""What a device is searched by, and what a text that somebody reads out may mean."""

from dataclasses import replace
from typing import Any

import pytest
from testkit.knocks import NOW, knock

from jitr.reasons import Verdict
from jitr.records.knock import facts_json
from jitr.records.record import APPLIED, Record
from jitr.records.search import MOST_NAMES, beginnings, is_meant, search_keys

ID, KEY = "ab" * 32, "cd" * 32


def record(*names: str, serial: str = "1f", thing: str | None = None) -> Record:
    """A decision on a device of these common names."""
    device = knock(subject=tuple(("common_name", each) for each in names), certificate_sha256=ID, public_key_sha256=KEY)
    facts: dict[str, Any] = facts_json(device) | {"serial_number": serial}
    made = Record(ID, "ca" * 32, Verdict.ADMIT, APPLIED, NOW, NOW, NOW, facts=facts)
    return replace(made, grant=None if thing is None else {"thing": thing})


def test_a_device_is_searched_by_its_names_serial_number_certificate_and_key() -> None:
    assert search_keys(record("SNR-0001", thing="Pump-7")) == (
        f"sha256#{ID}",
        "name#pump-7",
        f"sha256#{KEY}",
        "name#snr-0001",
        "serial#1f",
        "decimal#31",
    )


def test_a_thing_that_is_called_as_its_certificate_costs_nothing_more() -> None:
    assert len(search_keys(record("snr-0001", thing="snr-0001"))) == len(search_keys(record("snr-0001")))


def test_a_device_has_few_keys_whatever_its_certificate_says() -> None:
    """Each is an item that is written; a certificate may repeat its name as often as it has bytes."""
    keys = search_keys(record(*(f"{number}-" + "\U0001f600" * 300 for number in range(100)), thing="t" * 128))
    assert len(keys) == MOST_NAMES + 5
    assert max(len(f"{each}#{ID}".encode()) for each in keys) < 1024


@pytest.mark.parametrize("number", [1, 31, 2**64 - 1, 2**64, 2**159])
def test_a_serial_number_is_found_in_each_form_that_tools_show_it_in(number: int) -> None:
    digits = f"{number:x}"
    pairs = digits.zfill(len(digits) + len(digits) % 2)
    colons = ":".join(pairs[place : place + 2] for place in range(0, len(pairs), 2))
    found = record("snr-1", serial=digits)
    for text in (digits, digits.upper(), f"00{digits}", colons, f"00:{colons}", pairs, str(number), f" {colons} "):
        assert is_meant(found, beginnings(text)), text


@pytest.mark.parametrize("text", ["s", "SNR", "snr-0001", "ABAB", "ab:ab", "cdcd", "4f", "4F:2A", "p", "PUMP-7"])
def test_any_beginning_is_enough(text: str) -> None:
    assert is_meant(record("snr-0001", serial="4f2a91", thing="pump-7"), beginnings(text))


@pytest.mark.parametrize(
    "text", ["", "  ", "nr-0001", "snr-00011", "2a91", "6", "#", "name", "sha256#", "serial#4f", "f" * 65]
)
def test_what_is_no_beginning_finds_nothing(text: str) -> None:
    assert not is_meant(record("snr-0001", serial="4f2a91"), beginnings(text))


def test_a_long_decimal_number_means_the_whole_serial_number() -> None:
    number = 2**100
    assert is_meant(record("x", serial=f"{number:x}"), beginnings(str(number)))
    assert not is_meant(record("x", serial=f"{number:x}0"), beginnings(str(number)))


def test_a_name_may_have_any_sign_in_it() -> None:
    assert is_meant(record("a#b#c"), beginnings("A#b"))
    assert is_meant(record("Straße"), beginnings("STRASSE"))


def test_a_certificate_that_could_not_be_read_is_found_by_its_id() -> None:
    unread = replace(record(), facts=None)
    assert search_keys(unread) == (f"sha256#{ID}",)
