"""Keeps dramatiq masters running: one that dies is started again, alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import FrameType
from typing import Final

from nexus_actors.core.leash import leash
from nexus_actors.core.logs import get_logger


log = get_logger(__name__)

#: Seconds before a dead master is started again: doubles from the first to the last.
FIRST_WAIT_S: Final = 1.0
LAST_WAIT_S: Final = 30.0

#: A master that lived longer than this was healthy; the wait starts over.
HEALTHY_S: Final = 60.0


def dramatiq_command(target: str, *, threads: int) -> list[str]:
    """Return the command of one master with one worker process.

    It stops as on SIGTERM when its parent is killed.
    """
    options = ["--processes", "1", "--threads", str(threads)]
    command = [sys.executable, "-m", "dramatiq", target, *options]
    return [*leash(signal.SIGTERM), *command]


@dataclass(slots=True)
class Supervised:
    """One command that is to run until told otherwise."""

    command: list[str]
    environ: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    wait_s: float = FIRST_WAIT_S
    not_before: float = 0.0

    def start(self) -> None:
        """Start the command in a session of its own: Ctrl-C reaches only us."""
        self.process = subprocess.Popen(  # noqa: S603 - our own arguments
            self.command, env=dict(self.environ), start_new_session=True
        )
        self.started_at = time.monotonic()

    def look(self) -> None:
        """Start the command again if it has died and has waited long enough."""
        if self.process is not None and self.process.poll() is not None:
            if time.monotonic() - self.started_at > HEALTHY_S:
                self.wait_s = FIRST_WAIT_S
            code = self.process.returncode
            log.error("worker.died", code=code, again_in_s=self.wait_s)
            self.process, self.not_before = None, time.monotonic() + self.wait_s
            self.wait_s = min(self.wait_s * 2, LAST_WAIT_S)
        if self.process is None and time.monotonic() >= self.not_before:
            self.start()


@dataclass(slots=True)
class Supervisor:
    """Runs commands side by side until SIGTERM or SIGINT, then stops them all.

    A second signal is passed on, and ends a dramatiq worker at once.
    """

    commands: list[list[str]]
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    _stop: threading.Event = field(default_factory=threading.Event)
    _workers: list[Supervised] = field(default_factory=list)

    def run(self) -> int:
        """Return 0 after a clean stop, 1 if a worker had to be abandoned."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self._workers = [Supervised(item, self.environ) for item in self.commands]
        try:
            while not self._stop.wait(0.2):
                for worker in self._workers:
                    worker.look()
        finally:
            processes = [item.process for item in self._workers if item.process]
            alive = [process for process in processes if process.poll() is None]
            self._terminate()
            codes = [process.wait() for process in alive]
        return int(any(code not in {0, -signal.SIGTERM} for code in codes))

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._stop.is_set():
            self._terminate()
        self._stop.set()
        log.info("worker.stopping", signal=signal.Signals(number).name)

    def _terminate(self) -> None:
        for worker in self._workers:
            if worker.process:
                worker.process.terminate()
