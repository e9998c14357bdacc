"""The poster stands for the film: no black frame, sharp, in a JPEG's colours."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nexus_actors.video.base import Workbench
from nexus_actors.video.errors import OutputError
from nexus_actors.video.models import Plan, Presentation, Thumbnail
from nexus_actors.video.stills import (
    Candidate,
    choose,
    film_of_tracks,
    make_stills,
    poster,
    read_candidates,
    score_command,
    still_path,
    stills_command,
)
from nexus_actors.video.stills import Film as Given
from nexus_actors.video.tools import Tools


Encoded = Callable[[str], tuple[Plan, Path]]
Film = Callable[[str], tuple[Presentation, Workbench]]

TOOLS = Tools(Path("/bin/ffmpeg"), Path("/bin/ffprobe"), "5.1")

FILM = Given(small=Path("/jobs/small.mp4"), large=Path("/jobs/large.mp4"), seconds=50)


def candidate(**more: float) -> Candidate:
    """Return a good frame; *more* says what is worse or better in it."""
    fields = {"time": 1.0, "black": 0.0, "blur": 5.0, "luma": 120.0, "saturation": 60.0}
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
    }


@pytest.mark.parametrize(
    "worse",
    [
        {"black": 91.0},
        {"blur": 9.0},
        {"luma": 20.0},
        {"luma": 220.0},
        {"saturation": 2},
    ],
    ids=["black", "blurred", "dark", "glaring", "grey"],
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

    assert first == Candidate(time=0, black=100, blur=5, luma=16, saturation=30)
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


def test_one_decode_writes_all_sizes() -> None:
    wanted = [Thumbnail(name="a", width=640, height=360), *two_small()]

    command = stills_command(FILM, 2.5, wanted, Path("/out"), TOOLS)

    assert command.count("-i") == 1
    assert command[command.index("-ss") + 1] == "2.500000"
    assert command.index("-ss") < command.index("-i")  # seeks instead of decoding
    targets = [part for part in command if part.endswith(".jpg")]
    assert targets == ["/out/thumb/a.jpg", "/out/thumb/b.jpg", "/out/thumb/c.jpg"]
    graph = command[command.index("-filter_complex") + 1]
    for still in wanted:
        assert f"h={still.height}" in graph
        assert f"w={still.width}" in graph
    assert graph.count("out_color_matrix=bt601") == len(wanted)


def two_small() -> list[Thumbnail]:
    return [
        Thumbnail(name="b", width=320, height=180),
        Thumbnail(name="c", width=160, height=90),
    ]


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
    assert made == [still_path(still.name) for still in wanted]
    assert made[0] == "thumb/poster.jpg"
    assert (wanted[0].width, wanted[0].height) == (top.width, top.height)
    for path, still in zip(made, wanted, strict=True):
        found = shown(bench.root / path, bench)
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

    with pytest.raises(OutputError, match=r"has not written thumb/poster\.jpg"):
        make_stills(plan, film_of_tracks(presentation, silent.root, tmp_path), silent)


def test_without_thumbnails_there_is_the_poster_alone(
    film: Film, encoded: Encoded, tmp_path: Path
) -> None:
    plan, _ = encoded("short")
    presentation, bench = film("short")

    made = make_stills(
        replace(plan, thumbnails=()),
        film_of_tracks(presentation, bench.root, tmp_path),
        bench,
    )

    assert made == ["thumb/poster.jpg"]
