"""Claims and beats that take no longer when a hundred thousand jobs wait."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

LOCKS = {"job": "writes", "upkeep": "all"}
SECONDS = {"postgresql": 1.0, "sqlite": 2.5}

_AT_ONCE = sa.text("coalesce(state, '') = 'queued' AND not_before IS NULL")
_TIMED = sa.text("coalesce(state, '') = 'queued' AND not_before IS NOT NULL")


def upgrade() -> None:
    op.create_index(
        "job_kind",
        "job",
        ["queue", "gpus", sa.text("priority DESC"), "id"],
        unique=False,
        postgresql_where=_AT_ONCE,
        sqlite_where=_AT_ONCE,
    )
    op.create_index(
        "job_time",
        "job",
        ["queue", "not_before"],
        unique=False,
        postgresql_where=_TIMED,
        sqlite_where=_TIMED,
    )
    op.add_column("upkeep", sa.Column("settled_to", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("upkeep", "settled_to")
    op.drop_index("job_time", table_name="job", postgresql_where=_TIMED, sqlite_where=_TIMED)
    op.drop_index("job_kind", table_name="job", postgresql_where=_AT_ONCE, sqlite_where=_AT_ONCE)
