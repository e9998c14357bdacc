"""What is scheduled goes out in time, and once, whatever is restarted meanwhile."""

from __future__ import annotations

import os
import random
import shutil
import signal
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

import publishing
from conftest import StartWorker, Worker, until
from databases import OpenDatabase, PostgreSQL
from nexus_actors import setup
from nexus_actors.core import clock
from nexus_actors.core.credentials import Credential, DatabaseCredentialStore
from nexus_actors.core.database import Database, upgrade
from nexus_actors.core.keyring import Keyring, Secret
from nexus_actors.sandbox import Sandbox, running
from nexus_actors.sandbox.vendors.instagram import Instagram
from nexus_actors.social import publish_post
from nexus_actors.testing.sandbox import SandboxClient
from publishing import QUICK, Place, make_photo
from queues import MakeBroker
from scale import scaled
from servers import Server, StartServer
from web import serving


HOUR_S = 3600

#: How many posts, of how many accounts; and how much faster than ours their time goes.
POSTS, ACCOUNTS, SPEED = scaled((12, 4, 480), full=(2000, 50, 12))


class Hour:
    """An hour of the workers' and the platform's time, in which things happen."""

    def __init__(self, sandbox: SandboxClient) -> None:
        self._sandbox = sandbox
        self._begun = time.monotonic()

    def pass_to(self, second: float) -> None:
        """Let time pass, until so many seconds of it have."""
        passed = 0.0
        while passed < second:
            time.sleep(0.02)
            passed = (time.monotonic() - self._begun) * SPEED
            moved = passed - passed / SPEED
            self._sandbox.set_clock(moved)
            clock.move(moved)

    def pass_until(self, condition: Callable[[], bool], seconds: float) -> None:
        """Let time pass until *condition* holds, so many of our seconds at most."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it did not happen in time"
            self.pass_to((time.monotonic() - self._begun + 0.2) * SPEED)


def states(database: Database) -> Counter[str]:
    query = text(
        "SELECT state, count(*) AS count FROM nexus_publications GROUP BY state"
    )
    with database.read() as connection:
        return Counter({row.state: row.count for row in connection.execute(query)})


def lose(server: Server) -> None:
    """Kill a Redis, take its files away, and start it with nothing."""
    server.kill()
    for left in server.folder.glob("appendonlydir*"):
        shutil.rmtree(left)
    server.start()


@pytest.mark.timeout(scaled(180, full=1700))
def test_scheduled_posts_go_out_once_whatever_is_restarted_meanwhile(
    postgresql: PostgreSQL,
    open_database: OpenDatabase,
    start_server: StartServer,
    make_broker: MakeBroker,
    start_worker: StartWorker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    redis, url = start_server(), postgresql.create()
    database = open_database(url)
    upgrade(database)
    photo = {"photo.jpg": make_photo(tmp_path / "photo.jpg")}
    with running(Sandbox(vendors=[Instagram])) as platform, serving(**photo) as web:
        sandbox, place = SandboxClient(platform), Place(tmp_path)
        environ = place.environ(platform, {}) | {
            "REDIS_URL": redis.url,
            "DATABASE_URL": url,
            "NEXUS_HEARTBEAT_TIMEOUT_S": "2",
            "NEXUS_SOCIAL_LEASE_S": str(5 * SPEED),
            # a worker's start takes seconds, which are many here
            "NEXUS_SOCIAL_PUBLISH_GRACE_S": "86400",
        }
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        accounts = [f"creator-{n}" for n in range(ACCOUNTS)]
        ids = [str(17_841_400_000_000_001 + n) for n in range(ACCOUNTS)]
        told = [{"id": i, "access_token": f"IGAA-{i}"} for i in ids]
        sandbox.settings(instagram={"accounts": told, **QUICK["instagram"]})
        store = DatabaseCredentialStore(database, Keyring(Secret(publishing.KEY)))
        for account, id_ in zip(accounts, ids, strict=True):
            token = Credential(
                access_token=Secret(f"IGAA-{id_}"), obtained_at=clock.now()
            )
            store.put("instagram", account, token)
        setup(broker=make_broker(url=redis.url), domains=["social"])

        begins, chance = clock.now() + timedelta(minutes=10), random.Random(7)
        due = {
            f"Post {n}": begins + timedelta(seconds=chance.uniform(0, HOUR_S))
            for n in range(POSTS)
        }
        for n, (title, at) in enumerate(due.items()):
            publish_post.send(
                platform="instagram",
                account=accounts[n % ACCOUNTS],
                content={"title": title, "image_paths": [f"{web}/photo.jpg"]},
                publish_at=at.isoformat(),
            )

        def start() -> Worker:
            return start_worker("nexus_actors.worker:social", "-p1", "-t4", **environ)

        def end(worker: Worker, number: signal.Signals) -> None:
            os.killpg(worker.pid, number)
            worker.wait()

        workers = [start() for _ in range(scaled(1, full=2))]
        until(lambda: states(database) == {"scheduled": POSTS}, scaled(60, full=300))
        hour = Hour(sandbox)
        hour.pass_to(600 + HOUR_S * 0.2)
        end(workers[0], signal.SIGKILL)
        workers[0] = start()
        hour.pass_to(600 + HOUR_S * 0.5)
        lose(redis)
        hour.pass_to(600 + HOUR_S * 0.7)
        with postgresql.away(str(database.engine.url.database)):
            hour.pass_to(600 + HOUR_S * 0.8)
        if scaled(False, full=True):
            end(workers[-1], signal.SIGTERM)
            workers[-1] = start()
        hour.pass_to(600 + HOUR_S)
        hour.pass_until(
            lambda: states(database) == {"published": POSTS}, scaled(90, full=600)
        )
        made = sandbox.truth()["instagram"]
        sandbox.close()

    late = sorted(
        (datetime.fromisoformat(post["at"]) - due[caption(post)]).total_seconds()
        for post in made
    )
    assert Counter(caption(post) for post in made) == dict.fromkeys(due, 1)
    assert late[0] > -SPEED  # nothing is early, but for the steps of the clocks
    middle, most = statistics.median(late), late[-1]
    record_property("lateness", {"median_s": middle, "most_s": most})
    sys.stdout.write(f"late by {middle:.0f} s in the middle, {most:.0f} s at most\n")


def caption(post: dict[str, Any]) -> str:
    return str(post["details"]["caption"])
