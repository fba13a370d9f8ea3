"""Retries and resumed attempts, steering, dependencies, logs in bytes, drain from afar.

No table that others refer to is built again: SQLite would take that for a deletion of its rows,
and delete what refers to them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

LOCKS = {
    "attempt": "all",
    "dependency": "all",
    "job": "all",
    "log_chunk": "all",
    "queue": "all",
    "worker": "all",
}
SECONDS = {"postgresql": 6.0, "sqlite": 8.0}

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_CONTINUES = "job_continues_id_fkey"
_SUCCEEDED = sa.text("state = 'succeeded'")


def upgrade() -> None:
    op.add_column("job", sa.Column("key", sa.Text(), nullable=True))
    op.add_column("job", sa.Column("held_by", sa.Text(), nullable=True))
    op.add_column("job", sa.Column("tries", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("job", sa.Column("avoid_host", sa.Text(), nullable=True))
    op.add_column(
        "job", sa.Column("resume_after", sa.Integer(), nullable=False, server_default="0")
    )
    op.add_column("job", sa.Column("cancel_grace_s", sa.Double(), nullable=True))
    _add_continues()
    op.create_index("job_key", "job", ["key"], unique=True)
    op.create_index(
        "job_spec_hash",
        "job",
        ["spec_hash", "state", "id"],
        unique=False,
        postgresql_where=_SUCCEEDED,
        sqlite_where=_SUCCEEDED,
    )

    op.add_column("attempt", sa.Column("resumed_epoch", sa.Integer(), nullable=True))
    op.add_column("attempt", sa.Column("resumed_batch", sa.Integer(), nullable=True))
    op.add_column("attempt", sa.Column("inexact", sa.Text(), nullable=True))
    op.add_column("attempt", sa.Column("reproducibility", sa.Text(), nullable=True))
    op.add_column(
        "dependency",
        sa.Column("any_end", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.add_column(
        "worker", sa.Column("drain_requested_at", sa.DateTime(timezone=True), nullable=True)
    )
    op.add_column("worker", sa.Column("drain_requested_by", sa.Text(), nullable=True))

    op.add_column("queue", sa.Column("changed_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("queue", sa.Column("changed_by", sa.Text(), nullable=True))

    # Nothing has written it so far.
    op.drop_table("log_chunk")
    _create_log_chunk(
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
    )
    op.create_index("log_chunk_at", "log_chunk", ["at"], unique=False)


def downgrade() -> None:
    op.drop_index("log_chunk_at", table_name="log_chunk")
    op.drop_table("log_chunk")
    _create_log_chunk(sa.Column("text", sa.Text(), nullable=False))

    op.drop_column("queue", "changed_by")
    op.drop_column("queue", "changed_at")
    op.drop_column("worker", "drain_requested_by")
    op.drop_column("worker", "drain_requested_at")
    op.drop_column("dependency", "any_end")
    for name in ("reproducibility", "inexact", "resumed_batch", "resumed_epoch"):
        op.drop_column("attempt", name)

    op.drop_index(
        "job_spec_hash", table_name="job", postgresql_where=_SUCCEEDED, sqlite_where=_SUCCEEDED
    )
    op.drop_index("job_key", table_name="job")
    for name in ("continues_id", "cancel_grace_s", "resume_after", "avoid_host", "tries"):
        op.drop_column("job", name)
    op.drop_column("job", "held_by")
    op.drop_column("job", "key")


def _add_continues() -> None:
    if op.get_bind().dialect.name == "sqlite":
        # A constraint comes with its column there, or not at all.
        op.execute(
            f"ALTER TABLE job ADD COLUMN continues_id INTEGER CONSTRAINT {_CONTINUES} "
            "REFERENCES job (id)"
        )
        return
    op.add_column("job", sa.Column("continues_id", _ID, nullable=True))
    op.create_foreign_key(op.f(_CONTINUES), "job", "job", ["continues_id"], ["id"])


def _create_log_chunk(*content: sa.Column[object]) -> None:
    op.create_table(
        "log_chunk",
        sa.Column("job_id", _ID, nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        *content,
        sa.ForeignKeyConstraint(
            ["job_id"], ["job.id"], name=op.f("log_chunk_job_id_fkey"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "attempt", "number", name=op.f("log_chunk_pkey")),
    )
