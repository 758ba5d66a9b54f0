"""Files that commands read and write: certificates, requests, keys, passphrases.

What is read is bounded in size, and whatever is wrong with it is told with the file's name and what to do. What is
written appears whole or not at all, keys for their owner only, and nothing is overwritten unless told.
"""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from jitr.errors import InputError, Unreadable
from jitr.unseen import first_unseen, quote, written_out
from jitr_operations import telling

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    from jitr.x509.signing_request import RequestReading
    from jitr_operations.certificates import Certificate

    PrivateKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

MAX_FILE = 64 * 1024  # bytes of a certificate, request or key file
MAX_PASSPHRASE = 1024
PIECE = 1 << 16  # bytes of a larger file that are read at once
BYTE_ORDER_MARK = "\ufeff"  # before CSV in UTF-8, which Excel takes for something else without it
MAX_NAME = 200  # bytes; file systems take 255, and suffixes come on top

Ask: TypeAlias = Callable[[], bytes]


# --- reading


def read_bytes(path: Path, limit: int = MAX_FILE) -> bytes:
    """Return a file's content. Raises InputError if it cannot be read or has more than ``limit`` bytes."""
    data = beginning_of(path, limit + 1)
    if len(data) > limit:
        raise InputError(f"{path} has more than {limit} bytes: it is not the file that belongs here")
    return data


def beginning_of(path: Path, length: int) -> bytes:
    """Return at most so many bytes of a file. Raises InputError if it cannot be read."""
    return next(pieces_of(path, length), b"")


def pieces_of(path: Path, length: int = PIECE) -> Iterator[bytes]:
    """Yield a file of any size, so many bytes at a time.

    Raises InputError if it cannot be read: an error of the disk does not name the file by itself.
    """
    try:
        with path.open("rb") as file:
            while piece := file.read(length):
                yield piece
    except OSError as problem:
        raise InputError(f"{path}: {problem.strerror}") from None


def read_certificate(path: Path) -> "Certificate":
    """Read the certificate in a file, PEM or DER; of a bundle the first, and a note says so. Raises InputError."""
    return certificate_in(read_bytes(path), str(path))


def certificate_in(data: bytes, name: str) -> "Certificate":
    """Return the certificate in what a file of that name holds. As ``read_certificate``."""
    from jitr_operations.certificates import read

    try:
        certificate = read(data)
    except Unreadable as problem:
        raise InputError(f"{name}: {problem}") from None
    if certificate.own.taken:
        telling.note(f"{name}: {certificate.own.taken}")
    return certificate


def read_request(path: Path) -> "RequestReading":
    """Read the certificate signing request in a file, PEM or DER. Raises InputError."""
    from jitr.x509 import signing_request

    data = read_bytes(path)
    try:
        return signing_request.read_request(data)
    except InputError as problem:
        raise InputError(f"{path}: {problem}") from None


def read_private_key(path: Path, ask: Ask) -> "PrivateKey":
    """Return the private key in a PEM file; call ``ask`` for the passphrase only if the key is encrypted.

    Raises InputError for what is not a key, a wrong passphrase, and keys that are neither RSA nor EC.
    """
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    data = read_bytes(path)
    label = _label(data)
    if label is None or not (label.endswith("PRIVATE KEY") or label == "EC PARAMETERS"):
        raise InputError(
            f"{path} holds {_what(label)}, not a private key: give the file that begins with "
            "-----BEGIN PRIVATE KEY----- or the like"
        )
    key = _loaded_key(path, data, ask)
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise InputError(f"{path} holds a key that is neither RSA nor EC: AWS IoT takes only those")
    return key


# Files that name a key which stays in hardware: https://www.hansenpartnership.com/draft-bottomley-tpm2-keys.html,
# RFC 7512 and the URI file of pkcs11-provider.
_KEPT_BY_LABEL = {
    "TSS2 PRIVATE KEY": "a TPM 2.0",
    "TSS PRIVATE KEY": "a TPM 1.2",
    "PKCS#11 PROVIDER URI": "a PKCS #11 token",
}
_PKCS11 = "pkcs11:"


def keeper_of(path: Path) -> str | None:
    """Return what keeps the key that a file, or a PKCS #11 URI in its place, only names; None for any other file.

    Raises InputError for a file that cannot be read.
    """
    if str(path).lower().startswith(_PKCS11):
        return "a PKCS #11 token"
    data = read_bytes(path)
    if data.lstrip()[: len(_PKCS11)].lower() == _PKCS11.encode():
        return "a PKCS #11 token"
    return _KEPT_BY_LABEL.get(_label(data) or "")


def _loaded_key(path: Path, data: bytes, ask: Ask) -> object:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(data, None)
    except TypeError:  # cryptography's answer to an encrypted key
        passphrase = ask()
    except (ValueError, UnsupportedAlgorithm):
        raise InputError(
            f"{path}: this private key cannot be read: it is damaged, or neither RSA nor EC on a named curve; "
            "`openssl pkey -check` says more"
        ) from None
    try:
        return load_pem_private_key(data, passphrase)
    except (ValueError, UnsupportedAlgorithm):
        raise InputError(f"{path}: the passphrase is wrong, or the key is damaged") from None


def passphrase_from(file: Path | None, key: Path, option: str = "--passphrase-file") -> Ask:
    """How to get the passphrase of a key: from the first line of a file, or else from whoever sits at the terminal."""

    def ask() -> bytes:
        if file is not None:
            return read_passphrase(file)
        answer = telling.secret(f"Passphrase of {written_out(str(key))}")
        if answer is None:
            raise InputError(f"{key} is encrypted, and there is no terminal to ask on: give its passphrase in {option}")
        return answer.encode()

    return ask


def read_passphrase(file: Path) -> bytes:
    """Return a passphrase file's first line without its line end. Raises InputError if it is empty."""
    first = read_bytes(file, MAX_PASSPHRASE).split(b"\n")[0].removesuffix(b"\r")
    if not first:
        raise InputError(f"{file}: its first line should be the passphrase, and it is empty")
    return first


def require_pair(certificate: "Certificate", path: Path, key: "PrivateKey", key_path: Path) -> None:
    """Raise InputError if the key is not the certificate's own."""
    if certificate.ca.key != key.public_key():
        raise InputError(f"{key_path} is not the key of {path}: give the key that this certificate was made with")


_BEGIN = b"-----BEGIN "


def _label(data: bytes) -> str | None:
    """Return the label of the first PEM block (RFC 7468 section 2), if there is one."""
    _, begun, rest = data.partition(_BEGIN)
    label, ended, _ = rest[:80].partition(b"-----")
    return label.decode("ascii", "replace") if begun and ended else None


def _what(label: str | None) -> str:
    """Say in words what a file with such a block holds."""
    if label is None:
        return "no PEM"
    if label.endswith("PRIVATE KEY"):
        return "a private key"
    words = {
        "CERTIFICATE": "a certificate",
        "CERTIFICATE REQUEST": "a certificate signing request",
        "PUBLIC KEY": "a public key",
        "X509 CRL": "a revocation list",
    }
    return words.get(label.removeprefix("NEW "), repr(label))


# --- writing

_COVER = ".jitr-"  # what the folder's name begins with in which files are written


def file_name(name: str) -> str:
    """Return the name unchanged if a file can have it. Raises InputError for a path, a hidden name or an option."""
    reason = None
    if not name:
        reason = "it is empty"
    elif any(each in "/\\" for each in name) or not name.isprintable() or first_unseen(name):
        reason = "it has a slash, a backslash or a character in it that does not show"
    elif name.startswith((".", "-")):
        reason = f"it begins with {quote(name[0])}"
    elif len(name.encode("utf-8", "replace")) > MAX_NAME:
        reason = f"it has more than {MAX_NAME} bytes"
    if reason:
        raise InputError(f"{quote(name[:MAX_NAME])} cannot be the name of a file: {reason}")
    return name


@dataclass
class Staged:
    """Files on their way into ``directory``: written beside it under cover, and moved there together at the end."""

    directory: Path
    cover: Path
    force: bool
    _names: list[str] = field(default_factory=list)

    def write(self, name: str, data: bytes, *, private: bool = False) -> Path:
        """Write a file, for its owner only if ``private``; the path it will have."""
        return self.write_pieces(name, [data], private=private)

    def write_pieces(self, name: str, pieces: Iterable[bytes], *, private: bool = False) -> Path:
        """Write a file that need not be in memory whole, as ``write`` does."""
        mode = 0o600 if private else 0o644
        with os.fdopen(os.open(self.cover / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.writelines(pieces)
        self._names.append(name)
        return self.directory / name

    def commit(self) -> None:
        """Move all of them into place, or none."""
        moved: list[str] = []
        try:
            for name in self._names:
                self._move(name)
                moved.append(name)
        except BaseException:
            for name in moved:
                self._take_back(name)
            raise

    def _move(self, name: str) -> None:
        final = self.directory / name
        if not self.force:
            _move_without_overwriting(self.cover / name, final)
            return
        if final.exists() or final.is_symlink():
            final.replace(self._old(name))
        try:
            (self.cover / name).replace(final)
        except BaseException:
            self._take_back(name)
            raise

    def _take_back(self, name: str) -> None:
        final = self.directory / name
        final.unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            self._old(name).replace(final)

    def _old(self, name: str) -> Path:
        return self.cover / f"{name}.old~"


def _move_without_overwriting(source: Path, target: Path) -> None:
    try:
        os.link(source, target)  # fails where the target exists, whoever made it meanwhile
    except FileExistsError:
        raise InputError(f"{target} exists: --force replaces it") from None
    except OSError:  # a file system without hard links
        if target.exists() or target.is_symlink():
            raise InputError(f"{target} exists: --force replaces it") from None
        source.replace(target)


@contextmanager
def staged(directory: Path, names: Iterable[str], *, force: bool) -> Iterator[Staged]:
    """Write files of these names into ``directory``, made if need be: all of them when the block ends, or none.

    Raises InputError before the block for names that are taken (unless ``force``) and directories that cannot be
    written, so that no key is made in vain.
    """
    names = list(names)
    _refuse_taken(directory, names, force)
    made: list[Path] = []
    try:
        made = _make(directory)
        with tempfile.TemporaryDirectory(prefix=_COVER, dir=directory) as cover:  # mode 0700
            stage = Staged(directory, Path(cover), force)
            yield stage
            stage.commit()
    except BaseException as problem:
        for each in reversed(made):
            with contextlib.suppress(OSError):
                each.rmdir()
        if isinstance(problem, OSError) and not isinstance(problem, BrokenPipeError):
            raise InputError(f"{_as_named(problem, directory, names)}: {problem.strerror or problem}") from problem
        raise


def _as_named(problem: OSError, directory: Path, names: Sequence[str]) -> Path:
    """Return which file a problem is of as somebody named it: what is under cover has another name."""
    path = Path(problem.filename or directory)
    if path.parent.name.startswith(_COVER):
        return directory / path.name
    if path.name.startswith(_COVER):
        return directory / names[0] if len(names) == 1 else directory
    return path


def _refuse_taken(directory: Path, names: Iterable[str], force: bool) -> None:
    if directory.exists() and not directory.is_dir():
        raise InputError(f"{directory} is a file: name a directory")
    for name in names:
        path = directory / name
        if path.is_dir():
            raise InputError(f"{path} is a directory: choose another name")
        if not force and (path.exists() or path.is_symlink()):
            raise InputError(f"{path} exists: choose another name, or --force replaces it")


def _make(directory: Path) -> list[Path]:
    """Make a directory and its parents; those that were made, the outermost first."""
    missing = [each for each in (directory, *directory.parents) if not each.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    return missing[::-1]
