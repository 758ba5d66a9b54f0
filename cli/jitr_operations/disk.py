"""A disk that takes no more, or nothing at all, whatever found out."""

import errno

_NO_ROOM = "there is no room left on the disk. Temporary files are made where TMPDIR says"
_NO_FOLDER = "temporary files can be made nowhere here. TMPDIR may say where"


def refusal(problem: BaseException) -> str | None:
    """Return in words that a disk took no file, or no more of it; None where an error says something else."""
    if _is_full(problem):
        return _NO_ROOM
    # ``tempfile`` names no file, where a container's file systems are for reading only.
    no_folder = isinstance(problem, FileNotFoundError) and "temporary directory" in str(problem.strerror)
    return _NO_FOLDER if no_folder else None


def _is_full(problem: BaseException) -> bool:
    if isinstance(problem, OSError):
        return problem.errno in (errno.ENOSPC, errno.EDQUOT)
    # By name: most commands need no SQLite. https://www.sqlite.org/rescode.html#full
    return type(problem).__module__ == "sqlite3" and getattr(problem, "sqlite_errorname", None) == "SQLITE_FULL"
