"""One gain makes a sound as loud as others, unless that would do it harm."""

from __future__ import annotations

import pytest

from nexus_actors.video.loudness import gain, read_gains


@pytest.mark.parametrize(
    ("loudness", "peak", "change"),
    [
        (-22.0, -10.0, 6.0),
        (-10.0, 0.5, -6.0),
        (-16.3, -3.0, 0.0),
        (-40.0, -30.0, 20.0),  # no more than this, lest noise becomes loud
        (-30.0, -2.0, 6.5),  # peaks are lowered by 6 dB at most
        (-70.0, -60.0, 0.0),  # silence
        (-70.0, None, 0.0),
        (None, None, 0.0),
    ],
)
def test_a_sound_is_brought_to_the_target_as_far_as_it_can_bear(
    loudness: float | None, peak: float | None, change: float
) -> None:
    assert gain(loudness, peak, -16) == change


def report(track: int, loudness: str, peak: str) -> str:
    return (
        f"[ebur128@t{track} @ 0x55d] Summary:\n\n  Integrated loudness:\n"
        f"    I:         {loudness} LUFS\n    Threshold: -31.0 LUFS\n\n"
        "  Loudness range:\n    LRA:         0.1 LU\n    Threshold: -41.0 LUFS\n"
        f"    LRA low:   -21.3 LUFS\n\n  True peak:\n    Peak:       {peak} dBFS\n"
    )


def test_the_last_report_of_each_track_counts() -> None:
    title = "    title : [ebur128@t0 @ 0x1] Summary: I: -1 LUFS Peak: 0 dBFS\n"
    printed = title + report(1, "-70.0", "-inf") + report(0, "-70.0", "-inf")
    printed += report(1, "-20.0", "-8.0") + report(0, "-inf", "-inf")

    assert read_gains(printed, -16) == {0: 0.0, 1: 4.0}
