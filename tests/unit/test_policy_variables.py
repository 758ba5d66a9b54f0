"""What AWS IoT can put into an IoT policy has nothing in it that would steer one, whichever variable it is."""

from dataclasses import replace

import pytest
from cryptography import x509
from testkit import pki
from testkit.knocks import allow, ca_facts, codes, decided, knock, rules

from jitr.decision.chain import verify_chain
from jitr.decision.decide import Decision, decide
from jitr.devicelists.rows import ListRow
from jitr.facts import AlternativeName, Attribute, Knock
from jitr.reasons import Verdict
from jitr.rules.model import Grant, load
from jitr.rules.policy_variables import VARIABLES, variable
from jitr.x509.certificate import read_ca, read_certificate

NAME = ("common_name", "snr-0001")
PLAIN = Grant(iot_policies=("Sensor",))

# AWS IoT Core Developer Guide, "X.509 Certificate AWS IoT Core policy variables", as it stood in 2026.
AWS = [
    *(
        f"iot:Certificate.Subject.{name}"
        for name in (
            "DistinguishedNameQualifier",
            "Country",
            "Organization",
            "OrganizationalUnit",
            "State",
            "CommonName",
            "SerialNumber",
            "Title",
            "Surname",
            "GivenName",
            "Initials",
            "Pseudonym",
            "GenerationQualifier",
        )
    ),
    *(
        f"iot:Certificate.{whose}.AlternativeName.{name}"
        for whose in ("Subject", "Issuer")
        for name in ("RFC822Name", "DNSName", "DirectoryName", "UniformResourceIdentifier")
    ),
]


def device(name: str, value: str) -> Knock:
    """A device that has such a value, where ``not_in_policies`` says it is."""
    if name.startswith("alternative_names."):
        return knock(alternative_names=(AlternativeName(name.partition(".")[2], value),))
    if name.startswith("issuer_alternative_names."):
        return knock(issuer_alternative_names=(AlternativeName(name.partition(".")[2], value),))
    return knock(subject=tuple(dict([NAME, (name, value)]).items()))


def under(grant: Grant, who: Knock, row: ListRow | None = None) -> Decision:
    lists = ("line-a",) if row else ()
    given = {"line-a": [row]} if row else {}
    return decided(who, rules(allow(grant=grant, ca="factory-a", lists=lists)), given)


def test_every_variable_that_aws_makes_of_a_certificate_and_a_device_could_fill_is_known() -> None:
    assert sorted(VARIABLES.values()) == sorted(AWS)


@pytest.mark.parametrize("character", list("/+#*?$"))
@pytest.mark.parametrize("name", VARIABLES)
def test_a_value_that_would_steer_an_iot_policy_holds_its_device(name: str, character: str) -> None:
    decision = under(PLAIN, device(name, f"snr-0002{character}commands"))
    assert (decision.verdict, codes(decision)) == (Verdict.HOLD, ["grant.policy-variable"])
    told = decision.reasons[0].message
    assert f"{name} is " in told
    assert f"${{{VARIABLES[name]}}}" in told
    assert f"`not_in_policies: {name}`" in told


@pytest.mark.parametrize("name", VARIABLES)
def test_a_grant_says_in_so_many_words_which_values_its_iot_policies_do_not_use(name: str) -> None:
    spared = replace(PLAIN, not_in_policies=(name,))
    assert under(spared, device(name, "OKIDA / Ulm *")).verdict is Verdict.ADMIT
    another = "title" if name != "title" else "state"
    assert under(replace(PLAIN, not_in_policies=(another,)), device(name, "a/b")).verdict is Verdict.HOLD


def test_every_value_of_an_attribute_counts() -> None:
    """Policies reach the others by an index: ``${iot:Certificate.Subject.OrganizationalUnit.1}``."""
    twice = knock(subject=(NAME, ("organizational_unit", "line"), ("organizational_unit", "line/x")))
    assert codes(under(PLAIN, twice)) == ["grant.policy-variable"]


@pytest.mark.parametrize("name", ["locality", "user_id", "domain_component", "email_address", "2.5.4.9"])
def test_attributes_that_no_variable_has_may_have_any_character(name: str) -> None:
    assert under(PLAIN, device(name, "https://a.example/*")).verdict is Verdict.ADMIT


@pytest.mark.parametrize("value", ["3/4", "#"])
def test_what_a_list_row_puts_into_a_thing_s_attribute_holds_the_device_as_well(value: str) -> None:
    """``${iot:Connection.Thing.Attributes[hall]}``: whoever edits lists does not say what policies allow."""
    row = ListRow(common_name="snr-0001", attributes={"hall": value})
    grant = replace(PLAIN, thing="{common_name}", attributes={"hall": "hall-{attr.hall}"})
    decision = under(grant, knock(), row)
    assert codes(decision) == ["grant.policy-variable"]
    assert "${iot:Connection.Thing.Attributes[hall]}" in decision.reasons[0].message
    spared = replace(grant, not_in_policies=("attributes.hall",))
    admitted = under(spared, knock(), row)
    assert admitted.grant is not None
    assert admitted.grant.attributes == {"hall": f"hall-{value}"}


def test_the_rule_s_own_text_in_an_attribute_is_the_owner_s() -> None:
    grant = replace(PLAIN, thing="{common_name}", attributes={"site": "eu/north/{common_name}"})
    assert under(grant, knock()).verdict is Verdict.ADMIT


def test_issuer_attributes_are_as_the_registered_ca_spells_them() -> None:
    """Names are compared by compatibility forms (RFC 5280 section 7.1): there a full-width slash equals a slash."""
    own, alike = Attribute("common_name", "Plant 1\uff0fx"), Attribute("common_name", "Plant 1/x")
    assert codes(under(PLAIN, knock(ca=ca_facts(subject=(own,)), issuer=(alike,)))) == ["grant.policy-variable"]
    assert under(PLAIN, knock(ca=ca_facts(subject=(alike,)), issuer=(alike,))).verdict is Verdict.ADMIT


def test_a_certificate_with_hostile_alternative_names_is_held_as_it_is_read() -> None:
    factory = pki.ca("Factory A")
    uri, email = x509.UniformResourceIdentifier("urn:snr-0002/commands"), x509.RFC822Name("a+b@a.example")
    named = factory.usual_device("snr-0001").alternative_names(uri).issuer_alternative_names(email).issue()
    reading, ca = read_certificate(named.der), read_ca(factory.pem, status="ACTIVE")
    who = Knock(reading.facts, factory.id, ca.facts, verify_chain(reading, ca), frozenset({"factory-a"}))
    decision = decide(who, rules(allow(grant=PLAIN)), {}, pki.NOW, pki.NOW)
    assert codes(decision) == ["grant.policy-variable", "grant.policy-variable"]
    told = " ".join(each.message for each in decision.reasons)
    assert "alternative_names.uri is 'urn:snr-0002/commands'" in told
    assert "issuer_alternative_names.email is 'a+b@a.example'" in told


def test_rules_that_spare_nothing_are_compiled_as_before() -> None:
    """Their digest and meaning stay: an update decides nobody again and publishes nothing anew."""
    without, spared = rules(allow(grant=PLAIN)), rules(allow(grant=replace(PLAIN, not_in_policies=("title",))))
    assert b"not_in_policies" not in without.compiled
    assert load(spared.compiled).allow[0].grant.not_in_policies == ("title",)
    assert without.meaning != spared.meaning


def test_a_thing_s_attribute_has_its_variable() -> None:
    assert variable("attributes.hall") == "iot:Connection.Thing.Attributes[hall]"
