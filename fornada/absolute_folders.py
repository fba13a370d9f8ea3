"""Makes the folders of a recorded spec absolute, so that its document can be submitted again."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

FOLDERS = ("train", "validation", "test")


def absolute(spec: Mapping[str, Any], data_root: Path) -> dict[str, Any]:
    """A copy of a spec's document with absolute paths.

    A record holds paths relative to the data root, because each host may have another one. A path
    of a new spec begins at the current folder.

    Args:
        spec: the document of a spec; what is no document of a spec stays as it is.
        data_root: the folder that holds all data on this host.

    >>> absolute({"data": {"train": "a", "test": {"folder": "b"}}}, Path("/srv"))
    {'data': {'train': '/srv/a', 'test': {'folder': '/srv/b'}}}
    """
    data = spec.get("data")
    if not isinstance(data, Mapping):
        return dict(spec)
    folders = {role: _absolute(data[role], data_root) for role in FOLDERS if role in data}
    return {**spec, "data": {**data, **folders}}


def _absolute(stored: Any, data_root: Path) -> Any:
    if isinstance(stored, Mapping) and isinstance(stored.get("folder"), str):
        return {**stored, "folder": _absolute(stored["folder"], data_root)}
    return str(data_root.absolute() / stored) if isinstance(stored, str) else stored
