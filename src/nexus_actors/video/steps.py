"""The steps of a job: timed, told, and not repeated after a restart."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from nexus_actors.core.logs import get_logger
from nexus_actors.engine.instruments import histogram


log = get_logger(__name__)

#: How much of a whole job each step is, for its progress; they count against each
#: other, so that those of a shorter job fill the whole, too.
WEIGHTS: Final = {
    "fetch": 4,
    "guard": 1,
    "probe": 1,
    "plan": 0,
    "measure": 2,
    "encode": 78,
    "captions": 0,
    "index": 1,
    "manifests": 1,
    "derive": 2,
    "stills": 4,
    "verify": 2,
    "store": 4,
    "check": 2,
    "copy": 4,
}


STAGE: Final = histogram(
    "nexus_video_stage_duration_seconds",
    "How long a step of a video took",
    stage=WEIGHTS,
)


class JobHandle(Protocol):
    """What the pipeline asks of the job that it runs in."""

    def check(self) -> None:
        """Return if the job may go on; raise if it must stop."""

    def progress(
        self, fraction: float | None, *, stage: str, eta_s: float | None = None
    ) -> None:
        """Tell how far the job is."""


@dataclass(slots=True)
class Steps:
    """Times the steps, tells their progress, and remembers which are finished.

    *names* are those that are expected; the last one ends the job.
    """

    work: Path
    job: JobHandle
    names: tuple[str, ...]
    timings: dict[str, float] = field(default_factory=dict)
    _done: int = 0
    _stage: str = ""
    _resumes: bool = True

    def run(self, name: str, action: Callable[[], Any], *, once: bool = False) -> Any:
        """Run one step; with *once*, not again after a restart: its output stays."""
        self.job.check()
        self._stage = name
        self.tell(0)
        marker = self.work / f"{name}.json"
        note = read_note(marker) if once and self._resumes else {}
        if note:
            self.timings[name] = note["seconds"]
            self._done += WEIGHTS[name]
            return note["value"]
        if once:  # what stands on this step must be done anew, too
            self._resumes = False
        started = time.monotonic()
        value = action()
        seconds = round(time.monotonic() - started, 3)
        self.timings[name] = seconds
        STAGE.observe(seconds, stage=name)
        if once:
            write_whole(marker, {"seconds": seconds, "value": value})
        self._done += WEIGHTS[name]
        log.info("video.step_finished", step=name, seconds=seconds)
        return value

    def tell(self, share: float, eta_s: float | None = None) -> None:
        """Tell that *share* of the present step is done."""
        whole = max(1, sum(WEIGHTS[name] for name in self.names))
        done = self._done + WEIGHTS[self._stage] * min(1, share)
        self.job.progress(min(1, done / whole), stage=self._stage, eta_s=eta_s)

    def end(self) -> None:
        """Tell that all is done, also where steps were not needed."""
        self.job.progress(1.0, stage=self._stage, eta_s=0)


def read_note(path: Path) -> dict[str, Any]:
    """Return what `write_whole` has written; nothing if a crash has spoilt it."""
    try:
        note: dict[str, Any] = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return note


def write_whole(path: Path, value: Any) -> None:
    """Write JSON so that a crash leaves the whole file or none."""
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(value))
    partial.replace(path)
