"""``dataclass`` as in the standard library, made cheap to define: a cold start defines a hundred of them.

A frozen value refuses assignments, for it may be shared: caches hand the same one to many. Not in Lambda, where what
refuses them would cost as much as all the rest of a class to define, and make every object dearer to make: there it is
left to mypy, which sees the standard library's own, and to the tests, which run with values that are frozen.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from jitr import IN_LAMBDA

if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    import dataclasses

    def dataclass(*, frozen: bool = False, slots: bool = False) -> Callable[[type], type]:
        """Make a dataclass that is compared by its fields, and can be in a set if it is not to change."""

        def made(plain: type) -> type:
            refuses = frozen and not IN_LAMBDA
            whole = dataclasses.dataclass(slots=slots, repr=False, unsafe_hash=frozen, frozen=refuses)(plain)
            if "__repr__" not in plain.__dict__:
                whole.__repr__ = _told
            return whole

        return made

    def _told(self) -> str:
        told = (f"{each.name}={getattr(self, each.name)!r}" for each in dataclasses.fields(self) if each.repr)
        return f"{type(self).__qualname__}({', '.join(told)})"


__all__ = ["dataclass"]
