"""The functions' clients: made once, and the collector of garbage at work again when they are."""

import gc

import pytest
from botocore.config import Config
from botocore.exceptions import UnknownServiceError

from jitr.aws import clients

_CONFIG = Config(region_name="us-east-1")


def test_a_client_is_made_once_for_a_configuration() -> None:
    assert clients.client("sqs", _CONFIG) is clients.client("sqs", _CONFIG)
    assert clients.client("sqs", _CONFIG) is not clients.client("sqs", Config(region_name="us-east-1"))


def test_the_collector_works_again_whether_or_not_a_client_could_be_made() -> None:
    assert gc.isenabled()
    clients.client("sqs", Config(region_name="us-east-1"))
    assert gc.isenabled()
    with pytest.raises(UnknownServiceError):
        clients.client("no-such-service", _CONFIG)
    assert gc.isenabled()
