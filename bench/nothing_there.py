"""An AWS account in which there is nothing: it answers whatever DynamoDB is asked for."""

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_NOTHING = json.dumps(
    {"Responses": {}, "UnprocessedKeys": {}, "UnprocessedItems": {}, "Items": [], "Count": 0}
).encode()


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        """Take the request, and say that there is nothing."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(_NOTHING)))
        self.end_headers()
        self.wfile.write(_NOTHING)

    def log_message(self, *_arguments: Any) -> None:
        """Nothing."""


@contextmanager
def nothing_there() -> Iterator[str]:
    """Its address, for AWS_ENDPOINT_URL, until the block ends."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answer) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


if __name__ == "__main__":  # a process of its own, for as long as somebody holds its standard input open
    with nothing_there() as address:
        print(address, flush=True)
        sys.stdin.read()
