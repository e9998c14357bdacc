"""YouTube keeps a vendor's promises."""

from __future__ import annotations

import json

import requests

from nexus_actors.sandbox.vendors.youtube import YouTube
from nexus_actors.testing.contracts import VendorContract


FILM = b"\0\0\0\x18ftypmp42" + bytes(1000)


class TestYouTube(VendorContract):
    adapter = YouTube

    def act(self, url: str) -> requests.Response:
        said = json.dumps({"snippet": {"title": "A walk"}}).encode()
        head = b"--x\r\nContent-Type: application/json\r\n\r\n" + said
        film = b"\r\n--x\r\nContent-Type: video/mp4\r\n\r\n" + FILM
        token = YouTube.defaults.channels[0].access_token
        return requests.post(
            f"{url}/upload/youtube/v3/videos?uploadType=multipart&part=snippet",
            head + film + b"\r\n--x--\r\n",
            headers={
                "Authorization": f"Bearer {token}",
                "Content-Type": "multipart/related; boundary=x",
            },
            timeout=30,
        )
