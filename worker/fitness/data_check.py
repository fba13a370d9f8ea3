"""Whether the data root of a worker has anything in it.

Only a job whose data are missing makes a worker look: a data root may be empty for a good reason.
"""

import os
from pathlib import Path


def problem(root: Path) -> str | None:
    """Why no job finds its data in the root, and what to do; None if some may."""
    try:
        with os.scandir(root) as entries:
            empty = next(entries, None) is None
    except OSError as exc:
        return f"the data root {root} cannot be read: {exc.strerror}; mount it"
    return f"the data root {root} is empty: mount the data" if empty else None
