"""What happens in one domain reaches people by another, once, in words they need."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dramatiq.brokers.stub import StubBroker

import nexus_actors
from conftest import StartWorker, until
from nexus_actors import ConfigurationError, RedisBroker, events
from nexus_actors.engine.middleware.routes import GROUP
from nexus_actors.social import publish_post
from nexus_actors.testing.sandbox import SandboxClient
from nexus_actors.video import process_video
from notices import vendors_at
from publishing import QUICK, Place
from scale import full


#: A host's functions, and how its worker is killed once: while an event is being taken.
HOST = """
import os, signal
import dramatiq

def resolve(user_id):
    if user_id == "ann":
        return {"email": {"to": "ann@example.com"}, "template_data": {"name": "Ann"}}

def owner(platform, account):
    die("heard")
    return "ann"

def die(moment):
    if os.environ.get("DIE_WHEN") == moment and not os.path.exists("died"):
        open("died", "w").close()
        os.kill(os.getpid(), signal.SIGKILL)

class Dies(dramatiq.Middleware):
    def after_enqueue(self, broker, message, delay):
        if message.actor_name == "notifications.send_notification":
            die("sent")

if "DIE_WHEN" in os.environ:
    dramatiq.get_broker().add_middleware(Dies())
"""

#: Every event that a person can be told of, and where it leads them.
ROUTES = {
    "NEXUS_ROUTES": "video.processed video.failed social.post_published "
    "social.post_failed social.account_needs_reauthorization "
    "analytics.report_generated analytics.anomaly_detected",
    "NEXUS_RESOLVE_RECIPIENT": "host:resolve",
    "NEXUS_RESOLVE_OWNER": "host:owner",
    "NEXUS_VIDEO_PAGE_URL": "https://tube.example/watch/{video_id}",
    "NEXUS_UPLOAD_PAGE_URL": "https://tube.example/upload",
    "NEXUS_POST_PAGE_URL": "https://tube.example/posts/{publication}",
    "NEXUS_ACCOUNT_PAGE_URL": "https://tube.example/accounts/{platform}/{account}",
    "NEXUS_FIGURES_PAGE_URL": "https://tube.example/figures/{platform}/{account}",
    "NEXUS_REPORT_PAGE_URL": "https://tube.example/reports/{report}",
}

#: What is told of a report.
REPORT = {
    "user_id": "ann",
    "report": "r-47",
    "period": "16 to 22 November 2026",
    "title": "Weekly report",
    "headline": {"name": "views", "value": "128,402", "change": "+12 %"},
    "best": {"title": "Sunrise", "platform": "TikTok", "value": "78,325"},
    "worst": {"title": "How we edit", "value": "212"},
    "data_through": "2026-11-22",
}

#: What is told of a figure that is not usual.
ANOMALY = {
    "user_id": "ann",
    "anomaly": "a-1",
    "platform": "tiktok",
    "account": "creator",
    "metric": "watch_ms",
    "value": "9 h",
    "expected": "1 to 2 h",
}


@pytest.fixture
def host(
    nexus_sandbox: SandboxClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    environ: dict[str, str],
) -> None:
    """A host that has switched every route on, and whose vendors are the sandbox."""
    nexus_sandbox.settings(**QUICK)
    place = Place(tmp_path)
    given = place.environ(nexus_sandbox.url, {}) | vendors_at(nexus_sandbox) | ROUTES
    given |= {"NEXUS_HEARTBEAT_TIMEOUT_S": "1", "FFMPEG_PRESET": "ultrafast"}
    del given["NEXUS_CLOCK_FILE"]
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    environ |= given
    place.empty()
    (tmp_path / "host.py").write_text(HOST)
    (tmp_path / "broken.py").write_text("{}['SECRET']")
    monkeypatch.syspath_prepend(str(tmp_path))


def mails(sandbox: SandboxClient) -> list[dict[str, Any]]:
    return [effect["details"] for effect in sandbox.truth()["sendgrid"]]


def arrived(sandbox: SandboxClient, count: int) -> dict[str, str]:
    """Return the texts of the mails by their subjects, once there are so many."""
    until(lambda: len(mails(sandbox)) >= count, 90)
    return {mail["title"]: mail["text"] for mail in mails(sandbox)}


def is_at_rest(broker: RedisBroker) -> bool:
    """Whether every event has been taken, and every notification has come to an end."""
    stream, client = f"{broker.namespace}:events:domains", broker.client
    [group] = [g for g in client.xinfo_groups(stream) if g["name"] == GROUP.encode()]
    last: Any = client.xinfo_stream(stream)
    left = client.hlen(f"{broker.namespace}:notifications.msgs")
    heard = group["last-delivered-id"] == last["last-generated-id"]
    return bool(heard and group["pending"] == 0 and left == 0)


@pytest.mark.usefixtures("host")
def test_who_reads_the_mail_alone_knows_what_happened_and_what_to_do(
    nexus_sandbox: SandboxClient,
    broker: RedisBroker,
    start_worker: StartWorker,
    clip: Path,
    tmp_path: Path,
) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("this is no video\n" * 20)
    start_worker("nexus_actors.worker", "-p1", "-t4")
    until(lambda: bool(broker.client.exists(f"{broker.namespace}:events:domains")), 60)
    # the one platform has ended our access, and does not give it back
    refused = {"error": "invalid_grant", "error_description": "revoked"}
    nexus_sandbox.settings(tiktok={"access_token_s": 0})
    nexus_sandbox.faults(
        {"action": "answer", "status": 400, "body": refused, "route": "POST */token/"}
    )
    small = {"formats": ["mp4"], "ladder": "mobile", "thumbnails": False}
    whose: dict[str, Any] = {"user_id": "ann"}
    film = {"video_path": str(clip), "title": "A film"}
    who: dict[str, Any] = {"platform": "youtube", "account": "creator"}

    for name, path, title in (("v1", clip, "Sunrise"), ("v2", text, "Sunset")):
        process_video.send(
            video_id=name, input_path=str(path), title=title, options=small, **whose
        )
    process_video.send(video_id="v3", input_path=str(text))  # nobody's
    publish_post.send(**who, content=film, settings={"privacy": "PUBLIC"})
    lost: dict[str, Any] = {"platform": "tiktok", "account": "creator"}
    publish_post.send(**lost, content=film, settings={"privacy": "PUBLIC"})
    events.emit("analytics.report_generated", REPORT, key="r-47:ann")
    # after a crash, once more
    events.emit("analytics.report_generated", REPORT, key="r-47:ann")
    events.emit("analytics.report_generated", REPORT | {"user_id": None})  # nobody's
    events.emit("analytics.anomaly_detected", ANOMALY)
    found = arrived(nexus_sandbox, 6)
    until(lambda: is_at_rest(broker), 60)

    ready = found.pop("Your video is ready: Sunrise")
    assert "https://tube.example/watch/v1" in ready
    assert "Length: 0:05" in ready
    assert "Hello Ann" in ready
    failed = found.pop("Your video could not be processed: Sunset")
    assert "The file is not a video." in failed
    assert "https://tube.example/upload" in failed
    online = found.pop("Published: A film")
    assert "YouTube: Online" in online
    assert "https://tube.example/posts/" in online
    report = found.pop("Weekly report, 16 to 22 November 2026")
    for answer in (
        "Views: 128,402 (+12 %)",
        "Best post: Sunrise (TikTok): 78,325",
        "Weakest post: How we edit: 212",
        "Data through: 22 Nov 2026",
        "https://tube.example/reports/r-47",
    ):
        assert answer in report
    unusual = found.pop("Watch time far from usual: all posts of creator")
    assert "Watch time: 9 h\nUsual: 1 to 2 h" in unusual
    assert "https://tube.example/figures/tiktok/creator" in unusual
    [(subject, again)] = found.items()
    assert subject == "Connect TikTok again: creator"
    assert "https://tube.example/accounts/tiktok/creator" in again
    assert len(mails(nexus_sandbox)) == 6
    told = list(events.listen(since="0", wait=False, domains=True))
    assert {e.name for e in told} >= {"video.processed", "video.failed"}
    assert "SG." not in repr(told)
    assert str(tmp_path) not in repr(told)


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize("moment", [pytest.param("heard", marks=full), "sent"])
def test_a_consumer_that_is_killed_in_the_middle_tells_a_person_once(
    moment: str,
    nexus_sandbox: SandboxClient,
    broker: RedisBroker,
    start_worker: StartWorker,
    tmp_path: Path,
) -> None:
    body = {"publication": "p1", "platform": "tiktok", "account": "a", "title": "A"}
    post = body | {"url": None, "code": "invalid_content"}
    start = ("nexus_actors.worker:notifications", "host", "-p1", "-t1")
    events.listen(since="0", wait=False, group=GROUP, domains=True)
    events.emit("social.post_failed", post)

    first = start_worker(*start, DIE_WHEN=moment)
    until((tmp_path / "died").exists, 60)
    first.wait(timeout=60)
    start_worker(*start)
    found = arrived(nexus_sandbox, 1)
    until(lambda: is_at_rest(broker), 60)

    assert len(mails(nexus_sandbox)) == 1
    assert "It breaks one of TikTok's rules." in found["Not published on TikTok: A"]


@pytest.mark.parametrize(
    ("left_out", "said"),
    [
        ("NEXUS_RESOLVE_RECIPIENT", "set NEXUS_RESOLVE_RECIPIENT to your function of"),
        ("NEXUS_VIDEO_PAGE_URL", "set NEXUS_VIDEO_PAGE_URL"),
        ("NEXUS_ACCOUNT_PAGE_URL", "set NEXUS_ACCOUNT_PAGE_URL"),
    ],
)
@pytest.mark.usefixtures("host")
def test_a_route_that_cannot_address_a_person_is_refused_at_the_start(
    left_out: str,
    said: str,
    broker: RedisBroker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(left_out)
    with pytest.raises(ConfigurationError, match=said) as caught:
        nexus_actors.setup(broker=broker)

    assert "\n" not in caught.value.message
    nexus_actors.setup(broker=broker, domains=["video"])  # where nobody is told


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("ROUTES", "video.melted", "no event 'video.melted'; known: video.processed"),
        ("ROUTE_CHANNELS", "pigeon", "'pigeon' is no way to a person"),
        ("RESOLVE_RECIPIENT", "host:nobody", "host:nobody cannot be imported"),
        ("RESOLVE_OWNER", "broken:owner", "broken:owner cannot be imported: KeyError"),
        ("VIDEO_PAGE_URL", "https://x.example/{user}", "NEXUS_VIDEO_PAGE_URL: must be"),
    ],
)
@pytest.mark.usefixtures("host")
def test_a_setting_of_routes_that_is_wrong_is_named(
    name: str,
    value: str,
    said: str,
    broker: RedisBroker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(f"NEXUS_{name}", value)
    with pytest.raises(ConfigurationError, match=said):
        nexus_actors.setup(broker=broker)


@pytest.mark.usefixtures("host", "no_broker")
def test_a_broker_that_tells_no_events_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="NEXUS_ROUTES needs nexus_actors"):
        nexus_actors.setup(broker=StubBroker())
