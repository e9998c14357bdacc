"""Figures of posts and accounts, as TikTok and YouTube tell them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import requests

from collecting import bearer, make_posts
from nexus_actors.sandbox.growth import figures
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


def test_a_post_grows_fast_at_first_and_never_shrinks() -> None:
    ages = [hours * 3600 for hours in (0, 1, 24, 48, 24 * 30)]
    seen = [figures("seed", "post", age) for age in ages]

    assert [one.views for one in seen] == sorted(one.views for one in seen)
    assert seen[0].views == seen[0].likes == 0
    assert seen[2].views - seen[1].views > seen[3].views - seen[2].views
    assert seen == [figures("seed", "post", age) for age in ages]
    assert seen[4] != figures("another", "post", ages[4])


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
