"""Three accounts, ten posts, thirty days: what happened, and what must come of it.

What happened on each day is written down first.  The snapshots follow from it, most of
them taken at the midnights of the account's zone, whose offset from UTC is written
down, too; so what the rollups must say is known without asking them.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from nexus_actors.analytics.days import Flag
from nexus_actors.analytics.metrics import State
from nexus_actors.analytics.readings import AccountReading, PostReading
from nexus_actors.analytics.snapshots import Owner, Snapshots
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
