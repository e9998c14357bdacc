"""HLS (RFC 8216, protocol version 7) over fragmented MP4."""

from __future__ import annotations

from itertools import chain
from math import ceil
from typing import Final

from nexus_actors.video.base import Packager, Workbench
from nexus_actors.video.languages import bcp47
from nexus_actors.video.models import Caption, Presentation, Track


#: More channels than this are not for every player.
STEREO: Final = 2

#: What Apple's players know a description of the picture by.
DESCRIBES: Final = "public.accessibility.describes-video"

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
        texts |= {
            f"hls/s_{c.name}.m3u8": captions_playlist(c, presentation.duration)
            for c in presentation.captions
        }
        texts["hls/master.m3u8"] = master_playlist(presentation)
        for path, text in texts.items():
            target = bench.root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        return list(texts)


def master_playlist(presentation: Presentation) -> str:
    """List the sounds, the variants and the I-frame playlists."""
    lines = ["#EXTM3U", "#EXT-X-VERSION:7", "#EXT-X-INDEPENDENT-SEGMENTS"]
    groups = audio_groups(presentation.audio) or {"": []}
    for group, tracks in groups.items():
        lines += _audio(group, tracks)
    lines += [_captions(caption) for caption in presentation.captions]
    more = ',SUBTITLES="subs"' if presentation.captions else ""
    h264, *others = presentation.by_codec
    for group, tracks in groups.items():
        for track in (*start_order(h264), *chain(*others)):
            told, uri = _variant(track, group, tracks)
            lines += [told + more, uri]
    lines += [_iframes(track) for track in presentation.video]
    return "\n".join(lines) + "\n"


def start_order(tracks: tuple[Track, ...]) -> list[Track]:
    """Put the variant that a player should start with first, the rest from large."""
    first = min(tracks, key=lambda track: abs(track.peak_bitrate - START_BITRATE))
    return [first, *(track for track in tracks if track is not first)]


def audio_groups(tracks: tuple[Track, ...]) -> dict[str, list[Track]]:
    """Return the groups of sounds by their names: each offers the same choice.

    What is not in 5.1 stands in the group of 5.1 as it is.
    """
    stereo = [track for track in tracks if track.channels <= STEREO]
    surround = {track.label: track for track in tracks if track not in stereo}
    groups = {"aac": stereo} if stereo else {}
    if surround:
        groups["aac-surround"] = [surround.get(t.label, t) for t in stereo]
    return groups


def _audio(group: str, tracks: list[Track]) -> list[str]:
    seen: set[tuple[str | None, str]] = set()
    lines = []
    for track in tracks:
        language = bcp47(track.language)
        # a player chooses by itself between languages, not between sounds of one
        kind = language, track.purpose
        chosen = track.purpose != "commentary" and kind not in seen
        seen.add(kind)
        attributes = [
            "TYPE=AUDIO",
            f'GROUP-ID="{group}"',
            f'NAME="{quotable(track.label or track.name)}"',
            f'LANGUAGE="{language}"' if language else "",
            f"DEFAULT={'YES' if track.default else 'NO'}",
            f"AUTOSELECT={'YES' if chosen or track.default else 'NO'}",
            f'CHARACTERISTICS="{DESCRIBES}"' if track.purpose == "description" else "",
            f'CHANNELS="{track.channels}"',
            f'URI="a_{track.name}.m3u8"',
        ]
        lines.append("#EXT-X-MEDIA:" + ",".join(filter(None, attributes)))
    return lines


def _captions(caption: Caption) -> str:
    language = bcp47(caption.language)
    attributes = [
        "TYPE=SUBTITLES",
        'GROUP-ID="subs"',
        f'NAME="{quotable(caption.label)}"',
        f'LANGUAGE="{language}"' if language else "",
        "DEFAULT=NO",
        "AUTOSELECT=YES",
        f"FORCED={'YES' if caption.forced else 'NO'}",
        f'URI="s_{caption.name}.m3u8"',
    ]
    return "#EXT-X-MEDIA:" + ",".join(filter(None, attributes))


def captions_playlist(caption: Caption, seconds: float) -> str:
    """List the one file of captions, which lasts as long as the film."""
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:7",
        f"#EXT-X-TARGETDURATION:{max(1, int(seconds + 0.5))}",
        "#EXT-X-MEDIA-SEQUENCE:0",
        "#EXT-X-PLAYLIST-TYPE:VOD",
        f"#EXTINF:{seconds:.6f},",
        f"../{caption.path}",
        "#EXT-X-ENDLIST",
    ]
    return "\n".join(lines) + "\n"


def _variant(track: Track, group: str, audio: list[Track]) -> list[str]:
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
        f'AUDIO="{group}"' if group else "",
    ]
    told = "#EXT-X-STREAM-INF:" + ",".join(filter(None, attributes))
    return [told, f"v_{track.name}.m3u8"]


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
