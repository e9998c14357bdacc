"""Takes a file through the real pipeline, and looks at what a viewer would get."""

from __future__ import annotations

import json
import subprocess
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nexus_actors import video
from nexus_actors.engine import jobs


Rgb = tuple[int, int, int]

#: Sound is decoded at this rate, in samples a second, to be measured.
SOUND_HZ = 8000


@dataclass(frozen=True)
class Screening:
    """The result of `process_video`, with eyes and ears for its outputs."""

    result: dict[str, Any]

    @property
    def video(self) -> dict[str, Any]:
        """The canonical record of the source's picture."""
        record: dict[str, Any] = self.result["metadata"]["video"]
        return record

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Of the renditions, from large to small."""
        return [(m["width"], m["height"]) for m in self.result["outputs"]["mp4"]]

    @property
    def mp4s(self) -> list[Path]:
        """The renditions as plain files, from large to small."""
        return [local(made["uri"]) for made in self.result["outputs"]["mp4"]]

    @property
    def poster(self) -> Path:
        return local(self.result["poster"]["uri"])

    def picture(self, file: Path | None = None) -> dict[str, Any]:
        """What ffprobe tells of the picture of *file*, all frames decoded."""
        return streams(file or self.mp4s[0], "v")[0]

    def sound(self) -> dict[str, Any]:
        """What ffprobe tells of the sound of the largest rendition."""
        return streams(self.mp4s[0], "a")[0]


def local(uri: str) -> Path:
    return Path(uri.removeprefix("file://"))


def streams(file: Path, kind: str) -> list[dict[str, Any]]:
    options = ["-select_streams", kind, "-count_frames", "-show_streams", "-of", "json"]
    printed = run(["ffprobe", "-v", "error", *options, str(file)])
    found: list[dict[str, Any]] = json.loads(printed)["streams"]
    return found


def colours(file: Path, *, columns: int = 2, rows: int = 2, at: float = 0) -> list[Rgb]:
    """Return the mean colour of each cell of the frame *at* a second, row by row."""
    # RGB first: a few pixels of 4:2:0 have one colour
    cells = f"format=rgb24,scale={columns}:{rows}:flags=area"
    options = ["-frames:v", "1", "-vf", cells, "-f", "rawvideo", "-pix_fmt", "rgb24"]
    seek = ["-ss", str(at)] if at else []
    raw = run(["ffmpeg", "-v", "error", *seek, "-i", str(file), *options, "-"])
    return [(raw[n], raw[n + 1], raw[n + 2]) for n in range(0, len(raw), 3)]


def saturation(file: Path) -> float:
    """Return how colourful one frame is, from 0 to 1."""
    cells = colours(file, columns=16, rows=9)
    return sum((max(c) - min(c)) / 255 for c in cells) / len(cells)


def brightness(file: Path) -> float:
    """Return the mean of one frame's brightest channels, from 0 to 1."""
    cells = colours(file, columns=16, rows=9)
    return sum(max(c) / 255 for c in cells) / len(cells)


def tone_start(file: Path) -> float:
    """Return when the sound of *file* begins to be heard, in seconds."""
    form = ["-map", "0:a:0", "-ac", "1", "-ar", str(SOUND_HZ), "-f", "s16le", "-"]
    samples = array("h", run(["ffmpeg", "-v", "error", "-i", str(file), *form]))
    return next(n for n, sample in enumerate(samples) if abs(sample) > 500) / SOUND_HZ


def like(seen: Rgb, wanted: Rgb, tolerance: int = 25) -> bool:
    return all(abs(a - b) <= tolerance for a, b in zip(seen, wanted, strict=True))


def run(command: list[str]) -> bytes:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
    return done.stdout


Screen = Callable[..., Screening]


@pytest.fixture
def screen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Screen:
    """Process a file with stores of the test's own; return what came of it."""
    monkeypatch.setenv("STORAGE_URL", str(tmp_path / "storage"))
    monkeypatch.setenv("TEMP_DIR", str(tmp_path / "tmp"))
    monkeypatch.setenv("FFMPEG_PRESET", "ultrafast")

    def process(file: Path | str, **options: Any) -> Screening:
        job = jobs.Job(id="screening")
        chosen: dict[str, Any] = {"formats": ["mp4"], "thumbnails": False, **options}
        with jobs.inline(job):
            result = video.process_video(
                video_id="v1", input_path=str(file), options=chosen
            )
        return Screening(result)

    return process


def leftovers(tmp_path: Path) -> list[str]:
    """Return what lies in the test's store and temporary folder."""
    folders = [tmp_path / "storage", tmp_path / "tmp"]
    found = [path for folder in folders for path in folder.rglob("*")]
    return [str(p.relative_to(tmp_path)) for p in found if p.is_file()]
