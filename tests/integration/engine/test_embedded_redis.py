"""A private Redis, shared by the commands of one machine."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import redis

from nexus_actors import ConfigurationError, MissingToolError
from nexus_actors.engine.embedded_redis import EmbeddedRedis, embedded_redis


def client(server: EmbeddedRedis) -> redis.Redis:
    return redis.Redis.from_url(server.url, decode_responses=True)


def test_it_is_shared_and_only_who_started_it_stops_it(tmp_path: Path) -> None:
    with embedded_redis(tmp_path) as first:
        with embedded_redis(tmp_path) as second:
            assert second.process is None
            assert second.url == first.url

        with client(first) as connection:
            assert connection.ping()
        process = first.process

    assert process is not None
    assert process.poll() is not None
    assert not (tmp_path / "redis.pid").exists()


def test_what_was_stored_is_there_at_the_next_start(tmp_path: Path) -> None:
    with embedded_redis(tmp_path) as server, client(server) as connection:
        connection.set("kept", "yes")

    with embedded_redis(tmp_path) as server, client(server) as connection:
        assert connection.get("kept") == "yes"


def test_a_deep_folder_with_strange_letters_will_do(tmp_path: Path) -> None:
    deep = tmp_path / ("a b'\"ü" * 10) / ("d" * 100)

    with embedded_redis(deep) as server, client(server) as connection:
        assert connection.ping()

    assert list(deep.glob("appendonly*"))


def test_the_socket_of_a_killed_server_is_no_obstacle(tmp_path: Path) -> None:
    with embedded_redis(tmp_path) as killed:
        assert killed.process
        killed.process.kill()
        killed.process.wait()
        assert Path(killed.url.removeprefix("unix://")).exists()

        with embedded_redis(tmp_path) as server, client(server) as connection:
            assert connection.ping()


def test_of_two_that_start_at_once_one_joins_the_other(tmp_path: Path) -> None:
    barrier, done = threading.Barrier(2), threading.Barrier(2)
    started: list[bool] = []

    def use() -> None:
        barrier.wait()
        with embedded_redis(tmp_path) as server, client(server) as connection:
            started.append(server.process is not None)
            assert connection.ping()
            done.wait()

    threads = [threading.Thread(target=use) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert sorted(started) == [False, True]


def test_a_folder_that_cannot_be_used_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with (
        pytest.raises(ConfigurationError, match=r"cannot keep a Redis in .*REDIS_URL"),
        embedded_redis(tmp_path / "file"),
    ):
        pass


def test_a_missing_server_is_answered_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with (
        pytest.raises(MissingToolError, match="apt-get install redis-server"),
        embedded_redis(tmp_path),
    ):
        pass
