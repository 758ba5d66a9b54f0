"""`make lint`: no private key and no credential is committed, nor about to be.

A short script and not a scanner by entropy: this repository is full of hashes, certificates and key identifiers, which
such a scanner takes for secrets. What is looked for is sure: blocks that private keys are kept in, with a key in them;
the same as DER; and credentials by the forms that their issuers give them. What a text merely says about keys is not.
"""

import base64
import binascii
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_private_key, pkcs12

_MOST = 4 * 1024 * 1024  # octets that are looked at of one file
_LEAST_KEY = 56  # characters of base64: 40 octets, which is a key for a curve of 256 bits and what is around it

# RFC 7468, RFC 1421, OpenSSH and PGP. Line ends may be written out, and lines be in quotes, as in JSON and in code.
_BEGIN = re.compile(rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_AROUND = re.compile(rb"(?:^|(?<=[\nr]))[A-Za-z-]+: .*?(?:$|\\n)|\\[nrt]|[\s\"',]", re.MULTILINE)
_BASE64 = re.compile(rb"[A-Za-z0-9+/=]*")
_FORMS = {
    # AWS: unique identifiers; those in its documentation end with EXAMPLE.
    "an AWS access key": re.compile(rb"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b"),
    "an AWS secret key": re.compile(
        rb"(?i)aws_?secret_?access_?key[\"']?\s*[:=]\s*[\"']?[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+])"
    ),
    "a GitHub token": re.compile(rb"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{50,})"),
    "a PyPI token": re.compile(rb"\bpypi-AgE[A-Za-z0-9_-]{50,}"),
    "a Slack token": re.compile(rb"\bxox[abprs]-[A-Za-z0-9-]{20,}"),
    "a password in an address": re.compile(rb"\b[a-z][a-z0-9+.-]*://[^\s/:@'\"{}<>$]+:[^\s/@'\"{}<>$]+@[a-z0-9]"),
}
_ENCODED_BLOCK = re.compile(rb"LS0tLS1CRUdJTi[A-Za-z0-9+/]{60,}={0,2}")  # -----BEGIN, as base64 again


def secrets_in(data: bytes) -> Iterator[tuple[int, str]]:
    """Return the line and the kind of each secret in a file. The secret itself is never shown."""
    for begin in _BEGIN.finditer(data):
        if _holds_a_key(data[begin.end() : begin.end() + 2000]):
            yield _line(data, begin.start()), "a private key"
    for form in _ENCODED_BLOCK.finditer(data):
        with suppress(binascii.Error):
            if _BEGIN.search(base64.b64decode(form[0] + b"=" * (-len(form[0]) % 4))):
                yield _line(data, form.start()), "a private key"
    yield from _credentials(data)
    if data[:1] == b"\x30" and _is_key(data):
        yield 1, "a private key"


def _credentials(data: bytes) -> Iterator[tuple[int, str]]:
    for what, pattern in _FORMS.items():
        for found in pattern.finditer(data):
            if not found[0].upper().endswith(b"EXAMPLE") and b"EXAMPLEKEY" not in found[0]:
                yield _line(data, found.start()), what


def _holds_a_key(after: bytes) -> bool:
    found = _BASE64.match(_AROUND.sub(b"", after))
    return found is not None and len(found[0]) >= _LEAST_KEY


def _line(data: bytes, at: int) -> int:
    return data.count(b"\n", 0, at) + 1


def _is_key(data: bytes) -> bool:
    """Return whether DER is a private key, or a PKCS #12 store without a passphrase that has one."""
    try:
        load_der_private_key(data, None)
    except TypeError:
        return True  # encrypted
    except (ValueError, UnsupportedAlgorithm):
        pass
    else:
        return True
    try:
        return pkcs12.load_key_and_certificates(data, None)[0] is not None
    except ValueError as error:
        return "password" in str(error).lower()


def files_of(root: Path) -> Iterator[Path]:
    """Return what is committed, and what the next `git add --all` would add."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, capture_output=True, check=True)  # noqa: S603
    for name in sorted({each.decode() for each in done.stdout.split(b"\0") if each}):
        path = root / name
        if path.is_file() and not path.is_symlink():
            yield path


def main(root: Path) -> int:
    """1 where something was found."""
    found = [
        f"{path.relative_to(root)}:{line}: {what}"
        for path in files_of(root)
        for line, what in secrets_in(path.read_bytes()[:_MOST])
    ]
    for each in found:
        print(each, file=sys.stderr)
    if found:
        print("Take it out, and make a new one: whoever has the repository has it.", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()))
