"""What every request to the dashboard passes before anything is done for it.

It must be for one of our names, so that no page of another site can reach loopback by
a name of its own; the host's hook must let it in; and what is to change something must
come from a page of ours: by the browser's word, and with a secret that only our pages
know.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from enum import StrEnum
from inspect import iscoroutinefunction
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Access(StrEnum):
    """What somebody may do: nothing, look, or act as well."""

    NONE = "none"
    READ = "read"
    WRITE = "write"


#: Says what the sender of a request may do.  It may raise Starlette's `HTTPException`,
#: such as one that leads to a login.  One that is no coroutine runs in a thread.
Authorize = Callable[[Request], Access] | Callable[[Request], Awaitable[Access]]

#: The cookie with the secret that forms of ours repeat.
COOKIE: Final = "nexus_dashboard"

#: How long a form may be, in bytes.
MOST_BYTES: Final = 1 << 20

#: Our pages load nothing from elsewhere, run nothing that stands in them, and are shown
#: within no other page.
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # with no-referrer, browsers would not say where a form comes from, either
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass(slots=True)
class Visit:
    """A request that was let in.

    Attributes:
        token: What its forms must repeat.
        form: What was filled in.
    """

    access: Access
    token: str
    form: dict[str, list[str]] = field(default_factory=dict)

    @property
    def can_write(self) -> bool:
        """Whether it may change something."""
        return self.access is Access.WRITE

    def first(self, name: str) -> str:
        """Return what was filled in under *name*; empty if nothing was."""
        return self.form.get(name, [""])[0]


def visit_of(request: Request) -> Visit:
    """Return what the gate knows of a request."""
    visit: Visit = request.scope["nexus.visit"]
    return visit


class Gate:
    """Lets in to *app* who may; the order of its checks is that of the module's text.

    Args:
        app: What is behind it.
        authorize: The host's hook.
        hosts: The names under which it is reached; ``None`` is any.
        read_only: Whether nobody may change anything.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        authorize: Authorize,
        hosts: Collection[str] | None,
        read_only: bool,
    ) -> None:
        self._app = app
        self._authorize = authorize
        self._hosts = None if hosts is None else {name.lower() for name in hosts}
        self._read_only = read_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":  # there is nothing but pages
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        known = request.cookies.get(COOKIE, "")
        token = known if len(known) > 20 else secrets.token_urlsafe(32)  # noqa: PLR2004 - no secret of ours is shorter
        answer = _guarded(send, "" if token == known else _cookie(request, token))
        try:
            scope["nexus.visit"] = await self._let_in(request, token)
        except HTTPException as error:
            text = PlainTextResponse(f"{error.detail}\n", error.status_code)
            text.headers.update(error.headers or {})
            await text(scope, receive, answer)
            return
        await self._app(scope, receive, answer)

    async def _let_in(self, request: Request, token: str) -> Visit:
        """Return the visit.

        Raises:
            HTTPException: It may not go on.
        """
        if self._hosts is not None and _host(request) not in self._hosts:
            raise HTTPException(
                421,
                "This dashboard is not reached by this name: add it to "
                "NEXUS_DASHBOARD_NAMES if it is its own.",
            )
        access = await self._ask(request)
        if access is Access.NONE:
            raise HTTPException(403, "You may not see this dashboard.")
        if self._read_only:
            access = Access.READ
        visit = Visit(access, token)
        if request.method not in {"GET", "HEAD"}:
            if access is not Access.WRITE:
                raise HTTPException(403, "You may look, and change nothing.")
            _refuse_foreign(request)
            visit.form = await _read_form(request)
            given = visit.first("token").encode()
            known = request.cookies.get(COOKIE, "").encode()
            if not known or not hmac.compare_digest(given, known):
                raise HTTPException(
                    403, "This form is too old: go back, reload the page, try again."
                )
        return visit

    async def _ask(self, request: Request) -> Access:
        hook: Any = self._authorize
        if _is_coroutine(hook):
            access = await hook(request)
        else:
            access = await run_in_threadpool(hook, request)
        if not isinstance(access, Access):  # True and its like may mean anything
            raise TypeError(f"authorize has returned {access!r}, which is no Access")
        return access


def _is_coroutine(hook: Any) -> bool:
    called = getattr(hook, "__call__", None)  # noqa: B004 - of an object that is called
    return iscoroutinefunction(hook) or iscoroutinefunction(called)


def _host(request: Request) -> str:
    """Return the name that the browser was asked for, without its port."""
    name = request.headers.get("host", "").lower()
    if name.startswith("["):
        return name.partition("]")[0] + "]"
    return name.partition(":")[0]


def _refuse_foreign(request: Request) -> None:
    """Refuse what the browser says comes from another site, or from nobody knows where.

    Raises:
        HTTPException: It does.
    """
    origin = urlsplit(request.headers.get("origin", "")).netloc.lower()
    if not origin or origin != request.headers.get("host", "").lower():
        raise HTTPException(
            403,
            "This request comes from another site.  If a proxy is in between, let it "
            "pass the Host header on.",
        )


async def _read_form(request: Request) -> dict[str, list[str]]:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise HTTPException(413, "This form is too long: choose fewer at a time.")
    try:
        return parse_qs(body.decode(), keep_blank_values=True)
    except ValueError:
        raise HTTPException(400, "This is no form.") from None


def _cookie(request: Request, token: str) -> str:
    path = request.scope.get("root_path") or "/"
    secure = "; Secure" if request.url.scheme == "https" else ""
    return f"{COOKIE}={token}; Path={path}; HttpOnly; SameSite=Strict{secure}"


def _guarded(send: Send, cookie: str) -> Send:
    """Return *send* with our headers, and a cookie if there is a new one."""

    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(HEADERS)
            headers.setdefault("Cache-Control", "no-store")
            if cookie:
                headers.append("Set-Cookie", cookie)
        await send(message)

    return guarded


def asks_for(password: str) -> Authorize:
    """Return a hook that lets in whoever gives *password*, with any user's name."""

    def authorize(request: Request) -> Access:
        kind, _, coded = request.headers.get("authorization", "").partition(" ")
        try:
            given = base64.b64decode(coded, validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):
            given = b""
        is_right = hmac.compare_digest(given, password.encode())
        if kind.lower() == "basic" and is_right:
            return Access.WRITE
        asked = {"WWW-Authenticate": 'Basic realm="nexus-actors", charset="UTF-8"'}
        raise HTTPException(401, "The password is asked for.", asked)

    return authorize
