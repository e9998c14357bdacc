"""Analytics: when accounts and posts are read next, and what platforms say of days."""

from typing import Any

import sqlalchemy as sa
from alembic import op


revision = "0006"
down_revision = "0005"

#: What accounts and posts have more.
COLUMNS: dict[str, dict[str, type[sa.types.TypeEngine[Any]]]] = {
    "nexus_analytics_accounts": {
        "due_ms": sa.BigInteger,
        "lease_ms": sa.BigInteger,
        "listed_ms": sa.BigInteger,
        "days_ms": sa.BigInteger,
        "refusals": sa.JSON,
        "round": sa.JSON,
    },
    "nexus_analytics_posts": {"seen_ms": sa.BigInteger, "due_ms": sa.BigInteger},
}


def upgrade() -> None:
    """Add the columns and the table."""
    for table, columns in COLUMNS.items():
        for name, kind in columns.items():
            op.add_column(table, sa.Column(name, kind))
    op.create_index(
        "nexus_analytics_accounts_by_due", "nexus_analytics_accounts", ["due_ms"]
    )
    op.create_index(
        "nexus_analytics_posts_by_due",
        "nexus_analytics_posts",
        ["account_id", "due_ms"],
    )
    op.create_table(
        "nexus_reported_days",
        sa.Column("account_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("post_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("metric", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("value", sa.BigInteger),
        sa.Column("state", sa.Integer, nullable=False),
        sa.Column("collected_ms", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
