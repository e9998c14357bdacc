"""What is told of publications, as events.

What a publication has come to is marked as untold in the write that makes it so, and as
told when it was: who dies in between leaves it to a sweep, and listeners know an event
that is told twice by its key.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from nexus_actors.engine import events
from nexus_actors.engine.instruments import counter

from .base import publishers
from .publications import Hold
from .row import EVENTS, Publication


PUBLICATIONS: Final = counter(
    "nexus_social_publications_total",
    "Publications that have come to rest, by how",
    platform=publishers.known,
    outcome=tuple(state.value for state in EVENTS),
)


@contextmanager
def leaving(hold: Hold) -> Iterator[Hold]:
    """Give a publication back when the body ends, and tell what is to be told of it."""
    try:
        _tell(hold)  # what one that has died has left untold
        yield hold
    finally:
        _tell(hold)
        hold.release()


def _tell(hold: Hold) -> None:
    row, mark = hold.row, hold.row.untold
    if mark is None:
        return
    body = {
        "publication": row.id,
        "platform": row.platform,
        "account": row.account,
        "remote_id": row.remote_id,
        "url": row.url,
        "title": _title(row),
        "idempotency_key": row.idempotency_key,
    }
    if row.error:
        body["code"] = row.error["code"]
    key = f"{row.id}/{mark['version']}"
    if events.emit(mark["event"], body, job=row.job or "", key=key):
        hold.told()
        if mark["event"] == EVENTS.get(row.state):
            PUBLICATIONS.inc(platform=row.platform, outcome=row.state.value)


def _title(row: Publication) -> str:
    """Return what a person knows the post by."""
    content = row.request["content"]
    text = content.get("title") or content.get("description") or ""
    return str(text.strip().partition("\n")[0][:100])
