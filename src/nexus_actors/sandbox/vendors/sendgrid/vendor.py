"""SendGrid's Web API v3: what notifications use of it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any, Final

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from nexus_actors.sandbox.base import (
    Callback,
    Clock,
    Event,
    Refusal,
    Settings,
    Vendor,
)
from nexus_actors.sandbox.limits import RateLimit

from .api import Handler, parsed, problem, refusal
from .events import (
    Happening,
    Mail,
    Outcome,
    batches,
    happening,
    public_key,
    recipients,
)
from .mail import problems
from .scheduled import ScheduledSends
from .suppressions import LISTED_BY, LISTS, Suppressions, group_list


#: The size of a mail with all of its attachments.
MAX_BODY: Final = 30 * 1024 * 1024

#: How many recipients the page names.
NAMED: Final = 3

#: The id of its only event webhook.
WEBHOOK_ID: Final = "5a9db0c5-0000-4000-8000-000000000000"


class SendGridSettings(Settings):
    """How SendGrid behaves.

    Attributes:
        api_keys: Those that may do everything.
        restricted_api_keys: Those that may not send.
        senders: Verified sender identities, addresses or domains; None is any.
        credits: How many mails are left in the plan; None is without end.
        rate_limit: How many requests an endpoint takes in a window.
        rate_window_s: The length of the window.
        bounces: Addresses that are on this list from the start.
        blocks: Likewise.
        spam_reports: Likewise.
        invalid_emails: Likewise.
        unsubscribes: Likewise; of all mail.
        groups: By the id of an unsubscribe group, who has left it.  Mails may name
            these groups only, unless it is None.
        outcomes: By address, what happens to a mail after it was processed; all others
            are delivered.
        step_s: The time between two events of a mail.
        webhook_url: Where events are told; nowhere, if it is empty.
        webhook_secret: What the signing key is made from; unsigned, if it is empty.
    """

    api_keys: tuple[str, ...] = ("SG.sandbox.sandbox",)
    restricted_api_keys: tuple[str, ...] = ()
    senders: tuple[str, ...] | None = None
    credits: NonNegativeInt | None = None
    rate_limit: PositiveInt = 600
    rate_window_s: PositiveFloat = 60
    bounces: tuple[str, ...] = ()
    blocks: tuple[str, ...] = ()
    spam_reports: tuple[str, ...] = ()
    invalid_emails: tuple[str, ...] = ()
    unsubscribes: tuple[str, ...] = ()
    groups: dict[int, tuple[str, ...]] | None = None
    outcomes: dict[str, tuple[Outcome, ...]] = Field(default_factory=dict)
    step_s: PositiveFloat = 1
    webhook_url: str = ""
    webhook_secret: str = "sandbox"


class SendGrid(Vendor[SendGridSettings]):
    """Takes mails, and knows what became of them."""

    name = "sendgrid"
    defaults = SendGridSettings()
    repeats_callbacks = True

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._limit = RateLimit(clock)
        self._scheduled = ScheduledSends(clock)
        self._suppressions = Suppressions(clock)
        self._waiting: list[Mail] = []
        self._happenings: list[Happening] = []
        self._sent = 0

    def routes(self) -> Sequence[BaseRoute]:
        signed = "/v3/user/webhooks/event/settings/signed"
        endpoints = [
            ("POST", "/v3/mail/send", self.send),
            *self._scheduled.endpoints(),
            *self._suppressions.endpoints(),
            ("GET", signed, self.get_public_key),
            ("GET", signed + "/{webhook}", self.get_public_key),
        ]
        return [self._route(*endpoint) for endpoint in endpoints]

    def refuse_path(self, _: Request, status: int) -> Response:
        text = {404: "not found", 405: "method not allowed"}[status]
        return refusal(status, problem(text)).response

    def _route(self, method: str, path: str, handler: Handler) -> BaseRoute:
        async def endpoint(request: Request) -> Response:
            body = await request.body()
            self._authorize(request)
            return self._limited(handler, request, body, key=f"{method} {path}")

        return Route(path, endpoint, methods=[method])

    def _limited(
        self, handler: Handler, request: Request, body: bytes, *, key: str
    ) -> Response:
        """Answer with the headers that tell how many more requests may come."""
        limit, window_s = self.settings.rate_limit, self.settings.rate_window_s
        window = self._limit.take(limit, window_s, key)
        self._advance()
        try:
            if not window.granted:
                raise refusal(429, problem("too many requests"))
            response = handler(request, body)
        except Refusal as refused:
            response = refused.response
        self._advance()
        response.headers["X-RateLimit-Limit"] = str(limit)
        response.headers["X-RateLimit-Remaining"] = str(window.remaining)
        response.headers["X-RateLimit-Reset"] = str(window.reset)
        return response

    def _authorize(self, request: Request) -> None:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key:
            raise refusal(401, problem("authorization required"))
        if key in self.settings.restricted_api_keys:
            raise refusal(403, problem("access forbidden"))
        if key not in self.settings.api_keys:
            text = "The provided authorization grant is invalid, expired, or revoked"
            raise refusal(401, problem(text))

    # mails

    def send(self, request: Request, body: bytes) -> Response:
        """Take a mail."""
        if len(body) > MAX_BODY:
            raise refusal(413, problem("content too large"))
        mail = parsed(request, body)
        wrong = problems(mail, self._scheduled.batches, self.clock.now())
        if wrong:
            raise refusal(400, *wrong)
        self._check_group(mail)
        self._check_sender(mail)
        if mail.get("mail_settings", {}).get("sandbox_mode", {}).get("enable"):
            return Response(status_code=200)
        everyone = [e for p in mail["personalizations"] for e in recipients(p)]
        self._spend(len(everyone))
        id_ = secrets.token_urlsafe(16)
        effect = self.took_effect("mail", id_, request, **_told(mail, everyone))
        self._waiting.append(Mail(id_, mail, self.clock.now(), effect))
        return Response(status_code=202, headers={"X-Message-Id": id_})

    def _check_group(self, mail: Any) -> None:
        groups, group = self.settings.groups, mail.get("asm", {}).get("group_id")
        if groups is not None and group is not None and group not in groups:
            text = "The asm group_id does not exist."
            raise refusal(400, problem(text, "asm.group_id", "asm"))

    def _check_sender(self, mail: Any) -> None:
        allowed = self.settings.senders
        if allowed is None:
            return
        known = {sender.casefold() for sender in allowed}
        for place in [mail, *(e for e in mail["personalizations"] if "from" in e)]:
            email = place["from"]["email"].casefold()
            if not {email, email.rpartition("@")[2]} & known:
                text = (
                    "The from address does not match a verified Sender Identity. Mail "
                    "cannot be sent until this error is resolved. Visit "
                    "https://sendgrid.com/docs/for-developers/sending-email/"
                    "sender-identity/ to see the Sender Identity requirements"
                )
                raise refusal(403, problem(text, "from"))

    def _spend(self, mails: int) -> None:
        left = self.settings.credits
        if left is not None and self._sent + mails > left:
            raise refusal(401, problem("Maximum credits exceeded"))
        self._sent += mails

    # what becomes of them

    def events(self) -> Sequence[Event]:
        url, now = self.settings.webhook_url, self.clock.now()
        if not url:
            return ()
        self._advance()
        past = [happened for happened in self._happenings if happened.at <= now]
        past.sort(key=lambda happened: happened.at)
        return [Event(h.id, url, h.at, h.content) for h in past]

    def callbacks(self, events: Sequence[Event]) -> Sequence[Callback]:
        return batches(events, self.clock.now(), self.settings.webhook_secret)

    def _advance(self) -> None:
        """Let every mail leave whose time has come, and which is not held."""
        self._seed()
        for mail in self._waiting:
            mail.released_at = self._scheduled.released_at(mail.batch)
            mail.effect.details["held"] = self._scheduled.held(mail.batch)
        leaving = [
            mail
            for mail in self._waiting
            if mail.leaves_at <= self.clock.now() and not mail.effect.details["held"]
        ]
        for mail in sorted(leaving, key=lambda mail: mail.leaves_at):
            self._waiting.remove(mail)
            self._leave(mail)

    def _seed(self) -> None:
        settings = self.settings
        self._suppressions.seed({name: getattr(settings, name) for name in LISTS})
        groups = (settings.groups or {}).items()
        self._suppressions.seed({group_list(id_): emails for id_, emails in groups})

    def _leave(self, mail: Mail) -> None:
        for number, envelope in enumerate(mail.body["personalizations"]):
            for email in recipients(envelope):
                for happened in self._fate(mail, (number, email)):
                    self._happenings.append(happened)
                    self._note(happened)

    def _fate(self, mail: Mail, part: tuple[int, str]) -> list[Happening]:
        """Return all that will happen to a mail at one recipient."""
        at = mail.begins(part[0])
        reason = self._suppressions.reason(mail.body, part[1], at)
        if reason:
            return [happening(mail, part, "dropped", 0, at, reason=reason)]
        outcomes = {e.casefold(): o for e, o in self.settings.outcomes.items()}
        names = ["processed", *outcomes.get(part[1].casefold(), ("delivered",))]
        step = self.settings.step_s
        return [
            happening(mail, part, name, order, at + order * step)
            for order, name in enumerate(names)
        ]

    def _note(self, happened: Happening) -> None:
        """Put the address on the list where it belongs from then on."""
        email, group = happened.content["email"], happened.group
        if happened.name in LISTED_BY:
            self._suppressions.add(LISTED_BY[happened.name], email, happened.at)
        elif group is not None and happened.name == "group_unsubscribe":
            self._suppressions.add(group_list(group), email, happened.at)
        elif group is not None and happened.name == "group_resubscribe":
            self._suppressions.remove(group_list(group), email)

    def get_public_key(self, request: Request, _: bytes) -> Response:
        """Tell what the signatures of events are verified with."""
        if request.path_params.get("webhook", WEBHOOK_ID) != WEBHOOK_ID:
            raise refusal(404, problem("not found"))
        secret = self.settings.webhook_secret
        key = public_key(secret) if secret else ""
        return JSONResponse({"id": WEBHOOK_ID, "public_key": key})


def _told(body: Any, everyone: list[str]) -> dict[str, Any]:
    """Return what is told of a mail that was accepted."""
    parts = {part["type"]: part["value"] for part in body.get("content", [])}
    subjects = [e["subject"] for e in body["personalizations"] if e.get("subject")]
    more = len(everyone) - NAMED
    rest = {name: value for name, value in body.items() if name != "content"}
    if "attachments" in body:
        rest["attachments"] = [
            {n: v for n, v in a.items() if n != "content"}
            | {"size": len(a["content"]) * 3 // 4}
            for a in body["attachments"]
        ]
    return {
        "to": ", ".join(everyone[:NAMED]) + (f" and {more} more" if more > 0 else ""),
        "title": body.get("subject") or next(iter(subjects), ""),
        "text": parts.get("text/plain"),
        "html": parts.get("text/html"),
        "recipients": everyone,
        "message": rest,
    }
