"""What SnapStart keeps of the register function is its code: environments that start from one snapshot share nothing.

A snapshot is taken when the module is imported. What is made from then on (clients and their connections, the pace with
its clock, randomness, settings) is made at the first invocation of each environment.
https://docs.aws.amazon.com/lambda/latest/dg/snapstart-uniqueness.html
"""

import json
import subprocess
import sys
from pathlib import Path

from testkit.function_variables import NOWHERE

FUNCTION = Path(__file__).parents[2] / "functions/register"

# Environments that go on from one process are what environments from one snapshot are.
_SNAPSHOT = """
import json, os, random, sys, time

real = time.monotonic
asked = []
time.monotonic = lambda: asked.append(1) or real()
import app
from jitr.aws import clients

kept = {
    "clients": clients.client.cache_info().currsize + clients._session.cache_info().currsize,
    "made": app._batch.cache_info().currsize,
    "clock": len(asked),
}
drawn, state = [], random.getstate()
for _ in range(2):
    ours, theirs = os.pipe()
    if os.fork() == 0:
        random.setstate(state)  # Python draws anew in a child, and Lambda does not
        app._batch()
        os.write(theirs, json.dumps([random.random(), app._batch.cache_info().currsize]).encode())
        os._exit(0)
    os.wait()
    drawn.append(json.loads(os.read(ours, 1000)))
print(json.dumps({"kept": kept, "drawn": drawn}))
"""

_VARIABLES = NOWHERE | {
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "POWERTOOLS_SERVICE_NAME": "jitr",
}


def test_environments_from_one_snapshot_share_no_client_no_clock_and_no_randomness() -> None:
    """Else all would come back from throttling at the same moments, and pace themselves by a clock that stood still."""
    command = [sys.executable, "-c", _SNAPSHOT]
    done = subprocess.run(command, cwd=FUNCTION, env=_VARIABLES, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["kept"] == {"clients": 0, "made": 0, "clock": 0}
    (one, made), (other, _) = found["drawn"]
    assert made == 1
    assert one != other
