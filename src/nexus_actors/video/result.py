"""What a job answers: every output with its place in the store."""

from __future__ import annotations

from pathlib import Path

from .adapters.dash import MANIFEST
from .languages import bcp47
from .models import (
    DashOutput,
    HlsAudio,
    HlsOutput,
    HlsRendition,
    Mp4Output,
    Outputs,
    Plan,
    Presentation,
    Still,
    Stored,
    Track,
    VideoRendition,
)
from .publish import Published
from .stills import POSTER, still_path


def outputs(
    plan: Plan, shown: Presentation, published: Published, root: Path
) -> Outputs:
    """Return the formats that the plan asked for; *root* is where they were made."""
    made = plan.formats
    return Outputs(
        hls=_hls(shown, published) if "hls" in made else None,
        dash=DashOutput(manifest=published.stored(MANIFEST))
        if "dash" in made
        else None,
        mp4=tuple(mp4(t, published, root) for t in shown.video if t.progressive)
        if "mp4" in made
        else None,
        clean=mp4(shown.clean, published, root) if shown.clean else None,
    )


def _hls(shown: Presentation, published: Published) -> HlsOutput:
    sound = max((track.peak_bitrate for track in shown.audio), default=0)
    return HlsOutput(
        master=published.stored("hls/master.m3u8"),
        renditions=tuple(
            HlsRendition(
                name=track.name,
                width=track.width,
                height=track.height,
                fps=round(float(track.fps), 3),
                bitrate=track.peak_bitrate + sound,
                codecs=",".join(dict.fromkeys(t.codecs for t in (track, *shown.audio))),
                playlist=published.stored(f"hls/v_{track.name}.m3u8"),
            )
            for track in shown.video
        ),
        audio=tuple(
            HlsAudio(
                name=track.name,
                language=bcp47(track.language),
                label=track.label,
                channels=track.channels,
                default=track.default,
                playlist=published.stored(f"hls/a_{track.name}.m3u8"),
            )
            for track in shown.audio
        ),
    )


def mp4(track: Track | VideoRendition, published: Published, root: Path) -> Mp4Output:
    """Return the file that *track* became."""
    path = f"mp4/{track.name}.mp4"
    return Mp4Output(
        name=track.name,
        width=track.width,
        height=track.height,
        size=(root / path).stat().st_size,
        **published.stored(path).model_dump(),
    )


def thumbnails(plan: Plan, published: Published) -> tuple[Still, ...]:
    """Return the thumbnails; none if they could not be made."""
    return tuple(
        Still(
            name=item.name,
            width=item.width,
            height=item.height,
            **published.stored(still_path(item.name)).model_dump(),
        )
        for item in plan.thumbnails
        if still_path(item.name) in published.paths
    )


def poster(published: Published) -> Stored | None:
    """Return the poster, or ``None`` if there is none."""
    path = still_path(POSTER)
    return published.stored(path) if path in published.paths else None
