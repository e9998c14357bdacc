"""The plan decides everything, and its hash tells whether anything has changed."""

from __future__ import annotations

from typing import Any

import pytest

from nexus_actors.video.models import Color, Plan, ProcessVideoOptions
from nexus_actors.video.plan import bits, make_plan
from nexus_actors.video.settings import VideoSettings
from sources import media, sound


def plan(
    version: str = "5.1",
    threads: int = 0,
    options: dict[str, Any] | None = None,
    settings: dict[str, Any] | None = None,
    **source: Any,
) -> Plan:
    return make_plan(
        media(**source),
        ProcessVideoOptions.model_validate(options or {}),
        VideoSettings.load(settings or {}),
        ffmpeg_version=version,
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
    ],
)
def test_a_change_that_does_not_matter_keeps_the_hash(change: dict[str, Any]) -> None:
    assert plan(**change).hash == plan().hash


@pytest.mark.parametrize(
    ("tracks", "chosen", "channels", "bitrate"),
    [
        ([sound()], 1, 2, 128_000),
        ([sound(), sound(index=2, default=True)], 2, 2, 128_000),
        ([sound(), sound(index=2, channels=6)], 2, 2, 128_000),
        ([sound(default=True), sound(index=2, channels=6)], 1, 2, 128_000),
        ([sound(), sound(index=2)], 1, 2, 128_000),
        ([sound(channels=1)], 1, 1, 64_000),
    ],
)
def test_the_default_track_is_taken_else_the_one_with_most_channels(
    tracks: list[Any], chosen: int, channels: int, bitrate: int
) -> None:
    [track] = plan(audio=tuple(tracks)).audio

    found = (track.source_index, track.channels, track.bitrate)
    assert found == (chosen, channels, bitrate)


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
    assert found[-3:] == ["format", "setparams", "setsar"]
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


@pytest.mark.parametrize(("text", "value"), [("5", 5), ("9k", 9000), ("1M", 10**6)])
def test_a_bit_rate_is_read_with_its_unit(text: str, value: int) -> None:
    assert bits(text) == value
