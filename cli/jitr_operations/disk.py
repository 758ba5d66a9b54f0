"""A disk that is full, whatever found out."""

import errno

NO_ROOM = "there is no room left on the disk. Temporary files are made where TMPDIR says"


def is_full(problem: BaseException) -> bool:
    """Return whether an error says that a disk has no room left, or the user no more of it."""
    if isinstance(problem, OSError):
        return problem.errno in (errno.ENOSPC, errno.EDQUOT)
    # By name: most commands need no SQLite. https://www.sqlite.org/rescode.html#full
    return type(problem).__module__ == "sqlite3" and getattr(problem, "sqlite_errorname", None) == "SQLITE_FULL"
