"""Sources of every shape, as their viewers would see them afterwards."""

from __future__ import annotations

import math
import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from nexus_actors.core.errors import InternalError, NexusError, RejectedError
from scale import full
from screening import (
    Rgb,
    Screen,
    brightness,
    colours,
    leftovers,
    like,
    run,
    saturation,
    streams,
    tone_start,
)


RED, GREEN, BLUE, YELLOW = (200, 0, 0), (0, 160, 0), (0, 0, 200), (200, 180, 0)

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Let ffmpeg make a source; *arguments* are all but its name."""

    def ffmpeg(*arguments: str, name: str = "source.mp4") -> Path:
        target = tmp_path / name
        run(["ffmpeg", "-v", "error", "-y", *arguments, str(target)])
        return target

    return ffmpeg


def quadrants(size: str, seconds: float = 0.4, rate: str = "25") -> list[str]:
    """Red and green above blue and yellow."""
    paint = [f"color=0x{'{:02x}{:02x}{:02x}'.format(*RED)}:size={size}:rate={rate}"]
    for colour, x, y in ((GREEN, "iw/2", "0"), (BLUE, "0", "ih/2")):
        paint.append(f"drawbox=x={x}:y={y}:c=0x{'{:02x}{:02x}{:02x}'.format(*colour)}")
    paint.append(f"drawbox=x=iw/2:y=ih/2:c=0x{'{:02x}{:02x}{:02x}'.format(*YELLOW)}")
    boxes = ":w=iw/2:h=ih/2:t=fill,".join(paint[1:]) + ":w=iw/2:h=ih/2:t=fill"
    graph = f"{paint[0]}:duration={seconds},format=rgb24,{boxes}"
    return ["-f", "lavfi", "-i", graph]


def tone(seconds: float, *options: str) -> list[str]:
    return [*options, "-f", "lavfi", "-i", f"sine=frequency=1000:duration={seconds}"]


H264 = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"]
# what most files say nothing about: small ones are then BT.601
PLAIN = ["-vf", "scale=out_color_matrix=bt601:out_range=tv", *H264]


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        ("180x320", (180, 320)),
        ("200x200", (200, 200)),
        ("321x181", (320, 180)),
        ("641x359", (640, 358)),
        ("16x16", (16, 16)),
        ("2x2", (2, 2)),
        ("1x1", (2, 2)),
        ("5000x100", (4096, 82)),
        ("90x3000", (90, 3000)),
    ],
)
def test_a_picture_keeps_its_shape_and_is_never_larger(
    make: Make, screen: Screen, size: str, wanted: tuple[int, int]
) -> None:
    any_size = [*PLAIN[:2], "-c:v", "libx264", "-preset", "ultrafast"]
    chroma = ["-pix_fmt", "yuv444p" if "1" in size else "yuv420p"]
    source = make(*quadrants(size), *any_size, *chroma)

    shown = screen(source)

    assert shown.sizes[0] == wanted
    assert all(width % 2 == height % 2 == 0 for width, height in shown.sizes)
    for file, shape in zip(shown.mp4s, shown.sizes, strict=True):
        found = shown.picture(file)
        assert (found["width"], found["height"]) == shape
        assert found.get("sample_aspect_ratio", "1:1") == "1:1"
        assert found["nb_read_frames"] == "10"


@pytest.mark.parametrize("size", ["3840x20", "2x2160"])
def test_the_thinnest_picture_has_stills(make: Make, screen: Screen, size: str) -> None:
    shown = screen(make(*quadrants(size), *PLAIN), thumbnails=True)

    assert "stills_failed" not in shown.result["warnings"]
    still = streams(shown.poster, "v")[0]
    assert (still["width"], still["height"]) == shown.sizes[0]


def display_matrix(file: Path, numbers: tuple[int, ...]) -> Path:
    """Write *numbers* into the matrix of the picture's track header."""
    data = bytearray(file.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    data[at : at + 36] = struct.pack(">9i", *numbers)
    file.write_bytes(data)
    return file


ONE, W = 1 << 16, 1 << 30


@pytest.mark.parametrize(
    ("matrix", "size", "seen"),
    [
        ((0, ONE, 0, -ONE, 0, 0, 0, 0, W), (180, 320), (BLUE, RED, YELLOW, GREEN)),
        ((-ONE, 0, 0, 0, -ONE, 0, 0, 0, W), (320, 180), (YELLOW, BLUE, GREEN, RED)),
        ((0, -ONE, 0, ONE, 0, 0, 0, 0, W), (180, 320), (GREEN, YELLOW, RED, BLUE)),
        ((-ONE, 0, 0, 0, ONE, 0, 0, 0, W), (320, 180), (GREEN, RED, YELLOW, BLUE)),
        ((0, ONE, 0, ONE, 0, 0, 0, 0, W), (180, 320), (RED, BLUE, GREEN, YELLOW)),
    ],
    ids=["quarter", "half", "three quarters", "mirror", "quarter and mirror"],
)
def test_a_turned_picture_is_upright_in_films_and_stills(
    make: Make,
    screen: Screen,
    matrix: tuple[int, ...],
    size: tuple[int, int],
    seen: tuple[Rgb, ...],
) -> None:
    source = display_matrix(make(*quadrants("320x180"), *PLAIN), matrix)

    shown = screen(source, thumbnails=True)

    assert shown.sizes[0] == size
    for file in (*shown.mp4s, shown.poster):
        pairs = zip(colours(file), seen, strict=True)
        assert all(like(found, wanted) for found, wanted in pairs), colours(file)


def test_a_turn_that_the_container_does_not_know_is_none(
    make: Make, screen: Screen
) -> None:
    told = ["-bsf:v", "h264_metadata=display_orientation=insert:rotate=90"]
    # a message comes with each parameter set: in a stream, with each key frame
    source = make(*quadrants("320x180"), *PLAIN, "-g", "1", *told, name="a.ts")

    shown = screen(source, thumbnails=True)

    assert shown.video["rotation"] == 0
    for file in (*shown.mp4s, shown.poster):
        pairs = zip(colours(file), (RED, GREEN, BLUE, YELLOW), strict=True)
        assert all(like(found, wanted) for found, wanted in pairs), colours(file)
    assert "displaymatrix" not in first_frame(shown.mp4s[0])
    assert shown.picture()["nb_read_frames"] == "10"


#: A message of H.264 with one pair of EIA-608's letters, as ffmpeg takes a UUID.
CAPTIONS = "b5003147-4139-3403-41ff-fc9420ff8080"


def test_captions_within_the_picture_are_left_out_and_told(
    make: Make, screen: Screen
) -> None:
    told = ["-bsf:v", f"h264_metadata=sei_user_data={CAPTIONS}+x"]
    source = make(*quadrants("320x180"), *PLAIN, *told)
    data, words = source.read_bytes(), bytes.fromhex(CAPTIONS.replace("-", ""))
    # from "unregistered" to "registered": only the latter may be captions
    source.write_bytes(data.replace(b"\x05\x12" + words, b"\x04\x12" + words))
    assert "Closed Captions" in first_frame(source)

    shown = screen(source)

    assert "closed_captions_left_out" in shown.result["warnings"]
    assert "Closed Captions" not in first_frame(shown.mp4s[0])


def first_frame(file: Path) -> str:
    """Return what ffprobe tells of what is carried beside the first frame."""
    options = ["-select_streams", "v", "-read_intervals", "%+#1", "-show_frames"]
    return run(["ffprobe", "-v", "error", *options, str(file)]).decode()


def test_pixels_that_are_not_square_become_square(make: Make, screen: Screen) -> None:
    anamorphic = ["-vf", "setsar=4/3", *H264]
    source = make(*quadrants("320x180"), *anamorphic)

    shown = screen(source, thumbnails=True)

    assert (shown.video["display_width"], shown.video["display_height"]) == (427, 180)
    assert shown.sizes[0] == (426, 180)
    assert streams(shown.poster, "v")[0]["width"] == 426


@pytest.mark.parametrize(
    ("converted", "options", "pix_fmt"),
    [
        ("out_color_matrix=bt601:out_range=tv,format=yuv420p", [], "yuv420p"),
        (
            "out_color_matrix=bt709:out_range=tv,format=yuv420p",
            ["-colorspace", "bt709"],
            "yuv420p",
        ),
        (
            "out_color_matrix=bt601:out_range=pc,format=yuvj420p",
            ["-color_range", "pc"],
            "yuvj420p",
        ),
        ("out_color_matrix=bt601,format=yuv444p10le", [], "yuv444p10le"),
        (
            "out_color_matrix=bt2020,format=yuv420p10le",
            ["-colorspace", "bt2020nc"],
            "yuv420p10le",
        ),
        ("w=iw:h=ih", ["-c:v", "libx264rgb"], "gbrp"),
    ],
    ids=["bt601", "bt709", "full range", "444 10 bit", "bt2020 matrix", "rgb"],
)
def test_colours_stay_what_they_were_and_are_tagged(
    make: Make, screen: Screen, converted: str, options: list[str], pix_fmt: str
) -> None:
    coded = ["-vf", f"scale={converted}", "-c:v", "libx264", *options]
    source = make(*quadrants("320x180"), *coded)

    shown = screen(source, thumbnails=True)

    assert shown.video["pix_fmt"] == pix_fmt
    for file in (*shown.mp4s, shown.poster):
        pairs = zip(colours(file), (RED, GREEN, BLUE, YELLOW), strict=True)
        assert all(like(found, wanted, 12) for found, wanted in pairs), colours(file)
    found = shown.picture()
    assert found["pix_fmt"] == "yuv420p"
    tags = ("color_range", "color_space", "color_transfer", "color_primaries")
    assert [found[tag] for tag in tags] == ["tv", "bt709", "bt709", "bt709"]


def hdr_of(make: Make, transfer: str, *, name: str = "hdr.mp4") -> tuple[Path, Path]:
    """Return colour bars in SDR, and the same in HDR, white at 203 cd/m²."""
    tags = "setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709"
    bars = "smptehdbars=size=320x180:rate=25:duration=0.4"
    plain = ["-vf", f"scale=out_color_matrix=bt709,format=yuv420p,{tags}", *H264]
    sdr = make("-f", "lavfi", "-i", bars, *plain, name="sdr.mp4")
    linear = "zscale=t=linear:npl=203,format=gbrpf32le,zscale=p=bt2020"
    coded = f"{linear}:t={transfer}:m=bt2020nc:r=tv:npl=203,format=yuv420p10le"
    x265 = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none"]
    hdr = make("-i", str(sdr), "-vf", coded, *x265, "-tag:v", "hvc1", name=name)
    return sdr, hdr


@pytest.mark.parametrize(
    ("transfer", "kind"), [("smpte2084", "pq"), ("arib-std-b67", "hlg")]
)
def test_hdr_is_as_colourful_and_bright_as_the_same_in_sdr(
    make: Make, screen: Screen, transfer: str, kind: str
) -> None:
    sdr, hdr = hdr_of(make, transfer)

    shown = screen(hdr, thumbnails=True)

    assert shown.video["hdr"]["kind"] == kind
    assert shown.video["bit_depth"] == 10
    for file in (shown.mp4s[0], shown.poster):
        assert saturation(file) == pytest.approx(saturation(sdr), rel=0.12)
        assert brightness(file) == pytest.approx(brightness(sdr), rel=0.08)


def dolby_vision(file: Path, profile: int, compatibility: int) -> Path:
    """Put a Dolby Vision configuration into the sample entry, as phones do."""
    data = bytearray(file.read_bytes())
    facts = bytes([1, 0, profile << 1, 1 << 3 | 0b101, compatibility << 4])
    box = struct.pack(">I4s", 32, b"dvvC") + facts.ljust(24, b"\0")
    entry = data.index(b"hvc1", data.index(b"stsd"))
    end = entry - 4 + struct.unpack_from(">I", data, entry - 4)[0]
    data[end:end] = box
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"hvc1"):
        at = data.index(kind, data.index(b"moov")) - 4
        struct.pack_into(">I", data, at, struct.unpack_from(">I", data, at)[0] + 32)
    file.write_bytes(data)
    return file


def test_a_phones_dolby_vision_is_shown_by_its_hlg_base(
    make: Make, screen: Screen
) -> None:
    sdr, hdr = hdr_of(make, "arib-std-b67")

    shown = screen(dolby_vision(hdr, profile=8, compatibility=4))

    assert shown.video["hdr"]["kind"] == "dovi"
    assert saturation(shown.mp4s[0]) == pytest.approx(saturation(sdr), rel=0.12)
    assert brightness(shown.mp4s[0]) == pytest.approx(brightness(sdr), rel=0.08)


def test_dolby_vision_without_a_base_is_refused_not_shown_in_green(
    make: Make, screen: Screen, tmp_path: Path
) -> None:
    _, hdr = hdr_of(make, "smpte2084")

    with pytest.raises(RejectedError) as refused:
        screen(dolby_vision(hdr, profile=5, compatibility=0))

    assert refused.value.code == "unsupported_codec"
    assert leftovers(tmp_path) == []


def test_fields_are_made_into_whole_frames(make: Make, screen: Screen) -> None:
    moving = "testsrc2=size=320x240:rate=50:duration=0.8,interlace=scan=tff"
    flags = ["-flags", "+ildct+ilme", "-x264-params", "tff=1"]
    source = make("-f", "lavfi", "-i", moving, *H264, *flags)

    shown = screen(source)

    assert shown.video["interlaced"]
    assert shown.picture()["field_order"] == "progressive"
    assert shown.picture()["r_frame_rate"] == "25/1"
    assert shown.picture()["nb_read_frames"] == "20"


@pytest.mark.parametrize(
    ("rate", "shown_rate", "frames"),
    [
        ("24000/1001", "24000/1001", 24),
        ("30000/1001", "30000/1001", 30),
        pytest.param("50", "50/1", 50, marks=full),
        pytest.param("60000/1001", "60000/1001", 60, marks=full),
        ("120", "60/1", 60),
        ("12.5", "25/2", 12),
    ],
)
def test_a_frame_rate_is_kept_up_to_sixty(
    make: Make, screen: Screen, rate: str, shown_rate: str, frames: int
) -> None:
    picture = f"testsrc2=size=1280x720:rate={rate}"
    source = make("-f", "lavfi", "-i", picture, "-t", "1", *H264)

    shown = screen(source)

    top, lowest = shown.picture(), shown.picture(shown.mp4s[-1])
    assert top["r_frame_rate"] == shown_rate
    assert abs(int(top["nb_read_frames"]) - frames) <= 1
    assert float(top["duration"]) == pytest.approx(1, abs=1 / 12)
    assert float(lowest["duration"]) == pytest.approx(float(top["duration"]))


def test_bursts_and_gaps_become_a_steady_rate_without_losing_a_burst(
    make: Make, screen: Screen
) -> None:
    # frames 0 to 9, then one in ten: a screen that stands still
    kept = "select='lt(n,10)+not(mod(n,10))'"
    picture = "testsrc2=size=320x240:rate=25:duration=2"
    vfr = ["-vf", kept, "-fps_mode", "vfr", "-enc_time_base", "1:25"]
    source = make("-f", "lavfi", "-i", picture, *vfr, *H264)

    shown = screen(source)

    assert shown.video["vfr"]
    assert shown.picture()["r_frame_rate"] == "25/1"
    assert shown.result["duration"] == pytest.approx(1.64, abs=0.05)


def test_a_single_frame_is_a_film_of_one_frame(make: Make, screen: Screen) -> None:
    source = make(*quadrants("320x180", seconds=0.04), *PLAIN)

    shown = screen(source, thumbnails=True)

    assert shown.picture()["nb_read_frames"] == "1"
    assert like(colours(shown.poster)[0], RED)


@pytest.mark.parametrize("seconds", [0.5, 2.0], ids=["shorter", "longer"])
def test_the_sound_is_as_long_as_the_picture(
    make: Make, screen: Screen, seconds: float
) -> None:
    source = make(*quadrants("320x180", 1.2), *tone(seconds), *PLAIN, "-c:a", "aac")

    shown = screen(source)

    assert float(shown.picture()["duration"]) == pytest.approx(1.2)
    assert float(shown.sound()["duration"]) == pytest.approx(1.2, abs=0.05)


def test_a_sound_that_begins_late_stays_in_step(make: Make, screen: Screen) -> None:
    picture, late = quadrants("320x180", 1.8), tone(1, "-itsoffset", "0.7")
    source = make(*picture, *late, *PLAIN, "-c:a", "aac")

    shown = screen(source)

    assert tone_start(shown.mp4s[0]) == pytest.approx(0.7, abs=0.04)


def test_a_picture_that_begins_late_leaves_the_sound_in_step(
    make: Make, screen: Screen
) -> None:
    silence = "aevalsrc='gt(t,1)*0.5*sin(6283*t)':duration=1.6"
    late = ["-itsoffset", "0.4", *quadrants("320x180", 1.2)]
    source = make(*late, "-f", "lavfi", "-i", silence, *PLAIN, "-c:a", "aac")

    shown = screen(source)

    assert tone_start(shown.mp4s[0]) == pytest.approx(1, abs=0.04)
    assert float(shown.picture()["start_time"]) == 0
    assert shown.picture()["nb_read_frames"] == "40", "its end was cut off"
    assert like(colours(shown.mp4s[0])[0], RED)


@pytest.mark.parametrize(
    ("sound", "channels"),
    [
        ("anoisesrc=duration=0.4,aformat=channel_layouts=5.1", 2),
        ("anoisesrc=duration=0.4,aformat=channel_layouts=mono:sample_rates=22050", 1),
        ("anullsrc=channel_layout=stereo:sample_rate=44100,atrim=duration=0.4", 2),
    ],
    ids=["5.1", "mono", "silent"],
)
def test_sound_becomes_aac_of_48_khz_in_one_or_two_channels(
    make: Make, screen: Screen, sound: str, channels: int
) -> None:
    source = make(*quadrants("320x180"), "-f", "lavfi", "-i", sound, *PLAIN)

    shown = screen(source)

    found = shown.sound()
    assert (found["codec_name"], found["channels"]) == ("aac", channels)
    assert found["sample_rate"] == "48000"


@pytest.mark.parametrize(
    ("name", "tones", "silent", "layout", "coded"),
    [
        ("a.mov", 2, 7, "", [*PLAIN, "-c:a", "pcm_s16le"]),
        ("a.mov", 2, 0, ":c=TFL+TFR", [*PLAIN, "-c:a", "pcm_s16le"]),
        (
            "a.webm",
            1,
            3,
            ":c=4.0",
            ["-c:v", "libvpx", "-c:a", "libopus", "-mapping_family", "2"],
        ),
    ],
    ids=["no places", "above", "ambisonic"],
)
def test_of_channels_that_cannot_be_mixed_the_first_are_heard(
    make: Make,
    screen: Screen,
    name: str,
    tones: int,
    silent: int,
    layout: str,
    coded: list[str],
) -> None:
    channels = "|".join(["0.3*sin(6283*t)"] * tones + ["0"] * silent)
    sound = ["-f", "lavfi", "-i", f"aevalsrc='{channels}'{layout}:duration=0.4"]
    source = make(*quadrants("320x180"), *sound, *coded, name=name)

    shown = screen(source, surround=True)

    assert shown.sound()["channels"] == 2
    assert tone_start(shown.mp4s[0]) < 0.05


def test_of_two_sounds_the_default_one_is_taken(make: Make, screen: Screen) -> None:
    silence = ["-f", "lavfi", "-i", "anullsrc=duration=0.8"]
    tracks = ["-map", "0", "-map", "1", "-map", "2", "-c:a", "aac"]
    words = ["-metadata:s:a:0", "language=ger", "-metadata:s:a:1", "language=eng"]
    words += ["-disposition:a:0", "0", "-disposition:a:1", "default"]
    picture = quadrants("320x180", 0.8)
    source = make(*picture, *silence, *tone(0.8), *PLAIN, *tracks, *words)

    shown = screen(source)

    assert [a["language"] for a in shown.result["metadata"]["audio"]] == ["ger", "eng"]
    assert len(streams(shown.mp4s[0], "a")) == 1
    assert shown.sound()["tags"]["language"] == "eng"
    assert tone_start(shown.mp4s[0]) < 0.05


def spoil(file: Path, kind: str, share: float = 1.0) -> Path:
    """Overwrite the last *share* of the packets of a stream with noise."""
    entries = ["-show_entries", "packet=pos,size", "-of", "csv=p=0"]
    listed = run(
        ["ffprobe", "-v", "error", "-select_streams", kind, *entries, str(file)]
    )
    spans = [tuple(map(int, row.split(b",")[:2])) for row in listed.split()]
    noise, data = random.Random(1), bytearray(file.read_bytes())
    for size, at in spans[math.floor(len(spans) * (1 - share)) :]:
        data[at : at + size] = noise.randbytes(size)
    file.write_bytes(data)
    return file


@pytest.mark.parametrize(("share", "heard"), [(1.0, False), (0.6, True)])
def test_damaged_sound_does_not_cost_the_picture(
    make: Make, screen: Screen, share: float, heard: bool
) -> None:
    source = make(*quadrants("320x180", 1.2), *tone(1.2), *PLAIN, "-c:a", "aac")

    shown = screen(spoil(source, "a", share))

    assert shown.picture()["nb_read_frames"] == "30"
    assert bool(streams(shown.mp4s[0], "a")) is heard
    assert ("audio_1_unreadable" in shown.result["warnings"]) is not heard


def test_a_sound_of_no_known_codec_is_left_out(make: Make, screen: Screen) -> None:
    source = make(*quadrants("320x180"), *tone(0.4), *PLAIN, "-c:a", "aac")
    source.write_bytes(
        source.read_bytes().replace(b"mp4a", b"xyzw").replace(b"esds", b"free")
    )

    shown = screen(source)

    assert streams(shown.mp4s[0], "a") == []
    assert "audio_1_unreadable" in shown.result["warnings"]


def test_a_transport_stream_that_starts_late_starts_at_zero(
    make: Make, screen: Screen
) -> None:
    late = ["-c:a", "aac", "-output_ts_offset", "1235"]
    source = make(*quadrants("320x180", 1), *tone(1), *PLAIN, *late, name="a.ts")

    shown = screen(source)

    assert shown.result["metadata"]["start_time"] > 1200
    assert float(shown.picture()["start_time"]) == 0
    assert shown.picture()["nb_read_frames"] == "25"
    assert tone_start(shown.mp4s[0]) < 0.05


#: A packet of a transport stream with nothing in it, as a constant rate needs them.
NOTHING = b"\x47\x1f\xff\x10" + bytes([0xFF] * 184)


@pytest.mark.parametrize(
    ("later", "nothing"),
    [("0", 0), ("500", 0), ("90000", 40_000)],
    ids=["the same", "a later one", "longer than a video may be"],
)
def test_transport_streams_that_were_joined_are_one_film(
    make: Make, screen: Screen, later: str, nothing: int
) -> None:
    stream = [*tone(1), *PLAIN, "-c:a", "aac", "-output_ts_offset"]
    source = make(*quadrants("320x180", 1), *stream, "0", name="a.ts")
    white = ["-f", "lavfi", "-i", "color=white:size=320x180:rate=25:duration=1"]
    second = make(*white, *stream, later, name="b.ts")
    parts = (source.read_bytes(), nothing * NOTHING, second.read_bytes())
    source.write_bytes(b"".join(parts))

    shown = screen(source)

    assert shown.result["duration"] == pytest.approx(2, abs=0.09)
    assert shown.picture()["r_frame_rate"] == "25/1"
    assert like(colours(shown.mp4s[0])[0], RED)
    assert like(colours(shown.mp4s[0], at=1.5)[0], (255, 255, 255))


def test_what_is_transparent_is_white(make: Make, screen: Screen) -> None:
    half = "format=rgba,geq=r=200:g=0:b=0:a='255*lt(X,80)',split[a][b]"
    graph = f"{half};[a]palettegen[p];[b][p]paletteuse"
    blank = ["-f", "lavfi", "-i", "color=white:size=160x90:rate=10:duration=0.4"]
    source = make(*blank, "-filter_complex", graph, name="a.gif")

    shown = screen(source)

    left, right = colours(shown.mp4s[0], rows=1)
    assert like(left, RED)
    assert like(right, (255, 255, 255))
    assert shown.result["metadata"]["class"] == "animation"


def test_a_slow_animation_shows_its_last_picture_as_long_as_the_others(
    make: Make, screen: Screen
) -> None:
    slides = ["-f", "lavfi", "-i", "testsrc2=size=64x36:rate=1/2:duration=6"]

    shown = screen(make(*slides, name="slides.gif"))

    assert float(shown.picture()["duration"]) == pytest.approx(6)
    assert shown.result["warnings"] == ["duration_not_in_stream"]


def test_a_fragmented_file_is_counted(make: Make, screen: Screen) -> None:
    parts = ["-g", "10", "-movflags", "+frag_keyframe+empty_moov"]
    source = make(*quadrants("320x180", 1.2), *PLAIN, *parts)

    shown = screen(source)

    assert shown.result["metadata"]["fragmented"] is True
    assert shown.picture()["nb_read_frames"] == "30"


def test_a_recording_of_a_browser_has_no_duration_and_needs_none(
    make: Make, screen: Screen
) -> None:
    codecs = ["-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus"]
    live = [*codecs, "-live", "1", "-f", "webm"]
    source = make(*quadrants("320x180", 1.2), *tone(1.2), *live, name="a.webm")

    shown = screen(source)

    assert shown.result["metadata"]["duration_source"] == "packets"
    assert float(shown.picture()["duration"]) == pytest.approx(1.2, abs=0.05)
    assert float(shown.sound()["duration"]) == pytest.approx(1.2, abs=0.05)


#: What a file of each kind is made with.
KINDS = {
    "a.mkv": H264,
    "a.mp4": [*H264, "-movflags", "+faststart"],
    "a.avi": ["-c:v", "mpeg4"],
    "a.wmv": ["-c:v", "wmv2"],
    "a.mxf": ["-c:v", "mpeg2video"],
}


@pytest.mark.parametrize("size", [1000, 1 << 31], ids=["too little", "too much"])
def test_a_whole_file_that_lies_about_its_size_is_taken(
    make: Make, screen: Screen, size: int
) -> None:
    source = make(*quadrants("320x180", 1.2), *KINDS["a.avi"], name="a.avi")
    data = source.read_bytes()
    source.write_bytes(data[:4] + struct.pack("<I", size) + data[8:])

    shown = screen(source)

    assert shown.picture()["nb_read_frames"] == "30"
    assert "shorter_than_header" not in shown.result["warnings"]


@pytest.mark.parametrize("told", [0.4, 60.0], ids=["too little", "too much"])
def test_a_header_that_lies_about_the_length_is_not_believed(
    make: Make, screen: Screen, told: float
) -> None:
    source = make(*quadrants("320x180", 1.2), *PLAIN, "-c:a", "aac", name="a.mkv")
    data = source.read_bytes()
    at = data.index(b"\x44\x89\x88") + 3  # Duration, eight bytes, in ms
    lie = data[:at] + struct.pack(">d", told * 1000) + data[at + 8 :]
    source.write_bytes(lie.replace(b"00:00:01.2", f"00:00:{told:04.1f}".encode()))

    shown = screen(source)

    assert shown.picture()["nb_read_frames"] == "30"
    assert ("shorter_than_header" in shown.result["warnings"]) is (told > 1)


@pytest.mark.parametrize("name", list(KINDS))
def test_a_file_that_is_cut_off_is_refused(
    make: Make, screen: Screen, tmp_path: Path, name: str
) -> None:
    moving = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=2"]
    source = make(*moving, *KINDS[name], "-g", "10", name=name)
    whole = source.read_bytes()
    source.write_bytes(whole[: len(whole) // 2])

    # found by its packets, before any of it is encoded
    with pytest.raises(RejectedError, match="s are there; upload it again") as refused:
        screen(source)

    assert refused.value.code == "truncated"
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.gif", ["-frames:v", "1"]),
        ("a.avif", ["-frames:v", "1", "-c:v", "libaom-av1", "-still-picture", "1"]),
    ],
)
def test_a_picture_is_no_film_whatever_it_is_kept_in(
    make: Make, screen: Screen, tmp_path: Path, name: str, options: list[str]
) -> None:
    source = make(*quadrants("32x32"), *options, name=name)

    with pytest.raises(RejectedError, match="is a picture, not a video") as caught:
        screen(source)

    assert caught.value.code == "no_video"
    assert leftovers(tmp_path) == []


def test_an_animated_webp_is_a_film_or_told_for_what_it_is(
    make: Make, screen: Screen
) -> None:
    moving = ["-f", "lavfi", "-i", "testsrc2=size=64x36:rate=10:duration=0.4"]
    source = make(*moving, "-c:v", "libwebp_anim", name="a.webp")

    if b"webp_anim" in run(["ffmpeg", "-v", "error", "-demuxers"]):
        assert screen(source).picture()["nb_read_frames"] == "4"
        return
    with pytest.raises(RejectedError, match="is an animated WebP") as refused:
        screen(source)
    assert refused.value.code == "unsupported_codec"


def test_a_picture_that_changes_its_size_is_shown_in_the_first_one(
    make: Make, screen: Screen
) -> None:
    stream = ["-c:a", "aac", "-muxdelay", "0"]
    small = make(*quadrants("320x180", 1), *tone(1), *PLAIN, *stream, name="a.ts")
    later = ["-output_ts_offset", "1"]
    white = ["-f", "lavfi", "-i", "color=white:size=640x480:rate=25:duration=1"]
    large = make(*white, *tone(1), *PLAIN, *stream, *later, name="b.ts")
    small.write_bytes(small.read_bytes() + large.read_bytes())

    shown = screen(small)

    assert shown.sizes == [(320, 180)]
    picture = shown.picture()
    assert float(picture["duration"]) == pytest.approx(2, abs=0.1)
    assert picture["nb_read_frames"] == picture["nb_frames"]
    first, *_ = colours(shown.mp4s[0])
    [then] = colours(shown.mp4s[0], columns=1, rows=1, at=1.5)
    assert like(first, RED)
    assert like(then, (255, 255, 255))


#: A program that does what ffmpeg does, but for the encode: there its filters fail.
UNFILTERED = """#!/bin/sh
for word; do
    case "$word" in
    */scratch.mpd) {first}; echo 'Error reinitializing filters!' >&2; exit 1 ;;
    esac
done
exec {program} "$@"
"""


@pytest.mark.parametrize(
    ("first", "kind", "told"),
    [
        ('touch "${word%/*}/0/init.mp4"', RejectedError, "changes its form in the"),
        ("true", InternalError, "this is a fault of nexus-actors"),
    ],
    ids=["later", "at once"],
)
def test_filters_that_fail_later_are_the_sources_fault_and_else_ours(
    make: Make,
    screen: Screen,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    first: str,
    kind: type[NexusError],
    told: str,
) -> None:
    source = make(*quadrants("32x32"), *PLAIN)
    program = tmp_path / "ffmpeg"
    text = UNFILTERED.format(first=first, program=shutil.which("ffmpeg"))
    program.write_text(text)
    program.chmod(0o755)
    monkeypatch.setenv("NEXUS_FFMPEG", str(program))

    with pytest.raises(kind, match=told):
        screen(source)

    assert leftovers(tmp_path) == []


KEY = "00112233445566778899aabbccddeeff"


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_what_is_copy_protected_is_told_so(
    make: Make, screen: Screen, tmp_path: Path, name: str
) -> None:
    scheme = ["-encryption_scheme", "cenc-aes-ctr", "-encryption_key", KEY]
    locked = [*scheme, "-encryption_kid", KEY] if name == "a.mp4" else []
    source = make(*quadrants("320x180"), *PLAIN, *locked, name=name)
    if not locked:
        encrypted(source)

    with pytest.raises(
        RejectedError, match=r"is copy-protected: .*; upload"
    ) as refused:
        screen(source)

    assert refused.value.code == "encrypted"
    assert leftovers(tmp_path) == []


def encrypted(file: Path) -> None:
    """Say in a Matroska that its picture is encrypted, in place of how it is coded."""
    data = file.read_bytes()
    private = data.index(b"\x63\xa2", data.index(b"V_MPEG4/ISO/AVC"))
    size = data[private + 2] & 0x7F
    told = b"\x62\x40\x89\x50\x31\x81\x00\x50\x33\x81\x01"
    told = b"\x6d\x80" + bytes([0x80 | len(told)]) + told
    told += b"\xec" + bytes([0x80 | (size + 3 - len(told) - 2)])
    file.write_bytes(
        data[:private] + told.ljust(size + 3, b"\0") + data[private + 3 + size :]
    )


def test_noise_is_refused(screen: Screen, tmp_path: Path) -> None:
    source = tmp_path / "noise.mp4"
    source.write_bytes(random.Random(1).randbytes(50_000))

    with pytest.raises(RejectedError) as refused:
        screen(source)

    assert refused.value.code == "corrupt"
    assert leftovers(tmp_path) == []


def test_a_film_that_begins_in_black_has_a_poster_with_a_picture(
    make: Make, screen: Screen
) -> None:
    black = "color=black:size=320x180:rate=25:duration=0.8[a]"
    graph = f"{black};testsrc2=size=320x180:rate=25:duration=0.8[b];[a][b]concat"
    source = make("-filter_complex", graph, *H264)

    shown = screen(source, thumbnails=True)

    assert brightness(shown.poster) > 0.3


def test_a_rendition_of_sixty_frames_spends_no_more_than_its_source(
    make: Make, screen: Screen
) -> None:
    still = ["-f", "lavfi", "-i", "color=gray:size=1280x720:rate=60:duration=1"]

    shown = screen(make(*still, *H264))

    assert shown.mp4s[0].stat().st_size * 8 < 150_000
