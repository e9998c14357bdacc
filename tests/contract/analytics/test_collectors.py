"""Every collector, against what `Collector` promises."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests

from collecting import make_posts
from nexus_actors.analytics.adapters.facebook import FacebookCollector
from nexus_actors.analytics.adapters.instagram import InstagramCollector
from nexus_actors.analytics.adapters.tiktok import TikTokCollector
from nexus_actors.analytics.adapters.youtube import YouTubeCollector
from nexus_actors.sandbox.vendors.facebook.vendor import Facebook
from nexus_actors.sandbox.vendors.instagram.vendor import Instagram
from nexus_actors.sandbox.vendors.tiktok.vendor import TikTok
from nexus_actors.sandbox.vendors.youtube.vendor import YouTube
from nexus_actors.testing.contracts import CollectorContract
from nexus_actors.testing.sandbox import SandboxClient
from publishing import QUICK, TOKENS


class TestFacebookCollector(CollectorContract):
    adapter = FacebookCollector
    vendor = Facebook
    quick = QUICK["facebook"]
    access_token = TOKENS["facebook"][0]

    @pytest.fixture
    def posts(self, platform: SandboxClient, clip: Path) -> list[str]:
        return make_posts(platform, "facebook", clip, 2)

    def test_a_film_is_found_by_its_own_id_and_that_of_its_post_and_can_be_shown(
        self, platform: SandboxClient
    ) -> None:
        [text, post] = platform.plant("facebook", 2, days=3)
        reels = requests.get(
            f"{platform.url}/facebook/v25.0/me/video_reels",
            params={"fields": "id,post_id"},
            headers={"Authorization": f"Bearer {self.access_token}"},
            timeout=30,
        )
        [reel] = reels.json()["data"]

        by_film, by_post = (
            self.adapter().read_posts(self.access(), [id_, "nobody's"])
            for id_ in (reel["id"], post)
        )

        assert reel["post_id"] == post
        assert [one.id for one in (*by_film, *by_post)] == [reel["id"], post]
        assert by_film[0].format == "reel"
        assert int(by_film[0].values["watch_ms"]) > 0
        assert by_film[0].values == by_post[0].values
        [said] = self.adapter().read_posts(self.access(), [text])
        assert (said.format, said.title) == ("status", "Planted 0")
        assert said.url == f"https://www.facebook.com/{text.replace('_', '/posts/')}"
        assert said.picture_url is None
        assert by_post[0].url == f"https://www.facebook.com/reel/{reel['id']}/"
        assert by_post[0].picture_url == f"https://scontent.example/{post}.jpg"


class TestInstagramCollector(CollectorContract):
    adapter = InstagramCollector
    vendor = Instagram
    quick = QUICK["instagram"]
    access_token = TOKENS["instagram"][0]

    @pytest.fixture
    def posts(self, platform: SandboxClient, clip: Path) -> list[str]:
        return make_posts(platform, "instagram", clip, 2)


class TestTikTokCollector(CollectorContract):
    adapter = TikTokCollector
    vendor = TikTok
    quick = QUICK["tiktok"]
    access_token = TOKENS["tiktok"][0]

    @pytest.fixture
    def posts(self, platform: SandboxClient, clip: Path) -> list[str]:
        return make_posts(platform, "tiktok", clip, 2)


class TestYouTubeCollector(CollectorContract):
    adapter = YouTubeCollector
    vendor = YouTube
    quick = QUICK["youtube"]
    access_token = TOKENS["youtube"][0]

    @pytest.fixture
    def posts(self, platform: SandboxClient, clip: Path) -> list[str]:
        return make_posts(platform, "youtube", clip, 2)
