"""Three accounts, ten posts, thirty days: every delta, sum and rate as it must be."""

from __future__ import annotations

import random
import threading
from collections import defaultdict
from collections.abc import Iterable
from datetime import date, datetime, timedelta

import pytest
import sqlalchemy as sa

from databases import OpenDatabase, url_of
from nexus_actors.analytics.days import Flag
from nexus_actors.analytics.engagement import PLAIN, WEIGHTED, Base, rate, rates
from nexus_actors.analytics.figures import Figures
from nexus_actors.analytics.metrics import METRICS
from nexus_actors.analytics.rollups import Rollups
from nexus_actors.analytics.snapshots import Owner, Snapshots
from nexus_actors.core import tables
from nexus_actors.core.database import Database
from thirty_days import (
    ACCOUNTS,
    DAYS,
    EXPECTED,
    Account,
    Expected,
    expected_account_days,
    looks,
    register,
    write,
    write_followers,
)


ROLLUPS = ("post_days", "post_corrections", "account_days", "account_weeks")


def dump(database: Database, names: Iterable[str] = ROLLUPS) -> str:
    """Return all rows, in the order of their keys, as text."""
    lines = []
    with database.read() as connection:
        for name in names:
            table = getattr(tables, name)
            query = table.select().order_by(*table.primary_key.columns)
            lines += [f"{name} {tuple(row)}" for row in connection.execute(query)]
    return "\n".join(lines)


def rows_of(database: Database, name: str) -> list[sa.RowMapping]:
    with database.read() as connection:
        found = connection.execute(getattr(tables, name).select())
        return list(found.mappings())


def number_of_day(account: Account, day: int) -> int:
    return (account.first - date(1970, 1, 1)).days + day


def berlin_late(account: Account) -> tuple[datetime, str]:
    """Return which look is told ten days after its time."""
    return account.midnight(21), "steady"


@pytest.fixture
def filled(database: Database) -> tuple[Database, dict[str, Owner]]:
    """All was collected, day by day, and rolled up in between."""
    snapshots, owners = Snapshots(database), register(database)
    late = berlin_late(ACCOUNTS[0])
    for account in ACCOUNTS:
        owner = owners[account.name]
        for number, (at, posts) in enumerate(looks(account)):
            on_time = [post for post in posts if (at, post.id) != late]
            write(snapshots, owner, at, on_time)
            if number % 12 == 0:
                Rollups(database).roll(account=owner.id)
        for day in range(len(account.followers)):
            write_followers(snapshots, owner, account, day)
    Rollups(database).roll()
    write(snapshots, owners["berlin"], late[0], ACCOUNTS[0].posts[:1])
    Rollups(database).roll()
    return database, owners


def test_every_delta_sum_and_rate_is_what_happened(
    filled: tuple[Database, dict[str, Owner]], open_database: OpenDatabase
) -> None:
    database, owners = filled
    check_post_days(database, owners)
    check_account_days(database, owners)
    check_weeks(database)
    check_rates(database)

    # made anew, they are the same, byte for byte
    before = dump(database)
    assert Rollups(database, batch=50).rebuild().posts == 10
    assert dump(database) == before

    # what is written a second time, and in another order, changes nothing
    snapshots = Snapshots(database)
    again = [
        (owners[account.name], at, posts)
        for account in ACCOUNTS
        for at, posts in looks(account)
    ]
    random.Random(7).shuffle(again)
    for owner, at, posts in again:
        write(snapshots, owner, at, posts)
    assert Rollups(database).roll().posts == 10
    assert dump(database) == before

    # two workers at once make one set of rows
    mark_all(database)
    workers = [
        threading.Thread(target=Rollups(open_database(url_of(database)), 40).roll)
        for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert dump(database) == before


def mark_all(database: Database) -> None:
    with database.begin() as connection:
        for name in ROLLUPS:
            connection.execute(getattr(tables, name).delete())
        connection.execute(tables.analytics_posts.update().values(stale_ms=0))


def check_post_days(database: Database, owners: dict[str, Owner]) -> None:
    days = rows_of(database, "post_days")
    posts = {row["id"]: row for row in rows_of(database, "analytics_posts")}
    falls = {
        (row["post_id"], row["day"], row["metric"]): row["value"]
        for row in rows_of(database, "post_corrections")
    }
    names = {owner.id: name for name, owner in owners.items()}
    accounts = {account.name: account for account in ACCOUNTS}
    found: dict[str, Expected] = {name: {} for name in accounts}
    for row in days:
        post = posts[row["post_id"]]
        name = names[post["account_id"]]
        day = row["day"] - number_of_day(accounts[name], 0)
        values = {
            metric: row[metric]
            for metric in ("views", "likes", "comments", "shares", "saves", "watch_ms")
            if row[metric] is not None
        }
        for metric in list(values):
            key = (row["post_id"], row["day"], METRICS[metric].code)
            if key in falls:
                values[f"-{metric}"] = falls.pop(key)
        found[name][post["external_id"], day] = values | {"flags": Flag(row["flags"])}
    assert falls == {}
    for name, expected in EXPECTED.items():
        assert found[name] == expected, name


def check_account_days(database: Database, owners: dict[str, Owner]) -> None:
    for account in ACCOUNTS:
        until = account.first + timedelta(days=DAYS)
        found = {
            ((day.day - account.first).days, day.metric): (
                day.value,
                day.correction,
                day.posts,
            )
            for day in Figures(database).days(
                account.platform, account.name, since=account.first, until=until
            )
        }
        assert found == expected_account_days(account), account.name
    assert owners.keys() == {account.name for account in ACCOUNTS}


def check_weeks(database: Database) -> None:
    for account in ACCOUNTS:
        expected: dict[tuple[int, int, str], list[int]] = defaultdict(lambda: [0, 0, 0])
        for (day, metric), (value, fall, _) in sorted(
            expected_account_days(account).items()
        ):
            year, week, _ = (account.first + timedelta(days=day)).isocalendar()
            total = expected[year, week, metric]
            total[0] = value if metric == "followers" else total[0] + value
            total[1] += fall
            total[2] += 1
        weeks = Figures(database).weeks(
            account.platform,
            account.name,
            since=account.first,
            until=account.first + timedelta(days=DAYS),
        )
        found = {
            (w.year, w.week, w.metric): [w.value, w.correction, w.days] for w in weeks
        }
        assert found == dict(expected), account.name
        complete = {(w.year, w.week) for w in weeks if w.final and w.metric == "views"}
        assert (
            complete
            == {
                "berlin": {(2026, 42), (2026, 43), (2026, 44)},
                # the last week of the year is that of 1 January, and the first one was
                # not seen from its beginning
                "new-york": {(2026, 52), (2026, 53), (2027, 1)},
                "tokyo": {(2026, 33), (2026, 34), (2026, 35)},
            }[account.name]
        )
        broken = {(w.year, w.week) for w in weeks if w.is_break}
        assert broken == ({(2026, 35)} if account.name == "tokyo" else set())


def check_rates(database: Database) -> None:
    figures = Figures(database)
    berlin, york, tokyo = (
        {post.id: post for post in figures.posts(account.platform, account.name)}
        for account in ACCOUNTS
    )

    steady = ACCOUNTS[0].posts[0].daily
    views, likes = sum(steady["views"]), sum(steady["likes"])
    found = rate(berlin["steady"].values, Base.VIEWS)
    assert (found.value, found.formula) == (likes / views, "(likes) / views")
    assert rate(berlin["steady"].values, Base.REACH).value is None
    # published before followers were first seen, and within the day
    assert berlin["steady"].followers == 5000
    followed = rate(
        berlin["steady"].values, Base.FOLLOWERS, followers=berlin["steady"].followers
    )
    assert followed.value == likes / 5000

    old = ACCOUNTS[1].posts[0].daily
    total = {m: 10_000 + sum(deltas) for m, deltas in old.items()}
    reach = total["views"] * 3 // 4
    plain = rate(york["old"].values, Base.REACH)
    assert plain.value == (total["likes"] + total["comments"] + total["saves"]) / reach
    assert plain.formula == "(likes + comments + saves) / reach"
    weighted = rate(york["old"].values, Base.REACH, weights=WEIGHTED)
    heavy = total["likes"] + 2 * total["comments"] + 3 * total["saves"]
    assert weighted.value == heavy / reach

    hidden = rate(tokyo["b"].values, Base.VIEWS)
    assert (hidden.value, hidden.reason) == (None, "likes_withheld")
    both = [ACCOUNTS[2].posts[0].daily, ACCOUNTS[2].posts[2].daily]
    whole = rates([(post.values, None) for post in tokyo.values()], Base.VIEWS)
    likes = sum(sum(daily["likes"]) for daily in both)
    assert whole.whole.value == likes / sum(sum(daily["views"]) for daily in both)
    assert (whole.posts, whole.left_out) == (2, 1)
    assert rate(tokyo["a"].values, Base.REACH).reason == "reach_not_supported"
    assert PLAIN.saves == 1
