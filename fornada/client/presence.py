"""Whether recorded files are still there, so that none is named that is not.

A machine may not see the folder of artifacts: then nobody can tell, and the answer is None.
"""

import stat
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from enum import Enum, auto
from pathlib import Path
from typing import Any

from fornada import artifacts
from fornada.db.reads import attempt_folders
from fornada.db.states import FINAL_STATES
from fornada.db.store.session import Database
from fornada.settings import Settings

Record = MutableMapping[str, Any]


class Seen(Enum):
    """What a look at a recorded file's path has shown."""

    THERE = auto()
    # A file of another size, or the rest of the job's folder without it.
    GONE = auto()
    NOTHING = auto()
    # The system does not let us look.
    REFUSED = auto()


class Presence:
    """Looks at the files that documents of jobs name.

    Make a new one for each answer: folders come and go.

    Args:
        settings: say where artifacts lie.
        database: tells which other folders should be beside those of a job.
    """

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._hosts: dict[str, bool] = {}

    def mark(self, jobs: Iterable[Mapping[str, Any]]) -> None:
        """Put `exists` beside each file that these documents name.

        It is true where the file is there, as large as recorded; false where it is gone; None
        where this machine does not see the folder of artifacts. As long as a job runs its files
        grow, and may be of any size.

        Args:
            jobs: documents of `show`, or rows of `ls` and `ps`.
        """
        unseen: list[tuple[int, Record]] = []
        for job in jobs:
            final = job["state"] in FINAL_STATES
            for record in _records(job):
                look = self._look(record, sized=final)
                gone = look is Seen.GONE or (look is Seen.NOTHING and self._ours)
                record["exists"] = True if look is Seen.THERE else False if gone else None
                if look is Seen.NOTHING and not gone and final:
                    unseen.append((job["id"], record))
        hosts = attempt_folders.hosts(self._database, {job for job, _ in unseen}) if unseen else {}
        for job_id, record in unseen:
            record["exists"] = False if self._sees(hosts.get(job_id)) else None

    def _look(self, record: Record, *, sized: bool) -> Seen:
        path = artifacts.path(self._settings, record["uri"])
        try:
            status = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return Seen.GONE if self._beside(path) else Seen.NOTHING
        except OSError:
            return Seen.REFUSED
        size = record["bytes"]
        wrong = sized and size is not None and status.st_size != size
        return Seen.GONE if wrong and stat.S_ISREG(status.st_mode) else Seen.THERE

    def _beside(self, path: Path) -> bool:
        """Whether the folder of the job that the file belongs to is here."""
        root = self._settings.artifacts_folder
        return any(one.exists() for one in path.parents if one.is_relative_to(root) and one != root)

    @property
    def _ours(self) -> bool:
        """Whether all workers are on this machine, and write where we look."""
        own = self._settings.artifacts is None
        return self._settings.embedded and (own or self._settings.artifacts_folder.is_dir())

    def _sees(self, host: str | None) -> bool:
        """Whether folders of other jobs that ran on the same host are here."""
        if host is None:
            return False
        if host not in self._hosts:
            uris = attempt_folders.folders_of(self._database, host)
            found = (artifacts.path(self._settings, uri).exists() for uri in uris)
            self._hosts[host] = any(found)
        return self._hosts[host]


def _records(job: Mapping[str, Any]) -> Iterator[Record]:
    """Every file that a document names."""
    if job["best"] is not None:
        yield job["best"]
    yield from job.get("artifacts", ())
