from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import redis
import requests
from redis.backoff import NoBackoff
from redis.retry import Retry

from nexus_actors.testing.reply_proxy import ReplyProxy
from nexus_actors.testing.sandbox import SandboxClient


@pytest.fixture
def proxy(redis_url: str) -> Iterator[ReplyProxy]:
    with ReplyProxy(redis_url) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: ReplyProxy) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(proxy.url, retry=Retry(NoBackoff(), 0), protocol=2)
    yield client
    client.close()


def test_redis_has_done_what_it_could_not_reply_to(
    proxy: ReplyProxy, client: redis.Redis
) -> None:
    client.rpush("list", "first")
    proxy.lose_reply_to(b"RPUSH")

    with pytest.raises(redis.ConnectionError):
        client.rpush("list", "second")

    assert client.lrange("list", 0, -1) == [b"first", b"second"]
    assert client.rpush("list", "third") == 3
    assert proxy.lost == 1


def test_replies_to_other_requests_come_through(
    proxy: ReplyProxy, client: redis.Redis
) -> None:
    proxy.lose_reply_to(b"RPUSH", times=2)

    assert client.set("key", "x" * 1_000_000)
    assert client.get("key") == b"x" * 1_000_000
    for _ in range(2):
        with pytest.raises(redis.ConnectionError):
            client.rpush("list", "x")
    assert client.llen("list") == 2


def test_a_request_that_comes_in_pieces_is_known(
    proxy: ReplyProxy, client: redis.Redis
) -> None:
    client.set("key", "old")
    proxy.lose_reply_to(b"SET key new")
    address = urlsplit(proxy.url)

    with socket.create_connection((address.hostname, address.port), 10) as raw:
        raw.sendall(b"SET ke")
        time.sleep(0.1)  # else both pieces may come as one
        raw.sendall(b"y new\r\n")
        reply = raw.recv(100)

    assert reply == b""
    assert client.get("key") == b"new"


def test_a_request_that_was_answered_before_is_not_meant(
    proxy: ReplyProxy, client: redis.Redis
) -> None:
    proxy.lose_reply_to(b"something long that is never sent")
    client.rpush("list", "x")
    proxy.lose_reply_to(b"list")

    assert client.set("other", "x")
    with pytest.raises(redis.ConnectionError):
        client.llen("list")


def test_an_http_server_has_done_what_it_could_not_reply_to(
    nexus_sandbox: SandboxClient,
) -> None:
    with ReplyProxy(nexus_sandbox.url) as proxy:
        proxy.lose_reply_to(b"POST /webhook")

        with pytest.raises(requests.ConnectionError):
            requests.post(f"{proxy.url}/webhook/orders", timeout=10)
        again = requests.post(f"{proxy.url}/webhook/orders", timeout=10)

    assert again.status_code == 401
    assert len(nexus_sandbox.requests()) == 2


def test_a_server_that_is_gone_is_gone_through_the_proxy_too() -> None:
    with (
        ReplyProxy("http://127.0.0.1:1") as proxy,
        pytest.raises(requests.ConnectionError),
    ):
        requests.get(proxy.url, timeout=10)


def test_an_address_without_a_port_is_refused() -> None:
    with pytest.raises(ValueError, match="no host and port"):
        ReplyProxy("redis://localhost")
