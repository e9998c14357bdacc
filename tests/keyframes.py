"""What each fragment of a segment begins with, read from the bits of its first picture.

Nothing of ours is used here: the tests hold our own reading against it.
"""

from __future__ import annotations

from collections.abc import Iterator


#: Kinds of units of H.264 and HEVC that hold an IDR picture, and those of any picture.
H264_IDR, H264_PICTURES = {5}, range(1, 6)
HEVC_IDR, HEVC_PICTURES = {19, 20}, range(32)

#: Kinds of units of AV1: what all that follows needs, and pictures.
AV1_SEQUENCE, AV1_PICTURES = 1, {3, 6}


def begins_anew(segment: bytes, codec: str) -> list[bool]:
    """Tell of each fragment whether its first picture, and all after it, need no other.

    *codec* is as playlists say it, such as ``hvc1.1.6.L63.90``.
    """
    starts = {"avc1": _h264, "hvc1": _hevc, "av01": _av1}[codec[:4]]
    return [starts(content) for kind, content in boxes(segment) if kind == b"mdat"]


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kind and the content of each box."""
    place = 0
    while place < len(data):
        size = int.from_bytes(data[place : place + 4])
        yield data[place + 4 : place + 8], data[place + 8 : place + size]
        place += size


def _units(sample: bytes) -> Iterator[bytes]:
    """Yield units that stand behind their sizes."""
    place = 0
    while place < len(sample):
        size = int.from_bytes(sample[place : place + 4])
        yield sample[place + 4 : place + 4 + size]
        place += 4 + size


def _h264(sample: bytes) -> bool:
    kinds = (unit[0] & 31 for unit in _units(sample))
    return next(kind for kind in kinds if kind in H264_PICTURES) in H264_IDR


def _hevc(sample: bytes) -> bool:
    kinds = (unit[0] >> 1 & 63 for unit in _units(sample))
    return next(kind for kind in kinds if kind in HEVC_PICTURES) in HEVC_IDR


def _av1(sample: bytes) -> bool:
    """Look for a sequence header, and behind it a key frame that is shown."""
    kinds = []
    place = 0
    while place < len(sample):
        kind, place = sample[place] >> 3 & 15, place + 1 + (sample[place] >> 2 & 1)
        size, place = _leb128(sample, place)
        kinds.append(kind)
        if kind in AV1_PICTURES:
            # show_existing_frame, frame_type, show_frame: 0, 00 and 1
            return AV1_SEQUENCE in kinds and sample[place] >> 4 == 0b0001
        place += size
    return False


def _leb128(data: bytes, place: int) -> tuple[int, int]:
    """Return a number of seven bits a byte, and the place behind it."""
    value = shift = 0
    while True:
        byte, place = data[place], place + 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, place
