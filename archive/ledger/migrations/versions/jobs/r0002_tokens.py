"""Tokens of results, with which they can be had again."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column."""
    op.add_column("job_products", sa.Column("token", sa.Text))
