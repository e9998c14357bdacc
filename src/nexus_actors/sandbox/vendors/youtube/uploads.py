"""Google's resumable uploads: a session, and the bytes that it has so far.

The URI of a session authorises the upload by itself; a token that comes along must be
good all the same.  Of a request that breaks off, what has arrived is kept, in whole
units of 256 KiB.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from nexus_actors.sandbox.base import Refusal, Vendor
from nexus_actors.sandbox.media import MediaFile, arriving

from . import errors
from .settings import Channel, YouTubeSettings


#: Every part of an upload but the last is a multiple of it.
UNIT: Final = 262_144

#: The largest video.
MAX_BYTES: Final = 274_877_906_944

#: What is left of a session that the caller has cancelled.
CANCELLED: Final = 499

RANGE: Final = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


@dataclass(slots=True, eq=False)
class Session:
    """One upload.

    Attributes:
        total: How many bytes there will be; None as long as the caller has not said.
        video: The id of the video that came of it.
    """

    id: str
    channel: Channel
    metadata: dict[str, dict[str, Any]]
    file: MediaFile
    file_name: str
    created_at: float
    total: int | None
    video: str | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """A ``Content-Range``: from *first* on, *length* bytes; a probe has no bytes."""

    first: int
    length: int
    total: int | None
    probe: bool


class Sessions:
    """The sessions that are open, and those that have become videos."""

    def __init__(self, vendor: Vendor[YouTubeSettings]) -> None:
        self._vendor = vendor
        self._sessions: dict[str, Session] = {}

    def open(
        self, request: Request, channel: Channel, metadata: dict[str, dict[str, Any]]
    ) -> Session:
        """Open a session for what the headers announce.

        Raises:
            Refusal: That is too large, or no video.
        """
        session = Session(
            id=secrets.token_urlsafe(48),
            channel=channel,
            metadata=metadata,
            file=self._vendor.media.new(),
            file_name=file_name(request),
            created_at=self._vendor.clock.now(),
            total=_announced(request),
        )
        self._sessions[session.id] = session
        return session

    def find(self, request: Request) -> Session:
        """Return the session that the URI names.

        Raises:
            Refusal: It does not exist, or not any more.
        """
        session = self._sessions.get(request.query_params.get("upload_id", ""))
        life, now = self._vendor.settings.session_s, self._vendor.clock.now()
        if not session or now >= session.created_at + life:
            raise PlainRefusal(404, "Not Found")
        return session

    def cancel(self, session: Session) -> Response:
        """Forget the session and what it has."""
        del self._sessions[session.id]
        return Response(status_code=CANCELLED)

    async def take(self, request: Request, session: Session) -> Response | None:
        """Add the bytes of one request; return the answer unless all are there.

        Raises:
            Refusal: They are not what ``Content-Range`` says, or do not fit.
        """
        body, whole = await arriving(request)
        span = _span(request, session, len(body), whole=whole)
        session.total = span.total if session.total is None else session.total
        if not span.probe:
            self._add(session, span, body, whole=whole)
        if session.total is not None and session.file.size == session.total:
            return None
        return incomplete(session)

    def _add(self, session: Session, span: Span, body: bytes, *, whole: bool) -> None:
        size = session.file.size
        if span.first > size:
            raise PlainRefusal(
                503,
                "Invalid request.  According to the Content-Range header, the upload "
                f"offset is {span.first} byte(s), which exceeds already uploaded size "
                f"of {size} byte(s).",
            )
        fresh = body[size - span.first :]
        limit = self._vendor.settings.stores_at_most
        kept = len(fresh) if limit is None else min(limit, len(fresh))
        if not whole or kept < len(fresh):
            kept -= (size + kept) % UNIT
        session.file.append(fresh[: max(0, kept)])


class PlainRefusal(Refusal):
    """A refusal by the upload servers, which say it in plain text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(status, text)
        self.response = PlainTextResponse(text, status)


def incomplete(session: Session) -> Response:
    """Return the answer that says how far the upload is."""
    size = session.file.size
    headers = {"X-GUploader-UploadID": session.id}
    if size:
        headers["Range"] = f"bytes=0-{size - 1}"
    return Response(status_code=308, headers=headers)


def complete(resource: dict[str, Any], status: int) -> Response:
    """Return the answer that brings the video."""
    return JSONResponse(resource, status)


def file_name(request: Request) -> str:
    """Return the file's name, from the header ``Slug``.

    Raises:
        Refusal: YouTube does not take it.
    """
    name = request.headers.get("slug", "unknown")
    if re.search(r"[<>/\\\x00-\x1f]", name):
        text = "The video filename specified in the Slug header is invalid."
        raise errors.refusal(400, "invalidFilename", text)
    return name


def check_media_type(kind: str) -> None:
    """Check that *kind* may be a video's.

    Raises:
        Refusal: It may not.
    """
    if not kind.startswith("video/") and kind != "application/octet-stream":
        raise errors.bad_request(
            f"Media type '{kind}' is not supported. "
            "Valid media types: [video/*, application/octet-stream]"
        )


def _announced(request: Request) -> int | None:
    check_media_type(request.headers.get("x-upload-content-type", "video/*"))
    length = request.headers.get("x-upload-content-length")
    if length is None:
        return None
    if not length.isdecimal():
        raise errors.bad_request("Invalid X-Upload-Content-Length header.")
    if int(length) == 0:
        text = "The request does not include the video content."
        raise errors.refusal(400, "mediaBodyRequired", text)
    if int(length) > MAX_BYTES:
        raise too_large(MAX_BYTES)
    return int(length)


def too_large(limit: int) -> Refusal:
    """Return the refusal of media above *limit* bytes."""
    text = f"Media is too large. Limit: {limit}"
    return errors.refusal(413, "uploadTooLarge", text, domain="global")


def _span(request: Request, session: Session, size: int, *, whole: bool) -> Span:
    header = request.headers.get("content-range")
    if header is None:
        return Span(0, size, size if whole else session.total, probe=False)
    match = RANGE.fullmatch(header)
    if not match:
        raise PlainRefusal(400, "Failed to parse Content-Range header.")
    first, last, total = match.groups()
    known = None if total == "*" else int(total)
    if known is not None and session.total not in {None, known}:
        raise PlainRefusal(
            400, f"Invalid request.  The total size is {session.total} byte(s)."
        )
    if first is None:
        if size:
            raise PlainRefusal(400, "Failed to parse Content-Range header.")
        return Span(0, 0, known, probe=True)
    span = Span(int(first), int(last) - int(first) + 1, known, probe=False)
    _check_span(span, session.total or known, size, whole=whole)
    return span


def _check_span(span: Span, total: int | None, size: int, *, whole: bool) -> None:
    last = span.first + span.length - 1
    if span.length <= 0 or (total is not None and last >= total):
        raise PlainRefusal(400, "Failed to parse Content-Range header.")
    if whole and size != span.length:
        raise PlainRefusal(
            400,
            f"Invalid request.  There were {size} byte(s) in the request body.  There "
            f"should have been {span.length} byte(s) (starting at offset {span.first} "
            f"and ending at offset {last}) according to the Content-Range header.",
        )
    if last + 1 != total and span.length % UNIT:
        raise PlainRefusal(
            400,
            "Invalid request.  The number of bytes uploaded is required to be equal or "
            f"greater than {UNIT}, except for the final request (it's recommended to "
            f"be the exact multiple of {UNIT}).  The received request contained {size} "
            "bytes, which does not meet this requirement.",
        )
