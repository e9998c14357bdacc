"""A mark looks equally large on all screens, and never leaves the picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nexus_actors.core.errors import InvalidRequestError
from nexus_actors.video.commands import text_options
from nexus_actors.video.models import (
    AddWatermarkRequest,
    ImageMark,
    Plan,
    ProcessVideoOptions,
    TextMark,
    Watermark,
    WatermarkOptions,
)
from nexus_actors.video.plan import make_plan
from nexus_actors.video.settings import VideoSettings
from nexus_actors.video.tools import Tools
from sources import media


TOOLS = Tools(Path("/bin/ffmpeg"), Path("/bin/ffprobe"), "5.1")


def planned(
    image: Path | None = None, settings: dict[str, Any] | None = None, **asked: Any
) -> Plan:
    options = ProcessVideoOptions.model_validate({"watermark": asked})
    source = media(width=1080, height=1920, display_width=1080)
    loaded = VideoSettings.load(settings)
    return make_plan(source, options, loaded, tools=TOOLS, mark_image=image)


def text(**more: Any) -> TextMark:
    mark = planned(text="© Anna", **more).watermark
    assert isinstance(mark, TextMark)
    return mark


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "mark"
    path.write_bytes(b"no matter what")
    return path


@pytest.mark.parametrize(
    ("position", "x", "y"),
    [
        ("TopLeft", "22", "22"),
        ("top", "(w-text_w)/2", "22"),
        ("top right", "w-text_w-22", "22"),
        ("LEFT", "22", "(h-text_h)/2"),
        ("center", "(w-text_w)/2", "(h-text_h)/2"),
        ("right", "w-text_w-22", "(h-text_h)/2"),
        ("bottom_left", "22", "h-text_h-22"),
        ("bottom", "(w-text_w)/2", "h-text_h-22"),
        ("bottom-right", "w-text_w-22", "h-text_h-22"),
    ],
)
def test_a_mark_stands_in_any_of_nine_places(position: str, x: str, y: str) -> None:
    mark = text(position=position)

    assert (mark.x, mark.y) == (x, y)


def test_size_and_margin_are_shares_of_the_shorter_side(image: Path) -> None:
    usual, large = planned(image).watermark, planned(image, size=0.5, margin=0)
    assert isinstance(usual, ImageMark)
    assert (usual.height, usual.width) == (130, 231)
    assert usual.x == "W-w-22"

    assert isinstance(large.watermark, ImageMark)
    assert large.watermark.height == 540
    assert large.watermark.x == "W-w-0"
    assert text(size=0.1).height == 108


def test_a_long_text_is_made_smaller_until_it_fits() -> None:
    long, wide = "a" * 100, "字" * 100

    latin, chinese = (planned(text=words).watermark for words in (long, wide))

    assert isinstance(latin, TextMark)
    assert isinstance(chinese, TextMark)
    assert text().height == 54
    assert latin.height == 16
    assert chinese.height == 10


def test_the_message_wins_over_the_settings_field_by_field(image: Path) -> None:
    settings = {
        "watermark_path": image,
        "watermark_position": "top",
        "watermark_opacity": 0.5,
    }

    own = planned(settings=settings, opacity=1).watermark
    other = planned(settings=settings, text="mine").watermark

    assert isinstance(own, ImageMark)
    assert (own.path, own.x, own.opacity) == (image, "(W-w)/2", 1)
    assert isinstance(other, TextMark)
    assert (other.x, other.opacity) == ("(w-text_w)/2", 0.5)


def test_a_worker_may_have_a_text_for_its_mark() -> None:
    mark = planned(settings={"watermark_text": "© us"}).watermark

    assert isinstance(mark, TextMark)
    assert mark.text == "© us"


def test_a_text_is_written_as_it_is() -> None:
    options = text_options(text())

    assert (options["text"], options["expansion"]) == ("© Anna", "none")
    assert options["font"] == "Sans"


def test_another_mark_makes_another_plan() -> None:
    marks: list[dict[str, Any]] = [
        {"text": "a"},
        {"text": "b"},
        {"text": "a", "end": 5},
        {"text": "a", "opacity": 0.5},
    ]

    assert len({planned(**mark).hash for mark in marks}) == len(marks)


def test_without_any_mark_there_is_a_warning() -> None:
    plan = planned()

    assert plan.watermark is None
    assert plan.warnings == ("watermark_not_set",)
    assert isinstance(text(), Watermark)
    assert WatermarkOptions().text is None


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"text": "a\nb"}, "text"),
        ({"text": "a\u202eb"}, "text"),
        ({"text": "a" * 201}, "text"),
        ({"text": "a", "image_path": "/mark.png"}, "text"),
        ({"image_path": "ftp://example.com/mark.png"}, "image_path"),
        ({"position": "middle-earth"}, "position"),
        ({"size": 0}, "size"),
        ({"margin": 0.6}, "margin"),
        ({"opacity": 1.1}, "opacity"),
        ({"start": 5, "end": 5}, "end"),
    ],
)
def test_a_mark_that_cannot_be_is_refused_by_its_field(
    options: dict[str, Any], field: str
) -> None:
    body = {"video_id": "v", "input_path": "/v.mp4", "options": options}

    with pytest.raises(InvalidRequestError) as refused:
        AddWatermarkRequest.parse(body, what="add_watermark")

    assert list(refused.value.details["fields"]) == [f"options.{field}"]
