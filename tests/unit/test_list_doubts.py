"""Names that are probably a slip are told, and never refused: a certificate may carry any of them."""

import pytest

from jitr.devicelists.csv.reader import read_list
from jitr.devicelists.doubts import Names
from jitr.devicelists.rows import ListRow

PATTERN = "looks like a pattern"
SEVERAL = "looks like several devices"
CUT_OFF = "looks cut off"


def doubt(name: str) -> str | None:
    found = Names().doubt(ListRow(common_name=name))
    return None if found is None else found.message


@pytest.mark.parametrize(
    ("name", "told"),
    [
        *((each, PATTERN) for each in ("snr-*", "snr-00??", "snr-%", "^snr-", "snr-.+", "snr-[0-9]", r"snr-\d")),
        *((each, PATTERN) for each in ("snr-##", "snr-00##", "snr-XXXX", "snr-xxx", "snr-[0-9]{4}")),
        *((each, SEVERAL) for each in ("snr-1;snr-2", "snr-1|pump", "snr-1, snr-2", "snr-1,pump-22", "snr-1,2,3")),
        *((each, SEVERAL) for each in ("snr-1 snr-2", "snr-1 / snr-22", "snr-1 & snr-2", "snr-1 to snr-9")),
        *(
            (each, SEVERAL)
            for each in ("snr-0001..snr-0009", "snr-1..9", "snr-0001-snr-0009", "snr-1 - snr-9", "snr-{1..9}")
        ),
        ("AA:BB:CC:00:00:0A AA:BB:CC:00:00:1B", SEVERAL),
        ("352099001761481 352099001761499", SEVERAL),
        ("snr-00…", CUT_OFF),
        ("snr-00...", CUT_OFF),
        ("snr-1;", CUT_OFF),
        ("snr\u20101", "U+2010 (HYPHEN) in place of a hyphen"),
        ("snr\u20111", "U+2011 (NON-BREAKING HYPHEN) in place of a hyphen"),
        ("snr\u22121", "U+2212 (MINUS SIGN) in place of a hyphen"),
        ("snr\u20131", "U+2013 (EN DASH) in place of a hyphen"),
        ("snr-\uff11", "U+FF11 (FULLWIDTH DIGIT ONE), which stands for a plainer character"),
        ("\ufb01lter-1", "U+FB01 (LATIN SMALL LIGATURE FI), which stands for a plainer character"),
        ("cafe\u0301 5", "accents apart (not Unicode's form NFC)"),
        ("\u0455nr-1", "U+0455 (CYRILLIC SMALL LETTER DZE) among Latin letters"),
    ],
)
def test_a_name_that_is_probably_a_slip_is_taken_as_it_is_and_told(name: str, told: str) -> None:
    message = doubt(name)
    assert message is not None
    assert told in message
    text = f'common_name\n"{name}"\n'
    assert read_list(text.encode(), "f") == (ListRow(common_name=name),)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "snr-1",
            "café №5",
            "Halle 3 \u2013 Nord",
            "Hall 1 Unit 2",
            "line/3 cell/4",
            "µSensor",
            "ΔT-sensor 1",
            "m² 1",
        ),
        *(
            "Насос pump-1",
            "Насос",
            "sensor™ 2",
            "½ pump",
            "ABC Corp, Unit 5",
            "Acme, Inc.",
            "R&D 5",
            "50% duty",
            "10 20",
        ),
        *(
            "Max Xxavier",
            "\u30dd\u30f3\u30d7\uff11",
            "pump [north]",
            "sensor 1 (2)",
            "A+B",
            "C# box 1",
            "a1-a2",
            "$5 box",
        ),
        *("ou/snr-1", "snr-1.plant.example", "Zoë's 3", "2026-01-01 12:00", "AA:BB:CC:00:00:01"),
    ],
)
def test_a_name_as_certificates_have_them_is_not_doubted(name: str) -> None:
    assert doubt(name) is None


@pytest.mark.parametrize("last", ["TOPLAM", "TOTALE", "Insgesamt:", "TOPLAM 5", "Итого: 5"])
def test_a_total_is_known_by_its_shape_in_any_language(last: str) -> None:
    names = Names()
    assert [names.doubt(ListRow(common_name=f"snr-{number}")) for number in range(5)] == [None] * 5
    found = names.doubt(ListRow(common_name=last))
    assert found is not None
    assert "is it a total" in found.message


@pytest.mark.parametrize("last", ["Pumpe", "Sensor 12"])
def test_a_word_or_a_number_among_names_like_it_is_no_total(last: str) -> None:
    names = Names()
    for each in ("Ventil", "snr-1", "snr-2", "snr-3"):
        assert names.doubt(ListRow(common_name=each)) is None
    assert names.doubt(ListRow(common_name=last)) is None
