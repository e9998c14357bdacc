from __future__ import annotations

import json
from contextlib import suppress
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from discovery import discovery, faults
from film_heads import film_of
from nexus_actors.sandbox.oauth import s256
from nexus_actors.sandbox.vendors.youtube.settings import (
    READONLY,
    UPLOAD,
    YouTubeSettings,
)
from nexus_actors.sandbox.vendors.youtube.videos import WRITABLE
from nexus_actors.testing.sandbox import SandboxClient


DEFAULTS = YouTubeSettings()
CLIENT, CHANNEL = DEFAULTS.clients[0], DEFAULTS.channels[0]
TOKEN = {"Authorization": f"Bearer {CHANNEL.access_token}"}
UNIT = 262_144
VIDEO: Final = b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 2048  # two units and a bit
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
CALLBACK = "https://app.example/callback"


@pytest.fixture
def youtube(nexus_sandbox: SandboxClient) -> str:
    return f"{nexus_sandbox.url}/youtube"


def call(
    method: str, url: str, *, headers: dict[str, str] | None = None, **rest: Any
) -> requests.Response:
    return requests.request(
        method,
        url,
        headers=TOKEN | (headers or {}),
        timeout=10,
        allow_redirects=False,
        **rest,
    )


def metadata(title: str = "A walk", **status: Any) -> dict[str, Any]:
    return {
        "snippet": {"title": title, "description": "By the sea", "categoryId": "22"},
        "status": {"privacyStatus": "private", **status},
    }


def open_session(
    youtube: str,
    body: dict[str, Any] | None = None,
    *,
    size: int = len(VIDEO),
    part: str = "snippet,status",
    slug: str = "walk.mp4",
) -> requests.Response:
    headers = {
        "X-Upload-Content-Length": str(size),
        "X-Upload-Content-Type": "video/mp4",
        "Slug": slug,
    }
    url = f"{youtube}/upload/youtube/v3/videos?uploadType=resumable&part={part}"
    return call("POST", url, headers=headers, json=body or metadata())


def session_of(youtube: str, **rest: Any) -> str:
    return open_session(youtube, **rest).headers["Location"]


def put(
    session: str, data: bytes, first: int = 0, total: int | str = len(VIDEO)
) -> requests.Response:
    last = first + len(data) - 1
    headers = {"Content-Range": f"bytes {first}-{last}/{total}"}
    return call("PUT", session, headers=headers, data=data)


def probe(session: str) -> requests.Response:
    return call("PUT", session, headers={"Content-Range": f"bytes */{len(VIDEO)}"})


def upload(youtube: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    video: dict[str, Any] = put(session_of(youtube, body=body), VIDEO).json()
    return video


def get(youtube: str, resource: str, **query: Any) -> dict[str, Any]:
    answer = call("GET", f"{youtube}/youtube/v3/{resource}", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def status_of(youtube: str, id: str) -> dict[str, Any]:
    (video,) = get(youtube, "videos", part="status", id=id)["items"]
    found: dict[str, Any] = video["status"]
    return found


def reason(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["errors"][0]["reason"]


def effects(sandbox: SandboxClient) -> list[str]:
    return [effect["id"] for effect in sandbox.truth()["youtube"]]


# uploads


def test_a_video_is_sent_in_chunks_and_processed_as_the_clock_goes(
    youtube: str, nexus_sandbox: SandboxClient
) -> None:
    opened = open_session(youtube)
    session = opened.headers["Location"]
    first = put(session, VIDEO[:UNIT])
    last = put(session, VIDEO[UNIT:], UNIT)
    uploaded = status_of(youtube, last.json()["id"])
    nexus_sandbox.set_clock(60)

    assert (opened.status_code, opened.content) == (200, b"")
    assert (first.status_code, first.headers["Range"]) == (308, f"bytes=0-{UNIT - 1}")
    assert last.status_code == 201
    assert uploaded["uploadStatus"] == "uploaded"
    assert status_of(youtube, last.json()["id"])["uploadStatus"] == "processed"
    (effect,) = nexus_sandbox.truth()["youtube"]
    assert effect["id"] == last.json()["id"]
    assert effect["details"]["file_name"] == "walk.mp4"
    assert effect["details"]["size"] == len(VIDEO)


def test_the_same_video_twice_is_two_videos(
    youtube: str, nexus_sandbox: SandboxClient
) -> None:
    upload(youtube)
    upload(youtube)

    assert len(set(effects(nexus_sandbox))) == 2


def test_an_upload_that_breaks_off_keeps_whole_units_of_what_arrived(
    youtube: str, nexus_sandbox: SandboxClient
) -> None:
    session = session_of(youtube)
    nothing = probe(session)
    route = "PUT /youtube/*"
    nexus_sandbox.faults({"action": "drop", "moment": "during", "route": route})
    with pytest.raises(requests.ConnectionError):
        put(session, VIDEO)

    kept = probe(session)
    done = put(session, VIDEO[UNIT:], UNIT)

    assert (nothing.status_code, nothing.headers.get("Range")) == (308, None)
    assert kept.headers["Range"] == f"bytes=0-{UNIT - 1}"
    assert done.status_code == 201
    assert len(effects(nexus_sandbox)) == 1


def test_a_lost_answer_to_the_last_byte_is_found_by_asking_the_session(
    youtube: str, nexus_sandbox: SandboxClient
) -> None:
    session = session_of(youtube)
    nexus_sandbox.faults({"action": "drop", "moment": "after", "route": "PUT *"})
    with pytest.raises(requests.ConnectionError):
        put(session, VIDEO)

    found = probe(session)

    assert found.status_code == 200
    assert effects(nexus_sandbox) == [found.json()["id"]]


def test_the_server_may_keep_less_than_it_was_sent(
    youtube: str, nexus_sandbox: SandboxClient
) -> None:
    nexus_sandbox.settings(youtube={"stores_at_most": UNIT + 5})
    session = session_of(youtube)

    answer = put(session, VIDEO)
    ahead = put(session, VIDEO[2 * UNIT :], 2 * UNIT)

    assert (answer.status_code, answer.headers["Range"]) == (308, f"bytes=0-{UNIT - 1}")
    assert ahead.status_code == 503
    assert f"exceeds already uploaded size of {UNIT} byte(s)" in ahead.text
    assert effects(nexus_sandbox) == []


@pytest.mark.parametrize(
    ("header", "data"),
    [
        ("bytes 0-99999/524300", VIDEO[:100_000]),  # no multiple of 256 KiB
        ("bytes 0-299999/524300", VIDEO[:300_000]),
        ("bytes 0-262143/524300", VIDEO[:200_000]),  # not what the header says
        ("bytes 0-262143/999", VIDEO[:UNIT]),  # another total than announced
        ("bytes 0-524300/524300", VIDEO + b"x"),  # more than the total
        ("0-5", b"abcdef"),
        ("bytes */524300", b"a"),
    ],
)
def test_a_range_that_makes_no_sense_is_refused_and_nothing_is_kept(
    youtube: str, header: str, data: bytes
) -> None:
    assert len(VIDEO) == 524_300
    session = session_of(youtube)

    refused = call("PUT", session, headers={"Content-Range": header}, data=data)

    assert refused.status_code == 400
    assert "Range" not in probe(session).headers


def test_bytes_that_come_twice_are_kept_once(
    youtube: str, nexus_sandbox: SandboxClient
) -> None:
    session = session_of(youtube)
    put(session, VIDEO[:UNIT])

    again = put(session, VIDEO)

    assert again.status_code == 201
    assert nexus_sandbox.truth()["youtube"][0]["details"]["size"] == len(VIDEO)


def test_a_session_ends_with_its_time_or_when_it_is_cancelled(
    youtube: str, nexus_sandbox: SandboxClient
) -> None:
    cancelled, late = session_of(youtube), session_of(youtube)

    gone = call("DELETE", cancelled)
    after = put(cancelled, VIDEO)
    nexus_sandbox.set_clock(604_800)

    assert (gone.status_code, after.status_code) == (499, 404)
    refused = requests.put(late, VIDEO, timeout=10)
    assert refused.status_code == 404
    assert effects(nexus_sandbox) == []


def test_a_token_that_expires_does_not_end_the_session(
    youtube: str, nexus_sandbox: SandboxClient
) -> None:
    session = session_of(youtube)
    put(session, VIDEO[:UNIT])
    nexus_sandbox.set_clock(3600)

    refused = put(session, VIDEO[UNIT:], UNIT)
    last = {"Content-Range": f"bytes {UNIT}-{len(VIDEO) - 1}/{len(VIDEO)}"}
    done = requests.put(session, VIDEO[UNIT:], headers=last, timeout=10)

    assert refused.status_code == 401
    assert done.status_code == 201


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"title": ""}, "invalidTitle"),
        ({"title": "x" * 101}, "invalidTitle"),
        ({"title": "a < b"}, "invalidTitle"),
        ({"description": "ä" * 2501}, "invalidDescription"),
        ({"tags": ["x" * 250, "y" * 250]}, "invalidTags"),
        ({"tags": ["a b" * 166 + "c"]}, "invalidTags"),
        ({"categoryId": "18"}, "invalidCategoryId"),
        ({"subtitle": "A walk"}, "badRequest"),
        ({"title": 5}, "badRequest"),
    ],
)
def test_a_snippet_that_youtube_does_not_take_opens_no_session(
    youtube: str, change: dict[str, Any], expected: str
) -> None:
    body = metadata()
    body["snippet"] |= change

    assert reason(open_session(youtube, body)) == (400, expected)


def test_a_snippet_at_its_limits_is_taken(youtube: str) -> None:
    body = metadata("x" * 100)
    body["snippet"] |= {"description": "ä" * 2500, "tags": ["x" * 249, "y" * 250]}

    assert open_session(youtube, body).status_code == 200


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"publishAt": "tomorrow"}, "invalidPublishAt"),
        ({"publishAt": "2099-01-01T00:00:00"}, "invalidPublishAt"),
        (
            {"privacyStatus": "public", "publishAt": "2099-01-01T00:00:00Z"},
            "invalidPublishAt",
        ),
        ({"privacyStatus": "friends"}, "badRequest"),
        ({"license": "none"}, "badRequest"),
    ],
)
def test_a_status_that_youtube_does_not_take_opens_no_session(
    youtube: str, status: dict[str, Any], expected: str
) -> None:
    assert reason(open_session(youtube, metadata(**status))) == (400, expected)


def test_other_mistakes_at_opening_are_refused(youtube: str) -> None:
    localized = metadata() | {"localizations": {"de": {"title": "Ein Gang"}}}
    parts = "snippet,status,localizations"
    recorded = metadata() | {"recordingDetails": {"recordingDate": "once"}}

    refused = [
        reason(open_session(youtube, part="")),
        reason(open_session(youtube, part="snippet,stats")),
        reason(open_session(youtube, part="snippet")),
        reason(open_session(youtube, slug="a/b.mp4")),
        reason(open_session(youtube, size=0)),
        reason(open_session(youtube, size=2**38 + 1)),
        reason(open_session(youtube, localized, part=parts)),
        reason(open_session(youtube, recorded, part="snippet,status,recordingDetails")),
    ]

    assert refused == [
        (400, "missingRequiredParameter"),
        (400, "unknownPart"),
        (400, "unexpectedPart"),
        (400, "invalidFilename"),
        (400, "mediaBodyRequired"),
        (413, "uploadTooLarge"),
        (400, "defaultLanguageNotSet"),
        (400, "invalidRecordingDetails"),
    ]


def test_a_video_without_a_privacy_is_public(youtube: str) -> None:
    body = {"snippet": {"title": "A walk"}, "status": {}}

    assert upload(youtube, body)["status"]["privacyStatus"] == "public"


def test_a_scheduled_video_becomes_public_by_the_clock(
    youtube: str, nexus_sandbox: SandboxClient
) -> None:
    video = upload(youtube, metadata(publishAt="2099-01-01T00:00:00Z"))
    soon = upload(youtube, metadata(publishAt="2020-01-01T00:00:00Z"))

    before = status_of(youtube, video["id"])
    (waiting, _) = nexus_sandbox.posts()["youtube"]
    nexus_sandbox.settings(youtube={"access_token_s": 1e10})
    late = login_token(youtube)
    nexus_sandbox.set_clock(80 * 365 * 86_400)
    url = f"{youtube}/youtube/v3/videos?part=status&id={video['id']}"
    after = requests.get(url, headers=late, timeout=10).json()["items"][0]["status"]

    assert before["privacyStatus"] == "private"
    assert before["publishAt"] == "2099-01-01T00:00:00Z"
    assert waiting["publish_at"] == "2099-01-01T00:00:00.000+00:00"
    assert (after["privacyStatus"], after.get("publishAt")) == ("public", None)
    assert soon["status"]["privacyStatus"] == "public"
    assert len(effects(nexus_sandbox)) == 2


def login_token(youtube: str) -> dict[str, str]:
    """A token that is issued now."""
    form = {
        "client_id": CLIENT.id,
        "client_secret": CLIENT.secret,
        "grant_type": "refresh_token",
        "refresh_token": CHANNEL.refresh_token,
    }
    answer = requests.post(f"{youtube}/token", form, timeout=10).json()
    return {"Authorization": f"Bearer {answer['access_token']}"}


@pytest.mark.parametrize(
    ("outcome", "status", "name"),
    [
        ("codec", "failed", "failureReason"),
        ("duplicate", "rejected", "rejectionReason"),
    ],
)
def test_a_video_that_fails_takes_no_effect(
    youtube: str, nexus_sandbox: SandboxClient, outcome: str, status: str, name: str
) -> None:
    nexus_sandbox.settings(youtube={"outcome": outcome, "processing_s": 0})

    video = upload(youtube)

    assert video["status"]["uploadStatus"] == status
    assert video["status"][name] == outcome
    assert effects(nexus_sandbox) == []


def test_a_file_that_is_no_video_fails(youtube: str) -> None:
    session = session_of(youtube, size=9)

    answer = put(session, b"not video", total=9)

    assert answer.status_code == 201
    details = get(youtube, "videos", part="processingDetails", id=answer.json()["id"])
    assert details["items"][0]["processingDetails"]["processingStatus"] == "processing"


@pytest.mark.parametrize(
    ("long_uploads", "seconds", "expected"),
    [
        ("eligible", 900, "processed"),
        ("eligible", 901, "rejected"),
        ("allowed", 901, "processed"),
    ],
)
def test_a_long_video_needs_a_verified_channel(
    youtube: str,
    nexus_sandbox: SandboxClient,
    long_uploads: str,
    seconds: float,
    expected: str,
) -> None:
    channels = [CHANNEL.model_dump() | {"long_uploads": long_uploads}]
    nexus_sandbox.settings(youtube={"processing_s": 0, "channels": channels})
    film = film_of(seconds)

    video = put(session_of(youtube, size=len(film)), film, total=len(film)).json()

    assert video["status"]["uploadStatus"] == expected
    details = get(youtube, "videos", part="contentDetails,fileDetails", id=video["id"])
    shown = details["items"][0]
    assert shown["contentDetails"]["duration"] == f"PT{seconds}S"
    assert shown["fileDetails"]["durationMs"] == str(seconds * 1000)


def test_an_unaudited_project_makes_private_videos_alone(
    youtube: str, nexus_sandbox: SandboxClient
) -> None:
    nexus_sandbox.settings(youtube={"unaudited": True})

    video = upload(youtube, metadata(privacyStatus="public"))

    assert video["status"]["privacyStatus"] == "private"


# who may


def test_a_token_is_needed_and_must_be_good_and_wide_enough(
    youtube: str, nexus_sandbox: SandboxClient
) -> None:
    url = f"{youtube}/youtube/v3/channels?part=id&mine=true"

    none = requests.get(url, timeout=10)
    wrong = requests.get(url, headers={"Authorization": "Bearer x"}, timeout=10)
    narrow = CHANNEL.model_dump() | {"access_token": "narrow", "scopes": [UPLOAD]}
    nexus_sandbox.settings(youtube={"channels": [narrow]})
    scope = requests.get(url, headers={"Authorization": "Bearer narrow"}, timeout=10)

    assert reason(none) == (401, "required")
    assert reason(wrong) == (401, "authError")
    assert wrong.json()["error"]["status"] == "UNAUTHENTICATED"
    assert 'error="invalid_token"' in wrong.headers["WWW-Authenticate"]
    assert reason(scope) == (403, "insufficientPermissions")
    details = scope.json()["error"]["details"]
    assert details[0]["reason"] == "ACCESS_TOKEN_SCOPE_INSUFFICIENT"


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("none", (401, "youtubeSignupRequired")),
        ("suspended", (403, "authenticatedUserAccountSuspended")),
        ("closed", (403, "authenticatedUserAccountClosed")),
    ],
)
def test_an_account_that_cannot_upload_is_refused(
    youtube: str, nexus_sandbox: SandboxClient, state: str, expected: tuple[int, str]
) -> None:
    channels = [CHANNEL.model_dump() | {"state": state}]
    nexus_sandbox.settings(youtube={"channels": channels})

    assert reason(open_session(youtube)) == expected


def test_other_scopes_of_a_token_in_use_count(
    youtube: str, nexus_sandbox: SandboxClient
) -> None:
    get(youtube, "channels", part="id", mine="true")
    channels = [CHANNEL.model_dump() | {"scopes": [UPLOAD]}]
    nexus_sandbox.settings(youtube={"channels": channels})

    refused = call("GET", f"{youtube}/youtube/v3/channels?part=id&mine=true")

    assert reason(refused) == (403, "insufficientPermissions")


def test_the_day_of_a_quota_begins_at_midnight_in_california(
    youtube: str, nexus_sandbox: SandboxClient
) -> None:
    nexus_sandbox.settings(
        youtube={"uploads_per_day": 1, "units_per_day": 1, "access_token_s": 1e6}
    )
    late = login_token(youtube)
    open_session(youtube)

    over = open_session(youtube)
    other = get(youtube, "channels", part="id", mine="true")
    nexus_sandbox.set_clock(86_400)
    url = f"{youtube}/upload/youtube/v3/videos?uploadType=resumable&part=snippet"
    body = {"snippet": {"title": "A walk"}}
    next_day = requests.post(url, json=body, headers=late, timeout=10)

    assert reason(over) == (403, "quotaExceeded")
    assert over.json()["error"]["errors"][0]["domain"] == "youtube.quota"
    assert len(other["items"]) == 1
    assert next_day.status_code == 200


def test_limits_of_the_channel_the_minute_and_an_older_project(
    youtube: str, nexus_sandbox: SandboxClient
) -> None:
    nexus_sandbox.settings(youtube={"uploads_per_channel": 0})
    channel = open_session(youtube)
    nexus_sandbox.settings(youtube={"insert_units": 1600, "units_per_day": 1600})
    open_session(youtube)
    older = open_session(youtube)
    nexus_sandbox.settings(youtube={"requests_per_minute": 1})
    fast = open_session(youtube)

    assert reason(channel) == (400, "uploadLimitExceeded")
    assert reason(older) == (403, "quotaExceeded")
    assert reason(fast) == (429, "rateLimitExceeded")


# what is beside a video


def test_uploads_are_listed_newest_first_page_by_page(youtube: str) -> None:
    ids = [upload(youtube)["id"] for _ in range(3)]
    (channel,) = get(youtube, "channels", part="contentDetails", mine="true")["items"]
    uploads = channel["contentDetails"]["relatedPlaylists"]["uploads"]
    query = {"part": "snippet,contentDetails", "playlistId": uploads, "maxResults": 2}

    first = get(youtube, "playlistItems", **query)
    second = get(youtube, "playlistItems", pageToken=first["nextPageToken"], **query)
    bad = call(
        "GET", f"{youtube}/youtube/v3/playlistItems", params=query | {"pageToken": "x"}
    )

    pages = [
        [i["contentDetails"]["videoId"] for i in p["items"]] for p in (first, second)
    ]
    assert pages == [[ids[2], ids[1]], [ids[0]]]
    assert "nextPageToken" not in second
    assert reason(bad) == (400, "invalidPageToken")
    found = get(youtube, "videos", part="fileDetails", id=",".join(ids))["items"]
    assert {video["fileDetails"]["fileName"] for video in found} == {"walk.mp4"}


def test_a_video_is_listed_as_late_as_the_settings_say(
    youtube: str, nexus_sandbox: SandboxClient
) -> None:
    nexus_sandbox.settings(youtube={"listed_after_s": 60})
    upload(youtube)
    query = {"part": "id", "playlistId": CHANNEL.uploads}

    before = get(youtube, "playlistItems", **query)["items"]
    nexus_sandbox.set_clock(61)

    assert before == []
    assert len(get(youtube, "playlistItems", **query)["items"]) == 1


def test_an_update_replaces_the_whole_part(youtube: str) -> None:
    video = upload(youtube)["id"]
    url = f"{youtube}/youtube/v3/videos?part=snippet"

    unnamed = call("PUT", url, json={"id": video, "snippet": {"categoryId": "22"}})
    loose = call("PUT", url, json={"id": video, "snippet": {"title": "Anew"}})
    snippet = {"title": "Anew", "categoryId": "10"}
    done = call("PUT", url, json={"id": video, "snippet": snippet})
    unknown = call("PUT", url, json={"id": "nowhere", "snippet": snippet})

    assert reason(unnamed) == (400, "invalidTitle")
    assert reason(loose) == (400, "invalidCategoryId")
    assert done.json()["snippet"]["description"] == ""
    assert reason(unknown) == (404, "videoNotFound")


def test_a_deleted_video_is_gone(youtube: str, nexus_sandbox: SandboxClient) -> None:
    video = upload(youtube)["id"]
    url = f"{youtube}/youtube/v3/videos?id={video}"

    answers = [call("DELETE", url), call("DELETE", url)]

    assert answers[0].status_code == 204
    assert reason(answers[1]) == (404, "videoNotFound")
    assert "deleted" in nexus_sandbox.truth()["youtube"][0]["details"]


def test_a_thumbnail_is_a_picture_of_a_verified_channel(
    youtube: str, nexus_sandbox: SandboxClient
) -> None:
    video = upload(youtube)["id"]
    url = f"{youtube}/upload/youtube/v3/thumbnails/set?videoId={video}"

    refused = [
        reason(call("POST", url, data=b"")),
        reason(call("POST", url, data=b"no picture")),
        reason(call("POST", url, data=PNG + bytes(2_097_152))),
        reason(call("POST", url + "x", data=PNG)),
    ]
    done = call("POST", url, data=PNG, headers={"Content-Type": "image/png"})
    channels = [CHANNEL.model_dump() | {"may_set_thumbnails": False}]
    nexus_sandbox.settings(youtube={"channels": channels})
    unverified = call("POST", url, data=PNG)

    assert refused == [
        (400, "mediaBodyRequired"),
        (400, "invalidImage"),
        (413, "uploadTooLarge"),
        (404, "videoNotFound"),
    ]
    assert done.status_code == 200
    assert reason(unverified) == (403, "forbidden")


def caption(id: str, name: str = "") -> dict[str, Any]:
    snippet = {"videoId": id, "language": "en", "name": name}
    lines = ["--x", "Content-Type: application/json", ""]
    lines += [json.dumps({"snippet": snippet}), "--x", "Content-Type: text/plain", ""]
    body = "\r\n".join([*lines, "1", "--x--", ""])
    return {"data": body, "headers": {"Content-Type": "multipart/related; boundary=x"}}


def test_captions_are_one_for_each_language_and_name(youtube: str) -> None:
    video = upload(youtube)["id"]
    url = f"{youtube}/upload/youtube/v3/captions?part=snippet&uploadType=multipart"

    made = call("POST", url, **caption(video))
    again = call("POST", url, **caption(video))
    other = call("POST", url, **caption(video, "for the deaf"))
    tracks = get(youtube, "captions", part="snippet", videoId=video)["items"]
    gone = f"{youtube}/youtube/v3/captions?id={made.json()['id']}"

    assert made.json()["snippet"]["language"] == "en"
    assert reason(again) == (409, "captionExists")
    assert other.status_code == 200
    assert len(tracks) == 2
    assert call("DELETE", gone).status_code == 204
    assert reason(call("DELETE", gone)) == (404, "captionNotFound")


def test_a_video_added_to_a_playlist_twice_is_there_twice(youtube: str) -> None:
    video = upload(youtube)["id"]
    api = f"{youtube}/youtube/v3"
    body = {"snippet": {"title": "Walks"}, "status": {"privacyStatus": "unlisted"}}
    playlist = call("POST", f"{api}/playlists?part=snippet,status", json=body).json()
    resource = {"kind": "youtube#video", "videoId": video}
    item = {"snippet": {"playlistId": playlist["id"], "resourceId": resource}}
    url = f"{api}/playlistItems?part=snippet"

    items = [call("POST", url, json=item).json() for _ in range(2)]
    nowhere = {"snippet": {"playlistId": "PLx", "resourceId": resource}}
    refused = call("POST", url, json=nowhere)
    query = {"part": "snippet", "playlistId": playlist["id"], "videoId": video}

    assert [item["snippet"]["position"] for item in items] == [0, 1]
    assert len(get(youtube, "playlistItems", **query)["items"]) == 2
    assert reason(refused) == (404, "playlistNotFound")
    assert call("DELETE", f"{api}/playlistItems?id={items[0]['id']}").status_code == 204
    assert len(get(youtube, "playlistItems", **query)["items"]) == 1


# login


def consent(youtube: str, **changes: str) -> requests.Response:
    query = {
        "client_id": CLIENT.id,
        "redirect_uri": CALLBACK,
        "response_type": "code",
        "scope": f"{UPLOAD} {READONLY}",
        "state": "s 1",
        "access_type": "offline",
    }
    url = f"{youtube}/o/oauth2/v2/auth"
    params = query | changes
    return requests.get(url, params=params, timeout=10, allow_redirects=False)


def came_back(answer: requests.Response) -> dict[str, str]:
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith(f"{CALLBACK}?")
    query = parse_qs(urlsplit(answer.headers["Location"]).query)
    return {name: values[0] for name, values in query.items()}


def exchange(youtube: str, **changes: str) -> requests.Response:
    form = {
        "client_id": CLIENT.id,
        "client_secret": CLIENT.secret,
        "redirect_uri": CALLBACK,
        "grant_type": "authorization_code",
    }
    return requests.post(f"{youtube}/token", form | changes, timeout=10)


def error(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]


def test_a_refresh_token_comes_at_the_first_consent_or_when_it_is_asked_for(
    youtube: str,
) -> None:
    first = exchange(youtube, code=came_back(consent(youtube))["code"]).json()
    second = exchange(youtube, code=came_back(consent(youtube))["code"]).json()
    asked = came_back(consent(youtube, prompt="consent"))
    third = exchange(youtube, code=asked["code"]).json()
    online = came_back(consent(youtube, prompt="consent", access_type="online"))
    fourth = exchange(youtube, code=online["code"]).json()

    assert asked["state"] == "s 1"
    got = ["refresh_token" in answer for answer in (first, second, third, fourth)]
    assert got == [True, False, True, False]
    assert first["scope"] == f"{UPLOAD} {READONLY}"
    assert (first["token_type"], first["expires_in"]) == ("Bearer", 3599)


def test_a_refresh_gives_a_new_access_token_and_keeps_the_old_refresh_token(
    youtube: str, nexus_sandbox: SandboxClient
) -> None:
    nexus_sandbox.set_clock(7200)
    url = f"{youtube}/youtube/v3/channels?part=id&mine=true"

    expired = call("GET", url)
    form = {"grant_type": "refresh_token", "refresh_token": CHANNEL.refresh_token}
    answers = [exchange(youtube, **form).json() for _ in range(2)]

    assert reason(expired) == (401, "authError")
    for answer in answers:
        assert "refresh_token" not in answer
        header = {"Authorization": f"Bearer {answer['access_token']}"}
        assert requests.get(url, headers=header, timeout=10).status_code == 200


def test_a_code_is_good_once_and_for_its_own_request_alone(
    youtube: str, nexus_sandbox: SandboxClient
) -> None:
    code = came_back(consent(youtube))["code"]
    refused = [
        error(exchange(youtube, code="4/0Anything")),
        error(exchange(youtube, code=code, redirect_uri="https://app.example/other")),
        error(exchange(youtube, code=code, client_secret="wrong")),
        error(exchange(youtube, code=code, client_id="nobody")),
        error(exchange(youtube, code=code, grant_type="password")),
        error(exchange(youtube)),
    ]
    good = exchange(youtube, code=code)
    used = exchange(youtube, code=code)
    late = came_back(consent(youtube))["code"]
    nexus_sandbox.set_clock(600)

    assert refused == [
        (400, "invalid_grant"),
        (400, "redirect_uri_mismatch"),
        (401, "invalid_client"),
        (401, "invalid_client"),
        (400, "unsupported_grant_type"),
        (400, "invalid_request"),
    ]
    assert good.status_code == 200
    assert error(used) == (400, "invalid_grant")
    assert error(exchange(youtube, code=late)) == (400, "invalid_grant")


def test_the_challenge_is_base64url(youtube: str) -> None:
    verifier = "nexus-actors-pkce-test-verifier-0123456789abcdefg"
    challenge = "oOAqjhJfHhJk09BT_ecCu_GpyFx7C0SMCDQtn1ZxcNU"
    query = {"code_challenge": challenge, "code_challenge_method": "S256"}

    code = came_back(consent(youtube, **query))["code"]
    missing = exchange(youtube, code=code)
    wrong = exchange(youtube, code=code, code_verifier=verifier[::-1])

    assert s256(verifier) == challenge
    assert error(missing) == error(wrong) == (400, "invalid_grant")
    assert exchange(youtube, code=code, code_verifier=verifier).status_code == 200


def test_the_person_may_refuse_and_may_grant_less(
    youtube: str, nexus_sandbox: SandboxClient
) -> None:
    nexus_sandbox.settings(youtube={"consent": {"scopes": [READONLY]}})
    less = came_back(consent(youtube))
    nexus_sandbox.settings(youtube={"consent": {"denied": True}})
    denied = came_back(consent(youtube))

    assert exchange(youtube, code=less["code"]).json()["scope"] == READONLY
    assert denied == {"error": "access_denied", "state": "s 1"}


def test_a_mistake_in_the_request_is_told_to_the_person_and_not_to_the_host(
    youtube: str,
) -> None:
    answers = [
        consent(youtube, client_id="nobody"),
        consent(youtube, redirect_uri="https://evil.example/callback"),
        consent(youtube, redirect_uri="http://localhost:1/callback/../x"),
        consent(youtube, response_type="token"),
        consent(youtube, scope="everything"),
    ]

    assert [a.status_code for a in answers] == [401, 400, 400, 400, 400]
    assert "redirect_uri_mismatch" in answers[1].text
    local = consent(youtube, redirect_uri="http://localhost:8123/callback")
    assert local.status_code == 302


def test_a_revoked_token_ends_all_tokens_of_the_person(youtube: str) -> None:
    revoked = requests.post(
        f"{youtube}/revoke", {"token": CHANNEL.access_token}, timeout=10
    )
    form = {"grant_type": "refresh_token", "refresh_token": CHANNEL.refresh_token}

    assert revoked.status_code == 200
    assert error(exchange(youtube, **form)) == (400, "invalid_grant")
    assert open_session(youtube).status_code == 401


# against Google's own description and client


def test_every_answer_is_what_the_discovery_document_describes(
    youtube: str, nexus_sandbox: SandboxClient
) -> None:
    schemas = discovery()["schemas"]
    video = upload(youtube, metadata(publishAt="2099-01-01T00:00:00Z"))["id"]
    nexus_sandbox.settings(youtube={"outcome": "codec", "processing_s": 0})
    failed = upload(youtube)["id"]
    call(
        "POST",
        f"{youtube}/upload/youtube/v3/captions?part=snippet&uploadType=multipart",
        **caption(video),
    )
    thumbnail = f"{youtube}/upload/youtube/v3/thumbnails/set?videoId={video}"
    api = f"{youtube}/youtube/v3"
    body = {"snippet": {"title": "Walks"}}
    every = "snippet,status,contentDetails,fileDetails,processingDetails,player,id"
    query = {"playlistId": CHANNEL.uploads, "part": "id,snippet,contentDetails,status"}
    lists = {
        "VideoListResponse": get(youtube, "videos", part=every, id=f"{video},{failed}"),
        "ChannelListResponse": get(
            youtube, "channels", part="id,snippet,contentDetails,status", mine="true"
        ),
        "PlaylistItemListResponse": get(youtube, "playlistItems", **query),
        "CaptionListResponse": get(youtube, "captions", part="snippet", videoId=video),
        "VideoCategoryListResponse": get(
            youtube, "videoCategories", part="snippet", regionCode="US"
        ),
        "ThumbnailSetResponse": call("POST", thumbnail, data=PNG).json(),
        "Playlist": call(
            "POST", f"{api}/playlists?part=snippet,status,contentDetails", json=body
        ).json(),
        "PlaylistListResponse": get(youtube, "playlists", part="snippet", mine="true"),
    }

    problems = [
        fault
        for name, answer in lists.items()
        for fault in faults(answer, schemas[name], schemas, name)
    ]

    assert all(answer.get("items", True) for answer in lists.values())
    assert problems == []


def test_what_may_be_written_is_in_the_discovery_document() -> None:
    schemas = discovery()["schemas"]
    names = {str: "string", bool: "boolean", list: "array"}

    for part, fields in WRITABLE.items():
        schema = schemas["Video"]["properties"][part].get("$ref")
        described = schemas[schema]["properties"] if schema else {}
        wanted = {name: names[kind] for name, kind in fields.items()}
        assert {name: described[name]["type"] for name in fields} == wanted


def test_googles_own_client_uploads_and_resumes(
    youtube: str, nexus_sandbox: SandboxClient, tmp_path: Any
) -> None:
    from google.oauth2.credentials import Credentials
    from googleapiclient.discovery import build_from_document
    from googleapiclient.errors import HttpError
    from googleapiclient.http import MediaFileUpload

    document = discovery() | {"rootUrl": f"{youtube}/", "mtlsRootUrl": ""}
    service = build_from_document(
        document, credentials=Credentials(CHANNEL.access_token)
    )
    file = tmp_path / "walk.mp4"
    file.write_bytes(VIDEO)
    nexus_sandbox.faults({"action": "answer", "status": 503, "nth": 3})
    media = MediaFileUpload(
        str(file), mimetype="video/mp4", chunksize=UNIT, resumable=True
    )
    request = service.videos().insert(
        part="snippet,status", body=metadata(), media_body=media
    )

    video = None
    while video is None:
        with suppress(HttpError):  # it asks the session then
            _, video = request.next_chunk()

    assert effects(nexus_sandbox) == [video["id"]]
    whole = MediaFileUpload(str(file), mimetype="video/mp4", resumable=False)
    insert = service.videos().insert(part="snippet", body=metadata(), media_body=whole)
    with pytest.raises(HttpError, match="unexpectedPart"):
        insert.execute()
    body = {"snippet": {"title": "At once"}}
    service.videos().insert(part="snippet", body=body, media_body=whole).execute()
    assert len(effects(nexus_sandbox)) == 2
    listed = service.videos().list(part="status", id=video["id"]).execute()
    assert listed["items"][0]["status"]["privacyStatus"] == "private"
    service.close()
