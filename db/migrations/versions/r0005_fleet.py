"""The fleet: one row that names the database and says which versions of Fornada it serves."""

import uuid

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

LOCKS: dict[str, str] = {}
SECONDS = {"postgresql": 0.0, "sqlite": 0.0}
WORKS_SINCE = revision


def upgrade() -> None:
    fleet = op.create_table(
        "fleet",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column(
            "uid", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False
        ),
        sa.Column("works_since", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="fleet_pkey"),
    )
    op.bulk_insert(fleet, [{"id": 1, "uid": str(uuid.uuid4()), "works_since": revision}])


def downgrade() -> None:
    op.drop_table("fleet")
