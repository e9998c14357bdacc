"""The index measures what the encode has made, and refuses what does not fit."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from nexus_actors.video.base import Workbench
from nexus_actors.video.errors import OutputError
from nexus_actors.video.index import index_tracks, place_tracks
from nexus_actors.video.models import Plan, Presentation, Segment, Track


Film = Callable[[str], tuple[Presentation, Workbench]]
Encoded = Callable[[str], tuple[Plan, Path]]


def seconds(track: Track) -> list[float]:
    return [segment.duration / track.timescale for segment in track.segments]


def copy_of(encoded: Encoded, name: str, folder: Path) -> tuple[Plan, Path]:
    plan, root = encoded(name)
    for kind in ("v", "a"):
        if (root / kind).exists():
            shutil.copytree(root / kind, folder / kind)
    return plan, folder


def test_durations_are_those_of_the_frames(film: Film) -> None:
    presentation, _ = film("film")

    assert [track.name for track in presentation.video] == ["480", "360", "240"]
    for track in presentation.video:
        assert seconds(track) == pytest.approx([4.0, 4.0, 1.6], abs=1e-6)
        assert [s.frames for s in track.segments] == [100, 100, 40]
        assert track.duration == pytest.approx(9.6)


def test_segments_of_ntsc_video_last_as_long_as_their_frames(film: Film) -> None:
    presentation, _ = film("ntsc")

    track = presentation.video[0]
    assert seconds(track)[:2] == pytest.approx([4.004, 4.004], abs=1e-6)
    assert track.duration == pytest.approx(track.frames * 1001 / 30000, abs=1e-5)


def test_the_priming_of_the_audio_encoder_is_not_part_of_the_presentation(
    film: Film,
) -> None:
    presentation, _ = film("film")

    (track,) = presentation.audio
    first = track.segments[0]
    assert first.start == 0
    assert first.duration == first.frames * 1024 - 1024
    assert track.duration == pytest.approx(9.6, abs=0.05)


def test_every_segment_follows_the_one_before_it(film: Film) -> None:
    presentation, _ = film("film")

    for track in (*presentation.video, *presentation.audio):
        ends = [s.start + s.duration for s in track.segments]
        assert [s.start for s in track.segments[1:]] == ends[:-1]


def test_each_key_frame_has_a_fragment_of_its_own(film: Film) -> None:
    presentation, _ = film("film")

    for track in presentation.video:
        fragments = [f for s in track.segments for f in s.fragments]
        lengths = [f.duration / track.timescale for f in fragments]
        assert lengths == pytest.approx([2.0, 2.0, 2.0, 2.0, 1.6], abs=1e-6)
        assert all(f.offset < f.key_frame_end for f in fragments)


def test_the_peak_is_that_of_the_worst_segment_and_never_below_the_average(
    film: Film,
) -> None:
    presentation, _ = film("film")

    for track in presentation.video:
        rates = [8 * s.size * track.timescale / s.duration for s in track.segments[:2]]
        assert max(rates) <= track.peak_bitrate < max(*rates, track.average_bitrate) + 1
        total = 8 * sum(s.size for s in track.segments)
        assert track.average_bitrate == pytest.approx(total / 9.6, abs=1)


def test_codecs_come_from_the_sample_entries(film: Film) -> None:
    presentation, _ = film("film")

    # ultrafast makes Constrained Baseline of what was asked for as High
    assert all(t.codecs.startswith("avc1.42c0") for t in presentation.video)
    assert presentation.audio[0].codecs == "mp4a.40.2"


def test_a_film_without_sound_has_no_audio_track(film: Film) -> None:
    presentation, _ = film("silent")

    assert presentation.audio == ()
    assert presentation.duration == pytest.approx(5.0)


def test_a_film_shorter_than_a_segment_has_one(film: Film) -> None:
    presentation, _ = film("short")

    assert seconds(presentation.video[0]) == pytest.approx([2.0])
    assert len(presentation.audio[0].segments) == 1


def test_placing_the_tracks_twice_changes_nothing(
    encoded: Encoded, tmp_path: Path
) -> None:
    plan, root = copy_of(encoded, "short", tmp_path / "out")
    before = index_tracks(plan, root)

    place_tracks(plan, tmp_path / "encoded", root)

    assert index_tracks(plan, root) == before


def test_a_missing_segment_is_a_gap(encoded: Encoded, tmp_path: Path) -> None:
    plan, root = copy_of(encoded, "film", tmp_path)
    (root / "v/480/00002.m4s").unlink()

    with pytest.raises(OutputError, match="track 480 has a gap before fragment 3"):
        index_tracks(plan, root)


def test_a_missing_first_segment_is_a_late_start(
    encoded: Encoded, tmp_path: Path
) -> None:
    plan, root = copy_of(encoded, "film", tmp_path)
    (root / "a/0/00001.m4s").unlink()

    with pytest.raises(OutputError, match="track 0 does not start at 0"):
        index_tracks(plan, root)


def test_rungs_that_are_not_cut_alike_are_refused(
    encoded: Encoded, tmp_path: Path
) -> None:
    plan, root = copy_of(encoded, "film", tmp_path)
    (root / "v/240/00003.m4s").unlink()

    with pytest.raises(OutputError, match="480 and 240 are not cut at the same times"):
        index_tracks(plan, root)


def test_a_segment_that_is_cut_short_is_named(encoded: Encoded, tmp_path: Path) -> None:
    plan, root = copy_of(encoded, "short", tmp_path)
    segment = root / "v/240/00001.m4s"
    segment.write_bytes(segment.read_bytes()[:-1])

    with pytest.raises(OutputError, match=r"240/00001\.m4s: a box of \d+ bytes"):
        index_tracks(plan, root)


def test_a_rung_without_an_initialization_segment_is_named(
    encoded: Encoded, tmp_path: Path
) -> None:
    plan, root = copy_of(encoded, "short", tmp_path)
    (root / "v/240/init.mp4").unlink()

    with pytest.raises(OutputError, match=r"240/init\.mp4 was not made"):
        index_tracks(plan, root)


def test_sound_in_the_place_of_a_rung_is_refused(
    encoded: Encoded, tmp_path: Path
) -> None:
    plan, root = copy_of(encoded, "short", tmp_path)
    shutil.rmtree(root / "v/240")
    (root / "a/0").rename(root / "v/240")

    with pytest.raises(OutputError, match="video track 240 holds 'soun'"):
        index_tracks(plan, root)


def test_a_wrong_output_may_be_tried_again() -> None:
    assert OutputError("wrong").retryable


def test_a_track_lasts_until_the_end_of_its_last_segment(film: Film) -> None:
    presentation, _ = film("short")
    track = presentation.video[0]
    late = Segment(
        name="x", size=1, start=5 * track.timescale, duration=1, frames=1, fragments=()
    )

    assert replace(track, segments=(late,)).duration == pytest.approx(5, abs=0.01)
