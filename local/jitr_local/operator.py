"""An operator of the local stack, who types ``jitr`` commands as people do."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jitr_local import environment
from jitr_local.errors import StackError
from jitr_local.stack import LocalStack


@dataclass(frozen=True, slots=True)
class Operator:
    """Whoever works on ``stack``, with the files in ``folder``."""

    stack: LocalStack
    folder: Path

    def types(self, *arguments: str) -> str:
        """Run a ``jitr`` command and return what it prints. Raises StackError where it fails."""
        command = [str(Path(sys.executable).parent / "jitr"), *arguments]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=_variables(self.stack.endpoint_url),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode:
            raise StackError(f"jitr {' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def watches(self, *arguments: str, variables: Mapping[str, str]) -> int:
        """Run a ``jitr`` command whose output goes to the terminal, and return how it ended."""
        command = [str(Path(sys.executable).parent / "jitr"), *arguments]
        environment = _variables(self.stack.endpoint_url) | dict(variables)
        return subprocess.run(command, cwd=self.folder, env=environment, check=False).returncode


def _variables(endpoint_url: str) -> dict[str, str]:
    """Return the commands' environment: the stack, and nothing of the developer's AWS configuration or proxy."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "JITR_"))}
    no_files = dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"), os.devnull)
    no_proxy = dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost")
    return kept | no_files | no_proxy | environment.aws(endpoint_url)
