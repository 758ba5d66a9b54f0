"""A form that is sent twice is done once: by a double click, by going back, or by sending the page again.

Each form has a number of its own. What came of it is kept for a while, and whoever sends the same again is told that.
"""

import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass, field

from flask import Flask, Response, g, redirect, request
from markupsafe import Markup
from werkzeug.wrappers import Response as AnyResponse

from jitr.errors import InputError
from jitr_page.forms import is_form

_MOST_KEPT = 200  # forms, the newest
_LONGEST = 120  # seconds that the second waits for the first

_Sent = tuple[str, tuple[tuple[str, str], ...]]  # the address, and all that was in the form


@dataclass
class _Done:
    """The result of a form: the address it led to. None if it led nowhere, so that it can be sent again."""

    led_to: str | None = None
    over: threading.Event = field(default_factory=threading.Event)


class Forms:
    """The forms that were sent lately."""

    def __init__(self) -> None:
        self._sent: OrderedDict[_Sent, _Done] = OrderedDict()
        self._lock = threading.Lock()

    def before(self) -> AnyResponse | None:
        """Answer a form that was sent already as it was answered then; None for one that is new."""
        if not is_form() or request.files:
            return None
        sent = request.path, tuple(request.form.items(multi=True))
        while True:
            with self._lock:
                done = self._sent.get(sent)
                if done is None:
                    g.form_done = self._sent[sent] = _Done()
                    while len(self._sent) > _MOST_KEPT:
                        self._sent.popitem(last=False)
                    return None
                if done.over.is_set() and done.led_to is None:
                    del self._sent[sent]
                    continue
            if not done.over.wait(_LONGEST):
                return None
            if done.led_to is not None:
                return redirect(done.led_to, 303)

    def after(self, answer: Response) -> Response:
        """Keep where an answer led to."""
        if "form_done" in g and answer.status_code == 303:
            g.form_done.led_to = answer.location
        return answer

    def over(self, _problem: BaseException | None) -> None:
        """Let those go on who wait for this form."""
        if (done := g.pop("form_done", None)) is not None:
            done.over.set()


def _require_number() -> None:
    """Raise InputError for a form without a number: sent twice, it would be done twice."""
    if is_form() and not request.form.get("once"):
        raise InputError("the form that was sent is not this page's: open the page that it is on, and send that")


def number() -> Markup:
    """Return the field that makes a form one of its own."""
    return Markup('<input type="hidden" name="once" value="{}">').format(secrets.token_urlsafe(9))


def only_once(app: Flask) -> None:
    """Have every form done once. Whoever may not send it is turned away before."""
    forms = Forms()
    app.jinja_env.globals["once"] = number
    app.before_request(_require_number)
    app.before_request(forms.before)
    app.after_request(forms.after)
    app.teardown_request(forms.over)
