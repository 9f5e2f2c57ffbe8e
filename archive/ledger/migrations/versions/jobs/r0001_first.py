"""The first layout. Times are whole milliseconds since 1970."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "jobs",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("owner", sa.Text),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("client", sa.Text, nullable=False),
        sa.Column("phase", sa.Text, nullable=False),
        sa.Column("lane", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("queued", sa.BigInteger),
        sa.Column("started", sa.BigInteger),
        sa.Column("ended", sa.BigInteger),
        sa.Column("destruction", sa.BigInteger, nullable=False),
        sa.Column("duration", sa.BigInteger, nullable=False),
        sa.Column("runner", sa.Text),
        sa.Column("beat", sa.BigInteger, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("fault", sa.Text),
        sa.Column("message", sa.Text),
        sa.Index("jobs_by_phase", "phase", "lane", "queued"),
        sa.Index("jobs_by_client", "client", "created"),
        sa.Index("jobs_by_destruction", "destruction"),
    )
    op.create_table(
        "job_parameters",
        sa.Column("job", sa.Text, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("place", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("file", sa.Text),
    )
    op.create_table(
        "job_products",
        sa.Column("job", sa.Text, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("media", sa.Text, nullable=False),
        sa.Column("file", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
    )
