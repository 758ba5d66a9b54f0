"""Drift: what AWS IoT has of a device, compared with its grant, and the steps that give back what is missing."""

from dataclasses import replace

from jitr.decision.plan import AddToGroup, AttachIotPolicy, AttachPrincipal, EnsureThing
from jitr.fleet.drift import DeviceFound, Drift, DriftKind, ThingFound, drifts, steps_back
from jitr.rules.model import Grant

GRANT = Grant(
    iot_policies=("Sensor", "Other"),
    thing="snr-1",
    thing_type="Sensor",
    attributes={"line": "a", "batch": ""},
    thing_groups=("line-a", "all"),
)
THING = ThingFound("Sensor", {"line": "a"}, frozenset({"line-a", "all"}))
AS_GRANTED = DeviceFound(frozenset({"Sensor", "Other"}), THING, attached=True)


def found(device: DeviceFound, grant: Grant = GRANT) -> list[tuple[str, str, str | None, str | None]]:
    return [(each.kind.value, each.name, each.granted, each.found) for each in drifts(grant, device)]


def test_what_is_as_granted_has_not_drifted() -> None:
    """One that was granted an empty attribute has none: AWS IoT keeps no empty values."""
    assert found(AS_GRANTED) == []


def test_iot_policies_beyond_the_grant_have_drifted_as_those_that_are_missing() -> None:
    assert found(replace(AS_GRANTED, iot_policies=frozenset({"Sensor", "Admin"}))) == [
        ("iot_policy", "Other", "Other", None),
        ("iot_policy", "Admin", None, "Admin"),
    ]


def test_groups_and_attributes_that_others_gave_have_not_drifted() -> None:
    more = ThingFound("Sensor", {"line": "a", "owner": "x"}, frozenset({"line-a", "all", "beta"}))
    assert found(replace(AS_GRANTED, thing=more)) == []
    assert found(replace(AS_GRANTED, thing=more), replace(GRANT, thing_type=None)) == []


def test_every_part_of_a_thing_that_is_not_as_granted_is_told() -> None:
    other = ThingFound("Valve", {"line": "b", "batch": "7"}, frozenset({"all"}))
    assert found(replace(AS_GRANTED, thing=other, attached=False)) == [
        ("attachment", "snr-1", "snr-1", None),
        ("thing_type", "Sensor", "Sensor", "Valve"),
        ("attribute", "line", "a", "b"),
        ("attribute", "batch", "", "7"),
        ("thing_group", "line-a", "line-a", None),
    ]


def test_a_thing_that_is_gone_is_told_once() -> None:
    assert found(replace(AS_GRANTED, thing=None)) == [("thing", "snr-1", "snr-1", None)]


def test_of_a_thing_that_follows_a_later_grant_only_the_attachment_is_compared() -> None:
    other = ThingFound("Valve", {}, frozenset())
    assert found(replace(AS_GRANTED, thing=other, shared=True)) == []
    assert [kind for kind, *_ in found(replace(AS_GRANTED, thing=other, shared=True, attached=False))] == ["attachment"]


def test_a_grant_without_a_thing_looks_for_none() -> None:
    alone = Grant(iot_policies=("Sensor",))
    assert found(DeviceFound(frozenset({"Sensor"})), alone) == []


def test_the_steps_back_give_what_is_missing_and_take_nothing_away() -> None:
    other = ThingFound("Sensor", {"line": "b"}, frozenset({"all"}))
    device = DeviceFound(frozenset({"Sensor", "Admin"}), other, attached=False)
    assert steps_back(GRANT, drifts(GRANT, device)) == (
        EnsureThing("snr-1", "Sensor", {"line": "a", "batch": ""}),
        AttachPrincipal("snr-1"),
        AddToGroup("line-a", "snr-1"),
        AttachIotPolicy("Other"),
    )
    beyond = Drift(DriftKind.IOT_POLICY, "Admin", None, "Admin")
    assert steps_back(GRANT, [beyond]) == ()


def test_a_thing_that_is_made_anew_is_given_all_of_its_grant() -> None:
    assert steps_back(GRANT, drifts(GRANT, replace(AS_GRANTED, thing=None))) == (
        EnsureThing("snr-1", "Sensor", {"line": "a", "batch": ""}),
        AttachPrincipal("snr-1"),
        AddToGroup("line-a", "snr-1"),
        AddToGroup("all", "snr-1"),
    )


def test_a_certificate_apart_from_its_thing_is_told_as_not_attached() -> None:
    [apart] = drifts(Grant(iot_policies=(), thing="snr-1"), DeviceFound(frozenset(), ThingFound(), attached=False))
    assert apart.told == "certificate is not attached to its thing snr-1"


def test_drift_is_told_in_words() -> None:
    device = DeviceFound(frozenset({"Sensor", "Admin"}), ThingFound("Valve", {"line": "b"}, frozenset({"all"})))
    assert [each.told for each in drifts(GRANT, device)] == [
        "thing type is Valve, granted was Sensor",
        "attribute line is b, granted was a",
        "thing group line-a is missing",
        "IoT policy Other is missing",
        "IoT policy Admin is beyond the grant",
    ]
