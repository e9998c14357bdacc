"""HLS over MPEG-2 transport streams (RFC 8216, protocol version 3): for old players.

One playlist for each rendition in H.264, with one sound in it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from typing import Final

from nexus_actors.video.base import Packager, Workbench
from nexus_actors.video.errors import OutputError
from nexus_actors.video.models import Presentation, Track

from .hls import start_order
from .mp4 import copy_inputs, joined_input


FOLDER: Final = "ts"
MASTER: Final = f"{FOLDER}/master.m3u8"

#: By so much a segment is told to be shorter than it is, in seconds: it ends at the
#: next key frame, and what is told adds up over all segments.
SHORTER_S: Final = 0.0001


class HlsTsPackager(Packager):
    name = "hls_ts"
    step = "derive"

    def package(self, presentation: Presentation, bench: Workbench) -> list[str]:
        made = []
        tracks, sound = presentation.by_codec[0], presentation.main_sound
        shutil.rmtree(bench.root / FOLDER, ignore_errors=True)
        with _scratch(bench.root.parent / "ts.tmp") as scratch:
            spoken = scratch / "a.mp4"
            sounds = [joined_input(sound, bench.root, spoken)] if sound else []
            for track in tracks:
                inputs = [joined_input(track, bench.root, scratch / "v.mp4"), *sounds]
                made += segments_of(track)
                (bench.root / made[-1]).parent.mkdir(parents=True)
                bench.run(segment_command(bench, inputs, track, scratch))
                _check(track, bench.root)
        texts = {playlist_of(t): media_playlist(t) for t in tracks}
        texts[MASTER] = master_playlist(tracks, sound, bench.root)
        for path, text in texts.items():
            (bench.root / path).write_text(text, encoding="utf-8")
        return [*made, *texts]


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def playlist_of(track: Track) -> str:
    """Return where the playlist of *track* lies, from the root of the outputs."""
    return f"{FOLDER}/{track.name}.m3u8"


def segments_of(track: Track) -> list[str]:
    """Return where the segments of *track* lie: they end where those of HLS do."""
    count = len(track.segments)
    return [f"{FOLDER}/{track.name}/{n:05d}.ts" for n in range(1, count + 1)]


def bitrates(track: Track, root: Path) -> tuple[int, int]:
    """Return peak and average of the segments below *root*, sound and all, in bit/s."""
    seconds = [segment.duration / track.timescale for segment in track.segments]
    sizes = [(root / path).stat().st_size for path in segments_of(track)]
    # a short last segment is no measure
    long = [
        (n, s) for n, s in zip(sizes, seconds, strict=True) if 2 * s >= max(seconds)
    ]
    average = 8 * sum(sizes) / sum(seconds)
    return ceil(max(average, *(8 * n / s for n, s in long))), ceil(average)


def segment_command(
    bench: Workbench, inputs: list[list[str]], track: Track, scratch: Path
) -> list[str]:
    """Return the command that copies *inputs* into the segments of *track*."""
    seconds = track.segments[0].duration / track.timescale - SHORTER_S
    options = {
        "c": "copy",
        "f": "hls",
        "hls_time": f"{seconds:.6f}",
        "hls_list_size": "0",
        "hls_segment_type": "mpegts",
        "hls_segment_filename": f"{bench.root / FOLDER / track.name}/%05d.ts",
        "start_number": "1",
    }
    told = [word for name, value in options.items() for word in (f"-{name}", value)]
    command = copy_inputs(bench.tools.ffmpeg, inputs)
    return [*command, *told, "-y", f"file:{scratch / 'scratch.m3u8'}"]


def _check(track: Track, root: Path) -> None:
    found = sorted(path.name for path in (root / FOLDER / track.name).iterdir())
    if found != [Path(path).name for path in segments_of(track)]:
        raise OutputError(
            f"{FOLDER}/{track.name} has {len(found)} of {len(track.segments)} segments"
        )


def media_playlist(track: Track) -> str:
    """List the segments with their measured durations."""
    seconds = [segment.duration / track.timescale for segment in track.segments]
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:3",
        f"#EXT-X-TARGETDURATION:{max(1, int(max(seconds) + 0.5))}",
        "#EXT-X-MEDIA-SEQUENCE:0",
        "#EXT-X-PLAYLIST-TYPE:VOD",
    ]
    for path, duration in zip(segments_of(track), seconds, strict=True):
        lines += [f"#EXTINF:{duration:.6f},", path.removeprefix(f"{FOLDER}/")]
    return "\n".join([*lines, "#EXT-X-ENDLIST"]) + "\n"


def master_playlist(tracks: tuple[Track, ...], sound: Track | None, root: Path) -> str:
    """List the variants, the one to start with first."""
    lines = ["#EXTM3U", "#EXT-X-VERSION:3"]
    codecs = [sound.codecs] if sound else []
    for track in start_order(tracks):
        peak, average = bitrates(track, root)
        attributes = [
            f"BANDWIDTH={peak}",
            f"AVERAGE-BANDWIDTH={average}",
            f'CODECS="{",".join([track.codecs, *codecs])}"',
            f"RESOLUTION={track.width}x{track.height}",
            f"FRAME-RATE={float(track.fps):.3f}",
        ]
        uri = playlist_of(track).removeprefix(f"{FOLDER}/")
        lines += ["#EXT-X-STREAM-INF:" + ",".join(attributes), uri]
    return "\n".join(lines) + "\n"
