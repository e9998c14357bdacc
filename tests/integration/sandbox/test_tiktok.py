from __future__ import annotations

from functools import partial
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from film_heads import film_of
from nexus_actors.sandbox.vendors.tiktok.login import hex_s256
from nexus_actors.sandbox.vendors.tiktok.settings import TikTokSettings
from nexus_actors.testing.sandbox import SandboxClient
from web import serving


DEFAULTS = TikTokSettings()
WEB, DESKTOP = DEFAULTS.clients
CREATOR = DEFAULTS.creators[0]
TOKEN = {"Authorization": f"Bearer {CREATOR.access_token}"}
FILM: Final = b"\0\0\0\x18ftypmp42" + bytes(988)
JPEG: Final = b"\xff\xd8\xff\xe0" + bytes(100)
CHUNK = 5 * 2**20
LONG: Final = b"\0\0\0\x18ftypmp42" + bytes(2 * CHUNK)
CALLBACK = "https://app.example/callback"
INIT = "post/publish/video/init/"
DRAFT = "post/publish/inbox/video/init/"
CONTENT = "post/publish/content/init/"


@pytest.fixture
def tiktok(nexus_sandbox: SandboxClient) -> str:
    return f"{nexus_sandbox.url}/tiktok"


def call(
    tiktok: str, path: str, body: Any = None, *, token: str = CREATOR.access_token
) -> requests.Response:
    header = {"Authorization": f"Bearer {token}"}
    url = f"{tiktok}/v2/{path}"
    return requests.post(
        url, json={} if body is None else body, headers=header, timeout=10
    )


def code(answer: requests.Response) -> tuple[int, str]:
    error = answer.json()["error"]
    assert error["log_id"]
    return answer.status_code, error["code"]


def sent(size: int = len(FILM), chunk: int | None = None, count: int = 1) -> Any:
    source = {"source": "FILE_UPLOAD", "video_size": size}
    return source | {"chunk_size": chunk or size, "total_chunk_count": count}


def pulled(url: str) -> dict[str, str]:
    return {"source": "PULL_FROM_URL", "video_url": url}


def begin(
    tiktok: str, source: Any = None, *, path: str = INIT, **info: Any
) -> requests.Response:
    post_info = {"title": "A walk", "privacy_level": "PUBLIC_TO_EVERYONE", **info}
    body = {"post_info": post_info, "source_info": source or sent()}
    return call(tiktok, path, body)


def begun(tiktok: str, source: Any = None, **more: Any) -> tuple[str, str]:
    data = begin(tiktok, source, **more).json()["data"]
    return data["publish_id"], data["upload_url"]


def put(
    url: str,
    data: bytes,
    first: int = 0,
    total: int = len(FILM),
    headers: dict[str, str] | None = None,
) -> requests.Response:
    span = f"bytes {first}-{first + len(data) - 1}/{total}"
    every = {"Content-Type": "video/mp4", "Content-Range": span} | (headers or {})
    return requests.put(url, data, headers=every, timeout=10)


def posted(tiktok: str, **info: Any) -> str:
    post, url = begun(tiktok, **info)
    assert put(url, FILM).status_code == 201
    return post


def status(tiktok: str, post: str) -> dict[str, Any]:
    answer = call(tiktok, "post/publish/status/fetch/", {"publish_id": post})
    assert code(answer) == (200, "ok")
    data: dict[str, Any] = answer.json()["data"]
    return data


def effects(sandbox: SandboxClient) -> list[str]:
    return [effect["id"] for effect in sandbox.truth()["tiktok"]]


# a file


def test_a_film_is_posted_with_its_last_byte_and_becomes_public_by_the_clock(
    tiktok: str, nexus_sandbox: SandboxClient
) -> None:
    post, url = begun(tiktok)
    before = (status(tiktok, post), effects(nexus_sandbox))
    answer = put(url, FILM)
    processing = status(tiktok, post)
    nexus_sandbox.set_clock(3)
    done = status(tiktok, post)
    nexus_sandbox.set_clock(5)
    public = status(tiktok, post)

    assert len(post) <= 64
    assert len(url) <= 256
    assert before == ({"status": "PROCESSING_UPLOAD", "uploaded_bytes": 0}, [])
    assert answer.status_code == 201
    assert processing == {"status": "PROCESSING_UPLOAD", "uploaded_bytes": len(FILM)}
    assert done["status"] == "PUBLISH_COMPLETE"
    assert done["publicaly_available_post_id"] == []
    (public_id,) = public["publicaly_available_post_id"]
    assert public_id > 2**53
    (effect,) = nexus_sandbox.truth()["tiktok"]
    assert (effect["id"], effect["kind"]) == (post, "video")
    assert effect["details"]["text"] == "A walk"


def test_the_same_film_twice_is_two_posts(
    tiktok: str, nexus_sandbox: SandboxClient
) -> None:
    posts = [posted(tiktok), posted(tiktok)]

    assert effects(nexus_sandbox) == posts
    assert posts[0] != posts[1]


def test_a_beginning_alone_posts_nothing(
    tiktok: str, nexus_sandbox: SandboxClient
) -> None:
    begun(tiktok)
    begun(tiktok)

    assert effects(nexus_sandbox) == []
    assert nexus_sandbox.posts() == {}


def test_chunks_come_in_order_and_one_that_breaks_off_is_not_kept(
    tiktok: str, nexus_sandbox: SandboxClient
) -> None:
    post, url = begun(tiktok, sent(len(LONG), CHUNK, 2))
    send = partial(put, url, total=len(LONG))

    early = send(LONG[CHUNK:], CHUNK)
    first = send(LONG[:CHUNK])
    nexus_sandbox.faults({"action": "drop", "moment": "during", "route": "PUT *"})
    with pytest.raises(requests.ConnectionError):
        send(LONG[CHUNK:], CHUNK)
    kept = status(tiktok, post)["uploaded_bytes"]
    again = send(LONG[:CHUNK])
    last = send(LONG[CHUNK:], CHUNK)

    assert early.status_code == 416
    assert early.headers["Content-Range"] == f"bytes 0-0/{len(LONG)}"
    assert first.status_code == 206
    assert first.headers["Content-Range"] == f"bytes 0-{CHUNK}/{len(LONG)}"
    assert kept == CHUNK
    assert again.status_code == 416
    assert last.status_code == 201
    assert effects(nexus_sandbox) == [post]


def test_a_lost_answer_to_the_last_byte_is_a_post_all_the_same(
    tiktok: str, nexus_sandbox: SandboxClient
) -> None:
    post, url = begun(tiktok)
    nexus_sandbox.faults({"action": "drop", "moment": "after", "route": "PUT *"})
    with pytest.raises(requests.ConnectionError):
        put(url, FILM)

    again = put(url, FILM)

    assert again.status_code == 416
    assert status(tiktok, post)["uploaded_bytes"] == len(FILM)
    assert effects(nexus_sandbox) == [post]


def test_tiktok_may_keep_less_than_it_was_sent(
    tiktok: str, nexus_sandbox: SandboxClient
) -> None:
    nexus_sandbox.settings(tiktok={"stores_at_most": 600})
    post, url = begun(tiktok)

    first = put(url, FILM)
    rest = put(url, FILM[600:], 600)

    assert (first.status_code, rest.status_code) == (206, 201)
    assert first.headers["Content-Range"] == "bytes 0-600/1000"
    assert effects(nexus_sandbox) == [post]


@pytest.mark.parametrize(
    ("size", "chunk", "count"),
    [
        (4_194_304, 4_194_304, 1),
        (50_000_123, 50_000_123, 1),
        (50_000_123, 10_000_000, 5),
        (64_000_001, 16_777_216, 3),
        (4_000_000_000, 16_777_216, 238),
        (4_294_967_296, 16_777_216, 256),
    ],
)
def test_a_plan_by_the_rules_is_taken(
    tiktok: str, size: int, chunk: int, count: int
) -> None:
    assert code(begin(tiktok, sent(size, chunk, count))) == (200, "ok")


@pytest.mark.parametrize(
    ("size", "chunk", "count"),
    [
        (50_000_123, 10_000_000, 6),  # rounded up
        (64_000_001, 64_000_001, 1),  # above 64 MB at once
        (100_000_000, 64_000_001, 1),
        (10_000_000, 2_000_000, 5),  # chunks below 5 MB
        (4_000_000, 2_000_000, 2),
        (4_294_967_297, 16_777_216, 256),  # above 4 GB
        (0, 1, 0),
    ],
)
def test_a_plan_against_the_rules_is_refused(
    tiktok: str, size: int, chunk: int, count: int
) -> None:
    assert code(begin(tiktok, sent(size, chunk, count))) == (400, "invalid_params")


def test_a_chunk_with_wrong_headers_is_refused(tiktok: str) -> None:
    _, url = begun(tiktok)

    refused = [
        put(url, FILM, headers={"Content-Type": "application/octet-stream"}),
        put(url, FILM, headers={"Content-Range": "0-999"}),
        put(url, FILM[:-1], headers={"Content-Range": "bytes 0-999/1000"}),
        put(url, FILM, total=1001),
        put(url, FILM[:500]),
        put(url + "x", FILM),
    ]

    assert [r.status_code for r in refused] == [400, 400, 400, 400, 416, 404]
    assert put(url, FILM).status_code == 201


def test_an_upload_url_is_good_for_an_hour(
    tiktok: str, nexus_sandbox: SandboxClient
) -> None:
    post, url = begun(tiktok)
    nexus_sandbox.set_clock(3600)

    late = put(url, FILM)

    assert late.status_code == 403
    assert status(tiktok, post)["uploaded_bytes"] == 0
    assert effects(nexus_sandbox) == []


@pytest.mark.parametrize("outcome", ["internal", "spam_risk_text"])
def test_a_post_that_fails_takes_no_effect(
    tiktok: str, nexus_sandbox: SandboxClient, outcome: str
) -> None:
    nexus_sandbox.settings(tiktok={"outcome": outcome, "processing_s": 0})

    found = status(tiktok, posted(tiktok))

    assert (found["status"], found["fail_reason"]) == ("FAILED", outcome)
    assert effects(nexus_sandbox) == []


def test_a_file_that_is_no_film_fails(
    tiktok: str, nexus_sandbox: SandboxClient
) -> None:
    nexus_sandbox.settings(tiktok={"processing_s": 0})
    post, url = begun(tiktok, sent(5))

    put(url, b"12345", total=5)

    assert status(tiktok, post)["fail_reason"] == "file_format_check_failed"


def test_a_film_that_is_too_long_for_the_creator_fails(
    tiktok: str, nexus_sandbox: SandboxClient
) -> None:
    creators = [CREATOR.model_dump() | {"max_duration_s": 60}]
    nexus_sandbox.settings(tiktok={"processing_s": 0, "creators": creators})
    found = []
    for seconds in (60, 61):
        film = film_of(seconds)
        post, url = begun(tiktok, sent(len(film)))
        put(url, film, total=len(film))
        found.append(status(tiktok, post))

    assert found[0]["status"] == "PUBLISH_COMPLETE"
    assert found[1]["fail_reason"] == "duration_check_failed"


def test_a_private_post_has_no_public_id_and_one_post_may_have_several(
    tiktok: str, nexus_sandbox: SandboxClient
) -> None:
    settings = {"processing_s": 0, "moderation_s": 0, "post_ids": 2}
    nexus_sandbox.settings(tiktok=settings)

    private = status(tiktok, posted(tiktok, privacy_level="SELF_ONLY"))
    public = status(tiktok, posted(tiktok))

    assert private["publicaly_available_post_id"] == []
    assert len(public["publicaly_available_post_id"]) == 2


# what may be posted


def test_the_creator_info_tells_what_may_be_posted(
    tiktok: str, nexus_sandbox: SandboxClient
) -> None:
    public = call(tiktok, "post/publish/creator_info/query/").json()["data"]
    change = {"private": True, "duet_disabled": True, "max_duration_s": 60}
    nexus_sandbox.settings(tiktok={"creators": [CREATOR.model_dump() | change]})
    private = call(tiktok, "post/publish/creator_info/query/").json()["data"]

    assert public["privacy_level_options"][0] == "PUBLIC_TO_EVERYONE"
    assert private["privacy_level_options"][0] == "FOLLOWER_OF_CREATOR"
    assert private["duet_disabled"] is True
    assert private["max_video_post_duration_sec"] == 60
    assert code(begin(tiktok)) == (403, "privacy_level_option_mismatch")


@pytest.mark.parametrize(
    "info",
    [
        {"privacy_level": None},
        {"title": "\N{GRINNING FACE}" * 1101},
        {"title": 5},
        {"disable_duet": "false"},
        {"video_cover_timestamp_ms": "1"},
        {"brand_content_toggle": True, "privacy_level": "SELF_ONLY"},
    ],
)
def test_a_field_that_is_wrong_is_refused(tiktok: str, info: dict[str, Any]) -> None:
    assert code(begin(tiktok, **info)) == (400, "invalid_params")


def test_a_caption_at_its_limit_is_taken(tiktok: str) -> None:
    assert code(begin(tiktok, title="\N{GRINNING FACE}" * 1100)) == (200, "ok")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"posts_per_day": 0}, "spam_risk_too_many_posts"),
        ({"user_cap_reached": True}, "reached_active_user_cap"),
        (
            {"creators": [CREATOR.model_dump() | {"banned": True}]},
            "spam_risk_user_banned_from_posting",
        ),
    ],
)
def test_that_nothing_may_be_posted_is_told_with_status_200_and_then_403(
    tiktok: str, nexus_sandbox: SandboxClient, settings: Any, expected: str
) -> None:
    nexus_sandbox.settings(tiktok=settings)

    told = call(tiktok, "post/publish/creator_info/query/")

    assert code(told) == (200, expected)
    assert code(begin(tiktok)) == (403, expected)


def test_a_creator_may_post_so_often_a_day(
    tiktok: str, nexus_sandbox: SandboxClient
) -> None:
    nexus_sandbox.settings(tiktok={"posts_per_day": 1, "access_token_s": 1e6})
    token = refreshed(tiktok)
    posted(tiktok)

    over = begin(tiktok)
    nexus_sandbox.set_clock(86_400)
    post = {"privacy_level": "SELF_ONLY"}
    body = {"post_info": post, "source_info": sent()}

    assert code(over) == (403, "spam_risk_too_many_posts")
    assert code(call(tiktok, INIT, body, token=token)) == (200, "ok")


def refreshed(tiktok: str) -> str:
    """An access token that is issued now."""
    form = {"grant_type": "refresh_token", "refresh_token": CREATOR.refresh_token}
    token: str = exchange(tiktok, **form).json()["access_token"]
    return token


def test_an_app_that_was_not_audited_posts_to_private_accounts_alone(
    tiktok: str, nexus_sandbox: SandboxClient
) -> None:
    nexus_sandbox.settings(tiktok={"audited": False})
    public = begin(tiktok, privacy_level="SELF_ONLY")
    private = [CREATOR.model_dump() | {"private": True}]
    nexus_sandbox.settings(tiktok={"creators": private})

    expected = (403, "unaudited_client_can_only_post_to_private_accounts")
    assert code(public) == expected
    assert code(begin(tiktok, privacy_level="SELF_ONLY")) == (200, "ok")


def test_requests_are_counted_by_the_minute(
    tiktok: str, nexus_sandbox: SandboxClient
) -> None:
    answers = [code(begin(tiktok)) for _ in range(7)]
    nexus_sandbox.set_clock(60)

    assert answers[5:] == [(200, "ok"), (429, "rate_limit_exceeded")]
    assert code(begin(tiktok)) == (200, "ok")


def test_a_token_must_be_good_and_wide_enough(
    tiktok: str, nexus_sandbox: SandboxClient
) -> None:
    narrow = {"access_token": "act.narrow", "scopes": ["video.upload"]}
    nexus_sandbox.settings(tiktok={"creators": [CREATOR.model_dump() | narrow]})
    body = {"post_info": {}, "source_info": sent()}

    wrong = call(tiktok, INIT, body, token="act.unknown")
    scope = call(tiktok, INIT, body, token="act.narrow")
    draft = call(tiktok, DRAFT, body, token="act.narrow")

    assert code(wrong) == (401, "access_token_invalid")
    assert code(scope) == (401, "scope_not_authorized")
    assert code(draft) == (200, "ok")


@pytest.mark.parametrize("body", [[], "x", {"post_info": 1, "source_info": {}}])
def test_a_body_that_makes_no_sense_is_refused(tiktok: str, body: Any) -> None:
    assert code(call(tiktok, INIT, body)) == (400, "invalid_params")


# what TikTok fetches


def test_a_film_that_is_fetched_is_a_post_from_the_beginning(
    tiktok: str, nexus_sandbox: SandboxClient
) -> None:
    with serving(film=FILM) as host:
        nexus_sandbox.faults({"action": "drop", "moment": "after"})
        with pytest.raises(requests.ConnectionError):
            begin(tiktok, pulled(f"{host}/film"))
        second = begin(tiktok, pulled(f"{host}/film")).json()["data"]

    found = status(tiktok, second["publish_id"])
    assert "upload_url" not in second
    assert found == {"status": "PROCESSING_DOWNLOAD", "downloaded_bytes": len(FILM)}
    assert len(effects(nexus_sandbox)) == 2


def test_a_film_that_is_not_there_fails(
    tiktok: str, nexus_sandbox: SandboxClient
) -> None:
    nexus_sandbox.settings(tiktok={"processing_s": 0})
    with serving(film=FILM) as host:
        post = begin(tiktok, pulled(f"{host}/moved")).json()["data"]["publish_id"]

    assert status(tiktok, post)["fail_reason"] == "video_pull_failed"
    assert effects(nexus_sandbox) == []


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://cdn.example/film.mp4", (403, "url_ownership_unverified")),
        ("http://cdn.example/film.mp4", (400, "invalid_params")),
        ("file:///etc/passwd", (400, "invalid_params")),
        ("https://cdn.example/fïlm.mp4", (400, "invalid_params")),
    ],
)
def test_a_url_must_be_https_and_of_a_verified_host(
    tiktok: str, url: str, expected: tuple[int, str]
) -> None:
    assert code(begin(tiktok, pulled(url))) == expected


def test_a_fetch_can_be_cancelled_until_it_is_done(
    tiktok: str, nexus_sandbox: SandboxClient
) -> None:
    with serving(film=FILM) as host:
        ids = [
            begin(tiktok, pulled(f"{host}/film")).json()["data"]["publish_id"]
            for _ in range(2)
        ]
    cancel = partial(call, tiktok, "post/publish/cancel/")

    cancelled = cancel({"publish_id": ids[0]})
    nexus_sandbox.set_clock(3)
    late = cancel({"publish_id": ids[1]})

    assert code(cancelled) == (200, "ok")
    assert status(tiktok, ids[0])["fail_reason"] == "publish_cancelled"
    assert code(late) == (400, "publish_not_cancellable")
    assert effects(nexus_sandbox) == [ids[1]]


def photos(urls: list[str], mode: str = "DIRECT_POST", **info: Any) -> dict[str, Any]:
    post = {"title": "Sea", "privacy_level": "PUBLIC_TO_EVERYONE", **info}
    source = {"source": "PULL_FROM_URL", "photo_images": urls, "photo_cover_index": 0}
    whole = {"media_type": "PHOTO", "post_mode": mode}
    return whole | {"post_info": post, "source_info": source}


def test_photos_are_fetched_and_posted(
    tiktok: str, nexus_sandbox: SandboxClient
) -> None:
    nexus_sandbox.settings(tiktok={"processing_s": 0, "moderation_s": 0})
    with serving(a=JPEG, b=JPEG, png=b"\x89PNG\r\n\x1a\n") as host:
        good = call(tiktok, CONTENT, photos([f"{host}/a", f"{host}/b"]))
        draft = call(tiktok, CONTENT, photos([f"{host}/a"], "MEDIA_UPLOAD"))
        png = call(tiktok, CONTENT, photos([f"{host}/png"]))
        gone = call(tiktok, CONTENT, photos([f"{host}/a", f"{host}/c"]))

    ids = [answer.json()["data"]["publish_id"] for answer in (good, draft, png, gone)]
    found = [status(tiktok, post) for post in ids]
    assert [f["status"] for f in found] == [
        "PUBLISH_COMPLETE",
        "SEND_TO_USER_INBOX",
        "FAILED",
        "FAILED",
    ]
    assert found[2]["fail_reason"] == "file_format_check_failed"
    assert found[3]["fail_reason"] == "photo_pull_failed"
    assert [e["kind"] for e in nexus_sandbox.truth()["tiktok"]] == ["photos", "draft"]


@pytest.mark.parametrize(
    "body",
    [
        photos([]),
        photos(["https://cdn.example/a"] * 36),
        photos(["https://cdn.example/a"], "SOMEHOW"),
        photos(["https://cdn.example/a"], title="x" * 91),
        photos(["https://cdn.example/a"], description="x" * 4001),
        photos(["https://cdn.example/a"]) | {"media_type": "VIDEO"},
    ],
)
def test_photos_against_the_rules_are_refused(
    tiktok: str, body: dict[str, Any]
) -> None:
    assert code(call(tiktok, CONTENT, body)) == (400, "invalid_params")


# drafts


def test_a_draft_waits_for_the_person(
    tiktok: str, nexus_sandbox: SandboxClient
) -> None:
    nexus_sandbox.settings(tiktok={"user_finishes_s": 60, "drafts_per_day": 1})
    post = posted(tiktok, path=DRAFT)

    full = begin(tiktok, path=DRAFT)
    nexus_sandbox.set_clock(3)
    waiting = status(tiktok, post)["status"]
    nexus_sandbox.set_clock(65)
    done = status(tiktok, post)

    assert code(full) == (403, "spam_risk_too_many_pending_share")
    assert waiting == "SEND_TO_USER_INBOX"
    assert done["status"] == "PUBLISH_COMPLETE"
    assert len(done["publicaly_available_post_id"]) == 1
    assert code(begin(tiktok, path=DRAFT)) == (200, "ok")


# what the owner may read


def test_the_status_of_a_post_is_told_to_its_owner_alone(
    tiktok: str, nexus_sandbox: SandboxClient
) -> None:
    post = posted(tiktok)
    other = {"id": "other", "access_token": "act.other", "refresh_token": "rft.other"}
    creators = [CREATOR.model_dump(), CREATOR.model_dump() | other]
    nexus_sandbox.settings(tiktok={"creators": creators})
    fetch = partial(call, tiktok, "post/publish/status/fetch/")

    unknown = fetch({"publish_id": "v_pub_file~x"})
    foreign = fetch({"publish_id": post}, token="act.other")

    expected = (400, "token_not_authorized_for_specified_publish_id")
    assert code(unknown) == (400, "invalid_publish_id")
    assert code(foreign) == expected


def test_public_videos_are_listed_newest_first_page_by_page(
    tiktok: str, nexus_sandbox: SandboxClient
) -> None:
    nexus_sandbox.settings(tiktok={"processing_s": 0, "moderation_s": 0})
    for second, title in enumerate(["one", "two", "x" * 200]):
        nexus_sandbox.set_clock(second * 10)
        posted(tiktok, title=title)
    posted(tiktok, privacy_level="SELF_ONLY")
    path = "video/list/?fields=id,create_time,video_description,share_url"

    first = call(tiktok, path, {"max_count": 2}).json()["data"]
    second = call(tiktok, path, {"max_count": 2, "cursor": first["cursor"]}).json()

    texts = [v["video_description"] for v in first["videos"]]
    assert texts == ["x" * 150, "two"]
    assert first["has_more"] is True
    assert [v["video_description"] for v in second["data"]["videos"]] == ["one"]
    assert second["data"]["has_more"] is False
    assert first["videos"][0]["share_url"].endswith(first["videos"][0]["id"])
    assert code(call(tiktok, "video/list/")) == (400, "invalid_params")
    assert code(call(tiktok, path, {"max_count": 21})) == (400, "invalid_params")


def test_the_account_is_told_as_far_as_the_scopes_go(
    tiktok: str, nexus_sandbox: SandboxClient
) -> None:
    url = f"{tiktok}/v2/user/info/?fields=open_id,display_name"
    basic = {"access_token": "act.basic", "scopes": ["user.info.basic"]}
    nexus_sandbox.settings(tiktok={"creators": [CREATOR.model_dump() | basic]})
    header = {"Authorization": "Bearer act.basic"}

    told = requests.get(url, headers=header, timeout=10)
    refused = requests.get(f"{url},video_count", headers=header, timeout=10)
    unknown = requests.get(f"{url},shoe_size", headers=header, timeout=10)

    user = {"open_id": CREATOR.id, "display_name": CREATOR.nickname}
    assert told.json()["data"] == {"user": user}
    assert code(refused) == (401, "scope_not_authorized")
    assert code(unknown) == (400, "invalid_params")


# login


def consent(tiktok: str, **changes: str) -> requests.Response:
    query = {
        "client_key": WEB.id,
        "redirect_uri": CALLBACK,
        "response_type": "code",
        "scope": "user.info.basic,video.publish",
        "state": "s1",
    }
    return requests.get(
        f"{tiktok}/v2/auth/authorize/",
        params=query | changes,
        timeout=10,
        allow_redirects=False,
    )


def came_back(answer: requests.Response) -> dict[str, str]:
    assert answer.status_code == 302
    query = parse_qs(urlsplit(answer.headers["Location"]).query)
    return {name: values[0] for name, values in query.items()}


def exchange(tiktok: str, **changes: str) -> requests.Response:
    form = {
        "client_key": WEB.id,
        "client_secret": WEB.secret,
        "redirect_uri": CALLBACK,
        "grant_type": "authorization_code",
    }
    return requests.post(f"{tiktok}/v2/oauth/token/", form | changes, timeout=10)


def test_a_refresh_token_is_good_once_and_the_refusal_comes_with_status_200(
    tiktok: str, nexus_sandbox: SandboxClient
) -> None:
    first = exchange(tiktok, code=came_back(consent(tiktok))["code"]).json()
    form = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    second = exchange(tiktok, **form).json()
    reused = exchange(tiktok, **form)
    nexus_sandbox.settings(tiktok={"oauth_error_status": 400})

    assert (first["expires_in"], first["refresh_expires_in"]) == (7200, 15_552_000)
    assert first["scope"] == "user.info.basic,video.publish"
    assert (first["open_id"], first["token_type"]) == (CREATOR.id, "Bearer")
    assert second["refresh_token"] != first["refresh_token"]
    assert (reused.status_code, reused.json()["error"]) == (200, "invalid_grant")
    assert exchange(tiktok, **form).status_code == 400
    path = "post/publish/creator_info/query/"
    assert code(call(tiktok, path, token=second["access_token"])) == (200, "ok")


def test_tokens_live_as_long_as_the_settings_say(
    tiktok: str, nexus_sandbox: SandboxClient
) -> None:
    nexus_sandbox.settings(tiktok={"access_token_s": 10})
    token = refreshed(tiktok)
    path = "post/publish/creator_info/query/"
    before = call(tiktok, path, token=token)
    nexus_sandbox.set_clock(10)

    assert code(before) == (200, "ok")
    assert code(call(tiktok, path, token=token)) == (401, "access_token_invalid")


def test_a_desktop_app_needs_a_challenge_in_hex(tiktok: str) -> None:
    verifier = "nexus-actors-pkce-test-verifier-0123456789abcdefg"
    challenge = "a0e02a8e125f1e1264d3d053fde702bbf1a9c85c7b0b448c08342d9f567170d5"
    base64url = "oOAqjhJfHhJk09BT_ecCu_GpyFx7C0SMCDQtn1ZxcNU"
    uri = "http://127.0.0.1:8123/callback"
    app = {"client_key": DESKTOP.id, "redirect_uri": uri}
    none = consent(tiktok, **app)
    codes = [
        came_back(consent(tiktok, **app, code_challenge=c))["code"]
        for c in (challenge, base64url)
    ]
    form = app | {"client_secret": DESKTOP.secret, "code_verifier": verifier}

    good, bad = (exchange(tiktok, code=code, **form).json() for code in codes)

    assert hex_s256(verifier) == challenge
    assert none.status_code == 400
    assert good["access_token"].startswith("act.")
    assert bad["error"] == "invalid_request"


def test_mistakes_at_the_login_are_told(
    tiktok: str, nexus_sandbox: SandboxClient
) -> None:
    code = came_back(consent(tiktok))["code"]
    form = {"code": code}
    errors = [
        exchange(tiktok, code="unknown"),
        exchange(tiktok, **form, redirect_uri="https://app.example/other"),
        exchange(tiktok, **form, client_secret="wrong"),
        exchange(tiktok, **form, grant_type="password"),
        requests.post(f"{tiktok}/v2/oauth/token/", json=form, timeout=10),
    ]
    back = [
        came_back(consent(tiktok, scope="everything")),
        came_back(consent(tiktok, response_type="token")),
    ]
    nexus_sandbox.settings(tiktok={"consent": {"denied": True}})
    back.append(came_back(consent(tiktok)))
    shown = [
        consent(tiktok, client_key="nobody"),
        consent(tiktok, redirect_uri="https://evil.example/"),
    ]

    assert [answer.json()["error"] for answer in errors] == [
        "invalid_grant",
        "invalid_grant",
        "invalid_client",
        "unsupported_grant_type",
        "invalid_request",
    ]
    assert [answer["error"] for answer in back] == [
        "invalid_scope",
        "unsupported_response_type",
        "access_denied",
    ]
    assert {answer["state"] for answer in back} == {"s1"}
    assert [answer.status_code for answer in shown] == [400, 400]


def test_a_code_is_good_once_and_must_be_decoded(
    tiktok: str, nexus_sandbox: SandboxClient
) -> None:
    location = consent(tiktok).headers["Location"]
    code = came_back(consent(tiktok))["code"]
    raw = location.partition("code=")[2].partition("&")[0]

    encoded = exchange(tiktok, code=raw).json()
    first, second = (exchange(tiktok, code=code).json() for _ in range(2))
    late = came_back(consent(tiktok))["code"]
    nexus_sandbox.set_clock(301)

    assert "%" in raw
    assert encoded["error"] == "invalid_grant"
    assert "access_token" in first
    assert second["error"] == "invalid_grant"
    assert exchange(tiktok, code=late).json()["error"] == "invalid_grant"


def test_revoking_disconnects_the_account(tiktok: str) -> None:
    form = {"client_key": WEB.id, "client_secret": WEB.secret}
    url = f"{tiktok}/v2/oauth/revoke/"

    wrong = requests.post(url, form | {"token": "act.unknown"}, timeout=10).json()
    done = requests.post(url, form | {"token": CREATOR.access_token}, timeout=10)
    refresh = exchange(
        tiktok, grant_type="refresh_token", refresh_token=CREATOR.refresh_token
    )

    assert wrong["error"] == "invalid_request"
    assert done.json() == {}
    assert refresh.json()["error"] == "invalid_grant"
    assert code(begin(tiktok)) == (401, "access_token_invalid")
