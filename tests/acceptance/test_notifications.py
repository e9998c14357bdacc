"""Notifications through a real worker: sent once, and told to nobody else."""

from __future__ import annotations

import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import dramatiq
import pytest
import redis
import requests

from conftest import StartWorker, until
from databases import make_key
from nexus_actors import CoreSettings, RedisBroker, jobs
from nexus_actors.notifications import send_bulk, send_notification
from nexus_actors.testing.sandbox import SandboxClient
from nexus_actors.testing.secrets import SecretScan
from notices import CHANNEL, DEVICE, vendors_at
from servers import free_port


#: What belongs to people, and what guards their messages.
PRIVATE = {
    "address": "ann.private@example.com",
    "number": "+14155550177",
    "device": DEVICE,
    "name": "Annabelle-Planted",
    "title": "Planted-title-of-a-video",
    "key of webhooks": "whsec_cGxhbnRlZC1rZXktb2Ytd2ViaG9va3M",
    "path of a webhook": "planted-path-of-hook",
    "word to a receiver": "planted-word-in-data",
}

#: The vendors' credentials.
CREDENTIALS = ("SENDGRID_API_KEY", "TWILIO_AUTH_TOKEN", "SLACK_BOT_TOKEN")


@pytest.fixture
def broker(
    environ: dict[str, str],
    nexus_sandbox: SandboxClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    no_broker: None,  # noqa: ARG001 - what is set here is unset after the test
) -> Any:
    environ |= vendors_at(nexus_sandbox) | {
        "NEXUS_SECRET_KEY": make_key(),
        "DATABASE_URL": f"sqlite:///{tmp_path / 'nexus.db'}",
        "LOG_LEVEL": "DEBUG",
        "BACKOFF_DELAY": "50",
        "NEXUS_MAX_RETRIES": "2",
    }
    for name, value in environ.items():
        if os.environ.get(name) != value:
            monkeypatch.setenv(name, value)
    broker = RedisBroker(CoreSettings.load())
    dramatiq.set_broker(broker)
    yield broker
    broker.close()


def test_what_is_private_is_nowhere_but_at_the_vendor(
    broker: RedisBroker,
    environ: dict[str, str],
    nexus_sandbox: SandboxClient,
    start_worker: StartWorker,
    tmp_path: Path,
) -> None:
    nexus_sandbox.settings(webhook={"secrets": [PRIVATE["key of webhooks"]]})
    nexus_sandbox.settings(sendgrid={"bounces": []}, fcm={"unregistered": ["gone"]})
    ready = {"video_title": PRIVATE["title"], "video_url": "https://tube.example/v"}
    shared: dict[str, Any] = {
        "template": "video-processing-complete",
        "template_data": ready | {"name": PRIVATE["name"]},
    }
    hook = {
        "url": f"{nexus_sandbox.url}/webhook/{PRIVATE['path of a webhook']}",
        "event": "video.processed",
        "data": {"word": PRIVATE["word to a receiver"]},
        "keys": [PRIVATE["key of webhooks"]],
    }
    good = [
        send_notification.send(
            type="email",
            email={"to": PRIVATE["address"], "name": PRIVATE["name"]},
            **shared,
        ),
        send_notification.send(type="sms", sms={"to": PRIVATE["number"]}, **shared),
        send_notification.send(type="push", push={"fid": DEVICE}, **shared),
        send_notification.send(type="slack", slack={"channel": CHANNEL}, **shared),
        send_notification.send(type="webhook", webhook=hook),
        send_bulk.send(
            type="email",
            recipients=[{"email": {"to": PRIVATE["address"]}}],
            **shared,
        ),
    ]
    bad = [
        # refused by the vendor; tried again in vain; what lacks a value
        send_notification.send(
            type="sms", sms={"to": "+15005550002"}, idempotency_key="bad", **shared
        ),
        send_notification.send(
            type="slack",
            slack={"channel": "C0NOWHERE00", "text": PRIVATE["name"]},
        ),
        send_notification.send(
            type="email",
            email={"to": PRIVATE["address"]},
            template="email-welcome",
            template_data={"name": PRIVATE["name"]},
        ),
    ]
    secrets = PRIVATE | {name: environ[name] for name in CREDENTIALS}
    secrets["private key"] = environ["FIREBASE_SERVICE_ACCOUNT"].split("\\n")[5]
    scan = SecretScan(secrets)
    url = environ["REDIS_URL"]
    assert list(scan.redis(url)) == []  # while they wait
    nexus_sandbox.faults({"action": "answer", "status": 503, "times": 2})

    port = free_port()
    worker = start_worker(
        *("nexus_actors.worker:notifications", "--processes", "1", "--threads", "2"),
        HEALTH_CHECK_PORT=str(port),
    )
    records = [
        jobs.wait(m.message_id, broker=broker, timeout_s=60) for m in [*good, *bad]
    ]

    def metrics() -> str:
        return requests.get(f"http://127.0.0.1:{port}/metrics", timeout=30).text

    until(lambda: 'outcome="failed",provider="none"' in metrics(), 30)
    scraped = metrics()
    worker.send_signal(signal.SIGTERM)
    worker.wait(timeout=20)

    assert [r.state for r in records] == ["succeeded"] * len(good) + ["dead"] * 3
    told = {name: len(effects) for name, effects in nexus_sandbox.truth().items()}
    assert {name: n for name, n in told.items() if n} == {
        "sendgrid": 2,
        "twilio": 1,
        "fcm": 1,
        "slack": 1,
        "webhook": 1,
    }
    assert [r.error and r.error["code"] for r in records[-3:]] == [
        "rejected",
        "target_gone",
        "template",
    ]
    log = (tmp_path / "worker-0.log").read_text()
    assert "notifications.accepted" in log
    assert '"level": "debug"' in log
    leaks = [*scan.text("the worker's log", log), *scan.redis(url)]
    leaks += scan.text("the metrics", scraped)
    assert leaks == []
    with closing(sqlite3.connect(tmp_path / "nexus.db")) as database:
        rows = database.execute("SELECT key, evidence FROM nexus_ledger").fetchall()
    assert len(rows) >= len(good)
    assert list(scan.text("the ledger", repr(rows))) == []


def test_a_worker_that_is_killed_leaves_one_message(
    broker: RedisBroker,
    environ: dict[str, str],
    nexus_sandbox: SandboxClient,
    start_worker: StartWorker,
) -> None:
    environ |= {"NEXUS_HEARTBEAT_TIMEOUT_S": "1", "NEXUS_DOUBT_S": "0"}
    nexus_sandbox.faults({"action": "hang", "moment": "after"})
    url = f"{nexus_sandbox.url}/webhook/x"
    webhook = {"url": url, "event": "a.b"}
    target = "nexus_actors.worker:notifications"
    options = ("--processes", "1", "--threads", "1")
    worker = start_worker(target, *options)
    message = send_notification.send(type="webhook", webhook=webhook)
    until(lambda: any(nexus_sandbox.fired()), 60)

    os.killpg(worker.pid, signal.SIGKILL)
    clock = Path(environ["TEMP_DIR"]).parent / "clock"
    clock.write_text(str(120_000))  # its claim runs out
    nexus_sandbox.set_clock(120)
    start_worker(target, *options, NEXUS_CLOCK_FILE=str(clock))
    record = jobs.wait(message.message_id, broker=broker, timeout_s=60)

    assert record.state == "succeeded"
    [effect] = nexus_sandbox.truth()["webhook"]
    assert effect["details"]["deliveries"] == 2  # of one id: one for its receiver
    client = redis.Redis.from_url(environ["REDIS_URL"])
    assert client.hlen("dramatiq:notifications.XQ.msgs") == 0
    client.close()
