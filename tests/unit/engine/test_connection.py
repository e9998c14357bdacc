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
        "redis://:s3cr3t@host/word",
        "http://:s3cr3t@host",
        "host:6379?password=s3cr3t",
        "redis+sentinel://:s3cr3t@host:26379",
        "redis+sentinel://:s3cr3t@host:26379,:26379/mymaster",
        "redis+sentinel://:s3cr3t@host:word/mymaster",
        "redis+sentinel://:s3cr3t@host/mymaster/word",
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
        (
            "redis+sentinel://:s3cr3t@one,two:1/mymaster?sentinel_password=s3cr3t",
            "mymaster, by the sentinels one:26379,two:1,",
        ),
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


@pytest.mark.parametrize(
    ("error", "cure"),
    [
        (redis.AuthenticationError("Authentication required."), "the right password"),
        (redis.ResponseError("unauthenticated bulk length"), "the right password"),
        (redis.ResponseError("this user has no permissions to run"), "ACL SETUSER"),
        (redis.ResponseError("used memory > 'maxmemory'"), "raise maxmemory"),
        (redis.ConnectionError("refused"), "start it"),
    ],
)
def test_what_is_to_be_done_fits_what_is_wrong(error: Exception, cure: str) -> None:
    assert cure in unavailable(client(), error).message


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
def test_a_url_names_sentinels_and_a_master(scheme: str) -> None:
    made = client(
        redis_url=f"{scheme}+sentinel://me:p%40ss@one,[::1]:1/mymaster/3"
        "?protocol=3&sentinel_username=you&sentinel_password=word&ssl_ca_certs=/ca"
    )

    pool: Any = made.connection_pool
    master = pool.connection_kwargs
    asked = [each.connection_pool for each in pool.sentinel_manager.sentinels]
    sentinels = [each.connection_kwargs for each in asked]

    assert pool.service_name == "mymaster"
    assert (master["username"], master["password"], master["db"]) == ("me", "p@ss", 3)
    assert int(master["protocol"]) == 3
    assert [(s["host"], s["port"]) for s in sentinels] == [("one", 26379), ("::1", 1)]
    assert {(s["username"], s["password"]) for s in sentinels} == {("you", "word")}
    assert {s["retry"].get_retries() for s in (master, *sentinels)} == {0}
    if scheme == "rediss":
        assert issubclass(pool.connection_class, redis.SSLConnection)
        assert all(issubclass(p.connection_class, redis.SSLConnection) for p in asked)
        assert {s["ssl_ca_certs"] for s in (master, *sentinels)} == {"/ca"}


def test_what_the_path_leaves_out_may_stand_among_the_options() -> None:
    parts = options(redis_url="redis+sentinel://one/mymaster?db=3&password=word")

    assert (parts["db"], parts["password"]) == (3, "word")


def test_sentinels_that_are_away_are_told_within_seconds() -> None:
    made = client(redis_url="redis+sentinel://127.0.0.1:1,127.0.0.1:2/mymaster")

    with pytest.raises(redis.ConnectionError, match="no sentinel answers: ") as caught:
        made.ping()

    told = unavailable(made, caught.value).message
    assert told.startswith(
        "Redis at mymaster, by the sentinels 127.0.0.1:1,127.0.0.1:2,"
    )
