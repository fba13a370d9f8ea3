"""${message}"""

import sqlalchemy as sa
from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None

# The tables that exist before and are locked until the upgrade ends, each with the statements that
# wait: "all" or "writes".
LOCKS: dict[str, str] = {}
# Seconds for each million jobs, see tests/migrations/durations.py.
SECONDS = {"postgresql": 0.0, "sqlite": 0.0}
# Only if the code of earlier revisions does not work with this schema:
# WORKS_SINCE = revision


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
