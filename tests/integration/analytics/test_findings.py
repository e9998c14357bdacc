"""Anomalies of what was collected: found, explained, kept and told once."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from databases import url_of
from nexus_actors import RedisBroker, events
from nexus_actors.analytics import detect_anomalies
from nexus_actors.analytics.findings import Findings
from nexus_actors.analytics.readings import AccountReading, PostReading
from nexus_actors.analytics.rollups import Rollups
from nexus_actors.analytics.snapshots import Owner, Snapshots
from nexus_actors.cli import main
from nexus_actors.core.database import Database


DAYS = 56
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
BEGIN = TODAY - timedelta(days=DAYS)

#: A week, from the day of BEGIN on.
WEEK = (210, 195, 205, 220, 230, 280, 300)

#: On this day one post got as much as never; four days are not final after it.
SPIKE = DAYS - 5


def collect(
    database: Database, until: int, took_off: Collection[int] = (SPIKE,)
) -> Owner:
    """Read two old posts and the account at each midnight, up to a day's."""
    snapshots = Snapshots(database)
    shop = snapshots.owner("tiktok", "shop", since=BEGIN - timedelta(days=1))
    totals = {"boats": 0, "fog": 0}
    for day in range(until + 1):
        readings = [
            PostReading(
                id=id_,
                title=id_.title(),
                published_at=BEGIN - timedelta(days=90),
                values={"views": total, "likes": total // 10},
            )
            for id_, total in totals.items()
        ]
        at = BEGIN + timedelta(days=day)
        snapshots.write(shop, readings, at=at)
        level = AccountReading(values={"followers": 1000 + 3 * day})
        snapshots.write_account(shop, level, at=at)
        usual = WEEK[day % 7] + 7 * (day % 5)
        totals["boats"] += usual + (2400 if day in took_off else 0)
        totals["fog"] += usual // 2
    Rollups(database).roll()
    return shop


def race(database: Database, owner: Owner) -> None:
    """Ten posts at one pace, and one that is far ahead of them."""
    snapshots = Snapshots(database)
    for number in range(11):
        at = TODAY - timedelta(days=3 * (11 - number), hours=60)
        pace = 900 if number == 10 else 20 + number % 3
        for age in (1, 3, 6, 12, 24, 48):
            post = PostReading(
                id=f"race-{number}",
                title=f"Race {number}",
                published_at=at,
                format="video",
                values={"views": pace * age},
            )
            snapshots.write(owner, [post], at=at + timedelta(hours=age))


def test_each_event_is_found_once_with_what_explains_it(database: Database) -> None:
    before = collect(database, SPIKE)
    findings = Findings(database)
    first = findings.judge(before.id)  # that day is not final yet
    collect(database, DAYS)

    found = findings.judge(before.id)
    again = findings.judge(before.id)

    assert (first, again) == ([], [])
    [spike] = found
    assert (spike.kind, spike.metric, spike.up) == ("spike", "views", True)
    assert spike.day == (BEGIN + timedelta(days=SPIKE)).date()
    value = 2400 + 3 * (WEEK[SPIKE % 7] + 7 * (SPIKE % 5)) // 2
    assert abs(spike.value - value) <= 1
    assert spike.low <= spike.expected <= spike.high < spike.value
    # half of it is likes, and one post is all of it; followers did as always
    assert [moved.metric for moved in spike.moved] == ["likes"]
    assert spike.posts[0].post == "boats"
    assert spike.posts[0].share > 0.9
    kept = findings.between(before.id, spike.day, spike.day)
    assert kept == found
    # days that are made anew are not judged anew
    Rollups(database).rebuild()
    assert findings.judge(before.id) == []


def test_days_that_belong_together_are_one_event_until_all_is_as_before(
    database: Database,
) -> None:
    owner = collect(database, DAYS, took_off=range(SPIKE - 5, SPIKE - 1))
    findings = Findings(database)

    found = findings.judge(owner.id)

    # four strong days, and then back: neither a second event, nor a fall
    kept = findings.between(owner.id, BEGIN.date(), TODAY.date())
    first = (BEGIN + timedelta(days=SPIKE - 5)).date()
    assert [one.day for one in found] == [first]
    assert [(one.day, one.metric, one.up) for one in kept] == [(first, "views", True)]
    assert (kept[0].kind, kept[0].since) == ("rise", first)


def test_a_post_that_is_far_ahead_of_others_of_its_age_is_told_once(
    database: Database,
) -> None:
    owner = collect(database, 1)
    race(database, owner)
    findings = Findings(database)

    [fast] = findings.judge(owner.id)

    assert (fast.post, fast.kind, fast.history) == ("race-10", "fast", 10)
    assert (fast.value, fast.title) == (48 * 900, "Race 10")
    assert findings.judge(owner.id) == []


def test_people_are_told_of_what_is_new(
    database: Database,
    broker: RedisBroker,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("NEXUS_DATABASE_URL", url_of(database))
    detect_anomalies.declare_on(broker)
    collect(database, DAYS)

    done = [detect_anomalies() for _ in range(2)]

    assert [each["found"] for each in done] == [1, 0]
    [event] = events.listen(since="0", wait=False, domains=True, broker=broker)
    assert event.name == "analytics.anomaly_detected"
    known = {name: event.body[name] for name in ("platform", "account", "post", "kind")}
    assert known == {
        "platform": "tiktok",
        "account": "shop",
        "post": None,
        "kind": "spike",
    }
    assert event.body["moved"] == ["likes"]
    monkeypatch.setattr(sys, "argv", ["nexus-actors", "analytics", "anomalies"])
    with pytest.raises(SystemExit):
        main()
    printed: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert printed["new"] == 0
    assert printed["anomalies"][0]["posts"][0]["title"] == "Boats"
