"""`manage.py follow`: notes what becomes of videos and posts, until it is stopped."""

from __future__ import annotations

import time
from typing import Any

from django.core.management.base import BaseCommand
from django.db import close_old_connections

from nexus_actors import BrokerUnavailable, events, jobs
from tube.models import Video


class Command(BaseCommand):
    """Follows the events.

    Several may run: they share the events of their group.  Each is heard at least once,
    also what happened while none ran.
    """

    help = __doc__

    def handle(self, **_options: Any) -> None:
        """Go on for ever."""
        while True:
            try:
                for event in events.listen(group="tube", since="0", domains=True):
                    close_old_connections()
                    note(event)
            except BrokerUnavailable as error:
                self.stderr.write(error.message)
                time.sleep(5)  # then the group goes on where it was


def note(event: events.Event) -> None:
    """Write down one event; to do so twice is safe."""
    body = event.body
    if event.name == "video.processed":
        record = jobs.get(event.job)
        url = record.result["outputs"]["hls"]["master"]["url"] if record else ""
        Video.objects.filter(id=body["video_id"]).update(state="ready", url=url)
    elif event.name == "video.failed":
        Video.objects.filter(id=body["video_id"]).update(
            state=f"failed: {body['code']}"
        )
    elif event.name == "social.post_published":
        Video.objects.filter(id=body["idempotency_key"]).update(post_url=body["url"])
