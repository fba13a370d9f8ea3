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
        path = Path(os.fsdecode(error.filename))
        code = ExitCode.UNREACHABLE if _in_the_home(path) else ExitCode.WRONG_STATE
        return ExitWith(code, _forbidden(error, path))
    return None


def _in_the_home(path: Path) -> bool:
    """Whether a path belongs to the home, which holds the database."""
    from fornada.errors import SettingsError
    from fornada.settings import Settings

    try:
        return path.is_relative_to(Settings().home)
    except SettingsError:
        # The command that failed needs no settings.
        return False


def _forbidden(error: OSError, path: Path) -> str:
    from fornada.db.accounts import ownership

    return (
        f"{path}: {error.strerror}. {ownership(path)} Use an account that may, or another folder."
    )


def _current_folder_is_gone() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False
