"""Check that recorded files still exist, so that answers say which files are gone.

If a machine does not see the folder of artifacts, it cannot tell, and the answer is None.
"""

import stat
from collections.abc import Iterable, Iterator
from enum import Enum, auto
from pathlib import Path

from fornada import artifacts
from fornada.db.answers import FileAnswer, HistoryAnswer, JobAnswer, LiveAnswer
from fornada.db.reads import attempt_folders
from fornada.db.states import FINAL_STATES
from fornada.db.store.session import Database
from fornada.settings import Settings

# Documents that name files.
Recorded = JobAnswer | HistoryAnswer | LiveAnswer


class Found(Enum):
    """What was found at the path of a recorded file."""

    THERE = auto()
    # The file has another size, or the job's folder exists without the file.
    GONE = auto()
    # Neither the file nor the job's folder exists: perhaps the artifacts are not mounted here.
    NOTHING = auto()
    # The operating system gave another error, for example that access is refused.
    UNREADABLE = auto()


class Presence:
    """Checks the files that documents of jobs name.

    Make a new object for each answer, because it remembers which folders exist.

    Args:
        settings: where the artifacts are.
        database: has the folders of other jobs that ran on the same host.
    """

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._hosts: dict[str, bool] = {}

    def mark(self, jobs: Iterable[Recorded]) -> None:
        """Add `exists` to each file that these documents name.

        `exists` is True if the file exists with its recorded size, False if it is gone or has
        another size, and None if this machine cannot tell. Before a job has ended, its files may
        still grow, so their size is not compared.

        Args:
            jobs: documents of `show`, or rows of `ls` and `ps`.
        """
        unseen: list[tuple[int, FileAnswer]] = []
        for job in jobs:
            final = job["state"] in FINAL_STATES
            for record in _records(job):
                found = self._find(record, compare_size=final)
                gone = found is Found.GONE or (found is Found.NOTHING and self._all_is_local)
                record["exists"] = True if found is Found.THERE else False if gone else None
                if found is Found.NOTHING and not gone and final:
                    unseen.append((job["id"], record))
        # If this machine sees folders of other jobs of the same host, the artifacts are mounted
        # here, so these files are gone.
        hosts = attempt_folders.hosts(self._database, {job for job, _ in unseen}) if unseen else {}
        for job_id, record in unseen:
            record["exists"] = False if self._sees(hosts.get(job_id)) else None

    def _find(self, record: FileAnswer, *, compare_size: bool) -> Found:
        path = artifacts.path(self._settings, record["uri"])
        try:
            status = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return Found.GONE if self._folder_exists(path) else Found.NOTHING
        except OSError:
            return Found.UNREADABLE
        size = record["bytes"]
        wrong = compare_size and size is not None and status.st_size != size
        return Found.GONE if wrong and stat.S_ISREG(status.st_mode) else Found.THERE

    def _folder_exists(self, path: Path) -> bool:
        """Whether a folder between the root of the artifacts and the file exists here."""
        root = self._settings.artifacts_folder
        folders = [folder for folder in path.parents if folder.is_relative_to(root)]
        return any(folder.exists() for folder in folders if folder != root)

    @property
    def _all_is_local(self) -> bool:
        """Whether all workers run on this machine and write to the folder that we look at."""
        default_folder = self._settings.artifacts is None
        mounted = default_folder or self._settings.artifacts_folder.is_dir()
        return self._settings.embedded and mounted

    def _sees(self, host: str | None) -> bool:
        """Whether this machine sees the folder of any job that ran on this host."""
        if host is None:
            return False
        if host not in self._hosts:
            uris = attempt_folders.folders_of(self._database, host)
            found = (artifacts.path(self._settings, uri).exists() for uri in uris)
            self._hosts[host] = any(found)
        return self._hosts[host]


def _records(job: Recorded) -> Iterator[FileAnswer]:
    """All files that a document names."""
    if job["best"] is not None:
        yield job["best"]
    if "artifacts" in job:
        yield from job["artifacts"]
