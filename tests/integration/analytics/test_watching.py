"""Accounts that are read by themselves, by several workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from conftest import until
from databases import make_key, url_of
from nexus_actors import CoreSettings, setup
from nexus_actors.analytics import (
    DayReading,
    Figures,
    State,
    collect_metrics,
    sweep_collections,
)
from nexus_actors.analytics.connect import collect_due
from nexus_actors.analytics.snapshots import Snapshots
from nexus_actors.analytics.watching import LEASE_MS, Watching
from nexus_actors.core import clock, tables
from nexus_actors.core.credentials import Credential, DatabaseCredentialStore
from nexus_actors.core.database import Database
from nexus_actors.core.errors import AuthorizationError, Postponed
from nexus_actors.core.keyring import Keyring, Secret
from nexus_actors.engine.broker import RedisBroker
from nexus_actors.testing.sandbox import SandboxClient
from publishing import APPS, TOKENS
from queues import working


PAGE = "110000000000001"
POSTS = 12


@pytest.fixture
def environment(
    nexus_sandbox: SandboxClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Database], None]:
    def use(database: Database) -> None:
        for name, value in (
            APPS
            | {
                "NEXUS_SANDBOX_URL": nexus_sandbox.url,
                "NEXUS_GUARD_ALLOW": "127.0.0.1",
                "NEXUS_DATABASE_URL": url_of(database),
                "NEXUS_SECRET_KEY": make_key(),
                clock.VARIABLE: str(tmp_path / "clock"),
            }
        ).items():
            monkeypatch.setenv(name, value)

    return use


@pytest.fixture
def page(
    database: Database,
    nexus_sandbox: SandboxClient,
    environment: Callable[[Database], None],
) -> int:
    """A Page that is watched; what the database calls it."""
    environment(database)
    connect(database, TOKENS["facebook"][0])
    nexus_sandbox.plant("facebook", POSTS, days=20)
    collect_metrics(platform="facebook", account=PAGE, watch=True)
    return Figures(database).number("facebook", PAGE)


def connect(database: Database, token: str) -> None:
    store = DatabaseCredentialStore(
        database, Keyring.from_settings(CoreSettings.load())
    )
    person = TOKENS["facebook"][1] if token in TOKENS["facebook"] else "nobody's"
    store.put(
        "facebook",
        PAGE,
        Credential(
            access_token=Secret(token),
            refresh_token=Secret(str(person)),
            obtained_at=clock.now(),
            expires_at=None,
        ),
    )


def at_once(account: int) -> list[dict[str, Any]]:
    """Let four workers have the message; return what those did that read anything."""
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(collect_due, [account] * 4))
    return [one for one in done if one["skipped"] is None]


def later(sandbox: SandboxClient, **span: float) -> None:
    seconds = timedelta(**span).total_seconds()
    clock.move(seconds)
    sandbox.set_clock(seconds)


def count(database: Database, name: str) -> int:
    query = sa.select(sa.func.count()).select_from(getattr(tables, name))
    with database.read() as connection:
        return int(connection.execute(query).scalar() or 0)


def due_ms(database: Database, account: int) -> int:
    table = tables.analytics_accounts.c
    with database.read() as connection:
        found = connection.execute(sa.select(table.due_ms).where(table.id == account))
        return int(found.scalar_one())


def test_of_several_workers_one_reads_what_is_due(
    database: Database, page: int, nexus_sandbox: SandboxClient
) -> None:
    def calls() -> int:
        return len(nexus_sandbox.requests())

    before = calls()
    [first] = at_once(page)
    # the Page, its list and its days
    assert calls() - before == 3
    assert first == {"posts": POSTS, "days": 30, "skipped": None}
    assert at_once(page) == []
    assert calls() - before == 3
    assert count(database, "post_snapshots") == POSTS

    # a post is made, and an old one is due; the list is looked at up to what is known
    later(nexus_sandbox, hours=1, minutes=1)
    nexus_sandbox.plant("facebook", 1, days=0.01)
    before = calls()
    [second] = at_once(page)
    assert (second["posts"], second["days"]) == (POSTS + 1, 0)
    assert calls() - before == 2
    assert count(database, "post_snapshots") == 2 * POSTS + 1
    # it is due again with the age of an hour, its time in its row
    posts = tables.analytics_posts.c
    with database.read() as connection:
        query = sa.select(sa.func.min(posts.due_ms - posts.published_ms))
        [youngest] = connection.execute(query.where(posts.due_ms > clock.now_ms()))
    assert due_ms(database, page) <= clock.now_ms() + 3_600_000
    assert youngest[0] == 3_600_000

    # the worker that has claimed it is dead, and another goes on
    later(nexus_sandbox, hours=3)
    watching = Watching(database)
    dead = watching.claim(page)
    assert dead
    assert at_once(page) == []
    assert watching.overdue() == []
    later(nexus_sandbox, hours=3, seconds=LEASE_MS / 1000 + 1)
    assert watching.overdue() == [page]
    assert len(at_once(page)) == 1
    watching.release(dead, due_ms=1)  # what it still does has no effect
    assert due_ms(database, page) > clock.now_ms()

    # whoever is asked to wait is not due before
    later(nexus_sandbox, hours=5)
    limit = {"status": 429, "headers": {"Retry-After": "1800"}, "times": None}
    nexus_sandbox.faults({"action": "answer", **limit})
    with pytest.raises(Postponed):
        collect_due(page)
    nexus_sandbox.faults()
    assert due_ms(database, page) == pytest.approx(clock.now_ms() + 1_800_000, abs=9000)
    assert (at_once(page), watching.overdue()) == ([], [])

    # who only its owner can mend is tried again later, without a call
    later(nexus_sandbox, hours=6)
    connect(database, "a token that was revoked")
    with pytest.raises(AuthorizationError):
        collect_due(page)
    assert due_ms(database, page) > clock.now_ms() + 5 * 3_600_000
    Watching(database).watch(page, on=False)
    later(nexus_sandbox, days=10)
    assert at_once(page) == []


@pytest.fixture
def sqlite_only(
    tmp_path: Path, environment: Callable[[Database], None]
) -> Iterator[Database]:
    from nexus_actors.core.database import upgrade

    url = f"sqlite:///{tmp_path / 'watched.db'}"
    database = Database.open(CoreSettings.load({"database_url": url}))
    upgrade(database)
    environment(database)
    yield database
    database.close()


def test_a_sweep_sends_one_message_and_the_worker_sets_its_next_alarm(
    sqlite_only: Database, nexus_sandbox: SandboxClient, broker: RedisBroker
) -> None:
    connect(sqlite_only, TOKENS["facebook"][0])
    nexus_sandbox.plant("facebook", 3, days=2)
    collect_metrics(platform="facebook", account=PAGE, watch=True)
    setup(broker=broker, domains=["analytics"])

    sent = [sweep_collections()["sent"] for _ in range(2)]

    queue = "analytics-aggregation"
    assert sent == [1, 1]
    assert broker.do_qsize(queue) == 1
    number = Figures(sqlite_only).number("facebook", PAGE)
    with working(broker):
        until(lambda: due_ms(sqlite_only, number) > clock.now_ms())
        until(lambda: len(alarms(broker)) == 1)
    assert sweep_collections()["sent"] == 0


def alarms(broker: RedisBroker) -> list[Any]:
    from nexus_actors.engine import schedule

    found = schedule.upcoming(broker=broker)
    return [one for one in found if one.actor == "analytics.collect_due"]


def test_what_a_platform_tells_of_days_is_kept_as_it_was_last_told(
    database: Database,
) -> None:
    snapshots = Snapshots(database)
    owner = snapshots.owner("facebook", PAGE)
    day = date(2026, 11, 2)
    noon = datetime(2026, 11, 4, 12, tzinfo=UTC)

    def tell(hours: int, views: int | State, likes: int | State) -> None:
        values = {"views": views, "likes": likes}
        days = [DayReading(day=day, values=values)]
        snapshots.write_days(owner, days, at=noon + timedelta(hours=hours))

    tell(0, 100, State.NOT_YET)
    tell(48, 130, 12)  # late figures
    tell(24, 110, 9)  # a job that was slow
    tell(50, State.WITHHELD, 11)

    found = Figures(database).reported("facebook", PAGE, since=day, until=day)
    assert {one.metric: one.value for one in found} == {"views": 130, "likes": 11}
    assert {one.final for one in found} == {True}
    assert count(database, "reported_days") == 2
