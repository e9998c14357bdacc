"""Workers of two releases share a queue and a database, and nothing is lost."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from conftest import StartWorker, until
from databases import PostgreSQL
from nexus_actors import CoreSettings, dead_letters, jobs, setup
from nexus_actors.core import clock
from nexus_actors.core.database import SCHEMA, Database, upgrade
from nexus_actors.core.releases import release
from nexus_actors.engine import schedule, workers
from nexus_actors.notifications import send_notification
from queues import MakeBroker, working
from scale import scaled
from upgrading import NEXT, NEXT_SCHEMA, make_next, run


SEND = """
import sys
from nexus_actors.notifications import actors
for n in range(int(sys.argv[1])):
    to = {"to": f"next-{n}@example.com", "subject": "New", "text": "It is new"}
    print(actors.send_notification.send(type="email", email=to, mood="high").message_id)
    print(actors.announce.send(type="email", email=to).message_id)
"""


@pytest.fixture(scope="session")
def next_release(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of its processes."""
    return {"PYTHONPATH": str(make_next(tmp_path_factory.mktemp("next")))}


def mails(folder: Path) -> dict[str, str]:
    """Return what makes mails files in a folder."""
    return {
        "EMAIL_FROM": "Tube <hello@tube.example>",
        "NEXUS_EMAIL_PROVIDERS": "file",
        "NEXUS_NOTIFICATIONS_FOLDER": str(folder / "mails"),
    }


def bring_up_to_date(url: str) -> None:
    """Do what `db upgrade` of this release does."""
    with closing(Database.open(CoreSettings.load({"database_url": url}))) as database:
        upgrade(database)


def send(count: int, word: str) -> list[str]:
    """Send mails as the host does that still has the old release."""
    to = [{"to": f"{word}-{n}@example.com"} for n in range(count)]
    text = {"subject": "Ready", "text": "It is ready"}
    sent = [send_notification.send(type="email", email=one | text) for one in to]
    return [message.message_id for message in sent]


def records(ids: list[str]) -> list[jobs.JobRecord]:
    return [found for job in ids if (found := jobs.get(job))]


def are_done(ids: list[str]) -> bool:
    return all(found.state == "succeeded" for found in records(ids))


def releases_at_work() -> set[str | None]:
    return {found.release for found in workers.state() if found.is_alive}


def test_nobody_works_with_a_schema_of_another_release_and_no_message_is_lost(
    make_broker: MakeBroker,
    monkeypatch: pytest.MonkeyPatch,
    postgresql: PostgreSQL,
    start_worker: StartWorker,
    tmp_path: Path,
) -> None:
    of_mails = mails(tmp_path) | {"DATABASE_URL": postgresql.create()}
    for name, value in of_mails.items():
        monkeypatch.setenv(name, value)

    # a worker of the domain does not begin
    one = start_worker("nexus_actors.worker:notifications", "-p", "1", **of_mails)
    # one of all domains, which may need no database, lets messages wait
    broker = make_broker()
    setup(broker=broker, domains=["notifications"])
    with working(broker):
        [job] = send(1, "waits")
        until(lambda: (records([job])[0].error or {}).get("code") == "schema", 60)
        assert one.wait(60) == 1
        bring_up_to_date(of_mails["DATABASE_URL"])
        schedule.move(job, clock.now())
        assert jobs.wait(job, timeout_s=60).state == "succeeded"

    told = (tmp_path / "worker-0.log").read_text()
    assert "run: nexus-actors db upgrade" in told


@pytest.mark.usefixtures("broker")
def test_workers_are_replaced_while_messages_come_and_each_is_done_once(
    environ: dict[str, str],
    next_release: dict[str, str],
    postgresql: PostgreSQL,
    start_worker: StartWorker,
    tmp_path: Path,
) -> None:
    environ |= mails(tmp_path) | {"DATABASE_URL": postgresql.create()}
    of_next = environ | next_release
    command = ("-m", "nexus_actors", "db")
    few = scaled(30, full=1_000)

    def start(**more: str) -> Any:
        options = ("--processes", "1", "--threads", "2")
        return start_worker("nexus_actors.worker:notifications", *options, **more)

    # this release works
    bring_up_to_date(environ["DATABASE_URL"])
    old = start()
    sent = send(few, "before")
    until(lambda: are_done(sent[:1]), 60)

    # the schema goes ahead: what runs goes on, and what is started anew does, too
    upgraded = json.loads(run(of_next, *command, "upgrade"))
    assert upgraded["applied"] == [NEXT_SCHEMA]
    sent += send(few, "ahead")
    old.terminate()
    assert old.wait(60) == 0
    old = start()
    status = json.loads(run(environ, *command, "status"))
    assert (status["needed"], status["state"]) == (SCHEMA, "ahead")
    until(lambda: are_done(sent), 60)

    # somebody is too early: what the old workers cannot read, they leave
    early = run(of_next, "-c", SEND, "2").split()
    left = "newer_release"
    until(lambda: all((r.error or {}).get("code") == left for r in records(early)), 60)
    assert {(r.state, r.attempt) for r in records(early)} <= {
        ("scheduled", 0),
        ("scheduled", 1),
    }
    assert len(dead_letters.find()) == 0

    # workers of both
    new = start(**next_release)
    until(lambda: releases_at_work() == {release(), NEXT}, 60)
    sent += send(few, "both")
    sent += early
    old.terminate()
    assert old.wait(60) == 0
    for job in early:  # a test does not wait for half a minute
        schedule.move(job, clock.now())
    until(lambda: are_done(sent), 60)

    new.terminate()
    assert new.wait(60) == 0
    told = [path.read_text() for path in (tmp_path / "mails").iterdir()]
    assert len(told) == len(sent)
    assert len(dead_letters.find()) == 0
