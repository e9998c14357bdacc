"""From a request to what a provider delivers: addressed and rendered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nexus_actors.core import clock
from nexus_actors.core.errors import ConfigurationError, InvalidRequestError

from .content import Channel, ChatMessage, Content, Mail, Push, Sms, WebhookMessage
from .errors import TemplateError
from .models import (
    EmailTarget,
    PushTarget,
    Recipient,
    SendNotificationRequest,
    SlackTarget,
    SmsTarget,
    WebhookTarget,
)
from .settings import NotificationSettings
from .signature import check_keys
from .templates import Meta, Templates
from .text import one_line
from .unsubscribing import leaving


#: What is sent without a template is not known to be asked for.
PLAIN = Meta(category="other", transactional=False)


@dataclass(frozen=True, slots=True)
class Composer:
    """Makes content of requests."""

    settings: NotificationSettings
    templates: Templates

    def meta(self, request: SendNotificationRequest) -> Meta:
        """Return what the template of *request* says of itself."""
        return self.templates.meta(request.template) if request.template else PLAIN

    def compose(
        self, request: SendNotificationRequest, person: Recipient, channel: Channel
    ) -> tuple[Content, str]:
        """Return the content, and the address that it goes to.

        Raises:
            TemplateError: The template is broken, or lacks a value.
            InvalidRequestError: There is neither a template nor words.
            ConfigurationError: A setting that it needs is missing.
        """
        target = getattr(person, channel.value)
        match channel:
            case Channel.EMAIL:
                return self._mail(request, person, target), target.to
            case Channel.SMS:
                return self._sms(request, person, target), target.to
            case Channel.PUSH:
                push = self._push(request, person, target)
                return push, push.target
            case Channel.CHAT:
                return self._chat(request, person, target), target.channel
            case Channel.WEBHOOK:
                return self._webhook(target), target.url

    def _mail(
        self, request: SendNotificationRequest, person: Recipient, target: EmailTarget
    ) -> Mail:
        settings = self.settings
        if settings.email_from is None:
            raise ConfigurationError("EMAIL_FROM is not set: mail needs a sender")
        parts: dict[str, Any] = {}
        if request.template:
            parts = self._rendered(self.templates.mail, request, person)
        subject = target.subject or parts.get("subject")
        text = target.text or parts.get("text")
        if not subject or not text:
            raise _no_words("email", "subject and text")
        return Mail(
            to=target.to,
            to_name=target.name and one_line(target.name),
            sender=settings.email_from,
            reply_to=target.reply_to or settings.email_reply_to,
            subject=subject,
            text=text,
            html=target.html or parts.get("html"),
            category=request.template,
            headers=self._leaving(request, target),
        )

    def _leaving(
        self, request: SendNotificationRequest, target: EmailTarget
    ) -> dict[str, str]:
        """Return the headers by which a person leaves a category that they may leave.

        What is asked for, or required, has none; nor has what names no category.
        """
        meta = self.meta(request)
        named = request.category or (request.template and meta.category)
        if not named or meta.transactional or meta.required:
            return {}
        return leaving(
            self.settings, category=named, user_id=request.user_id, address=target.to
        )

    def _sms(
        self, request: SendNotificationRequest, person: Recipient, target: SmsTarget
    ) -> Sms:
        body = target.body
        if body is None and request.template:
            body = self._rendered(self.templates.sms, request, person)
        if not body:
            raise _no_words("sms", "body")
        return Sms(to=target.to, body=body)

    def _push(
        self, request: SendNotificationRequest, person: Recipient, target: PushTarget
    ) -> Push:
        parts: dict[str, Any] = {}
        if request.template:
            parts = self._rendered(self.templates.push, request, person)
        title = target.title or parts.get("title")
        body = target.body or parts.get("body")
        if not title or not body:
            raise _no_words("push", "title and body")
        return Push(
            target=target.fid or target.topic or target.token or "",
            kind="fid" if target.fid else "topic" if target.topic else "token",
            title=one_line(title),
            body=body,
            image=target.image or parts.get("image"),
            link=target.link or parts.get("link"),
            data={**parts.get("data", {}), **target.data},
            urgent=self.meta(request).urgent,
        )

    def _chat(
        self, request: SendNotificationRequest, person: Recipient, target: SlackTarget
    ) -> ChatMessage:
        parts: dict[str, Any] = {}
        if request.template and not target.text:
            parts = self._rendered(self.templates.slack, request, person)
        text = target.text or parts.get("text")
        if not text:
            raise _no_words("slack", "text")
        return ChatMessage(
            to=target.channel,
            text=text,
            blocks=tuple(target.blocks or parts.get("blocks", ())),
            thread=target.thread,
        )

    def _webhook(self, target: WebhookTarget) -> WebhookMessage:
        keys = target.keys or self.settings.keys()
        if not keys:
            raise ConfigurationError(
                "a webhook needs a key: give webhook.keys or set NEXUS_WEBHOOK_KEYS"
            )
        check_keys(keys)
        return WebhookMessage(
            url=target.url,
            keys=keys,
            plain=target.plain,
            type=target.event,
            at=clock.now(),
            data=target.data,
        )

    def _rendered(
        self, render: Any, request: SendNotificationRequest, person: Recipient
    ) -> Any:
        zone = person.zone or self.settings.default_zone
        values: Mapping[str, Any] = {"zone": zone, **person.template_data}
        locale = person.locale or self.settings.default_locale
        if request.template is None:
            raise TemplateError("no template is named")
        return render(request.template, values, locale)


def _no_words(block: str, fields: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"there is nothing to say: name a template, or give {block}.{fields}"
    )
