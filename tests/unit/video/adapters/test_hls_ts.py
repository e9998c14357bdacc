"""Old players get the same film, cut at the same times, with its sound inside."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from nexus_actors.video.adapters.hls_ts import MASTER, HlsTsPackager, playlist_of
from nexus_actors.video.base import Workbench
from nexus_actors.video.models import Presentation
from nexus_actors.video.tools import Tools
from screening import run


Film = Callable[[str], tuple[Presentation, Workbench]]


#: By how much a sound of ours begins before the picture, in seconds: a block of samples
#: that readies the decoder.
PRIMING_S = 1024 / 48_000


@pytest.mark.parametrize("name", ["silent", "ntsc"])
def test_the_transport_streams_are_the_film_cut_as_its_other_segments(
    name: str, film: Film, tools: Tools, tmp_path: Path
) -> None:
    presentation, bench = film(name)
    root = tmp_path / "out"
    for track in (*presentation.video, *presentation.audio):
        shutil.copytree(bench.root / track.folder, root / track.folder)

    HlsTsPackager().package(presentation, replace(bench, root=root))

    asked = [str(tools.ffprobe), "-v", "error", "-of", "csv=p=0", "-show_entries"]
    for track in presentation.video:
        playlist = root / playlist_of(track)
        names = re.findall(r"^\S+\.ts$", playlist.read_text(), re.MULTILINE)
        assert len(names) == len(track.segments)
        for segment, file in zip(track.segments, names, strict=True):
            shown = [*asked, "frame=pict_type", "-select_streams", "v"]
            kinds = run([*shown, str(playlist.parent / file)]).decode().split()
            assert len(kinds) == segment.frames
            assert kinds[0].startswith("I")
        kept = run([*asked, "stream=codec_type,codec_name", str(playlist)]).decode()
        if name != "silent":
            ahead = sound_ahead(playlist.parent / names[0], tools)
            assert ahead == pytest.approx(PRIMING_S, abs=1e-4)
        codecs = {*kept.split()}
        assert codecs == {"h264,video"} | ({"aac,audio"} if name != "silent" else set())
        decode = ["-xerror", "-i", str(playlist), "-f", "null", "-"]
        run([str(tools.ffmpeg), "-v", "error", *decode])
    master = (root / MASTER).read_text()
    assert master.count("#EXT-X-STREAM-INF:") == len(presentation.video)
    for peak, uri in re.findall(r"[:,]BANDWIDTH=(\d+),.*\n(\S+)", master):
        playlist = root / "ts" / uri
        told = re.findall(r"#EXTINF:(\S+),\n(\S+)", playlist.read_text())
        longest = max(float(seconds) for seconds, _ in told)
        for seconds, file in told:
            rate = 8 * (playlist.parent / file).stat().st_size / float(seconds)
            assert rate <= int(peak) or 2 * float(seconds) < longest


def sound_ahead(file: Path, tools: Tools) -> float:
    """Return by how much the sound of *file* begins before its picture, in seconds."""
    asked = ["-v", "error", "-show_entries", "packet=codec_type,pts_time"]
    told = run([str(tools.ffprobe), *asked, "-of", "csv=p=0", str(file)]).decode()
    rows = [line.split(",")[:2] for line in told.splitlines() if line]
    begins = {
        kind: min(float(at) for found, at in rows if found == kind)
        for kind in ("video", "audio")
    }
    return begins["video"] - begins["audio"]
