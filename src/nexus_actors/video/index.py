"""The step after the encode: measure what it has made, once, for all manifests."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import ceil
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from .bmff import Init, Run, read_init, read_runs
from .errors import OutputError
from .models import (
    AudioRendition,
    Fragment,
    Plan,
    Presentation,
    Segment,
    Track,
    VideoRendition,
)


#: A track that starts later than this, in seconds, is out of step with the others.
LATEST_START_S: Final = 0.1

T = TypeVar("T")


def place_tracks(plan: Plan, encoded: Path, root: Path) -> None:
    """Move the folders that the encode has numbered to their names below *root*."""
    for number, folder in enumerate(_folders(plan)):
        source, target = encoded / str(number), root / folder
        if source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            source.rename(target)


def _folders(plan: Plan) -> list[str]:
    pictures = [f"v/{rung.name}" for rung in (*plan.video, *plan.extra)]
    return pictures + [f"a/{track.name}" for track in plan.audio]


def index_tracks(plan: Plan, root: Path) -> Presentation:
    """Measure the tracks below *root*.

    Raises:
        OutputError: They are not what the plan asks for, or do not fit together.
    """
    video = tuple(_video(rung, root) for rung in plan.video)
    audio = tuple(_audio(track, root) for track in plan.audio)
    for track in video[1:]:
        _check_aligned(video[0], track)
    extra = (_video(rung, root) for rung in plan.extra)
    clean = next(extra, video[0]) if plan.clean else None
    return Presentation(video=video, audio=audio, clean=clean)


def _video(rung: VideoRendition, root: Path) -> Track:
    return _track(
        "video",
        rung.name,
        root / "v" / rung.name,
        width=rung.width,
        height=rung.height,
        fps=rung.fps,
        progressive=rung.progressive,
    )


def _audio(track: AudioRendition, root: Path) -> Track:
    return _track(
        "audio",
        track.name,
        root / "a" / track.name,
        channels=track.channels,
        sample_rate=track.sample_rate,
        language=track.language,
        label=track.label,
        default=track.default,
        purpose=track.purpose,
    )


def _track(
    kind: Literal["video", "audio"], name: str, folder: Path, **facts: Any
) -> Track:
    init = _read(folder / "init.mp4", read_init)
    if init.handler != {"video": "vide", "audio": "soun"}[kind]:
        raise OutputError(f"{kind} track {name} holds {init.handler!r}")
    segments = _segments(folder, init)
    peak, average = _bitrates(segments, init.timescale)
    return Track(
        kind=kind,
        name=name,
        folder=f"{kind[0]}/{name}",
        timescale=init.timescale,
        codecs=init.codecs,
        segments=segments,
        peak_bitrate=peak,
        average_bitrate=average,
        priming=init.priming,
        **facts,
    )


def _read(file: Path, reader: Callable[[bytes], T]) -> T:
    """Read *file*; an error names it."""
    name = f"{file.parent.name}/{file.name}"
    try:
        return reader(file.read_bytes())
    except FileNotFoundError:
        raise OutputError(f"{name} was not made") from None
    except OutputError as error:
        raise OutputError(f"{name}: {error.message}") from error


def _segments(folder: Path, init: Init) -> tuple[Segment, ...]:
    """Read all media segments; times are presentation times, priming taken off."""
    files = sorted(folder.glob("*.m4s"))
    if not files:
        raise OutputError(f"{folder.name} has no segments")
    runs = [_read(file, lambda data: read_runs(data, init)) for file in files]
    _check_runs(folder.name, [run for found in runs for run in found], init)
    starts = [_start(found[0], init) for found in runs]
    last = runs[-1][-1]
    ends = [*starts[1:], last.decode_time + last.duration - init.priming]
    segments = []
    for file, found, start, end in zip(files, runs, starts, ends, strict=True):
        segments.append(
            Segment(
                name=file.name,
                size=file.stat().st_size,
                start=start,
                duration=end - start,
                frames=sum(run.samples for run in found),
                fragments=_fragments(found, init, end),
            )
        )
    return tuple(segments)


def _start(run: Run, init: Init) -> int:
    # what lies before 0, an audio encoder's priming, is never played
    return max(0, _shown(run, init))


def _shown(run: Run, init: Init) -> int:
    reordering = run.first_composition if init.handler == "vide" else 0
    return run.decode_time + reordering - init.priming


def _fragments(runs: list[Run], init: Init, end: int) -> tuple[Fragment, ...]:
    starts = [_start(run, init) for run in runs]
    return tuple(
        Fragment(
            offset=run.offset,
            key_frame_end=run.first_sample_end,
            start=start,
            duration=after - start,
        )
        for run, start, after in zip(runs, starts, [*starts[1:], end], strict=True)
    )


def _check_runs(name: str, runs: list[Run], init: Init) -> None:
    """Check the whole track: starts at 0, has no gap, each fragment can be decoded."""
    if abs(_shown(runs[0], init)) > init.timescale * LATEST_START_S:
        raise OutputError(f"track {name} does not start at 0")
    for number, (before, after) in enumerate(pairwise(runs), start=1):
        if abs(before.decode_time + before.duration - after.decode_time) > 1:
            raise OutputError(f"track {name} has a gap before fragment {number + 1}")
    if init.handler == "vide" and not all(run.starts_with_key for run in runs):
        raise OutputError(
            f"track {name} has a fragment without a key frame at its start"
        )


def _check_aligned(first: Track, other: Track) -> None:
    """Players switch at segment borders: all rungs must have the same."""
    ours = [segment.start / first.timescale for segment in first.segments]
    theirs = [segment.start / other.timescale for segment in other.segments]
    tick = 1 / first.timescale + 1 / other.timescale
    if len(ours) != len(theirs) or any(
        abs(a - b) > tick for a, b in zip(ours, theirs, strict=False)
    ):
        raise OutputError(
            f"renditions {first.name} and {other.name} are not cut at the same times"
        )


def _bitrates(segments: tuple[Segment, ...], timescale: int) -> tuple[int, int]:
    """Return peak and average, in bit/s; a short last segment is no measure."""
    longest = max(segment.duration for segment in segments)
    long = [segment for segment in segments if 2 * segment.duration >= longest]
    peak = max(8 * s.size * timescale / max(1, s.duration) for s in long)
    total = max(1, sum(segment.duration for segment in segments))
    average = 8 * sum(segment.size for segment in segments) * timescale / total
    # a player may rely on the peak: never less than was measured
    return ceil(max(peak, average)), ceil(average)
