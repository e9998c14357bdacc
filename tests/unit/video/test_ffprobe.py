"""What ffprobe prints, and the numbers in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nexus_actors.core.errors import NexusError
from nexus_actors.video.errors import EncodeError, SourceError
from nexus_actors.video.ffprobe import Counted, count, look, number, whole
from nexus_actors.video.tools import Tools


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("1.5", 1.5),
        (2, 2.0),
        ("30000/1001", 30000 / 1001),
        ("-3", -3.0),
        ("1e3", 1000.0),
        (None, None),
        ("", None),
        ("N/A", None),
        ("0/0", None),
        ("1/0", None),
        ("inf", None),
        ("-inf", None),
        ("nan", None),
        ("1e999", None),
        ("words", None),
    ],
)
def test_a_number_is_finite_or_none(told: Any, expected: float | None) -> None:
    assert number(told) == expected
    assert whole(told) == (None if expected is None else round(expected))


def probe_that(body: str, folder: Path) -> Tools:
    """Return tools whose ffprobe is a script."""
    program = folder / "ffprobe"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    return Tools(Path("ffmpeg"), program, "5.1")


@pytest.mark.parametrize(
    ("packets", "expected"),
    [
        # pts_time,dts_time,duration_time,size
        ("0.0,0.0,0.5,10\n0.5,0.5,0.5,20", Counted(1.0, 2, 240)),
        ("0.5,0.5,0.5,1\n0.0,0.0,0.5,1\n1.0,1.0,0.5,1", Counted(1.5, 3, 24)),
        ("5.0,5.0,0.5,1\n5.5,5.5,0.5,1", Counted(1.0, 2, 16)),
        ("N/A,0.0,0.5,1\nN/A,0.5,0.5,1", Counted(1.0, 2, 16)),
        ("N/A,N/A,N/A,1\nN/A,N/A,N/A,1", Counted(0.08, 2, 16)),
        ("0.0,0.0,0.5,1\n0.5,0.5,N/A,1", Counted(1.0, 2, 16)),
        ("3.0,3.0,N/A,N/A", Counted(0.04, 1, 0)),
        ("\n0.0,0.0,0.5,1\n\n", Counted(0.5, 1, 8)),
    ],
)
def test_packets_are_counted_into_a_length(
    packets: str, expected: Counted, tmp_path: Path
) -> None:
    tools = probe_that(f"cat <<'END'\n{packets}\nEND", tmp_path)

    stream = {"index": 0, "r_frame_rate": "25/1"}
    found = count(tools.ffprobe, stream, tools)

    assert found.seconds == pytest.approx(expected.seconds)
    assert (found.frames, found.bits) == (expected.frames, expected.bits)


def test_a_stream_without_packets_is_damaged(tmp_path: Path) -> None:
    tools = probe_that("exit 0", tmp_path)

    with pytest.raises(SourceError, match="no frames"):
        count(tools.ffprobe, {"index": 0}, tools)


def outside(kind: str) -> str:
    """Say what ffprobe says of a file of a *kind* that it must not open."""
    return f"echo \"[{kind} @ 0x1] Format not on whitelist 'mov'\" >&2; exit 1"


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        ("echo 'moov atom not found' >&2; exit 1", SourceError, "corrupt"),
        (outside("concat"), SourceError, "forbidden_format"),
        (outside("bmp_pipe"), SourceError, "no_video"),
        ("exit 183", SourceError, "corrupt"),
        ("kill -KILL $$", EncodeError, "killed"),
    ],
)
def test_a_failure_is_told_by_its_cause(
    body: str, kind: type[NexusError], code: str, tmp_path: Path
) -> None:
    tools = probe_that(body, tmp_path)

    with pytest.raises(NexusError) as caught:
        look(tmp_path, tools)

    assert (type(caught.value), caught.value.code) == (kind, code)


def test_no_setting_of_the_worker_reaches_ffprobe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXUS_SECRET_KEY", "hunter2")
    tools = probe_that("""printf '{"key": "%s"}' "$NEXUS_SECRET_KEY" """, tmp_path)

    assert look(tmp_path, tools) == {"key": ""}
