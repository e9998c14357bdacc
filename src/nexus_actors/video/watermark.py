"""The mark on the picture: which image or text, how large and where."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import ffmpeg

from nexus_actors.core.errors import ConfigurationError, NexusError

from .commands import QUIET, text_options
from .errors import EncodeError, SourceError
from .ffprobe import look
from .models import (
    ImageMark,
    TextMark,
    VideoRendition,
    Watermark,
    WatermarkOptions,
)
from .settings import Position, VideoSettings
from .tools import Tools


#: Where a mark may stand, by ffmpeg's expressions for its upper left corner: ``W`` and
#: ``H`` are the picture's sides, ``w`` and ``h`` the mark's, ``M`` is the margin.
_LEFT, _CENTRE, _RIGHT = "M", "(W-w)/2", "W-w-M"
_TOP, _MIDDLE, _BOTTOM = "M", "(H-h)/2", "H-h-M"
POSITIONS: Final[dict[Position, tuple[str, str]]] = {
    "topleft": (_LEFT, _TOP),
    "top": (_CENTRE, _TOP),
    "topright": (_RIGHT, _TOP),
    "left": (_LEFT, _MIDDLE),
    "center": (_CENTRE, _MIDDLE),
    "right": (_RIGHT, _MIDDLE),
    "bottomleft": (_LEFT, _BOTTOM),
    "bottom": (_CENTRE, _BOTTOM),
    "bottomright": (_RIGHT, _BOTTOM),
}

#: drawtext's names for the sides.
IN_TEXT: Final = {"W": "w", "H": "h", "w": "text_w", "h": "text_h"}

#: The usual height of images and of texts, as shares of the picture's shorter side: so
#: it looks equally large on all screens.  An image may be so many times as wide.
IMAGE_SIZE: Final = 0.12
TEXT_SIZE: Final = 0.05
WIDEST: Final = 16 / 9

#: How wide a letter is, as a share of the height of its line, and one of the Far East.
LETTER: Final = 0.62
WIDE_LETTER: Final = 1.0


def plan_watermark(
    asked: WatermarkOptions | None,
    image: Path | None,
    settings: VideoSettings,
    top: VideoRendition,
) -> Watermark | None:
    """Decide what the mark on the largest rendition is.

    Args:
        asked: What the message says of it.
        image: The image that the message names, brought here.
        settings: The worker's, for all that the message leaves open.
        top: The rendition.

    Returns:
        ``None`` where no mark is set.

    Raises:
        ConfigurationError: The mark that is set cannot be read.
    """
    asked = asked or WatermarkOptions()
    short = min(top.width, top.height)
    share = settings.watermark_margin if asked.margin is None else asked.margin
    margin = round(share * short)
    names: dict[str, str] = {"M": str(margin)}
    path, text = image, asked.text
    if path is None and text is None:
        path, text = settings.watermark_path, settings.watermark_text
    if path is None and text:
        names |= IN_TEXT
    x, y = (
        re.sub(r"\b[MWHwh]\b", lambda found: names.get(found[0], found[0]), part)
        for part in POSITIONS[asked.position or settings.watermark_position]
    )
    common: dict[str, Any] = {
        "x": x,
        "y": y,
        "opacity": asked.opacity or settings.watermark_opacity,
        "start": asked.start,
        "end": asked.end,
    }
    size = asked.size or settings.watermark_size
    if path is not None:
        return _image(path.absolute(), round((size or IMAGE_SIZE) * short), common)
    if not text:
        return None
    fitting = (top.width - 2 * margin) / sum(map(_width, text))
    height = min((size or TEXT_SIZE) * short, fitting)
    return TextMark(
        text=text, height=max(4, int(height)), font=settings.watermark_font, **common
    )


def _image(path: Path, height: int, common: dict[str, Any]) -> ImageMark:
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = (error.strerror or "error").lower()
        raise ConfigurationError(f"WATERMARK_PATH: {path}: {reason}") from error
    return ImageMark(
        path=path,
        sha256=hashlib.sha256(content).hexdigest(),
        width=max(2, round(WIDEST * height)),
        height=max(2, height),
        **common,
    )


def _width(letter: str) -> float:
    wide = unicodedata.east_asian_width(letter) in {"W", "F"}
    return WIDE_LETTER if wide else LETTER


def check_mark(mark: Watermark, tools: Tools, run: Callable[[list[str]], str]) -> None:
    """Check that *mark* can be drawn, so that the source is not blamed for it.

    Raises:
        ConfigurationError: It cannot.
    """
    if isinstance(mark, ImageMark):
        _check_image(mark.path, tools)
    elif isinstance(mark, TextMark):
        _check_text(mark, tools, run)


def _check_image(path: Path, tools: Tools) -> None:
    try:
        found = look(path, tools, "-show_streams").get("streams", [])
    except SourceError as error:
        raise ConfigurationError(f"WATERMARK_PATH: {path} is no image") from error
    if [stream.get("codec_type") for stream in found] != ["video"]:
        raise ConfigurationError(f"WATERMARK_PATH: {path} is no image")


def _check_text(mark: TextMark, tools: Tools, run: Callable[[list[str]], str]) -> None:
    """Write it once: only ffmpeg knows which fonts it finds."""
    if mark.font and not mark.font.is_file():  # ffmpeg would take another one
        raise ConfigurationError(f"NEXUS_WATERMARK_FONT: {mark.font} is no file")
    paper = ffmpeg.input("color=size=64x64:rate=1", f="lavfi", t=1)
    drawn = paper.filter("drawtext", **text_options(mark)).output("-", f="null")
    compiled: list[str] = drawn.compile(cmd=str(tools.ffmpeg))
    try:
        run([compiled[0], *QUIET, *compiled[1:]])
    except NexusError as error:
        if isinstance(error, EncodeError) and error.code != EncodeError.code:
            raise  # killed, or too slow
        raise ConfigurationError(
            "there is no font to write the watermark with: sudo apt-get install "
            "fonts-dejavu-core, or set NEXUS_WATERMARK_FONT"
        ) from error
