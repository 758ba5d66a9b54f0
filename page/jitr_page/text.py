"""How values are shown: hostile text written out, times as times, counts with their nouns."""

import re
import shlex
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from flask import request
from markupsafe import Markup, escape

from jitr.times import parse_time, rfc3339
from jitr.unseen import written_out


def shown(value: Any) -> Any:
    """Return what a template prints for a value: None is nothing, and no character can deceive or steer.

    Names, notes and messages come from certificates, files and other people. Markup is what templates themselves made.
    """
    if value is None:
        return ""
    if isinstance(value, str) and not isinstance(value, Markup):
        return written_out(value, keep="\n\t")
    return value


def typed(value: Any) -> Markup:
    """Return what a form's field holds: exactly what was typed, as it is sent again.

    Written out, a character that nobody sees would come back as an escape and be published as one. Within its field it
    deceives nobody about what stands elsewhere.
    """
    return escape("" if value is None else str(value))


def time(value: datetime | str | None) -> Markup:
    """Return a time as an element: in UTC, and a script of the page's shows it in the reader's zone."""
    if value is None or value == "":
        return Markup("")
    moment = parse_time(value) if isinstance(value, str) else value
    written = rfc3339(moment)
    return Markup('<time datetime="{}" title="{}">{} UTC</time>').format(
        written, written, moment.strftime("%Y-%m-%d %H:%M")
    )


def query(given: Mapping[str, Any], **changes: Any) -> str:
    """Return a query string: what is given, changed; what is empty is left out."""
    values = {name: value for name, value in {**given, **changes}.items() if value not in (None, "", ())}
    return "?" + urlencode(values) if values else "?"


def command(*words: object, options: str = "") -> str:
    """Return a command as one would type it."""
    return "jitr " + " ".join(shlex.quote(str(each)) for each in words if each is not None) + options


# Where on the page that is done which messages name a command for; the longest first.
_PLACES = (
    ("jitr rules publish", "/rules/edit", "Edit the rules"),
    ("jitr failures", "/failures", "See the failures"),
    ("jitr held", "/held", "See who waits"),
    ("jitr lists", "/lists", "See the lists"),
    ("jitr rules", "/rules", "See the rules"),
    ("jitr ca", "/cas", "See the CAs"),
    ("jitr device", "/devices", "See the devices"),
    ("jitr decisions", "/devices", "See the devices"),
)
_QUOTED = re.compile(r"`([^`]{1,200})`")
_LAST_COMMAND = re.compile(r"(?P<told>[^`]+)[:;] `(?P<command>jitr [^`]{1,200})`")
_BRACKETS = re.compile(r" \([^)]*\)")
_FIRST_SENTENCE = re.compile(r"^((?:`[^`]*`|[.;:](?! )|[^`.;:])*).*")


def prose(message: Any) -> Markup:
    """Return a message with what stands in backticks as code, and a command that the page has a place for as a link."""
    if message is None:
        return Markup("")
    parts = _QUOTED.split(shown(str(message)))
    return Markup("").join(_quoted(each) if place % 2 else escape(each) for place, each in enumerate(parts))


def next_click(message: str) -> Markup:
    """Return a message whose last words are a command with the place where the page does that, in words, instead."""
    found = _LAST_COMMAND.fullmatch(shown(message))
    place = _place(found["command"]) if found else None
    if found is None or place is None:
        return prose(message)
    link = Markup('<a href="{}{}">{}</a>').format(request.script_root, *place)
    return Markup("{}. {}").format(found["told"], link)


def in_short(meaning: str) -> Markup:
    """Return what a reason code means without what its documentation adds: up to the first stop, without brackets."""
    return prose(_FIRST_SENTENCE.sub(r"\1", _BRACKETS.sub("", meaning.rstrip("."))))


def _quoted(words: str) -> Markup:
    code = Markup("<code>{}</code>").format(words)
    place = _place(words)
    return code if place is None else Markup('<a href="{}{}">{}</a>').format(request.script_root, place[0], code)


def _place(command: str) -> tuple[str, str] | None:
    """Return the address and the name of the place for a command; None where the page has none."""
    return next(((place, name) for beginning, place, name in _PLACES if command.startswith(beginning)), None)
