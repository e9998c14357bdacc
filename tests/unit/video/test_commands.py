"""What ffmpeg is told, flag by flag."""

from __future__ import annotations

from pathlib import Path

import pytest

from nexus_actors.video.commands import encode_command, encode_folders
from nexus_actors.video.models import ProcessVideoOptions
from nexus_actors.video.plan import make_plan
from nexus_actors.video.settings import VideoSettings
from nexus_actors.video.tools import DEMUXERS, Tools
from sources import media


@pytest.fixture
def command() -> list[str]:
    plan = make_plan(
        media(width=640, height=360),
        ProcessVideoOptions(),
        VideoSettings.load(),
        ffmpeg_version="5.1",
    )
    assert [rung.name for rung in plan.video] == ["360", "240"]
    assert encode_folders(plan) == ["0", "1", "2"]
    tools = Tools(Path("/bin/ffmpeg"), Path("/bin/ffprobe"), "5.1")
    return encode_command(plan, Path("/jobs/in"), Path("/jobs/tmp"), tools)


WANTED = {
    "-progress": "pipe:1",
    "-protocol_whitelist": "file,pipe",
    "-format_whitelist": DEMUXERS,
    "-max_pixels": "134217728",
    "-i": "file:/jobs/in",
    "-c:v": "libx264",
    "-preset": "veryfast",
    "-pix_fmt": "yuv420p",
    "-sc_threshold": "0",
    "-flags:v": "+cgop",
    "-g:v:0": "60",
    "-g:v:1": "60",
    "-keyint_min:v:0": "60",
    "-keyint_min:v:1": "60",
    "-color_primaries": "bt709",
    "-color_trc": "bt709",
    "-colorspace": "bt709",
    "-color_range": "tv",
    "-c:a": "aac",
    "-b:a:0": "128000",
    "-map_metadata": "-1",
    "-map_chapters": "-1",
    "-f": "dash",
    "-seg_duration": "3.983333",
    "-frag_type": "duration",
    "-frag_duration": "1.983333",
    "-format_options": "movflags=+negative_cts_offsets",
    "-dash_segment_type": "mp4",
    "-adaptation_sets": "id=0,streams=0 id=1,streams=1 id=2,streams=2",
    "-use_template": "1",
    "-use_timeline": "1",
}


def test_the_command_has_every_flag_that_the_encode_stands_on(
    command: list[str],
) -> None:
    told = {name: command[command.index(name) + 1] for name in WANTED}

    assert told == WANTED
    assert command[0] == "/bin/ffmpeg"
    assert {"-hide_banner", "-nostdin", "-nostats", "-y"} <= set(command)
    assert "/jobs/tmp/scratch.mpd" in command


@pytest.mark.parametrize(
    "flag",
    ["-vsync", "-force_key_frames", "-shortest", "-timelimit", "-hls_playlist"],
)
def test_the_command_has_no_flag_that_is_known_to_do_harm(
    flag: str, command: list[str]
) -> None:
    assert flag not in command
    assert "+cmaf" not in " ".join(command)


def test_the_limits_stand_before_the_input(command: list[str]) -> None:
    place = command.index("-i")

    for name in ("-protocol_whitelist", "-format_whitelist", "-max_pixels", "-t"):
        assert command.index(name) < place


def test_the_source_is_decoded_once_and_split(command: list[str]) -> None:
    graph = command[command.index("-filter_complex") + 1]

    assert command.count("-i") == 1
    assert "split=2" in graph
    assert "fps=30/1:start_time=0" in graph.replace("fps=fps", "fps")
    assert "first_pts=0" in graph
    assert graph.count("setsar") == 2
    assert command.count("-map") == 3
