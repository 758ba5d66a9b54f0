"""The operators' page of the demo's stack, kept open until Ctrl-C, which ends all."""

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from jitr_local.folder import write_private
from jitr_local.stack import LocalStack

_TO_END = 30  # seconds that the page has, once it was told


def serve_page(stack: LocalStack, folder: Path, options: Sequence[str] = ()) -> int:
    """Serve the page of a stack until Ctrl-C or until nobody used it for a while; return how it ended.

    The page runs in a session of its own, so that a terminal's Ctrl-C reaches it once, from here. ``folder`` is where
    it finds the stack, as a checkout's ``.local`` tells of one.
    """
    (folder / ".local").mkdir(mode=0o700, exist_ok=True)
    write_private(folder / ".local" / "stack.json", json.dumps(stack.as_json()))
    words = [str(Path(sys.executable).parent / "jitr"), "page", "--local", *options]
    page = subprocess.Popen(words, cwd=folder, start_new_session=True)
    try:
        return page.wait()
    except KeyboardInterrupt:
        page.send_signal(signal.SIGINT)
        return page.wait(_TO_END)
    finally:
        if page.poll() is None:
            page.kill()
            page.wait()
