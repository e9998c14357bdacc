"""Seconds to make the ladder of a 1080p clip: one decode, or one for each rendition."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from nexus_actors.video.commands import encode_command, encode_folders
from nexus_actors.video.guard import admit
from nexus_actors.video.models import Plan, ProcessVideoOptions, VideoRendition
from nexus_actors.video.plan import make_plan
from nexus_actors.video.probe import probe
from nexus_actors.video.settings import VideoSettings
from nexus_actors.video.tools import Tools, find_tools

from .runner import Contestants


UNIT = "s"
BETTER = "lower"
PEER = "one ffmpeg each"
ROUNDS = 5
SECONDS = 10.0


def encode(plans: list[Plan], source: Path, tools: Tools) -> float:
    """Make what *plans* say, one after the other; return the seconds that it took."""
    started = time.perf_counter()
    for plan in plans:
        with tempfile.TemporaryDirectory(dir=source.parent) as folder:
            for name in encode_folders(plan):
                (Path(folder) / name).mkdir()
            command = encode_command(plan, source, Path(folder), tools)
            subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - ours
    return time.perf_counter() - started


def alone(whole: Plan, rung: VideoRendition) -> Plan:
    """Return the plan of one rung, scaled from the source; the first has the sound."""
    size = {"w": str(rung.width), "h": str(rung.height)}
    filters = [
        replace(item, options={**item.options, **size})
        if item.name == "scale"
        else item
        for item in whole.pre_filters
    ]
    sound = whole.audio if rung is whole.video[0] else ()
    return replace(whole, video=(rung,), audio=sound, pre_filters=tuple(filters))


@contextmanager
def contestants(scale: float) -> Iterator[Contestants]:
    """The whole ladder at once, and rung by rung."""
    settings = VideoSettings.load()
    tools = find_tools(settings)
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        make_clip(clip, tools, max(0.2, SECONDS * scale))
        media = probe(admit(str(clip), Path(folder), settings), tools, settings)
        plan = make_plan(media, ProcessVideoOptions(), settings, tools=tools)
        each = [alone(plan, rung) for rung in plan.video]
        yield {
            "nexus-actors": partial(encode, [plan], clip, tools),
            "one ffmpeg each": partial(encode, each, clip, tools),
        }


def make_clip(
    path: Path, tools: Tools, seconds: float, *, size: str = "1920x1080"
) -> None:
    """Write a moving test picture with a tone."""
    inputs = ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate=30", "-f", "lavfi"]
    codecs = ["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p"]
    command = [str(tools.ffmpeg), "-v", "error", *inputs, "-i", "sine", *codecs]
    subprocess.run([*command, "-t", str(seconds), str(path)], check=True)  # noqa: S603 - ours
