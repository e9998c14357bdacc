"""The upload servers of Instagram and Facebook: a file, from an offset on.

Source: Meta for Developers, "Resumable Uploads" and "Reels Publishing".
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from nexus_actors.core.errors import AuthorizationError, RejectedError
from nexus_actors.core.http import Answer, Call, FileSlice
from nexus_actors.platforms import meta
from nexus_actors.platforms.verdicts import SessionLostError, body_of, field

from .errors import UploadOutOfStepError
from .run import Part, Run
from .sources import fingerprint


#: What is refused in the servers' own form.
REFUSALS: Final = (400, 401, 404)

#: Both spellings of how much has arrived are in use.
ARRIVED: Final = ("bytes_transferred", "bytes_transfered")


def begin(run: Run, address: str, path: Path) -> dict[str, Any]:
    """Return what must be remembered of an upload to *address*."""
    return {
        "upload_url": address,
        "size": path.stat().st_size,
        "sha256": fingerprint(path, run.check),
        "offset": 0,
    }


def next_part(run: Run, path: Path) -> Part | None:
    """Return the bytes that are left, or ``None``."""
    size, offset = run.checkpoint["size"], run.checkpoint["offset"]
    if path.stat().st_size != size:
        raise RejectedError(
            "the file has changed since its upload began", code="source_changed"
        )
    if offset >= size:
        return None
    headers = {
        "Authorization": f"OAuth {run.access.token}",
        "Content-Type": "application/octet-stream",
        "offset": str(offset),
        "file_size": str(size),
    }
    call = Call(
        "POST",
        run.checkpoint["upload_url"],
        headers=headers,
        body=FileSlice.of(path, offset),
        idempotent=True,
        accept=REFUSALS,
    )
    return Part(call=call)


def read_part(run: Run, answer: Answer) -> None:
    """Save that all has arrived.

    Raises:
        UploadOutOfStepError: The offset was wrong.
        SessionLostError: The upload is gone.
        AuthorizationError: The token is not good.
    """
    info = field(body_of(answer), "debug_info")
    match field(info, "type"):
        case None if answer.status not in REFUSALS:
            run.save(offset=run.checkpoint["size"])
            return
        case "OffsetInvalidError" | "PartialRequestError":
            raise UploadOutOfStepError(f"the upload is out of step: {info}")
        case "NotAuthorizedError":
            raise AuthorizationError(
                "the upload server does not take the token", code="token_expired"
            )
    raise (
        meta.refusal(answer)
        or SessionLostError(f"the upload has come to nothing: {info}")
    )


def arrived(status: Any) -> int:
    """Return how many bytes the uploading phase of a video's *status* tells of."""
    phase = field(status, "uploading_phase") or {}
    return max(int(phase.get(name) or 0) for name in ARRIVED)
