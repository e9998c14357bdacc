"""What was backed up as the page says goes on where it is restored, and once."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import publishing
from conftest import until
from databases import OpenDatabase, PostgreSQL, find
from nexus_actors import jobs, queues, setup
from nexus_actors.core import clock
from nexus_actors.core.credentials import DatabaseCredentialStore
from nexus_actors.core.database import Database, upgrade
from nexus_actors.core.keyring import Keyring, Secret
from nexus_actors.notifications import send_notification
from nexus_actors.sandbox.vendors.webhook import DEFAULT_SECRET
from nexus_actors.social import Publication, State, publish_post
from nexus_actors.social.desk import Desk
from nexus_actors.social.errors import UnknownPublicationError
from nexus_actors.testing.sandbox import SandboxClient
from queues import MakeBroker, working
from servers import Server, StartServer


def notify(url: str, name: str, **options: Any) -> str:
    """Send a webhook; return its job."""
    hook = {"url": f"{url}/webhook/{name}", "event": "a.b", "keys": [DEFAULT_SECRET]}
    body = {"type": "webhook", "webhook": hook, "idempotency_key": name}
    return send_notification.send_with_options(kwargs=body, **options).message_id


def post(title: str, **more: Any) -> str:
    """Send a post, whose title is its key; return its job."""
    body: dict[str, Any] = {"platform": "facebook", "account": "creator", **more}
    body |= {"content": {"title": title}, "idempotency_key": title}
    return publish_post.send(**body).message_id


def is_so(title: str, holds: Callable[[Publication], object]) -> bool:
    """Tell whether there is that post already, and *holds* of it."""
    with suppress(UnknownPublicationError):
        return bool(holds(Desk.open().table.get(f"facebook:{title}")))
    return False


def is_published(row: Publication) -> bool:
    return row.state is State.PUBLISHED


def on_postgresql(command: str, url: str, *options: str) -> bytes:
    program = find(command)
    assert program
    return subprocess.run(
        [program, *options, "--dbname", url], check=True, capture_output=True
    ).stdout


def copy_of(redis: Server, client: Any, to: Path) -> Path:
    """Copy the append-only files while the server runs."""
    client.bgrewriteaof()
    until(lambda: not client.info("persistence")["aof_rewrite_in_progress"])
    return Path(shutil.copytree(redis.folder / "appendonlydir", to / "appendonlydir"))


def put_back(files: Path, redis: Server) -> None:
    """Start a server that has lost its files with a copy of them."""
    redis.kill()
    shutil.rmtree(redis.folder / "appendonlydir")
    shutil.copytree(files, redis.folder / "appendonlydir")
    redis.start()


def connect_account(database: Database) -> None:
    upgrade(database)
    store = DatabaseCredentialStore(database, Keyring(Secret(publishing.KEY)))
    store.put("facebook", "creator", publishing.credential("facebook"))


@pytest.mark.usefixtures("quick_place")
def test_an_older_queue_and_a_newer_database_do_what_is_left_and_nothing_twice(
    nexus_sandbox: SandboxClient,
    postgresql: PostgreSQL,
    open_database: OpenDatabase,
    start_server: StartServer,
    make_broker: MakeBroker,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    url, redis = postgresql.create(), start_server()
    monkeypatch.setenv("DATABASE_URL", url)
    connect_account(open_database(url))

    broker = make_broker(url=redis.url, backoff_delay=60_000, heartbeat_timeout_s=1)
    setup(broker=broker, domains=["notifications", "social"])

    # given: a post whose outcome nobody knows, one that is scheduled, a delayed message
    nexus_sandbox.faults(
        {"action": "drop", "moment": "after", "route": "POST */feed"},
        {
            "action": "answer",
            "status": 503,
            "route": "GET */published_posts",
            "times": None,
        },
    )
    soon = clock.now() + timedelta(hours=1)
    queues.pause("notifications", broker=broker)
    with working(broker):
        post("in-flight")
        post("scheduled", publish_at=soon.isoformat())
        later = notify(nexus_sandbox.url, "later", delay=3_600_000)
        waiting = notify(nexus_sandbox.url, "waiting")
        until(lambda: is_so("in-flight", lambda row: row.attempt))
        until(lambda: is_so("scheduled", lambda row: row.due_at))

        # when: the queue is copied and goes on, the database is dumped; both are lost
        files = copy_of(redis, broker.client, tmp_path)
        queues.resume("notifications", broker=broker)
        assert jobs.wait(waiting, broker=broker, timeout_s=60).state == "succeeded"
    dump = tmp_path / "nexus.dump"
    on_postgresql("pg_dump", url, "--format", "custom", "--file", str(dump))
    with open_database(url).begin() as connection:
        connection.exec_driver_sql("DROP TABLE nexus_publications, nexus_ledger")
    on_postgresql("pg_restore", url, "--clean", "--if-exists", str(dump))
    nexus_sandbox.faults()
    put_back(files, redis)
    left = jobs.get(waiting, broker=broker)
    assert left
    assert left.state == "queued"
    queues.resume("notifications", broker=broker)
    for move in (clock.move, nexus_sandbox.set_clock):
        move(3601)
    with working(broker):
        ended = [
            jobs.wait(job, broker=broker, timeout_s=60) for job in (waiting, later)
        ]
        for title in ("in-flight", "scheduled"):
            until(partial(is_so, title, is_published), 60)

    # then
    assert {record.state for record in ended} == {"succeeded"}
    made = [one["details"]["deliveries"] for one in nexus_sandbox.truth()["webhook"]]
    assert made == [1, 1]
    said = [one["details"]["message"] for one in nexus_sandbox.truth()["facebook"]]
    assert sorted(said) == ["in-flight", "scheduled"]
