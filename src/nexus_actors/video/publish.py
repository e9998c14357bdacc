"""Moves verified outputs to the store: what names others comes after what it names."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nexus_actors.core.storage import Storage

from .models import Stored


#: How many objects are written at once.
WRITERS: Final = 8


@dataclass(frozen=True, slots=True)
class Published:
    """Where the outputs went: *paths* are relative to *prefix* in *storage*."""

    storage: Storage
    prefix: str
    paths: frozenset[str]

    def stored(self, path: str) -> Stored:
        """Return the address of the output at *path*."""
        key = f"{self.prefix}/{path}"
        return Stored(uri=self.storage.uri(key), url=self.storage.url(key))


def publish(
    root: Path,
    prefix: str,
    storage: Storage,
    *,
    check: Callable[[], None] = lambda: None,
    on_progress: Callable[[float], None] = lambda _: None,
) -> Published:
    """Store every file below *root* under *prefix*.

    If it fails, nothing of what it has stored stays.
    """
    paths = sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())
    before = set(storage.keys(prefix))
    done: list[str] = []
    try:
        with ThreadPoolExecutor(WRITERS) as pool:
            for wave in waves(paths):
                keys = [f"{prefix}/{path}" for path in wave]
                files = [root / path for path in wave]
                for key, _ in zip(
                    keys, pool.map(storage.put_file, keys, files), strict=True
                ):
                    done.append(key)
                    on_progress(len(done) / len(paths))
                    check()
    except BaseException:
        made = [f"{prefix}/{path}" for path in paths]
        storage.delete([key for key in made if key not in before])
        raise
    return Published(storage, prefix, frozenset(paths))


def waves(paths: list[str]) -> list[list[str]]:
    """Part *paths* into what may be stored at once: media, playlists, entry points."""
    parted: list[list[str]] = [[], [], []]
    for path in paths:
        parted[_rank(path)].append(path)
    return [wave for wave in parted if wave]


def _rank(path: str) -> int:
    if path.endswith(("/master.m3u8", ".mpd", "metadata.json")):
        return 2
    return 1 if path.endswith(".m3u8") else 0
