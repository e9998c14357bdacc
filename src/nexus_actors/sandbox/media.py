"""Files that a vendor was sent, or that it fetched: kept on disk, not in memory.

A vendor has one folder below the system's temporary one.  It is made with the first
file and goes with the vendor: at a reset, or when the sandbox ends.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import struct
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import BinaryIO, Final
from urllib.parse import urlsplit

import requests
from starlette.requests import ClientDisconnect, Request


#: How long a host may take to answer a vendor that fetches from it.
FETCH_TIMEOUT_S: Final = 20

#: Hosts of this machine; nothing else is fetched unless a setting names it.
LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class MediaFile:
    """One file, which grows as bytes arrive."""

    id: str
    path: Path

    @property
    def size(self) -> int:
        """Return how many bytes are there."""
        return self.path.stat().st_size

    @property
    def kind(self) -> str | None:
        """Return the media type that the first bytes show; None for anything else."""
        with self.path.open("rb") as file:
            return sniffed(file.read(32))

    @property
    def duration_s(self) -> float | None:
        """Return how long an MP4 or QuickTime film is; None if it does not say."""
        with self.path.open("rb") as file:
            end = _enter(file, b"moov", self.size)
            if end is None or _enter(file, b"mvhd", end) is None:
                return None
            header = file.read(32).ljust(32, b"\0")
        if header[0] == 1:  # the wide form
            scale, duration = struct.unpack_from(">IQ", header, 20)
        else:
            scale, duration = struct.unpack_from(">II", header, 12)
        return duration / scale if scale and duration else None

    def append(self, data: bytes) -> None:
        """Add what has arrived."""
        with self.path.open("ab") as file:
            file.write(data)

    def sha256(self) -> str:
        """Return the digest of all that is there, in hex."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


class Media:
    """The files of one vendor."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._files: dict[str, MediaFile] = {}

    def new(self, data: bytes = b"") -> MediaFile:
        """Make a file that holds *data* so far."""
        if self._folder is None:
            self._folder = Path(mkdtemp(prefix="nexus-sandbox-"))
            # for one that ends without a reset
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        id_ = str(len(self._files) + 1)
        file = self._files[id_] = MediaFile(id_, self._folder / id_)
        file.append(data)
        return file

    def clear(self) -> None:
        """Delete all files."""
        self._files.clear()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def get(self, id_: str) -> MediaFile | None:
        """Return the file of that id."""
        return self._files.get(id_)

    async def fetch(self, url: str, hosts: Sequence[str] = LOOPBACK) -> MediaFile:
        """Fetch *url* as a vendor does: without a redirect, from *hosts* alone.

        Raises:
            FetchError: It is not there, or not at such a host.
        """
        if urlsplit(url).hostname not in hosts:
            raise FetchError(f"the sandbox fetches from {', '.join(hosts)} only")
        file = self.new()
        await asyncio.to_thread(_download, url, file)
        return file


class FetchError(Exception):
    """Raised when a URL cannot be fetched; says why."""


def _download(url: str, file: MediaFile) -> None:
    session = requests.Session()
    session.trust_env = False  # no proxy of the machine's stands between
    try:
        with session.get(
            url, stream=True, timeout=FETCH_TIMEOUT_S, allow_redirects=False
        ) as answer:
            if answer.status_code != requests.codes.ok:
                raise FetchError(f"HTTP status {answer.status_code}")
            for part in answer.iter_content(1 << 20):
                file.append(part)
    except requests.RequestException as error:
        raise FetchError(type(error).__name__) from error
    finally:
        session.close()


async def arriving(request: Request) -> tuple[bytes, bool]:
    """Return what arrives of the body, and whether it is all of it."""
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
    except ClientDisconnect:
        return bytes(body), False
    return bytes(body), True


def _enter(file: BinaryIO, name: bytes, end: int) -> int | None:
    """Go into the box called *name* that lies before *end*; return where it ends."""
    while file.tell() + 8 <= end:
        start = file.tell()
        size, found = struct.unpack(">I4s", file.read(8))
        if size == 1:
            size = int.from_bytes(file.read(8))
        stop = end if size == 0 else start + size
        if stop < start + 8:
            return None
        if found == name:
            return min(stop, end)
        file.seek(stop)
    return None


def sniffed(head: bytes) -> str | None:
    """Return the media type of a file by its first 32 bytes."""
    if head[4:8] == b"ftyp":
        return "video/quicktime" if head[8:12] == b"qt  " else "video/mp4"
    if head[4:8] in {b"moov", b"mdat", b"wide", b"free", b"skip"}:
        return "video/quicktime"
    for start, kind in STARTS.items():
        if head.startswith(start):
            return kind
    if head[:4] == b"RIFF" and head[8:12] in RIFFS:
        return RIFFS[head[8:12]]
    return None


STARTS: Final = {
    b"\xff\xd8\xff": "image/jpeg",
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"GIF8": "image/gif",
    b"BM": "image/bmp",
    b"II*\x00": "image/tiff",
    b"MM\x00*": "image/tiff",
    b"\x1aE\xdf\xa3": "video/webm",
    b"\x00\x00\x01\xba": "video/mpeg",
}
RIFFS: Final = {b"WEBP": "image/webp", b"AVI ": "video/x-msvideo"}
