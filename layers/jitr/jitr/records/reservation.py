"""A reservation as a value: which keys hold a thing name, and under which rules they take places.

Every key that holds a name takes a place under its rule's ``max_devices``. There is one exception: a key that takes
another's place (``renewal: replace``) under the same rule shares that one's place until one of the two lets go. Places
are counted under a name that a rule keeps when it is renamed (``AllowRule.places``).
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import field, replace
from typing import Any

from jitr.decision.plan import NOTHING, Given
from jitr.rules.model import Rules
from jitr.values import dataclass


@dataclass(frozen=True, slots=True)
class Holder:
    """One key that holds a name, with the certificates that brought it and what its grant said."""

    certificates: tuple[str, ...]
    renewal: str = "hold"  # of the grant under which it claimed the name: whether another key may follow
    granted_by: str | None = None  # the rule of that grant; while it is in force, it says so instead
    rule: str | None = None  # under which name its place is counted
    shares: bool = False  # the place is another holder's, whom it replaces

    def renewal_now(self, rules: Rules) -> str:
        """Return what its rule says under ``renewal`` now; of a rule that is gone, what it said last."""
        rule = rules.allow_by_name.get(self.granted_by or "")
        return self.renewal if rule is None else rule.grant.renewal

    def to_json(self) -> dict[str, Any]:
        """Return the holder as its reservation's item has it; its certificates stand under ``keys``."""
        plain: dict[str, Any] = {"renewal": self.renewal, "granted_by": self.granted_by, "rule": self.rule}
        shares = {"shares": True} if self.shares else {}
        return {name: value for name, value in plain.items() if value is not None} | shares


@dataclass(frozen=True, slots=True)
class Reservation:
    """The holders of a name, by the SHA-256 of their public keys."""

    name: str  # THING#<thing name> or KEY#<SHA-256 of the public key>
    holders: Mapping[str, Holder] = field(default_factory=dict)
    made: bool = False  # we made the thing (or adopted it)
    making: bool = False  # it is being made: a thing of that name may be ours, if nobody else is attached to it
    elsewhere: bool = (
        False  # of a thing that is being made: it was there before, made by another hand (`existing: adopt`)
    )
    ca: str | None = None  # the caCertificateId of the last holder, where nobody holds it any more
    # What grants gave to the thing, unfinished ones as well. None: an earlier version wrote it, and nobody knows.
    given: Given | None = NOTHING
    revision: int = 0

    @property
    def certificates(self) -> tuple[str, ...]:
        """Every certificate that holds the name."""
        return tuple(each for holder in self.holders.values() for each in holder.certificates)

    @property
    def places(self) -> Counter[str]:
        """How many places the holders take, by the names under which they are counted."""
        return Counter(each.rule for each in self.holders.values() if each.rule is not None and not each.shares)

    @property
    def ours(self) -> bool:
        """Whether a thing of that name is one that was made here, or that an attempt here has begun to make."""
        return self.made or (self.making and not self.elsewhere)

    def with_thing_made(self) -> "Reservation":
        """Return the same, with the thing ours for good if it was being made or adopted."""
        return replace(self, made=self.made or self.making, making=False, elsewhere=False)

    def others(self, key: str) -> Mapping[str, Holder]:
        """Return those who hold the name with another key."""
        return {each: holder for each, holder in self.holders.items() if each != key}

    def held_by(
        self,
        key: str,
        certificate_id: str,
        *,
        renewal: str = "hold",
        granted_by: str | None = None,
        rule: str | None = None,
    ) -> "Reservation":
        """Return the same, held by this device, too, which takes a place under ``rule``."""
        before = self.holders.get(key, Holder(()))
        certificates = before.certificates
        if certificate_id not in certificates:
            certificates = (*certificates, certificate_id)
        has_one = before.rule == rule and not before.shares
        replaces = renewal == "replace" and not has_one
        shares = replaces and any(each.rule == rule and not each.shares for each in self.others(key).values())
        holder = Holder(certificates, renewal, granted_by, rule, shares and rule is not None)
        return self._with({**self.holders, key: holder})

    def known_as(self, key: str, written: str | None) -> "Reservation":
        """Return the same, with what the key holds under the SHA-256 of its other form counted as its own."""
        earlier = self.holders.get(written or "")
        if earlier is None or written is None or written == key:
            return self
        own = self.holders.get(key, Holder(()))
        has_place = own.rule is not None and not own.shares
        whose = own if own.certificates and (has_place or earlier.rule is None) else earlier
        merged = replace(whose, certificates=(*own.certificates, *earlier.certificates))
        others = {each: holder for each, holder in self.holders.items() if each not in (key, written)}
        return replace(self, holders={**others, key: merged})

    def without(self, *certificate_ids: str) -> "Reservation":
        """Return the same, let go of by these certificates."""
        left = {
            key: replace(
                holder, certificates=tuple(each for each in holder.certificates if each not in certificate_ids)
            )
            for key, holder in self.holders.items()
        }
        return self._with({key: holder for key, holder in left.items() if holder.certificates})

    def _with(self, holders: dict[str, Holder]) -> "Reservation":
        """Return the same with these holders; a place that one of them gave up passes to one who shared it."""
        for key, holder in self.holders.items():
            after = holders.get(key)
            kept = after is not None and after.rule == holder.rule and not after.shares
            if holder.rule is not None and not holder.shares and not kept:
                heir = next((each for each, one in holders.items() if one.shares and one.rule == holder.rule), None)
                if heir is not None:
                    holders[heir] = replace(holders[heir], shares=False)
        return replace(self, holders=holders)

    def to_json(self) -> dict[str, Any]:
        """Return the attributes of its item. ``rule`` is for versions that knew of one place for all holders."""
        plain = {
            "keys": {key: list(holder.certificates) for key, holder in self.holders.items()},
            "holders": {key: holder.to_json() for key, holder in self.holders.items()},
            "made": self.made,
            "making": self.making,
            "ca": self.ca,
            "rule": next(iter(self.places), None),
            "given": None if self.given is None else self.given.to_json(),
        }
        elsewhere = {"elsewhere": True} if self.elsewhere else {}
        return {name: value for name, value in plain.items() if value is not None} | elsewhere

    @classmethod
    def from_json(cls, name: str, item: Mapping[str, Any]) -> "Reservation":
        """Read the attributes of an item, also of one by an earlier version, which has no ``holders``."""
        keys = {key: tuple(certificates) for key, certificates in item["keys"].items()}
        told = item.get("holders")
        holders = _earlier(keys, item) if told is None else {key: Holder(keys[key], **told[key]) for key in keys}
        return cls(
            name=name,
            holders=holders,
            made=item["made"],
            making=item.get("making", False),
            elsewhere=item.get("elsewhere", False),
            ca=item.get("ca"),
            given=Given.from_json(item["given"]) if "given" in item else None,
            revision=int(item["revision"]),
        )


def _earlier(keys: Mapping[str, tuple[str, ...]], item: Mapping[str, Any]) -> dict[str, Holder]:
    """Return the holders as earlier versions counted them: all that shared a name had one place together.

    It is the first one's here and the others share it, so that the count stays what it is. Each takes its own when it
    claims the name again.
    """
    rule = item.get("rule")
    return {
        key: Holder(
            keys[key],
            item.get("renewal", "hold"),
            item.get("granted_by"),
            rule,
            shares=rule is not None and position > 0,
        )
        for position, key in enumerate(sorted(keys))
    }
