"""Revocation lists for commands: from the addresses in the rules in force, with the credentials of whoever asks."""

from jitr.aws.crl_sources import CrlSources
from jitr.aws.crls import Crls
from jitr_operations.deployment import Deployment


def crls_with(deployment: Deployment) -> Crls:
    """Return the lists as the function would read them; ``s3://`` needs s3:GetObject of the caller's own."""
    return Crls(CrlSources(lambda: deployment.client("s3")))
