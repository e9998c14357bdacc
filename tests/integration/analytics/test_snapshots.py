"""Snapshots: which of two stays, and what a day says before late figures are in."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from nexus_actors.analytics.figures import Figures
from nexus_actors.analytics.metrics import State
from nexus_actors.analytics.readings import AccountReading, PostReading
from nexus_actors.analytics.rollups import Rollups
from nexus_actors.analytics.snapshots import Snapshots
from nexus_actors.core.database import Database
from nexus_actors.core.errors import InvalidRequestError


AT = datetime(2026, 11, 2, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def test_an_older_job_that_comes_late_overwrites_nothing(database: Database) -> None:
    snapshots = Snapshots(database)
    owner = snapshots.owner("instagram", "us")

    def look(at: datetime, likes: int | State, reach: int | State) -> None:
        values = {"views": 90, "likes": likes, "reach": reach, "reposts": 3}
        snapshots.write(owner, [PostReading(id="p", values=values)], at=at)

    look(AT + 2 * MINUTE, 50, 70)
    look(AT, 1, 2)  # was slow
    look(AT + 3 * MINUTE, 51, State.WITHHELD)

    [post] = Figures(database).posts("instagram", "us")
    assert post.collected_at == AT + 3 * MINUTE
    assert post.values == {
        "views": 90,
        "likes": 51,
        "reach": 70,  # once told, it is known
        "comments": State.NOT_SUPPORTED,
        "shares": State.NOT_SUPPORTED,
        "saves": State.NOT_SUPPORTED,
        "watch_ms": State.NOT_SUPPORTED,
        "reposts": 3,
    }

    look(AT + HOUR, State.NOT_YET, State.WITHHELD)
    [post] = Figures(database).posts("instagram", "us")
    assert post.values["likes"] is State.NOT_YET
    assert post.values["reach"] is State.WITHHELD


def test_a_day_becomes_final_when_its_late_figures_are_in(database: Database) -> None:
    snapshots, day = Snapshots(database), AT.date()
    owner = snapshots.owner("tiktok", "us", since=AT - 72 * HOUR)

    def final_after(hours: int) -> bool:
        at = datetime(2026, 11, 3, tzinfo=UTC) + hours * HOUR
        snapshots.write_account(owner, AccountReading(values={"followers": 9}), at=at)
        Rollups(database).roll()
        found = Figures(database).days("tiktok", "us", since=day, until=day)
        [views] = [row for row in found if row.metric == "views"]
        return views.final

    for number in range(3):
        reading = PostReading(id="p", values={"views": number}, published_at=AT)
        snapshots.write(owner, [reading], at=AT + number * 12 * HOUR)

    assert not final_after(47)
    assert final_after(48)


def test_days_of_another_time_zone_are_made_anew(database: Database) -> None:
    snapshots = Snapshots(database)
    owner = snapshots.owner("tiktok", "us", since=AT - 72 * HOUR)
    for hours, views in ((0, 0), (8, 80), (12, 100)):
        reading = PostReading(id="p", values={"views": views}, published_at=AT)
        snapshots.write(owner, [reading], at=AT + hours * HOUR)
    Rollups(database).roll()

    moved = snapshots.owner("tiktok", "us", time_zone="Asia/Dubai")  # four hours on
    Rollups(database).roll()

    assert moved.time_zone == "Asia/Dubai"
    days = Figures(database).days(
        "tiktok", "us", since=date(2026, 11, 1), until=date(2026, 11, 4)
    )
    assert [(d.day.day, d.value) for d in days] == [(2, 80), (3, 20)]
    with pytest.raises(InvalidRequestError, match="time_zone: 'Nowhere' is no time"):
        snapshots.owner("tiktok", "us", time_zone="Nowhere")
