"""Analytics: anomalies, reports, and what posts are called and look like."""

import sqlalchemy as sa
from alembic import op


revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the columns and the tables."""
    op.add_column("nexus_analytics_accounts", sa.Column("judged_day", sa.Integer))
    for name in ("title", "url", "picture_url"):
        op.add_column("nexus_analytics_posts", sa.Column(name, sa.Text))
    op.create_table(
        "nexus_anomalies",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("account_id", sa.Integer, nullable=False),
        sa.Column("post_id", sa.Integer),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("metric", sa.Integer, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("day", sa.Integer, nullable=False),
        sa.Column("since_day", sa.Integer, nullable=False),
        sa.Column("value", sa.Float, nullable=False),
        sa.Column("expected", sa.Float, nullable=False),
        sa.Column("low", sa.Float, nullable=False),
        sa.Column("high", sa.Float, nullable=False),
        sa.Column("confidence", sa.Float, nullable=False),
        sa.Column("history", sa.Integer, nullable=False),
        sa.Column("moved", sa.JSON, nullable=False),
        sa.Column("posts", sa.JSON, nullable=False),
        sa.Column("told_ms", sa.BigInteger),
    )
    op.create_index(
        "nexus_anomalies_by_event",
        "nexus_anomalies",
        ["account_id", "event"],
        unique=True,
    )
    op.create_index("nexus_anomalies_by_day", "nexus_anomalies", ["account_id", "day"])
    op.create_table(
        "nexus_reports",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("request", sa.Text, nullable=False),
        sa.Column("period", sa.Text, nullable=False),
        sa.Column("since_day", sa.Integer, nullable=False),
        sa.Column("until_day", sa.Integer, nullable=False),
        sa.Column("body", sa.JSON, nullable=False),
        sa.Column("files", sa.JSON, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("told_ms", sa.BigInteger),
    )
    op.create_index(
        "nexus_reports_by_request", "nexus_reports", ["request"], unique=True
    )
