"""What every browser plays stays as it is; what one of them does not is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nexus_actors.video.models import ProcessVideoOptions
from nexus_actors.video.plan import make_plan
from nexus_actors.video.settings import VideoSettings
from nexus_actors.video.tools import Tools
from nexus_actors.video.websafe import Unfit, judge, sample_command
from sources import media, sound


TOOLS = Tools(Path("/bin/ffmpeg"), Path("/bin/ffprobe"), "5.1")

OPTIONS = ProcessVideoOptions(formats=("mp4",), ladder="single", audio_tracks="default")


def verdict(*, key_gap_s: float = 2, **facts: Any) -> Unfit:
    """Judge a 1080p film of a phone with *facts* of its own."""
    record = {name: facts.pop(name) for name in {"container", "warnings"} & set(facts)}
    source = media(**({"bit_rate": 7_000_000} | facts)).model_copy(update=record)
    plan = make_plan(source, OPTIONS, VideoSettings.load(), tools=TOOLS)
    return judge(source, plan, key_gap_s)


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"profile": "Constrained Baseline", "level": 52},
        {"audio": ()},
        {"audio": (sound(sample_rate=44_100, channels=1),)},
        {"container": "matroska"},
        {"container": "mpegts"},
        {"fps": 60, "fps_q": "60/1", "nominal_fps_q": "60/1"},
        {"fps": 20, "fps_q": "20/1", "nominal_fps_q": "30/1", "vfr": True},
        {"key_gap_s": 10},
        {"start": 0.1},
        {"bit_rate": 7_800_000},
        # of several sounds the best one counts, since the others are left out
        {"audio": (sound(default=True), sound(index=2, codec="ac3", channels=2))},
    ],
)
def test_what_browsers_play_may_stay(facts: dict[str, Any]) -> None:
    assert verdict(**facts) == Unfit((), ())


@pytest.mark.parametrize(
    ("reason", "facts"),
    [
        ("codec", {"codec": "hevc", "profile": "Main"}),
        ("profile", {"profile": "High 10"}),
        ("level", {"level": 60}),
        ("pixel_format", {"pix_fmt": "yuvj420p"}),
        ("hdr", {"hdr": "hlg"}),
        ("interlaced", {"interlaced": True}),
        ("pixel_aspect", {"sar": "4:3"}),
        ("rotation", {"rotation": 90}),
        ("odd_size", {"width": 1279, "height": 720, "bit_rate": 3_000_000}),
        ("size", {"width": 4320, "height": 4320}),
        ("frame_rate", {"fps": 120, "fps_q": "120/1", "nominal_fps_q": "120/1"}),
        ("frame_rate", {"fps_q": "20/1", "nominal_fps_q": "90/1", "vfr": True}),
        ("bitrate", {"bit_rate": 7_900_000}),
        ("container", {"container": "flv"}),
        ("key_frames", {"key_gap_s": 10.1}),
        ("start", {"start": 0.2}),
        ("length", {"warnings": ("shorter_than_header",)}),
    ],
)
def test_a_picture_that_browsers_do_not_play_is_encoded(
    reason: str, facts: dict[str, Any]
) -> None:
    assert verdict(**facts) == Unfit((reason,), ())


@pytest.mark.parametrize(
    ("reason", "facts"),
    [
        ("audio_codec", {"codec": "mp3", "profile": None}),
        ("audio_codec", {"profile": "HE-AAC"}),
        ("audio_channels", {"channels": 6}),
        ("audio_rate", {"sample_rate": 22_050}),
        ("audio_start", {"start": 0.5}),
    ],
)
def test_a_sound_that_browsers_do_not_play_is_encoded_alone(
    reason: str, facts: dict[str, Any]
) -> None:
    assert verdict(audio=(sound(**facts),)) == Unfit((), (reason,))


def test_three_places_are_decoded_by_one_command() -> None:
    plan = make_plan(media(), OPTIONS, VideoSettings.load(), tools=TOOLS)

    command = sample_command(plan, Path("/jobs/in"), TOOLS)

    starts = [command[n + 1] for n, part in enumerate(command) if part == "-ss"]
    assert starts == ["0.000", "4.000", "8.000"]
    maps = [command[n + 1] for n, part in enumerate(command) if part == "-map"]
    assert maps == ["0:0", "0:1", "1:0", "1:1", "2:0", "2:1"]
    assert "-xerror" in command
    assert command.count("-format_whitelist") == 3
