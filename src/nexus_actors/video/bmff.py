"""A reader of the ISO base media files that our own encode makes (ISO/IEC 14496-12).

Reads what manifests need and ffmpeg's muxer does not tell: true durations, sizes and
where each key frame ends.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from .errors import OutputError


#: ``sample_is_non_sync_sample`` of a sample's flags.
NON_SYNC: Final = 0x10000

#: The most samples that one fragment can hold: more is damage, not a film.
MAX_SAMPLES: Final = 1_000_000

#: What an AAC object type of 31 means: the next six bits hold it.
ESCAPED_OBJECT_TYPE: Final = 31

#: A box begins with its size and its kind.
BOX_HEADER: Final = 8

#: Sample entries hold boxes, after this many bytes of their own.
VIDEO_ENTRY_HEADER: Final = 78
AUDIO_ENTRY_HEADER: Final = 28


@dataclass(frozen=True, slots=True)
class Box:
    """One box: its kind, where it starts in the file, and what is in it."""

    kind: str
    offset: int
    size: int
    body: bytes


def boxes(data: bytes, start: int = 0) -> Iterator[Box]:
    """Yield the boxes that *data* holds; *start* is where *data* lies in its file.

    Raises:
        OutputError: A box is cut short or claims more than there is.
    """
    position = 0
    while position < len(data):
        header = 8
        if position + header > len(data):
            raise OutputError("a box is cut short")
        size, kind = struct.unpack_from(">I4s", data, position)
        if size == 1:
            header = 16
            if position + header > len(data):
                raise OutputError("a box is cut short")
            (size,) = struct.unpack_from(">Q", data, position + 8)
        elif size == 0:
            size = len(data) - position
        if size < header or position + size > len(data):
            raise OutputError(f"a box of {size} bytes does not fit its place")
        body = data[position + header : position + size]
        yield Box(kind.decode("latin-1"), start + position, size, body)
        position += size


def movie_seconds(file: Path) -> float:
    """Return how long a progressive MP4 lasts, as its index says; reads no samples.

    Raises:
        OutputError: A box is cut short, or there is no index.
    """
    header = required(_index(file), "mvhd")
    try:
        form = ">20xIQ" if header[0] else ">12xII"
        timescale, duration = struct.unpack_from(form, header)
        return float(duration / timescale)
    except (struct.error, IndexError, ZeroDivisionError) as error:
        raise OutputError("the index is damaged") from error


def _index(file: Path) -> bytes:
    """Walk over the boxes of *file* to its very end; return the body of ``moov``."""
    index, end = b"", file.stat().st_size
    with file.open("rb") as opened:
        while (position := opened.tell()) < end:
            head = opened.read(16).ljust(16, b"\0")
            size, kind, long_size = struct.unpack(">I4sQ", head)
            size = long_size if size == 1 else size
            if size < BOX_HEADER or position + size > end:
                raise OutputError(f"a box of {size} bytes does not fit its place")
            if kind == b"moov":
                opened.seek(position + BOX_HEADER)
                index = opened.read(size - BOX_HEADER)
            opened.seek(position + size)
    return index


def child(data: bytes, *path: str) -> bytes | None:
    """Return the body of the first box at *path*, or ``None``."""
    for kind in path:
        found = next((box.body for box in boxes(data) if box.kind == kind), None)
        if found is None:
            return None
        data = found
    return data


def required(data: bytes, *path: str) -> bytes:
    """Return the body of the box at *path*.

    Raises:
        OutputError: There is none.
    """
    found = child(data, *path)
    if found is None:
        raise OutputError(f"a box is missing: {'/'.join(path)}")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Init:
    """What an initialization segment tells of its one track.

    *priming* is the media time at which the presentation starts, in ticks: an AAC
    encoder's priming samples lie before it.
    """

    handler: str
    timescale: int
    priming: int
    codecs: str
    default_duration: int
    default_size: int
    default_flags: int


def read_init(data: bytes) -> Init:
    """Read an initialization segment.

    Raises:
        OutputError: It is not one, or of a codec that we do not make.
    """
    try:
        return _read_init(data)
    except (struct.error, IndexError) as error:
        raise OutputError("an initialization segment is damaged") from error


def _read_init(data: bytes) -> Init:
    moov = required(data, "moov")
    media = required(moov, "trak", "mdia")
    header = required(media, "mdhd")
    timescale = struct.unpack_from(">I", header, 20 if header[0] else 12)[0]
    trex = struct.unpack_from(">4x5I", required(moov, "mvex", "trex"))
    if timescale == 0:
        raise OutputError("a track has no timescale")
    return Init(
        handler=required(media, "hdlr")[8:12].decode("latin-1"),
        timescale=timescale,
        priming=_priming(child(moov, "trak", "edts", "elst")),
        codecs=_codecs(required(media, "minf", "stbl", "stsd")),
        default_duration=trex[2],
        default_size=trex[3],
        default_flags=trex[4],
    )


def _priming(elst: bytes | None) -> int:
    if elst is None or struct.unpack_from(">I", elst, 4)[0] == 0:
        return 0
    form = ">Qq" if elst[0] else ">Ii"
    entries = struct.unpack_from(">I", elst, 4)[0]
    for number in range(entries):
        step = struct.calcsize(form) + 4
        media_time = struct.unpack_from(form, elst, 8 + number * step)[1]
        if media_time >= 0:  # -1 is a gap before the media
            return int(media_time)
    return 0


def _codecs(stsd: bytes) -> str:
    """Build the RFC 6381 string from the sample entry."""
    entry = next(boxes(stsd[8:]), None)
    if entry is None:
        raise OutputError("a track has no sample entry")
    if entry.kind in {"avc1", "avc3"}:
        config = required(entry.body[VIDEO_ENTRY_HEADER:], "avcC")
        profile, compatibility, level = struct.unpack_from(">x3B", config)
        return f"{entry.kind}.{profile:02x}{compatibility:02x}{level:02x}"
    if entry.kind in {"hvc1", "hev1"}:
        return _hevc(entry.kind, required(entry.body[VIDEO_ENTRY_HEADER:], "hvcC"))
    if entry.kind == "av01":
        return _av1(required(entry.body[VIDEO_ENTRY_HEADER:], "av1C"))
    if entry.kind == "mp4a":
        return _aac(required(entry.body[AUDIO_ENTRY_HEADER:], "esds"))
    raise OutputError(f"a track has the codec {entry.kind!r}, which was not asked for")


def _hevc(kind: str, config: bytes) -> str:
    space = ("", "A", "B", "C")[config[1] >> 6]
    tier = "H" if config[1] & 0x20 else "L"
    flags = int(f"{struct.unpack_from('>I', config, 2)[0]:032b}"[::-1], 2)
    constraints = config[6:12].rstrip(b"\0")
    parts = [kind, f"{space}{config[1] & 0x1F}", f"{flags:X}", f"{tier}{config[12]}"]
    return ".".join([*parts, *(f"{byte:X}" for byte in constraints)])


def _av1(config: bytes) -> str:
    profile, level = config[1] >> 5, config[1] & 0x1F
    tier = "H" if config[2] & 0x80 else "M"
    deep, twelve = config[2] & 0x40, config[2] & 0x20
    depth = 12 if deep and twelve else 10 if deep else 8
    return f"av01.{profile}.{level:02d}{tier}.{depth:02d}"


def _aac(esds: bytes) -> str:
    """Find the object type in DecoderSpecificInfo."""
    position = 4
    while position < len(esds):
        tag = esds[position]
        position += 1
        length = 0
        while True:  # lengths are 7 bits a byte
            byte = esds[position]
            position += 1
            length = length << 7 | byte & 0x7F
            if not byte & 0x80:
                break
        if tag == 0x03:  # noqa: PLR2004 - ES_Descriptor: id and flags, then more tags
            position += 3
        elif tag == 0x04:  # noqa: PLR2004 - DecoderConfigDescriptor: 13 bytes, then more
            position += 13
        elif tag == 0x05:  # noqa: PLR2004 - DecoderSpecificInfo
            first, second = struct.unpack_from(">2B", esds, position)
            kind = first >> 3
            if kind == ESCAPED_OBJECT_TYPE:
                kind = 32 + ((first & 0x07) << 3 | second >> 5)
            return f"mp4a.40.{kind}"
        else:
            position += length
    raise OutputError("an AAC track has no decoder configuration")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One ``moof``: where it lies, when it starts, and its samples in sum."""

    offset: int
    first_sample_end: int
    decode_time: int
    first_composition: int
    duration: int
    samples: int
    starts_with_key: bool


def read_runs(data: bytes, init: Init) -> list[Run]:
    """Read the movie fragments of one media segment.

    Raises:
        OutputError: The segment is damaged or holds none.
    """
    try:
        found = [_read_moof(box, init) for box in boxes(data) if box.kind == "moof"]
    except (struct.error, IndexError) as error:
        raise OutputError("a media segment is damaged") from error
    if not found:
        raise OutputError("a media segment holds no fragment")
    if any(run.first_sample_end > len(data) for run in found):
        raise OutputError("a key frame reaches beyond its media segment")
    return found


def _read_moof(moof: Box, init: Init) -> Run:
    traf = required(moof.body, "traf")
    tfhd = required(traf, "tfhd")
    defaults = _track_defaults(tfhd, init)
    tfdt = required(traf, "tfdt")
    decode_time = struct.unpack_from(">Q" if tfdt[0] else ">I", tfdt, 4)[0]
    runs = [_read_trun(box.body, defaults) for box in boxes(traf) if box.kind == "trun"]
    samples = [sample for run in runs for sample in run.samples]
    if not samples:
        raise OutputError("a fragment holds no sample")
    return Run(
        offset=moof.offset,
        first_sample_end=_base(tfhd, moof) + runs[0].data_offset + samples[0].size,
        decode_time=decode_time,
        first_composition=samples[0].composition,
        duration=sum(sample.duration for sample in samples),
        samples=len(samples),
        starts_with_key=not samples[0].flags & NON_SYNC,
    )


def _base(tfhd: bytes, moof: Box) -> int:
    """Return from where in the file data offsets are counted."""
    if struct.unpack_from(">I", tfhd)[0] & 0x1:
        return int(struct.unpack_from(">Q", tfhd, 8)[0])
    return moof.offset


@dataclass(frozen=True, slots=True)
class Sample:
    """One frame: ticks, bytes, flags, and its composition offset in ticks."""

    duration: int
    size: int
    flags: int
    composition: int = 0


def _track_defaults(tfhd: bytes, init: Init) -> Sample:
    flags = struct.unpack_from(">I", tfhd)[0] & 0xFFFFFF
    position = 8 + (8 if flags & 0x1 else 0) + (4 if flags & 0x2 else 0)
    values = [init.default_duration, init.default_size, init.default_flags]
    for number, bit in enumerate((0x8, 0x10, 0x20)):
        if flags & bit:
            values[number] = struct.unpack_from(">I", tfhd, position)[0]
            position += 4
    return Sample(*values)


@dataclass(frozen=True, slots=True)
class _Trun:
    """One ``trun``: where its data begins, counted from its ``moof``; its samples."""

    data_offset: int
    samples: list[Sample]


def _read_trun(trun: bytes, defaults: Sample) -> _Trun:
    flags = struct.unpack_from(">I", trun)[0] & 0xFFFFFF
    count = struct.unpack_from(">I", trun, 4)[0]
    position, data_offset, first_flags = 8, 0, None
    if flags & 0x1:
        data_offset = struct.unpack_from(">i", trun, position)[0]
        position += 4
    if flags & 0x4:
        first_flags = struct.unpack_from(">I", trun, position)[0]
        position += 4
    width = 4 * (flags >> 8 & 0xF).bit_count()
    if count > MAX_SAMPLES or position + count * width > len(trun):
        raise OutputError(f"a fragment claims {count} samples and does not hold them")
    samples = [
        _read_sample(trun, position + number * width, flags, defaults)
        for number in range(count)
    ]
    if samples and first_flags is not None:
        samples[0] = replace(samples[0], flags=first_flags)
    return _Trun(data_offset, samples)


def _read_sample(trun: bytes, position: int, flags: int, defaults: Sample) -> Sample:
    """Read the fields that *flags* says are there; the rest are *defaults*."""
    # version 0 says that offsets are unsigned, but muxers write signed ones in both
    fields = {0x100: ">I", 0x200: ">I", 0x400: ">I", 0x800: ">i"}
    values = [defaults.duration, defaults.size, defaults.flags, 0]
    for place, (bit, form) in enumerate(fields.items()):
        if flags & bit:
            values[place] = struct.unpack_from(form, trun, position)[0]
            position += 4
    return Sample(*values)
