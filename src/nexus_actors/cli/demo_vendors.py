"""The vendors of the demo: who uploaded the video is told of it by every channel.

The mail comes by itself, by a route: a worker hears that the video is processed.
The vendors are the sandbox's, so that it needs no account; what arrived at them is
left as a page, and with ``--serve`` stands on the sandbox's own.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Final

from nexus_actors.core.errors import InternalError, MissingExtraError
from nexus_actors.engine import jobs


#: The page that is left.
PAGE: Final = "arrived.html"

#: Where videos are said to be found; the demo's own page is a file.
WATCH: Final = "https://tube.example/videos/{video_id}"

#: And where reports; the demo's own are files, too.
REPORT: Final = "https://tube.example/reports/{report}"

#: Who has uploaded it.
USER: Final = "you"

#: Signs the demo's webhook, and is what its receiver knows; it guards nothing.
KEY: Final = "whsec_dGhlLXNlY3JldC1vZi10aGUtc2FuZGJveA=="

#: What is said.
TEMPLATE: Final = "video-processing-complete"

#: How long all may take, in seconds, and how often to look for the mail.
LONGEST_S: Final = 60
LOOK_S: Final = 0.1

#: What is sent by hand, and what the page calls it.
TARGETS: Final[dict[str, dict[str, Any]]] = {
    "sms": {"to": "+14155550123"},
    "push": {"fid": "fPx1k2m3n4o5p6q7r8s9t0"},
    "slack": {"channel": "C0SANDBOX02"},
}
TITLES: Final = {
    "sendgrid": "Mail",
    "twilio": "Text message",
    "fcm": "Push",
    "slack": "Slack",
    "webhook": "Webhook",
}
PLATFORMS: Final = {
    "youtube": "YouTube",
    "tiktok": "TikTok",
    "instagram": "Instagram",
    "facebook": "Facebook",
}


@dataclass(frozen=True, slots=True)
class Vendors:
    """The sandbox, running at *url*."""

    url: str

    def environment(self, scratch: Path) -> dict[str, str]:
        """Return the variables by which a worker finds them."""
        return {
            "NEXUS_DATABASE_URL": f"sqlite:///{scratch / 'nexus.db'}",
            "NEXUS_SENDGRID_URL": f"{self.url}/sendgrid",
            "NEXUS_SENDGRID_API_KEY": "SG.sandbox.sandbox",
            "NEXUS_EMAIL_FROM": "Tube <hello@tube.example>",
            "NEXUS_APP_NAME": "Tube",
            "NEXUS_TWILIO_URL": f"{self.url}/twilio",
            "NEXUS_TWILIO_ACCOUNT_SID": "AC" + "0" * 31 + "1",
            "NEXUS_TWILIO_AUTH_TOKEN": "0" * 31 + "2",
            "NEXUS_TWILIO_PHONE_NUMBER": "+15005550006",
            "NEXUS_FCM_URL": f"{self.url}/fcm",
            "NEXUS_FIREBASE_SERVICE_ACCOUNT": self._get("fcm/service-account.json"),
            "NEXUS_SLACK_URL": f"{self.url}/slack/api",
            "NEXUS_SLACK_BOT_TOKEN": "xoxb-sandbox",
            "NEXUS_WEBHOOK_KEYS": KEY,
            "NEXUS_GUARD_ALLOW": self.url.removeprefix("http://"),
            "NEXUS_SANDBOX_URL": self.url,
            "NEXUS_SECRET_KEY": secrets.token_urlsafe(32),
            "NEXUS_ROUTES": "video.processed,analytics.report_generated",
            "NEXUS_REPORT_PAGE_URL": REPORT,
            "NEXUS_RESOLVE_RECIPIENT": f"{__name__}:{resolve.__name__}",
            "NEXUS_VIDEO_PAGE_URL": WATCH,
        }

    def tell(self, result: dict[str, Any], title: str) -> None:
        """Send the news that a video is ready by every channel, and wait for all.

        Raises:
            InternalError: One was not sent.
        """
        from nexus_actors.notifications import send_notification

        values = {
            "video_title": title,
            "video_url": WATCH.format(video_id=result["video_id"]),
            "duration_s": result["metadata"]["duration"],
        }
        message: dict[str, Any] = {"template": TEMPLATE, "template_data": values}
        sent = [
            send_notification.send(**{"type": kind, kind: target, **message})
            for kind, target in TARGETS.items()
        ]
        hook: dict[str, Any] = {
            "url": f"{self.url}/webhook/videos",
            "event": "video.processed",
        }
        hook |= {"data": {"video_id": result["video_id"], "title": title}}
        sent.append(send_notification.send(type="webhook", webhook=hook))
        for each in sent:
            record = jobs.wait(each.message_id, timeout_s=LONGEST_S)
            if record.state != "succeeded":
                why = (record.error or {}).get("message", record.state)
                raise InternalError(f"a notification was not sent: {why}")
        self.await_mails(1)

    def await_mails(self, count: int) -> None:
        """Wait until so many mails have come by the routes.

        Raises:
            InternalError: They do not.
        """
        ends = time.monotonic() + LONGEST_S
        while len(json.loads(self._get("truth"))["sendgrid"]) < count:
            if time.monotonic() > ends:
                raise InternalError(f"no mail was sent within {LONGEST_S} s")
            time.sleep(LOOK_S)

    def write(self, folder: Path) -> Path:
        """Write the page of what arrived, and the mail beside it."""
        truth: dict[str, list[dict[str, Any]]] = json.loads(self._get("truth"))
        parts: list[str] = []
        mails = 0
        for vendor, title in TITLES.items():
            for effect in truth[vendor]:
                details = effect["details"]
                text = escape(_told(details))
                frame = ""
                if details.get("html"):
                    mails += 1
                    mail = folder / f"arrived-mail-{mails}.html"
                    mail.write_text(details["html"], encoding="utf-8")
                    frame = f'<iframe src="{mail.name}" title="{title}"></iframe>'
                parts.append(f"<h2>{title}</h2>{frame}<pre>{text}</pre>")
        posts: dict[str, list[dict[str, Any]]] = json.loads(self._get("posts"))
        for platform, title in PLATFORMS.items():
            for post in posts.get(platform, ()):
                known = {name: value for name, value in post.items() if value}
                told = json.dumps(known, indent=2, ensure_ascii=False)
                parts.append(f"<h2>{title}</h2><pre>{escape(told)}</pre>")
        path = folder / PAGE
        path.write_text(HEAD + "".join(parts), encoding="utf-8")
        return path

    def _get(self, path: str) -> str:
        import requests

        with requests.Session() as session:
            session.trust_env = False  # no proxy of the machine's stands between
            answer = session.get(f"{self.url}/_sandbox/{path}", timeout=30)
        answer.raise_for_status()
        return answer.text


def resolve(user_id: str) -> dict[str, Any] | None:
    """Return where the demo's user is reached, as a host's own function does."""
    if user_id != USER:
        return None
    return {"email": {"to": "you@example.com", "name": "You"}}


HEAD: Final = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>What arrived</title>
<style>body { font: 1rem/1.5 sans-serif; max-width: 45rem; margin: 2rem auto;
padding: 0 1rem; } pre { white-space: pre-wrap; } iframe { width: 100%;
height: 36rem; border: 1px solid #8888; }</style>
<h1>What arrived at the vendors</h1>
"""


def _told(details: dict[str, Any]) -> str:
    """Return what a person reads of a delivery; of a webhook, what a program does."""
    if not details.get("text"):
        known = {name: details[name] for name in ("signed", "body")}
        return json.dumps(known, indent=2, ensure_ascii=False)
    return "\n".join(filter(None, (details.get("title"), details["text"])))


@contextmanager
def vendors() -> Iterator[Vendors | None]:
    """Run the sandbox; ``None`` where what the domains need is not installed."""
    try:
        from nexus_actors.notifications.base import providers
        from nexus_actors.sandbox import Sandbox, running

        for name in providers.names():
            providers.get(name)
        import css_inline  # noqa: F401 - of templates
    except (ImportError, MissingExtraError):
        yield None
        return
    with running(Sandbox()) as url:
        yield Vendors(url)
