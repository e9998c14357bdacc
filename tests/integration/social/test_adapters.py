"""What a publisher does where its platform is odd, slow, or says no."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import publishing
from nexus_actors import RedisBroker, events
from nexus_actors.core import clock
from nexus_actors.core.credentials import AccountState
from nexus_actors.core.errors import (
    InvalidRequestError,
    PermanentError,
    Postponed,
    RejectedError,
    RemoteUnavailableError,
)
from nexus_actors.social import (
    control,
    publish_post,
    resume_publication,
    sweep_publications,
)
from nexus_actors.social.desk import Desk
from nexus_actors.testing.contracts.publisher import until_it_rests
from nexus_actors.testing.sandbox import SandboxClient
from publishing import QUICK, Place
from scale import full, scaled


pytestmark = pytest.mark.usefixtures("quick_place")


def film(clip: Path, platform: str = "youtube", **more: Any) -> dict[str, Any]:
    public = {"privacy": "public"} if platform in {"youtube", "tiktok"} else {}
    settings = public | more.pop("settings", {})
    content = {"video_path": str(clip), "title": "A film", **more.pop("content", {})}
    who = {"platform": platform, "account": "creator"} | more
    return {"content": content, "settings": settings, **who}


def test_tiktok_gets_the_chunks_that_it_was_told_of_whatever_is_set_since(
    nexus_sandbox: SandboxClient,
    reel: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    large, mebi = tmp_path / "large.mp4", 2**20
    rest = 18 * mebi - reel.stat().st_size
    padding = rest.to_bytes(4) + b"free" + bytes(rest - 8)
    large.write_bytes(reel.read_bytes() + padding)
    away = {"action": "answer", "status": 503, "route": "PUT *", "nth": 2}
    nexus_sandbox.faults(away)

    with pytest.raises(RemoteUnavailableError):
        publish_post(**film(large, "tiktok"))
    monkeypatch.setenv("NEXUS_SOCIAL_CHUNK_BYTES", str(8 * mebi))
    done = until_it_rests(lambda: publish_post(**film(large, "tiktok")))

    assert done["state"] == "published"
    sent = [r for r in nexus_sandbox.requests() if r["method"] == "PUT"]
    ends = [(5 * mebi, 10 * mebi), (10 * mebi, 18 * mebi)]
    assert [r["headers"]["content-range"] for r in sent[2:]] == [
        f"bytes {start}-{stop - 1}/{18 * mebi}" for start, stop in ends
    ]


def test_youtube_is_asked_more_seldom_the_longer_it_processes(
    nexus_sandbox: SandboxClient, clip: Path
) -> None:
    nexus_sandbox.settings(youtube={"processing_s": 90_000})
    at = clock.now() + timedelta(hours=2)
    post = film(clip, publish_at=at.isoformat())
    pauses = []

    with pytest.raises(Postponed):
        publish_post(**post)
    for passed in (0, 70, 700, 4000):
        clock.move(7200 + passed)
        nexus_sandbox.set_clock(7200 + passed)
        with pytest.raises(Postponed) as waits:
            publish_post(**post)
        pauses.append(round((waits.value.until - clock.now()).total_seconds()))

    assert pauses == [5, 20, 60, 300]


@pytest.mark.parametrize(
    "platform", ["youtube", "facebook", pytest.param("tiktok", marks=full)]
)
def test_what_is_processed_for_too_long_is_told_so_and_found_if_it_is_shown_after_all(
    platform: str, nexus_sandbox: SandboxClient, broker: RedisBroker, clip: Path
) -> None:
    hour, day = 3600, 86_400
    nexus_sandbox.settings(**{platform: {"processing_s": 3 * day}})
    post = film(clip, platform)

    def sweep_at(seconds: int) -> int:
        clock.move(seconds)
        nexus_sandbox.set_clock(seconds)
        return int(sweep_publications()["sent"])

    with pytest.raises(Postponed):
        publish_post(**post)
    sweep_at(23 * hour)
    with pytest.raises(Postponed):
        publish_post(**post)
    sweep_at(25 * hour)
    stuck = publish_post(**post)
    sent = [sweep_at(26 * hour), sweep_at(32 * hour)]
    again = resume_publication(publication=stuck["id"])
    sent += [sweep_at(33 * hour), sweep_at(80 * hour)]
    found = resume_publication(publication=stuck["id"])

    assert (stuck["state"], stuck["error"]["code"]) == (
        "unconfirmed",
        "still_processing",
    )
    [note] = [n for n in stuck["notes"] if n["what"] == "still_processing"]
    assert len(note) > 2  # what the platform has said
    assert again["state"] == "unconfirmed"
    assert (found["state"], found["error"]) == ("published", None)
    assert sent == [0, 1, 0, 1]
    assert len(nexus_sandbox.truth()[platform]) == 1
    heard = [e.name for e in events.listen(since="0", wait=False, broker=broker)]
    told = [name for name in heard if name.startswith("social.post_")]
    assert told[:2] == ["social.post_unconfirmed", "social.post_published"]


@pytest.mark.usefixtures("broker")
def test_what_was_given_up_is_looked_at_for_a_week_and_a_person_may_settle_it(
    nexus_sandbox: SandboxClient, clip: Path
) -> None:
    nexus_sandbox.settings(youtube={"processing_s": 10**9})
    posts = [film(clip, idempotency_key=key) for key in ("left", "settled")]
    for post in posts:
        with pytest.raises(Postponed):
            publish_post(**post)
    clock.move(90_000)
    ids = [publish_post(**post)["id"] for post in posts]
    row = control.settle(ids[1], published=True, remote_id=None)
    clock.move(90_000 + 7 * 86_400)
    resume_publication(publication=ids[0])

    left, settled = (Desk.open().table.get(id_) for id_ in ids)
    assert (left.state, left.due_at) == ("unconfirmed", None)
    assert (settled.state, settled.due_at) == ("published", None)
    assert row["remote_id"] == settled.remote_id
    assert row["remote_id"]


def test_what_youtube_makes_of_a_video_is_told_as_it_is(
    nexus_sandbox: SandboxClient, clip: Path
) -> None:
    gone = {"items": [{"status": {"uploadStatus": "deleted"}}]}
    answer = {"action": "answer", "status": 200, "body": gone}
    nexus_sandbox.faults({**answer, "route": "GET */videos"})
    with pytest.raises(RejectedError, match="deleted"):
        publish_post(**film(clip, idempotency_key="deleted"))
    nexus_sandbox.faults()
    nexus_sandbox.settings(youtube={"unaudited": True})

    locked = publish_post(**film(clip, idempotency_key="locked"))

    assert Desk.open().table.get("youtube:deleted").state == "failed"
    assert locked["state"] == "published"
    [note] = [n for n in locked["notes"] if n["what"] == "confirmed"]
    assert (note["asked"], note["privacy"]) == ("public", "private")


def test_facebook_gets_the_still_of_a_video_after_the_post(
    nexus_sandbox: SandboxClient, clip: Path, tmp_path: Path
) -> None:
    still = tmp_path / "still.jpg"
    publishing.make_photo(still)
    post = film(clip, "facebook", content={"thumbnail_path": str(still)})

    done = until_it_rests(lambda: publish_post(**post))

    assert (done["state"], done["steps"]["thumbnail"]["done"]) == ("published", True)
    sent = [(r["method"], r["path"]) for r in nexus_sandbox.requests()]
    [thumbnail] = [n for n, (_, path) in enumerate(sent) if "/thumbnails" in path]
    assert max(n for n, (m, p) in enumerate(sent) if m == "POST" and "/videos" in p) < (
        thumbnail
    )


def test_a_new_token_that_is_refused_as_well_asks_for_the_owner_and_only_once(
    nexus_sandbox: SandboxClient, broker: RedisBroker, clip: Path
) -> None:
    bad = {"error": {"code": 401, "errors": [{"reason": "authError"}]}}
    refused = {"action": "answer", "status": 401, "body": bad, "times": None}
    nexus_sandbox.faults({**refused, "route": "POST /youtube/upload/*"})

    parked = publish_post(**film(clip))
    swept = []
    for minute in range(1, 4):
        clock.move(60 * minute)
        swept.append(sweep_publications()["sent"])

    assert parked["state"] == "parked"
    account = Desk.open().accounts().store.get("youtube", "creator")
    assert account.state is AccountState.NEEDS_REAUTHORIZATION
    assert swept == [0, 0, 0]
    asked = [r["path"] for r in nexus_sandbox.requests()]
    assert sum("token" in path for path in asked) == 1
    heard = [e.name for e in events.listen(since="0", wait=False, broker=broker)]
    assert heard.count("social.account_needs_reauthorization") == 1


@pytest.mark.usefixtures("broker")
def test_a_missing_permission_parks_and_a_403_of_a_gateway_does_not(
    nexus_sandbox: SandboxClient,
) -> None:
    text: dict[str, Any] = {
        "platform": "facebook",
        "account": "creator",
        "content": {"title": "Hi"},
    }
    store = Desk.open().accounts().store
    page = {"action": "answer", "status": 403, "body": "<html>Blocked</html>"}
    nexus_sandbox.faults({**page, "route": "POST */feed"})

    with pytest.raises(RemoteUnavailableError):
        publish_post(**text, idempotency_key="gateway")
    connected = store.get("facebook", "creator").state
    done = until_it_rests(lambda: publish_post(**text, idempotency_key="gateway"))
    told = {"error": {"code": 200, "message": "(#200) Requires pages_manage_posts"}}
    nexus_sandbox.faults({**page, "body": told, "route": "POST */feed"})
    parked = publish_post(**text, idempotency_key="permission")

    assert (connected, done["state"]) == (AccountState.ACTIVE, "published")
    assert parked["state"] == "parked"
    account = store.get("facebook", "creator")
    assert account.state is AccountState.NEEDS_REAUTHORIZATION
    assert "pages_manage_posts" in str(account.reason)
    assert len(nexus_sandbox.truth()["facebook"]) == 1


#: Answers that no platform documents: of another shape, or a gateway's.
ODD: list[dict[str, Any]] = scaled(
    [{"status": 200, "body": {}}],
    full=[
        {"status": 200, "body": {}},
        {"status": 200, "body": []},
        {"status": 200, "body": "<html>OK</html>"},
        {"status": 500, "body": "<html>Oops</html>"},
        {"status": 503, "headers": {"Retry-After": "7"}},
        {"status": 429, "body": {}},
        {"status": 404, "body": "<html>Not here</html>"},
        {"status": 302, "headers": {"Location": "/elsewhere"}},
    ],
)


@pytest.mark.timeout(scaled(180, full=900))
@pytest.mark.parametrize(
    ("platform", "content"),
    [
        *((name, None) for name in ("youtube", "tiktok", "instagram", "facebook")),
        pytest.param("facebook", {"title": "A text"}, id="facebook-text"),
    ],
)
@pytest.mark.parametrize("moment", ["after", pytest.param("before", marks=full)])
def test_whichever_answer_is_odd_there_is_one_post_or_the_record_says_so(
    platform: str,
    content: dict[str, Any] | None,
    moment: str,
    nexus_sandbox: SandboxClient,
    quick_place: Place,
    reel: Path,
) -> None:
    good = {("published", 1), ("failed", 0)}
    if content:  # no call can tell that it came to nothing
        good.add(("unconfirmed", 0))

    def publish(key: str) -> dict[str, Any]:
        post = film(reel, platform, idempotency_key=key)
        post["content"] = content or post["content"]
        try:
            return until_it_rests(lambda: publish_post(**post))
        except PermanentError:
            return Desk.open().table.get(f"{platform}:{key}").to_json()

    publish("undisturbed")
    requests, wrong = len(nexus_sandbox.requests()), {}
    for number in range(1, requests + 1):
        for kind, answer in enumerate(ODD):
            if (moment, answer["status"]) == ("after", 429):
                continue  # who limits a call has not made it
            nexus_sandbox.reset()
            nexus_sandbox.settings(**QUICK)
            quick_place.empty()
            odd = {"action": "answer", "moment": moment, "nth": number, **answer}
            nexus_sandbox.faults(odd)
            record = publish(f"{number}-{kind}")
            made = len(nexus_sandbox.truth()[platform])
            if (record["state"], made) not in good:
                wrong[number, kind] = (made, record["state"], record["notes"])

    assert not wrong


#: Right to left, a family, a letter in two parts, a tag in Hindi, and what is syntax
#: elsewhere.
HOSTILE = (
    "\u202e\u05d0\u05d1\u202c \U0001f469\u200d\U0001f467\u200d\U0001f466 e\u0301 "
    "#हिन्दी \t\r\n#été \uff03tag & \"quotes\" 'x' %s {0} \\ "
)


@pytest.mark.parametrize(
    ("platform", "most"),
    [("youtube", 100), ("tiktok", 2200), ("instagram", 2200), ("facebook", 255)],
)
def test_a_text_in_any_script_is_shown_as_it_is_up_to_what_the_platform_counts(
    platform: str, most: int, nexus_sandbox: SandboxClient, reel: Path
) -> None:
    units = 2 if platform == "tiktok" else 1
    size = len(HOSTILE.encode("utf-16-le")) // 2 if units == 2 else len(HOSTILE)
    emoji = "🎉" * ((most - size) // units)

    def post(title: str) -> dict[str, Any]:
        content = {"title": title}
        return until_it_rests(
            lambda: publish_post(**film(reel, platform, content=content))
        )

    done = post(HOSTILE + emoji)
    with pytest.raises(InvalidRequestError):
        post(f"{HOSTILE}{emoji}🎉🎉")
    for broken in ("null \0 byte", "half an emoji \ud83c"):
        with pytest.raises(InvalidRequestError):
            post(broken)

    assert done["state"] == "published"
    [shown] = nexus_sandbox.posts()[platform]
    assert shown["text"] == HOSTILE + emoji


def test_pictures_of_ours_are_looked_at_before_a_byte_is_sent(
    nexus_sandbox: SandboxClient, tmp_path: Path
) -> None:
    wide, png = tmp_path / "wide.jpg", tmp_path / "picture.png"
    publishing.make_photo(wide, size="640x320")
    publishing.make_photo(png)

    with pytest.raises(RejectedError) as caught:
        publish_post(
            platform="instagram",
            account="creator",
            content={"image_paths": [str(wide), str(png)]},
        )

    told = {v["rule"]: v["value"] for v in caught.value.details["violations"]}
    assert told == {"image_paths.0.aspect": 2.0, "image_paths.1.container": "png"}
    assert nexus_sandbox.requests() == []
