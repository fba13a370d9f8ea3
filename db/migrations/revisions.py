"""What the files of the revisions say: what each one does, what it locks, whom it shuts out.

Besides `upgrade` and `downgrade`, each file has these constants:

- `LOCKS`: the tables that exist before and are locked until the upgrade ends, each with the
  statements that wait, `all` or `writes`. SQLite locks the whole file.
- `SECONDS`: how long it takes for each million jobs, on each database.
- `WORKS_SINCE`, only if the code of earlier revisions does not work with the new schema: the oldest
  revision whose code does, which is the revision itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from fornada.db.store.table_locks import LockedOut

if TYPE_CHECKING:
    from alembic.config import Config

# Alembic's folder, with `env.py` and `versions`.
FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Revision:
    """One revision of the schema, as its file says.

    Args:
        number: its number, such as `0005`.
        does: what it does, in one sentence.
        locks: the tables that it locks, each with the statements that wait.
        seconds: seconds for each million jobs, by the name of the database.
        works_since: the oldest revision whose code works with it; None if it leaves that as it was.
    """

    number: str
    does: str
    locks: Mapping[str, LockedOut]
    seconds: Mapping[str, float]
    works_since: str | None

    def seconds_with(self, jobs: int, dialect: str) -> float:
        """About how long it takes with so many jobs; `dialect` is the name of the database."""
        return self.seconds[dialect] * jobs / 1_000_000


def revisions(before: str | None = None, last: str | None = None) -> tuple[Revision, ...]:
    """Revisions, the oldest first.

    Args:
        before: leave out this one and older ones.
        last: leave out newer ones.
    """
    from alembic.script import ScriptDirectory

    newest_first = ScriptDirectory.from_config(config()).walk_revisions()
    found = [_revision(each.revision, each.module) for each in newest_first]
    return tuple(
        each
        for each in reversed(found)
        if each.number > (before or "") and (last is None or each.number <= last)
    )


def locks_of(found: tuple[Revision, ...]) -> dict[str, LockedOut]:
    """The tables that these revisions lock together, and the statements that wait."""
    locks: dict[str, LockedOut] = {}
    for each in found:
        for table, waits in each.locks.items():
            locks[table] = max(waits, locks.get(table, waits))
    return locks


def works_since(last: str) -> str | None:
    """The oldest revision whose code works with the schema of a revision.

    None for schemas before 0005: only the code of the same revision works with those.
    """
    said = [each.works_since for each in revisions(last=last) if each.works_since]
    return said[-1] if said else None


def config(connection: Connection | None = None) -> "Config":
    """The configuration of Alembic, for changes in the transaction of a connection."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    attributes: dict[Any, Any] = config.attributes
    attributes["connection"] = connection
    return config


def _revision(number: str, file: Any) -> Revision:
    return Revision(
        number,
        does=file.__doc__.splitlines()[0],
        locks={table: LockedOut[waits.upper()] for table, waits in file.LOCKS.items()},
        seconds=file.SECONDS,
        works_since=getattr(file, "WORKS_SINCE", None),
    )
