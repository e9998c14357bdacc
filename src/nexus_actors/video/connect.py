"""The one place where the video domain's settings, job and steps meet."""

from __future__ import annotations

import shutil
import uuid
from typing import Any

from nexus_actors.core.settings import CoreSettings
from nexus_actors.engine import jobs

from .models import ProcessVideoRequest
from .settings import VideoSettings


def process(body: dict[str, Any]) -> dict[str, Any]:
    """Run the whole pipeline on one request; return the result as plain JSON."""
    from .pipeline import process_video
    from .work import folder_of, sweep

    job = jobs.running() or jobs.Job(id=f"inline-{uuid.uuid4()}")
    core = CoreSettings.load()
    folders = core.temp_dir / "work"
    sweep(folders)
    work = folder_of(job.id, folders)
    try:
        result = process_video(
            ProcessVideoRequest.parse(body, what="process_video"),
            settings=VideoSettings.load(),
            core=core,
            work=work,
            job=job,
        )
    finally:
        if not job.actor:  # its caller will not take it up again
            shutil.rmtree(work, ignore_errors=True)
    return result.to_json()
