"""How Google refuses."""

from __future__ import annotations

from typing import Any, Final

from nexus_actors.sandbox.base import Refusal


#: A field, and what is wrong with it.
Violation = tuple[str, str]

TYPE: Final = "type.googleapis.com/google"

STATUSES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
}


def refusal(
    code: int,
    message: str,
    *details: dict[str, Any],
    headers: dict[str, str] | None = None,
) -> Refusal:
    """Return the answer that says what is wrong."""
    error: dict[str, Any] = {
        "code": code,
        "message": message,
        "status": STATUSES[code],
    }
    if details:
        error["details"] = list(details)
    return Refusal(code, {"error": error}, headers)


def fcm_error(code: str) -> dict[str, Any]:
    """Return the detail that has FCM's own code."""
    return {"@type": f"{TYPE}.firebase.fcm.v1.FcmError", "errorCode": code}


def bad_request(*violations: Violation) -> dict[str, Any]:
    """Return the detail that names the fields."""
    detail: dict[str, Any] = {"@type": f"{TYPE}.rpc.BadRequest"}
    if violations:
        detail["fieldViolations"] = [
            {"field": field, "description": text} for field, text in violations
        ]
    return detail


def error_info(reason: str, **metadata: str) -> dict[str, Any]:
    """Return the detail of Google's front end."""
    return {
        "@type": f"{TYPE}.rpc.ErrorInfo",
        "reason": reason,
        "domain": "googleapis.com",
        "metadata": {
            "service": "fcm.googleapis.com",
            "method": "google.firebase.fcm.v1.FcmService.SendMessage",
        }
        | metadata,
    }
