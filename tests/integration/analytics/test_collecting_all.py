"""Many posts at the sandbox: with the fewest calls, whatever fails on the way."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo

import pytest

from conftest import until
from databases import make_key
from nexus_actors import CoreSettings, jobs, setup
from nexus_actors.analytics import Figures, PostFigures, State, collect_metrics
from nexus_actors.core import clock
from nexus_actors.core.credentials import Credential, DatabaseCredentialStore
from nexus_actors.core.errors import Postponed, TransientError
from nexus_actors.core.keyring import Keyring, Secret
from nexus_actors.engine.broker import RedisBroker
from nexus_actors.platforms.vault import open_database
from nexus_actors.sandbox import Sandbox, running
from nexus_actors.sandbox.growth import Growth, Made, World
from nexus_actors.testing.sandbox import SandboxClient
from publishing import APPS, TOKENS
from queues import working
from scale import scaled


#: A quarter each of 10,000 posts at full scale.
POSTS = scaled(105, full=2500)

#: How many posts a call lists, and how many it names; with a list, some need a second
#: call for the figures.
LISTED = {
    "tiktok": (20, 1),
    "youtube": (50, 2),
    "instagram": (50, 2),
    "facebook": (100, 1),
}
NAMED = {"tiktok": 20, "youtube": 50, "instagram": 50, "facebook": 50}

#: What each platform takes no more, as it calls it and as we do.
RETIRED = {
    "tiktok": ({"retired_fields": ["share_count"]}, "shares"),
    "instagram": ({"retired_metrics": ["saved"]}, "saves"),
    "facebook": ({"retired_metrics": ["post_clicks"]}, "clicks"),
}


@pytest.fixture
def platform(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SandboxClient]:
    with running(Sandbox()) as url:
        for name, value in (
            APPS
            | {
                "NEXUS_SANDBOX_URL": url,
                "NEXUS_GUARD_ALLOW": "127.0.0.1",
                "NEXUS_DATABASE_URL": f"sqlite:///{tmp_path / 'nexus.db'}",
                "NEXUS_SECRET_KEY": make_key(),
                clock.VARIABLE: str(tmp_path / "clock"),
            }
        ).items():
            monkeypatch.setenv(name, value)
        client = SandboxClient(url)
        yield client
        client.close()


def connect(name: str, token: str) -> None:
    """Keep an account whose token the platform takes, or not."""
    core = CoreSettings.load()
    store = DatabaseCredentialStore(open_database(core), Keyring.from_settings(core))
    _, refresh, _ = TOKENS[name]
    credential = Credential(
        access_token=Secret(token),
        refresh_token=Secret(refresh) if refresh else None,
        obtained_at=clock.now(),
        expires_at=clock.now() + timedelta(days=50),
    )
    store.put(name, ACCOUNTS[name], credential)


def collect(name: str, **more: Any) -> tuple[dict[str, Any], int]:
    """Collect as a worker does: again after each wait; return how often it waited."""
    for waits in range(200):
        try:
            with jobs.inline(jobs.Job(id=f"{name} {more.keys()}")):
                return collect_metrics(
                    platform=name, account=ACCOUNTS[name], **more
                ), waits
        except Postponed as wait:
            clock.move((wait.until - datetime.now(UTC)).total_seconds())
        except TransientError:
            continue
    raise AssertionError("it never ends")


def figures(name: str) -> dict[str, PostFigures]:
    found = Figures(open_database(CoreSettings.load())).posts(name, ACCOUNTS[name])
    return {post.id: post for post in found}


def check(name: str, ids: list[str], account: str, retired: str | None = None) -> None:
    """Hold each figure against what the sandbox knows, at about that time."""
    world = World(seed="sandbox", growth=Growth())
    found = figures(name)
    assert found.keys() == {*ids}
    for id_, post in found.items():
        assert post.published_at
        made = Made(name=id_, account=account, at=post.published_at.timestamp())
        at = post.collected_at.timestamp()
        least, most = world.course(made, [at - 60, at + 120])
        for metric, low, high in (
            ("views", least.views, most.views),
            ("likes", least.likes, most.likes),
            ("comments", least.comments, most.comments),
            ("shares", least.shares, most.shares),
        ):
            value = post.values[metric]
            if metric == retired or (name, metric) == ("youtube", "shares"):
                assert value is State.NOT_SUPPORTED
            else:
                assert not isinstance(value, State)
                assert low <= value <= high, (name, id_, metric)
        if retired is not None:
            assert post.values[retired] is State.NOT_SUPPORTED


@pytest.mark.timeout(scaled(120, full=900))
@pytest.mark.parametrize("name", ["tiktok", "youtube", "instagram", "facebook"])
def test_all_posts_are_read_with_the_fewest_calls_and_whatever_fails(
    platform: SandboxClient, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    connect(name, TOKENS[name][0])
    if name in {"instagram", "facebook"}:  # which allow the more, the more it is seen
        platform.settings(**{name: {"calls_per_hour": 100 * POSTS}})
    ids = platform.plant(name, POSTS, days=80)
    account = ACCOUNTS[name]

    # the list of all
    done, _ = collect(name)
    listed = len(platform.requests())
    assert (done["posts"], done["missing"]) == (POSTS, [])
    check(name, ids, account)

    # all of them by their names
    done, _ = collect(name, post_ids=ids)
    named = len(platform.requests()) - listed
    assert (done["posts"], done["missing"]) == (POSTS, [])

    size, calls = LISTED[name]
    assert listed == 1 + calls * math.ceil(POSTS / size)
    assert named == 1 + math.ceil(POSTS / NAMED[name])

    # again, an hour later: with a token that is no good, failures, limits, and a name
    # that is not taken any more
    clock.move(3600)
    platform.set_clock(3600)
    changes, retired = RETIRED.get(name, ({}, None))
    platform.settings(**{name: {**changes, **CALM.get(name, {})}})
    if name != "instagram":  # whose tokens are renewed while they are good, or never
        connect(name, "a-token-that-was-revoked")
    failures = [
        {"action": "answer", "status": 500, "route": f"* /{name}/*", "nth": nth}
        for nth in range(2, 2 * (listed + named), 10)
    ]
    limits = [
        {
            "action": "answer",
            "status": 429,
            "headers": {"Retry-After": "1"},
            "route": f"* /{name}/*",
            "nth": nth,
        }
        for nth in range(4, 2 * (listed + named), 25)
    ]
    platform.faults(*failures, *limits)
    before = len(platform.requests())
    done, waits = collect(name, post_ids=ids)
    asked = len(platform.requests()) - before
    fired = sum(len(times) for times in platform.fired())

    assert (done["posts"], done["missing"]) == (POSTS, [])
    assert fired >= 2
    check(name, ids, account, retired)
    with capsys.disabled():
        print(  # noqa: T201 - it is to be seen
            f"\n{name}: {POSTS} posts listed with {listed} calls, named with {named}; "
            f"with {fired} failures, {waits} waits and a refused name {asked}"
        )
    # each failure costs a call, each wait another look at the account, and a refused
    # name those that find it
    assert asked <= named + fired + waits + SEARCHES.get(name, 6)


@pytest.mark.timeout(scaled(120, full=900))
def test_collecting_stays_in_its_budget_and_waiting_costs_no_attempt(
    platform: SandboxClient, broker: RedisBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    posts = scaled(100, full=1000)
    # room for one batch, and hardly anything for a minute after it
    limit = {"name": "all", "limit": 60, "window_s": 60, "burst": 55}
    monkeypatch.setenv("NEXUS_PLATFORM_LIMITS", json.dumps({"instagram": [limit]}))
    connect("instagram", TOKENS["instagram"][0])
    platform.plant("instagram", posts, days=80)
    setup(broker=broker, domains=["analytics"])

    made: list[int] = []
    sent = collect_metrics.send(platform="instagram", account=ACCOUNTS["instagram"])
    with working(broker):
        while (state := rests(broker, sent.message_id)) == "scheduled":
            made.append(calls(platform) - sum(made))
            clock.move(3600 * len(made))
            until(lambda: calls(platform) > sum(made), 100)  # it goes on
    made.append(calls(platform) - sum(made))

    done = jobs.get(sent.message_id, broker=broker)
    assert state == "succeeded"
    assert done
    assert (done.attempt, done.result["posts"]) == (1, posts)
    assert len(made) == posts // 50
    assert max(made) <= 54  # nine tenths of what is allowed
    # each run looks at the account, and at the part of the list where it was
    assert sum(made) == posts + 3 * len(made) - 1


def rests(broker: RedisBroker, job: str) -> str:
    """Wait until a job waits, or has ended; return its state."""
    seen: list[str] = []

    def is_at_rest() -> bool:
        found = jobs.get(job, broker=broker)
        seen.append(found.state if found else "")
        return seen[-1] in {"scheduled", "succeeded", "dead"}

    until(is_at_rest, 100)
    return seen[-1]


def calls(platform: SandboxClient) -> int:
    """Return how many calls there were, as Instagram counts those of a batch."""
    asked = platform.requests()
    batches = [parse_qs(one["body"])["batch"][0] for one in asked if one["body"]]
    inner = sum(len(json.loads(batch)) for batch in batches)
    return len(asked) - len(batches) + inner


PACIFIC = ZoneInfo("America/Los_Angeles")


@pytest.mark.parametrize("name", ["youtube", "instagram", "facebook"])
def test_a_platforms_own_days_end_at_its_own_midnights(
    platform: SandboxClient, name: str
) -> None:
    growth = {"season": [1, 0.9, 0.9, 1, 1.1, 1.4, 1.2], "unusual": 0.2, "falls": 0.3}
    platform.settings(**{name: {"growth": growth}})
    connect(name, TOKENS[name][0])
    ids = platform.plant(name, 12, days=30)
    done, _ = collect(name, post_ids=ids, days=True)

    world = World(seed="sandbox", growth=Growth.model_validate(growth))
    today = datetime.now(PACIFIC).date()
    late = 3 if name == "youtube" else 1
    days = [today - timedelta(days=n) for n in range(4, late - 1, -1)]
    bounds = [
        datetime(d.year, d.month, d.day, tzinfo=PACIFIC).timestamp()
        for d in [*days, days[-1] + timedelta(days=1)]
    ]
    added = dict.fromkeys(days, 0)
    for post in figures(name).values():
        assert post.published_at
        at = post.published_at.timestamp()
        made = Made(name=post.id, account=ACCOUNTS[name], at=at)
        levels = [one.views for one in world.course(made, bounds)]
        for number, day in enumerate(days):
            added[day] += levels[number + 1] - levels[number]
    found = Figures(open_database(CoreSettings.load()))
    told, of_posts = (
        found.reported(
            name,
            ACCOUNTS[name],
            since=days[0] - timedelta(days=5),
            until=today,
            posts=posts,
        )
        for posts in (False, True)
    )
    views = {one.day: one.value for one in told if one.metric == "views"}

    assert done["days"] == len(days)
    assert views.keys() == added.keys()
    for day, value in views.items():
        assert value == pytest.approx(added[day], abs=30)  # of half a second of a post
    assert {one.post for one in told} == {None}
    assert of_posts == []


#: The sandbox's accounts.
ACCOUNTS = {
    "tiktok": "-000sandbox-open-id",
    "youtube": "UCsandbox0000000000000001",
    "instagram": "17841400000000001",
    "facebook": "110000000000001",
}

#: What else is set: tokens are good although the clock is moved, and some calls of a
#: batch are not made.
CALM: dict[str, dict[str, Any]] = {
    "facebook": {"batch_fails_every": 10},
    "instagram": {"batch_fails_every": 10},
    "tiktok": {"access_token_s": 10**7},
    "youtube": {"access_token_s": 10**7},
}

#: How many calls it takes at most to renew a token and to find a refused name: of a
#: batch, those that were not made are asked again, and a name is found for each kind.
SEARCHES = {
    "instagram": 20 + 3 * math.ceil(POSTS / 50),
    "facebook": 14 + 3 * math.ceil(POSTS / 50),
    "tiktok": 12,
}
