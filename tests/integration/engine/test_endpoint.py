"""The small HTTP server answers at once, whoever else is connected to it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from http import HTTPStatus

import pytest
import requests

from conftest import until
from nexus_actors.engine.endpoint import (
    MAX_CLIENTS,
    MAX_UNSENT,
    Answer,
    Endpoint,
    listen,
)


BIG = b"x" * (MAX_UNSENT // 2)


def fail(_accept: str) -> Answer:
    raise RuntimeError("on purpose")


def greet(accept: str) -> Answer:
    return Answer.json(HTTPStatus.OK, {"accept": accept})


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    endpoint = Endpoint(
        listen("127.0.0.1", 0),
        {
            "/big": lambda _: Answer(HTTPStatus.OK, BIG, "text/plain"),
            "/fails": fail,
            "/hello": greet,
        },
        request_s=1,
    )
    endpoint.start()
    yield endpoint
    endpoint.stop()


@pytest.fixture
def port(endpoint: Endpoint) -> int:
    return endpoint.port


def say(port: int, text: bytes) -> bytes:
    """Return all that is answered to *text*."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(text)
        with suppress(ConnectionResetError):
            while part := client.recv(65536):
                answer += part
    return answer


def test_get_and_head_are_answered_and_nothing_else_is(
    port: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "nexus_actors")
    url = f"http://127.0.0.1:{port}"

    got = requests.get(f"{url}/hello?secret=s3cret", headers={"Accept": "a/b"})
    head = requests.head(f"{url}/hello", headers={"Accept": "a/b"})
    failed = requests.get(f"{url}/fails")

    assert got.json() == {"accept": "a/b"}
    assert got.headers["Content-Type"] == "application/json"
    assert head.content == b""
    assert head.headers["Content-Length"] == str(len(got.content))
    assert requests.get(f"{url}/s3cret").status_code == 404
    assert requests.get(f"{url}/hello/").status_code == 404
    posted = requests.post(f"{url}/hello", data=b"s3cret")
    assert (posted.status_code, posted.headers["Allow"]) == (405, "GET, HEAD")
    assert say(port, b"GET /hello HTTP/1.0\n\n").startswith(b"HTTP/1.1 200 OK\r\n")
    assert say(port, b"s3cret\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert say(port, b"\x16\x03\x01\x80s3cret\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert say(port, b"GET /" + b"s3cret" * 2000).startswith(b"HTTP/1.1 431 ")
    assert failed.status_code == 500
    assert b"on purpose" not in failed.content
    assert "on purpose" in caplog.text
    assert "s3cret" not in caplog.text


def test_clients_that_say_nothing_or_little_hold_nobody_up(
    endpoint: Endpoint, port: int
) -> None:
    threads = threading.active_count()
    with ExitStack() as stack:
        slow = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            for _ in range(2 * MAX_CLIENTS)
        ]
        for client in slow:
            with suppress(OSError):
                client.send(b"G")

        began = time.monotonic()
        answers = [requests.get(f"http://127.0.0.1:{port}/hello") for _ in range(20)]

        assert time.monotonic() - began < 30  # they have minutes among them
        assert all(answer.ok for answer in answers)
        assert len(endpoint.waiting) <= MAX_CLIENTS
        assert threading.active_count() <= threads + 1

        def all_are_gone() -> bool:
            for client in slow:
                with suppress(OSError):
                    client.send(b"E")
            return not endpoint.waiting

        until(all_are_gone)


def test_clients_that_do_not_take_their_answers_fill_no_memory(
    endpoint: Endpoint, port: int
) -> None:
    with ExitStack() as stack:
        for _ in range(6):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            client.sendall(b"GET /big HTTP/1.1\r\n\r\n")
            until(lambda: client.recv(1) == b"H")  # noqa: B023 - it is called at once

        whole = requests.get(f"http://127.0.0.1:{port}/big")

        assert whole.content == BIG
        unsent = sum(client.unsent for client in list(endpoint.answering))
        assert 0 < unsent <= MAX_UNSENT
