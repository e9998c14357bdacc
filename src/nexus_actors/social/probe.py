"""What a video is, as far as platforms ask: read with ffprobe before a byte is sent."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from nexus_actors.core.errors import RejectedError, ResourceError
from nexus_actors.platforms.verdicts import field


#: How long ffprobe may take to read a file's head, in seconds.
LONGEST_S: Final = 60

#: A quarter turn either way swaps width and height.
QUARTERS: Final = {90, 270}

#: Transfer characteristics of HDR: PQ and HLG.
HDR: Final = {"smpte2084", "arib-std-b67"}

#: By how much the mean rate of frames may differ from the base rate, where it is fixed.
RATE_TOLERANCE: Final = 0.01

#: What pictures are called, by their codecs; of others, the names are the same.
PICTURES: Final = {"mjpeg": "jpeg"}

#: Boxes of an MP4 that are looked at before the search for its index is given up.
MOST_BOXES: Final = 1000


def probe(path: Path, ffprobe: Path | None) -> dict[str, Any] | None:
    """Return what `rules.refuse_media` looks at; None where ffprobe is not installed.

    Raises:
        RejectedError: It is no video that can be read.
    """
    found = _ask(path, ffprobe)
    if found is None:
        return None
    video = _seen(found)
    if video is None:
        raise RejectedError(f"{path.name} is no video", code="not_media")
    sound = any(s.get("codec_type") == "audio" for s in found["streams"])
    return {
        **_read(path, found.get("format", {}), video),
        **_words(video),
        "index": _index(path),
        "sound": "some" if sound else "none",
    }


def probe_picture(path: Path, ffprobe: Path | None) -> dict[str, Any]:
    """Return what `rules.refuse_pictures` looks at; empty without ffprobe.

    Raises:
        RejectedError: It is no picture that can be read.
    """
    found = _ask(path, ffprobe)
    if found is None:
        return {}
    picture = _seen(found)
    if picture is None:
        raise RejectedError(f"{path.name} is no picture", code="not_media")
    codec = str(picture.get("codec_name"))
    return {
        "container": PICTURES.get(codec, codec),
        "size": path.stat().st_size,
        "width": picture.get("width"),
        "height": picture.get("height"),
    }


def _ask(path: Path, ffprobe: Path | None) -> dict[str, Any] | None:
    """Return what ffprobe says of a file; None where it is not installed."""
    program = ffprobe or shutil.which("ffprobe")
    if program is None:
        return None
    command = [str(program), "-v", "error", "-protocol_whitelist", "file"]
    command += ["-print_format", "json", "-show_format", "-show_streams"]
    try:
        done = subprocess.run(  # noqa: S603 - a program of the settings, no shell
            [*command, f"file:{path.absolute()}"],
            capture_output=True,
            timeout=LONGEST_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ResourceError(f"ffprobe took more than {LONGEST_S} s") from error
    found: dict[str, Any] = {}
    if not done.returncode:
        found = json.loads(done.stdout or b"{}")
    return found


def _seen(found: dict[str, Any]) -> dict[str, Any] | None:
    """Return the first stream with a picture."""
    streams = found.get("streams", [])
    return next((s for s in streams if s.get("codec_type") == "video"), None)


def _read(
    path: Path, container: dict[str, Any], video: dict[str, Any]
) -> dict[str, Any]:
    width, height = video.get("width"), video.get("height")
    if _rotation(video) in QUARTERS:
        width, height = height, width
    seconds = container.get("duration") or video.get("duration")
    return {
        "container": _container(path, container),
        "codec": video.get("codec_name"),
        "size": path.stat().st_size,
        "duration_s": round(float(seconds), 3) if seconds else None,
        "fps": _fps(video.get("avg_frame_rate")),
        "width": width,
        "height": height,
    }


def _words(video: dict[str, Any]) -> dict[str, str | None]:
    """Return what platforms ask of a picture, beside its size: a word for each."""
    interlaced = video.get("field_order") in {"tt", "bb", "tb", "bt"}
    pixels = str(video.get("pix_fmt"))
    chroma = next((":".join(c) for c in ("420", "422", "444") if c in pixels), None)
    deep = re.search(r"p(1\d)[lb]e$", pixels)
    base, mean = _fps(video.get("r_frame_rate")), _fps(video.get("avg_frame_rate"))
    rate = None
    if base and mean and not interlaced:
        rate = "fixed" if abs(base - mean) <= RATE_TOLERANCE * base else "variable"
    return {
        "range": "HDR" if video.get("color_transfer") in HDR else "SDR",
        "scan": "interlaced" if interlaced else "progressive",
        "chroma": "4:4:4" if pixels.startswith(("gbr", "rgb")) else chroma,
        "depth": f"{deep[1] if deep else 8} bit",
        "rate": rate,
    }


def _index(path: Path) -> str | None:
    """Tell whether an MP4's index, ``moov``, comes first or last; None of others."""
    with path.open("rb") as file:
        for _ in range(MOST_BOXES):
            head = file.read(16)
            size, kind = int.from_bytes(head[:4]), head[4:8]
            if size == 1:
                size = int.from_bytes(head[8:])
            if kind in {b"moov", b"mdat"}:
                return "first" if kind == b"moov" else "last"
            if size < 8 or not kind.isalnum():  # noqa: PLR2004 - of a box's own head
                return None
            file.seek(size - len(head), os.SEEK_CUR)
    return None


def _container(path: Path, told: dict[str, Any]) -> str:
    """Return one word for a container: ffprobe names all that are read alike."""
    names = str(told.get("format_name")).split(",")
    if "mp4" in names:
        return "mov" if field(told, "tags", "major_brand") == "qt  " else "mp4"
    return "webm" if "webm" in names and path.suffix == ".webm" else names[0]


def _rotation(video: dict[str, Any]) -> int:
    sides = video.get("side_data_list", [])
    return next((int(s["rotation"]) % 360 for s in sides if "rotation" in s), 0)


def _fps(text: str | None) -> float | None:
    try:
        return round(float(Fraction(text)), 3) if text else None
    except (ValueError, ZeroDivisionError):
        return None
