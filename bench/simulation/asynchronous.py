"""A function that a topic rule invokes asynchronously, as AWS's example is: each event on its own, two retries.

AWS Lambda Developer Guide, "How Lambda handles errors and retries with asynchronous invocation". Environments are
always at hand, and starting one takes no time: where the baseline could be slower than this, it is not.
"""

import json
from typing import Any, cast

from botocore.exceptions import ClientError

from bench import baseline
from bench.simulation.world import CERTIFICATES, SimulatedWorld

# botocore's retries, as they are unless somebody asks for others ("legacy"): five attempts, a random part of 1, 2, 4
# and 8 seconds between them.
_ATTEMPTS = 5


class Asynchronous:
    """Answers every event of a world by the baseline's handler."""

    def __init__(self, world: SimulatedWorld) -> None:
        self._world = world
        self._client = cast(Any, _Insistent(world))
        self.given_up = 0  # events that failed three times
        world.knocks = self._event

    def _event(self, body: str, _about: str) -> None:
        event = json.loads(body)
        for wait in (*baseline.RETRIES_AFTER, None):
            began = self._world.clock.now
            try:
                baseline.handle(event, self._client, CERTIFICATES)
            except ClientError:
                pass
            else:
                wait = 0.0
            self._world.bill.invocations += 1
            self._world.bill.seconds += self._world.clock.now - began
            if wait == 0.0:
                return
            if wait is not None:
                self._world.clock.sleep(wait)
        self.given_up += 1


class _Insistent:
    """A client that asks again where it was throttled."""

    def __init__(self, world: SimulatedWorld) -> None:
        self._world = world

    def __getattr__(self, name: str) -> Any:
        asks = getattr(self._world.iot, name)

        def call(**arguments: Any) -> Any:
            for attempt in range(_ATTEMPTS):
                try:
                    return asks(**arguments)
                except ClientError as error:
                    if error.response["Error"]["Code"] != "ThrottlingException" or attempt == _ATTEMPTS - 1:
                        raise
                self._world.clock.sleep(self._world.random.random() * 2**attempt)
            raise AssertionError

        return call
