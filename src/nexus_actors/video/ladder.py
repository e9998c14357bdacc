"""Which renditions a source gets: never larger than itself, even sizes, exact rates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from math import ceil
from typing import Final

from .models import (
    LadderName,
    MediaInfo,
    ProcessVideoOptions,
    RenditionOptions,
    VideoRendition,
    VideoStream,
)
from .settings import VideoSettings


#: A part of a source's frame rate is taken for a rung only if it is still smooth.
SMOOTH: Final = Fraction(24000, 1001)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One entry of a ladder, named by the short side of the picture; rates in bit/s.

    Above 30 frames a second, *maxrate* is *fast_share* times as much.  *max_fps* is
    kept unless fewer than *least_fps* frames were left.
    """

    short: int
    crf: int
    maxrate: int
    max_fps: int = 60
    least_fps: Fraction = SMOOTH
    fast_share: Fraction = Fraction(3, 2)


#: Rungs below 720 are for small screens and weak networks: at most 30 frames a second.
#: Each costs about half of the one above it, as Apple asks for, at its cap and below:
#: a player that steps down further shows much less than its network could bear.
DEFAULT: Final = (
    Rung(short=1080, crf=22, maxrate=6_000_000),
    Rung(short=720, crf=22, maxrate=3_100_000),
    Rung(short=480, crf=23, maxrate=1_600_000, max_fps=30),
    Rung(short=360, crf=24, maxrate=800_000, max_fps=30),
    Rung(short=240, crf=24, maxrate=400_000, max_fps=30),
)

#: The usual figures for all sizes.
USUAL: Final = (
    Rung(short=2160, crf=22, maxrate=20_000_000),
    Rung(short=1440, crf=22, maxrate=12_000_000),
    *DEFAULT,
)

#: The named ladders, each from large to small; of ``single``, the first that fits.
LADDERS: Final[Mapping[LadderName, tuple[Rung, ...]]] = {
    "default": DEFAULT,
    "mobile": (
        Rung(short=720, crf=25, maxrate=2_000_000, max_fps=30),
        Rung(short=480, crf=26, maxrate=1_000_000, max_fps=30),
        Rung(short=360, crf=27, maxrate=600_000, max_fps=30),
        Rung(short=240, crf=28, maxrate=300_000, max_fps=30),
    ),
    "single": USUAL,
    "premium": (
        Rung(short=2160, crf=20, maxrate=20_000_000),
        Rung(short=1440, crf=20, maxrate=12_000_000),
        Rung(short=1080, crf=20, maxrate=8_000_000),
        Rung(short=720, crf=20, maxrate=4_500_000),
        Rung(short=480, crf=21, maxrate=2_300_000, max_fps=30),
        Rung(short=360, crf=22, maxrate=1_200_000, max_fps=30),
        Rung(short=240, crf=22, maxrate=600_000, max_fps=30),
    ),
}

#: Frame rates that most videos have, and how near a reading must be to be one of them.
COMMON_RATES: Final = tuple(
    Fraction(rate)
    for rate in ("24000/1001", "24", "25", "30000/1001", "30", "50", "60000/1001", "60")
)
NEAR: Final = Fraction(1, 500)
NEAR_VARYING: Final = Fraction(1, 50)
NEAR_GRID: Final = Fraction(1, 10)

#: Most frames a second of any rendition, and of what counts as slow.
TOP_FPS: Final = 60
SLOW_FPS: Final = 30

#: Longest side that H.264 decoders commonly take.
MAX_LONG_SIDE: Final = 4096

#: Less than this, in bit/s, no picture can be encoded with.
LEAST_RATE: Final = 100_000

#: A rung with less than this share of its usual rate would only repeat another.
LEAST_SHARE: Final = 0.2

#: How much better than H.264 a source's codec compresses: its bits are worth more.
CODEC_FACTOR: Final = {"hevc": 1.6, "vp9": 1.6, "av1": 2.0}


def rungs_of(options: ProcessVideoOptions, settings: VideoSettings) -> tuple[Rung, ...]:
    """Return the ladder that *options* ask for, from large to small."""
    share = Fraction(settings.video_bitrate, DEFAULT[0].maxrate)
    if options.ladder == "custom":
        wanted = sorted(options.renditions, key=lambda r: -r.resolution)
        return tuple(_custom(rendition, share) for rendition in wanted)
    return tuple(
        replace(rung, maxrate=int(rung.maxrate * share))
        for rung in LADDERS[options.ladder]
    )


def _custom(wanted: RenditionOptions, share: Fraction) -> Rung:
    """Fill in what the host has left open."""
    usual = _usual(wanted.resolution)
    rung = Rung(
        short=wanted.resolution,
        crf=wanted.crf or usual.crf,
        maxrate=int(usual.maxrate * share),
        max_fps=wanted.max_fps,
        least_fps=Fraction(0),
    )
    if wanted.max_bitrate is None:
        return rung
    return replace(rung, maxrate=wanted.max_bitrate, fast_share=Fraction(1))


def _usual(short: int) -> Rung:
    """Return the rung of the usual figures for any size."""
    for above, below in pairwise(USUAL):
        if above.short >= short >= below.short:
            return _between(above, below, short)
    nearest = USUAL[0] if short > USUAL[0].short else USUAL[-1]
    maxrate = nearest.maxrate * short // nearest.short
    return replace(nearest, short=short, maxrate=max(50_000, maxrate))


def renditions(
    media: MediaInfo, ladder: tuple[Rung, ...] = DEFAULT, *, exact: bool = False
) -> tuple[VideoRendition, ...]:
    """Return what to encode of *media*, from large to small.

    A ladder that is *exact* loses the rungs that are larger than the source, and
    nothing else is added to it or left out of it.
    """
    video = media.video
    assert video is not None  # noqa: S101 - the probe refuses a file without picture
    width, height = _within_limit(video.display_width, video.display_height)
    rungs = _choose(min(width, height), ladder, exact=exact)
    rates = _rates(output_rate(video), rungs)
    made = [
        _rendition(rung, width, height, fps, rates[0])
        for rung, fps in zip(rungs, rates, strict=True)
    ]
    worth = _worth(media, video)
    if exact:
        return tuple(_capped(r, min(r.maxrate, worth or r.maxrate)) for r in made)
    return tuple(_spaced(made, worth))


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


def _choose(short: int, ladder: tuple[Rung, ...], *, exact: bool) -> list[Rung]:
    kept = [rung for rung in ladder if rung.short <= short]
    above = [rung for rung in ladder if rung.short > short]
    if not kept:  # smaller than the smallest rung
        return [replace(ladder[-1], short=short)]
    if above and kept[0].short < 0.9 * short and not exact:
        kept.insert(0, _between(above[-1], kept[0], short))
    return kept


def _between(above: Rung, below: Rung, short: int) -> Rung:
    """Return a rung of a size between two, its cap in proportion."""
    share = (short - below.short) / (above.short - below.short)
    maxrate = below.maxrate + share * (above.maxrate - below.maxrate)
    return replace(below, short=short, maxrate=int(maxrate), max_fps=above.max_fps)


def _worth(media: MediaInfo, video: VideoStream) -> int:
    """Return the bit/s above which a rendition cannot gain; 0 if that is not known."""
    # a header may say too little for the picture: what is not sound may all be picture
    sound = sum(track.bit_rate or 0 for track in media.audio)
    source = max(video.bit_rate or 0, (media.bit_rate or 0) - sound)
    worth = int(1.2 * source * CODEC_FACTOR.get(video.codec, 1.0))
    return max(worth, LEAST_RATE) if worth else 0


def _spaced(made: list[VideoRendition], worth: int) -> list[VideoRendition]:
    """Spend no more than the source is worth; drop what then hardly differs."""
    chosen: list[VideoRendition] = []
    for rendition in made:
        cap = rendition.maxrate
        if worth and not chosen:
            cap = min(cap, worth)
        if chosen and cap > 0.85 * chosen[-1].maxrate:
            cap = int(0.6 * chosen[-1].maxrate)
            if cap < LEAST_SHARE * rendition.maxrate:
                continue
        chosen.append(_capped(rendition, cap))
    return chosen


def _capped(rendition: VideoRendition, maxrate: int) -> VideoRendition:
    return replace(rendition, maxrate=maxrate, bufsize=2 * maxrate)


def _rendition(
    rung: Rung, width: int, height: int, fps: Fraction, master: Fraction
) -> VideoRendition:
    scale = Fraction(rung.short, min(width, height))
    maxrate = int(rung.maxrate * rung.fast_share) if fps > SLOW_FPS else rung.maxrate
    return VideoRendition(
        name=str(rung.short),
        width=_even(width * scale, width),
        height=_even(height * scale, height),
        fps=fps,
        # all rungs cut at the same instants: two seconds of the fastest one
        gop=int(frames_of_gop(master) * fps / master),
        crf=rung.crf,
        maxrate=maxrate,
        bufsize=2 * maxrate,
    )


def frames_of_gop(fps: Fraction) -> int:
    """Return how many frames at *fps* are two seconds, as nearly as they can be."""
    return max(1, round(2 * fps))


def _rates(source: Fraction, rungs: list[Rung]) -> list[Fraction]:
    """Return each rung's rate: none shows more frames than a larger one."""
    first = _divided(source, rungs[0], rungs[0].max_fps)
    rates = [first]
    for rung in rungs[1:]:
        cap = min(rung.max_fps, ceil(rates[-1]))
        rates.append(_divided(first, rung, cap, frames_of_gop(first)))
    return rates


def _divided(rate: Fraction, rung: Rung, cap: int, gop: int = 0) -> Fraction:
    """Return *rate*, or the largest whole part of it that is at most *cap*.

    Of a *gop*, the part must have whole frames, too: so key frames stay aligned.
    """
    for divisor in range(1, max(ceil(rate), gop) + 1):
        part = rate / divisor
        if part <= cap and gop % divisor == 0:
            return part if part >= rung.least_fps else rate
    return rate


def _even(size: Fraction, limit: int) -> int:
    """Return the nearest even size that is not above the source's."""
    return max(2, min(2 * round(size / 2), limit // 2 * 2))
