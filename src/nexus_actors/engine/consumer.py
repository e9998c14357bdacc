"""The consumer: takes only what may run, and ends each delivery in one step."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import dramatiq
import redis
from dramatiq import Message, MessageProxy
from dramatiq.common import dq_name
from dramatiq.errors import ActorNotFound, ConnectionClosed, DecodeError

from nexus_actors.core import clock, releases
from nexus_actors.core.errors import ConfigurationError
from nexus_actors.core.logs import get_logger

from .delivery import DONE, Delivered, Delivery
from .events import MAX_EVENTS
from .middleware.jobs import note_death, note_retry
from .recovery import FIRST_REST_S, LAST_REST_S
from .rounds import rounds


if TYPE_CHECKING:
    from .broker import RedisBroker

log = get_logger(__name__)

#: How long a consumer waits for a thread or a slot before it looks again, in seconds.
WAIT_S: Final = 0.2

#: How long it waits for a hint; plain dramatiq's producers give none.  An idle Redis
#: may end the wait a tenth of a second later.
POLL_S: Final = 0.2

#: How many messages it asks for at first; twice as many each time that there are.
#: One more than may be there tells that there is none left.
FEW: Final = 2
#: How long it waits for a paused queue to be resumed; a hint ends that, too.
PAUSED_POLL_S: Final = 1.0

#: For how long a thread takes one message after another, in seconds.
GO_ON_S: Final = 0.2

#: How long a suspect waits for a process that has nothing to do, before one that is
#: busy takes nothing else until it has.
PATIENCE_S: Final = 30.0

#: What the fields of a message must be.
KINDS: Final = {"actor_name": str, "message_id": str, "kwargs": dict, "options": dict}


@dataclass(slots=True)
class _Suspect:
    """A message that is to run alone, and the threads that are free for it so far."""

    message: Delivered
    places: int = field(default=0)


class Consumer(dramatiq.Consumer):
    """Fetches the messages of one queue for one worker process.

    What is fetched is as good as started: the rest waits in Redis, where an idle
    process can take it.
    """

    def __init__(self, broker: RedisBroker, queue_name: str) -> None:
        self.broker = broker
        self.queue_name = queue_name
        self._wake = f"{broker.namespace}:{queue_name}.wake"
        self._resumed = f"{broker.namespace}:{queue_name}.resumed"
        self._is_paused = False
        self._ready: deque[Delivered] = deque()
        self._suspect: _Suspect | None = None
        self._suspects_since: float | None = None
        self._rest_s = FIRST_REST_S
        self._is_empty = False
        self._most = FEW
        self._loop = f"consumer of {queue_name}"
        with _closed_on_error():
            broker.lease.serve(queue_name)
            broker.lease.check()

    def __next__(self) -> MessageProxy | None:
        """Return the next message, or ``None`` if there is none for now."""
        rounds.come(self._loop)
        try:
            if self.broker.draining.is_set():
                self._give_back()
                time.sleep(WAIT_S)
                return None
            if self._rest_s > FIRST_REST_S:  # an answer was lost: perhaps with messages
                self.broker.lease.check()
            found = self._known(self._next())
        except redis.RedisError as error:
            self.broker.lease.suspicious.set()
            log.warning("broker.unreachable", queue=self.queue_name, error=str(error))
            time.sleep(self._rest_s)
            self._rest_s = min(self._rest_s * 2, LAST_REST_S)
            return None
        else:
            self._rest_s = FIRST_REST_S
            return found

    def _known(self, found: Delivered | None) -> Delivered | None:
        """Return *found*, unless a newer release has sent it to an actor of its own."""
        if found is None or found.actor_name in self.broker.actors:
            return found
        written_by = found.options.get(releases.NAME)
        if not releases.is_newer(written_by):
            return found  # nack says what to do
        delivery, wait = found.delivery, releases.left(written_by)
        delivery.outcome, delivery.ended = "again", ("postponed", "")
        delivery.successor = self.broker.prepare(found)
        delivery.due = clock.to_ms(wait.until)
        note_retry(delivery, found, wait)
        self._settle(found)
        return None

    def _next(self) -> Delivered | None:
        if self._ready:
            return self._ready.popleft()
        if self._suspect:
            return self._next_alone(self._suspect)
        if self._is_empty:  # since then, what was stored has left a hint
            self._is_empty = False
            if not self._await_hint() or self.broker.draining.is_set():
                return None
        wanted = self._free()
        if not wanted:
            return None
        self._fetch(wanted)
        return self._ready.popleft() if self._ready else None

    def _await_hint(self) -> bool:
        """Wait for a hint that there may be something to take; tell if there is one."""
        if self._is_paused:
            return self.broker.run.await_hint(self._resumed, PAUSED_POLL_S)
        return self.broker.run.await_hint(self._wake, POLL_S)

    def _free(self) -> list[Delivery]:
        """Take threads, and slots, that are free; wait a moment for the first."""
        place = self.broker.places
        if self.broker.alone.locked():
            time.sleep(WAIT_S)
            return []
        if not place.acquire(timeout=WAIT_S):
            return []
        free = [Delivery(place=place)]
        while len(free) < self._most and place.acquire(blocking=False):
            free.append(Delivery(place=place))
        slots = self.broker.slots.get(self.queue_name)
        if slots is None:
            return free
        for delivery in free:
            delivery.slot = slots.take()
            if delivery.slot is None:
                delivery.release()
        free = [delivery for delivery in free if delivery.slot]
        if not free:
            time.sleep(WAIT_S)
        return free

    def _fetch(self, free: list[Delivery]) -> None:
        wanted = len(free)
        try:
            suspects, found = self._run_fetch("some", wanted, free)
        finally:
            for delivery in free:
                delivery.release()
        self._ready.extend(found)
        self._is_empty = len(found) < wanted
        self._most = FEW if self._is_empty else min(self._most * 2, self.broker.threads)
        self._is_paused = suspects < 0
        self._mind(max(suspects, 0))

    def _run_fetch(
        self, mode: str, what: int | str, free: list[Delivery]
    ) -> tuple[int, list[Delivered]]:
        """Run the script; without a lease, nothing is found, and a new one is taken."""
        lease = self.broker.lease
        with lease.turnstile:
            worker = lease.worker
            answer = self.broker.run(
                *("fetch", mode, self.queue_name, worker, clock.now_ms(), MAX_EVENTS),
                *(self.broker.name, what),
            )
            if answer is not None:
                return answer[0], self._accept(answer[1:], worker, free)
        lease.renew(worker)
        return 0, []

    def _accept(
        self, taken: list[Any], worker: str, free: list[Delivery]
    ) -> list[Delivered]:
        """Return what a script has taken, each with one of the *free* deliveries."""
        accepted = []
        for key, body, number in zip(*[iter(taken)] * 3, strict=True):
            message = self._read(key.decode(), body)
            if message is None:
                continue
            delivery = free.pop()
            delivery.owner, delivery.queue = worker, self.queue_name
            delivery.number = number
            delivery.tracked = message.options.get("track") is not False
            delivery.ready_at = message.options.pop("eta", message.message_timestamp)
            delivered = Delivered(message, delivery)
            self.broker.lease.take(delivered)
            accepted.append(delivered)
        return accepted

    def _read(self, key: str, body: bytes) -> Message[Any] | None:
        """Return the message; what is none becomes a dead letter."""
        try:
            message = decode(body, self.queue_name)
            if message.options["redis_message_id"] == key:
                return message
        except DecodeError:
            pass
        log.error("message.unreadable", queue=self.queue_name, redis_id=key)
        try:
            self.broker.bury(self.queue_name, key)
        except redis.RedisError:  # it is returned, fetched again, and buried then
            self.broker.lease.suspicious.set()
        return None

    def _mind(self, suspects: int) -> None:
        """Take a suspect, if there is one and this process may run it alone."""
        if not suspects:
            self._suspects_since = None
            return
        now = time.monotonic()
        self._suspects_since = since = self._suspects_since or now
        is_idle = not self.broker.lease.held
        if not (is_idle or now - since > PATIENCE_S):
            return
        if not self.broker.alone.acquire(blocking=False):
            return
        self._suspects_since = None
        try:
            self._reserve()
        finally:
            if not self._suspect:
                self.broker.alone.release()

    def _reserve(self) -> None:
        _, found = self._run_fetch("reserve", 1, [Delivery()])
        if found:
            self._suspect = _Suspect(found[0])

    def _next_alone(self, suspect: _Suspect) -> Delivered | None:
        """Return the suspect once nothing else runs in this process."""
        if suspect.places < self.broker.threads:
            suspect.places += self.broker.places.acquire(timeout=WAIT_S)
            return None
        message, delivery = suspect.message, suspect.message.delivery
        slots = self.broker.slots.get(self.queue_name)
        if slots and not delivery.slot:
            delivery.slot = slots.take()
            if not delivery.slot:
                time.sleep(WAIT_S)
                return None
        _, found = self._run_fetch("begin", message.redis_id, [delivery])
        delivery.place, delivery.places = self.broker.places, suspect.places
        self._suspect = None
        self.broker.alone.release()
        if found:
            log.warning("message.alone", message_id=message.message_id)
            return found[0]
        self._forget(message)
        return None

    def ack(self, message: MessageProxy) -> None:
        """End the delivery as its run says, and take the next if there is time.

        Where jobs are short, a thread that has to wait for the consumer to find it
        another one would wait for as long as it works.
        """
        assert isinstance(message, Delivered)  # noqa: S101 - we have made it
        taken = self._settle(message, and_take=self._may_go_on(message.delivery))
        following = self._known(taken)
        if following and self.broker.worker:
            self.broker.worker.consumers[self.queue_name].handle_message(following)

    def _may_go_on(self, delivery: Delivery) -> bool:
        """Whether the thread that ran a job may take the next one of the queue.

        Only for a moment: other queues, and suspects, wait for threads, too.
        """
        age_s = time.monotonic() - delivery.since
        is_busy = self.broker.draining.is_set() or self.broker.alone.locked()
        return age_s < GO_ON_S and delivery.places == 1 and not is_busy

    def nack(self, message: MessageProxy) -> None:
        """End the delivery in the dead letters."""
        assert isinstance(message, Delivered)  # noqa: S101 - we have made it
        message.delivery.outcome = "dead"
        error = message._exception  # noqa: SLF001 - dramatiq has no other way
        if isinstance(error, ActorNotFound):
            error = ConfigurationError(
                f"this worker has no actor {message.actor_name!r}; "
                "workers are upgraded before those who send",
                code="unknown_actor",
            )
        if message.delivery.ended is DONE:  # nothing has run it
            message.delivery.ended = ("failure", "rejected")
        if not message.delivery.why:
            note_death(message.delivery, message, error or RuntimeError("rejected"))
        self._settle(message)

    def _settle(
        self, message: MessageProxy, *, and_take: bool = False
    ) -> Delivered | None:
        """Write the end, however long Redis cannot be reached: it is safe to repeat."""
        assert isinstance(message, Delivered)  # noqa: S101 - we have made it
        wait_s = FIRST_REST_S
        while True:
            try:
                return self._settle_once(message, and_take=and_take)
            except redis.RedisError as error:
                log.warning("job.end_not_written", error=str(error), again_in_s=wait_s)
                self.broker.lease.suspicious.set()
                time.sleep(wait_s)
                wait_s, and_take = min(wait_s * 2, LAST_REST_S), False

    def _settle_once(self, message: Delivered, *, and_take: bool) -> Delivered | None:
        """Write the end; return the next message, which has the thread of this one."""
        lease, ended = self.broker.lease, message.delivery
        with lease.turnstile:
            worker = lease.worker
            taken = self.broker.settle(message, and_take=and_take)
            lease.drop(message)
            found = self._accept(taken[1:], worker, [ended.next()])
        if found:
            ended.slot = ended.place = None
            return found[0]
        ended.release()
        return None

    def _forget(self, message: Delivered) -> None:
        self.broker.lease.drop(message)
        message.delivery.release()

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Return messages that were fetched but not started to their queue."""
        unstarted = [item for item in messages if isinstance(item, Delivered)]
        self._return(unstarted, counted=True)

    def _return(self, messages: list[Delivered], *, counted: bool) -> None:
        if not messages:
            return
        lease = self.broker.lease
        with lease.turnstile:
            for message in messages:
                self._forget(message)
            ids = [message.redis_id for message in messages]
            told = (clock.now_ms(), MAX_EVENTS, int(counted))
            try:
                self.broker.run("requeue", self.queue_name, lease.worker, *told, *ids)
            except redis.RedisError as error:  # what is not back is found to be stray
                log.warning("broker.unreachable", part="requeue", error=str(error))
                lease.suspicious.set()

    def _give_back(self) -> None:
        """Return what was fetched ahead."""
        ready, self._ready = list(self._ready), deque()
        self._return(ready, counted=True)
        if self._suspect:
            suspect, self._suspect = self._suspect, None
            if suspect.places:
                self.broker.places.release(suspect.places)
            self._return([suspect.message], counted=False)
            self.broker.alone.release()

    def close(self) -> None:
        """Return what was fetched ahead."""
        rounds.leave(self._loop)
        self._give_back()


@contextmanager
def _closed_on_error() -> Iterator[None]:
    """Raise the one error that makes dramatiq wait for Redis and try again."""
    try:
        yield
    except redis.RedisError as error:
        raise ConnectionClosed(error) from None


def decode(data: bytes, queue_name: str) -> Message[Any]:
    """Return the message that *data* of this queue stands for.

    Raises:
        DecodeError: It is none that a worker can run, or even acknowledge.
    """
    message: Message[Any] = Message.decode(data)
    if message.queue_name == dq_name(queue_name):  # a stock producer has delayed it
        message = message.copy(queue_name=queue_name)
    check(message, queue_name)
    return message


def check(message: Message[Any], queue_name: str) -> None:
    """Refuse what would only fail later, in the middle of dramatiq's threads.

    Raises:
        DecodeError: A field is not of the kind that it must be.
    """
    wrong = [
        name
        for name, kind in KINDS.items()
        if not isinstance(getattr(message, name), kind)
    ]
    if not wrong and not isinstance(message.options.get("redis_message_id"), str):
        wrong = ["redis_message_id"]
    if message.queue_name != queue_name:
        wrong.append("queue_name")
    if wrong:
        text = f"wrong in the message: {', '.join(wrong)}"
        raise DecodeError(text, message.encode(), None)
