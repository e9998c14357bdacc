"""Mails, Slack messages and webhooks a second, from `.send()` until the server has all.

The peer is what a host would write: a bare dramatiq actor that calls the vendor's SDK,
or signs with the specification's own library and posts with requests.  Apprise posts
the same words as JSON, without a signature.  Ours claims and settles each delivery in
a database, so that none is sent twice.  The server speaks TLS, and all trust it by the
same file beside the usual authorities.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import dramatiq
from dramatiq.brokers.redis import RedisBroker as StockRedisBroker

from benchmarks.notifications.receiver import Receiver
from benchmarks.runner import BenchmarkError, Contestants, Line, scaled
from nexus_actors import CoreSettings, RedisBroker
from nexus_actors.core.leash import leash
from nexus_actors.engine.embedded_redis import embedded_redis
from nexus_actors.notifications import send_notification


UNIT = "messages/s"
BETTER = "higher"
PEER = "bare"
ROUNDS = 3

#: How many are sent in a round.
COUNTS: Final = {"mail": 2000, "slack": 2000, "webhook": 5000}

LINES = (Line(contestant="nexus-actors", peer="bare", at_least=5),)

#: How many connections ours may open for a thousand messages.
CONNECTIONS: Final = 10

KEY: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
TOKEN: Final = "xoxb-benchmark"  # noqa: S105 - opens nothing
FROM: Final = "hello@tube.example"
TO: Final = "ann@example.com"
CHANNEL: Final = "C0123456789"


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


def mail(url: str, number: int) -> None:
    """Send one mail as SendGrid's SDK does it."""
    from sendgrid import SendGridAPIClient
    from sendgrid.helpers.mail import Mail

    written = Mail(FROM, TO, "Ready", f"Video {number} is ready")
    host = url.removesuffix("/v3/mail/send")
    SendGridAPIClient("SG.benchmark", host=host).send(written)


def say(url: str, number: int) -> None:
    """Post one message as Slack's SDK does it."""
    from slack_sdk import WebClient

    client = WebClient(TOKEN, base_url=url.removesuffix("chat.postMessage"))
    client.chat_postMessage(channel=CHANNEL, text=f"Video {number} is ready")


def notify(url: str, number: int) -> None:
    """Send one notification with Apprise."""
    import apprise

    told = apprise.Apprise()
    told.add(url.replace("https://", "jsons://"))
    if not told.notify(body=f"Video {number} is ready", title="a.b"):
        raise RuntimeError("not sent")


#: What the bare actors do, by kind.
BARE: Final[dict[str, dict[str, Callable[[str, int], None]]]] = {
    "bare": {"mail": mail, "slack": say, "webhook": post},
    "Apprise": dict.fromkeys(COUNTS, notify),
}


def bare(name: str, redis_url: str) -> Any:
    """Return a bare actor on a broker of its own."""
    broker = StockRedisBroker(url=redis_url, namespace=name)

    @dramatiq.actor(queue_name="bare", broker=broker)
    def send(kind: str, url: str, number: int) -> None:
        BARE[name][kind](url, number)

    return send


def send_ours(kind: str, url: str, number: int) -> None:
    """Send one notification with ours."""
    text = f"Video {number} is ready"
    match kind:
        case "mail":
            email = {"to": TO, "subject": "Ready", "text": text}
            send_notification.send(type="email", email=email)
        case "slack":
            slack = {"channel": CHANNEL, "text": text}
            send_notification.send(type="slack", slack=slack)
        case _:
            webhook = {"url": url, "event": "a.b", "data": {"n": number}}
            send_notification.send(type="webhook", webhook=webhook)


Send = Callable[[str, str, int], object]


def deliver(send: Send, receiver: Receiver, scale: float) -> dict[str, float]:
    """Send all of each kind; return how many a second arrived."""
    return {
        kind: rate(partial(send, kind, receiver.urls[kind]), receiver, count, scale)
        for kind, count in COUNTS.items()
    }


def rate(
    send: Callable[[int], object], receiver: Receiver, count: int, scale: float
) -> float:
    """Send so many at a scale; return how many a second arrived."""
    count = scaled(count, scale)
    started = time.perf_counter()
    for number in range(count):
        send(number)
    receiver.wait(count)
    return count / (time.perf_counter() - started)


def sparing(send: Send, receiver: Receiver, scale: float) -> dict[str, float]:
    """Do as `deliver` does, and open few connections on the way."""
    before = receiver.connections
    told = deliver(send, receiver, scale)
    opened = receiver.connections - before
    thousands = max(1.0, sum(scaled(n, scale) for n in COUNTS.values()) / 1000)
    # each kind has one for each thread, at most
    if opened > CONNECTIONS * max(thousands, len(COUNTS)):
        raise BenchmarkError(f"{opened} connections for {thousands:g} thousand")
    return told


@contextmanager
def worker(target: str, folder: Path, **environ: str) -> Iterator[None]:
    """Run a worker of 1 process and 8 threads; *target* may be more than one."""
    command = [sys.executable, "-m", "dramatiq", *target.split(), "-p", "1", "-t", "8"]
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


def ours_at(receiver: Receiver, redis_url: str, folder: Path) -> dict[str, str]:
    """Return the environment of our worker."""
    return {
        "NEXUS_REDIS_URL": redis_url,
        "NEXUS_REDIS_NAMESPACE": "ours",
        "NEXUS_DATABASE_URL": f"sqlite:///{folder / 'nexus.db'}",
        "NEXUS_EMAIL_FROM": FROM,
        "NEXUS_SENDGRID_API_KEY": "SG.benchmark",
        "NEXUS_SENDGRID_URL": receiver.urls["mail"].removesuffix("/v3/mail/send"),
        "NEXUS_SLACK_BOT_TOKEN": TOKEN,
        "NEXUS_SLACK_URL": receiver.urls["slack"].removesuffix("/chat.postMessage"),
        "NEXUS_WEBHOOK_KEYS": KEY,
        "NEXUS_GUARD_ALLOW": "127.0.0.1",
    }


@contextmanager
def contestants(scale: float) -> Iterator[Contestants]:
    """Three workers on one Redis, and one receiver."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(embedded_redis(folder)).url
        receiver = Receiver(folder)
        stack.callback(receiver.close)
        settings = CoreSettings.load({"redis_url": url, "redis_namespace": "ours"})
        broker = RedisBroker(settings)
        stack.callback(broker.client.close)
        dramatiq.set_broker(broker)
        trust = {"BENCH_TRUST": str(receiver.trusted)}
        trust |= dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"), *trust.values())
        target = f"nexus_actors.worker:notifications {__package__}.receiver"
        environ = ours_at(receiver, url, folder) | trust
        stack.enter_context(worker(target, folder, **environ))
        senders: dict[str, Send] = {"nexus-actors": send_ours}
        for name in BARE:
            actor = bare(name, url)
            stack.callback(actor.broker.client.close)
            environ = {"BENCH_BARE": name, "BENCH_REDIS": url} | trust
            stack.enter_context(worker(__name__, folder, **environ))
            senders[name] = actor.send
        for send in senders.values():
            for kind in COUNTS:
                send(kind, receiver.urls[kind], 0)
            receiver.wait(len(COUNTS))
        yield {
            name: partial(
                sparing if name == "nexus-actors" else deliver, send, receiver, scale
            )
            for name, send in senders.items()
        }


if "BENCH_BARE" in os.environ:
    dramatiq.set_broker(
        bare(os.environ["BENCH_BARE"], os.environ["BENCH_REDIS"]).broker
    )
