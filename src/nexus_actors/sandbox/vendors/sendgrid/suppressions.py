"""SendGrid's lists of addresses that get no mail."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nexus_actors.sandbox.base import Clock

from .api import Endpoint, parsed, problem, refusal
from .mail import ADDRESS


#: The lists, and what an entry tells beside its address and time.
LISTS: Final[dict[str, dict[str, str]]] = {
    "bounces": {
        "reason": "550 5.1.1 The email account that you tried to reach does not exist.",
        "status": "5.1.1",
    },
    "blocks": {
        "reason": "421 4.7.1 Message deferred: try again later",
        "status": "4.7.1",
    },
    "spam_reports": {"ip": "203.0.113.7"},
    "invalid_emails": {"reason": "Mail domain mentioned in email address is unknown"},
    "unsubscribes": {},
}

#: Why a mail to an address of a list is dropped.  Blocked addresses still get mail.
DROPS: Final = {
    "bounces": "Bounced Address",
    "invalid_emails": "Invalid",
    "spam_reports": "Spam Reporting Address",
    "unsubscribes": "Unsubscribed Address",
}

#: The setting of a mail that passes over a list, beside the one that passes over all.
BYPASS: Final = {
    "bounces": "bypass_bounce_management",
    "spam_reports": "bypass_spam_management",
    "unsubscribes": "bypass_unsubscribe_management",
}

#: The list on which an event puts its address.
LISTED_BY: Final = {
    "bounce": "bounces",
    "blocked": "blocks",
    "spamreport": "spam_reports",
    "unsubscribe": "unsubscribes",
}


def group_list(group: int) -> str:
    """Return the name of the list of those who have left an unsubscribe group."""
    return f"group {group}"


@dataclass(frozen=True, slots=True)
class _Entry:
    email: str
    since: float


class Suppressions:
    """Who is on which list, and since when."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lists: dict[str, dict[str, _Entry]] = {}
        self._removed: set[tuple[str, str]] = set()

    def add(self, list_: str, email: str, since: float) -> None:
        """Put an address on a list, unless it stands there already."""
        key = email.casefold()
        self._lists.setdefault(list_, {}).setdefault(key, _Entry(email, since))
        self._removed.discard((list_, key))

    def remove(self, list_: str, email: str) -> None:
        """Take an address off a list, also one that the settings have put there."""
        self._lists.get(list_, {}).pop(email.casefold(), None)
        self._removed.add((list_, email.casefold()))

    def seed(self, given: Mapping[str, tuple[str, ...]]) -> None:
        """Put on the lists what the settings name, unless it was taken off."""
        for list_, emails in given.items():
            for email in emails:
                if (list_, email.casefold()) not in self._removed:
                    self.add(list_, email, 0)

    def has(self, list_: str, email: str, at: float) -> bool:
        """Tell whether an address is on a list by the time *at*."""
        entry = self._lists.get(list_, {}).get(email.casefold())
        return entry is not None and entry.since <= at

    def reason(self, mail: Any, email: str, at: float) -> str | None:
        """Return why *mail* is dropped for *email*, or None."""
        settings = mail.get("mail_settings", {})
        if settings.get("bypass_list_management", {}).get("enable"):
            return None
        for list_, reason in DROPS.items():
            bypassed = settings.get(BYPASS.get(list_, ""), {}).get("enable")
            if not bypassed and self.has(list_, email, at):
                return reason
        group = mail.get("asm", {}).get("group_id")
        if group is not None and self.has(group_list(group), email, at):
            return DROPS["unsubscribes"]
        return None

    # where it is asked

    def endpoints(self) -> list[Endpoint]:
        """Return where it is asked."""
        unsubscribed = "/v3/asm/suppressions/global"
        left = "/v3/asm/groups/{group:int}/suppressions"
        return [
            ("GET", "/v3/suppression/{list}", self.list_entries),
            ("GET", "/v3/suppression/{list}/{email}", self.get_entry),
            ("DELETE", "/v3/suppression/{list}/{email}", self.delete_entry),
            ("POST", unsubscribed, self.add_entries),
            ("GET", unsubscribed + "/{email}", self.get_unsubscribed),
            ("DELETE", unsubscribed + "/{email}", self.delete_entry),
            ("POST", left, self.add_entries),
            ("GET", left, self.list_group),
            ("DELETE", left + "/{email}", self.delete_entry),
        ]

    def list_entries(self, request: Request, _: bytes) -> Response:
        """Tell who is on a list."""
        return JSONResponse(list(self._told(_named(request))))

    def get_entry(self, request: Request, _: bytes) -> Response:
        """Tell whether an address is on a list: as a list of one, or none."""
        email = request.path_params["email"].casefold()
        entries = self._told(_named(request))
        return JSONResponse([e for e in entries if e["email"].casefold() == email])

    def delete_entry(self, request: Request, _: bytes) -> Response:
        """Take an address off a list."""
        self.remove(_named(request), request.path_params["email"])
        return Response(status_code=204)

    def add_entries(self, request: Request, body: bytes) -> Response:
        """Put addresses on a list."""
        given = parsed(request, body)
        emails = given.get("recipient_emails") if isinstance(given, dict) else None
        if not isinstance(emails, list) or not all(
            isinstance(email, str) and ADDRESS.fullmatch(email) for email in emails
        ):
            text = "recipient_emails must be a list of email addresses"
            raise refusal(400, problem(text, "recipient_emails"))
        for email in emails:
            self.add(_named(request), email, self._clock.now())
        return JSONResponse({"recipient_emails": emails}, 201)

    def get_unsubscribed(self, request: Request, _: bytes) -> Response:
        """Tell whether an address is unsubscribed from all mail."""
        email = request.path_params["email"]
        is_on = self.has("unsubscribes", email, self._clock.now())
        return JSONResponse({"recipient_email": email} if is_on else {})

    def list_group(self, request: Request, _: bytes) -> Response:
        """Tell who has left a group."""
        return JSONResponse([e["email"] for e in self._told(_named(request))])

    def _told(self, list_: str) -> Iterator[dict[str, Any]]:
        for entry in self._lists.get(list_, {}).values():
            if entry.since <= self._clock.now():
                told = {"created": int(entry.since), "email": entry.email}
                yield told | LISTS.get(list_, {})


def _named(request: Request) -> str:
    """Return the list that a path names; without a name it is the global one."""
    if "group" in request.path_params:
        return group_list(request.path_params["group"])
    list_: str = request.path_params.get("list", "unsubscribes")
    if list_ not in LISTS:
        raise refusal(404, problem("not found"))
    return list_
