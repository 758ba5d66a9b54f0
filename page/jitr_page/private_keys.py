"""Private keys that are pasted or uploaded by mistake: refused, and neither kept nor shown again."""

import re
from typing import IO

from flask import Flask, g, request

from jitr.errors import InputError
from jitr.x509.pem import MAX_INPUT, holds_private_key

_BEGINNING = "-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY"
_BLOCK = re.compile(rf"{_BEGINNING}.*?(?:-----END [A-Z0-9 ]{{0,40}}PRIVATE KEY-----|\Z)", re.DOTALL)
_MARK = re.compile(_BEGINNING.encode())
_LONGEST_MARK = 160  # bytes, in UTF-16: two pieces of a file may share one


class PrivateKeyPasted(InputError):
    """A form or an address has a private key in one of its fields."""

    def __init__(self) -> None:
        super().__init__("A private key was pasted here, and was not kept: no private key belongs in a browser.")


def refuse_keys(data: bytes, name: str) -> None:
    """Raise InputError for a file that is a private key or has one in it."""
    if holds_private_key(data):
        raise _refusal(name)


def _refusal(name: str) -> InputError:
    return InputError(f"{name} has a private key in it, and was not kept: choose a file without one")


def refuse_keys_in(stream: IO[bytes], name: str) -> None:
    """Do as ``refuse_keys`` with a file of any size, a piece at a time, and leave it to be read from its beginning."""
    end = stream.read(MAX_INPUT)
    refuse_keys(end, name)
    while piece := stream.read(MAX_INPUT):
        if _MARK.search((end[-_LONGEST_MARK:] + piece).replace(b"\0", b"")):
            raise _refusal(name)
        end = piece
    stream.seek(0)


def without_keys(text: str) -> str:
    """Return a text without the private keys in it: nothing of one that has no beginning of its own."""
    rest = _BLOCK.sub("", text)
    return "" if holds_private_key(rest.encode()) else rest


def refuse_pasted_keys(app: Flask) -> None:
    """Have no form and no address taken that has a private key in a field."""

    @app.before_request
    def look() -> None:
        g.holds_key = any(holds_private_key(each.encode()) for each in _fields())
        if g.holds_key:
            raise PrivateKeyPasted


def searched() -> str:
    """Return what is searched for, as the field for it shows it again."""
    return "" if g.get("holds_key") or request.blueprint != "devices" else request.args.get("q", "")


def _fields() -> list[str]:
    return [value for given in (request.args, request.form) for _, value in given.items(multi=True)]
