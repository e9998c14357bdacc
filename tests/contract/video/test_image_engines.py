"""What every image engine promises, whatever it stands on."""

from __future__ import annotations

import json
import struct
import subprocess
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from nexus_actors.video.adapters.ffmpeg import FfmpegImageEngine
from nexus_actors.video.adapters.wand import WandImageEngine
from nexus_actors.video.base import Film, ImageEngine, Workbench
from nexus_actors.video.errors import SourceError
from nexus_actors.video.models import Presentation, Thumbnail
from nexus_actors.video.process import Runner
from nexus_actors.video.tools import Tools
from screening import colours, like


#: What a camera writes into a picture, and nobody may learn.
SECRET = b"52.5200N-13.4050E"


def picture(target: Path, size: str = "120x80", colour: str = "red") -> Path:
    """Write a picture whose left half has *colour*, and whose right one is blue."""
    halves = f"color={colour}:size={size},drawbox=x=iw/2:w=iw/2:color=blue:t=fill"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", halves, "-frames:v", "1"]
    subprocess.run([*command, str(target)], check=True)
    return target


def with_exif(source: Path) -> Path:
    """Put a place and an author into a JPEG, as cameras do."""
    content = source.read_bytes()
    entry = struct.pack(">HHHII", 1, 0x010E, 2, len(SECRET), 26)
    exif = b"Exif\0\0MM\0*" + struct.pack(">I", 8) + entry + bytes(4) + SECRET
    marker = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    source.write_bytes(content[:2] + marker + content[2:])
    return source


def bomb(target: Path, width: int = 16384, height: int = 8192) -> Path:
    """Write a small PNG that is large when it is decoded."""
    rows = zlib.compress(bytes((width // 8 + 1) * height), 9)

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    head = chunk(b"IHDR", struct.pack(">2I5B", width, height, 1, 0, 0, 0, 0))
    body = chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    target.write_bytes(b"\x89PNG\r\n\x1a\n" + head + body)
    return target


class ImageEngineContract:
    """Inherit and name the engine."""

    adapter: ClassVar[type[ImageEngine]]

    @pytest.fixture
    def bench(self, tools: Tools, tmp_path: Path) -> Workbench:
        (tmp_path / "out" / "thumb").mkdir(parents=True)
        return Workbench(tmp_path / "out", tools, Runner(tmp_path).run)

    def wanted(self, bench: Workbench) -> list[Thumbnail]:
        """Two sizes in every format that there is; the smaller one comes first."""
        return [
            Thumbnail(name=name, width=width, height=height, format=kind)
            for name, width, height in (("small", 40, 20), ("large", 80, 40))
            for kind in sorted(self.adapter().formats(bench.tools))
        ]

    def shown(self, path: Path, bench: Workbench) -> dict[str, Any]:
        asked = ["-v", "error", "-show_streams", "-of", "json", str(path)]
        command = [str(bench.tools.ffprobe), *asked]
        printed = subprocess.run(command, check=True, capture_output=True).stdout
        stream: dict[str, Any]
        [stream] = json.loads(printed)["streams"]
        return stream

    def test_a_picture_is_written_in_all_sizes_and_formats_without_its_secrets(
        self, bench: Workbench, tmp_path: Path
    ) -> None:
        source = with_exif(picture(tmp_path / "photo.jpg"))
        wanted = self.wanted(bench)
        assert {still.format for still in wanted} >= {"jpeg", "webp"}

        self.adapter().write(wanted, Film.of_picture(source), bench)

        made = {str(p.relative_to(bench.root)) for p in bench.root.rglob("*.*")}
        assert made == {still.path for still in wanted}
        for still in wanted:
            path = bench.root / still.path
            assert SECRET not in path.read_bytes()
            if still.format != "avif":  # which this ffmpeg need not read
                found = self.shown(path, bench)
                assert (found["width"], found["height"]) == (still.width, still.height)
                left, right = colours(path, columns=2, rows=1)
                assert like(left, (254, 0, 0))
                assert like(right, (0, 0, 254))

    def test_a_frame_of_a_film_is_written_as_it_is_shown(
        self,
        bench: Workbench,
        film: Callable[[str], tuple[Presentation, Workbench]],
        tmp_path: Path,
    ) -> None:
        presentation, encoded = film("short")
        top = presentation.video[0]
        whole = tmp_path / "film.mp4"
        parts = ["init.mp4", *(segment.name for segment in top.segments)]
        folder = encoded.root / top.folder
        whole.write_bytes(b"".join((folder / part).read_bytes() for part in parts))
        given = Film(small=whole, large=whole, seconds=2.0).at(1.0)
        still = Thumbnail(name="one", width=320, height=240)

        self.adapter().write([still], given, bench)

        raw = tmp_path / "raw.png"
        once = ["-ss", "1", "-i", str(whole), "-frames:v", "1", str(raw)]
        subprocess.run(["ffmpeg", "-v", "error", *once], check=True)
        seen, wanted = (
            colours(path, columns=4, rows=3) for path in (bench.root / still.path, raw)
        )
        assert all(like(a, b, 12) for a, b in zip(seen, wanted, strict=True))

    def test_what_is_too_large_or_no_picture_is_refused(
        self, bench: Workbench, tmp_path: Path
    ) -> None:
        drawing = tmp_path / "drawing.png"
        drawing.write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
        broken = tmp_path / "broken.jpg"
        broken.write_bytes(b"\xff\xd8\xff\xe0" + bytes(1000))
        wanted = self.wanted(bench)[:1]

        for source, codes in (
            (bomb(tmp_path / "bomb.png"), {"limits", "corrupt"}),
            (drawing, {"not_media"}),
            (broken, {"corrupt"}),
        ):
            with pytest.raises(SourceError) as refused:
                self.adapter().write(wanted, Film.of_picture(source), bench)
            assert refused.value.code in codes

        assert not list(bench.root.rglob("*.*"))

    def test_a_picture_of_another_shape_is_cut_in_its_middle(
        self, bench: Workbench, tmp_path: Path
    ) -> None:
        tall = picture(tmp_path / "tall.png", size="80x400")
        still = replace(self.wanted(bench)[0], format="jpeg")

        self.adapter().write([still], Film.of_picture(tall), bench)

        found = self.shown(bench.root / still.path, bench)
        assert (found["width"], found["height"]) == (still.width, still.height)
        left, right = colours(bench.root / still.path, columns=2, rows=1)
        assert like(left, (254, 0, 0))
        assert like(right, (0, 0, 254))


class TestFfmpegImageEngine(ImageEngineContract):
    adapter = FfmpegImageEngine


class TestWandImageEngine(ImageEngineContract):
    adapter = WandImageEngine
