"""What every request of a page shares, and what a request hears from the operations that it calls."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from flask import current_app, g

from jitr.aws.dynamodb.rulebook import Rulebook
from jitr.aws.dynamodb.table import Table
from jitr.errors import Retry
from jitr.rules.model import Rules
from jitr_operations.deployment import Deployment
from jitr_page.jobs import Jobs
from jitr_page.uploads import Uploads


@dataclass
class Site:
    """A deployment as one operator sees it."""

    deployment: Deployment
    table: Table
    operator: str
    jobs: Jobs
    uploads: Uploads = field(default_factory=Uploads)

    @property
    def options(self) -> str:
        """The options that a command needs to work on the same deployment."""
        deployment = self.deployment
        if deployment.local is not None:
            return " --local"
        profile = deployment.session.profile_name
        told = "" if profile == "default" else f" --profile {profile}"
        return f"{told} --region {deployment.region} --stack {deployment.stack_name}"


def site() -> Site:
    """Return the site of the request at hand."""
    found: Site = current_app.extensions["jitr"]
    return found


def rules_in_force() -> Rules | None:
    """Return the rules in force, read once a request; None where there are none or they cannot be read."""
    if "rules" not in g:
        table = site().table
        heads = table.heads()
        try:
            g.rules = None if heads.digest is None else Rulebook(table).in_force(heads)
        except Retry:
            g.rules = None
    rules: Rules | None = g.rules
    return rules


@dataclass
class Heard:
    """What operations told while a request was answered; shown at the top of the page."""

    said: list[tuple[str, str]] = field(default_factory=list)  # kind and text

    def note(self, text: str) -> None:
        """Take a line that is worth knowing."""
        self.said.append(("note", text))

    def warn(self, text: str) -> None:
        """Take a warning."""
        self.said.append(("warning", text))

    @contextmanager
    def progress(self, _description: str, _total: int | None) -> Iterator[Callable[[int], None]]:
        """Show nothing: a request is short, and what is not is a job."""
        yield lambda _steps: None

    def secret(self, _question: str) -> Any:
        """Return nothing: nobody types a passphrase into the page."""
        return None
