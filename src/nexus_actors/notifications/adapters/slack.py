"""Slack: messages in channels and to people, by ``chat.postMessage``.

The SDK spells the requests; one method of it is replaced, so that they go over our own
connections: it would open one for each call and repeat a call whose answer was lost.
The delivery's id stands in the message's metadata, by which it is found again.
"""

from __future__ import annotations

import logging
import re
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, ClassVar, Final, Self
from urllib.request import Request

from slack_sdk.errors import SlackClientError
from slack_sdk.web import WebClient

from nexus_actors.core import clock
from nexus_actors.core.errors import (
    AuthorizationError,
    NexusError,
    Postponed,
    RejectedError,
    RemoteUnavailableError,
    UnknownOutcomeError,
)
from nexus_actors.core.http import Answer, ApiClient, Call
from nexus_actors.notifications.base import LIMITS, Provider, Receipt
from nexus_actors.notifications.content import Channel, ChatMessage
from nexus_actors.notifications.errors import TargetGoneError
from nexus_actors.notifications.settings import SlackSettings


#: Error strings of chat.postMessage, by what they mean for us; a string that is not
#: here is a refusal.  The list is the method's reference of 2026-08.
GONE: Final = frozenset(
    [
        "channel_not_found",
        "is_archived",
        "not_in_channel",
        "messages_tab_disabled",
        "user_not_found",
        "team_not_found",
    ]
)
OURS: Final = frozenset(
    [
        "not_authed",
        "invalid_auth",
        "account_inactive",
        "token_revoked",
        "token_expired",
        "missing_scope",
        "no_permission",
        "not_allowed_token_type",
        "access_denied",
        "accesslimited",
        "is_bot",
        "app_access_restricted",
        "ekm_access_denied",
        "enterprise_is_restricted",
        "two_factor_setup_required",
    ]
)
LATER: Final = frozenset(
    [
        "service_unavailable",
        "request_timeout",
        "team_added_to_org",
        "org_login_required",
    ]
)
LIMITED: Final = frozenset({"ratelimited", "rate_limited", "message_limit_exceeded"})
LIMITED_FOR: Final = timedelta(minutes=1)

#: The message may have been posted all the same.
MAYBE: Final = frozenset({"internal_error", "fatal_error"})

#: What our metadata is called.
EVENT: Final = "nexus_delivery"

#: Methods that post nothing.
READS: Final = ("conversations.history", "conversations.open", "conversations.replies")

#: By how much Slack's clock may be behind ours.
SKEW: Final = timedelta(minutes=2)

#: How many of the newest messages of a channel are looked through.
LOOKED_AT: Final = 100

IDS: Final = re.compile(r"[CDG][A-Z0-9]{6,}")
PEOPLE: Final = re.compile(r"[UW][A-Z0-9]{6,}")


class SlackApiClient(ApiClient):
    """Reads Slack's answers: the verdict of a call is in its body."""

    def judge(self, answer: Answer) -> NexusError | None:
        """Return what *answer* means."""
        if answer.status == HTTPStatus.SERVICE_UNAVAILABLE:
            limited = "Retry-After" in answer.headers
            late = RemoteUnavailableError("is not available")
            return super().judge(answer) if limited else late
        error = super().judge(answer)
        if error is not None:
            return error
        said = answer.json()
        if isinstance(said, dict) and said.get("ok"):
            return None
        word = str(said.get("error", "")) if isinstance(said, dict) else ""
        return _verdict(word, answer.call)


class _WebClient(WebClient):
    """The SDK's client, over our connections; our errors pass through it."""

    def __init__(self, client: ApiClient, **options: Any) -> None:
        super().__init__(**options, retry_handlers=[], logger=_quiet())
        self._api = client

    def _perform_urllib_http_request_internal(
        self, url: str, req: Request
    ) -> dict[str, Any]:
        body = req.data if isinstance(req.data, bytes) else b""
        reads = url.endswith(READS)
        call = Call(
            "POST", url, body=body, headers=dict(req.header_items()), idempotent=reads
        )
        answer = self._api.send(call)
        text = answer.body.decode(errors="replace")
        return {"status": answer.status, "headers": answer.headers, "body": text}


class SlackProvider(Provider[ChatMessage]):
    name: ClassVar[str] = "slack"
    channels: ClassVar[frozenset[Channel]] = frozenset({Channel.CHAT})
    can_find: ClassVar[bool] = True

    def __init__(self, settings: SlackSettings) -> None:
        client = SlackApiClient(name="Slack", limits=LIMITS)
        url = f"{settings.at('slack_url', 'slack/api')}/"
        self._sdk = _WebClient(client, token=settings.token(), base_url=url)
        # none of the machine's: our session knows where its requests may go
        self._sdk.proxy = None

    @classmethod
    def connect(cls) -> Self:
        return cls(SlackSettings.load())

    def limited_with(self, content: ChatMessage) -> str:
        return content.to

    def deliver(self, content: ChatMessage, *, delivery_id: str) -> Receipt:
        try:
            said = self._sdk.chat_postMessage(
                channel=content.to,
                text=content.text,
                blocks=[dict(block) for block in content.blocks] or None,
                thread_ts=content.thread,
                unfurl_links=False,
                unfurl_media=False,
                metadata={
                    "event_type": EVENT,
                    "event_payload": {"delivery_id": delivery_id},
                },
            )
            return _receipt(str(said["channel"]), str(said["ts"]))
        except (SlackClientError, LookupError) as error:
            raise UnknownOutcomeError(
                "Slack: the answer cannot be read; the message may have been posted"
            ) from error

    def find(
        self, content: ChatMessage, *, delivery_id: str, since: datetime
    ) -> Receipt | None:
        try:
            channel = self._channel(content.to)
            wanted: dict[str, Any] = {
                "channel": channel,
                "oldest": f"{(since - SKEW).timestamp():.6f}",
                "limit": LOOKED_AT,
                "include_all_metadata": True,
            }
            if content.thread:  # whose messages the channel's history does not have
                said = self._sdk.conversations_replies(ts=content.thread, **wanted)
            else:
                said = self._sdk.conversations_history(**wanted)
            messages = said["messages"]
        except (
            AuthorizationError,
            RejectedError,
            SlackClientError,
            LookupError,
        ) as error:
            raise UnknownOutcomeError(
                "Slack: the channel cannot be read to see what was posted; give the "
                "app the scope channels:history"
            ) from error
        for message in messages:
            payload = (message.get("metadata") or {}).get("event_payload") or {}
            if payload.get("delivery_id") == delivery_id:
                return _receipt(channel, str(message["ts"]))
        if said.get("has_more"):
            raise UnknownOutcomeError("Slack: there are too many messages to look at")
        return None

    def _channel(self, to: str) -> str:
        """Return the id of a conversation: its history is not read by name."""
        if PEOPLE.fullmatch(to):
            said = self._sdk.conversations_open(users=to)
            return str(said["channel"]["id"])
        if not IDS.fullmatch(to):
            raise UnknownOutcomeError(
                "Slack: a channel that is named cannot be read; address it by its id"
            )
        return to


def _verdict(word: str, call: Call) -> NexusError:
    if word in LIMITED:
        return Postponed(
            "has had too many messages from us for now",
            code="rate_limited",
            until=clock.now() + LIMITED_FOR,
        )
    if word in GONE:
        return TargetGoneError(f"cannot post there: {word}")
    if word in OURS:
        return AuthorizationError(f"{word}: see SLACK_BOT_TOKEN and its scopes")
    if word in MAYBE:
        return call.lost(word)
    if word in LATER:
        return RemoteUnavailableError(word)
    # what is no word is not Slack's: nothing of it is told
    known = re.fullmatch(r"[a-z_]{1,60}", word)
    return RejectedError(f"refused the message: {word if known else 'no reason'}")


def _receipt(channel: str, ts: str) -> Receipt:
    return Receipt(
        provider_id=f"{channel}:{ts}", details={"channel": channel, "ts": ts}
    )


def _quiet() -> logging.Logger:
    """Return a logger that the SDK does not even make its texts for: they hold all."""
    logger = logging.getLogger("nexus_actors.notifications.slack_sdk")
    logger.setLevel(logging.CRITICAL)
    return logger
