"""Days of random posts, held against the rules spelled out one post at a time."""

from __future__ import annotations

import itertools
import math
import random
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from nexus_actors.analytics import calendar
from nexus_actors.analytics.arrays import NONE
from nexus_actors.analytics.days import (
    ALL,
    Days,
    Flag,
    History,
    days_of,
    levels_of,
)
from nexus_actors.analytics.metrics import COUNTERS, Break
from scale import scaled


HOUR = 3_600_000

RESTATED = Break(
    platform="made-up",
    metric="views",
    since=date(2026, 10, 24),
    until=date(2026, 10, 24),
    what="counted anew",
    restated=True,
)

LATENCY = 48 * HOUR


class Seen(NamedTuple):
    """A post: when it was published, and its snapshots by time."""

    published: int
    born: bool
    snapshots: list[tuple[int, list[int]]]


def random_post(chance: random.Random) -> Seen:
    begin = round(datetime(2026, 10, 20, tzinfo=UTC).timestamp()) * 1000
    at = begin + chance.randrange(0, 48 * HOUR)
    born = chance.random() < 0.7
    published = at if born or chance.random() < 0.5 else NONE
    levels, snapshots = [0 if born else 9000] * len(COUNTERS), []
    for _ in range(chance.randrange(1, 14)):
        at += chance.choice([HOUR // 2, 5 * HOUR, 23 * HOUR, 24 * HOUR, 60 * HOUR])
        for column, level in enumerate(levels):
            change = chance.choice([0, 7, 900, 900, 12_345, -3, -9, -700])
            levels[column] = max(0, level + change)
        hidden = [chance.random() < 0.15 for _ in levels]
        seen = [NONE if h else v for v, h in zip(levels, hidden, strict=True)]
        snapshots.append((at, seen))
    return Seen(published, born, snapshots)


def history(posts: list[Seen], stale: list[int] | None = None) -> History:
    snapshots = [one for post in posts for one in post.snapshots]
    return History(
        counts=np.array([len(post.snapshots) for post in posts]),
        times=np.array([at for at, _ in snapshots]),
        values=np.array([values for _, values in snapshots]),
        published=np.array([post.published for post in posts]),
        born=np.array([post.born for post in posts]),
        stale=np.array(stale or [ALL] * len(posts)),
    )


Rows = dict[tuple[int, int], tuple[int, list[int], list[int]]]


def rows_of(days: Days) -> Rows:
    columns = (days.post, days.day, days.flags, days.values, days.corrections)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return {(post, day): (flags, up, down) for post, day, flags, up, down in rows}


# The rules, one post at a time


def level_at(points: list[tuple[int, int]], published: int, at: int) -> int:
    """Return the sum at an instant, on the line between the points around it."""
    for (t0, v0), (t1, v1) in itertools.pairwise(points):
        if t0 <= at < t1:
            share = (at - t0) / (t1 - t0)
            if published != NONE and 0 <= t0 - published < 48 * HOUR:
                age = [(t - published) / HOUR + 1 for t in (t0, at, t1)]
                share = math.log(age[1] / age[0]) / math.log(age[2] / age[0])
            return v0 + math.floor((v1 - v0) * share + 0.5)
    return points[-1][1]


def sums(
    seen: list[tuple[int, int]], least: int, span: tuple[int, int] | None
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return what was gained and what was taken back until each snapshot."""
    up, down = [(seen[0][0], 0)], [(seen[0][0], 0)]
    level = seen[0][1]
    for (before, _), (at, value) in itertools.pairwise(seen):
        change = value - level
        if span and before < span[1] and at > span[0]:
            change, level = 0, value
        elif change < 0 and (-change < least or -change * 200 <= level):
            change = 0
        else:
            level = value
        up.append((at, up[-1][1] + max(0, change)))
        down.append((at, down[-1][1] - min(0, change)))
    return up, down


def expected(posts: list[Seen], zone: str) -> Rows:
    rows: Rows = {}
    for number, post in enumerate(posts):
        snapshots = list(post.snapshots)
        if post.born:
            snapshots.insert(0, (post.published, [0] * len(COUNTERS)))
        for day, begins, ends in local_days(snapshots[0][0], snapshots[-1][0], zone):
            row = expected_day(post, snapshots, begins, ends)
            if any(value != NONE for value in row[1]):
                rows[number, day] = row
    return rows


def expected_day(
    post: Seen, snapshots: list[tuple[int, list[int]]], begins: int, ends: int
) -> tuple[int, list[int], list[int]]:
    first, last = snapshots[0][0], snapshots[-1][0]
    flags = Flag(0)
    if not post.born and first > begins:
        flags |= Flag.OPENED
    if last < ends:
        flags |= Flag.UNFINISHED
    if last >= ends + LATENCY:
        flags |= Flag.FINAL
    span = RESTATED.span_ms
    if begins < span[1] and ends > span[0]:
        flags |= Flag.BREAK
    ups, downs = [], []
    for column, metric in enumerate(COUNTERS):
        seen = [(at, v[column]) for at, v in snapshots if v[column] != NONE]
        low, high = 0, 0
        if seen:
            low, high = max(begins, seen[0][0]), min(ends, seen[-1][0])
        if low >= high:
            ups.append(NONE)
            downs.append(0)
            continue
        least = 10_000 if metric == "watch_ms" else 10
        up, down = sums(seen, least, span if metric == "views" else None)
        gained = [level_at(up, post.published, at) for at in (low, high)]
        lost = [level_at(down, post.published, at) for at in (low, high)]
        ups.append(gained[1] - gained[0])
        downs.append(lost[0] - lost[1])
        for (before, _), (at, _) in itertools.pairwise(seen):
            if at - before > 36 * HOUR and before < high and at > low:
                flags |= Flag.IMPUTED
    return int(flags), ups, downs


def local_days(first: int, last: int, zone: str) -> list[tuple[int, int, int]]:
    """Return the days between two instants: number, begin and end."""
    tz = ZoneInfo(zone)
    found: list[tuple[int, int, int]] = []
    day = datetime.fromtimestamp(first / 1000, tz).date()
    while True:
        begins, ends = (
            round(datetime(d.year, d.month, d.day, tzinfo=tz).timestamp() * 1000)
            for d in (day, day + timedelta(days=1))
        )
        if begins >= last:
            return found
        found.append(((day - date(1970, 1, 1)).days, begins, ends))
        day += timedelta(days=1)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Pacific/Apia"])
def test_the_days_of_any_posts_are_what_the_rules_say(zone: str) -> None:
    chance = random.Random(zone)
    for _ in range(scaled(6, full=200)):
        posts = [random_post(chance) for _ in range(20)]

        found = rows_of(days_of(history(posts), zone, [RESTATED], LATENCY))

        assert found == expected(posts, zone)


def test_a_new_snapshot_changes_nothing_before_the_day_that_is_named() -> None:
    chance = random.Random(11)
    for _ in range(scaled(20, full=600)):
        whole = [random_post(chance) for _ in range(12)]
        whole = [post for post in whole if len(post.snapshots) > 1]
        missing = [chance.randrange(len(post.snapshots)) for post in whole]
        late = [post.snapshots[n][0] for post, n in zip(whole, missing, strict=True)]
        before = [
            post._replace(snapshots=[s for s in post.snapshots if s[0] != at])
            for post, at in zip(whole, late, strict=True)
        ]

        old = rows_of(days_of(history(before), "UTC", [RESTATED], LATENCY))
        new = days_of(history(whole, late), "UTC", [RESTATED], LATENCY)

        since = new.since.tolist()
        kept = {key: row for key, row in old.items() if key[1] < since[key[0]]}
        full = rows_of(days_of(history(whole), "UTC", [RESTATED], LATENCY))
        assert kept | rows_of(new) == full


def test_days_are_as_long_as_they_are() -> None:
    def hours(zone: str, day: date) -> list[float]:
        number = calendar.to_day(day)
        bounds = calendar.midnights(zone, number, number)
        return [float(span / HOUR) for span in np.diff(bounds)]

    assert hours("Europe/Berlin", date(2026, 3, 29)) == [23]
    assert hours("Europe/Berlin", date(2026, 10, 25)) == [25]
    assert hours("America/Sao_Paulo", date(2018, 11, 4)) == [23]  # has no midnight
    assert hours("Pacific/Apia", date(2011, 12, 30)) == [0]  # was left out
    assert calendar.iso_week(calendar.to_day(date(2027, 1, 1))) == (2026, 53)
    assert calendar.to_date(calendar.monday_of(calendar.to_day(date(2027, 1, 1)))) == (
        date(2026, 12, 28)
    )


def test_a_level_is_that_of_the_days_end() -> None:
    at = [
        round(datetime(2026, 5, d, 12, tzinfo=UTC).timestamp()) * 1000
        for d in (1, 2, 6)
    ]

    found = levels_of(at, [100, 200, 600], "UTC")

    first = calendar.to_day(date(2026, 5, 1))
    assert found == [
        (first, 150, 0),
        (first + 1, 250, int(Flag.IMPUTED)),
        (first + 2, 350, int(Flag.IMPUTED)),
        (first + 3, 450, int(Flag.IMPUTED)),
        (first + 4, 550, int(Flag.IMPUTED)),
        (first + 5, 600, int(Flag.UNFINISHED)),
    ]
