"""Request bodies as the vendors take them: forms, JSON, multipart."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from email.message import Message
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a multipart body.

    Attributes:
        name: That of a form field; empty in a body that is no form.
        filename: None for a field without a file.
    """

    name: str
    filename: str | None
    content_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Form:
    """The parameters of a request, wherever they stood, and its files."""

    fields: dict[str, str]
    files: dict[str, Part]


async def read_form(request: Request) -> Form:
    """Read query and body: a form, a multipart form, or a JSON object.

    The body wins over the query; what is no text in JSON is JSON again, as the
    vendors let callers send it.

    Raises:
        ValueError: The body is not what its content type says.
    """
    fields = dict(request.query_params)
    body, kind = await request.body(), request.headers.get("content-type", "")
    files: dict[str, Part] = {}
    if kind.startswith("multipart/form-data"):
        for part in split(body, kind):
            if part.filename is None:
                fields[part.name] = part.data.decode(errors="replace")
            else:
                files[part.name] = part
    elif kind.startswith("application/json"):
        fields |= {k: _text(v) for k, v in json_object(body).items()}
    else:
        fields |= parse_qsl(body.decode(errors="replace"), keep_blank_values=True)
    return Form(fields, files)


def json_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object that a body is.

    Raises:
        ValueError: It is none, or has text that is no Unicode.
    """
    value = json.loads(body or b"{}")
    if not isinstance(value, dict):
        raise ValueError("the body is no JSON object")  # noqa: TRY004 - a bad value
    json.dumps(value, ensure_ascii=False).encode()  # half of a surrogate pair
    return value


def split(body: bytes, content_type: str) -> list[Part]:
    """Return the parts of a multipart body.

    Raises:
        ValueError: It has no boundary, or does not end with it.
    """
    boundary = _header(content_type).get_param("boundary")
    if not boundary:
        raise ValueError("no boundary")
    # Google's own client ends its lines without a carriage return
    line = rb"\r?\n--" + re.escape(str(boundary).encode())
    first, *parts, last = re.split(line, b"\n" + body)
    if first.strip() or not last.startswith(b"--"):
        raise ValueError("the multipart body is not whole")
    return [_part(part) for part in parts]


def _part(raw: bytes) -> Part:
    head, *rest = re.split(rb"\r?\n\r?\n", raw, maxsplit=1)
    if not rest:
        raise ValueError("a part has no end of its headers")
    headers = {}
    for line in head.decode(errors="replace").splitlines():
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    disposition = _header(headers.get("content-disposition", ""))
    filename = disposition.get_param("filename")
    return Part(
        name=str(disposition.get_param("name", "")),
        filename=None if filename is None else str(filename),
        content_type=headers.get("content-type", ""),
        data=rest[0],
    )


def _header(value: str) -> Message:
    message = Message()
    message["content-type"] = value
    return message


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
