"""The header alone tells what a picture is, and how large."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from nexus_actors.video.errors import SourceError
from nexus_actors.video.pictures import check_picture, read_header


@pytest.mark.parametrize(
    ("coder", "options"),
    [
        ("png", ["-c:v", "png"]),
        ("jpeg", ["-c:v", "mjpeg"]),
        ("webp", ["-c:v", "libwebp"]),
        ("webp", ["-c:v", "libwebp", "-lossless", "1", "-pix_fmt", "bgra"]),
    ],
)
def test_what_programs_write_is_read(
    coder: str, options: list[str], tmp_path: Path
) -> None:
    target = tmp_path / "picture"
    inputs = ["-f", "lavfi", "-i", "testsrc2=size=302x204", "-frames:v", "1"]
    command = ["ffmpeg", "-v", "error", *inputs, *options, "-f", "image2pipe"]
    subprocess.run([*command, str(target)], check=True)

    assert read_header(target) == (coder, 302, 204)
    assert check_picture(target) == coder


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "not_media"),
        (b"GIF89a" + bytes(40), "not_media"),
        (b"<svg/>", "not_media"),
        (b"\x89PNG\r\n\x1a\n", "not_media"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "corrupt"),
        (b"\xff\xd8\xff\xe0" + bytes(100), "corrupt"),
        (b"\xff\xd8" + b"\xff" * 5000, "corrupt"),
        (b"RIFF\0\0\0\0WEBPVP8?" + bytes(40), "corrupt"),
    ],
)
def test_what_is_no_picture_is_refused(
    content: bytes, code: str, tmp_path: Path
) -> None:
    target = tmp_path / "picture"
    target.write_bytes(content)

    with pytest.raises(SourceError) as refused:
        check_picture(target)

    assert refused.value.code == code
