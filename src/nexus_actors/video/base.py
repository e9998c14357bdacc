"""What packagers and image engines promise, and which there are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Final, Literal, Self

from nexus_actors.core.registry import Registry

from .models import Filter, Presentation, StillFormat, Thumbnail
from .tools import INPUT_GUARD, InputOptions, Tools


@dataclass(frozen=True, slots=True)
class Workbench:
    """What a packager may use: the folder of the outputs, and programs to run.

    *run* returns what a command has printed on stderr, and raises one of our errors if
    it fails.
    """

    root: Path
    tools: Tools
    run: Callable[[list[str]], str]


class Packager(ABC):
    """Makes one delivery format of the tracks that the encode has made.

    No packager encodes anything: all formats share the same encoded samples.
    """

    name: ClassVar[str]
    #: Writes manifests that share the encoded segments, or derives files from them.
    step: ClassVar[Literal["manifests", "derive"]]

    @abstractmethod
    def package(self, presentation: Presentation, bench: Workbench) -> list[str]:
        """Write the format's files below ``bench.root``.

        Returns:
            Their paths from there, what a player opens last: a file may be published
            once those before it are.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Film:
    """What stills are taken from: a film, or a picture.

    Attributes:
        small: Is looked at, to choose a moment.
        large: Is what the stills are made of.
        stream: ffprobe's number of the picture in both.
        seconds: Its length; 0 of a picture.
        moment: When the stills are taken.
        filters: What makes the picture like a rendition, where it is none.
        flatten: Whether it has transparent parts, to be laid on white.
        guard: What stands before the input.
    """

    small: Path
    large: Path
    seconds: float
    stream: int = 0
    moment: float = 0.0
    filters: tuple[Filter, ...] = ()
    flatten: bool = False
    guard: InputOptions = ()

    @classmethod
    def of_picture(cls, path: Path) -> Self:
        """Return a picture of a stranger; by an extension ffmpeg may refuse it."""
        return cls(small=path, large=path, seconds=0, guard=INPUT_GUARD)

    @property
    def is_picture(self) -> bool:
        """Whether there is but one frame, in a picture's colours."""
        return not self.seconds

    def at(self, moment: float) -> Film:
        """Return the film with the moment to show, in seconds."""
        return replace(self, moment=moment)


class ImageEngine(ABC):
    """Makes stills of one frame or picture.

    They are upright, in sRGB or BT.709, and tell nothing of who made them, or where.
    """

    name: ClassVar[str]

    @abstractmethod
    def formats(self, tools: Tools) -> frozenset[StillFormat]:
        """Return what can be written with *tools*."""

    @abstractmethod
    def write(self, wanted: Sequence[Thumbnail], film: Film, bench: Workbench) -> None:
        """Write each of *wanted* to its path below ``bench.root``.

        The frame is decoded once.  A picture is fitted into the size that is wanted,
        and cut where its shape is another.

        Raises:
            SourceError: It cannot be decoded, or is larger than is accepted.
        """


image_engines: Final[Registry[ImageEngine]] = Registry(
    "image engine",
    ImageEngine,
    {
        "ffmpeg": ("nexus_actors.video.adapters.ffmpeg:FfmpegImageEngine", "video"),
        "wand": ("nexus_actors.video.adapters.wand:WandImageEngine", "video"),
    },
)

packagers: Final[Registry[Packager]] = Registry(
    "packager",
    Packager,
    {
        "dash": ("nexus_actors.video.adapters.dash:DashPackager", None),
        "hls": ("nexus_actors.video.adapters.hls:HlsPackager", None),
        "hls_ts": ("nexus_actors.video.adapters.hls_ts:HlsTsPackager", "video"),
        "mp4": ("nexus_actors.video.adapters.mp4:Mp4Packager", "video"),
    },
)
