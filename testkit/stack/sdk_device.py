"""A device on AWS's own device SDK, as a program of its own: it connects, publishes once, stops and ends.

    python sdk_device.py NAME CERTIFICATE KEY HOST PORT BROKER_CA

How long to wait between attempts is left to the SDK. One JSON document on standard output says how it went; exit code
1 means that no message got through. It is a program and not a function so that the test sees it end by itself: the
SDK's threads are not Python's, and one that hangs would keep it alive.
"""

import json
import sys
import time
from concurrent.futures import Future
from dataclasses import asdict, dataclass

from awscrt import mqtt5
from awsiot import mqtt5_client_builder

SECONDS_TO_CONNECT, SECONDS_TO_ANSWER = 60.0, 10.0


@dataclass
class Story:
    """What happened, as the device saw it."""

    attempts: int = 0
    hang_ups: int = 0  # connections that ended before the broker took the device in
    seconds: float | None = None  # from the first attempt to the first message
    stopped: bool = False


def main(name: str, certificate: str, key: str, host: str, port: str, broker_ca: str) -> int:
    """Connect, publish, stop."""
    story = Story()
    connected: Future[None] = Future()
    stopped: Future[None] = Future()

    def attempting(_data: object) -> None:
        story.attempts += 1

    def failed(_data: object) -> None:
        story.hang_ups += 1

    client = mqtt5_client_builder.mtls_from_path(
        cert_filepath=certificate,
        pri_key_filepath=key,
        endpoint=host,
        port=int(port),
        ca_filepath=broker_ca,
        client_id=name,
        on_lifecycle_attempting_connect=attempting,
        on_lifecycle_connection_failure=failed,
        on_lifecycle_connection_success=lambda _data: connected.set_result(None),
        on_lifecycle_stopped=lambda _data: stopped.set_result(None),
    )
    began = time.monotonic()
    client.start()
    try:
        connected.result(SECONDS_TO_CONNECT)
        hello = mqtt5.PublishPacket(topic=f"devices/{name}/hello", payload=b"{}", qos=mqtt5.QoS.AT_LEAST_ONCE)
        client.publish(hello).result(SECONDS_TO_ANSWER)
        story.seconds = time.monotonic() - began
    finally:
        client.stop()
        stopped.result(SECONDS_TO_ANSWER)
        story.stopped = True
        print(json.dumps(asdict(story)))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
