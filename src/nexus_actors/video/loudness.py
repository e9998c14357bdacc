"""How loud each sound is, and by how much it is changed: measured, then one gain.

A single gain keeps the distance of soft and loud parts, which a compressor does not.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

import ffmpeg

from .commands import PEAK_DB, QUIET, source_of, steady_sounds
from .ffprobe import number
from .models import Plan
from .tools import Tools


#: So many sounds are measured by one command: of a long report, not all is kept.
TOGETHER: Final = 8

#: What ebur128 gives for silence, and for less sound than can be measured, in LUFS.
SILENCE: Final = -70.0

#: By how much the limiter may lower peaks, in dB: more of it could be heard.
MOST_LIMITED: Final = 6.0

#: Nothing is made louder by more than this, in dB: it would be mostly noise.
MOST_GAIN: Final = 20.0

#: A smaller change than this, in dB, is not worth one.
LEAST_GAIN: Final = 0.5

#: How one ebur128 filter reports, at its end.
REPORT: Final = re.compile(
    r"\[ebur128@t(\d+) @ [^]]*\] Summary:.*?I:\s*(\S+) LUFS.*?Peak:\s*(\S+) dBFS",
    re.DOTALL,
)


def measure(
    plan: Plan, source: Path, tools: Tools, run: Callable[[list[str]], str]
) -> dict[str, float]:
    """Return the gain of each audio track of *plan* by its name, in dB.

    *run* returns what a command has printed on stderr.
    """
    if plan.loudness is None:
        return {}
    gains: dict[str, float] = {}
    for start in range(0, len(plan.audio), TOGETHER):
        tracks = range(len(plan.audio))[start : start + TOGETHER]
        printed = run(measure_command(plan, tracks, source, tools))
        found = read_gains(printed, plan.loudness)
        gains |= {plan.audio[n].name: gain for n, gain in found.items()}
    return gains


def measure_command(plan: Plan, tracks: range, source: Path, tools: Tools) -> list[str]:
    """Return the command that measures some *tracks* of *plan*, decoding sound alone.

    What is measured is what will be encoded: the mix to fewer channels changes it.
    """
    sounds = steady_sounds(source_of(plan, source), [plan.audio[n] for n in tracks])
    heard = [
        # per frame it would tell too much: "verbose" is not printed
        sound.filter(f"ebur128@t{n}", peak="true", framelog="verbose")
        for n, sound in zip(tracks, sounds, strict=True)
    ]
    compiled: list[str] = ffmpeg.output(*heard, "-", f="null").compile(
        cmd=str(tools.ffmpeg)
    )
    return [compiled[0], *QUIET, "-v", "info", *compiled[1:]]


def read_gains(printed: str, target: float) -> dict[int, float]:
    """Return the gains of the tracks that *printed* reports on, by their numbers."""
    # ffmpeg 5 reports twice, the first time of nothing: the last report counts
    return {
        int(track): gain(number(loudness), number(peak), target)
        for track, loudness, peak in REPORT.findall(printed)
    }


def gain(loudness: float | None, peak: float | None, target: float) -> float:
    """Return by how many dB a sound is changed to be as loud as *target*, in LUFS."""
    if loudness is None or peak is None or loudness <= SILENCE:
        return 0.0
    wanted = min(target - loudness, PEAK_DB + MOST_LIMITED - peak, MOST_GAIN)
    return round(wanted, 2) if abs(wanted) >= LEAST_GAIN else 0.0
