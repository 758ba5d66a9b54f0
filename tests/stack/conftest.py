"""A local stack for all tests of a worker that want one: started with the first of them, gone after the last."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import botocore.session
import pytest
from testkit.aws import quick_botocore
from testkit.aws.api_models import api_models
from testkit.stack.plant import PEOPLE, Plant

from jitr_local.environment import ACCOUNT_ID, REGION
from jitr_local.session import running_stack
from jitr_local.stack import LocalStack

quick_botocore.hurry()

# Digests are off unless somebody gets them.
TOLD = {"NotificationsTopicArn": f"arn:aws:sns:{REGION}:{ACCOUNT_ID}:{PEOPLE}", "DigestMinutes": "1"}


# Their tests deploy stacks of their own, or have a second one beside the shared one. They take about as long as all the
# other files, most of it waiting: in a worker of their own, with a shared stack of their own.
APART = {
    "test_demo.py",
    "test_deployments.py",
    "test_local_stack.py",
    "test_manifests.py",
    "test_night.py",
    "test_permissions.py",
    "test_tutorial.py",
    "test_upgrade.py",
}


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests of the stack in two workers (with ``--dist loadgroup``), so that one stack serves all of each."""
    if config.pluginmanager.hasplugin("xdist"):
        for item in items:
            if item.get_closest_marker("stack"):
                group = "deployments" if item.path.name in APART else "stack"
                item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session", autouse=True)
def _api_models() -> Iterator[None]:
    """Share AWS's API models among all clients of this process, whoever makes them."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(botocore.session, "create_loader", api_models)
        yield


@pytest.fixture(scope="session")
def local_stack() -> Iterator[LocalStack]:
    """The checkout's template on a local stack, shared: a test uses names of its own in it."""
    with _told() as stack:
        yield stack


@pytest.fixture(scope="session")
def second_stack() -> Iterator[LocalStack]:
    """Another account with the same template: for pages that are typed as they stand, and name things as they like."""
    with _told() as stack:
        yield stack


@contextmanager
def _told() -> Iterator[LocalStack]:
    """A local stack with a topic for people, which digests go to."""
    with running_stack(parameters=TOLD) as stack:
        stack.session().client("sns").create_topic(Name=PEOPLE)
        yield stack


@pytest.fixture
def plant(local_stack: LocalStack, tmp_path: Path) -> Plant:
    """An operator and factories for one test; every name is the test's own."""
    return Plant(local_stack, tmp_path)
