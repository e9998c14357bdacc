"""Posts at the sandbox, of which figures can be read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import requests

from nexus_actors.testing.sandbox import SandboxClient
from publishing import TOKENS


def make_posts(
    platform: SandboxClient, name: str, clip: Path, count: int, *, first: int = 0
) -> list[str]:
    """Make posts, each a minute after the other; return their ids, the oldest first."""
    made = []
    for number in range(first, first + count):
        platform.set_clock(number * 60 - 3600)
        made.append(MAKE[name](f"{platform.url}/{name}", clip))
    platform.set_clock(0)
    return made


def youtube(url: str, clip: Path) -> str:
    edge = "edge"
    metadata = {"snippet": {"title": "A film"}, "status": {"privacyStatus": "public"}}
    body = (
        f"--{edge}\r\nContent-Type: application/json\r\n\r\n{json.dumps(metadata)}\r\n"
        f"--{edge}\r\nContent-Type: video/mp4\r\n\r\n"
    ).encode()
    body += clip.read_bytes() + f"\r\n--{edge}--\r\n".encode()
    answer = requests.post(
        f"{url}/upload/youtube/v3/videos",
        params={"uploadType": "multipart", "part": "snippet,status"},
        headers=bearer("youtube", f"multipart/related; boundary={edge}"),
        data=body,
        timeout=30,
    )
    answer.raise_for_status()
    return str(answer.json()["id"])


def tiktok(url: str, clip: Path) -> str:
    media = clip.read_bytes()
    source = {"source": "FILE_UPLOAD", "video_size": len(media)}
    body = {
        "post_info": {"title": "A film", "privacy_level": "PUBLIC_TO_EVERYONE"},
        "source_info": source | {"chunk_size": len(media), "total_chunk_count": 1},
    }

    def call(path: str, body: object) -> dict[str, str]:
        answer = requests.post(
            f"{url}/v2/post/publish/{path}/",
            json=body,
            headers=bearer("tiktok"),
            timeout=30,
        )
        answer.raise_for_status()
        found: dict[str, str] = answer.json()["data"]
        return found

    begun = call("video/init", body)
    requests.put(
        begun["upload_url"],
        data=media,
        headers={
            "Content-Type": "video/mp4",
            "Content-Range": f"bytes 0-{len(media) - 1}/{len(media)}",
        },
        timeout=30,
    ).raise_for_status()
    told = call("status/fetch", {"publish_id": begun["publish_id"]})
    return str(told["publicaly_available_post_id"][0])


def instagram(url: str, clip: Path, kind: str = "REELS") -> str:
    media, version = clip.read_bytes(), "v25.0"

    def call(path: str, **form: str) -> dict[str, str]:
        answer = requests.post(
            f"{url}/{version}/{path}",
            data=form,
            headers=bearer("instagram", "application/x-www-form-urlencoded"),
            timeout=30,
        )
        answer.raise_for_status()
        found: dict[str, str] = answer.json()
        return found

    made = call("me/media", media_type=kind, upload_type="resumable")
    headers = {
        "Authorization": f"OAuth {TOKENS['instagram'][0]}",
        "offset": "0",
        "file_size": str(len(media)),
    }
    requests.post(
        made["uri"], data=media, headers=headers, timeout=30
    ).raise_for_status()
    return call("me/media_publish", creation_id=made["id"])["id"]


def facebook(url: str, _: Path) -> str:
    """A text; a film would have two ids."""
    answer = requests.post(
        f"{url}/v25.0/me/feed",
        data={"message": f"A text {uuid4()}"},
        headers=bearer("facebook", "application/x-www-form-urlencoded"),
        timeout=30,
    )
    answer.raise_for_status()
    return str(answer.json()["id"])


MAKE: dict[str, Callable[[str, Path], str]] = {
    "facebook": facebook,
    "instagram": instagram,
    "tiktok": tiktok,
    "youtube": youtube,
}


def bearer(name: str, kind: str = "application/json") -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKENS[name][0]}", "Content-Type": kind}
