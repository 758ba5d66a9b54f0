"""Serving the page on this machine, until nobody uses it any more."""

import os
import signal
import tempfile
import threading
import time
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from contextvars import copy_context
from html import escape
from pathlib import Path

from waitress.server import create_server

from jitr.errors import InputError
from jitr.unseen import written_out
from jitr_operations import telling
from jitr_operations.deployment import Deployment
from jitr_page.app import MOST_UPLOADED, create_app
from jitr_page.guard import Door
from jitr_page.jobs import Jobs

IDLE = 30 * 60  # seconds without a request after which the page ends
_LOOK = 5  # seconds between two looks at the clock
_THREADS = 8


def serve(deployment: Deployment, *, port: int, browser: bool, idle: float = IDLE) -> None:
    """Serve the page at 127.0.0.1 until Ctrl-C, or until it was not used for ``idle`` seconds.

    Raises InputError for a port that is taken.
    """
    serving = _Serving()
    try:
        server = create_server(
            serving,
            host="127.0.0.1",
            port=port,
            threads=_THREADS,
            ident=None,
            max_request_body_size=MOST_UPLOADED + 1024 * 1024,
        )
    except OSError as problem:
        raise InputError(f"port {port} cannot be had ({problem.strerror}): name another with --port, or none") from None
    for each in (signal.SIGINT, signal.SIGTERM):  # a shell has what it starts with & not hear Ctrl-C
        signal.signal(each, signal.default_int_handler)
    door = Door(int(server.effective_port))
    serving.app = app = create_app(deployment, door)
    ended = threading.Event()
    watching = (_watch, door, app.extensions["jitr"].jobs, idle, ended)
    threading.Thread(target=copy_context().run, args=watching, daemon=True).start()
    try:
        told = f"The page of {deployment.where()} is at\n  {door.link}\n"
        telling.note(f"{told}The link works once. Ctrl-C ends the page.")
        with _opened(door.link) if browser else nullcontext():
            server.run()
    except KeyboardInterrupt:  # Ctrl-C, and how the watch ends it; waitress itself takes most of them
        pass
    finally:
        ended.set()
        server.close()
    finish(app.extensions["jitr"].jobs)
    telling.note("The page has ended.")


def finish(jobs: Jobs) -> None:
    """Wait for work that is under way; Ctrl-C cuts it off, and what was cut off is told."""
    for job in jobs.under_way():
        telling.note(f"Waiting until this is done: {written_out(job.title)}. Ctrl-C cuts it off.")
        try:
            job.over.wait()
        except KeyboardInterrupt:
            for cut in jobs.under_way():
                far = f" at {cut.done} of {cut.total}" if cut.total else ""
                telling.warn(f"cut off{far}: {written_out(cut.title)}; do the same again, and it goes on")
            return


class _Serving:
    """The application, which is made once the port is known."""

    app: object = None

    def __call__(self, environ: dict[str, object], start_response: object) -> object:
        return self.app(environ, start_response)  # type: ignore[operator]


def _watch(door: Door, jobs: Jobs, idle: float, ended: threading.Event) -> None:
    """End the server as Ctrl-C does once nobody used it for so long and no work is under way.

    Whoever only knocks at the door does not keep it open.
    """
    while not ended.wait(min(_LOOK, idle)):
        if time.monotonic() - door.used > idle and not jobs.running:
            telling.note(f"Nobody used the page for {idle / 60:.0f} minutes.")
            os.kill(os.getpid(), signal.SIGINT)
            return


@contextmanager
def _opened(link: str) -> Iterator[None]:
    """Open the link in a browser, by way of a file: who sees what processes are called would see the token."""
    with tempfile.TemporaryDirectory(prefix="jitr-page-") as folder:
        file = Path(folder) / "open.html"
        file.touch(0o600)
        file.write_text(f'<!doctype html><meta http-equiv="refresh" content="0;url={escape(link)}">', "utf-8")
        threading.Thread(target=webbrowser.open, args=(file.as_uri(),), daemon=True).start()
        yield
