"""What a release has left behind: a queue in the middle of its work, and a database.

``golden/<release>/state/`` has both as text, and what there is to find again.  ``make
golden`` writes that of the release in the making, if it is not there.
"""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import redis

from conftest import ROOT
from goldens import CURRENT, FOLDER
from nexus_actors import CoreSettings, RedisBroker, jobs, queues, setup
from nexus_actors.analytics.readings import PostReading
from nexus_actors.analytics.snapshots import Snapshots
from nexus_actors.core.credentials import Credential
from nexus_actors.core.keyring import Secret
from nexus_actors.notifications import send_notification, suppressions
from nexus_actors.notifications.content import Channel
from nexus_actors.notifications.lists import Reason
from nexus_actors.social.desk import Desk
from nexus_actors.video import process_video
from queues import working


#: What seals the credentials of a golden state; it guards nothing.
KEY: Final = "Z29sZGVuLWdvbGRlbi1nb2xkZW4tZ29sZGVuLWdvbGQ="
TOKEN: Final = "golden-token"
KEEP: Final = "golden-key"
SUPPRESSED: Final = "nobody@example.com"

#: How each kind of key is read, and written.
READ: Final[dict[str, Any]] = {
    "hash": lambda client, key: client.hgetall(key),
    "list": lambda client, key: client.lrange(key, 0, -1),
    "set": lambda client, key: sorted(client.smembers(key)),
    "stream": lambda client, key: client.xrange(key),
    "string": lambda client, key: client.get(key),
    "zset": lambda client, key: client.zrange(key, 0, -1, withscores=True),
}
WRITE: Final[dict[str, Any]] = {
    "hash": lambda client, key, value: client.hset(key, mapping=value),
    "list": lambda client, key, value: client.rpush(key, *value),
    "set": lambda client, key, value: client.sadd(key, *value),
    "stream": lambda client, key, value: [client.xadd(key, f, id=i) for i, f in value],
    "string": lambda client, key, value: client.set(key, value),
    "zset": lambda client, key, value: client.zadd(key, dict(value)),
}


def states() -> list[Path]:
    """Return the folders of all releases' states."""
    return sorted(FOLDER.glob("*/state"))


def environment(folder: Path, providers: str = "file") -> dict[str, str]:
    """Return that of who has left the state, and of who takes it over."""
    return {
        "DATABASE_URL": f"sqlite:///{folder / 'nexus.db'}",
        "EMAIL_FROM": "Tube <hello@tube.example>",
        "NEXUS_EMAIL_PROVIDERS": providers,
        "NEXUS_NOTIFICATIONS_FOLDER": str(folder / "mails"),
        "NEXUS_SECRET_KEY": KEY,
    }


def mail(name: str, **options: Any) -> str:
    """Send a mail; return its job."""
    to = {"to": f"{name}@example.com", "subject": "Golden", "text": "It is golden"}
    body = {"type": "email", "email": to, "idempotency_key": f"{KEEP}-{name}"}
    return send_notification.send_with_options(kwargs=body, **options).message_id


def leave(url: str, folder: Path) -> dict[str, Any]:
    """Do something of everything, and stop in the middle; return what is where."""
    os.environ |= environment(folder)
    broker = RedisBroker(CoreSettings.load({"redis_url": url}))
    setup(broker=broker, domains=["notifications"])
    process_video.broker = broker
    with working(broker):
        done = mail("done", find_by={"order": "7"})
        assert jobs.wait(done, broker=broker).state == "succeeded"
        os.environ["NEXUS_EMAIL_PROVIDERS"] = "sendgrid"  # there is no key for it
        dead = mail("dead")
        assert jobs.wait(dead, broker=broker).state == "dead"
    os.environ["NEXUS_EMAIL_PROVIDERS"] = "file"
    running = mail("running")
    settings = {"redis_url": url, "heartbeat_timeout_s": 1}
    killed = RedisBroker(CoreSettings.load(settings))
    assert next(iter(killed.consume("notifications"))) is not None
    paused = process_video.send(video_id="v", input_path="/v.mp4").message_id
    queues.pause("video-processing", broker=broker)
    found = {
        "done": done,
        "dead": dead,
        "paused": paused,
        "open": [
            running,
            mail("plain"),
            mail("urgent", priority=1),
            mail("grouped", group="user-1", priority=8),
            mail("later", delay=60_000, dedupe_key="later"),
        ],
    }
    fill_database()
    broker.close()
    killed.close()
    return found


def fill_database() -> None:
    """Write a row of each kind that cannot be made again."""
    desk, at = Desk.open(), datetime(2026, 11, 26, 12, tzinfo=UTC)
    assert desk.tokens
    token = Secret(TOKEN)
    known = Credential(access_token=token, refresh_token=token, obtained_at=at)
    desk.tokens.store.put("tiktok", "ann", known)
    words: dict[str, Any] = {"content": {"title": "Golden"}, "settings": {}}
    desk.table.take(
        key=KEEP,
        platform="tiktok",
        account=None,
        request=words,
        token=TOKEN,
        publish_at=datetime(2030, 1, 1, tzinfo=UTC),
        job=None,
        lease_s=1,
    ).release()
    suppressions().add(Channel.EMAIL, SUPPRESSED, Reason.MANUAL, source="test")
    snapshots = Snapshots(desk.table.database)
    owner = snapshots.owner("tiktok", "ann")
    read = PostReading(id="post-1", values={"views": 90}, published_at=at, title="One")
    snapshots.write(owner, [read], at=at)


def dump(url: str, folder: Path, to: Path, found: dict[str, Any]) -> None:
    """Write a state as text."""
    to.mkdir(parents=True)
    with closing(redis.Redis.from_url(url, decode_responses=True)) as client:
        keys: Any = sorted(client.scan_iter())
        kinds = {key: str(client.type(key)) for key in keys}
        kept = {key: [kind, READ[kind](client, key)] for key, kind in kinds.items()}
    text = json.dumps(kept, indent=1, ensure_ascii=False)
    text = text.replace(str(ROOT), "/app")  # tracebacks name this checkout
    (to / "redis.json").write_text(f"{text}\n", "utf-8")
    (to / "found.json").write_text(f"{json.dumps(found, indent=1)}\n", "utf-8")
    with closing(sqlite3.connect(folder / "nexus.db")) as database:
        lines = "\n".join(database.iterdump())
    (to / "database.sql").write_text(f"{lines}\n", "utf-8")


def restore(state: Path, url: str, folder: Path) -> dict[str, Any]:
    """Put a state where it was; return what is where."""
    kept = json.loads((state / "redis.json").read_text("utf-8"))
    with closing(redis.Redis.from_url(url, decode_responses=True)) as client:
        for key, (kind, value) in kept.items():
            WRITE[kind](client, key, value)
    with closing(sqlite3.connect(folder / "nexus.db")) as database:
        database.executescript((state / "database.sql").read_text("utf-8"))
    found: dict[str, Any] = json.loads((state / "found.json").read_text("utf-8"))
    return found


def make(url: str, folder: Path) -> None:
    """Write the state of the release in the making, if there is none."""
    to = FOLDER / CURRENT / "state"
    if not to.exists():
        dump(url, folder, to, leave(url, folder))
