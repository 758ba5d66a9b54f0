"""Who may use the page: the browser that opened the link, from the page itself, and nobody else on this machine.

The page acts with its operator's AWS rights. Other pages in the same browser, other users of this machine, and
whoever resolves a name to 127.0.0.1 are all kept out.
"""

import hmac
import secrets
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Flask, Request, Response, abort, g, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_OPEN = frozenset({"enter", "static"})
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "style-src 'self'",
        "script-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}


class Door:
    """The way in: a token in the link, good for one time, and the cookie that it is exchanged for.

    ``port`` is where the page is served. Cookies do not tell ports apart (RFC 6265 section 8.5): the browser sends them
    to whatever another user of this machine serves at another port of 127.0.0.1. It sends them below their path only,
    so all of the page is below a folder whose name nobody can guess.
    """

    def __init__(self, port: int) -> None:
        self.host = f"127.0.0.1:{port}"
        self.origin = f"http://{self.host}"
        self.root = f"/{secrets.token_urlsafe(16)}"
        self._cookie = f"jitr-page-{port}"
        self._token: str | None = secrets.token_urlsafe(32)
        self._session = secrets.token_urlsafe(32)
        self.used = time.monotonic()  # when it was last used by whoever may

    @property
    def link(self) -> str:
        """The link to open. It works once."""
        return f"{self.origin}{self.root}/enter?token={self._token}"

    def let_in(self, token: str) -> bool:
        """Return whether the token is the link's, which is good for no other time then."""
        if self._token is None or not hmac.compare_digest(self._token.encode(), token.encode()):
            return False
        self._token = None
        return True

    def give_cookie(self, response: Response) -> None:
        """Give the browser the cookie by which it is known, until it is closed."""
        response.set_cookie(self._cookie, self._session, httponly=True, samesite="Strict", path=self.root)

    def knows(self, asked: Request) -> bool:
        """Return whether a request is for the page's folder, and its browser has the cookie."""
        if asked.script_root != self.root:
            return False
        return hmac.compare_digest(asked.cookies.get(self._cookie, "").encode(), self._session.encode())

    def came_from_the_page(self, asked: Request) -> bool:
        """Return whether a request that may change something was made by the page itself.

        https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Sec-Fetch-Site is set by the browser and cannot
        be by a script. A browser without it says the origin.
        """
        site = asked.headers.get("Sec-Fetch-Site")
        return site == "same-origin" if site is not None else asked.headers.get("Origin") == self.origin


class _Below:
    """An application that is found below the door's folder. What is asked for elsewhere meets the door and no more."""

    def __init__(self, app: "WSGIApplication", root: str) -> None:
        self._app = app
        self._root = root

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        first, rest = environ["PATH_INFO"][: len(self._root)], environ["PATH_INFO"][len(self._root) :]
        if rest[:1] in ("", "/") and hmac.compare_digest(first.encode(), self._root.encode()):
            environ = environ | {"SCRIPT_NAME": self._root, "PATH_INFO": rest}
        return self._app(environ, start_response)


def watch(app: Flask, door: Door) -> None:
    """Have the door look at every request, and every answer say what a browser may do with it."""
    app.wsgi_app = _Below(app.wsgi_app, door.root)  # type: ignore[method-assign]
    app.before_request(lambda: _look(door))
    app.add_url_rule("/enter", "enter", lambda: _enter(door), methods=["GET"])
    app.after_request(_harden)


def is_inside() -> bool:
    """Return whether the door let the request at hand in. Until it has, nothing is told of the deployment."""
    return bool(g.get("inside"))


def _look(door: Door) -> None:
    if request.headers.get("Host") != door.host:  # a name that resolves to 127.0.0.1 is not this page
        abort(421)
    if request.endpoint in _OPEN:
        return
    if not door.knows(request):
        abort(401)
    g.inside = True
    door.used = time.monotonic()
    if request.method not in ("GET", "HEAD") and not door.came_from_the_page(request):
        abort(403)


def _enter(door: Door) -> AnyResponse:
    if door.knows(request):
        return redirect(url_for("today.show"), 303)
    if not door.let_in(request.args.get("token", "")):
        abort(401)
    # No redirect: a browser that came from elsewhere would not send the cookie along (SameSite=Strict).
    answer = make_response(render_template("enter.html"))
    door.give_cookie(answer)
    return answer


def _harden(answer: Response) -> Response:
    for name, value in _HEADERS.items():
        answer.headers[name] = value
    return answer
