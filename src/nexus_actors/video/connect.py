"""The one place where the video domain's settings, job and steps meet."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable
from typing import Any, Final

from nexus_actors.core.settings import CoreSettings
from nexus_actors.engine import jobs

from . import models
from .settings import VideoSettings


#: The folder in ``TEMP_DIR`` of all jobs' folders.
FOLDERS: Final = "work"


def tidy(core: CoreSettings, is_done_with: Callable[[str], bool] | None = None) -> None:
    """Delete the folders that killed workers of this host have left for nobody."""
    from .work import sweep

    sweep(core.temp_dir / FOLDERS, is_done_with or (lambda _: False))


def process(request: str, body: dict[str, Any]) -> dict[str, Any]:
    """Do what *body* asks for, of the model *request*; return plain JSON."""
    from .flows import run
    from .work import INLINE, folder_of

    job = jobs.running() or jobs.Job(id=f"{INLINE}{uuid.uuid4()}")
    core = CoreSettings.load()
    tidy(core)
    work = folder_of(job.id, core.temp_dir / FOLDERS)
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
