"""Runs SAM's commands that need no AWS account: `sam.py validate --lint`, `sam.py build`.

Only what is listed here of the caller's environment reaches SAM, so that a profile, a Region or a setting of this
machine neither breaks a build nor changes it.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PASSED = {"HOME", "LANG", "PATH", "TERM", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"}
PASSED |= {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"}
PASSED_PREFIXES = ("PIP_", "XDG_", "JITR_LAYER_", "LC_")


def environment(caller: Mapping[str, str]) -> dict[str, str]:
    """Return what SAM gets to see: no credentials, no AWS configuration, no telemetry; pip's own settings."""
    passed = {name: text for name, text in caller.items() if name in PASSED or name.startswith(PASSED_PREFIXES)}
    return {
        "JITR_LAYER_PIP_PYTHON": str(ROOT / ".venv/bin/python"),
        **passed,
        "AWS_ACCESS_KEY_ID": "unused",
        "AWS_SECRET_ACCESS_KEY": "unused",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "SAM_CLI_TELEMETRY": "0",
    }


if __name__ == "__main__":
    sam = str(ROOT / ".venv-sam/bin/sam")
    os.execve(sam, [sam, *sys.argv[1:]], environment(os.environ))  # noqa: S606 a fixed program, no shell
