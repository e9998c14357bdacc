"""What a packaging format promises, and the formats that there are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, Literal

from nexus_actors.core.registry import Registry

from .models import Presentation
from .tools import Tools


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


packagers: Final[Registry[Packager]] = Registry(
    "packager",
    Packager,
    {
        "dash": ("nexus_actors.video.adapters.dash:DashPackager", None),
        "hls": ("nexus_actors.video.adapters.hls:HlsPackager", None),
        "mp4": ("nexus_actors.video.adapters.mp4:Mp4Packager", "video"),
    },
)
