"""A bucket that people upload rules and lists to, and the function that answers."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

from jitr.devicelists.rows import ListRow
from jitr.records.upload import UploadVerdict, read_record
from jitr.services.lists.device_lists import DeviceLists
from jitr.services.lists.list_import import Imports
from jitr.services.publishing.uploads import UploadHandler
from jitr.times import rfc3339
from testkit import pki
from testkit.aws.world import World

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BUCKET = "configuration"
RULES = """\
format: 1
cas:
  factory-a: {ids: ["%s"]}
allow:
  - name: line-a
    ca: factory-a
    grant: {thing: "{common_name}", iot_policies: [Sensor]}
"""


@dataclass
class Bucket:
    """A bucket that people upload files to, and the function that answers."""

    world: World
    s3: "S3Client"
    told: list[UploadVerdict] = field(default_factory=list)
    hurry: Callable[[], bool] = lambda: False
    late: Callable[[], bool] = lambda: False
    clock: Callable[[], datetime] | None = None

    def upload(self, key: str, text: str | bytes, **metadata: str) -> dict[str, Any]:
        """Put an object in; what S3 tells of it."""
        body = text if isinstance(text, bytes) else text.encode()
        done = self.s3.put_object(Bucket=BUCKET, Key=key, Body=body, Metadata=metadata)
        thing = {"key": quote_plus(key), "versionId": done["VersionId"], "eTag": done["ETag"].strip('"'), "size": 1}
        return {
            "eventTime": "2026-03-01T12:00:00.000Z",
            "userIdentity": {"principalId": "AWS:AIDAFACTORY"},
            "s3": {"bucket": {"name": BUCKET}, "object": thing},
        }

    def uploads(self) -> UploadHandler:
        clock = self.clock or (lambda: self.world.now)
        return UploadHandler(
            s3=self.s3,
            iot=lambda: self.world.iot,
            table=self.world.table,
            imports=Imports(
                self.world.table,
                clock=lambda: rfc3339(self.world.now),
                token=lambda: secrets.token_hex(4),
                hurry=self.hurry,
                workers=1,
            ),
            clock=clock,
            told=self.told.append,
            late=self.late,
        )

    def answer(self, record: dict[str, Any], edition: str | None = None) -> UploadVerdict | None:
        return self.uploads().handle(read_record(record), edition)

    def put(self, key: str, text: str | bytes, **metadata: str) -> UploadVerdict | None:
        return self.answer(self.upload(key, text, **metadata))

    def read(self, key: str) -> str:
        return self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read().decode()

    def keys(self) -> set[str]:
        return {each["Key"] for each in self.s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])}

    def rows(self, name: str = "line-a") -> list[str]:
        return sorted(row.common_name or "" for row in self.list_rows(name))

    def list_rows(self, name: str = "line-a") -> list[ListRow]:
        lists = DeviceLists(self.world.table)
        there = lists.all()
        return list(lists.rows(name, there[name].head.generation)) if there else []


def listed(*numbers: int) -> str:
    return "common_name\n" + "".join(f"snr-{number}\n" for number in numbers)


FACTORY = pki.ca("Factory A")


def rules(bucket: Bucket, more: str = "") -> str:
    if not bucket.world.table.heads().version:
        bucket.world.register_ca(FACTORY)
    return RULES % FACTORY.id + more
