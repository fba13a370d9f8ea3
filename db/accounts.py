"""The accounts of this machine: who runs this process, and whose a file is."""

import os
import pwd
from pathlib import Path


def this_account() -> str:
    """The name of the account that runs this process, or its number if it has no name."""
    return _name(os.geteuid())


def owner_of(path: Path) -> str | None:
    """The owner of a file, or of the nearest folder above it that this process can see.

    >>> owner_of(Path("/no/such/file")) == owner_of(Path("/"))
    True
    """
    for each in (path, *path.parents):
        try:
            return _name(each.stat().st_uid)
        except OSError:
            continue
    return None


def ownership(path: Path) -> str:
    """A sentence that says whose a file is, and who runs this process."""
    return f"It belongs to {owner_of(path)}; this command runs as {this_account()}."


def _name(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"
