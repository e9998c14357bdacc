"""The plan decides everything, and its hash tells whether anything has changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nexus_actors.video.codecs import ENCODERS
from nexus_actors.video.models import Color, Plan, ProcessVideoOptions
from nexus_actors.video.plan import make_plan
from nexus_actors.video.settings import VideoSettings
from nexus_actors.video.tools import Tools
from sources import media, sound


def plan(
    version: str = "5.1",
    encoders: frozenset[str] = ENCODERS,
    threads: int = 0,
    options: dict[str, Any] | None = None,
    settings: dict[str, Any] | None = None,
    **source: Any,
) -> Plan:
    return make_plan(
        media(**source),
        ProcessVideoOptions.model_validate(options or {}),
        VideoSettings.load(settings or {}),
        tools=Tools(Path("ffmpeg"), Path("ffprobe"), version, encoders),
        threads=threads,
    )


@pytest.mark.parametrize(
    "change",
    [
        {"version": "9.0"},
        {"sha256": "1" * 64},
        {"options": {"formats": ["mp4"]}},
        {"options": {"thumbnails": False}},
        {"settings": {"ffmpeg_preset": "slow"}},
        {"settings": {"audio_bitrate": "96k"}},
        {"settings": {"video_bitrate": "3M"}},
        {"options": {"preset": "slow"}},
        {"options": {"ladder": "mobile"}},
        {"options": {"codecs": ["hevc"]}},
        {"options": {"audio_tracks": "all"}},
        {"options": {"surround": True}},
        {"options": {"mp4_renditions": "top"}},
        {"options": {"clean_rendition": True}},
        {"options": {"normalize_audio": True}},
        {"settings": {"normalize_audio": True}},
        {"options": {"ladder": "custom", "renditions": [{"resolution": 720}]}},
    ],
)
def test_a_change_that_matters_changes_the_hash(change: dict[str, Any]) -> None:
    assert plan(**change).hash != plan().hash


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"threads": 4},
        {"settings": {"max_duration_s": 60}},
        {"settings": {"ffmpeg": "/opt/ffmpeg"}},
        {"options": {"formats": ["hls", "dash", "mp4", "hls"]}},
        {"options": {"codecs": ["h264", "h264"]}},
    ],
)
def test_a_change_that_does_not_matter_keeps_the_hash(change: dict[str, Any]) -> None:
    assert plan(**change).hash == plan().hash


def test_the_preset_of_the_message_wins_over_that_of_the_settings() -> None:
    slow = {"ffmpeg_preset": "slow"}

    assert plan(settings=slow).preset == "slow"
    assert plan(settings=slow, options={"preset": "faster"}).preset == "faster"


def test_other_codecs_follow_h264_with_the_same_pictures_for_fewer_bits() -> None:
    made = plan(options={"codecs": ["av1", "hevc"]}, width=640, height=360).video

    assert [(r.name, r.codec) for r in made] == [
        ("360", "h264"),
        ("240", "h264"),
        ("360-hevc", "hevc"),
        ("240-hevc", "hevc"),
        ("360-av1", "av1"),
        ("240-av1", "av1"),
    ]
    assert [(r.width, r.height, r.fps, r.gop) for r in made[:2]] * 3 == [
        (r.width, r.height, r.fps, r.gop) for r in made
    ]
    assert [r.maxrate for r in made[::2]] == [800_000, 500_000, 400_000]
    assert [r.crf for r in made[::2]] == [24, 27, 35]


def test_a_codec_that_this_ffmpeg_cannot_make_is_told_and_left_out() -> None:
    wanted = {"codecs": ["hevc", "av1"]}

    made = plan(options=wanted, encoders=frozenset({"libx264", "libsvtav1"}))

    assert {rung.codec for rung in made.video} == {"h264", "av1"}
    assert made.warnings == ("hevc_not_available",)
    assert made.hash != plan(options=wanted).hash


def test_a_picture_too_small_for_a_codec_is_made_in_the_others() -> None:
    made = plan(options={"codecs": ["hevc", "av1"]}, width=50, height=40).video

    assert [rung.codec for rung in made] == ["h264", "hevc"]


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"codecs": ["hevc"]}, ["1080", "720", "480", "360", "240"]),
        ({"codecs": ["hevc"], "mp4_renditions": "top"}, ["1080"]),
        ({"formats": ["hls"]}, []),
    ],
)
def test_the_mp4s_are_of_all_h264_renditions_or_of_the_largest(
    options: dict[str, Any], names: list[str]
) -> None:
    made = plan(options=options).video

    assert [rung.name for rung in made if rung.progressive] == names


def test_a_clean_rendition_is_one_more_only_where_there_is_a_mark(
    tmp_path: Path,
) -> None:
    mark = tmp_path / "mark.png"
    mark.write_bytes(b"an image")
    asked = {"clean_rendition": True, "watermark": True}

    marked = plan(options=asked, settings={"watermark_path": mark})
    plain = plan(options=asked)

    assert marked.clean is not None
    assert [rung.name for rung in marked.extra] == ["clean"]
    assert marked.clean.height == 1080
    assert "clean" not in {rung.name for rung in marked.video}
    assert plain.extra == ()
    assert plain.clean == plain.video[0]
    assert plan(options={"watermark": True}).clean is None


def test_what_is_larger_than_the_source_is_told() -> None:
    asked = [{"resolution": 2160}, {"resolution": 1080}, {"resolution": 480}]

    made = plan(options={"ladder": "custom", "renditions": asked}, height=720)

    assert [rung.name for rung in made.video] == ["480"]
    assert made.warnings == (
        "rendition_2160_larger_than_source",
        "rendition_1080_larger_than_source",
    )


@pytest.mark.parametrize(
    ("message", "setting", "made"),
    [(None, False, None), (None, True, -20), (True, False, -20), (False, True, None)],
)
def test_the_message_wins_over_the_setting_in_what_is_made_equally_loud(
    message: bool | None, setting: bool, made: float | None
) -> None:
    settings = {"normalize_audio": setting, "loudness": -20}

    found = plan(options={"normalize_audio": message}, settings=settings)

    assert found.loudness == made


def test_of_very_many_sounds_some_are_left_out_and_that_is_told() -> None:
    many = tuple(sound(index=number) for number in range(1, 20))

    made = plan(audio=many, options={"audio_tracks": "all"})

    assert len(made.audio) == 16
    assert made.warnings == ("audio_left_out",)


def test_without_sound_no_track_is_made() -> None:
    assert plan(audio=()).audio == ()


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ({}, ["fps", "scale"]),
        ({"interlaced": True}, ["bwdif", "fps", "scale"]),
        ({"hdr": "pq"}, ["fps", "scale", "setparams", "zscale", "format", "zscale"]),
    ],
)
def test_filters_follow_the_kind_of_source(
    source: dict[str, Any], names: list[str]
) -> None:
    found = [item.name for item in plan(**source).pre_filters]

    assert found[: len(names)] == names
    assert found[-4:] == ["format", "setparams", "setsar", "sidedata"]
    assert ("tonemap" in found) is ("hdr" in source)


@pytest.mark.parametrize(
    ("source", "matrix", "range_"),
    [
        ({}, "bt709", "auto"),
        ({"width": 640, "height": 480}, "bt601", "auto"),
        ({"color": Color(matrix="smpte170m")}, "bt601", "auto"),
        ({"color": Color(range="pc")}, "bt709", "full"),
        ({"pix_fmt": "yuvj420p"}, "bt709", "full"),
    ],
)
def test_colour_is_converted_not_relabelled(
    source: dict[str, Any], matrix: str, range_: str
) -> None:
    chain = {item.name: item.options for item in plan(**source).pre_filters}

    assert chain["scale"]["in_color_matrix"] == matrix
    assert chain["scale"]["in_range"] == range_
    assert chain["scale"]["out_color_matrix"] == "bt709"
    assert chain["setparams"]["colorspace"] == "bt709"


def test_the_length_is_a_whole_number_of_frames() -> None:
    assert plan(duration=9.99).duration == pytest.approx(300 / 30)
    assert plan(duration=0.001).duration == pytest.approx(1 / 30)


@pytest.mark.parametrize(
    ("size", "names"),
    [
        ((1920, 1080), ["large", "medium", "small"]),
        ((1080, 1920), ["large", "medium", "small"]),
        ((640, 480), ["medium", "small"]),
        ((100, 60), ["small"]),
    ],
)
def test_thumbnails_are_no_larger_than_the_picture(
    size: tuple[int, int], names: list[str]
) -> None:
    made = plan(width=size[0], height=size[1]).thumbnails

    assert [still.name for still in made] == names
    assert all(s.width <= size[0] and s.height <= size[1] for s in made)


@pytest.mark.parametrize(
    ("threads", "source", "feed"),
    [
        (2, {}, 1),
        (4, {}, 1),
        (16, {}, 4),
        # as ffmpeg likes: one thread would keep the encoders waiting
        (4, {"width": 3840, "height": 2160}, 0),
        (4, {"color": Color(transfer="smpte2084")}, 0),
    ],
)
def test_one_thread_feeds_the_encoders_of_four_cores_if_the_picture_is_easy(
    threads: int, source: dict[str, Any], feed: int
) -> None:
    made = plan(threads=threads, **source)

    assert made.feed_threads == feed
    assert made.hash == plan(threads=64, **source).hash
