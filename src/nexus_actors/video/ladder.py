"""Which renditions a source gets: never larger than itself, even sizes, exact rates."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

from .models import MediaInfo, VideoRendition, VideoStream


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One entry of a ladder, named by the short side of the picture; rates in bit/s."""

    short: int
    crf: int
    maxrate: int
    fast: bool = False


#: Rungs below 720 are for small screens and weak networks: at most 30 frames a second.
DEFAULT: Final = (
    Rung(short=1080, crf=22, maxrate=6_000_000, fast=True),
    Rung(short=720, crf=23, maxrate=3_500_000, fast=True),
    Rung(short=480, crf=24, maxrate=1_600_000),
    Rung(short=360, crf=25, maxrate=900_000),
    Rung(short=240, crf=26, maxrate=400_000),
)

#: Frame rates that most videos have, and how near a reading must be to be one of them.
COMMON_RATES: Final = tuple(
    Fraction(rate)
    for rate in ("24000/1001", "24", "25", "30000/1001", "30", "50", "60000/1001", "60")
)
NEAR: Final = Fraction(1, 500)
NEAR_VARYING: Final = Fraction(1, 50)

#: Most frames a second of any rendition, and of a slow rung.
TOP_FPS: Final = 60
SLOW_FPS: Final = 30

#: Longest side that H.264 decoders commonly take.
MAX_LONG_SIDE: Final = 4096

#: A rung with less than this share of its usual rate would only repeat another.
LEAST_SHARE: Final = 0.2

#: How much better than H.264 a source's codec compresses: its bits are worth more.
CODEC_FACTOR: Final = {"hevc": 1.6, "vp9": 1.6, "av1": 2.0}


def renditions(
    media: MediaInfo, ladder: tuple[Rung, ...] = DEFAULT
) -> tuple[VideoRendition, ...]:
    """Return what to encode of *media*, from large to small."""
    video = media.video
    assert video is not None  # noqa: S101 - the probe refuses a file without picture
    width, height = _within_limit(video.display_width, video.display_height)
    master = output_rate(video)
    rungs = _cap_by_source(_choose(min(width, height), ladder), media, video)
    return tuple(_rendition(rung, width, height, master) for rung in rungs)


def _within_limit(width: int, height: int) -> tuple[int, int]:
    longest = max(width, height)
    if longest <= MAX_LONG_SIDE:
        return width, height
    scale = Fraction(MAX_LONG_SIDE, longest)
    return max(2, round(width * scale)), max(2, round(height * scale))


def output_rate(video: VideoStream) -> Fraction:
    """Return the constant rate of the largest rendition.

    A rate that varies is taken for a common one near its average.  One that does not is
    kept, so that each frame of the source is shown once.
    """
    rate = Fraction(video.fps_q)
    nearest = min(COMMON_RATES, key=lambda common: abs(rate - common))
    if abs(rate - nearest) <= nearest * (NEAR_VARYING if video.vfr else NEAR):
        return nearest
    while rate > TOP_FPS:
        rate /= 2
    return max(rate.limit_denominator(1001), Fraction(1))


def _choose(short: int, ladder: tuple[Rung, ...]) -> list[Rung]:
    kept = [rung for rung in ladder if rung.short <= short]
    above = [rung for rung in ladder if rung.short > short]
    if not kept:  # smaller than the smallest rung
        return [replace(ladder[-1], short=short)]
    if above and kept[0].short < 0.9 * short:
        kept.insert(0, _between(above[-1], kept[0], short))
    return kept


def _between(above: Rung, below: Rung, short: int) -> Rung:
    """Return a rung of the source's own size, its cap in proportion."""
    share = (short - below.short) / (above.short - below.short)
    maxrate = below.maxrate + share * (above.maxrate - below.maxrate)
    return replace(below, short=short, maxrate=int(maxrate), fast=above.fast)


def _cap_by_source(
    rungs: list[Rung], media: MediaInfo, video: VideoStream
) -> list[Rung]:
    """Spend no more than the source is worth; drop rungs that then hardly differ."""
    source = video.bit_rate or media.bit_rate or 0
    worth = 1.2 * source * CODEC_FACTOR.get(video.codec, 1.0)
    chosen: list[Rung] = []
    for rung in rungs:
        cap = rung.maxrate
        if worth and not chosen:
            cap = min(cap, max(int(worth), 100_000))
        if chosen and cap > 0.85 * chosen[-1].maxrate:
            cap = int(0.6 * chosen[-1].maxrate)
            if cap < LEAST_SHARE * rung.maxrate:
                continue
        chosen.append(replace(rung, maxrate=cap))
    return chosen


def _rendition(rung: Rung, width: int, height: int, master: Fraction) -> VideoRendition:
    scale = Fraction(rung.short, min(width, height))
    fps = master if rung.fast else _slow(master)
    maxrate = rung.maxrate * 3 // 2 if fps > SLOW_FPS else rung.maxrate
    return VideoRendition(
        name=str(rung.short),
        width=_even(width * scale),
        height=_even(height * scale),
        fps=fps,
        # all rungs cut at the same instants: two seconds of the fastest one
        gop=int(max(1, round(2 * master)) * fps / master),
        crf=rung.crf,
        maxrate=maxrate,
        bufsize=2 * maxrate,
        profile="high",
    )


def _slow(master: Fraction) -> Fraction:
    """Return *master*, or half of it: only whole divisions keep key frames aligned."""
    return (
        master / 2 if master > SLOW_FPS + 1 and round(2 * master) % 2 == 0 else master
    )


def _even(size: Fraction) -> int:
    return max(2, 2 * round(size / 2))
