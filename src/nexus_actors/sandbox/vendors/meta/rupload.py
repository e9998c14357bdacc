"""rupload.facebook.com: the bytes of one file, from an offset on.

Of a request that breaks off, all that has arrived is kept.
"""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from nexus_actors.sandbox.base import Refusal
from nexus_actors.sandbox.media import FetchError, Media, MediaFile, arriving


@dataclass(slots=True, eq=False)
class Upload:
    """A file on its way.

    Attributes:
        version: That of the URL; another one is not found.
        size: How many bytes there will be; None until the caller says.
    """

    file: MediaFile
    version: str
    size: int | None = None

    @property
    def complete(self) -> bool:
        """Tell whether all is there."""
        return self.size is not None and self.file.size == self.size


async def take(
    request: Request, upload: Upload, media: Media, hosts: tuple[str, ...]
) -> Response:
    """Add what a request brings, or fetch what it names.

    Raises:
        Refusal: The offset is wrong, or the length.
    """
    if url := request.headers.get("file_url"):
        try:
            fetched = await media.fetch(url, hosts)
        except FetchError as error:
            raise refused("ProcessingFailedError", str(error)) from None
        upload.file, upload.size = fetched, fetched.size
        return JSONResponse({"success": True, "message": "Upload successful."})
    body, whole = await arriving(request)
    offset, size = _number(request, "offset"), _number(request, "file_size")
    if upload.size not in {None, size} or offset != upload.file.size:
        raise refused("OffsetInvalidError", "Request starting offset is invalid")
    if whole and offset + len(body) != size:
        raise refused("PartialRequestError", "Partial request (did not match length)")
    upload.size = size
    upload.file.append(body[: size - offset])
    return JSONResponse({"success": True, "message": "Upload successful."})


def refused(kind: str, message: str, status: int = 400) -> Refusal:
    """Return a refusal in the form of these servers."""
    retriable = kind == "PartialRequestError"
    info = {"retriable": retriable, "type": kind, "message": message}
    return Refusal(status, {"debug_info": info})


def _number(request: Request, name: str) -> int:
    text = request.headers.get(name, "")
    if not text.isdecimal():
        raise refused("HeadersInvalidError", f"The header {name} is invalid")
    return int(text)
