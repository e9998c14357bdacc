"""Apple's rules for films on demand, measured on playlists and segments as published.

They are those of the authoring specification for Apple devices and of RFC 8216.
Nothing of ours is used here: only what a player would fetch.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Final

from keyframes import begins_anew


#: The longest segment, and about how far key frames are apart, in seconds.
MOST_TARGET_S: Final = 6
KEY_FRAMES_S: Final = 2.1

#: How far the mean may be from what is told, and how many times it the peak may be.
AVERAGE_SHARE: Final = 0.1
PEAK_TIMES: Final = 2

#: How many times the next lower bandwidth one may be.
STEP_TIMES: Final = 2

#: What every variant must tell.
TOLD: Final = ("CODECS", "RESOLUTION", "FRAME-RATE", "AVERAGE-BANDWIDTH")


def attributes(line: str) -> dict[str, str]:
    """Return the attributes of a tag."""
    found = re.findall(r'([A-Z0-9-]+)=("[^"]*"|[^,]*)', line.partition(":")[2])
    return {name: value.strip('"') for name, value in found}


@dataclass(frozen=True)
class Playlist:
    """A media playlist and the segments that it names."""

    path: Path

    @cached_property
    def text(self) -> str:
        return self.path.read_text("utf-8")

    @cached_property
    def durations(self) -> list[float]:
        return [float(s) for s in re.findall(r"#EXTINF:([0-9.]+)", self.text)]

    @cached_property
    def segments(self) -> list[Path]:
        names = [x for x in self.text.splitlines() if x and not x.startswith("#")]
        return [self.path.parent / name for name in names]

    @property
    def target(self) -> int:
        told = re.search(r"#EXT-X-TARGETDURATION:(\d+)", self.text)
        return int(told[1]) if told else 0

    @property
    def peak(self) -> float:
        """The rate of the worst segment; a short last one is no measure."""
        return max(
            8 * path.stat().st_size / seconds
            for path, seconds in zip(self.segments, self.durations, strict=True)
            if 2 * seconds >= max(self.durations)
        )

    @property
    def average(self) -> float:
        size = sum(path.stat().st_size for path in self.segments)
        return 8 * size / sum(self.durations)


@dataclass(frozen=True)
class Variant:
    """A line of the master playlist, what it names, and the sounds of its group."""

    told: dict[str, str]
    picture: Playlist
    sounds: list[Playlist]


def faults(master: Path) -> set[str]:
    """Return the rules that a film on demand breaks; *master* is its entry."""
    text = master.read_text("utf-8")
    variants = _variants(master, text)
    playlists = [p for v in variants for p in (v.picture, *v.sounds)]
    found = {rule for playlist in playlists for rule in _of_playlist(playlist)}
    found |= {rule for variant in variants for rule in _of_variant(variant)}
    for codec in {variant.told.get("CODECS", "")[:4] for variant in variants}:
        same = [v for v in variants if v.told.get("CODECS", "")[:4] == codec]
        found |= _of_ladder(same)
        if f'CODECS="{codec}' not in "".join(_lines(text, "I-FRAME-STREAM-INF")):
            found.add("I-frame playlists")
    return found


def _lines(text: str, tag: str) -> list[str]:
    return re.findall(rf"^#EXT-X-{tag}:.*$", text, re.MULTILINE)


def _variants(master: Path, text: str) -> list[Variant]:
    sounds: dict[str, list[Playlist]] = {}
    for told in map(attributes, _lines(text, "MEDIA")):
        if told["TYPE"] == "AUDIO":
            playlist = Playlist(master.parent / told["URI"])
            sounds.setdefault(told["GROUP-ID"], []).append(playlist)
    return [
        Variant(
            told=attributes(line),
            picture=Playlist(master.parent / uri),
            sounds=sounds.get(attributes(line).get("AUDIO", ""), []),
        )
        for line, uri in pairwise(text.splitlines())
        if line.startswith("#EXT-X-STREAM-INF:")
    ]


def _of_playlist(playlist: Playlist) -> set[str]:
    broken = {
        "durations within the target": any(
            int(seconds + 0.5) > playlist.target for seconds in playlist.durations
        ),
        "target": not 0 < playlist.target <= MOST_TARGET_S,
        "end": not playlist.text.endswith("#EXT-X-ENDLIST\n"),
        "on demand": "#EXT-X-PLAYLIST-TYPE:VOD\n" not in playlist.text,
    }
    return {rule for rule, is_broken in broken.items() if is_broken}


def _of_variant(variant: Variant) -> set[str]:
    told, picture = variant.told, variant.picture
    sounds = variant.sounds
    peak = picture.peak + max((s.peak for s in sounds), default=0)
    average = picture.average + max((s.average for s in sounds), default=0)
    said = int(told.get("AVERAGE-BANDWIDTH", 0))
    broken = {
        "what is told": any(name not in told for name in TOLD),
        "bandwidth": peak > int(told["BANDWIDTH"]),
        "average": abs(average - said) > AVERAGE_SHARE * said,
        "peak": peak > PEAK_TIMES * average,
        "audio group": "mp4a" in told.get("CODECS", "") and not sounds,
        "key frames": not _keys_are_near(variant),
    }
    return {rule for rule, is_broken in broken.items() if is_broken}


def _keys_are_near(variant: Variant) -> bool:
    codec, picture = variant.told.get("CODECS", "avc1"), variant.picture
    for path, seconds in zip(picture.segments, picture.durations, strict=True):
        starts = begins_anew(path.read_bytes(), codec)
        if not all(starts) or seconds / len(starts) > KEY_FRAMES_S:
            return False
    return True


def _of_ladder(variants: list[Variant]) -> set[str]:
    borders = {tuple(variant.picture.durations) for variant in variants}
    rates = sorted(int(variant.told["BANDWIDTH"]) for variant in variants)
    broken = {
        "same borders": len(borders) > 1,
        "steps": any(b > STEP_TIMES * a for a, b in pairwise(rates)),
    }
    return {rule for rule, is_broken in broken.items() if is_broken}
