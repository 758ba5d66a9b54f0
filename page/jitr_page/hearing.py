"""What a page hears from the operations that it calls, to show it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(kw_only=True)
class Heard:
    """Notes and warnings. A request is short, so that progress is not shown; work that is not is a job."""

    said: list[tuple[str, str]] = field(default_factory=list)  # kind and text

    def note(self, text: str) -> None:
        """Take a line that is worth knowing."""
        self.said.append(("note", text))

    def warn(self, text: str) -> None:
        """Take a warning."""
        self.said.append(("warning", text))

    @contextmanager
    def progress(self, description: str, total: int | None) -> Iterator[Callable[[int], None]]:  # noqa: ARG002
        """Show nothing."""
        yield lambda _steps: None

    def secret(self, _question: str) -> str | None:
        """Return nothing: nobody types a passphrase into the page."""
        return None
