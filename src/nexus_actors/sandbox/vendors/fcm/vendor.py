"""FCM's HTTP v1 API, and the token endpoint of Google."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import parse_qs

from pydantic import Field, PositiveFloat, PositiveInt
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from nexus_actors.sandbox.base import Clock, Settings, Vendor
from nexus_actors.sandbox.limits import RateLimit
from nexus_actors.sandbox.shapes import parse_json

from .api import bad_request, error_info, fcm_error, refusal
from .message import checked, target_of
from .oauth import (
    GRANT,
    SCOPES,
    AccessToken,
    granted_scopes,
    new_token,
    refuse,
    service_account,
)


AUTHENTICATE: Final = (
    "Expected OAuth 2 access token, login cookie or other valid authentication "
    "credential. See https://developers.google.com/identity/sign-in/web/"
    "devconsole-project."
)


class FcmSettings(Settings):
    """How FCM behaves.

    Attributes:
        project_id: The only project.
        project_number: Its other name.
        service_accounts: By address, the public keys (PEM) of accounts beside the
            sandbox's own.
        access_tokens: Tokens that are valid for ever, as if Google had given them.
        token_lifetime_s: How long those are valid that the token endpoint gives out.
        invalid: Registrations, by token or installation id, that are none.
        unregistered: Those whose app is gone.
        mismatched: Those of another project.
        unauthorized: Those of a platform whose key (APNs, web push) is not valid.
        quota_per_minute: How many messages may be sent in a minute.
    """

    project_id: str = "nexus-sandbox"
    project_number: str = "100000000001"
    service_accounts: dict[str, str] = Field(default_factory=dict)
    access_tokens: tuple[str, ...] = ("ya29.sandbox",)
    token_lifetime_s: PositiveFloat = 3599
    invalid: tuple[str, ...] = ()
    unregistered: tuple[str, ...] = ()
    mismatched: tuple[str, ...] = ()
    unauthorized: tuple[str, ...] = ()
    quota_per_minute: PositiveInt = 600_000


class Fcm(Vendor[FcmSettings]):
    """Takes messages for devices, from who has a token for it."""

    name = "fcm"
    defaults = FcmSettings()

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._limit = RateLimit(clock)
        self._tokens: dict[str, AccessToken] = {}

    def routes(self) -> Sequence[BaseRoute]:
        send = "/v1/projects/{project}/messages:send"
        return [
            Route(send, self.send, methods=["POST"]),
            Route("/token", self.give_token, methods=["POST"]),
        ]

    def controls(self) -> Sequence[BaseRoute]:
        return [Route("/service-account.json", self.get_service_account)]

    def refuse_path(self, _: Request, status: int) -> Response:
        page = f"<!DOCTYPE html><html lang=en><title>Error {status}!!1</title>"
        return HTMLResponse(f"{page}<p><b>{status}.</b> That is an error.", status)

    async def get_service_account(self, request: Request) -> Response:
        """Give the file that a host's SDK reads."""
        project, token_uri = self.settings.project_id, self._token_uri(request)
        return JSONResponse(service_account(project, token_uri))

    # tokens

    def _token_uri(self, request: Request) -> str:
        return f"{request.url.scheme}://{request.url.netloc}/{self.name}/token"

    async def give_token(self, request: Request) -> Response:
        """Give an access token for an assertion."""
        body = await request.body()
        form = parse_qs(body.decode(errors="replace"))
        grant = form.get("grant_type", [""])[0]
        if grant != GRANT:
            text = f"Invalid grant_type: {grant}"
            raise refuse("unsupported_grant_type", text)
        if "assertion" not in form:
            raise refuse("invalid_request", "Missing required parameter: assertion")
        settings = self.settings
        scopes = granted_scopes(
            form["assertion"][0],
            audience=self._token_uri(request),
            project=settings.project_id,
            keys=settings.service_accounts,
        )
        token, life_s = new_token(), settings.token_lifetime_s
        self._tokens[token] = AccessToken(self.clock.now() + life_s, scopes)
        answer = {
            "access_token": token,
            "expires_in": int(life_s),
            "token_type": "Bearer",
        }
        return JSONResponse(answer)

    def _authorize(self, request: Request) -> None:
        header = request.headers.get("authorization", "")
        scheme, _, given = header.partition(" ")
        realm = {"WWW-Authenticate": 'Bearer realm="https://accounts.google.com/"'}
        if scheme.lower() != "bearer" or not given:
            text = (
                f"Request is missing required authentication credential. {AUTHENTICATE}"
            )
            detail = error_info("CREDENTIALS_MISSING")
            raise refusal(401, text, detail, headers=realm)
        if given in self.settings.access_tokens:
            return
        text = f"Request had invalid authentication credentials. {AUTHENTICATE}"
        token = self._tokens.get(given)
        if token is None:
            raise refusal(401, text, headers=realm)
        if token.expires_at <= self.clock.now():
            detail = error_info("ACCESS_TOKEN_EXPIRED")
            raise refusal(401, text, detail, headers=realm)
        if not token.scopes & SCOPES:
            text = "Request had insufficient authentication scopes."
            raise refusal(403, text, error_info("ACCESS_TOKEN_SCOPE_INSUFFICIENT"))

    # messages

    async def send(self, request: Request) -> Response:
        """Take a message."""
        body = await request.body()
        self._authorize(request)
        self._check_project(request.path_params["project"])
        self._check_quota()
        try:
            given = parse_json(body)
        except ValueError:
            text = "Invalid JSON payload received. Unexpected token."
            raise refusal(400, text, bad_request(("", text))) from None
        wanted = checked(given)
        message = wanted["message"]
        self._check_device(*target_of(message))
        project = request.path_params["project"]
        if wanted.get("validate_only"):
            name = f"projects/{project}/messages/fake_message_id"
            return JSONResponse({"name": name})
        name = f"projects/{project}/messages/{10**18 + secrets.randbelow(9 * 10**18)}"
        self.took_effect("push", name, request, **_told(message))
        return JSONResponse({"name": name})

    def _check_project(self, project: str) -> None:
        if project in {self.settings.project_id, self.settings.project_number}:
            return
        resource = f"cloudresourcemanager.googleapis.com/projects/{project}"
        permission = "cloudmessaging.messages.create"
        raise refusal(
            403,
            f"Permission '{permission}' denied on resource '//{resource}' (or it may "
            "not exist).",
            error_info(
                "IAM_PERMISSION_DENIED", permission=permission, resource=resource
            ),
        )

    def _check_quota(self) -> None:
        window = self._limit.take(self.settings.quota_per_minute, 60)
        if window.granted:
            return
        text = (
            "Quota exceeded for quota metric 'Messages sent to FCM' and limit "
            "'Messages sent per minute' of service 'fcm.googleapis.com'."
        )
        failure = {
            "@type": "type.googleapis.com/google.rpc.QuotaFailure",
            "violations": [
                {
                    "subject": f"project:{self.settings.project_id}",
                    "description": text,
                }
            ],
        }
        headers = {"Retry-After": str(window.retry_after)}
        raise refusal(429, text, failure, fcm_error("QUOTA_EXCEEDED"), headers=headers)

    def _check_device(self, kind: str, device: str) -> None:
        if kind not in {"token", "fid"}:
            return
        settings = self.settings
        if device in settings.invalid or any(c.isspace() for c in device):
            text = "The registration token is not a valid FCM registration token"
            raise refusal(
                400,
                text,
                fcm_error("INVALID_ARGUMENT"),
                bad_request((f"message.{kind}", text)),
            )
        if device in settings.unregistered:
            text = "Requested entity was not found."
            raise refusal(404, text, fcm_error("UNREGISTERED"))
        if device in settings.mismatched:
            raise refusal(403, "SenderId mismatch", fcm_error("SENDER_ID_MISMATCH"))
        if device in settings.unauthorized:
            text = "Auth error from APNS or Web Push Service"
            raise refusal(401, text, fcm_error("THIRD_PARTY_AUTH_ERROR"))


def _told(message: dict[str, Any]) -> dict[str, Any]:
    """Return what is told of a message that was accepted."""
    kind, target = target_of(message)
    shown = dict(message.get("notification", {}))
    shown = message.get("android", {}).get("notification", {}) | shown
    return {
        "to": f"{kind} {target}",
        "title": shown.get("title", ""),
        "text": shown.get("body"),
        "message": message,
    }
