"""What a publication has come to is told, whoever dies before that."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

import publishing
from conftest import until
from nexus_actors import events, setup
from nexus_actors.core import clock
from nexus_actors.social import State, sweep_publications
from nexus_actors.social.desk import Desk
from nexus_actors.social.telling import _tell
from nexus_actors.testing.sandbox import SandboxClient
from publishing import QUICK, Place
from queues import MakeBroker
from servers import StartServer


#: Publishes without a worker, and tells of it by the broker of the environment.
PUBLISH = """
import dramatiq, publishing
from nexus_actors import RedisBroker
from nexus_actors.core.settings import CoreSettings
dramatiq.set_broker(RedisBroker(CoreSettings.load()))
publishing.flow()
"""


def test_what_the_dead_have_not_told_a_sweep_tells_and_by_its_key_it_is_one(
    nexus_sandbox: SandboxClient,
    start_server: StartServer,
    make_broker: MakeBroker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nexus_sandbox.settings(**QUICK)
    place, redis = Place(tmp_path), start_server()
    given = {"REDIS_URL": redis.url, "ROUTE": "facebook_link"}
    given["PYTHONPATH"] = str(Path(publishing.__file__).parent)
    for name, value in (place.environ(nexus_sandbox.url, {}) | given).items():
        monkeypatch.setenv(name, value)
    place.empty()

    # killed after it has written what came of the post, before that is told
    redis.signal(signal.SIGSTOP)
    with subprocess.Popen([sys.executable, "-c", PUBLISH]) as worker:
        until(lambda: place.record()["state"] == "published", 60)
        worker.kill()
    redis.signal(signal.SIGCONT)
    setup(broker=(broker := make_broker(url=redis.url)), domains=["social"])

    def told() -> list[tuple[str, str]]:
        heard = events.listen(since="0", wait=False, domains=True, broker=broker)
        return [(event.name, event.key) for event in heard]

    [row] = Desk.open().table.newest()
    before = told()
    clock.move(120)
    sent = sweep_publications()["sent"]
    once, again = told(), sweep_publications()["sent"]

    # and one that dies when it has told, before that is written
    hold = Desk.open().table.hold(row.id, lease_s=60)
    hold.write(state=State.PUBLISHED, due_at=None)
    _tell(hold)
    clock.move(300)
    sweep_publications()
    twice = told()[1:]

    assert row.untold
    assert before == []
    assert [name for name, _ in once] == ["social.post_published"]
    assert (sent, again) == (0, 0)  # nobody has to go on with it
    assert [name for name, _ in twice] == ["social.post_published"] * 2
    assert twice[0] == twice[1] != once[0]
    [row] = Desk.open().table.newest()
    assert (row.untold, row.due_at) == (None, None)
