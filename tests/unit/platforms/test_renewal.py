"""What a process that renews tokens tells is what it has met."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from nexus_actors.core.errors import (
    AuthorizationError,
    NexusError,
    Postponed,
    RemoteUnavailableError,
    ResourceError,
)
from nexus_actors.platforms.renewal import _read, _told


LATER = datetime(2026, 11, 27, tzinfo=UTC)


@pytest.mark.parametrize(
    "error",
    [
        AuthorizationError("it is revoked", code="needs_reauthorization"),
        Postponed("too many", code="rate_limited", until=LATER, status=429),
        RemoteUnavailableError("it is down", status=503),
    ],
)
def test_an_error_arrives_as_it_was(error: NexusError) -> None:
    found = _read(f"a line of another library\n{json.dumps(_told(error))}\n")

    assert type(found) is type(error)
    assert (found.message, found.code) == (error.message, error.code)
    assert found.details == error.details
    assert getattr(found, "until", None) == getattr(error, "until", None)


@pytest.mark.parametrize("told", ["", "Killed", '{"type": "Exception"}'])
def test_of_one_that_has_died_it_is_said_and_it_may_be_tried_again(told: str) -> None:
    assert isinstance(_read(told), ResourceError)
