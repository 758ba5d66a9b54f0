"""The functions' AWS clients.

They are botocore's: what boto3 adds to it (resources, transfers) is not used here, and importing it is a good part of
a cold start. All clients share a session, which reads the endpoints and each API model once. API models have only what
functions call (``tools/api_models``); what is not among them is read from botocore's own.
"""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
from botocore.config import Config

_API_MODELS = Path(__file__).parent / "api_models"


@cache
def _session() -> botocore.session.Session:
    session = botocore.session.get_session()
    given = session.get_config_variable("data_path")  # AWS_DATA_PATH: whoever sets it has a reason
    session.set_config_variable("data_path", os.pathsep.join(filter(None, (given, str(_API_MODELS)))))
    return session


@cache
def client(service: str, config: Config) -> Any:
    """Make a client as ``boto3.client`` does, for the environment's Region and with its credentials.

    Asked again with the same configuration, it is the same client: it keeps its connections between invocations.
    """
    with _nothing_is_garbage():
        return _session().create_client(service, config=config)


@contextmanager
def _nothing_is_garbage() -> Iterator[None]:
    """Keep the collector from searching the API models again and again: they stay, and it is a fifth of a start.

    Afterwards the collector leaves alone what there is. https://docs.python.org/3/library/gc.html#gc.freeze
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if was_enabled:
            gc.enable()
