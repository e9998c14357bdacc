"""Twilio's Messages, of the API of 2010-04-01."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from pydantic import Field, PositiveFloat, PositiveInt
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from nexus_actors.sandbox.base import Callback, Clock, Event, Settings, Vendor
from nexus_actors.sandbox.limits import RateLimit

from .api import credentials, form, refusal
from .callbacks import callbacks, events
from .message import (
    MAGIC_FROM,
    MAGIC_TO,
    NUMBER,
    Message,
    Step,
    check_content,
    check_options,
    is_sender,
    scheduled_at,
    segments,
)


VERSION: Final = "2010-04-01"

#: How many messages a page of a list has, and may have.
PAGE: Final = 50
MAX_PAGE: Final = 1000

#: A status of a message, with the code that says why if it is a failure.
Outcome = Annotated[
    str, Field(pattern=r"^(sending|sent|delivered|read|(undelivered|failed):\d{5})$")
]


class TwilioSettings(Settings):
    """How Twilio behaves.

    Attributes:
        account_sid: The only account.
        auth_token: Its token, which also signs callbacks.
        api_keys: By SID, the secrets of keys that may be used instead.
        numbers: What messages may come from.
        messaging_services: The SIDs of those that there are.
        opted_out: Numbers that have answered STOP.
        refused: By number, the code with which a message to it is refused.
        regions: What numbers may begin with; None is anywhere.
        verified_numbers: The only ones that a trial account reaches; None: it is none.
        outcomes: By number, the statuses of a message after the first:
            ``undelivered:30003``, say; those to all others are sent and delivered.
        step_s: The time between two statuses.
        segments_per_s: How fast a number sends what is queued.
        queue_s: How much may be queued for a number.
        requests_per_s: How many are taken.
        status_callback: Told of messages that name no address of their own.
        shared_key: The id and secret of a key that signs callbacks by SHA-256.
    """

    account_sid: str = "AC" + "0" * 31 + "1"
    auth_token: str = "0" * 31 + "2"
    api_keys: dict[str, str] = Field(
        default_factory=lambda: {"SK" + "0" * 31 + "3": "sandbox"}
    )
    numbers: tuple[str, ...] = ("+15005550006",)
    messaging_services: tuple[str, ...] = ("MG" + "0" * 31 + "4",)
    opted_out: tuple[str, ...] = ()
    refused: dict[str, int] = Field(default_factory=dict)
    regions: tuple[str, ...] | None = None
    verified_numbers: tuple[str, ...] | None = None
    outcomes: dict[str, tuple[Outcome, ...]] = Field(default_factory=dict)
    step_s: PositiveFloat = 1
    segments_per_s: PositiveFloat = 100
    queue_s: PositiveFloat = 4 * 3600
    requests_per_s: PositiveInt = 100
    status_callback: str = ""
    shared_key: tuple[str, str] | None = None


class Twilio(Vendor[TwilioSettings]):
    """Takes messages, and knows what became of them."""

    name = "twilio"
    defaults = TwilioSettings()

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._limit = RateLimit(clock)
        self._messages: dict[str, Message] = {}
        self._queues: dict[str, float] = {}

    def routes(self) -> Sequence[BaseRoute]:
        messages = f"/{VERSION}/Accounts/{{account}}/Messages"
        return [
            self._route("POST", f"{messages}.json", self.create),
            self._route("GET", f"{messages}.json", self.find),
            self._route("POST", f"{messages}/{{sid}}.json", self.update),
            self._route("GET", f"{messages}/{{sid}}.json", self.fetch),
            self._route("DELETE", f"{messages}/{{sid}}.json", self.delete),
        ]

    def refuse_path(self, request: Request, status: int) -> Response:
        if status == 405:  # noqa: PLR2004
            return refusal(20004).response
        return refusal(20404, self._path(request)).response

    def _route(
        self, method: str, path: str, handler: Callable[[Request, bytes], Response]
    ) -> BaseRoute:
        async def endpoint(request: Request) -> Response:
            body = await request.body()
            self._authorize(request)
            if not self._limit.take(self.settings.requests_per_s, 1).granted:
                raise refusal(20429)
            return handler(request, body)

        return Route(path, endpoint, methods=[method])

    def _authorize(self, request: Request) -> None:
        user, password = credentials(request)
        settings = self.settings
        known = settings.api_keys | {settings.account_sid: settings.auth_token}
        account = request.path_params["account"]
        if not password or known.get(user) != password:
            raise refusal(20003)
        if account != settings.account_sid:
            raise refusal(20003)

    # messages

    def create(self, request: Request, body: bytes) -> Response:
        """Take a message."""
        fields = form(body)
        to, service = _one(fields, "To"), _one(fields, "MessagingServiceSid")
        sender = _one(fields, "From")
        if sender.startswith("MG") and not service:
            sender, service = "", sender
            fields["MessagingServiceSid"] = [service]
        check_content(fields)
        self._check_numbers(to, sender, service)
        check_options(fields)
        send_at = scheduled_at(fields, self.clock.now())
        media = fields.get("MediaUrl", [])
        message = Message(
            sid=("MM" if media else "SM") + secrets.token_hex(16),
            to=to,
            sender=sender or None,
            service=service or None,
            body=_one(fields, "Body"),
            media=media,
            callback=_one(fields, "StatusCallback") or None,
        )
        message.steps = self._steps(message, send_at)
        self._messages[message.sid] = message
        self.took_effect("message", message.sid, request, **_told(message, fields))
        return JSONResponse(self._json(message), 201)

    def _check_numbers(self, to: str, sender: str, service: str) -> None:
        if not to:
            raise refusal(21604)
        if not sender and not service:
            raise refusal(21603)
        if not NUMBER.fullmatch(to):
            raise refusal(21211, to)
        if service and service not in self.settings.messaging_services:
            raise refusal(21701, service)
        if sender:
            self._check_sender(to, sender)
        self._check_recipient(to, sender)

    def _check_sender(self, to: str, sender: str) -> None:
        if sender in MAGIC_FROM:
            raise refusal(MAGIC_FROM[sender], sender)
        if not is_sender(sender):
            raise refusal(21212, sender)
        if sender == to:
            raise refusal(21266, to)
        if sender not in self.settings.numbers:
            raise refusal(21606, sender)
        if sender.startswith("whatsapp:") != to.startswith("whatsapp:"):
            raise refusal(21910)

    def _check_recipient(self, to: str, sender: str) -> None:
        settings, number = self.settings, to.removeprefix("whatsapp:")
        refused = MAGIC_TO | settings.refused
        if number in refused:
            raise refusal(refused[number], to, sender)
        if number in settings.opted_out:
            raise refusal(21610)
        verified = settings.verified_numbers
        if verified is not None and number not in verified:
            raise refusal(21608, to)
        regions = settings.regions
        if regions is not None and not number.startswith(regions):
            raise refusal(21408, to)

    def _steps(self, message: Message, send_at: float | None) -> list[Step]:
        """Return all that will become of a message."""
        now, settings = self.clock.now(), self.settings
        if send_at is not None:
            steps, at = [Step(now, "scheduled"), Step(send_at, "accepted")], send_at
        else:
            first = "accepted" if message.service else "queued"
            steps, at = [Step(now, first)], self._wait(message)
        if message.service:
            at += settings.step_s
            steps.append(Step(at, "queued"))
        number = message.to.removeprefix("whatsapp:")
        for outcome in settings.outcomes.get(number, ("sent", "delivered")):
            at += settings.step_s
            status, _, code = outcome.partition(":")
            steps.append(Step(at, status, int(code) if code else None))
        return steps

    def _wait(self, message: Message) -> float:
        """Put a message into the queue of its number; return when it is its turn."""
        now, settings = self.clock.now(), self.settings
        queue = message.sender or message.service or ""
        turn = max(now, self._queues.get(queue, now))
        if turn - now > settings.queue_s:
            raise refusal(21611, queue)
        size = segments(message.body)
        self._queues[queue] = turn + size / settings.segments_per_s
        return turn

    def find(self, request: Request, _: bytes) -> Response:
        """Tell the messages, the latest first."""
        query = request.query_params
        size = min(max(_number(query.get("PageSize"), PAGE), 1), MAX_PAGE)
        page = _number(query.get("Page"), 0)
        found = list(self._wanted(request))
        here = found[page * size : (page + 1) * size]
        path = self._path(request)

        def at(number: int) -> str:
            kept = {k: v for k, v in query.items() if k != "PageToken"}
            return f"{path}?{urlencode(kept | {'PageSize': size, 'Page': number})}"

        more = len(found) > (page + 1) * size
        answer = {
            "messages": [self._json(message) for message in here],
            "uri": at(page),
            "page": page,
            "page_size": size,
            "start": page * size,
            "end": page * size + max(len(here) - 1, 0),
            "first_page_uri": at(0),
            "next_page_uri": at(page + 1) if more else None,
            "previous_page_uri": at(page - 1) if page else None,
        }
        return JSONResponse(answer)

    def _wanted(self, request: Request) -> Iterator[Message]:
        query, now = request.query_params, self.clock.now()
        for message in reversed(self._messages.values()):
            # what was not sent yet is found by the day on which it was made
            at = message.sent_at(now) or message.steps[0].at
            when = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            on = query.get("DateSent", when)[:10]  # the SDK adds a time to a day
            before, after = (query.get(f"DateSent{sign}", when) for sign in "<>")
            if (
                query.get("To", message.to) == message.to
                and query.get("From", message.sender) == message.sender
                and when[: len(on)] == on
                and when[: len(before)] <= before
                and when[: len(after)] >= after
            ):
                yield message

    def fetch(self, request: Request, _: bytes) -> Response:
        """Tell one message."""
        return JSONResponse(self._json(self._message(request)))

    def update(self, request: Request, body: bytes) -> Response:
        """Cancel a scheduled message, or take the text out of one that is over."""
        message, now, fields = self._message(request), self.clock.now(), form(body)
        status = _one(fields, "Status")
        if status:
            if status != "canceled":
                raise refusal(20001, "Status")
            if message.status(now).status != "scheduled":
                raise refusal(30409, message.sid)
            message.cancel(now)
        if "Body" in fields:
            if _one(fields, "Body"):
                raise refusal(20001, "Body")
            self._check_over(message)
            message.body = ""
        return JSONResponse(self._json(message))

    def delete(self, request: Request, _: bytes) -> Response:
        """Forget a message that is over."""
        message = self._message(request)
        self._check_over(message)
        del self._messages[message.sid]
        return Response(status_code=204)

    def _check_over(self, message: Message) -> None:
        if not message.is_over(self.clock.now()):
            raise refusal(20009, message.sid)

    def _message(self, request: Request) -> Message:
        sid = request.path_params["sid"]
        if sid not in self._messages:
            raise refusal(20404, self._path(request))
        return self._messages[sid]

    # how they are told

    def events(self) -> Sequence[Event]:
        account, now = self.settings.account_sid, self.clock.now()
        told = [
            event
            for message in self._messages.values()
            if (url := message.callback or self.settings.status_callback)
            for event in events(message, account, url, now)
        ]
        return sorted(told, key=lambda event: event.at)

    def callbacks(self, events: Sequence[Event]) -> Sequence[Callback]:
        settings = self.settings
        return callbacks(events, settings.auth_token, settings.shared_key)

    def _path(self, request: Request) -> str:
        path: str = request.scope["path"]
        return path.removeprefix(f"/{self.name}")

    def _json(self, message: Message) -> dict[str, Any]:
        now, account = self.clock.now(), self.settings.account_sid
        latest, sent = message.status(now), message.sent_at(now)
        path = f"/{VERSION}/Accounts/{account}/Messages/{message.sid}"
        waits = message.sender is None and latest.status in {"accepted", "scheduled"}
        return {
            "account_sid": account,
            "api_version": VERSION,
            "body": message.body,
            "date_created": _date(message.steps[0].at),
            "date_sent": _date(sent) if sent else None,
            "date_updated": _date(latest.at),
            "direction": "outbound-api",
            "error_code": latest.code,
            "error_message": None,
            "from": message.sender,
            "messaging_service_sid": message.service,
            "num_media": str(len(message.media)),
            "num_segments": "0" if waits else str(segments(message.body)),
            "price": None,
            "price_unit": "USD",
            "sid": message.sid,
            "status": latest.status,
            "subresource_uris": {"media": f"{path}/Media.json"},
            "to": message.to,
            "uri": f"{path}.json",
        }


def _one(fields: dict[str, list[str]], name: str) -> str:
    return fields.get(name, [""])[0]


def _number(text: str | None, default: int) -> int:
    if text is None:
        return default
    if not text.isascii() or not text.isdigit():
        raise refusal(20001, "Page")
    return int(text[:9])


def _date(at: float) -> str:
    return format_datetime(datetime.fromtimestamp(int(at), UTC))


def _told(message: Message, fields: dict[str, list[str]]) -> dict[str, Any]:
    """Return what is told of a message that was accepted."""
    return {
        "to": message.to,
        "text": message.body,
        "segments": segments(message.body),
        "form": {k: v[0] if len(v) == 1 else v for k, v in fields.items()},
    }
