"""What files tell of themselves at their beginning, without ffmpeg."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO, Final


#: A file with more top-level boxes than this is not looked at further.
MAX_BOXES: Final = 10_000

#: How much of ``moov`` is searched for ``mvex``.
MAX_MOOV: Final = 1 << 20

#: Brands of HEIF, a kin of MP4, that hold one picture: what phones take and save.
PICTURE_BRANDS: Final = {b"heic", b"heix", b"heim", b"heis", b"mif1", b"avif"}

#: The bit of WebP's extended header that says so.
ANIMATION: Final = 0x02


def is_picture(path: Path) -> bool:
    """Tell whether a file is a single picture in HEIF, as HEIC or AVIF."""
    with path.open("rb") as file:
        head = file.read(12)
    return head[4:8] == b"ftyp" and head[8:12] in PICTURE_BRANDS


def is_animated_webp(path: Path) -> bool:
    """Tell whether a file is a WebP of several pictures, by its extended header."""
    with path.open("rb") as file:
        head = file.read(21)
    is_extended = (head[:4], head[8:16]) == (b"RIFF", b"WEBPVP8X")
    return is_extended and bool(head[20:] and head[20] & ANIMATION)


def overruns(path: Path) -> bool:
    """Tell whether the last box of an MP4 says that it ends after the file does."""
    with path.open("rb") as file:
        *_, end = _walk(file)
    return end > path.stat().st_size


def container_flags(path: Path) -> tuple[bool | None, bool | None]:
    """Return (faststart, fragmented) of an MP4, or (None, None) for other files."""
    with path.open("rb") as file:
        order, moov, _ = _walk(file)
    if not {"ftyp", "moov", "mdat"} & set(order):
        return None, None
    faststart = "moov" in order and (
        "mdat" not in order or order.index("moov") < order.index("mdat")
    )
    return faststart, b"mvex" in moov or "moof" in order


def _walk(file: BinaryIO) -> tuple[list[str], bytes, int]:
    """Return the kinds of boxes, what ``moov`` holds, and where the last one ends."""
    order: list[str] = []
    moov = b""
    position = 0
    for _ in range(MAX_BOXES):
        file.seek(position)
        header = file.read(16)
        if len(header) < 8:  # noqa: PLR2004 - a box's least size
            break
        size, kind = struct.unpack(">I4s", header[:8])
        if size == 1 and len(header) == 16:  # noqa: PLR2004 - a 64-bit size follows
            size = struct.unpack(">Q", header[8:])[0]
        if not kind.isalnum():
            break
        order.append(kind.decode("ascii"))
        if kind == b"moov":
            moov = header[8:] + file.read(min(size, MAX_MOOV))
        if size < 8:  # noqa: PLR2004 - 0 means to the end; less is broken
            break
        position += size
    return order, moov, position
