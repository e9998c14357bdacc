"""The top-level boxes of an MP4 tell how it can be streamed."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from nexus_actors.video.containers import container_flags, is_picture, overruns


def box(kind: str, content: bytes = b"") -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind.encode()) + content


def large(kind: str, content: bytes = b"") -> bytes:
    return struct.pack(">I4sQ", 1, kind.encode(), 16 + len(content)) + content


FTYP, MOOV, MDAT = box("ftyp", b"isom"), box("moov", b"x" * 9), box("mdat", b"y" * 99)
MOVING = box("moov", box("mvex"))


@pytest.mark.parametrize(
    ("content", "flags"),
    [
        (FTYP + MOOV + MDAT, (True, False)),
        (FTYP + MDAT + MOOV, (False, False)),
        (FTYP + large("mdat", b"y" * 99) + MOOV, (False, False)),
        (FTYP + MOVING + box("moof") + MDAT, (True, True)),
        (FTYP + MOOV + box("moof") + MDAT, (True, True)),
        (FTYP + MDAT, (False, False)),
        (FTYP + struct.pack(">I4s", 0, b"mdat") + b"y" * 99, (False, False)),
        (FTYP + MOOV + struct.pack(">I4s", 3, b"free"), (True, False)),
        (FTYP + MOOV[:-5], (True, False)),
        (b"\x1aE\xdf\xa3 matroska", (None, None)),
        (b"", (None, None)),
    ],
)
def test_flags_come_from_the_order_of_the_boxes(
    content: bytes, flags: tuple[bool | None, bool | None], tmp_path: Path
) -> None:
    (tmp_path / "in").write_bytes(content)

    assert container_flags(tmp_path / "in") == flags


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (FTYP + MOOV + MDAT, False),
        (FTYP + MOOV + MDAT[:-1], True),
        (FTYP + large("mdat", b"y" * 99)[:-1], True),
        (FTYP + struct.pack(">I4s", 0, b"mdat") + b"y" * 99, False),
        (FTYP + MDAT + MOOV + b"\0\0\xff\xff garbage", False),
        (b"\x1aE\xdf\xa3 matroska", False),
    ],
)
def test_a_file_whose_last_box_does_not_fit_in_is_cut_short(
    content: bytes, told: bool, tmp_path: Path
) -> None:
    (tmp_path / "in").write_bytes(content)

    assert overruns(tmp_path / "in") is told


@pytest.mark.parametrize(
    ("brand", "told"),
    [("heic", True), ("mif1", True), ("avif", True), ("avis", False), ("isom", False)],
)
def test_a_picture_of_a_phone_is_told_by_its_brand(
    brand: str, told: bool, tmp_path: Path
) -> None:
    (tmp_path / "in").write_bytes(box("ftyp", brand.encode()) + MDAT)

    assert is_picture(tmp_path / "in") is told
