"""A request's parts and JSON, and a page of a list."""

from __future__ import annotations

import re
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nexus_actors.sandbox.forms import json_object

from . import errors, videos


MAX_RESULTS = 50


def asked_parts(request: Request, known: set[str]) -> set[str]:
    """Return what the parameter ``part`` asks for.

    Raises:
        Refusal: It is missing, or names what is not there.
    """
    given = request.query_params.getlist("part")
    parts = {name.strip() for part in given for name in part.split(",") if name.strip()}
    if not parts:
        text = "Required parameter: part"
        raise errors.refusal(
            400,
            "missingRequiredParameter",
            text,
            domain="youtube.parameter",
            location="part",
        )
    unknown = sorted(parts - known)
    if unknown:
        text = f"'{unknown[0]}'"
        raise errors.refusal(
            400, "unknownPart", text, domain="youtube.part", location="part"
        )
    return parts


def listing(
    request: Request, kind: str, items: list[dict[str, Any]], *, default: int = 5
) -> Response:
    """Return the page of *items* that is asked for.

    Raises:
        Refusal: There is no such page.
    """
    size = _number(request, "maxResults", default)
    token = request.query_params.get("pageToken", "P0")
    if not re.fullmatch(r"P\d{1,9}", token):
        text = "The request specifies an invalid page token."
        raise errors.refusal(400, "invalidPageToken", text, domain="youtube.parameter")
    start = int(token[1:])
    page = {"totalResults": len(items), "resultsPerPage": size}
    answer: dict[str, Any] = {"items": items[start : start + size], "pageInfo": page}
    if start + size < len(items):
        answer["nextPageToken"] = f"P{start + size}"
    if start:
        answer["prevPageToken"] = f"P{max(0, start - size)}"
    return JSONResponse(videos.tagged(kind, **answer))


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return min(default, MAX_RESULTS)
    if not text.isdecimal() or int(text) > MAX_RESULTS:
        raise errors.refusal(
            400,
            "invalidValue",
            f"Invalid value '{text}'. Values must be within the range: [0, 50]",
            domain="global",
            location=name,
        )
    return int(text)


def parsed(body: bytes) -> dict[str, Any]:
    """Return the JSON of a body.

    Raises:
        Refusal: It is none.
    """
    try:
        return json_object(body)
    except ValueError:
        raise errors.refusal(
            400, "parseError", "Parse Error", domain="global"
        ) from None


def section(body: dict[str, Any], name: str) -> dict[str, Any]:
    """Return an object inside of a body; empty if it is missing.

    Raises:
        Refusal: It is none.
    """
    value = body.get(name, {})
    if not isinstance(value, dict):
        raise errors.bad_request(f"Invalid value at '{name}'")
    return value
