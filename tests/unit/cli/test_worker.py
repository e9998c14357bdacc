"""How many threads `nexus-actors worker` gives its domains."""

from __future__ import annotations

import pytest

from nexus_actors.cli.worker import BESIDE, threads_for
from nexus_actors.engine.slots import default_slots


@pytest.mark.parametrize(
    ("domains", "more"),
    [
        (("video",), 0),
        (("video", "social"), BESIDE),
        (("notifications",), BESIDE),
        (("",), BESIDE),  # all
    ],
)
def test_a_mail_never_waits_for_an_encode(domains: tuple[str, ...], more: int) -> None:
    assert threads_for(domains) == default_slots() + more
