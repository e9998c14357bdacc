"""A message that cannot be right is refused where it is sent, field by field."""

from __future__ import annotations

from typing import Any

import pytest

from nexus_actors.core.errors import InvalidRequestError
from nexus_actors.video.models import ProcessVideoOptions


def parse(**options: Any) -> ProcessVideoOptions:
    return ProcessVideoOptions.parse(options, what="options")


def refused(**options: Any) -> dict[str, str]:
    """Return the wrong fields, and what is wrong with each."""
    with pytest.raises(InvalidRequestError) as caught:
        parse(**options)
    fields: dict[str, str] = caught.value.details["fields"]
    return fields


def test_a_custom_ladder_is_read_in_both_spellings() -> None:
    plain = {"resolution": 720, "max_bitrate": "3M", "max_fps": 30}
    camel = {"resolution": 720, "maxBitrate": 3_000_000, "maxFps": 30}

    first = parse(ladder="custom", renditions=[plain])

    assert first == parse(ladder="custom", renditions=[camel])
    assert first.renditions[0].max_bitrate == 3_000_000


@pytest.mark.parametrize(
    ("asked", "made"),
    [
        ([], ("h264",)),
        (["h264"], ("h264",)),
        (["hevc"], ("h264", "hevc")),
        (["av1", "hevc", "h264", "av1"], ("h264", "hevc", "av1")),
    ],
)
def test_h264_is_always_made_and_first(asked: list[str], made: tuple[str, ...]) -> None:
    assert parse(codecs=asked).codecs == made


def test_what_cannot_be_a_rendition_is_refused_with_every_wrong_field() -> None:
    wrong = refused(
        ladder="custom",
        preset="hasty",
        renditions=[
            {"resolution": 481},
            {"resolution": 0, "max_bitrate": "5", "crf": 99, "max_fps": 1000},
            {"resolution": -720},
            {"resolution": 720, "max_bitrate": "9000M", "bitrate": 1},
            {"max_bitrate": "fast"},
        ],
    )

    assert set(wrong) == {
        "preset",
        "renditions.0.resolution",
        "renditions.1.resolution",
        "renditions.1.max_bitrate",
        "renditions.1.crf",
        "renditions.1.max_fps",
        "renditions.2.resolution",
        "renditions.3.max_bitrate",
        "renditions.3.bitrate",
        "renditions.4.resolution",
        "renditions.4.max_bitrate",
    }
    assert wrong["renditions.4.max_bitrate"].startswith("must be a number of bits")


@pytest.mark.parametrize(
    ("options", "field", "reason"),
    [
        ({"ladder": "huge"}, "ladder", "should be 'default', 'mobile'"),
        ({"ladder": "custom"}, "renditions", "are missing"),
        ({"renditions": [{"resolution": 720}]}, "renditions", '"ladder": "custom"'),
        (
            {"ladder": "custom", "renditions": [{"resolution": 720}] * 2},
            "renditions",
            "a resolution of its own",
        ),
        (
            {"ladder": "custom", "renditions": [{"resolution": 720}] * 101},
            "renditions",
            "at most 12",
        ),
    ],
)
def test_a_ladder_and_its_renditions_must_belong_together(
    options: dict[str, Any], field: str, reason: str
) -> None:
    wrong = refused(**options)

    assert list(wrong) == [field]
    assert reason in wrong[field]
