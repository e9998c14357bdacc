"""What can be wrong with a publication.  Each carries a stable ``code``."""

from __future__ import annotations

from nexus_actors.core.errors import PermanentError, TransientError
from nexus_actors.platforms.verdicts import SessionLostError


class UnknownPublicationError(PermanentError):
    """There is no such publication."""

    code = "unknown_publication"


class UploadOutOfStepError(TransientError):
    """The server has another number of bytes than we thought: ask, and go on."""

    code = "out_of_step"


__all__ = ["SessionLostError", "UnknownPublicationError", "UploadOutOfStepError"]
