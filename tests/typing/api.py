"""What a host's type checker must accept; never run."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import assert_type

import dramatiq

import nexus_actors
from nexus_actors import (
    CoreSettings,
    RedisBroker,
    dead_letters,
    events,
    jobs,
    queues,
)
from nexus_actors.analytics import Collector, aggregate_metrics, collect_metrics
from nexus_actors.dashboard import Access, Dashboard
from nexus_actors.notifications import (
    Channel,
    Provider,
    Push,
    Receipt,
    cancel,
    receive_events,
    send_bulk,
    send_notification,
    verify_webhook,
)
from nexus_actors.notifications.events import DeliveryEvent
from nexus_actors.social import Publisher, begin_login, finish_login, publish_post
from nexus_actors.video import (
    Packager,
    Presentation,
    ProcessVideoOptions,
    ProcessVideoResult,
    ThumbnailOptions,
    Workbench,
    fresh_url,
    process_video,
)


def send() -> str:
    message = process_video.send(
        video_id="video-123",
        input_path="/path/to/video.mp4",
        user_id="user-456",
        options={"formats": ["hls", "mp4"], "thumbnails": True},
    )
    return message.message_id


def notify(headers: dict[str, str], body: bytes) -> None:
    send_notification.send(
        type="email",
        template="email-welcome",
        template_data={"name": "Ann"},
        email={"to": "ann@example.com"},
        quiet_hours=["22:00", "08:00"],
        idempotency_key="user-1:welcome",
    )
    send_notification.send(template="email-welcome")  # type: ignore[call-arg]
    send_bulk.send(type="sms", template="a", recipients=[{"sms": {"to": "+123"}}])
    assert_type(cancel("user-1:welcome"), bool)
    events = receive_events("sendgrid", headers=headers, body=body)
    assert_type(events, list[DeliveryEvent])
    verify_webhook("whsec_x", headers, body)


def send_what_is_wrong() -> None:
    process_video.send(video_id=1, input_path="a.mp4")  # type: ignore[arg-type]
    process_video.send(input_path="a.mp4")  # type: ignore[call-arg]
    process_video.send(video_id="a", input_path="a.mp4", width=1)  # type: ignore[call-arg]


def send_once_and_fairly() -> None:
    body = {"video_id": "v", "input_path": "a.mp4"}
    process_video.send_with_options(
        kwargs=body, dedupe_key="k", dedupe_for=timedelta(minutes=1), group="u"
    )
    process_video.send_with_options(kwargs=body, dedupe_key=1)  # type: ignore[arg-type]
    process_video.send_with_options(kwargs=body, group=1)  # type: ignore[arg-type]
    process_video.send_with_options(kwargs=body, dedupe_for=1.5)  # type: ignore[arg-type]


def look() -> None:
    assert_type(queues.state(), list[queues.Queue])
    assert_type(queues.pause("tests"), bool)
    assert_type(jobs.find(video_id="v"), list[jobs.JobRecord])


def publish() -> str:
    message = publish_post.send(
        platform="tiktok",
        credentials={"access_token": "act.example"},
        content={"video_path": "/path/to/video.mp4", "title": "A film"},
        settings={"privacy": "PUBLIC", "allow_comments": True},
    )
    publish_post.send(platform="tiktok", content={}, video="a.mp4")  # type: ignore[call-arg]
    return message.message_id


def collect() -> str:
    message = collect_metrics.send(
        platform="tiktok", access_token="act.example", post_id="post-123"
    )
    aggregate_metrics.send(period="week")
    collect_metrics.send(platform="tiktok", post="1")  # type: ignore[call-arg]
    return message.message_id


def connect(url: str) -> list[str]:
    begun = begin_login("youtube")
    return [account.account for account in finish_login("youtube", url, begun)]


def show(uri: str) -> None:
    assert_type(fresh_url(uri, ttl_s=3600), str)
    fresh_url(uri, 3600)  # type: ignore[call-arg]


def bind() -> None:
    own = RedisBroker(CoreSettings.load({"redis_url": "redis://localhost/0"}))
    assert_type(nexus_actors.setup(broker=own, domains=["video"]), dramatiq.Broker)
    nexus_actors.setup(settings=CoreSettings.load())
    nexus_actors.setup(domain="video")  # type: ignore[call-arg]


def follow(job_id: str) -> None:
    assert_type(jobs.get(job_id), jobs.JobRecord | None)
    record = jobs.wait(job_id, on_change=lambda seen: follow(seen.id), timeout_s=5)
    assert_type(record.state, jobs.State)
    assert_type(events.listen(since="0"), Iterator[events.Event])
    assert_type(events.listen(group="mail", take_over_s=5), Iterator[events.Event])
    events.listen("mail")  # type: ignore[call-arg]
    assert_type(jobs.cancel(job_id), jobs.CancelAnswer)


def mend() -> None:
    chosen = dead_letters.Selection(ids=("a", "b"), reason="poison")
    found = dead_letters.find(chosen, limit=5, after=None)
    assert_type(found, list[dead_letters.DeadLetter])
    assert_type(dead_letters.requeue(chosen), dead_letters.Requeued)
    assert_type(dead_letters.purge(dead_letters.ALL), int)
    dead_letters.purge()  # type: ignore[call-arg]


def choose() -> None:
    options = ProcessVideoOptions(
        formats=("hls", "mp4"), thumbnails=ThumbnailOptions(at=1.5), watermark=True
    )
    assert_type(options.clean_rendition, bool)
    ProcessVideoOptions(formats=("hls", "avi"))  # type: ignore[arg-type]
    ProcessVideoOptions(watermark="yes")  # type: ignore[arg-type]
    ProcessVideoOptions(thumbnail=True)  # type: ignore[call-arg]


def read(record: jobs.JobRecord) -> str:
    result = ProcessVideoResult.model_validate(record.result)
    assert_type(result.video_id, str)
    return result.video  # type: ignore[attr-defined, no-any-return]


class OurPush(Provider[Push]):
    name = "ourpush"
    channels = frozenset({Channel.PUSH})

    @classmethod
    def connect(cls) -> OurPush:
        return cls()

    def deliver(self, content: Push, *, delivery_id: str) -> Receipt:
        return Receipt(provider_id=f"{delivery_id} {content.body}")


class Teletext(Packager):
    name = "teletext"
    step = "derive"

    def package(self, presentation: Presentation, bench: Workbench) -> list[str]:
        return [str(bench.root / f"{track.name}.txt") for track in presentation.video]


class Half(Provider[Push]):
    name = "half"


class Wrong(Packager):
    name = "wrong"
    step = "encode"  # type: ignore[assignment]

    def package(self, presentation: Presentation) -> list[str]:  # type: ignore[override]
        return [track.name for track in presentation.video]


def adapt() -> None:
    OurPush.connect().deliver("text", delivery_id="d")  # type: ignore[arg-type]
    Teletext()
    Half()  # type: ignore[abstract]
    Collector()  # type: ignore[abstract]
    Publisher()  # type: ignore[abstract]


def allow(_request: object) -> Access:
    return Access.READ


def mount() -> None:
    Dashboard(authorize=allow)
    Dashboard(authorize=len)  # type: ignore[arg-type]
    Dashboard(authorise=None)  # type: ignore[call-arg]
