"""What can be wrong with the file of an SQLite database: it, its folder or its disk."""

from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from fornada.db.accounts import owner_of, ownership, this_account


class FileTrouble(Enum):
    """Why the file of a database cannot be used."""

    # It can be read, but not written.
    READ_ONLY = auto()
    UNREADABLE = auto()
    DISK_FULL = auto()


_TODO = {
    FileTrouble.READ_ONLY: "Commands that change nothing work here. To change something, use an "
    "account that may write there, or a home of your own: FORNADA_HOME.",
    FileTrouble.UNREADABLE: "Use an account that may read it, or a home of your own: FORNADA_HOME.",
    FileTrouble.DISK_FULL: "This change was not made. Free some space; fornada data gc --all "
    "removes the packs that no job uses.",
}


@dataclass(frozen=True)
class FileProblem:
    """Why the file of a database cannot be used.

    Args:
        trouble: the kind of problem.
        path: the file.
    """

    trouble: FileTrouble
    path: Path

    @property
    def sentence(self) -> str:
        """What is wrong, and whose the file is."""
        if self.trouble is FileTrouble.DISK_FULL:
            return f"The disk of the database {self.path} is full."
        # Its owner cannot write a file that is protected, or that is on a read-only disk.
        why = ownership(self.path) if owner_of(self.path) != this_account() else ""
        can = "cannot be written" if self.trouble is FileTrouble.READ_ONLY else "cannot be read"
        return " ".join([f"The database {self.path} {can}.", why]).strip()

    @property
    def todo(self) -> str:
        """What to do about it."""
        return _TODO[self.trouble]
