"""No function may do more than it needs: each permission of its role is taken away in turn, and something fails.

On a stack in use with IAM enforced, a role's policies are rewritten in place. The permissions come from the deployed
roles, not from a list here, so a new one is tried on its own. Whatever no situation below misses is a spare permission.

Not tried here: the roles that AWS IoT and the scheduler take, of one action each, which the local stack does not ask;
and that of the function that empties a stack to be deleted, which ``test_deployments`` uses.
"""

import hashlib
import itertools
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import pytest
from botocore.exceptions import ClientError
from testkit.stack.crls import crl
from testkit.stack.plant import Factory, Plant, PlantDevice, event, people, until

from jitr.times import parse_time
from jitr_local.stack import CHECKOUT, LocalStack

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(not os.environ.get("JITR_SOAK_PERMISSIONS"), reason="takes minutes: `make soak` runs it"),
]

# What the local stack does with rights of its own, so that nothing fails there; AWS does it in the role's name.
# AWS Lambda Developer Guide, "Using Lambda with Amazon SQS" and "with DynamoDB", "Sending function logs to CloudWatch".
BY_THE_SERVICE = {
    "TakeEvents.sqs:ReceiveMessage": "Lambda takes messages from the queue",
    "TakeEvents.sqs:DeleteMessage": "Lambda deletes what was handled",
    "TakeEvents.sqs:GetQueueAttributes": "Lambda looks whether the mapping's queue is fit for it",
    "TakeChanges.dynamodb:DescribeStream": "Lambda reads the table's stream",
    "TakeChanges.dynamodb:GetRecords": "Lambda reads the table's stream",
    "TakeChanges.dynamodb:GetShardIterator": "Lambda reads the table's stream",
    "FindTheStream.dynamodb:ListStreams": "Lambda finds the table's stream",
    "TellOfLostChanges.sqs:SendMessage": "Lambda sends what the function failed on for a day",
    "WriteLogs.logs:CreateLogStream": "Lambda writes the log",
    "WriteLogs.logs:PutLogEvents": "Lambda writes the log",
}

# Not to be tried here, and why.
ELSEWHERE = {
    "TellMissingFromDenied.s3:ListBucket": "without it S3 calls a missing object denied; the local stack does not",
    "HaveDevicesDecided.sqs:SendMessage": "AWS authorises SendMessageBatch so; the local stack by a name of its own",
    "ReadRevocationListsElsewhere.s3:GetObject": "for what CrlObjectArns names: nothing, where it is empty as here",
    "ListTheFleet.iot:ListCertificates": "for a check that misses more than it can tell: over 700 devices",
    "GoOnWhenTheTimeIsUp.lambda:InvokeFunction": "a list for which fifteen minutes are not enough",
}


@dataclass(frozen=True)
class Permission:
    """One action that one statement of a role allows."""

    role: str
    policy: str
    sid: str
    action: str

    def __str__(self) -> str:
        return f"{self.role}.{self.sid}.{self.action}"


class Roles:
    """The inline policies of the stack's roles, which can be had with less in them."""

    def __init__(self, stack: LocalStack) -> None:
        self._iam = stack.session().client("iam")
        self._names: dict[str, str] = {}
        self._documents: dict[tuple[str, str], dict[str, Any]] = {}
        self._away: set[Permission] = set()
        pages = stack.session().client("cloudformation").get_paginator("list_stack_resources")
        for page in pages.paginate(StackName=stack.stack_name):
            for each in page["StackResourceSummaries"]:
                if each["ResourceType"] == "AWS::IAM::Role":
                    self._names[each["LogicalResourceId"]] = each["PhysicalResourceId"]
        for role, name in self._names.items():
            for policy in self._iam.list_role_policies(RoleName=name)["PolicyNames"]:
                document = self._iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
                self._documents[role, policy] = dict(document)

    def permissions(self, role: str) -> list[Permission]:
        """Every single one that a role has."""
        return [
            Permission(role, policy, statement.get("Sid", ""), action)
            for (of, policy), document in self._documents.items()
            for statement in document["Statement"]
            for action in _listed(statement["Action"])
            if of == role
        ]

    @contextmanager
    def without(self, *permissions: Permission) -> Iterator[None]:
        """The role has all but these for a while, and all but those of a block around this one."""
        before = set(self._away)
        self._write(before | set(permissions))
        try:
            yield
        finally:
            self._write(before)

    def _write(self, away: set[Permission]) -> None:
        for role, policy in {(each.role, each.policy) for each in away ^ self._away}:
            document = json.loads(json.dumps(self._documents[role, policy]))
            for statement in document["Statement"]:
                gone = {each.action for each in away if (each.role, each.sid) == (role, statement.get("Sid", ""))}
                # What AWS asks for on one resource and MiniStack on another is one permission, given twice.
                if statement.get("Sid", "") == "OnlyOnTheLocalStack":
                    gone |= {each.action for each in away if each.role == role}
                statement["Action"] = [each for each in _listed(statement["Action"]) if each not in gone]
            document["Statement"] = [each for each in document["Statement"] if each["Action"]]
            named: Any = {"RoleName": self._names[role], "PolicyName": policy}
            if document["Statement"]:
                self._iam.put_role_policy(**named, PolicyDocument=json.dumps(document))
            else:
                self._iam.delete_role_policy(**named)
        self._away = away


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


@dataclass
class Site:
    """A stack whose functions are called by hand: nothing comes to them by itself."""

    plant: Plant
    roles: Roles
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @cached_property
    def factory(self) -> Factory:
        """The CA of all devices here."""
        return self.plant.factory("allowed")

    @cached_property
    def lambdas(self) -> Any:
        """Lambda, as the account's root user."""
        return self.plant.stack.session().client("lambda")

    @cached_property
    def s3(self) -> Any:
        """S3, as the account's root user."""
        return self.plant.stack.session().client("s3")

    @property
    def bucket(self) -> str:
        """The configuration bucket."""
        return self.plant.stack.outputs["ConfigurationBucketName"]

    def name(self) -> str:
        """A device's name that nobody has yet."""
        return f"allowed-{next(self._numbers)}"

    @cached_property
    def dynamodb(self) -> Any:
        """DynamoDB, as the account's root user."""
        return self.plant.stack.session().client("dynamodb")

    @contextmanager
    def by_hand(self) -> Iterator[None]:
        """Nothing reaches the functions by itself: no message, no change, no upload, no minute."""
        (rule,) = self.plant.iot.list_topic_rules()["rules"]
        mappings = [each["UUID"] for each in self.lambdas.list_event_source_mappings()["EventSourceMappings"]]
        notifications = self.s3.get_bucket_notification_configuration(Bucket=self.bucket)
        notifications.pop("ResponseMetadata")
        scheduler = self.plant.stack.session().client("scheduler")
        schedules = [
            scheduler.get_schedule(Name=each["Name"], GroupName=each["GroupName"])
            for each in scheduler.list_schedules()["Schedules"]
        ]
        kept = ("Name", "GroupName", "ScheduleExpression", "FlexibleTimeWindow", "Target")

        def switch(on: bool) -> None:
            (self.plant.iot.enable_topic_rule if on else self.plant.iot.disable_topic_rule)(ruleName=rule["ruleName"])
            for mapping in mappings:
                self.lambdas.update_event_source_mapping(UUID=mapping, Enabled=on)
            for each in schedules:
                same: dict[str, Any] = {name: each[name] for name in kept}
                scheduler.update_schedule(**same, State="ENABLED" if on else "DISABLED")
            told = notifications if on else {}
            self.s3.put_bucket_notification_configuration(Bucket=self.bucket, NotificationConfiguration=told)

        switch(False)
        outputs = self.plant.stack.outputs
        self.plant.mailbox("told", outputs["RefusalsTopicArn"])
        self.plant.mailbox("mails", people(self.plant.stack))
        try:
            yield
        finally:
            switch(True)

    def told(self, mailbox: str = "told") -> int:
        """How often something came from the topic for refusals, or from people's: ``mails``."""
        return waiting(self, self.plant.sqs.get_queue_url(QueueName=mailbox)["QueueUrl"])

    def fails_at(self, role: str) -> str | None:
        """The first situation that does not turn out well now; None if all do."""
        function = f"{role.removesuffix('Role')}Function"
        for situation in SITUATIONS[role]:
            self.restart(function)
            try:
                situation(self)
            except (AssertionError, ClientError):
                return situation.__name__
            finally:
                self.forget_leases()
        return None

    def forget_leases(self) -> None:
        """A pass or a digest that failed is somebody's for a while; here nobody waits for that."""
        table = self.plant.stack.outputs["TableName"]
        for kind in ("CHANGED", "EVERY"):
            self.dynamodb.delete_item(TableName=table, Key={"pk": {"S": "RECHECK"}, "sk": {"S": f"PASS#{kind}"}})
        self.dynamodb.delete_item(TableName=table, Key={"pk": {"S": "DIGEST"}, "sk": {"S": "DIGEST"}})

    def restart(self, function: str) -> None:
        """Have the function start anew, without what it keeps between invocations."""
        name = self.plant.stack.outputs[f"{function}Name"]
        variables = self.lambdas.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        told = variables | {"STARTED": str(next(self._numbers))}
        self.lambdas.update_function_configuration(FunctionName=name, Environment={"Variables": told})

    def call(self, function: str, event: Mapping[str, Any]) -> Any:
        """What a function answers; fails where it fails."""
        name = self.plant.stack.outputs[f"{function}Name"]
        answer = self.lambdas.invoke(FunctionName=name, Payload=json.dumps(event))
        told = json.loads(answer["Payload"].read() or b"null")
        assert "FunctionError" not in answer, told
        return told

    # --- devices

    def pending(self, name: str, folder: str = "") -> PlantDevice:
        """A device whose certificate is pending, and whose event is still to come."""
        out = self.plant.folder / folder
        out.mkdir(exist_ok=True)
        self.plant.jitr("device", "issue", name, "--ca", self.factory.ca, "--out-dir", out)
        made = self.plant.made(name, out / f"{name}.pem", out / f"{name}.key")
        self.plant.iot.register_certificate(
            certificatePem=made.device.certificate.read_text(),
            caCertificatePem=self.factory.ca.read_text(),
            status="INACTIVE",
        )
        # AWS IoT would not; here it stands for the first connection.
        self.plant.iot.update_certificate(certificateId=made.certificate_id, newStatus="PENDING_ACTIVATION")
        return made

    def knock(self, made: PlantDevice) -> Any:
        """The event of a device that knocks, handled. It is one message that comes again and again."""
        record = self.record(event(made.certificate_id, self.factory.id)) | {"messageId": f"of {made.certificate_id}"}
        return self.call("RegisterFunction", {"Records": [record]})

    def record(self, body: str, handle: str = "none", *, deliveries: int = 1) -> dict[str, Any]:
        """A message as Lambda brings it from the queue."""
        sent = {"ApproximateReceiveCount": str(deliveries), "SentTimestamp": str(int(time.time() * 1000))}
        return {"messageId": f"m-{next(self._numbers)}", "receiptHandle": handle, "body": body, "attributes": sent}

    def gets_in(self, made: PlantDevice) -> None:
        """The device knocks, and is in."""
        answer = self.knock(made)
        assert answer == {"batchItemFailures": []}
        assert self.plant.status(made) == "ACTIVE"

    # --- rules

    def publish(
        self,
        thing: str = "{common_name}",
        policy: str = "",
        crl_key: str = "",
        group: str = "allowed",
        existing: str = "adopt",
    ) -> None:
        """Put rules in force that ask for everything that rules can ask for."""
        where = f', crl: {{url: "s3://{self.bucket}/{crl_key}"}}' if crl_key else ""
        file = self.plant.folder / "admission.yaml"
        file.write_text(
            RULES.format(
                ca=self.factory.id,
                crl=where,
                thing=thing,
                group=group,
                existing=existing,
                policy=policy or self.plant.stack.outputs["DevicePolicyName"],
            )
        )
        self.plant.publish(file)


RULES = """\
format: 1
default: hold
cas:
  allowed: {{ids: ["{ca}"]{crl}}}
deny:
  - {{name: unwanted, list: unwanted}}
allow:
  - name: allowed
    ca: allowed
    common_name: "allowed-*"
    list: wanted
    max_devices: 100000
    grant:
      thing: "{thing}"
      thing_type: Allowed
      attributes: {{batch: "{{attr.batch}}"}}
      thing_groups: [{group}]
      iot_policies: ["{policy}"]
      renewal: replace
      existing: {existing}
"""


# --- what each function is for


def admits_with_all_that_a_grant_may_have(site: Site) -> None:
    made = site.pending(wanted(site, site.name()))
    site.gets_in(made)
    thing = site.plant.iot.describe_thing(thingName=made.device.name)
    assert (thing["thingTypeName"], thing["attributes"]["batch"]) == ("Allowed", "1")
    groups = site.plant.iot.list_thing_groups_for_thing(thingName=made.device.name)["thingGroups"]
    assert [each["groupName"] for each in groups] == ["allowed"]
    assert site.plant.iot.list_attached_policies(target=arn(site, made))["policies"]


def renews_with_other_attributes(site: Site) -> None:
    name = wanted(site, site.name())
    before = site.pending(name)
    site.gets_in(before)
    wanted(site, name, batch="2")
    after = site.pending(name, "renewed")
    site.gets_in(after)
    assert site.plant.status(before) == "INACTIVE"
    assert site.plant.iot.describe_thing(thingName=name)["attributes"]["batch"] == "2"


def takes_over_a_thing_that_was_made_elsewhere(site: Site) -> None:
    name = wanted(site, site.name())
    site.plant.iot.create_thing(thingName=name, thingTypeName="Allowed")
    site.gets_in(site.pending(name))


def takes_back_what_an_admission_that_was_cut_short_gave(site: Site) -> None:
    made = site.pending(wanted(site, site.name()))
    (last,) = [each for each in site.roles.permissions("RegisterRole") if each.action == "iot:UpdateCertificate"]
    with site.roles.without(last):
        assert site.knock(made)["batchItemFailures"]
    site.publish(thing="{common_name}-b", policy="other")
    try:
        site.gets_in(made)
    finally:
        site.publish()
    policies = site.plant.iot.list_attached_policies(target=arn(site, made))["policies"]
    assert [each["policyName"] for each in policies] == ["other"]
    assert site.plant.iot.list_principal_things(principal=arn(site, made))["things"] == [f"{made.device.name}-b"]


def takes_back_what_a_device_that_is_gone_was_granted(site: Site) -> None:
    """Of a name that an earlier version reserved, which did not write down what its thing was given."""
    name = wanted(site, site.name())
    before = site.pending(name)
    site.gets_in(before)
    site.plant.jitr("device", "delete", before.certificate_id, "--deactivate", "--yes")
    site.dynamodb.update_item(
        TableName=site.plant.stack.outputs["TableName"],
        Key={"pk": {"S": f"THING#{name}"}, "sk": {"S": "RESERVATION"}},
        UpdateExpression="REMOVE given",
    )
    site.publish(group="others", existing="hold")
    try:
        site.gets_in(site.pending(name, "next"))
    finally:
        site.publish()
    groups = site.plant.iot.list_thing_groups_for_thing(thingName=name)["thingGroups"]
    assert [each["groupName"] for each in groups] == ["others"]


def gives_name_and_place_back_when_an_admission_turns_into_a_rejection(site: Site) -> None:
    made = site.pending(wanted(site, site.name()))
    (last,) = [each for each in site.roles.permissions("RegisterRole") if each.action == "iot:UpdateCertificate"]
    with site.roles.without(last):
        assert site.knock(made)["batchItemFailures"]
    site.plant.jitr("lists", "add", "unwanted", f"common_name={made.device.name}")
    assert site.knock(made) == {"batchItemFailures": []}
    assert site.plant.status(made) == "INACTIVE"


def holds_counts_knocks_and_decides_again(site: Site) -> None:
    made = site.pending(site.name())
    for _knock in range(2):
        assert site.knock(made) == {"batchItemFailures": []}
    record = site.plant.record(made)
    assert record is not None
    assert record.counted_at is not None
    wanted(site, made.device.name)
    site.gets_in(made)


def settles_a_batch_at_a_glance(site: Site) -> None:
    made = site.pending(wanted(site, site.name()))
    site.gets_in(made)
    before = len(list(glances_missed(site)))
    body = event(made.certificate_id, site.factory.id)
    answer = site.call("RegisterFunction", {"Records": [site.record(body), site.record(body)]})
    assert answer == {"batchItemFailures": []}
    assert len(list(glances_missed(site))) == before


def asks_a_revocation_list(site: Site) -> None:
    key = f"crls/{site.name()}.crl"
    site.s3.put_object(Bucket=site.bucket, Key=key, Body=crl(site.factory, {}))
    site.publish(crl_key=key)
    try:
        site.gets_in(site.pending(wanted(site, site.name())))
    finally:
        site.publish()


def puts_poison_aside(site: Site) -> None:
    body = f"poison {site.name()}"
    assert site.call("RegisterFunction", {"Records": [site.record(body)]}) == {"batchItemFailures": []}
    assert body in {each["body"] for each in site.plant.json("failures", "ls")}


def puts_a_message_back_for_a_moment_only(site: Site) -> None:
    """Without, it would come back after the queue's own three minutes."""
    url = site.plant.stack.outputs["RegistrationQueueUrl"]
    body = event("ab" * 32, site.factory.id)
    site.plant.sqs.purge_queue(QueueUrl=url)
    site.plant.sqs.send_message(QueueUrl=url, MessageBody=body)
    (message,) = site.plant.sqs.receive_message(QueueUrl=url, WaitTimeSeconds=2)["Messages"]
    answer = site.call("RegisterFunction", {"Records": [site.record(body, message["ReceiptHandle"])]})
    assert answer["batchItemFailures"]
    try:
        again = site.plant.sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5).get("Messages", [])
        assert [each["Body"] for each in again] == [body]
    finally:
        site.plant.sqs.purge_queue(QueueUrl=url)


def has_a_held_device_decided_after(site: Site, event: Callable[[str], Mapping[str, Any]]) -> None:
    made = site.pending(site.name())
    assert site.knock(made) == {"batchItemFailures": []}
    wanted(site, made.device.name)
    url = site.plant.stack.outputs["RegistrationQueueUrl"]
    site.plant.sqs.purge_queue(QueueUrl=url)
    site.call("RecheckFunction", event(made.device.name))
    bodies: list[str] = []
    while found := site.plant.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
        bodies += [each["Body"] for each in found]
    assert any(made.certificate_id in each for each in bodies), "it was not put on the queue"


def rechecks_those_whose_row_was_edited(site: Site) -> None:
    def rows(name: str) -> Mapping[str, Any]:
        event: dict[str, Any] = json.loads((CHECKOUT / "events/recheck/rows.json").read_text())
        image = event["Records"][0]["dynamodb"]["NewImage"]
        image["list"], image["keys"]["L"][0]["L"][1] = {"S": "wanted"}, {"S": name}
        return event

    has_a_held_device_decided_after(site, rows)


def rechecks_those_that_a_change_of_the_rules_concerns(site: Site) -> None:
    event = json.loads((CHECKOUT / "events/recheck/rules.json").read_text())
    has_a_held_device_decided_after(site, lambda _name: event)


def rechecks_everybody(site: Site) -> None:
    has_a_held_device_decided_after(site, lambda _name: {"recheck": "every"})


def rechecks_those_that_are_due(site: Site) -> None:
    def due(_name: str) -> Mapping[str, Any]:
        (held,) = site.plant.json("held", "ls", "--limit", "1")
        site.dynamodb.update_item(
            TableName=site.plant.stack.outputs["TableName"],
            Key={"pk": {"S": f"CERTIFICATE#{held['certificate_id']}"}, "sk": {"S": "DECISION"}},
            UpdateExpression="SET due_at = :past",
            ExpressionAttributeValues={":past": {"S": "2020-01-01T00:00:00Z"}},
        )
        return {"recheck": "due"}

    has_a_held_device_decided_after(site, due)


def verdict(site: Site, key: str, text: str) -> str:
    """Upload a file and have it judged; what the verdict beside it says."""
    meant = {"jitr-confirm": "new-list,shrink"}
    version = site.s3.put_object(Bucket=site.bucket, Key=key, Body=text.encode(), Metadata=meant)["VersionId"]
    kind = "rules.json" if key.startswith("admission") else "list.json"
    event = json.loads((CHECKOUT / "events/publish" / kind).read_text())
    told = event["Records"][0]["s3"]
    told["bucket"] = {"name": site.bucket, "arn": f"arn:aws:s3:::{site.bucket}"}
    told["object"] |= {"key": key, "versionId": version, "size": len(text)}
    site.call("PublishFunction", event)
    beside = key.rsplit(".", 1)[0] + ".result.json"
    found = json.loads(site.s3.get_object(Bucket=site.bucket, Key=beside)["Body"].read())
    assert found["object"]["version"] == version
    outcome: str = found["outcome"]
    return outcome


def publishes_a_list_that_was_uploaded(site: Site) -> None:
    rows = "".join(f"uploaded-{number}-{site.name()}\n" for number in range(30))
    assert verdict(site, "lists/uploaded.csv", f"common_name\n{rows}") == "published"


def publishes_rules_that_were_uploaded_and_reads_the_certificate_that_they_name(site: Site) -> None:
    site.publish()
    rules = (site.plant.folder / "admission.yaml").read_text()
    site.s3.put_object(Bucket=site.bucket, Key="allowed.pem", Body=site.factory.ca.read_bytes())
    rules = rules.replace(f'{{ids: ["{site.factory.id}"]}}', "{certificate: allowed.pem}")
    changed = rules.replace("100000", str(100000 + int(site.name().rpartition("-")[2])))
    assert verdict(site, "admission.yaml", changed) == "published"


def tells_of_rules_that_it_refuses(site: Site) -> None:
    before = site.told()
    rules = (site.plant.folder / "admission.yaml").read_text()
    rules = rules.replace(f'{{ids: ["{site.factory.id}"]}}', "{certificate: missing.pem}")
    assert verdict(site, "admission.yaml", rules) == "refused"
    until(lambda: site.told() > before, "the topic tells of it", seconds=5)


def lets_go_of_what_no_reader_looks_at(site: Site) -> None:
    for _ in range(3):  # the last but one is kept, to be had back
        publishes_a_list_that_was_uploaded(site)
    site.call("PublishFunction", json.loads((CHECKOUT / "events/publish/tidy.json").read_text()))


def written(**item: Any) -> Mapping[str, Any]:
    """What the table's stream tells of an operator's act."""
    event: dict[str, Any] = json.loads((CHECKOUT / "events/notify/deactivated.json").read_text())
    stream = event["Records"][0]["dynamodb"]
    stream["NewImage"] |= item
    stream["ApproximateCreationDateTime"] = time.time()
    return event


def checks_the_fleet_by_a_revocation_list(site: Site) -> None:
    """With a device that is in a group, and one that an operator let in, which has no record and is read."""
    key = f"crls/{site.name()}.crl"
    site.s3.put_object(Bucket=site.bucket, Key=key, Body=crl(site.factory, {}))
    site.publish(crl_key=key)
    site.gets_in(site.pending(wanted(site, site.name())))
    name = site.name()
    site.plant.jitr("device", "issue", name, "--ca", site.factory.ca, "--out-dir", site.plant.folder)
    site.plant.jitr("device", "register", site.plant.folder / f"{name}.pem", "--without-iot-policy", "--activate")
    began = datetime.now(UTC).replace(microsecond=0)
    site.call("FleetFunction", {"fleet": "now"})
    last = site.plant.json("fleet", "last")
    assert parse_time(last["started_at"]) >= began, "no check was finished"
    assert not any(reason.startswith("revocation.") for reasons in last["counts"].values() for reason in reasons)


def tells_the_bus(site: Site) -> None:
    site.call("NotifyFunction", written())


def mails_a_digest_of_who_began_to_wait(site: Site) -> None:
    """The first of a kind does not wait for the others."""
    held: dict[str, Any] = json.loads((CHECKOUT / "events/notify/held.json").read_text())
    stream, name = held["Records"][0]["dynamodb"], site.name()
    certificate_id = hashlib.sha256(name.encode()).hexdigest()
    stream["NewImage"] |= {"certificate_id": {"S": certificate_id}, "pk": {"S": f"CERTIFICATE#{certificate_id}"}}
    stream["NewImage"]["reasons"]["L"][0]["M"]["code"] = {"S": name}
    stream["ApproximateCreationDateTime"] = time.time()
    before = site.told("mails")
    site.call("NotifyFunction", held)
    site.call("NotifyFunction", {"notify": "digest"})
    until(lambda: site.told("mails") > before, "a mail comes", seconds=5)


def puts_aside_what_cannot_be_told(site: Site) -> None:
    url = site.plant.stack.outputs["NotifyFailuresUrl"]
    before = waiting(site, url)
    site.call("NotifyFunction", written(acts={"L": [{"M": {}}]}))
    assert waiting(site, url) == before + 1


SITUATIONS: Mapping[str, tuple[Callable[[Site], None], ...]] = {
    "RegisterRole": (
        admits_with_all_that_a_grant_may_have,
        holds_counts_knocks_and_decides_again,
        renews_with_other_attributes,
        takes_over_a_thing_that_was_made_elsewhere,
        takes_back_what_an_admission_that_was_cut_short_gave,
        takes_back_what_a_device_that_is_gone_was_granted,
        gives_name_and_place_back_when_an_admission_turns_into_a_rejection,
        settles_a_batch_at_a_glance,
        asks_a_revocation_list,
        puts_poison_aside,
        puts_a_message_back_for_a_moment_only,
    ),
    "RecheckRole": (
        rechecks_those_whose_row_was_edited,
        rechecks_those_that_a_change_of_the_rules_concerns,
        rechecks_everybody,
        rechecks_those_that_are_due,
    ),
    "FleetRole": (checks_the_fleet_by_a_revocation_list,),
    "NotifyRole": (
        tells_the_bus,
        mails_a_digest_of_who_began_to_wait,
        puts_aside_what_cannot_be_told,
    ),
    "PublishRole": (
        publishes_a_list_that_was_uploaded,
        publishes_rules_that_were_uploaded_and_reads_the_certificate_that_they_name,
        tells_of_rules_that_it_refuses,
        lets_go_of_what_no_reader_looks_at,
    ),
}


def wanted(site: Site, name: str, batch: str = "1") -> str:
    """Put a device on the list; its name."""
    site.plant.jitr("lists", "add", "wanted", f"common_name={name}", f"attr.batch={batch}")
    return name


def arn(site: Site, made: PlantDevice) -> str:
    """The certificate's ARN."""
    found = site.plant.iot.describe_certificate(certificateId=made.certificate_id)["certificateDescription"]
    return found["certificateArn"]


def glances_missed(site: Site) -> Iterator[dict[str, Any]]:
    """What the function logged where a batch could not be looked at at once."""
    return (each for each in site.plant.log_lines() if each.get("message") == "no glance")


@pytest.fixture(scope="module")
def site(second_stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    plant = Plant(second_stack, tmp_path_factory.mktemp("permissions"))
    site = Site(plant, Roles(second_stack))
    with site.by_hand():
        plant.iot.create_thing_type(thingTypeName="Allowed")
        plant.iot.create_thing_group(thingGroupName="allowed")
        plant.iot.create_thing_group(thingGroupName="others")
        plant.iot.create_policy(policyName="other", policyDocument='{"Version": "2012-10-17", "Statement": []}')
        for name in ("wanted", "unwanted"):
            plant.jitr("lists", "add", name, "common_name=nobody")
        site.publish()
        yield site


@pytest.mark.parametrize(("role", "situation"), [(role, each) for role in SITUATIONS for each in SITUATIONS[role]])
def test_every_situation_is_as_it_should_be_with_all_permissions(
    site: Site, role: str, situation: Callable[[Site], None]
) -> None:
    assert site.roles.permissions(role)
    situation(site)


@pytest.mark.parametrize("role", SITUATIONS)
def test_something_fails_without_any_one_permission(site: Site, role: str) -> None:
    spare, counted = [], 0
    for permission in site.roles.permissions(role):
        if f"{permission.sid}.{permission.action}" in BY_THE_SERVICE | ELSEWHERE:
            continue
        counted += 1
        with site.roles.without(permission):
            missed = site.fails_at(role)
        print(f"{permission}: {missed or 'NOTHING FAILS'}")
        if missed is None:
            spare.append(str(permission))
    assert counted
    assert spare == []


def waiting(site: Site, url: str) -> int:
    """How many messages wait on a queue."""
    answer = site.plant.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
    return int(answer["Attributes"]["ApproximateNumberOfMessages"])


def test_each_exception_is_of_a_permission_that_there_is(site: Site) -> None:
    there = {f"{each.sid}.{each.action}" for role in SITUATIONS for each in site.roles.permissions(role)}
    assert there >= (BY_THE_SERVICE | ELSEWHERE).keys()
