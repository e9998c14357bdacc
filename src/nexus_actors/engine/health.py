"""The health of a worker process, and the endpoint that tells it.

Every process says in a folder of the host how it is (`signs`).  One of those that are
to be reached at the same address holds the port and answers for all of them; the others
try to take the port every 2 seconds, so that the endpoint outlives any process.

A process *hangs* if it gives no sign of life, or if a thread that waits for work does
not come round (`rounds`), for as long as the setting says.  The sign is given by a
thread of its own: whatever jobs do, and however long, is no reason, unless they keep
the interpreter from running any other thread.  Neither is Redis: a thread that waits
for it while it is away is not late.
"""

from __future__ import annotations

import errno
import os
import resource
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Literal

import dramatiq
from dramatiq import Worker
from dramatiq.worker import ConsumerThread, WorkerThread

from nexus_actors.core.logs import get_logger
from nexus_actors.core.settings import CoreSettings, default_temp_dir

from .checks import Checks, Need
from .endpoint import Answer, Endpoint, Route, listen
from .recovery import Loop
from .rounds import rounds
from .signs import Process, Sign, keep_from_children, look
from .verdict import GRACE_S, Verdict


log = get_logger(__name__)

#: How often a process gives a sign of life, in seconds; more often if the limit is low.
BEAT_S: Final = 1.0

#: How often it says anew what has not changed, which is its memory, in seconds.
TELL_S: Final = 10.0

#: How often it tries to take the port, in seconds.
PORT_S: Final = 2.0

#: A pause between two signs that is longer than this was a sleep, in seconds.
SLEPT_S: Final = 5.0

State = Literal["booting", "ready", "draining"]

#: What `metrics.Exporter.render` does.
Measure = Callable[[str], tuple[bytes, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the health of a worker is told.

    Attributes:
        worker: What the worker is called there, such as ``video-processor``.
        limit_s: After how many seconds a process hangs.
        retry_s: How often a process that has not the port tries to take it.
    """

    worker: str
    host: str
    port: int
    limit_s: float
    retry_s: float = PORT_S

    @classmethod
    def of(cls, settings: CoreSettings, *, worker: str, port: int) -> Place:
        """Return the place that *settings* name; *port* is that of the domain."""
        if settings.health_check_port is not None:
            port = settings.health_check_port
        return cls(
            worker=worker,
            host=settings.health_check_host,
            port=port,
            limit_s=settings.hang_timeout_s,
        )

    @property
    def name(self) -> str:
        """What the processes of this host that share the address have in common."""
        return f"{self.host}-{self.port}"

    @property
    def folder(self) -> Path:
        """Where the processes that share the address say how they are.

        It is on this host in any case, as ``TEMP_DIR`` need not be.

        Raises:
            OSError: There is no folder for temporary files.
        """
        name = f"{socket.gethostname()}-{self.name}"
        return default_temp_dir() / "health" / name

    def make_folder(self) -> Path:
        """Return the folder, which is there then.

        Raises:
            OSError: It cannot be had, or another user could write in it.
        """
        base = default_temp_dir()
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        if base.lstat().st_uid != os.getuid():
            raise PermissionError(errno.EPERM, "it belongs to another user", str(base))
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self.folder

    def processes(self) -> list[Process]:
        """Return those that say here how they are: none if the folder is unusable."""
        try:
            return list(look(self.folder))
        except OSError:  # who cannot write in it has said so
            return []


class Health:
    """What one worker process tells of itself, and of all if it has the port.

    Args:
        place: Where it is told.
        needs: What must be there for its jobs, by name.
        measure: Returns the answer to a scrape, and its content type.
    """

    def __init__(
        self, place: Place, needs: Mapping[str, Need], measure: Measure
    ) -> None:
        self.place = place
        self.state: State = "booting"
        self._checks = Checks(needs)
        self._port = Port(place, self._routes(measure))
        self._began = self._awake_since = self._beaten_at = time.monotonic()
        self._worker: Worker | None = None
        self._sign: Sign | None = None
        self._told: dict[str, Any] = {}
        self._tell_at = 0.0
        self._is_untold = False
        self._telling = threading.Lock()
        self._loop = Loop("sign of life", self._beat)

    def start(self) -> None:
        """Begin to tell."""
        self._loop.start()

    def watch(self, broker: dramatiq.Broker, worker: Worker) -> None:
        """Tell of *worker*, too, and whether what it needs is there."""
        self._worker = worker
        self._checks.start(broker)

    def turn(self, state: State) -> None:
        """Be in another *state* from now on."""
        self.state = state
        self._tell()

    def stop(self) -> None:
        """Tell nothing more: the process ends."""
        self._checks.stop()
        self._loop.stop()
        self._port.give_up()
        if self._sign:
            self._sign.withdraw()
            self._sign = None

    def _beat(self) -> float:
        now = time.monotonic()
        if now - self._beaten_at > SLEPT_S:
            self._awake_since = now
        self._beaten_at = now
        self._port.try_to_take()
        self._tell()
        return min(BEAT_S, self.place.limit_s / 5, self.place.retry_s)

    def _tell(self) -> None:
        """Give a sign of life, and say how this process is if that is news.

        That the folder cannot be used is told once: the worker works without.
        """
        try:
            with self._telling:
                self._write()
        except OSError as error:
            if not self._is_untold:
                log.warning(
                    "health.untold",
                    file=error.filename,
                    reason=error.strerror,
                    cure="set TMPDIR to a folder that this user may write",
                )
            self._is_untold = True
        else:
            self._is_untold = False

    def _write(self) -> None:
        if self._sign is None or self._sign.is_lost:
            self._sign, self._told = Sign(self.place.make_folder()), {}
        self._sign.beat()
        now = time.monotonic()
        about = self._about()
        if about != self._told or now >= self._tell_at:
            self._sign.tell(about | {"memory": {"rss": _memory()}})
            self._told, self._tell_at = about, now + TELL_S

    def _about(self) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "worker": self.place.worker,
            "state": self.state,
            "stuck": self._stuck(),
            "checks": self._checks.found(),
            "serves": self._port.is_taken,
            "began": self._began,
            "limit_s": self.place.limit_s,
        }

    def _stuck(self) -> list[str]:
        """Say which threads have ended that should not, or do not come round."""
        if self._worker is None or self.state != "ready":
            return []
        threads: list[WorkerThread | ConsumerThread] = [
            *self._worker.workers,
            *list(self._worker.consumers.values()),
        ]
        if any(thread.paused for thread in threads):
            return []
        ended = [t for t in threads if t.ident and not t.is_alive()]
        limit_s, late = self.place.limit_s, list[str]()
        if time.monotonic() - self._awake_since > min(GRACE_S, limit_s):
            late = rounds.late(limit_s, redis_since=self._checks.redis_since)
        return [
            *(f"a {type(thread).__name__} has ended" for thread in ended),
            *(f"thread {n!r} has not come round in {limit_s:g} s" for n in late),
        ]

    def _routes(self, measure: Measure) -> dict[str, Route]:
        return {
            "/health": lambda _: self._verdict().health(),
            "/livez": lambda _: self._verdict().live(),
            "/metrics": lambda accept: Answer(HTTPStatus.OK, *measure(accept)),
            "/readyz": lambda _: self._verdict().ready(),
        }

    def _verdict(self) -> Verdict:
        awake_s = time.monotonic() - self._awake_since
        return Verdict.of(self.place.processes(), awake_s=awake_s)


class Port:
    """The port of a place, which one process holds for all."""

    def __init__(self, place: Place, routes: Mapping[str, Route]) -> None:
        self._place = place
        self._routes = routes
        self._endpoint: Endpoint | None = None
        self._next_try = 0.0
        self._refusals = 0

    @property
    def is_taken(self) -> bool:
        """Whether this process has the port, and answers there."""
        return self._endpoint is not None and self._endpoint.is_alive

    def give_up(self) -> None:
        """Let another process have the port."""
        if self._endpoint:
            self._endpoint.stop()
            self._endpoint = None

    def try_to_take(self) -> None:
        """Take the port if it is free; does nothing before it is time for a try."""
        now = time.monotonic()
        if self.is_taken or now < self._next_try:
            return
        self._next_try = now + self._place.retry_s
        self.give_up()  # if what answers has ended, which nobody has foreseen
        try:
            listener = listen(self._place.host, self._place.port)
        except OSError as error:
            self._note_refusal(error)
            return
        keep_from_children(listener)
        self._refusals = 0
        self._endpoint = Endpoint(listener, self._routes)
        self._endpoint.start()
        log.info("health.served", host=self._place.host, port=self._place.port)

    def _note_refusal(self, error: OSError) -> None:
        """Say once that the port cannot be had, unless one of us has it."""
        is_used = error.errno == errno.EADDRINUSE
        if is_used and any(p.about["serves"] for p in self._place.processes()):
            self._refusals = 0
            return
        self._refusals += 1
        if self._refusals == 2:  # noqa: PLR2004 - at the first, one of us may begin
            log.error(
                "health.not_served",
                host=self._place.host,
                port=self._place.port,
                reason=str(error.strerror).partition(" (")[0],
                cure="set HEALTH_CHECK_PORT to another port, or free this one",
            )


def _memory() -> int:
    """Return how much of this machine's memory the process has, in bytes."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:  # macOS, which tells only the most that it had
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return pages * os.sysconf("SC_PAGE_SIZE")
