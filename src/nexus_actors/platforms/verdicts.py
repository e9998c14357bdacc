"""What a platform's refusal means for whoever asked.

Each platform's module has tables from its own codes to a `Verdict`; here stands which
error of ours each is, so that all platforms' refusals are treated alike.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from nexus_actors.core import clock
from nexus_actors.core.errors import (
    AuthorizationError,
    ConfigurationError,
    NexusError,
    Postponed,
    RejectedError,
    RemoteUnavailableError,
    TransientError,
    UnknownOutcomeError,
)
from nexus_actors.core.http import Answer


class Verdict(StrEnum):
    """What follows from a refusal; the words are the errors' codes.

    A platform's code for ``spent`` is one that limits this account or app for long.
    """

    RETRY = "remote_unavailable"
    LIMITED = "rate_limited"
    NOT_READY = "not_ready"
    EXPIRED = "token_expired"
    REAUTHORIZE = "needs_reauthorization"
    CONTENT = "invalid_content"
    APP = "app_not_allowed"
    PERSON = "needs_user"
    LOST = "session_lost"
    UNKNOWN = "unknown_outcome"


class SessionLostError(TransientError):
    """An upload or a draft is gone, and certainly nothing came of it: begin again."""

    code = "session_lost"


#: How long to wait where a platform limits us and names no time.
PAUSE_S: Final = 60

#: How long until the next look at what is not ready.
LOOK_S: Final = 5

#: The most of a platform's words that are kept.
WORDS: Final = 300


def error_of(  # noqa: PLR0911 - one for each verdict
    verdict: Verdict,
    answer: Answer,
    words: str,
    *,
    until: datetime | None = None,
    **details: Any,
) -> NexusError:
    """Return the error that a refusal is.

    Args:
        verdict: What it means.
        answer: The refusal.
        words: What the platform says of it.
        until: When to come again, of one that limits or is not ready.
        **details: What else a person debugging may want to see.
    """
    text = f"{answer.call}: {words[:WORDS]}"
    match verdict:
        case Verdict.RETRY:
            if answer.call.repeatable or answer.call.undone_on_5xx:
                return RemoteUnavailableError(text, **details)
            return UnknownOutcomeError(f"{text}; it may have been done", **details)
        case Verdict.LIMITED | Verdict.NOT_READY:
            pause = PAUSE_S if verdict is Verdict.LIMITED else LOOK_S
            until = until or clock.now() + timedelta(seconds=pause)
            return Postponed(text, code=str(verdict), until=until, **details)
        case Verdict.EXPIRED | Verdict.REAUTHORIZE:
            return AuthorizationError(text, code=str(verdict), **details)
        case Verdict.APP:
            return ConfigurationError(text, code=str(verdict), **details)
        case Verdict.CONTENT | Verdict.PERSON:
            return RejectedError(text, code=str(verdict), **details)
        case Verdict.LOST:
            return SessionLostError(text, **details)
        case Verdict.UNKNOWN:
            return UnknownOutcomeError(text, **details)


def body_of(answer: Answer) -> Mapping[str, Any]:
    """Return the JSON object of an answer, or an empty one if it is none."""
    try:
        found = json.loads(answer.body) if answer.whole else None
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {}


def told(answer: Answer, *path: str | int) -> Any:
    """Return what stands at *path* of an answer that must have it; or its object.

    Raises:
        NexusError: There is none: as `Answer.json`.
    """
    value = field(answer.json(), *path)
    if value is None or not (path or isinstance(value, Mapping)):
        what = ".".join(map(str, path)) or "an object"
        error = answer.call.lost(
            f"{answer.server}: {answer.call} was answered without {what}"
        )
        error.details["request_id"] = answer.request_id
        raise error
    return value


def field(value: Any, *path: str | int) -> Any:
    """Return what stands at *path* in a platform's JSON, or ``None``."""
    for step in path:
        if isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int):
            value = value[step] if -len(value) <= step < len(value) else None
        else:
            return None
    return value
