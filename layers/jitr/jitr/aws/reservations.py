"""Reservations: a thing name and a place under ``max_devices``, taken by one device in one transaction.

A device is known by its public key in its canonical form (``jitr.keys``). Earlier versions took the key as its
certificate writes it: what is reserved by that SHA-256 (``written``) is the device's own. What a device reserves is its
thing name, or itself where the grant has no thing. The item stays when its device lets go of it, because it also says
whether we made the thing: a thing that we made may be claimed again, one that we found may not.
"""

from collections.abc import Mapping
from dataclasses import field, replace

from jitr.aws.iot import Iot
from jitr.aws.table import Conflict, Item, Table, certificate_key, hint_deletes, over, record_writes, to_item
from jitr.decide import Decision
from jitr.errors import Retry
from jitr.reasons import Reason
from jitr.record import Record, attaching
from jitr.rules.model import Grant, Rules
from jitr.values import dataclass

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Reservation:
    """Who holds a name. ``keys`` maps the SHA-256 of each public key to the certificates that brought it."""

    name: str  # THING#<thing name> or KEY#<SHA-256 of the public key>
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    made: bool = False  # we made the thing (or adopted it)
    making: bool = False  # it is being made: a thing of that name may be ours, if nobody else is attached to it
    renewal: str = "hold"  # of the grant that the last one to claim it had: whether another key may follow
    granted_by: str | None = None  # the rule that gave that grant; while there is one of that name, it says so instead
    rule: str | None = None  # under whose max_devices it takes a place
    revision: int = 0

    @property
    def certificates(self) -> tuple[str, ...]:
        """Every certificate that holds the name."""
        return tuple(each for certificates in self.keys.values() for each in certificates)

    def held_by(self, key: str, certificate_id: str) -> "Reservation":
        """The same, held by this device, too."""
        certificates = self.keys.get(key, ())
        if certificate_id not in certificates:
            certificates = (*certificates, certificate_id)
        return replace(self, keys={**self.keys, key: certificates})

    def without(self, *certificate_ids: str) -> "Reservation":
        """The same, let go of by these certificates; one that nobody holds takes no place."""
        left = {
            key: tuple(each for each in certificates if each not in certificate_ids)
            for key, certificates in self.keys.items()
        }
        keys = {key: certificates for key, certificates in left.items() if certificates}
        return replace(self, keys=keys, rule=self.rule if keys else None)

    def known_as(self, key: str, written: str | None) -> "Reservation":
        """The same, with what the key holds under the SHA-256 of its other form counted as its own."""
        if written is None or written not in self.keys:
            return self
        others = {each: certificates for each, certificates in self.keys.items() if each not in (key, written)}
        return replace(self, keys={**others, key: (*self.keys.get(key, ()), *self.keys[written])})

    def shared(self, key: str) -> bool:
        """Whether a device with another key holds the name."""
        return any(each != key for each in self.keys)


@dataclass(frozen=True, slots=True)
class Claim:
    """What became of a claim: the record as it is now, and, where nothing could be reserved, why."""

    record: Record
    refusal: Reason | None = None


class Reservations:
    """Taking and releasing reservations, together with the decision record that they belong to."""

    def __init__(self, table: Table, iot: Iot) -> None:
        self._table = table
        self._iot = iot

    def read(self, name: str) -> Reservation | None:
        """The reservation of a name, by a consistent read."""
        item = next(iter(self._table.get([_key(name)])), None)
        if item is None:
            return None
        return Reservation(
            name=name,
            keys={key: tuple(certificates) for key, certificates in item["keys"].items()},
            made=item["made"],
            making=item.get("making", False),
            renewal=item.get("renewal", "hold"),
            granted_by=item.get("granted_by"),
            rule=item.get("rule"),
            revision=int(item["revision"]),
        )

    def claim(
        self, decision: Decision, record: Record, public_key: str, rules: Rules, written: str | None = None
    ) -> Claim:
        """Take what the grant needs and write the record, in one transaction; or the reason why it cannot be had.

        Predecessors keep the name until they are replaced (``settle``): if nothing comes of it, it is still theirs.
        Raises Conflict where another device was quicker: the next delivery decides on what it finds then.
        """
        grant = decision.grant
        if grant is None:
            raise ValueError("a claim without a grant")
        name = self._name(decision, public_key, written)
        if record.reservation is not None and record.reservation != name:
            record = self.release(record)  # of an earlier decision that was never carried out
        if name is None:
            return Claim(self._table.put_record(attaching(record, grant)))
        before = (self.read(name) or Reservation(name)).known_as(public_key, written)
        refusal = _claimed(before, grant, public_key, rules) or self._exists(before, grant, record.certificate_id)
        if refusal is not None:
            return Claim(record, refusal)
        predecessors = _predecessors(before, grant, public_key)
        self._wait_for(predecessors, record)
        after = replace(
            before.held_by(public_key, record.certificate_id),
            making=not before.made and grant.thing is not None,
            renewal=grant.renewal,
            granted_by=decision.rule,
            rule=_counts_under(before, decision, public_key),
        )
        claimed = replace(attaching(record, grant), reservation=name, predecessors=predecessors)
        stored, (put, *more) = record_writes(self._table.name, claimed)
        failed = self._table.transact([put, *self._changed(before, after, limit=decision.max_devices), *more])
        if not failed:
            return Claim(stored)
        if failed[:2] == ["None", "None"]:
            return Claim(record, _full(decision))
        raise Conflict(f"the reservation of {name} or the record of {record.certificate_id}")

    def settle(self, record: Record) -> Record:
        """Write the record of an admission that was carried out.

        Its thing is ours from now on, and those whom it replaced let go of the name.
        """
        before = self._held(record)
        if before is None:
            return self._table.put_record(record)
        after = before.without(*record.predecessors)
        after = replace(after, made=before.made or before.making, making=False)
        if after == before:
            return self._table.put_record(record)
        stored, writes = record_writes(self._table.name, record)
        if self._table.transact([*writes, *self._changed(before, after)]):
            raise Conflict(f"the reservation of {before.name} or the record of {record.certificate_id}")
        return stored

    def refusal(
        self,
        decision: Decision,
        certificate_id: str,
        public_key: str,
        rules: Rules | None = None,
        written: str | None = None,
    ) -> Reason | None:
        """Why ``claim`` would not take what the grant needs, as things stand; None where it would."""
        name, grant = self._name(decision, public_key, written), decision.grant
        if grant is None or name is None:
            return None
        before = (self.read(name) or Reservation(name)).known_as(public_key, written)
        refused = _claimed(before, grant, public_key, rules) or self._exists(before, grant, certificate_id)
        rule = _counts_under(before, decision, public_key)
        if refused is None and rule not in (None, before.rule) and decision.max_devices is not None:
            item = next(iter(self._table.get([_places(rule or "")])), {"taken": 0})
            if item["taken"] >= decision.max_devices:
                return _full(decision)
        return refused

    def release(self, record: Record) -> Record:
        """Let go of the record's reservation, if it has one, and write the record, in one transaction."""
        before = self._held(record)
        record = replace(record, reservation=None)
        if before is None:
            return self._table.put_record(record)
        stored, writes = record_writes(self._table.name, record)
        self._let_go(before, record, writes, thing_gone=False)
        return stored

    def close(self, record: Record, *, thing_gone: bool = False) -> None:
        """Delete the record of a certificate that is gone, and let go of its reservation, in one transaction.

        ``thing_gone`` says that the thing was deleted as well: then nothing is remembered of its name either, unless
        another certificate holds it. Raises Conflict where the record or the reservation was changed meanwhile.
        """
        name = self._table.name
        deletion: list[Item] = [{"Delete": _record_delete(name, record)}, *hint_deletes(name, record, record.hints)]
        before = self._held(record)
        if before is not None:
            self._let_go(before, record, deletion, thing_gone=thing_gone)
        elif self._table.transact(deletion):
            raise Conflict(f"the record of {record.certificate_id}")

    def _name(self, decision: Decision, public_key: str, written: str | None) -> str | None:
        """What the decision reserves, or None where it reserves nothing."""
        if decision.grant is not None and decision.grant.thing is not None:
            return f"THING#{decision.grant.thing}"
        if decision.max_devices is None:
            return None
        earlier = None if written is None else self.read(f"KEY#{written}")
        return f"KEY#{public_key}" if earlier is None or not earlier.keys else earlier.name

    def _held(self, record: Record) -> Reservation | None:
        """The reservation that the record names, if the certificate still holds it."""
        found = None if record.reservation is None else self.read(record.reservation)
        return found if found is not None and record.certificate_id in found.certificates else None

    def _let_go(self, before: Reservation, record: Record, actions: list[Item], *, thing_gone: bool) -> None:
        """Take the certificate off a reservation, together with what is done to its record."""
        after = before.without(record.certificate_id)
        gone = thing_gone and not after.keys
        if self._table.transact([*actions, *self._changed(before, after, gone=gone)]):
            raise Conflict(f"the reservation of {before.name} or the record of {record.certificate_id}")

    def _changed(
        self, before: Reservation, after: Reservation, *, limit: int | None = None, gone: bool = False
    ) -> list[Item]:
        """The actions that write a reservation anew and, where its place moves, the counts of places.

        One that nobody holds is kept, so that its revision never begins anew under somebody who has read it.
        """
        actions: list[Item] = [{"Delete": self._delete(after)} if gone else {"Put": self._put(after)}]
        if before.rule != after.rule:
            if after.rule is not None:
                actions.append({"Update": self._count(after.rule, 1, limit=limit)})
            if before.rule is not None:
                actions.append({"Update": self._count(before.rule, -1, limit=None)})
        return actions

    def _wait_for(self, predecessors: tuple[str, ...], record: Record) -> None:
        """Raises Retry where one that is to be replaced is being admitted at this moment."""
        for each in self._table.records(predecessors):
            if each.applying_at(record.decided_at):
                raise Retry("busy", f"certificate {each.certificate_id} is to be replaced, and is just being admitted")

    def _exists(self, before: Reservation, grant: Grant, certificate_id: str) -> Reason | None:
        """Why the thing of that name is not ours to use, if there is one."""
        if grant.thing is None or before.made or not self._iot.thing_exists(grant.thing):
            return None
        if grant.existing == "hold" and not before.making:
            return Reason("grant.thing-exists", f"a thing {grant.thing} exists, and it was not made here")
        attached = self._iot.principals(grant.thing) - {certificate_id, *before.certificates}
        if before.making:  # what an attempt here left attached does not make the thing another's
            attached -= {each.certificate_id for each in self._table.records(tuple(attached))}
        if attached:
            message = (
                f"a thing {grant.thing} exists with {len(attached)} other certificates attached, so it is not adopted"
            )
            return Reason("grant.thing-exists", message)
        return None

    def _put(self, reservation: Reservation) -> Item:
        item = _key(reservation.name) | {
            "format": FORMAT,
            "keys": {key: list(certificates) for key, certificates in reservation.keys.items()},
            "made": reservation.made,
            "making": reservation.making,
            "renewal": reservation.renewal,
            "granted_by": reservation.granted_by,
            "revision": reservation.revision + 1,
        }
        if reservation.rule is not None:
            item["rule"] = reservation.rule
        return {"TableName": self._table.name, "Item": to_item(item)} | over(reservation.revision)

    def _delete(self, reservation: Reservation) -> Item:
        return {"TableName": self._table.name, "Key": to_item(_key(reservation.name))} | over(reservation.revision)

    def _count(self, rule: str, step: int, *, limit: int | None) -> Item:
        values = {":step": {"N": str(step)}}
        update: Item = {
            "TableName": self._table.name,
            "Key": to_item(_places(rule)),
            "UpdateExpression": "ADD taken :step",
            "ExpressionAttributeValues": values,
        }
        if limit is not None:
            update["ConditionExpression"] = "attribute_not_exists(taken) OR taken < :limit"
            values[":limit"] = {"N": str(limit)}
        return update


def _claimed(before: Reservation, grant: Grant, public_key: str, rules: Rules | None) -> Reason | None:
    """Why another key may not follow in the name, if another holds it: both grants must say that one may.

    The holder's grant is what its rule says now, so that operators can let a renewed device in; a rule that is gone
    leaves what it said last.
    """
    if not before.shared(public_key):
        return None
    in_force = () if rules is None else rules.allow
    theirs = next((each.grant.renewal for each in in_force if each.name == before.granted_by), before.renewal)
    if "hold" not in (grant.renewal, theirs):
        return None
    holder = next(certificates[0] for key, certificates in before.keys.items() if key != public_key)
    told = f"the thing name {grant.thing} is reserved by certificate {holder}, with another key"
    return Reason("grant.thing-claimed", told)


def _predecessors(before: Reservation, grant: Grant, public_key: str) -> tuple[str, ...]:
    if grant.renewal != "replace":
        return ()
    return tuple(each for key, certificates in before.keys.items() if key != public_key for each in certificates)


def _counts_under(before: Reservation, decision: Decision, public_key: str) -> str | None:
    """The rule under whose ``max_devices`` the name takes its place; a name that is shared takes only one."""
    if before.shared(public_key) and before.rule is not None:
        return before.rule
    return None if decision.max_devices is None else decision.rule


def _record_delete(table: str, record: Record) -> Item:
    """The arguments of a delete of a record that holds only for the revision that was read."""
    return {
        "TableName": table,
        "Key": to_item(certificate_key(record.certificate_id)),
        **over(record.revision),
    }


def _full(decision: Decision) -> Reason:
    message = f"rule {decision.rule} has its {decision.max_devices} devices, all places are taken"
    return Reason("grant.max-devices", message)


def _places(rule: str) -> Item:
    return {"pk": f"PLACES#{rule}", "sk": "PLACES"}


def _key(name: str) -> Item:
    return {"pk": name, "sk": "RESERVATION"}
