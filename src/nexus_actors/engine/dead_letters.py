"""Dead letters: messages that have failed for good, kept for a person.

Each queue has its own, in dramatiq's keys, with ours beside them for why it died.
Those of a plain dramatiq worker are read, too; of them is known what is in the message.
They are kept for ``NEXUS_DEAD_TTL_S`` seconds, and of each queue the newest
``NEXUS_DEAD_MAX``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from dramatiq.errors import DecodeError

from nexus_actors.core import clock
from nexus_actors.core.errors import InvalidRequestError
from nexus_actors.core.logs import redact

from .connection import translated
from .consumer import decode
from .events import MAX_EVENTS
from .excerpts import Stored, instant, mapping, read_object, short, text


if TYPE_CHECKING:
    from .broker import RedisBroker

#: How many messages are read, or moved, at once: some have a megabyte.
READ_AT_ONCE: Final = 20

#: How many letters one step deletes since they are too old or too many.
TRIM_AT_ONCE: Final = 200

#: The last line of a traceback.
RAISED: Final = re.compile(r"([A-Za-z_][\w.]*)(?:: (.*))?")

#: What a run adds to a message's options, and a new one begins without.
OF_A_RUN: Final = ("eta", "requeue_timestamp", "retries", "traceback")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A message that has failed for good.  Times are UTC; ``None`` means not known.

    Attributes:
        id: Its name among the dead letters; for our messages the job's id.
        reason: In one word, stable between releases: the error's code, ``poison``,
            ``unreadable``, or ``unknown`` if a plain dramatiq worker has left it.
        error: ``type``, ``code``, ``message``, ``retryable``.
        attempts: How often it was tried; ``None`` if nobody can read it.
        arguments: ``args`` and ``kwargs``, cut short, without secrets.
        traceback: Where the last attempt failed, or the one before it.
        bytes: The size of the message.
        cursor: Its place in the list, to go on from.
    """

    id: str
    job: str | None
    queue: str
    actor: str | None
    reason: str
    error: dict[str, Any] | None
    attempts: int | None
    died_at: datetime | None
    sent_at: datetime | None
    bytes: int
    cursor: str
    arguments: dict[str, Any] | None = field(repr=False)
    traceback: str | None = field(repr=False)

    def to_json(self, *, whole: bool = True) -> dict[str, Any]:
        """Return plain JSON types; without *whole*, what a list shows."""
        left_out = () if whole else ("arguments", "traceback")
        values = {
            name: getattr(self, name)
            for name in self.__dataclass_fields__
            if name not in left_out
        }
        return {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in values.items()
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which dead letters are meant: those that fit all that is given.

    Attributes:
        ids: Their own ids; none means any.
        error: The type or the code of the error.
        since: Died then or later.
        before: Died earlier.
        registered: Of queues that our senders and workers use.  Those of others, which
            a plain dramatiq worker has left, are found by a look at every key of Redis.
    """

    ids: tuple[str, ...] = ()
    queue: str | None = None
    actor: str | None = None
    reason: str | None = None
    error: str | None = None
    since: datetime | None = None
    before: datetime | None = None
    registered: bool = False

    def fits(self, letter: DeadLetter) -> bool:
        """Tell whether *letter*, of the right queue, id and time, is meant."""
        error = letter.error or {}
        return (
            self.actor in {None, letter.actor}
            and self.reason in {None, letter.reason}
            and self.error in (None, error.get("type"), error.get("code"))
        )


#: All dead letters of all queues.
ALL: Final = Selection()


@dataclass(frozen=True, slots=True, kw_only=True)
class Requeued:
    """How many dead letters wait again, and how many that were meant do not.

    These are left: nobody can read them, their job is there again, or another was
    faster.
    """

    requeued: int
    left: int


class _Place(NamedTuple):
    """Where a letter is; the greatest is the newest."""

    ms: float
    queue: str
    id: str

    @property
    def cursor(self) -> str:
        return f"{self.ms:.0f}:{self.queue}:{self.id}"


def find(
    selection: Selection = ALL,
    *,
    limit: int = 100,
    after: str | None = None,
    broker: RedisBroker | None = None,
) -> list[DeadLetter]:
    """Return the newest *limit* dead letters that are meant, the newest first.

    Args:
        selection: Which; all by default.
        limit: How many at most.
        after: The `cursor` of the last one of the page before.
        broker: Whose; by default those of the broker in use.

    Raises:
        BrokerUnavailable: Redis does not answer.
        InvalidRequestError: *after* is no cursor.
        UnsupportedFeatureError: The broker in use has no such list.
    """
    broker = broker or _own()
    start = None if after is None else _read_cursor(after)
    with translated(broker.client):
        found = (
            letter
            for chunk in _matching(broker, selection, start)
            for letter, _ in chunk
        )
        return list(islice(found, limit))


def get(
    letter_id: str, *, queue: str | None = None, broker: RedisBroker | None = None
) -> DeadLetter | None:
    """Return a dead letter, or ``None`` if there is none of this id (any more).

    Raises:
        BrokerUnavailable: Redis does not answer.
        UnsupportedFeatureError: The broker in use has no such list.
    """
    selection = Selection(ids=(letter_id,), queue=queue)
    return next(iter(find(selection, limit=1, broker=broker)), None)


def requeue(selection: Selection, *, broker: RedisBroker | None = None) -> Requeued:
    """Let dead letters run again, as if they had just been sent with their priority.

    Each is moved in one step, with its job's record, and never twice, whoever else
    does the same.

    Raises:
        BrokerUnavailable: Redis does not answer; some may have been moved, and doing
            it again is safe.
        UnsupportedFeatureError: The broker in use cannot do it.
    """
    broker = broker or _own()
    moved = meant = 0
    with translated(broker.client):
        for chunk in _matching(broker, selection):
            meant += len(chunk)
            for queue, letters in groupby(chunk, lambda pair: pair[0].queue):
                arguments = [part for pair in letters for part in _revived(*pair)]
                if arguments:
                    told = (queue, clock.now_ms(), MAX_EVENTS)
                    moved += broker.run("revive", *told, *arguments)
        trim(broker)
    return Requeued(requeued=moved, left=meant - moved)


def purge(selection: Selection, *, broker: RedisBroker | None = None) -> int:
    """Delete dead letters for good; return how many.

    Raises:
        BrokerUnavailable: Redis does not answer; some may have been deleted.
        UnsupportedFeatureError: The broker in use cannot do it.
    """
    broker = broker or _own()
    deleted = 0
    with translated(broker.client):
        for chunk in _matching(broker, selection):
            for queue, letters in groupby(chunk, lambda pair: pair[0].queue):
                ids = [letter.id for letter, _ in letters]
                deleted += _purge(broker, queue, ids)[0]
        trim(broker)
    return deleted


def trim(broker: RedisBroker) -> None:
    """Delete what is older, or more, than the settings say.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    registered: Any = broker.client.smembers(f"{broker.namespace}:__dead__")
    for queue in {name.decode() for name in registered} | broker.queues:
        while _purge(broker, queue, [])[1] >= TRIM_AT_ONCE:
            pass


def _purge(broker: RedisBroker, queue: str, ids: list[str]) -> list[int]:
    oldest = clock.now_ms() - broker.settings.dead_ttl_s * 1000
    kept = (oldest, broker.settings.dead_max, TRIM_AT_ONCE)
    deleted: list[int] = broker.run("purge", queue, *kept, *ids)
    return deleted


def _matching(
    broker: RedisBroker, selection: Selection, start: _Place | None = None
) -> Iterator[list[tuple[DeadLetter, bytes]]]:
    """Yield what is meant, the newest first, as many at a time as are read at once.

    What comes or goes in the meantime changes nothing for the rest.
    """
    places = _places(broker, selection)
    if start:
        places = [place for place in places if place < start]
    for at in range(0, len(places), READ_AT_ONCE):
        chunk = _read(broker, places[at : at + READ_AT_ONCE])
        yield [pair for pair in chunk if selection.fits(pair[0])]


def _places(broker: RedisBroker, selection: Selection) -> list[_Place]:
    """Return where the letters of the right queue, id and time are, newest first."""
    least = "-inf" if selection.since is None else clock.to_ms(selection.since)
    most = "+inf" if selection.before is None else f"({clock.to_ms(selection.before)}"
    found: list[_Place] = []
    for queue in _queues(broker, selection):
        key = f"{broker.namespace}:{queue}.XQ"
        pairs: Any = broker.client.zrangebyscore(key, least, most, withscores=True)
        found += [
            _Place(score, queue, name)
            for raw, score in pairs
            if (name := raw.decode(errors="replace")) in selection.ids
            or not selection.ids
        ]
    return sorted(found, reverse=True)


def _queues(broker: RedisBroker, selection: Selection) -> list[str]:
    """Return the queues that may have what is meant."""
    if selection.queue is not None:
        return [selection.queue]
    if selection.registered:
        sets = [f"{broker.namespace}:{key}" for key in ("__queues__", "__dead__")]
        known: Any = broker.client.sunion(sets)
        return sorted({name.decode() for name in known} | broker.queues)
    plain = re.sub(r"([\\*?\[\]])", r"\\\1", broker.namespace)
    keys = broker.client.scan_iter(match=f"{plain}:*.XQ", count=1_000, _type="zset")
    start = len(broker.namespace) + 1
    return sorted(
        {key.decode(errors="replace")[start:].removesuffix(".XQ") for key in keys}
    )


def _read(broker: RedisBroker, places: list[_Place]) -> list[tuple[DeadLetter, bytes]]:
    pipeline = broker.client.pipeline(transaction=False)
    for place in places:
        key = f"{broker.namespace}:{place.queue}.XQ"
        pipeline.hget(f"{key}.msgs", place.id)
        pipeline.hget(f"{key}.meta", place.id)
    answers = iter(pipeline.execute())
    bodies = zip(places, answers, answers, strict=True)
    return [
        (_letter(place, body, meta), body)
        for place, body, meta in bodies
        if body is not None
    ]


def _letter(place: _Place, body: bytes, meta: bytes | None) -> DeadLetter:
    stored, why = Stored.read(body), read_object(meta or b"")
    traceback = text(why.get("traceback"), 20_000) or stored.traceback
    return DeadLetter(
        id=place.id,
        job=stored.job,
        queue=place.queue,
        actor=stored.actor,
        reason=text(why.get("reason")) or "unknown",
        error=mapping(why.get("error")) or _raised(traceback),
        attempts=None if stored.attempts is None else stored.attempts + 1,
        died_at=instant(place.ms),
        sent_at=stored.sent_at,
        bytes=len(body),
        cursor=place.cursor,
        arguments=stored.arguments,
        traceback=traceback and str(redact(traceback)),
    )


def _raised(traceback: str | None) -> dict[str, Any] | None:
    """Return the error that the last line of a traceback tells."""
    lines = (traceback or "").strip().splitlines()
    told = RAISED.fullmatch(lines[-1]) if lines else None
    if not told:
        return None
    return {
        "type": told[1].rpartition(".")[2],
        "code": "unexpected",
        "message": short(str(redact(told[2] or told[1]))),
        "retryable": True,
    }


def _revived(letter: DeadLetter, body: bytes) -> Iterable[Any]:
    """Return what the script is told of a letter; nothing if it can never run."""
    try:
        message = decode(body, letter.queue)
    except (DecodeError, RecursionError):
        return ()
    for name in OF_A_RUN:
        message.options.pop(name, None)
    message.options["redis_message_id"] = message.message_id
    read_as = hashlib.sha1(body, usedforsecurity=False).hexdigest()
    return letter.id, read_as, message.message_id, message.encode()


def _read_cursor(text: str) -> _Place:
    ms, _, rest = text.partition(":")
    queue, _, letter_id = rest.partition(":")
    if not (ms.isdecimal() and queue and letter_id):
        raise InvalidRequestError(f"after: {text!r} is not the cursor of a dead letter")
    return _Place(float(ms), queue, letter_id)


def _own() -> RedisBroker:
    from .actor import attached_broker
    from .broker import own_broker

    return own_broker(attached_broker(), "list of dead letters")
