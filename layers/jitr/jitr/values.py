"""``dataclass`` as in the standard library, made cheap to define: a cold start defines a hundred of them.

Who checks types sees the standard library's own, and refuses to assign to what is frozen. At run time nobody does: what
refuses it is generated for each class, costs as much as all the rest of it, and makes every object dearer to make.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    import dataclasses

    def dataclass(*, frozen: bool = False, slots: bool = False) -> Callable[[type], type]:
        """A dataclass that is compared by its fields, and can be in a set if it is not to change."""

        def made(plain: type) -> type:
            whole = dataclasses.dataclass(slots=slots, repr=False, unsafe_hash=frozen)(plain)
            if "__repr__" not in plain.__dict__:
                whole.__repr__ = _told
            return whole

        return made

    def _told(self) -> str:
        told = (f"{each.name}={getattr(self, each.name)!r}" for each in dataclasses.fields(self) if each.repr)
        return f"{type(self).__qualname__}({', '.join(told)})"


__all__ = ["dataclass"]
