"""The release after this one, as far as it matters to the workers of this one.

It is made of the package as it is.  It has a field, an actor and a step of the schema
more, other scripts, and more in what it writes to Redis: all that a release may change
while workers of the one before it run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import nexus_actors
from nexus_actors.core.database import SCHEMA


NEXT: Final = "9000.0.0"
NEXT_SCHEMA: Final = f"{int(SCHEMA) + 1:04}"

#: What it says of itself.
METADATA: Final = f"Metadata-Version: 2.1\nName: nexus-actors\nVersion: {NEXT}\n"

STEP: Final = f'''
"""A table, and a column of an old one."""

import sqlalchemy as sa
from alembic import op


revision = "{NEXT_SCHEMA}"
down_revision = "{SCHEMA}"


def upgrade() -> None:
    op.add_column("nexus_ledger", sa.Column("mood", sa.Text))
    op.create_table("nexus_moods", sa.Column("id", sa.Text, primary_key=True))
'''

ACTOR: Final = """

@actor(
    queue_name=QUEUE,
    request="nexus_actors.notifications.models:SendNotificationRequest",
)
def announce(**fields: Any) -> dict[str, Any]:
    from . import connect

    return connect.send_notification(fields)
"""

#: How the actor's function ends that has a field more, and what follows the model's.
SENDS: Final = ') -> dict[str, Any]:\n    """Send one notification to one person'
CHECKS: Final = '    @model_validator(mode="after")\n    def _has_an_address'

#: File, what stands there once, and what the next release has in its place.
CHANGES: Final = (
    ("notifications/actors.py", "\n\ndef _given(", f"{ACTOR}\n\ndef _given("),
    ("notifications/actors.py", SENDS, f"    mood: str | None = None,\n{SENDS}"),
    ("notifications/models.py", CHECKS, f"    mood: str | None = None\n\n{CHECKS}"),
    ("core/database.py", f'SCHEMA: Final = "{SCHEMA}"', f'SCHEMA = "{NEXT_SCHEMA}"'),
    (
        "core/tables.py",
        '    Index("nexus_ledger_by_state"',
        '    Column("mood", Text),\n    Index("nexus_ledger_by_state"',
    ),
    ("engine/lua/common.lua", "local MAX_HINTS = 64", "local MAX_HINTS = 65"),
    ("engine/lua/common.lua", "'event', event,", "'mood', 'high', 'event', event,"),
    ("engine/lua/take.lua", "'state', 'running',", "'state', 'running', 'mood', '1',"),
    ("engine/recovery.py", '"threads": self', '"mood": "high", "threads": self'),
)


def make_next(folder: Path) -> Path:
    """Write the next release to *folder*, which is to stand first on Python's path."""
    package = folder / "nexus_actors"
    source = Path(nexus_actors.__file__).parent
    shutil.copytree(source, package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, old, new in CHANGES:
        text = (package / name).read_text("utf-8")
        assert text.count(old) == 1, (name, old)
        (package / name).write_text(text.replace(old, new), "utf-8")
    step = package / "core" / "migrations" / "versions" / f"v{NEXT_SCHEMA}_moods.py"
    step.write_text(STEP, "utf-8")
    about = folder / f"nexus_actors-{NEXT}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(METADATA, "utf-8")
    return folder


def run(environ: dict[str, str], *command: str) -> str:
    """Run Python with *command*; return what it prints."""
    done = subprocess.run(
        [sys.executable, *command],
        env=os.environ | environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
