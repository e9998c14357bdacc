"""Why a video fails.  Each carries a stable ``code`` beside its message."""

from __future__ import annotations

from nexus_actors.core.errors import RejectedError, ResourceError, TransientError


class SourceError(RejectedError):
    """The file cannot be processed; trying again cannot help.

    Codes: ``not_found``, ``empty``, ``too_large``, ``not_media``, ``forbidden_format``,
    ``corrupt``, ``truncated``, ``no_video``, ``unsupported_codec``, ``encrypted``,
    ``limits``.
    """

    code = "corrupt"


class OutputError(TransientError):
    """What was made is not what was planned; one more try may make it right."""

    code = "bad_output"


class EncodeError(TransientError):
    """ffmpeg failed for a reason that may pass.

    Codes: ``killed``, ``stalled``, ``timeout``, ``ffmpeg_failed``.
    """

    code = "ffmpeg_failed"


class DiskFullError(ResourceError):
    """There is no room for the working files or the outputs."""

    code = "disk_full"
