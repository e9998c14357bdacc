"""The stage of the queue's benchmarks: one Redis, and the same work for each side.

``python -m dramatiq benchmarks.queue.stage`` with ``BENCH_BROKER`` set is a worker:
the import makes the broker that it names.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker as StockRedisBroker
from typing_extensions import override

from benchmarks.runner import BenchmarkError, program
from nexus_actors import CoreSettings, RedisBroker
from nexus_actors.core.leash import leash
from nexus_actors.core.logs import configure
from nexus_actors.engine.embedded_redis import embedded_redis
from nexus_actors.engine.middleware.metrics import MetricsMiddleware


FOLDER: Final = Path(__file__).parent
ROOT: Final = FOLDER.parents[1]

QUEUE: Final = "benchmark"
THREADS: Final = 8

#: How long a worker may take to do something, in seconds.
LIMIT_S: Final = 120


def job(sent: float | None = None) -> None:
    """Do nothing; if told when it was sent, tell how long that is ago."""
    if sent is not None:
        waited = time.time() - sent
        broker: Any = dramatiq.get_broker()
        broker.client.rpush("waited", f"{os.getpid()} {waited}")


def switch(on: bool) -> None:
    """Begin or cease to keep metrics in this worker."""
    broker: Any = dramatiq.get_broker()
    if on:
        Measured.metrics.before_worker_boot(broker, broker.worker)
    else:
        Measured.metrics.after_worker_shutdown(broker, broker.worker)
    broker.client.rpush("switched", int(on))


def declare(broker: dramatiq.Broker, work: Callable[..., None] = job) -> Any:
    """Make *work* an actor of *broker*, as a host does."""
    return dramatiq.actor(actor_name=work.__name__, queue_name=QUEUE, broker=broker)(
        work
    )


class Side(ABC):
    """A queue, as its sender has it."""

    def __init__(self, name: str, url: str) -> None:
        self.name = name
        self.url = url
        self.redis = redis.Redis.from_url(
            url,
            protocol=2,
            socket_timeout=LIMIT_S + 5,  # longer than it may block
        )

    @abstractmethod
    def send_each(self, jobs: int) -> float:
        """Send *jobs* jobs one after the other; return how many seconds it took."""

    @abstractmethod
    def send_bulk(self, jobs: int) -> float:
        """Send *jobs* jobs as fast as may be; return how many seconds it took."""

    @abstractmethod
    def send_timed(self, priority: int | None = None) -> None:
        """Send one job that tells how long it has waited."""

    @abstractmethod
    def left(self) -> int:
        """Return how many jobs wait or run."""

    @abstractmethod
    def clear(self) -> None:
        """Forget the jobs that wait; no worker runs."""

    @abstractmethod
    def command(self) -> Sequence[str]:
        """Return the command of a worker process with `THREADS` threads."""

    def close(self) -> None:
        """Close what is open."""
        self.redis.close()

    def timed(self) -> tuple[int, float]:
        """Wait for a timed job; return the worker's process, and the wait in ms."""
        answer: Any = self.redis.blpop(["waited"], timeout=LIMIT_S)
        if answer is None:
            raise BenchmarkError(f"no worker took a message in {LIMIT_S} s")
        pid, waited = answer[1].split()
        return int(pid), float(waited) * 1000

    def wait_until_empty(self) -> None:
        """Return once every job has been worked off."""
        deadline = time.monotonic() + LIMIT_S
        while self.left():
            if time.monotonic() > deadline:
                raise BenchmarkError(f"no worker took all messages in {LIMIT_S} s")
            time.sleep(0.004)


class Dramatiq(Side):
    """Dramatiq's own broker with its defaults; it has no bulk, so each is sent."""

    namespace = "stock"

    def __init__(self, name: str, url: str) -> None:
        super().__init__(name, url)
        self.broker = self.make_broker(url)
        self.actor: Any = declare(self.broker)
        self.options: dict[str, Any] = {}

    @classmethod
    def make_broker(cls, url: str) -> Any:
        """Return the broker, as a sender and a worker have it."""
        return StockRedisBroker(url=url, namespace=cls.namespace)

    @override
    def send_each(self, jobs: int) -> float:
        started = time.perf_counter()
        for _ in range(jobs):
            self.actor.send_with_options(**self.options)
        return time.perf_counter() - started

    @override
    def send_bulk(self, jobs: int) -> float:
        return self.send_each(jobs)

    @override
    def send_timed(self, priority: int | None = None) -> None:
        self.actor.send_with_options(kwargs={"sent": time.time()}, **self.options)

    @override
    def left(self) -> int:
        return int(self.redis.hlen(f"{self.namespace}:{QUEUE}.msgs"))

    @override
    def clear(self) -> None:
        self.redis.delete(f"{self.namespace}:{QUEUE}", f"{self.namespace}:{QUEUE}.msgs")

    @override
    def command(self) -> Sequence[str]:
        module = f"benchmarks.queue.{Path(__file__).stem}"
        worker = [sys.executable, "-m", "dramatiq", module]
        return [*worker, "-p", "1", "-t", str(THREADS), "--skip-logging"]

    @override
    def close(self) -> None:
        super().close()
        self.broker.client.close()


class Ours(Dramatiq):
    """Our broker with its defaults: a record and events of each job."""

    namespace = "ours"

    @classmethod
    @override
    def make_broker(cls, url: str) -> Any:
        values = {"redis_url": url, "redis_namespace": cls.namespace}
        return RedisBroker(CoreSettings.load(values))

    @override
    def send_bulk(self, jobs: int) -> float:
        started = time.perf_counter()
        make = self.actor.message_with_options
        self.broker.enqueue_many(make(**self.options) for _ in range(jobs))
        return time.perf_counter() - started

    @override
    def send_timed(self, priority: int | None = None) -> None:
        chosen = {} if priority is None else {"priority": priority}
        self.actor.send_with_options(
            kwargs={"sent": time.time()}, **self.options, **chosen
        )


class Untracked(Ours):
    """Our broker without records and events: what bare dramatiq does."""

    def __init__(self, name: str, url: str) -> None:
        super().__init__(name, url)
        self.options = {"track": False}


class Measured(Ours):
    """Our broker, whose workers keep metrics, as those of `nexus_actors.worker` do.

    They can be told not to: two processes that do the same differ by some in a hundred.
    """

    metrics = MetricsMiddleware(lambda: "benchmark")

    def __init__(self, name: str, url: str) -> None:
        super().__init__(name, url)
        self._switch = declare(self.broker, switch)

    def keep_metrics(self, *, on: bool) -> None:
        """Let the worker, which has nothing to do, begin or cease to keep them."""
        self._switch.send(on=on)
        if not self.redis.blpop(["switched"], timeout=LIMIT_S):
            raise BenchmarkError(f"no worker took a message in {LIMIT_S} s")
        self.wait_until_empty()


class BullMQ(Side):
    """BullMQ with its defaults, in Node.js; a process obeys as sender."""

    def __init__(self, name: str, url: str) -> None:
        super().__init__(name, url)
        self.program = [node(), str(FOLDER / "bullmq.mjs")]
        self._sender = subprocess.Popen(  # noqa: S603 - ours
            [*leash(signal.SIGTERM), *self.program, "send"],
            env=environment(name, url),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def _tell(self, what: str, **more: Any) -> float:
        assert self._sender.stdin  # noqa: S101 - made with pipes
        assert self._sender.stdout  # noqa: S101
        print(json.dumps({"do": what, **more}), file=self._sender.stdin, flush=True)
        line = self._sender.stdout.readline()
        if not line:
            raise BenchmarkError("BullMQ's sender has ended")
        return float(json.loads(line)["seconds"])

    @override
    def send_each(self, jobs: int) -> float:
        return self._tell("each", jobs=jobs)

    @override
    def send_bulk(self, jobs: int) -> float:
        return self._tell("bulk", jobs=jobs)

    @override
    def send_timed(self, priority: int | None = None) -> None:
        self._tell("timed", priority=priority)

    @override
    def left(self) -> int:
        pipeline = self.redis.pipeline(transaction=True)
        pipeline.llen(f"bull:{QUEUE}:wait")
        pipeline.llen(f"bull:{QUEUE}:active")
        pipeline.zcard(f"bull:{QUEUE}:prioritized")
        return sum(pipeline.execute())

    @override
    def clear(self) -> None:
        self._tell("clear")

    @override
    def command(self) -> Sequence[str]:
        return [*self.program, "worker"]

    @override
    def close(self) -> None:
        super().close()
        assert self._sender.stdin  # noqa: S101 - made with pipes
        self._sender.stdin.close()
        self._sender.wait()


def node() -> str:
    """Return the Node.js that runs BullMQ.

    Raises:
        BenchmarkError: What ``make bench`` installs is missing.
    """
    found = program("node")
    if found is None or not (FOLDER / "node_modules").exists():
        raise BenchmarkError("BullMQ is not installed: run `make bench`")
    return found


#: The sides by name; the last one is compared in one benchmark alone.
USUAL: Final = ("nexus-actors", "nexus-actors untracked", "dramatiq", "BullMQ")
SIDES: Final[Mapping[str, type[Side]]] = {
    "nexus-actors": Ours,
    "nexus-actors untracked": Untracked,
    "dramatiq": Dramatiq,
    "BullMQ": BullMQ,
    "nexus-actors with metrics": Measured,
}


def environment(name: str, url: str) -> dict[str, str]:
    """Return the environment of a process of the side called *name*."""
    own = {"BENCH_BROKER": name, "BENCH_REDIS": url, "BENCH_THREADS": str(THREADS)}
    return {**os.environ, **own, "BENCH_SOCKET": url.removeprefix("unix://")}


@contextmanager
def sides(*names: str) -> Iterator[Mapping[str, Side]]:
    """Yield the sides of these *names*, else the usual ones, on one Redis."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(embedded_redis(folder)).url
        made = {name: SIDES[name](name, url) for name in names or USUAL}
        for side in made.values():
            stack.callback(side.close)
        yield made


@dataclass(slots=True)
class Workers:
    """The worker processes of a side."""

    side: Side
    processes: list[subprocess.Popen[bytes]]

    def freeze(self) -> None:
        """Stop them where they are."""
        for process in self.processes:
            os.killpg(process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        for process in self.processes:
            os.killpg(process.pid, signal.SIGCONT)

    def drop(self) -> None:
        """End one of them."""
        end(self.processes.pop())

    def wait_until_warm(self) -> None:
        """Return once each of them has done its first jobs."""
        seen: set[int] = set()
        deadline = time.monotonic() + LIMIT_S
        while len(seen) < len(self.processes):
            if time.monotonic() > deadline:
                raise BenchmarkError(f"{self.side.name}: not all workers work")
            for _ in range(2 * THREADS):
                self.side.send_timed()
            seen |= {self.side.timed()[0] for _ in range(2 * THREADS)}
        self.side.wait_until_empty()


@contextmanager
def workers(sides: Iterable[Side], count: int = 1) -> Iterator[list[Workers]]:
    """Run *count* worker processes for each of *sides*; all have done some jobs."""
    with ExitStack() as stack:
        made = [
            Workers(side, [stack.enter_context(_worker(side)) for _ in range(count)])
            for side in sides
        ]
        for running in made:
            running.wait_until_warm()
        yield made


@contextmanager
def _worker(side: Side) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(  # noqa: S603 - ours
        [*leash(signal.SIGTERM), *side.command()],
        cwd=ROOT,
        env=environment(side.name, side.url),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a worker that has nothing to do, and its children: its own way is slow."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


if "BENCH_BROKER" in os.environ and __name__ != "__main__":
    _side: Any = SIDES[os.environ["BENCH_BROKER"]]
    if issubclass(_side, Ours):
        configure("INFO", "json", env="production")  # as `nexus_actors.worker` does
    _broker = _side.make_broker(os.environ["BENCH_REDIS"])
    if issubclass(_side, Measured):
        _broker.add_middleware(Measured.metrics)
        declare(_broker, switch)
    dramatiq.set_broker(_broker)
    declare(_broker)
