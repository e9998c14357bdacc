from __future__ import annotations

import gc
import struct

import pytest

from nexus_actors.sandbox.media import Media, sniffed


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\0\0\0\x18ftypisom", "video/mp4"),
        (b"\0\0\0\x14ftypqt  ", "video/quicktime"),
        (b"\0\0\0\x08wide\0\0\0\0mdat", "video/quicktime"),
        (b"\x1aE\xdf\xa3", "video/webm"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (b"RIFF\0\0\0\0WAVE", None),
        (b"<html>", None),
        (b"", None),
    ],
)
def test_a_file_is_known_by_its_first_bytes(head: bytes, kind: str | None) -> None:
    assert sniffed(head) == kind


def test_files_grow_on_disk_and_go_with_their_vendor() -> None:
    media = Media()
    file = media.new(b"half")
    file.append(b" and half")

    assert (file.size, file.path.read_bytes()) == (13, b"half and half")
    assert media.get(file.id) is file
    folder = file.path.parent
    media.clear()
    assert not folder.exists()
    folder = media.new(b"again").path.parent
    assert folder.exists()
    del media
    gc.collect()
    assert not folder.exists()


def box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), name) + content


V0 = struct.pack(">4xIIII80x", 0, 0, 1000, 5500)
V1 = b"\1" + struct.pack(">3xQQIQ80x", 0, 0, 600, 3300)
WIDE = struct.pack(">I4sQ", 1, b"free", 20) + b"1234"


@pytest.mark.parametrize(
    ("film", "seconds"),
    [
        (box(b"ftyp", b"mp42") + box(b"moov", box(b"mvhd", V0)), 5.5),
        (
            WIDE
            + box(b"mdat", b"x")
            + box(b"moov", box(b"free", b"") + box(b"mvhd", V1)),
            5.5,
        ),
        (box(b"moov", box(b"trak", V0)), None),
        (box(b"moov", b"\0\0\0\3mvhd"), None),
        (b"\0\0\0\0mdat" + box(b"moov", box(b"mvhd", V0)), None),
        (b"\0\0\0\4free" * 3, None),
        (box(b"moov", box(b"mvhd", bytes(40))), None),
        (box(b"moov", box(b"mvhd", b"\1")), None),
        (b"", None),
    ],
)
def test_a_film_says_how_long_it_is(film: bytes, seconds: float | None) -> None:
    assert Media().new(film).duration_s == seconds
