"""The stage of the queue's benchmarks: one Redis, and a worker process for each broker.

``python -m dramatiq benchmarks.queue_stage`` with ``BENCH_BROKER`` set is such a
worker: the import makes the broker that it names.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import dramatiq
from dramatiq.brokers.redis import RedisBroker as StockRedisBroker

from nexus_actors import CoreSettings, RedisBroker
from nexus_actors.core.leash import leash
from nexus_actors.core.logs import configure
from nexus_actors.core.models import Model
from nexus_actors.engine.actor import Actor
from nexus_actors.engine.embedded_redis import embedded_redis

from .runner import BenchmarkError


QUEUE: Final = "benchmark"
ACTOR: Final = "benchmark.job"

#: How long a worker may take to do something, in seconds.
LIMIT_S: Final = 120


class Body(Model):
    """The body of a message."""

    sent: float | None = None


def job(sent: float | None = None) -> None:
    """Do nothing; if told when it was sent, tell how long that is ago."""
    if sent is not None:
        waited = time.time() - sent
        broker: Any = dramatiq.get_broker()
        broker.client.rpush("waited", waited)


@dataclass(frozen=True, slots=True)
class Side:
    """A broker and its actor, as the sender has them."""

    broker: Any
    actor: Any

    def wait_until_empty(self) -> None:
        """Return once every message has been worked off."""
        deadline = time.monotonic() + LIMIT_S
        while self.broker.do_qsize(QUEUE):
            if time.monotonic() > deadline:
                raise BenchmarkError(f"no worker took all messages in {LIMIT_S} s")
            time.sleep(0.002)


def make_side(name: str, url: str) -> Side:
    """Make the broker called *name*, with the same actor as the other has."""
    if name == "dramatiq":
        stock = StockRedisBroker(url=url, namespace="stock")
        declare = dramatiq.actor(actor_name=ACTOR, queue_name=QUEUE, broker=stock)
        return Side(stock, declare(job))
    settings = CoreSettings.load({"redis_url": url, "redis_namespace": "ours"})
    ours = RedisBroker(settings)
    actor: Actor[..., Any] = Actor(
        job,
        actor_name=ACTOR,
        queue_name=QUEUE,
        request=f"{Body.__module__}:{Body.__name__}",
        options={},
    )
    actor.declare_on(ours)
    return Side(ours, actor)


@contextmanager
def sides() -> Iterator[Mapping[str, Side]]:
    """Yield both sides, each with a worker process that has done its first job."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(embedded_redis(folder)).url
        made = {name: make_side(name, url) for name in ("dramatiq", "nexus-actors")}
        for name, side in made.items():
            stack.callback(side.broker.client.close)
            stack.enter_context(worker(name, url))
            side.actor.send()
        for side in made.values():
            side.wait_until_empty()
        yield made


@contextmanager
def worker(name: str, url: str) -> Iterator[None]:
    """Run a worker of 1 process and 8 threads."""
    command = [sys.executable, "-m", "dramatiq", __name__, "-p", "1", "-t", "8"]
    process = subprocess.Popen(  # noqa: S603 - ours
        [*leash(signal.SIGTERM), *command],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "BENCH_BROKER": name, "BENCH_REDIS": url},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait()


if "BENCH_BROKER" in os.environ:
    configure("INFO", "json", env="production")  # as `nexus_actors.worker` does
    dramatiq.set_broker(
        make_side(os.environ["BENCH_BROKER"], os.environ["BENCH_REDIS"]).broker
    )
