"""How Redis is reached, and how it is spoken of."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from nexus_actors import ConfigurationError, CoreSettings
from nexus_actors.engine.connection import connect, describe, unavailable


def client(**settings: Any) -> redis.Redis:
    return connect(CoreSettings.load(settings))


def options(**settings: Any) -> dict[str, Any]:
    found: dict[str, Any] = client(**settings).connection_pool.connection_kwargs
    return found


def test_the_parts_of_an_address_are_used_without_a_url() -> None:
    parts = options(redis_host="db", redis_port=1234, redis_password="x", redis_db=3)

    assert (parts["host"], parts["port"], parts["db"]) == ("db", 1234, 3)
    assert parts["password"] == "x"


def test_a_url_wins_over_the_parts() -> None:
    parts = options(redis_url="redis://other:7777/2", redis_host="db")

    assert (parts["host"], parts["port"], parts["db"]) == ("other", 7777, 2)


@pytest.mark.parametrize(
    ("url", "protocol"),
    [("redis://h/0", 2), ("redis://h/0?protocol=3", 3), ("unix:///tmp/s", 2)],
)
def test_the_protocol_is_the_second_unless_the_url_says_otherwise(
    url: str, protocol: int
) -> None:
    assert int(options(redis_url=url)["protocol"]) == protocol


def test_no_command_is_repeated_by_the_client() -> None:
    made: Any = client(redis_url="redis://127.0.0.1:1/0")

    assert made.get_retry().get_retries() == 0


@pytest.mark.parametrize(
    "url",
    [
        "redis://user:s3cr3t/word@host:6379/0",
        "redis://:s3cr3t#word@host/0",
        "redis://:s3cr3t@[host/0",
        "http://:s3cr3t@host",
        "host:6379?password=s3cr3t",
    ],
)
def test_a_malformed_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError, match="REDIS_URL") as caught:
        client(redis_url=url)

    assert "s3cr3t" not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://user:s3cr3t@host:6380/1", "host:6380"),
        ("rediss://:s3cr3t@host", "host:6379"),
        ("unix://user:s3cr3t@/run/redis.sock", "unix:///run/redis.sock"),
    ],
)
def test_a_server_is_named_without_its_password(url: str, told: str) -> None:
    made = client(redis_url=url)

    error = unavailable(made, redis.ConnectionError("refused\nmore"))

    assert describe(made) == told
    assert error.message == (
        f"Redis at {told} cannot be used: refused "
        "(start it, or set REDIS_URL to one that runs)"
    )
