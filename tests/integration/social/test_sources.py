"""Which file a post sends, and from where platforms fetch the others."""

from __future__ import annotations

import hashlib
import os
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

import publishing
from conftest import make_clip
from nexus_actors.core import clock
from nexus_actors.core.errors import Postponed, RejectedError
from nexus_actors.core.guard import Guard, GuardSettings
from nexus_actors.core.settings import CoreSettings
from nexus_actors.social import publish_post
from nexus_actors.social.sources import Source
from nexus_actors.testing.contracts.publisher import until_it_rests
from nexus_actors.testing.sandbox import SandboxClient
from objectstores import Folder, S3Place
from publishing import Place
from scale import full
from web import reply, web


def test_of_a_processed_video_the_best_that_the_platform_takes_is_sent(
    nexus_sandbox: SandboxClient, quick_place: Place, reel: Path, tmp_path: Path
) -> None:
    tall = make_clip(tmp_path / "tall.mp4", size="540x960", seconds=3)
    store = Folder(quick_place.folder / "storage")
    films = {"1080": reel.read_bytes(), "720": tall.read_bytes()}
    films["clean"] = films["1080"] + (16).to_bytes(4) + b"free" + bytes(8)
    for name, film in films.items():
        store.write(f"v1/version/mp4/{name}.mp4", film)

    def publish(platform: str, **settings: Any) -> str:
        until_it_rests(
            lambda: publish_post(
                platform=platform,
                account="creator",
                content={"video_id": "v1", "title": "A film"},
                settings=settings,
            )
        )
        [sent] = nexus_sandbox.truth()[platform]
        files = sent["details"].get("files") or [sent["details"]]
        return str(files[0]["sha256"])

    sent = {
        "clean": publish("tiktok", privacy="public"),
        "720": publish("facebook", kind="reel"),  # the others are not tall
    }
    store.write("v1/another/mp4/720.mp4", films["720"])
    with pytest.raises(RejectedError, match="several versions"):
        publish("youtube", privacy="public")

    assert sent == {n: hashlib.sha256(films[n]).hexdigest() for n in sent}


@pytest.mark.parametrize("name", [b"a film.mp4", "Übung.mp4".encode(), b"\xff.mp4"])
def test_a_file_is_found_by_the_url_that_its_path_has(
    name: bytes, tmp_path: Path
) -> None:
    core = CoreSettings.load({"storage_url": str(tmp_path)})
    film = tmp_path / os.fsdecode(name)
    film.write_bytes(b"film")
    source = Source(core, tmp_path, 99, Guard(GuardSettings.load()))

    assert source.bring(film.as_uri(), check=lambda: None).read_bytes() == b"film"


@pytest.mark.usefixtures("quick_place")
@pytest.mark.parametrize("signed", [False, pytest.param(True, marks=full)])
def test_a_platform_gets_an_address_that_is_made_when_the_post_fires(
    signed: bool,
    nexus_sandbox: SandboxClient,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    photo, at = tmp_path / "photo.jpg", clock.now() + timedelta(days=1)
    content = publishing.make_photo(photo)
    post: dict[str, Any] = {
        "platform": "instagram",
        "account": "creator",
        "content": {"image_paths": [str(photo)], "title": "A photo"},
        "publish_at": at.isoformat(),
    }

    with ExitStack() as stack:
        if signed:
            place: S3Place = request.getfixturevalue("s3_place")
            environ = place.environ  # a private bucket
        else:
            public = stack.enter_context(web())
            public.replies = [reply(200, content)]
            environ = {"STORAGE_PUBLIC_URL": public.url("")}
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(Postponed):
            publish_post(**post)
        asked_early = nexus_sandbox.requests()
        clock.move(86_401)
        done = until_it_rests(lambda: publish_post(**post))

    assert asked_early == []
    assert done["state"] == "published"
    [made] = [r for r in nexus_sandbox.requests() if r["path"].endswith("/media")]
    [address] = parse_qs(made["body"])["image_url"]
    assert ("X-Amz-Signature=" in address) == signed
    [sent] = nexus_sandbox.truth()["instagram"]
    assert sent["details"]["files"][0]["sha256"] == hashlib.sha256(content).hexdigest()
