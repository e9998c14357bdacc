"""A private Redis for machines that have none running.

A ``redis-server`` child on a unix socket, with its append-only file in a state folder,
so that what was queued is there at the next start.  Commands share one server through a
lock and a pid file; whoever started it stops it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import redis

from nexus_actors.core.errors import ConfigurationError, MissingToolError, ResourceError
from nexus_actors.core.leash import leash
from nexus_actors.core.settings import default_state_dir, default_temp_dir


#: The longest path that a unix socket may have on every system we run on.
MAX_SOCKET_PATH: Final = 100

#: How long a server may take to answer, in seconds; loading a large file takes time.
START_S: Final = 30.0


@dataclass(slots=True)
class EmbeddedRedis:
    """A server in use; *process* is set for the command that started it."""

    url: str
    state: Path
    process: subprocess.Popen[bytes] | None = None

    def stop(self) -> None:
        """Stop the server if this command has started it."""
        if self.process is None:
            return
        with _locked(self.state):  # nobody starts another one on the same files
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            (self.state / "redis.pid").unlink(missing_ok=True)
        self.process = None


def default_state() -> Path:
    """Return the folder that keeps the queue between commands."""
    return default_state_dir() / "redis"


@contextmanager
def embedded_redis(state: Path | None = None) -> Iterator[EmbeddedRedis]:
    """Use the server of *state*: join it if it runs, else start and later stop it.

    Raises:
        ConfigurationError: The folder cannot be used.
        MissingToolError: There is no redis-server on this machine.
        ResourceError: It does not start; says what it said.
    """
    server = _join_or_start(state or default_state())
    try:
        yield server
    finally:
        server.stop()


def _join_or_start(state: Path) -> EmbeddedRedis:
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        socket = _socket_path(state)
        with _locked(state):
            return _join_or_start_locked(state, socket)
    except OSError as error:
        raise ConfigurationError(
            f"cannot keep a Redis in {state}: {error.strerror}; set REDIS_URL instead"
        ) from error


def _join_or_start_locked(state: Path, socket: Path) -> EmbeddedRedis:
    url = f"unix://{socket}"
    if _answers(url):
        return EmbeddedRedis(url, state)
    process = _start(state, socket)
    _wait(process, url, state)
    note = {"pid": process.pid, "owner": os.getpid(), "socket": str(socket)}
    (state / "redis.pid").write_text(json.dumps(note))
    return EmbeddedRedis(url, state, process)


@contextmanager
def _locked(state: Path) -> Iterator[None]:
    with (state / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _socket_path(state: Path) -> Path:
    """Return a short path of this state's own: deep folders are too long for one."""
    folder = default_temp_dir()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():  # its owner could read the queue
        raise ConfigurationError(f"{folder} belongs to another user; set TMPDIR")
    name = hashlib.sha256(str(state.resolve()).encode()).hexdigest()[:12]
    socket = folder / f"redis-{name}.sock"
    if len(str(socket)) > MAX_SOCKET_PATH:
        raise ConfigurationError(f"{socket} is too long for a socket; set TMPDIR")
    return socket


def _start(state: Path, socket: Path) -> subprocess.Popen[bytes]:
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        raise MissingToolError(
            "redis-server is not installed: sudo apt-get install redis-server "
            "(macOS: brew install redis), or set REDIS_URL to one that runs"
        )
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(state),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "logfile": str(state / "redis.log"),
    }
    flags = [part for name, value in options.items() for part in (f"--{name}", value)]
    return subprocess.Popen(  # noqa: S603 - our own arguments
        [*leash(signal.SIGTERM), program, *flags],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _wait(process: subprocess.Popen[bytes], url: str, state: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        if _answers(url):
            return
        time.sleep(0.02)
    process.kill()
    process.wait()
    log = state / "redis.log"
    said = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    silence = f"exit code {process.returncode}, and no word of it: is the disk full?"
    reason = said[-1] if said else silence
    raise ResourceError(f"redis-server does not start in {state}: {reason}")


def _answers(url: str) -> bool:
    client = redis.Redis.from_url(url, socket_timeout=2, protocol=2)
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()
