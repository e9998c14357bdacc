"""The mark on the picture: which image, how large and where."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Final

from nexus_actors.core.errors import ConfigurationError

from .errors import SourceError
from .ffprobe import look
from .models import VideoRendition, Watermark
from .settings import VideoSettings
from .tools import Tools


#: Where a mark may stand, by ffmpeg's expressions for its upper left corner; ``M`` is
#: the margin.
_LEFT, _CENTRE, _RIGHT = "M", "(main_w-overlay_w)/2", "main_w-overlay_w-M"
_TOP, _MIDDLE, _BOTTOM = "M", "(main_h-overlay_h)/2", "main_h-overlay_h-M"
POSITIONS: Final = {
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

#: The box that a mark fits into, and its distance from the edge, as shares of the
#: picture's short side: so it looks equally large on all screens.
BOX: Final = (0.12 * 16 / 9, 0.12)
MARGIN: Final = 0.02

OPACITY: Final = 0.8


def plan_watermark(settings: VideoSettings, top: VideoRendition) -> Watermark | None:
    """Decide size and place of the mark on the largest rendition.

    Returns:
        ``None`` where no mark is set.

    Raises:
        ConfigurationError: The mark that is set cannot be read.
    """
    if settings.watermark_path is None:
        return None
    path = settings.watermark_path.absolute()
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = (error.strerror or "error").lower()
        raise ConfigurationError(f"WATERMARK_PATH: {path}: {reason}") from error
    short = min(top.width, top.height)
    margin = str(round(MARGIN * short))
    x, y = (
        re.sub(r"\bM\b", margin, part)
        for part in POSITIONS[settings.watermark_position]
    )
    width, height = (max(2, round(share * short)) for share in BOX)
    return Watermark(
        path=path,
        sha256=hashlib.sha256(content).hexdigest(),
        width=width,
        height=height,
        x=x,
        y=y,
        opacity=OPACITY,
    )


def check_image(path: Path, tools: Tools) -> None:
    """Check that *path* is an image, so that the source is not blamed for it.

    Raises:
        ConfigurationError: It is none.
    """
    try:
        found = look(path, tools, "-show_streams").get("streams", [])
    except SourceError as error:
        raise ConfigurationError(f"WATERMARK_PATH: {path} is no image") from error
    if [stream.get("codec_type") for stream in found] != ["video"]:
        raise ConfigurationError(f"WATERMARK_PATH: {path} is no image")
