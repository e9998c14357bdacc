"""Figures of posts and accounts, as TikTok and YouTube tell them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import requests

from collecting import bearer, make_posts
from nexus_actors.sandbox.growth import Growth, Made, World
from nexus_actors.testing.sandbox import SandboxClient
from publishing import QUICK


@pytest.fixture
def platform(nexus_sandbox: SandboxClient) -> SandboxClient:
    nexus_sandbox.settings(**QUICK)
    return nexus_sandbox


def query(platform: SandboxClient, ids: Any, fields: str = "id,view_count") -> Any:
    return requests.post(
        f"{platform.url}/tiktok/v2/video/query/",
        params={"fields": fields},
        json={"filters": {"video_ids": ids}},
        headers=bearer("tiktok"),
        timeout=30,
    )


def get(platform: SandboxClient, what: str, **params: str) -> Any:
    url = f"{platform.url}/youtube/youtube/v3/{what}"
    return requests.get(url, params=params, headers=bearer("youtube"), timeout=30)


AT = 1_790_000_000.0
HOUR = 3600.0


def post(name: str = "post", account: str = "us") -> Made:
    return Made(name=name, account=account, at=AT)


def test_a_post_grows_fast_at_first_and_never_shrinks() -> None:
    ages = [hours * HOUR for hours in (0, 1, 24, 48, 24 * 30)]
    world = World(seed="seed", growth=Growth())
    seen = [world.figures(post(), AT + age) for age in ages]

    assert [one.views for one in seen] == sorted(one.views for one in seen)
    assert seen[0].views == seen[0].likes == 0
    assert seen[2].views - seen[1].views > seen[3].views - seen[2].views
    assert seen == list(world.course(post(), [AT + age for age in ages]))
    other = World(seed="another", growth=Growth())
    assert seen[4] != other.figures(post(), AT + ages[4])


def test_what_is_put_into_the_figures_on_purpose_is_told() -> None:
    growth = Growth(unusual=0.1, falls=0.5, season=(1, 1, 1, 1, 1, 2, 2), late_s=HOUR)
    world, plain = (World(seed="s", growth=g) for g in (growth, Growth(late_s=HOUR)))
    now = AT + 60 * 24 * HOUR
    midnights = [day * 86_400.0 for day in range(int(AT // 86_400) + 1, 20_800)]

    days = world.planted("us", AT, now)
    falls = {n: world.fall_of(post(f"p{n}")) for n in range(40)}
    told = [[*w.course(post("p0"), midnights)] for w in (world, plain)]

    assert 1 <= len(days) <= 15
    assert {day["factor"] for day in days} <= {3, 2, 0.4, 0.2}
    assert 10 <= sum(fall is not None for fall in falls.values()) <= 30
    # a fall is a level that is lower than the one before it
    number, (at, share) = next((n, fall) for n, fall in falls.items() if fall)
    seen = [at + HOUR - 60, at + HOUR + 60]
    before, after = (f.views for f in world.course(post(f"p{number}"), seen))
    assert after == pytest.approx(before * (1 - share), rel=0.02, abs=2)
    # what was late is all there in the end
    assert told[1][-1] == World(seed="s", growth=Growth()).figures(
        post("p0"), midnights[-1] - HOUR
    )
    assert told[0] != told[1]


def test_tiktok_tells_of_its_creators_public_videos_alone(
    platform: SandboxClient, clip: Path
) -> None:
    [id_] = make_posts(platform, "tiktok", clip, 1)

    found = query(platform, [id_, "7400000000000009999", id_]).json()

    assert found["error"]["code"] == "ok"
    [video] = found["data"]["videos"]
    assert video["id"] == id_
    assert type(video["view_count"]) is int


@pytest.mark.parametrize(
    ("ids", "fields"),
    [
        ([], "id"),
        (["1"] * 21, "id"),
        ([7_400_000_000_000_000_001], "id"),
        ("1", "id"),
        (["1"], "save_count"),
        (["1"], ""),
    ],
)
def test_tiktok_refuses_what_is_no_query(
    platform: SandboxClient, ids: Any, fields: str
) -> None:
    answer = query(platform, ids, fields)

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_params"


def test_youtube_tells_numbers_as_text_and_leaves_out_what_is_hidden(
    platform: SandboxClient, clip: Path
) -> None:
    [id_] = make_posts(platform, "youtube", clip, 1)

    def statistics() -> dict[str, Any]:
        [item] = get(platform, "videos", part="statistics", id=id_).json()["items"]
        found: dict[str, Any] = item["statistics"]
        return found

    whole = statistics()
    platform.settings(youtube={"likes_hidden": True, "comments_off": True})

    assert {type(value) for value in whole.values()} == {str}
    assert whole.keys() - statistics().keys() == {"likeCount", "commentCount"}


def test_youtube_rounds_subscribers_down_or_hides_them(
    platform: SandboxClient,
) -> None:
    def channel() -> dict[str, Any]:
        answer = get(platform, "channels", part="statistics", mine="true")
        found: dict[str, Any] = answer.json()["items"][0]["statistics"]
        return found

    count = channel()["subscriberCount"]
    assert len(count) > 3
    assert set(count[3:]) == {"0"}
    platform.settings(youtube={"subscribers_hidden": True})
    assert channel()["hiddenSubscriberCount"] is True
    assert "subscriberCount" not in channel()


def test_youtube_takes_fifty_ids_and_no_more(platform: SandboxClient) -> None:
    ids = [f"nobody{number}" for number in range(51)]

    assert get(platform, "videos", part="id", id=",".join(ids[:50])).ok
    refused = get(platform, "videos", part="id", id=",".join(ids))
    assert refused.status_code == 400
