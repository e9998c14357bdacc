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
NEAR_GRID: Final = Fraction(1, 10)

#: Most frames a second of any rendition, and of a slow rung.
TOP_FPS: Final = 60
SLOW_FPS: Final = 30

#: Half of a frame rate is taken only if it is still smooth.
LEAST_HALF: Final = Fraction(24000, 1001)

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
    rungs = [_at_rate(r, master) for r in _choose(min(width, height), ladder)]
    capped = _cap_by_source(rungs, media, video)
    return tuple(_rendition(rung, width, height, master) for rung in capped)


def _within_limit(width: int, height: int) -> tuple[int, int]:
    longest = max(width, height)
    if longest <= MAX_LONG_SIDE:
        return width, height
    scale = Fraction(MAX_LONG_SIDE, longest)
    return max(2, round(width * scale)), max(2, round(height * scale))


def output_rate(video: VideoStream) -> Fraction:
    """Return the constant rate of the largest rendition.

    That of the grid on which the source's frames lie, so that each is shown, also in
    a burst; where the grid is finer than that, a common rate near the average.
    """
    rate = Fraction(video.fps_q)
    grid = Fraction(video.nominal_fps_q or rate)
    if (
        (1 - NEAR_GRID) * rate
        <= grid
        <= max(Fraction(SLOW_FPS), (1 + NEAR_VARYING) * rate)
    ):
        rate = grid
    elif video.vfr:
        rate = max(rate, Fraction(SLOW_FPS))
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
    # a header may say too little for the picture: what is not sound may all be picture
    sound = sum(track.bit_rate or 0 for track in media.audio)
    source = max(video.bit_rate or 0, (media.bit_rate or 0) - sound)
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


def _at_rate(rung: Rung, master: Fraction) -> Rung:
    """Return *rung* with half as much again to spend where frames are many."""
    fast = _rate(rung, master) > SLOW_FPS
    return replace(rung, maxrate=rung.maxrate * 3 // 2) if fast else rung


def _rendition(rung: Rung, width: int, height: int, master: Fraction) -> VideoRendition:
    scale = Fraction(rung.short, min(width, height))
    fps = _rate(rung, master)
    return VideoRendition(
        name=str(rung.short),
        width=_even(width * scale, width),
        height=_even(height * scale, height),
        fps=fps,
        # all rungs cut at the same instants: two seconds of the fastest one
        gop=int(max(1, round(2 * master)) * fps / master),
        crf=rung.crf,
        maxrate=rung.maxrate,
        bufsize=2 * rung.maxrate,
        profile="high",
    )


def _rate(rung: Rung, master: Fraction) -> Fraction:
    """Return *master*, or half of it: only whole divisions keep key frames aligned."""
    half = master / 2
    if rung.fast or half < LEAST_HALF or round(2 * master) % 2:
        return master
    return half


def _even(size: Fraction, limit: int) -> int:
    """Return the nearest even size that is not above the source's."""
    return max(2, min(2 * round(size / 2), limit // 2 * 2))
