"""The Graph API: versions, parameters, fields, pages of lists, and how much is used."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from nexus_actors.sandbox.base import Refusal, Vendor
from nexus_actors.sandbox.forms import Form
from nexus_actors.sandbox.window import Window

from . import errors
from .settings import MetaSettings


FULL: Final = 100

Call = Callable[[Request], Awaitable[Response]]


class Graph:
    """Wraps the calls of a vendor in what every Graph API call has.

    Args:
        kind: The vendor's word in ``X-Business-Use-Case-Usage``.
        throttled: The code with which one who asks too often is refused.
    """

    def __init__(self, vendor: Vendor[Any], *, kind: str, throttled: int) -> None:
        self._vendor, self._kind, self._throttled = vendor, kind, throttled
        self._hour = Window(vendor.clock, vendor.settings.hour_s)

    def route(self, method: str, path: str, call: Call) -> BaseRoute:
        """Return the route of *call*, below every version."""

        async def endpoint(request: Request) -> Response:
            try:
                version = self._version(request.path_params["version"])
                response = await call(request)
            except Refusal as refusal:
                response, version = refusal.response, self._settings.versions[-1]
            except ValueError:
                response = errors.invalid("Invalid body").response
                version = self._settings.versions[-1]
            response.headers["facebook-api-version"] = version
            for name, value in self._usage(request).items():
                response.headers[name] = json.dumps(value)
            return response

        return Route("/{version}" + path, endpoint, methods=[method])

    @property
    def _settings(self) -> MetaSettings:
        settings: MetaSettings = self._vendor.settings
        return settings

    def count(self, request: Request, account: str) -> None:
        """Count a call for an account.

        Raises:
            Refusal: There were too many in the last hour.
        """
        request.scope["nexus.account"] = account
        self._hour.add(account)
        if self._percent(account) >= FULL:
            text = f"(#{self._throttled}) There have been too many calls"
            raise errors.refusal(self._throttled, text)

    def _percent(self, account: str) -> int:
        settings = self._settings
        if settings.usage_percent is not None:
            return settings.usage_percent
        self._hour.span_s = settings.hour_s
        return self._hour.count(account) * FULL // settings.calls_per_hour

    def _usage(self, request: Request) -> dict[str, Any]:
        account = request.scope.get("nexus.account")
        if account is None:
            return {}
        percent = self._percent(account)
        regain = self._settings.regain_minutes if percent >= FULL else 0
        usage = _usage(percent)
        of_account = {"type": self._kind, **usage}
        of_account["estimated_time_to_regain_access"] = regain
        return {
            "X-App-Usage": usage,
            "X-Business-Use-Case-Usage": {account: [of_account]},
        }

    def _version(self, asked: str) -> str:
        """Return the version that answers: an expired one is served by the oldest."""
        versions = self._settings.versions
        if asked in versions:
            return asked
        number = _number(asked)
        if number is None or number > (_number(versions[-1]) or 0):
            text = f"Unknown path components: /{asked}"
            raise errors.refusal(2500, text)
        return versions[0]


def _number(version: str) -> float | None:
    match = re.fullmatch(r"v(\d+\.\d)", version)
    return float(match.group(1)) if match else None


def _usage(percent: int) -> dict[str, Any]:
    return {"call_count": percent, "total_cputime": 0, "total_time": 0}


def flag(form: Form, name: str, *, default: bool) -> bool:
    """Return a boolean parameter.

    Raises:
        Refusal: It is none.
    """
    text = form.fields.get(name, str(default)).lower()
    if text not in {"true", "false", "1", "0"}:
        raise errors.invalid(f"Param {name} must be a boolean")
    return text in {"true", "1"}


def listed(form: Form, name: str) -> list[Any]:
    """Return a list: JSON, or words with commas between.

    Raises:
        Refusal: It is none.
    """
    text = form.fields.get(name, "")
    if not text.lstrip().startswith("["):
        return [word.strip() for word in text.split(",") if word.strip()]
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, list):
        raise errors.invalid(f"Param {name} must be an array")
    return value


Fields = dict[str, "Fields"]


def asked_fields(text: str) -> Fields:
    """Return the fields of ``a,b{c,d}``, with those inside them.

    Raises:
        Refusal: The braces do not match.
    """
    fields, rest = _read_fields(text)
    if rest:
        raise errors.refusal(2500, "Syntax error in fields")
    return fields


def _read_fields(text: str) -> tuple[Fields, str]:
    fields: Fields = {}
    while text and text[0] != "}":
        match = re.match(r"\s*([\w.]+)(\([^)]*\))*\s*", text)
        if not match:
            raise errors.refusal(2500, "Syntax error in fields")
        inner: Fields = {}
        text = text[match.end() :]
        if text.startswith("{"):
            inner, text = _read_fields(text[1:])
            if not text.startswith("}"):
                raise errors.refusal(2500, "Syntax error in fields")
            text = text[1:].lstrip()
        fields[match.group(1)] = inner
        text = text.removeprefix(",")
    return fields, text


def shown(node: dict[str, Any], form: Form, *default: str) -> dict[str, Any]:
    """Return of *node* what the call asks for, and always the id.

    Raises:
        Refusal: It has no such field.
    """
    fields = asked_fields(form.fields.get("fields", ",".join(default)))
    return _picked(node, fields)


def _picked(node: dict[str, Any], fields: Fields) -> dict[str, Any]:
    found = {"id": node["id"]} if "id" in node else {}
    for name, inner in fields.items():
        if name not in node:
            text = f"Tried accessing nonexisting field ({name})"
            raise errors.invalid(text)
        if node[name] is not None:  # an empty field is left out
            found[name] = _inside(node[name], inner)
    return found


def _inside(value: Any, fields: Fields) -> Any:
    if not fields or not isinstance(value, dict):
        return value
    if isinstance(value.get("data"), list):
        return {"data": [_inside(item, fields) for item in value["data"]]}
    return _picked(value, {name: f for name, f in fields.items() if name in value})


def page_of(
    request: Request, form: Form, items: Sequence[dict[str, Any]], *default: str
) -> Response:
    """Return a page of a list, with the cursors that lead on.

    Raises:
        Refusal: There is no such page.
    """
    try:
        size = int(form.fields.get("limit", "25"))
        start = _position(form.fields.get("after"))
    except ValueError:
        raise errors.invalid("Invalid cursor or limit") from None
    picked = [shown(item, form, *default) for item in items[start : start + size]]
    answer: dict[str, Any] = {"data": picked}
    if picked:
        after = _cursor(start + len(picked))
        answer["paging"] = {"cursors": {"before": _cursor(start), "after": after}}
        if start + size < len(items):
            url = request.url.remove_query_params(["access_token", "after"])
            following = url.include_query_params(after=after)
            answer["paging"]["next"] = str(following)
    return JSONResponse(answer)


def _cursor(position: int) -> str:
    return base64.urlsafe_b64encode(f"at{position}".encode()).decode()


def _position(cursor: str | None) -> int:
    if not cursor:
        return 0
    return int(base64.urlsafe_b64decode(cursor).decode().removeprefix("at"))


def graph_time(seconds: float) -> str:
    """Return a time as the Graph API writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S+0000")
