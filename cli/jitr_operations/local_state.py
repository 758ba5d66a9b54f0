"""The local stack that runs in a checkout, as its ``.local/stack.json`` tells."""

import json
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from jitr.errors import InputError

_STATE = Path(".local") / "stack.json"
_INSTALLED = Path(__file__).resolve().parent  # below the checkout, if this is installed from one


@dataclass(frozen=True, slots=True)
class LocalStackFile:
    """The local stack that runs in a checkout, as its ``.local/stack.json`` tells."""

    file: Path
    endpoint_url: str
    region: str
    account_id: str
    stack_name: str
    access_key_id: str
    secret_access_key: str = field(repr=False)
    mqtt_host: str = ""
    mqtt_port: int = 0
    broker_ca: str = ""


def local_stack(start: Path | None = None) -> LocalStackFile:
    """Return the local stack of the checkout that ``start`` (default: the current directory) is in.

    Outside a checkout it is that of the checkout which this ``jitr`` was installed from.
    Raises InputError where none is running or its file cannot be used.
    """
    starts = [each for each in (start or _here(), _INSTALLED) if each is not None]
    file = next(filter(None, map(_state_file, starts)), None)
    if file is None:
        looked = " and ".join(dict.fromkeys(str(each.resolve()) for each in starts))
        raise InputError(
            f"no local stack is running: `jitr local up` starts one (there is no {_STATE} in {looked}, nor above)"
        )
    return _read_state(file)


def _here() -> Path | None:
    """Return the current directory; None where it is gone, or may not be looked at."""
    try:
        return Path.cwd()
    except OSError:
        return None


def _state_file(start: Path) -> Path | None:
    folders = (start.resolve(), *start.resolve().parents)
    return next((each / _STATE for each in folders if (each / _STATE).is_file()), None)


def _read_state(file: Path) -> LocalStackFile:
    again = "`jitr local down`, then `jitr local up`, write it anew"
    try:
        data = json.loads(file.read_text("utf-8"))
        texts = {
            name: str(data[name])
            for name in ("endpoint_url", "region", "account_id", "stack_name", "access_key_id", "secret_access_key")
        }
        stack = LocalStackFile(
            file=file,
            **texts,
            mqtt_host=str(data["mqtt_host"]),
            mqtt_port=int(data["mqtt_port"]),
            broker_ca=str(data["broker_ca"]),
        )
    except KeyError as missing:
        raise InputError(f"{file} has no {missing.args[0]}: {again}") from None
    except (OSError, ValueError, TypeError) as problem:
        raise InputError(f"{file} cannot be read ({problem}): {again}") from None
    if not is_on_this_machine(stack.endpoint_url):
        raise InputError(f"{file} names {stack.endpoint_url}, which is not on this machine: {again}")
    return stack


def is_on_this_machine(url: str) -> bool:
    """Return whether a URL's host is this machine alone."""
    try:
        return is_this_machine(urlsplit(url).hostname or "")
    except ValueError:
        return False


def is_this_machine(host: str) -> bool:
    """Return whether a host's name or address is that of this machine alone."""
    if host == "localhost" or host.endswith(".localhost"):  # RFC 6761 section 6.3
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
