"""Reports: what a person reads is what happened, and nothing that did not."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import lxml.html
import pypdfium2
import pytest
import sqlalchemy as sa
from playwright.sync_api import Browser

from nexus_actors import RedisBroker, events
from nexus_actors.analytics import generate_report, sweep_reports
from nexus_actors.analytics.metrics import State
from nexus_actors.analytics.readings import AccountReading, PostReading
from nexus_actors.analytics.reports import (
    building,
    gathering,
    page,
    periods,
    wording,
)
from nexus_actors.analytics.rollups import Rollups
from nexus_actors.analytics.snapshots import Snapshots
from nexus_actors.core import clock, tables
from nexus_actors.core.database import Database
from nexus_actors.core.settings import CoreSettings
from thirty_days import (
    ACCOUNTS,
    EXPECTED,
    Account,
    expected_account_days,
    looks,
    register,
    write,
    write_followers,
)


BERLIN, NEW_YORK, TOKYO = ACCOUNTS


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A database and a store, named by the environment."""
    monkeypatch.setenv("NEXUS_DATABASE_URL", f"sqlite:///{tmp_path / 'nexus.db'}")
    monkeypatch.setenv("NEXUS_STORAGE_URL", str(tmp_path / "store"))
    monkeypatch.setenv("NEXUS_STORAGE_PUBLIC_URL", "https://cdn.example/out")
    database = Database.connect(CoreSettings.load())
    yield database
    database.close()


def fill(database: Database) -> None:
    owners = register(database)
    snapshots = Snapshots(database)
    for account in ACCOUNTS:
        for at, posts in looks(account):
            write(snapshots, owners[account.name], at, posts)
        for day in range(len(account.followers)):
            write_followers(snapshots, owners[account.name], account, day)


def nodes(tree: Any, path: str) -> list[Any]:
    return list(tree.xpath(path))


def read(store: Path, kind: str, done: dict[str, Any]) -> str:
    """Return what a person reads of a file: its text, all on one line."""
    path = store / f"reports/{done['report']}/report.{kind}"
    if kind == "html":
        [body] = nodes(lxml.html.fromstring(path.read_bytes()), "//body")
        text = body.text_content()
    else:
        document = pypdfium2.PdfDocument(str(path))
        pages = [sheet.get_textpage().get_text_bounded() for sheet in document]
        text = "\n".join(pages)
    return " ".join(text.replace("\N{NO-BREAK SPACE}", " ").split())


def weekly(account: Account, first: int, metric: str = "views") -> int:
    """Return what happened in the week that begins on the day of that number."""
    days = expected_account_days(account)
    found = [days[day, metric][0] for day in range(first, first + 7)]
    return int(sum(found))


def week_of_posts(account: Account, first: int) -> dict[str, int]:
    sums = {post.id: 0 for post in account.posts}
    for (post, day), row in EXPECTED[account.name].items():
        if first <= day < first + 7:
            sums[post] += row["views"]
    return sums


def test_a_person_with_a_page_or_a_pdf_alone_knows_what_happened(
    place: Database, tmp_path: Path
) -> None:
    fill(place)

    done = generate_report(
        period="weekly", since="2026-10-21", platform="tiktok", account="berlin"
    )

    assert (done["since"], done["until"]) == ("2026-10-19", "2026-10-25")
    views, before = weekly(BERLIN, 9), weekly(BERLIN, 2)
    posts = week_of_posts(BERLIN, 9)
    best = max(posts, key=lambda name: posts[name])
    # at an age of a week: the three old ones at a midnight; the young one is read 12
    # hours after it, which is nearer than 12 and an hour before
    after = {p.id: sum(p.daily["views"][:7]) for p in BERLIN.posts[:3]}
    after["young"] = 2000 + sum(BERLIN.posts[3].daily["views"][12:18])
    weakest = min(after, key=lambda name: after[name])
    likes = weekly(BERLIN, 9, "likes")
    with_likes = sum(posts[name] for name in ("steady", "gap", "falls"))
    change = f"{100 * (views / before - 1):+.0f} %".replace("-", "\N{MINUS SIGN}")
    followers = BERLIN.followers[15]
    sentences = [
        f"{views:,} views",  # how much
        f"{change} against {before:,} the week before.",  # against what
        (
            f"Best: “Post {best}” with {posts[best]:,} "
            f"views, {100 * posts[best] / sum(posts.values()):.1f} % of all."
        ),
        (
            f"Weakest of the 4 posts of the last four weeks: “Post {weakest}” with "
            f"{after[weakest]:,} views after 7 days."
        ),
        # what to do, on how many posts
        (
            "Change nothing on these figures alone: 3 posts can be compared, too few "
            "for advice."
        ),
        (
            "Best times: 30 posts of the last 90 days are needed, 3 can be compared; "
            "27 are missing."
        ),
        "Data through 25 Oct 2026.",
        f"{100 * likes / with_likes:.1f} %",
        f"{followers:,}",
        "TikTok has taken back 4,000 views.",
        "Spread evenly over a gap between readings: 24 Oct 2026 and 25 Oct 2026.",
    ]
    for kind in ("html", "pdf"):
        text = read(tmp_path / "store", kind, done)
        assert [part for part in sentences if part not in text] == [], kind
    told = json.loads(
        (tmp_path / f"store/reports/{done['report']}/report.json").read_text()
    )
    [section] = told["accounts"]
    figures = {figure["metric"]: figure for figure in section["figures"]}
    assert (figures["views"]["value"], figures["views"]["prior"]) == (views, before)
    assert (figures["saves"]["value"], figures["saves"]["reason"]) == (
        None,
        "not_supported",
    )
    assert told["data_through"] == done["data_through"] == "2026-10-25"


def test_what_cannot_be_compared_is_not_compared(place: Database) -> None:
    fill(place)
    Rollups(place).roll()

    def figures(account: Account, since: date) -> dict[str, Any]:
        week = periods.week_of(since)
        material = gathering.gather(place, account.platform, account.name, week)
        found = building.section(material)
        return {one["metric"]: one for one in found["figures"]} | {"all": found}

    york = figures(NEW_YORK, date(2026, 12, 30))
    tokyo = figures(TOKYO, date(2026, 8, 26))

    # the week of two years
    assert york["views"]["value"] == weekly(NEW_YORK, 14)
    assert york["views"]["prior"] == weekly(NEW_YORK, 7)
    engaged = sum(weekly(NEW_YORK, 14, name) for name in ("likes", "comments", "saves"))
    assert york["engagement_rate"]["value"] == engaged / weekly(NEW_YORK, 14)
    level = NEW_YORK.followers
    assert york["followers"]["net"] == level[20] - level[13]
    # a deleted post is no fall; and a platform that counts otherwise no growth
    assert tokyo["views"]["value"] == weekly(TOKYO, 14)
    assert (tokyo["views"]["change"], tokyo["views"]["no_change"]) == (
        None,
        "definition_break",
    )
    assert tokyo["likes"]["no_change"] == "definition_break"
    assert tokyo["shares"]["value"] is None
    text = page.html(whole(tokyo["all"], date(2026, 8, 26)), pictures={})
    assert "a view of any format counts at playback start" in text


def whole(section: dict[str, Any], day: date) -> dict[str, Any]:
    week = periods.week_of(day)
    return {
        "id": "r",
        "schema": 1,
        "title": None,
        "generated_at": "2026-11-26T10:00+00:00",
        "period": week.to_json(),
        "prior": week.prior.to_json(),
        "data_through": section["data_through"],
        "accounts": [section],
    }


BEGIN = datetime(2025, 11, 3, tzinfo=UTC)
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }} {% raw %} \N{RIGHT-TO-LEFT OVERRIDE}gnp.exe",
    "مرحبا بالعالم 🛥️👩‍👩‍👧‍👦 שלום",
    "x" * 400,
)


def odd_accounts(database: Database) -> dict[str, int]:
    """Make accounts without a post, with one, and with a year of titles."""
    snapshots = Snapshots(database)
    empty = snapshots.owner("tiktok", "empty", since=BEGIN)
    snapshots.write_account(empty, AccountReading(), at=BEGIN)
    one = snapshots.owner("instagram", "<b>one</b>", since=BEGIN)
    year = snapshots.owner("youtube", "year", since=BEGIN)
    for day in range(366):
        at = BEGIN + timedelta(days=day)
        reels = [
            PostReading(
                id=f"{number}",
                title=title,
                url="javascript:alert(1)",
                picture_url="javascript:alert(2)",
                format="<i>",
                published_at=BEGIN,
                values={"views": 40 * day * (number + 1), "likes": State.WITHHELD},
            )
            for number, title in enumerate(HOSTILE)
        ]
        snapshots.write(year, reels, at=at)
        if day < 9:
            snapshots.write(one, reels[:1], at=at + timedelta(days=355))
    Rollups(database).roll()
    return {"empty": 0, "<b>one</b>": 1, "year": len(HOSTILE)}


def test_odd_accounts_and_hostile_titles_are_shown_safe_and_never_as_zero(
    place: Database, tmp_path: Path, browser: Browser
) -> None:
    odd_accounts(place)

    done = generate_report(
        period="custom", since="2025-11-04", until="2026-11-03", formats=["html"]
    )

    path = tmp_path / f"store/reports/{done['report']}/report.html"
    tree = lxml.html.fromstring(path.read_bytes())
    assert done["accounts"] == 3
    assert nodes(tree, "//script | //iframe | //link | //object | //form") == []
    assert nodes(tree, "//@style | //@*[starts-with(name(), 'on')]") == []
    assert [
        h for h in nodes(tree, "//@href | //@src") if not h.startswith("http")
    ] == []
    names = {node.text_content() for node in nodes(tree, "//p[@class='name']")}
    assert {"<script>alert(1)</script>", '"><img src=x onerror=alert(1)>'} <= names
    assert not any("\N{RIGHT-TO-LEFT OVERRIDE}" in name for name in names)
    assert any("👩‍👩‍👧‍👦" in name for name in names)
    one, empty, year = nodes(tree, "//section[contains(@class, 'account')]")[1:]
    # what is not known is said, and is no 0
    values = [
        node.text_content() for node in nodes(empty, ".//*[contains(@class,'value')]")
    ]
    assert values[:3] == ["n/a", "n/a", "n/a"]
    assert "there are no posts yet" in empty.text_content()
    assert "likes: YouTube withholds this" in year.text_content()
    assert "Weakest" not in one.text_content()

    seen: list[str] = []
    context = browser.new_context(viewport={"width": 375, "height": 800})
    sheet = context.new_page()
    sheet.on("console", lambda message: seen.append(message.text))
    sheet.on("request", lambda request: seen.append(request.url))
    sheet.on("dialog", lambda dialog: seen.append(dialog.message))
    sheet.goto(path.as_uri())
    wide = sheet.evaluate("document.documentElement.scrollWidth")
    context.close()
    assert seen == [path.as_uri()]
    assert wide <= 375


def reports(database: Database) -> list[sa.RowMapping]:
    with database.read() as connection:
        return list(connection.execute(tables.reports.select()).mappings())


def story(database: Database, now: datetime) -> None:
    """An account that was read every night until *now*."""
    snapshots = Snapshots(database)
    begin = now - timedelta(days=20)
    shop = snapshots.owner("tiktok", "shop", since=begin)
    for day in range(21):
        at = begin + timedelta(days=day)
        values = {"views": 100 * day, "likes": 10 * day}
        post = PostReading(id="p", title="Boats", published_at=begin, values=values)
        snapshots.write(shop, [post], at=at)


def test_a_period_of_some_weeks_says_how_sure_its_growth_is(place: Database) -> None:
    shop, total = Snapshots(place).owner("tiktok", "shop", since=BEGIN), 0
    for day in range(61):
        # weeks of 700 + 70 and 700 - 70 in turns, and half as much again from day 28 on
        swing = 10 if day // 7 % 2 else -10
        post = PostReading(id="p", published_at=BEGIN, values={"views": total})
        Snapshots(place).write(shop, [post], at=BEGIN + timedelta(days=day))
        total += (100 + swing) * (3 if day >= 28 else 2) // 2
    Rollups(place).roll()

    def said(days: int) -> tuple[list[float] | None, str]:
        since = (BEGIN + timedelta(days=28)).date()
        until = since + timedelta(days=days - 1)
        asked = periods.period(periods.Length.CUSTOM, since, until)
        found = building.section(gathering.gather(place, "tiktok", "shop", asked))
        views = {one["metric"]: one for one in found["figures"]}["views"]
        text = wording.headline(found, "custom").replace("\N{NO-BREAK SPACE}", " ")
        return views["change_interval"], text

    (low, high), text = said(28)[0] or (0.0, 0.0), said(28)[1]
    assert 0.2 < low < 0.5 < high < 0.8
    assert f"+50 % (90 % interval +{100 * low:.0f} % to +{100 * high:.0f} %)" in text
    # three weeks are too few to say
    assert said(21)[0] is None
    assert "interval" not in said(21)[1]


def domain_events(broker: RedisBroker) -> list[events.Event]:
    return list(events.listen(since="0", wait=False, domains=True, broker=broker))


def test_a_report_is_made_and_told_once_however_often_it_is_asked_for(
    place: Database, broker: RedisBroker, tmp_path: Path
) -> None:
    story(place, datetime(2026, 11, 20, tzinfo=UTC))
    asked: dict[str, Any] = {
        "since": "2026-11-10",
        "users": ["ann", "bob"],
        "formats": ["html"],
    }
    done: list[dict[str, Any]] = []

    workers = [
        threading.Thread(target=lambda: done.append(generate_report(**asked)))
        for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    done.append(generate_report(**asked))

    assert len({each["report"] for each in done}) == 1
    assert done[-1]["again"]
    [row] = reports(place)
    files = [p for p in (tmp_path / "store").rglob("*") if p.is_file()]
    assert [p.name for p in files] == ["report.html"]
    assert done[0]["url"] == f"https://cdn.example/out/reports/{row['id']}/report.html"
    heard = [e for e in domain_events(broker) if e.name.endswith("report_generated")]
    assert sorted(event.body["user_id"] for event in heard) == ["ann", "bob"]
    body = heard[0].body
    assert (body["report"], body["url"]) == (row["id"], done[0]["url"])
    assert {"name": "Views", "value": "700", "change": "no change"} in body["metrics"]
    assert body["best"] == {"title": "Boats", "platform": "TikTok", "value": "700"}

    # with new figures it is another one
    story(place, datetime(2026, 11, 20, tzinfo=UTC) + timedelta(hours=1))
    clock_moved = generate_report(**asked, title="Of boats")
    assert clock_moved["report"] != row["id"]


def test_planned_reports_are_made_when_their_figures_are_final(
    place: Database,
    broker: RedisBroker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for actor in (generate_report, sweep_reports):
        actor.declare_on(broker)
    plan = {"name": "team", "period": "week", "accounts": ["tiktok/shop"]}
    monkeypatch.setenv("NEXUS_ANALYTICS_REPORTS", json.dumps([plan]))
    monkeypatch.setenv(clock.VARIABLE, str(tmp_path / "clock"))
    monday = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    monday -= timedelta(days=monday.weekday())
    story(place, monday + timedelta(days=2))

    def sent(after: timedelta) -> int:
        clock.move((monday + after - datetime.now(UTC)).total_seconds())
        return int(sweep_reports()["sent"])

    # on Tuesday, Sunday is not final: the week before last is due, and is made once
    assert sent(timedelta(days=1)) == 1
    week = (monday - timedelta(days=14)).date().isoformat()
    generate_report(since=week, accounts=["tiktok/shop"], plan="team", formats=["json"])
    assert sent(timedelta(days=1)) == 0
    assert sent(timedelta(days=2, hours=4)) == 1  # TikTok's two days, and three hours
    assert [str(row["period"]) for row in reports(place)] == ["week"]
