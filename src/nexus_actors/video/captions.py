"""Captions: what SubRip, WebVTT and text tracks say, as WebVTT."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nexus_actors.core.errors import NexusError

from .audio import unique
from .base import Workbench
from .commands import QUIET
from .errors import SourceError
from .languages import name_of
from .models import Caption, CaptionOptions, MediaInfo
from .sprites import clock
from .tools import INPUT_GUARD


#: The largest file of captions, in bytes: a film of three hours has 200 kB.
MOST_BYTES: Final = 10_000_000

#: More tracks than this are left out.
MOST_TRACKS: Final = 32

#: The line above each cue, in WebVTT and in SubRip, whose hours may be missing.
TIMES: Final = re.compile(
    r"^\s*(?:(\d{1,3}):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})\s*-->\s*"
    r"(?:(\d{1,3}):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
)

#: Marks that WebVTT and SubRip share; all others are left out.
TAG: Final = re.compile(r"</?([a-zA-Z]+)[^<>]*>|\{\\[^{}]*\}")
#: An ampersand that begins no entity.
ENTITY: Final = re.compile(r"&(?!(?:amp|lt|gt|nbsp|lrm|rlm);)")
KEPT_TAGS: Final = {"b", "i", "u"}


@dataclass(frozen=True, slots=True)
class Cue:
    """What is read from *start* to *end*, in seconds."""

    start: float
    end: float
    text: str


def plan_captions(
    media: MediaInfo, files: tuple[CaptionOptions, ...], *, own_too: bool
) -> tuple[Caption, ...]:
    """Return the tracks to make: the files of a message, then those of the source."""
    own = [stream for stream in media.subtitles if stream.text and own_too]
    languages = [*(file.language for file in files), *(s.language for s in own)]
    given = [*(file.label for file in files), *([None] * len(own))]
    labels = unique(
        [
            label or name_of(language) or "Subtitles"
            for label, language in zip(given, languages, strict=True)
        ]
    )
    sources: list[tuple[str | None, int | None, bool]] = [
        *((file.input_path, None, False) for file in files),
        *((None, stream.index, stream.forced) for stream in own),
    ]
    return tuple(
        Caption(
            name=str(number),
            input_path=path,
            source_index=index,
            language=language,
            label=label,
            forced=forced,
        )
        for number, ((path, index, forced), language, label) in enumerate(
            zip(sources, languages, labels, strict=True)
        )
    )[:MOST_TRACKS]


def write_captions(
    caption: Caption, source: Path, seconds: float, bench: Workbench
) -> bool:
    """Write one track of WebVTT; tell whether anything is said in it.

    *source* is the file of a message, or the video that has it as a stream.

    Raises:
        SourceError: It cannot be read.
    """
    if caption.source_index is not None:
        source = _extracted(caption.source_index, source, bench)
    if source.stat().st_size > MOST_BYTES:
        raise SourceError(
            f"captions have more than {MOST_BYTES:,} bytes", code="too_large"
        )
    cues = list(read_cues(decoded(source.read_bytes()), seconds))
    if not cues:
        return False
    target = bench.root / caption.path
    target.parent.mkdir(exist_ok=True)
    target.write_text(webvtt(cues), encoding="utf-8")
    return True


def _extracted(index: int, source: Path, bench: Workbench) -> Path:
    target = bench.root.parent / "caption.vtt"
    guard = [part for name, value in INPUT_GUARD for part in (f"-{name}", value)]
    command = [str(bench.tools.ffmpeg), *QUIET, *guard, "-i", f"file:{source}"]
    stream = ["-map", f"0:{index}", "-c:s", "webvtt", "-f", "webvtt"]
    try:
        bench.run([*command, *stream, "-y", f"file:{target}"])
    except NexusError as error:
        if error.code in {"killed", "stalled", "timeout", "disk_full"}:
            raise
        raise SourceError("the captions are damaged", code="corrupt") from error
    return target


def decoded(content: bytes) -> str:
    """Return the text of a file that does not say how it is written."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:  # as most programs of Windows wrote it
        return content.decode("cp1252", errors="replace")


def read_cues(text: str, seconds: float) -> Iterator[Cue]:
    """Yield the cues of SubRip or WebVTT that are seen within *seconds*."""
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    for block in re.split(r"\n[ \t]*\n", plain):
        lines = block.strip("\n").split("\n")
        for number, line in enumerate(lines[:2]):  # a number or a name may come first
            found = TIMES.match(line)
            if found is None:
                continue
            start, end = _seconds(found.groups()[:4]), _seconds(found.groups()[4:])
            said = _clean(lines[number + 1 :])
            if said and start < min(end, seconds):
                yield Cue(start, min(end, seconds), said)
            break


def _seconds(parts: tuple[str | None, ...]) -> float:
    hours, minutes, whole, part = (text or "0" for text in parts)
    told = int(hours) * 3600 + int(minutes) * 60 + int(whole)
    return told + int(part.ljust(3, "0")) / 1000


def _clean(lines: list[str]) -> str:
    """Return what may stand in a cue: lines, and the marks that all players know."""
    return "\n".join(filter(None, map(_line, lines)))


def _line(line: str) -> str:
    printable = "".join(c for c in line if c.isprintable()).strip()
    parts = []
    end = 0
    for found in TAG.finditer(printable):
        parts.append(_escaped(printable[end : found.start()]))
        name = (found[1] or "").lower()
        if name in KEPT_TAGS:
            parts.append(f"</{name}>" if found[0].startswith("</") else f"<{name}>")
        end = found.end()
    return "".join([*parts, _escaped(printable[end:])]).strip()


def _escaped(text: str) -> str:
    """Return *text* with what WebVTT would take for marks; entities stay."""
    text = ENTITY.sub("&amp;", text)
    return text.replace("<", "&lt;").replace(">", "&gt;")


def webvtt(cues: list[Cue]) -> str:
    """Return *cues* as a file of WebVTT."""
    parts = [f"{clock(c.start)} --> {clock(c.end)}\n{c.text}\n" for c in cues]
    return "\n".join(["WEBVTT\n", *parts])
