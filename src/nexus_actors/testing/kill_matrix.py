"""Kills a flow at each of its requests, and looks whether everything happened once.

A flow is a program that calls vendors and ends: a command, or a function of an
importable module.  It finds the sandbox in ``NEXUS_SANDBOX_URL``, and keeps its state
in its working folder, which is empty at first and unchanged at the next start.

The flow is run undisturbed to count its requests.  Then, for each request and each
moment (before it takes effect, during, after), it is run afresh and disturbed there
once: killed with SIGKILL, or left alive with its connection cut.  Where tokens have an
end, they expire once before each request, too.  It is started again until it ends
well, as a queue would do, and the sandbox's truth is judged::

    def test_an_order_is_told_once(nexus_sandbox):
        matrix = KillMatrix(tell_the_order, nexus_sandbox, exactly_one("webhook"))

        assert not matrix.failures()
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal

from .nursery import Child, Nursery
from .sandbox import SandboxClient


Flow = Sequence[str] | Callable[[], object]
Truth = dict[str, list[dict[str, Any]]]

#: Says what is wrong with a truth, or None.
Judge = Callable[[Truth], str | None]

#: Starts the flow in a folder, with an environment.
Start = Callable[[Path, Mapping[str, str]], "Child | _Process"]

Way = Literal["kill", "cut", "expire"]

MOMENTS: Final = ("before", "during", "after")
WAYS: Final[tuple[Way, ...]] = ("kill", "cut")

#: The sandbox's action that disturbs a request in each way.
ACTIONS: Final[dict[Way, str]] = {"kill": "hang", "cut": "drop", "expire": "advance"}

#: A flow that has not ended well after so many starts will not.
MAX_STARTS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One disturbance.

    Attributes:
        request: The number of the disturbed request.
        moment: When, relative to its taking effect.
        way: ``kill``, ``cut`` or ``expire``.
    """

    request: int
    moment: str
    way: Way


@dataclass(frozen=True, slots=True, kw_only=True)
class Case(Cell):
    """One disturbance, and what came of it.

    Attributes:
        starts: How often the flow was started.
        complaint: What is wrong with the outcome; None if it is right.
    """

    starts: int
    complaint: str | None


def exactly_one(vendor: str) -> Judge:
    """Demand that one thing took effect at *vendor*, and nothing elsewhere."""

    def judge(truth: Truth) -> str | None:
        counts = {name: len(effects) for name, effects in truth.items() if effects}
        if counts == {vendor: 1}:
            return None
        return f"wanted exactly one effect at {vendor}, got {counts or 'none'}"

    return judge


@dataclass(frozen=True, slots=True)
class KillMatrix:
    """A flow, and what is demanded of it.

    Attributes:
        flow: A command, or a function that a fresh process can import.
        sandbox: Reset before each run.
        judge: What the truth must be in the end.
        environ: The flow's environment.
        prepare: Called before each run; empties what the flow keeps elsewhere.
        timeout_s: A start that takes longer counts as hung, and is killed.
        expire_s: After how long the tokens of the flow have expired; None for no end.
    """

    flow: Flow
    sandbox: SandboxClient
    judge: Judge
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, kw_only=True)
    prepare: Callable[[], object] = field(default=lambda: None, kw_only=True)
    timeout_s: float = field(default=60, kw_only=True)
    expire_s: float | None = field(default=None, kw_only=True)

    def failures(self) -> list[Case]:
        """Run all cases; return those with a complaint."""
        return [case for case in self.cases() if case.complaint]

    def cases(self, wanted: Callable[[Cell], bool] = lambda _: True) -> Iterator[Case]:
        """Run all cases that are *wanted*, and yield each as it ends.

        Raises:
            ValueError: The flow makes no request, or is wrong even if left alone.
        """
        with _starter(self.flow, self.environ) as start:
            yield from self._cases(start, wanted)

    def _cases(self, start: Start, wanted: Callable[[Cell], bool]) -> Iterator[Case]:
        requests = range(1, self._count(start) + 1)
        every = [
            Cell(request=request, moment=moment, way=way)
            for request, moment, way in product(requests, MOMENTS, WAYS)
        ]
        if self.expire_s:
            every += [Cell(request=n, moment="before", way="expire") for n in requests]
        for cell in filter(wanted, every):
            fault: dict[str, Any] = {
                "action": ACTIONS[cell.way],
                "moment": cell.moment,
                "nth": cell.request,
            }
            if cell.way == "expire":
                fault["seconds"] = self.expire_s
            starts, complaint = self._run(fault, start, kill=cell.way == "kill")
            yield Case(**asdict(cell), starts=starts, complaint=complaint)

    def _count(self, start: Start) -> int:
        """Run the flow undisturbed; return how many requests it makes."""
        _, complaint = self._run(None, start)
        if complaint:
            raise ValueError(f"the flow fails undisturbed: {complaint}")
        requests = len(self.sandbox.requests())
        if not requests:
            raise ValueError("the flow makes no request to the sandbox")
        return requests

    def _run(
        self, fault: dict[str, Any] | None, start: Start, *, kill: bool = False
    ) -> tuple[int, str | None]:
        """Start the flow until it ends well; return how often, and the complaint."""
        self.prepare()
        self.sandbox.reset()
        self.sandbox.faults(*([fault] if fault else []))
        with TemporaryDirectory(prefix="kill-matrix-") as folder:
            starts = 0
            while starts < MAX_STARTS:
                starts += 1
                kills = kill and not self._has_fired()
                if self._start(Path(folder), start, kill=kills):
                    break
            else:
                return MAX_STARTS, f"it did not end well in {MAX_STARTS} starts"
        if fault and not self._has_fired():
            return starts, "this time it did not make as many requests"
        return starts, self.judge(self.sandbox.truth())

    def _start(self, folder: Path, start: Start, *, kill: bool) -> bool:
        """Start the flow once, and *kill* it at the fault; tell if it ended well."""
        environ = {
            **self.environ,
            "NEXUS_SANDBOX_URL": self.sandbox.url,
            "PYTHONPATH": os.pathsep.join(part for part in sys.path if part),
        }
        process = start(folder, environ)
        deadline = time.monotonic() + self.timeout_s
        try:
            while process.poll(0.01) is None and time.monotonic() < deadline:
                if kill and self._has_fired():
                    break
        finally:
            with suppress(ProcessLookupError):  # what it has started goes with it
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return process.returncode == 0

    def _has_fired(self) -> bool:
        return any(self.sandbox.fired())


@contextmanager
def _starter(flow: Flow, environ: Mapping[str, str]) -> Iterator[Start]:
    """Yield what starts the flow: a command as it is, a function by a fork."""
    if not callable(flow):
        command = list(flow)
        yield lambda folder, environ: _Process(command, folder, environ)
        return
    with Nursery(flow.__module__, flow.__qualname__, environ) as nursery:
        yield nursery.start


class _Process:
    """A command that was started; the leader of a process group of its own."""

    def __init__(
        self, command: list[str], folder: Path, environ: Mapping[str, str]
    ) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - the caller's own flow
            command, cwd=folder, env=environ, start_new_session=True
        )
        self.pid = self._process.pid
        self.returncode: int | None = None

    def poll(self, seconds: float) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            self.returncode = self._process.wait(seconds)
        return self.returncode

    def wait(self) -> None:
        self.returncode = self._process.wait()
