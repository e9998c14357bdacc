"""The stream of what happened, in the past tense: small, without secrets.

Events of a job: ``job.enqueued``, ``job.started``, ``job.progress``, ``job.retrying``,
``job.postponed``, ``job.succeeded``, ``job.dead``, ``job.cancelled``.  The stream keeps
about the last 10,000; the job's record is the truth.

What happens in a domain, such as ``video.processed``, stands there, too, and once more
in a stream of its own: jobs tell so much that it would soon be gone.
"""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import redis

from nexus_actors.core import clock
from nexus_actors.core.errors import InvalidRequestError
from nexus_actors.core.logs import get_logger

from . import jobs
from .connection import translated


if TYPE_CHECKING:
    from .broker import RedisBroker

log = get_logger(__name__)

#: A place in the stream: milliseconds since the epoch, and a number.
EVENT_ID: Final = re.compile(r"\d{1,19}(-\d{1,19})?")

#: About how many events the stream keeps.
MAX_EVENTS: Final = 10_000

#: What follows the stream's name where it has the events of the domains alone.
DOMAINS: Final = ":domains"

#: How long one read waits for news, in ms; less than the socket's time-out.
BLOCK_MS: Final = 1_000

#: What a group hears in place of events that it never heard.
TRIMMED: Final = "events.trimmed"

#: How many events are read at once by who looks back.
READ_AT_ONCE: Final = 1_000

#: By how much the clocks of those who tell may differ for who looks back, in ms.
CLOCKS_DIFFER_MS: Final = 60_000

#: For how long a consumer without news, and without work, is remembered, in ms.
FORGET_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened.

    Attributes:
        id: Its place in the stream: listen from here to hear what came after.
        name: What happened, such as ``job.succeeded``.
        job: The id of the job that it happened to.
        body: What there is to tell; plain JSON.
        key: By which one is known that is told twice; its place where it is told once.
    """

    id: str
    name: str
    job: str
    at: datetime
    body: dict[str, Any]
    key: str

    def to_json(self) -> dict[str, Any]:
        """Return the event as plain JSON types."""
        return {
            "id": self.id,
            "event": self.name,
            "job": self.job,
            "at": self.at.isoformat(),
            **({} if self.key == self.id else {"key": self.key}),
            **self.body,
        }


def listen(  # noqa: PLR0913 - each a choice of the listener
    *,
    since: str = "$",
    wait: bool | Callable[[], bool] = True,
    group: str | None = None,
    take_over_s: float = 60,
    domains: bool = False,
    broker: RedisBroker | None = None,
) -> Iterator[Event]:
    """Return events as they happen; what happens after the call is heard.

    Without a *group* every listener hears everything.  Those of one group share the
    events, and the group goes on where it was: each event is acknowledged when the
    next one is asked for, and until then is another's if this listener ends or dies.
    So every event is heard at least once, unless it was trimmed before; of that the
    group hears an event ``events.trimmed``, whose ``count`` says of how many, or is
    ``None`` where the server does not know.

    Args:
        since: Hear what came after this event's id; ``0`` is the oldest kept, ``$``
            is now.  Of a group that there is already it is not asked.
        wait: Go on for ever; otherwise end when there is nothing newer.  A function is
            asked whether to go on, about once a second.
        group: A name of your own; it is kept in Redis, with its place.
        take_over_s: After how long an event that was not acknowledged is another's:
            longer than it takes to deal with one.
        domains: Hear of the domains alone, such as ``video.processed``: of those about
            10,000 are kept, however many jobs there are.
        broker: Whose events; by default those of the broker in use.

    Raises:
        BrokerUnavailable: Redis does not answer; listen again.
        InvalidRequestError: *since* is not the id of an event.
        UnsupportedFeatureError: The broker in use tells no events.
    """
    broker = broker or jobs.keeper()
    key = f"{broker.namespace}:events{DOMAINS if domains else ''}"
    if since != "$" and not EVENT_ID.fullmatch(since):
        raise InvalidRequestError(f"since: {since!r} is not the id of an event")
    if group is not None:
        member = _Member(broker, key, group, round(take_over_s * 1000))
        with translated(broker.client):
            member.join(since)
        return member.follow(wait=wait)
    if since == "$":
        with translated(broker.client):
            since = _last_id(broker.client, key)
    return _follow(broker.client, key, since, wait)


def history(
    job_id: str, *, since: datetime | None = None, broker: RedisBroker | None = None
) -> list[Event]:
    """Return what the stream still tells of a job, the oldest first.

    Args:
        job_id: The job's id.
        since: When the job was sent, if that is known: what is older is not read.
        broker: Whose events; by default those of the broker in use.

    Raises:
        BrokerUnavailable: Redis does not answer.
        UnsupportedFeatureError: The broker in use tells no events.
    """
    broker, wanted = broker or jobs.keeper(), job_id.encode()
    first = 0 if since is None else clock.to_ms(since) - CLOCKS_DIFFER_MS
    with translated(broker.client):
        young = takewhile(lambda e: int(e[1][b"at"]) >= first, _newest(broker))
        found = [_event(*entry) for entry in young if entry[1].get(b"job") == wanted]
    return found[::-1]


def latest(
    limit: int = 50, *, names: Collection[str], broker: RedisBroker | None = None
) -> list[Event]:
    """Return the newest *limit* events of these names that the stream still has.

    Raises:
        BrokerUnavailable: Redis does not answer.
        UnsupportedFeatureError: The broker in use tells no events.
    """
    broker, wanted = broker or jobs.keeper(), {name.encode() for name in names}
    with translated(broker.client):
        found = (
            _event(event_id, fields)
            for event_id, fields in _newest(broker)
            if fields.get(b"event") in wanted
        )
        return list(islice(found, limit))


def _newest(broker: RedisBroker) -> Iterator[tuple[bytes, Mapping[bytes, bytes]]]:
    """Yield all events as they are stored, the newest first."""
    key, last = f"{broker.namespace}:events", "+"
    while True:
        found: Any = broker.client.xrevrange(key, max=last, count=READ_AT_ONCE)
        yield from found
        if len(found) < READ_AT_ONCE:
            return
        last = f"({found[-1][0].decode()}"


def emit(
    name: str, body: Mapping[str, Any], *, job: str = "", key: str | None = None
) -> bool:
    """Tell what has happened in a domain; *body* is small, plain and without secrets.

    What is told is true already: that it could not be told is logged, and no error.
    A broker that is not ours, or none, tells nobody.

    Args:
        name: What happened, such as ``video.processed``.
        body: What there is to tell.
        job: The id of the job that it happened to.
        key: By which listeners know it again, from who may have to tell it twice.

    Returns:
        Whether there is nothing left to tell; else tell it again.
    """
    from dramatiq import broker as dramatiq_broker

    from .broker import RedisBroker

    broker = dramatiq_broker.global_broker
    if not isinstance(broker, RedisBroker):
        return True
    fields: dict[Any, Any] = {
        "event": name,
        "job": job,
        "at": clock.now_ms(),
        "body": json.dumps(dict(body)),
    }
    if key is not None:
        fields["key"] = key
    try:
        pipeline = broker.client.pipeline()
        for stream in ("events", f"events{DOMAINS}"):
            key = f"{broker.namespace}:{stream}"
            pipeline.xadd(key, fields, maxlen=MAX_EVENTS, approximate=True)
        pipeline.execute()
    except redis.RedisError as error:
        log.warning("event.not_told", event_name=name, reason=type(error).__name__)
        return False
    return True


def _follow(
    client: redis.Redis, key: str, last: str, wait: bool | Callable[[], bool]
) -> Iterator[Event]:
    while True:
        with translated(client):
            found = _read(client, key, last, block=BLOCK_MS if wait else None)
        for event in found:
            last = event.id
            yield event
        if not found and not _goes_on(wait):
            return


def _goes_on(wait: bool | Callable[[], bool]) -> bool:
    return wait() if callable(wait) else wait


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
        key=fields.get(b"key", event_id).decode(),
    )


class _Member:
    """One listener of a group."""

    def __init__(
        self, broker: RedisBroker, key: str, group: str, patience_ms: int
    ) -> None:
        self._broker = broker
        self._client: Any = broker.client
        self._key = key
        self._group = group
        self._patience_ms = patience_ms
        self._name = f"{socket.gethostname()}:{os.getpid()}:{uuid4()}"
        self._unfinished = ""  # what was handed out last, and not acknowledged
        self._told = ""  # up to where it was told that events are missing

    def join(self, since: str) -> None:
        """Make the group if there is none, and forget its members that are gone."""
        place, heard = self._start(since)
        told = {"mkstream": True, "entries_read": heard}
        try:
            self._client.xgroup_create(self._key, self._group, place, **told)
        except redis.ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise
        for member in self._client.xinfo_consumers(self._key, self._group):
            if member["pending"] == 0 and member["idle"] > FORGET_MS:
                name = member["name"]
                self._client.xgroup_delconsumer(self._key, self._group, name)

    def _start(self, since: str) -> tuple[str, int | None]:
        """Return the place where a new group begins, and how many events are before it.

        Before Redis 7, nobody knows how many.
        """
        try:
            stream = self._client.xinfo_stream(self._key)
        except redis.ResponseError:  # there is none yet
            return "0-0" if since == "$" else since, None
        added, first = stream.get("entries-added"), stream["first-entry"]
        if since == "0" and first:
            trimmed = None if added is None else added - stream["length"]
            return _before(first[0]), trimmed
        if since in {"0", "$"}:
            return stream["last-generated-id"], added
        return since, None

    def follow(self, *, wait: bool | Callable[[], bool]) -> Iterator[Event]:
        """Yield events; whoever asks for the next one has dealt with the last."""
        try:
            while True:
                with translated(self._client):
                    event = self._next(wait=wait)
                if event is None:
                    return
                yield event
        finally:
            self._leave()

    def _next(self, *, wait: bool | Callable[[], bool]) -> Event | None:
        while True:
            kind, *more = self._hear()
            if kind == b"event":
                self._unfinished = more[0].decode()
                fields = dict(zip(more[1::2], more[2::2], strict=True))
                return _event(more[0], fields)
            if kind == b"gone":
                self._unfinished = more[0].decode()
                return _trimmed(self._unfinished, 1)
            if kind == b"trimmed":
                self._told = more[1].decode()
                return _trimmed(self._told, None if more[0] < 0 else more[0])
            if not _goes_on(wait):
                return None
            self._client.xread({self._key: more[0]}, count=1, block=BLOCK_MS)

    def _hear(self) -> list[Any]:
        arguments = (self._name, self._patience_ms, self._unfinished, self._told)
        stream = DOMAINS if self._key.endswith(DOMAINS) else ""
        try:
            heard: list[Any] = self._broker.run("hear", self._group, *arguments, stream)
        except redis.ResponseError as error:
            if "NOGROUP" not in str(error) and "no such key" not in str(error):
                raise
            # Redis has lost the group, and what else nobody knows
            self.join("0")
            return [b"trimmed", -1, b"0-0"]
        self._unfinished = self._told = ""
        return heard

    def _leave(self) -> None:
        """Let what was not acknowledged be another's at once."""
        with suppress(redis.RedisError):  # else it is, only later
            at = self._unfinished
            if at and self._client.xrange(self._key, at, at, count=1):
                self._client.xclaim(
                    *(self._key, self._group, self._name, 0, [at]),
                    idle=FORGET_MS,
                    justid=True,
                )
            elif not at:
                self._client.xgroup_delconsumer(self._key, self._group, self._name)


def _before(event_id: bytes) -> str:
    """Return the place right before an event."""
    ms, number = map(int, event_id.split(b"-"))
    return f"{ms}-{number - 1}" if number else f"{ms - 1}-{(1 << 64) - 1}"


def _trimmed(place: str, count: int | None) -> Event:
    now, body = clock.now(), {"count": count}
    return Event(id=place, name=TRIMMED, job="", at=now, body=body, key=place)
