"""Milliseconds to make five JPEGs each of a 1080p PNG and JPEG, decode included."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from nexus_actors.video.base import Film, ImageEngine, Workbench, image_engines
from nexus_actors.video.models import Thumbnail
from nexus_actors.video.process import Runner
from nexus_actors.video.settings import VideoSettings
from nexus_actors.video.tools import Tools, find_tools

from .runner import BenchmarkError, Contestants, Line


UNIT = "ms"
BETTER = "lower"
PEER = "sharp"
ROUNDS = 20
LINES = (Line(contestant="ffmpeg", peer=PEER, at_most=2),)
SIZES: Final = ((1280, 720), (960, 540), (640, 360), (480, 270), (320, 180))

#: The picture at full scale, and below a tenth of it, where nothing is judged.
SIDES: Final = ("1920x1080", "480x270")
SMALL: Final = 0.1

#: At this quality, sharp's JPEGs are as like the picture as ours.
QUALITY: Final = 85

#: By how much the likeness of a contestant may fall behind sharp's.
SSIM_TOLERANCE: Final = 0.01

PEER_FOLDER: Final = Path(__file__).parent / "stills_peer"

Write = Callable[[Path], object]


@contextmanager
def contestants(scale: float) -> Iterator[Contestants]:
    """Both engines, and sharp in a process that is warm."""
    tools = find_tools(VideoSettings.load())
    with tempfile.TemporaryDirectory() as name, sharp(Path(name)) as peer:
        folder = Path(name)
        (folder / "thumb").mkdir()
        pictures = frames(folder, tools, SIDES[scale < SMALL])
        bench = Workbench(folder, tools, Runner(folder).run)
        sides: dict[str, Write] = {
            engine: partial(write, image_engines.get(engine)(), bench)
            for engine in ("ffmpeg", "wand")
        }
        check_likeness({**sides, PEER: peer}, pictures[0], folder, tools)
        yield {
            **{side: partial(timed, todo, pictures) for side, todo in sides.items()},
            PEER: partial(timed, peer, pictures),
        }


def write(engine: ImageEngine, bench: Workbench, picture: Path) -> None:
    """Make all sizes of *picture*."""
    wanted = [Thumbnail(name=str(w), width=w, height=h) for w, h in SIZES]
    engine.write(wanted, Film.of_picture(picture), bench)


def timed(todo: Write, pictures: list[Path]) -> float:
    """Return the milliseconds that *todo* takes for all *pictures*."""
    started = time.perf_counter()
    for picture in pictures:
        todo(picture)
    return 1000 * (time.perf_counter() - started)


@contextmanager
def sharp(folder: Path) -> Iterator[Write]:
    """Start sharp, which lies in a folder of its own; yield what makes all sizes."""
    binaries = Path(sys.executable).parent
    if not (PEER_FOLDER / "node_modules" / "sharp").is_dir():
        raise BenchmarkError("sharp is not installed; run: .ci/bootstrap test")
    sizes = [f"{width}x{height}" for width, height in SIZES]
    program = [str(binaries / "node"), str(PEER_FOLDER / "sharp.mjs")]
    with subprocess.Popen(  # noqa: S603 - ours
        [*program, str(folder), str(QUALITY), *sizes],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin  # noqa: S101 - asked for
        assert process.stdout  # noqa: S101 - asked for
        asked, answers = process.stdin, process.stdout

        def todo(picture: Path) -> None:
            asked.write(f"{picture}\n")
            asked.flush()
            if "value" not in json.loads(answers.readline() or "{}"):
                raise BenchmarkError("sharp has not answered")

        yield todo
        asked.close()


def frames(folder: Path, tools: Tools, size: str) -> list[Path]:
    """Write a frame with much detail as PNG and as JPEG."""
    # an extension would make ffmpeg choose another reader than for a job's file
    made = [folder / "frame_png", folder / "frame_jpeg"]
    busy = f"testsrc2=size={size},noise=c0s=12:c1s=12:c2s=12,gblur=sigma=1,format=rgb24"
    command = [str(tools.ffmpeg), "-v", "error", "-f", "lavfi", "-i", busy]
    once = ["-frames:v", "1", "-c:v", "png", "-f", "image2pipe"]
    subprocess.run([*command, *once, str(made[0])], check=True)  # noqa: S603 - ours
    again = [str(tools.ffmpeg), "-v", "error", "-i", str(made[0]), "-q:v", "2"]
    again += ["-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-f", "image2pipe"]
    subprocess.run([*again, str(made[1])], check=True)  # noqa: S603 - ours
    return made


def check_likeness(
    sides: dict[str, Write], picture: Path, folder: Path, tools: Tools
) -> None:
    """Refuse to compare what does not look alike."""
    found = {}
    for name, todo in sides.items():
        todo(picture)
        pattern = "sharp_{}.jpg" if name == PEER else "thumb/{}.jpg"
        made = folder / pattern.format(SIZES[len(SIZES) // 2][0])
        found[name] = likeness(made, picture, tools)
    worst = {n: v for n, v in found.items() if v < found[PEER] - SSIM_TOLERANCE}
    if worst:
        raise BenchmarkError(f"less like the picture than sharp: {worst} of {found}")


def likeness(made: Path, picture: Path, tools: Tools) -> float:
    """Return the SSIM of *made* and of *picture* in its size, by area."""
    graph = "[1][0]scale2ref=flags=area[b][a];[a]format=gray[c];[b]format=gray[d];"
    command = [str(tools.ffmpeg), "-v", "info", "-i", str(made), "-i", str(picture)]
    done = subprocess.run(  # noqa: S603 - ours
        [*command, "-lavfi", f"{graph}[c][d]ssim", "-f", "null", "-"],
        check=True,
        capture_output=True,
        text=True,
    )
    told = re.search(r"All:([0-9.]+)", done.stderr)
    return float(told[1]) if told else 0.0
