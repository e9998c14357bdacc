"""Analytics: what collectors have read of accounts and posts, and the rollups."""

import sqlalchemy as sa
from alembic import op


revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make their tables."""
    op.create_table(
        "nexus_analytics_accounts",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("platform", sa.Text, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("time_zone", sa.Text, nullable=False),
        sa.Column("since_ms", sa.BigInteger, nullable=False),
        sa.Column("seen_ms", sa.BigInteger, nullable=False),
        sa.Column("rolled_ms", sa.BigInteger, nullable=False),
        sa.Column("stale_day", sa.Integer),
    )
    op.create_index(
        "nexus_analytics_accounts_by_name",
        "nexus_analytics_accounts",
        ["platform", "account"],
        unique=True,
    )
    op.create_table(
        "nexus_analytics_posts",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("account_id", sa.Integer, nullable=False),
        sa.Column("external_id", sa.Text, nullable=False),
        sa.Column("published_ms", sa.BigInteger),
        sa.Column("duration_ms", sa.BigInteger),
        sa.Column("format", sa.Text),
        sa.Column("gone_ms", sa.BigInteger),
        sa.Column("stale_ms", sa.BigInteger),
        sa.Column("opens_ms", sa.BigInteger),
        sa.Column("sealed_day", sa.Integer),
    )
    op.create_index(
        "nexus_analytics_posts_by_name",
        "nexus_analytics_posts",
        ["account_id", "external_id"],
        unique=True,
    )
    op.create_index(
        "nexus_analytics_posts_by_account",
        "nexus_analytics_posts",
        ["account_id", "id"],
    )
    op.create_table(
        "nexus_post_snapshots",
        sa.Column("post_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("slot", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("collected_ms", sa.BigInteger, nullable=False),
        sa.Column("views", sa.BigInteger),
        sa.Column("reach", sa.BigInteger),
        sa.Column("likes", sa.BigInteger),
        sa.Column("comments", sa.BigInteger),
        sa.Column("shares", sa.BigInteger),
        sa.Column("saves", sa.BigInteger),
        sa.Column("watch_ms", sa.BigInteger),
        sa.Column("states", sa.Integer, nullable=False),
        sa.Column("extra", sa.JSON),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "nexus_account_snapshots",
        sa.Column("account_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("slot", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("collected_ms", sa.BigInteger, nullable=False),
        sa.Column("followers", sa.BigInteger),
        sa.Column("posts", sa.BigInteger),
        sa.Column("extra", sa.JSON),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "nexus_post_days",
        sa.Column("post_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("flags", sa.Integer, nullable=False),
        sa.Column("views", sa.BigInteger),
        sa.Column("likes", sa.BigInteger),
        sa.Column("comments", sa.BigInteger),
        sa.Column("shares", sa.BigInteger),
        sa.Column("saves", sa.BigInteger),
        sa.Column("watch_ms", sa.BigInteger),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "nexus_post_corrections",
        sa.Column("post_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("metric", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("value", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "nexus_account_days",
        sa.Column("account_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("metric", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("value", sa.BigInteger, nullable=False),
        sa.Column("correction", sa.BigInteger, nullable=False),
        sa.Column("posts", sa.Integer, nullable=False),
        sa.Column("flags", sa.Integer, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "nexus_account_weeks",
        sa.Column("account_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("iso_year", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("iso_week", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("metric", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("value", sa.BigInteger, nullable=False),
        sa.Column("correction", sa.BigInteger, nullable=False),
        sa.Column("days", sa.Integer, nullable=False),
        sa.Column("final_days", sa.Integer, nullable=False),
        sa.Column("flags", sa.Integer, nullable=False),
        sqlite_with_rowid=False,
    )
