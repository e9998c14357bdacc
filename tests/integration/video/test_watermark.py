"""The mark stands where it should, in its own colours, on every rendition."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nexus_actors.core.errors import ConfigurationError
from nexus_actors.video import SourceError, process_video


Run = Callable[..., dict[str, Any]]


def ffmpeg(*arguments: str) -> bytes:
    command = ["ffmpeg", "-v", "error", "-nostdin", *arguments]
    return subprocess.run(command, check=True, capture_output=True).stdout


@pytest.fixture(scope="module")
def grey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One second of even grey, 640 x 360."""
    path = tmp_path_factory.mktemp("grey") / "grey.mp4"
    ffmpeg(
        "-f", "lavfi", "-i", "color=0x404040:size=640x360:rate=25:duration=1", str(path)
    )
    return path


@pytest.fixture(scope="module")
def red(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mark: pure red, 4 x 1, opaque."""
    path = tmp_path_factory.mktemp("mark") / "red.png"
    ffmpeg("-f", "lavfi", "-i", "color=red:size=400x100", "-frames:v", "1", str(path))
    return path


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, grey: Path) -> Run:
    monkeypatch.setenv("STORAGE_URL", str(tmp_path / "storage"))
    monkeypatch.setenv("TEMP_DIR", str(tmp_path / "tmp"))
    monkeypatch.setenv("FFMPEG_PRESET", "ultrafast")

    def process(**options: Any) -> dict[str, Any]:
        options = {"formats": ["mp4"], "thumbnails": False, **options}
        return process_video(video_id="v", input_path=str(grey), options=options)

    return process


def pixels(
    result: dict[str, Any], rendition: int
) -> Callable[[float, float], tuple[int, ...]]:
    """Return a reader of colours of a rendition; see `pixels_of`."""
    return pixels_of(result["outputs"]["mp4"][rendition])


def pixels_of(item: dict[str, Any]) -> Callable[[float, float], tuple[int, ...]]:
    """Return a reader of colours at shares of width and height, in frame 10."""
    width, height = item["width"], item["height"]
    path = item["uri"].removeprefix("file://")
    picture = r"select=eq(n\,10)"
    raw = ffmpeg(
        *("-i", path, "-vf", picture, "-frames:v", "1"),
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-",
    )

    def at(x: float, y: float) -> tuple[int, ...]:
        start = 3 * (int(y * height) * width + int(x * width))
        return tuple(raw[start : start + 3])

    return at


def is_red(colour: tuple[int, ...]) -> bool:
    """Whether *colour* is red over grey, at four fifths."""
    return all(abs(a - b) < 14 for a, b in zip(colour, (217, 13, 13), strict=True))


def is_grey(colour: tuple[int, ...]) -> bool:
    return all(abs(part - 0x40) < 8 for part in colour)


@pytest.mark.parametrize(
    ("position", "x", "y"),
    [
        ("bottomright", 0.93, 0.95),
        ("Top-Left", 0.07, 0.05),
        ("top_right", 0.93, 0.05),
        ("bottom left", 0.07, 0.95),
        ("center", 0.5, 0.5),
    ],
)
def test_the_mark_stands_where_the_setting_says(
    position: str,
    x: float,
    y: float,
    run: Run,
    red: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WATERMARK_PATH", str(red))
    monkeypatch.setenv("WATERMARK_POSITION", position)

    result = run(watermark=True)

    assert result["warnings"] == []
    for rendition in range(len(result["outputs"]["mp4"])):
        at = pixels(result, rendition)
        assert is_red(at(x, y)), at(x, y)
        others = {(0.07, 0.05), (0.93, 0.05), (0.07, 0.95), (0.93, 0.95), (0.5, 0.5)}
        assert all(is_grey(at(*place)) for place in others - {(x, y)})


def test_the_message_wins_over_the_setting(
    run: Run, red: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATERMARK_PATH", str(red))
    monkeypatch.setenv("WATERMARK_ENABLED", "true")

    marked, clean = run(), run(watermark=False)

    assert is_red(pixels(marked, 0)(0.93, 0.95))
    assert is_grey(pixels(clean, 0)(0.93, 0.95))


def test_a_clean_rendition_stands_beside_the_marked_ones(
    run: Run, red: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATERMARK_PATH", str(red))

    result = run(watermark=True, clean_rendition=True, mp4_renditions="top")

    [marked], clean = result["outputs"]["mp4"], result["outputs"]["clean"]
    assert (clean["name"], clean["width"], clean["height"]) == ("clean", 640, 360)
    assert is_red(pixels_of(marked)(0.93, 0.95))
    assert is_grey(pixels_of(clean)(0.93, 0.95))
    # what the files were made of is not stored
    stored = [p for p in (tmp_path / "storage").rglob("*") if p.is_file()]
    assert {p.name for p in stored} == {"360.mp4", "clean.mp4", "metadata.json"}


def test_without_a_mark_the_largest_rendition_is_the_clean_one(
    run: Run, tmp_path: Path
) -> None:
    result = run(formats=["hls"], clean_rendition=True)

    assert result["outputs"]["clean"]["name"] == "360"
    assert "mp4" not in result["outputs"]
    made = (tmp_path / "storage").rglob("*.mp4")
    assert {p.name for p in made} == {"init.mp4", "360.mp4"}


def test_a_mark_that_is_not_set_is_told_and_does_not_stop_the_video(run: Run) -> None:
    assert run(watermark=True)["warnings"] == ["watermark_not_set"]


@pytest.mark.parametrize("content", [None, b"no picture", b""])
def test_a_mark_that_is_no_image_is_not_blamed_on_the_video(
    content: bytes | None, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "mark.png"
    if content is not None:
        mark.write_bytes(content)
    monkeypatch.setenv("WATERMARK_PATH", str(mark))

    with pytest.raises(ConfigurationError, match="WATERMARK_PATH"):
        run(watermark=True)

    assert not list((tmp_path / "storage").rglob("*.mp4"))


def frames(result: dict[str, Any], *numbers: int) -> list[bytes]:
    """Return frames of the one film that was made, in greys."""
    path = result["outputs"]["mp4"][0]["uri"].removeprefix("file://")
    raw = ffmpeg("-i", path, "-f", "rawvideo", "-pix_fmt", "gray", "-")
    return [raw[n * 640 * 360 : (n + 1) * 640 * 360] for n in numbers]


def test_a_text_is_seen_in_its_time_and_in_its_corner(run: Run) -> None:
    mark = {
        "text": "it's 100% %{pts}: [a],b",
        "position": "top left",
        "size": 0.1,
        "start": 0.4,
        "end": 0.8,
    }

    result = run(watermark=mark, mp4_renditions="top")

    before, during, after = frames(result, 5, 15, 22)
    assert max(before) < 0x60
    assert max(after) < 0x60
    rows = [max(during[n : n + 640]) for n in range(0, len(during), 640)]
    lit = [number for number, brightest in enumerate(rows) if brightest > 180]
    assert 3 <= lit[0] <= 20
    assert lit[-1] < 60
    assert max(during[320 * n + 600] for n in range(60)) < 0x60  # it ends before


def test_a_message_may_bring_its_own_mark(run: Run, red: Path, tmp_path: Path) -> None:
    mark = {"image_path": str(red), "opacity": 1, "margin": 0, "size": 0.2}

    result = run(watermark=mark, mp4_renditions="top")

    red_, green, blue = pixels(result, 0)(0.99, 0.99)
    assert red_ > 230
    assert max(green, blue) < 25
    for wrong, code in ((b"<svg/>" * 9, "not_media"), (b"", "empty")):
        (tmp_path / "wrong.png").write_bytes(wrong)
        with pytest.raises(SourceError) as refused:
            run(watermark={"image_path": str(tmp_path / "wrong.png")})
        assert refused.value.code in {code, "forbidden_format"}


def test_a_font_that_is_not_there_is_told_with_the_cure(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEXUS_WATERMARK_FONT", str(tmp_path / "no.ttf"))

    with pytest.raises(ConfigurationError, match="NEXUS_WATERMARK_FONT"):
        run(watermark={"text": "mine"})
