"""What every publisher promises, held against the sandbox's platforms."""

from __future__ import annotations

from pathlib import Path

import pytest

from nexus_actors.sandbox.vendors.facebook import Facebook
from nexus_actors.sandbox.vendors.instagram import Instagram
from nexus_actors.sandbox.vendors.tiktok import TikTok
from nexus_actors.sandbox.vendors.youtube import YouTube
from nexus_actors.social.adapters.facebook import FacebookPublisher
from nexus_actors.social.adapters.instagram import InstagramPublisher
from nexus_actors.social.adapters.tiktok import TikTokPublisher
from nexus_actors.social.adapters.youtube import YouTubePublisher
from nexus_actors.testing.contracts import PublisherContract
from publishing import QUICK, TOKENS


FILM = {"video_path": "{clip}", "title": "A film", "description": "Of ours"}


class Ours(PublisherContract):
    @pytest.fixture
    def files(self, reel: Path) -> dict[str, str]:
        return {"clip": str(reel)}


class TestYouTubePublisher(Ours, PublisherContract):
    adapter = YouTubePublisher
    vendor = YouTube
    quick = QUICK["youtube"]
    access_token = TOKENS["youtube"][0]
    content = FILM
    settings = {"privacy": "UNLISTED"}
    refused = FILM | {"title": "<" * 101}


class TestTikTokPublisher(Ours, PublisherContract):
    adapter = TikTokPublisher
    vendor = TikTok
    quick = QUICK["tiktok"]
    access_token = TOKENS["tiktok"][0]
    content = FILM
    settings = {"privacy": "PUBLIC", "allow_comments": True}
    refused = FILM | {"title": "\N{PARTY POPPER}" * 1101}


class TestInstagramPublisher(Ours, PublisherContract):
    adapter = InstagramPublisher
    vendor = Instagram
    quick = QUICK["instagram"]
    access_token = TOKENS["instagram"][0]
    content = FILM
    refused = FILM | {"description": "#tag " * 31}


class TestFacebookPublisher(Ours, PublisherContract):
    adapter = FacebookPublisher
    vendor = Facebook
    quick = QUICK["facebook"]
    access_token = TOKENS["facebook"][0]
    content = FILM
    refused = FILM | {"title": "x" * 256}
