"""What of a device AWS IoT can put into an IoT policy, and what must not stand in it.

A policy such as ``topic/${iot:Certificate.Subject.CommonName}/*`` is as narrow as the value is plain: a device called
``snr-0001/commands`` has topics of ``snr-0001``. Nothing here knows the text of the policies that a grant names, so
every value that could be put into one is looked at, unless the grant says under ``not_in_policies`` that none of them
uses it.

The variables are those of the AWS IoT Core Developer Guide, "X.509 Certificate AWS IoT Core policy variables" and
"Thing policy variables". Not looked at, because nothing of a device or a list can stand in them: thing names, thing
types and certificate ids (their alphabets have none of the characters), serial numbers (decimal) and IP addresses.
``iot:ClientId`` is what the device says when it connects: the policy's own ``iot:Connect`` has to bind it.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from jitr.facts import Knock
from jitr.reasons import Reason
from jitr.text import cut
from jitr.unseen import quote

# A slash ends a topic's level; + and # are wildcards to whoever subscribes; * and ? are wildcards of IoT policies, and
# $ begins a variable, or a topic of AWS IoT's own. AWS IoT leaves a variable unreplaced where a certificate's value
# has one of these but the slash; others that evaluate such policies need not.
_STEERING = re.compile(r"[/+#*?$]")

_SUBJECT = {
    "common_name": "CommonName",
    "country": "Country",
    "organization": "Organization",
    "organizational_unit": "OrganizationalUnit",
    "state": "State",
    "subject_serial_number": "SerialNumber",
    "distinguished_name_qualifier": "DistinguishedNameQualifier",
    "title": "Title",
    "surname": "Surname",
    "given_name": "GivenName",
    "initials": "Initials",
    "pseudonym": "Pseudonym",
    "generation_qualifier": "GenerationQualifier",
}
_ALTERNATIVE = {
    "dns": "DNSName",
    "email": "RFC822Name",
    "uri": "UniformResourceIdentifier",
    "directory": "DirectoryName",
}

ATTRIBUTES = "attributes."  # and the name of a thing's attribute

# By the name under which `not_in_policies` knows it: AWS's name of the variable.
VARIABLES: Mapping[str, str] = {
    **{name: f"iot:Certificate.Subject.{aws}" for name, aws in _SUBJECT.items()},
    **{
        f"alternative_names.{kind}": f"iot:Certificate.Subject.AlternativeName.{aws}"
        for kind, aws in _ALTERNATIVE.items()
    },
    **{
        f"issuer_alternative_names.{kind}": f"iot:Certificate.Issuer.AlternativeName.{aws}"
        for kind, aws in _ALTERNATIVE.items()
    },
}


def variable(name: str) -> str:
    """Return AWS's name of the variable that ``not_in_policies`` calls ``name``."""
    if name.startswith(ATTRIBUTES):
        return f"iot:Connection.Thing.Attributes[{name.removeprefix(ATTRIBUTES)}]"
    return VARIABLES[name]


def steering(knock: Knock, filled: Mapping[str, Sequence[str]], spared: Collection[str]) -> Iterator[Reason]:
    """Yield a reason for each value that would steer a policy it is put into, but for those of ``spared``.

    ``filled`` has, for each attribute of the thing, what templates put into it; the rest of the attribute is the
    rule's own text.
    """
    certificate = knock.certificate
    values = [(each.name, each.value) for each in certificate.subject]
    values += [(f"alternative_names.{each.kind}", each.value) for each in certificate.alternative_names]
    values += [(f"issuer_alternative_names.{each.kind}", each.value) for each in certificate.issuer_alternative_names]
    values += [(f"{ATTRIBUTES}{name}", each) for name, pieces in filled.items() for each in pieces]
    for name, value in values:
        found = _STEERING.search(value)
        if found is not None and _is_variable(name) and name not in spared:
            message = (
                f"{name} is {short(value)}, and {found[0]} has a meaning in topics and IoT policies; if no IoT policy "
                f"of the device uses ${{{variable(name)}}}, say `not_in_policies: {name}` in the grant"
            )
            yield Reason("grant.policy-variable", message)
    yield from _issuer(knock)


def _is_variable(name: str) -> bool:
    return name in VARIABLES or name.startswith(ATTRIBUTES)


def _issuer(knock: Knock) -> Iterator[Reason]:
    """Issuer attributes are the registered CA's own words, which its owner knows; others may only look like them.

    Names are compared without case and by compatibility forms (RFC 5280 section 7.1), policies character by character.
    """
    suspect = [each for each in knock.certificate.issuer if _STEERING.search(each.value) and each.name in _SUBJECT]
    own = {(each.name, each.value) for each in knock.ca.subject} if suspect and knock.ca is not None else set()
    for each in suspect:
        if (each.name, each.value) not in own:
            message = f"the issuer's {each.name} is {short(each.value)}, which the CA's certificate spells otherwise"
            yield Reason("grant.policy-variable", message)


def short(text: str) -> str:
    """Return a text in quotes, cut where it is long."""
    return quote(cut(text, 160))
