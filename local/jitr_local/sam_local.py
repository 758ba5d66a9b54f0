"""What ``sam local invoke`` takes to run a function in a container against the local stack.

SAM takes a function's variables from a file (``--env-vars``), and of those only what the template names. The stack
listens on 127.0.0.1, which in a container is the container itself. Docker Desktop brings a container's
``host.docker.internal`` there; on Linux a relay on the address of Docker's bridge does, and ends with the stack.
https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/serverless-sam-cli-using-invoke.html
"""

import json
import platform
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from jitr_local import processes
from jitr_local.errors import StackError
from jitr_local.folder import Folder, write_private
from jitr_local.functions import read_functions
from jitr_local.invoke import known_of, own_variables
from jitr_local.ministack import answers, end_of
from jitr_local.stack import CHECKOUT, TEMPLATE, LocalStack

# Asks the container engine that SAM would use (DOCKER_HOST) for the address of its bridge.
_GATEWAY = """\
import docker, ipaddress
bridge = docker.from_env(timeout=5).networks.get("bridge").attrs["IPAM"]["Config"][0]
# Where the address was not configured it is the first of the network.
print(bridge.get("Gateway") or next(ipaddress.ip_network(bridge["Subnet"]).hosts()))
"""
_DESKTOP = "host.docker.internal"
_START_SECONDS = 10.0


def write_variables(running: LocalStack) -> Path:
    """Write the file for ``--env-vars`` into the stack's folder, and start a relay where it takes one.

    Raises StackError.
    """
    folder = Folder(running.log.parent)
    endpoint = _reachable(running, folder)
    known = known_of(running)
    content = {
        name: {**own_variables(function, known), "AWS_ENDPOINT_URL": endpoint}
        for name, function in read_functions(TEMPLATE).items()
    }
    write_private(folder.sam_variables, json.dumps(content, indent=2))
    return folder.sam_variables


def command(file: Path) -> str:
    """Return what to type next, the layer's processor being this machine's."""
    with suppress(ValueError):
        file = file.relative_to(CHECKOUT)
    machine = {"aarch64": "arm64", "arm64": "arm64"}.get(platform.machine().lower(), "x86_64")
    return (
        f"make build ARCHITECTURE={machine}\n"
        f".venv-sam/bin/sam local invoke RegisterFunction -e events/first-connection.json --env-vars {file}"
    )


def _reachable(running: LocalStack, folder: Folder) -> str:
    """Return the stack's endpoint as a container sees it."""
    port = urlsplit(running.endpoint_url).port or 80
    gateway = _gateway()
    if gateway is None or not _is_ours(gateway):
        return f"http://{_DESKTOP}:{port}"
    known = folder.relay_url.read_text().strip() if folder.relay_url.exists() else ""
    if urlsplit(known).hostname == gateway and answers(known):
        return known
    with socket.create_server((gateway, 0)) as free:
        own = free.getsockname()[1]
    arguments = ["-m", "jitr_local.relay", gateway, str(own), str(port)]
    process = folder.start([sys.executable, *arguments], {"PATH": "/usr/bin:/bin"}, folder.relay_log)
    url = f"http://{gateway}:{own}"
    if not processes.wait_until(lambda: answers(url) or not processes.is_running(process), _START_SECONDS):
        raise StackError(f"the relay on {url} does not answer. The end of its output:\n{end_of(folder.relay_log)}")
    if not processes.is_running(process):
        raise StackError(f"the relay on {url} ended. The end of its output:\n{end_of(folder.relay_log)}")
    write_private(folder.relay_url, url)
    return url


def _gateway() -> str | None:
    """Return the address of the engine's bridge; None if no engine answers, or it has none."""
    python = CHECKOUT / ".venv-sam" / "bin" / "python"
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run([python, "-c", _GATEWAY], capture_output=True, text=True, timeout=20, check=False)
        return done.stdout.strip() or None
    return None


def _is_ours(address: str) -> bool:
    """Return whether it is an address of this machine; with Docker Desktop it is one of a machine within it."""
    try:
        socket.create_server((address, 0)).close()
    except OSError:
        return False
    return True
