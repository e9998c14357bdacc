"""A job of the video pipeline that is killed in one of its steps; for a `Nursery`."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nexus_actors.core.settings import CoreSettings
from nexus_actors.video.flows import run
from nexus_actors.video.models import ProcessVideoRequest
from nexus_actors.video.settings import VideoSettings


#: Of one plan, such encodes make the same bytes each time.
QUICK = {"ffmpeg_preset": "ultrafast", "encoder_threads": 1}


@dataclass
class Job:
    """Kills its process when it is asked *checks* times in *step*, or after that."""

    step: str
    checks: int
    stage: str = ""

    def check(self) -> None:
        self.checks -= self.stage == self.step
        if self.checks == 0:
            die()

    def progress(
        self,
        fraction: float | None,
        *,
        stage: str,
        eta_s: float | None = None,  # noqa: ARG002 - likewise
    ) -> None:
        if self.stage == self.step and (stage != self.step or fraction == 1):
            die()
        self.stage = stage


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def environ(
    step: str, checks: int, body: dict[str, Any], core: CoreSettings, work: Path
) -> dict[str, str]:
    """Return the environment of `run_and_die`."""
    places = {"temp_dir": str(core.temp_dir), "storage_url": core.storage_url}
    told = [step, checks, body, places, str(work)]
    return {**os.environ, "MORTAL": json.dumps(told)}


def run_and_die() -> None:
    """Run the job that the environment names."""
    step, checks, body, places, work = json.loads(os.environ["MORTAL"])
    run(
        ProcessVideoRequest.parse(body, what="test"),
        settings=VideoSettings.load(QUICK),
        core=CoreSettings.load(places),
        work=Path(work),
        job=Job(step, checks),
    )
