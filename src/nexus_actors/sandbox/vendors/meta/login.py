"""Facebook Login: user tokens that are exchanged for longer ones, and Page tokens.

There is no refresh token.  A Page token that was read with a long-lived user token has
no end of its own, but goes with the person's session.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from nexus_actors.sandbox.base import Vendor
from nexus_actors.sandbox.forms import Form, read_form
from nexus_actors.sandbox.oauth import Client, Grant, Token, TokenBook, by_id, send_back

from . import errors
from .graph import Graph, page_of, shown
from .settings import PERMISSIONS, SESSIONS, MetaSettings, Page, Person


CODE_S: Final = 600


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose token came with a call.

    Attributes:
        page: The Page whose token it is; None for a person's own.
        pages: Those that the person may use.
    """

    token: Token
    person: Person
    page: Page | None
    pages: tuple[Page, ...]

    @property
    def scopes(self) -> tuple[str, ...]:
        """Return what the token allows."""
        return self.token.grant.scopes

    def need(self, *scopes: str) -> None:
        """Check that the token allows all of *scopes*.

        Raises:
            Refusal: It does not.
        """
        missing = tuple(scope for scope in scopes if scope not in self.scopes)
        if missing:
            raise errors.missing_permission(missing)


class FacebookLogin:
    """Plays www.facebook.com, and the login's part of graph.facebook.com."""

    def __init__(self, vendor: Vendor[Any], graph: Graph) -> None:
        self._vendor, self._graph = vendor, graph
        self.book = TokenBook(vendor.clock)

    def routes(self) -> Sequence[BaseRoute]:
        """Return the routes of the login."""
        route = self._graph.route
        return [
            Route("/{version}/dialog/oauth", self.authorize),
            route("GET", "/oauth/access_token", self.token),
            route("POST", "/oauth/access_token", self.token),
            route("GET", "/debug_token", self.debug),
            route("GET", "/me/permissions", self.permissions),
            route("DELETE", "/me/permissions", self.remove),
            route("GET", "/me/accounts", self.accounts),
        ]

    def seed(self) -> None:
        """Make the tokens of the settings good, from now on."""
        settings = self._settings
        if not settings.clients:
            return
        app = settings.clients[0].id
        for person in settings.people:
            grant = Grant(person.id, app, person.scopes)
            life = settings.long_token_s
            self.book.issue("access", grant, life, value=person.access_token)
            for page in self._pages(person):
                grant = Grant(person.id, app, page.scopes, {"page": page.id})
                self.book.issue("access", grant, None, value=page.access_token)

    def caller(self, request: Request, form: Form | None = None) -> Caller:
        """Return whose token came with a call.

        Raises:
            Refusal: There is none, or it cannot be used.
        """
        value = token_of(request, form)
        if not value:
            raise errors.no_token()
        token = self.book.find(value, "access")
        person = self._person(token.grant.account) if token else None
        if not token or not person:
            raise errors.bad_token("Invalid OAuth access token - Cannot parse token")
        self._check(token, person)
        self._check_proof(token, form)
        pages = self._pages(person)
        page_id = token.grant.details.get("page")
        page = by_id(pages, page_id)
        if page_id and not page:
            raise errors.bad_token("Error validating access token", 467)
        return Caller(token, person, page, pages)

    def _check(self, token: Token, person: Person) -> None:
        if self.book.is_expired(token):
            text = "Error validating access token: Session has expired"
            raise errors.bad_token(text, 463)
        session = "removed" if token.ended else person.session
        if session != "good":
            text = "Error validating access token: The session has been invalidated"
            raise errors.bad_token(text, SESSIONS[session])

    def _check_proof(self, token: Token, form: Form | None) -> None:
        if form is None:  # bytes for an upload server: its pages know no proof
            return
        given = form.fields.get("appsecret_proof")
        if given is None:
            if self._settings.needs_proof:
                text = "API calls from the server require an appsecret_proof argument"
                raise errors.refusal(100, text)
            return
        client = self._client(token.grant.client)
        secret = client.secret if client else ""
        if not hmac.compare_digest(given, proof(secret, token.value)):
            text = "Invalid appsecret_proof provided in the API argument"
            raise errors.refusal(100, text)

    async def authorize(self, request: Request) -> Response:
        """Ask the person, who answers at once as the settings say."""
        query = request.query_params
        client = self._client(query.get("client_id", ""))
        uri, state = query.get("redirect_uri", ""), query.get("state")
        asked = [s for s in query.get("scope", "").split(",") if s]
        if not client:
            return _page("Invalid App ID")
        if not client.allows(uri):
            return _page("URL Blocked: the redirect URI is not whitelisted")
        if query.get("response_type", "code") != "code":
            return _page("Invalid response_type")
        if not set(asked) <= set(PERMISSIONS):
            return _page(f"Invalid Scopes: {', '.join(set(asked) - set(PERMISSIONS))}")
        consent = self._settings.consent
        if consent.denied:
            return send_back(
                uri,
                error="access_denied",
                error_code="200",
                error_description="Permissions error",
                error_reason="user_denied",
                state=state,
            )
        person = self._person(consent.account or "") or self._settings.people[0]
        details = {"redirect_uri": uri, "asked": asked}
        grant = Grant(person.id, client.id, consent.allowed(asked), details)
        code = self.book.issue("code", grant, CODE_S, prefix="AQ")
        return send_back(uri, code=code.value, state=state, fragment="_=_")

    async def token(self, request: Request) -> Response:
        """Exchange a code, or a token for a longer one."""
        form = await read_form(request)
        client = self._client(form.fields.get("client_id", ""))
        if not client:
            raise errors.refusal(101, "Error validating application.")
        if not client.proves(form.fields.get("client_secret", "")):
            raise errors.refusal(1, "Error validating client secret.")
        if form.fields.get("grant_type") == "fb_exchange_token":
            return self._exchange(client, form)
        return self._redeem(client, form)

    def _redeem(self, client: Client, form: Form) -> Response:
        value = form.fields.get("code")
        if not value:
            raise errors.refusal(1, "Missing authorization code")
        code = self.book.find(value, "code")
        if not code or code.grant.client != client.id:
            raise errors.refusal(100, "Invalid verification code format.")
        if code.ended:
            text = "This authorization code has been used."
            raise errors.refusal(100, text, subcode=36009)
        if self.book.is_expired(code):
            text = "This authorization code has expired."
            raise errors.refusal(100, text, subcode=36007)
        if form.fields.get("redirect_uri") != code.grant.details["redirect_uri"]:
            text = (
                "Error validating verification code. Please make sure your "
                "redirect_uri is identical to the one you used in the OAuth dialog "
                "request"
            )
            raise errors.refusal(100, text, subcode=36008)
        code.ended = "used"
        details = {"asked": code.grant.details["asked"]}
        grant = Grant(code.grant.account, client.id, code.grant.scopes, details)
        return self._issued(grant, self._settings.short_token_s)

    def _exchange(self, client: Client, form: Form) -> Response:
        token = self.book.find(form.fields.get("fb_exchange_token", ""), "access")
        person = self._person(token.grant.account) if token else None
        if not token or not person or token.grant.client != client.id:
            raise errors.bad_token("Invalid OAuth access token - Cannot parse token")
        self._check(token, person)
        return self._issued(token.grant, self._settings.long_token_s, long=True)

    def _issued(self, grant: Grant, life: float, *, long: bool = False) -> Response:
        details = grant.details | {"long": long}
        fresh = Grant(grant.account, grant.client, grant.scopes, details)
        token = self.book.issue("access", fresh, life, prefix="EAA")
        answer = {"access_token": token.value, "token_type": "bearer"}
        return JSONResponse(answer | {"expires_in": int(life)})

    async def debug(self, request: Request) -> Response:
        """Tell what a token is."""
        form = await read_form(request)
        asking = form.fields.get("access_token", "")
        apps = {f"{c.id}|{c.secret}" for c in self._settings.clients}
        if asking not in apps:
            self.caller(request, form)
        token = self.book.find(form.fields.get("input_token", ""), "access")
        if not token:
            error = {"code": 190, "message": "Invalid OAuth access token."}
            data: dict[str, Any] = {"error": error, "is_valid": False, "scopes": []}
            return JSONResponse({"data": data})
        person = self._person(token.grant.account)
        good = self.book.is_live(token) and person and person.session == "good"
        data = {
            "app_id": token.grant.client,
            "type": "PAGE" if "page" in token.grant.details else "USER",
            "is_valid": bool(good),
            "issued_at": int(token.issued_at),
            "expires_at": int(token.expires_at or 0),
            "data_access_expires_at": int(token.issued_at) + 7_776_000,
            "scopes": list(token.grant.scopes),
            "user_id": token.grant.account,
        }
        if not good:
            error = {"code": 190, "message": "Error validating access token"}
            data["error"] = error | {"subcode": 463}
        return JSONResponse({"data": data})

    async def permissions(self, request: Request) -> Response:
        """Return what was granted and what was declined."""
        form = await read_form(request)
        grant = self.caller(request, form).token.grant
        asked = grant.details.get("asked", grant.scopes)
        data = [
            {"permission": s, "status": "granted" if s in grant.scopes else "declined"}
            for s in asked
        ]
        return JSONResponse({"data": data})

    async def remove(self, request: Request) -> Response:
        """Remove the app: all of the person's tokens end."""
        grant = self.caller(request, await read_form(request)).token.grant
        self.book.end_all(grant.account, grant.client, "removed")
        return JSONResponse({"success": True})

    async def accounts(self, request: Request) -> Response:
        """Return the pages that the person may use, with a token for each."""
        form = await read_form(request)
        caller = self.caller(request, form)
        allowed = "pages_show_list" in caller.scopes
        nodes = [self._node(caller, page) for page in caller.pages if allowed]
        return page_of(request, form, nodes, "access_token", "name", "tasks")

    def _node(self, caller: Caller, page: Page) -> dict[str, Any]:
        grant, own = caller.token.grant, caller.token
        long = grant.details.get("long", own.value == caller.person.access_token)
        details = {"page": page.id}
        derived = Grant(grant.account, grant.client, grant.scopes, details)
        life = None if long else float(self.book.left_s(own))
        linked = None
        if page.instagram:
            linked = {"id": page.instagram, "username": "sandbox"}
        return {
            "id": page.id,
            "name": page.name,
            "username": page.username,
            "category": "Community",
            "tasks": list(page.tasks),
            "access_token": self.book.issue(
                "access", derived, life, prefix="EAA"
            ).value,
            "picture": {"data": {"url": "https://scontent.example/page.jpg"}},
            "instagram_business_account": linked,
        }

    def me(self, caller: Caller, form: Form) -> Response:
        """Return the person, or the Page, whose token it is."""
        who = caller.page or caller.person
        return JSONResponse(shown({"id": who.id, "name": who.name}, form, "name"))

    @property
    def _settings(self) -> MetaSettings:
        settings: MetaSettings = self._vendor.settings
        return settings

    def _client(self, id_: str) -> Client | None:
        return by_id(self._settings.clients, id_)

    def _person(self, id_: str) -> Person | None:
        return by_id(self._settings.people, id_)

    def _pages(self, person: Person) -> tuple[Page, ...]:
        return tuple(p for p in self._settings.pages if p.id in person.pages)


def token_of(request: Request, form: Form | None = None) -> str:
    """Return the token of a call: of its header, else of its parameters."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() in {"bearer", "oauth"}:
        return value.strip()
    return form.fields.get("access_token", "") if form else ""


def proof(secret: str, token: str) -> str:
    """Return the ``appsecret_proof`` of a token."""
    return hmac.new(secret.encode(), token.encode(), hashlib.sha256).hexdigest()


def _page(text: str) -> Response:
    """Return what the person sees: the host is not told."""
    return PlainTextResponse(text, 400)
