"""The reader of ISO media files: every form that a muxer may choose, and damage."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from nexus_actors.video.bmff import (
    Init,
    Run,
    boxes,
    child,
    movie_seconds,
    read_init,
    read_runs,
)
from nexus_actors.video.errors import OutputError
from nexus_actors.video.models import Plan
from nexus_actors.video.tools import Tools


KEY = 0x02000000
NOT_KEY = 0x01010000

INIT = Init(
    handler="vide",
    timescale=1000,
    priming=0,
    codecs="avc1.64001f",
    default_duration=40,
    default_size=100,
    default_flags=KEY,
)

AVCC = bytes.fromhex("0164001fffe1")


def box(kind: str, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind.encode("latin-1")) + body


def full(kind: str, version: int, flags: int, *parts: bytes) -> bytes:
    return box(kind, struct.pack(">I", version << 24 | flags), *parts)


def words(*values: int) -> bytes:
    return struct.pack(f">{len(values)}I", *values)


def mdhd(timescale: int, version: int = 0) -> bytes:
    times = bytes(16) if version else bytes(8)
    length = bytes(8) if version else bytes(4)
    return full("mdhd", version, 0, times, words(timescale), length, bytes(4))


def initialization(
    *,
    entry: bytes | None = None,
    handler: bytes = b"vide",
    header: bytes | None = None,
    edits: bytes = b"",
    trex: bytes | None = None,
) -> bytes:
    if entry is None:
        entry = box("avc1", bytes(78), box("avcC", AVCC))
    tables = box("stbl", full("stsd", 0, 0, words(1), entry))
    media = box(
        "mdia",
        mdhd(12800) if header is None else header,
        full("hdlr", 0, 0, bytes(4), handler, bytes(13)),
        box("minf", tables),
    )
    defaults = full("trex", 0, 0, words(1, 1, 512, 7, NOT_KEY))
    return box("ftyp", b"iso5", bytes(4)) + box(
        "moov",
        full("mvhd", 0, 0, bytes(96)),
        box("trak", edits, media),
        box("mvex", defaults if trex is None else trex),
    )


def audio_entry(*descriptors: bytes) -> bytes:
    return box("mp4a", bytes(28), full("esds", 0, 0, *descriptors))


def fragment(
    *, tfhd: bytes | None = None, tfdt: bytes | None = None, truns: bytes | None = None
) -> bytes:
    """Return one ``moof``; what is not given says: one sample, all by default."""
    return box(
        "moof",
        full("mfhd", 0, 0, words(1)),
        box(
            "traf",
            full("tfhd", 0, 0x20000, words(1)) if tfhd is None else tfhd,
            full("tfdt", 0, 0, words(0)) if tfdt is None else tfdt,
            full("trun", 0, 0, words(1)) if truns is None else truns,
        ),
    )


def read(moof: bytes, data: int = 4096) -> Run:
    """Read *moof* as a segment with *data* bytes of samples behind it."""
    (run,) = read_runs(moof + box("mdat", bytes(data)), INIT)
    return run


# Boxes


def test_a_box_knows_its_kind_and_its_place() -> None:
    found = list(boxes(box("free", b"abc") + box("mdat", b"d"), start=100))

    assert [(b.kind, b.offset, b.size, b.body) for b in found] == [
        ("free", 100, 11, b"abc"),
        ("mdat", 111, 9, b"d"),
    ]


def test_a_size_of_one_means_a_size_of_64_bits() -> None:
    (found,) = boxes(struct.pack(">I4sQ", 1, b"mdat", 18) + b"ab")

    assert (found.size, found.body) == (18, b"ab")


def test_a_size_of_zero_reaches_to_the_end() -> None:
    (found,) = boxes(struct.pack(">I4s", 0, b"mdat") + b"abc")

    assert (found.size, found.body) == (11, b"abc")


@pytest.mark.parametrize(
    "data",
    [
        b"abc",
        struct.pack(">I4s", 7, b"mdat"),
        struct.pack(">I4s", 2, b"mdat") + bytes(100),
        struct.pack(">I4s", 9, b"mdat"),
        struct.pack(">I4s", 0xFFFFFFFF, b"mdat") + bytes(100),
        struct.pack(">I4s", 1, b"mdat"),
        struct.pack(">I4sQ", 1, b"mdat", 0) + bytes(100),
        struct.pack(">I4sQ", 1, b"mdat", 15) + bytes(100),
        struct.pack(">I4sQ", 1, b"mdat", 2**64 - 1) + bytes(100),
    ],
)
def test_a_size_that_cannot_be_is_refused(data: bytes) -> None:
    with pytest.raises(OutputError, match=r"a box (is cut short|of \d+ bytes does)"):
        list(boxes(data))


def test_a_box_that_is_not_there_is_none() -> None:
    data = box("moov", box("trak", b""))

    assert child(data, "moov", "trak") == b""
    assert child(data, "moov", "mvex", "trex") is None


# Initialization segments


def test_the_facts_of_a_track_are_read() -> None:
    init = read_init(initialization())

    assert (init.handler, init.timescale, init.priming) == ("vide", 12800, 0)
    assert (init.default_duration, init.default_size) == (512, 7)
    assert init.default_flags == NOT_KEY


def test_a_media_header_with_64_bit_times_is_read() -> None:
    init = read_init(initialization(header=mdhd(90000, version=1)))

    assert init.timescale == 90000


def edit_list(version: int, *edits: tuple[int, int]) -> bytes:
    form = ">QqI" if version else ">IiI"
    rows = b"".join(struct.pack(form, *edit, 0x10000) for edit in edits)
    return box("edts", full("elst", version, 0, words(len(edits)), rows))


@pytest.mark.parametrize(
    ("edits", "priming"),
    [
        (b"", 0),
        (edit_list(0), 0),
        (edit_list(0, (0, 0)), 0),
        (edit_list(0, (0, 1024)), 1024),
        (edit_list(1, (0, 1024)), 1024),
        (edit_list(1, (0, 2**40)), 2**40),
        (edit_list(0, (21, -1), (0, 2112)), 2112),
        (edit_list(0, (21, -1)), 0),
    ],
)
def test_the_edit_list_tells_the_priming(edits: bytes, priming: int) -> None:
    assert read_init(initialization(edits=edits)).priming == priming


HEVC_MAIN = bytes.fromhex("01 01 60000000 900000000000 5d")
HEVC_MAIN10_HIGH = bytes.fromhex("01 22 20000000 b00000000000 99")
HEVC_REXT = bytes.fromhex("01 44 08000000 9d0800000000 5a")
OBJECT_TYPE_2 = bytes.fromhex(
    "03 80808022 0001 00"
    "04 80808014 40 15 000000 0001f400 0001f400"
    "05 80808005 1190 56e500"
    "06 80808001 02"
)
OBJECT_TYPE_5 = bytes.fromhex("03 17 000100 04 11 4015000000" + "00" * 8 + "05 02 2b8a")
OBJECT_TYPE_42 = bytes.fromhex(
    "03 17 000100 04 11 4015000000" + "00" * 8 + "05 02 f940"
)


@pytest.mark.parametrize(
    ("entry", "codecs"),
    [
        (box("avc1", bytes(78), box("avcC", AVCC)), "avc1.64001f"),
        (box("avc3", bytes(78), box("avcC", b"\x01\x4d\x40\x0d")), "avc3.4d400d"),
        # a box before the configuration, as ffmpeg writes `pasp` after it
        (
            box("avc1", bytes(78), box("pasp", words(1, 1)), box("avcC", AVCC)),
            "avc1.64001f",
        ),
        (box("hvc1", bytes(78), box("hvcC", HEVC_MAIN)), "hvc1.1.6.L93.90"),
        (box("hev1", bytes(78), box("hvcC", HEVC_MAIN10_HIGH)), "hev1.2.4.H153.B0"),
        (box("hvc1", bytes(78), box("hvcC", HEVC_REXT)), "hvc1.A4.10.L90.9D.8"),
        (box("av01", bytes(78), box("av1C", b"\x81\x05\x0c\x00")), "av01.0.05M.08"),
        (box("av01", bytes(78), box("av1C", b"\x81\x0d\xcc\x00")), "av01.0.13H.10"),
        (box("av01", bytes(78), box("av1C", b"\x81\x48\x60\x00")), "av01.2.08M.12"),
        (audio_entry(OBJECT_TYPE_2), "mp4a.40.2"),
        (audio_entry(OBJECT_TYPE_5), "mp4a.40.5"),
        (audio_entry(OBJECT_TYPE_42), "mp4a.40.42"),
    ],
)
def test_codecs_are_spelled_as_rfc_6381_says(entry: bytes, codecs: str) -> None:
    assert read_init(initialization(entry=entry)).codecs == codecs


H264 = ["libx264", "-profile:v", "high", "-level", "3.1"]
HEVC = ["libx265", "-tag:v", "hvc1", "-x265-params", "log-level=0"]
AV1 = ["libaom-av1", "-cpu-used", "8"]


@pytest.mark.parametrize(
    ("encoder", "codecs"),
    [(H264, "avc1.64001f"), (HEVC, "hvc1.1.6.L30.90"), (AV1, "av01.0.00M.08")],
)
def test_codecs_of_real_encoders_are_read(
    encoder: list[str],
    codecs: str,
    tools: Tools,
    run_tool: Callable[[list[str]], str],
    tmp_path: Path,
) -> None:
    if encoder[0] not in run_tool([str(tools.ffmpeg), "-hide_banner", "-encoders"]):
        pytest.skip(f"this ffmpeg has no {encoder[0]}")
    made = tmp_path / "made.mp4"
    picture = ["-f", "lavfi", "-i", "testsrc2=size=160x120:rate=25", "-t", "0.2"]
    movie = ["-pix_fmt", "yuv420p", "-movflags", "+frag_keyframe+delay_moov"]
    given = [*picture, "-c:v", *encoder, *movie, str(made)]
    run_tool([str(tools.ffmpeg), "-v", "error", *given])

    assert read_init(made.read_bytes()).codecs == codecs


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "a box is missing: moov"),
        (box("moov"), "a box is missing: trak/mdia"),
        (initialization(header=b""), "a box is missing: mdhd"),
        (initialization(header=mdhd(0)), "a track has no timescale"),
        (initialization(header=box("mdhd")), "is damaged"),
        (initialization(trex=b""), "a box is missing: mvex/trex"),
        (initialization(trex=box("trex", bytes(8))), "is damaged"),
        (initialization(edits=box("edts", box("elst"))), "is damaged"),
        (
            initialization(edits=box("edts", full("elst", 0, 0, words(2**32 - 1)))),
            "is damaged",
        ),
        (initialization(entry=b""), "a track has no sample entry"),
        (initialization(entry=box("avc1")), "a box is missing: avcC"),
        (
            initialization(entry=box("avc1", bytes(78), box("avcC", b"\x01"))),
            "is damaged",
        ),
        (initialization(entry=box("hvc1", bytes(78), box("hvcC"))), "is damaged"),
        (initialization(entry=box("av01", bytes(78), box("av1C"))), "is damaged"),
        (initialization(entry=box("vp09", bytes(78))), "has the codec 'vp09'"),
        (initialization(entry=audio_entry()), "no decoder configuration"),
        (initialization(entry=audio_entry(b"\x04\xff")), "is damaged"),
        (initialization(entry=audio_entry(b"\xff" * 9)), "is damaged"),
        (initialization(entry=audio_entry(b"\x05\x02")), "is damaged"),
    ],
)
def test_a_damaged_initialization_segment_is_refused(
    data: bytes, complaint: str
) -> None:
    with pytest.raises(OutputError, match=complaint):
        read_init(data)


# Media segments


def test_a_sample_that_says_nothing_has_the_defaults_of_the_track() -> None:
    run = read(fragment())

    assert (run.samples, run.duration, run.starts_with_key) == (1, 40, True)
    assert run.first_composition == 0


@pytest.mark.parametrize("bits", range(64))
def test_every_combination_of_track_defaults_is_read(bits: int) -> None:
    fields = {
        0x1: struct.pack(">Q", 0),
        0x2: words(1),
        0x8: words(7),
        0x10: words(9),
        0x20: words(NOT_KEY),
    }
    chosen = bits & 0x3B
    given = [value for bit, value in fields.items() if chosen & bit]
    flags = chosen | (0x20000 if bits & 0x4 else 0)

    run = read(fragment(tfhd=full("tfhd", 0, flags, words(1), *given)))

    assert run.duration == (7 if chosen & 0x8 else 40)
    assert run.first_sample_end == (9 if chosen & 0x10 else 100)
    assert run.starts_with_key is not bool(chosen & 0x20)


@pytest.mark.parametrize("bits", range(64))
def test_every_combination_of_sample_fields_is_read(bits: int) -> None:
    flags = (bits & 1) | (bits & 2) << 1 | (bits >> 2 & 0xF) << 8
    head = words(200) if flags & 0x1 else b""
    head += words(KEY) if flags & 0x4 else b""
    rows = b""
    for duration, size, offset in ((10, 1000, 5), (20, 50, 6)):
        rows += words(duration) if flags & 0x100 else b""
        rows += words(size) if flags & 0x200 else b""
        rows += words(NOT_KEY) if flags & 0x400 else b""
        rows += words(offset) if flags & 0x800 else b""

    run = read(fragment(truns=full("trun", 0, flags, words(2), head, rows)))

    assert run.samples == 2
    assert run.duration == (30 if flags & 0x100 else 80)
    assert run.first_composition == (5 if flags & 0x800 else 0)
    size = 1000 if flags & 0x200 else 100
    assert run.first_sample_end == (200 if flags & 0x1 else 0) + size
    assert run.starts_with_key is bool(flags & 0x4 or not flags & 0x400)


def test_a_composition_offset_may_be_negative() -> None:
    row = struct.pack(">i", -512)

    run = read(fragment(truns=full("trun", 1, 0x800, words(1), row)))

    assert run.first_composition == -512


def test_decode_times_of_64_bits_are_read() -> None:
    time = full("tfdt", 1, 0, struct.pack(">Q", 2**40))

    assert read(fragment(tfdt=time)).decode_time == 2**40


def test_samples_of_several_runs_belong_to_one_fragment() -> None:
    first = full("trun", 0, 0x1, words(2, 300))
    second = full("trun", 0, 0x1, words(3, 500))

    run = read(fragment(truns=first + second))

    assert (run.samples, run.duration, run.first_sample_end) == (5, 200, 400)


def test_many_samples_that_are_all_alike_are_all_counted() -> None:
    assert read(fragment(truns=full("trun", 0, 0, words(500)))).samples == 500


def test_fragments_know_their_place_in_the_segment() -> None:
    opening = box("styp", bytes(8)) + box("sidx", bytes(32))
    part = fragment() + box("mdat", bytes(200))

    runs = read_runs(opening + part + part, INIT)

    assert [r.offset for r in runs] == [len(opening), len(opening) + len(part)]


def test_data_offsets_may_be_counted_from_a_place_in_the_file() -> None:
    tfhd = full("tfhd", 0, 0x1, words(1), struct.pack(">Q", 1000))
    truns = full("trun", 0, 0x1, words(1, 24))

    assert read(fragment(tfhd=tfhd, truns=truns)).first_sample_end == 1124


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "holds no fragment"),
        (box("styp", bytes(8)) + box("mdat"), "holds no fragment"),
        (box("moof"), "a box is missing: traf"),
        (fragment(tfhd=b""), "a box is missing: tfhd"),
        (fragment(tfdt=b""), "a box is missing: tfdt"),
        (fragment(truns=b""), "a fragment holds no sample"),
        (fragment(truns=full("trun", 0, 0, words(0))), "a fragment holds no sample"),
        (fragment(tfhd=box("tfhd")), "is damaged"),
        (fragment(tfdt=box("tfdt")), "is damaged"),
        (fragment(truns=box("trun", bytes(3))), "is damaged"),
        (fragment(truns=full("trun", 0, 0x1, words(1))), "is damaged"),
        (fragment(truns=full("trun", 0, 0, words(2**32 - 1))), "claims 4294967295"),
        (fragment(truns=full("trun", 0, 0x100, words(3, 1, 1))), "claims 3 samples"),
        (
            fragment(truns=full("trun", 0, 0x1, words(1, 5000))),
            "reaches beyond its media segment",
        ),
    ],
)
def test_a_damaged_media_segment_is_refused(data: bytes, complaint: str) -> None:
    with pytest.raises(OutputError, match=complaint):
        read_runs(data, INIT)


@pytest.mark.parametrize("name", ["v/240/init.mp4", "v/240/00001.m4s", "a/0/init.mp4"])
def test_any_damage_ends_in_an_answer_or_in_our_own_error(
    name: str, encoded: Callable[[str], tuple[Plan, Path]]
) -> None:
    _, root = encoded("short")
    whole = (root / name).read_bytes()
    chance = random.Random(20)
    reader = partial(read_runs, init=INIT) if name.endswith(".m4s") else read_init
    answers = 0

    for _ in range(400):
        damaged = bytearray(whole[: chance.choice([len(whole), 200, 700])])
        for _ in range(chance.randint(1, 8)):
            damaged[chance.randrange(min(1200, len(damaged)))] = chance.randrange(256)
        with suppress(OutputError):
            reader(bytes(damaged))
            answers += 1

    assert answers < 400


def test_real_segments_are_read_to_their_last_frame(
    encoded: Callable[[str], tuple[Plan, Path]],
) -> None:
    plan, root = encoded("film")
    init = read_init((root / "v/480/init.mp4").read_bytes())

    runs = read_runs((root / "v/480/00001.m4s").read_bytes(), init)

    assert [run.samples for run in runs] == [plan.video[0].gop] * 2
    assert all(run.starts_with_key for run in runs)
    assert init.priming == 0


def mvhd(version: int = 0, *, timescale: int = 1000, duration: int = 2500) -> bytes:
    times, form = (bytes(16), ">IQ") if version else (bytes(8), ">II")
    return full("mvhd", version, 0, times, struct.pack(form, timescale, duration))


@pytest.mark.parametrize(
    "movie",
    [
        box("ftyp") + box("moov", mvhd()) + box("mdat", b"samples"),
        box("moov", box("free"), mvhd(1)) + box("mdat"),
        struct.pack(">I4sQ", 1, b"mdat", 20) + bytes(4) + box("moov", mvhd()),
    ],
    ids=["usual", "version 1", "large box"],
)
def test_a_movie_lasts_as_long_as_its_index_says(movie: bytes, tmp_path: Path) -> None:
    file = tmp_path / "movie.mp4"
    file.write_bytes(movie)

    assert movie_seconds(file) == 2.5


@pytest.mark.parametrize(
    ("movie", "complaint"),
    [
        (b"", "a box is missing: mvhd"),
        (box("mdat", b"samples"), "a box is missing: mvhd"),
        (box("moov", mvhd()) + box("mdat", bytes(9))[:-1], "17 bytes does not fit"),
        (box("moov", mvhd()) + b"\0\0\0", "0 bytes does not fit"),
        (box("moov", mvhd()) + struct.pack(">I4sQ", 1, b"mdat", 2**63), "does not fit"),
        (box("moov", box("mvhd")), "the index is damaged"),
        (box("moov", mvhd(timescale=0)), "the index is damaged"),
    ],
)
def test_a_movie_that_is_not_whole_is_refused(
    movie: bytes, complaint: str, tmp_path: Path
) -> None:
    file = tmp_path / "movie.mp4"
    file.write_bytes(movie)

    with pytest.raises(OutputError, match=complaint):
        movie_seconds(file)
