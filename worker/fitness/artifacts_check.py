"""Whether the artifacts folder of a worker can be written, and is the one of its database.

A folder that names the database in its marker is the right one. A folder that does not is adopted
if it must be right: it lies in the home of an embedded stack, or no trainer of the database has
begun a job yet, or it has the folder of a job that one has begun. Any other may be the place where
a share should be mounted. So is a folder that has lost its marker while the worker ran, although it
has the folder of a job: a running job makes its folder again where the share was.
"""

import itertools
import os
import re

from fornada import fleet_marker
from fornada.db.errors import DatabaseUnreachable, NotPermitted
from fornada.db.reads import attempt_folders
from fornada.db.records import UID_PATTERN
from fornada.db.store.session import Database
from fornada.settings import Settings
from fornada.worker.host.probe import write_and_remove

# Most folders of a folder without a marker that are looked up in the database.
MOST_FOLDERS = 1000


class ArtifactsCheck:
    """Looks at the artifacts folder of one worker.

    Args:
        settings: give the folder.
        database: knows the jobs whose folders it should have.
        fleet: uid of the database.
        worker: name of the worker, which names the file that a look creates and removes.
    """

    def __init__(self, settings: Settings, database: Database, fleet: str, worker: str) -> None:
        self._folder = settings.artifacts_folder
        self._private = settings.embedded and settings.artifacts is None
        self._database = database
        self._fleet = fleet
        # Whether a look of this worker has found the marker. A folder that loses it was replaced.
        self._marked = False
        self._probe = self._folder / f".fornada-probe-{worker}"

    @property
    def hangs(self) -> str:
        """What is wrong when a look does not come to its end."""
        return f"the artifacts folder {self._folder} does not answer: look at its file server"

    def problem(self) -> str | None:
        """Why no job can leave its files in the folder, and what to do; None if one can."""
        try:
            if not fleet_marker.names(self._folder, self._fleet):
                if (stranger := self._stranger()) is not None:
                    return stranger
                fleet_marker.write(self._folder, self._fleet)
            self._marked = True
            write_and_remove(self._probe)
        except OSError as exc:
            return f"the artifacts folder {self._folder} cannot be written: {exc.strerror}"
        except (DatabaseUnreachable, NotPermitted):
            return f"the database does not answer, so whose {self._folder} is, is not known"
        return None

    def _stranger(self) -> str | None:
        """Why a folder that does not name the database may not be adopted; None if it may."""
        if self._private or (not self._marked and self._has_job()):
            return None
        marked = fleet_marker.exists(self._folder)
        if not marked and not attempt_folders.any_begun(self._database):
            return None
        if not self._folder.is_dir():
            said = "does not exist"
        elif marked:
            said = f"belongs to another database, as its {fleet_marker.NAME} says"
        else:
            said = f"has no {fleet_marker.NAME} and no job of this database"
        return (
            f"the artifacts folder {self._folder} {said}: mount the folder that all workers share, "
            f"or set FORNADA_ARTIFACTS to it; if it is the right one: fornada-worker "
            f"--adopt-artifacts"
        )

    def _has_job(self) -> bool:
        """Whether the folder has the folder of a job that a trainer has begun."""
        try:
            with os.scandir(self._folder) as entries:
                names = (entry.name for entry in entries)
                uids = (name for name in names if re.fullmatch(UID_PATTERN, name))
                some = list(itertools.islice(uids, MOST_FOLDERS))
        except FileNotFoundError:
            return False
        return bool(some) and attempt_folders.any_begun_of(self._database, some)
