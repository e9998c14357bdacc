"""Figures of posts at the sandbox, from the message to the rollup."""

from __future__ import annotations

import csv
import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from collecting import instagram, make_posts
from conftest import StartWorker
from databases import make_key
from nexus_actors import CoreSettings, jobs
from nexus_actors.analytics import (
    Figures,
    State,
    aggregate_metrics,
    collect_metrics,
    sweep_snapshots,
)
from nexus_actors.cli import main
from nexus_actors.core import clock
from nexus_actors.core.credentials import Credential, DatabaseCredentialStore
from nexus_actors.core.errors import AuthorizationError, InvalidRequestError
from nexus_actors.core.keyring import Keyring, Secret
from nexus_actors.engine.broker import RedisBroker
from nexus_actors.platforms.vault import open_database
from nexus_actors.testing.sandbox import SandboxClient
from publishing import APPS, QUICK, TOKENS


@pytest.fixture
def platform(
    nexus_sandbox: SandboxClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> SandboxClient:
    for name, value in (
        APPS
        | {
            "NEXUS_SANDBOX_URL": nexus_sandbox.url,
            "NEXUS_GUARD_ALLOW": "127.0.0.1",
            "NEXUS_DATABASE_URL": f"sqlite:///{tmp_path / 'nexus.db'}",
            "NEXUS_SECRET_KEY": make_key(),
            clock.VARIABLE: str(tmp_path / "clock"),
        }
    ).items():
        monkeypatch.setenv(name, value)
    nexus_sandbox.settings(**QUICK)
    return nexus_sandbox


def figures() -> Figures:
    return Figures(open_database(CoreSettings.load()))


def later(platform: SandboxClient, **span: float) -> None:
    """Move our clock and the platform's."""
    seconds = timedelta(**span).total_seconds()
    clock.move(seconds)
    platform.set_clock(seconds)


def counters(account: str, metric: str) -> list[Any]:
    return [post.values[metric] for post in figures().posts("tiktok", account)]


def test_posts_are_read_again_and_again_and_their_days_add_up(
    platform: SandboxClient,
) -> None:
    token = TOKENS["tiktok"][0]
    platform.settings(tiktok={"access_token_s": 10**7})
    ids = platform.plant("tiktok", 23, days=1 / 24)  # one page and some
    before = len(platform.requests())

    done = collect_metrics(
        platform="tiktok", access_token=token, time_zone="Asia/Tokyo"
    )

    account = done["account"]
    assert (done["posts"], done["missing"]) == (23, [])
    assert len(platform.requests()) - before == 3  # the account and two pages
    assert figures().posts("tiktok", account)[0].values["saves"] is State.NOT_SUPPORTED

    first = counters(account, "views")
    for hours in (20, 44, 68, 150):
        later(platform, hours=hours)
        collect_metrics(platform="tiktok", access_token=token, post_ids=ids)
    aggregate_metrics(period="week")
    once = figures().days("tiktok", account, since=_today(0), until=_today(10))
    aggregate_metrics(rebuild=True)

    assert once == figures().days("tiktok", account, since=_today(0), until=_today(10))
    grown = sum(counters(account, "views")) - sum(first)
    days = sum(day.value for day in once if day.metric == "views")
    assert 0 < days <= grown  # the rest was before midnight on the first day
    assert [d.posts for d in once if d.metric == "views"] == [23] * (len(days_of(once)))
    assert any(day.metric == "followers" and day.value > 0 for day in once)


def days_of(rows: list[Any]) -> list[Any]:
    return [row for row in rows if row.metric == "views"]


def _today(days: int) -> Any:
    return (datetime.now(UTC) - timedelta(days=1) + timedelta(days=days)).date()


def test_what_is_hidden_or_gone_is_said_and_not_taken_for_nothing(
    platform: SandboxClient, clip: Path
) -> None:
    token = TOKENS["youtube"][0]
    ids = make_posts(platform, "youtube", clip, 2)
    platform.settings(youtube={"likes_hidden": True, "subscribers_hidden": True})

    done = collect_metrics(
        platform="youtube", access_token=token, post_ids=[*ids, "never-there"]
    )

    assert done["missing"] == ["never-there"]
    [first, _] = figures().posts("youtube", done["account"])
    assert first.values["likes"] is State.WITHHELD
    assert int(first.values["views"]) > 0
    assert first.followers is None

    _delete(platform, ids[0])
    again = collect_metrics(platform="youtube", access_token=token, post_id=ids[0])
    assert again["missing"] == [ids[0]]
    gone = {post.id: post.gone for post in figures().posts("youtube", done["account"])}
    assert gone == {ids[0]: True, ids[1]: False}


def _delete(platform: SandboxClient, id_: str) -> None:
    import requests

    requests.delete(
        f"{platform.url}/youtube/youtube/v3/videos",
        params={"id": id_},
        headers={"Authorization": f"Bearer {TOKENS['youtube'][0]}"},
        timeout=30,
    ).raise_for_status()


def test_an_accounts_token_is_renewed_and_one_of_a_message_is_not(
    platform: SandboxClient, clip: Path
) -> None:
    access, refresh, life = TOKENS["youtube"]
    core = CoreSettings.load()
    store = DatabaseCredentialStore(open_database(core), Keyring.from_settings(core))
    store.put(
        "youtube",
        "creator",
        Credential(
            access_token=Secret("ya29.expired-long-ago"),
            refresh_token=Secret(str(refresh)),
            obtained_at=clock.now(),
            expires_at=clock.now() + timedelta(seconds=life or 0),
        ),
    )
    [id_] = make_posts(platform, "youtube", clip, 1)

    done = collect_metrics(platform="youtube", account="creator", post_id=id_)

    assert (done["account"], done["posts"]) == ("creator", 1)
    # listed by the platform's name for it, and not by the host's
    assert collect_metrics(platform="youtube", account="creator")["posts"] == 1
    renewed = store.get("youtube", "creator").credential
    assert renewed
    assert renewed.access_token.get_secret_value() not in {access, "ya29.expired-long"}
    with pytest.raises(AuthorizationError) as caught:
        collect_metrics(
            platform="youtube", access_token="ya29.expired-long-ago", post_id=id_
        )
    assert caught.value.code == "token_expired"


def test_instagram_says_of_each_figure_why_there_is_none(
    platform: SandboxClient, clip: Path
) -> None:
    [reel] = make_posts(platform, "instagram", clip, 1)
    story = instagram(f"{platform.url}/instagram", clip, "STORIES")

    def collect() -> dict[str, dict[str, Any]]:
        done = collect_metrics(
            platform="instagram",
            access_token=TOKENS["instagram"][0],
            post_ids=[reel, story],
        )
        found = figures().posts("instagram", done["account"])
        return {post.id: dict(post.values) for post in found}

    platform.settings(instagram={"retired_metrics": ["saved"]})
    first = collect()
    platform.settings(instagram={"insights_after_s": 48 * 3600})
    again = collect()

    # a name that is retired costs one figure
    assert first[reel]["saves"] is State.NOT_SUPPORTED
    assert min(first[reel][name] for name in ("views", "reach", "watch_ms")) > 0
    assert first[reel]["avg_watch_ms"] == 6194
    assert "profile_visits" not in first[reel]
    # four people have seen the story, or fewer
    assert first[story]["views"] is State.WITHHELD
    # nothing is told, and what was known in that hour stays
    assert again[reel]["views"] == first[reel]["views"]
    later(platform, hours=2)
    assert collect()[reel]["views"] is State.NOT_YET


def test_an_answer_that_is_lost_is_asked_for_again(
    platform: SandboxClient, clip: Path
) -> None:
    ids = make_posts(platform, "tiktok", clip, 2)
    platform.faults({"action": "drop", "moment": "after", "nth": 2})

    done = collect_metrics(
        platform="tiktok", access_token=TOKENS["tiktok"][0], post_ids=ids
    )

    assert done["posts"] == 2


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"platform": "tiktok"}, "give account or access_token"),
        (
            {"platform": "tiktok", "account": "a", "post_id": "1", "post_ids": ["2"]},
            "give post_id or post_ids",
        ),
        (
            {"platform": "tiktok", "account": "a", "time_zone": "Mars/Base"},
            "'Mars/Base' is no time zone",
        ),
    ],
)
def test_what_cannot_be_right_is_refused_when_it_is_sent(
    body: dict[str, Any], said: str, redis_url: str
) -> None:
    broker = RedisBroker(CoreSettings.load({"redis_url": redis_url}))
    collect_metrics.declare_on(broker)

    with pytest.raises(InvalidRequestError, match=said):
        collect_metrics.send(**body)
    broker.close()


def test_without_a_database_a_sweep_makes_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NEXUS_DATABASE_URL", f"sqlite:///{tmp_path / 'none.db'}")

    assert sweep_snapshots() == {"deleted": 0, "skipped": "there is no database yet"}
    assert not (tmp_path / "none.db").exists()


def test_a_worker_of_this_domain_alone_collects_and_rolls_up(
    platform: SandboxClient,
    clip: Path,
    start_worker: StartWorker,
    environ: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    environ |= {name: value for name, value in os.environ.items() if "NEXUS" in name}
    monkeypatch.setenv("REDIS_URL", environ["REDIS_URL"])
    [id_] = make_posts(platform, "tiktok", clip, 1)
    broker = RedisBroker(CoreSettings.load())
    for actor in (collect_metrics, aggregate_metrics):
        actor.declare_on(broker)
    start_worker("nexus_actors.worker:analytics", "-p", "1", "-t", "2")

    token = TOKENS["tiktok"][0]
    collected = collect_metrics.send(platform="tiktok", access_token=token, post_id=id_)
    done = jobs.wait(collected.message_id, timeout_s=60, broker=broker)
    rolled = aggregate_metrics.send(platform="tiktok", account=done.result["account"])
    made = jobs.wait(rolled.message_id, timeout_s=60, broker=broker)

    assert (done.state, done.result["posts"]) == ("succeeded", 1)
    assert made.result == {"posts": 1, "days": 0, "accounts": 1}
    assert token.encode() not in _everything(broker)
    broker.close()


def _everything(broker: RedisBroker) -> bytes:
    client: Any = broker.client
    found = [key + repr(client.dump(key)).encode() for key in client.keys("*")]
    return b"".join(found)


def test_the_commands_collect_roll_up_and_print_csv(
    platform: SandboxClient,
    clip: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["nexus-actors", "analytics", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert ended.value.code == 0, err
        return out

    monkeypatch.setenv("NEXUS_ACCESS_TOKEN", TOKENS["tiktok"][0])
    ids = make_posts(platform, "tiktok", clip, 2)

    account = json.loads(run("collect", "tiktok"))["account"]
    later(platform, hours=1)
    run("collect", "tiktok", "--post", ids[0], "--post", ids[1])
    assert json.loads(run("rollup", "--rebuild"))["posts"] == 2

    posts = list(
        csv.DictReader(
            run("export", "posts", "tiktok", "--account", account).splitlines()
        )
    )
    days = list(
        csv.DictReader(
            run("export", "days", "tiktok", "--account", account).splitlines()
        )
    )
    reported = run("export", "reported", "tiktok", "--account", account)
    assert reported == ""  # TikTok tells of no days by itself
    assert [post["id"] for post in posts] == ids
    assert all(int(post["views"]) > 0 and post["reach"] == "" for post in posts)
    assert {day["metric"] for day in days} >= {"followers", "posts"}
