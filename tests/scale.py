"""Two scales: small for `make test`, full for `make test-full`.

The same test functions run at both.  A number takes one of two values, `scaled`; a set
of parameters that takes too long for every day is marked ``full``, and another set of
the same function must be there without the mark: its small twin.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Final, TypeVar

import pytest


T = TypeVar("T")

_FULL: Final = os.environ.get("NEXUS_TEST_SCALE") == "full"

#: Marks a set of parameters that runs at full scale alone.
full = pytest.mark.full


def scaled(small: T, *, full: T) -> T:
    """Return the value for the scale that the tests run at."""
    return full if _FULL else small


@pytest.hookimpl(wrapper=True)
def pytest_pycollect_makeitem(
    collector: pytest.Collector, name: str
) -> Generator[None, object, object]:
    """Refuse a function of which nothing is left at the small scale."""
    made = yield
    tests = made if isinstance(made, list) else []
    if tests and all(test.get_closest_marker("full") for test in tests):
        raise collector.CollectError(
            f"{name} runs at full scale only: give it a small twin, a set of "
            "parameters without the mark `full`"
        )
    return made


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Leave out what is for the full scale, unless that is asked for."""
    if _FULL:
        return
    left_out = [item for item in items if item.get_closest_marker("full")]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)
