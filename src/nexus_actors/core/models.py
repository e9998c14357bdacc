"""The base of every message, result and record that crosses a boundary."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from .errors import InvalidRequestError


class Model(BaseModel):
    """A frozen value with a JSON form; unknown fields are refused."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_by_name=True,
        validate_by_alias=True,
        hide_input_in_errors=True,  # tracebacks reach logs
    )

    @classmethod
    def parse(cls, value: Any, *, what: str) -> Self:
        """Validate *value*, or say in one line what is wrong with *what*.

        Raises:
            InvalidRequestError: Naming each wrong field and its reason.
        """
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            wrong = explain(error)
            text = "; ".join(f"{field}: {reason}" for field, reason in wrong.items())
            raise InvalidRequestError(f"{what}: {text}", fields=wrong) from None

    def to_json(self) -> dict[str, Any]:
        """Return the value as plain JSON types."""
        return self.model_dump(mode="json")


def explain(error: ValidationError) -> dict[str, str]:
    """Map each wrong field, as a dotted path, to a reason a person understands."""
    wrong: dict[str, str] = {}
    for item in error.errors(include_url=False):
        field = ".".join(str(part) for part in item["loc"]) or "value"
        if item["type"] == "extra_forbidden":
            reason = "is not a known name"
        elif item["type"] == "missing":
            reason = "is missing"
        else:
            reason = item["msg"].removeprefix("Value error, ")
            reason = reason[:1].lower() + reason[1:]
        wrong[field] = reason
    return wrong
