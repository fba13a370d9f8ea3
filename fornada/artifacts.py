"""Where the files of an attempt lie, and the URIs under which they are recorded.

A URI is relative to the artifacts folder, so that it holds on every host that mounts the folder,
wherever it mounts it.
"""

from pathlib import Path, PurePosixPath

from fornada.errors import SettingsError
from fornada.settings import Settings

SCHEME = "artifacts:"


def attempt_folder(settings: Settings, uid: str, attempt: int) -> Path:
    """Folder that one attempt writes to; it may not exist yet.

    Args:
        settings: say where artifacts lie.
        uid: of the job.
        attempt: numbered from 1.
    """
    return settings.artifacts_folder / uid / f"attempt-{attempt}"


def uri(settings: Settings, path: Path) -> str:
    """URI of a file in the artifacts folder.

    Raises:
        ValueError: the path lies elsewhere.
    """
    relative = path.absolute().relative_to(settings.artifacts_folder)
    return SCHEME + relative.as_posix()


def path(settings: Settings, uri: str) -> Path:
    """The file on this host that a URI names; it may not be there.

    Raises:
        SettingsError: the URI has another scheme, or leads out of the artifacts folder.
    """
    scheme, relative = uri[: len(SCHEME)], PurePosixPath(uri[len(SCHEME) :])
    if scheme != SCHEME or relative.is_absolute() or ".." in relative.parts:
        raise SettingsError(
            f'artifact "{uri}" is no path under the artifacts folder; '
            f"expected {SCHEME}<uid>/attempt-<n>/<file>"
        )
    return settings.artifacts_folder / relative
