"""Small files that come in with a form: certificates, and never a private key."""

from pathlib import PurePosixPath

from flask import request
from werkzeug.datastructures import FileStorage

from jitr.errors import InputError
from jitr.unseen import written_out
from jitr.x509.pem import MAX_INPUT
from jitr_page.private_keys import refuse_keys

_SHOWN = 100  # characters of a file's name


def shown_name(given: FileStorage) -> str:
    """Return what an uploaded file is called, without the folders that some browsers tell."""
    name = PurePosixPath((given.filename or "").replace("\\", "/")).name
    return written_out(name[:_SHOWN])


def given_file(field: str) -> tuple[str, bytes] | None:
    """Return the name and the bytes of a file that was chosen; None where none was.

    Raises InputError for one that is too large to be a certificate, and for a private key.
    """
    given = request.files.get(field)
    if given is None or not given.filename:
        return None
    name, data = shown_name(given), given.stream.read(MAX_INPUT + 1)
    if len(data) > MAX_INPUT:
        raise InputError(f"{name} is too large to be a certificate: at most {MAX_INPUT // 1024} KB are read")
    refuse_keys(data, name)
    return name, data
