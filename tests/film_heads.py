"""Files that say how long a film they are, and are nothing else."""

from __future__ import annotations

import struct


def film_of(seconds: float) -> bytes:
    """Make the head of an MP4 file of that length."""
    length = struct.pack(">4xIIII80x", 0, 0, 1000, round(seconds * 1000))
    return (
        _box(b"ftyp", b"mp42" * 8) + _box(b"moov", _box(b"mvhd", length)) + bytes(1000)
    )


def _box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), name) + content
