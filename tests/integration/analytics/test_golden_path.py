"""Three accounts, ten posts, thirty days: every delta, sum and rate as it must be.

What happened on each day is written down first.  The snapshots follow from it, most of
them taken at the midnights of the account's zone, whose offset from UTC is written
down, too; so what the rollups must say is known without asking them.
"""

from __future__ import annotations

import math
import random
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from databases import OpenDatabase, url_of
from nexus_actors.analytics.days import Flag
from nexus_actors.analytics.engagement import PLAIN, WEIGHTED, Base, rate, rates
from nexus_actors.analytics.figures import Figures
from nexus_actors.analytics.metrics import METRICS, State
from nexus_actors.analytics.readings import AccountReading, PostReading
from nexus_actors.analytics.rollups import Rollups
from nexus_actors.analytics.snapshots import Owner, Snapshots
from nexus_actors.core import tables
from nexus_actors.core.database import Database


DAYS = 30

Values = dict[str, int | State]


@dataclass
class Post:
    """A post, what it got on each day, and what was seen of it.

    Attributes:
        daily: By metric, the delta of each day; a negative one was taken back.
        seen: When it was looked at, and what was told.
        expected: By metric and day; only what the rule for it must change.
    """

    id: str
    published: datetime | None
    daily: dict[str, list[int]]
    seen: dict[datetime, Values] = field(default_factory=dict)


@dataclass
class Account:
    platform: str
    name: str
    zone: str
    first: date
    offset_h: Callable[[date], int]
    since: datetime
    posts: list[Post] = field(default_factory=list)
    followers: list[int] = field(default_factory=list)

    def midnight(self, number: int) -> datetime:
        day = self.first + timedelta(days=number)
        local = datetime(day.year, day.month, day.day, tzinfo=UTC)
        return local - timedelta(hours=self.offset_h(day))


def series(start: int, step: int, wave: int) -> list[int]:
    return [start + step * day + wave * (day % 7) for day in range(DAYS)]


def watch(account: Account, post: Post, base: int = 0, begin: int = 0) -> None:
    """See *post* at each midnight, the totals beginning with *base*."""
    totals: Values = dict.fromkeys(post.daily, base)
    post.seen[account.midnight(begin)] = dict(totals)
    for day in range(begin, DAYS):
        for metric, deltas in post.daily.items():
            totals[metric] += deltas[day]
        post.seen[account.midnight(day + 1)] = dict(totals)


def berlin() -> Account:
    """TikTok; summer time ends on 25 October: that day has 25 hours."""
    account = Account(
        platform="tiktok",
        name="berlin",
        zone="Europe/Berlin",
        first=date(2026, 10, 10),
        offset_h=lambda day: 2 if day <= date(2026, 10, 25) else 1,
        since=datetime(2026, 10, 1, tzinfo=UTC),
        followers=series(5000, 12, -3),
    )
    for number, name in enumerate(["steady", "gap", "falls"]):
        views = series(300 * (number + 1), 11, 40)
        daily = {"views": views, "likes": [v // 9 for v in views]}
        account.posts.append(Post(name, account.midnight(0), daily))
    steady, gap, falls = account.posts
    falls.daily["views"][12] = -4000  # a purge
    falls.daily["likes"][8] = -4  # noise: passed again on the next day
    for post in account.posts:
        watch(account, post)
    del steady.seen[account.midnight(0)], gap.seen[account.midnight(0)]
    for day in (15, 16):  # from the 24th to the 26th: 24 + 25 + 24 hours
        del gap.seen[account.midnight(day)]
    young = Post("young", datetime(2026, 10, 20, 12, tzinfo=UTC), {})
    young.daily["views"] = [0] * 11 + series(90, 5, 2)[11:]
    young.seen = {
        datetime(2026, 10, 20, 18, tzinfo=UTC): {"views": 1000},
        datetime(2026, 10, 21, 7, tzinfo=UTC): {"views": 1600},
        account.midnight(12): {"views": 2000},
    }
    total = 2000
    for day in range(12, DAYS):
        total += young.daily["views"][day]
        young.seen[account.midnight(day + 1)] = {"views": total}
    account.posts.append(young)
    return account


def new_york() -> Account:
    """Instagram; connected on a morning, with posts that are older; over the year."""
    account = Account(
        platform="instagram",
        name="new-york",
        zone="America/New_York",
        first=date(2026, 12, 14),
        offset_h=lambda _: -5,
        since=datetime(2026, 12, 14, 14, tzinfo=UTC),
        followers=series(800, 3, 1),
    )
    for number, name in enumerate(["old", "silent", "deleted"]):
        views = series(120 * (number + 1), 3, 9)
        daily = {
            "views": views,
            "likes": [v // 5 for v in views],
            "comments": [v // 50 for v in views],
            "saves": [v // 40 for v in views],
        }
        published = datetime(2026, 11, 1, tzinfo=UTC)
        account.posts.append(Post(name, published, daily))
    old, silent, deleted = account.posts
    for post in account.posts:
        watch(account, post, base=10_000)
        first = post.seen.pop(account.midnight(0))
        post.seen[account.since] = first  # nine hours into the first day
        for values in post.seen.values():
            values["reach"] = int(values["views"]) * 3 // 4
    for day in (5, 6):  # likes are not told
        silent.seen[account.midnight(day)]["likes"] = State.WITHHELD
    deleted.seen = {
        at: values for at, values in deleted.seen.items() if at <= account.midnight(10)
    }
    assert old.seen
    return account


def tokyo() -> Account:
    """YouTube; from 24 to 27 August it begins to count views in another way."""
    account = Account(
        platform="youtube",
        name="tokyo",
        zone="Asia/Tokyo",
        first=date(2026, 8, 10),
        offset_h=lambda _: 9,
        since=datetime(2026, 8, 1, tzinfo=UTC),
    )
    for number, name in enumerate(["a", "b", "c"]):
        views = series(1000 + number, 0, 30)
        daily = {
            "views": [
                v * (16 if day >= 16 else 10) // 10 for day, v in enumerate(views)
            ],
            "likes": [v // 20 for v in views],
        }
        post = Post(name, account.midnight(0), daily)
        watch(account, post)
        del post.seen[account.midnight(0)]
        account.posts.append(post)
    for values in account.posts[1].seen.values():
        values["likes"] = State.WITHHELD
    return account


ACCOUNTS = [berlin(), new_york(), tokyo()]


# What must come of it: by post and day the deltas, corrections and flags.

Expected = dict[tuple[str, int], dict[str, Any]]


def gap_shares(deltas: list[int]) -> list[int]:
    """Spread what came in 24 + 25 + 24 hours evenly over them."""
    total = sum(deltas)
    points = [0, (total * 24 * 2 + 73) // (73 * 2), (total * 49 * 2 + 73) // (73 * 2)]
    return [points[1], points[2] - points[1], total - points[2]]


def expected_post_days(account: Account) -> Expected:
    found: Expected = {}
    for post in account.posts:
        for day in range(DAYS):
            row: dict[str, Any] = {"flags": Flag(0)}
            for metric, deltas in post.daily.items():
                row[metric] = max(0, deltas[day])
                if deltas[day] < 0:
                    row[f"-{metric}"] = deltas[day]
            ends = account.midnight(day + 1)
            hours = 72 if account.platform == "youtube" else 48
            last = max(post.seen)
            if last >= ends + timedelta(hours=hours):
                row["flags"] |= Flag.FINAL
            if ends <= last:
                found[post.id, day] = row
    return found


def adjust_berlin(account: Account, rows: Expected) -> None:
    posts = {post.id: post for post in account.posts}
    for metric in ("views", "likes"):
        shares = gap_shares(posts["gap"].daily[metric][14:17])
        for day, part in zip((14, 15, 16), shares, strict=True):
            rows["gap", day][metric] = part
            rows["gap", day]["flags"] |= Flag.IMPUTED
    # four likes were lost, held, and the next day's count from where it was
    likes = posts["falls"].daily["likes"]
    del rows["falls", 8]["-likes"]
    rows["falls", 9]["likes"] = likes[9] - 4
    for day in range(10):
        del rows["young", day]
    # published at 14:00; seen 6 and 19 hours later, and midnight is at 10 hours
    share = math.log(11 / 7) / math.log(20 / 7)
    first = 1000 + math.floor(600 * share + 0.5)
    rows["young", 10]["views"] = first
    rows["young", 11]["views"] = 2000 - first


def adjust_new_york(account: Account, rows: Expected) -> None:
    for post in account.posts:
        rows[post.id, 0]["flags"] |= Flag.OPENED
    total = sum(account.posts[1].daily["likes"][4:7])
    points = [0, (2 * total + 3) // 6, (4 * total + 3) // 6, total]
    for number, day in enumerate((4, 5, 6)):
        rows["silent", day]["likes"] = points[number + 1] - points[number]
        rows["silent", day]["flags"] |= Flag.IMPUTED


def adjust_tokyo(account: Account, rows: Expected) -> None:
    for post in account.posts:
        for day in range(14, 19):  # 24 to 28 August in Tokyo
            rows[post.id, day]["flags"] |= Flag.BREAK
    for day in range(DAYS):
        del rows["b", day]["likes"]


EXPECTED = {account.name: expected_post_days(account) for account in ACCOUNTS}
for _account, _adjust in zip(
    ACCOUNTS, (adjust_berlin, adjust_new_york, adjust_tokyo), strict=True
):
    _adjust(_account, EXPECTED[_account.name])  # as the rules demand


def expected_account_days(account: Account) -> dict[tuple[int, str], Any]:
    """Sum over posts, without the days of which a post's beginning is not known."""
    sums: dict[tuple[int, str], Any] = defaultdict(lambda: [0, 0, 0])
    for (_, day), row in EXPECTED[account.name].items():
        if Flag.OPENED in row["flags"]:
            continue
        for metric, value in row.items():
            if metric == "flags":
                continue
            found = sums[day, metric.removeprefix("-")]
            found[1 if metric.startswith("-") else 0] += value
            found[2] += not metric.startswith("-")
    for day, level in enumerate(account.followers):
        sums[day, "followers"] = [level, 0, 0]
    return {key: tuple(value) for key, value in sums.items()}


# How it is put into the database, and taken out.


def register(database: Database) -> dict[str, Owner]:
    """Make the accounts and posts in one order, so that their numbers are the same."""
    snapshots, owners = Snapshots(database), {}
    for account in ACCOUNTS:
        owner = owners[account.name] = snapshots.owner(
            account.platform,
            account.name,
            time_zone=account.zone,
            since=account.since,
        )
        for post in account.posts:
            write(snapshots, owner, min(post.seen), [post])
    return owners


def write(
    snapshots: Snapshots, owner: Owner, at: datetime, posts: Iterable[Post]
) -> None:
    readings = [
        PostReading(id=post.id, values=post.seen[at], published_at=post.published)
        for post in posts
    ]
    snapshots.write(owner, readings, at=at)


def looks(account: Account) -> list[tuple[datetime, list[Post]]]:
    found = defaultdict(list)
    for post in account.posts:
        for at in post.seen:
            found[at].append(post)
    return sorted(found.items())


def write_followers(
    snapshots: Snapshots, owner: Owner, account: Account, day: int
) -> None:
    reading = AccountReading(values={"followers": account.followers[day]})
    snapshots.write_account(owner, reading, at=account.midnight(day + 1))


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
