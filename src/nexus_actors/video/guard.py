"""The first step: bring the source into the job's own folder, or refuse it.

Nothing is opened by ffmpeg before this has looked at the first bytes: a playlist that
is named ``.mp4`` would make ffmpeg read other files, or the network.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import urlsplit

from nexus_actors.core.urls import path_of

from .errors import DiskFullError, SourceError
from .settings import VideoSettings


#: How the source is called in the job's folder: never by its user's name for it.
NAME: Final = "in"

#: How much is read to tell what a file is.
SNIFF_BYTES: Final = 4096

#: How much is read at once; between two blocks the job may be stopped.
BLOCK_BYTES: Final = 1 << 20

#: Why a file cannot be opened, now or later; all other reasons may pass.
LASTING: Final = {
    errno.EACCES,
    errno.EPERM,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.ENXIO,
}

#: Text formats that make a player open other files.
PLAYLISTS: Final = (
    (re.compile(rb"#EXTM3U"), "an HLS playlist"),
    (re.compile(rb"ffconcat\s+version|file\s+\S"), "an ffconcat script"),
    # no nested repeats: hostile comments must not make a search of them endless
    (re.compile(rb"<[^\0]*?<MPD\b|<MPD\b", re.IGNORECASE), "a DASH manifest"),
    (re.compile(rb"<[^\0]*?<Smooth|<Smooth", re.IGNORECASE), "a streaming manifest"),
    (re.compile(rb"<[^\0]*?<svg\b|<svg\b", re.IGNORECASE), "an SVG image"),
    (re.compile(rb"v=0\r?\n[ostmc]="), "an SDP description"),
    (re.compile(rb"\[(playlist|Reference)\]", re.IGNORECASE), "a playlist"),
)

#: How archives begin, and documents.
PACKED: Final = (
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b\x08", "a gzip archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"%PDF-", "a PDF document"),
)

#: Bytes that text does not hold.
BINARY: Final = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Source:
    """The admitted file: inside the job's folder, measured and hashed."""

    path: Path
    size: int
    sha256: str


def admit(  # noqa: PLR0913 - the last are of few jobs
    input_path: str,
    folder: Path,
    settings: VideoSettings,
    *,
    name: str | None = None,
    check: Callable[[], None] = lambda: None,
    text: bool = False,
) -> Source:
    """Bring the file at *input_path* into *folder* as ``in``, and hash it.

    A hard link where the file system allows, since a copy of 10 GB takes minutes and
    as much disk; else a copy.  So the caller may delete or replace the file while the
    job runs, but must not write into it.  Messages call it *name*, by default its path.
    *check* is called often: it raises if the job must stop.  *text* may be text.

    Raises:
        SourceError: The path is not a readable, non-empty media file within limits.
        DiskFullError: There is no room for a copy.
        OSError: Reading failed for a reason that may pass.
    """
    path = local_path(input_path)
    name = name or show(path)
    with _open(path, name) as file:
        size = _admissible_size(file, name, settings)
        _sniff(file.read(SNIFF_BYTES), name, text=text)
        file.seek(0)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        target = folder.resolve() / NAME
        target.unlink(missing_ok=True)
        if _link(file, path, target):
            digest = _pump(file, None, check)
        else:
            digest = _copy(file, target, check)
    return Source(target, size, digest)


def local_path(input_path: str) -> Path:
    """Return the path that *input_path*, a path or ``file://`` URL, means.

    Raises:
        SourceError: The URL names another host.
    """
    if not input_path.startswith("file://"):
        return Path(input_path)
    url = urlsplit(input_path)
    if url.netloc not in {"", "localhost"}:
        raise SourceError(
            f"{input_path!r} is on the host {url.netloc!r}; give a path that this "
            "worker can read, such as file:///path/to/video.mp4",
            code="not_found",
        )
    return path_of(input_path)


def _open(path: Path, name: str) -> BinaryIO:
    """Open without blocking: a FIFO would wait for a writer for ever."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        _check_kind(path.stat().st_mode, name)
        return os.fdopen(os.open(path, flags), "rb")
    except FileNotFoundError:
        raise SourceError(
            f"there is no file {name} on this worker; "
            "give a path that the worker can read",
            code="not_found",
        ) from None
    except ValueError:  # a NUL, or what no file name can be encoded from
        raise SourceError(
            f"{name} cannot be the name of a file", code="not_found"
        ) from None
    except OSError as error:
        if error.errno not in LASTING:
            raise
        reason = (error.strerror or "error").lower()
        raise SourceError(
            f"cannot read {name}: {reason}; give a path that the worker can read",
            code="not_found",
        ) from None


def _check_kind(mode: int, name: str) -> None:
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
        raise SourceError(f"{name} is {kind}; give a video file", code="not_media")


def _admissible_size(file: BinaryIO, name: str, settings: VideoSettings) -> int:
    status = os.fstat(file.fileno())
    _check_kind(status.st_mode, name)  # again: it may have been exchanged
    if status.st_size == 0:
        raise SourceError(f"{name} is empty; upload it again", code="empty")
    if status.st_size > settings.max_input_bytes:
        raise SourceError(
            f"{name} has {status.st_size:,} bytes; at most "
            f"{settings.max_input_bytes:,} are accepted (NEXUS_VIDEO_MAX_INPUT_BYTES)",
            code="too_large",
        )
    return status.st_size


def _sniff(head: bytes, name: str, *, text: bool) -> None:
    """Refuse what lists other files by name; other text, too, where none is wanted."""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n\x0b\x0c\x00")
    for pattern, what in PLAYLISTS:
        if pattern.match(start):
            raise SourceError(
                f"{name} is {what}, which names other files; upload the video itself",
                code="forbidden_format",
            )
    for begin, what in PACKED:
        if head.startswith(begin):
            raise SourceError(
                f"{name} is {what}; upload the video itself", code="not_media"
            )
    if not text and not BINARY.search(head):
        raise SourceError(
            f"{name} is text, not a video; upload a media file", code="not_media"
        )


def _link(file: BinaryIO, path: Path, target: Path) -> bool:
    """Link *target* to the open *file*, if that can be done."""
    seen = os.fstat(file.fileno())
    try:
        os.link(path.resolve(), target)
    except OSError:
        return False  # another file system, another owner, or one without links
    linked = target.stat()
    if (linked.st_ino, linked.st_dev) == (seen.st_ino, seen.st_dev):
        return True
    target.unlink()  # the path was exchanged while we looked: copy what we saw
    return False


def _copy(file: BinaryIO, target: Path, check: Callable[[], None]) -> str:
    """Copy *file* whole or not at all; return its hash."""
    partial = target.with_suffix(".part")
    try:
        with partial.open("wb") as copy:
            digest = _pump(file, copy, check)
        partial.replace(target)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise DiskFullError(disk_full(target.parent)) from error
        raise
    finally:
        partial.unlink(missing_ok=True)
    return digest


def _pump(file: BinaryIO, copy: BinaryIO | None, check: Callable[[], None]) -> str:
    """Read *file* once; return its sha256 and fill *copy*."""
    digest = hashlib.sha256()
    while block := file.read(BLOCK_BYTES):
        check()
        digest.update(block)
        if copy:
            copy.write(block)
    return digest.hexdigest()


def disk_full(folder: Path) -> str:
    """Return the sentence for a disk without room."""
    return (
        f"the disk that holds {folder} is full; free some space, "
        "or set TEMP_DIR to a larger disk"
    )


def check_room(folder: Path, needed: int) -> None:
    """Refuse to start what cannot end: *needed* bytes go below the job's *folder*.

    Raises:
        DiskFullError: Fewer are free.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DiskFullError(
            f"{disk_full(folder.parent)}: about {needed // 10**6:,} MB are needed, "
            f"{free // 10**6:,} MB are free"
        )


def show(path: Path) -> str:
    """Return *path* for a message: quoted where it would break the line."""
    text = str(path)
    return text if text.isprintable() else repr(text)
