"""What is answered for all worker processes that share a port."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from .endpoint import Answer
from .signs import Process


#: How long after a sleep of its own a process judges nobody: the others slept, too.
GRACE_S: Final = 5.0

#: What the processes of several kinds are called together.
MIXED: Final = "nexus-actors"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong with the processes at a port, in words.

    Attributes:
        hung: Why some do not work any more; only their end helps.
        unready: Why some take no jobs just now, or would not get far with them.
    """

    processes: list[Process]
    hung: list[str]
    unready: list[str]

    @classmethod
    def of(cls, processes: Iterable[Process], *, awake_s: float) -> Verdict:
        """Judge *processes*.

        Args:
            processes: Those that live.
            awake_s: For how long the process that judges has not slept.
        """
        found = list(processes)
        return cls(
            found,
            [text for each in found for text in _hung(each, awake_s)],
            [text for each in found for text in _unready(each)]
            if found
            else ["no process says how it is"],
        )

    def live(self) -> Answer:
        """Say whether all processes work."""
        return _answer("hung" if self.hung else "alive", self.hung)

    def ready(self) -> Answer:
        """Say whether all processes take jobs and can run them."""
        reasons = self.hung + self.unready
        return _answer("not ready" if reasons else "ready", reasons)

    def health(self) -> Answer:
        """Say all that is known, in the shape that the previous system had."""
        names = {str(each.about["worker"]) for each in self.processes}
        parts = [_part(each) for each in self.processes]
        return _answer(
            self._status(),
            self.hung + self.unready,
            worker=names.pop() if len(names) == 1 else MIXED,
            uptime=max((part["uptime"] for part in parts), default=0),
            memory={"rss": sum(part["memory"]["rss"] for part in parts)},
            processes=parts,
        )

    def _status(self) -> str:
        if self.hung:
            return "hung"
        if any(each.about["state"] == "draining" for each in self.processes):
            return "draining"
        return "unhealthy" if self.unready else "healthy"


def _hung(process: Process, awake_s: float) -> list[str]:
    about = process.about
    texts = [f"process {about['pid']}: {text}" for text in about["stuck"]]
    limit_s = about["limit_s"]
    if process.silent_s > limit_s and awake_s > min(GRACE_S, limit_s):
        silent = f"no sign of life for {process.silent_s:.0f} s"
        texts.append(f"process {about['pid']}: {silent}")
    return texts


def _unready(process: Process) -> list[str]:
    about = process.about
    texts = [] if about["state"] == "ready" else [about["state"]]
    texts += [f"{n}: {text}" for n, text in about["checks"].items() if text != "ok"]
    return [f"process {about['pid']}: {text}" for text in texts]


def _part(process: Process) -> dict[str, Any]:
    """Return what is told of one process."""
    told = ("pid", "worker", "state", "checks", "stuck", "memory", "serves")
    return {
        **{name: process.about[name] for name in told},
        "uptime": round(time.monotonic() - process.about["began"], 1),
        "silent_s": round(process.silent_s, 1),
    }


def _answer(status: str, reasons: list[str], **more: Any) -> Answer:
    well = status in {"alive", "healthy", "ready"}
    code = HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE
    return Answer.json(code, {"status": status, **more, "reasons": reasons})
