"""Loses replies: a TCP proxy between a client and a server that does the work.

It forwards everything, until it is told to lose the reply to a request.  That request
still reaches the server; as soon as the server answers it, which it does when the work
is done, both connections are closed and the client learns nothing::

    with ReplyProxy("redis://127.0.0.1:6379/0") as proxy:
        client = redis.Redis.from_url(proxy.url)
        proxy.lose_reply_to(b"RPUSH")
        with pytest.raises(redis.ConnectionError):
            client.rpush("list", "x")  # is in the list all the same

It knows no protocol: a request is known by bytes that stand in it, and one is under way
on a connection at a time, as with Redis and HTTP/1.1 clients.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


@dataclass(slots=True)
class _Pair:
    """A client's connection and ours to the server."""

    client: socket.socket
    server: socket.socket
    doomed: Event = field(default_factory=Event)
    tail: bytes = b""

    def close(self) -> None:
        for end in (self.client, self.server):
            with suppress(OSError):  # wakes a thread that reads it
                end.shutdown(socket.SHUT_RDWR)
            end.close()


class ReplyProxy:
    """A context manager; clients connect to `url`.

    Args:
        target: The server's address: ``redis://…``, ``http://…`` with a port, or
            ``unix:///path`` for a Redis on a socket.

    Attributes:
        url: The same address, by way of the proxy.
        lost: How many replies were lost.
    """

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target: str | tuple[str, int]
        if parts.scheme == "unix":
            self._target = parts.path
        elif parts.hostname and parts.port:
            self._target = (parts.hostname, parts.port)
        else:
            raise ValueError(f"{target} names no host and port, and no unix socket")
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        user, at, _ = parts.netloc.rpartition("@")
        scheme = "redis" if parts.scheme == "unix" else parts.scheme
        path = "" if parts.scheme == "unix" else parts.path
        query = f"?{parts.query}" if parts.query else ""
        self.url = f"{scheme}://{user}{at}127.0.0.1:{port}{path}{query}"
        self.lost = 0
        self._lock = Lock()
        self._wanted: list[bytes] = []
        self._pairs: list[_Pair] = []
        self._threads: list[Thread] = []

    def lose_reply_to(self, request: bytes, *, times: int = 1) -> None:
        """Lose the replies to the next *times* requests that contain *request*."""
        with self._lock:
            self._wanted += [request] * times

    @property
    def wanted(self) -> tuple[bytes, ...]:
        """What was to be lost, and has not been asked for yet."""
        with self._lock:
            return tuple(self._wanted)

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()  # the one that accepts: no further pair comes
        for pair in self._pairs:
            pair.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed: we are done
                return
            try:
                pair = _Pair(client, self._connect())
            except OSError:  # there is no server: nor are we one
                client.close()
                continue
            self._pairs.append(pair)
            self._start(self._forward, pair)
            self._start(self._return, pair)

    def _start(self, target: object, *arguments: object) -> None:
        thread = Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _connect(self) -> socket.socket:
        if isinstance(self._target, str):
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._target)
            return server
        return socket.create_connection(self._target)

    def _forward(self, pair: _Pair) -> None:
        with suppress(OSError):
            while data := pair.client.recv(65_536):
                if self._is_wanted(pair, data):
                    pair.doomed.set()  # before the server can answer
                pair.server.sendall(data)
        pair.close()

    def _return(self, pair: _Pair) -> None:
        with suppress(OSError):
            while data := pair.server.recv(65_536):
                if pair.doomed.is_set():
                    self.lost += 1
                    break
                pair.tail = b""  # the next request starts afresh
                pair.client.sendall(data)
        pair.close()

    def _is_wanted(self, pair: _Pair, data: bytes) -> bool:
        """Look for what is wanted in the request so far, which may come in pieces."""
        pair.tail += data
        with self._lock:
            for request in self._wanted:
                if request in pair.tail:
                    self._wanted.remove(request)
                    return True
            longest = max(map(len, self._wanted), default=0)
        pair.tail = pair.tail[-longest:] if longest else b""
        return False
