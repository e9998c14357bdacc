"""No request, however ugly, breaks a platform: it is refused in the platform's way."""

from __future__ import annotations

from itertools import product
from typing import Any, Final

import pytest
import requests
from starlette.routing import Route

from nexus_actors.sandbox import Sandbox, running
from nexus_actors.sandbox.vendors.facebook import Facebook
from nexus_actors.sandbox.vendors.facebook.settings import FacebookSettings
from nexus_actors.sandbox.vendors.instagram import Instagram
from nexus_actors.sandbox.vendors.instagram.settings import InstagramSettings
from nexus_actors.sandbox.vendors.tiktok import TikTok
from nexus_actors.sandbox.vendors.tiktok.settings import TikTokSettings
from nexus_actors.sandbox.vendors.youtube import YouTube
from nexus_actors.sandbox.vendors.youtube.settings import YouTubeSettings


JSON, FORM = "application/json", "application/x-www-form-urlencoded"
BODIES: Final = [
    (b"", JSON),
    (b"[]", JSON),
    (b"\xff\xfe\x00", JSON),
    (b'{"snippet": 1, "status": [], "post_info": [], "source_info": "x"}', JSON),
    (b'{"snippet": {"title": "\\ud800"}, "message": "\\ud800"}', JSON),
    (b'{"snippet": {"title": [], "resourceId": 5, "videoId": {}}, "tags": 1}', JSON),
    (b'{"attached_media": "[1]", "user_tags": "[[]]", "children": "[{}]"}', JSON),
    (b'{"scheduled_publish_time": "99999999999999999999", "published": 0}', JSON),
    (b"a=%ff&fields=a{&limit=-5&after=zz&upload_phase=start&file_size=\xc2\xb2", FORM),
    (b"--x\r\n", "multipart/form-data; boundary=x"),
    (b"--x\r\n", "multipart/related; boundary=x"),
    (b"\x00", "video/mp4"),
]
QUERIES: Final = [
    "part=snippet,status&uploadType=resumable&id=%00&maxResults=-1&fields=a%7B",
    "part=snippet&uploadType=multipart&fields=,&limit=0&after=zz&access_token=%ff",
]
HEADERS: Final[list[dict[str, str]]] = [
    {"Content-Range": "bytes 5-1/0", "offset": "-1", "file_size": "9" * 30},
    {"Content-Range": "bytes */*", "Slug": "\x7f", "X-Upload-Content-Length": "9" * 30},
]


@pytest.mark.parametrize(
    ("vendor", "token", "node"),
    [
        (YouTube, YouTubeSettings().channels[0].access_token, ""),
        (TikTok, TikTokSettings().creators[0].access_token, ""),
        (
            Instagram,
            InstagramSettings().accounts[0].access_token,
            InstagramSettings().accounts[0].id,
        ),
        (
            Facebook,
            FacebookSettings().pages[0].access_token,
            FacebookSettings().pages[0].id,
        ),
    ],
)
def test_an_ugly_request_is_refused(vendor: Any, token: str, node: str) -> None:
    sandbox = Sandbox(vendors=[vendor])
    routes = [r for r in sandbox.vendors[vendor.name].routes() if isinstance(r, Route)]
    broken = []

    with running(sandbox) as url, requests.Session() as session:
        for route in routes:
            path = route.path.replace("{version}", "v25.0").replace("{id}", node)
            (method,) = (route.methods or set()) - {"HEAD"}
            for (body, kind), query in product(BODIES, QUERIES):
                sandbox.reset()  # no limit hides what is behind it
                answer = session.request(
                    method,
                    f"{url}/{vendor.name}{path}?{query}",
                    data=body,
                    headers={"Authorization": f"Bearer {token}", "Content-Type": kind}
                    | HEADERS[len(body) % 2],
                    timeout=10,
                    allow_redirects=False,
                )
                if answer.status_code == 500:
                    broken.append((method, path, query, body, answer.text))

    assert broken == []
