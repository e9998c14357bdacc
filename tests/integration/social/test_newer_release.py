"""What a newer release has written of a post, an older worker leaves to it."""

from __future__ import annotations

from typing import Any

import pytest

from nexus_actors import Postponed, RedisBroker
from nexus_actors.social import State
from nexus_actors.social.connect import resume
from nexus_actors.social.desk import Desk


@pytest.mark.parametrize(
    ("platform", "content"),
    [("tiktok", {"title": "A film", "mood": "high"}), ("of-tomorrow", {"title": "A"})],
)
def test_a_post_that_only_a_newer_release_understands_waits_for_it(
    broker: RedisBroker,  # noqa: ARG001 - keeps budgets
    desk: Desk,
    platform: str,
    content: dict[str, Any],
) -> None:
    hold = desk.table.take(
        key="key",
        platform=platform,
        account=None,
        request={"content": content, "settings": {}, "release": "9000.0.0"},
        token="act.token",
        publish_at=None,
        job=None,
        lease_s=30,
    )
    hold.release()

    with pytest.raises(Postponed) as caught:
        resume(hold.row.id)

    row = desk.table.get("key")
    assert caught.value.code == "newer_release"
    assert (row.state, row.failures) == (State.PUBLISHING, 0)
    assert row.due_at
    assert row.due_at > caught.value.until
