"""A fleet in memory, for commands that are run again and again: nobody waits, and nothing runs side by side."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from types import SimpleNamespace
from typing import cast

import pytest

from jitr_operations.devices import admissions
from jitr_operations.fleet import pace, walks
from jitr_operations.table import now
from testkit import pki
from testkit.aws.admission import FACTORY, FULL, rules
from testkit.aws.fakes import FakeDynamodb, FakeIot, fake_world
from testkit.aws.world import PENDING, Silent, World
from testkit.knocks import allow, deny

GRANT = replace(FULL, renewal="coexist")


@contextmanager
def nobody_waits() -> Iterator[pytest.MonkeyPatch]:
    """Have waiting take no time, and the check's threads read one after the other; further patches end with it."""
    seconds = [0.0]
    clock = SimpleNamespace(monotonic=lambda: seconds[0], sleep=lambda more: seconds.append(seconds.pop() + more))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pace, "time", clock)
        patch.setattr(admissions, "time", clock)
        patch.setattr(walks, "_AT_ONCE", 1)
        yield patch


@contextmanager
def an_hour_ago() -> Iterator[World]:
    """Give an account in memory as it was an hour ago: a CA, and rules that grant ``GRANT`` but to recalled ones."""
    with fake_world() as world:
        world.now = now() - timedelta(hours=1)
        world.telemetry = Silent()
        world.registrar = world.fresh_registrar()
        world.register_ca(FACTORY)
        world.publish(rules(deny(lists=("recall",)), allow(grant=GRANT)))
        yield world


@dataclass
class MemoryFleet:
    """Devices of a world in memory."""

    world: World

    @property
    def iot(self) -> FakeIot:
        """AWS IoT, to look into."""
        return cast(FakeIot, self.world.iot)

    @property
    def dynamodb(self) -> FakeDynamodb:
        """The table, to look into."""
        return cast(FakeDynamodb, self.world.dynamodb)

    def connect(self, device: pki.Issued, status: str) -> None:
        """Register a certificate."""
        ca = FACTORY.pem.decode()
        self.iot.register_certificate(certificatePem=device.pem.decode(), caCertificatePem=ca, status=status)

    def admit(self, device: pki.Issued) -> None:
        """Have a device knock, which lets it in."""
        self.connect(device, PENDING)
        self.world.knock(device, FACTORY)
        assert self.world.status(device) == "ACTIVE", self.world.codes(device)
