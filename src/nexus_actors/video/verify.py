"""The last step before anything is published: exit code 0 is not success."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Final

from nexus_actors.core.errors import TransientError

from .adapters import hls_ts
from .adapters.dash import MANIFEST
from .base import Workbench
from .bmff import movie_seconds
from .commands import QUIET
from .errors import OutputError, SourceError
from .models import Plan, Presentation, Track


#: Less of the picture than this, and the source was cut short.
LEAST_SHARE: Final = 0.9

#: How far the length may be from the plan's: in seconds, and as a share.
TOLERANCE_S: Final = 0.1
TOLERANCE: Final = 0.01

DASH: Final = "{urn:mpeg:dash:schema:mpd:2011}"


def verify(plan: Plan, presentation: Presentation, bench: Workbench) -> list[str]:
    """Check the outputs on *bench* against the plan; return warnings.

    Raises:
        SourceError: The source gave much less picture than it promised.
        OutputError: What was made is not what was planned.
    """
    root = bench.root
    warnings = check_lengths(plan, presentation)
    if "hls" in plan.formats:
        check_file(root / "hls/master.m3u8")
        for playlist in sorted(root.glob("hls/[!s]*.m3u8")):
            check_playlist(playlist, presentation)
    if "dash" in plan.formats:
        check_manifest(root / MANIFEST, presentation)
    if "hls_ts" in plan.formats:
        check_ts(presentation, bench)
    for track in presentation.progressive:
        longest = max(t.duration for t in (track, *presentation.audio))
        check_mp4(root / f"mp4/{track.name}.mp4", longest)
    for caption in presentation.captions:
        check_file(root / caption.path)
    for still in (*root.glob("thumb/*"), *root.glob("sprite/*")):
        check_file(still)
    for *_, lowest in presentation.by_codec:
        first, last = lowest.segments[0].name, lowest.segments[-1].name
        for name in dict.fromkeys((first, last)):
            parts = [root / lowest.folder / part for part in ("init.mp4", name)]
            check_decodes(f"{lowest.folder}/{name}", parts, bench)
    return warnings


def check_lengths(plan: Plan, presentation: Presentation) -> list[str]:
    """Compare every track's length with the plan's."""
    picture = presentation.video[0].duration
    if picture < LEAST_SHARE * plan.duration:
        raise SourceError(
            f"the video is cut short: it says {plan.duration:.2f} s, but only "
            f"{picture:.2f} s can be decoded; upload it again",
            code="truncated",
        )
    allowed = max(TOLERANCE_S, TOLERANCE * plan.duration, 2 / float(plan.video[0].fps))
    for track in (*presentation.progressive, *presentation.video, *presentation.audio):
        if track.duration > plan.duration + allowed:
            raise OutputError(
                f"{track.folder} lasts {track.duration:.2f} s; planned were "
                f"{plan.duration:.2f} s"
            )
    return ["shorter_than_header"] if picture < plan.duration - allowed else []


def check_ts(presentation: Presentation, bench: Workbench) -> None:
    """Check the playlists of transport streams, and decode two segments."""
    tracks = presentation.by_codec[0]
    check_playlist(bench.root / hls_ts.MASTER, presentation)
    for track in tracks:
        check_playlist(bench.root / hls_ts.playlist_of(track), presentation, track)
    segments = hls_ts.segments_of(tracks[-1])
    for path in dict.fromkeys((segments[0], segments[-1])):
        check_decodes(path, [bench.root / path], bench)


def check_playlist(
    playlist: Path, presentation: Presentation, track: Track | None = None
) -> None:
    """Check that all that *playlist* names is there, and that its durations fit.

    They are those of *track*; without it, of the one whose segments are named.
    """
    check_file(playlist)
    text = playlist.read_text(encoding="utf-8", errors="replace")
    named = [line for line in text.splitlines() if line and not line.startswith("#")]
    named += re.findall(r'URI="([^"]+)"', text)
    if not text.startswith("#EXTM3U\n") or not named:
        raise OutputError(f"{playlist.name} is damaged")
    for name in named:
        check_file(playlist.parent / name)
    target = re.search(r"#EXT-X-TARGETDURATION:(\d+)", text)
    if target:
        track = track or track_of(named[-1], presentation)
        check_durations(playlist.name, text, int(target[1]), track.duration)


def check_durations(name: str, text: str, target: int, expected: float) -> None:
    """Check that a media playlist is whole: it lists all of its track's seconds."""
    durations = [float(s) for s in re.findall(r"#EXTINF:(\d+\.\d+)", text)]
    longest, total = max(durations, default=0.0), sum(durations)
    if int(longest + 0.5) > target:
        raise OutputError(f"{name} has a segment of {longest:.3f} s")
    if abs(total - expected) > TOLERANCE_S or not text.endswith("#EXT-X-ENDLIST\n"):
        raise OutputError(f"{name} lists {total:.2f} of {expected:.2f} s")


def check_manifest(manifest: Path, presentation: Presentation) -> None:
    """Check that every segment of every timeline is there."""
    check_file(manifest)
    try:
        tree = ET.parse(manifest)  # noqa: S314 - ours
    except ET.ParseError as error:
        raise OutputError(f"{manifest.name} is damaged: {error}") from error
    tracks = len(presentation.video) + len(presentation.audio)
    found = list(tree.iter(f"{DASH}SegmentTemplate"))
    if len(found) != tracks:
        raise OutputError(f"{manifest.name} has {len(found)} of {tracks} tracks")
    for template in found:
        start = template.attrib["initialization"]
        check_file(manifest.parent / start)
        track = track_of(start, presentation)
        count = sum(int(s.get("r", "0")) + 1 for s in template.iter(f"{DASH}S"))
        if count != len(track.segments):
            raise OutputError(
                f"{manifest.name} lists {count} of {len(track.segments)} segments of "
                f"{track.folder}"
            )
        for number in range(1, count + 1):
            name = template.attrib["media"].replace("$Number%05d$", f"{number:05d}")
            check_file(manifest.parent / name)


def track_of(name: str, presentation: Presentation) -> Track:
    """Return the track whose file is *name*, as a manifest calls it."""
    for track in (*presentation.video, *presentation.audio):
        if name.startswith(f"../{track.folder}/"):
            return track
    raise OutputError(f"a manifest names {name}, which belongs to no track")


def check_mp4(file: Path, expected: float) -> None:
    """Check that *file* has all of its boxes and seconds."""
    check_file(file)
    try:
        seconds = movie_seconds(file)
    except OutputError as error:
        raise OutputError(f"{file.name}: {error.message}") from error
    if abs(seconds - expected) > TOLERANCE_S:
        raise OutputError(f"{file.name} lasts {seconds:.2f} of {expected:.2f} s")


def check_file(path: Path) -> None:
    """Check that *path* is a file with something in it."""
    if not path.is_file() or not path.stat().st_size:
        raise OutputError(f"{path.parent.name}/{path.name} is missing or empty")


def check_decodes(name: str, parts: list[Path], bench: Workbench) -> None:
    """Check that one segment, which its *parts* make, decodes without an error."""
    joined = bench.root.parent / "verify.mp4"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    options = ["-xerror", "-i", f"file:{joined}", "-f", "null", "-"]
    try:
        bench.run([str(bench.tools.ffmpeg), *QUIET, *options])
    except (SourceError, TransientError) as error:
        message = f"{name} does not decode"
        raise OutputError(message, reason=error.message) from error
    finally:
        joined.unlink()
