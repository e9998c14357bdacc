"""The poster stands for the film: no black frame, sharp, in a JPEG's colours."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nexus_actors.video import sprites as sheets
from nexus_actors.video.adapters.ffmpeg import stills_command
from nexus_actors.video.base import Film as Given
from nexus_actors.video.base import Workbench
from nexus_actors.video.errors import OutputError
from nexus_actors.video.models import (
    Plan,
    Presentation,
    ProcessVideoOptions,
    Sprites,
    Thumbnail,
)
from nexus_actors.video.plan import make_plan
from nexus_actors.video.score import Candidate, choose, read_candidates, score_command
from nexus_actors.video.settings import VideoSettings
from nexus_actors.video.stills import dominant, film_of_tracks, make_stills, poster
from nexus_actors.video.tools import Tools
from sources import media


Encoded = Callable[[str], tuple[Plan, Path]]
Film = Callable[[str], tuple[Presentation, Workbench]]

TOOLS = Tools(Path("/bin/ffmpeg"), Path("/bin/ffprobe"), "5.1")

FILM = Given(small=Path("/jobs/small.mp4"), large=Path("/jobs/large.mp4"), seconds=50)


def candidate(**more: float) -> Candidate:
    """Return a good frame; *more* says what is worse or better in it."""
    fields = {"time": 1.0, "black": 0.0, "blur": 5.0, "luma": 120.0, "saturation": 60.0}
    fields["contrast"] = 100.0
    return Candidate(**(fields | more))


def printed(*frames: tuple[float, dict[str, Any]]) -> str:
    """Return what ffmpeg prints of frames, each a time and what was measured."""
    text = ""
    for number, (time, values) in enumerate(frames):
        text += f"frame:{number}    pts:{int(time * 12800)}   pts_time:{time:g}\n"
        text += "".join(f"lavfi.{name}={value}\n" for name, value in values.items())
    return text


def measured(black: float = 0, blur: Any = 5, luma: Any = 120) -> dict[str, Any]:
    return {
        "blackframe.pblack": black,
        "blur": blur,
        "signalstats.YAVG": luma,
        "signalstats.SATAVG": 30,
        "signalstats.YLOW": 20,
        "signalstats.YHIGH": 220,
    }


@pytest.mark.parametrize(
    "worse",
    [
        {"black": 91.0},
        {"blur": 9.0},
        {"luma": 20.0},
        {"luma": 220.0},
        {"saturation": 2},
        {"contrast": 10},
    ],
    ids=["black", "blurred", "dark", "glaring", "grey", "flat"],
)
def test_a_frame_with_a_fault_scores_lower(worse: dict[str, float]) -> None:
    assert candidate(**worse).score < candidate().score


def test_any_frame_that_is_not_black_is_better_than_the_best_black_one() -> None:
    worst = candidate(black=90.0, blur=1000.0, luma=255.0, saturation=0.0)

    assert worst.score > candidate(black=90.1, blur=0.0).score


def test_what_ffmpeg_prints_is_read_frame_by_frame() -> None:
    text = "[Parsed_blackframe_1 @ 0x5] frame:1 pblack:3\n" + printed(
        (0.0, measured(black=100, luma=16)), (4.004, measured(blur=7.5))
    )

    first, second = read_candidates(text)

    assert first == candidate(
        time=0, black=100, blur=5, luma=16, saturation=30, contrast=200
    )
    assert (second.time, second.blur) == (4.004, 7.5)


@pytest.mark.parametrize("value", ["-nan", "nan", "inf?", ""])
def test_what_is_no_number_is_the_worst_that_it_could_be(value: str) -> None:
    (found,) = read_candidates(printed((1.0, measured(blur=value, luma=value))))

    assert (found.blur, found.luma) == (20, 0)


def test_the_best_frame_is_chosen() -> None:
    text = printed((2.0, measured(blur=9)), (4.0, measured()), (6.0, measured(luma=20)))

    assert choose(read_candidates(text), 10.0) == 4.0


@pytest.mark.parametrize("at_the_edge", [0.0, 0.9, 9.6])
def test_the_very_start_and_end_are_left_out(at_the_edge: float) -> None:
    text = printed((at_the_edge, measured()), (5.0, measured(blur=18)))

    assert choose(read_candidates(text), 10.0) == 5.0


def test_a_frame_at_the_edge_is_better_than_none() -> None:
    assert choose([candidate(time=0.0)], 10.0) == 0.0
    assert choose([candidate(time=0.1)], 0.4) == 0.1


@pytest.mark.parametrize("said", ["", "Conversion failed!\n", "frame: pts: pts_time:"])
def test_where_nothing_was_measured_the_first_frame_is_taken(said: str) -> None:
    assert choose(read_candidates(said), 10.0) == 0.0


def test_a_long_film_is_measured_by_its_key_frames_and_a_short_one_by_all() -> None:
    keys = score_command(FILM, TOOLS)
    every = score_command(FILM, TOOLS, every=True)

    assert keys[keys.index("-skip_frame") + 1] == "nokey"
    assert "-skip_frame" not in every
    assert every[every.index("-vf") + 1] == "fps=2.0000," + keys[keys.index("-vf") + 1]


def test_one_decode_writes_all_sizes_each_of_the_one_above_it() -> None:
    sizes = [("a", 640, 360), ("b", 320, 180), ("c", 160, 90)]
    wanted = [Thumbnail(name=n, width=w, height=h) for n, w, h in reversed(sizes)]
    wanted.append(Thumbnail(name="b", width=320, height=180, format="webp"))

    command = stills_command(wanted, FILM.at(2.5), Workbench(Path("/out"), TOOLS, str))

    assert command.count("-i") == 1
    assert command[command.index("-ss") + 1] == "2.500000"
    assert command.index("-ss") < command.index("-i")  # seeks instead of decoding
    targets = [part for part in command if part.startswith("/out/thumb/")]
    assert sorted(targets) == [
        *("/out/thumb/a.jpg", "/out/thumb/b.jpg", "/out/thumb/b.webp"),
        "/out/thumb/c.jpg",
    ]
    graph = command[command.index("-filter_complex") + 1]
    assert graph.count("flags=lanczos") == len(sizes)
    assert graph.count("out_range=full") == len(sizes)


@pytest.mark.parametrize(
    ("raw", "colour"),
    [
        (bytes((10, 20, 30)) * 5 + bytes((250, 250, 250)) * 4, "#0a141e"),
        (bytes((200, 0, 0, 202, 2, 4)) + bytes(3), "#c90102"),
    ],
)
def test_the_dominant_colour_is_that_of_most_of_the_picture(
    raw: bytes, colour: str
) -> None:
    assert dominant(raw) == colour


def test_a_cue_says_which_part_of_which_sheet_belongs_to_its_time() -> None:
    sprites = Sprites(interval=2, count=27, width=160, height=90)

    cues = sheets.track(sprites, 53.4).split("\n\n")

    assert cues[0] == "WEBVTT"
    assert cues[1] == ("00:00:00.000 --> 00:00:02.000\nsprite_001.jpg#xywh=0,0,160,90")
    assert cues[7].endswith("sprite_001.jpg#xywh=160,90,160,90")
    assert cues[26].endswith("sprite_002.jpg#xywh=0,0,160,90")
    assert cues[27].startswith("00:00:52.000 --> 00:00:53.400\n")


@pytest.mark.parametrize(
    ("seconds", "interval", "count"), [(0.3, 1, 1), (100, 1, 100), (3600, 36, 100)]
)
def test_long_films_have_no_more_sprites_than_short_ones(
    seconds: float, interval: int, count: int
) -> None:
    found = sheets.plan_sprites(seconds, planned(1080, 1920).video[0])

    assert (found.interval, found.count) == (interval, count)
    assert (found.width, found.height) == (90, 160)  # as the picture is shaped


def planned(width: int, height: int, **stills: Any) -> Plan:
    options = ProcessVideoOptions.model_validate({"thumbnails": stills or True})
    source = media(width=width, height=height, display_width=width)
    return make_plan(source, options, VideoSettings.load(), tools=TOOLS)


def test_stills_have_the_sizes_and_formats_that_were_asked_for() -> None:
    stills = planned(1920, 1080, sizes=[480, 3000, 960], formats=["webp", "avif"])

    assert [still.path for still in stills.thumbnails] == [
        *("thumb/960.webp", "thumb/960.avif", "thumb/480.webp", "thumb/480.avif"),
    ]
    assert (stills.thumbnails[2].width, stills.thumbnails[2].height) == (480, 270)


def shown(path: Path, bench: Workbench) -> dict[str, Any]:
    asked = ["-v", "error", "-show_streams", "-of", "json", str(path)]
    stream: dict[str, Any]
    [stream] = json.loads(bench.run([str(bench.tools.ffprobe), *asked]))["streams"]
    return stream


def test_every_still_is_a_jpeg_of_its_size(
    film: Film, encoded: Encoded, tmp_path: Path
) -> None:
    plan, _ = encoded("film")
    presentation, bench = film("film")

    made = make_stills(plan, film_of_tracks(presentation, bench.root, tmp_path), bench)

    top = presentation.video[0]
    wanted = [poster(plan.video[0]), *plan.thumbnails]
    assert made["warnings"] == []
    assert 0 <= made["time"] < presentation.duration
    assert re.fullmatch("#[0-9a-f]{6}", made["color"])
    assert wanted[0].path == "thumb/poster.jpg"
    assert (wanted[0].width, wanted[0].height) == (top.width, top.height)
    for still in wanted:
        found = shown(bench.root / still.path, bench)
        assert (found["width"], found["height"]) == (still.width, still.height)
        assert found["codec_name"] == "mjpeg"
        assert found["color_range"] == "pc"


def test_a_still_that_was_not_written_is_named(
    film: Film, encoded: Encoded, tmp_path: Path
) -> None:
    plan, _ = encoded("short")
    presentation, bench = film("short")
    silent = Workbench(tmp_path / "out", bench.tools, lambda _: "")
    for track in presentation.video:
        (silent.root / track.folder).mkdir(parents=True)
        for name in ("init.mp4", *(segment.name for segment in track.segments)):
            (silent.root / track.folder / name).touch()

    with pytest.raises(OutputError, match=r"thumb/poster\.jpg was not written"):
        make_stills(plan, film_of_tracks(presentation, silent.root, tmp_path), silent)


def test_sprites_are_sheets_of_the_film_from_its_start_to_its_end(
    film: Film, encoded: Encoded, tmp_path: Path
) -> None:
    plan, _ = encoded("short")
    presentation, bench = film("short")
    sprites = sheets.plan_sprites(presentation.duration, plan.video[0])
    plan = replace(plan, thumbnails=(), sprites=sprites, moment=99.0)

    made = make_stills(plan, film_of_tracks(presentation, bench.root, tmp_path), bench)

    assert made["time"] == pytest.approx(2 - 1 / 25)  # later there is no frame
    assert sprites.sheets == ("sprite/sprite_001.jpg",)
    sheet = shown(bench.root / sprites.sheets[0], bench)
    assert (sheet["width"], sheet["height"]) == (5 * 160, 5 * 120)
    cues = (bench.root / "sprite/thumbs.vtt").read_text().count("-->")
    assert cues == sprites.count == 2
