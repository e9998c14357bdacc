"""A worker in the test's own process, as a pytest fixture: what is sent is run.

Name the plugins in a ``conftest.py``, and take the fixture::

    pytest_plugins = ["nexus_actors.testing.sandbox", "nexus_actors.testing.worker"]


    def test_the_mail_is_sent(nexus_worker, nexus_sandbox):
        message = send_notification.send(type="email", email={...})

        assert jobs.wait(message.message_id, timeout_s=60).state == "succeeded"
        assert len(nexus_sandbox.truth()["sendgrid"]) == 1

It needs a ``redis-server``, and the extras of the domains and ``web``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import dramatiq
import pytest
from dramatiq import broker as dramatiq_broker

from nexus_actors import CoreSettings, RedisBroker, setup
from nexus_actors.app import actors_of
from nexus_actors.engine.embedded_redis import embedded_redis

from .sandbox import SandboxClient


#: The keys that the sandbox knows, by variable; other vendors' are in the how-to page.
KEYS: Final = {
    "NEXUS_SENDGRID_API_KEY": "SG.sandbox.sandbox",
    "NEXUS_EMAIL_FROM": "hello@tube.example",
    "NEXUS_SLACK_BOT_TOKEN": "xoxb-sandbox",
    "NEXUS_TWILIO_ACCOUNT_SID": f"AC{1:032}",
    "NEXUS_TWILIO_AUTH_TOKEN": f"{2:032}",
    "NEXUS_TWILIO_PHONE_NUMBER": "+15005550006",
}


@pytest.fixture(scope="session")
def nexus_redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A private Redis for the whole session."""
    with embedded_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


@pytest.fixture
def nexus_worker(
    nexus_redis_url: str,
    nexus_sandbox: SandboxClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[RedisBroker]:
    """All actors run on an empty queue, against the sandbox; what they keep is gone.

    The variables are set for what the test starts, too, such as its own server.
    """
    places = {
        "NEXUS_REDIS_URL": nexus_redis_url,
        "NEXUS_SANDBOX_URL": nexus_sandbox.url,
        "NEXUS_DATABASE_URL": f"sqlite:///{tmp_path}/nexus.db",
        "NEXUS_STORAGE_URL": str(tmp_path / "media"),
        "NEXUS_TEMP_DIR": str(tmp_path / "scratch"),
    }
    for name, value in (KEYS | places).items():
        monkeypatch.setenv(name, value)
    before = dramatiq_broker.global_broker
    broker = RedisBroker(CoreSettings.load())
    broker.client.flushdb()
    dramatiq.set_broker(broker)
    setup(broker=broker)
    worker = dramatiq.Worker(broker, worker_threads=4, worker_timeout=50)
    worker.start()
    yield broker
    worker.stop()
    broker.close()
    for actor in actors_of():
        actor.unbind()
    dramatiq_broker.global_broker = before
