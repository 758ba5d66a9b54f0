"""What the local stack's processes see of the caller's environment: only what is listed here.

Functions inherit MiniStack's environment, and SAM, botocore and pip each obey dozens of variables: a profile, a
proxy or a token of the developer's would silently change what is built and tested. Pure functions of the
environment that they are given.
"""

from collections.abc import Mapping
from pathlib import Path

# MiniStack takes this key for the account's root user, and checks no signature made with it: it opens nothing but
# this machine's gateway. https://github.com/ministackorg/ministack
ACCESS_KEY_ID = "test"
SECRET_ACCESS_KEY = "test"  # noqa: S105 - no secret

REGION = "us-east-1"
ACCOUNT_ID = "000000000000"

_NO_FILE = "/dev/null"
_LOOPBACK = "127.0.0.1,localhost"
_EVERYWHERE = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TERM")
# Building fetches packages, so it needs the way to them: indexes, proxies, certificates, caches.
_BUILDING = ("HOME", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")
_BUILDING_PREFIXES = ("PIP_", "UV_", "XDG_")


def aws(endpoint_url: str | None = None) -> dict[str, str]:
    """Return the variables that make any AWS tool talk to the local stack, or to nothing without an endpoint."""
    variables = {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,  # boto3 reads this one only
    }
    return variables | ({"AWS_ENDPOINT_URL": endpoint_url} if endpoint_url else {})


def for_ministack(caller: Mapping[str, str], *, home: Path, tmp: Path, state: Path, objects: Path) -> dict[str, str]:
    """For MiniStack and the functions that it runs; the ports are added by who chooses them."""
    return _common(caller, home, tmp) | {
        "AUTH": "true",
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_REGION": REGION,
        "MINISTACK_ACCOUNT_ID": ACCOUNT_ID,
        "STATE_DIR": str(state),
        "S3_DATA_DIR": str(objects),
        "SFTP_ENABLED": "0",
        # When it starts it removes every container with its label, another stack's as well: let it find no Docker.
        "DOCKER_HOST": f"unix://{home / 'no-docker'}",
    }


def for_build(
    caller: Mapping[str, str], *, home: Path, tmp: Path, pip_python: Path, functions_python: Path
) -> dict[str, str]:
    """For ``sam build``: ``pip_python``'s pip makes the layer for ``functions_python`` (see layers/jitr/Makefile)."""
    passed = {
        name: value
        for name, value in caller.items()
        if name.upper() in _BUILDING or name.startswith(_BUILDING_PREFIXES)
    }
    layer = {
        "JITR_LAYER_FOR": "local",
        "JITR_LAYER_PIP_PYTHON": str(pip_python),
        "JITR_LAYER_PYTHON": str(functions_python),
    }
    no_proxy = caller.get("NO_PROXY") or caller.get("no_proxy") or _LOOPBACK
    return _common(caller, home, tmp) | passed | layer | {"NO_PROXY": no_proxy}


def for_deploy(caller: Mapping[str, str], *, home: Path, tmp: Path, endpoint_url: str) -> dict[str, str]:
    """For ``sam deploy`` to the local stack."""
    # SAM looks every five seconds by default, which is most of what a deployment would take here.
    return _common(caller, home, tmp) | aws(endpoint_url) | {"SAM_CLI_POLL_DELAY": "0.1"}


def _common(caller: Mapping[str, str], home: Path, tmp: Path) -> dict[str, str]:
    kept = {name: caller[name] for name in _EVERYWHERE if name in caller}
    return (
        {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
        | kept
        | aws()
        | {
            "HOME": str(home),
            "TMPDIR": str(tmp),
            "AWS_CONFIG_FILE": _NO_FILE,
            "AWS_SHARED_CREDENTIALS_FILE": _NO_FILE,
            "NO_PROXY": _LOOPBACK,
            "SAM_CLI_TELEMETRY": "0",
            "__SAM_CLI_APP_DIR": str(home),
        }
    )
