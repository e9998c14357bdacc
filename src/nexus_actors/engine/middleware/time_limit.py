"""Ends jobs that are over their time limit, or cancelled, and go on."""

from __future__ import annotations

import ctypes
import functools
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import dramatiq
from dramatiq import MessageProxy, Worker
from dramatiq.middleware import TimeLimit as StockTimeLimit
from dramatiq.middleware import TimeLimitExceeded
from dramatiq.threading import Interrupt, is_gevent_active, raise_thread_exception

from nexus_actors.core.logs import get_logger
from nexus_actors.core.offspring import Process, offspring, uptime_s
from nexus_actors.engine import jobs
from nexus_actors.engine.recovery import Loop

from .jobs import log_start


log = get_logger(__name__)

#: How often the running jobs are looked at, in seconds.
LOOK_S: Final = 0.2

#: How long a job that asks often may take to hear that it must end, in seconds.
HEAR_S: Final = 3.0

#: How long one that has heard of it may take to clean up, and a process that was told
#: to end by SIGTERM may take, in seconds.
CLEAN_UP_S: Final = 30.0
TERMINATE_S: Final = 4.0

#: How long a job has run when the log tells of its start, in seconds: of a short one,
#: the end is enough, and a line takes longer than the queue does.
TELL_START_S: Final = 0.5

#: When it is told that an interrupted job goes on, and how often, in seconds.
FIRST_TELL_S: Final = 1.0
TELL_S: Final = 60.0


class CancelInterrupt(Interrupt):
    """What a cancelled actor that does not ask is interrupted with."""


@dataclass(slots=True, eq=False)
class _Watched:
    """A running job, its thread, and what was done to end it."""

    job: jobs.Job
    message: MessageProxy
    thread: int = field(default_factory=threading.get_ident)
    native: int = field(default_factory=threading.get_native_id)
    began_s: float = field(default_factory=uptime_s)
    entered: bool = False
    told: bool = False
    asked_at: float | None = None
    interrupted_at: float | None = None
    tell_at: float = 0.0
    processes: list[Process] = field(default_factory=list)


class TimeLimit(StockTimeLimit):
    """Dramatiq's `time_limit`, which also reaches actors that wait for a process.

    A job that calls `Job.check` hears of its end there, and cleans up after itself.
    One that does not is interrupted as dramatiq does it; and since that does not reach
    a thread that waits, the processes that it has started are ended: SIGTERM, and
    SIGKILL after 4 seconds.  What waits for anything else ends when that does.
    """

    def __init__(self) -> None:
        super().__init__()
        self._watched: dict[int, _Watched] = {}
        self._lock = threading.Lock()
        self._loop: Loop | None = None
        self._is_for_greenlets = is_gevent_active()  # once: it looks through the disk

    def after_process_boot(self, broker: dramatiq.Broker) -> None:
        """Leave greenlets to dramatiq: they are no threads."""
        if self._is_for_greenlets:
            super().after_process_boot(broker)  # type: ignore[no-untyped-call]

    def before_worker_boot(self, broker: dramatiq.Broker, worker: Worker) -> None:  # noqa: ARG002 - dramatiq's signature
        """Begin to watch."""
        self._loop = Loop("watchdog", self._tick)
        self._loop.start()

    def after_worker_shutdown(self, broker: dramatiq.Broker, worker: Worker) -> None:  # noqa: ARG002 - dramatiq's signature
        """Watch no more."""
        if self._loop:
            self._loop.stop()

    def after_declare_actor(
        self,
        broker: dramatiq.Broker,  # noqa: ARG002 - dramatiq's signature
        actor: dramatiq.Actor[..., Any],
    ) -> None:
        """Let nothing but the actor's own code be interrupted.

        In dramatiq's, between its end and the hooks after it, an interrupt would end
        the thread, and the message would count as done.
        """
        fn = actor.fn.fn if isinstance(actor.fn, _Guarded) else actor.fn
        actor.fn = _Guarded(self, fn)

    def before_process_message(
        self, broker: dramatiq.Broker, message: MessageProxy
    ) -> None:
        """Watch the job from now on."""
        job = jobs.running()
        if self._is_for_greenlets or job is None:
            super().before_process_message(broker, message)  # type: ignore[no-untyped-call]
            return
        watched = _Watched(job, message)
        with self._lock:
            self._watched[watched.thread] = watched

    def after_process_message(
        self,
        broker: dramatiq.Broker,
        message: MessageProxy,
        *,
        result: Any = None,  # noqa: ARG002 - dramatiq's signature
        exception: BaseException | None = None,  # noqa: ARG002 - dramatiq's signature
    ) -> None:
        """Watch it no more."""
        if self._is_for_greenlets:
            super().after_process_message(broker, message)  # type: ignore[no-untyped-call]
        self.leave()

    after_skip_message = after_process_message

    def running(self) -> list[tuple[str, str]]:
        """Return the queue and the actor of each run under way."""
        with self._lock:
            messages = [watched.message for watched in self._watched.values()]
        return [(message.queue_name, message.actor_name) for message in messages]

    def enter(self) -> bool:
        """Tell whether this is where the job's own actor begins, in this thread."""
        watched = self._watched.get(threading.get_ident())
        if watched is None or watched.entered:
            return False
        watched.entered = True
        return True

    def leave(self) -> None:
        """Watch this thread no more; an interrupt that comes now comes too late."""
        thread = threading.get_ident()
        while True:
            try:
                with self._lock:
                    watched = self._watched.get(thread)
                    if watched and watched.interrupted_at is not None:
                        _take_back_interrupt(thread)
                        self._kill(watched)
                    self._watched.pop(thread, None)
            except Interrupt:
                continue
            return

    def _tick(self) -> float:
        with self._lock:
            for watched in self._watched.values():
                self._look(watched, time.monotonic())
        return LOOK_S

    def _look(self, watched: _Watched, now: float) -> None:
        if not watched.told and watched.job.age_s > TELL_START_S:
            watched.told = True
            log_start(watched.message)
        if watched.interrupted_at is not None:
            self._insist(watched, now)
            return
        job = watched.job
        if not (job.is_cancelled or job.is_late):
            return
        watched.asked_at = watched.asked_at or now
        if job.heard_at is not None:
            patience = job.heard_at + CLEAN_UP_S
        elif now - job.checked_at < HEAR_S:
            patience = watched.asked_at + HEAR_S
        else:
            patience = now
        if now >= patience:
            self._interrupt(watched, now)

    def _interrupt(self, watched: _Watched, now: float) -> None:
        is_cancelled = watched.job.is_cancelled
        log.warning("job.end_forced", message_id=watched.job.id, cancelled=is_cancelled)
        kind = CancelInterrupt if is_cancelled else TimeLimitExceeded
        raise_thread_exception(watched.thread, kind)
        watched.interrupted_at = now
        watched.tell_at = now + FIRST_TELL_S
        watched.processes = offspring(watched.native, since_s=watched.began_s)
        for process in watched.processes:
            process.signal(signal.SIGTERM)

    def _insist(self, watched: _Watched, now: float) -> None:
        if now - (watched.interrupted_at or now) > TERMINATE_S:
            self._kill(watched)
        if now >= watched.tell_at:
            watched.tell_at = now + TELL_S
            log.error(
                "job.does_not_end",
                message_id=watched.job.id,
                waits_at=_place(watched.thread),
                since_s=round(now - (watched.asked_at or now)),
            )

    def _kill(self, watched: _Watched) -> None:
        """End what SIGTERM has not ended, and what was started after it."""
        later = offspring(watched.native, since_s=watched.began_s)
        for process in {*watched.processes, *later}:
            process.signal(signal.SIGKILL)


class _Guarded:
    """An actor's function that is interrupted in its own code, and nowhere after it."""

    def __init__(self, limit: TimeLimit, fn: Callable[..., Any]) -> None:
        functools.update_wrapper(self, fn)
        self.limit, self.fn = limit, fn

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        is_first = self.limit.enter()
        try:
            return self.fn(*args, **kwargs)
        finally:
            if is_first:
                self.limit.leave()


def _take_back_interrupt(thread: int) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), None)


def _place(thread: int) -> str:
    """Return where a thread stands in its Python code."""
    frame = sys._current_frames().get(thread)  # noqa: SLF001 - documented, for this
    if frame is None:
        return ""
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_qualname}"
