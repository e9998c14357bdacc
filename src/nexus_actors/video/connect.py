"""The one place where the video domain's settings, job and steps meet."""

from __future__ import annotations

import shutil
import uuid
from typing import Any

from nexus_actors.core.settings import CoreSettings
from nexus_actors.engine import jobs

from . import models
from .settings import VideoSettings


def process(request: str, body: dict[str, Any]) -> dict[str, Any]:
    """Do what *body* asks for, of the model *request*; return plain JSON."""
    from .flows import run
    from .work import folder_of, sweep

    job = jobs.running() or jobs.Job(id=f"inline-{uuid.uuid4()}")
    core = CoreSettings.load()
    folders = core.temp_dir / "work"
    sweep(folders)
    work = folder_of(job.id, folders)
    try:
        result = run(
            getattr(models, request).parse(body, what=request),
            settings=VideoSettings.load(),
            core=core,
            work=work,
            job=job,
        )
    finally:
        if not job.actor:  # its caller will not take it up again
            shutil.rmtree(work, ignore_errors=True)
    return result.to_json()
