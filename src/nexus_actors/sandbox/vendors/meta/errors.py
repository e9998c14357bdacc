"""The refusals of the Graph API."""

from __future__ import annotations

import secrets
from typing import Any, Final

from nexus_actors.sandbox.base import Refusal


#: Codes that do not come with the HTTP status 400.
STATUSES: Final = {1: 500, 2: 503, 3: 403, 4: 403, 9: 403, 10: 403, 32: 403, 200: 403}


def refusal(
    code: int,
    message: str,
    *,
    subcode: int | None = None,
    user: str | None = None,
    **more: Any,
) -> Refusal:
    """Return the refusal with that code; *user* is what a person may be told."""
    kind = "OAuthException" if code != 1 else "GraphMethodException"
    error: dict[str, Any] = {"message": message, "type": kind, "code": code}
    if subcode is not None:
        error["error_subcode"] = subcode
    error["is_transient"] = code in {1, 2, 4}
    if user:
        error |= {"error_user_title": message, "error_user_msg": user}
    error |= {"fbtrace_id": secrets.token_urlsafe(8), **more}
    return Refusal(STATUSES.get(code, 400), {"error": error})


def invalid(message: str, subcode: int | None = None) -> Refusal:
    """Return the refusal of a parameter."""
    return refusal(100, f"(#100) {message}", subcode=subcode)


def not_found(id_: str, verb: str = "get") -> Refusal:
    """Return the refusal of an id that is not there, or not for this token."""
    return refusal(
        100,
        f"Unsupported {verb} request. Object with ID '{id_}' does not exist, cannot be "
        "loaded due to missing permissions, or does not support this operation.",
        subcode=33,
    )


def no_token() -> Refusal:
    """Return the refusal of a request without a token."""
    text = "An access token is required to request this resource."
    return refusal(104, text)


def bad_token(message: str, subcode: int | None = None) -> Refusal:
    """Return the refusal of a token that cannot be used."""
    refused = refusal(190, message, subcode=subcode)
    told = f'OAuth "Facebook Platform" "invalid_token" "{message}"'
    refused.response.headers["WWW-Authenticate"] = told
    return refused


def missing_permission(scopes: tuple[str, ...]) -> Refusal:
    """Return the refusal of a token that lacks one of *scopes*."""
    text = f"(#200) Permissions error: requires {', '.join(scopes)}"
    return refusal(200, text)
