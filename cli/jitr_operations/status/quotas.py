"""Whether the stack paces its calls by the quotas that the account really has."""

from collections.abc import Mapping
from typing import Any

from jitr_operations.deployment import Deployment

# Parameters of the template, and the operations of AWS IoT whose quotas they are: the least counts.
OPERATIONS = {
    "CertificateQuota": ("DescribeCertificate", "UpdateCertificate"),
    "PolicyQuota": ("AttachPolicy",),
    "ThingQuota": ("CreateThing", "AttachThingPrincipal", "AddThingToThingGroup"),
}
_SERVICE = "iotcore"  # AWS IoT Core, for Service Quotas


def quotas(deployment: Deployment) -> list[dict[str, Any]] | None:
    """Return each parameter with the quota that Service Quotas shows; None where that may not or cannot be asked.

    Quotas are named after their operations, as in "UpdateCertificate API transactions per second"; what Service Quotas
    does not show is left out.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        shown = _shown(deployment)
        stacks = deployment.client("cloudformation").describe_stacks(StackName=deployment.stack_name)["Stacks"]
    except (ClientError, BotoCoreError):
        return None
    given = {each["ParameterKey"]: each["ParameterValue"] for each in stacks[0].get("Parameters", [])}
    found = []
    for parameter, operations in OPERATIONS.items():
        values = [shown[each] for each in operations if each in shown]
        if values and given.get(parameter, "").isdecimal():
            found.append({"parameter": parameter, "is": int(given[parameter]), "quota": int(min(values))})
    return found


def _shown(deployment: Deployment) -> Mapping[str, float]:
    """Return the quotas of AWS IoT's operations, by operation."""
    wanted = {each for operations in OPERATIONS.values() for each in operations}
    found: dict[str, float] = {}
    pages = deployment.client("service-quotas").get_paginator("list_service_quotas").paginate(ServiceCode=_SERVICE)
    for page in pages:
        for each in page["Quotas"]:
            for operation in wanted.intersection(each["QuotaName"].replace(",", " ").split()):
                found[operation] = min(each["Value"], found.get(operation, each["Value"]))
    return found
