"""Digests of answers, by which an answer can be compared with what it was."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column, and an index of tokens."""
    op.add_column("query_log", sa.Column("digest", sa.Text))
    op.create_index("ix_query_log_token", "query_log", ["token"])
