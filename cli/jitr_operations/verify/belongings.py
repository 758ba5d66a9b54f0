"""What a verification makes in AWS IoT, known by a tag on its CA, and taken away again."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from jitr.aws.dynamodb.table import Table
from jitr.errors import Refused
from jitr_operations import telling
from jitr_operations.cas.registry import all_ca_ids, described
from jitr_operations.devices import deletion
from jitr_operations.devices.registry import Registry, is_missing

if TYPE_CHECKING:
    from mypy_boto3_iot import IoTClient

TAG = "jitr-verify"
PREFIX = "jitr-verify-"


@dataclass(frozen=True, slots=True)
class Belongings:
    """The belongings of one run, or of all: CAs with the tag, the devices under them, IoT policies with the prefix."""

    iot: "IoTClient"
    table: Table | None  # where decisions on the devices are; None where that is gone, or goes with its stack

    def cas(self, run: str | None = None) -> Iterator[str]:
        """Yield the ids of CAs that a run made, or any run."""
        for ca_id in all_ca_ids(self.iot):
            ca = described(self.iot, ca_id)
            if ca is None:
                continue
            tags = self.iot.list_tags_for_resource(resourceArn=ca.arn).get("tags", [])
            if any(each["Key"] == TAG and run in (None, each.get("Value")) for each in tags):
                yield ca_id

    def clean(self, run: str | None = None) -> list[str]:
        """Take all of it away, and return what could not be. Nothing without the tag or the prefix is touched."""
        left = []
        for ca_id in list(self.cas(run)):
            left += self._clean_ca(ca_id)
        name_of_ours = re.compile(f"{PREFIX}{run or '[0-9a-f]{8}'}")  # a stack's own has more after it
        for page in self.iot.get_paginator("list_policies").paginate():
            for policy in page["policies"]:
                name = policy["policyName"]
                if name_of_ours.fullmatch(name):
                    left += tried(f"IoT policy {name}", partial(self.iot.delete_policy, policyName=name))
        return left

    def _clean_ca(self, ca_id: str) -> list[str]:
        registry, left = Registry(self.iot), []
        for each in list(registry.all(ca_id)):
            left += tried(f"certificate {each.id[:12]}", partial(self._clean_device, registry, each.id))
        if not left:
            self.iot.update_ca_certificate(certificateId=ca_id, newStatus="INACTIVE")
            left += tried(f"CA {ca_id[:12]}", lambda: self.iot.delete_ca_certificate(certificateId=ca_id))
        return left

    def _clean_device(self, registry: Registry, certificate_id: str) -> None:
        deletion.delete(self.iot, self.table, deletion.look(registry, self.table, certificate_id), with_thing=True)


def tried(what: str, take_away: Callable[[], object]) -> list[str]:
    """Take something away; return its name where that could not be done, and tell why."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        take_away()
    except (ClientError, BotoCoreError, Refused) as problem:
        if is_missing(problem):
            return []
        telling.warn(f"{what} could not be taken away: {problem}")
        return [what]
    return []
