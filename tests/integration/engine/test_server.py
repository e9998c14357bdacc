"""Which servers a queue may be kept on, and how it goes on when they change."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
from dramatiq import Message

from conftest import StartWorker, until
from nexus_actors import (
    BrokerUnavailable,
    ConfigurationError,
    CoreSettings,
    RedisBroker,
)
from nexus_actors.cli.doctor import check_redis
from nexus_actors.engine.connection import LAYOUT, check_server, connect
from queues import MakeBroker, ended, held, make_actor, working
from scale import full, scaled
from servers import Server, StartServer, free_port
from web import certificate


TESTS = Path(__file__).resolve().parents[2]


def work(number: int = 0) -> int:
    return number


@pytest.fixture
def cluster_url(tmp_path: Path) -> Iterator[str]:
    socket = tmp_path / "s"
    command = ["redis-server", "--port", "0", "--unixsocket", str(socket)]
    command += ["--cluster-enabled", "yes", "--save", ""]
    command += ["--cluster-port", str(free_port())]
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


@pytest.mark.parametrize(
    ("kept", "told"),
    [(str(LAYOUT + 1), "upgrade nexus-actors"), ("theirs", "NEXUS_REDIS_NAMESPACE")],
)
def test_a_queue_that_somebody_else_keeps_in_another_way_is_refused(
    broker: RedisBroker, kept: str, told: str
) -> None:
    with working(broker):
        pass
    layout = f"{broker.namespace}:__layout__"
    assert broker.client.get(layout) == b"%d" % LAYOUT
    broker.client.set(layout, kept)

    with pytest.raises(SystemExit, match=told), working(broker):
        pass


def test_a_server_that_is_away_is_no_reason_to_refuse_it(
    make_broker: MakeBroker,
) -> None:
    broker = make_broker(url="redis://127.0.0.1:1")

    check_server(connect(broker.settings))


def test_a_server_that_does_not_take_our_password_is_refused(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start_server("redis")
    monkeypatch.setenv("REDIS_URL", server.url.replace("//", "//:wr0ng@"))
    client = connect(CoreSettings.load())
    with redis.Redis.from_url(server.url) as owner:
        owner.config_set("requirepass", "s3cr3t")

    with pytest.raises(ConfigurationError, match="put the right password into"):
        check_server(client)

    [found] = check_redis()
    assert found.state == "missing"
    assert "put the right password into" in found.found
    assert "wr0ng" not in found.found


@dataclass
class Encrypted:
    """A server that speaks TLS alone, with whom its authority has signed.

    *url* has our certificate; that of *strangers* is another authority's.
    """

    url: str
    authority: Path
    strangers: Path


@pytest.fixture(params=["redis", "redis-6.2"])
def server(request: pytest.FixtureRequest) -> str:
    """Their errors in scripts differ."""
    return str(request.param)


@pytest.fixture
def encrypted(start_server: StartServer, tmp_path: Path) -> Encrypted:
    found = []
    for name in ("ours", "theirs"):
        folder = tmp_path / name
        folder.mkdir()
        found.append(certificate(folder, "localhost")[0])
    port = free_port()
    cert, key = found[0], found[0].with_name("key.pem")
    files = (f"tls-cert-file {cert}", f"tls-key-file {key}", f"tls-ca-cert-file {cert}")
    start_server("redis", *files, f"tls-port {port}", "tls-auth-clients yes")
    ours = f"ssl_certfile={cert}&ssl_keyfile={key}"
    return Encrypted(f"rediss://localhost:{port}/0?{ours}", *found)


def test_tls_is_spoken_with_whom_the_authority_has_signed(
    make_broker: MakeBroker, encrypted: Encrypted
) -> None:
    broker = make_broker(url=f"{encrypted.url}&ssl_ca_certs={encrypted.authority}")
    actor = make_actor(work)
    actor.declare_on(broker)

    with working(broker):
        sent = [actor.send(number=1)]
        sent += [actor.send_with_options(kwargs={"number": 2}, delay=100)]
        assert all(ended(message, broker).state == "succeeded" for message in sent)


def test_a_server_that_others_have_signed_is_refused_in_one_line(
    make_broker: MakeBroker, encrypted: Encrypted
) -> None:
    broker = make_broker(url=f"{encrypted.url}&ssl_ca_certs={encrypted.strangers}")
    actor = make_actor(work)
    actor.broker = broker
    told = (
        r"^Redis at localhost:\d+ cannot be trusted: "
        r"certificate verify failed: [a-z-]+( [a-z-]+)* "
        r"\(name who .* \?ssl_ca_certs=/path/ca\.pem to REDIS_URL\)$"
    )

    with pytest.raises(ConfigurationError, match=told):
        actor.send(number=1)
    with pytest.raises(ConfigurationError, match=told):
        check_server(broker.client)


def test_a_master_that_is_none_any_more_is_left(
    make_broker: MakeBroker, start_server: StartServer, server: str
) -> None:
    """As when a name leads to another server: connections to the old one are closed."""
    broker = make_broker(url=start_server(server).url)
    actor = make_actor(work)
    actor.broker = broker
    actor.send(number=1)
    before: Any = broker.client.client_id()
    broker.client.replicaof("127.0.0.1", "1")

    with pytest.raises(BrokerUnavailable, match="read only replica"):
        actor.send(number=2)
    between: Any = broker.client.client_id()
    with pytest.raises(redis.ResponseError, match="read only replica"):
        broker.run.together("join", "worker", 1, "{}")

    assert len({before, between, broker.client.client_id()}) == 3
    broker.client.replicaof("NO", "ONE")
    assert broker.run.together("join", "worker", 1, "{}") == 1
    actor.send(number=3)
    assert broker.do_qsize("tests") == 2


class Watched:
    """A master with a replica, and sentinels that make the replica the master."""

    def __init__(self, start_server: StartServer, server: str, sentinels: int) -> None:
        self.ports = [free_port() for _ in range(2)]
        common = ("repl-diskless-sync-delay 0", "repl-ping-replica-period 1")
        self.master = start_server(server, *common, port=self.ports[0])
        follow = f"replicaof 127.0.0.1 {self.ports[0]}"
        self.replica = start_server(server, *common, follow, port=self.ports[1])
        client = redis.Redis.from_url(self.replica.url)
        until(lambda: client.info()["master_link_status"] == "up")
        client.close()
        most = sentinels // 2 + 1
        lines = [
            f"sentinel monitor mymaster 127.0.0.1 {self.ports[0]} {most}",
            "sentinel down-after-milliseconds mymaster 500",
            "sentinel failover-timeout mymaster 3000",
        ]
        ports = [free_port() for _ in range(sentinels)]
        self.sentinels = [
            start_server(server, *lines, port=port, sentinel=True) for port in ports
        ]
        until(lambda: all(self.knows_all(item) for item in self.sentinels))
        hosts = [f"127.0.0.1:{port}" for port in (free_port(), *ports)]  # one is down
        self.url = f"redis+sentinel://{','.join(hosts)}/mymaster/0"

    def knows_all(self, sentinel: Server) -> bool:
        client = redis.Redis.from_url(sentinel.url, decode_responses=True)
        master: Any = client.sentinel_master("mymaster")
        client.close()
        others = len(self.sentinels) - 1
        return (master["num-slaves"], master["num-other-sentinels"]) == (1, others)


@pytest.mark.parametrize(
    ("server", "sentinels", "count"),
    [
        ("redis", 1, 400),
        pytest.param("redis", 3, 5_000, marks=full),
        pytest.param("redis-6.2", 3, 2_000, marks=full),
        pytest.param("valkey", 3, 2_000, marks=full),
    ],
)
def test_a_failover_in_mid_run_loses_nothing_that_the_replica_had(
    make_broker: MakeBroker,
    start_server: StartServer,
    start_worker: StartWorker,
    tmp_path: Path,
    server: str,
    sentinels: int,
    count: int,
) -> None:
    watched = Watched(start_server, server, sentinels)
    broker = make_broker(url=watched.url)
    notes = tmp_path / "notes"
    environ = {
        "NOTES": str(notes),
        "PYTHONPATH": str(TESTS),
        "REDIS_URL": watched.url,
        "NEXUS_HEARTBEAT_TIMEOUT_S": "2",
    }
    workers = [
        start_worker("engine_actors", "-p", "1", "-t", "4", **environ) for _ in range(2)
    ]
    messages: list[Message[Any]] = [
        Message("default", "work", (), {"number": number}, {})
        for number in range(count)
    ]
    broker.enqueue_many(messages[::3], delay=4_000)
    broker.enqueue_many(messages[1::3])
    until(lambda: numbers(notes) > count / 10)
    broker.client.wait(1, 3_000)  # what the replica does not have may be lost

    watched.master.kill()
    waits = [send_at_last(broker, message) for message in messages[2::3]]
    until(lambda: broker.do_qsize("default") == 0, scaled(60, full=120))

    assert max(waits) < 5
    ends = [line.split()[1] for line in lines(notes) if line.startswith("end ")]
    assert {int(number) for number in ends} == set(range(count))
    assert held(broker) == 0
    assert [worker.poll() for worker in workers] == [None, None]
    info: Any = broker.client.info()
    assert info["tcp_port"] == watched.ports[1]


def lines(notes: Path) -> list[str]:
    return notes.read_text().splitlines() if notes.exists() else []


def numbers(notes: Path) -> int:
    return sum(line.startswith("end ") for line in lines(notes))


def send_at_last(broker: RedisBroker, message: Message[Any]) -> float:
    """Send until it is known to be stored; return the longest that one try took."""
    longest = 0.0
    while True:
        started = time.monotonic()
        try:
            broker.enqueue(message)
        except BrokerUnavailable:
            time.sleep(0.05)
        else:
            return longest
        finally:
            longest = max(longest, time.monotonic() - started)


@pytest.mark.parametrize(
    ("name", "told"),
    [("redis", "redis "), ("redis-6.2", "redis 6.2."), ("valkey", "valkey ")],
)
def test_doctor_warns_of_what_loses_messages_on_each_server(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch, name: str, told: str
) -> None:
    risky = start_server(name, "appendonly no", "maxmemory-policy allkeys-lru")

    found = {}
    for server in (risky, start_server(name)):
        monkeypatch.setenv("REDIS_URL", server.url)
        found[server.url] = {finding.part: finding for finding in check_redis()}

    first, second = found.values()
    assert first["redis"].found.startswith(told)
    assert "allkeys-lru" in first["redis eviction"].found
    assert "append-only" in first["redis persistence"].found
    assert second.keys() == {"redis"}
