"""Which of two releases is newer, and what is left to it."""

from __future__ import annotations

from typing import Any

import pytest

from nexus_actors.core import clock
from nexus_actors.core.errors import InvalidRequestError, Postponed, UnknownAdapterError
from nexus_actors.core.releases import is_newer, leaving, release


@pytest.mark.parametrize(
    "newer", ["9000", "9000.0", "9000.0.0", "9000.1rc2", "10.2.dev"]
)
def test_what_is_newer_is_told_by_its_numbers(newer: str) -> None:
    assert is_newer(newer) == (newer != "9000")


@pytest.mark.parametrize(
    "other", [None, "", 7, "0.0.1", "x.y", ["9000.0"], "9" * 5000 + ".0", release()]
)
def test_what_is_older_or_no_release_at_all_is_not_newer(other: Any) -> None:
    assert not is_newer(other)


@pytest.mark.parametrize(
    "refused", [InvalidRequestError("no"), UnknownAdapterError("no")]
)
def test_what_is_refused_waits_only_if_a_newer_release_wrote_it(
    refused: Exception,
) -> None:
    with pytest.raises(type(refused), match="no"), leaving(release()):
        raise refused
    told = r"release 9000.1.0 wrote this"
    with pytest.raises(Postponed, match=told) as caught, leaving("9000.1"):
        raise refused

    assert caught.value.code == "newer_release"
    assert caught.value.until > clock.now()
