"""Seconds from a 1080p clip to HLS, DASH and MP4 of its renditions, all checked.

The peer starts one ffmpeg for each output, as scripts do, with the same encoder, sizes,
rates and segments; *bare x264* encodes each rendition once and keeps nothing.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.ladder import make_clip
from benchmarks.runner import Contestants
from nexus_actors.core.logs import configure
from nexus_actors.core.settings import CoreSettings
from nexus_actors.engine.jobs import Job
from nexus_actors.video.flows import run
from nexus_actors.video.guard import admit
from nexus_actors.video.models import Plan, ProcessVideoRequest, VideoRendition
from nexus_actors.video.plan import make_plan
from nexus_actors.video.probe import probe
from nexus_actors.video.settings import VideoSettings
from nexus_actors.video.tools import Tools, find_tools


UNIT = "s"
BETTER = "lower"
PEER = "one ffmpeg for each output"
ROUNDS = 5
SECONDS = 20.0

#: The outputs that are asked for; no stills, which the peer does not make.
OPTIONS: Final = {"formats": ["hls", "dash", "mp4"], "thumbnails": False}

#: What each output's ffmpeg is told, and where it writes, after the encoder's options.
MUXERS: Final = {
    "hls": ["-hls_time", "4", "-hls_playlist_type", "vod", "-hls_segment_type", "fmp4"],
    "dash": ["-seg_duration", "4"],
    "mp4": ["-movflags", "+faststart"],
}
NAMES: Final = {"hls": "index.m3u8", "dash": "manifest.mpd", "mp4": "film.mp4"}


def process(clip: Path) -> float:
    """Take *clip* through the whole job; return the seconds that it took."""
    with tempfile.TemporaryDirectory(dir=clip.parent) as folder:
        work, storage = Path(folder, "work", "job"), str(Path(folder, "storage"))
        body = {"video_id": "clip", "input_path": str(clip), "options": OPTIONS}
        started = time.perf_counter()
        run(
            ProcessVideoRequest.parse(body, what="benchmark"),
            settings=VideoSettings.load(),
            core=CoreSettings.load({"storage_url": storage}),
            work=work,
            job=Job(id="benchmark"),
        )
        return time.perf_counter() - started


def each_output(clip: Path, plan: Plan, tools: Tools) -> float:
    """Make each output of each rendition by its own ffmpeg; return the seconds."""
    target = clip.parent / "peer"
    started = time.perf_counter()
    for rung in plan.video:
        for muxer, options in MUXERS.items():
            folder = target / rung.name / muxer
            folder.mkdir(parents=True)
            sound = ["-c:a", "aac", "-b:a", str(plan.audio[0].bitrate)]
            name = NAMES[muxer]
            command = [*encode(clip, rung, plan, tools), *sound, *options]
            run_in(folder, [*command, "-f", muxer, name])
    took = time.perf_counter() - started
    shutil.rmtree(target)
    return took


def bare(clip: Path, plan: Plan, tools: Tools) -> float:
    """Encode each rendition once, one after the other; return the seconds."""
    started = time.perf_counter()
    for rung in plan.video:
        command = [*encode(clip, rung, plan, tools), "-an", "-f", "h264", "-y"]
        run_in(clip.parent, [*command, "/dev/null"])
    return time.perf_counter() - started


def encode(clip: Path, rung: VideoRendition, plan: Plan, tools: Tools) -> list[str]:
    """Return the beginning of a command that encodes *rung* as the plan says."""
    told: dict[str, object] = {
        "vf": f"scale={rung.width}:{rung.height}:flags=bicubic,format=yuv420p",
        "r": rung.fps,
        "c:v": "libx264",
        "preset": plan.preset,
        "profile:v": "high",
        "crf": rung.crf,
        "maxrate": rung.maxrate,
        "bufsize": rung.bufsize,
        "g": rung.gop,
        "keyint_min": rung.gop,
        "sc_threshold": 0,
    }
    options = [word for name, value in told.items() for word in (f"-{name}", value)]
    return [str(tools.ffmpeg), "-v", "error", "-i", str(clip), *map(str, options)]


def run_in(folder: Path, command: list[str]) -> None:
    """Run *command* in *folder*."""
    subprocess.run(command, cwd=folder, check=True, stdin=subprocess.DEVNULL)  # noqa: S603 - ours


@contextmanager
def contestants(scale: float) -> Iterator[Contestants]:
    """The whole job, and two that use ffmpeg alone; a small clip at a small scale."""
    configure("ERROR")
    settings = VideoSettings.load()
    tools = find_tools(settings)
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        size = "1920x1080" if scale >= 0.1 else "640x360"  # noqa: PLR2004 - a tenth
        make_clip(clip, tools, max(0.2, SECONDS * scale), size=size)
        media = probe(admit(str(clip), Path(folder), settings), tools, settings)
        request = ProcessVideoRequest.parse(
            {"video_id": "clip", "input_path": str(clip), "options": OPTIONS},
            what="benchmark",
        )
        plan = make_plan(media, request.options, settings, tools=tools)
        yield {
            "nexus-actors": partial(process, clip),
            "one ffmpeg for each output": partial(each_output, clip, plan, tools),
            "bare x264": partial(bare, clip, plan, tools),
        }
