"""The tables as they are now; `migrations` tells how they came to be.

Imports SQLAlchemy, so it is itself imported inside functions alone.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
)


metadata = MetaData()

ledger = Table(
    "nexus_ledger",
    metadata,
    Column("scope", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("lease_until_ms", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("outcome", Text),
    Column("evidence", JSON, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Index("nexus_ledger_by_state", "scope", "state", "lease_until_ms"),
)

accounts = Table(
    "nexus_accounts",
    metadata,
    Column("platform", Text, primary_key=True),
    Column("account", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("version", Integer, nullable=False),
    Column("sealed", Text),
    Column("scopes", JSON, nullable=False),
    Column("expires_ms", BigInteger),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Index("nexus_accounts_by_expiry", "expires_ms"),
)

suppressions = Table(
    "nexus_suppressions",
    metadata,
    Column("channel", Text, primary_key=True),
    Column("address", Text, primary_key=True),
    Column("category", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("since_ms", BigInteger, nullable=False),
)

preferences = Table(
    "nexus_preferences",
    metadata,
    Column("user_id", Text, primary_key=True),
    Column("category", Text, primary_key=True),
    Column("channel", Text, primary_key=True),
    Column("wanted", Boolean, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
)

publications = Table(
    "nexus_publications",
    metadata,
    Column("id", Text, primary_key=True),
    Column("key", Text, nullable=False),
    Column("platform", Text, nullable=False),
    Column("account", Text),
    Column("state", Text, nullable=False),
    Column("phase", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("owner", Text),
    Column("lease_until_ms", BigInteger, nullable=False),
    Column("request", JSON, nullable=False),
    Column("sealed", Text),
    Column("checkpoint", Text, nullable=False),
    Column("attempt", JSON(none_as_null=True)),
    Column("attempts", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("remote_id", Text),
    Column("url", Text),
    Column("error", JSON(none_as_null=True)),
    Column("notes", JSON, nullable=False),
    Column("steps", JSON, nullable=False),
    Column("publish_ms", BigInteger),
    Column("due_ms", BigInteger),
    Column("job", Text),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Index("nexus_publications_by_key", "key", unique=True),
    Index("nexus_publications_by_due", "due_ms"),
)

analytics_accounts = Table(
    "nexus_analytics_accounts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("platform", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("since_ms", BigInteger, nullable=False),
    Column("seen_ms", BigInteger, nullable=False),
    Column("rolled_ms", BigInteger, nullable=False),
    Column("stale_day", Integer),
    Column("due_ms", BigInteger),
    Column("lease_ms", BigInteger),
    Column("listed_ms", BigInteger),
    Column("days_ms", BigInteger),
    Column("refusals", JSON),
    Column("round", JSON),
    Index("nexus_analytics_accounts_by_due", "due_ms"),
    Column("judged_day", Integer),
    Index("nexus_analytics_accounts_by_name", "platform", "account", unique=True),
)

analytics_posts = Table(
    "nexus_analytics_posts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("account_id", Integer, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("published_ms", BigInteger),
    Column("duration_ms", BigInteger),
    Column("format", Text),
    Column("gone_ms", BigInteger),
    Column("stale_ms", BigInteger),
    Column("opens_ms", BigInteger),
    Column("sealed_day", Integer),
    Column("seen_ms", BigInteger),
    Column("due_ms", BigInteger),
    Index("nexus_analytics_posts_by_due", "account_id", "due_ms"),
    Column("title", Text),
    Column("url", Text),
    Column("picture_url", Text),
    Index("nexus_analytics_posts_by_name", "account_id", "external_id", unique=True),
    Index("nexus_analytics_posts_by_account", "account_id", "id"),
)

# Rows of these are many and short: SQLite keeps them in the key's own tree.

post_snapshots = Table(
    "nexus_post_snapshots",
    metadata,
    Column("post_id", Integer, primary_key=True, autoincrement=False),
    Column("slot", Integer, primary_key=True, autoincrement=False),
    Column("collected_ms", BigInteger, nullable=False),
    Column("views", BigInteger),
    Column("reach", BigInteger),
    Column("likes", BigInteger),
    Column("comments", BigInteger),
    Column("shares", BigInteger),
    Column("saves", BigInteger),
    Column("watch_ms", BigInteger),
    Column("states", Integer, nullable=False),
    Column("extra", JSON(none_as_null=True)),
    sqlite_with_rowid=False,
)

account_snapshots = Table(
    "nexus_account_snapshots",
    metadata,
    Column("account_id", Integer, primary_key=True, autoincrement=False),
    Column("slot", Integer, primary_key=True, autoincrement=False),
    Column("collected_ms", BigInteger, nullable=False),
    Column("followers", BigInteger),
    Column("posts", BigInteger),
    Column("extra", JSON(none_as_null=True)),
    sqlite_with_rowid=False,
)

post_days = Table(
    "nexus_post_days",
    metadata,
    Column("post_id", Integer, primary_key=True, autoincrement=False),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("flags", Integer, nullable=False),
    Column("views", BigInteger),
    Column("likes", BigInteger),
    Column("comments", BigInteger),
    Column("shares", BigInteger),
    Column("saves", BigInteger),
    Column("watch_ms", BigInteger),
    sqlite_with_rowid=False,
)

post_corrections = Table(
    "nexus_post_corrections",
    metadata,
    Column("post_id", Integer, primary_key=True, autoincrement=False),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("metric", Integer, primary_key=True, autoincrement=False),
    Column("value", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

account_days = Table(
    "nexus_account_days",
    metadata,
    Column("account_id", Integer, primary_key=True, autoincrement=False),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("metric", Integer, primary_key=True, autoincrement=False),
    Column("value", BigInteger, nullable=False),
    Column("correction", BigInteger, nullable=False),
    Column("posts", Integer, nullable=False),
    Column("flags", Integer, nullable=False),
    sqlite_with_rowid=False,
)

# What a platform itself says of a day; post 0 is the account as a whole.
reported_days = Table(
    "nexus_reported_days",
    metadata,
    Column("account_id", Integer, primary_key=True, autoincrement=False),
    Column("post_id", Integer, primary_key=True, autoincrement=False),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("metric", Integer, primary_key=True, autoincrement=False),
    Column("value", BigInteger),
    Column("state", Integer, nullable=False),
    Column("collected_ms", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

account_weeks = Table(
    "nexus_account_weeks",
    metadata,
    Column("account_id", Integer, primary_key=True, autoincrement=False),
    Column("iso_year", Integer, primary_key=True, autoincrement=False),
    Column("iso_week", Integer, primary_key=True, autoincrement=False),
    Column("metric", Integer, primary_key=True, autoincrement=False),
    Column("value", BigInteger, nullable=False),
    Column("correction", BigInteger, nullable=False),
    Column("days", Integer, nullable=False),
    Column("final_days", Integer, nullable=False),
    Column("flags", Integer, nullable=False),
    sqlite_with_rowid=False,
)

anomalies = Table(
    "nexus_anomalies",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("account_id", Integer, nullable=False),
    Column("post_id", Integer),
    Column("event", Text, nullable=False),
    Column("metric", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("day", Integer, nullable=False),
    Column("since_day", Integer, nullable=False),
    Column("value", Float, nullable=False),
    Column("expected", Float, nullable=False),
    Column("low", Float, nullable=False),
    Column("high", Float, nullable=False),
    Column("confidence", Float, nullable=False),
    Column("history", Integer, nullable=False),
    Column("moved", JSON, nullable=False),
    Column("posts", JSON, nullable=False),
    Column("told_ms", BigInteger),
    Index("nexus_anomalies_by_event", "account_id", "event", unique=True),
    Index("nexus_anomalies_by_day", "account_id", "day"),
)

reports = Table(
    "nexus_reports",
    metadata,
    Column("id", Text, primary_key=True),
    Column("request", Text, nullable=False),
    Column("period", Text, nullable=False),
    Column("since_day", Integer, nullable=False),
    Column("until_day", Integer, nullable=False),
    Column("body", JSON, nullable=False),
    Column("files", JSON, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("told_ms", BigInteger),
    Index("nexus_reports_by_request", "request", unique=True),
)
