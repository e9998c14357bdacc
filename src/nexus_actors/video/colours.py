"""The filters that make any picture one for every screen: progressive, SDR, BT.709."""

from __future__ import annotations

from typing import Final

from .ffprobe import number
from .models import Filter, VideoRendition, VideoStream


#: Lines from which untagged video is taken for HD.
HD_LINES: Final = 720

#: Transfers of high dynamic range, which need a tone map.
HDR_TRANSFERS: Final = {"smpte2084", "arib-std-b67"}

#: Luminance of a white page in HDR, in cd/m² (ITU-R BT.2408): it becomes SDR's white.
REFERENCE_WHITE: Final = 203

#: Luminance of the brightest part where the file does not say, and what it may say.
USUAL_PEAK: Final = 1000
PEAKS: Final = (400, 4000)

#: `scale`'s words for matrices, by ffprobe's.
MATRICES: Final = {
    "bt709": "bt709",
    "smpte170m": "bt601",
    "bt470bg": "bt601",
    "fcc": "fcc",
    "smpte240m": "smpte240m",
    "bt2020nc": "bt2020",
    "bt2020c": "bt2020",
}

#: Pixel formats with transparency begin like this.
ALPHA: Final = ("rgba", "bgra", "argb", "abgr", "yuva", "ya8", "ya16", "gbrap", "pal8")


def pre_filters(video: VideoStream, top: VideoRendition) -> list[Filter]:
    """Return the filters before the split: fields, frame rate, colour and size."""
    chain: list[Filter] = []
    if video.interlaced:
        fields = {"mode": "send_frame", "parity": "auto", "deint": "all"}
        chain.append(Filter(name="bwdif", options=fields))
    # start_time=0 repeats the first frame of a picture that starts late
    fps = f"{top.fps.numerator}/{top.fps.denominator}"
    chain.append(Filter(name="fps", options={"fps": fps, "start_time": "0"}))
    size = {"w": str(top.width), "h": str(top.height), "flags": "bicubic"}
    if video.color.transfer in HDR_TRANSFERS:
        chain += [Filter(name="scale", options=size), *_tone_map(video)]
    else:
        chain.append(Filter(name="scale", options={**size, **_to_bt709(video)}))
    bt709 = {
        "range": "tv",
        "color_primaries": "bt709",
        "color_trc": "bt709",
        "colorspace": "bt709",
    }
    return [
        *chain,
        Filter(name="format", options={"pix_fmts": "yuv420p"}),
        Filter(name="setparams", options=bt709),
        Filter(name="setsar", options={"sar": "1"}),
        # what a frame carries beside its picture, such as captions, or a matrix
        Filter(name="sidedata", options={"mode": "delete"}),
    ]


def _to_bt709(video: VideoStream) -> dict[str, str]:
    """Return the options of `scale` that convert matrix and range, not just relabel."""
    sd = max(video.display_height, 0) < HD_LINES
    guess = "bt601" if sd else "bt709"
    full = video.color.range == "pc" or (video.pix_fmt or "").startswith("yuvj")
    return {
        "in_color_matrix": MATRICES.get(video.color.matrix or "", guess),
        "out_color_matrix": "bt709",
        "in_range": "full" if full else "auto",
        "out_range": "tv",
    }


def _tone_map(video: VideoStream) -> list[Filter]:
    """Return the way from HDR to SDR; tags first, since zscale dies of missing ones.

    Up to half of reference white nothing changes; what is brighter is bent below
    SDR's white, since cut off it would lose its drawing.
    """
    tags = {
        "range": "pc" if video.color.range == "pc" else "tv",
        "color_primaries": "bt2020",
        "color_trc": video.color.transfer or "smpte2084",
        "colorspace": "bt2020nc",
    }
    peak = f"{_peak(video) / REFERENCE_WHITE:.3f}"
    curve = {"tonemap": "mobius", "param": "0.5", "peak": peak, "desat": "0"}
    return [
        Filter(name="setparams", options=tags),
        Filter(name="zscale", options={"t": "linear", "npl": str(REFERENCE_WHITE)}),
        Filter(name="format", options={"pix_fmts": "gbrpf32le"}),
        Filter(name="zscale", options={"p": "bt709"}),
        Filter(name="tonemap", options=curve),
        Filter(name="zscale", options={"t": "bt709", "m": "bt709", "r": "tv"}),
    ]


def _peak(video: VideoStream) -> float:
    """Return the luminance of the brightest part of the picture, in cd/m²."""
    mastering = (video.hdr.mastering if video.hdr else None) or {}
    told = video.hdr.max_cll if video.hdr else None
    peak = told or number(mastering.get("max_luminance")) or USUAL_PEAK
    return min(max(peak, PEAKS[0]), PEAKS[1])


def has_alpha(video: VideoStream) -> bool:
    """Tell whether parts of the picture may be transparent."""
    return (video.pix_fmt or "").startswith(ALPHA)
