"""TikTok's answers: the same envelope whether it went well or not."""

from __future__ import annotations

import secrets
from typing import Any, Final

from starlette.responses import JSONResponse, Response

from nexus_actors.sandbox.base import Refusal


#: The HTTP status that comes with a code; any other is 403.
STATUSES: Final = {
    "access_token_invalid": 401,
    "scope_not_authorized": 401,
    "rate_limit_exceeded": 429,
    "invalid_params": 400,
    "invalid_publish_id": 400,
    "token_not_authorized_for_specified_publish_id": 400,
    "publish_not_cancellable": 400,
}


def answer(data: dict[str, Any]) -> Response:
    """Return a good answer."""
    return JSONResponse({"data": data, "error": _error("ok", "")})


def refusal(code: str, message: str = "", status: int | None = None) -> Refusal:
    """Return the refusal with that code."""
    status = STATUSES.get(code, 403) if status is None else status
    return Refusal(status, {"data": {}, "error": _error(code, message or code)})


def invalid(message: str) -> Refusal:
    """Return the refusal of a field that is missing or wrong."""
    return refusal("invalid_params", message)


def log_id() -> str:
    """Return the id under which TikTok's support finds a request."""
    return secrets.token_hex(16).upper()


def _error(code: str, message: str) -> dict[str, str]:
    return {"code": code, "message": message, "log_id": log_id()}
