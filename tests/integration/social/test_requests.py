"""What the publishers send is what the platforms' own documents describe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import requests

from discovery import discovery, faults
from nexus_actors.analytics import collect_metrics
from nexus_actors.core.errors import ConfigurationError
from nexus_actors.social import begin_login, disconnect, finish_login, publish_post
from nexus_actors.social.adapters.tiktok import Plan
from nexus_actors.testing.contracts.publisher import until_it_rests
from nexus_actors.testing.sandbox import SandboxClient
from publishing import TOKENS, make_photo
from web import serving


pytestmark = pytest.mark.usefixtures("quick_place")


def test_every_request_to_youtube_is_in_its_discovery_document(
    nexus_sandbox: SandboxClient, clip: Path, tmp_path: Path
) -> None:
    document = discovery()
    srt = tmp_path / "en.srt"
    srt.write_text("1\n00:00:00,000 --> 00:00:01,000\nHello\n")
    everything: dict[str, Any] = {
        "platform": "youtube",
        "account": "creator",
        "content": {
            "video_path": str(clip),
            "title": "A film",
            "description": "Of ours",
            "tags": ["one", "two words"],
            "captions": [{"path": str(srt), "language": "en", "name": "English"}],
        },
        "settings": {
            "privacy": "private",
            "ai_generated": True,
            "paid_partnership": True,
            "playlist_id": "PL-none",
            "extra": {"status": {"license": "creativeCommon", "embeddable": True}},
        },
    }

    until_it_rests(lambda: publish_post(**everything))

    methods = {}
    for resource in document["resources"].values():
        for method in resource.get("methods", {}).values():
            upload = (
                method.get("mediaUpload", {}).get("protocols", {}).get("simple", {})
            )
            for path in ("/" + method["path"], upload.get("path")):
                methods[method["httpMethod"], path] = method
    sent = nexus_sandbox.requests()
    assert {r["path"].rpartition("/")[2] for r in sent} >= {"videos", "captions"}
    for request in sent:
        path = request["path"].removeprefix("/youtube")
        if request["method"] == "PUT":  # to an address that YouTube has given
            continue
        method = methods[request["method"], path]
        known = {*method["parameters"], "uploadType", *document["parameters"]}
        assert set(parse_qs(request["query"])) <= known
        if request["headers"].get("content-type", "").startswith("application/json"):
            body = json.loads(request["body"])
            assert not faults(body, method["request"], document["schemas"], path)


@pytest.mark.usefixtures("broker")
def test_an_app_that_requires_it_gets_the_proof_of_its_secret_with_every_call(
    nexus_sandbox: SandboxClient,
    clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nexus_sandbox.settings(facebook={"needs_proof": True})
    make_photo(tmp_path / "photo.jpg")
    contents: list[dict[str, Any]] = [
        {"title": "A text"},
        {"title": "A picture", "image_paths": [str(tmp_path / "photo.jpg")]},
        {"title": "A film", "video_path": str(clip)},
    ]

    def publish(content: dict[str, Any]) -> dict[str, Any]:
        who: dict[str, Any] = {"platform": "facebook", "account": "creator"}
        return until_it_rests(lambda: publish_post(**who, content=content))

    with pytest.raises(ConfigurationError, match="require an appsecret_proof") as none:
        publish({"title": "Without"})
    monkeypatch.setenv("NEXUS_FACEBOOK_APPSECRET_PROOF", "1")
    begun = begin_login("facebook")
    answer = requests.get(begun.url, allow_redirects=False, timeout=30)
    [page] = finish_login("facebook", answer.headers["Location"], begun)
    done = [publish(content) for content in contents]
    figures = collect_metrics(
        platform="facebook", account="creator", post_id=done[0]["remote_id"]
    )
    disconnect("facebook", page.account)

    assert none.value.code == "app_not_allowed"
    assert [record["state"] for record in done] == ["published"] * 3
    assert figures["posts"] == 1
    for request in nexus_sandbox.requests():
        assert TOKENS["facebook"][0] not in request["query"]


def test_instagram_is_told_once_what_is_said_of_a_whole_carousel(
    nexus_sandbox: SandboxClient, tmp_path: Path
) -> None:
    photo, friends = make_photo(tmp_path / "photo.jpg"), ["ann", "bob"]

    with serving(**{"photo.jpg": photo}) as web:
        album: dict[str, Any] = {
            "platform": "instagram",
            "account": "creator",
            "content": {
                "image_paths": [f"{web}/photo.jpg", f"{web}/photo.jpg?size=größer%20"],
                "title": "Two",
            },
            "settings": {
                "ai_generated": True,
                "extra": {"collaborators": friends},
            },
        }
        done = until_it_rests(lambda: publish_post(**album))

    made = [
        parse_qs(request["body"])
        for request in nexus_sandbox.requests()
        if request["method"] == "POST" and request["path"].endswith("/media")
    ]
    assert done["state"] == "published"
    # "US-ASCII" alone, says the page; what is encoded already stays as it is
    [address] = made[1]["image_url"]
    assert address.endswith("/photo.jpg?size=gr%C3%B6%C3%9Fer%20")
    labels = [form.get("is_ai_generated") for form in made]
    assert labels == [None, None, ["true"]]
    with_whom = [form.get("collaborators") for form in made]
    assert with_whom == [None, None, [json.dumps(friends)]]


@pytest.mark.parametrize(
    ("size", "wanted", "plan", "last"),
    [
        (4_194_304, 16 * 2**20, (4_194_304, 1), 4_194_304),
        (64_000_001, 16 * 2**20, (16_777_216, 3), 30_445_569),
        (4_000_000_000, 16 * 2**20, (16_777_216, 238), 23_799_808),
        (4_294_967_296, 16 * 2**20, (16_777_216, 256), 16_777_216),
        (12_000_000, 262_144, (5_242_880, 2), 6_757_120),
    ],
)
def test_tiktok_s_chunks_are_cut_as_its_guide_says(
    size: int, wanted: int, plan: tuple[int, int], last: int
) -> None:
    found = Plan.of(size, wanted)
    ends = [0]
    while ends[-1] < size:
        ends.append(found.stop(ends[-1]))

    assert (found.chunk, found.count) == plan
    assert len(ends) - 1 == found.count
    assert ends[-1] - ends[-2] == last
