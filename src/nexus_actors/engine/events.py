"""The stream of what happened, in the past tense: small, without secrets.

Events of a job: ``job.enqueued``, ``job.started``, ``job.progress``, ``job.retrying``,
``job.postponed``, ``job.succeeded``, ``job.dead``, ``job.cancelled``.  The stream keeps
about the last 10,000; the job's record is the truth.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import redis

from nexus_actors.core.errors import InvalidRequestError

from . import jobs
from .connection import unavailable


#: A place in the stream: milliseconds since the epoch, and a number.
EVENT_ID: Final = re.compile(r"\d{1,19}(-\d{1,19})?")

#: About how many events the stream keeps.
MAX_EVENTS: Final = 10_000

#: How long one read waits for news, in ms; less than the socket's time-out.
BLOCK_MS: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened.

    Attributes:
        id: Its place in the stream: listen from here to hear what came after.
        name: What happened, such as ``job.succeeded``.
        job: The id of the job that it happened to.
        body: What there is to tell; plain JSON.
    """

    id: str
    name: str
    job: str
    at: datetime
    body: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the event as plain JSON types."""
        return {
            "id": self.id,
            "event": self.name,
            "job": self.job,
            "at": self.at.isoformat(),
            **self.body,
        }


def listen(
    *,
    since: str = "$",
    wait: bool = True,
    broker: jobs.KeepsJobs | None = None,
) -> Iterator[Event]:
    """Return events as they happen; what happens after the call is heard.

    Args:
        since: Hear what came after this event's id; ``0`` is the oldest kept, ``$``
            is now.
        wait: Go on for ever; otherwise end when there is nothing newer.
        broker: Whose events; by default those of the broker in use.

    Raises:
        BrokerUnavailable: Redis does not answer.
        InvalidRequestError: *since* is not the id of an event.
        UnsupportedFeatureError: The broker in use tells no events.
    """
    broker = broker or jobs.keeper()
    key = f"{broker.namespace}:events"
    if since != "$" and not EVENT_ID.fullmatch(since):
        raise InvalidRequestError(f"since: {since!r} is not the id of an event")
    if since == "$":
        with _translated(broker.client):
            since = _last_id(broker.client, key)
    return _follow(broker.client, key, since, block=BLOCK_MS if wait else None)


def _follow(
    client: redis.Redis, key: str, last: str, *, block: int | None
) -> Iterator[Event]:
    while True:
        with _translated(client):
            found = _read(client, key, last, block=block)
        for event in found:
            last = event.id
            yield event
        if not found and block is None:
            return


@contextmanager
def _translated(client: redis.Redis) -> Iterator[None]:
    try:
        yield
    except redis.RedisError as error:
        raise unavailable(client, error) from error


def _last_id(client: redis.Redis, key: str) -> str:
    newest: Any = client.xrevrange(key, count=1)
    return str(newest[0][0].decode()) if newest else "0"


def _read(
    client: redis.Redis, key: str, last: str, *, block: int | None
) -> list[Event]:
    answer: Any = client.xread({key: last}, count=500, block=block)
    streams = answer.items() if isinstance(answer, Mapping) else answer or ()
    entries = [entry for _, found in streams for entry in found]
    if entries and isinstance(entries[0], list):  # RESP3 nests them once more
        entries = [entry for found in entries for entry in found]
    return [_event(event_id, fields) for event_id, fields in entries]


def _event(event_id: bytes, fields: Mapping[bytes, bytes]) -> Event:
    return Event(
        id=event_id.decode(),
        name=fields[b"event"].decode(),
        job=fields[b"job"].decode(),
        at=datetime.fromtimestamp(int(fields[b"at"]) / 1000, UTC),
        body=json.loads(fields[b"body"]),
    )
