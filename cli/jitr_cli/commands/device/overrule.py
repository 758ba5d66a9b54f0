"""The option ``--overrule REASON``: a certificate made ACTIVE although the rules in force deny it."""

import click

from jitr.records.history import MOST_WHY


def require_reason(overrule: str | None) -> None:
    """Raise click.UsageError for ``--overrule`` without a reason, or with a longer one than is kept."""
    if overrule is not None and not overrule.strip():
        raise click.UsageError("--overrule takes the reason, which is kept: it cannot be empty.")
    if overrule is not None and len(overrule) > MOST_WHY:
        raise click.UsageError(
            f"--overrule: the reason has {len(overrule):,} characters: at most {MOST_WHY:,} are kept."
        )
