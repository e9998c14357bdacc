"""What is wrong with a message is said field by field."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import Field, field_validator

from nexus_actors.core.errors import InvalidRequestError
from nexus_actors.core.models import Model


class Part(Model):
    kind: str


class Thing(Model):
    name: str
    size: Annotated[int, Field(gt=0)] = 1
    parts: tuple[Part, ...] = ()

    @field_validator("name")
    @classmethod
    def _is_no_shout(cls, value: str) -> str:
        if value.isupper():
            raise ValueError("Must not be a shout")
        return value


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, {"name": "is missing"}),
        ({"name": "a", "colour": 1}, {"colour": "is not a known name"}),
        ({"name": "a", "size": 0}, {"size": "input should be greater than 0"}),
        ({"name": "HEY"}, {"name": "must not be a shout"}),
        ({"name": "a", "parts": [{}]}, {"parts.0.kind": "is missing"}),
        ({"size": 1, "x": 2}, {"name": "is missing", "x": "is not a known name"}),
    ],
)
def test_each_wrong_field_is_named_with_a_reason(
    body: dict[str, Any], wrong: dict[str, str]
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        Thing.parse(body, what="thing")

    assert caught.value.details == {"fields": wrong}
    text = "; ".join(f"{name}: {reason}" for name, reason in wrong.items())
    assert caught.value.message == f"thing: {text}"


def test_what_is_no_object_is_said_of_the_value() -> None:
    with pytest.raises(InvalidRequestError, match="thing: value: input should be"):
        Thing.parse(["name"], what="thing")


def test_a_secret_in_a_wrong_field_is_not_repeated() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        Thing.parse({"name": "a", "size": "hunter2"}, what="thing")

    assert "hunter2" not in caught.value.message


def test_a_model_comes_back_from_its_json() -> None:
    thing = Thing(name="a", parts=(Part(kind="b"),))

    assert thing.to_json() == {"name": "a", "size": 1, "parts": [{"kind": "b"}]}
    assert Thing.parse(thing.to_json(), what="thing") == thing


def test_a_model_does_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Thing(name="a").name = "b"  # type: ignore[misc]
