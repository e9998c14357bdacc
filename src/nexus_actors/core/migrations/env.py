"""Runs the steps on the connection, and in the transaction, of whoever asks."""

from alembic import context

from nexus_actors.core.database import VERSION_TABLE


context.configure(
    connection=context.config.attributes["connection"], version_table=VERSION_TABLE
)
context.run_migrations()
