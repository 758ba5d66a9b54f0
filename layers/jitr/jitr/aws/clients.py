"""The functions' AWS clients.

They are botocore's: what boto3 adds to it (resources, transfers) is not used here, and importing it is a good part of
a cold start. All clients share a session, which reads the endpoints and each API model once.
"""

from functools import cache
from typing import Any

import botocore.session
from botocore.config import Config


@cache
def _session() -> botocore.session.Session:
    return botocore.session.get_session()


@cache
def client(service: str, config: Config) -> Any:
    """A client as ``boto3.client`` makes it, for the Region and with the credentials that the environment gives.

    Asked again with the same configuration, it is the same client: it keeps its connections between invocations.
    """
    return _session().create_client(service, config=config)
