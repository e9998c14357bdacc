"""Instagram Login: a token that is exchanged for a longer one, and then extended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from nexus_actors.sandbox.base import Refusal, Vendor
from nexus_actors.sandbox.forms import read_form
from nexus_actors.sandbox.oauth import Client, Grant, Token, TokenBook, by_id, send_back
from nexus_actors.sandbox.vendors.meta import errors
from nexus_actors.sandbox.vendors.meta.settings import SESSIONS

from .settings import PERMISSIONS, Account, InstagramSettings


CODE_S: Final = 3600


class InstagramLogin:
    """Plays www.instagram.com, api.instagram.com and graph.instagram.com."""

    def __init__(self, vendor: Vendor[InstagramSettings]) -> None:
        self._vendor = vendor
        self._book = TokenBook(vendor.clock)

    def routes(self) -> Sequence[BaseRoute]:
        """Return the routes of the login."""
        return [
            Route("/oauth/authorize", self.authorize),
            Route("/oauth/access_token", self.token, methods=["POST"]),
            Route("/access_token", self.exchange),
            Route("/refresh_access_token", self.refresh),
        ]

    def seed(self) -> None:
        """Make the tokens of the settings good, from now on."""
        settings = self._settings
        if not settings.instagram_clients:
            return
        for account in settings.accounts:
            app = settings.instagram_clients[0].id
            grant = Grant(account.id, app, account.scopes, {"long": True})
            life = settings.instagram_long_token_s
            self._book.issue("access", grant, life, value=account.access_token)

    def caller(self, value: str) -> tuple[Account, Token] | None:
        """Return whose token it is; None if it is not one of this login's.

        Raises:
            Refusal: It cannot be used any more.
        """
        token = self._book.find(value, "access")
        account = self._account(token.grant.account) if token else None
        if not token or not account:
            return None
        if self._book.is_expired(token):
            text = "Error validating access token: Session has expired"
            raise errors.bad_token(text, 463)
        if account.session != "good":
            text = "Error validating access token: The session has been invalidated"
            raise errors.bad_token(text, SESSIONS[account.session])
        return account, token

    async def authorize(self, request: Request) -> Response:
        """Ask the person, who answers at once as the settings say."""
        query = request.query_params
        client = self._client(query.get("client_id", ""))
        uri, state = query.get("redirect_uri", ""), query.get("state")
        asked = [s for s in query.get("scope", "").split(",") if s]
        if not client:
            return _page("Invalid platform app")
        if not client.allows(uri) or uri.startswith("http://localhost"):
            return _page("Invalid redirect_uri")
        if query.get("response_type") != "code" or not asked:
            return _page("Invalid request")
        if not set(asked) <= set(PERMISSIONS):
            return _page("Invalid scopes")
        consent = self._settings.consent
        if consent.denied:
            return send_back(
                uri,
                error="access_denied",
                error_reason="user_denied",
                error_description="The user denied your request",
                state=state,
            )
        accounts = self._settings.accounts
        account = self._account(consent.account or "") or accounts[0]
        details = {"redirect_uri": uri}
        grant = Grant(account.id, client.id, consent.allowed(asked), details)
        code = self._book.issue("code", grant, CODE_S, prefix="AQ")
        return send_back(uri, code=code.value, state=state, fragment="_")

    async def token(self, request: Request) -> Response:
        """Exchange a code for a token of an hour."""
        try:
            form = (await read_form(request)).fields
        except ValueError:
            raise _refused("Invalid request") from None
        client = self._client(form.get("client_id", ""))
        if not client or not client.proves(form.get("client_secret", "")):
            raise _refused("Invalid platform app")
        if form.get("grant_type") != "authorization_code":
            raise _refused("Invalid grant_type")
        code = self._book.live(form.get("code", ""), "code")
        if not code or code.grant.client != client.id:
            raise _refused("Matching code was not found or was already used.")
        if form.get("redirect_uri") != code.grant.details["redirect_uri"]:
            raise _refused(
                "Error validating verification code. Please make sure your redirect_uri"
                " is identical to the one you used in the OAuth dialog request"
            )
        code.ended = "used"
        grant = Grant(code.grant.account, client.id, code.grant.scopes)
        life = self._settings.instagram_short_token_s
        token = self._book.issue("access", grant, life, prefix="IGAA")
        answer = {
            "access_token": token.value,
            "user_id": grant.account,
            "permissions": ",".join(grant.scopes),
        }
        wraps = self._settings.wraps_token
        return JSONResponse({"data": [answer]} if wraps else answer)

    async def exchange(self, request: Request) -> Response:
        """Exchange a short token for a long one."""
        query = request.query_params
        if query.get("grant_type") != "ig_exchange_token":
            raise errors.invalid("Invalid grant_type")
        _, token = self._good(query.get("access_token", ""))
        client = self._client(token.grant.client)
        if not client or not client.proves(query.get("client_secret", "")):
            raise errors.refusal(1, "Error validating client secret.")
        if token.grant.details.get("long"):
            raise errors.invalid("The access token is already long-lived")
        return self._issued(token.grant)

    async def refresh(self, request: Request) -> Response:
        """Extend a long token that is a day old and still good."""
        query = request.query_params
        if query.get("grant_type") != "ig_refresh_token":
            raise errors.invalid("Invalid grant_type")
        _, token = self._good(query.get("access_token", ""))
        if "instagram_business_basic" not in token.grant.scopes:
            raise errors.missing_permission(("instagram_business_basic",))
        age = self._vendor.clock.now() - token.issued_at
        if not token.grant.details.get("long") or age < self._settings.refresh_after_s:
            text = "The access token must be long-lived and at least 24 hours old"
            raise errors.invalid(text)
        return self._issued(token.grant)

    def _good(self, value: str) -> tuple[Account, Token]:
        found = self.caller(value)
        if not found:
            text = "Invalid OAuth access token - Cannot parse access token"
            raise errors.bad_token(text)
        return found

    def _issued(self, grant: Grant) -> Response:
        life = self._settings.instagram_long_token_s
        details: dict[str, Any] = {"long": True}
        fresh = Grant(grant.account, grant.client, grant.scopes, details)
        token = self._book.issue("access", fresh, life, prefix="IGAA")
        answer = {"access_token": token.value, "token_type": "bearer"}
        return JSONResponse(answer | {"expires_in": int(life)})

    @property
    def _settings(self) -> InstagramSettings:
        return self._vendor.settings

    def _client(self, id_: str) -> Client | None:
        return by_id(self._settings.instagram_clients, id_)

    def _account(self, id_: str) -> Account | None:
        return by_id(self._settings.accounts, id_)


def _refused(message: str) -> Refusal:
    body = {"error_type": "OAuthException", "code": 400, "error_message": message}
    return Refusal(400, body)


def _page(text: str) -> Response:
    """Return what the person sees: the host is not told."""
    return PlainTextResponse(text, 400)
