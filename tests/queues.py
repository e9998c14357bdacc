"""What the engine's tests stand on: brokers, workers, a proxy that loses answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dramatiq
import pytest
from dramatiq import broker as dramatiq_broker

from conftest import until
from nexus_actors import CoreSettings, RedisBroker, jobs
from nexus_actors.core.models import Model
from nexus_actors.engine.actor import Actor
from nexus_actors.testing.reply_proxy import ReplyProxy


class Body(Model):
    """The body of a test actor's message."""

    number: int = 0
    text: str = ""


def make_actor(
    fn: Callable[..., Any], *, queue: str = "tests", **options: Any
) -> Actor[..., Any]:
    """Make an actor of ours of *fn*, as a domain does."""
    from nexus_actors import Cancelled, PermanentError, UnknownOutcomeError

    return Actor(
        fn,
        actor_name=f"tests.{fn.__name__}",
        queue_name=queue,
        request="queues:Body",
        options={"throws": (PermanentError, UnknownOutcomeError, Cancelled), **options},
    )


@pytest.fixture
def no_broker() -> Iterator[None]:
    """No broker is set, before and after."""
    dramatiq_broker.global_broker = None
    yield
    dramatiq_broker.global_broker = None


MakeBroker = Callable[..., RedisBroker]


@pytest.fixture
def make_broker(
    redis_url: str,
    tmp_path: Path,
    no_broker: None,  # noqa: ARG001 - what is set here is unset after the test
) -> Iterator[MakeBroker]:
    """Make brokers of ours on the test's Redis; the first is the one in use."""
    made: list[RedisBroker] = []

    def make(*, url: str = redis_url, **settings: Any) -> RedisBroker:
        values = {"redis_url": url, "temp_dir": tmp_path, "backoff_delay": 20}
        broker = RedisBroker(CoreSettings.load(values | settings))
        if not made:
            dramatiq.set_broker(broker)
        made.append(broker)
        return broker

    yield make
    for broker in made:
        for actor in broker.actors.values():
            if isinstance(actor, Actor) and actor.broker is broker:
                actor.unbind()  # else a later test sends to this one
        broker.close()


@pytest.fixture
def broker(make_broker: MakeBroker) -> RedisBroker:
    return make_broker()


@contextmanager
def working(broker: dramatiq.Broker, *, threads: int = 2) -> Iterator[dramatiq.Worker]:
    """Run a worker in this process."""
    worker = dramatiq.Worker(broker, worker_timeout=50, worker_threads=threads)
    worker.start()
    try:
        yield worker
    finally:
        worker.stop(timeout=10_000)


def ended(
    message: dramatiq.Message[Any], broker: RedisBroker, seconds: float = 20
) -> jobs.JobRecord:
    """Return the record of a job once it has ended."""
    return jobs.wait(message.message_id, broker=broker, timeout_s=seconds)


def running(message: dramatiq.Message[Any], broker: RedisBroker) -> bool:
    record = jobs.get(message.message_id, broker=broker)
    return record is not None and record.state == "running"


def held(broker: RedisBroker) -> int:
    """Return how many messages workers have fetched and not ended."""
    keys: Any = broker.client.keys(f"{broker.namespace}:__acks__.*")
    return sum(int(broker.client.scard(key)) for key in keys)


@pytest.fixture
def proxy(redis_url: str) -> Iterator[ReplyProxy]:
    with ReplyProxy(redis_url) as proxy:
        yield proxy


def settled(broker: RedisBroker, queue: str = "tests") -> None:
    """Wait until nothing is left in *queue*, waiting, running or delayed."""
    until(lambda: broker.do_qsize(queue) == 0)
