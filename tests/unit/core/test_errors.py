"""One tree of errors; its first fork is whether trying again may help."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from nexus_actors.core import errors
from nexus_actors.core.errors import NexusError


NOW = datetime(2026, 1, 1, tzinfo=UTC)

MADE: dict[str, NexusError] = {
    "permanent": errors.PermanentError("x"),
    "configuration": errors.ConfigurationError("x"),
    "missing_extra": errors.MissingExtraError("storage", "video"),
    "missing_tool": errors.MissingToolError("x"),
    "schema": errors.SchemaError("x"),
    "unknown_adapter": errors.UnknownAdapterError("x"),
    "invalid_request": errors.InvalidRequestError("x"),
    "unsupported_feature": errors.UnsupportedFeatureError("x"),
    "authorization": errors.AuthorizationError("x"),
    "forbidden_url": errors.ForbiddenUrlError("x"),
    "rejected": errors.RejectedError("x"),
    "internal": errors.InternalError("x"),
    "transient": errors.TransientError("x"),
    "remote_unavailable": errors.RemoteUnavailableError("x"),
    "broker_unavailable": errors.BrokerUnavailable("x"),
    "resource": errors.ResourceError("x"),
    "time_limit": errors.TimeLimitError("x"),
    "cancelled": errors.Cancelled("x"),
    "postponed": errors.Postponed("x", until=NOW),
    "unknown_outcome": errors.UnknownOutcomeError("x"),
}

RETRYABLE = {
    "transient",
    "remote_unavailable",
    "broker_unavailable",
    "resource",
    "time_limit",
    "postponed",
}


def test_every_error_of_the_tree_is_in_this_test() -> None:
    kinds = {
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, NexusError)
    }

    assert kinds - {NexusError} == {type(error) for error in MADE.values()}


@pytest.mark.parametrize("code", MADE)
def test_an_error_has_a_code_of_its_own_and_tells_whether_to_retry(code: str) -> None:
    assert MADE[code].code == code
    assert MADE[code].retryable is (code in RETRYABLE)


@pytest.mark.parametrize("code", MADE)
def test_every_error_is_drawn_in_the_tree(code: str) -> None:
    assert type(MADE[code]).__name__ in (errors.__doc__ or "")


def test_a_message_and_details_are_kept_apart() -> None:
    error = errors.RejectedError("too long", code="limits", seconds=9)

    assert str(error) == error.message == "too long"
    assert error.code == "limits"
    assert error.details == {"seconds": 9}
    assert errors.RejectedError.code == "rejected"


@pytest.mark.parametrize(
    ("code", "builtin"),
    [
        ("invalid_request", ValueError),
        ("unsupported_feature", ValueError),
        ("missing_extra", ImportError),
        ("broker_unavailable", ConnectionError),
    ],
)
def test_what_python_has_a_name_for_is_caught_by_it(
    code: str, builtin: type[Exception]
) -> None:
    with pytest.raises(builtin):
        raise MADE[code]


def test_a_missing_extra_names_the_command_that_installs_it() -> None:
    assert MADE["missing_extra"].message == (
        'storage needs: pip install "nexus-actors[video]"'
    )


def test_a_postponement_tells_until_when() -> None:
    error = errors.Postponed("later", until=NOW, code="rate_limit")

    assert (error.until, error.code) == (NOW, "rate_limit")
