"""The Graph API: versions, parameters, fields, pages of lists, and how much is used."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from nexus_actors.sandbox.base import Refusal, Vendor
from nexus_actors.sandbox.forms import Form, read_form
from nexus_actors.sandbox.window import Window
from nexus_actors.sandbox.wire import ask

from . import errors
from .settings import MetaSettings


FULL: Final = 100

#: How many calls a batch may make, and how many things a page of a list may have.
BATCH_MAX: Final = 50
LIMIT_MAX: Final = 100

Call = Callable[[Request], Awaitable[Response]]

T = TypeVar("T")


class Graph:
    """Wraps the calls of a vendor in what every Graph API call has.

    Args:
        kind: The vendor's word in ``X-Business-Use-Case-Usage``.
        throttled: The code with which one who asks too often is refused.
    """

    def __init__(self, vendor: Vendor[Any], *, kind: str, throttled: int) -> None:
        self._vendor, self._kind, self._throttled = vendor, kind, throttled
        self._hour = Window(vendor.clock, vendor.settings.hour_s)
        self._calls = 0

    def route(self, method: str, path: str, call: Call) -> BaseRoute:
        """Return the route of *call*, below every version."""

        async def endpoint(request: Request) -> Response:
            version = self._settings.versions[-1]
            try:
                version = self._version(request.path_params["version"])
                response = await call(request)
            except Refusal as refusal:
                response = refusal.response
            except ValueError:
                response = errors.invalid("Invalid body").response
            response.headers["facebook-api-version"] = version
            for name, value in self._usage(request).items():
                response.headers[name] = json.dumps(value)
            return response

        return Route("/{version}" + path, endpoint, methods=[method])

    async def batch(self, request: Request) -> Response:
        """Make several calls, each of which counts; the token is that of all."""
        form = await read_form(request)
        calls, version = _bodies(form), request.path_params["version"]
        proof = form.fields.get("appsecret_proof")
        routes = Starlette(routes=self._vendor.routes())
        every = self._settings.batch_fails_every
        told: list[dict[str, Any] | None] = []
        for call in calls:
            self._calls += 1
            if every and self._calls % every == 0:
                told.append(None)  # it was not made in time
                continue
            path, _, query = str(call.get("relative_url", "")).partition("?")
            if proof:  # that of all
                query += "&" + urlencode({"appsecret_proof": proof})
            scope = {
                **request.scope,
                "method": call.get("method", "GET"),
                "path": f"/{version}/{path.lstrip('/')}",
                "root_path": "",
                "query_string": query.encode(),
            }
            answer = await ask(routes, scope, b"", whole=True)
            assert answer is not None  # noqa: S101 - the request is whole
            told.append({"code": answer.status, "body": answer.body.decode()})
            if "nexus.account" in scope:
                request.scope["nexus.account"] = scope["nexus.account"]
        return JSONResponse(told)

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


def _bodies(form: Form) -> list[dict[str, Any]]:
    """Return the calls of a batch.

    Raises:
        Refusal: It is none, or too long.
    """
    calls = listed(form, "batch")
    if not calls or not all(isinstance(call, dict) for call in calls):
        raise errors.invalid("Param batch must be an array of requests")
    if len(calls) > BATCH_MAX:
        text = f"Too many requests in batch message. Maximum batch size is {BATCH_MAX}"
        raise errors.refusal(100, text)
    return calls


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


@dataclass(slots=True)
class Asked:
    """A field that is asked for: what of it, and how.

    Attributes:
        fields: Those inside of it.
        arguments: Those after a dot: ``.limit(0)``.
    """

    fields: dict[str, Asked] = field(default_factory=dict)
    arguments: dict[str, str] = field(default_factory=dict)


def asked_fields(text: str) -> dict[str, Asked]:
    """Return the fields of ``a,b.limit(2){c,d}``, with those inside them.

    Raises:
        Refusal: The braces do not match.
    """
    fields, rest = _read_fields(text)
    if rest:
        raise errors.refusal(2500, "Syntax error in fields")
    return fields


_FIELD: Final = re.compile(r"\s*(\w+)((?:\.\w+\([^)]*\))*)\s*")


def _read_fields(text: str) -> tuple[dict[str, Asked], str]:
    fields: dict[str, Asked] = {}
    while text and text[0] != "}":
        match = _FIELD.match(text)
        if not match:
            raise errors.refusal(2500, "Syntax error in fields")
        arguments = dict(re.findall(r"\.(\w+)\(([^)]*)\)", match.group(2)))
        asked = fields[match.group(1)] = Asked(arguments=arguments)
        text = text[match.end() :]
        if text.startswith("{"):
            asked.fields, text = _read_fields(text[1:])
            if not text.startswith("}"):
                raise errors.refusal(2500, "Syntax error in fields")
            text = text[1:].lstrip()
        text = text.removeprefix(",")
    return fields, text


def shown(node: dict[str, Any], form: Form, *default: str) -> dict[str, Any]:
    """Return of *node* what the call asks for, and always the id.

    Raises:
        Refusal: It has no such field.
    """
    fields = asked_fields(form.fields.get("fields", ",".join(default)))
    return _picked(node, fields)


def _picked(node: dict[str, Any], fields: dict[str, Asked]) -> dict[str, Any]:
    found = {"id": node["id"]} if "id" in node else {}
    for name, asked in fields.items():
        if name not in node:
            text = f"Tried accessing nonexisting field ({name})"
            raise errors.invalid(text)
        value = node[name]
        if callable(value):  # it is worked out where it is asked for
            value = value(asked.arguments)
        if value is not None:  # an empty field is left out
            found[name] = _inside(value, asked.fields)
    return found


def _inside(value: Any, fields: dict[str, Asked]) -> Any:
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
        size = min(int(form.fields.get("limit", "25")), LIMIT_MAX)
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


class Lazy(Sequence[dict[str, Any]]):
    """Nodes that are made where they are looked at: a page is a part of many."""

    def __init__(
        self, things: Sequence[T], make: Callable[[T], dict[str, Any]]
    ) -> None:
        self._things, self._make = things, make

    def __len__(self) -> int:
        return len(self._things)

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return [self._make(thing) for thing in self._things[at]]
        return self._make(self._things[at])


def _cursor(position: int) -> str:
    return base64.urlsafe_b64encode(f"at{position}".encode()).decode()


def _position(cursor: str | None) -> int:
    if not cursor:
        return 0
    return int(base64.urlsafe_b64decode(cursor).decode().removeprefix("at"))


def graph_time(seconds: float) -> str:
    """Return a time as the Graph API writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S+0000")
