"""The option ``--overrule REASON``: a certificate made ACTIVE although the rules in force deny it."""

import click


def require_reason(overrule: str | None) -> None:
    """Raise click.UsageError for ``--overrule`` without a reason."""
    if overrule is not None and not overrule.strip():
        raise click.UsageError("--overrule takes the reason, which is kept: it cannot be empty.")
