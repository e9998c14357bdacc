"""HLS (RFC 8216, protocol version 7) over fragmented MP4."""

from __future__ import annotations

from collections import Counter
from itertools import chain
from math import ceil
from typing import Final

from nexus_actors.video.base import Packager, Workbench
from nexus_actors.video.languages import bcp47
from nexus_actors.video.models import Presentation, Track


#: The group that all audio renditions belong to.
AUDIO_GROUP: Final = "aac"

#: Players start with the first variant that is listed: one near this rate, in bit/s.
START_BITRATE: Final = 2_000_000


class HlsPackager(Packager):
    name = "hls"
    step = "manifests"

    def package(self, presentation: Presentation, bench: Workbench) -> list[str]:
        texts = {f"hls/v_{t.name}.m3u8": media_playlist(t) for t in presentation.video}
        texts |= {
            f"hls/v_{t.name}_iframe.m3u8": iframe_playlist(t)
            for t in presentation.video
        }
        texts |= {f"hls/a_{t.name}.m3u8": media_playlist(t) for t in presentation.audio}
        texts["hls/master.m3u8"] = master_playlist(presentation)
        for path, text in texts.items():
            target = bench.root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        return list(texts)


def master_playlist(presentation: Presentation) -> str:
    """List the variants, the audio group and the I-frame playlists."""
    lines = ["#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-INDEPENDENT-SEGMENTS"]
    names = unique([track.label or track.name for track in presentation.audio])
    lines += [
        _audio(track, name)
        for track, name in zip(presentation.audio, names, strict=True)
    ]
    h264, *others = presentation.by_codec
    for track in (*start_order(h264), *chain(*others)):
        lines += [_variant(track, presentation.audio), f"v_{track.name}.m3u8"]
    lines += [_iframes(track) for track in presentation.video]
    return "\n".join(lines) + "\n"


def start_order(tracks: tuple[Track, ...]) -> list[Track]:
    """Put the variant that a player should start with first, the rest from large."""
    first = min(tracks, key=lambda track: abs(track.peak_bitrate - START_BITRATE))
    return [first, *(track for track in tracks if track is not first)]


def unique(names: list[str]) -> list[str]:
    """Return *names* with a number where one came before: a group holds each once."""
    seen: Counter[str] = Counter()
    made = []
    for name in names:
        seen[name] += 1
        made.append(name if seen[name] == 1 else f"{name} {seen[name]}")
    return made


def _audio(track: Track, name: str) -> str:
    language = bcp47(track.language)
    attributes = [
        "TYPE=AUDIO",
        f'GROUP-ID="{AUDIO_GROUP}"',
        f'NAME="{quotable(name)}"',
        f'LANGUAGE="{language}"' if language else "",
        f"DEFAULT={'YES' if track.default else 'NO'}",
        "AUTOSELECT=YES",
        f'CHANNELS="{track.channels}"',
        f'URI="a_{track.name}.m3u8"',
    ]
    return "#EXT-X-MEDIA:" + ",".join(filter(None, attributes))


def _variant(track: Track, audio: tuple[Track, ...]) -> str:
    codecs = ",".join(dict.fromkeys(t.codecs for t in (track, *audio)))
    peak = track.peak_bitrate + max((t.peak_bitrate for t in audio), default=0)
    average = track.average_bitrate + max((t.average_bitrate for t in audio), default=0)
    attributes = [
        f"BANDWIDTH={peak}",
        f"AVERAGE-BANDWIDTH={average}",
        f'CODECS="{codecs}"',
        f"RESOLUTION={track.width}x{track.height}",
        f"FRAME-RATE={float(track.fps):.3f}",
        "VIDEO-RANGE=SDR",
        "CLOSED-CAPTIONS=NONE",
        f'AUDIO="{AUDIO_GROUP}"' if audio else "",
    ]
    return "#EXT-X-STREAM-INF:" + ",".join(filter(None, attributes))


def _iframes(track: Track) -> str:
    sizes = [
        (f.key_frame_end - f.offset, max(1, f.duration))
        for segment in track.segments
        for f in segment.fragments
    ]
    peak = max(8 * size * track.timescale / duration for size, duration in sizes)
    total = sum(duration for _, duration in sizes)
    average = 8 * sum(size for size, _ in sizes) * track.timescale / total
    return (
        f"#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH={ceil(peak)},"
        f'AVERAGE-BANDWIDTH={ceil(average)},CODECS="{track.codecs}",'
        f"RESOLUTION={track.width}x{track.height},VIDEO-RANGE=SDR,"
        f'URI="v_{track.name}_iframe.m3u8"'
    )


def _header(track: Track, longest: float, *more: str) -> list[str]:
    return [
        "#EXTM3U",
        "#EXT-X-VERSION:7",
        f"#EXT-X-TARGETDURATION:{max(1, int(longest + 0.5))}",
        "#EXT-X-MEDIA-SEQUENCE:0",
        "#EXT-X-PLAYLIST-TYPE:VOD",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        *more,
        f'#EXT-X-MAP:URI="../{track.folder}/init.mp4"',
    ]


def media_playlist(track: Track) -> str:
    """List the segments with their measured durations."""
    seconds = [segment.duration / track.timescale for segment in track.segments]
    lines = _header(track, max(seconds))
    for segment, duration in zip(track.segments, seconds, strict=True):
        lines += [f"#EXTINF:{duration:.6f},", f"../{track.folder}/{segment.name}"]
    return "\n".join([*lines, "#EXT-X-ENDLIST"]) + "\n"


def iframe_playlist(track: Track) -> str:
    """List the byte range of every key frame."""
    found = [(segment, f) for segment in track.segments for f in segment.fragments]
    longest = max(f.duration / track.timescale for _, f in found)
    lines = _header(track, longest, "#EXT-X-I-FRAMES-ONLY")
    for segment, fragment in found:
        size = fragment.key_frame_end - fragment.offset
        lines += [
            f"#EXTINF:{fragment.duration / track.timescale:.6f},",
            f"#EXT-X-BYTERANGE:{size}@{fragment.offset}",
            f"../{track.folder}/{segment.name}",
        ]
    return "\n".join([*lines, "#EXT-X-ENDLIST"]) + "\n"


def quotable(text: str) -> str:
    """Return *text* without what a quoted attribute cannot hold.

    A label comes from the uploaded file: it must not end the attribute or the line.
    """
    plain = "".join(c if c.isprintable() else " " for c in text)
    return plain.replace('"', "'")
