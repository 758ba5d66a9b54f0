"""The page in process, as the browser that opened its link asks it."""

import io
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

from flask.testing import FlaskClient
from waitress.server import create_server
from werkzeug.test import TestResponse

from jitr.records.history import PAGE
from jitr_operations.deployment import Choice
from jitr_page.app import create_app
from jitr_page.guard import Door

PORT = 8123


class Page:
    """A page and its browser. ``door`` and ``client`` are for those who try to come in otherwise."""

    def __init__(self, *, read_only: bool = False, port: int = PORT) -> None:
        self.door = Door(port)
        self.app = create_app(Choice(read_only=read_only, tool=PAGE).deployment(), self.door)
        self.app.testing = False  # errors become pages, as they do for people
        self.client: FlaskClient = self.app.test_client()
        self.link = self.door.link

    @property
    def origin(self) -> str:
        """The address of its first view, without the last slash."""
        return self.door.origin + self.door.root

    def enter(self) -> "Page":
        """Open the link."""
        assert self.ask("GET", self.link.removeprefix(self.door.origin)).status_code == 200
        return self

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None, **rest: Any) -> TestResponse:
        """Send a request as this page's own scripts and forms would, except for the headers that are given.

        Paths are those within the page's folder. A form has a number of its own, unless it is given one.
        """
        if method == "POST":
            rest["data"] = {"once": secrets.token_urlsafe(9)} | rest.get("data", {})
        if not path.startswith(self.door.root):
            path = self.door.root + path
        given = {"Host": self.door.host, "Sec-Fetch-Site": "same-origin"} | (headers or {})
        return self.client.open(path, method=method, headers=given, base_url=self.door.origin, **rest)

    def get(self, path: str) -> TestResponse:
        """Look at an address."""
        return self.ask("GET", path)

    def post(self, path: str, **form: Any) -> TestResponse:
        """Send a form."""
        return self.ask("POST", path, data=form)

    def text(self, path: str) -> str:
        """Return a page that must be there."""
        answer = self.get(path)
        assert answer.status_code == 200, answer.get_data(as_text=True)
        return answer.get_data(as_text=True)

    def look(self, content: bytes, file: str, **form: str) -> TestResponse:
        """Upload a file to be looked at, wait until it is read, and return where that leads to."""
        data = form | {"file": (io.BytesIO(content), file)}
        return self._end_of(self.ask("POST", "/uploads", data=data))

    def finish(self, answer: TestResponse) -> str:
        """Wait for the job that an answer leads to, and return its page, or the one that it leads to."""
        assert answer.status_code == 303, answer.get_data(as_text=True)
        answer = self._end_of(answer)
        assert answer.status_code == 200, answer.get_data(as_text=True)
        return answer.text

    def _end_of(self, answer: TestResponse) -> TestResponse:
        """Go where an answer leads to; wait for the job, if it leads to one."""
        while answer.status_code == 303:
            if "/jobs/" in answer.location:
                self.app.extensions["jitr"].jobs.get(answer.location.rpartition("/")[2]).over.wait(60)
            answer = self.get(answer.location)
        return answer


@contextmanager
def listening() -> Iterator[Page]:
    """Serve a page to a real browser while the block runs."""
    page: Page | None = None
    server = create_server(lambda *given: page.app(*given), host="127.0.0.1", port=0)  # type: ignore[union-attr]
    page = Page(port=int(server.effective_port))
    thread = Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield page
    finally:
        server.close()
        thread.join(10)
