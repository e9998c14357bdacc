"""Slack's Web API, as far as notifications use it, and incoming webhooks."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Sequence
from typing import Any, Final

from pydantic import Field, PositiveFloat, PositiveInt
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from nexus_actors.sandbox.base import Clock, Refusal, Settings, Vendor
from nexus_actors.sandbox.limits import Allowance, RateLimit

from .arguments import Arguments, SlackError, invalid, read, structured
from .blocks import MAX_CHARACTERS, characters, is_list_of_objects, problems, readable


TEAM: Final = "T0SANDBOX01"
APP: Final = "A0SANDBOX01"
BOT: Final = "B0SANDBOX01"
BOT_USER: Final = "U0SANDBOT01"
HOOK: Final = "B0SANDBOX02"

MAX_TEXT: Final = 40_000
MAX_ATTACHMENTS: Final = 100
MAX_METADATA: Final = 8000
MAX_HISTORY: Final = 999

#: What incoming webhooks answer, by the error of a message.
HOOK_STATUSES: Final = {
    "action_prohibited": 403,
    "channel_is_archived": 410,
    "channel_not_found": 404,
    "no_service": 404,
    "posting_to_general_channel_denied": 403,
}

#: The scope that each method needs.
SCOPES: Final = {
    "auth.test": "",
    "chat.postMessage": "chat:write",
    "chat.update": "chat:write",
    "conversations.open": "im:write",
    "conversations.history": "channels:history",
    "conversations.replies": "channels:history",
}

READS: Final = frozenset(
    ("auth.test", "conversations.history", "conversations.replies")
)


class Channel(Settings):
    """A channel of the workspace.

    Attributes:
        archived: Nothing can be posted any more.
        member: Whether the app is in it.
        error: What is answered to each message instead: ``restricted_action``, say.
    """

    name: str
    archived: bool = False
    member: bool = True
    error: str = ""


class SlackSettings(Settings):
    """How Slack behaves.

    Attributes:
        tokens: Those that are valid.
        revoked_tokens: Those that were taken back.
        expired_tokens: Those that are too old.
        inactive_tokens: Those of an app or workspace that was deleted.
        scopes: What the tokens may be used for.
        channels: By id, the channels that there are.
        users: By id, the names of the people.
        webhooks: By path (the part after ``/services/``), the channel of a webhook.
        per_channel: How many messages a channel takes in a window.
        per_workspace: How many the workspace takes in a minute.
        window_s: The length of a channel's window; so many messages are one a second,
            with short bursts.
        edit_window_s: How long a message can be changed; None is for ever.
    """

    tokens: tuple[str, ...] = ("xoxb-sandbox",)
    revoked_tokens: tuple[str, ...] = ()
    expired_tokens: tuple[str, ...] = ()
    inactive_tokens: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ("chat:write", "im:write", "channels:history")
    channels: dict[str, Channel] = Field(
        default_factory=lambda: {
            "C0SANDBOX01": Channel(name="general"),
            "C0SANDBOX02": Channel(name="videos"),
        }
    )
    users: dict[str, str] = Field(default_factory=lambda: {"U0SANDBOX01": "ann"})
    webhooks: dict[str, str] = Field(
        default_factory=lambda: {f"{TEAM}/{HOOK}/sandbox": "C0SANDBOX02"}
    )
    per_channel: PositiveInt = 5
    window_s: PositiveFloat = 5
    per_workspace: PositiveInt = 300
    edit_window_s: PositiveFloat | None = None


class Slack(Vendor[SlackSettings]):
    """Takes messages, and keeps what stands in each channel."""

    name = "slack"
    defaults = SlackSettings()

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._limit = RateLimit(clock)
        self._posted: dict[str, dict[str, dict[str, Any]]] = {}
        self._open: dict[str, str] = {}
        self._count = 0

    def routes(self) -> Sequence[BaseRoute]:
        return [
            Route("/api/{method}", self.call, methods=["GET", "POST"]),
            Route("/services/{path:path}", self.hook, methods=["POST"]),
        ]

    def refuse_path(self, _: Request, status: int) -> Response:
        return PlainTextResponse("no_service" if status == 404 else "", status)  # noqa: PLR2004

    # the Web API

    async def call(self, request: Request) -> Response:
        """Answer a method."""
        body, method = await request.body(), request.path_params["method"]
        headers = {"X-Slack-Req-Id": secrets.token_hex(16)}
        arguments = Arguments({})
        try:
            arguments = self._arguments(method, request, body)
            headers["X-OAuth-Scopes"] = ",".join(self.settings.scopes)
            headers["X-Accepted-OAuth-Scopes"] = SCOPES[method]
            self._check_scope(method)
            answer = {"ok": True} | self._methods()[method](request, arguments)
        except SlackError as error:
            answer = {"ok": False, "error": error.code} | error.more
        if arguments.warnings:
            answer["warning"] = ",".join(arguments.warnings)
            metadata = answer.get("response_metadata", {})
            answer["response_metadata"] = metadata | {"warnings": arguments.warnings}
        return JSONResponse(answer, headers=headers)

    def _arguments(self, method: str, request: Request, body: bytes) -> Arguments:
        if method not in SCOPES:
            raise SlackError("unknown_method", req_method=method)
        arguments = read(request, body, writes=method not in READS)
        self._authorize(request, arguments)
        return arguments

    def _methods(self) -> dict[str, Callable[[Request, Arguments], dict[str, Any]]]:
        return {
            "auth.test": self.auth_test,
            "chat.postMessage": self.post_message,
            "chat.update": self.update,
            "conversations.open": self.open,
            "conversations.history": self.history,
            "conversations.replies": self.replies,
        }

    def _authorize(self, request: Request, arguments: Arguments) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            token = arguments.text("token")
        settings = self.settings
        errors = {
            "not_authed": ("",),
            "token_revoked": settings.revoked_tokens,
            "token_expired": settings.expired_tokens,
            "account_inactive": settings.inactive_tokens,
        }
        for error, tokens in errors.items():
            if token in tokens:
                raise SlackError(error)
        if token not in settings.tokens:
            raise SlackError("invalid_auth")

    def _check_scope(self, method: str) -> None:
        needed, provided = SCOPES[method], self.settings.scopes
        if needed and needed not in provided:
            text = ",".join(provided)
            raise SlackError("missing_scope", needed=needed, provided=text)

    def auth_test(self, _: Request, __: Arguments) -> dict[str, Any]:
        """Tell whose the token is."""
        return {
            "url": "https://sandbox.slack.com/",
            "team": "Sandbox",
            "user": "sandbox",
            "team_id": TEAM,
            "user_id": BOT_USER,
            "bot_id": BOT,
            "is_enterprise_install": False,
        }

    def post_message(self, request: Request, arguments: Arguments) -> dict[str, Any]:
        """Post a message."""
        channel = self._channel(arguments.needed("channel"))
        content = self._content(arguments)
        thread = arguments.text("thread_ts")
        if thread:
            if thread not in self._posted.get(channel, {}):
                raise SlackError("thread_not_found")
            content["thread_ts"] = thread
        self._limit_rate(channel)
        message = self._post(request, channel, content)
        return {
            "channel": channel,
            "ts": message["ts"],
            "message": _without_metadata(message),
        }

    def update(self, request: Request, arguments: Arguments) -> dict[str, Any]:
        """Change a message that the app has posted."""
        channel, ts = self._channel(arguments.needed("channel")), arguments.needed("ts")
        message = self._posted.get(channel, {}).get(ts)
        if message is None:
            raise SlackError("message_not_found")
        if message.get("user") != BOT_USER:
            raise SlackError("cant_update_message")
        window = self.settings.edit_window_s
        if window is not None and self.clock.now() - float(ts) > window:
            raise SlackError("edit_window_closed")
        content = self._content(arguments)
        # what is not given stays as it was, and an empty list takes it away
        for name in ("blocks", "attachments"):
            if name in arguments.values and name not in content:
                message = {n: v for n, v in message.items() if n != name}
        edited = {"user": BOT_USER, "ts": self._new_ts()}
        message = message | content | {"edited": edited}
        self._posted[channel][ts] = message
        self.took_effect("update", ts, request, **self._told(channel, message))
        return {
            "channel": channel,
            "ts": ts,
            "text": message["text"],
            "message": _without_metadata(message),
        }

    def open(self, _: Request, arguments: Arguments) -> dict[str, Any]:
        """Open a conversation with some people."""
        users = sorted(filter(None, arguments.text("users").split(",")))
        if not users:
            raise SlackError("users_list_not_supplied")
        if any(user.strip() not in self.settings.users for user in users):
            raise SlackError("user_not_found")
        return {"channel": {"id": self._direct([user.strip() for user in users])}}

    def history(self, _: Request, arguments: Arguments) -> dict[str, Any]:
        """Tell the messages of a channel, the latest first."""
        channel = self._channel(arguments.needed("channel"), posts=False)
        posted = self._posted.get(channel, {}).values()
        heads = [message for message in posted if "thread_ts" not in message]
        told = _page(arguments, heads[::-1])
        actions = {"channel_actions_ts": None, "channel_actions_count": 0}
        return {**told, "pin_count": 0, **actions}

    def replies(self, _: Request, arguments: Arguments) -> dict[str, Any]:
        """Tell the messages of a thread, its head and then the earliest first."""
        channel = self._channel(arguments.needed("channel"), posts=False)
        posted, thread = self._posted.get(channel, {}), arguments.needed("ts")
        if thread not in posted:
            raise SlackError("thread_not_found")
        said = [m for m in posted.values() if m.get("thread_ts") == thread]
        told = _page(arguments, said)
        return {**told, "messages": [posted[thread], *told["messages"]]}

    # incoming webhooks

    async def hook(self, request: Request) -> Response:
        """Take a message by an incoming webhook."""
        body, path = await request.body(), request.path_params["path"]
        try:
            channel = self._hooked(path)
            arguments = self._payload(request, body)
            content = self._content(arguments)
            self._limit_rate(channel, hook=True)
            self._post(request, channel, content, hook=True)
        except SlackError as error:
            code = error.code.replace("is_archived", "channel_is_archived")
            return PlainTextResponse(code, HOOK_STATUSES.get(code, 400))
        return PlainTextResponse("ok")

    def _hooked(self, path: str) -> str:
        if path not in self.settings.webhooks:
            raise SlackError("no_service")
        return self._channel(self.settings.webhooks[path])

    def _payload(self, request: Request, body: bytes) -> Arguments:
        try:
            arguments = read(request, body, writes=True)
            if "payload" in arguments.values:  # the older way: a field of a form
                payload = structured(arguments, "payload", "invalid_payload")
                arguments = Arguments(payload if isinstance(payload, dict) else {})
        except SlackError as error:
            raise SlackError("invalid_payload") from error
        return arguments

    # messages

    def _channel(self, wanted: str, *, posts: bool = True) -> str:
        """Return the id of a channel, of a person's own, or by its name."""
        channels = self.settings.channels
        if wanted in self.settings.users:
            return self._direct([wanted])
        if wanted in self._open:
            return wanted
        names = {channel.name: id_ for id_, channel in channels.items()}
        id_ = wanted if wanted in channels else names.get(wanted.removeprefix("#"), "")
        if not id_:
            raise SlackError("channel_not_found")
        channel = channels[id_]
        if not channel.member:
            raise SlackError("not_in_channel")
        if posts and channel.archived:
            raise SlackError("is_archived")
        if posts and channel.error:
            raise SlackError(channel.error)
        return id_

    def _direct(self, users: list[str]) -> str:
        digest = hashlib.sha256(",".join(users).encode()).hexdigest().upper()
        id_ = ("D" if len(users) == 1 else "C") + digest[:10]
        self._open[id_] = ", ".join(self.settings.users[user] for user in users)
        return id_

    def _content(self, arguments: Arguments) -> dict[str, Any]:
        """Return the text, the blocks and the rest of a message.

        Raises:
            SlackError: There is none, or Slack refuses it.
        """
        text = arguments.text("text")
        markdown = arguments.text("markdown_text")
        blocks = structured(arguments, "blocks", "invalid_blocks_format")
        attachments = structured(arguments, "attachments", "invalid_attachments")
        if markdown and (text or blocks):
            raise SlackError("markdown_text_conflict")
        if not (text.strip() or markdown or blocks or attachments):
            raise SlackError("no_text")
        _check_blocks(blocks)
        if attachments and not is_list_of_objects(attachments):
            raise SlackError("invalid_attachments")
        if attachments and len(attachments) > MAX_ATTACHMENTS:
            raise SlackError("too_many_attachments")
        content: dict[str, Any] = {"text": (text or markdown)[:MAX_TEXT]}
        if len(text) > MAX_TEXT:
            arguments.warnings.append("message_truncated")
        if blocks:
            content["blocks"] = [
                {"block_id": secrets.token_urlsafe(4)} | block for block in blocks
            ]
        if attachments:
            content["attachments"] = attachments
        metadata = structured(arguments, "metadata", "invalid_metadata_format")
        if metadata is not None:
            _check_metadata(metadata)
            content["metadata"] = metadata
        return content

    def _limit_rate(self, channel: str, *, hook: bool = False) -> None:
        settings = self.settings
        windows = [
            self._limit.take(settings.per_channel, settings.window_s, channel),
            self._limit.take(settings.per_workspace, 60),
        ]
        for window in windows:
            if not window.granted:
                raise _rate_limited(window, hook=hook)

    def _post(
        self,
        request: Request,
        channel: str,
        content: dict[str, Any],
        *,
        hook: bool = False,
    ) -> dict[str, Any]:
        author = (
            {"subtype": "bot_message", "bot_id": HOOK}
            if hook
            else {"user": BOT_USER, "bot_id": BOT, "app_id": APP, "team": TEAM}
        )
        message = {"type": "message", "ts": self._new_ts()} | author | content
        self._posted.setdefault(channel, {})[message["ts"]] = message
        details = self._told(channel, message)
        self.took_effect("message", message["ts"], request, **details)
        return message

    def _new_ts(self) -> str:
        self._count += 1
        return f"{int(self.clock.now())}.{self._count:06d}"

    def _told(self, channel: str, message: dict[str, Any]) -> dict[str, Any]:
        known = self.settings.channels.get(channel)
        return {
            "to": f"#{known.name}" if known else self._open[channel],
            "text": readable(message.get("blocks", [])) or message["text"],
            "channel": channel,
            "message": message,
        }


def _without_metadata(message: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in message.items() if name != "metadata"}


def _check_blocks(blocks: Any) -> None:
    if not blocks:
        return
    if not is_list_of_objects(blocks):
        raise SlackError("invalid_blocks_format")
    found = list(problems(blocks))
    if found:
        raise invalid("invalid_blocks", *found)
    if characters(blocks) > MAX_CHARACTERS:
        raise SlackError("msg_blocks_too_long")


def _check_metadata(metadata: Any) -> None:
    if not isinstance(metadata, dict):
        raise SlackError("invalid_metadata_format")
    type_, payload = metadata.get("event_type"), metadata.get("event_payload")
    if not isinstance(type_, str) or not type_ or not isinstance(payload, dict):
        raise SlackError("invalid_metadata_schema")
    if len(str(payload)) > MAX_METADATA:
        raise SlackError("metadata_too_large")


def _rate_limited(window: Allowance, *, hook: bool) -> Refusal:
    headers = {"Retry-After": str(window.retry_after)}
    if not hook:
        return Refusal(429, {"ok": False, "error": "ratelimited"}, headers)
    refusal = Refusal(429, None)
    refusal.response = PlainTextResponse("rate_limited", 429, headers)
    return refusal


def _page(arguments: Arguments, messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Return of *messages* those that are asked for.

    Raises:
        SlackError: The limit is none.
    """
    limit = arguments.text("limit") or "100"
    if not (limit.isascii() and limit.isdigit()) or not int(limit[:9]) >= 1:
        raise SlackError("invalid_limit")
    size = min(int(limit[:9]), MAX_HISTORY)
    oldest, latest = arguments.text("oldest") or "0", arguments.text("latest")
    inclusive = arguments.is_true("inclusive")
    found = [
        message
        for message in messages
        if (_is_after(ts := message["ts"], oldest) or (inclusive and ts == oldest))
        and (not latest or _is_after(latest, ts) or (inclusive and ts == latest))
    ]
    if not arguments.is_true("include_all_metadata"):
        found = [_without_metadata(message) for message in found]
    return {"messages": found[:size], "has_more": len(found) > size}


def _is_after(ts: str, other: str) -> bool:
    """Tell whether *ts* is later than *other*.

    Raises:
        SlackError: One of them is no time.
    """
    try:
        return float(ts) > float(other)
    except ValueError:
        raise SlackError("invalid_ts_latest") from None
