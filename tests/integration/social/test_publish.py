"""Posts as a host sends them: now, later, wrongly, and without a trace of secrets."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import publishing
from conftest import StartWorker, make_clip, until
from metering import Scrape
from nexus_actors import RedisBroker, events, jobs
from nexus_actors.cli.publications import publications
from nexus_actors.core import clock
from nexus_actors.core.credentials import AccountState, DatabaseCredentialStore
from nexus_actors.core.errors import (
    AuthorizationError,
    InvalidRequestError,
    Postponed,
    RejectedError,
)
from nexus_actors.engine import metrics
from nexus_actors.social import (
    State,
    cancel_post,
    publish_post,
    reschedule_post,
    resume_publication,
    sweep_publications,
)
from nexus_actors.social.control import retry
from nexus_actors.social.desk import Desk
from nexus_actors.testing.contracts.publisher import until_it_rests
from nexus_actors.testing.sandbox import SandboxClient
from nexus_actors.testing.secrets import SecretScan
from publishing import TOKENS
from scale import full


pytestmark = pytest.mark.usefixtures("quick_place")


def film(clip: Path, **more: Any) -> dict[str, Any]:
    settings = {"privacy": "PUBLIC", **more.pop("settings", {})}
    content = {"video_path": str(clip), "title": "A film", **more.pop("content", {})}
    who = {"platform": "youtube", "account": "creator"} | more
    return {"content": content, "settings": settings, **who}


def posts(sandbox: SandboxClient, platform: str = "youtube") -> list[dict[str, Any]]:
    return sandbox.truth()[platform]


def test_a_worker_publishes_now_and_in_time_and_no_secret_is_seen_anywhere(
    nexus_sandbox: SandboxClient,
    broker: RedisBroker,
    start_worker: StartWorker,
    environ: dict[str, str],
    clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NEXUS_CLOCK_FILE")
    given = {k: v for k, v in os.environ.items() if k not in environ}
    (tmp_path / "metrics").mkdir()
    given |= {"LOG_LEVEL": "DEBUG", metrics.VARIABLE: str(tmp_path / "metrics")}
    start_worker("nexus_actors.worker:social", "-p1", "-t4", **given)
    token = {"access_token": TOKENS["tiktok"][0]}
    soon = clock.now() + timedelta(seconds=3)

    now = publish_post.send(
        **film(clip, platform="tiktok", account=None, credentials=token)
    )
    later = publish_post.send(**film(clip, publish_at=soon.isoformat()))
    sent = broker.client.hgetall(f"{broker.namespace}:social-publishing.msgs")
    ended = [jobs.wait(m.message_id, broker=broker, timeout_s=90) for m in (now, later)]

    assert [record.state for record in ended] == ["succeeded", "succeeded"]
    assert {record.result["state"] for record in ended} == {"published"}
    [post] = posts(nexus_sandbox)
    assert datetime.fromisoformat(post["at"]) >= soon - timedelta(seconds=0.1)
    heard = [e.name for e in events.listen(since="0", wait=False, broker=broker)]
    assert heard.count("social.post_published") == 2
    secrets = {
        name: value
        for platform, (access, refresh, _) in TOKENS.items()
        for name, value in (
            (f"{platform} access", access),
            (f"{platform} refresh", refresh),
        )
        if value
    } | {"key": publishing.KEY, "app": publishing.APPS["TIKTOK_CLIENT_SECRET"]}
    scan = SecretScan(secrets)
    log = (tmp_path / "worker-0.log").read_text()
    assert "social" in log
    leaks = [*scan.text("worker log", log), *scan.redis(environ["REDIS_URL"])]
    leaks += [*scan.text("messages", str(sent)), *scan.files(tmp_path)]
    assert not leaks
    exporter = metrics.Exporter(broker.settings, tmp_path / "metrics")

    def told(name: str) -> dict[tuple[str, ...], float]:
        return Scrape(exporter.render()[0].decode()).by(name, "platform", "outcome")

    total = "nexus_social_publications_total"
    until(lambda: sum(told(total).values()) == 2)
    assert told(total) == {("tiktok", "published"): 1, ("youtube", "published"): 1}


@pytest.mark.usefixtures("broker")
def test_what_is_scheduled_waits_in_the_row_and_can_be_moved_and_cancelled(
    nexus_sandbox: SandboxClient, clip: Path
) -> None:
    there = timezone(timedelta(hours=13))
    at = (clock.now() + timedelta(days=60)).astimezone(there)

    with pytest.raises(Postponed) as waits:
        publish_post(**film(clip, publish_at=at.isoformat()))
    [row] = Desk.open().table.newest()
    sooner = clock.now() + timedelta(hours=1)
    moved = reschedule_post(publication=row.id, publish_at=sooner.isoformat())
    with pytest.raises(Postponed) as waits_again:
        resume_publication(publication=row.id)
    cancelled = cancel_post(publication=row.id)
    clock.move(2 * 3600)
    after = publish_post(**film(clip, publish_at=at.isoformat()))

    assert abs(waits.value.until - at) < timedelta(seconds=1)
    assert abs(waits_again.value.until - sooner) < timedelta(seconds=1)
    assert (row.state, moved["state"], cancelled["state"]) == (
        "scheduled",
        "scheduled",
        "cancelled",
    )
    assert after["state"] == "cancelled"
    assert posts(nexus_sandbox) == []
    with pytest.raises(RejectedError, match="only one that is"):
        reschedule_post(publication=row.id, publish_at=sooner.isoformat())


@pytest.mark.usefixtures("broker")
def test_a_lost_alarm_is_made_good_by_the_sweep_and_a_missed_time_asks_a_person(
    nexus_sandbox: SandboxClient, clip: Path
) -> None:
    times = [clock.now() + timedelta(hours=h) for h in (1, 3)]
    for at in times:
        with pytest.raises(Postponed):
            publish_post(**film(clip, publish_at=at.isoformat()))

    early = sweep_publications()
    clock.move(3600 + 60)
    swept, again = sweep_publications(), sweep_publications()
    [first] = [r for r in Desk.open().table.newest() if r.publish_at != times[1]]
    published = until_it_rests(lambda: resume_publication(publication=first.id))
    clock.move(5 * 3600)
    [second] = Desk.open().table.newest(state=State.SCHEDULED)
    held = resume_publication(publication=second.id)

    assert [s["sent"] for s in (early, swept, again)] == [0, 1, 0]
    assert published["state"] == "published"
    assert (held["state"], held["error"]["code"]) == ("held", "missed")
    assert len(posts(nexus_sandbox)) == 1
    retry(second.id)
    released = until_it_rests(lambda: resume_publication(publication=second.id))
    assert released["state"] == "published"


def test_everything_that_is_wrong_with_a_post_is_told_at_once_and_nothing_is_sent(
    nexus_sandbox: SandboxClient, clip: Path
) -> None:
    wrong = {"title": "<b>" * 40, "description": "é" * 2501, "tags": ["x y"] * 99}

    with pytest.raises(InvalidRequestError) as caught:
        publish_post(**film(clip, content=wrong, settings={"privacy": "friends"}))
    with pytest.raises(RejectedError) as rejected:
        publish_post(
            **film(
                clip, platform="facebook", settings={"kind": "reel", "privacy": None}
            )
        )

    told = {(v["rule"], v["value"]) for v in caught.value.details["violations"]}
    assert told == {
        ("title", 120),
        ("title", "< >"),
        ("description", 5002),
        ("tags", 593),
        ("privacy", "friends"),
    }
    by_probe = {v["rule"] for v in rejected.value.details["violations"]}
    assert by_probe == {"height", "aspect"}
    assert nexus_sandbox.requests() == []


@pytest.mark.usefixtures("nexus_sandbox")
def test_what_platforms_fail_at_is_seen_in_the_file_and_told_at_once(
    tmp_path: Path,
) -> None:
    """HDR in 10 bits and 4:2:2, at an uneven rate, silent, its index at the end."""
    path = tmp_path / "hard.mp4"
    source = ["-f", "lavfi", "-i", "color=size=540x960:rate=60:duration=3.5"]
    # FFmpeg 7 takes the transfer from the pictures, whatever the encoder is told
    hard = "format=yuv422p10le,setparams=color_trc=smpte2084"
    uneven = ["-vf", f"select='lt(n,90)+not(mod(n,2))',{hard}", "-fps_mode", "vfr"]
    kind = ["-c:v", "libx264", "-preset", "ultrafast"]
    command = ["ffmpeg", "-v", "error", *source, *uneven, *kind, str(path)]
    subprocess.run(command, check=True)
    found = {}

    for platform in ("instagram", "facebook"):
        with pytest.raises(RejectedError) as caught:
            publish_post(
                platform=platform,
                account="creator",
                content={"video_path": str(path)},
                settings={"kind": "reel"},
            )
        told = caught.value.details["violations"]
        found[platform] = {v["rule"]: v["value"] for v in told}
    post = film(path, platform="tiktok")
    taken = until_it_rests(lambda: publish_post(**post))

    common = {"chroma": "4:2:2"}
    assert found["instagram"] == common | {"index": "last"}
    assert found["facebook"] == common | {"rate": "variable"}
    assert taken["state"] == "published"
    [noted] = [note for note in taken["notes"] if note["what"] == "may_fail"]
    assert {v["rule"]: v["value"] for v in noted["violations"]} == common | {
        "index": "last",
        "rate": "variable",
        "range": "HDR",
        "depth": "10 bit",
        "sound": "none",
    }


@pytest.mark.parametrize(
    ("route", "lost"),
    [
        ("youtube_video", None),
        pytest.param("facebook_video", None, marks=full),
        ("facebook_reel", None),
        ("facebook_link", "POST */feed"),
    ],
)
def test_a_platform_that_can_wait_has_the_post_at_once_and_shows_it_in_time(
    route: str,
    lost: str | None,
    nexus_sandbox: SandboxClient,
    reel: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tall = make_clip(tmp_path / "tall.mp4", size="540x960", seconds=3)
    monkeypatch.setenv("FILE_CLIP", str(reel))
    monkeypatch.setenv("FILE_TALL", str(tall))
    post = publishing.body(route)
    platform, at = post["platform"], clock.now() + timedelta(hours=2)
    post["settings"] = post["settings"] | {"schedule_mode": "platform"}
    post["publish_at"] = at.isoformat()
    if lost:
        nexus_sandbox.faults({"action": "drop", "moment": "after", "route": lost})

    waits = until_it_waits(post, at)
    [before] = nexus_sandbox.posts()[platform]
    nexus_sandbox.set_clock(2 * 3600 + 60)
    done = until_it_rests(lambda: publish_post(**post))

    assert waits["state"] == "processing"
    assert datetime.fromisoformat(before["publish_at"]) == at.replace(microsecond=0)
    [shown] = nexus_sandbox.posts()[platform]
    assert (before["id"], before["state"]) != (shown["id"], shown["state"])
    assert (done["state"], len(posts(nexus_sandbox, platform))) == ("published", 1)
    assert done["url"]


def until_it_waits(post: dict[str, Any], at: datetime) -> dict[str, Any]:
    """Go on with a post until nothing happens before *at*; return its publication."""
    for _ in range(20):
        with pytest.raises(Postponed) as caught:
            publish_post(**post)
        if caught.value.until >= at - timedelta(seconds=1):
            break
        clock.move((caught.value.until - datetime.now(UTC)).total_seconds())
    [row] = Desk.open().table.newest()
    return row.to_json()


@pytest.mark.parametrize(
    ("platform", "privacy", "why"),
    [
        ("tiktok", "public", "schedule_mode is platform"),
        ("youtube", "unlisted", "privacy is unlisted, and public with"),
    ],
)
def test_a_platform_is_not_asked_to_wait_that_cannot_or_would_show_it_to_all(
    platform: str, privacy: str, why: str, clip: Path
) -> None:
    later = (clock.now() + timedelta(hours=2)).isoformat()
    settings = {"privacy": privacy, "schedule_mode": "platform"}
    post = film(clip, platform=platform, publish_at=later, settings=settings)

    with pytest.raises(InvalidRequestError, match=why):
        publish_post(**post)


@pytest.mark.usefixtures("broker")
def test_the_id_that_tiktok_tells_hours_later_is_recorded_with_the_url(
    nexus_sandbox: SandboxClient, broker: RedisBroker, clip: Path
) -> None:
    nexus_sandbox.settings(tiktok={"moderation_s": 3 * 3600})

    record = until_it_rests(lambda: publish_post(**film(clip, platform="tiktok")))
    [sent] = posts(nexus_sandbox, "tiktok")
    looks = 0
    for minutes in range(0, 6 * 60, 40):
        nexus_sandbox.set_clock(minutes * 60)
        clock.move(minutes * 60 + 60)
        looks += sweep_publications()["sent"]
        resume_publication(publication=record["id"])
    [row] = Desk.open().table.newest()

    assert (record["state"], record["url"]) == ("published", None)
    assert record["remote_id"] == sent["id"]
    [public] = nexus_sandbox.posts()["tiktok"]
    assert row.url == f"https://www.tiktok.com/@sandbox/video/{row.remote_id}"
    assert row.remote_id != sent["id"]
    assert public["state"].startswith("PUBLISH_COMPLETE")
    assert (row.state, row.due_at) == (State.PUBLISHED, None)
    assert 2 <= looks <= 6  # seldom, and no more once it is known
    heard = [e.name for e in events.listen(since="0", wait=False, broker=broker)]
    assert heard.count("social.post_located") == 1


def test_a_post_whose_owner_must_come_waits_for_them_and_then_goes_out(
    nexus_sandbox: SandboxClient, broker: RedisBroker, clip: Path
) -> None:
    refused = {"error": "invalid_grant", "error_description": "revoked"}
    nexus_sandbox.settings(youtube={"access_token_s": 0})
    nexus_sandbox.faults(
        {"action": "answer", "status": 400, "body": refused, "route": "POST */token"}
    )

    parked = publish_post(**film(clip))
    idle = sweep_publications()
    nexus_sandbox.settings(youtube={"access_token_s": 3600})
    desk = Desk.open()
    store = desk.accounts().store
    state = store.get("youtube", "creator").state
    assert isinstance(store, DatabaseCredentialStore)
    store.put("youtube", "creator", publishing.credential("youtube"))
    clock.move(60)
    swept = sweep_publications()
    done = until_it_rests(lambda: resume_publication(publication=parked["id"]))

    assert (parked["state"], state) == ("parked", AccountState.NEEDS_REAUTHORIZATION)
    assert (idle["sent"], swept["sent"]) == (0, 1)
    assert done["state"] == "published"
    heard = [e.name for e in events.listen(since="0", wait=False, broker=broker)]
    assert "social.account_needs_reauthorization" in heard


def test_steps_beside_the_post_are_taken_once_and_fail_without_failing_it(
    nexus_sandbox: SandboxClient, clip: Path, tmp_path: Path
) -> None:
    srt = tmp_path / "en.srt"
    srt.write_text("1\n00:00:00,000 --> 00:00:01,000\nHello\n")
    still = tmp_path / "still.jpg"
    still.write_bytes(b"no picture at all")
    beside = {
        "thumbnail_path": str(still),
        "captions": [{"path": str(srt), "language": "en", "name": "English"}],
    }

    record = until_it_rests(
        lambda: publish_post(
            **film(clip, content=beside, settings={"playlist_id": "PL-none"})
        )
    )

    assert record["state"] == "published"
    steps = record["steps"]
    assert steps["captions_en"]["done"]
    assert steps["thumbnail"]["given_up"]
    assert steps["playlist"]["given_up"]
    assert len(posts(nexus_sandbox)) == 1


def test_credentials_of_a_message_that_is_gone_are_kept_only_with_a_key(
    nexus_sandbox: SandboxClient,
    clip: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at = (clock.now() + timedelta(hours=1)).isoformat()
    token = {"access_token": TOKENS["youtube"][0]}
    message = film(clip, account=None, credentials=token, publish_at=at)

    with pytest.raises(Postponed):
        publish_post(**message, idempotency_key="kept")
    monkeypatch.delenv("NEXUS_SECRET_KEY")
    with pytest.raises(Postponed):
        publish_post(**message, idempotency_key="not-kept")
    clock.move(3600)
    with pytest.raises(AuthorizationError, match="NEXUS_SECRET_KEY"):
        resume_publication(publication=Desk.open().table.get("youtube:not-kept").id)
    monkeypatch.setenv("NEXUS_SECRET_KEY", publishing.KEY)
    kept = Desk.open().table.get("youtube:kept")
    done = until_it_rests(lambda: resume_publication(publication=kept.id))

    assert done["state"] == "published"
    assert json.dumps(kept.request).find(token["access_token"]) < 0
    assert len(posts(nexus_sandbox)) == 1


def test_a_person_settles_at_the_command_line_what_no_platform_can_tell(
    nexus_sandbox: SandboxClient,
    broker: RedisBroker,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    nexus_sandbox.faults({"action": "drop", "route": "POST */feed"})
    post = {"platform": "facebook", "account": "creator"}
    message: dict[str, Any] = {
        **post,
        "content": {"title": "A text"},
        "idempotency_key": "order-7",
    }

    unsure = until_it_rests(lambda: publish_post(**message))
    [listed] = told("list", "--state", "unconfirmed")
    settled = told("settle", "facebook:order-7", "--not-published")
    again = told("retry", unsure["id"])
    done = until_it_rests(lambda: resume_publication(publication=unsure["id"]))

    assert listed == unsure
    assert unsure["error"]["code"] == "unconfirmed"
    assert (settled["state"], again["state"]) == ("failed", "publishing")
    assert done["state"] == "published"
    assert told("show", unsure["id"]) == done
    assert len(posts(nexus_sandbox, "facebook")) == 1
    assert broker.do_qsize("social-publishing") == 1
    with pytest.raises(RejectedError, match="only one that is unconfirmed"):
        told("settle", unsure["id"], "--published")


def told(*arguments: str) -> Any:
    """Return what the command prints."""
    ran = CliRunner().invoke(publications, arguments, catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    return json.loads(ran.stdout)
