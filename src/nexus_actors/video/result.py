"""What a job answers: every output with its place in the store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .adapters import hls_ts
from .adapters.dash import MANIFEST
from .languages import bcp47
from .models import (
    CaptionOutput,
    DashOutput,
    HlsAudio,
    HlsOutput,
    HlsRendition,
    HlsTsOutput,
    Mp4Output,
    Outputs,
    Plan,
    Poster,
    Presentation,
    SpriteOutput,
    Still,
    Track,
    VideoRendition,
)
from .publish import Published
from .sprites import TRACK
from .stills import POSTER


def outputs(
    plan: Plan, shown: Presentation, published: Published, root: Path
) -> Outputs:
    """Return the formats that the plan asked for; *root* is where they were made."""
    made = plan.formats
    return Outputs(
        hls=_hls(shown, published) if "hls" in made else None,
        hls_ts=_hls_ts(shown, published, root) if "hls_ts" in made else None,
        dash=DashOutput(manifest=published.stored(MANIFEST))
        if "dash" in made
        else None,
        mp4=tuple(mp4(t, published, root) for t in shown.video if t.progressive)
        if "mp4" in made
        else None,
        clean=mp4(shown.clean, published, root) if shown.clean else None,
        captions=tuple(
            CaptionOutput(
                name=caption.name,
                language=bcp47(caption.language),
                label=caption.label,
                forced=caption.forced,
                **published.stored(caption.path).model_dump(),
            )
            for caption in shown.captions
        )
        or None,
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


def _hls_ts(shown: Presentation, published: Published, root: Path) -> HlsTsOutput:
    sounds = [shown.main_sound.codecs] if shown.main_sound else []
    return HlsTsOutput(
        master=published.stored(hls_ts.MASTER),
        renditions=tuple(
            HlsRendition(
                name=track.name,
                width=track.width,
                height=track.height,
                fps=round(float(track.fps), 3),
                bitrate=hls_ts.bitrates(track, root)[0],
                codecs=",".join([track.codecs, *sounds]),
                playlist=published.stored(hls_ts.playlist_of(track)),
            )
            for track in shown.by_codec[0]
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
            format=item.format,
            **published.stored(item.path).model_dump(),
        )
        for item in plan.thumbnails
        if item.path in published.paths
    )


def poster(published: Published, seen: Mapping[str, Any]) -> Poster | None:
    """Return the poster and what was *seen* on it, or ``None`` if there is none."""
    path = f"thumb/{POSTER}.jpg"
    if path not in published.paths:
        return None
    return Poster(**published.stored(path).model_dump(), **seen)


def sprites(plan: Plan, published: Published) -> SpriteOutput | None:
    """Return the sheets of small stills, or ``None`` if there are none."""
    if plan.sprites is None or TRACK not in published.paths:
        return None
    return SpriteOutput(
        track=published.stored(TRACK),
        sheets=tuple(published.stored(sheet) for sheet in plan.sprites.sheets),
        interval=plan.sprites.interval,
        width=plan.sprites.width,
        height=plan.sprites.height,
    )
