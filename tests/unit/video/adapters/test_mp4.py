"""Progressive files hold the same samples, sound beside picture, index first."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nexus_actors.video.base import Workbench, packagers
from nexus_actors.video.bmff import boxes
from nexus_actors.video.models import Presentation
from screening import tone_start


#: How long one block of AAC lasts, in seconds: 1024 samples.
BLOCK_S = 1024 / 48_000

Film = Callable[[str], tuple[Presentation, Workbench]]


def package(name: str, film: Film) -> tuple[Presentation, Workbench, list[str]]:
    presentation, bench = film(name)
    return presentation, bench, packagers.get("mp4")().package(presentation, bench)


def streams(file: Path, bench: Workbench) -> dict[str, dict[str, Any]]:
    asked = ["-v", "error", "-count_packets", "-show_streams", "-of", "json"]
    told = bench.run([str(bench.tools.ffprobe), *asked, str(file)])
    found = json.loads(str(told))["streams"]
    return {stream["codec_type"]: stream for stream in found}


def samples(file: Path, kind: str, bench: Workbench) -> str:
    """Return a hash of all coded samples of one kind."""
    copied = ["-map", f"0:{kind}", "-c", "copy", "-f", "hash", "-"]
    return str(
        bench.run([str(bench.tools.ffmpeg), "-v", "error", "-i", str(file), *copied])
    )


@pytest.mark.parametrize("name", ["film", "silent", "ntsc", "short"])
def test_every_rung_has_all_of_its_frames_and_starts_at_zero(
    name: str, film: Film
) -> None:
    presentation, bench, made = package(name, film)

    assert made == [f"mp4/{track.name}.mp4" for track in presentation.video]
    for path, track in zip(made, presentation.video, strict=True):
        found = streams(bench.root / path, bench)
        assert found.keys() == (
            {"video", "audio"} if track_has_sound(name) else {"video"}
        )
        assert int(found["video"]["nb_read_packets"]) == track.frames
        assert (found["video"]["width"], found["video"]["height"]) == (
            track.width,
            track.height,
        )
        for stream in found.values():
            assert float(stream["start_time"]) == pytest.approx(0, abs=0.001)
            assert float(stream["duration"]) == pytest.approx(track.duration, abs=0.05)


@pytest.mark.parametrize("name", ["film", "ntsc"])
def test_the_sound_is_heard_when_it_was(name: str, film: Film) -> None:
    presentation, bench, made = package(name, film)
    (sound,) = presentation.audio

    for path in made:
        file = bench.root / path
        # a tone that begins with the picture; by its priming it would be 0.021 s late
        assert tone_start(file) < 0.005
        found = streams(file, bench)["audio"]
        # it ends in the block of samples in which the picture ends
        assert -0.001 < float(found["duration"]) - sound.duration < BLOCK_S
        assert int(found["nb_frames"]) == sound.frames


def track_has_sound(name: str) -> bool:
    return name != "silent"


def test_nothing_is_encoded_again(film: Film, tmp_path: Path) -> None:
    presentation, bench, made = package("film", film)

    for path, track in zip(made, presentation.video, strict=True):
        joined = tmp_path / "joined.mp4"
        folder = bench.root / track.folder
        files = ["init.mp4", *(segment.name for segment in track.segments)]
        joined.write_bytes(b"".join((folder / name).read_bytes() for name in files))
        assert samples(bench.root / path, "v", bench) == samples(joined, "v", bench)


def test_the_index_comes_before_the_samples(film: Film) -> None:
    _, bench, made = package("film", film)

    for path in made:
        kinds = [box.kind for box in boxes((bench.root / path).read_bytes())]
        assert kinds.index("moov") < kinds.index("mdat")
        assert "moof" not in kinds


def test_no_tag_tells_where_the_video_came_from(film: Film) -> None:
    _, bench, made = package("film", film)
    asked = ["-v", "error", "-show_entries", "format_tags", "-of", "json"]

    told = bench.run([str(bench.tools.ffprobe), *asked, str(bench.root / made[0])])

    tags = json.loads(str(told))["format"]["tags"]
    assert tags.keys() <= {
        "major_brand",
        "minor_version",
        "compatible_brands",
        "encoder",
    }


def test_the_language_of_the_sound_is_kept(film: Film) -> None:
    _, bench, made = package("film", film)

    found = streams(bench.root / made[0], bench)

    assert found["audio"]["tags"]["language"] == "eng"


def test_the_default_sound_is_the_one_that_is_kept(film: Film) -> None:
    presentation, bench = film("film")
    (track,) = presentation.audio
    absent = replace(track, name="9", folder="a/9", default=False)

    both = replace(presentation, audio=(absent, track))
    made = packagers.get("mp4")().package(both, bench)

    assert "audio" in streams(bench.root / made[0], bench)
