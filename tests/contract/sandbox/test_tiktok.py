"""TikTok keeps a vendor's promises."""

from __future__ import annotations

import requests

from nexus_actors.sandbox.vendors.tiktok import TikTok
from nexus_actors.testing.contracts import VendorContract
from web import serving


FILM = b"\0\0\0\x18ftypmp42" + bytes(1000)


class TestTikTok(VendorContract):
    adapter = TikTok

    def act(self, url: str) -> requests.Response:
        token = TikTok.defaults.creators[0].access_token
        with serving(film=FILM) as host:
            source = {"source": "PULL_FROM_URL", "video_url": f"{host}/film"}
            return requests.post(
                f"{url}/v2/post/publish/video/init/",
                json={
                    "post_info": {"privacy_level": "SELF_ONLY"},
                    "source_info": source,
                },
                headers={"Authorization": f"Bearer {token}"},
                timeout=30,
            )
