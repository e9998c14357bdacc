"""What a release has left in Redis and the database, this one takes over."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from golden_states import (
    KEEP,
    SUPPRESSED,
    TOKEN,
    environment,
    mail,
    restore,
    states,
)
from nexus_actors import dead_letters, events, jobs, queues, setup
from nexus_actors.analytics.figures import Figures
from nexus_actors.engine.dead_letters import Selection
from nexus_actors.notifications import suppressions
from nexus_actors.notifications.content import Channel
from nexus_actors.social import State
from nexus_actors.social.desk import Desk
from queues import MakeBroker, working


LONG_S = 100 * 365 * 86400


@pytest.mark.parametrize("state", states(), ids=lambda state: state.parent.name)
def test_what_a_release_has_left_is_taken_over(
    state: Path,
    redis_url: str,
    make_broker: MakeBroker,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    found = restore(state, redis_url, tmp_path)
    broker = make_broker(dead_ttl_s=LONG_S)  # the state may be years old
    setup(broker=broker, domains=["notifications"])

    with working(broker):
        for job in found["open"]:
            assert jobs.wait(job, timeout_s=60).state == "succeeded"
        requeued = dead_letters.requeue(Selection(ids=(found["dead"],)))
        assert (requeued.requeued, requeued.left) == (1, 0)
        assert jobs.wait(found["dead"], timeout_s=60).state == "succeeded"
        assert jobs.wait(mail("done"), timeout_s=60).state == "succeeded"

    sent = "\n".join(path.read_text() for path in (tmp_path / "mails").iterdir())
    to = sorted(re.findall(r"^To: (\w+)@", sent, re.MULTILINE))
    assert to == ["dead", "grouped", "later", "plain", "running", "urgent"]
    [done] = jobs.find(order="7")
    assert (done.id, done.state) == (found["done"], "succeeded")
    waiting = {queue.name: queue for queue in queues.overview()}["video-processing"]
    assert (waiting.paused, waiting.waiting) == (True, 1)
    assert "job.dead" in {e.name for e in events.listen(since="0", wait=False)}

    desk = Desk.open()
    assert desk.tokens
    known = desk.tokens.store.get("tiktok", "ann").credential
    assert known
    assert known.access_token.get_secret_value() == TOKEN
    post = desk.table.get(KEEP)
    assert (post.state, desk.table.token(post)) == (State.SCHEDULED, TOKEN)
    listed = suppressions()
    assert listed.find(Channel.EMAIL, SUPPRESSED, category="any", required=False)
    [figures] = Figures(desk.table.database).posts("tiktok", "ann")
    assert figures.values["views"] == 90
