"""How methods of the Web API are given their arguments."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.requests import Request

from nexus_actors.sandbox.shapes import parse_json


NAME: Final = re.compile(r"[A-Za-z0-9_]{1,100}")

#: Arguments that are JSON; forms have them as text.
STRUCTURED: Final = ("attachments", "blocks", "metadata")


class SlackError(Exception):
    """A method answers ``ok: false``.

    Attributes:
        code: The ``error``.
        more: What else is in the answer.
    """

    def __init__(self, code: str, **more: Any) -> None:
        super().__init__(code)
        self.code, self.more = code, more


def invalid(code: str, *messages: str) -> SlackError:
    """Return the error with its messages, as Slack has them: in two places."""
    errors = [f"[ERROR] {message}" for message in messages]
    return SlackError(
        code, errors=list(messages), response_metadata={"messages": errors}
    )


@dataclass(slots=True)
class Arguments:
    """What a request gives, and what Slack warns of."""

    values: dict[str, Any]
    warnings: list[str] = field(default_factory=list)

    def text(self, name: str) -> str:
        """Return an argument as text; empty, if it is not there."""
        value = self.values.get(name)
        if value is None or isinstance(value, dict | list):
            return ""
        return value if isinstance(value, str) else str(value)

    def is_true(self, name: str) -> bool:
        """Tell whether an argument is switched on."""
        return self.text(name).lower() in {"true", "1"}

    def needed(self, name: str) -> str:
        """Return an argument as text.

        Raises:
            SlackError: It is not there.
        """
        value = self.text(name)
        if not value:
            raise invalid("invalid_arguments", f"missing required field: {name}")
        return value


def read(request: Request, body: bytes, *, writes: bool) -> Arguments:
    """Return the arguments of a request.

    Args:
        request: It may have arguments in its query, too.
        body: Its body.
        writes: Whether the method changes something; others take no JSON, and Slack
            passes over it.

    Raises:
        SlackError: They are not given in a way that Slack takes.
    """
    query = parse_qsl(request.url.query, keep_blank_values=True)
    arguments = Arguments(dict(query))
    kind, _, options = request.headers.get("content-type", "").partition(";")
    kind = kind.strip().lower()
    if request.method == "GET" or (not body and not kind):
        pass
    elif kind == "application/json":
        _check_charset(options, arguments)
        if writes:
            arguments.values |= _json(body)
    elif kind == "application/x-www-form-urlencoded":
        text = body.decode(errors="replace")
        arguments.values |= dict(parse_qsl(text, keep_blank_values=True))
    elif kind == "multipart/form-data":
        raise SlackError("invalid_form_data")  # no method here takes files
    else:
        raise SlackError("invalid_post_type" if kind else "missing_post_type")
    _check_names(arguments.values)
    return arguments


def structured(arguments: Arguments, name: str, error: str) -> Any:
    """Return an argument that is JSON, from JSON or from the text of a form.

    Raises:
        SlackError: It is neither; with the code *error*.
    """
    value = arguments.values.get(name)
    if not isinstance(value, str) or not value:
        return value or None
    try:
        return parse_json(value.encode())
    except ValueError:
        raise SlackError(error) from None


def _check_charset(options: str, arguments: Arguments) -> None:
    charset = options.partition("charset=")[2].strip().strip('"').lower()
    if not charset:
        arguments.warnings.append("missing_charset")
    elif charset not in {"utf-8", "utf8", "iso-8859-1"}:
        raise SlackError("invalid_charset")


def _json(body: bytes) -> dict[str, Any]:
    try:
        value = parse_json(body)
    except ValueError:
        raise SlackError("invalid_json") from None
    if not isinstance(value, dict):
        raise SlackError("json_not_object")
    return value


def _check_names(values: dict[str, Any]) -> None:
    for name in values:
        if name.endswith("]") and "[" in name:
            raise SlackError("invalid_array_arg")
        if not NAME.fullmatch(name):
            raise SlackError("invalid_arg_name")
