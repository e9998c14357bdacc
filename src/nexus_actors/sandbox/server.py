"""Runs the sandbox on loopback, in this thread or beside it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from .app import Sandbox
from .wire import TRANSPORT


class _Protocol(H11Protocol):
    """Hands the connection on to the application, which may want to break it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # asyncio does it only for a listener that names TCP; else an answer in two
        # packets takes 40 ms
        accepted: socket.socket = transport.get_extra_info("socket")
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        inner = self.app

        async def app(scope: Any, receive: Any, send: Any) -> None:
            extensions = {**scope.get("extensions", {}), TRANSPORT: transport}
            await inner({**scope, "extensions": extensions}, receive, send)

        self.app = app


class _Server(uvicorn.Server):
    """Does not wait for requests that hang on purpose."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        config: dict[str, Any] = {"http": _Protocol, "lifespan": "off", "ws": "none"}
        # a client's idle connection shall not be closed under its next request
        config |= {"timeout_keep_alive": 3600, "log_config": None}
        config["date_header"] = False  # vendors tell the sandbox's own time
        super().__init__(uvicorn.Config(sandbox, **config))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._sandbox.closing.set()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await super().shutdown(sockets)


def run(sandbox: Sandbox, listener: socket.socket) -> None:
    """Serve until a signal ends it; uvicorn then passes the signal on."""
    _Server(sandbox).run(sockets=[listener])


@contextmanager
def running(sandbox: Sandbox) -> Iterator[str]:
    """Serve in a thread, on any free port; yield the address."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = _Server(sandbox)
    thread = Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
