"""A worker's ffmpeg is known before it is asked for what it cannot do."""

from __future__ import annotations

from pathlib import Path

import pytest

from nexus_actors.core.errors import MissingToolError
from nexus_actors.video.settings import VideoSettings
from nexus_actors.video.tools import find_tools


def program(folder: Path, encoders: str) -> Path:
    """Write what answers as ffmpeg does, with *encoders* alone."""
    path = folder / "ffmpeg"
    lines = "".join(f" V....D {name}  {name} (codec x)\\n" for name in encoders.split())
    path.write_text(
        "#!/bin/sh\n"
        'case "$*" in\n'
        "*-version*) echo ffmpeg version 5.1-test Copyright;;\n"
        f"*-encoders*) printf 'Encoders:\\n V..... = Video\\n ------\\n{lines}';;\n"
        "esac\n"
    )
    path.chmod(0o755)
    return path


def test_the_encoders_of_an_ffmpeg_are_known(tmp_path: Path) -> None:
    ffmpeg = program(tmp_path, "libx264 libsvtav1")

    tools = find_tools(VideoSettings.load({"ffmpeg": ffmpeg}))

    assert tools.version == "5.1-test"
    assert {"libx264", "libsvtav1"} <= tools.encoders
    assert "libx265" not in tools.encoders


@pytest.mark.parametrize("encoders", ["", "libopenh264"])
def test_an_ffmpeg_without_h264_is_refused_in_one_line(
    tmp_path: Path, encoders: str
) -> None:
    ffmpeg = program(tmp_path, encoders)

    with pytest.raises(MissingToolError, match="has no libx264: ") as caught:
        find_tools(VideoSettings.load({"ffmpeg": ffmpeg}))

    assert len(caught.value.message.splitlines()) == 1
