"""The programs that do the work, and the fence around what they may open."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from nexus_actors.core.errors import MissingToolError

from .codecs import ENCODERS
from .errors import EncodeError
from .settings import VideoSettings


#: Demuxers that uploads need.  Leaves out all that open further files or the network:
#: hls, dash, concat, image2, sdp, rtsp, lavfi, tty, svg.  ffmpeg ignores names that it
#: lacks.
DEMUXERS: Final = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,live_flv,asf,"
    "ogg,mp3,wav,aac,flac,gif,apng,png_pipe,jpeg_pipe,webp_pipe,webp_anim,"
    "h264,hevc,m4v,mxf,dv,rm"
)

#: All that a program learns of our environment: no setting, no secret.
INHERITED: Final = ("PATH", "LD_LIBRARY_PATH", "HOME", "TMPDIR", "LANG")

#: How long a tool may take to describe itself, in seconds: a loaded machine is slow.
ASK_S: Final = 30

#: The most pixels that ffmpeg may allocate a frame for; probing must see more than
#: `max_pixels` to refuse it in words.
MAX_DECODED_PIXELS: Final = 16384 * 8192

#: Options of an input; ``None`` is the value of one that has none.
InputOptions = tuple[tuple[str, str | None], ...]

#: What stands before every untrusted input of ffmpeg and ffprobe.  Both read equally
#: far ahead, so that both number the streams alike.
INPUT_GUARD: Final = (
    ("protocol_whitelist", "file,pipe"),
    ("format_whitelist", DEMUXERS),
    ("max_pixels", str(MAX_DECODED_PIXELS)),
    ("probesize", "20M"),
    ("analyzeduration", "20M"),
)


@dataclass(frozen=True, slots=True)
class Tools:
    """Where ffmpeg and ffprobe are; the version of the first, and its encoders."""

    ffmpeg: Path
    ffprobe: Path
    version: str
    encoders: frozenset[str] = ENCODERS


def find_tools(settings: VideoSettings) -> Tools:
    """Find both programs: a setting, else PATH, else the imageio-ffmpeg package.

    The package has no ffprobe; that comes from a setting, from beside the ffmpeg that a
    setting names, or from PATH.

    Raises:
        MissingToolError: One is missing or cannot encode; says how to install it.
        EncodeError: ffmpeg did not answer in time, which may pass.
    """
    ffmpeg = _find("ffmpeg", settings.ffmpeg) or _bundled()
    ffprobe = _find("ffprobe", settings.ffprobe or _beside(settings.ffmpeg))
    if ffmpeg is None or ffprobe is None:
        name = "ffmpeg" if ffmpeg is None else "ffprobe"
        raise MissingToolError(f"{name} is not installed: {install_command()}")
    return Tools(ffmpeg, ffprobe, version_of(ffmpeg), encoders_of(ffmpeg))


def environment() -> dict[str, str]:
    """Return the environment of a program that reads what strangers have made."""
    return {name: os.environ[name] for name in INHERITED if name in os.environ}


def install_command() -> str:
    """Return the command that installs ffmpeg on this system."""
    if sys.platform == "darwin":
        return "brew install ffmpeg"
    return "sudo apt-get install ffmpeg"


def _find(name: str, setting: Path | None) -> Path | None:
    found = shutil.which(str(setting)) if setting else shutil.which(name)
    if setting and not found:
        raise MissingToolError(
            f"NEXUS_{name.upper()} is {str(setting)!r}, which is not a program"
        )
    return Path(found).absolute() if found else None


def _beside(ffmpeg: Path | None) -> Path | None:
    """Return the ffprobe of the same build as the *ffmpeg* that a setting names."""
    sibling = ffmpeg.with_name("ffprobe") if ffmpeg else None
    return sibling if sibling and sibling.is_file() else None


def _bundled() -> Path | None:
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        return Path(get_ffmpeg_exe())
    except (ImportError, RuntimeError):  # the latter: installed without the program
        return None


@lru_cache(maxsize=8)
def version_of(ffmpeg: Path) -> str:
    """Return the version that *ffmpeg* says it has, such as ``5.1.9-0+deb12u1``.

    Raises:
        MissingToolError: It does not run.
        EncodeError: It did not answer in time, which may pass.
    """
    words = ask([str(ffmpeg), "-version"]).split()
    if words[:2] != ["ffmpeg", "version"] or len(words) < 3:  # noqa: PLR2004 - its name
        raise MissingToolError(f"{ffmpeg} is not a working ffmpeg: {install_command()}")
    return words[2]


@lru_cache(maxsize=8)
def decoders_of(ffmpeg: Path) -> frozenset[str]:
    """Return the names of the codecs that *ffmpeg* can decode.

    Raises:
        MissingToolError: It does not run.
        EncodeError: It did not answer in time, which may pass.
    """
    listed = ask([str(ffmpeg), "-hide_banner", "-codecs"]).splitlines()
    rows = [line.split() for line in listed]
    found = frozenset(row[1] for row in rows if len(row) > 1 and row[0][:1] == "D")
    if not found:  # "no codec at all" would refuse every video for good
        raise MissingToolError(f"{ffmpeg} is not a working ffmpeg: {install_command()}")
    return found


@lru_cache(maxsize=8)
def encoders_of(ffmpeg: Path) -> frozenset[str]:
    """Return the names of the encoders that *ffmpeg* has.

    Raises:
        MissingToolError: It does not run, or cannot encode H.264.
        EncodeError: It did not answer in time, which may pass.
    """
    rows = map(str.split, ask([str(ffmpeg), "-hide_banner", "-encoders"]).splitlines())
    found = frozenset(row[1] for row in rows if len(row) > 1)
    if "libx264" not in found:
        raise MissingToolError(f"{ffmpeg} has no libx264: {install_command()}")
    return found


def ask(command: list[str]) -> str:
    """Return what a short harmless command prints.

    Raises:
        MissingToolError: It cannot be started.
        EncodeError: It did not answer in time, which may pass.
    """
    try:
        done = subprocess.run(  # noqa: S603 - our own arguments
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=ASK_S,
            env=environment(),
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise EncodeError(
            f"{command[0]} did not answer within {ASK_S} s", code="timeout"
        ) from None
    except OSError as error:
        reason = (error.strerror or "error").lower()
        raise MissingToolError(
            f"{command[0]} does not run ({reason}): {install_command()}"
        ) from None
    return done.stdout
