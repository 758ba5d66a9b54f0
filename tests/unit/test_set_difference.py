"""The difference of two sets: told exactly while there are not too many, and never told wrong."""

import json
from random import Random

import pytest

from jitr.fleet.missing import CERTIFICATE, Missing, iot_policy
from jitr.fleet.set_difference import MOST, SIZE, SetDifference


@pytest.mark.parametrize("differing", [0, 1, 50, MOST])
def test_what_only_one_of_two_sets_has_is_told_exactly(differing: int) -> None:
    """In whatever order and parts they are gone through, and kept in between."""
    rng = Random(differing)
    both = [rng.randbytes(SIZE) for _ in range(1_000)]
    ours, theirs = (
        [rng.randbytes(SIZE) for _ in range(number)] for number in (differing - differing // 3, differing // 3)
    )
    parts = [SetDifference() for _ in range(3)]
    signed = [(each, 1) for each in (*both, *ours)] + [(each, -1) for each in (*both, *theirs)]
    rng.shuffle(signed)
    for each, sign in signed:
        rng.choice(parts).put(each, sign)
    whole = SetDifference()
    for part in parts:
        whole = SetDifference.from_bytes(whole.to_bytes())
        whole.add(part)
    assert whole.told() == dict.fromkeys(ours, 1) | dict.fromkeys(theirs, -1)
    assert whole.is_empty == (differing == 0)


@pytest.mark.parametrize("differing", [MOST * 2, 20_000])
def test_of_too_many_differences_none_is_told(differing: int) -> None:
    difference, rng = SetDifference(), Random(differing)
    for _ in range(differing):
        difference.put(rng.randbytes(SIZE), 1)
    assert difference.told() is None


def test_as_many_differences_as_promised_are_told_almost_always() -> None:
    rng = Random(17)
    for _ in range(30):
        difference = SetDifference()
        for _ in range(MOST):
            difference.put(rng.randbytes(SIZE), 1)
        assert difference.told() is not None


def test_an_element_that_was_put_in_twice_ends_in_no_wrong_answer() -> None:
    difference = SetDifference()
    for element in (bytes(SIZE), bytes(SIZE), b"\1" * SIZE):
        difference.put(element, 1)
    assert difference.told() is None


def test_what_is_kept_of_any_number_of_devices_has_one_size() -> None:
    missing, rng = Missing(), Random(3)
    for _ in range(5_000):
        missing.expect(rng.randbytes(32).hex(), CERTIFICATE)
    assert len(missing.to_json()["cells"]) == len(_one().to_json()["cells"]) < 54_000


def _one() -> Missing:
    missing = Missing()
    missing.expect("ab" * 32, CERTIFICATE)
    return missing


def test_devices_lack_what_was_expected_and_not_found_and_not_what_was_found_and_not_expected() -> None:
    missing = _one()
    missing.expect("ab" * 32, iot_policy("Sensor"))
    missing.expect("cd" * 32, iot_policy("Sensor"))
    missing.find("cd" * 32, iot_policy("Sensor"))
    missing.find("ef" * 32, iot_policy("Other"))
    kept = Missing.from_json(missing.to_json())
    assert kept.by_device() == {"ab" * 32: {CERTIFICATE, iot_policy("Sensor")}}
    assert kept.not_expected() == {"ef" * 32: {iot_policy("Other")}}
    assert (kept.certificates, kept.of_grants) == (1, 1)
    json.dumps(kept.to_json()["balance"])
