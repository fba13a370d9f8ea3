"""Why a worker takes no jobs. The column only adds, so `fleet.works_since` stays as it is."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

LOCKS = {"worker": "all"}
SECONDS = {"postgresql": 0.0, "sqlite": 0.0}


def upgrade() -> None:
    op.add_column("worker", sa.Column("unfit", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("worker", "unfit")
