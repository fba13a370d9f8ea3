"""The release before this version, for tests in which both run side by side.

Here are its wheel, and `grants.sql` of its repository. CONTRIBUTING.md says when to replace them.
"""

import zipfile
from pathlib import Path

FOLDER = Path(__file__).parent
(WHEEL,) = FOLDER.glob("fornada-*.whl")
VERSION = WHEEL.name.split("-")[1]
GRANTS = FOLDER / "grants.sql"


def install(folder: Path) -> Path:
    """Unpack the release; the packages of this environment serve it.

    Args:
        folder: does not exist yet.
    Returns:
        The folder.
    """
    with zipfile.ZipFile(WHEEL) as wheel:
        wheel.extractall(folder)
    return folder


def environment(installed: Path) -> dict[str, str]:
    """The variable with which the programs of this environment run the code of the release."""
    return {"PYTHONPATH": str(installed)}
