"""What a picture that a stranger has made may be; told by its header, undecoded."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO, Final

from .errors import SourceError


#: The most pixels of a picture: more than a phone's, less than a bomb's.
MOST_PIXELS: Final = 60_000_000

#: Markers of a JPEG that stand before its size are no more than this.
MOST_MARKERS: Final = 1000

#: Those markers that tell the size; 0xC4, 0xC8 and 0xCC are of other things.
SIZE_MARKERS: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def check_picture(path: Path) -> str:
    """Refuse what is no picture, or one too large to be decoded; return its coder.

    Raises:
        SourceError: Says which.
    """
    coder, width, height = read_header(path)
    if not coder:
        raise SourceError(
            "the picture is no JPEG, PNG or WebP; convert it", code="not_media"
        )
    if not width * height:
        raise SourceError("the picture is damaged: it has no size", code="corrupt")
    if width * height > MOST_PIXELS:
        raise SourceError(
            f"the picture is {width} x {height}; at most {MOST_PIXELS:,} pixels are "
            "accepted",
            code="limits",
        )
    return coder


def read_header(path: Path) -> tuple[str, int, int]:
    """Return coder, width and height; zeros where they are not told."""
    with path.open("rb") as file:
        try:
            return _read(file.read(30), file)
        except (struct.error, IndexError):
            return "", 0, 0


def _read(head: bytes, file: BinaryIO) -> tuple[str, int, int]:
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return ("png", *struct.unpack_from(">2I", head, 16))
    if head.startswith(b"\xff\xd8\xff"):
        return ("jpeg", *_jpeg_size(file))
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return ("webp", *_webp_size(head))
    return "", 0, 0


def _jpeg_size(file: BinaryIO) -> tuple[int, int]:
    file.seek(2)
    for _ in range(MOST_MARKERS):
        marker = file.read(4)
        if not marker.startswith(b"\xff"):
            break
        if marker[1:2] == b"\xff":  # padding
            file.seek(-3, 1)
            continue
        if marker[1] in SIZE_MARKERS:
            height, width = struct.unpack(">x2H", file.read(5))
            return width, height
        file.seek(struct.unpack(">2xH", marker)[0] - 2, 1)
    return 0, 0


def _webp_size(head: bytes) -> tuple[int, int]:
    kind = head[12:16]
    if kind == b"VP8X":
        width, height = (
            int.from_bytes(head[at : at + 3], "little") + 1 for at in (24, 27)
        )
    elif kind == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<2H", head, 26))
    else:
        width, height = 0, 0
    return width, height
