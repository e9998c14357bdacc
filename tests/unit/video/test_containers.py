"""The beginning of a file tells what it is, how it can be streamed, how long it is."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from nexus_actors.video.containers import (
    Promise,
    container_flags,
    is_picture,
    overruns,
    promised,
)


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


AVI = struct.pack(
    "<4sI4s4sI4s4sI", b"RIFF", 5000, b"AVI ", b"LIST", 0, b"hdrl", b"avih", 56
)
RATE = struct.pack("<I12xI36x", 40_000, 300)
ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + struct.pack("<QI2x", 0, 1)
FACTS = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365") + struct.pack("<Q16x", 104)
MXF = bytes.fromhex("060e2b34020501010d01020101020400")
PARTS = struct.pack(">24xQ", 9000)


def facts(flags: int) -> bytes:
    return struct.pack("<Q16xQ8xQI", 7000, 130_000_000, 3000, flags)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (AVI + RATE, Promise(5008, 12.0)),
        (AVI, None),
        (b"RIFF" + struct.pack("<I", 40) + b"WAVEfmt ", None),
        (ASF + FACTS + facts(flags=2), Promise(7000, 10.0)),
        (ASF + FACTS + facts(flags=3), None),
        (ASF, None),
        (MXF + b"\x83\0\0\x20" + PARTS, Promise(9000)),
        (MXF + b"\x20" + PARTS, Promise(9000)),
        (MXF, None),
        (FTYP + MOOV, None),
        (b"", None),
    ],
)
def test_older_containers_say_how_much_they_hold(
    tmp_path: Path, content: bytes, told: Promise | None
) -> None:
    (tmp_path / "in").write_bytes(content)

    assert promised(tmp_path / "in") == told
