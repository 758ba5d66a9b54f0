"""AWS IoT, DynamoDB and SQS held in memory, for tests that run thousands of histories.

What moto does in milliseconds these do in microseconds, so a search through histories fits into a test run. They
speak as boto3's clients do (keyword arguments in, dictionaries and ClientError out, the events ``before-call`` and
``after-call`` around each call), and only what the register function and its tests say. What they do not know they
refuse loudly. ``test_model.py`` runs the same histories on moto, so that the two are known to agree.
"""

import hashlib
import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from types import SimpleNamespace
from typing import Any, cast

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError
from botocore.hooks import HierarchicalEmitter

from jitr.aws.dynamodb.table import Table
from testkit import pki
from testkit.aws.world import Calls, World, listening

ARN = "arn:aws:iot:eu-central-1:123456789012"

_BY_PARTITION = "#partition = :partition"

_serialize = TypeSerializer().serialize
_deserialize = TypeDeserializer().deserialize


def refusal(operation: str, code: str, status: int = 400, **more: Any) -> ClientError:
    """What boto3 raises where AWS answers with an error code."""
    response: Any = {
        "Error": {"Code": code, "Message": f"{code} of {operation}"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(response | more, operation)


@cache
def _operation(method: str) -> str:
    """Return the operation of a client's method. Simulations ask a million times for the same few."""
    return "".join(part.title() for part in method.split("_")).replace("CaC", "CAC").replace("ByCa", "ByCA")


@cache
def _model(service: str, operation: str) -> SimpleNamespace:
    """Return the names that a call's handlers are told."""
    return SimpleNamespace(name=operation, service_model=SimpleNamespace(service_name=service))


class FakeClient:
    """The part of a boto3 client that is the same for every service: events around each call."""

    service = ""

    def __init__(self) -> None:
        self.meta = SimpleNamespace(events=HierarchicalEmitter())

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """A client's method: the operation of that name, with its events."""
        if name.startswith("_"):
            raise AttributeError(name)
        operation = _operation(name)
        does = getattr(self, f"_{name}", None)
        if does is None:
            raise NotImplementedError(f"the fake {self.service} client does not know {operation}")

        def call(**arguments: Any) -> Any:
            return self._call(operation, does, arguments)

        return call

    def _call(self, operation: str, does: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        events, name = self.meta.events, f"{self.service}.{operation}"
        model = _model(self.service, operation)
        events.emit(f"before-parameter-build.{name}", params=arguments, model=model)
        _handler, instead = events.emit_until_response(f"before-call.{name}", params={}, model=model)
        if instead is not None:
            http, parsed = instead
            if http.status_code >= 300:
                raise ClientError(parsed, operation)
            return parsed
        parsed = does(**arguments) or {}
        events.emit(f"after-call.{name}", parsed=parsed, model=model)
        return parsed


# --- AWS IoT


@dataclass
class _Certificate:
    pem: str
    status: str
    ca: str | None
    policies: list[str] = field(default_factory=list)
    things: list[str] = field(default_factory=list)


@dataclass
class _Thing:
    kind: str | None
    attributes: dict[str, str]
    groups: list[str] = field(default_factory=list)


# What listings list, and how the mark of a page is given and told.
_PAGED = {
    "ListCertificates": ("certificates", "marker", "nextMarker"),
    "ListCertificatesByCA": ("certificates", "marker", "nextMarker"),
    "ListTargetsForPolicy": ("targets", "marker", "nextMarker"),
    "ListThings": ("things", "nextToken", "nextToken"),
    "ListThingsInThingGroup": ("things", "nextToken", "nextToken"),
}


class FakeIot(FakeClient):
    """AWS IoT Core's registry, as aws-iot-facts.md has it where moto is too kind.

    ``takes_inactive`` says whether PENDING_ACTIVATION may become INACTIVE, which AWS does not document. ``page`` is how
    many a page of a listing has, all where it is None.
    """

    service = "iot"

    def __init__(self, *, takes_inactive: bool = True) -> None:
        super().__init__()
        self.takes_inactive = takes_inactive
        self.page: int | None = None
        self.certificates: dict[str, _Certificate] = {}
        self.cas: dict[str, tuple[str, str]] = {}  # PEM and status
        self.things: dict[str, _Thing] = {}
        self.policies: set[str] = set()
        self.thing_types: set[str] = set()
        self.thing_groups: set[str] = set()

    def _call(self, operation: str, does: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        answer = super()._call(operation, does, arguments)
        if self.page is None or operation not in _PAGED:
            return answer
        name, given, told = _PAGED[operation]
        start = int(arguments.get(given, 0))
        more = {told: str(start + self.page)} if start + self.page < len(answer[name]) else {}
        return {name: answer[name][start : start + self.page]} | more

    def get_paginator(self, name: str) -> Any:
        """A paginator that gives everything on one page."""
        return SimpleNamespace(paginate=lambda **arguments: [getattr(self, name)(**arguments)])

    def _register_ca_certificate(self, caCertificate: str, setAsActive: bool = False, **_more: Any) -> Any:  # noqa: N803
        identifier = _sha256(caCertificate)
        self.cas[identifier] = (caCertificate, "ACTIVE" if setAsActive else "INACTIVE")
        return {"certificateId": identifier}

    def _describe_ca_certificate(self, certificateId: str) -> Any:  # noqa: N803
        pem, status = _had(self.cas, certificateId, "DescribeCACertificate")
        return {
            "certificateDescription": {"certificateId": certificateId, "certificatePem": pem, "status": status},
        }

    def _list_ca_certificates(self, **_page: Any) -> Any:
        return {"certificates": [{"certificateId": each} for each in self.cas]}

    def _update_ca_certificate(self, certificateId: str, newStatus: str) -> None:  # noqa: N803
        pem, _ = _had(self.cas, certificateId, "UpdateCACertificate")
        self.cas[certificateId] = (pem, newStatus)

    def _register_certificate(self, certificatePem: str, caCertificatePem: str, status: str) -> Any:  # noqa: N803
        return self._registered(certificatePem, _sha256(caCertificatePem), status)

    def _register_certificate_without_ca(self, certificatePem: str, status: str) -> Any:  # noqa: N803
        return self._registered(certificatePem, None, status)

    def _registered(self, pem: str, ca: str | None, status: str) -> Any:
        identifier = _sha256(pem)
        if identifier in self.certificates:
            raise refusal("RegisterCertificate", "ResourceAlreadyExistsException", 409)
        self.certificates[identifier] = _Certificate(pem, status, ca)
        return {"certificateId": identifier}

    def _describe_certificate(self, certificateId: str) -> Any:  # noqa: N803
        found = _had(self.certificates, certificateId, "DescribeCertificate")
        told = {
            "certificateId": certificateId,
            "certificateArn": f"{ARN}:cert/{certificateId}",
            "certificatePem": found.pem,
            "status": found.status,
        }
        return {"certificateDescription": told | ({} if found.ca is None else {"caCertificateId": found.ca})}

    def _list_certificates(self, **_page: Any) -> Any:
        return {"certificates": [self._listed(each) for each in self.certificates]}

    def _list_certificates_by_ca(self, caCertificateId: str, **_page: Any) -> Any:  # noqa: N803
        of_it = [each for each, found in self.certificates.items() if found.ca == caCertificateId]
        return {"certificates": [self._listed(each) for each in of_it]}

    def _listed(self, certificate_id: str) -> Any:
        status = self.certificates[certificate_id].status
        return {"certificateId": certificate_id, "certificateArn": f"{ARN}:cert/{certificate_id}", "status": status}

    def _update_certificate(self, certificateId: str, newStatus: str) -> None:  # noqa: N803
        found = _had(self.certificates, certificateId, "UpdateCertificate")
        final = found.status == "REVOKED" and newStatus != "REVOKED"
        if final or (found.status == "PENDING_ACTIVATION" and newStatus == "INACTIVE" and not self.takes_inactive):
            raise refusal("UpdateCertificate", "CertificateStateException", 406)
        found.status = newStatus

    def _delete_certificate(self, certificateId: str) -> None:  # noqa: N803
        found = _had(self.certificates, certificateId, "DeleteCertificate")
        if found.policies or found.things:
            raise refusal("DeleteCertificate", "DeleteConflictException", 409)
        if found.status not in ("INACTIVE", "REVOKED"):
            raise refusal("DeleteCertificate", "CertificateStateException", 406)
        del self.certificates[certificateId]

    def _create_policy(self, policyName: str, policyDocument: str) -> None:  # noqa: N803
        self.policies.add(policyName)

    def _attach_policy(self, policyName: str, target: str) -> None:  # noqa: N803
        self._known(self.policies, policyName, "AttachPolicy")
        found = self._principal(target, "AttachPolicy")
        if policyName not in found.policies:
            found.policies.append(policyName)

    def _detach_policy(self, policyName: str, target: str) -> None:  # noqa: N803
        found = self._principal(target, "DetachPolicy")
        if policyName not in found.policies:
            raise refusal("DetachPolicy", "ResourceNotFoundException", 404)
        found.policies.remove(policyName)

    def _list_policies(self, **_page: Any) -> Any:
        return {"policies": [{"policyName": each} for each in sorted(self.policies)]}

    def _list_targets_for_policy(self, policyName: str, **_page: Any) -> Any:  # noqa: N803
        self._known(self.policies, policyName, "ListTargetsForPolicy")
        with_it = [each for each, found in self.certificates.items() if policyName in found.policies]
        return {"targets": [f"{ARN}:cert/{each}" for each in with_it]}

    def _list_attached_policies(self, target: str) -> Any:
        found = self._principal(target, "ListAttachedPolicies")
        return {"policies": [{"policyName": each} for each in found.policies]}

    def _create_thing_type(self, thingTypeName: str) -> None:  # noqa: N803
        self.thing_types.add(thingTypeName)

    def _create_thing_group(self, thingGroupName: str) -> None:  # noqa: N803
        self.thing_groups.add(thingGroupName)

    def _create_thing(
        self,
        thingName: str,  # noqa: N803
        thingTypeName: str | None = None,  # noqa: N803
        attributePayload: Mapping[str, Any] | None = None,  # noqa: N803
    ) -> None:
        if thingTypeName is not None:
            self._known(self.thing_types, thingTypeName, "CreateThing")
        wanted = _Thing(thingTypeName, dict((attributePayload or {}).get("attributes", {})))
        found = self.things.setdefault(thingName, wanted)
        if (found.kind, found.attributes) != (wanted.kind, wanted.attributes):
            raise refusal("CreateThing", "ResourceAlreadyExistsException", 409)

    def _update_thing(
        self,
        thingName: str,  # noqa: N803
        thingTypeName: str | None = None,  # noqa: N803
        attributePayload: Mapping[str, Any] | None = None,  # noqa: N803
        removeThingType: bool = False,  # noqa: N803
    ) -> None:
        found = _had(self.things, thingName, "UpdateThing")
        if removeThingType and thingTypeName is not None:
            raise refusal("UpdateThing", "InvalidRequestException")
        if thingTypeName is not None:
            self._known(self.thing_types, thingTypeName, "UpdateThing")
        if removeThingType or thingTypeName is not None:
            found.kind = thingTypeName
        for name, value in (attributePayload or {}).get("attributes", {}).items():
            if value:
                found.attributes[name] = value
            else:
                found.attributes.pop(name, None)

    def _describe_thing(self, thingName: str) -> Any:  # noqa: N803
        found = _had(self.things, thingName, "DescribeThing")
        kind = {} if found.kind is None else {"thingTypeName": found.kind}
        return {"thingName": thingName, "attributes": dict(found.attributes)} | kind

    def _list_things(self, **_page: Any) -> Any:
        told = {name: {"thingName": name, "attributes": dict(each.attributes)} for name, each in self.things.items()}
        return {"things": [told[n] | ({"thingTypeName": t.kind} if t.kind else {}) for n, t in self.things.items()]}

    def _list_things_in_thing_group(self, thingGroupName: str, **_page: Any) -> Any:  # noqa: N803
        self._known(self.thing_groups, thingGroupName, "ListThingsInThingGroup")
        return {"things": [name for name, found in self.things.items() if thingGroupName in found.groups]}

    def _list_thing_groups_for_thing(self, thingName: str) -> Any:  # noqa: N803
        found = _had(self.things, thingName, "ListThingGroupsForThing")
        return {"thingGroups": [{"groupName": each} for each in found.groups]}

    def _delete_thing(self, thingName: str) -> None:  # noqa: N803
        if any(thingName in each.things for each in self.certificates.values()):
            raise refusal("DeleteThing", "InvalidRequestException")
        self.things.pop(thingName, None)

    def _attach_thing_principal(self, thingName: str, principal: str) -> None:  # noqa: N803
        _had(self.things, thingName, "AttachThingPrincipal")
        found = self._principal(principal, "AttachThingPrincipal")
        if thingName not in found.things:
            found.things.append(thingName)

    def _detach_thing_principal(self, thingName: str, principal: str) -> None:  # noqa: N803
        found = self._principal(principal, "DetachThingPrincipal")
        if thingName not in found.things:
            raise refusal("DetachThingPrincipal", "ResourceNotFoundException", 404)
        found.things.remove(thingName)

    def _list_thing_principals(self, thingName: str) -> Any:  # noqa: N803
        _had(self.things, thingName, "ListThingPrincipals")
        return {"principals": [f"{ARN}:cert/{each}" for each, c in self.certificates.items() if thingName in c.things]}

    def _list_principal_things(self, principal: str, **_page: Any) -> Any:
        return {"things": list(self._principal(principal, "ListPrincipalThings").things)}

    def _add_thing_to_thing_group(self, thingGroupName: str, thingName: str) -> None:  # noqa: N803
        self._known(self.thing_groups, thingGroupName, "AddThingToThingGroup")
        groups = _had(self.things, thingName, "AddThingToThingGroup").groups
        if thingGroupName not in groups:
            groups.append(thingGroupName)

    def _remove_thing_from_thing_group(self, thingGroupName: str, thingName: str) -> None:  # noqa: N803
        self._known(self.thing_groups, thingGroupName, "RemoveThingFromThingGroup")
        groups = _had(self.things, thingName, "RemoveThingFromThingGroup").groups
        if thingGroupName in groups:
            groups.remove(thingGroupName)

    def _principal(self, arn: str, operation: str) -> _Certificate:
        found: _Certificate = _had(self.certificates, arn.rpartition("/")[2], operation)
        return found

    def _known(self, names: set[str], name: str, operation: str) -> None:
        if name not in names:
            raise refusal(operation, "ResourceNotFoundException", 404)


def _had(things: Mapping[str, Any], name: str, operation: str) -> Any:
    if name not in things:
        raise refusal(operation, "ResourceNotFoundException", 404)
    return things[name]


def _sha256(pem: str) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


# --- DynamoDB


class FakeDynamodb(FakeClient):
    """One table, its conditions and updates as far as the project writes them. Transactions are atomic."""

    service = "dynamodb"

    def __init__(self) -> None:
        super().__init__()
        self.items: dict[tuple[str, str], dict[str, Any]] = {}  # plain values, by pk and sk

    def _batch_get_item(self, RequestItems: Any) -> Any:  # noqa: N803
        ((table, wanted),) = RequestItems.items()
        found = [self.items.get(_key(_plain(key))) for key in wanted["Keys"]]
        if "ProjectionExpression" in wanted:
            names = {wanted["ExpressionAttributeNames"][each] for each in wanted["ProjectionExpression"].split(",")}
            found = [each and {name: value for name, value in each.items() if name in names} for each in found]
        return {"Responses": {table: [_typed(each) for each in found if each is not None]}, "UnprocessedKeys": {}}

    def _batch_write_item(self, RequestItems: Any) -> Any:  # noqa: N803
        ((_table, requests),) = RequestItems.items()
        for each in requests:
            ((action, what),) = each.items()
            if action == "PutRequest":
                self._put(_plain(what["Item"]))
            else:
                self.items.pop(_key(_plain(what["Key"])), None)
        return {"UnprocessedItems": {}}

    def _query(
        self,
        ExpressionAttributeValues: Any,  # noqa: N803
        ExpressionAttributeNames: Any,  # noqa: N803
        ScanIndexForward: bool = True,  # noqa: N803
        **more: Any,
    ) -> Any:
        """Pages of an index end where they end: what is asked for is answered at once."""
        beginning = f"{_BY_PARTITION} AND begins_with(#sort, :beginning)"
        if more["KeyConditionExpression"] not in (_BY_PARTITION, f"{_BY_PARTITION} AND #sort <= :until", beginning):
            raise NotImplementedError(f"the fake dynamodb client does not query by {more}")
        name = ExpressionAttributeNames["#partition"]
        sort = ExpressionAttributeNames.get("#sort", "sk")
        partition, until = (_plain(ExpressionAttributeValues).get(each) for each in (":partition", ":until"))
        found = [each for each in self.items.values() if each.get(name) == partition]
        found = [each for each in found if until is None or each[sort] <= until]
        start = _plain(ExpressionAttributeValues).get(":beginning", "")
        found = [each for each in found if each[sort].startswith(start)]
        found.sort(key=lambda each: (each[sort], each["pk"]), reverse=not ScanIndexForward)
        return {"Items": [_typed(each) for each in found]}

    def _scan(self, **_more: Any) -> Any:
        return {"Items": [_typed(each) for each in self.items.values()]}

    def _put_item(self, Item: Any, **more: Any) -> None:  # noqa: N803
        self._transact_write_items([{"Put": {"Item": Item} | more}], "PutItem")

    def _update_item(self, **update: Any) -> Any:
        self._transact_write_items([{"Update": update}], "UpdateItem")
        return {"Attributes": _typed(self.items[_key(_plain(update["Key"]))])}

    def _transact_write_items(self, TransactItems: Any, alone: str | None = None) -> None:  # noqa: N803
        actions = [
            (name, what, _key(_plain(what.get("Key") or what["Item"]))) for name, what in map(_only, TransactItems)
        ]
        codes = ["None" if self._holds(what, key) else "ConditionalCheckFailed" for _, what, key in actions]
        if "ConditionalCheckFailed" in codes:
            if alone:
                raise refusal(alone, "ConditionalCheckFailedException")
            reasons = [{"Code": each} for each in codes]
            raise refusal("TransactWriteItems", "TransactionCanceledException", CancellationReasons=reasons)
        for name, what, key in actions:
            if name == "Put":
                self._put(_plain(what["Item"]))
            elif name == "Update":
                expression = _Expression(what["UpdateExpression"], what, self.items.get(key, {}))
                self._put(expression.updated() | dict(zip(("pk", "sk"), key, strict=True)))
            elif name == "Delete":
                self.items.pop(key, None)
            elif name != "ConditionCheck":
                raise NotImplementedError(f"the fake dynamodb client does not know {name}")

    def _holds(self, what: Mapping[str, Any], key: tuple[str, str]) -> bool:
        condition = what.get("ConditionExpression")
        return condition is None or _Expression(condition, what, self.items.get(key, {})).holds()

    def _put(self, item: dict[str, Any]) -> None:
        self.items[_key(item)] = item


class _Expression:
    """A condition or update expression over one item.

    Amazon DynamoDB Developer Guide, "Expressions": comparisons, AND and OR without parentheses, three functions, SET
    and ADD.
    """

    _TOKEN = re.compile(r"\s*([A-Za-z_#:][\w#.]*|<>|<=|>=|[=<>+(),])")

    def __init__(self, text: str, what: Mapping[str, Any], item: Mapping[str, Any]) -> None:
        self._tokens = self._TOKEN.findall(text)
        self._names: Mapping[str, str] = what.get("ExpressionAttributeNames", {})
        self._values = _plain(what.get("ExpressionAttributeValues", {}))
        self._item = item

    def holds(self) -> bool:
        """Whether the condition holds. AND binds closer than OR."""
        some = False
        while True:
            every = self._comparison()
            while self._took("AND"):
                every = self._comparison() and every
            some = some or every
            if not self._took("OR"):
                self._end()
                return some

    def updated(self) -> dict[str, Any]:
        """The item afterwards; every value on the right is one from before."""
        after = deepcopy(dict(self._item))
        while self._tokens:
            verb = self._next()
            while True:
                path = self._path()
                if verb == "REMOVE":
                    _inner(after, path).pop(path[-1], None)
                    if not self._took(","):
                        break
                    continue
                if verb == "SET":
                    self._take("=")
                    value = self._sum()
                elif verb == "ADD":
                    value = (self._at(path) or 0) + self._operand()
                else:
                    raise NotImplementedError(verb)
                _set(after, path, value)
                if not self._took(","):
                    break
        return after

    def _comparison(self) -> bool:
        if self._tokens[0] in ("attribute_exists", "attribute_not_exists"):
            wanted = self._next() == "attribute_exists"
            self._take("(")
            found = self._at(self._path()) is not None
            self._take(")")
            return found is wanted
        left, operator, right = self._operand(), self._next(), self._operand()
        if left is None or right is None:
            return False
        return bool({"=": left == right, "<>": left != right}.get(operator, operator == "<" and left < right))

    def _sum(self) -> Any:
        value = self._operand()
        while self._took("+"):
            value += self._operand()
        return value

    def _operand(self) -> Any:
        if self._took("if_not_exists"):
            self._take("(")
            found = self._at(self._path())
            self._take(",")
            otherwise = self._operand()
            self._take(")")
            return otherwise if found is None else found
        if self._took("size"):
            self._take("(")
            found = self._at(self._path())
            self._take(")")
            return None if found is None else len(found)
        if self._tokens[0].startswith(":"):
            return self._values[self._next()]
        return self._at(self._path())

    def _path(self) -> list[str]:
        return [self._names[each] if each.startswith("#") else each for each in self._next().split(".")]

    def _at(self, path: list[str]) -> Any:
        value: Any = self._item
        for each in path:
            value = value.get(each) if isinstance(value, Mapping) else None
        return value

    def _next(self) -> str:
        return cast(str, self._tokens.pop(0))

    def _took(self, token: str) -> bool:
        if self._tokens[:1] == [token]:
            self._tokens.pop(0)
            return True
        return False

    def _take(self, token: str) -> None:
        if not self._took(token):
            raise NotImplementedError(f"{token} expected before {self._tokens}")

    def _end(self) -> None:
        if self._tokens:
            raise NotImplementedError(f"not understood: {self._tokens}")


def _only(action: Mapping[str, Any]) -> tuple[str, Any]:
    ((name, what),) = action.items()
    return name, what


def _set(item: dict[str, Any], path: list[str], value: Any) -> None:
    _inner(item, path)[path[-1]] = value


def _inner(item: dict[str, Any], path: list[str]) -> dict[str, Any]:
    for each in path[:-1]:
        item = item[each]
    return item


def _key(plain: Mapping[str, Any]) -> tuple[str, str]:
    return plain["pk"], plain["sk"]


def _plain(typed: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _value(each) for name, each in typed.items()}


def _value(typed: Any) -> Any:
    """What boto3's deserializer makes of it, in a fraction of the time. Every number in the table is whole."""
    ((kind, value),) = typed.items()
    if kind in {"S", "BOOL"}:
        return value
    if kind == "N":
        return int(value)
    if kind == "M":
        return _plain(value)
    return [_value(each) for each in value] if kind == "L" else _deserialize(typed)


def _typed(plain: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _as_given(value) for name, value in plain.items()}


def _as_given(value: Any) -> Any:
    """What boto3's serializer makes of it, in a fraction of the time for what nearly all items are made of."""
    match value:
        case str():
            return {"S": value}
        case bool():
            return {"BOOL": value}
        case int():
            return {"N": str(value)}
        case dict():
            return {"M": _typed(value)}
        case list():
            return {"L": [_as_given(each) for each in value]}
    return _serialize(value)


# --- SQS

VISIBILITY = timedelta(seconds=180)  # as in template.yaml


@dataclass
class _Message:
    number: int
    body: str
    attributes: dict[str, Any]
    sent_at: datetime
    visible_at: datetime
    receives: int = 0


class FakeSqs(FakeClient):
    """Queues in which messages are hidden and come back, on a clock that tests move."""

    service = "sqs"

    def __init__(self, clock: Callable[[], datetime]) -> None:
        super().__init__()
        self._clock = clock
        self.queues: dict[str, dict[int, _Message]] = {}
        self.redrive: dict[str, tuple[str, int]] = {}  # where a message goes, and after how many receives
        self._sent = 0

    def _create_queue(self, QueueName: str) -> Any:  # noqa: N803
        self.queues[QueueName] = {}
        return {"QueueUrl": QueueName}

    def _send_message(self, QueueUrl: str, MessageBody: str, MessageAttributes: Any = None) -> None:  # noqa: N803
        queue = _had(self.queues, QueueUrl, "SendMessage")
        self._sent += 1
        now = self._clock()
        queue[self._sent] = _Message(self._sent, MessageBody, dict(MessageAttributes or {}), now, now)

    def _send_message_batch(self, QueueUrl: str, Entries: Any) -> Any:  # noqa: N803
        for each in Entries:
            self._send_message(QueueUrl, each["MessageBody"])
        return {"Successful": [{"Id": each["Id"]} for each in Entries]}

    def _get_queue_attributes(self, QueueUrl: str, AttributeNames: Any) -> Any:  # noqa: N803
        return {
            "Attributes": {"ApproximateNumberOfMessages": str(len(_had(self.queues, QueueUrl, "GetQueueAttributes")))}
        }

    def _change_message_visibility(self, QueueUrl: str, ReceiptHandle: str, VisibilityTimeout: int) -> None:  # noqa: N803
        message = _had(self.queues, QueueUrl, "ChangeMessageVisibility")[int(ReceiptHandle)]
        message.visible_at = self._clock() + timedelta(seconds=VisibilityTimeout)

    def _receive_message(self, QueueUrl: str, **_more: Any) -> Any:  # noqa: N803
        queue = _had(self.queues, QueueUrl, "ReceiveMessage")
        return {
            "Messages": [
                {"Body": each.body, "MessageAttributes": each.attributes, "ReceiptHandle": str(each.number)}
                for each in queue.values()
            ]
        }

    def _delete_message(self, QueueUrl: str, ReceiptHandle: str) -> None:  # noqa: N803
        _had(self.queues, QueueUrl, "DeleteMessage").pop(int(ReceiptHandle), None)

    def take(self, queue_url: str, most: int = 10) -> list[dict[str, Any]]:
        """The messages that are visible now, as Lambda brings them; they are hidden from then on."""
        now = self._clock()
        if queue_url in self.redrive:
            target, receives = self.redrive[queue_url]
            for number, each in list(self.queues[queue_url].items()):
                if each.visible_at <= now and each.receives >= receives:
                    self.queues[target][number] = self.queues[queue_url].pop(number)
        visible = [each for each in self.queues[queue_url].values() if each.visible_at <= now][:most]
        for each in visible:
            each.receives += 1
            each.visible_at = now + VISIBILITY
        return [
            {
                "messageId": f"m{each.number}",
                "receiptHandle": str(each.number),
                "body": each.body,
                "attributes": {
                    "ApproximateReceiveCount": str(each.receives),
                    "SentTimestamp": str(int(each.sent_at.timestamp() * 1000)),
                },
            }
            for each in visible
        ]

    def done(self, queue_url: str, records: list[dict[str, Any]], failed: list[str]) -> None:
        """Forget the messages of a batch that did not fail, as Lambda does."""
        for each in records:
            if each["messageId"] not in failed:
                del self.queues[queue_url][int(each["receiptHandle"])]

    def next_visible(self, queue_url: str) -> datetime | None:
        """When the next message is visible, or None where the queue is empty."""
        return min((each.visible_at for each in self.queues[queue_url].values()), default=None)


# --- a world of them


@contextmanager
def fake_world(*, takes_inactive: bool = True) -> Iterator[World]:
    """A fresh account in memory, with the same sample IoT policies, thing type and thing group as ``moto_world``."""
    holder: list[World] = []
    iot, dynamodb = FakeIot(takes_inactive=takes_inactive), FakeDynamodb()
    sqs = FakeSqs(lambda: holder[0].now if holder else pki.NOW)
    urls = [sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("registration", "failures")]
    iot.policies |= {"Sensor", "Other"}
    iot.thing_types.add("Sensor")
    iot.thing_groups.add("line-a")
    calls = Calls()
    clients: tuple[Any, Any, Any] = (iot, dynamodb, sqs)
    with ExitStack() as stack:
        for client in clients:
            stack.enter_context(listening(client, "before-call", calls.note))
        holder.append(World(*clients, Table(clients[1], "jitr"), urls[0], urls[1], calls))
        yield holder[0]
