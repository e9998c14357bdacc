"""What ffprobe says of streams becomes the canonical record's words."""

from __future__ import annotations

from typing import Any

import pytest

from nexus_actors.video.models import VideoStream
from nexus_actors.video.streams import read_audio, read_tags, read_video


STREAM = {
    "index": 0,
    "codec_name": "h264",
    "width": 1920,
    "height": 1080,
    "avg_frame_rate": "30/1",
    "r_frame_rate": "30/1",
    "pix_fmt": "yuv420p",
}


def read(frame: dict[str, Any] | None = None, **more: Any) -> VideoStream:
    return read_video({**STREAM, **more}, frame or {}, 10.0)


def matrix(rotation: Any) -> list[dict[str, Any]]:
    return [{"side_data_type": "Display Matrix", "rotation": rotation}]


@pytest.mark.parametrize(
    ("told", "rotation"),
    [
        ({}, 0),
        ({"side_data_list": matrix(90)}, 90),
        ({"side_data_list": matrix(-90)}, 270),
        ({"side_data_list": matrix(-180)}, 180),
        ({"side_data_list": matrix("89.6")}, 90),
        ({"side_data_list": matrix("nan")}, 0),
        ({"tags": {"rotate": "90"}}, 0),  # a word, which ffmpeg does not heed either
    ],
)
def test_rotation_comes_from_the_matrix_alone(
    told: dict[str, Any], rotation: int
) -> None:
    video = read(**told)

    assert video.rotation == rotation
    assert video.has_matrix is ("side_data_list" in told)
    turned = rotation in {90, 270}
    shown = (video.display_width, video.display_height)
    assert shown == ((1080, 1920) if turned else (1920, 1080))
    assert video.orientation == ("portrait" if turned else "landscape")


@pytest.mark.parametrize(
    ("told", "width"),
    [
        ("1:1", 1920),
        ("4:3", 2560),
        ("1:2", 960),
        (None, 1920),
        ("0:1", 1920),
        ("1:0", 1920),
        ("N/A", 1920),
        ("1:1000", 1920),
        ("1000:1", 1920),
    ],
)
def test_an_absurd_pixel_aspect_is_taken_for_square(
    told: str | None, width: int
) -> None:
    assert read(sample_aspect_ratio=told).display_width == width


@pytest.mark.parametrize(
    ("average", "nominal", "frames", "expected"),
    [
        ("30000/1001", "30000/1001", None, ("30000/1001", False)),
        ("0/0", "25/1", None, ("25/1", False)),
        ("0/0", "90000/1", "100", ("10/1", True)),
        ("0/0", "90000/1", None, ("25/1", True)),
        ("59/4", "30/1", None, ("59/4", True)),
        ("N/A", "nan", None, ("25/1", False)),
        (None, None, None, ("25/1", False)),
    ],
)
def test_a_frame_rate_is_sane(
    average: str | None,
    nominal: str | None,
    frames: str | None,
    expected: tuple[str, bool],
) -> None:
    video = read(avg_frame_rate=average, r_frame_rate=nominal, nb_frames=frames)

    assert (video.fps_q, video.vfr) == expected


MASTERING = {"side_data_type": "Mastering display metadata", "max_luminance": "1000/1"}
DOVI = {"side_data_type": "DOVI configuration record"}


@pytest.mark.parametrize(
    ("stream", "frame", "kind"),
    [
        ({}, {}, None),
        ({"pix_fmt": "yuv420p10le"}, {}, None),
        ({"color_transfer": "smpte2084"}, {}, "pq"),
        ({"color_transfer": "smpte2084"}, {"side_data_list": [MASTERING]}, "hdr10"),
        ({}, {"color_transfer": "arib-std-b67"}, "hlg"),
        ({"color_transfer": "smpte2084", "side_data_list": [DOVI]}, {}, "dovi"),
    ],
)
def test_hdr_is_told_by_transfer_and_side_data_and_never_by_depth(
    stream: dict[str, Any], frame: dict[str, Any], kind: str | None
) -> None:
    hdr = read(frame, **stream).hdr

    assert (hdr.kind if hdr else None) == kind


def audio(**more: Any) -> dict[str, Any]:
    return {
        "index": 1,
        "codec_type": "audio",
        "codec_name": "aac",
        "channels": 2,
        "sample_rate": "48000",
        **more,
    }


@pytest.mark.parametrize(
    "broken",
    [{"channels": 0}, {"sample_rate": "0"}, {"sample_rate": None}, {"codec_name": ""}],
)
def test_an_unreadable_track_is_left_out_and_said(broken: dict[str, Any]) -> None:
    found, warnings = read_audio([audio(), audio(index=2, **broken)])

    assert [stream.index for stream in found] == [1]
    assert warnings == ["audio_2_unreadable"]


@pytest.mark.parametrize(
    ("told", "purpose"),
    [
        ({}, "main"),
        ({"disposition": {"comment": 1}}, "commentary"),
        ({"disposition": {"visual_impaired": 1}}, "description"),
        ({"tags": {"title": "Director's Commentary"}}, "commentary"),
        ({"tags": {"handler_name": "Audio Description"}}, "description"),
        ({"tags": {"title": "Stereo"}}, "main"),
    ],
)
def test_what_a_sound_is_for_is_told_by_its_flags_or_its_title(
    told: dict[str, Any], purpose: str
) -> None:
    [found], _ = read_audio([audio(**told)])

    assert found.purpose == purpose


def test_nothing_that_tells_where_or_by_whom_survives() -> None:
    tags = {
        "title": "A film\x1b[31m",
        "Encoder": "x",
        "location": "+52.5+013.4/",
        "com.apple.quicktime.location.ISO6709": "+52.5+013.4/",
        "com.android.model": "Phone",
        "artist": "Somebody",
        "comment": "+52.5+013.4/",
    }

    assert read_tags(tags) == {"title": "A film[31m", "encoder": "x"}
