"""What the index reads from the segments that the encode has made."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from .media import Purpose
from .plans import Caption


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragment:
    """One ``moof`` and its ``mdat``: a group of pictures that starts with a key frame.

    *key_frame_end* is where the first sample ends, counted from the file's start:
    the byte range ``[offset, key_frame_end)`` is what an I-frame playlist names.
    Times are in ticks of the track's timescale.
    """

    offset: int
    key_frame_end: int
    start: int
    duration: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One file of a track; presentation times, in ticks of the track's timescale."""

    name: str
    size: int
    start: int
    duration: int
    frames: int
    fragments: tuple[Fragment, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One encoded rendition as it lies on disk, measured.

    Attributes:
        name: Of the rendition that the plan asked for.
        folder: Where its init and segments lie, from the root of the outputs.
        codecs: The RFC 6381 string, built from the sample entry.
        peak_bitrate: Of the worst segment, in bit/s; *average_bitrate* of all.
        priming: How many ticks of it lie before 0 and are never played: what an audio
            encoder needs to begin.
    """

    kind: Literal["video", "audio"]
    name: str
    folder: str
    timescale: int
    codecs: str
    segments: tuple[Segment, ...]
    peak_bitrate: int
    average_bitrate: int
    priming: int = 0
    width: int = 0
    height: int = 0
    fps: Fraction = Fraction(0)
    progressive: bool = False
    channels: int = 0
    sample_rate: int = 0
    language: str | None = None
    label: str = ""
    default: bool = False
    purpose: Purpose = "main"

    @property
    def duration(self) -> float:
        """Length on the presentation's time line, in seconds."""
        last = self.segments[-1]
        return (last.start + last.duration) / self.timescale

    @property
    def frames(self) -> int:
        """How many samples the track holds."""
        return sum(segment.frames for segment in self.segments)


@dataclass(frozen=True, slots=True, kw_only=True)
class Presentation:
    """All tracks that one set of manifests describes, in the plan's order.

    *clean* is without a mark, and in no manifest if the others have one.
    """

    video: tuple[Track, ...]
    audio: tuple[Track, ...]
    clean: Track | None = None
    captions: tuple[Caption, ...] = ()

    @property
    def progressive(self) -> tuple[Track, ...]:
        """What becomes a plain file, too."""
        files = tuple(track for track in self.video if track.progressive)
        if self.clean is None or self.clean in files:
            return files
        return (*files, self.clean)

    @property
    def main_sound(self) -> Track | None:
        """The sound of what offers no choice."""
        return max(self.audio, key=lambda track: track.default, default=None)

    @property
    def by_codec(self) -> tuple[tuple[Track, ...], ...]:
        """The video of each codec, from large to small; H.264 is the first."""
        groups: dict[str, list[Track]] = {}
        for track in self.video:
            groups.setdefault(track.codecs.partition(".")[0], []).append(track)
        return tuple(tuple(group) for group in groups.values())

    @property
    def duration(self) -> float:
        """Of the longest track, in seconds."""
        return max(track.duration for track in (*self.video, *self.audio))
