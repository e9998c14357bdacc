"""What files tell of themselves at their beginning, without ffmpeg."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
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


#: In an MP4, the names of what is encrypted in place of a codec's: Common Encryption's
#: (ISO/IEC 23001-7), and those of Apple's older shops.
ENCRYPTED_MP4: Final = re.compile(rb"stsd.{12}(?:encv|enca|drmi|drms)", re.DOTALL)

#: In Matroska, ContentEncodings with a ContentEncoding whose type, 1, is encryption.
ENCRYPTED_MATROSKA: Final = re.compile(
    rb"\x6d\x80.{1,8}?\x62\x40.{1,40}?\x50\x33\x81\x01", re.DOTALL
)
MATROSKA: Final = b"\x1a\x45\xdf\xa3"

#: How much of a file holds what AVI, ASF and MXF say of the whole.
MAX_HEAD: Final = 1 << 16

#: The first keys of an ASF, of its File Properties Object, and of an MXF (SMPTE 377-1).
ASF: Final = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
ASF_PROPERTIES: Final = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
MXF: Final = bytes.fromhex("060e2b34020501010d01020101")

#: The flag of an ASF whose sizes tell nothing: it was sent while it was made.
ASF_BROADCAST: Final = 0x01


@dataclass(frozen=True, slots=True)
class Promise:
    """What the beginning of a file says of the whole.

    Attributes:
        size: In bytes; of an MXF, where its last part begins.
        seconds: How long it plays; 0 where only the streams tell.
    """

    size: int
    seconds: float = 0.0


def is_encrypted(path: Path) -> bool:
    """Tell whether an MP4 or Matroska says that its picture or sound is encrypted."""
    with path.open("rb") as file:
        head = file.read(MAX_MOOV)
        if head.startswith(MATROSKA):
            return bool(ENCRYPTED_MATROSKA.search(head))
        _, moov, _ = _walk(file)
    return bool(ENCRYPTED_MP4.search(moov))


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


def promised(path: Path) -> Promise | None:
    """Return what an AVI, ASF or MXF says of itself; None for other files."""
    with path.open("rb") as file:
        head = file.read(MAX_HEAD)
    try:
        if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
            return _of_avi(head)
        if head.startswith(ASF):
            return _of_asf(head)
        if head.startswith(MXF):
            return _of_mxf(head)
    except (struct.error, ValueError):  # too short, or without what must be there
        return None
    return None


def _of_avi(head: bytes) -> Promise:
    (size,) = struct.unpack_from("<I", head, 4)
    header = head.index(b"avih") + 8
    microseconds, frames = struct.unpack_from("<I12xI", head, header)
    return Promise(8 + size, microseconds * frames / 1e6)


def _of_asf(head: bytes) -> Promise | None:
    place = head.index(ASF_PROPERTIES) + 40
    size, ticks, preroll_ms, flags = struct.unpack_from("<Q16xQ8xQI", head, place)
    if flags & ASF_BROADCAST:
        return None
    return Promise(size, max(0.0, ticks / 1e7 - preroll_ms / 1e3))


def _of_mxf(head: bytes) -> Promise:
    (length,) = struct.unpack_from("B", head, 16)  # BER: or in how many bytes it is
    place = 17 + (length & 0x7F if length & 0x80 else 0)
    (footer,) = struct.unpack_from(">24xQ", head, place)
    return Promise(footer)


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
