"""What all endpoints of SendGrid share: how they are asked, and how they refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from nexus_actors.sandbox.base import Refusal
from nexus_actors.sandbox.shapes import parse_json


#: An entry of ``errors``.
Error = dict[str, Any]

#: Answers a request with its body, once the key and the rate were checked.
Handler = Callable[[Request, bytes], Response]

#: A method, a path, and who answers.
Endpoint = tuple[str, str, Handler]

HELP: Final = "http://sendgrid.com/docs/API_Reference/Web_API_v3/Mail/errors.html#"


def problem(message: str, field: str | None = None, anchor: str = "") -> Error:
    """Return an entry of ``errors``; *anchor* is its place on the page of errors."""
    help_ = f"{HELP}message.{anchor}" if anchor else None
    return {"message": message, "field": field, "help": help_}


def refusal(status: int, *errors: Error) -> Refusal:
    """Return the answer that says what is wrong."""
    return Refusal(status, {"errors": list(errors)})


def parsed(request: Request, body: bytes) -> Any:
    """Return the JSON of a request.

    Raises:
        Refusal: It is not sent as JSON, or is none.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind.lower() != "application/json":
        raise refusal(415, problem("Content-Type should be application/json."))
    try:
        return parse_json(body)
    except ValueError:
        raise refusal(400, problem("Bad Request")) from None
