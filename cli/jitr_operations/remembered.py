"""What an earlier command found out about a deployment, for two minutes: its account and the stack's outputs.

Finding them takes two calls to AWS, each over a new connection, before a command can begin. Both are remembered in
files of the user's own; docs/decisions/0030 says why that is never wrong. A file that is not as it was written here, or
that somebody else could have written, counts as none: then AWS is asked.
"""

import hashlib
import json
import os
import stat
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jitr import __version__

if TYPE_CHECKING:
    from botocore.session import Session

# Seconds. A stack of this software is not deleted and deployed again in less.
LIFETIME = 120.0
MOST_OCTETS = 1 << 16
_SECRETS = frozenset({"aws_secret_access_key", "aws_session_token"})


@dataclass(frozen=True, slots=True)
class Discovered:
    """The account of a stack, and the stack's outputs."""

    account_id: str
    outputs: Mapping[str, str]


def folder() -> Path:
    """Return where names are remembered. https://specifications.freedesktop.org/basedir-spec/latest/"""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "jitr"


def key_of(session: "Session", *place: object) -> str | None:
    """Return what names are remembered under: who asks, where, and every setting of AWS's; None without credentials.

    ``place`` is what else a stack is found by. The key is a digest, and no secret is part of it. An access key belongs
    to one account for ever. Temporary keys change: where botocore knows their account, that stands for them.
    """
    credentials = session.get_credentials()
    if credentials is None:
        return None
    keys = credentials.get_frozen_credentials()
    settings = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    document = [
        __version__,
        *(None if each is None else str(each) for each in place),
        getattr(keys, "account_id", None) or keys.access_key,
        session.profile,
        _without_secrets(settings),
        _without_secrets(session.get_scoped_config()),
        session.full_config.get("services"),  # endpoints by service
    ]
    return hashlib.sha256(json.dumps(document, sort_keys=True, default=str).encode()).hexdigest()


def _without_secrets(settings: Mapping[str, Any]) -> dict[str, Any]:
    # Temporary keys change; whose they are is in the key already.
    return {name: value for name, value in settings.items() if name.lower() not in {*_SECRETS, "aws_access_key_id"}}


def recall(key: str) -> Discovered | None:
    """Return what was remembered under a key within ``LIFETIME``; None where nothing was, or nothing to rely on."""
    try:
        document = json.loads(_read(_file(key)))
        # Two clocks: one that people move, and one that starts anew with the machine. Both must say that it is recent.
        ages = (time.time() - document["time"], time.monotonic() - document["monotonic"])
        outputs = document["outputs"]
        strings = (document["account_id"], *outputs, *outputs.values())
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    if not all(0 <= each < LIFETIME for each in ages) or not all(isinstance(each, str) for each in strings):
        return None
    return Discovered(document["account_id"], outputs)


def remember(key: str, names: Discovered) -> None:
    """Remember names under a key. Where they cannot be kept, the next command asks AWS."""
    document = {
        "time": time.time(),
        "monotonic": time.monotonic(),
        "account_id": names.account_id,
        "outputs": dict(names.outputs),
    }
    with suppress(OSError, RuntimeError):  # RuntimeError: a user without a home
        file = _file(key)
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _drop_the_old(file.parent)
        with tempfile.NamedTemporaryFile("w", dir=file.parent, prefix=".", delete=False) as made:  # 0600
            json.dump(document, made)
        Path(made.name).replace(file)


def forget(key: str) -> None:
    """Forget what was remembered under a key."""
    with suppress(OSError, RuntimeError):
        _file(key).unlink()


def _file(key: str) -> Path:
    return folder() / f"{key}.json"


def _read(file: Path) -> bytes:
    """Return a file's content if it is a plain file that only this user can have written. Raises OSError for others."""
    _check(os.lstat(file.parent), stat.S_ISDIR)
    with os.fdopen(os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as opened:
        _check(os.fstat(opened.fileno()), stat.S_ISREG)
        data = opened.read(MOST_OCTETS + 1)
    if len(data) > MOST_OCTETS:
        raise OSError(f"{file} is too large")
    return data


def _check(found: os.stat_result, is_right: Any) -> None:
    others_may_write = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if not is_right(found.st_mode) or found.st_uid != os.geteuid() or others_may_write:
        raise PermissionError("somebody else could have written this")


def _drop_the_old(folder: Path) -> None:
    for each in folder.iterdir():
        with suppress(OSError):
            if time.time() - each.lstat().st_mtime > LIFETIME and each.is_file():
                each.unlink()
