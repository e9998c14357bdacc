"""The demo's second half: what was made is published on the platforms of a sandbox."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import click

from nexus_actors.core import clock
from nexus_actors.engine import jobs

from .common import ProgressLine


#: What must be installed: the extras ``social`` and ``web``.
NEEDED: Final = ("alembic", "cryptography", "psycopg", "sqlalchemy", "starlette")

#: How long one post may take, in seconds.
LONGEST_S: Final = 120

#: How far ahead the scheduled post is.
AHEAD: Final = timedelta(seconds=5)

#: By platform: the sandbox's token, and how it is posted there.
POSTS: Final[Mapping[str, tuple[str, dict[str, Any]]]] = {
    "youtube": ("ya29.sandbox-access-token", {"privacy": "PUBLIC"}),
    "tiktok": ("act.sandbox-access-token", {"privacy": "PUBLIC"}),
    "instagram": ("IGAA-sandbox-access-token", {}),
    "facebook": ("EAA-sandbox-page-token", {}),
}

#: The one that goes out a little later.
SCHEDULED: Final = "facebook"


def is_possible() -> bool:
    """Tell whether what publishing needs is installed."""
    return all(find_spec(name) for name in NEEDED)


@contextmanager
def platforms(scratch: Path) -> Iterator[dict[str, str]]:
    """Run a sandbox; yield the environment in which posts go to it alone."""
    if not is_possible():
        yield {}
        return
    from nexus_actors.sandbox import Sandbox, running

    with running(Sandbox()) as url:
        yield {
            "NEXUS_SANDBOX_URL": url,
            "NEXUS_DATABASE_URL": f"sqlite:///{scratch / 'nexus.db'}",
            "NEXUS_SECRET_KEY": secrets.token_urlsafe(32),
        }


def publish_everywhere(video_id: str) -> dict[str, dict[str, Any]]:
    """Publish a processed video on every platform; return the publications."""
    from nexus_actors.social import publish_post

    sent, line = {}, ProgressLine()
    for platform, (token, settings) in POSTS.items():
        later = (clock.now() + AHEAD).isoformat() if platform == SCHEDULED else None
        sent[platform] = publish_post.send(
            platform=platform,
            credentials={"access_token": token},
            content={"video_id": video_id, "title": "A demo", "tags": ["nexus"]},
            settings=settings,
            publish_at=later,
        )
    found = {}
    for done, (platform, message) in enumerate(sent.items()):
        line.show("publish", done / len(sent), None)
        record = jobs.wait(message.message_id, timeout_s=LONGEST_S)
        told = record.result or {"state": record.state, "error": record.error}
        found[platform] = {name: told.get(name) for name in ("state", "url", "error")}
        line.clear()
        when = "  (5 s later)" if platform == SCHEDULED else ""
        where = told.get("url") or (told.get("error") or {}).get("message", "")
        click.echo(f"post    {platform}: {told['state']} {where}{when}", err=True)
    return found
