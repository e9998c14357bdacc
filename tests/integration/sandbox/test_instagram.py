from __future__ import annotations

import json
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from film_heads import film_of
from nexus_actors.sandbox.vendors.instagram.settings import InstagramSettings
from nexus_actors.sandbox.vendors.meta.login import proof
from nexus_actors.testing.sandbox import SandboxClient
from web import serving


DEFAULTS = InstagramSettings()
CLIENT, APP = DEFAULTS.instagram_clients[0], DEFAULTS.clients[0]
ACCOUNT, PERSON, PAGE = DEFAULTS.accounts[0], DEFAULTS.people[0], DEFAULTS.pages[0]
FILM: Final = b"\0\0\0\x18ftypmp42" + bytes(988)
JPEG: Final = b"\xff\xd8\xff\xe0" + bytes(100)
CALLBACK = "https://app.example/callback"
V = "v25.0"


@pytest.fixture
def instagram(nexus_sandbox: SandboxClient) -> str:
    return f"{nexus_sandbox.url}/instagram"


def call(
    instagram: str,
    method: str,
    path: str,
    token: str = ACCOUNT.access_token,
    **fields: Any,
) -> requests.Response:
    data = {k: v if isinstance(v, str) else json.dumps(v) for k, v in fields.items()}
    where = {"params": data} if method in {"GET", "DELETE"} else {"data": data}
    header = {"Authorization": f"Bearer {token}"}
    url = f"{instagram}/{V}/{path}"
    return requests.request(method, url, headers=header, timeout=10, **where)  # type: ignore[arg-type]


def get(instagram: str, path: str, fields: str = "", **more: Any) -> dict[str, Any]:
    if fields:
        more["fields"] = fields
    answer = call(instagram, "GET", path, **more)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def create(instagram: str, **fields: Any) -> requests.Response:
    return call(instagram, "POST", f"{ACCOUNT.id}/media", **fields)


def publish(instagram: str, container: str, **more: Any) -> requests.Response:
    path = f"{ACCOUNT.id}/media_publish"
    return call(instagram, "POST", path, creation_id=container, **more)


def code(answer: requests.Response) -> tuple[int, int | None]:
    error = answer.json()["error"]
    assert error["fbtrace_id"]
    return error["code"], error.get("error_subcode")


def resumable(instagram: str, **fields: Any) -> tuple[str, str]:
    wanted = {"media_type": "REELS", "upload_type": "resumable", "caption": "A walk"}
    made = create(instagram, **(wanted | fields)).json()
    return made["id"], made["uri"]


def send(
    uri: str,
    data: bytes = FILM,
    offset: int = 0,
    size: int = len(FILM),
    headers: dict[str, str] | None = None,
) -> requests.Response:
    token = {"Authorization": f"OAuth {ACCOUNT.access_token}"}
    span = {"offset": str(offset), "file_size": str(size)}
    return requests.post(uri, data, headers=span | token | (headers or {}), timeout=10)


def reel(instagram: str, **fields: Any) -> str:
    container, uri = resumable(instagram, **fields)
    assert send(uri).json()["success"] is True
    return container


def effects(sandbox: SandboxClient) -> list[str]:
    return [effect["id"] for effect in sandbox.truth()["instagram"]]


@pytest.fixture
def at_once(nexus_sandbox: SandboxClient) -> None:
    """Processing takes no time."""
    nexus_sandbox.settings(instagram={"processing_s": 0})


# a reel that is sent


def test_a_reel_is_sent_processed_by_the_clock_and_published(
    instagram: str, nexus_sandbox: SandboxClient
) -> None:
    container, uri = resumable(instagram)
    fields = "status_code,status,video_status"
    waiting = get(instagram, container, fields)
    send(uri)
    processing = get(instagram, container, fields)
    early = publish(instagram, container)
    nexus_sandbox.set_clock(3)
    ready = get(instagram, container, fields)
    media = publish(instagram, container).json()["id"]

    assert waiting["status_code"] == processing["status_code"] == "IN_PROGRESS"
    assert waiting["video_status"]["uploading_phase"]["bytes_transferred"] == 0
    assert processing["video_status"]["uploading_phase"]["status"] == "complete"
    assert code(early) == (9007, 2207027)
    assert ready["status_code"] == "FINISHED"
    assert get(instagram, container, "status_code")["status_code"] == "PUBLISHED"
    (effect,) = nexus_sandbox.truth()["instagram"]
    assert (effect["kind"], effect["id"]) == ("REELS", media)
    assert effect["details"]["caption"] == "A walk"
    wanted = "permalink,timestamp,caption,media_type,media_product_type,shortcode"
    shown = get(instagram, media, wanted)
    assert shown["id"] == media
    assert shown["permalink"].endswith(f"/reel/{shown['shortcode']}/")
    assert shown["media_type"] == "VIDEO"


def test_an_upload_that_breaks_off_goes_on_where_it_is(
    instagram: str, nexus_sandbox: SandboxClient
) -> None:
    spelling = {"bytes_field": "bytes_transfered"}
    nexus_sandbox.settings(instagram=spelling)
    container, uri = resumable(instagram)
    route = "POST /instagram/ig-api-upload/*"
    nexus_sandbox.faults({"action": "drop", "moment": "during", "route": route})
    with pytest.raises(requests.ConnectionError):
        send(uri)

    phase = get(instagram, container, "video_status")["video_status"]["uploading_phase"]
    again = send(uri)
    rest = send(uri, FILM[500:], 500)

    assert phase["bytes_transfered"] == 500
    assert again.status_code == 400
    assert again.json()["debug_info"]["type"] == "OffsetInvalidError"
    assert rest.json() == {"success": True, "message": "Upload successful."}


def test_an_upload_with_wrong_headers_is_refused(instagram: str) -> None:
    _, uri = resumable(instagram)

    short = send(uri, FILM[:-1])
    wordy = send(uri, headers={"offset": "none"})
    stranger = send(uri, headers={"Authorization": "OAuth nobody"})
    moved = send(uri.replace(V, "v24.0"))

    assert short.json()["debug_info"]["type"] == "PartialRequestError"
    assert wordy.status_code == 400
    assert stranger.status_code == 401
    assert stranger.json()["debug_info"]["type"] == "NotAuthorizedError"
    assert moved.status_code == 404
    assert send(uri).status_code == 200


@pytest.mark.usefixtures("at_once")
def test_a_film_may_be_named_instead_of_sent(instagram: str) -> None:
    container, uri = resumable(instagram)
    header = {"Authorization": f"OAuth {ACCOUNT.access_token}"}
    with serving(film=FILM) as host:
        gone = header | {"file_url": f"{host}/nowhere"}
        there = header | {"file_url": f"{host}/film"}
        failed = requests.post(uri, headers=gone, timeout=10)
        done = requests.post(uri, headers=there, timeout=10)

    assert failed.json()["debug_info"]["type"] == "ProcessingFailedError"
    assert done.json()["success"] is True
    assert get(instagram, container, "status_code")["status_code"] == "FINISHED"


# publishing


@pytest.mark.usefixtures("at_once")
def test_a_lost_answer_is_a_post_and_a_second_request_is_another(
    instagram: str, nexus_sandbox: SandboxClient
) -> None:
    container = reel(instagram)
    route = "POST */media_publish"
    nexus_sandbox.faults({"action": "drop", "moment": "after", "route": route})
    with pytest.raises(requests.ConnectionError):
        publish(instagram, container)
    found = get(instagram, f"{ACCOUNT.id}/media", "id,caption,timestamp")["data"]

    blind = publish(instagram, container)

    assert [media["id"] for media in found] == effects(nexus_sandbox)[:1]
    assert effects(nexus_sandbox)[1] == blind.json()["id"]


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("mode", ["same", "refused"])
def test_what_a_second_publish_does_is_a_setting(
    instagram: str, nexus_sandbox: SandboxClient, mode: str
) -> None:
    nexus_sandbox.settings(instagram={"published_again": mode})
    container = reel(instagram)

    first, second = publish(instagram, container), publish(instagram, container)

    assert effects(nexus_sandbox) == [first.json()["id"]]
    if mode == "same":
        assert second.json() == first.json()
    else:
        assert code(second) == (24, 2207008)


@pytest.mark.usefixtures("at_once")
def test_a_container_can_be_published_for_a_day(
    instagram: str, nexus_sandbox: SandboxClient
) -> None:
    container = reel(instagram)
    nexus_sandbox.set_clock(86_400)

    status = get(instagram, container, "status_code")

    assert status["status_code"] == "EXPIRED"
    assert code(publish(instagram, container)) == (-2, 2207020)


@pytest.mark.usefixtures("at_once")
def test_the_days_posts_are_counted(
    instagram: str, nexus_sandbox: SandboxClient
) -> None:
    nexus_sandbox.settings(instagram={"quota_total": 1})
    path, fields = f"{ACCOUNT.id}/content_publishing_limit", "quota_usage,config"
    publish(instagram, reel(instagram))
    kept = reel(instagram)

    used = get(instagram, path, fields)["data"][0]
    over = publish(instagram, kept)
    nexus_sandbox.set_clock(86_390)  # the container lives as long
    nexus_sandbox.settings(instagram={"quota_total": 2})

    assert used == {
        "quota_usage": 1,
        "config": {"quota_total": 1, "quota_duration": 86_400},
    }
    assert code(over) == (9, 2207042)
    assert publish(instagram, kept).status_code == 200


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(
    ("outcome", "subcode"),
    [("download_timeout", 2207003), ("unsupported_format", 2207026)],
)
def test_a_container_that_fails_says_why_and_cannot_be_published(
    instagram: str, nexus_sandbox: SandboxClient, outcome: str, subcode: int
) -> None:
    nexus_sandbox.settings(instagram={"outcome": outcome})
    container = reel(instagram)

    status = get(instagram, container, "status_code,status")

    assert status["status_code"] == "ERROR"
    assert str(subcode) in status["status"]
    assert code(publish(instagram, container)) == (9007, 2207027)
    assert effects(nexus_sandbox) == []


@pytest.mark.usefixtures("at_once")
def test_a_file_that_is_no_film_fails(instagram: str) -> None:
    container, uri = resumable(instagram)
    send(uri, b"12345", size=5)

    status = get(instagram, container, "status")

    assert "2207026" in status["status"]


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(
    ("kind", "seconds", "expected"),
    [
        ("REELS", 2, "ERROR"),
        ("REELS", 900, "FINISHED"),
        ("REELS", 901, "ERROR"),
        ("STORIES", 61, "ERROR"),
    ],
)
def test_a_film_has_the_length_of_its_kind(
    instagram: str, kind: str, seconds: float, expected: str
) -> None:
    film = film_of(seconds)
    container, uri = resumable(instagram, media_type=kind)
    send(uri, film, size=len(film))

    assert get(instagram, container, "status_code")["status_code"] == expected


@pytest.mark.parametrize(
    ("state", "expected"), [("restricted", (25, 2207050)), ("blocked", (4, 2207051))]
)
def test_an_account_that_cannot_post_is_refused(
    instagram: str, nexus_sandbox: SandboxClient, state: str, expected: tuple[int, int]
) -> None:
    accounts = [ACCOUNT.model_dump() | {"state": state}]
    nexus_sandbox.settings(instagram={"accounts": accounts})

    refused = create(instagram, media_type="REELS", upload_type="resumable")

    assert code(refused) == expected
    assert refused.json()["error"]["error_user_msg"]


# pictures, carousels, stories


@pytest.mark.usefixtures("at_once")
def test_a_picture_is_fetched_when_its_container_is_made(
    instagram: str, nexus_sandbox: SandboxClient
) -> None:
    files = {"a": JPEG, "png": b"\x89PNG\r\n\x1a\n", "large": JPEG + bytes(2**23)}
    with serving(film=FILM, **files) as host:
        made = create(instagram, image_url=f"{host}/a", caption="Sea #blue")
        png = create(instagram, image_url=f"{host}/png")
        large = create(instagram, image_url=f"{host}/large")
        gone = create(instagram, image_url=f"{host}/nowhere")
        film = create(instagram, media_type="REELS", video_url=f"{host}/nowhere")
    media = publish(instagram, made.json()["id"]).json()["id"]

    assert code(png) == (36001, 2207005)
    assert code(large) == (36000, 2207004)
    assert code(gone) == (9004, 2207052)
    assert get(instagram, film.json()["id"], "status_code")["status_code"] == "ERROR"
    assert get(instagram, media, "media_type,media_product_type") == {
        "id": media,
        "media_type": "IMAGE",
        "media_product_type": "FEED",
    }
    assert nexus_sandbox.posts()["instagram"][0]["media_type"] == "image/jpeg"


def test_nothing_is_fetched_from_a_host_that_is_not_named(
    instagram: str, nexus_sandbox: SandboxClient
) -> None:
    nexus_sandbox.settings(instagram={"fetches_from": ["localhost"]})

    with serving(a=JPEG) as host:
        refused = create(instagram, image_url=f"{host}/a")

    assert code(refused) == (9004, 2207052)


@pytest.mark.usefixtures("at_once")
def test_a_carousel_has_items_that_are_ready(
    instagram: str, nexus_sandbox: SandboxClient
) -> None:
    carousel = partial(create, instagram, media_type="CAROUSEL", caption="Two")
    with serving(a=JPEG, film=FILM) as host:
        item = partial(create, instagram, is_carousel_item="true")
        picture = item(image_url=f"{host}/a").json()["id"]
        film = item(media_type="VIDEO", video_url=f"{host}/film").json()["id"]
        nexus_sandbox.settings(instagram={"processing_s": 60})
        late = item(image_url=f"{host}/a").json()["id"]
        nexus_sandbox.settings(instagram={"processing_s": 0})

    one = carousel(children=[picture])
    stranger = carousel(children=f"{picture},18000000000000999")
    unready = carousel(children=[picture, late])
    made = carousel(children=f"{picture},{film}").json()["id"]
    alone = publish(instagram, picture)
    media = publish(instagram, made).json()["id"]

    assert code(one) == (100, 2207028)
    assert code(stranger) == (24, 2207006)
    assert code(unready) == (9007, 2207027)
    assert code(alone) == (24, 2207006)
    assert get(instagram, media, "media_type")["media_type"] == "CAROUSEL_ALBUM"
    (effect,) = nexus_sandbox.truth()["instagram"]
    assert [f["size"] for f in effect["details"]["files"]] == [len(JPEG), len(FILM)]


@pytest.mark.usefixtures("at_once")
def test_stories_have_a_list_of_their_own_and_are_gone_after_a_day(
    instagram: str, nexus_sandbox: SandboxClient
) -> None:
    with serving(a=JPEG) as host:
        made = create(
            instagram, media_type="STORIES", image_url=f"{host}/a", caption="unseen"
        )
    story = publish(instagram, made.json()["id"]).json()["id"]

    feed = get(instagram, f"{ACCOUNT.id}/media")["data"]
    stories = get(instagram, f"{ACCOUNT.id}/stories", "id,caption")["data"]
    nexus_sandbox.set_clock(86_400)

    assert feed == []
    assert stories == [{"id": story}]
    assert get(instagram, f"{ACCOUNT.id}/stories")["data"] == []


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"media_type": "SONG"}, (100, 2207023)),
        ({"media_type": "REELS"}, (100, None)),
        ({"upload_type": "resumable"}, (100, None)),
        ({"caption": "x" * 2201}, (36004, 2207010)),
        ({"caption": "#a " * 31}, (36004, 2207010)),
        ({"caption": "@a " * 21}, (36004, 2207010)),
        ({"user_tags": [{"username": "a"}]}, (100, 2207035)),
        ({"user_tags": [{"username": "a", "x": 0, "y": 1}] * 21}, (100, 2207040)),
        ({"user_tags": ["a"]}, (100, None)),
        ({"collaborators": ["a", "b", "c", "d"]}, (100, None)),
        ({"scheduled_publish_time": "1800000000"}, (3, None)),
        ({"image_url": "https://cdn.example/ä.jpg"}, (9004, 2207052)),
        ({"image_url": "https://cdn.example/a.jpg"}, (9004, 2207052)),
        ({"is_carousel_item": "true", "is_ai_generated": "true"}, (100, None)),
        ({"is_carousel_item": "maybe"}, (100, None)),
    ],
)
def test_a_container_against_the_rules_is_refused(
    instagram: str, fields: dict[str, Any], expected: tuple[int, int | None]
) -> None:
    assert code(create(instagram, **fields)) == expected


def test_containers_are_counted_too(
    instagram: str, nexus_sandbox: SandboxClient
) -> None:
    nexus_sandbox.settings(instagram={"containers_per_day": 1})
    resumable(instagram)

    over = create(instagram, media_type="REELS", upload_type="resumable")

    assert code(over) == (80002, None)


@pytest.mark.usefixtures("at_once")
def test_posts_are_listed_newest_first_page_by_page(instagram: str) -> None:
    ids = [publish(instagram, reel(instagram)).json()["id"] for _ in range(3)]
    path = f"{ACCOUNT.id}/media"

    first = get(instagram, path, "id", limit=2)
    after = first["paging"]["cursors"]["after"]
    second = get(instagram, path, "id", limit=2, after=after)

    assert [m["id"] for m in first["data"]] == [ids[2], ids[1]]
    assert [m["id"] for m in second["data"]] == [ids[0]]
    assert "after=" in first["paging"]["next"]
    assert "next" not in second["paging"]
    unknown = call(instagram, "GET", path, fields="shoe_size")
    assert code(unknown) == (100, None)


@pytest.mark.usefixtures("at_once")
def test_a_comment_made_twice_is_there_twice_and_only_facebook_login_deletes(
    instagram: str, nexus_sandbox: SandboxClient
) -> None:
    media = publish(instagram, reel(instagram)).json()["id"]
    for _ in range(2):
        call(instagram, "POST", f"{media}/comments", message="First!")

    comments = get(instagram, f"{media}/comments", "text,from")["data"]
    refused = call(instagram, "DELETE", media)
    done = call(instagram, "DELETE", media, token=PERSON.access_token)

    assert [c["text"] for c in comments] == ["First!", "First!"]
    assert comments[0]["from"]["id"] == ACCOUNT.id
    assert code(refused) == (10, None)
    assert done.json() == {"success": True}
    assert "deleted" in nexus_sandbox.truth()["instagram"][0]["details"]


# who may


def test_a_token_of_facebook_login_serves_the_account_of_its_page(
    instagram: str, nexus_sandbox: SandboxClient
) -> None:
    fields = "id,username"
    for token in (PERSON.access_token, PAGE.access_token):
        found = get(instagram, ACCOUNT.id, fields, token=token)
        assert found == {"id": ACCOUNT.id, "username": ACCOUNT.username}
    nexus_sandbox.settings(instagram={"resumable": False})
    wanted = {"media_type": "REELS", "upload_type": "resumable"}

    by_instagram = create(instagram, **wanted)
    by_facebook = create(instagram, **wanted, token=PERSON.access_token)

    assert code(by_instagram) == (3, None)
    assert "uri" in by_facebook.json()


def test_the_account_is_known_by_two_ids(instagram: str) -> None:
    me = get(instagram, "me", "user_id,username,account_type")
    wrong = create_at(instagram, me["id"])

    assert me["user_id"] == ACCOUNT.id
    assert me["id"] == ACCOUNT.app_scoped_id
    assert code(wrong) == (100, 33)


def create_at(instagram: str, id: str) -> requests.Response:
    return call(instagram, "POST", f"{id}/media", image_url="https://cdn.example/a")


def test_a_token_is_needed_and_must_be_good_and_wide_enough(
    instagram: str, nexus_sandbox: SandboxClient
) -> None:
    none = requests.get(f"{instagram}/{V}/me", timeout=10)
    wrong = call(instagram, "GET", "me", token="nothing")
    basic = {"access_token": "IGAA-basic", "scopes": ["instagram_business_basic"]}
    nexus_sandbox.settings(instagram={"accounts": [ACCOUNT.model_dump() | basic]})
    narrow = create(instagram, token="IGAA-basic", image_url="https://a.example/")
    ended = [ACCOUNT.model_dump() | {"session": "password_changed"}]
    nexus_sandbox.settings(instagram={"accounts": ended})
    changed = call(instagram, "GET", "me")
    nexus_sandbox.settings(instagram={"accounts": [ACCOUNT.model_dump()]})
    nexus_sandbox.set_clock(5_184_000)
    expired = call(instagram, "GET", "me")

    assert code(none) == (104, None)
    assert code(wrong) == (190, None)
    assert "invalid_token" in wrong.headers["WWW-Authenticate"]
    assert code(narrow) == (10, None)
    assert narrow.status_code == 403
    assert code(changed) == (190, 460)
    assert code(expired) == (190, 463)


def test_how_much_is_used_is_told_and_too_much_is_refused(
    instagram: str, nexus_sandbox: SandboxClient
) -> None:
    nexus_sandbox.settings(instagram={"usage_percent": 81})
    near = call(instagram, "GET", "me")
    nexus_sandbox.settings(instagram={"usage_percent": None, "calls_per_hour": 2})
    over = call(instagram, "GET", "me")

    header = "X-Business-Use-Case-Usage"
    (usage,) = json.loads(near.headers[header])[ACCOUNT.id]
    assert (usage["type"], usage["call_count"]) == ("instagram", 81)
    assert usage["estimated_time_to_regain_access"] == 0
    assert json.loads(near.headers["X-App-Usage"])["call_count"] == 81
    assert code(over) == (80002, None)
    (usage,) = json.loads(over.headers[header])[ACCOUNT.id]
    assert usage["estimated_time_to_regain_access"] == 60


def test_an_expired_version_is_served_by_the_oldest_that_there_is(
    instagram: str,
) -> None:
    header = {"Authorization": f"Bearer {ACCOUNT.access_token}"}
    versions = ["v20.0", "v26.0", "v99.0", "newest"]

    answers = [
        requests.get(f"{instagram}/{version}/me", headers=header, timeout=10)
        for version in versions
    ]

    served = [a.headers["facebook-api-version"] for a in answers[:2]]
    assert served == ["v23.0", "v26.0"]
    assert [a.status_code for a in answers] == [200, 200, 400, 400]


# Instagram Login


def consent(instagram: str, **changes: str) -> requests.Response:
    query = {
        "client_id": CLIENT.id,
        "redirect_uri": CALLBACK,
        "response_type": "code",
        "scope": "instagram_business_basic,instagram_business_content_publish",
        "state": "s1",
    }
    url = f"{instagram}/oauth/authorize"
    params = query | changes
    return requests.get(url, params=params, timeout=10, allow_redirects=False)


def came_back(answer: requests.Response) -> dict[str, str]:
    assert answer.status_code == 302
    query = parse_qs(urlsplit(answer.headers["Location"]).query)
    return {name: values[0] for name, values in query.items()}


def exchange(instagram: str, **changes: str) -> requests.Response:
    form = {
        "client_id": CLIENT.id,
        "client_secret": CLIENT.secret,
        "grant_type": "authorization_code",
        "redirect_uri": CALLBACK,
    }
    url = f"{instagram}/oauth/access_token"
    return requests.post(url, form | changes, timeout=10)


def longer(instagram: str, token: str) -> requests.Response:
    query = {"grant_type": "ig_exchange_token", "client_secret": CLIENT.secret}
    url = f"{instagram}/access_token"
    return requests.get(url, query | {"access_token": token}, timeout=10)


def extended(instagram: str, token: str) -> requests.Response:
    query = {"grant_type": "ig_refresh_token", "access_token": token}
    return requests.get(f"{instagram}/refresh_access_token", query, timeout=10)


def test_a_code_becomes_a_short_token_and_that_a_long_one(
    instagram: str, nexus_sandbox: SandboxClient
) -> None:
    answer = consent(instagram)
    short = exchange(instagram, code=came_back(answer)["code"]).json()
    long = longer(instagram, short["access_token"]).json()
    nexus_sandbox.settings(instagram={"wraps_token": True})
    wrapped = exchange(instagram, code=came_back(consent(instagram))["code"]).json()
    nexus_sandbox.set_clock(3600)

    assert answer.headers["Location"].endswith("#_")
    assert short["user_id"] == ACCOUNT.id
    assert "content_publish" in short["permissions"]
    assert long["expires_in"] == 5_184_000
    assert wrapped["data"][0]["user_id"] == ACCOUNT.id
    assert code(call(instagram, "GET", "me", token=short["access_token"])) == (190, 463)
    assert call(instagram, "GET", "me", token=long["access_token"]).status_code == 200


def test_a_long_token_is_extended_when_it_is_a_day_old_and_still_good(
    instagram: str, nexus_sandbox: SandboxClient
) -> None:
    young = extended(instagram, ACCOUNT.access_token)
    nexus_sandbox.set_clock(86_401)
    fresh = extended(instagram, ACCOUNT.access_token).json()
    nexus_sandbox.set_clock(5_184_001)
    dead = extended(instagram, ACCOUNT.access_token)

    assert code(young) == (100, None)
    assert fresh["expires_in"] == 5_184_000
    assert code(dead) == (190, 463)
    assert call(instagram, "GET", "me", token=fresh["access_token"]).status_code == 200


def test_mistakes_at_the_login_are_told(
    instagram: str, nexus_sandbox: SandboxClient
) -> None:
    form = {"code": came_back(consent(instagram))["code"]}
    refused = [
        exchange(instagram, **form, client_id=APP.id, client_secret=APP.secret),
        exchange(instagram, **form, redirect_uri="https://app.example/other"),
        exchange(instagram, code="AQ"),
    ]
    good = exchange(instagram, **form)
    used = exchange(instagram, **form)
    shown = [
        consent(instagram, client_id=APP.id),
        consent(instagram, redirect_uri="http://localhost:8000/callback"),
        consent(instagram, scope="business_basic"),
    ]
    nexus_sandbox.settings(instagram={"consent": {"denied": True}})

    messages = [answer.json()["error_message"] for answer in refused]
    assert messages[0] == "Invalid platform app"
    assert "redirect_uri" in messages[1]
    assert "Matching code" in messages[2]
    assert good.status_code == 200
    assert used.status_code == 400
    assert [answer.status_code for answer in shown] == [400, 400, 400]
    denied = came_back(consent(instagram))
    assert (denied["error"], denied["error_reason"]) == ("access_denied", "user_denied")


# Facebook Login, as it stands below both vendors


def facebook_consent(instagram: str, **changes: str) -> requests.Response:
    query = {
        "client_id": APP.id,
        "redirect_uri": CALLBACK,
        "response_type": "code",
        "scope": "pages_show_list,instagram_basic,instagram_content_publish",
        "state": "s1",
    }
    url = f"{instagram}/{V}/dialog/oauth"
    params = query | changes
    return requests.get(url, params=params, timeout=10, allow_redirects=False)


def facebook_token(instagram: str, **changes: str) -> requests.Response:
    query = {"client_id": APP.id, "client_secret": APP.secret}
    url = f"{instagram}/{V}/oauth/access_token"
    return requests.get(url, query | changes, timeout=10)


def redeemed(instagram: str, **changes: str) -> str:
    code = came_back(facebook_consent(instagram, **changes))["code"]
    answer = facebook_token(instagram, code=code, redirect_uri=CALLBACK)
    token: str = answer.json()["access_token"]
    return token


def test_a_page_token_lasts_if_it_was_read_with_a_long_user_token(
    instagram: str, nexus_sandbox: SandboxClient
) -> None:
    short = redeemed(instagram)
    query = {"grant_type": "fb_exchange_token", "fb_exchange_token": short}
    long = facebook_token(instagram, **query).json()
    fields = "id,name,access_token,tasks,instagram_business_account{id,username}"
    pages = [
        get(instagram, "me/accounts", fields, token=token)["data"][0]
        for token in (short, long["access_token"])
    ]
    nexus_sandbox.set_clock(5400)

    assert long["expires_in"] == 5_183_944
    assert pages[0]["instagram_business_account"]["id"] == ACCOUNT.id
    assert "CREATE_CONTENT" in pages[0]["tasks"]
    path, fields = ACCOUNT.id, "username"
    gone = call(instagram, "GET", path, token=pages[0]["access_token"], fields=fields)
    assert code(gone) == (190, 463)
    get(instagram, path, fields, token=pages[1]["access_token"])
    nexus_sandbox.set_clock(6_000_000)
    get(instagram, path, fields, token=pages[1]["access_token"])
    over = facebook_token(instagram, **query)
    assert code(over) == (190, 463)


def test_the_end_of_a_session_ends_the_page_tokens_too(
    instagram: str, nexus_sandbox: SandboxClient
) -> None:
    people = [PERSON.model_dump() | {"session": "checkpoint"}]
    nexus_sandbox.settings(instagram={"people": people})

    answer = call(instagram, "GET", ACCOUNT.id, token=PAGE.access_token)

    assert code(answer) == (190, 459)


def test_permissions_are_listed_and_the_app_can_be_removed(
    instagram: str, nexus_sandbox: SandboxClient
) -> None:
    nexus_sandbox.settings(instagram={"consent": {"scopes": ["pages_show_list"]}})
    token = redeemed(instagram)

    listed = get(instagram, "me/permissions", token=token)["data"]
    refused = create(instagram, token=token, image_url="https://a.example/")
    removed = call(instagram, "DELETE", "me/permissions", token=token)
    after = call(instagram, "GET", "me/permissions", token=token)

    states = {entry["permission"]: entry["status"] for entry in listed}
    assert states["pages_show_list"] == "granted"
    assert states["instagram_basic"] == "declined"
    assert code(refused) == (10, None)
    assert removed.json() == {"success": True}
    assert code(after) == (190, 458)


def test_a_token_can_be_looked_at(instagram: str, nexus_sandbox: SandboxClient) -> None:
    asking = f"{APP.id}|{APP.secret}"
    look = partial(requests.get, f"{instagram}/{V}/debug_token", timeout=10)
    tokens = (PAGE.access_token, PERSON.access_token, "nothing")
    query = [{"input_token": t, "access_token": asking} for t in tokens]

    page, user, nothing = (look(q).json()["data"] for q in query)
    nexus_sandbox.set_clock(5_183_944)
    expired = look(query[1]).json()["data"]

    assert (page["type"], page["is_valid"], page["expires_at"]) == ("PAGE", True, 0)
    assert (user["type"], user["is_valid"]) == ("USER", True)
    assert nothing["is_valid"] is False
    assert expired["is_valid"] is False
    assert code(look(query[0] | {"access_token": "x"})) == (190, None)


def test_a_proof_must_be_right_and_may_be_required(
    instagram: str, nexus_sandbox: SandboxClient
) -> None:
    token = PERSON.access_token
    assert (
        proof("app-secret", "EAAtoken")
        == "9f9f0867bc3df2d00cecd6aa6fb78e65b64c050401bd6ec5b84d98503d443d34"
    )
    right = proof(APP.secret, token)

    wrong = call(instagram, "GET", "me", token=token, appsecret_proof="00")
    nexus_sandbox.settings(instagram={"needs_proof": True})
    none = call(instagram, "GET", "me", token=token)
    good = call(instagram, "GET", "me", token=token, appsecret_proof=right)

    assert code(wrong) == code(none) == (100, None)
    assert good.json() == {"id": PERSON.id, "name": PERSON.name}


def test_mistakes_at_facebook_login_are_told(
    instagram: str, nexus_sandbox: SandboxClient
) -> None:
    value = came_back(facebook_consent(instagram))["code"]
    late = came_back(facebook_consent(instagram))["code"]
    form = {"code": value, "redirect_uri": CALLBACK}
    refused = [
        facebook_token(instagram, **form | {"redirect_uri": "https://b.example"}),
        facebook_token(instagram, **form | {"code": "AQ"}),
        facebook_token(instagram, **form, client_secret="wrong"),
        facebook_token(instagram, **form, client_id="1"),
    ]
    facebook_token(instagram, **form)
    refused.append(facebook_token(instagram, **form))
    nexus_sandbox.set_clock(600)
    refused.append(facebook_token(instagram, **form | {"code": late}))

    assert [code(answer) for answer in refused] == [
        (100, 36008),
        (100, None),
        (1, None),
        (101, None),
        (100, 36009),
        (100, 36007),
    ]
    location = facebook_consent(instagram).headers["Location"]
    assert location.endswith("#_=_")
    assert facebook_consent(instagram, scope="everything").status_code == 400
