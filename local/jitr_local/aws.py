"""boto3 for the local stack, deaf to the developer's own AWS configuration."""

import os
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from botocore.config import Config

# A profile, a proxy, FIPS or dual-stack endpoints set for AWS would send the calls elsewhere, or break them.
_CONFIG = Config(
    proxies={}, use_fips_endpoint=False, use_dualstack_endpoint=False, max_pool_connections=50, connect_timeout=5
)
_NO_PROFILE = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}


class _LocalSession(boto3.Session):
    """A session whose clients go to one endpoint."""

    endpoint_url: str

    # Hidden from the type checker, so that it keeps boto3's own types of each service's client.
    if not TYPE_CHECKING:

        def client(self, service_name: str, **options: Any) -> Any:
            return super().client(service_name, **self._local(options))

        def resource(self, service_name: str, **options: Any) -> Any:
            return super().resource(service_name, **self._local(options))

    def _local(self, options: dict[str, Any]) -> dict[str, Any]:
        given = options.pop("config", None)
        return {"endpoint_url": self.endpoint_url, "config": _CONFIG.merge(given) if given else _CONFIG} | options


def session(endpoint_url: str, region: str, access_key_id: str, secret_access_key: str) -> boto3.Session:
    """Make a session for one endpoint. As always with boto3, threads may share clients, but not sessions."""
    made = _LocalSession(
        aws_access_key_id=access_key_id,
        aws_secret_access_key=secret_access_key,
        region_name=region,
        botocore_session=botocore.session.Session(session_vars=_NO_PROFILE),
    )
    made.endpoint_url = endpoint_url
    return made
