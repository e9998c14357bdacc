"""Settings of the social domain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from nexus_actors.core.settings import Settings, own


class SocialSettings(Settings):
    """How posts are published."""

    ffprobe: Annotated[
        Path | None, own("FFPROBE", "the ffprobe program; found on PATH by default")
    ] = None
    chunk_bytes: Annotated[
        int,
        own("SOCIAL_CHUNK_BYTES", "of one part of an upload, where we may choose"),
        Field(ge=262_144, le=64_000_000, multiple_of=262_144),
    ] = 16 * 1024**2
    lease_s: Annotated[
        float,
        own(
            "SOCIAL_LEASE_S",
            "how long a worker may be silent before another goes on with its post",
        ),
        Field(ge=1, le=3600),
    ] = 60.0
    max_failures: Annotated[
        int,
        own("SOCIAL_MAX_FAILURES", "runs that may fail for a reason that may pass"),
        Field(ge=1, le=100),
    ] = 12
    reconcile_pause_s: Annotated[
        float,
        own(
            "SOCIAL_RECONCILE_PAUSE_S",
            "between two looks that must both find nothing, before a post is made "
            "again whose outcome was unknown",
        ),
        Field(ge=1, le=3600),
    ] = 60.0
    reconcile_window_s: Annotated[
        float,
        own(
            "SOCIAL_RECONCILE_WINDOW_S",
            "how long a post is looked for before it is unconfirmed",
        ),
        Field(ge=1, le=86_400),
    ] = 900.0
    processing_window_s: Annotated[
        float,
        own(
            "SOCIAL_PROCESSING_WINDOW_S",
            "how long a platform may process a post before it is unconfirmed",
        ),
        Field(ge=60, le=2_592_000),
    ] = 86_400.0
    publish_grace_s: Annotated[
        float,
        own(
            "SOCIAL_PUBLISH_GRACE_S",
            "how late a scheduled post may go out; later, it is held for a person",
        ),
        Field(ge=1),
    ] = 3600.0
    max_file_bytes: Annotated[
        int, own("SOCIAL_MAX_FILE_BYTES", "the largest file accepted"), Field(gt=0)
    ] = 256 * 1024**3
