"""HLS playlists say what was measured, and everything they name is there."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest

from apple import attributes, faults
from keyframes import begins_anew
from nexus_actors.video.adapters.hls import (
    HlsPackager,
    iframe_playlist,
    master_playlist,
    media_playlist,
    quotable,
    start_order,
)
from nexus_actors.video.base import Workbench, packagers
from nexus_actors.video.models import Fragment, Presentation, Segment, Track
from nexus_actors.video.tools import Tools


Film = Callable[[str], tuple[Presentation, Workbench]]

VIDEO = Track(
    kind="video",
    name="720",
    folder="v/720",
    timescale=30000,
    codecs="avc1.64001f",
    segments=(
        Segment(
            name="00001.m4s",
            size=1_001_000,
            start=0,
            duration=120120,
            frames=120,
            fragments=(
                Fragment(offset=100, key_frame_end=5100, start=0, duration=60060),
                Fragment(offset=9000, key_frame_end=12000, start=60060, duration=60060),
            ),
        ),
        Segment(
            name="00002.m4s",
            size=200_000,
            start=120120,
            duration=45045,
            frames=45,
            fragments=(
                Fragment(offset=100, key_frame_end=3100, start=120120, duration=45045),
            ),
        ),
    ),
    peak_bitrate=2_000_000,
    average_bitrate=1_745_255,
    width=1280,
    height=720,
    fps=Fraction(30000, 1001),
)

AUDIO = Track(
    kind="audio",
    name="0",
    folder="a/0",
    timescale=48000,
    codecs="mp4a.40.2",
    segments=(
        Segment(
            name="00001.m4s",
            size=8000,
            start=0,
            duration=24000,
            frames=24,
            fragments=(),
        ),
    ),
    peak_bitrate=130_000,
    average_bitrate=128_000,
    channels=2,
    sample_rate=48000,
    language="eng",
    label="English",
    default=True,
)


def lines(playlist: str, tag: str) -> list[str]:
    return [line for line in playlist.splitlines() if line.startswith(f"#{tag}:")]


def uris(playlist: str) -> list[str]:
    rows = playlist.splitlines()
    named = [row for row in rows if row and not row.startswith("#")]
    return named + re.findall(r'URI="([^"]+)"', playlist)


def durations(playlist: str) -> list[float]:
    return [float(found) for found in re.findall(r"#EXTINF:([0-9.]+),", playlist)]


@pytest.fixture
def root(film: Film) -> Path:
    """The film, packaged."""
    presentation, bench = film("film")
    HlsPackager().package(presentation, bench)
    return bench.root


def test_the_master_playlist_is_the_one_that_was_designed() -> None:
    small = replace(
        VIDEO,
        name="360",
        folder="v/360",
        width=640,
        height=360,
        codecs="avc1.64001e",
        peak_bitrate=700_000,
        average_bitrate=600_000,
    )

    made = master_playlist(Presentation(video=(VIDEO, small), audio=(AUDIO,)))

    assert made.splitlines() == [
        "#EXTM3U",
        "#EXT-X-VERSION:7",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        (
            '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="aac",NAME="English",LANGUAGE="en",'
            'DEFAULT=YES,AUTOSELECT=YES,CHANNELS="2",URI="a_0.m3u8"'
        ),
        (
            "#EXT-X-STREAM-INF:BANDWIDTH=2130000,AVERAGE-BANDWIDTH=1873255,"
            'CODECS="avc1.64001f,mp4a.40.2",RESOLUTION=1280x720,FRAME-RATE=29.970,'
            'VIDEO-RANGE=SDR,CLOSED-CAPTIONS=NONE,AUDIO="aac"'
        ),
        "v_720.m3u8",
        (
            "#EXT-X-STREAM-INF:BANDWIDTH=830000,AVERAGE-BANDWIDTH=728000,"
            'CODECS="avc1.64001e,mp4a.40.2",RESOLUTION=640x360,FRAME-RATE=29.970,'
            'VIDEO-RANGE=SDR,CLOSED-CAPTIONS=NONE,AUDIO="aac"'
        ),
        "v_360.m3u8",
        (
            "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=19981,AVERAGE-BANDWIDTH=15985,"
            'CODECS="avc1.64001f",RESOLUTION=1280x720,VIDEO-RANGE=SDR,'
            'URI="v_720_iframe.m3u8"'
        ),
        (
            "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=19981,AVERAGE-BANDWIDTH=15985,"
            'CODECS="avc1.64001e",RESOLUTION=640x360,VIDEO-RANGE=SDR,'
            'URI="v_360_iframe.m3u8"'
        ),
    ]


def test_a_media_playlist_is_the_one_that_was_designed() -> None:
    assert media_playlist(VIDEO).splitlines() == [
        "#EXTM3U",
        "#EXT-X-VERSION:7",
        "#EXT-X-TARGETDURATION:4",
        "#EXT-X-MEDIA-SEQUENCE:0",
        "#EXT-X-PLAYLIST-TYPE:VOD",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        '#EXT-X-MAP:URI="../v/720/init.mp4"',
        "#EXTINF:4.004000,",
        "../v/720/00001.m4s",
        "#EXTINF:1.501500,",
        "../v/720/00002.m4s",
        "#EXT-X-ENDLIST",
    ]


def test_an_iframe_playlist_names_the_bytes_of_each_key_frame() -> None:
    assert iframe_playlist(VIDEO).splitlines() == [
        "#EXTM3U",
        "#EXT-X-VERSION:7",
        "#EXT-X-TARGETDURATION:2",
        "#EXT-X-MEDIA-SEQUENCE:0",
        "#EXT-X-PLAYLIST-TYPE:VOD",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        "#EXT-X-I-FRAMES-ONLY",
        '#EXT-X-MAP:URI="../v/720/init.mp4"',
        "#EXTINF:2.002000,",
        "#EXT-X-BYTERANGE:5000@100",
        "../v/720/00001.m4s",
        "#EXTINF:2.002000,",
        "#EXT-X-BYTERANGE:3000@9000",
        "../v/720/00001.m4s",
        "#EXTINF:1.501500,",
        "#EXT-X-BYTERANGE:3000@100",
        "../v/720/00002.m4s",
        "#EXT-X-ENDLIST",
    ]


def test_a_film_without_sound_names_no_audio() -> None:
    made = master_playlist(Presentation(video=(VIDEO,), audio=()))

    assert "AUDIO" not in made
    assert "mp4a" not in made
    assert "BANDWIDTH=2000000,AVERAGE-BANDWIDTH=1745255," in made


def test_bandwidth_counts_the_audio_track_with_the_highest_peak() -> None:
    other = replace(AUDIO, name="1", peak_bitrate=90_000, default=False)

    made = master_playlist(Presentation(video=(VIDEO,), audio=(other, AUDIO)))

    assert attributes(lines(made, "EXT-X-STREAM-INF")[0])["BANDWIDTH"] == "2130000"


def test_players_start_with_the_variant_nearest_to_two_megabits() -> None:
    rates = (6_000_000, 3_500_000, 1_600_000, 900_000)
    tracks = tuple(replace(VIDEO, name=str(r), peak_bitrate=r) for r in rates)

    order = [track.peak_bitrate for track in start_order(tracks)]

    assert order == [1_600_000, 6_000_000, 3_500_000, 900_000]


@pytest.mark.parametrize(
    ("language", "tag"), [("deu", "de"), ("und", "und"), ("pt-BR", "pt-BR")]
)
def test_languages_are_those_of_bcp_47(language: str, tag: str) -> None:
    audio = (replace(AUDIO, language=language),)

    made = master_playlist(Presentation(video=(VIDEO,), audio=audio))

    assert attributes(lines(made, "EXT-X-MEDIA")[0])["LANGUAGE"] == tag


@pytest.mark.parametrize("language", [None, "", 'e"n', "en,DEFAULT=NO"])
def test_what_is_no_language_is_left_out(language: str | None) -> None:
    audio = (replace(AUDIO, language=language),)

    made = master_playlist(Presentation(video=(VIDEO,), audio=audio))

    assert "LANGUAGE" not in made


@pytest.mark.parametrize(
    ("label", "written"),
    [
        ('a"b', "a'b"),
        ("a\r\n#EXT-X-ENDLIST", "a  #EXT-X-ENDLIST"),
        ("a\x0b\x85\u2028\x00b", "a    b"),
        ("Français, 5.1", "Français, 5.1"),
    ],
)
def test_a_label_cannot_end_its_attribute_or_its_line(label: str, written: str) -> None:
    assert quotable(label) == written
    made = master_playlist(
        Presentation(video=(VIDEO,), audio=(replace(AUDIO, label=label),))
    )
    assert f'NAME="{written}"' in made.splitlines()[3]


GERMAN = replace(AUDIO, name="1", language="deu", label="Deutsch", default=False)


def test_a_player_may_choose_between_languages_but_not_between_sounds_of_one() -> None:
    again = replace(GERMAN, name="2", label="Deutsch 2")
    spoken = replace(GERMAN, name="3", label="D (commentary)", purpose="commentary")
    told = replace(GERMAN, name="4", label="D (description)", purpose="description")
    audio = (AUDIO, GERMAN, again, spoken, told)

    made = master_playlist(Presentation(video=(VIDEO,), audio=audio))

    found = [attributes(line) for line in lines(made, "EXT-X-MEDIA")]
    assert [f["NAME"] for f in found] == [track.label for track in audio]
    assert [f["DEFAULT"] for f in found] == ["YES", "NO", "NO", "NO", "NO"]
    assert [f["AUTOSELECT"] for f in found] == ["YES", "YES", "NO", "NO", "YES"]
    assert [f.get("CHARACTERISTICS") for f in found] == [
        *(None, None, None, None, "public.accessibility.describes-video")
    ]


def test_surround_is_a_group_with_the_same_choice() -> None:
    wide = replace(AUDIO, name="0-surround", channels=6, peak_bitrate=400_000)
    small = replace(VIDEO, name="360", peak_bitrate=700_000)
    shown = Presentation(video=(VIDEO, small), audio=(AUDIO, GERMAN, wide))

    made = master_playlist(shown)

    sounds = [attributes(line) for line in lines(made, "EXT-X-MEDIA")]
    assert [(s["GROUP-ID"], s["NAME"], s["CHANNELS"], s["URI"]) for s in sounds] == [
        ("aac", "English", "2", "a_0.m3u8"),
        ("aac", "Deutsch", "2", "a_1.m3u8"),
        ("aac-surround", "English", "6", "a_0-surround.m3u8"),
        ("aac-surround", "Deutsch", "2", "a_1.m3u8"),
    ]
    variants = [attributes(line) for line in lines(made, "EXT-X-STREAM-INF")]
    assert [(v["AUDIO"], v["BANDWIDTH"]) for v in variants] == [
        ("aac", "2130000"),
        ("aac", "830000"),
        ("aac-surround", "2400000"),
        ("aac-surround", "1100000"),
    ]


def test_the_variants_of_every_codec_come_after_those_of_h264() -> None:
    tracks = tuple(
        replace(VIDEO, name=f"{codec}-{rate}", codecs=codec, peak_bitrate=rate)
        for codec in ("avc1.64001f", "hvc1.1.6.L93.90", "av01.0.05M.08")
        for rate in (6_000_000, 1_900_000)
    )

    made = master_playlist(Presentation(video=tracks, audio=()))

    variants = [attributes(line) for line in lines(made, "EXT-X-STREAM-INF")]
    assert [(v["CODECS"][:4], v["BANDWIDTH"]) for v in variants] == [
        ("avc1", "1900000"),
        ("avc1", "6000000"),
        ("hvc1", "6000000"),
        ("hvc1", "1900000"),
        ("av01", "6000000"),
        ("av01", "1900000"),
    ]


def test_all_files_are_written_and_the_master_is_named_last(film: Film) -> None:
    presentation, bench = film("film")

    made = packagers.get("hls")().package(presentation, bench)

    names = [f"hls/v_{n}{i}.m3u8" for i in ("", "_iframe") for n in (480, 360, 240)]
    assert sorted(made) == sorted([*names, "hls/a_0.m3u8", "hls/master.m3u8"])
    assert made[-1] == "hls/master.m3u8"
    assert all((bench.root / path).is_file() for path in made)


def test_everything_that_a_playlist_names_is_there(root: Path) -> None:
    found = 0
    for playlist in (root / "hls").glob("*.m3u8"):
        for uri in uris(playlist.read_text()):
            target = (playlist.parent / uri).resolve()
            assert target.is_relative_to(root.resolve())
            assert target.stat().st_size > 0
            found += 1

    assert found > 20


@pytest.mark.parametrize("name", ["film", "silent", "ntsc", "short"])
def test_the_durations_of_every_playlist_add_up_to_the_length(
    name: str, film: Film
) -> None:
    presentation, bench = film(name)
    HlsPackager().package(presentation, bench)

    for track in (*presentation.video, *presentation.audio):
        path = bench.root / "hls" / f"{track.kind[0]}_{track.name}.m3u8"
        told = durations(path.read_text())
        assert sum(told) == pytest.approx(track.duration, abs=1e-5)
        target = re.search(r"#EXT-X-TARGETDURATION:(\d+)", path.read_text())
        assert target
        assert max(round(duration) for duration in told) == int(target[1]) <= 6
    for track in presentation.video:
        path = bench.root / "hls" / f"v_{track.name}_iframe.m3u8"
        told = durations(path.read_text())
        assert sum(told) == pytest.approx(track.duration, abs=1e-5)


@pytest.mark.parametrize("name", ["film", "tongues", "silent", "ntsc", "short"])
def test_apples_rules_hold_on_what_a_player_fetches(name: str, film: Film) -> None:
    presentation, bench = film(name)
    HlsPackager().package(presentation, bench)

    assert faults(bench.root / "hls/master.m3u8") == set()
    master = (bench.root / "hls/master.m3u8").read_text()
    assert "\n#EXT-X-INDEPENDENT-SEGMENTS\n" in master
    for told in map(attributes, lines(master, "EXT-X-STREAM-INF")):
        assert told["CLOSED-CAPTIONS"] == "NONE"
        assert told["VIDEO-RANGE"] == "SDR"
    pictures = [attributes(line) for line in lines(master, "EXT-X-I-FRAME-STREAM-INF")]
    for track, told in zip(presentation.video, pictures, strict=True):
        assert told["RESOLUTION"] == f"{track.width}x{track.height}"
        playlist = (bench.root / "hls" / told["URI"]).read_text()
        sizes = [int(s) for s in re.findall(r"BYTERANGE:(\d+)@", playlist)]
        rates = [8 * s / t for s, t in zip(sizes, durations(playlist), strict=True)]
        assert max(rates[:-1] or rates) <= int(told["BANDWIDTH"])


def edit(file: str, pattern: str, replacement: str) -> Callable[[Path], None]:
    """Return what breaks a playlist by another text."""

    def change(root: Path) -> None:
        text = (root / file).read_text()
        edited = re.sub(pattern, replacement, text, flags=re.MULTILINE)
        assert edited != text
        (root / file).write_text(edited)

    return change


def grow(segment: str, times: int) -> Callable[[Path], None]:
    """Return what makes a segment larger, by a box that no player reads."""

    def change(root: Path) -> None:
        size = times * (root / segment).stat().st_size
        with (root / segment).open("ab") as file:
            file.write(size.to_bytes(4) + b"free" + bytes(size - 8))

    return change


def need_another_picture(root: Path) -> None:
    """Say of an IDR picture that it is a usual one."""
    segment = root / "v/360/00002.m4s"
    content = bytearray(segment.read_bytes())
    place = content.index(b"mdat") + 4
    while content[place + 4] & 31 != IDR:
        place += 4 + int.from_bytes(content[place : place + 4])
    content[place + 4] ^= IDR ^ OTHER_PICTURE
    segment.write_bytes(content)


#: The kinds of units of H.264 that hold a picture: one that needs no other, or not.
IDR, OTHER_PICTURE = 5, 1

MASTER, RUNG, SOUND = "hls/master.m3u8", "hls/v_360.m3u8", "hls/a_0.m3u8"

#: What breaks each rule.
BREAKS: dict[str, Callable[[Path], None]] = {
    "durations within the target": edit(RUNG, "TARGETDURATION:4", "TARGETDURATION:3"),
    "target": edit(RUNG, "TARGETDURATION:4", "TARGETDURATION:7"),
    "end": edit(SOUND, "#EXT-X-ENDLIST\n", ""),
    "on demand": edit(RUNG, "#EXT-X-PLAYLIST-TYPE:VOD\n", ""),
    "what is told": edit(MASTER, ",FRAME-RATE=[0-9.]+", ""),
    "bandwidth": edit(MASTER, ":BANDWIDTH=[0-9]+", ":BANDWIDTH=200000"),
    "average": edit(MASTER, "AVERAGE-BANDWIDTH=", "AVERAGE-BANDWIDTH=1"),
    "peak": grow("v/360/00001.m4s", 5),
    "audio group": edit(MASTER, ',AUDIO="[^"]+"', ""),
    "key frames": need_another_picture,
    "same borders": edit(RUNG, "EXTINF:4.000000", "EXTINF:4.040000"),
    "steps": edit(
        MASTER, ":BANDWIDTH=[0-9]+(.*RESOLUTION=854)", r":BANDWIDTH=99999999\1"
    ),
    "I-frame playlists": edit(MASTER, "^#EXT-X-I-FRAME-STREAM-INF.*\n", ""),
}


@pytest.mark.parametrize("rule", BREAKS)
def test_a_film_that_breaks_a_rule_is_found_out(
    rule: str, film: Film, tmp_path: Path
) -> None:
    presentation, bench = film("film")
    HlsPackager().package(presentation, bench)
    shutil.copytree(bench.root, tmp_path / "broken")

    BREAKS[rule](tmp_path / "broken")

    assert rule in faults(tmp_path / "broken" / MASTER)


def test_key_frames_are_two_seconds_apart_and_each_range_begins_with_one(
    film: Film,
) -> None:
    presentation, bench = film("ntsc")

    for track in presentation.video:
        starts = [fragment.start for s in track.segments for fragment in s.fragments]
        gaps = [(b - a) / track.timescale for a, b in pairwise(starts)]
        assert gaps == pytest.approx([2] * len(gaps), abs=0.01)
        for segment in track.segments:
            content = (bench.root / track.folder / segment.name).read_bytes()
            assert segment.fragments[0].start == segment.start
            for fragment in segment.fragments:
                part = content[fragment.offset : fragment.key_frame_end]
                assert begins_anew(part, track.codecs) == [True]


def test_each_byte_range_decodes_to_one_key_frame(
    root: Path,
    tools: Tools,
    run_tool: Callable[[list[str]], str],
    tmp_path: Path,
) -> None:
    text = (root / "hls/v_240_iframe.m3u8").read_text()
    ranges = re.findall(r"#EXT-X-BYTERANGE:(\d+)@(\d+)\n(\S+)", text)
    asked = ["-v", "error", "-show_entries", "frame=pict_type", "-of", "csv=p=0"]

    shown = []
    for length, offset, uri in ranges:
        data = (root / "hls" / uri).read_bytes()[int(offset) :][: int(length)]
        part = tmp_path / "key.mp4"
        part.write_bytes((root / "v/240/init.mp4").read_bytes() + data)
        shown.append(run_tool([str(tools.ffprobe), *asked, str(part)]).strip(",\n"))

    assert shown == ["I"] * 5
