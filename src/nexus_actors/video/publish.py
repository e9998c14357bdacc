"""Moves verified outputs to the store: what names others comes after what it names."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nexus_actors.core.errors import InvalidRequestError, NexusError, TransientError
from nexus_actors.core.settings import CoreSettings
from nexus_actors.core.storage import Storage

from .models import Stored


#: How many objects are written at once.
WRITERS: Final = 8

#: How long cleaning up may take, in seconds.
CLEAR_S: Final = 5

#: How often a running job is looked at, in seconds.
LOOK_S: Final = 0.2


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


def fresh_url(uri: str, *, ttl_s: int | None = None) -> str:
    """Return a URL by which a browser finds the output at *uri* now.

    For a host that serves from a private bucket, where the ``url`` of a result ends
    after ``NEXUS_STORAGE_URL_TTL_S``.  Sends nothing, but needs the credentials.

    Args:
        uri: Of an output, as its result has it.
        ttl_s: How long a signed URL lasts, in seconds; as set by default, 7 days at
            most.

    Raises:
        InvalidRequestError: The store that is set does not have this URI.
        ConfigurationError: The settings of the store are wrong.
        AuthorizationError: There are no credentials to sign with.
    """
    storage = Storage.connect(CoreSettings.load())
    key = storage.key(uri)
    if key is None:
        raise InvalidRequestError(f"{uri!r} is not in {storage.name}")
    if storage.signs_urls:
        return storage.signed_url(key, ttl_s=ttl_s)
    return storage.url(key)


def publish(  # noqa: PLR0913 - the last two are callbacks
    root: Path,
    prefix: str,
    storage: Storage,
    *,
    without: tuple[str, ...] = (),
    check: Callable[[], None] = lambda: None,
    on_progress: Callable[[float], None] = lambda _: None,
) -> Published:
    """Store the files below *root* under *prefix*, which is this job's alone.

    What lies in the folders *without* is not stored: outputs were made of it.

    If it fails, nothing stays under *prefix*: neither what it has stored nor what an
    attempt that was killed has left there.
    """
    found = [p.relative_to(root) for p in root.rglob("*") if p.is_file()]
    paths = sorted(str(p) for p in found if not {*map(str, p.parents)} & {*without})
    done = 0

    def tell(more: int) -> None:
        nonlocal done
        done += more
        on_progress(done / len(paths))
        check()

    try:
        for wave in waves(paths):
            files = {f"{prefix}/{path}": root / path for path in wave}
            _put_all(files, storage, tell)
    except BaseException:
        _clear(prefix, paths, storage)
        raise
    return Published(storage, prefix, frozenset(paths))


def _put_all(
    files: dict[str, Path], storage: Storage, tell: Callable[[int], None]
) -> None:
    """Store *files* by their keys; *tell* hears often how many more are stored."""
    stopped = threading.Event()

    def go_on() -> None:
        if stopped.is_set():
            raise InterruptedError("another file could not be stored")

    pool = ThreadPoolExecutor(WRITERS)
    try:
        pending = {
            pool.submit(storage.put_file, *item, check=go_on) for item in files.items()
        }
        while pending:
            ended, pending = wait(pending, LOOK_S, FIRST_EXCEPTION)
            for future in ended:
                future.result()
            tell(len(ended))
    finally:
        # what has begun must end, lest it comes after what cleans up
        stopped.set()
        pool.shutdown(cancel_futures=True)


def _clear(prefix: str, paths: list[str], storage: Storage) -> None:
    """Delete what is under *prefix*, in bounded time: the worker may be told to end."""
    deadline = time.monotonic() + CLEAR_S

    def check() -> None:
        if time.monotonic() > deadline:
            raise TransientError("the store does not answer")

    # a store that fails now leaves what it has
    with suppress(NexusError):  # by name: what was cut off may not be listed yet
        storage.delete([f"{prefix}/{path}" for path in paths], check=check)
    with suppress(NexusError):
        storage.delete(storage.keys(prefix, check=check), check=check)


def waves(paths: list[str]) -> list[list[str]]:
    """Part *paths* into what may be stored at once: media, playlists, entry points."""
    parted: list[list[str]] = [[], [], []]
    for path in paths:
        parted[_rank(path)].append(path)
    return [wave for wave in parted if wave]


def _rank(path: str) -> int:
    if path.endswith(("/master.m3u8", ".mpd", "metadata.json")):
        return 2
    return 1 if path.endswith((".m3u8", ".vtt")) else 0
