"""Routes to people: which events they are told of, and what they are told.

An event says what happened and to whose thing; who that is, and where they are reached,
the host's function knows when the notification is sent.  The notification's key is the
event's own: an event that is told or taken twice is one notification.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, get_args

from nexus_actors.core.errors import ConfigurationError
from nexus_actors.core.logs import get_logger

from .connect import load
from .models import Type
from .settings import NotificationSettings, page


if TYPE_CHECKING:
    from nexus_actors.engine.events import Event

log = get_logger(__name__)

Body = Mapping[str, Any]

#: What people call the platforms.
PLATFORMS: Final = {
    "facebook": "Facebook",
    "instagram": "Instagram",
    "tiktok": "TikTok",
    "youtube": "YouTube",
}

#: Why a video could not be processed, as far as its owner can mend it: the template
#: has words for each; whatever else was ours.
REASONS: Final = frozenset(
    [
        *("corrupt", "empty", "encrypted", "forbidden_format", "limits", "no_video"),
        *("not_media", "too_large", "truncated", "unsupported_codec"),
    ]
)
OUR_FAULT: Final = "internal"

#: Why a post was not published, by its code: the template has words for each.
POST_REASONS: Final = {
    "invalid_content": "rules",
    **dict.fromkeys(
        ("authorization", "missing_scope", "needs_reauthorization", "token_expired"),
        "access",
    ),
}
REFUSED: Final = "refused"


@dataclass(frozen=True, slots=True)
class News:
    """What a person is told of an event.

    Attributes:
        needs: The setting without which the message would not say what to do.
        values: What the template is given.
    """

    template: str
    values: Callable[[Body, NotificationSettings], dict[str, Any]]
    needs: str | None = None


def routes(settings: NotificationSettings) -> dict[str, Callable[[Event], None]]:
    """Return what is done with the events that *settings* name.

    Raises:
        ConfigurationError: A setting is missing that a person could not be told
            without.
    """
    if not settings.routes:
        return {}
    if settings.resolve_recipient is None:
        raise ConfigurationError(
            f"NEXUS_ROUTES: {settings.routes[0]} tells a person, and nobody knows "
            "where they are reached: set NEXUS_RESOLVE_RECIPIENT to your function of "
            "a user's id, as module:function"
        )
    load(settings.resolve_recipient, "NEXUS_RESOLVE_RECIPIENT")
    if settings.resolve_owner:
        load(settings.resolve_owner, "NEXUS_RESOLVE_OWNER")
    for channel in settings.route_channels:
        if channel not in get_args(Type) or channel == "webhook":
            raise ConfigurationError(
                f"NEXUS_ROUTE_CHANNELS: {channel!r} is no way to a person; "
                "there are email, sms, push and slack"
            )
    return {name: partial(tell, _news(name, settings)) for name in settings.routes}


def _news(name: str, settings: NotificationSettings) -> News:
    news = NEWS.get(name)
    if news is None:
        known = ", ".join(NEWS)
        raise ConfigurationError(f"NEXUS_ROUTES: no event {name!r}; known: {known}")
    if news.needs and getattr(settings, news.needs) is None:
        raise ConfigurationError(
            f"NEXUS_ROUTES: {name} leads a person to a page: "
            f"set NEXUS_{news.needs.upper()}"
        )
    return news


def tell(news: News, event: Event) -> None:
    """Send the notification of *event*, once however often it is asked for."""
    from .actors import send_notification

    settings = NotificationSettings.load()
    user_id = _person(event.body, settings)
    if user_id is None:
        log.warning("routes.nobody", event_name=event.name, event_id=event.id)
        return
    values = news.values(event.body, settings)
    first, *others = settings.route_channels
    send_notification.send(
        type=first,
        fallback=others,
        template=news.template,
        template_data={n: each for n, each in values.items() if each is not None},
        user_id=user_id,
        idempotency_key=f"{event.name}:{event.key}",
    )


def _person(body: Body, settings: NotificationSettings) -> str | None:
    """Return whose thing it is that something happened to."""
    user_id, account = body.get("user_id"), body.get("account")
    if user_id is None and account is not None:
        if settings.resolve_owner is None:
            user_id = account
        else:
            owner = load(settings.resolve_owner, "NEXUS_RESOLVE_OWNER")
            user_id = owner(body["platform"], account)
    return None if user_id is None else str(user_id)


# what each event is to a person


def _processed(body: Body, settings: NotificationSettings) -> dict[str, Any]:
    names = body.get("renditions") or ()
    return {
        "video_title": _title_of_video(body),
        "video_url": page(settings.video_page_url or "", video_id=body["video_id"]),
        "duration_s": body.get("duration"),
        "resolutions": [f"{each}p" if each.isdigit() else each for each in names],
        "thumbnail_url": body.get("poster_url"),
    }


def _failed(body: Body, settings: NotificationSettings) -> dict[str, Any]:
    return {
        "video_title": _title_of_video(body),
        "reason": body["code"] if body.get("code") in REASONS else OUR_FAULT,
        "retry_url": page(settings.upload_page_url or "", video_id=body["video_id"]),
    }


def _title_of_video(body: Body) -> str:
    return str(body.get("title") or body["video_id"])


def _published(body: Body, settings: NotificationSettings) -> dict[str, Any]:
    seen = {"platform": _platform(body), "url": body.get("url")}
    return {"results": [seen], "post_url": _post_url(body, settings), **_post(body)}


def _not_published(body: Body, settings: NotificationSettings) -> dict[str, Any]:
    return {
        "platform": _platform(body),
        "reason": POST_REASONS.get(str(body.get("code")), REFUSED),
        "retry_url": _post_url(body, settings),
        **_post(body),
    }


def _reconnect(body: Body, settings: NotificationSettings) -> dict[str, Any]:
    platform, account = str(body["platform"]), str(body["account"])
    return {
        "platform": _platform(body),
        "account_name": account,
        "reconnect_url": page(
            settings.account_page_url or "", platform=platform, account=account
        ),
    }


def _reported(body: Body, settings: NotificationSettings) -> dict[str, Any]:
    pattern = settings.report_page_url
    url = page(pattern, report=str(body["report"])) if pattern else body.get("url")
    if url is None:
        raise ConfigurationError(
            "a report lies in a folder that no browser reaches: set "
            "STORAGE_PUBLIC_URL, or NEXUS_REPORT_PAGE_URL"
        )
    names = ("period", "data_through", "headline", "best", "worst")
    told = {name: body.get(name) for name in (*names, "metrics", "highlights")}
    return {"report_url": url, "report_title": body.get("title"), **told}


def _unusual(body: Body, settings: NotificationSettings) -> dict[str, Any]:
    platform, account = str(body["platform"]), str(body["account"])
    return {
        "metric": body["metric"],
        "value": body["value"],
        "expected": body["expected"],
        "post_title": body.get("title") or body.get("post"),
        "account_name": account,
        "platform": _platform(body),
        "details_url": page(
            settings.figures_page_url or "", platform=platform, account=account
        ),
    }


def _platform(body: Body) -> str:
    name = str(body["platform"])
    return PLATFORMS.get(name, name)


def _post(body: Body) -> dict[str, Any]:
    return {"post_title": body.get("title") or body["publication"]}


def _post_url(body: Body, settings: NotificationSettings) -> str | None:
    pattern = settings.post_page_url
    return page(pattern, publication=str(body["publication"])) if pattern else None


#: What people can be told of.
NEWS: Final[Mapping[str, News]] = {
    "video.processed": News("video-processing-complete", _processed, "video_page_url"),
    "video.failed": News("video-processing-failed", _failed, "upload_page_url"),
    "social.post_published": News("publishing-success", _published),
    "social.post_failed": News("publishing-failed", _not_published, "post_page_url"),
    "social.account_needs_reauthorization": News(
        "account-needs-reauthorization", _reconnect, "account_page_url"
    ),
    "analytics.report_generated": News("analytics-report", _reported),
    "analytics.anomaly_detected": News("anomaly-alert", _unusual, "figures_page_url"),
}
