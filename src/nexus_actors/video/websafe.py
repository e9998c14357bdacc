"""Whether a file can be shown by every browser as it is, and if not, why."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Final

from .commands import QUIET
from .models import AudioRendition, AudioStream, MediaInfo, Plan, VideoStream
from .tools import INPUT_GUARD, Tools


#: Profiles of H.264 that every decoder knows, and the highest level.
PROFILES: Final = {"Baseline", "Constrained Baseline", "Main", "High"}
MOST_LEVEL: Final = 52

#: The most frames a second.  Where the rate varies, its grid may be twice as fine.
MOST_FPS: Final = Fraction(60)
VARYING: Final = 2

#: How many times its cap in the ladder a picture may spend.
MOST_SPENT: Final = 1.3

#: Containers whose packets an MP4 takes as they are.
CONTAINERS: Final = {"mp4", "matroska", "mpegts"}

#: Rates and channels of sound that every browser plays.
SOUND_RATES: Final = {44_100, 48_000}
STEREO: Final = 2

#: The longest way to a key frame, and the latest start of a track, in seconds.
MOST_KEY_GAP_S: Final = 10
LATEST_START_S: Final = 0.1

#: So much is decoded in three places, in seconds.
SAMPLE_S: Final = 2


@dataclass(frozen=True, slots=True)
class Unfit:
    """Why *picture* and *sound* cannot stay, in words that stay the same."""

    picture: tuple[str, ...]
    sound: tuple[str, ...]


def judge(media: MediaInfo, plan: Plan, key_gap_s: float) -> Unfit:
    """Hold the source against what browsers play; *plan* is what else is made of it."""
    video = media.video
    assert video is not None  # noqa: S101 - the probe refuses a file without picture
    told = {
        **_unfit_stream(video),
        "size": video.display_width - plan.video[0].width > 1,
        "bitrate": _rate(media, video) > MOST_SPENT * plan.video[0].maxrate,
        "container": media.container not in CONTAINERS,
        "key_frames": key_gap_s > MOST_KEY_GAP_S,
        "start": _late(video.start, media),
        "length": "shorter_than_header" in media.warnings,
    }
    heard = [s for s in media.audio for track in plan.audio if _is(s, track)]
    return Unfit(
        picture=tuple(word for word, found in told.items() if found),
        sound=tuple(chain.from_iterable(_unfit_sound(s, media) for s in heard)),
    )


def _unfit_stream(video: VideoStream) -> dict[str, bool]:
    fps = Fraction(video.fps_q)
    grid = Fraction(video.nominal_fps_q or fps)
    return {
        "codec": video.codec != "h264",
        "profile": video.codec == "h264" and video.profile not in PROFILES,
        "level": video.codec == "h264" and (video.level or 0) > MOST_LEVEL,
        "pixel_format": video.pix_fmt != "yuv420p",
        "hdr": video.hdr is not None,
        "interlaced": video.interlaced,
        "pixel_aspect": video.sar != "1:1",
        "rotation": video.rotation != 0,
        "odd_size": bool(video.width % 2 or video.height % 2),
        "frame_rate": fps > MOST_FPS or (video.vfr and grid > VARYING * fps),
    }


def _rate(media: MediaInfo, video: VideoStream) -> int:
    sound = sum(track.bit_rate or 0 for track in media.audio)
    return video.bit_rate or max(0, (media.bit_rate or 0) - sound)


def _late(start: float, media: MediaInfo) -> bool:
    """Tell whether a track starts later than the file: a copy moves both alike."""
    return start - media.start_time > LATEST_START_S


def _is(stream: AudioStream, track: AudioRendition) -> bool:
    return stream.index == track.source_index


def _unfit_sound(sound: AudioStream, media: MediaInfo) -> list[str]:
    told = {
        "audio_codec": sound.codec != "aac" or sound.profile not in {"LC", None},
        "audio_channels": sound.channels > STEREO,
        "audio_rate": sound.sample_rate not in SOUND_RATES,
        "audio_start": _late(sound.start, media),
    }
    return [word for word, found in told.items() if found]


def sample_command(plan: Plan, source: Path, tools: Tools) -> list[str]:
    """Return the command that decodes the start, the middle and the end of *source*.

    It fails at the first thing that is wrong.
    """
    guard = [part for name, value in INPUT_GUARD for part in (f"-{name}", value)]
    last = max(0.0, plan.duration - SAMPLE_S)
    command = [str(tools.ffmpeg), *QUIET, "-xerror"]
    for start in dict.fromkeys((0.0, last / 2, last)):
        window = ["-ss", f"{start:.3f}", "-t", str(SAMPLE_S)]
        command += [*window, *guard, "-i", f"file:{source}"]
    inputs = command.count("-i")
    streams = [plan.video_index, *(track.source_index for track in plan.audio)]
    for number in range(inputs):
        for stream in streams:
            command += ["-map", f"{number}:{stream}"]
    return [*command, "-f", "null", "-"]
