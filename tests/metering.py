"""A day in the life of a queue that is watched: load, a kill, a stop, and two faults.

Workers of two groups run; each group has its endpoint, the queue its exporter, and
Prometheus asks all three.  What was scraped in the meantime is kept for the tests.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Self
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import dramatiq
import pytest
from prometheus_client.exposition import start_wsgi_server
from prometheus_client.parser import text_string_to_metric_families

from conftest import ROOT, until
from nexus_actors import CoreSettings, RedisBroker
from nexus_actors.core import clock
from nexus_actors.engine import instruments
from nexus_actors.engine.embedded_redis import EmbeddedRedis, embedded_redis
from nexus_actors.engine.metrics import Exporter
from scale import scaled
from servers import free_port


RULES: Final = ROOT / "deploy" / "prometheus" / "nexus-actors.rules.yml"

#: How the messages end, and how many of twenty do so in each way.
WAYS: Final = {
    "done": 11,
    "retried": 2,
    "exhausted": 1,
    "rejected": 1,
    "postponed": 2,
    "delayed": 2,
    "expired": 1,
}
TWENTIES: Final = scaled(60, full=1000)

#: How many take a while: more than one process has threads.
SLOW: Final = 6

#: The outcomes of the runs of one message that ends in a way.
OUTCOMES: Final = {
    "done": ("success",),
    "retried": ("failure", "success"),
    "exhausted": ("failure", "failure"),
    "rejected": ("failure",),
    "postponed": ("postponed", "success"),
    "delayed": ("success",),
    "expired": ("skipped",),
}


class Scrape:
    """What one answer says."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = time.time()
        self.values = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def sum(self, name: str, **labels: str) -> float:
        """Return the sum of all series with these labels, and perhaps others."""
        wanted = labels.items()
        return sum(
            v for (n, has), v in self.values.items() if n == name and wanted <= has
        )

    def by(self, name: str, *labels: str) -> dict[tuple[str, ...], float]:
        """Return the series that are not 0, by the values of *labels*."""
        found: Counter[tuple[str, ...]] = Counter()
        for (known, has), value in self.values.items():
            if known == name and value:
                told = dict(has)
                found[tuple(told[label] for label in labels)] += value  # type: ignore[assignment]
        return dict(found)


@dataclass
class Group:
    """Worker processes that share an endpoint."""

    name: str
    folder: Path
    exporter: Exporter
    port: int = 0
    scrapes: list[Scrape] = field(default_factory=list)

    def scrape(self) -> Scrape:
        """Ask once, and keep the answer."""
        scrape = Scrape(self.exporter.render()[0].decode())
        self.scrapes.append(scrape)
        return scrape


@dataclass
class Prometheus:
    """A real one."""

    port: int

    def get(self, path: str, **query: Any) -> Any:
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urlencode(query)}"
        with urlopen(url, timeout=20) as answer:
            return json.load(answer)["data"]

    def range(self, query: str, start: float, end: float) -> list[dict[str, Any]]:
        """Return the series that *query* has between two times."""
        about = {"query": query, "start": start, "end": end, "step": 0.5}
        found: list[dict[str, Any]] = self.get("query_range", **about)["result"]
        return found

    def asks(self) -> bool:
        """Whether each endpoint was asked: Prometheus begins after five seconds."""
        try:
            targets = self.get("targets")["activeTargets"]
        except URLError:
            return False
        return len(targets) == 3 and all(t["health"] == "up" for t in targets)

    def firing(self) -> set[str]:
        return {
            alert["labels"]["alertname"]
            for alert in self.get("alerts")["alerts"]
            if alert["state"] == "firing"
        }


@dataclass
class Life:
    """What there was, and what was seen of it."""

    redis: EmbeddedRedis
    tmp: Path
    stack: ExitStack
    groups: dict[str, Group] = field(default_factory=dict)
    masters: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    prometheus: Prometheus | None = None
    began: float = 0.0
    ended: float = 0.0
    killed: int = 0
    settled_s: float = 0.0
    firing: dict[str, set[str]] = field(default_factory=dict)
    exporter_port: int = 0
    without_redis: str = ""

    @classmethod
    @contextmanager
    def lived(cls, tmp: Path) -> Iterator[Self]:
        with ExitStack() as stack:
            life = cls(stack.enter_context(embedded_redis(tmp / "redis")), tmp, stack)
            life.live()
            yield life

    @property
    def settings(self) -> CoreSettings:
        return CoreSettings.load({"redis_url": self.redis.url})

    @property
    def runs(self) -> Counter[int]:
        """How many runs each process has begun."""
        lines = (self.tmp / "notes").read_text().splitlines()
        return Counter(int(line.split()[2]) for line in lines)

    def live(self) -> None:
        for name in ("a", "b"):
            self._add_group(name)
        self._start_exporter()
        self.prometheus = self._start_prometheus()  # it asks after five seconds
        for master in ("a1", "a2", "b1"):
            self._start(master)
        a, b = self.groups.values()
        if self.prometheus:
            until(self.prometheus.asks)
        until(lambda: a.scrape().sum("nexus_workers", queue="mixed") == 3)
        self.began = time.time()
        self._send()
        self._kill("a1", when=lambda: self._done(a.scrape()) > TWENTIES * 10)
        until(lambda: _left(a.scrape()) == 0 and b.scrape() is not None, 170)
        since = time.monotonic()
        until(lambda: self._is_calm(a.scrape(), b.scrape()), 15)
        self.settled_s = time.monotonic() - since
        self._stop("b1")
        b.scrape()
        if self.prometheus:
            until(self._is_stop_seen)
        self.ended = time.time()
        self._go_wrong()

    def _is_stop_seen(self) -> bool:
        assert self.prometheus
        metric = "nexus_worker_shutdown_duration_seconds_count"
        return bool(self.prometheus.get("query", query=metric)["result"])

    def _go_wrong(self) -> None:
        """Leave a message alone, then take Redis away."""
        if not self.prometheus:
            return
        until(lambda: "NexusDeadLetters" in self._firing("load"))
        os.killpg(self.masters["a2"].pid, signal.SIGKILL)
        self.masters["a2"].wait()
        with self._broker() as broker:
            broker.enqueue(message("done", 0))
        until(lambda: "NexusNoWorkers" in self._firing("no workers"))
        assert self.redis.process
        self.redis.process.kill()
        self.redis.process.wait()
        until(lambda: "NexusBrokerDown" in self._firing("no redis"))
        url = f"http://127.0.0.1:{self.exporter_port}/metrics"
        with urlopen(url, timeout=20) as answer:
            self.without_redis = answer.read().decode()

    def _firing(self, when: str) -> set[str]:
        assert self.prometheus
        self.firing[when] = self.prometheus.firing()
        return self.firing[when]

    def _add_group(self, name: str) -> None:
        folder = self.tmp / f"group-{name}"
        folder.mkdir()
        group = self.groups[name] = Group(name, folder, Exporter(self.settings, folder))
        group.port = self._serve(group)

    def _serve(self, group: Group) -> int:
        server, thread = start_wsgi_server(0, "127.0.0.1", group.exporter.registry)

        def stop() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        self.stack.callback(stop)
        return int(server.server_port)

    def _environ(self, **more: str) -> dict[str, str]:
        own = {
            "REDIS_URL": self.redis.url,
            "NOTES": str(self.tmp / "notes"),
            "PYTHONPATH": str(ROOT / "tests"),
            "NEXUS_HEARTBEAT_TIMEOUT_S": "2.5",
            "LOG_LEVEL": "ERROR",
        }
        return os.environ | own | more

    def _start(self, name: str) -> None:
        group = self.groups[name[0]]
        self.masters[name] = self._run(
            [sys.executable, "-m", "dramatiq", "metered_actors", "-p1", "-t4"],
            name,
            GROUP=group.name,
            PROMETHEUS_MULTIPROC_DIR=str(group.folder),
        )

    def _run(
        self, command: list[str], name: str, **more: str
    ) -> subprocess.Popen[bytes]:
        with (self.tmp / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                env=self._environ(**more),
                cwd=self.tmp,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

        def end() -> None:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

        self.stack.callback(end)
        return process

    def _start_exporter(self) -> None:
        self.exporter_port = free_port()
        command = [sys.executable, "-m", "nexus_actors", "exporter"]
        command += ["--port", str(self.exporter_port)]
        self.masters["exporter"] = self._run(command, "exporter")

    def _start_prometheus(self) -> Prometheus | None:
        program = shutil.which("prometheus")
        if program is None:
            if os.environ.get("CI") == "true":
                pytest.fail("no Prometheus on this machine: .ci/bootstrap test")
            return None
        folder = self.tmp / "prometheus"
        folder.mkdir()
        rules = re.sub(r"for: \w+", "for: 0s", RULES.read_text("utf-8"))
        (folder / "rules.yml").write_text(rules, "utf-8")
        ports = [self.exporter_port, *(group.port for group in self.groups.values())]
        config = {
            "global": {"scrape_interval": "500ms", "evaluation_interval": "500ms"},
            "rule_files": ["rules.yml"],
            "scrape_configs": [
                {
                    "job_name": "nexus",
                    "scrape_timeout": "500ms",
                    "static_configs": [{"targets": [f"127.0.0.1:{p}" for p in ports]}],
                }
            ],
        }
        (folder / "config.yml").write_text(json.dumps(config), "utf-8")  # YAML, too
        prometheus = Prometheus(free_port())
        options = {
            "config.file": folder / "config.yml",
            "storage.tsdb.path": folder / "data",
            "web.listen-address": f"127.0.0.1:{prometheus.port}",
            "query.lookback-delta": "3s",
        }
        command = [program, *(f"--{name}={value}" for name, value in options.items())]
        self._run(command, "prometheus")
        return prometheus

    @contextmanager
    def _broker(self) -> Iterator[RedisBroker]:
        broker = RedisBroker(self.settings)
        yield broker
        broker.close()

    def _send(self) -> None:
        """Send all, in an order in which every way comes again and again."""
        ways = [way for way, count in WAYS.items() for _ in range(count)]
        with self._broker() as broker:
            for start in range(0, TWENTIES, 20):
                twenties = range(start, min(start + 20, TWENTIES))
                sent = [(way, n) for n in twenties for way in ways]
                later = [message(*one) for one in sent if one[0] == "delayed"]
                broker.enqueue_many(later, delay=1_500)
                now = [message(*one) for one in sent if one[0] != "delayed"]
                broker.enqueue_many(now)
            broker.enqueue_many(
                dramatiq.Message("slow", "wait", (), {"seconds": 1.5}, {})
                for _ in range(SLOW)
            )

    def _done(self, scrape: Scrape) -> float:
        for group in self.groups.values():
            group.scrape()
        return scrape.sum("nexus_messages_processed_total")

    def _kill(self, name: str, *, when: Callable[[], bool]) -> None:
        """Kill the worker process of a master; that ends by itself then."""
        until(when)
        master = self.masters[name]
        [self.killed] = _children(master.pid)
        os.kill(self.killed, signal.SIGKILL)
        threading.Thread(target=master.wait).start()

    def _stop(self, name: str) -> None:
        self.masters[name].terminate()
        assert self.masters[name].wait(30) == 0

    def _is_calm(self, *scrapes: Scrape) -> bool:
        return all(
            not scrape.sum("nexus_messages_in_progress")
            and not scrape.sum("nexus_worker_threads", state="busy")
            and scrape.sum("nexus_workers", queue="mixed") == 2
            and scrape.sum("nexus_worker_oldest_heartbeat_age_seconds") < 2.5
            for scrape in scrapes
        )


@contextmanager
def heard() -> Iterator[Counter[tuple[str, ...]]]:
    """Yield what is told in this process: counts by metric and values of labels."""
    found: Counter[tuple[str, ...]] = Counter()
    instruments.recording.set()
    try:
        yield found
    finally:
        instruments.recording.clear()
        for instrument, labels, value in instruments.told:
            is_counted = isinstance(instrument, instruments.Counter)
            found[instrument.name, *labels] += int(value) if is_counted else 1
        instruments.told.clear()


def message(way: str, number: int) -> dramatiq.Message[Any]:
    """Return a message that ends in a way."""
    actor = "expire" if way == "expired" else "end"
    an_hour_ago = clock.to_ms(clock.now() - timedelta(hours=1))
    made: dramatiq.Message[Any] = dramatiq.Message(
        "mixed", actor, (), {"number": number, "how": way}, {}
    )
    return made.copy(message_timestamp=an_hour_ago) if way == "expired" else made


def _left(scrape: Scrape) -> float:
    return sum(
        scrape.sum("nexus_queue_messages", state=state)
        for state in ("ready", "in_flight", "delayed")
    )


def _children(pid: int) -> list[int]:
    """Return the worker processes of a master: beside them, it has a helper or two."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return [
        child
        for child in found
        if "resource_tracker" not in Path(f"/proc/{child}/cmdline").read_text()
    ]
