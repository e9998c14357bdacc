"""What a host may ask for beside the usual: codecs, sounds, sizes and marks."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from lxml import etree

from apple import faults
from keyframes import begins_anew
from screening import Screen, Screening, local, run, streams


Make = Callable[..., Path]

DASH = "{urn:mpeg:dash:schema:mpd:2011}"
H264 = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Let ffmpeg make a source; *arguments* are all but its name."""

    def ffmpeg(*arguments: str, name: str = "source.mp4") -> Path:
        target = tmp_path / name
        run(["ffmpeg", "-v", "error", "-y", *arguments, str(target)])
        return target

    return ffmpeg


def picture(size: str = "320x240", seconds: float = 1.2) -> list[str]:
    return ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate=25:duration={seconds}"]


def master(shown: Screening) -> str:
    return local(shown.result["outputs"]["hls"]["master"]["uri"]).read_text()


def sets(shown: Screening, schema: etree.XMLSchema) -> list[etree._Element]:
    """Return the adaptation sets of the DASH manifest, which must be valid."""
    manifest = local(shown.result["outputs"]["dash"]["manifest"]["uri"])
    mpd = etree.fromstring(manifest.read_bytes())
    schema.assertValid(mpd)
    return list(mpd.iter(f"{DASH}AdaptationSet"))


def test_every_codec_has_its_own_variants_and_its_own_set(
    make: Make, screen: Screen, mpd_schema: etree.XMLSchema
) -> None:
    # of two segments, the first with two key frames
    source = make(*picture("640x360", 4.4), *H264)

    shown = screen(source, formats=["hls", "dash", "mp4"], codecs=["hevc", "av1"])

    assert shown.result["warnings"] == []
    made = shown.result["outputs"]["hls"]["renditions"]
    kinds = {"360": "avc1.", "360-hevc": "hvc1.1.6.L63", "360-av1": "av01.0.0"}
    for name, codec in kinds.items():
        [rendition] = [r for r in made if r["name"] == name]
        assert rendition["codecs"].startswith(codec)
        [found] = streams(local(rendition["playlist"]["uri"]), "v")
        assert (found["width"], found["height"]) == (640, 360)
        assert found["nb_read_frames"] == "110"
        assert found["color_transfer"] == "bt709"
    assert re.findall(r'CODECS="(\w+)', master(shown)) == [
        *("avc1", "avc1", "hvc1", "hvc1", "av01", "av01") * 2
    ]
    entry = local(shown.result["outputs"]["hls"]["master"]["uri"])
    assert "key frames" not in faults(entry)
    for name, codec in kinds.items():
        [first, _] = sorted((entry.parents[1] / "v" / name).glob("*.m4s"))
        assert begins_anew(first.read_bytes(), codec) == [True, True]
    groups = [
        [str(r.get("codecs"))[:4] for r in s.iter(f"{DASH}Representation")]
        for s in sets(shown, mpd_schema)
    ]
    assert groups == [["avc1"] * 2, ["hvc1"] * 2, ["av01"] * 2]
    assert [file.name for file in shown.mp4s] == ["360.mp4", "240.mp4"]
    assert {streams(file, "v")[0]["codec_name"] for file in shown.mp4s} == {"h264"}


@pytest.mark.parametrize(
    ("options", "codec"),
    [
        (["libx264", "-preset", "ultrafast", "-g", "20"], "avc1"),
        (["libx265", "-x265-params", "keyint=20:open-gop=0:log-level=none"], "hvc1"),
        # its later key frames are no IDR: what is shown before them needs another
        (["libx265", "-x265-params", "keyint=10:open-gop=1:log-level=none"], "hvc1"),
        (["libsvtav1", "-preset", "12", "-g", "20"], "av01"),
    ],
)
def test_a_fragment_that_needs_another_picture_is_told_from_one_that_does_not(
    make: Make, options: list[str], codec: str
) -> None:
    fragments = ["-movflags", "empty_moov", "-frag_duration", "400000"]
    coded = ["-pix_fmt", "yuv420p", "-sc_threshold", "0", "-c:v", *options]
    film = make(*picture("64x64", 1.6), *coded, *fragments)

    assert begins_anew(film.read_bytes(), codec)[:3] == [
        True,
        False,
        "open-gop=1" not in str(options),
    ]


def test_the_ladder_and_preset_of_a_message_are_what_is_made(
    make: Make, screen: Screen
) -> None:
    source = make(*picture(), *H264)
    wanted = [{"resolution": 200, "max_bitrate": "100k"}, {"resolution": 480}]

    shown = screen(source, ladder="custom", renditions=wanted, preset="superfast")

    assert shown.sizes == [(266, 200)]
    assert shown.result["warnings"] == ["rendition_480_larger_than_source"]
    assert b"subme=1" in shown.mp4s[0].read_bytes(), "ultrafast has none"


def level(file: Path, track: int = 0) -> list[float]:
    """Return how loud each channel of a sound is, in dB; silence is -inf."""
    report = "astats=metadata=1:reset=0:measure_overall=none"
    options = ["-map", f"0:a:{track}", "-af", f"{report},ametadata=print:file=-"]
    printed = run(
        ["ffmpeg", "-v", "error", "-i", str(file), *options, "-f", "null", "-"]
    )
    found = re.findall(r"astats\.(\d+)\.RMS_level=(\S+)", printed.decode())
    return [float(value) for value in dict(found).values()]


def test_every_language_is_offered_and_surround_stays_around(
    make: Make, screen: Screen, mpd_schema: etree.XMLSchema
) -> None:
    behind = "aevalsrc='0|0|0|0|0.5*sin(2764*t)|0.5*sin(2764*t)':c=5.1(side):d=1.2"
    tone = ["-f", "lavfi", "-i", "sine=frequency=880:duration=1.2"]
    tracks = ["-map", "0", "-map", "1", "-map", "2", "-map", "2", "-c:a", "ac3"]
    words = ["language=ger", "language=eng", "language=eng"]
    told = [x for n, word in enumerate(words) for x in (f"-metadata:s:a:{n}", word)]
    told += ["-metadata:s:a:2", "title=Commentary", "-disposition:a:0", "default"]
    source = make(
        *picture(),
        *["-f", "lavfi", "-i", behind],
        *tone,
        *tracks,
        *H264,
        *told,
        name="a.mkv",
    )

    shown = screen(source, formats=["hls", "dash", "mp4"], surround=True)

    offered = shown.result["outputs"]["hls"]["audio"]
    assert [(a["label"], a["channels"], a["default"]) for a in offered] == [
        ("Deutsch", 2, True),
        ("English", 1, False),
        ("Deutsch", 6, True),
    ]
    stereo, english, wide = [level(local(a["playlist"]["uri"])) for a in offered]
    assert all(loud > -25 for loud in stereo)
    assert all(loud > -25 for loud in english)
    assert [loud > -25 for loud in wide] == [False] * 4 + [True] * 2
    assert [s.get("lang") for s in sets(shown, mpd_schema)] == [None, "de", "en", "de"]
    assert [a["channels"] for a in streams(shown.mp4s[0], "a")] == [2]
    one = screen(source, audio_tracks="default", formats=["hls"])
    assert len(one.result["outputs"]["hls"]["audio"]) == 1


def loudness(file: Path) -> tuple[float, float]:
    """Return how loud a sound is, in LUFS, and its true peak, in dB."""
    options = ["-af", "ebur128=peak=true:framelog=verbose", "-f", "null", "-"]
    command = ["ffmpeg", "-v", "info", "-nostdin", "-i", str(file), *options]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    [*_, told] = re.findall(r"I:\s+(\S+) LUFS", done.stderr)
    [*_, peak] = re.findall(r"Peak:\s+(\S+) dBFS", done.stderr)
    return float(told), float(peak)


def test_sounds_are_made_equally_loud_by_one_gain_each(
    make: Make, screen: Screen
) -> None:
    sounds = {
        "eng": "0.02*sin(6283*t)|0.02*sin(6283*t)",
        "deu": "0.9*sin(6283*t)|0.9*sin(6283*t)",
        "fra": "if(lt(mod(t,0.5),0.05),0.5,0.02)*sin(6283*t)",
        "ita": "0",
    }
    inputs, told = picture(seconds=2), []
    for number, (word, sound) in enumerate(sounds.items()):
        inputs += ["-f", "lavfi", "-i", f"aevalsrc='{sound}':d=2"]
        maps = ["-map", f"{number + 1}", f"-metadata:s:a:{number}", f"language={word}"]
        told += maps
    source = make(*inputs, "-map", "0", *told, *H264, "-c:a", "flac", name="a.mkv")

    shown = screen(source, formats=["hls"], normalize_audio=True)

    found = {
        audio["language"]: loudness(local(audio["playlist"]["uri"]))
        for audio in shown.result["outputs"]["hls"]["audio"]
    }
    assert {word: told for word, (told, _) in found.items()} == pytest.approx(
        {"en": -16, "de": -16, "fr": -16, "it": -70}, abs=1
    )
    assert all(peak < 0 for _, peak in found.values())
