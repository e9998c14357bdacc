from __future__ import annotations

import json
import time
from functools import partial
from typing import Any, Final

import pytest
import requests

from film_heads import film_of
from nexus_actors.sandbox.vendors.facebook.settings import FacebookSettings
from nexus_actors.testing.sandbox import SandboxClient
from web import serving


DEFAULTS = FacebookSettings()
APP, PERSON, PAGE = DEFAULTS.clients[0], DEFAULTS.people[0], DEFAULTS.pages[0]
FILM: Final = b"\0\0\0\x18ftypmp42" + bytes(2988)
JPEG: Final = b"\xff\xd8\xff\xe0" + bytes(100)
V = "v25.0"


@pytest.fixture
def facebook(nexus_sandbox: SandboxClient) -> str:
    nexus_sandbox.settings(facebook={"processing_s": 0})
    return f"{nexus_sandbox.url}/facebook"


def call(
    facebook: str,
    method: str,
    path: str,
    token: str = PAGE.access_token,
    files: Any = None,
    **fields: Any,
) -> requests.Response:
    data = {k: v if isinstance(v, str) else json.dumps(v) for k, v in fields.items()}
    read = method in {"GET", "DELETE"}
    return requests.request(
        method,
        f"{facebook}/{V}/{path}",
        headers={"Authorization": f"Bearer {token}"},
        params=data if read else None,
        data=None if read else data,
        files=files,
        timeout=10,
    )


def post(facebook: str, edge: str, **fields: Any) -> requests.Response:
    return call(facebook, "POST", f"{PAGE.id}/{edge}", **fields)


def get(facebook: str, path: str, fields: str = "", **more: Any) -> dict[str, Any]:
    if fields:
        more["fields"] = fields
    answer = call(facebook, "GET", path, **more)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def code(answer: requests.Response) -> tuple[int, int | None]:
    error = answer.json()["error"]
    assert error["fbtrace_id"]
    return error["code"], error.get("error_subcode")


def start(facebook: str, edge: str = "video_reels") -> tuple[str, str]:
    begun = post(facebook, edge, upload_phase="start").json()
    return begun["video_id"], begun["upload_url"]


def send(
    url: str,
    data: bytes = FILM,
    offset: int = 0,
    size: int = len(FILM),
    headers: dict[str, str] | None = None,
) -> requests.Response:
    every = {"Authorization": f"OAuth {PAGE.access_token}"}
    every |= {"offset": str(offset), "file_size": str(size)}
    return requests.post(url, data, headers=every | (headers or {}), timeout=10)


def finish(
    facebook: str, video: str, edge: str = "video_reels", **fields: Any
) -> requests.Response:
    wanted = {"upload_phase": "finish", "video_id": video, "video_state": "PUBLISHED"}
    return post(facebook, edge, **(wanted | fields))


def sent(facebook: str, edge: str = "video_reels") -> str:
    video, url = start(facebook, edge)
    assert send(url).json()["success"] is True
    return video


def status(facebook: str, video: str) -> dict[str, Any]:
    found: dict[str, Any] = get(facebook, video, "status")["status"]
    return found


def effects(sandbox: SandboxClient) -> list[str]:
    return [effect["id"] for effect in sandbox.truth()["facebook"]]


# reels


def test_a_reel_is_sent_finished_and_seen_by_the_clock(
    facebook: str, nexus_sandbox: SandboxClient
) -> None:
    nexus_sandbox.settings(facebook={"processing_s": 2})
    video, url = start(facebook)
    begun = status(facebook, video)
    send(url)
    nothing = effects(nexus_sandbox)
    done = finish(facebook, video, description="A walk #sea", title="Walk")
    publishing = status(facebook, video)
    nexus_sandbox.set_clock(3)
    seen = get(facebook, video, "status,permalink_url,post_id,published")

    assert begun["video_status"] == "uploading"
    assert begun["uploading_phase"]["bytes_transferred"] == 0
    assert (nothing, done.json()) == ([], {"success": True})
    assert publishing["video_status"] == "processing"
    assert publishing["publishing_phase"] == {"status": "in_progress"}
    assert seen["status"]["video_status"] == "ready"
    assert seen["status"]["publishing_phase"]["publish_status"] == "published"
    assert seen["published"] is True
    assert seen["post_id"].startswith(f"{PAGE.id}_")
    (effect,) = nexus_sandbox.truth()["facebook"]
    assert (effect["kind"], effect["id"]) == ("reel", video)
    assert effect["details"]["description"] == "A walk #sea"


def test_an_upload_that_breaks_off_goes_on_where_it_is(
    facebook: str, nexus_sandbox: SandboxClient
) -> None:
    video, url = start(facebook)
    route = "POST /facebook/video-upload/*"
    nexus_sandbox.faults({"action": "drop", "moment": "during", "route": route})
    with pytest.raises(requests.ConnectionError):
        send(url)

    kept = status(facebook, video)["uploading_phase"]["bytes_transferred"]
    early = finish(facebook, video)
    again = send(url)
    rest = send(url, FILM[kept:], kept)

    assert kept == len(FILM) // 2
    assert code(early) == (100, 1363033)
    assert again.json()["debug_info"]["type"] == "OffsetInvalidError"
    assert rest.json()["success"] is True
    assert finish(facebook, video).status_code == 200


def test_an_upload_by_another_version_or_token_is_refused(facebook: str) -> None:
    _, url = start(facebook)
    nobody = {"Authorization": f"OAuth {PERSON.access_token}"}

    assert send(url.replace(V, "v24.0")).status_code == 404
    assert send(url, headers=nobody).status_code == 401
    part = send(url, FILM[:-1])
    assert part.json()["debug_info"]["type"] == "PartialRequestError"
    with serving(film=FILM) as host:
        assert send(url, b"", headers={"file_url": f"{host}/film"}).ok


def test_a_lost_answer_to_the_finish_is_found_by_the_id(
    facebook: str, nexus_sandbox: SandboxClient
) -> None:
    video = sent(facebook)
    nexus_sandbox.faults({"action": "drop", "moment": "after"})
    with pytest.raises(requests.ConnectionError):
        finish(facebook, video)

    again = finish(facebook, video)

    assert status(facebook, video)["publishing_phase"]["publish_status"] == "published"
    assert code(again) == (100, 1363030)
    assert effects(nexus_sandbox) == [video]


def test_the_same_film_twice_is_two_reels(
    facebook: str, nexus_sandbox: SandboxClient
) -> None:
    videos = [sent(facebook), sent(facebook)]
    for video in videos:
        finish(facebook, video)

    listed = get(facebook, f"{PAGE.id}/video_reels", "id,description")["data"]

    assert effects(nexus_sandbox) == videos
    assert {one["id"] for one in listed} == set(videos)


@pytest.mark.parametrize("early", [False, True])
def test_a_finish_that_was_acknowledged_may_fail_later(
    facebook: str, nexus_sandbox: SandboxClient, early: bool
) -> None:
    words = {"phase_word": "completed", "bytes_field": "bytes_transfered"}
    settings = {"outcome": "resolution", "error_early": early, "processing_s": 2}
    nexus_sandbox.settings(facebook=settings | words)
    video = sent(facebook)
    done = finish(facebook, video)
    soon = status(facebook, video)
    nexus_sandbox.set_clock(3)
    late = status(facebook, video)

    assert done.json() == {"success": True}
    assert soon["video_status"] == "processing"
    assert ("errors" in soon["processing_phase"]) is early
    uploading = {"status": "completed", "bytes_transfered": len(FILM)}
    assert soon["uploading_phase"] == uploading
    assert late["video_status"] == "error"
    assert late["processing_phase"]["errors"][0]["code"] == 1363127
    assert late["publishing_phase"]["publish_status"] == "error"
    assert effects(nexus_sandbox) == []


@pytest.mark.parametrize(
    ("edge", "seconds", "fails"),
    [
        ("video_reels", 2, True),
        ("video_reels", 90, False),
        ("video_reels", 91, True),
        ("video_stories", 61, True),
    ],
)
def test_a_film_has_the_length_of_its_kind(
    facebook: str, edge: str, seconds: float, fails: bool
) -> None:
    film = film_of(seconds)
    video, url = start(facebook, edge)
    send(url, film, size=len(film))

    phase = status(facebook, video)["processing_phase"]

    assert ("errors" in phase) is fails


def test_a_draft_is_a_post_when_it_is_published(
    facebook: str, nexus_sandbox: SandboxClient
) -> None:
    video = sent(facebook)
    finish(facebook, video, video_state="DRAFT")
    draft = (status(facebook, video)["publishing_phase"], effects(nexus_sandbox))

    call(facebook, "POST", video, published="true")

    expected = {"status": "not_started", "publish_status": "draft"}
    assert draft == (expected, [])
    assert effects(nexus_sandbox) == [video]


def test_a_scheduled_reel_is_seen_at_its_time(
    facebook: str, nexus_sandbox: SandboxClient
) -> None:
    at = int(time.time()) + 3600
    video = sent(facebook)
    schedule = partial(finish, facebook, video, video_state="SCHEDULED")
    soon = schedule(scheduled_publish_time=str(at - 3500))
    late = schedule(scheduled_publish_time=str(at + 31 * 86_400))
    never = schedule()
    schedule(scheduled_publish_time=str(at))
    before = get(facebook, video, "published,scheduled_publish_time,status")
    (waiting,) = nexus_sandbox.posts()["facebook"]
    listed = get(facebook, f"{PAGE.id}/scheduled_posts", "id")["data"]
    nexus_sandbox.set_clock(3601)

    assert code(soon) == code(late) == code(never) == (100, None)
    assert before["scheduled_publish_time"] == at
    assert before["status"]["publishing_phase"]["publish_status"] == "scheduled"
    assert waiting["publish_at"] is not None
    assert len(listed) == 1
    assert get(facebook, video, "published")["published"] is True
    assert get(facebook, f"{PAGE.id}/scheduled_posts")["data"] == []
    assert effects(nexus_sandbox) == [video]


def test_a_page_has_so_many_reels_a_day(
    facebook: str, nexus_sandbox: SandboxClient
) -> None:
    nexus_sandbox.settings(facebook={"reels_per_day": 1})
    finish(facebook, sent(facebook))
    video = sent(facebook)

    over = finish(facebook, video)
    nexus_sandbox.set_clock(86_400)

    assert code(over) == (613, 1390008)
    assert finish(facebook, video).status_code == 200


def test_a_story_tells_its_post(facebook: str, nexus_sandbox: SandboxClient) -> None:
    video = sent(facebook, "video_stories")

    done = finish(facebook, video, "video_stories").json()

    assert done["post_id"].startswith(PAGE.id)
    assert [e["kind"] for e in nexus_sandbox.truth()["facebook"]] == ["story"]
    assert get(facebook, f"{PAGE.id}/published_posts")["data"] == []


# page videos


def session(facebook: str, size: int = len(FILM)) -> dict[str, str]:
    begun = post(facebook, "videos", upload_phase="start", file_size=str(size))
    found: dict[str, str] = begun.json()
    return found


def transfer(facebook: str, begun: dict[str, str], at: int) -> requests.Response:
    end = min(at + 1000, len(FILM))
    return post(
        facebook,
        "videos",
        upload_phase="transfer",
        upload_session_id=begun["upload_session_id"],
        start_offset=str(at),
        files={"video_file_chunk": ("blob", FILM[at:end])},
    )


def end(facebook: str, begun: dict[str, str], **fields: Any) -> requests.Response:
    wanted = {"upload_phase": "finish", "title": "Walk"}
    of = begun["upload_session_id"]
    return post(facebook, "videos", upload_session_id=of, **(wanted | fields))


def test_a_video_comes_in_the_windows_that_facebook_chooses(
    facebook: str, nexus_sandbox: SandboxClient
) -> None:
    nexus_sandbox.settings(facebook={"chunk_bytes": 1000})
    begun = session(facebook)
    first = transfer(facebook, begun, 0).json()
    astray = transfer(facebook, begun, 2000)
    unfinished = end(facebook, begun)
    transfer(facebook, begun, 1000)
    last = transfer(facebook, begun, 2000).json()
    done = end(facebook, begun, description="By the sea")

    assert (begun["start_offset"], begun["end_offset"]) == ("0", "1000")
    assert first == {"start_offset": "1000", "end_offset": "2000"}
    assert code(astray) == (6000, 1363037)
    assert astray.json()["error"]["error_data"] == first
    assert code(unfinished) == (6000, 1363033)
    assert last["start_offset"] == last["end_offset"] == str(len(FILM))
    assert done.json() == {"success": True}
    assert effects(nexus_sandbox) == [begun["video_id"]]
    assert get(facebook, begun["video_id"], "published")["published"] is True


def test_half_of_a_chunk_is_not_kept_and_the_offset_stays(
    facebook: str, nexus_sandbox: SandboxClient
) -> None:
    nexus_sandbox.settings(facebook={"chunk_bytes": 1000})
    begun = session(facebook)
    nexus_sandbox.faults({"action": "drop", "moment": "during"})
    with pytest.raises(requests.ConnectionError):
        transfer(facebook, begun, 0)

    assert transfer(facebook, begun, 0).json()["start_offset"] == "1000"


def test_a_session_can_be_cancelled_and_files_have_limits(
    facebook: str, nexus_sandbox: SandboxClient
) -> None:
    begun = session(facebook)
    of = begun["upload_session_id"]

    gone = post(facebook, "videos", upload_phase="cancel", upload_session_id=of)
    after = end(facebook, begun)
    small = post(facebook, "videos", upload_phase="start", file_size="1023")
    large = post(facebook, "videos", upload_phase="start", file_size="2000000001")

    assert gone.json() == {"success": True}
    assert code(after) == (6000, 1363041)
    assert code(small) == (382, 1363022)
    assert code(large) == (352, 1363023)
    assert effects(nexus_sandbox) == []


def test_a_film_in_one_call_is_a_post_even_if_the_answer_is_lost(
    facebook: str, nexus_sandbox: SandboxClient
) -> None:
    with serving(film=FILM) as host:
        at_once = partial(post, facebook, "videos", file_url=f"{host}/film")
        nexus_sandbox.faults({"action": "drop", "moment": "after"})
        with pytest.raises(requests.ConnectionError):
            at_once(description="A walk")
        second = at_once(description="A walk").json()["id"]
        gone = post(facebook, "videos", file_url=f"{host}/nowhere")
    posted = post(facebook, "videos", files={"source": ("walk.mp4", FILM)}).json()
    listed = get(facebook, f"{PAGE.id}/videos", "id,description", type="uploaded")

    assert code(gone) == (389, None)
    assert effects(nexus_sandbox)[1:] == [second, posted["id"]]
    assert len(listed["data"]) == 3


def test_a_film_may_come_by_the_upload_api(
    facebook: str, nexus_sandbox: SandboxClient
) -> None:
    fields = {"file_name": "w.mp4", "file_length": "3000", "file_type": "video/mp4"}
    user = PERSON.access_token
    opened = call(facebook, "POST", f"{APP.id}/uploads", token=user, **fields)
    upload = opened.json()["id"]
    url, token = f"{facebook}/{V}/{upload}", {"Authorization": f"OAuth {user}"}
    nexus_sandbox.faults({"action": "drop", "moment": "during"})
    with pytest.raises(requests.ConnectionError):
        requests.post(url, FILM, headers=token | {"file_offset": "0"}, timeout=10)

    at = requests.get(url, headers=token, timeout=10).json()["file_offset"]
    astray = requests.post(url, FILM, headers=token | {"file_offset": "0"}, timeout=10)
    rest = token | {"file_offset": str(at)}
    handle = requests.post(url, FILM[at:], headers=rest, timeout=10).json()["h"]
    done = post(facebook, "videos", fbuploader_video_file_chunk=handle, title="Walk")

    assert at == 1500
    assert astray.status_code == 400
    assert effects(nexus_sandbox) == [done.json()["id"]]


def test_a_video_can_be_changed_and_given_a_picture_and_captions(
    facebook: str, nexus_sandbox: SandboxClient
) -> None:
    video = sent(facebook)
    finish(facebook, video)

    call(facebook, "POST", video, description="Another")
    picture = {"source": ("cover.jpg", JPEG)}
    text = {"captions_file": ("walk.en_US.srt", b"1")}
    badly = {"captions_file": ("walk.srt", b"1")}
    thumbnail = call(facebook, "POST", f"{video}/thumbnails", files=picture)
    captions = call(facebook, "POST", f"{video}/captions", files=text)
    misnamed = call(facebook, "POST", f"{video}/captions", files=badly)
    shown = get(facebook, video, "description")
    deleted = call(facebook, "DELETE", video)

    assert shown == {"id": video, "description": "Another"}
    assert thumbnail.ok
    assert captions.ok
    assert code(misnamed) == (385, None)
    assert deleted.json() == {"success": True}
    assert code(call(facebook, "GET", video)) == (100, 33)
    assert "deleted" in nexus_sandbox.truth()["facebook"][0]["details"]


# text, links, photos


def test_a_text_twice_in_a_row_is_refused_and_otherwise_made_again(
    facebook: str, nexus_sandbox: SandboxClient
) -> None:
    first = post(facebook, "feed", message="Hello").json()["id"]
    again = post(facebook, "feed", message="Hello")
    link = {"message": "Look", "link": "https://example.com/"}
    second = post(facebook, "feed", **link).json()["id"]
    third = post(facebook, "feed", message="Hello").json()["id"]
    fields = "id,message,created_time,permalink_url,attachments{media_type,target}"
    listed = get(facebook, f"{PAGE.id}/published_posts", fields)["data"]

    assert code(again) == (506, None)
    assert effects(nexus_sandbox) == [first, second, third]
    assert [one["message"] for one in listed] == ["Hello", "Look", "Hello"]
    target = {"url": "https://example.com/"}
    attached = [{"media_type": "link", "target": target}]
    assert listed[1]["attachments"]["data"] == attached


def test_a_lost_answer_to_a_post_is_found_in_the_list(
    facebook: str, nexus_sandbox: SandboxClient
) -> None:
    nexus_sandbox.settings(facebook={"listed_after_s": 60})
    nexus_sandbox.faults({"action": "drop", "moment": "after"})
    with pytest.raises(requests.ConnectionError):
        post(facebook, "feed", message="Hello")

    before = get(facebook, f"{PAGE.id}/feed", "id")["data"]
    nexus_sandbox.set_clock(61)
    (found,) = get(facebook, f"{PAGE.id}/feed", "id")["data"]

    assert before == []
    assert effects(nexus_sandbox) == [found["id"]]


@pytest.mark.parametrize("iso", [False, True])
def test_a_scheduled_post_is_seen_at_its_time(
    facebook: str, nexus_sandbox: SandboxClient, iso: bool
) -> None:
    at = int(time.time()) + 3600
    text = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(at))
    wanted = {"published": "false", "message": "Later"}
    when = text if iso else str(at)
    made = post(facebook, "feed", scheduled_publish_time=when, **wanted).json()["id"]
    both = post(facebook, "feed", message="Now", scheduled_publish_time=when)

    before = get(facebook, f"{PAGE.id}/scheduled_posts", "id,scheduled_publish_time")
    moved = call(facebook, "POST", made, scheduled_publish_time=str(at + 600))
    nexus_sandbox.set_clock(3700)
    not_yet = get(facebook, f"{PAGE.id}/published_posts")["data"]
    nexus_sandbox.set_clock(4300)
    seen = get(facebook, f"{PAGE.id}/published_posts", "id")["data"]

    assert before["data"] == [{"id": made, "scheduled_publish_time": at}]
    assert code(both) == (100, None)
    assert moved.ok
    assert (not_yet, seen) == ([], [{"id": made}])
    assert effects(nexus_sandbox) == [made]


def test_an_unpublished_post_takes_effect_when_it_is_published(
    facebook: str, nexus_sandbox: SandboxClient
) -> None:
    made = post(facebook, "feed", message="Dark", published="false").json()["id"]
    dark = effects(nexus_sandbox)

    call(facebook, "POST", made, is_published="true")
    call(facebook, "POST", made, is_published="true")

    assert (dark, effects(nexus_sandbox)) == ([], [made])


def test_photos_are_posts_or_parts_of_one(
    facebook: str, nexus_sandbox: SandboxClient
) -> None:
    hidden = partial(post, facebook, "photos", published="false")
    with serving(a=JPEG, text=b"text") as host:
        shown = post(facebook, "photos", url=f"{host}/a", caption="Sea").json()
        ids = [hidden(url=f"{host}/a").json()["id"] for _ in range(3)]
        gone = post(facebook, "photos", url=f"{host}/nowhere")
        wrong = post(facebook, "photos", url=f"{host}/text")
    sent_ = post(facebook, "photos", files={"source": ("a.jpg", JPEG)}).json()
    media = [{"media_fbid": photo} for photo in ids[:2]]
    album = post(facebook, "feed", message="Two", attached_media=media).json()["id"]
    again = post(facebook, "feed", message="Two", attached_media=media)
    story = post(facebook, "photo_stories", photo_id=ids[2]).json()
    used = post(facebook, "photo_stories", photo_id=ids[2])

    assert code(gone) == (324, 2069019)
    assert code(wrong) == (100, 1366046)
    assert code(again) == code(used) == (100, 1366051)
    expected = [shown["post_id"], sent_["post_id"], album, story["post_id"]]
    assert effects(nexus_sandbox) == expected
    node = get(facebook, album, "attachments{media_type}")
    assert len(node["attachments"]["data"]) == 2


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, (100, None)),
        ({"message": "x" * 63_207}, (100, None)),
        ({"message": "a", "link": "ftp://example.com"}, (100, 2061006)),
        ({"message": "a", "attached_media": "photo"}, (100, None)),
        ({"message": "a", "attached_media": [{"media_fbid": "1"}]}, (100, 33)),
        ({"message": "a", "published": "perhaps"}, (100, None)),
    ],
)
def test_a_post_against_the_rules_is_refused(
    facebook: str, fields: dict[str, Any], expected: tuple[int, int | None]
) -> None:
    assert code(post(facebook, "feed", **fields)) == expected


def test_a_comment_made_twice_is_there_twice(facebook: str) -> None:
    made = post(facebook, "feed", message="Hello").json()["id"]
    for _ in range(2):
        call(facebook, "POST", f"{made}/comments", message="First!")

    comments = get(facebook, f"{made}/comments", "message,from")["data"]

    assert [c["message"] for c in comments] == ["First!", "First!"]
    assert comments[0]["from"]["id"] == PAGE.id


# who may


def test_a_page_publishes_with_its_own_token_and_its_own_task(
    facebook: str, nexus_sandbox: SandboxClient
) -> None:
    user = post(facebook, "feed", message="a", token=PERSON.access_token)
    change = {"tasks": ["ANALYZE"]}
    nexus_sandbox.settings(facebook={"pages": [PAGE.model_dump() | change]})
    task = post(facebook, "feed", message="a")
    narrow = {"access_token": "EAA-narrow", "scopes": ["pages_read_engagement"]}
    nexus_sandbox.settings(facebook={"pages": [PAGE.model_dump() | narrow]})
    scope = post(facebook, "feed", message="a", token="EAA-narrow")
    other = call(facebook, "GET", "999", token="EAA-narrow")

    assert code(user) == (190, None)
    assert code(task) == code(scope) == (200, None)
    assert scope.status_code == 403
    assert "pages_manage_posts" in scope.json()["error"]["message"]
    assert code(other) == (100, 33)


def test_a_page_of_a_person_is_found_and_posted_to(
    facebook: str, nexus_sandbox: SandboxClient
) -> None:
    fields = "id,name,access_token,tasks"
    listed = get(facebook, "me/accounts", fields, token=PERSON.access_token)
    token = listed["data"][0]["access_token"]

    made = post(facebook, "feed", message="Hello", token=token)

    assert effects(nexus_sandbox) == [made.json()["id"]]
    assert get(facebook, "me", "name", token=token)["name"] == PAGE.name


@pytest.mark.parametrize(
    ("restriction", "expected"),
    [
        ("blocked", (368, 1390008)),
        ("fast", (613, 1390008)),
        ("unauthorized", (200, 1404078)),
        ("identity", (200, 4854002)),
    ],
)
def test_a_page_that_may_not_publish_is_told_why(
    facebook: str,
    nexus_sandbox: SandboxClient,
    restriction: str,
    expected: tuple[int, int],
) -> None:
    nexus_sandbox.settings(facebook={"restriction": restriction})

    refused = post(facebook, "feed", message="a")

    assert code(refused) == expected
    assert refused.json()["error"]["error_user_msg"]


def test_how_much_is_used_is_told_and_too_much_is_refused(
    facebook: str, nexus_sandbox: SandboxClient
) -> None:
    nexus_sandbox.settings(facebook={"usage_percent": 96})
    near = call(facebook, "GET", PAGE.id)
    nexus_sandbox.settings(facebook={"usage_percent": 100, "regain_minutes": 7})
    over = call(facebook, "GET", PAGE.id)

    (usage,) = json.loads(near.headers["X-Business-Use-Case-Usage"])[PAGE.id]
    assert (usage["type"], usage["call_count"]) == ("pages", 96)
    assert code(over) == (80001, None)
    (usage,) = json.loads(over.headers["X-Business-Use-Case-Usage"])[PAGE.id]
    assert usage["estimated_time_to_regain_access"] == 7
