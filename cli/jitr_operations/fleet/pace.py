"""How fast a command that goes through a fleet may ask AWS IoT, so that newcomers are not kept waiting by it."""

import time
from collections.abc import Mapping

from jitr.aws.pacing import Pace
from jitr.aws.quotas import Quotas
from jitr_operations.deployment import Deployment

# Registration keeps its calls to its share of the quotas; whoever goes through the fleet takes half as much, as one of
# two who ask at once.
_ASKING_AT_ONCE = 2


def pace_of(deployment: Deployment) -> Pace:
    """Return a pace for one command: half of what the stack's own parameters allow registration."""
    return Pace(quotas_in(_parameters(deployment)), time.monotonic, time.sleep)


def quotas_in(parameters: Mapping[str, str]) -> Quotas:
    """Return the quotas in a stack's parameters; those of an account that never asked for more where they are not."""
    usual = Quotas()

    def number(name: str, otherwise: float) -> float:
        text = parameters.get(name, "")
        return float(text) if text.isdecimal() and int(text) > 0 else otherwise

    return Quotas(
        certificates=number("CertificateQuota", usual.certificates),
        policies=number("PolicyQuota", usual.policies),
        things=number("ThingQuota", usual.things),
        share=number("QuotaShare", usual.share * 100) / 100,
        environments=_ASKING_AT_ONCE,
        ocsp=number("OcspPerSecond", usual.ocsp),
    )


def _parameters(deployment: Deployment) -> dict[str, str]:
    stacks = deployment.client("cloudformation").describe_stacks(StackName=deployment.stack_name)["Stacks"]
    return {each["ParameterKey"]: each.get("ParameterValue", "") for each in stacks[0].get("Parameters", [])}
