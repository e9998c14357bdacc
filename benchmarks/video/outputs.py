"""CPU seconds from a 1080p clip to HLS, DASH, MP4 and five thumbnails, all checked.

The peer starts one ffmpeg for each output, as scripts do, with the same encoder, sizes,
rates, segments and sound; *bare x264* encodes each rendition from raw video that was
scaled before, decodes the clip once, and keeps nothing.  The renditions of both sides
must be equally like the clip.  Two wrappers of ffmpeg stand beside, with the same
encoder; they make no MP4 and no thumbnails.

What surrounds the encoders (scaling, sound, stills, the starts of programs) takes the
same time with each preset: it is a larger share beside ``veryfast``, the default, than
beside ``medium``.  So bare x264 is compared with both.

The clip is real footage where the shared media are, else a test picture.
"""

from __future__ import annotations

import re
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.ladder import make_clip
from benchmarks.runner import BenchmarkError, Contestants, Line
from benchmarks.video.wrappers import (
    Wrapper,
    ffmpeg_video_streaming,
    shaka_streamer,
    words,
)
from nexus_actors.core.logs import configure
from nexus_actors.core.settings import CoreSettings
from nexus_actors.video.flows import run
from nexus_actors.video.guard import admit
from nexus_actors.video.models import Plan, ProcessVideoRequest, VideoRendition
from nexus_actors.video.plan import make_plan
from nexus_actors.video.probe import probe
from nexus_actors.video.settings import VideoSettings
from nexus_actors.video.tools import Tools, find_tools


UNIT = "s of CPU"
BETTER = "lower"
PEER = "one ffmpeg for each output"
ROUNDS = 3
WARM_UP = False  # the sides start their programs anew in each round
SECONDS = 30.0
BARE: Final = "bare x264 and one decode"

#: A preset that stands for those that take their time, beside the default.
SLOWER: Final = "medium"
LINES = (
    Line(contestant="nexus-actors", peer=PEER, at_most=0.35),
    Line(contestant="nexus-actors", peer=BARE, at_most=1.2),
    Line(
        contestant=f"nexus-actors at {SLOWER}", peer=f"{BARE} at {SLOWER}", at_most=1.10
    ),
    Line(contestant="its Python", peer="its encode", at_most=0.03),
    Line(contestant="its thumbnails", peer="nexus-actors", at_most=0.03),
)

#: Those that make HLS and DASH alone, by their names on PyPI.
WRAPPERS: Final[dict[str, Wrapper]] = {
    "shaka-streamer": shaka_streamer,
    "python-ffmpeg-video-streaming": ffmpeg_video_streaming,
}

#: Twelve seconds of a film, which are shown again to make thirty.
FOOTAGE: Final = (
    Path(__file__).parents[3] / "shared" / "media" / "h264_1080p_51audio_12s.mp4"
)

#: The widths of the thumbnails, in pixels.
WIDTHS: Final = (1280, 960, 640, 480, 320)

OPTIONS: Final[dict[str, object]] = {
    "formats": ["hls", "dash", "mp4"],
    "ladder": "custom",
    "renditions": [{"resolution": n} for n in (1080, 720, 480, 360)],
    "thumbnails": {"sizes": WIDTHS, "sprites": False},
}

#: What each output's ffmpeg is told, and where it writes, after the encoder's options.
MUXERS: Final = {
    "hls": ["-hls_time", "4", "-hls_playlist_type", "vod", "-hls_segment_type", "fmp4"],
    "dash": ["-seg_duration", "4"],
    "mp4": ["-movflags", "+faststart"],
}
NAMES: Final = {"hls": "index.m3u8", "dash": "manifest.mpd", "mp4": "film.mp4"}

#: By how much the likeness of a rendition may differ from the peer's.
SSIM_TOLERANCE: Final = 0.003

#: Below this scale, nothing is judged, and the clip is small.
SMALL: Final = 0.1


def spent(who: int) -> float:
    """Return the seconds of CPU that this process, or its children, have taken."""
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


@dataclass
class Job:
    """Notes what each step's programs take."""

    stage: str = ""
    began: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)

    def check(self) -> None:
        """Go on."""

    def progress(
        self,
        fraction: float | None,  # noqa: ARG002 - as a job has it
        *,
        stage: str,
        eta_s: float | None = None,  # noqa: ARG002 - likewise
    ) -> None:
        """Close the account of the last stage when another begins."""
        if stage != self.stage:
            now = spent(resource.RUSAGE_CHILDREN)
            self.seconds[self.stage] = now - self.began
            self.stage, self.began = stage, now


@dataclass
class Whole:
    """The whole job; each run of it measures all of its parts, each asked for once.

    Its MP4 files stay beside the clip, under names that begin with *side*.
    """

    clip: Path
    side: str
    options: dict[str, object]
    parts: dict[str, float] = field(default_factory=dict)

    def take(self, name: str) -> float:
        """Return what a part has taken in the last run; run again if that was told."""
        if name not in self.parts:
            self.parts = self.run()
        return self.parts.pop(name)

    def run(self) -> dict[str, float]:
        """Take the clip through the job; return seconds of CPU by part."""
        with tempfile.TemporaryDirectory(dir=self.clip.parent) as folder:
            job = Job()
            own, others = (
                spent(resource.RUSAGE_SELF),
                spent(resource.RUSAGE_CHILDREN),
            )
            result = run(
                request_of(self.clip, self.options),
                settings=VideoSettings.load(),
                core=CoreSettings.load({"storage_url": str(Path(folder, "out"))}),
                work=Path(folder, "work", "job"),
                job=job,
            ).to_json()
            own = spent(resource.RUSAGE_SELF) - own
            others = spent(resource.RUSAGE_CHILDREN) - others
            for made in result["outputs"]["mp4"]:
                path = Path(made["uri"].removeprefix("file://"))
                shutil.copy(
                    path, self.clip.parent / f"{self.side}_{made['height']}.mp4"
                )
        return {
            "nexus-actors": own + others,
            "its Python": own,
            "its encode": job.seconds["encode"],
            "its thumbnails": job.seconds["stills"],
        }


def request_of(clip: Path, options: dict[str, object]) -> ProcessVideoRequest:
    """Return the job of *clip*."""
    body = {"video_id": "clip", "input_path": str(clip), "options": options}
    return ProcessVideoRequest.parse(body, what="benchmark")


def each_output(clip: Path, plan: Plan, tools: Tools) -> float:
    """Make each output of each rendition by its own ffmpeg; return seconds of CPU."""
    target = clip.parent / "peer"
    began = spent(resource.RUSAGE_CHILDREN)
    for rung in plan.video:
        for muxer, options in MUXERS.items():
            folder = target / rung.name / muxer
            folder.mkdir(parents=True)
            sound = ["-ac", "2", "-ar", "48000", "-c:a", "aac", "-b:a", "128k"]
            command = [*encode(clip, rung, plan, tools), *sound, *options]
            run_in(folder, [*command, "-f", muxer, NAMES[muxer]])
    for number, width in enumerate(WIDTHS):
        moment = ["-ss", f"{plan.duration * (number + 1) / 7:.3f}", "-i", str(clip)]
        still = ["-frames:v", "1", "-vf", f"scale={width}:-2", f"{width}.jpg"]
        run_in(target, [str(tools.ffmpeg), "-v", "error", *moment, *still])
    took = spent(resource.RUSAGE_CHILDREN) - began
    for rung in plan.video:
        made = target / rung.name / "mp4" / NAMES["mp4"]
        made.replace(clip.parent / f"peer_{rung.height}.mp4")
    shutil.rmtree(target)
    return took


def bare(clip: Path, plan: Plan, tools: Tools) -> float:
    """Encode each rendition from raw video, decode the clip; return seconds of CPU."""
    began = spent(resource.RUSAGE_CHILDREN)
    for rung in plan.video:
        given = ["-f", "rawvideo", "-s", f"{rung.width}x{rung.height}"]
        given += ["-r", str(rung.fps), "-i", str(raw_of(clip, rung))]
        options = [*words(encoder(rung, plan)), "-f", "h264"]
        command = [str(tools.ffmpeg), "-v", "error", *given, *options]
        run_in(clip.parent, [*command, "-y", "/dev/null"])
    null = ["-i", str(clip), "-map", "0:v", "-f", "null", "-"]
    run_in(clip.parent, [str(tools.ffmpeg), "-v", "error", *null])
    return spent(resource.RUSAGE_CHILDREN) - began


def raw_of(clip: Path, rung: VideoRendition) -> Path:
    """Return where the raw video of *rung* lies."""
    return clip.parent / f"raw_{rung.height}.yuv"


def make_raw(clip: Path, plan: Plan, tools: Tools) -> None:
    """Write the raw video of each rendition, in its size."""
    for rung in plan.video:
        size = f"scale={rung.width}:{rung.height}:flags=bicubic,format=yuv420p"
        options = ["-i", str(clip), "-an", "-vf", f"{steady(rung)},{size}"]
        options += ["-t", str(plan.duration), "-f", "rawvideo"]
        command = [str(tools.ffmpeg), "-v", "error", *options]
        run_in(clip.parent, [*command, str(raw_of(clip, rung))])


def encode(clip: Path, rung: VideoRendition, plan: Plan, tools: Tools) -> list[str]:
    """Return the beginning of a command that encodes *rung* as the plan says."""
    size = f"scale={rung.width}:{rung.height}:flags=bicubic,format=yuv420p"
    picture = ["-i", str(clip), "-vf", size, "-r", str(rung.fps)]
    return [str(tools.ffmpeg), "-v", "error", *picture, *words(encoder(rung, plan))]


def encoder(rung: VideoRendition, plan: Plan) -> dict[str, object]:
    """Return what x264 is told, by ffmpeg's names."""
    return {
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


def spent_by(wrapper: Wrapper, clip: Path, plan: Plan, tools: Tools) -> float:
    """Let *wrapper* work, and return seconds of CPU."""
    both = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    began = sum(map(spent, both))
    wrapper(clip, plan, tools, encoder)
    return sum(map(spent, both)) - began


def run_in(folder: Path, command: list[str]) -> None:
    """Run *command* in *folder*."""
    subprocess.run(command, cwd=folder, check=True, stdin=subprocess.DEVNULL)  # noqa: S603 - ours


def check_likeness(clip: Path, plan: Plan, tools: Tools) -> None:
    """Refuse to compare renditions that are not equally like the clip."""
    for rung in plan.video:
        ours, peers = (
            likeness(clip.parent / f"{side}_{rung.height}.mp4", clip, rung, tools)
            for side in ("ours", "peer")
        )
        if abs(ours - peers) > SSIM_TOLERANCE:
            text = f"{rung.name}: SSIM {ours:.4f}, the peer's is {peers:.4f}"
            raise BenchmarkError(text)


def likeness(made: Path, clip: Path, rung: VideoRendition, tools: Tools) -> float:
    """Return the SSIM of *made* and of the clip in its size."""
    size = f"scale={rung.width}:{rung.height}:flags=bicubic,format=yuv420p"
    even = steady(rung)
    graph = f"[0:v]{even},setpts=N[a];[1:v]{even},{size},setpts=N[b];"
    graph += "[a][b]ssim=shortest=1"
    inputs = ["-i", str(made), "-i", str(clip)]
    done = subprocess.run(  # noqa: S603 - ours
        [str(tools.ffmpeg), *inputs, "-lavfi", graph, "-f", "null", "-"],
        check=True,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    told = re.search(r"All:([0-9.]+)", done.stderr)
    return float(told[1]) if told else 0.0


def steady(rung: VideoRendition) -> str:
    """Return the filter that shows a clip's first frame, which comes late, at once."""
    return f"fps={rung.fps}:start_time=0"


def make_source(clip: Path, tools: Tools, scale: float) -> None:
    """Write the clip: of real footage where there is some, and a small one for less."""
    seconds = max(0.2, SECONDS * scale)
    if scale < SMALL or not FOOTAGE.is_file():
        size = "1920x1080" if scale >= SMALL else "640x360"
        make_clip(clip, tools, seconds, size=size)
        return
    command = [str(tools.ffmpeg), "-v", "error", "-stream_loop", "2"]
    command += ["-i", str(FOOTAGE), "-c", "copy", "-t", str(seconds), str(clip)]
    run_in(clip.parent, command)


@contextmanager
def contestants(scale: float) -> Iterator[Contestants]:
    """The whole job and its parts, and two that use ffmpeg alone."""
    configure("ERROR")
    settings = VideoSettings.load()
    tools = find_tools(settings)
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        make_source(clip, tools, scale)
        media = probe(admit(str(clip), Path(folder), settings), tools, settings)
        options = request_of(clip, OPTIONS).options
        plan = make_plan(media, options, settings, tools=tools)
        make_raw(clip, plan, tools)
        whole = Whole(clip, "ours", OPTIONS)
        slowly = Whole(clip, SLOWER, OPTIONS | {"preset": SLOWER})
        parts = ("nexus-actors", "its Python", "its encode", "its thumbnails")
        yield {
            **{name: partial(whole.take, name) for name in parts},
            PEER: partial(each_output, clip, plan, tools),
            BARE: partial(bare, clip, plan, tools),
            f"nexus-actors at {SLOWER}": partial(slowly.take, "nexus-actors"),
            f"{BARE} at {SLOWER}": partial(
                bare, clip, replace(plan, preset=SLOWER), tools
            ),
            **{
                name: partial(spent_by, wrapper, clip, plan, tools)
                for name, wrapper in WRAPPERS.items()
            },
        }
        if scale >= SMALL:
            check_likeness(clip, plan, tools)
