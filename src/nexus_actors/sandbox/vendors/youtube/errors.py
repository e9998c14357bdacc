"""YouTube's refusals, in the form of Google's APIs."""

from __future__ import annotations

from typing import Any, Final

from nexus_actors.sandbox.base import Refusal


REALM: Final = 'Bearer realm="https://accounts.google.com/"'

#: The names of the HTTP statuses in an error body.
STATUSES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    429: "RESOURCE_EXHAUSTED",
}


def refusal(  # noqa: PLR0913 - what an error has; most have three of them
    status: int,
    reason: str,
    message: str,
    *,
    domain: str = "youtube.video",
    location: str | None = None,
    headers: dict[str, str] | None = None,
    **more: Any,
) -> Refusal:
    """Return the refusal with that reason; *more* goes into the body's ``error``."""
    problem = {"message": message, "domain": domain, "reason": reason}
    if location:
        kind = "parameter" if location.islower() and "." not in location else "other"
        problem |= {"location": location, "locationType": kind}
    error: dict[str, Any] = {"code": status, "message": message, "errors": [problem]}
    # the data API names no status for its own errors, only for Google's common ones
    if domain in {"global", "usageLimits"} and status in STATUSES:
        error["status"] = STATUSES[status]
    return Refusal(status, {"error": error | more}, headers)


def no_credentials() -> Refusal:
    """Return the refusal of a request without a token."""
    return refusal(
        401,
        "required",
        "Login Required.",
        domain="global",
        headers={"WWW-Authenticate": REALM},
    )


def bad_credentials() -> Refusal:
    """Return the refusal of a token that is unknown, expired or revoked."""
    return refusal(
        401,
        "authError",
        "Request had invalid authentication credentials. Expected OAuth 2 access "
        "token, login cookie or other valid authentication credential.",
        domain="global",
        headers={"WWW-Authenticate": f'{REALM}, error="invalid_token"'},
    )


def missing_scope(scopes: tuple[str, ...]) -> Refusal:
    """Return the refusal of a token that lacks all of *scopes*."""
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
        "domain": "googleapis.com",
        "metadata": {"service": "youtube.googleapis.com"},
    }
    wanted = f'error="insufficient_scope", scope="{" ".join(scopes)}"'
    return refusal(
        403,
        "insufficientPermissions",
        "Request had insufficient authentication scopes.",
        domain="global",
        headers={"WWW-Authenticate": f"{REALM}, {wanted}"},
        details=[info],
    )


def bad_request(message: str) -> Refusal:
    """Return the refusal of a request that has no meaning."""
    return refusal(400, "badRequest", message, domain="global")


def invalid(what: str, location: str, message: str | None = None) -> Refusal:
    """Return the refusal of metadata: ``invalidTitle`` and its like."""
    message = message or f"The request metadata specifies an invalid {location}."
    return refusal(400, what, message, location=f"body.{location}")


def video_not_found() -> Refusal:
    """Return the refusal of an id that no video of this user has."""
    return refusal(
        404,
        "videoNotFound",
        "The video that you are trying to use cannot be found. "
        "Check the value of the id to ensure that it is correct.",
        location="id",
    )


def forbidden(message: str = "Forbidden") -> Refusal:
    """Return the refusal of what only the owner may do."""
    return refusal(403, "forbidden", message, domain="youtube.common")
