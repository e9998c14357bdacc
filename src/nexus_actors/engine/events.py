"""The stream of what happened, in the past tense: small, without secrets.

Events of a job: ``job.enqueued``, ``job.started``, ``job.progress``, ``job.retrying``,
``job.succeeded``, ``job.dead``.  The stream keeps about the last 10,000; the job's
record is the truth.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import redis

from . import jobs
from .connection import unavailable


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
    """Yield events as they happen.

    Args:
        since: Hear what came after this event's id; ``0`` is the oldest kept, ``$``
            is now.
        wait: Go on for ever; otherwise end when there is nothing newer.
        broker: Whose events; by default those of the broker in use.

    Raises:
        BrokerUnavailable: Redis does not answer.
    """
    broker = broker or jobs.keeper()
    key = f"{broker.namespace}:events"
    try:
        last = _last_id(broker.client, key) if since == "$" else since
        while True:
            found = _read(broker.client, key, last, block=BLOCK_MS if wait else None)
            for event in found:
                last = event.id
                yield event
            if not found and not wait:
                return
    except redis.RedisError as error:
        raise unavailable(broker.client, error) from error


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
