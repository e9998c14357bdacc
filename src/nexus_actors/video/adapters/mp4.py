"""Progressive MP4: the same samples in one file each, index first."""

from __future__ import annotations

from pathlib import Path
from shutil import copyfileobj

from nexus_actors.video.base import Packager, Workbench
from nexus_actors.video.commands import QUIET, language_option
from nexus_actors.video.models import Presentation, Track


class Mp4Packager(Packager):
    name = "mp4"
    step = "derive"

    def package(self, presentation: Presentation, bench: Workbench) -> list[str]:
        scratch = bench.root.parent / "mp4.tmp"
        scratch.mkdir(parents=True, exist_ok=True)
        (bench.root / "mp4").mkdir(parents=True, exist_ok=True)
        sound = presentation.main_sound
        language = sound.language if sound else None
        sounds = [joined_input(sound, bench.root, scratch / "a.mp4")] if sound else []
        made = []
        for track in presentation.progressive:
            inputs = [joined_input(track, bench.root, scratch / "v.mp4"), *sounds]
            path = f"mp4/{track.name}.mp4"
            bench.run(
                remux_command(bench.tools.ffmpeg, inputs, bench.root / path, language)
            )
            made.append(path)
        for file in scratch.iterdir():
            file.unlink()
        scratch.rmdir()
        return made


def join(track: Track, root: Path, target: Path) -> Path:
    """Put the initialization and all media segments of *track* into one file."""
    folder = root / track.folder
    names = ["init.mp4", *(segment.name for segment in track.segments)]
    with target.open("wb") as joined:
        for name in names:
            with (folder / name).open("rb") as part:
                copyfileobj(part, joined, 1 << 20)
    return target


def joined_input(track: Track, root: Path, target: Path) -> list[str]:
    """Join *track* into *target*; return how ffmpeg reads it, its priming before 0.

    Of fragments, FFmpeg 5 does not see that they begin before 0: it moves them there,
    and sound would come late by its priming.  So no version is left to find out.
    """
    start = []
    if track.priming:
        seconds = track.priming / track.timescale
        start = ["-ignore_editlist", "1", "-itsoffset", f"{-seconds:.6f}"]
    return [*start, "-i", f"file:{join(track, root, target)}"]


def copy_inputs(ffmpeg: Path, inputs: list[list[str]]) -> list[str]:
    """Return how a command begins that takes the one stream of each of *inputs*."""
    command = [str(ffmpeg), *QUIET]
    for words in inputs:
        command += words
    for number in range(len(inputs)):
        command += ["-map", f"{number}:0"]
    return command


def remux_command(
    ffmpeg: Path, inputs: list[list[str]], target: Path, language: str | None = None
) -> list[str]:
    """Return the command that copies the streams of *inputs* into one MP4."""
    # the index in front lets a browser start before it has the whole file
    options = ["-c", "copy", "-map_metadata", "-1", "-movflags", "+faststart"]
    for name, value in language_option(language).items():
        options += [f"-{name}", value]
    command = copy_inputs(ffmpeg, inputs)
    return [*command, *options, "-f", "mp4", "-y", f"file:{target}"]
