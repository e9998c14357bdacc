"""The demo's second half: what was made is published on the sandbox's platforms."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import click

from nexus_actors.core import clock
from nexus_actors.engine import jobs

from .common import ProgressLine


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
