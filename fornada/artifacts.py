"""Where the files of an attempt lie, and the URIs that the database records for them.

A URI is relative to the artifacts folder. So it is valid on every host that mounts the folder, at
any mount point.
"""

import re
from pathlib import Path, PurePosixPath

from fornada.db.records import UID_PATTERN
from fornada.errors import SettingsError
from fornada.settings import Settings

SCHEME = "artifacts:"


def attempt_folder(settings: Settings, uid: str, attempt: int) -> Path:
    """Folder that one attempt writes to. It may not exist yet.

    Args:
        settings: give the artifacts folder.
        uid: the job's id.
        attempt: number of the attempt, from 1.
    Raises:
        ValueError: the uid is not one, so the folder could lie anywhere.
    """
    if re.fullmatch(UID_PATTERN, uid) is None:
        raise ValueError(f"{uid!r} is not the uid of a job")
    return settings.artifacts_folder / uid / f"attempt-{attempt}"


def uri(settings: Settings, path: Path) -> str:
    """URI of a file in the artifacts folder.

    Raises:
        ValueError: the path lies outside the artifacts folder.
    """
    relative = path.absolute().relative_to(settings.artifacts_folder)
    return SCHEME + relative.as_posix()


def path(settings: Settings, uri: str) -> Path:
    """The path on this host that a URI names. The file may not exist.

    Raises:
        SettingsError: the URI has another scheme, or leads out of the artifacts folder.
    """
    scheme, relative = uri[: len(SCHEME)], PurePosixPath(uri[len(SCHEME) :])
    if scheme != SCHEME or relative.is_absolute() or ".." in relative.parts:
        raise SettingsError(
            f'artifact "{uri}" is not a path under the artifacts folder; '
            f"expected {SCHEME}<uid>/attempt-<n>/<file>"
        )
    return settings.artifacts_folder / relative
