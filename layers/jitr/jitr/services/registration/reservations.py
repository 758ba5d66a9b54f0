"""Reservations: a thing name and a place under ``max_devices``, taken by one device in one transaction.

A device is known by its public key in its canonical form (``jitr.x509.keys``). Earlier versions took the key as its
certificate writes it: what is reserved by that SHA-256 (``written``) is the device's own. What a device reserves is its
thing name, or itself where the grant has no thing. The item stays when its device lets go of it, because it also says
whether we made the thing: a thing that we made may be claimed again, one that we found may not.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from jitr.aws.dynamodb.table import (
    Conflict,
    Item,
    Table,
    by_hand_key,
    certificate_key,
    deletes_beside,
    over,
    record_writes,
    reservation_key,
    to_item,
)
from jitr.aws.iot import Iot
from jitr.decision.decide import Decision
from jitr.decision.plan import Given
from jitr.errors import Retry
from jitr.reasons import Reason
from jitr.records.record import Record
from jitr.records.reservation import Holder, Reservation
from jitr.records.transitions import attaching
from jitr.rules.model import Grant, Rules
from jitr.text import counted
from jitr.values import dataclass

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Claim:
    """The result of a claim: the record as it is now, and the reason if nothing could be reserved."""

    record: Record
    refusal: Reason | None = None
    left: Given = Given()  # what earlier grants gave to the thing and this one does not


@dataclass(frozen=True, slots=True)
class Claimant:
    """A device that is to be admitted: its certificate and CA, its key, and the rules that it is decided by."""

    decision: Decision
    certificate_id: str
    ca_certificate_id: str
    rules: Rules
    public_key: str
    written: str | None = None  # the key as the certificate writes it, where that is another form
    twin: str | None = None  # the certificate's other id, which must have no record; where its CA signs with ECDSA

    @property
    def grant(self) -> Grant:
        """The grant of an admission. Raises ValueError for another decision."""
        if self.decision.grant is None:
            raise ValueError("a claim without a grant")
        return self.decision.grant


@dataclass(frozen=True, slots=True)
class _Found:
    """A name as it is ``stored``, and ``before`` a claim, with all forms of the claimant's key counted as one."""

    stored: Reservation
    before: Reservation
    holders: Mapping[str, Record | None]  # the others' certificates
    refusal: Reason | None
    exists: bool  # a thing of that name does that was not made here, or not finished

    def claimed_by(self, claimant: Claimant) -> Reservation:
        """Return the reservation once the claimant has it."""
        before, grant, decision = self.before, claimant.grant, claimant.decision
        after = before.held_by(
            claimant.public_key,
            claimant.certificate_id,
            renewal=grant.renewal,
            granted_by=decision.rule,
            rule=decision.places,
        )
        making, elsewhere = not before.made and grant.thing is not None, self.exists and not before.ours
        return replace(after, making=making, elsewhere=elsewhere)


class Reservations:
    """Taking and releasing reservations, together with the decision record that they belong to."""

    def __init__(self, table: Table, iot: Iot) -> None:
        self._table = table
        self._iot = iot

    def read(self, name: str) -> Reservation | None:
        """Return the reservation of a name, by a consistent read."""
        item = self._table.one(reservation_key(name))
        return None if item is None else Reservation.from_json(name, item)

    def claim(self, claimant: Claimant, record: Record) -> Claim:
        """Take what the grant needs and write the record, in one transaction; or the reason why it cannot be had.

        Predecessors keep the name until they are replaced (``settle``): if nothing comes of it, it is still theirs.
        Raises Conflict where another device, or the twin, was quicker: the next delivery decides on what it finds then.
        """
        grant, name = claimant.grant, self._name(claimant)
        reserved, refusal = self._on_record(name, claimant.twin)
        if refusal is not None:
            return Claim(record, refusal)
        if record.reservation is not None and record.reservation != name:
            record = self.release(record)  # of an earlier decision that was never carried out
        absent = [] if claimant.twin is None else [_no_record(self._table.name, claimant.twin)]
        if reserved is None:
            return self._without_reservation(attaching(record, grant), absent)
        self._require_first(record, reserved)
        found = self._look(reserved, claimant)
        if found.refusal is not None:
            return Claim(record, found.refusal)
        predecessors = tuple(found.holders) if grant.renewal == "replace" else ()
        if predecessors:
            _wait_for(found.holders.values(), record)
        given, gives = self._given(found.before, grant), Given.by(grant)
        after = replace(found.claimed_by(claimant), given=given | gives)
        claimed = replace(attaching(record, grant), reservation=reserved.name, predecessors=predecessors)
        stored = self._write(claimed, found.stored, after, absent, limit=claimant.decision.max_devices)
        return Claim(record, _full(claimant.decision)) if stored is None else Claim(stored, left=given - gives)

    def _on_record(self, name: str | None, twin: str | None) -> tuple[Reservation | None, Reason | None]:
        """Return the reservation of a name, and why a device is refused whose certificate is on record as its twin.

        In one read: the sooner a claim is written, the fewer other deliveries ask AWS IoT about the same device.
        """
        keys = [] if name is None else [reservation_key(name)]
        keys += [] if twin is None else [certificate_key(twin), by_hand_key(twin)]
        found = {item["sk"]: item for item in self._table.get(keys)}
        if "DECISION" in found:
            return None, Reason("certificate.twin", f"it was decided here as certificate {twin}")
        if "BY_HAND" in found:
            told = f"an operator registered it, or set its status, as certificate {twin}"
            return None, Reason("certificate.twin", told)
        if name is None:
            return None, None
        item = found.get("RESERVATION")
        return Reservation(name) if item is None else Reservation.from_json(name, item), None

    def _require_first(self, record: Record, reserved: Reservation) -> None:
        """Raise Conflict where another delivery claimed the name for this certificate since its record was read.

        Writing the claim would raise it as well, but only after AWS IoT was asked about the thing.
        """
        if record.reservation is not None or record.certificate_id not in reserved.certificates:
            return
        for now in self._table.records([record.certificate_id]):
            if now.revision > record.revision:
                raise Conflict(f"the record of {record.certificate_id}")

    def _look(self, stored: Reservation, claimant: Claimant) -> _Found:
        """Find what there is of a name, and whether the claimant may have it."""
        before = stored.known_as(claimant.public_key, claimant.written)
        holders = self._records_of(before.others(claimant.public_key))
        refusal = self._claimed(before, holders, claimant)
        exists = refusal is None and self._not_yet_ours(before, claimant.grant)
        if exists:
            refusal = self._exists(before, claimant.grant, claimant.certificate_id)
        return _Found(stored, before, holders, refusal, exists)

    def _write(
        self, record: Record, before: Reservation, after: Reservation, absent: list[Item], *, limit: int | None
    ) -> Record | None:
        """Write a record with its reservation; None where only the count of places stands against it."""
        stored, (put, *hints) = record_writes(self._table.name, record)
        reserved, *counts = self._changed(before, after, limit=limit)
        others_may_change = [put, reserved, *absent]
        failed = self._table.transact([*others_may_change, *counts, *hints])
        if not failed:
            return stored
        if set(failed[: len(others_may_change)]) == {"None"}:
            return None
        raise Conflict(f"the reservation of {before.name} or the record of {record.certificate_id}")

    def _without_reservation(self, record: Record, absent: list[Item]) -> Claim:
        if not absent:
            return Claim(self._table.put_record(record))
        stored, writes = record_writes(self._table.name, record)
        if self._table.transact([*writes, *absent]):
            raise Conflict(f"the record of {record.certificate_id} or of its twin")
        return Claim(stored)

    def settle(self, record: Record) -> Record:
        """Write the record of an admission that was carried out.

        Its thing is ours from now on, and those whom it replaced let go of the name.
        """
        before = self._held(record)
        if before is None:
            return self._table.put_record(record)
        after = before.without(*record.predecessors)
        after = after.with_thing_made()
        if record.grant is not None and after.certificates == (record.certificate_id,):
            # Beside another that holds the name, and may be being admitted, what both were given stays written down.
            after = replace(after, given=Given.by(Grant.from_json(record.grant)))
        if after == before:
            return self._table.put_record(record)
        stored, writes = record_writes(self._table.name, record)
        if self._table.transact([*writes, *self._changed(before, after)]):
            raise Conflict(f"the reservation of {before.name} or the record of {record.certificate_id}")
        return stored

    def refusal(self, claimant: Claimant) -> Reason | None:
        """Return why ``claim`` would not take what the grant needs, as things stand; None where it would."""
        reserved, refusal = self._on_record(self._name(claimant), claimant.twin)
        if reserved is None:
            return refusal
        found = self._look(reserved, claimant)
        most = claimant.decision.max_devices
        if found.refusal is None and most is not None:
            for rule in found.claimed_by(claimant).places - found.stored.places:
                if taken(self._table, [rule]).get(rule, 0) >= most:
                    return _full(claimant.decision)
        return found.refusal

    def release(self, record: Record, *, was_active: bool = False) -> Record:
        """Let go of the record's reservation, if it has one, and write the record, in one transaction.

        ``was_active`` says that the device had its thing, if only for a moment: the thing is made then, and its name
        stays with the device's CA, as after an admission that was settled.
        """
        before = self._held(record)
        record = replace(record, reservation=None)
        if before is None:
            return self._table.put_record(record)
        stored, writes = record_writes(self._table.name, record)
        self._let_go(before, record, writes, was_active=was_active)
        return stored

    def close(self, record: Record, *, thing_gone: bool = False) -> None:
        """Delete the record of a certificate that is gone, and let go of its reservation, in one transaction.

        ``thing_gone`` says that the thing was deleted as well: then nothing is remembered of its name either, unless
        another certificate holds it. Raises Conflict where the record or the reservation was changed meanwhile.
        """
        name = self._table.name
        deletion: list[Item] = [{"Delete": _record_delete(name, record)}, *deletes_beside(name, record, None)]
        before = self._held(record)
        if before is not None:
            self._let_go(before, record, deletion, thing_gone=thing_gone)
        elif self._table.transact(deletion):
            raise Conflict(f"the record of {record.certificate_id}")

    def _name(self, claimant: Claimant) -> str | None:
        """Return what the claimant reserves, or None if it reserves nothing."""
        if claimant.grant.thing is not None:
            return f"THING#{claimant.grant.thing}"
        if claimant.decision.max_devices is None:
            return None
        earlier = None if claimant.written is None else self.read(f"KEY#{claimant.written}")
        return f"KEY#{claimant.public_key}" if earlier is None or not earlier.holders else earlier.name

    def _given(self, before: Reservation, grant: Grant) -> Given:
        """Return what earlier grants gave to the thing, if it is one that was made here.

        Where that was not written down, all that the thing has counts, unless it may be one that was adopted.
        """
        if before.given is not None:
            return before.given
        ours = before.ours and grant.thing is not None and grant.existing == "hold"
        return self._iot.given_to(str(grant.thing)) if ours else Given()

    def _held(self, record: Record) -> Reservation | None:
        """Return the reservation that the record names, if the certificate still holds it."""
        found = None if record.reservation is None else self.read(record.reservation)
        return found if found is not None and record.certificate_id in found.certificates else None

    def _let_go(
        self,
        before: Reservation,
        record: Record,
        actions: list[Item],
        *,
        thing_gone: bool = False,
        was_active: bool = False,
    ) -> None:
        """Take the certificate off a reservation, together with what is done to its record."""
        after = before.without(record.certificate_id)
        if was_active:
            after = after.with_thing_made()
        if not after.holders and after.made:
            after = replace(after, ca=record.ca_certificate_id)
        gone = thing_gone and not after.holders
        if self._table.transact([*actions, *self._changed(before, after, gone=gone)]):
            raise Conflict(f"the reservation of {before.name} or the record of {record.certificate_id}")

    def _changed(
        self, before: Reservation, after: Reservation, *, limit: int | None = None, gone: bool = False
    ) -> list[Item]:
        """Return the actions that write a reservation anew and, if its place moves, the counts of places.

        One that nobody holds is kept, so that its revision never begins anew under somebody who has read it.
        """
        actions: list[Item] = [{"Delete": self._delete(after)} if gone else {"Put": self._put(after)}]
        for rule, more in (after.places - before.places).items():
            actions.append({"Update": self._count(rule, more, limit=limit)})
        for rule, fewer in (before.places - after.places).items():
            actions.append({"Update": self._count(rule, -fewer, limit=None)})
        return actions

    def _claimed(self, before: Reservation, holders: Mapping[str, Record | None], claimant: Claimant) -> Reason | None:
        """Return why this key may not have the name, if another has it or had it before.

        The grants of all who hold it must say that another key may follow, as must its own; and it follows a device
        of its own CA only, unless its grant names the other's under ``renewal_from``.
        """
        grant, rules, public_key = claimant.grant, claimant.rules, claimant.public_key
        others = before.others(public_key)
        if not others:
            return self._left(before, claimant)
        told = f"the thing name {grant.thing} is reserved by certificate"
        if "hold" in (grant.renewal, *(each.renewal_now(rules) for each in others.values())):
            return Reason("grant.thing-claimed", f"{told} {next(iter(holders))}, with another key")
        if public_key in before.holders and grant.renewal == "coexist":
            return None  # it has the name, and takes it from nobody
        for certificate, record in holders.items():
            ca = None if record is None else record.ca_certificate_id
            if not _may_follow(claimant, ca):
                return Reason("grant.thing-claimed", f"{told} {certificate} {_of_ca(ca, rules)}; {_SAME_CA}")
        return None

    def _left(self, before: Reservation, claimant: Claimant) -> Reason | None:
        """Why a name that nobody else holds stays with the CA of the device that had it: its thing is still there."""
        thing = claimant.grant.thing
        if before.ca is None or claimant.public_key in before.holders or not before.made or thing is None:
            return None
        if _may_follow(claimant, before.ca) or not self._iot.thing_exists(thing):
            return None
        told = f"the thing {thing} is still there from a device {_of_ca(before.ca, claimant.rules)}"
        return Reason("grant.thing-claimed", f"{told}; {_SAME_CA}, or once the thing is deleted")

    def _records_of(self, holders: Mapping[str, Holder]) -> dict[str, Record | None]:
        """Return these holders' certificates with their records; None for one without, which should not be."""
        certificates = [each for holder in holders.values() for each in holder.certificates]
        known = {each.certificate_id: each for each in self._table.records(certificates)}
        return {each: known.get(each) for each in certificates}

    def _not_yet_ours(self, before: Reservation, grant: Grant) -> bool:
        """Return whether there is a thing of that name that was not made here, or not finished."""
        return grant.thing is not None and not before.made and self._iot.thing_exists(grant.thing)

    def _exists(self, before: Reservation, grant: Grant, certificate_id: str) -> Reason | None:
        """Return why the thing of that name, which exists, is not ours to use."""
        if grant.existing == "hold" and not before.ours:
            return Reason("grant.thing-exists", f"a thing {grant.thing} exists, and it was not made here")
        attached = self._iot.principals(str(grant.thing)) - {certificate_id, *before.certificates}
        if before.making:  # what an attempt here left attached does not make the thing another's
            attached -= {each.certificate_id for each in self._table.records(tuple(attached))}
        if attached:
            others = counted(len(attached), "other certificate")
            message = f"a thing {grant.thing} exists with {others} attached, so it is not adopted"
            return Reason("grant.thing-exists", message)
        return None

    def _put(self, reservation: Reservation) -> Item:
        item = (
            reservation_key(reservation.name)
            | {"format": FORMAT, "revision": reservation.revision + 1}
            | reservation.to_json()
        )
        return {"TableName": self._table.name, "Item": to_item(item)} | over(reservation.revision)

    def _delete(self, reservation: Reservation) -> Item:
        return {"TableName": self._table.name, "Key": to_item(reservation_key(reservation.name))} | over(
            reservation.revision
        )

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


_SAME_CA = "another key follows under the same CA, or where `renewal_from` in its grant names the other"


def taken(table: Table, rules: Iterable[str]) -> dict[str, int]:
    """Return how many places are taken under each of these names, of those under which any are."""
    found = table.get([_places(each) for each in rules])
    return {item["pk"].removeprefix("PLACES#"): int(item["taken"]) for item in found if item["taken"]}


def _may_follow(claimant: Claimant, other: str | None) -> bool:
    """Return whether a device may have the name of a device of another CA."""
    cas = claimant.rules.cas
    return other == claimant.ca_certificate_id or any(
        other in cas[alias].ids for alias in claimant.grant.renewal_from if alias in cas
    )


def _of_ca(ca_certificate_id: str | None, rules: Rules) -> str:
    if ca_certificate_id is None:
        return "whose CA is not on record"
    return f"of CA {', '.join(sorted(rules.aliases_of(ca_certificate_id))) or ca_certificate_id}"


def _wait_for(holders: Iterable[Record | None], record: Record) -> None:
    """Raise Retry if one that is to be replaced is being admitted at this moment."""
    for each in holders:
        if each is not None and each.applying_at(record.decided_at):
            raise Retry("busy", f"certificate {each.certificate_id} is to be replaced, and is just being admitted")


def _no_record(table: str, certificate_id: str) -> Item:
    """Return the action that makes a transaction fail if a certificate has a record."""
    key = to_item(certificate_key(certificate_id))
    return {"ConditionCheck": {"TableName": table, "Key": key, "ConditionExpression": "attribute_not_exists(pk)"}}


def _record_delete(table: str, record: Record) -> Item:
    """Return the arguments that delete a record only at the revision that was read."""
    return {
        "TableName": table,
        "Key": to_item(certificate_key(record.certificate_id)),
        **over(record.revision),
    }


def _full(decision: Decision) -> Reason:
    message = f"rule {decision.rule} has no place left (max_devices: {decision.max_devices})"
    return Reason("grant.max-devices", message)


def _places(rule: str) -> Item:
    return {"pk": f"PLACES#{rule}", "sk": "PLACES"}
