"""``db``: the schema of the database."""

from __future__ import annotations

from contextlib import closing

import click

from nexus_actors.core import database
from nexus_actors.core.settings import CoreSettings

from .common import print_json


@click.group()
def db() -> None:
    """Show or upgrade the schema of the database."""


@db.command()
def upgrade() -> None:
    """Bring the schema to what this release needs."""
    with closing(database.Database.open(CoreSettings.load())) as found:
        applied = database.upgrade(found)
    print_json({"database": found.name, "schema": database.SCHEMA, "applied": applied})


@db.command()
def status() -> int:
    """Tell whether this release works with the schema; exit code 1 if it does not."""
    with closing(database.Database.open(CoreSettings.load())) as found:
        revision = database.revision(found)
    state = database.fit(revision)
    print_json(
        {
            "database": found.name,
            "schema": revision,
            "needed": database.SCHEMA,
            "state": state,
        }
    )
    return 0 if state in database.FITTING else 1
