"""What each call counts against, as the platforms say."""

from __future__ import annotations

import pytest

from nexus_actors.core.errors import ConfigurationError
from nexus_actors.core.http import Call
from nexus_actors.platforms.limits import LIMITS, Limit, counting
from nexus_actors.platforms.settings import PlatformSettings


@pytest.mark.parametrize(
    ("platform", "method", "target", "wanted"),
    [
        ("tiktok", "POST", "/v2/post/publish/video/init/", {"init": 1}),
        ("tiktok", "POST", "/v2/post/publish/inbox/video/init/", {"init": 1}),
        ("tiktok", "POST", "/v2/post/publish/content/init/", {"init": 1}),
        ("tiktok", "POST", "/v2/post/publish/status/fetch/", {"status": 1}),
        (
            "tiktok",
            "POST",
            "/v2/post/publish/creator_info/query/",
            {"creator_info": 1},
        ),
        ("tiktok", "POST", "/v2/video/list/?fields=id", {"list": 1}),
        ("tiktok", "PUT", "https://upload.example/v2/video/list/", {}),
        ("youtube", "POST", "/upload/youtube/v3/videos", {"uploads": 1}),
        ("youtube", "POST", "/upload/youtube/v3/thumbnails/set", {"units": 50}),
        ("youtube", "POST", "/upload/youtube/v3/captions", {"units": 400}),
        ("youtube", "GET", "/youtube/v3/captions", {"units": 50}),
        ("youtube", "GET", "/youtube/v3/videos", {"units": 1}),
        ("youtube", "POST", "/youtube/v3/playlistItems", {"units": 50}),
        ("instagram", "POST", "/17/media", {"all": 1, "app": 1, "containers": 1}),
        ("instagram", "POST", "/17/media_publish", {"all": 1, "app": 1}),
        ("facebook", "GET", "/me", {"all": 1, "app": 1}),
        ("notice", "POST", "/notices", {}),
    ],
)
def test_a_call_counts_against_what_the_platform_says(
    platform: str, method: str, target: str, wanted: dict[str, int]
) -> None:
    found = counting(LIMITS.get(platform, ()), Call(method, target))

    assert {limit.name: limit.cost for limit in found} == wanted


@pytest.mark.parametrize("limits", LIMITS.values(), ids=LIMITS)
def test_at_least_two_thirds_of_a_limit_can_be_used_for_ever(
    limits: tuple[Limit, ...],
) -> None:
    for limit in limits:
        assert limit.limit - limit.burst + 1 >= limit.limit * 2 / 3, limit


def test_a_limit_that_makes_no_sense_is_told_by_its_variable() -> None:
    wrong = {"tiktok": [{"name": "init", "limit": 2, "window_s": 60, "burst": 3}]}

    with pytest.raises(ConfigurationError, match=r"NEXUS_PLATFORM_LIMITS.*at most"):
        PlatformSettings.load({"limits": wrong})
