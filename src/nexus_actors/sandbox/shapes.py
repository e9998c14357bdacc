"""JSON as it arrives, and whether it has the shape that a vendor's document gives."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from types import NoneType
from typing import Any, Final, NoReturn


@dataclass(frozen=True, slots=True)
class Map:
    """An object with any names, and *values* of one shape."""

    values: Shape


#: A type; ``object`` stands for anything.  A list of one shape is an array of it, and a
#: dictionary an object that may have these names and no others.
Shape = type | Map | list["Shape"] | dict[str, "Shape"]

#: How many objects and arrays may stand in each other.
MAX_DEPTH: Final = 100

#: What JSON calls the types.
NAMES: Final = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    dict: "object",
    list: "array",
    NoneType: "null",
}


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A place that differs from the shape.

    Attributes:
        path: The names and indices that lead to it.
        expected: The type that belongs there, in JSON's word; None where nothing does.
        given: What stands there.
    """

    path: tuple[str | int, ...]
    expected: str | None
    given: Any

    @property
    def given_type(self) -> str:
        """Return the type of what stands there, in JSON's word."""
        return NAMES[type(self.given)]


def parse_json(body: bytes) -> Any:
    """Return what *body* stands for.

    Raises:
        ValueError: It is no JSON, is nested too deeply, or has text that cannot be
            written as UTF-8.
    """
    try:
        value = json.loads(body, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    _check_depth(value)
    json.dumps(value, ensure_ascii=False).encode()  # half of a surrogate pair
    return value


def mismatches(
    value: Any, shape: Shape, path: tuple[str | int, ...] = ()
) -> Iterator[Mismatch]:
    """Yield where *value* differs from *shape*."""
    if isinstance(shape, type):
        if not _is_a(value, shape):
            yield Mismatch(path, NAMES[shape], value)
    elif isinstance(shape, list):
        if isinstance(value, list):
            for at, inner in enumerate(value):
                yield from mismatches(inner, shape[0], (*path, at))
        else:
            yield Mismatch(path, "array", value)
    elif not isinstance(value, dict):
        yield Mismatch(path, "object", value)
    else:
        for name, inner in value.items():
            known = shape.values if isinstance(shape, Map) else shape.get(name)
            if known is None:
                yield Mismatch((*path, name), None, inner)
            else:
                yield from mismatches(inner, known, (*path, name))


def _is_a(value: Any, kind: type) -> bool:
    if kind is object:
        return True
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, kind) or (kind is float and isinstance(value, int))


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        inner = [list(n.values()) if isinstance(n, dict) else n for n in level]
        level = [item for node in inner if isinstance(node, list) for item in node]
        if not level:
            return
    raise ValueError("nested too deeply")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
