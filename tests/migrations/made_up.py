"""Revisions that a test makes up: they stand for those of later versions."""

import shutil
from pathlib import Path

from fornada.db.migrations import HEAD, revisions

NUMBER = "9999"
FILE = '''"""A revision that a test made up."""

import sqlalchemy as sa
from alembic import op

revision = "{number}"
down_revision = "{head}"
branch_labels = None
depends_on = None

LOCKS = {locks}
SECONDS = {{"postgresql": 0.0, "sqlite": 0.0}}
{more}

def upgrade() -> None:
    {upgrade}
'''


def folder_with(
    folder: Path, upgrade: str, *, locks: dict[str, str] | None = None, more: str = ""
) -> Path:
    """A copy of Alembic's folder with one more revision.

    Args:
        folder: does not exist yet.
        upgrade: the statement of Python that changes the schema.
        locks: the tables that it locks.
        more: further lines of the file.
    """
    shutil.copytree(revisions.FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
    text = FILE.format(number=NUMBER, head=HEAD, locks=locks or {}, upgrade=upgrade, more=more)
    (folder / "versions" / f"r{NUMBER}_made_up.py").write_text(text)
    return folder
