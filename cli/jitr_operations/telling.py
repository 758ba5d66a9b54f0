"""What an operation says while it works: notes, warnings, progress, and the passphrase it asks for.

Whoever calls operations is their listener, for the time of the call and in its own thread; without one they work in
silence. What comes of an operation is returned or raised, and never told.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Protocol


class Listener(Protocol):
    """Whoever an operation works for. Texts may hold what devices and files say: they are shown as they are safe."""

    def note(self, text: str) -> None:
        """Take a line that is worth knowing."""

    def warn(self, text: str) -> None:
        """Take a warning: nothing failed, and somebody may regret it."""

    def progress(self, description: str, total: int | None) -> AbstractContextManager[Callable[[int], None]]:
        """Show that work is under way, of ``total`` steps if that is known; what it gives is called with steps done."""

    def secret(self, question: str) -> str | None:
        """Ask a person for a secret; None where there is nobody to ask."""


_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """Have a listener hear what operations tell while the block runs."""
    before = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(before)


def note(text: str) -> None:
    """Tell what is worth knowing."""
    if (listener := _listener.get()) is not None:
        listener.note(text)


def warn(text: str) -> None:
    """Tell what somebody may regret, although nothing failed."""
    if (listener := _listener.get()) is not None:
        listener.warn(text)


def progress(description: str, total: int | None) -> AbstractContextManager[Callable[[int], None]]:
    """Tell that work is under way while the block runs, and of each step that the block says is done."""
    if (listener := _listener.get()) is None:
        return nullcontext(_unheard)
    return listener.progress(description, total)


def _unheard(_steps: int) -> None:
    return


def secret(question: str) -> str | None:
    """Ask for a secret; None where there is nobody to ask."""
    listener = _listener.get()
    return None if listener is None else listener.secret(question)
