"""What to say about files that cannot be read or written: which one, whose it is, what to do."""

import errno
import os
from pathlib import Path

from fornada.cli.exit_codes import ExitCode, ExitWith

_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_FULL = (errno.ENOSPC, errno.EDQUOT)


def explained(error: Exception) -> ExitWith | None:
    """The exit for an error of the operating system that a person can mend; None for another."""
    if not isinstance(error, OSError):
        return None
    if isinstance(error, FileNotFoundError) and _current_folder_is_gone():
        return ExitWith(
            ExitCode.USAGE, "The current folder no longer exists: cd to a folder that does."
        )
    if error.errno in _FULL:
        where = f" of {os.fsdecode(error.filename)}" if error.filename is not None else ""
        return ExitWith(
            ExitCode.WRONG_STATE, f"The disk{where} is full: {error.strerror}. Free some space."
        )
    if error.errno in _FORBIDDEN and error.filename is not None:
        return ExitWith(ExitCode.WRONG_STATE, _forbidden(error))
    return None


def _forbidden(error: OSError) -> str:
    from fornada.db.accounts import owner_of, this_account

    path = Path(os.fsdecode(error.filename))
    owner = owner_of(path)
    whose = f" It belongs to {owner}; this command runs as {this_account()}." if owner else ""
    return f"{path}: {error.strerror}.{whose} Use an account that may, or another folder."


def _current_folder_is_gone() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False
