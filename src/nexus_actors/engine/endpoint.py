"""A small HTTP server for probes and scrapes, which slow clients cannot hold up.

One thread speaks with all clients, so that one who says nothing costs a socket and no
more.  Everything is bounded: how long a client may take to ask and to listen, how much
it may say, how many there are.  Where there are too many, the oldest that has not asked
yet has to go: a probe asks at once, and is answered at once.

It knows ``GET`` and ``HEAD``, and answers each connection once.  What clients say is
never logged.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, Final, Self

from nexus_actors.core.logs import get_logger


log = get_logger(__name__)

#: How long a client may take to send its request, and until it has its answer, in s.
REQUEST_S: Final = 5.0
ANSWER_S: Final = 30.0

#: How long the head of a request may be, in bytes.
MAX_HEAD: Final = 8192

#: How many clients there may be at a time.
MAX_CLIENTS: Final = 256

#: How much may wait for clients to take it, in bytes.
MAX_UNSENT: Final = 16 * 1024 * 1024

#: How many connections the system takes ahead of us: more would be told to try again.
BACKLOG: Final = 1024

_END: Final = re.compile(rb"\r?\n\r?\n")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client is told."""

    status: HTTPStatus
    body: bytes
    content_type: str

    @classmethod
    def json(cls, status: HTTPStatus, value: Mapping[str, Any]) -> Self:
        """Return *value* as JSON, on one line."""
        body = json.dumps(value).encode() + b"\n"
        return cls(status, body, "application/json")

    @classmethod
    def plain(cls, status: HTTPStatus) -> Self:
        """Return the words for *status*."""
        body = f"{status.phrase}\n".encode()
        return cls(status, body, "text/plain; charset=utf-8")


#: What answers at a path; is given what the client accepts.  Each runs in a thread of
#: its own, one call at a time, and must return within `ANSWER_S`.
Route = Callable[[str], Answer]


def listen(host: str, port: int) -> socket.socket:
    """Take a port; no other process has it then, nor does a forked child keep it.

    Raises:
        OSError: It is taken, or cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    accept: str

    @classmethod
    def parse(cls, head: bytes) -> Self | None:
        """Return the request; ``None`` if it is none."""
        first, *lines = head.decode("latin-1").replace("\r\n", "\n").split("\n")
        words = first.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):  # noqa: PLR2004 - RFC 9112
            return None
        fields = [line.partition(":") for line in lines]
        accepted = [v.strip() for name, _, v in fields if name.lower() == "accept"]
        return cls(words[0], words[1].partition("?")[0], ", ".join(accepted))


class Endpoint:
    """Answers at some paths of a port, in threads of its own.

    Args:
        listener: From `listen`; belongs to the endpoint from then on.
        routes: What answers, by path.
        request_s: How long a client may take to send its request.
    """

    def __init__(
        self,
        listener: socket.socket,
        routes: Mapping[str, Route],
        *,
        request_s: float = REQUEST_S,
    ) -> None:
        self.routes = routes
        self.request_s = request_s
        self.waiting: dict[_Client, None] = {}
        self.answering: dict[_Client, None] = {}
        self.threads = {path: ThreadPoolExecutor(1, f"nexus-{path}") for path in routes}
        self._listener = listener
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._run, name="nexus-endpoint", daemon=True
        )

    @property
    def port(self) -> int:
        """The port at which it answers."""
        return int(self._listener.getsockname()[1])

    @property
    def is_alive(self) -> bool:
        """Whether it still answers."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Give up the port; who has not been answered is not."""
        if self.is_alive:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self.close()

    def close(self) -> None:
        """Close the port alone, as a forked child must."""
        self._listener.close()

    def _run(self) -> None:
        loop = self._loop
        # a client that went away, or no file descriptor left: the next may be luckier
        loop.set_exception_handler(lambda _loop, _context: None)
        server = loop.run_until_complete(
            loop.create_server(
                lambda: _Client(self), sock=self._listener, backlog=BACKLOG
            )
        )
        try:
            loop.run_forever()
        finally:
            server.close()
            for client in [*self.waiting, *self.answering]:
                client.leave()
            for pool in self.threads.values():
                pool.shutdown(wait=False, cancel_futures=True)
            loop.run_until_complete(asyncio.sleep(0))  # what is closed is let go
            loop.close()

    def admit(self, client: _Client) -> None:
        """Let *client* ask; if there are too many, the oldest has to go."""
        if len(self.waiting) + len(self.answering) >= MAX_CLIENTS:
            next(iter(self.waiting or self.answering)).leave()
        self.waiting[client] = None

    def make_room(self, size: int) -> None:
        """Let clients go that do not take their answers, until *size* more may wait."""
        unsent = {client: client.unsent for client in self.answering}
        total = sum(unsent.values())
        for client, waits in unsent.items():
            if total + size <= MAX_UNSENT:
                return
            if waits:
                client.leave()
                total -= waits

    async def answer(self, request: _Request) -> Answer:
        """Return what *request* is told."""
        route = self.routes.get(request.path)
        if request.method not in {"GET", "HEAD"}:
            return Answer.plain(HTTPStatus.METHOD_NOT_ALLOWED)
        if route is None:
            return Answer.plain(HTTPStatus.NOT_FOUND)
        thread = self.threads[request.path]
        try:
            return await self._loop.run_in_executor(thread, route, request.accept)
        except Exception:  # the next request may go well
            log.exception("endpoint.failed", path=request.path)
            return Answer.plain(HTTPStatus.INTERNAL_SERVER_ERROR)


class _Client(asyncio.Protocol):
    """One connection: a request, its answer, and the end."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._head = b""
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - TCP has no other
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._deadline = self._loop.call_later(self._endpoint.request_s, self.leave)
        self._endpoint.admit(self)

    @property
    def unsent(self) -> int:
        """How many bytes the client has not taken yet."""
        return self._transport.get_write_buffer_size()

    def leave(self) -> None:
        """End the connection at once."""
        self._transport.abort()
        self._forget()

    def data_received(self, data: bytes) -> None:
        self._head += data
        end = _END.search(self._head)
        if end is None and len(self._head) <= MAX_HEAD:
            return
        self._transport.pause_reading()
        self._deadline.cancel()
        self._deadline = self._loop.call_later(ANSWER_S, self.leave)
        self._endpoint.waiting.pop(self, None)
        self._endpoint.answering[self] = None
        if end is None:
            status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            self._send(Answer.plain(status))
        elif request := _Request.parse(self._head[: end.start()]):
            self._task = self._loop.create_task(self._answer(request))
        else:
            self._send(Answer.plain(HTTPStatus.BAD_REQUEST))

    async def _answer(self, request: _Request) -> None:
        answer = await self._endpoint.answer(request)
        self._send(answer, with_body=request.method != "HEAD")

    def _send(self, answer: Answer, *, with_body: bool = True) -> None:
        fields = [
            f"HTTP/1.1 {answer.status.value} {answer.status.phrase}",
            f"Date: {formatdate(usegmt=True)}",
            f"Content-Type: {answer.content_type}",
            f"Content-Length: {len(answer.body)}",
            "Cache-Control: no-store",
            "Connection: close",
        ]
        if answer.status is HTTPStatus.METHOD_NOT_ALLOWED:
            fields.append("Allow: GET, HEAD")
        head = "\r\n".join([*fields, "", ""]).encode("latin-1")
        body = answer.body if with_body else b""
        self._endpoint.make_room(len(body))
        self._transport.write(head + body)
        self._transport.close()  # when all is sent

    def eof_received(self) -> bool:
        return self in self._endpoint.answering  # it listens still

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._forget()
        if self._task:
            self._task.cancel()

    def _forget(self) -> None:
        self._deadline.cancel()
        self._endpoint.waiting.pop(self, None)
        self._endpoint.answering.pop(self, None)
