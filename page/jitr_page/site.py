"""What every request of a page shares."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from flask import current_app, g

from jitr.aws.dynamodb import rulebook
from jitr.aws.dynamodb.table import Table
from jitr.errors import Retry
from jitr.rules.model import Rules
from jitr_operations import telling
from jitr_operations.deployment import Deployment
from jitr_operations.rules.named_files import NamedFiles
from jitr_page.jobs import Jobs
from jitr_page.recalls import Recalls
from jitr_page.rollovers import Rollovers
from jitr_page.uploads import Uploads

# The account of local stacks: AWS has none with this number.
NO_ACCOUNT = "000000000000"


@dataclass(frozen=True, slots=True)
class CaCount:
    """How many devices a CA had registered, by status, when they were counted."""

    devices: Mapping[str, int]
    at: datetime


@dataclass(frozen=True, slots=True)
class RulesDraft:
    """Rules that somebody had checked: a browser gives them back to nobody who goes back from what it was told."""

    text: str
    seen: str  # the digest of the rules that were in force when they were opened
    message: str


@dataclass
class Site:
    """A deployment as one operator sees it."""

    deployment: Deployment
    table: Table
    operator: str
    jobs: Jobs
    uploads: Uploads = field(default_factory=Uploads)
    recalls: Recalls = field(default_factory=Recalls)
    rollovers: Rollovers = field(default_factory=Rollovers)
    ca_counts: dict[str, CaCount] = field(default_factory=dict)  # by caCertificateId
    draft: RulesDraft | None = None
    named_files: dict[str, NamedFiles] = field(default_factory=dict)  # by the digest of the rules that name them

    @property
    def is_local(self) -> bool:
        """Whether it is on a local stack, however that was named."""
        return self.deployment.local is not None or self.deployment.account_id == NO_ACCOUNT

    @property
    def options(self) -> str:
        """The options that a command needs to work on the same deployment."""
        deployment = self.deployment
        if deployment.local is not None:
            return " --local"
        profile = deployment.session.profile
        told = f" --profile {profile}" if profile and profile != "default" else ""
        return f"{told} --region {deployment.region} --stack {deployment.stack_name}"


def site() -> Site:
    """Return the site of the request at hand."""
    found: Site = current_app.extensions["jitr"]
    return found


def rules_in_force() -> Rules | None:
    """Return the rules in force, read once a request; None where there are none or they cannot be read."""
    if "rules" not in g:
        try:
            g.rules = rulebook.rules_in_force(site().table)
        except Retry as problem:
            telling.warn(f"the rules in force cannot be read, and what follows from them is not shown: {problem}")
            g.rules = None
    rules: Rules | None = g.rules
    return rules
