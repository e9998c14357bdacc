"""URLs of posts are users' words: none leads a worker, or a platform, inside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nexus_actors.core.errors import ForbiddenUrlError
from nexus_actors.social import publish_post
from nexus_actors.social.desk import Desk
from nexus_actors.testing.contracts.publisher import until_it_rests
from nexus_actors.testing.sandbox import SandboxClient
from publishing import QUICK, Place
from web import Web, reply, web


#: What must be in no error, and at no server but the user's own.
TOKEN = "signature-of-the-users-own-url"

#: How a machine is called by those who look for a way in; each answers there.
HOSTS = ["127.0.0.1", "localhost", "2130706433", "0177.0.0.1", "127.0.0.2", "0.0.0.0"]

#: Where a post has URLs; `{url}` stands for one.
POSTS: dict[str, dict[str, Any]] = {
    "a video": {
        "platform": "tiktok",
        "content": {"video_path": "{url}", "title": "A film"},
        "settings": {"privacy": "public"},
    },
    "a video that the platform fetches": {
        "platform": "tiktok",
        "content": {"video_path": "{url}", "title": "A film"},
        "settings": {"privacy": "public", "transfer": "url"},
    },
    "a picture that the platform fetches": {
        "platform": "instagram",
        "content": {"image_paths": ["{url}"]},
    },
    "a picture": {"platform": "facebook", "content": {"image_paths": ["{url}"]}},
}


@pytest.fixture(autouse=True)
def place(
    nexus_sandbox: SandboxClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Place:
    nexus_sandbox.settings(**QUICK)
    found = Place(tmp_path)
    for name, value in found.environ(nexus_sandbox.url, {}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NEXUS_GUARD_ALLOW", "")
    monkeypatch.setenv("NEXUS_GUARD_HTTP", "true")
    found.empty()
    return found


def filled(value: Any, url: str) -> Any:
    if isinstance(value, dict):
        return {name: filled(item, url) for name, item in value.items()}
    if isinstance(value, list):
        return [filled(item, url) for item in value]
    return value.replace("{url}", url) if isinstance(value, str) else value


def is_told(victim: Web, sandbox: SandboxClient) -> bool:
    """Tell whether the victim was reached, or a platform was told where it is."""
    asked = [r["body"] or "" for r in sandbox.requests()]
    return bool(victim.connections) or any(TOKEN in body for body in asked)


@pytest.mark.parametrize("where", POSTS)
def test_no_url_of_a_post_leads_into_the_worker_s_own_network(
    where: str, nexus_sandbox: SandboxClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with web("0.0.0.0") as victim:
        monkeypatch.setenv("NEXUS_GUARD_PORTS", str(victim.port))
        for host in HOSTS:
            url = f"http://{host}:{victim.port}/film.mp4?token={TOKEN}"

            with pytest.raises(ForbiddenUrlError) as caught:
                until_it_rests(
                    lambda url=url: publish_post(  # type: ignore[misc]
                        account="creator", **filled(POSTS[where], url)
                    )
                )

            assert TOKEN not in str(caught.value)
        assert not is_told(victim, nexus_sandbox)
    rows = Desk.open().table.newest()
    assert {row.state for row in rows} == {"failed"}
    assert {row.error["code"] for row in rows if row.error} == {"forbidden_url"}
    assert nexus_sandbox.truth()["tiktok"] == []


def test_no_redirect_of_a_user_s_server_leads_there_either(
    nexus_sandbox: SandboxClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with web() as site, web("127.0.0.2") as victim:
        monkeypatch.setenv("NEXUS_GUARD_ALLOW", "127.0.0.1")
        to = f"http://127.0.0.2:{victim.port}/film.mp4?token={TOKEN}"
        site.replies = [reply(302, Location=to)]

        with pytest.raises(ForbiddenUrlError):
            publish_post(
                account="creator", **filled(POSTS["a video"], site.url("/film.mp4"))
            )

        assert site.requests
        assert not is_told(victim, nexus_sandbox)


def test_what_is_beside_a_post_is_guarded_as_well_and_does_not_fail_it(
    reel: Path, nexus_sandbox: SandboxClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with web("0.0.0.0") as victim:
        monkeypatch.setenv("NEXUS_GUARD_PORTS", str(victim.port))
        url = f"http://127.0.0.1:{victim.port}/still.jpg?token={TOKEN}"
        content = {
            "video_path": str(reel),
            "title": "A film",
            "thumbnail_path": url,
            "captions": [{"path": url, "language": "en"}],
        }

        record = until_it_rests(
            lambda: publish_post(
                platform="youtube",
                account="creator",
                content=content,
                settings={"privacy": "public"},
            )
        )

        assert not is_told(victim, nexus_sandbox)
    assert record["state"] == "published"
    steps = record["steps"]
    assert {name: step["code"] for name, step in steps.items()} == {
        "thumbnail": "forbidden_url",
        "captions_en": "forbidden_url",
    }
