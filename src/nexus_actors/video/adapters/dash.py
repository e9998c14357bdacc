"""MPEG-DASH (ISO/IEC 23009-1, live profile, static) over the same segments as HLS."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import Final
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from nexus_actors.video.base import Packager, Workbench
from nexus_actors.video.languages import bcp47
from nexus_actors.video.models import Caption, Presentation, Track


NAMESPACE: Final = "urn:mpeg:dash:schema:mpd:2011"
PROFILE: Final = "urn:mpeg:dash:profile:isoff-live:2011"
CHANNELS: Final = "urn:mpeg:dash:23003:3:audio_channel_configuration:2011"
STEREO: Final = 2
MANIFEST: Final = "dash/manifest.mpd"


class DashPackager(Packager):
    name = "dash"
    step = "manifests"

    def package(self, presentation: Presentation, bench: Workbench) -> list[str]:
        target = bench.root / MANIFEST
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(manifest(presentation))
        return [MANIFEST]


def manifest(presentation: Presentation) -> bytes:
    """Return the MPD as XML."""
    longest = max(
        segment.duration / track.timescale
        for track in (*presentation.video, *presentation.audio)
        for segment in track.segments
    )
    mpd = Element(
        "MPD",
        {
            "xmlns": NAMESPACE,
            "profiles": PROFILE,
            "type": "static",
            "mediaPresentationDuration": seconds(presentation.duration),
            "maxSegmentDuration": seconds(ceil(longest)),
            "minBufferTime": seconds(ceil(longest)),
        },
    )
    period = SubElement(mpd, "Period", {"id": "0", "start": "PT0S"})
    groups = presentation.by_codec
    for number, tracks in enumerate(groups):
        _video(period, number, tracks)
    for number, track in enumerate(presentation.audio, start=len(groups)):
        _audio(period, number, track)
    first = len(groups) + len(presentation.audio)
    for number, caption in enumerate(presentation.captions, start=first):
        _captions(period, number, caption)
    indent(mpd)
    xml: bytes = tostring(mpd, encoding="utf-8", xml_declaration=True)
    return xml + b"\n"


def seconds(value: float) -> str:
    """Return an XML duration: never below *value*, or the last frame would be cut."""
    micros = ceil(round(value * 1_000_000, 3))
    return f"PT{micros / 1_000_000:.6f}".rstrip("0").rstrip(".") + "S"


def _video(period: Element, number: int, tracks: tuple[Track, ...]) -> None:
    """Write the tracks of one codec; a player prefers the later set that it knows."""
    top = tracks[0]
    group = SubElement(
        period,
        "AdaptationSet",
        {
            "id": str(number),
            **({"selectionPriority": str(number + 1)} if number else {}),
            "contentType": "video",
            "mimeType": "video/mp4",
            "segmentAlignment": "true",
            "startWithSAP": "1",
            "maxWidth": str(max(track.width for track in tracks)),
            "maxHeight": str(max(track.height for track in tracks)),
            "maxFrameRate": rate(max(track.fps for track in tracks)),
            "par": aspect(top.width, top.height),
        },
    )
    for track in tracks:
        facts = {
            "id": f"v{track.name}",
            "codecs": track.codecs,
            "bandwidth": str(track.peak_bitrate),
            "width": str(track.width),
            "height": str(track.height),
            "frameRate": rate(track.fps),
            "sar": "1:1",
        }
        _timeline(SubElement(group, "Representation", facts), track)


def aspect(width: int, height: int) -> str:
    """Return the simplest ratio within 0.5 % of the picture's: sizes are rounded."""
    exact = Fraction(width, height)
    for limit in range(1, height + 1):
        ratio = exact.limit_denominator(limit)
        if abs(ratio - exact) * 200 <= exact:
            return f"{ratio.numerator}:{ratio.denominator}"
    return f"{width}:{height}"


def rate(fps: Fraction) -> str:
    """Return a frame rate as DASH writes it."""
    return str(fps.numerator) if fps.denominator == 1 else str(fps)


def _audio(period: Element, number: int, track: Track) -> None:
    language = bcp47(track.language)
    group = SubElement(
        period,
        "AdaptationSet",
        {
            "id": str(number),
            "contentType": "audio",
            "mimeType": "audio/mp4",
            "segmentAlignment": "true",
            "startWithSAP": "1",
            **({"lang": language} if language else {}),
        },
    )
    if track.label:
        more = " 5.1" if track.channels > STEREO else ""
        SubElement(group, "Label").text = track.label + more
    other = track.purpose == "main" and not track.default
    role = "alternate" if other else track.purpose
    told = {"schemeIdUri": "urn:mpeg:dash:role:2011", "value": role}
    SubElement(group, "Role", told)
    facts = {
        "id": f"a{track.name}",
        "codecs": track.codecs,
        "bandwidth": str(track.peak_bitrate),
        "audioSamplingRate": str(track.sample_rate),
    }
    representation = SubElement(group, "Representation", facts)
    channels = {"schemeIdUri": CHANNELS, "value": str(track.channels)}
    SubElement(representation, "AudioChannelConfiguration", channels)
    _timeline(representation, track)


def _captions(period: Element, number: int, caption: Caption) -> None:
    language = bcp47(caption.language)
    facts = {"id": str(number), "contentType": "text", "mimeType": "text/vtt"}
    if language:
        facts["lang"] = language
    group = SubElement(period, "AdaptationSet", facts)
    SubElement(group, "Label").text = caption.label
    role = "forced-subtitle" if caption.forced else "subtitle"
    told = {"schemeIdUri": "urn:mpeg:dash:role:2011", "value": role}
    SubElement(group, "Role", told)
    # text has no rate to speak of; the schema demands one
    one = {"id": f"s{caption.name}", "bandwidth": "256"}
    representation = SubElement(group, "Representation", one)
    SubElement(representation, "BaseURL").text = f"../{caption.path}"


def _timeline(representation: Element, track: Track) -> None:
    template = SubElement(
        representation,
        "SegmentTemplate",
        {
            "timescale": str(track.timescale),
            "initialization": f"../{track.folder}/init.mp4",
            "media": f"../{track.folder}/$Number%05d$.m4s",
            "startNumber": "1",
        },
    )
    timeline = SubElement(template, "SegmentTimeline")
    entry: Element | None = None
    for segment in track.segments:
        if entry is not None and entry.get("d") == str(segment.duration):
            entry.set("r", str(int(entry.get("r", "0")) + 1))
            continue
        facts = {"d": str(segment.duration)}
        if entry is None:
            facts = {"t": str(segment.start), **facts}
        entry = SubElement(timeline, "S", facts)
