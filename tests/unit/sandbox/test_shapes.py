from __future__ import annotations

from typing import Any

import pytest

from nexus_actors.sandbox.shapes import Map, Shape, mismatches, parse_json


SHAPE: Shape = {"name": str, "size": int, "parts": [{"ok": bool}], "free": Map(str)}


@pytest.mark.parametrize(
    ("value", "path", "expected", "given"),
    [
        ([], (), "object", "array"),
        ({"name": 1}, ("name",), "string", "integer"),
        ({"name": None}, ("name",), "string", "null"),
        ({"size": True}, ("size",), "integer", "boolean"),
        ({"size": 1.5}, ("size",), "integer", "number"),
        ({"parts": {}}, ("parts",), "array", "object"),
        ({"parts": [{}, {"ok": 1}]}, ("parts", 1, "ok"), "boolean", "integer"),
        ({"free": {"a": "b", "c": 2}}, ("free", "c"), "string", "integer"),
        ({"colour": "red"}, ("colour",), None, "string"),
    ],
)
def test_what_differs_is_named(
    value: Any, path: tuple[Any, ...], expected: str | None, given: str
) -> None:
    (found,) = mismatches(value, SHAPE)

    assert (found.path, found.expected, found.given_type) == (path, expected, given)


def test_what_fits_is_not() -> None:
    value = {"name": "a", "size": 1, "parts": [{"ok": True}], "free": {"x": "y"}}

    assert list(mismatches(value, SHAPE)) == []
    assert list(mismatches({"a": [1, None]}, {"a": object})) == []
    assert list(mismatches(3, float)) == []


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"NaN", b'"\\ud800"', b'"\xff"', b"1" * 5000),
        *(b"[" * 100_000, b"[" * 101 + b"]" * 101, b'{"a":' * 101 + b"1" + b"}" * 101),
    ],
)
def test_what_is_no_json_or_cannot_be_written_again_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any text will do
        parse_json(body)


def test_what_is_nested_is_no_fault_within_reason() -> None:
    assert parse_json(b"[" * 99 + b"]" * 99)
