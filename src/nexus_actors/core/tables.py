"""The tables as they are now; `migrations` tells how they came to be.

Imports SQLAlchemy, so it is itself imported inside functions alone.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
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
