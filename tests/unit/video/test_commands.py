"""What ffmpeg is told, flag by flag."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from nexus_actors.core.settings import CoreSettings
from nexus_actors.video.commands import encode_command, encode_folders
from nexus_actors.video.flows import encoder_threads
from nexus_actors.video.models import MediaInfo, ProcessVideoOptions
from nexus_actors.video.plan import make_plan
from nexus_actors.video.settings import VideoSettings
from nexus_actors.video.tools import DEMUXERS, Tools
from sources import media


#: Where the command has its graph of filters.
GRAPH = "-filter_complex"


def encode(
    threads: int = 0,
    gains: dict[str, float] | None = None,
    source: MediaInfo | None = None,
    **options: Any,
) -> list[str]:
    """Return the command for *source*, by default one of 640 x 360."""
    tools = Tools(Path("/bin/ffmpeg"), Path("/bin/ffprobe"), "5.1")
    plan = make_plan(
        source or media(width=640, height=360),
        ProcessVideoOptions.model_validate(options),
        VideoSettings.load(),
        tools=tools,
        threads=threads,
    )
    tracks = len(plan.video) + len(plan.audio)
    assert encode_folders(plan) == [str(number) for number in range(tracks)]
    folders = Path("/jobs/in"), Path("/jobs/tmp")
    return encode_command(plan, *folders, tools, gains or {})


def told(command: list[str], *names: str) -> list[str]:
    """Return the values of options."""
    return [command[command.index(name) + 1] for name in names]


@pytest.fixture
def command() -> list[str]:
    return encode()


WANTED = {
    "-progress": "pipe:1",
    "-protocol_whitelist": "file,pipe",
    "-format_whitelist": DEMUXERS,
    "-max_pixels": "134217728",
    "-i": "file:/jobs/in",
    "-c:v:0": "libx264",
    "-preset:v:0": "veryfast",
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
    assert told(command, *WANTED) == list(WANTED.values())
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
    graph = command[command.index(GRAPH) + 1]

    assert command.count("-i") == 1
    assert "split=2" in graph
    assert "fps=30/1:start_time=0" in graph.replace("fps=fps", "fps")
    assert "first_pts=0" in graph
    assert graph.count("setsar") == 2
    assert command.count("-map") == 3


def test_each_codec_closes_its_groups_of_pictures_at_the_same_frames() -> None:
    command = encode(codecs=["hevc", "av1"], preset="fast")

    assert told(command, "-c:v:0", "-c:v:2", "-c:v:4") == [
        *("libx264", "libx265", "libsvtav1")
    ]
    assert told(command, "-g:v:0", "-g:v:2", "-g:v:4") == ["60"] * 3
    assert told(command, "-tag:v:2", "-tag:v:3") == ["hvc1", "hvc1"]
    assert told(command, "-preset:v:0", "-preset:v:2", "-preset:v:4") == [
        *("fast", "fast", "8")
    ]
    [x265, svt] = told(command, "-x265-params:v:2", "-svtav1-params:v:4")
    assert "keyint=60:min-keyint=60:scenecut=0:open-gop=0" in x265
    assert "const-vbv=1" in x265
    assert svt == "scd=0"
    assert "-profile:v:4" not in command
    assert command.count("-i") == 1


def test_threads_are_shared_out_in_the_words_of_each_encoder() -> None:
    command = encode(codecs=["hevc", "av1"], threads=2)

    assert told(command[command.index("-i") :], "-threads") == ["2"]
    assert "pools=2" in told(command, "-x265-params:v:2")[0]
    assert "lp=2" in told(command, "-svtav1-params:v:4")[0]


def test_a_gain_changes_its_track_alone_and_peaks_are_kept_down() -> None:
    command = encode(gains={"0": 6.5})

    [graph] = told(command, GRAPH)
    assert "volume=6.50dB" in graph
    assert "alimiter=level=disabled:limit=0.841" in graph
    assert "volume" not in told(encode(gains={"1": 3}), GRAPH)[0]


def test_each_size_is_scaled_once_whatever_the_number_of_codecs() -> None:
    command = encode(codecs=["hevc", "av1"])

    [graph] = told(command, GRAPH)

    assert graph.count("scale=") == 2, "to the source's size, and to 240 lines"
    assert graph.count("]split=4") == 1, "to the encoders, and to the smaller size"
    assert graph.count("]split=3") == 1


def made_of(graph: str) -> dict[str, str]:
    """Return of which height each height is made, by the scales on the way."""
    parts = [
        re.split(r"(?<=\])(?=[^\[])|(?<=[^\]])(?=\[)", p) for p in graph.split(";")
    ]
    makers = {out: part for part in parts for out in re.findall(r"\[\w+\]", part[2])}

    def height(label: str) -> str:
        inputs, body, _ = makers[label]
        found = re.search(r"^scale=.*:h=(\d+)", body)
        return found[1] if found else height(inputs)

    scales = [part for part in parts if "flags=bicubic" in part[1]]
    return {height(part[2]): height(part[0]) for part in scales[1:]}


def test_a_size_is_made_of_the_least_that_is_large_enough_and_has_its_frames() -> None:
    source = media(width=1920, height=1080, fps=60.0, fps_q="60/1")
    rungs: list[dict[str, int]] = [
        {"resolution": 1080},
        {"resolution": 720},
        {"resolution": 480, "max_fps": 30},
        {"resolution": 400, "max_fps": 30},
        {"resolution": 360, "max_fps": 20},
        {"resolution": 240, "max_fps": 20},
    ]

    [graph] = told(encode(source=source, ladder="custom", renditions=rungs), GRAPH)

    assert made_of(graph) == {
        "720": "1080",
        "480": "720",
        "400": "720",  # of 480, not enough would be left over
        "360": "720",  # 30 frames cannot become 20 evenly
        "240": "360",
    }


@pytest.mark.parametrize(
    ("slots", "quota", "has_all"), [(1, None, True), (1, 2, False), (2, None, False)]
)
def test_an_encoder_takes_as_many_threads_as_it_likes_only_where_it_has_all_cores(
    slots: int, quota: int | None, has_all: bool
) -> None:
    core = CoreSettings.load({"worker_concurrency": slots})

    threads = encoder_threads(core, quota=quota)

    assert (threads == 0) is has_all
