"""Who lives, who runs what, and what becomes of the messages of the dead.

Each worker process holds a *lease*: its name among the heartbeats, which a thread of
its own renews, whatever consumers and actors do.  Who has none can fetch nothing.
Every process looks after the others.  One whose sign of life has not changed for the
time that it has named itself is dead: a script takes its name off and returns what it
ran, both at once, so that no message is returned twice.

* Signs are compared, not read: the clocks of two machines need not agree.
* Who has been out of touch with Redis, or has slept, watches anew before it judges.  An
  outage is therefore nobody's death, however long it is.
* Who was taken for dead all the same, since it was frozen or cut off, finds its name
  gone at its next step.  It takes a new one, holds on to what nobody else has begun,
  and gives up the rest: such a job is asked to stop, and its end is not told.
* What runs here, and Redis has forgotten altogether, is stored again.
* What Redis takes to be run here, and is not, is returned: the answer to a fetch was
  lost, or Redis has come back with an older state.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final
from uuid import uuid4

import redis
from dramatiq.common import dq_name

from nexus_actors.core import clock, releases
from nexus_actors.core.logs import get_logger
from nexus_actors.core.settings import CoreSettings

from .delivery import Delivered, Delivery
from .events import MAX_EVENTS
from .rounds import rounds
from .scripts import Scripts


log = get_logger(__name__)

#: The longest time between two signs of life, in seconds.
BEAT_S: Final = 2.0

#: How long a thread waits when Redis cannot be reached: doubles up to the last.
FIRST_REST_S: Final = 0.1
LAST_REST_S: Final = 1.0

#: How often a process compares what it runs with what Redis takes it to run, in s.
CHECK_S: Final = 10.0

#: How often it looks for dead workers of plain dramatiq, and when these are dead, in s.
STOCK_LOOK_S: Final = 15.0
STOCK_TIMEOUT_S: Final = 60.0

#: How often it looks for messages that are in no place, in seconds.
SWEEP_S: Final = 60.0

#: How many messages one step returns: it must not hold up Redis.
BATCH: Final = 200


class Turnstile:
    """Many may pass at a time; who closes it waits for them, and is alone."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._closed = False

    def __enter__(self) -> None:
        """Be one of many."""
        with self._changed:
            self._changed.wait_for(lambda: not self._closed)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._inside -= 1
            if self._closed:
                self._changed.notify_all()

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Be alone."""
        with self._changed:
            self._changed.wait_for(lambda: not self._closed)
            self._closed = True
            self._changed.wait_for(lambda: not self._inside)
        try:
            yield
        finally:
            with self._changed:
                self._closed = False
                self._changed.notify_all()


class Lease:
    """The right of this process to run messages, and the messages that it runs.

    Attributes:
        worker: The name of the process in Redis; another one after a lost lease.
        held: What it runs, by Redis id.
        turnstile: Passed by who fetches, closed while the two sides are compared.
        suspicious: Set when an answer was lost; the next beat compares the two sides.
    """

    def __init__(
        self,
        client: redis.Redis,
        scripts: Scripts,
        namespace: str,
        settings: CoreSettings,
    ) -> None:
        self.worker = str(uuid4())
        self.held: dict[str, Delivered] = {}
        self.turnstile = Turnstile()
        self.suspicious = threading.Event()
        self._changing = threading.Lock()  # short: who ends a job waits for no fetch
        self.timeout_s = settings.heartbeat_timeout_s
        self._job_ttl_s = settings.job_ttl_s
        self.threads = 0
        self.queues: set[str] = set()
        self._client = client
        self._scripts = scripts
        self._namespace = namespace
        self._missing: set[Delivery] = set()
        self._successor = str(uuid4())

    def serve(self, queue: str) -> None:
        """Make known that this process fetches from *queue*: first of all."""
        with self.turnstile.closed():
            self.queues.add(queue)
            self._join(self.worker)

    def _join(self, worker: str) -> None:
        queues = sorted(self.queues)
        about = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "release": releases.release(),
            "queues": queues,
            "timeout_s": self.timeout_s,
            "job_ttl_s": self._job_ttl_s,
            "threads": self.threads,
        }
        self._scripts("join", worker, clock.now_ms(), json.dumps(about), *queues)

    def beat(self) -> None:
        """Say that this process lives; if that comes too late, begin a new life."""
        worker = self.worker
        if self.queues and not self._scripts("beat", worker, clock.now_ms()):
            self.renew(worker)

    def renew(self, lost: str) -> None:
        """Take another name in place of *lost*, and hold on to what is still ours.

        Nothing is fetched under the new name before all is held: it might be what runs
        here.  After a lost answer the next try goes on under the same name.
        """
        with self.turnstile.closed():
            if self.worker != lost:
                return  # another thread was faster
            self._join(self._successor)
            for message in list(self.held.values()):
                self._hold(message, self._successor)
            self.worker, self._successor = self._successor, str(uuid4())
        log.error("worker.lease_lost", worker=lost, renewed_as=self.worker)

    def take(self, message: Delivered) -> None:
        """Note that this process runs *message* from now on."""
        with self._changing:
            earlier = self.held.get(message.redis_id)
            if earlier and earlier.delivery is not message.delivery:
                earlier.delivery.lost = True
            self.held[message.redis_id] = message

    def drop(self, message: Delivered) -> None:
        """Note that this process has done with *message*."""
        with self._changing:
            if self.held.get(message.redis_id) is message:
                del self.held[message.redis_id]

    def check(self) -> None:
        """Compare what this process runs with what Redis takes it to run."""
        with self.turnstile.closed():
            known = self._acknowledged()
            for queue, ids in known.items():
                stray = [i for i in ids if i not in self.held]
                about = (queue, self.worker, clock.now_ms(), MAX_EVENTS, "unsure")
                if stray and self._scripts("requeue", *about, *stray):
                    log.warning("message.stray", queue=queue, redis_ids=stray)
            missing = {
                message.delivery: message
                for key, message in list(self.held.items())
                if not message.delivery.lost
                and key not in known.get(message.delivery.queue, ())
            }
            # at the first look, another thread may be about to end it
            for delivery in missing.keys() & self._missing:
                self._hold(missing[delivery], self.worker)
            self._missing = set(missing)

    def _acknowledged(self) -> dict[str, set[str]]:
        queues = sorted(self.queues)
        pipeline = self._client.pipeline(transaction=False)
        for queue in queues:
            pipeline.smembers(f"{self._namespace}:__acks__.{self.worker}.{queue}")
        found = [{key.decode() for key in ids} for ids in pipeline.execute()]
        return dict(zip(queues, found, strict=True))

    def _hold(self, message: Delivered, worker: str) -> None:
        delivery = message.delivery
        if delivery.lost:
            return
        answer = self._scripts(
            *("hold", worker, delivery.queue, message.redis_id),
            *(clock.now_ms(), message.encode()),
        )
        if answer == 1:
            delivery.owner = worker
        elif answer == 0:  # else *worker* has lost its lease: the next name holds it
            delivery.lost = True
            log.error("job.lost_to_another_worker", message_id=message.message_id)

    def end(self) -> None:
        """End the lease; what still runs may be run by another worker."""
        with self.turnstile.closed():
            for message in list(self.held.values()):
                message.delivery.lost = True
            if self.queues:
                recover(self._scripts, self.worker, "", self.queues)


def recover(
    scripts: Scripts,
    worker: str,
    seen: str,
    queues: Iterable[str],
    *,
    ends: bool = True,
) -> int:
    """Return all messages of *worker* if *seen* is still its last sign of life."""
    total, returned = 0, BATCH
    arguments = [MAX_EVENTS, BATCH, int(ends), *queues]
    while returned >= BATCH:
        returned = scripts("recover", worker, seen, clock.now_ms(), *arguments)
        total += max(0, returned)
    return total


def workers_of(client: redis.Redis, namespace: str) -> dict[str, Any]:
    """Return what our workers say of themselves, by their names."""
    found: Any = client.hgetall(f"{namespace}:__workers__")
    return {
        name.decode(): {"timeout_s": STOCK_TIMEOUT_S, "queues": []} | json.loads(about)
        for name, about in found.items()
    }


def served_queues(client: redis.Redis, namespace: str) -> set[str]:
    """Return the queues that our workers fetch from."""
    workers = workers_of(client, namespace).values()
    return {queue for about in workers for queue in about["queues"]}


@dataclass(slots=True)
class _Sign:
    """A sign of life, and since when it has been seen."""

    value: str
    since: float


class Watch:
    """Looks after the other workers, and returns the messages of those that died."""

    def __init__(
        self, client: redis.Redis, scripts: Scripts, namespace: str, lease: Lease
    ) -> None:
        self._client = client
        self._scripts = scripts
        self._namespace = namespace
        self._lease = lease
        self._signs: dict[str, _Sign] = {}

    def forget(self) -> None:
        """Begin to watch anew: this process was out of touch."""
        self._signs.clear()

    def look(self) -> None:
        """Return the messages of our workers that have died."""
        workers = workers_of(self._client, self._namespace)
        names = [name for name in workers if name != self._lease.worker]
        for name, sign in zip(names, self._read_signs(names), strict=True):
            about = workers[name]
            if self._is_dead(name, sign, about["timeout_s"]):
                count = recover(self._scripts, name, sign, about["queues"])
                del self._signs[name]
                log.warning("worker.dead", worker=name, returned=count, **about)

    def look_at_stock(self) -> None:
        """Return the messages of plain dramatiq's workers that have died.

        Their names stay among the heartbeats: they may have fetched from queues that
        are none of ours.
        """
        key = f"{self._namespace}:__heartbeats__"
        found: Any = self._client.zrange(key, 0, -1, withscores=True)
        ours = workers_of(self._client, self._namespace)
        queues = [n for queue in self._lease.queues for n in (queue, dq_name(queue))]
        for name, score in ((name.decode(), score) for name, score in found):
            if name in ours or not self._is_dead(name, _sign(score), STOCK_TIMEOUT_S):
                continue
            count = recover(self._scripts, name, _sign(score), queues, ends=False)
            self._signs[name].since = float("inf")  # once is enough
            if count:
                log.warning("worker.dead", worker=name, returned=count)

    def sweep(self) -> None:
        """Let messages wait that are stored and in no place.

        A place is missing where there are more messages than places; only then each
        message is looked for, some at a time.
        """
        for queue in ("", *sorted(self._lease.queues)):
            if self._scripts("sweep", queue, clock.now_ms()) > 0:
                key = f"{self._namespace}:{queue or '__schedule__'}.msgs"
                stored = (message_id for message_id, _ in self._client.hscan_iter(key))
                found = sum(
                    self._scripts("sweep", queue, clock.now_ms(), *ids)
                    for ids in _chunks(stored)
                )
                log.error("message.orphans", queue=queue or "schedule", found=found)

    def _read_signs(self, names: list[str]) -> list[str]:
        if not names:
            return []
        key = f"{self._namespace}:__heartbeats__"
        scores: Any = self._client.zmscore(key, names)
        return [_sign(score) for score in scores]

    def _is_dead(self, name: str, sign: str, timeout_s: float) -> bool:
        now = time.monotonic()
        known = self._signs.get(name)
        if known is None or known.value != sign:
            self._signs[name] = _Sign(sign, now)
            return False
        return now - known.since >= timeout_s


def _chunks(ids: Iterable[bytes]) -> Iterator[list[bytes]]:
    found = iter(ids)
    while chunk := list(islice(found, BATCH)):
        yield chunk


def _sign(score: float | None) -> str:
    return "" if score is None else f"{score:.0f}"


class Pulse:
    """The thread that beats, compares and watches, as long as the process works."""

    def __init__(self, lease: Lease, watch: Watch) -> None:
        self._lease = lease
        self._watch = watch
        self._beat_s = min(BEAT_S, lease.timeout_s / 5)
        self._loop = Loop("pulse", self._tick, on_outage=self._on_outage)
        self._next_check = self._next_stock = self._next_sweep = 0.0
        self._last = time.monotonic()
        self._swept: set[str] = set()

    def start(self) -> None:
        """Begin to beat."""
        self._loop.start()

    def stop(self) -> None:
        """Beat no more, and end the lease."""
        self._loop.stop()
        try:
            self._lease.end()
        except redis.RedisError as error:  # it ends by itself, only later
            log.warning("broker.unreachable", part="leave", error=str(error))

    def _tick(self) -> float:
        now = time.monotonic()
        self._lease.beat()
        if now - self._last > 3 * self._beat_s:
            self._watch.forget()  # this process has slept, and others may have
        self._last = now
        self._watch.look()
        if self._lease.suspicious.is_set() or now >= self._next_check:
            self._lease.suspicious.clear()
            self._next_check = now + CHECK_S
            self._lease.check()
        if now >= self._next_stock:
            self._next_stock = now + STOCK_LOOK_S
            self._watch.look_at_stock()
        fresh = self._lease.queues - self._swept
        if fresh or now >= self._next_sweep:
            self._next_sweep = now + SWEEP_S
            self._watch.sweep()
            self._swept |= fresh
        return self._beat_s

    def _on_outage(self) -> None:
        self._watch.forget()
        self._lease.suspicious.set()
        self._next_stock = self._next_sweep = 0.0  # a look that failed is made up for


class Loop:
    """A thread that does something again and again, also after an outage of Redis.

    *tick* returns how many seconds to wait before the next.  If *is_watched*, a process
    whose loop does not come round counts as hung.
    """

    def __init__(
        self,
        name: str,
        tick: Callable[[], float],
        *,
        on_outage: Callable[[], None] = lambda: None,
        is_watched: bool = True,
    ) -> None:
        self._name = name
        self._tick = tick
        self._on_outage = on_outage
        self._is_watched = is_watched
        self._stopped = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"nexus-{name}", daemon=True
        )

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, *, waits: bool = True) -> None:
        """End the thread after the step that it is at."""
        self._stopped.set()
        if waits:
            self._thread.join()
        rounds.leave(self._name)

    def _run(self) -> None:
        wait_s, rest_s = 0.0, FIRST_REST_S
        while not self._wait(wait_s):
            try:
                wait_s, rest_s = self._tick(), FIRST_REST_S
            except redis.RedisError as error:
                log.warning("broker.unreachable", part=self._name, error=str(error))
                self._on_outage()
                wait_s, rest_s = rest_s, min(rest_s * 2, LAST_REST_S)
            except Exception:  # a worker without this thread would be taken for dead
                log.exception("engine.failed", part=self._name)
                wait_s = LAST_REST_S

    def _wait(self, wait_s: float) -> bool:
        """Wait for the next step; return whether there is none."""
        if self._is_watched:
            rounds.come(self._name, rests_s=wait_s)
        return self._stopped.wait(wait_s)
