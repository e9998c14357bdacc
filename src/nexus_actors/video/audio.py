"""Which sounds of a source its viewers get, and how each is encoded."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from typing import Final

from .languages import bcp47, name_of
from .models import AudioRendition, AudioStream, ProcessVideoOptions
from .settings import VideoSettings


SAMPLE_RATE: Final = 48_000

STEREO: Final = 2

#: The channels of 5.1, and how many times stereo's bits they get.
SURROUND: Final = 6
SURROUND_SHARE: Final = 3

#: In a sound of more channels than this, ffmpeg guesses no places for them.
MOST_GUESSED: Final = 8

#: Places of which ffmpeg's mixer wants one at least, and those of which it wants both
#: or none.
FRONT: Final = frozenset({"FL", "FR", "FC"})
PAIRS: Final = (("FL", "FR"), ("FLC", "FRC"), ("SL", "SR"), ("BL", "BR"))

#: More sounds than this are left out.
MOST_SOUNDS: Final = 16


def audio_renditions(
    chosen: list[AudioStream], options: ProcessVideoOptions, settings: VideoSettings
) -> tuple[AudioRendition, ...]:
    """Return the tracks to encode: the default one first, what is in 5.1 last."""
    labels = unique([_label(stream) for stream in chosen])
    stereo = [
        AudioRendition(
            name=str(number),
            source_index=stream.index,
            channels=min(STEREO, stream.channels),
            bitrate=settings.audio_bitrate // (1 if stream.channels > 1 else 2),
            sample_rate=SAMPLE_RATE,
            language=stream.language,
            label=label,
            default=number == 0,
            purpose=stream.purpose,
            heard=_heard(stream),
        )
        for number, (stream, label) in enumerate(zip(chosen, labels, strict=True))
    ]
    surround = [
        replace(
            track,
            name=f"{track.name}-surround",
            channels=SURROUND,
            bitrate=SURROUND_SHARE * settings.audio_bitrate,
        )
        for track, stream in zip(stereo, chosen, strict=True)
        if options.surround and track.heard is None and stream.channels >= SURROUND
    ]
    return (*stereo, *surround)


def _heard(stream: AudioStream) -> tuple[int, int] | None:
    """Return the channels to take where ffmpeg cannot mix all of them.

    Of channels without a place, or of odd ones, the first two mostly are stereo.  Of an
    ambisonic sound, the first is what comes from all sides.
    """
    layout = stream.layout or ""
    if layout.startswith("ambisonic"):
        return 0, 0
    named = re.search(r"\(([A-Z0-9]+(?:\+[A-Z0-9]+)+)\)", layout)
    places = set(named[1].split("+")) if named else set()
    if places:
        odd = any((left in places) != (right in places) for left, right in PAIRS)
        return (0, 1) if odd or not places & FRONT else None
    return None if layout or stream.channels <= MOST_GUESSED else (0, 1)


def unique(names: list[str]) -> list[str]:
    """Return *names* with a number where one came before: each tells one track."""
    seen: Counter[str] = Counter()
    made = []
    for name in names:
        seen[name] += 1
        made.append(name if seen[name] == 1 else f"{name} {seen[name]}")
    return made


def _label(stream: AudioStream) -> str:
    name = name_of(stream.language) or "Audio"
    return name if stream.purpose == "main" else f"{name} ({stream.purpose})"


def choose(
    streams: tuple[AudioStream, ...], options: ProcessVideoOptions
) -> list[AudioStream]:
    """Return the streams that viewers may choose from, the default one first."""
    best = sorted(streams, key=_rank)
    if options.audio_tracks == "default":
        return best[:1]
    others = sorted(best[1:], key=lambda stream: stream.index)
    if options.audio_tracks == "all":
        return best[:1] + others
    by_language = {bcp47(stream.language): stream for stream in reversed(best)}
    return best[:1] + [
        stream
        for stream in others
        if stream.purpose == "main"
        and stream.language
        and stream is by_language[bcp47(stream.language)]
    ]


def _rank(stream: AudioStream) -> tuple[bool, bool, int, int]:
    """Order streams: the default one comes first, else that with most channels."""
    told = stream.purpose != "main", not stream.default
    return (*told, -stream.channels, stream.index)
