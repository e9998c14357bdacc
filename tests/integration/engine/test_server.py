"""A server that cannot be a queue is refused in one line."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from conftest import StartWorker, until
from nexus_actors import ConfigurationError
from nexus_actors.engine.connection import check_server, connect
from queues import MakeBroker, make_actor


def work(number: int = 0) -> int:
    return number


@pytest.fixture
def cluster_url(tmp_path: Path) -> Iterator[str]:
    socket = tmp_path / "s"
    command = ["redis-server", "--port", "0", "--unixsocket", str(socket)]
    command += ["--cluster-enabled", "yes", "--cluster-port", "17999", "--save", ""]
    server = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
    url = f"unix://{socket}"
    client = redis.Redis.from_url(url)
    until(lambda: answers(client))
    client.close()
    yield url
    server.kill()
    server.wait()


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


def test_a_cluster_is_refused_to_who_sends_and_who_works(
    make_broker: MakeBroker, cluster_url: str, start_worker: StartWorker, tmp_path: Path
) -> None:
    actor = make_actor(work)
    actor.broker = make_broker(url=cluster_url)
    worker = start_worker(
        *("nexus_actors.worker", "-p", "1", "-t", "1"), REDIS_URL=cluster_url
    )

    with pytest.raises(
        ConfigurationError, match="is a cluster: a queue needs a single"
    ):
        actor.send(number=1)

    assert worker.wait(30) == 1
    assert "is a cluster: a queue needs a single" in (
        (tmp_path / "worker-0.log").read_text()
    )


def test_a_server_that_is_away_is_no_reason_to_refuse_it(
    make_broker: MakeBroker,
) -> None:
    broker = make_broker(url="redis://127.0.0.1:1")

    check_server(connect(broker.settings))
