"""Signed webhooks a second, from the first `.send()` until the receiver has the last.

The peer is what a host would write: a bare dramatiq actor that signs with the
specification's own library and posts with requests; Apprise posts without a signature.
Ours claims, notes and settles each delivery in a database, so that none is sent twice.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import dramatiq
from dramatiq.brokers.redis import RedisBroker as StockRedisBroker

from benchmarks.runner import BenchmarkError, Contestants, scaled
from nexus_actors import CoreSettings, RedisBroker
from nexus_actors.core.leash import leash
from nexus_actors.engine.embedded_redis import embedded_redis
from nexus_actors.notifications import send_notification


UNIT = "webhooks/s"
BETTER = "higher"
PEER = "requests"
ROUNDS = 3
WEBHOOKS = 5000

KEY: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

#: How long a receiver waits for the next webhook, in seconds.
LIMIT_S: Final = 60


def post(url: str, number: int) -> None:
    """Send one webhook as the specification's library and requests do it."""
    import requests
    from standardwebhooks.webhooks import Webhook

    now, body = datetime.now(UTC), json.dumps({"type": "a.b", "data": {"n": number}})
    headers = {
        "webhook-id": f"msg_{number}",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(KEY).sign(f"msg_{number}", now, body),
    }
    requests.post(url, body, headers=headers, timeout=10).raise_for_status()


def notify(url: str, number: int) -> None:
    """Send one notification with Apprise."""
    import apprise

    told = apprise.Apprise()
    told.add(url.replace("http://", "json://"))
    if not told.notify(body=str(number), title="a.b"):
        raise RuntimeError("not sent")


#: What the bare actors do.
BARE: Final = {"requests": post, "apprise": notify}


def bare(name: str, url: str) -> Any:
    """Return a bare actor on a broker of its own."""
    broker = StockRedisBroker(url=url, namespace=name)
    declare = dramatiq.actor(actor_name="send", queue_name="bare", broker=broker)
    return declare(BARE[name])


class Receiver:
    """Counts what arrives."""

    def __init__(self) -> None:
        self._news = threading.Semaphore(0)
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()
                receiver.arrived()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def arrived(self) -> None:
        """Count one."""
        self._news.release()

    def wait(self, count: int) -> None:
        """Return once *count* more have arrived."""
        for _ in range(count):
            if not self._news.acquire(timeout=LIMIT_S):
                raise BenchmarkError(f"no webhook arrived in {LIMIT_S} s")

    def close(self) -> None:
        """Serve no more."""
        self._server.shutdown()
        self._server.server_close()


def deliver(send: Callable[[int], object], receiver: Receiver, count: int) -> float:
    """Send *count* webhooks; return how many a second arrived."""
    started = time.perf_counter()
    for number in range(count):
        send(number)
    receiver.wait(count)
    return count / (time.perf_counter() - started)


@contextmanager
def worker(target: str, folder: Path, **environ: str) -> Iterator[None]:
    """Run a worker of 1 process and 8 threads."""
    command = [sys.executable, "-m", "dramatiq", target, "-p", "1", "-t", "8"]
    with (folder / f"{environ.get('BENCH_BARE', 'ours')}.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - ours
            [*leash(signal.SIGTERM), *command],
            cwd=Path(__file__).parents[2],
            env={**os.environ, **environ},
            stdout=log,
            stderr=log,
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait()


@contextmanager
def contestants(scale: float) -> Iterator[Contestants]:
    """Three workers on one Redis, and one receiver."""
    count = scaled(WEBHOOKS, scale)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(embedded_redis(folder)).url
        receiver = Receiver()
        stack.callback(receiver.close)
        settings = CoreSettings.load({"redis_url": url, "redis_namespace": "ours"})
        ours = RedisBroker(settings)
        stack.callback(ours.client.close)
        dramatiq.set_broker(ours)
        environ = {
            "NEXUS_REDIS_URL": url,
            "NEXUS_REDIS_NAMESPACE": "ours",
            "NEXUS_DATABASE_URL": f"sqlite:///{folder / 'nexus.db'}",
            "NEXUS_WEBHOOK_KEYS": KEY,
            "NEXUS_GUARD_ALLOW": "127.0.0.1",
        }
        target = "nexus_actors.worker:notifications"
        stack.enter_context(worker(target, folder, **environ))

        def send_ours(number: int) -> None:
            webhook = {"url": receiver.url, "event": "a.b", "data": {"n": number}}
            send_notification.send(type="webhook", webhook=webhook)

        senders: dict[str, Callable[[int], object]] = {"nexus-actors": send_ours}
        for name in BARE:
            actor = bare(name, url)
            stack.callback(actor.broker.client.close)
            environ = {"BENCH_BARE": name, "BENCH_REDIS": url}
            stack.enter_context(worker(__name__, folder, **environ))
            senders[name] = partial(actor.send, receiver.url)
        for send in senders.values():
            send(0)
            receiver.wait(1)
        yield {
            name: partial(deliver, send, receiver, count)
            for name, send in senders.items()
        }


if "BENCH_BARE" in os.environ:
    dramatiq.set_broker(
        bare(os.environ["BENCH_BARE"], os.environ["BENCH_REDIS"]).broker
    )
